//! Whether a moment can be recovered to, and from which backup. Pure.
//!
//! Promise: a backup is named only if recovery from it is over with its own end before the moment, and all WAL from its start to the moment
//! is in the archive, on the way that was looked at.

use seawall_pg::{History, Lsn, SegmentNo, WalSegmentSize};
use seawall_repo::id::BackupId;

use crate::archive::inventory::WalInventories;
use crate::repository::BackupEntry;

/// The WAL of a way in stretches without a hole, and the backups on it.
#[derive(Debug)]
pub(super) struct Reach {
    size: WalSegmentSize,
    stretches: Vec<(SegmentNo, SegmentNo)>,
    /// By their start.
    backups: Vec<(Lsn, Lsn, BackupId)>,
}

impl Reach {
    pub(super) fn new(
        backups: &[&BackupEntry],
        wal: &WalInventories,
        history: &History,
        size: WalSegmentSize,
    ) -> Self {
        let mut stretches: Vec<(SegmentNo, SegmentNo)> = Vec::new();
        for span in history.spans() {
            let Some(wal) = wal.merged.timelines.get(&span.timeline) else { continue };
            for range in wal.segments.as_slice() {
                let serves = |number: &SegmentNo| history.timeline_of_segment(*number, size) == span.timeline;
                // A range reaches over the ends of its timeline by a segment or few.
                let first = super::run::numbers(range.first, range.last).find(serves);
                let last = super::run::numbers(range.first, range.last).rev().find(serves);
                if let (Some(first), Some(last)) = (first, last) {
                    stretches.push((first, last));
                }
            }
        }
        let on_way = backups
            .iter()
            .map(|entry| &entry.header)
            .filter(|header| history.timeline_at(header.start) == header.timeline);
        Self::of(size, stretches, on_way.map(|one| (one.start, one.stop, one.backup)).collect())
    }

    fn of(
        size: WalSegmentSize,
        mut stretches: Vec<(SegmentNo, SegmentNo)>,
        mut backups: Vec<(Lsn, Lsn, BackupId)>,
    ) -> Self {
        stretches.sort_unstable();
        stretches.dedup_by(|next, before| {
            let touches = before.1.next().is_some_and(|behind| behind >= next.0);
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
        backups.sort_unstable();
        Self { size, stretches, backups }
    }

    /// The newest backup from which a moment can be reached.
    pub(super) fn backup(&self, target: Lsn) -> Option<BackupId> {
        let at = self.size.segment_of(target);
        let (first, _) = self.stretches.iter().find(|(first, last)| (*first..=*last).contains(&at))?;
        let leads = |(start, stop, _): &&(Lsn, Lsn, BackupId)| {
            *stop <= target && self.size.segment_of(*start) >= *first
        };
        self.backups.iter().rev().find(leads).map(|(.., backup)| *backup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_leads_where_its_end_and_all_wal_lie_before() {
        let size = WalSegmentSize::new(16 << 20).unwrap();
        let at = |segment: u64, offset: u64| Lsn((segment << 24) + offset);
        let id = |n: u8| {
            let mut bytes = [0; 16];
            bytes[15] = n;
            BackupId::from_bytes(bytes).unwrap()
        };
        let stretches =
            vec![(SegmentNo(12), SegmentNo(20)), (SegmentNo(2), SegmentNo(5)), (SegmentNo(6), SegmentNo(8))];
        let backups = vec![
            (at(14, 40), at(14, 300), id(2)),
            (at(3, 40), at(3, 300), id(1)),
            (at(10, 40), at(10, 300), id(3)),
        ];
        let reach = Reach::of(size, stretches, backups);
        for (target, wanted) in [
            (at(3, 299), None),
            (at(3, 300), Some(id(1))),
            (at(8, 77), Some(id(1))),
            (at(9, 1), None),
            // The backup before it lies in a hole.
            (at(13, 1), None),
            (at(14, 299), None),
            (at(20, 0), Some(id(2))),
            (at(21, 0), None),
        ] {
            assert_eq!(reach.backup(target), wanted, "{target}");
        }
    }
}
