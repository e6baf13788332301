//! The collector: takes what the workers made, in the order of paths, and writes leaves, patches and file blocks.
//!
//! Promises: what did not change is named by reference, down to whole file blocks; memory does not grow with the number of
//! files but for one row a block. Deliberately judges nothing: which page lies where was decided by the workers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use seawall_repo::compress::Compressor;
use seawall_repo::id::BackupId;
use seawall_repo::map::builder::{MapBuilder, MapError};
use seawall_repo::map::diff::Update;
use seawall_repo::map::file_block::{
    Chain, EntryKind, FileBlock, FileBlockBuilder, FileBlockError, FileEntry, LeafChains, leaf_count,
};
use seawall_repo::map::node::NodeRef;
use seawall_repo::pack::PackId;
use seawall_repo::relation_list::is_made;

use super::jobs::FileWork;
use super::packer::PackContext;
use super::upload::Upload;
use super::worker::{Broken, Done, LeafDone};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::repository::WorldEntropy;

/// The parent's blocks, by first path: digest of the node and where it is. Filled by whoever reads the parent.
pub(super) type ParentBlocks = Mutex<HashMap<Vec<u8>, ([u8; 32], NodeRef)>>;

/// A file block of the new backup.
#[derive(Debug, Clone)]
pub(super) struct BlockRow {
    pub(super) first: Vec<u8>,
    pub(super) entries: usize,
    pub(super) node: NodeRef,
}

/// What was collected.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) blocks: Vec<BlockRow>,
    pub(super) uses: BTreeMap<PackId, u64>,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) vanished: u64,
    pub(super) changed_pages: u64,
    pub(super) rewritten_pages: u64,
    pub(super) broken: Vec<Broken>,
    pub(super) broken_count: u64,
    pub(super) external: Vec<Vec<u8>>,
    /// Backups whose maps are named by a chain.
    pub(super) map_backups: BTreeSet<BackupId>,
}

/// Broken pages that the manifest lists; further ones are counted.
const BROKEN_LISTED_MAX: usize = 10_000;

/// Writes the map of a backup.
pub(super) struct Collector<'a> {
    context: &'a PackContext,
    parent: Arc<ParentBlocks>,
    monitor: Arc<dyn Monitor>,
    compressor: Compressor,
    map: Option<MapBuilder>,
    maps: u32,
    block: FileBlockBuilder,
    open: Option<OpenFile>,
    collected: Collected,
}

