//! How much of each pack the newest map uses: what compaction decides by and the manifest's table of packs says.
//!
//! A backup takes its parent's table, takes away the leaves it replaces, adds those it writes and the packs it made.
//! So counting costs what changed, not the size of the cluster. Promises that a table that does not fit the leaves is
//! noticed; deliberately counts pages, not bytes: pages are what must be read from the data directory to rewrite.

use std::collections::HashMap;

use crate::id::BackupId;
use crate::map::{LeafPages, Source};
use crate::pack::PackId;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackRow {
    /// The pack.
    pub pack: PackId,
    /// Pages that the map uses.
    pub pages_in_use: u64,
    /// Pages stored in it.
    pub pages_stored: u64,
    /// Its bytes as stored.
    pub stored_bytes: u64,
}

/// Why the table does not fit the maps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// A leaf names a pack that is in no table.
    #[error("the map uses {pack}, which its table of packs does not list")]
    UnknownPack {
        /// Which.
        pack: PackId,
    },
    /// More pages taken away than there were.
    #[error("the table of packs counts fewer pages of {pack} than the map uses")]
    TooFew {
        /// Which.
        pack: PackId,
    },
    /// More pages in use than stored.
    #[error("{pages_in_use} pages of {pack} in use, of {pages_stored} stored")]
    TooMany {
        /// Which.
        pack: PackId,
        /// Pages in use.
        pages_in_use: u64,
        /// Pages stored.
        pages_stored: u64,
    },
    /// A pack entered twice.
    #[error("{pack} is listed twice")]
    Twice {
        /// Which.
        pack: PackId,
    },
}

#[derive(Debug, Clone, Copy)]
struct Counts {
    pages_in_use: u64,
    pages_stored: u64,
    stored_bytes: u64,
}

/// The table while a backup changes it.
#[derive(Debug, Clone, Default)]
pub struct PackUsage {
    packs: HashMap<PackId, Counts>,
}

impl PackUsage {
    /// From the parent's rows (none for a full backup).
    pub fn from_rows(rows: impl IntoIterator<Item = PackRow>) -> Result<Self, UsageError> {
        let mut usage = Self::default();
        for row in rows {
            usage.insert(row)?;
        }
        Ok(usage)
    }

    /// Enters a pack this backup stored; pages come into use with leaves.
    pub fn add_pack(&mut self, pack: PackId, pages_stored: u64, stored_bytes: u64) -> Result<(), UsageError> {
        self.insert(PackRow { pack, pages_in_use: 0, pages_stored, stored_bytes })
    }

    /// Counts the pages of a leaf of the new map.
    pub fn add_leaf(&mut self, leaf: &LeafPages) -> Result<(), UsageError> {
        self.for_each_extent(leaf, |pack, counts, pages| {
            counts.pages_in_use += pages;
            if counts.pages_in_use > counts.pages_stored { Err(too_many(pack, counts)) } else { Ok(()) }
        })
    }

    /// Takes away the pages of a leaf of the parent's map. Call it before `add_leaf` of its successor.
    pub fn remove_leaf(&mut self, leaf: &LeafPages) -> Result<(), UsageError> {
        self.for_each_extent(leaf, |pack, counts, pages| {
            let left = counts.pages_in_use.checked_sub(pages);
            counts.pages_in_use = left.ok_or(UsageError::TooFew { pack })?;
            Ok(())
        })
    }

    /// The rows of packs in use, by pack; packs without a page in use are left out.
    pub fn rows(&self) -> Vec<PackRow> {
        let used = self.packs.iter().filter(|(_, counts)| counts.pages_in_use > 0);
        let mut rows: Vec<_> = used
            .map(|(&pack, counts)| PackRow {
                pack,
                pages_in_use: counts.pages_in_use,
                pages_stored: counts.pages_stored,
                stored_bytes: counts.stored_bytes,
            })
            .collect();
        rows.sort_unstable();
        rows
    }

    /// The backups whose packs are in use, in the order of ids.
    pub fn backups(&self) -> Vec<BackupId> {
        let mut backups: Vec<_> = self.rows().iter().map(|row| row.pack.backup).collect();
        backups.dedup();
        backups
    }

