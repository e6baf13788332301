//! The records of a file of WAL as a person reads them.
//!
//! Promises: a record is shown only if the walk accepted it (links, CRC, parts); how the file ends is told last. Pieces of an archived
//! file are proven before records of them are shown. Memory is that of one piece (32 MiB at most).

use std::io::Read as _;
use std::path::Path;

use seawall_pg::wal::resource_manager as managers;
use seawall_pg::wal::{Keep, Record, RelationId, WalEnded, WalOf, WalWalk};
use seawall_pg::wal_page::WalPageHeader;
use seawall_pg::{Fork, Lsn, SystemIdentifier, Version, WalFileName, WalSegmentSize};
use seawall_repo::layout::Named;
use serde::Serialize;

use super::{find, meaning};
use crate::archive;
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::Repository;

/// What is walked at once: after so much it is asked whether enough was shown.
const WALK_BYTES: usize = 1 << 20;

/// Which records to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordFilter {
    /// Of this resource manager only.
    pub manager: Option<u8>,
    /// Of this transaction or subtransaction only.
    pub xid: Option<u32>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordLine {
    /// Where it begins.
    pub lsn: Lsn,
    /// Where its last byte ends.
    pub end: Lsn,
    /// Where the record before it begins.
    pub previous: Lsn,
    /// The transaction or subtransaction that wrote it; 0 for none.
    pub xid: u32,
    /// The top-level transaction, where the record names it.
    pub top_xid: Option<u32>,
    /// The resource manager's name, of an extension's its number.
    pub manager: String,
    /// Its length.
    pub length: u32,
    /// What it means.
    pub meaning: String,
    /// The blocks it changes.
    pub blocks: Vec<BlockLine>,
}

/// A block that a record changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BlockLine {
    /// Its number in the record.
    pub id: u8,
    /// The relation.
    #[serde(flatten)]
    pub relation: RelationId,
    /// The fork.
    pub fork: Fork,
    /// The page's number in the fork.
    pub page: u32,
    /// Whether replay makes the page anew.
    pub made_anew: bool,
    /// Bytes of the page's image; none where there is none.
    pub image: Option<u16>,
    /// Bytes of data for the page.
    pub data: u16,
}

/// What is told behind the records.
#[derive(Debug, Clone, Serialize)]
pub struct WalEnd {
    /// The file.
    pub file: String,
    /// The cluster that wrote it, as its first page says.
    pub system: String,
    /// The major version that wrote it.
    pub postgresql: u16,
    /// The timeline of its first page.
    pub timeline: u32,
    /// Where it begins.
    pub start: Lsn,
    /// Where the rest of an earlier record ends with which it begins, if it begins with one and that ends here.
    pub rest_until: Option<Lsn>,
    /// How many records begin and end in what was read.
    pub records: u64,
    /// How many of those were shown.
    pub shown: u64,
    /// Where a record begins that goes on behind.
    pub goes_on: Option<Lsn>,
    /// Why the records end here; null where reading stopped because enough was shown.
    pub ended: Option<String>,
    /// Copies that were wrong while another region served.
    pub findings: Vec<Finding>,
}

/// What takes records as they are read.
type Show<'s> = &'s mut dyn FnMut(RecordLine) -> Result<()>;

/// The number of a resource manager by the name that `pg_waldump` prints, in any case, or by its number.
#[must_use]
pub fn resource_manager(text: &str) -> Option<u8> {
    let by_name = (0..=u8::MAX)
        .find(|number| managers::name(*number).is_some_and(|name| name.eq_ignore_ascii_case(text)));
    by_name.or_else(|| text.parse().ok())
}

/// Reads a file of the archive; needs the private key.
///
/// # Errors
/// It is missing, damaged, or not WAL; what `show` says.
pub async fn archived_wal(
    repository: &Repository,
    system: Option<SystemIdentifier>,
    file: WalFileName,
    filter: RecordFilter,
    show: Show<'_>,
) -> Result<WalEnd> {
    if !matches!(file, WalFileName::Segment(_) | WalFileName::Partial(_)) {
        return Err(Error::usage("debug.no-records", format!("{file} holds no records"))
            .hint("name a segment, or one with .partial behind it"));
    }
    let found = find(repository, system, |place| Named::Wal { place, file }).await?;
    let mut reading: Option<Reading> = None;
    archive::each_piece(repository, &found.name, &mut |bytes| take(&mut reading, bytes, filter, show, &file))
        .await?;
    let mut end = finished(reading, file.to_string())?;
    end.findings = repository.take_findings();
    Ok(end)
}

