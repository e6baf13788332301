//! How many bytes go into which directory, so that room can be asked for before the first byte.
//!
//! Promises: sizes stand in the lists of files; where an older life of the cluster is brought up to date, what a file of the same
//! name has already is not needed again, and what its WAL takes becomes free, because it is removed first. Costs one pass over the
//! lists, which the restore reads anyway. Deliberately does not count on files that the backup lacks: they go last.

use std::collections::BTreeMap;

use seawall_repo::layout::Place;
use seawall_repo::manifest::Manifest;
use seawall_repo::map::file_block::{EntryKind, FileBlockReader};

use super::run::RestoreOptions;
use super::transfer::{Existing, damaged_block};
use crate::error::Result;
use crate::repository::{Maps, Repository};
use crate::target::held::Held;
use crate::target::names::{Spot, spot};
use crate::target::preflight::{self, SpaceNeed};
use crate::target::tablespaces::PlacedTablespace;

/// Bytes that files need beyond what is there, in the data directory itself and in each tablespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sizes {
    data: u64,
    /// By object identifier.
    tablespaces: BTreeMap<u32, u64>,
}

impl Sizes {
    /// Adds a file of this size, of which so much is there.
    fn add(&mut self, spot: &Spot, size: u64, held: u64) {
        let sum = match spot {
            Spot::Tablespace { oid, .. } => self.tablespaces.entry(*oid).or_default(),
            _ => &mut self.data,
        };
        // A longer file of an older life leaves room to nobody else until it is cut.
        *sum = sum.saturating_add(size.saturating_sub(held));
    }
}

/// Refuses when a file system has too little room for what the backup needs there.
///
/// # Errors
/// There is too little; a list of files is damaged or out of reach in every region, or holds a hostile name.
pub(super) async fn refuse_without_room(
    repository: &Repository,
    place: &Place,
    manifest: &Manifest,
    placed: &[PlacedTablespace],
    options: &RestoreOptions,
) -> Result<()> {
    let held = match options.existing {
        Existing::None => Held::default(),
        Existing::Compare => Held::open(&options.data_directory, placed)?,
    };
    let sizes = sizes(repository, place, manifest, &held).await?;
    let mut needs = needs(&sizes, placed, options);
    if options.existing == Existing::Compare {
        let wal = options.wal_directory.clone().unwrap_or_else(|| options.data_directory.join("pg_wal"));
        let frees = preflight::bytes_in(&wal)?;
        needs.push(SpaceNeed { directory: wal, bytes: 0, frees });
    }
    Ok(preflight::refuse_small(&needs)?)
}

/// Adds up a backup's files.
async fn sizes(repository: &Repository, place: &Place, manifest: &Manifest, held: &Held) -> Result<Sizes> {
    let maps = Maps::new(repository, place);
    let mut sizes = Sizes::default();
    for block in &manifest.body.blocks {
        let node = maps.node(&block.node).await?;
        let mut entries = FileBlockReader::new(&node).map_err(|error| damaged_block(&error))?;
        while let Some(entry) = entries.next_entry().map_err(|error| damaged_block(&error))? {
            let EntryKind::File { size, .. } = entry.kind else { continue };
            let spot = spot(&entry.path).map_err(|error| super::transfer::hostile(&error))?;
            sizes.add(&spot, size, held.bytes(&spot));
        }
    }
    Ok(sizes)
}

/// What goes into which directory.
fn needs(sizes: &Sizes, placed: &[PlacedTablespace], options: &RestoreOptions) -> Vec<SpaceNeed> {
    let in_place = placed.iter().filter(|placed| placed.directory.is_none());
    let inside: u64 = in_place.filter_map(|placed| sizes.tablespaces.get(&placed.tablespace.oid)).sum();
    let bytes = sizes.data.saturating_add(inside);
    let mut needs = vec![SpaceNeed { directory: options.data_directory.clone(), bytes, frees: 0 }];
    for placed in placed {
        if let Some(directory) = &placed.directory {
            let bytes = sizes.tablespaces.get(&placed.tablespace.oid).copied().unwrap_or(0);
            needs.push(SpaceNeed { directory: directory.clone(), bytes, frees: 0 });
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_under_the_same_name_is_not_needed_again_and_no_more_than_that() {
        let mut sizes = Sizes::default();
        let data = Spot::Data("base/5/1".into());
        sizes.add(&data, 1000, 0);
        sizes.add(&data, 1000, 400);
        assert_eq!(sizes.data, 1600);
        // What is longer there is no credit for others.
        sizes.add(&data, 1000, 5000);
        assert_eq!(sizes.data, 1600);
        let space = Spot::Tablespace { oid: 7, name: "PG_17/5/1".into() };
        sizes.add(&space, 10, 0);
        assert_eq!((sizes.data, sizes.tablespaces.get(&7)), (1600, Some(&10)));
    }
}
