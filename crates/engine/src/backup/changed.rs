//! Which pages of a file must be read, where WAL tells what changed since the parent began. Pure.
//!
//! Promises that a page is left unread only if all of this is sure: it is of the main or init fork of a permanent relation
//! whose file the parent has, it lies below the parent's length and below every length that the fork had since, its whole database
//! was not made anew, and no record named it. Everything else, free space and visibility maps included, is read: what is at hand is
//! the data directory itself, so reading is the answer to every doubt (and to what PostgreSQL's own incremental backup gets wrong
//! about files that were cut and extended, and about visibility maps).

use std::ops::Range;

use roaring::RoaringBitmap;
use seawall_pg::wal::RelationId;
use seawall_pg::{Fork, PAGE_BYTES, RelationFile, RelationPlace};
use seawall_repo::wal_index::{ChangedFork, Changes, ForkChanges};

/// `pg_default` and `pg_global` (`src/include/catalog/pg_tablespace.dat`).
const DEFAULT_TABLESPACE: u32 = 1663;
const GLOBAL_TABLESPACE: u32 = 1664;

const PAGE_BYTES_U64: u64 = PAGE_BYTES as u64;

/// What WAL tells of the time since the parent began.
#[derive(Debug)]
pub(super) struct Changed {
    changes: Changes,
    relation_segment_blocks: u32,
}

/// What must be read of a file.
#[derive(Debug)]
pub(super) enum ToRead<'a> {
    /// All of it, and its pages compared by their content.
    Everything,
    /// Some of it.
    Pages(PagesToRead<'a>),
}

/// What must be read of a relation's file.
#[derive(Debug)]
pub(super) struct PagesToRead<'a> {
    changed: Option<&'a RoaringBitmap>,
    first_block: u32,
    /// From this page of the file on, all of them.
    from: u64,
}

impl Changed {
    pub(super) fn new(changes: Changes, relation_segment_blocks: u32) -> Self {
        Self { changes, relation_segment_blocks }
    }

    /// What must be read of the file at `path`, now `bytes` long. `parent_bytes` is its length in the parent, if it is there.
    pub(super) fn to_read(&self, path: &[u8], parent_bytes: Option<u64>, bytes: u64) -> ToRead<'_> {
        self.pages(path, parent_bytes, bytes).map_or(ToRead::Everything, ToRead::Pages)
    }

    fn pages(&self, path: &[u8], parent_bytes: Option<u64>, bytes: u64) -> Option<PagesToRead<'_>> {
        let parent_bytes = parent_bytes?;
        let file = RelationFile::parse(path)?;
        let by_wal = file.temporary.is_none() && matches!(file.fork, Fork::Main | Fork::Init);
        let whole_pages = parent_bytes.is_multiple_of(PAGE_BYTES_U64) && bytes.is_multiple_of(PAGE_BYTES_U64);
        if !by_wal || !whole_pages {
            return None;
        }
        let (tablespace, database) = match file.place {
            RelationPlace::Global => (GLOBAL_TABLESPACE, 0),
            RelationPlace::Base { database } => (DEFAULT_TABLESPACE, database.get()),
            RelationPlace::Tablespace { tablespace, database, .. } => (tablespace.get(), database.get()),
        };
        let relation = |number| RelationId { tablespace, database, number };
        let whole_database = ChangedFork { relation: relation(0), fork: Fork::Main };
        if self.changes.fork(&whole_database).is_some() {
            return None;
        }
        let first_block = file.first_block(self.relation_segment_blocks)?;
        let fork = ChangedFork { relation: relation(file.number.get()), fork: file.fork };
        let changes = self.changes.fork(&fork);
        let parent_pages = parent_bytes / PAGE_BYTES_U64;
        let limit = changes.and_then(ForkChanges::limit).map(|limit| limit.saturating_sub(first_block));
        Some(PagesToRead {
            changed: changes.map(ForkChanges::pages),
            first_block,
            from: limit.map_or(parent_pages, |limit| parent_pages.min(limit.into())),
        })
    }
}

impl PagesToRead<'_> {
    /// Those of the file's pages `pages` that must be read, as ranges in order.
    pub(super) fn within(&self, pages: Range<u64>) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let known = pages.start..pages.end.min(self.from);
        if let (Some(changed), Some(blocks)) = (self.changed, self.blocks(&known)) {
            let mut inside = changed.range(blocks);
            while let Some(run) = inside.next_range() {
                let page = |block: u32| u64::from(block.saturating_sub(self.first_block));
                ranges.push(page(*run.start())..page(*run.end()).saturating_add(1));
            }
        }
        let rest = pages.start.max(self.from)..pages.end;
        if !rest.is_empty() {
            join(&mut ranges, rest);
        }
        ranges
    }

    /// The numbers, in the whole fork, of the file's `pages`; none of no pages.
    fn blocks(&self, pages: &Range<u64>) -> Option<Range<u32>> {
        let block =
            |page: u64| u32::try_from(page.saturating_add(self.first_block.into())).unwrap_or(u32::MAX);
        (!pages.is_empty()).then(|| block(pages.start)..block(pages.end))
    }
}