/// A large file some of whose leaves have arrived.
struct OpenFile {
    file: Arc<FileWork>,
    leaves: Vec<LeafChains>,
    bytes: u64,
    arrived: u64,
    vanished: bool,
    ended: bool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        context: &'a PackContext,
        parent: Arc<ParentBlocks>,
        monitor: Arc<dyn Monitor>,
        compressor: Compressor,
    ) -> Self {
        Self {
            context,
            parent,
            monitor,
            compressor,
            map: None,
            maps: 0,
            block: FileBlockBuilder::default(),
            open: None,
            collected: Collected::default(),
        }
    }

    /// Takes the results of the next job.
    pub(super) fn take(&mut self, results: Vec<Done>) -> Result<()> {
        for done in results {
            match done {
                Done::Other(entry) => self.entry(&entry)?,
                Done::Vanished { file } => self.arrive(&file, Vec::new(), true)?,
                Done::File { file, leaves, finding } => {
                    if let Some(finding) = finding {
                        self.monitor.finding(&finding);
                    }
                    self.arrive(&file, leaves, false)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is still open.
    pub(super) fn finish(mut self) -> Result<Collected> {
        if self.open.is_some() {
            return Err(Error::bug("backup.leaf-missing", "a file lacks the result of one of its leaves"));
        }
        if let Some(block) = self.block.finish() {
            self.block(block)?;
        }
        self.finish_map()?;
        Ok(self.collected)
    }

    /// Leaves of a file, in their order.
    fn arrive(&mut self, file: &Arc<FileWork>, leaves: Vec<LeafDone>, vanished: bool) -> Result<()> {
        let mut open =
            self.open.take().filter(|open| open.file.number == file.number).unwrap_or_else(|| OpenFile {
                file: Arc::clone(file),
                leaves: Vec::new(),
                bytes: 0,
                arrived: 0,
                vanished: false,
                ended: false,
            });
        open.vanished |= vanished;
        open.arrived += if vanished { small_leaves(file) } else { leaves.len() as u64 };
        for leaf in leaves {
            self.leaf(&mut open, leaf)?;
        }
        if open.arrived < leaf_count(file.size) {
            self.open = Some(open);
            return Ok(());
        }
        self.close(open)
    }

    fn leaf(&mut self, open: &mut OpenFile, leaf: LeafDone) -> Result<()> {
        if !is_made(&open.file.path) {
            self.collected.changed_pages += leaf.changed;
        }
        self.collected.rewritten_pages += leaf.rewritten;
        self.broken(leaf.broken);
        // Behind the point where a file ended while it was read there is nothing to keep.
        if open.ended || open.vanished {
            return Ok(());
        }
        let (locations, digests) = match leaf.parent {
            Some(parent) => (Some(parent.locations), Some(parent.digests)),
            None => (None, None),
        };
        let chains = LeafChains {
            locations: self.chain(leaf.locations, locations)?,
            digests: self.chain(leaf.digests, digests)?,
        };
        open.bytes += leaf.bytes;
        open.ended = open.bytes < (u64::from(leaf.leaf) + 1) * LEAF_BYTES;
        if leaf.bytes > 0 {
            open.leaves.push(chains);
            for (pack, pages) in leaf.uses {
                *self.collected.uses.entry(pack).or_default() += pages;
            }
        }
        Ok(())
    }

    fn broken(&mut self, broken: Vec<Broken>) {
        for page in broken {
            self.collected.broken_count += 1;
            let finding = super::report::broken_finding(&page);
            self.monitor.finding(&finding);
            if self.collected.broken.len() < BROKEN_LISTED_MAX {
                self.collected.broken.push(page);
            }
        }
    }

    fn close(&mut self, open: OpenFile) -> Result<()> {
        if open.vanished {
            self.collected.vanished += 1;
            return Ok(());
        }
        let (file, size) = (&open.file, open.bytes);
        // What was made for the backup is none of the cluster's files.
        self.collected.files += u64::from(!is_made(&file.path));
        self.collected.bytes = self.collected.bytes.saturating_add(size);
        if file.path.starts_with(crate::source::EXTERNAL_PREFIX) {
            self.collected.external.push(file.path.clone());
        }
        let kind = EntryKind::File { size, leaves: open.leaves };
        self.entry(&FileEntry { path: file.path.clone(), mode: file.mode, kind })
    }

    fn entry(&mut self, entry: &FileEntry) -> Result<()> {
        if let EntryKind::File { leaves, .. } = &entry.kind {
            let chains = leaves.iter().flat_map(|leaf| [&leaf.locations, &leaf.digests]);
            for chain in chains {
                if let Chain::Nodes(nodes) = chain {
                    self.collected.map_backups.extend(nodes.iter().map(|node| node.backup));
                }
            }
        }
        match self.block.push(entry).map_err(block_error)? {
            Some(block) => self.block(block),
            None => Ok(()),
        }
    }

    fn block(&mut self, block: FileBlock) -> Result<()> {
        let digest = *blake3_of(&block.node);
        let of_parent = self.parent.lock().unwrap_or_else(PoisonError::into_inner).remove(&block.first_path);
        let node = match of_parent {
            Some((same, node)) if same == digest => node,
            _ => self.append(&block.node)?,
        };
        self.collected.blocks.push(BlockRow { first: block.first_path, entries: block.entries, node });
        Ok(())
    }

    fn chain(&mut self, update: Update, parent: Option<Chain>) -> Result<Chain> {
        match (update, parent) {
            (Update::Keep, Some(chain)) => Ok(chain),
            (Update::Patch(node), Some(Chain::Nodes(mut nodes))) => {
                nodes.push(self.append(&node)?);
                Ok(Chain::Nodes(nodes))
            }
            (Update::Leaf(node), _) => Ok(Chain::Nodes(vec![self.append(&node)?])),
            (Update::Inline(node), _) => Ok(Chain::Inline(node)),
            (Update::Keep | Update::Patch(_), _) => {
                Err(Error::bug("backup.chain-without-parent", "a leaf to be kept or patched has no parent"))
            }
        }
    }

    fn append(&mut self, node: &[u8]) -> Result<NodeRef> {
        if self.map.as_ref().is_some_and(MapBuilder::is_full) {
            self.finish_map()?;
        }
        let map = match &mut self.map {
            Some(map) => map,
            None => {
                let number = self.maps;
                self.maps = self.maps.saturating_add(1);
                self.map.insert(self.context.new_map(number)?)
            }
        };
        map.append(node, &mut self.compressor).map_err(map_error)
    }

    fn finish_map(&mut self) -> Result<()> {
        let Some(map) = self.map.take() else { return Ok(()) };
        match map.finish(&self.context.writer, &mut self.compressor).map_err(map_error)? {
            Some(object) => self.context.uploads.send(Upload::map(object)),
            None => Ok(()),
        }
    }
}

const LEAF_BYTES: u64 = (seawall_repo::map::place::LEAF_PAGES * seawall_repo::map::place::PAGE_BYTES) as u64;

/// Leaves that one result of a vanished file stands for: all of a batched file's, one of a large file's.
fn small_leaves(file: &FileWork) -> u64 {
    leaf_count(file.size).min(1)
}

/// What tells two nodes apart; not stored.
pub(super) fn blake3_of(node: &[u8]) -> Box<[u8; 32]> {
    Box::new(*blake3::hash(node).as_bytes())
}

impl PackContext {
    fn new_map(&self, number: u32) -> Result<MapBuilder> {
        let (place, backup): (_, BackupId) = (&self.place, self.backup);
        let mut entropy = WorldEntropy::new(&self.world);
        MapBuilder::new(&self.sealer, place, backup, number, &mut entropy).map_err(map_error)
    }
}

fn map_error(error: MapError) -> Error {
    Error::bug("backup.map", "the map could not be written").because(error)
}

fn block_error(error: FileBlockError) -> Error {
    Error::source_side("backup.path", "a path of the data directory cannot be stored")
        .hint("rename or remove the file; PostgreSQL makes no such names")
        .because(error)
}
