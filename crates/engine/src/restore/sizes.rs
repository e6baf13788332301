//! How many bytes go into which directory, so that room can be asked for before the first byte.
//!
//! Promises: exact (sizes stand in the lists of files). Costs one pass over the lists, which the restore reads anyway.

use std::collections::BTreeMap;

use seawall_repo::layout::Place;
use seawall_repo::manifest::Manifest;
use seawall_repo::map::file_block::{EntryKind, FileBlockReader};

use super::transfer::damaged_block;
use crate::error::Result;
use crate::repository::{Maps, Repository};
use crate::target::names::{Spot, spot};

/// Bytes of files in the data directory itself, and in each tablespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    /// In the data directory.
    pub data: u64,
    /// In tablespaces, by object identifier.
    pub tablespaces: BTreeMap<u32, u64>,
}

/// Adds up a backup's files.
///
/// # Errors
/// A list is damaged or out of reach in every region, or holds a hostile name.
pub async fn sizes(repository: &Repository, place: &Place, manifest: &Manifest) -> Result<Sizes> {
    let maps = Maps::new(repository, place);
    let mut sizes = Sizes::default();
    for block in &manifest.body.blocks {
        let node = maps.node(&block.node).await?;
        let mut entries = FileBlockReader::new(&node).map_err(|error| damaged_block(&error))?;
        while let Some(entry) = entries.next_entry().map_err(|error| damaged_block(&error))? {
            let EntryKind::File { size, .. } = entry.kind else { continue };
            match spot(&entry.path).map_err(|error| super::transfer::hostile(&error))? {
                Spot::Tablespace { oid, .. } => {
                    let sum = sizes.tablespaces.entry(oid).or_default();
                    *sum = sum.saturating_add(size);
                }
                _ => sizes.data = sizes.data.saturating_add(size),
            }
        }
    }
    Ok(sizes)
}