/// Adds a range behind the others, to the last one where they touch.
pub(super) fn join(ranges: &mut Vec<Range<u64>>, next: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end >= next.start => last.end = last.end.max(next.end),
        _ => ranges.push(next),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pages of a relation's file in this world; in the real one 131,072.
    const SEGMENT: u32 = 50;

    fn fork(number: u32, fork: Fork) -> ChangedFork {
        ChangedFork { relation: RelationId { tablespace: DEFAULT_TABLESPACE, database: 5, number }, fork }
    }

    fn changed(make: impl FnOnce(&mut Changes)) -> Changed {
        let mut changes = Changes::default();
        make(&mut changes);
        Changed::new(changes, SEGMENT)
    }

    fn pages(changed: &Changed, path: &str, parent: u64, now: u64) -> Option<Vec<u64>> {
        match changed.to_read(path.as_bytes(), Some(parent * PAGE_BYTES_U64), now * PAGE_BYTES_U64) {
            ToRead::Everything => None,
            ToRead::Pages(pages) => Some(pages.within(0..now).into_iter().flatten().collect()),
        }
    }

    #[test]
    fn only_what_wal_names_and_what_is_new_is_read() {
        let changed = changed(|changes| {
            changes.fork_mut(fork(9, Fork::Main)).change_all([3, 4, 49, 50, 61, 120]);
        });
        assert_eq!(pages(&changed, "base/5/9", 50, 50), Some(vec![3, 4, 49]));
        assert_eq!(pages(&changed, "base/5/9.1", 50, 50), Some(vec![0, 11]), "counted in the second file");
        assert_eq!(
            pages(&changed, "base/5/9.2", 10, 12),
            Some(vec![10, 11]),
            "beyond the parent's length all"
        );
        assert_eq!(pages(&changed, "base/5/8", 50, 50), Some(vec![]), "another relation");
        assert_eq!(pages(&changed, "base/6/9", 50, 50), Some(vec![]), "another database");
        assert_eq!(pages(&changed, "base/5/9_init", 2, 2), Some(vec![]), "another fork");
    }

    #[test]
    fn from_a_cut_on_everything_is_read() {
        let changed = changed(|changes| {
            changes.fork_mut(fork(9, Fork::Main)).change_all([3, 70]);
            changes.fork_mut(fork(9, Fork::Main)).cut(52);
        });
        assert_eq!(pages(&changed, "base/5/9", 50, 50), Some(vec![3]), "the cut lies in the second file");
        assert_eq!(pages(&changed, "base/5/9.1", 50, 5), Some(vec![2, 3, 4]));
        assert_eq!(pages(&changed, "base/5/9.2", 4, 4), Some(vec![0, 1, 2, 3]));
    }

    #[test]
    fn a_database_made_anew_is_read_whole() {
        let changed = changed(|changes| changes.fork_mut(fork(0, Fork::Main)).cut(0));
        assert_eq!(pages(&changed, "base/5/9", 50, 50), None);
        assert_eq!(pages(&changed, "base/6/9", 50, 50), Some(vec![]));
        assert_eq!(
            pages(&changed, "pg_tblspc/1663/PG_17_1/5/9", 50, 50),
            None,
            "its tablespace by its number"
        );
        assert_eq!(pages(&changed, "pg_tblspc/1700/PG_17_1/5/9", 50, 50), Some(vec![]));
    }

    #[test]
    fn what_wal_does_not_answer_for_is_read_whole() {
        let changed = changed(|_| {});
        for path in ["base/5/9_fsm", "base/5/9_vm", "base/5/t3_9", "base/5/PG_VERSION", "pg_xact/0000", "x"] {
            assert_eq!(pages(&changed, path, 10, 10), None, "{path}");
        }
        assert!(matches!(changed.to_read(b"base/5/9", None, 8192), ToRead::Everything), "not in the parent");
        let partial = changed.to_read(b"base/5/9", Some(8192), 8193);
        assert!(matches!(partial, ToRead::Everything), "a page that is not whole");
        assert!(matches!(changed.to_read(b"base/5/9", Some(100), 8192), ToRead::Everything));
        assert_eq!(pages(&changed, "global/1262", 3, 3), Some(vec![]), "shared relations are answered for");
    }

    proptest! {
        /// Page by page, said plainly.
        #[test]
        fn every_page_is_read_or_known_to_be_unchanged(
            blocks in proptest::collection::btree_set(0..200u32, 0..40), limit in proptest::option::of(0..200u32),
            segment in 0..4u32, parent in 0..=50u64, now in 0..=50u64, from in 0..50u64, to in 0..60u64,
        ) {
            let changed = changed(|changes| {
                let fork = changes.fork_mut(fork(9, Fork::Main));
                fork.change_all(blocks.iter().copied());
                limit.into_iter().for_each(|limit| fork.cut(limit));
            });
            let path = if segment == 0 { "base/5/9".to_owned() } else { format!("base/5/9.{segment}") };
            let ToRead::Pages(pages) = changed.to_read(path.as_bytes(), Some(parent * 8192), now * 8192) else {
                panic!("a relation's file");
            };
            let ranges = pages.within(from..to);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            let read: Vec<u64> = ranges.into_iter().flatten().collect();
            let wanted: Vec<u64> = (from..to).filter(|&page| {
                let block = u64::from(segment * SEGMENT) + page;
                page >= parent || limit.is_some_and(|limit| block >= limit.into())
                    || blocks.contains(&(block as u32))
            }).collect();
            prop_assert_eq!(read, wanted);
        }
    }
}
