//! The parent's files, read block by block in the order of paths while the data directory is walked.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use seawall_repo::manifest::BlockRow;
use seawall_repo::map::file_block::{FileBlockReader, FileEntry};

use super::collect::{ParentBlocks, blake3_of};
use super::jobs::ParentFiles;
use crate::error::{Error, Result};
use crate::repository::Maps;

/// Entries of the parent, one block in memory at a time.
pub(super) struct ParentEntries {
    maps: Arc<Maps>,
    runtime: tokio::runtime::Handle,
    blocks: std::vec::IntoIter<BlockRow>,
    known: Arc<ParentBlocks>,
    entries: VecDeque<FileEntry>,
}

impl ParentEntries {
    pub(super) fn new(
        maps: Arc<Maps>,
        runtime: tokio::runtime::Handle,
        blocks: Vec<BlockRow>,
        known: Arc<ParentBlocks>,
    ) -> Self {
        Self { maps, runtime, blocks: blocks.into_iter(), known, entries: VecDeque::new() }
    }
}

impl ParentFiles for ParentEntries {
    fn next_entry(&mut self) -> Result<Option<FileEntry>> {
        while self.entries.is_empty() {
            let Some(block) = self.blocks.next() else { return Ok(None) };
            let node = self.runtime.block_on(self.maps.node(&block.node))?;
            self.entries = read_block(&node)?;
            let row = (*blake3_of(&node), block.node);
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(block.first, row);
        }
        Ok(self.entries.pop_front())
    }
}

/// All entries of a block.
pub(crate) fn read_block(node: &[u8]) -> Result<VecDeque<FileEntry>> {
    let damaged = |error| Error::data("repository.map-damaged", "a file block cannot be read").because(error);
    let mut reader = FileBlockReader::new(node).map_err(damaged)?;
    let mut entries = VecDeque::with_capacity(reader.remaining().min(1024));
    while let Some(entry) = reader.next_entry().map_err(damaged)? {
        entries.push_back(entry);
    }
    Ok(entries)
}
