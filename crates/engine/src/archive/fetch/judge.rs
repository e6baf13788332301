//! Whether a file of the archive is what the server asked for, before it is handed over.
//!
//! A server takes a segment of another cluster, another version or another place for the end of WAL and goes on without a
//! word. Promises: what passes has the right length, address, system identifier, segment size and version, and goes on where the
//! segment before it ends that was handed over last. Deliberately reads no more records than that needs.

use seawall_pg::{ControlFile, SegmentName, Timeline, WalFileName, WalPageHeader};
use seawall_repo::keys::Digest;
use seawall_repo::wal_object::{OpenWal, WalContent, WalHeader};

use super::link::Link;
use crate::archive::plan_file::PlanFile;

/// What a file has to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) file: WalFileName,
    pub(super) control: &'a ControlFile,
    pub(super) plan: Option<&'a PlanFile>,
    /// How it is linked to what was handed over before it, if that is known.
    pub(super) link: Option<&'a Link>,
}

impl Wanted<'_> {
    /// What is wrong with a file that has this header and begins with these bytes.
    pub(super) fn beginning(&self, header: &WalHeader, bytes: &[u8]) -> Result<(), String> {
        self.length(header)?;
        match self.file {
            WalFileName::Segment(name) | WalFileName::Partial(name) => {
                self.first_page(name, bytes)?;
                self.goes_on(bytes)
            }
            WalFileName::TimelineHistory(_) | WalFileName::BackupHistory { .. } => Ok(()),
        }
    }

    /// What is wrong with the object that tells of a file in parts.
    pub(super) fn in_parts(&self, wal: &OpenWal) -> Result<(), String> {
        match wal.content {
            WalContent::Parts(_) => self.length(&wal.header),
            WalContent::Bytes(_) => Err("it does not lie in parts any more".to_owned()),
        }
    }

    fn length(&self, header: &WalHeader) -> Result<(), String> {
        let (WalFileName::Segment(_) | WalFileName::Partial(_)) = self.file else { return Ok(()) };
        let size = self.control.wal_segment_size;
        if header.segment_size != size || header.size != size.bytes() {
            return Err(format!("{} bytes long, not {}", header.size, size.bytes()));
        }
        Ok(())
    }

    /// What is wrong with part `number` of it, which the object of the whole names by its digest.
    pub(super) fn part(&self, number: usize, digest: &Digest, wal: &OpenWal) -> Result<(), String> {
        if wal.plain_digest != *digest {
            return Err("it is not the part that the object of the whole names".to_owned());
        }
        let (WalFileName::Segment(name) | WalFileName::Partial(name)) = self.file else {
            return Err("it has no parts".to_owned());
        };
        match &wal.content {
            WalContent::Bytes(bytes) if number == 0 => {
                self.first_page(name, bytes)?;
                self.goes_on(bytes)
            }
            WalContent::Bytes(_) => Ok(()),
            WalContent::Parts(_) => Err("a part lies in parts".to_owned()),
        }
    }

    /// What is wrong with a segment that begins so, behind the one handed over last.
    pub(super) fn goes_on(&self, bytes: &[u8]) -> Result<(), String> {
        self.link.map_or(Ok(()), |link| link.goes_on(bytes))
    }

    /// What is wrong with a segment that begins so.
    pub(super) fn first_page(&self, name: SegmentName, bytes: &[u8]) -> Result<(), String> {
        let control = self.control;
        let header = WalPageHeader::decode(bytes, control.version).map_err(|error| error.to_string())?;
        let long = header.long.ok_or("it does not begin as a segment does")?;
        let address = name.first_lsn(control.wal_segment_size).map_err(|error| error.to_string())?;
        if long.system_identifier != control.system_identifier {
            return Err(format!("it belongs to system identifier {}", long.system_identifier));
        }
        if long.segment_bytes != control.wal_segment_size.bytes_u32() || header.address != address {
            return Err(format!("its content begins at {}, not at {address}", header.address));
        }
        if header.timeline > name.timeline() || !self.may_begin_on(name.timeline(), header.timeline) {
            return Err(format!("its content begins on timeline {}", header.timeline));
        }
        Ok(())
    }

    /// Whether the first page of a segment of timeline `named` may be of timeline `found`: on a planned way, only if both
    /// are on it.
    fn may_begin_on(&self, named: Timeline, found: Timeline) -> bool {
        let Some(way) = self.plan.and_then(|plan| plan.way.as_ref()) else { return true };
        let on_way = |timeline| way.path.iter().any(|span| span.timeline == timeline);
        !on_way(named) || on_way(found)
    }
}