    fn insert(&mut self, row: PackRow) -> Result<(), UsageError> {
        let PackRow { pack, pages_in_use, pages_stored, stored_bytes } = row;
        let counts = Counts { pages_in_use, pages_stored, stored_bytes };
        if pages_in_use > pages_stored {
            return Err(too_many(pack, &counts));
        }
        match self.packs.insert(pack, counts) {
            None => Ok(()),
            Some(_) => Err(UsageError::Twice { pack }),
        }
    }

    fn for_each_extent(
        &mut self,
        leaf: &LeafPages,
        mut count: impl FnMut(PackId, &mut Counts, u64) -> Result<(), UsageError>,
    ) -> Result<(), UsageError> {
        for extent in leaf.extents() {
            let Source::Frame { frame, .. } = extent.source else { continue };
            let Some(place) = leaf.frames().get(frame as usize) else { continue };
            let pack = place.pack;
            let counts = self.packs.get_mut(&pack).ok_or(UsageError::UnknownPack { pack })?;
            count(pack, counts, extent.pages.into())?;
        }
        Ok(())
    }
}

fn too_many(pack: PackId, counts: &Counts) -> UsageError {
    UsageError::TooMany { pack, pages_in_use: counts.pages_in_use, pages_stored: counts.pages_stored }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Encoding;
    use crate::map::FramePlace;
    use crate::object::FrameAt;

    fn pack(number: u32) -> PackId {
        PackId { backup: BackupId::from_bytes([0; 16]).unwrap(), number }
    }

    fn leaf(pages_in: &[(u32, usize)]) -> LeafPages {
        let mut leaf = LeafPages::default();
        let mut page = 0;
        for &(number, pages) in pages_in {
            let at = FrameAt {
                number: 0,
                offset: 0,
                stored_len: 100,
                plain_len: 1 << 20,
                encoding: Encoding::Raw,
            };
            let place = FramePlace { pack: pack(number), at };
            leaf.set(page, pages, &place, 0);
            page += pages;
        }
        leaf
    }

    #[test]
    fn use_follows_the_leaves() {
        let mut usage = PackUsage::default();
        usage.add_pack(pack(0), 40, 1_000).unwrap();
        usage.add_leaf(&leaf(&[(0, 40)])).unwrap();
        let mut next = PackUsage::from_rows(usage.rows()).unwrap();
        next.add_pack(pack(1), 8, 200).unwrap();
        next.add_pack(pack(2), 8, 200).unwrap();
        next.remove_leaf(&leaf(&[(0, 40)])).unwrap();
        next.add_leaf(&leaf(&[(1, 8), (0, 32)])).unwrap();
        let rows = [
            PackRow { pack: pack(0), pages_in_use: 32, pages_stored: 40, stored_bytes: 1_000 },
            PackRow { pack: pack(1), pages_in_use: 8, pages_stored: 8, stored_bytes: 200 },
        ];
        assert_eq!(next.rows(), rows);
        assert_eq!(next.backups(), [pack(0).backup]);
    }

    #[test]
    fn a_table_that_does_not_fit_is_refused() {
        let row = PackRow { pack: pack(0), pages_in_use: 4, pages_stored: 8, stored_bytes: 1 };
        let mut usage = PackUsage::from_rows([row]).unwrap();
        let pack_0 = pack(0);
        assert_eq!(usage.clone().remove_leaf(&leaf(&[(0, 5)])), Err(UsageError::TooFew { pack: pack_0 }));
        assert_eq!(usage.remove_leaf(&leaf(&[(7, 1)])), Err(UsageError::UnknownPack { pack: pack(7) }));
        let refused = UsageError::TooMany { pack: pack_0, pages_in_use: 9, pages_stored: 8 };
        assert_eq!(usage.add_leaf(&leaf(&[(0, 5)])), Err(refused));
        assert_eq!(PackUsage::from_rows([row, row]).unwrap_err(), UsageError::Twice { pack: pack_0 });
    }
}
