//! The pages of a WAL file, as they stream by: each must say its own address, and the first whose segment it is.
//!
//! Promises: what a server can have written passes: behind a switch record the rest of a segment is zeros; the first segment of a timeline
//! begins with its parent's pages; of a `.partial` file only the first page is judged, for a recycled file keeps old pages behind its end.
//! Deliberately reads no records.

use seawall_pg::wal_page::{ExpectedSegment, WalPageHeader, identify_segment};
use seawall_pg::{
    History, Lsn, PAGE_BYTES, SegmentName, SystemIdentifier, Version, WalFileName, WalSegmentSize,
};

/// What a WAL file has to be.
#[derive(Debug, Clone)]
pub(super) struct WalFacts {
    pub(super) size: WalSegmentSize,
    pub(super) system: SystemIdentifier,
    pub(super) version: Version,
    /// The history of the file's timeline, where the region has it.
    pub(super) history: Option<History>,
}

/// Pages judged so far.
#[derive(Debug)]
pub(super) struct WalPages<'f> {
    facts: &'f WalFacts,
    name: SegmentName,
    partial: bool,
    next: u64,
    zeros: bool,
    fault: Option<String>,
}

impl<'f> WalPages<'f> {
    /// For a file of this name; none for files that are no WAL pages.
    pub(super) fn new(file: WalFileName, facts: &'f WalFacts) -> Option<Self> {
        let (name, partial) = match file {
            WalFileName::Segment(name) => (name, false),
            WalFileName::Partial(name) => (name, true),
            WalFileName::BackupHistory { .. } | WalFileName::TimelineHistory(_) => return None,
        };
        Some(Self { facts, name, partial, next: 0, zeros: false, fault: None })
    }

    /// Goes on at a byte of the file: where a part begins.
    pub(super) fn from(mut self, byte: u64) -> Self {
        self.next = byte;
        self
    }

    /// Takes the next bytes of the file: whole pages, but for a file that ends within one.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        for page in bytes.chunks(PAGE_BYTES) {
            if self.fault.is_some() || (self.partial && self.next > 0) {
                return;
            }
            self.fault = self.page(page).err();
            self.next = self.next.saturating_add(page.len() as u64);
        }
    }

    /// What is wrong.
    pub(super) fn finish(self) -> Option<String> {
        self.fault
    }

    fn page(&mut self, page: &[u8]) -> Result<(), String> {
        let start = self.name.first_lsn(self.facts.size).map_err(|error| error.to_string())?;
        let address = Lsn(start.0.saturating_add(self.next));
        if self.next == 0 {
            return self.first(page);
        }
        if self.zeros || page.iter().take(8).all(|byte| *byte == 0) {
            self.zeros = true;
            let all = page.iter().all(|byte| *byte == 0);
            return all.then_some(()).ok_or_else(|| {
                format!("its page at {address} has no header, and pages that are not empty follow")
            });
        }
        let header = WalPageHeader::decode(page, self.facts.version)
            .map_err(|error| format!("its page at {address}: {error}"))?;
        if header.address != address {
            return Err(format!("its page at {address} says that it is the one at {}", header.address));
        }
        if header.timeline > self.name.timeline() {
            return Err(format!("its page at {address} is of timeline {}", header.timeline));
        }
        Ok(())
    }

    fn first(&self, page: &[u8]) -> Result<(), String> {
        let facts = self.facts;
        let root = History::root(self.name.timeline());
        let expected = ExpectedSegment {
            name: self.name,
            size: facts.size,
            system_identifier: facts.system,
            version: facts.version,
            history: facts.history.as_ref().unwrap_or(&root),
        };
        match identify_segment(page, &expected) {
            // Without its history nobody can say which ancestors have a part in it.
            Err(seawall_pg::wal_page::WalPageError::WrongTimeline { .. }) if facts.history.is_none() => {
                Ok(())
            }
            Err(error) => Err(error.to_string()),
            Ok(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_pg::{SegmentNo, Timeline};

    use super::*;
    use crate::archive::testing::{SYSTEM, first_page};

    const SIZE: u32 = 1 << 20;

    fn facts() -> WalFacts {
        let (size, version) = (WalSegmentSize::new(SIZE).unwrap(), Version::from_major(17).unwrap());
        WalFacts { size, system: SYSTEM, version, history: Some(History::root(Timeline::FIRST)) }
    }

    /// A segment of so many written pages, the rest zeros.
    fn segment(number: u64, written: usize) -> Vec<u8> {
        let size = facts().size;
        let start = SegmentNo(number).first_lsn(size).unwrap();
        let mut bytes = vec![0; SIZE as usize];
        for page in 0..written {
            let at = page * PAGE_BYTES;
            let mut header = first_page(Timeline::FIRST, Lsn(start.0 + at as u64), SYSTEM, size);
            if page > 0 {
                header.truncate(24);
                header[2] = 0;
            }
            bytes[at..at + header.len()].copy_from_slice(&header);
        }
        bytes
    }

    fn judged(file: &str, bytes: &[u8]) -> Option<String> {
        let facts = facts();
        let mut pages = WalPages::new(file.parse().unwrap(), &facts).unwrap();
        bytes.chunks(1 << 16).for_each(|piece| pages.take(piece));
        pages.finish()
    }

    #[test]
    fn whole_and_switched_segments_pass_and_strange_pages_do_not() {
        let name = "000000010000000000000003";
        assert_eq!(judged(name, &segment(3, 128)), None);
        assert_eq!(judged(name, &segment(3, 5)), None, "switched after five pages");
        assert!(judged(name, &segment(4, 128)).unwrap().contains("its content begins at"));
        let mut stale = segment(3, 128);
        let other = segment(9, 128);
        stale[70 * PAGE_BYTES..71 * PAGE_BYTES].copy_from_slice(&other[70 * PAGE_BYTES..71 * PAGE_BYTES]);
        assert!(judged(name, &stale).unwrap().contains("says that it is the one at"));
        let mut holed = segment(3, 128);
        holed[70 * PAGE_BYTES..71 * PAGE_BYTES].fill(0);
        assert!(judged(name, &holed).unwrap().contains("pages that are not empty follow"));
        assert_eq!(
            judged(&format!("{name}.partial"), &stale),
            None,
            "stale pages behind the end of a partial file"
        );
        assert!(judged(&format!("{name}.partial"), &segment(4, 2)).is_some());
    }
}
