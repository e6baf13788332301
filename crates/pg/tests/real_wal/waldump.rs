//! What `pg_waldump` prints, as values.

use std::collections::BTreeMap;
use std::process::Command;

use seawall_pg::{Lsn, PAGE_BYTES};
use seawall_testkit::Result;
use seawall_testkit::identity::run_as_server_user;

use crate::Left;

/// A record, as both sides tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordLine {
    pub(crate) lsn: Lsn,
    pub(crate) prev: Lsn,
    pub(crate) xid: u32,
    pub(crate) rmgr: String,
    /// Without images, and with.
    pub(crate) lengths: (u32, u32),
    pub(crate) blocks: Vec<BlockLine>,
}

/// A block reference, as both sides tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockLine {
    pub(crate) id: u8,
    pub(crate) relation: [u32; 3],
    pub(crate) fork: String,
    pub(crate) block: u32,
    /// `FPW`, or `FPW for WAL verification`, with the hole's offset and length.
    pub(crate) image: Option<(bool, u16, u16)>,
}

/// The end of a transaction, as both sides tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CompletionLine {
    pub(crate) lsn: Lsn,
    pub(crate) operation: String,
    /// The prepared transaction's.
    pub(crate) xid: Option<u32>,
    pub(crate) time: String,
    pub(crate) subxacts: Vec<u32>,
    pub(crate) relations: usize,
    pub(crate) stats: usize,
}

/// What it told.
pub(crate) struct Told {
    pub(crate) records: Vec<RecordLine>,
    pub(crate) completions: Vec<CompletionLine>,
}

/// Which image: LSN, relation, block, fork.
pub(crate) type ImageKey = (Lsn, [u32; 3], u32, String);
pub(crate) type SavedPages = BTreeMap<ImageKey, Vec<u8>>;

fn dump(left: &Left, options: &str) -> Result<String> {
    // It ends with an error where WAL ends; what it printed counts.
    let script = format!(
        "'{}' -p '{}' -s {} {options} 2>/dev/null; true",
        left.server.binaries().program("pg_waldump").display(),
        left.wal.display(),
        left.first(),
    );
    run_as_server_user(Command::new("/bin/sh").args(["-c", &script]).env("TZ", "UTC"))
}

pub(crate) fn read(left: &Left) -> Result<Told> {
    let text = dump(left, "-b")?;
    let mut told = Told { records: Vec::new(), completions: Vec::new() };
    for line in text.lines() {
        if let Some(block) = line.strip_prefix("\tblkref #") {
            let record = told.records.last_mut().expect("a record before its blocks");
            record.blocks.push(block_line(block).unwrap_or_else(|| panic!("{line}")));
        } else if line.starts_with("rmgr: ") {
            let record = record_line(line).unwrap_or_else(|| panic!("{line}"));
            if record.rmgr == "Transaction" {
                told.completions.extend(completion_line(&record, line));
            }
            told.records.push(record);
        }
    }
    Ok(told)
}

/// What stands between two texts.
fn between<'t>(line: &'t str, from: &str, to: &str) -> Option<&'t str> {
    let behind = line.split_once(from)?.1;
    Some(behind.split_once(to).map_or(behind, |(found, _)| found).trim())
}

fn record_line(line: &str) -> Option<RecordLine> {
    let lengths = between(line, "len (rec/tot):", ", tx:")?;
    let (record, total) = lengths.split_once('/')?;
    Some(RecordLine {
        lsn: between(line, "lsn: ", ",")?.parse().ok()?,
        prev: between(line, "prev ", ",")?.parse().ok()?,
        xid: between(line, "tx: ", ",")?.parse().ok()?,
        rmgr: between(line, "rmgr: ", " ")?.to_owned(),
        lengths: (record.trim().parse().ok()?, total.trim().parse().ok()?),
        blocks: Vec::new(),
    })
}

/// `0: rel 1663/5/16384 fork main blk 7 (FPW); hole: offset: 100, length: 200, ...`
fn block_line(line: &str) -> Option<BlockLine> {
    let relation = between(line, "rel ", " ")?;
    let mut numbers = relation.split('/').map(str::parse);
    let image = line.contains("(FPW").then(|| {
        let hole = |name: &str| between(line, name, ",").and_then(|text| text.parse().ok());
        Some((line.contains("(FPW)"), hole("offset: ")?, hole("length: ")?))
    });
    Some(BlockLine {
        id: line.split_once(':')?.0.parse().ok()?,
        relation: [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?],
        fork: between(line, "fork ", " ")?.to_owned(),
        block: between(line, "blk ", " ")?.trim_end_matches(';').parse().ok()?,
        image: match image {
            Some(image) => Some(image?),
            None => None,
        },
    })
}

/// `desc: COMMIT_PREPARED 777: 2026-11-22 10:00:00.123456 UTC; rels: base/5/1 base/5/2; subxacts: 3 4; ...`
fn completion_line(record: &RecordLine, line: &str) -> Option<CompletionLine> {
    let text = line.split_once("desc: ")?.1;
    let (operation, rest) = text.split_once(' ')?;
    if !operation.starts_with("COMMIT") && !operation.starts_with("ABORT") {
        return None;
    }
    let mut parts = rest.split("; ");
    let mut when = parts.next()?.trim();
    let xid = when.split_once(": ").and_then(|(xid, _)| xid.parse().ok());
    when = xid.map_or(when, |_: u32| when.split_once(": ").map_or(when, |(_, time)| time));
    let mut completion = CompletionLine {
        lsn: record.lsn,
        operation: operation.to_owned(),
        xid,
        time: when.trim_end_matches(" UTC").to_owned(),
        subxacts: Vec::new(),
        relations: 0,
        stats: 0,
    };
    for part in parts {
        match part.trim().split_once(": ") {
            Some(("rels", paths)) => completion.relations = paths.split(' ').count(),
            Some(("dropped stats", items)) => completion.stats = items.split(' ').count(),
            Some(("subxacts", numbers)) => {
                completion.subxacts = numbers.split(' ').map(|n| n.parse().expect("a transaction")).collect();
            }
            _ => {}
        }
    }
    Some(completion)
}

/// The images it rebuilds, where it can (16 and later).
pub(crate) fn saved_pages(left: &Left) -> Result<Option<SavedPages>> {
    if left.server.major() < 16 {
        return Ok(None);
    }
    let directory = left.server.scratch().directory("saved pages")?;
    dump(left, &format!("-q --save-fullpage='{}'", directory.display()))?;
    let mut pages = SavedPages::new();
    for entry in std::fs::read_dir(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = std::fs::read(entry.path())?;
        assert_eq!(bytes.len(), PAGE_BYTES, "{name}");
        pages.insert(image_key(&name).unwrap_or_else(|| panic!("{name}")), bytes);
    }
    Ok(Some(pages))
}

/// `00000001-00000000-01500028.1663.5.16384.7_main`, with or without the timeline.
fn image_key(name: &str) -> Option<ImageKey> {
    let (position, rest) = name.split_once('.')?;
    let mut halves = position.rsplit('-').map(|half| u32::from_str_radix(half, 16));
    let (low, high) = (halves.next()?.ok()?, halves.next()?.ok()?);
    let (numbers, fork) = rest.split_once('_')?;
    let mut numbers = numbers.split('.').map(str::parse);
    let relation = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
    Some((Lsn::from_halves(high, low), relation, numbers.next()?.ok()?, fork.to_owned()))
}