/// Reads a local file. Blocking.
///
/// # Errors
/// It cannot be read, or is not WAL; what `show` says.
pub fn local_wal(path: &Path, filter: RecordFilter, show: Show<'_>) -> Result<WalEnd> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| {
        Error::source_side("debug.unreadable", format!("{shown} cannot be read")).because(error)
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let (mut reading, mut buffer) = (None, Vec::with_capacity(WALK_BYTES));
    loop {
        buffer.clear();
        let read = file.by_ref().take(WALK_BYTES as u64).read_to_end(&mut buffer).map_err(unreadable)?;
        if read == 0 || !take(&mut reading, &buffer, filter, show, &shown)? {
            return finished(reading, shown.to_string());
        }
    }
}

/// A walk under way.
struct Reading {
    of: WalOf,
    timeline: u32,
    start: Lsn,
    walk: WalWalk,
    shown: u64,
    enough: bool,
}

/// Takes the next bytes; false once enough was shown.
fn take(
    reading: &mut Option<Reading>,
    bytes: &[u8],
    filter: RecordFilter,
    show: Show<'_>,
    file: &dyn std::fmt::Display,
) -> Result<bool> {
    let reading = match reading {
        Some(reading) => reading,
        None => reading.insert(begin(bytes).map_err(|why| {
            Error::data("debug.not-wal", format!("{file} cannot be read as WAL")).fact("why", why)
        })?),
    };
    let Reading { walk, shown, enough, .. } = reading;
    for bytes in bytes.chunks(WALK_BYTES) {
        let mut failed = None;
        walk.take(bytes, &mut |record| {
            let wanted = filter.manager.is_none_or(|manager| manager == record.header.rmgr)
                && filter.xid.is_none_or(|xid| xid == record.header.xid);
            if !wanted || failed.is_some() || filter.limit.is_some_and(|limit| *shown >= limit) {
                return;
            }
            *shown += 1;
            failed = show(line(record)).err();
        });
        if let Some(error) = failed {
            return Err(error);
        }
        *enough = filter.limit.is_some_and(|limit| *shown >= limit);
        if *enough {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first page says which version wrote it, and where it belongs.
fn begin(first: &[u8]) -> std::result::Result<Reading, String> {
    let magic = first.first_chunk().map(|magic| u16::from_le_bytes(*magic)).ok_or("it is empty")?;
    let version = Version::from_wal_magic(magic).ok_or_else(|| {
        format!("its first bytes are {magic:04X}, as no supported version of PostgreSQL writes")
    })?;
    let header = WalPageHeader::decode(first, version).map_err(|error| error.to_string())?;
    let long = header.long.ok_or("its first page is not that of a segment")?;
    let size = WalSegmentSize::new(long.segment_bytes).map_err(|error| error.to_string())?;
    let of = WalOf { version, system: long.system_identifier, size };
    Ok(Reading {
        of,
        timeline: header.timeline.get(),
        start: header.address,
        walk: WalWalk::new(of, header.address, Keep::Meaning),
        shown: 0,
        enough: false,
    })
}

fn finished(reading: Option<Reading>, file: String) -> Result<WalEnd> {
    let reading = reading
        .ok_or_else(|| Error::data("debug.not-wal", format!("{file} cannot be read as WAL: it is empty")))?;
    let walked = reading.walk.finish();
    let ended = match &walked.ended {
        WalEnded::WithTheSegments => "the file ends".to_owned(),
        WalEnded::NothingWritten { at } => format!("nothing is written at {at}"),
        WalEnded::Record { at, fault } => format!("what stands at {at} is no record: {fault}"),
        WalEnded::Page { at, fault } => format!("what stands at {at} is no page of this WAL: {fault}"),
    };
    Ok(WalEnd {
        file,
        system: reading.of.system.to_string(),
        postgresql: reading.of.version.major(),
        timeline: reading.timeline,
        start: reading.start,
        rest_until: walked.continuation.as_ref().and_then(|rest| rest.end),
        records: walked.records,
        shown: reading.shown,
        goes_on: walked.unfinished.as_ref().filter(|_| !reading.enough).map(|open| open.start),
        ended: (!reading.enough).then_some(ended),
        findings: Vec::new(),
    })
}

fn line(record: &Record<'_>) -> RecordLine {
    let header = record.header;
    let manager = managers::name(header.rmgr).map_or_else(|| header.rmgr.to_string(), str::to_owned);
    RecordLine {
        lsn: record.start,
        end: record.end,
        previous: header.prev,
        xid: header.xid,
        top_xid: record.top_xid(),
        length: header.total,
        meaning: meaning::words(record, &manager),
        manager,
        blocks: record
            .blocks()
            .map(|block| BlockLine {
                id: block.id,
                relation: block.relation,
                fork: block.fork,
                page: block.block,
                made_anew: block.will_init,
                image: block.image.map(|image| image.length),
                data: block.data_length,
            })
            .collect(),
    }
}
