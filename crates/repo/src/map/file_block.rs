//! File blocks: the files, directories and links of a backup, in the order of their paths, with the chains of each
//! file's leaves.
//!
//! A block ends after a path that its own hash chooses, so that a new file moves the borders of one block and not of
//! all behind it, and unchanged blocks come out byte for byte as the parent's and are named again.
//!
//! Promises that a reader holds one entry at a time whatever a block claims, and gives out only paths that pass
//! `check_path`, strictly rising. Deliberately does not resolve chains.

use crate::bytes::{DecodeError, Reader, Writer};
use crate::compress::FRAME_PLAIN_BYTES_MAX;
use crate::id::BackupId;
use crate::map::chain::PATCHES_MAX;
use crate::map::node::{BackupTable, NodeKind, NodeRef};
use crate::map::path::{PATH_BYTES_MAX, PathProblem, check_path, check_target};
use crate::map::place::{LEAF_PAGES, PAGE_BYTES};

/// A block may end from this size on, and ends at the latest with the first entry past the other.
const BLOCK_BYTES_MIN: usize = 16 * 1024;
const BLOCK_BYTES_TARGET_MAX: usize = 64 * 1024;

/// Largest file: `bigint` of PostgreSQL's `pg_stat_file`, and of every file system.
const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// Where a leaf's nodes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chain {
    /// The leaf itself, in the file block.
    Inline(Vec<u8>),
    /// A leaf and up to four patches, oldest first.
    Nodes(Vec<NodeRef>),
}

/// The chains of one leaf of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafChains {
    /// Where its pages lie.
    pub locations: Chain,
    /// The digests of its pages.
    pub digests: Chain,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File {
        /// Its bytes.
        size: u64,
        /// One for every 4,096 pages begun.
        leaves: Vec<LeafChains>,
    },
    /// A directory whose content follows.
    Directory,
    /// A symbolic link.
    Link {
        /// Where it points.
        target: Vec<u8>,
    },
    /// A directory to be created empty: what PostgreSQL fills anew, such as `pg_stat_tmp`.
    EmptyDirectory,
}

/// One path of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative to the data directory, or under `@external/`.
    pub path: Vec<u8>,
    /// Permission bits, as in chmod.
    pub mode: u32,
    /// What stands there.
    pub kind: EntryKind,
}

/// Why a file block cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileBlockError {
    /// Its bytes make no sense.
    #[error("damaged file block")]
    Damaged(#[from] DecodeError),
    /// A path that must not be.
    #[error("refused path {}: {problem}", path.escape_ascii())]
    Path {
        /// Which, or its beginning.
        path: Vec<u8>,
        /// Why.
        problem: PathProblem,
    },
    /// Paths out of order, or one twice.
    #[error("path {} does not follow the one before it", path.escape_ascii())]
    Order {
        /// Which.
        path: Vec<u8>,
    },
    /// An entry with more or fewer leaves than its size needs, or a chain of no or too many nodes.
    #[error("file {} of {size} bytes has {leaves} leaves or a chain of a wrong length", path.escape_ascii())]
    Leaves {
        /// Which.
        path: Vec<u8>,
        /// Its bytes.
        size: u64,
        /// Leaves given.
        leaves: usize,
    },
    /// The chains of one file are too many for a node.
    #[error("the map of file {} does not fit into a block", path.escape_ascii())]
    TooLarge {
        /// Which.
        path: Vec<u8>,
    },
}

/// Leaves that cover a file of `size` bytes.
pub fn leaf_count(size: u64) -> u64 {
    size.div_ceil(PAGE_BYTES as u64).div_ceil(LEAF_PAGES as u64)
}

/// Collects entries into a block.
#[derive(Debug, Default)]
pub struct FileBlockBuilder {
    table: BackupTable,
    entries: Writer,
    count: usize,
    first_path: Vec<u8>,
    last_path: Vec<u8>,
}

/// A finished block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBlock {
    /// The path of its first entry.
    pub first_path: Vec<u8>,
    /// Entries in it, 1 or more.
    pub entries: usize,
    /// The node.
    pub node: Vec<u8>,
}

impl FileBlockBuilder {
    /// Adds an entry; paths must rise. A finished block comes back when this entry ended it.
    pub fn push(&mut self, entry: &FileEntry) -> Result<Option<FileBlock>, FileBlockError> {
        self.check(entry)?;
        let before = self.entries.len();
        self.write(entry);
        if self.entries.len() - before > FRAME_PLAIN_BYTES_MAX - BLOCK_BYTES_TARGET_MAX * 2 {
            return Err(FileBlockError::TooLarge { path: entry.path.clone() });
        }
        if self.count == 1 {
            self.first_path.clone_from(&entry.path);
        }
        self.last_path.clone_from(&entry.path);
        let full = self.entries.len() >= BLOCK_BYTES_TARGET_MAX;
        let chosen = self.entries.len() >= BLOCK_BYTES_MIN && is_border(&entry.path);
        Ok(if full || chosen { self.finish() } else { None })
    }

    /// What was pushed since the last block; `None` if nothing. The builder is empty afterwards.
    pub fn finish(&mut self) -> Option<FileBlock> {
        let done = std::mem::take(self);
        if done.count == 0 {
            return None;
        }
        let mut node = Writer::with_capacity(done.entries.len() + 64);
        node.u8(NodeKind::FileBlock.to_byte());
        done.table.write(&mut node);
        node.count(done.count);
        node.raw(done.entries.as_slice());
        Some(FileBlock { first_path: done.first_path, entries: done.count, node: node.into_bytes() })
    }

    fn check(&self, entry: &FileEntry) -> Result<(), FileBlockError> {
        let refused = |problem| FileBlockError::Path { path: entry.path.clone(), problem };
        check_path(&entry.path).map_err(refused)?;
        if self.count > 0 && entry.path <= self.last_path {
            return Err(FileBlockError::Order { path: entry.path.clone() });
        }
        match &entry.kind {
            EntryKind::Link { target } => check_target(target).map_err(refused),
            EntryKind::File { size, leaves } => {
                let right = |chain: &Chain| match chain {
                    Chain::Inline(node) => !node.is_empty(),
                    Chain::Nodes(nodes) => (1..=PATCHES_MAX + 1).contains(&nodes.len()),
                };
                let chains = leaves.iter().all(|leaf| right(&leaf.locations) && right(&leaf.digests));
                if chains && *size <= FILE_BYTES_MAX && leaf_count(*size) == leaves.len() as u64 {
                    return Ok(());
                }
                let path = entry.path.clone();
                Err(FileBlockError::Leaves { path, size: *size, leaves: leaves.len() })
            }
            EntryKind::Directory | EntryKind::EmptyDirectory => Ok(()),
        }
    }

    fn write(&mut self, entry: &FileEntry) {
        let shared = entry.path.iter().zip(&self.last_path).take_while(|(new, old)| new == old).count();
        self.count += 1;
        let to = &mut self.entries;
        to.count(shared);
        to.bytes(entry.path.get(shared..).unwrap_or_default());
        let kind = match entry.kind {
            EntryKind::File { .. } => 0,
            EntryKind::Directory => 1,
            EntryKind::Link { .. } => 2,
            EntryKind::EmptyDirectory => 3,
        };
        to.u8(kind);
        to.varint(entry.mode.into());
        match &entry.kind {
            EntryKind::File { size, leaves } => {
                to.varint(*size);
                for leaf in leaves {
                    write_chain(&leaf.locations, &mut self.table, to);
                    write_chain(&leaf.digests, &mut self.table, to);
                }
            }
            EntryKind::Link { target } => to.bytes(target),
            EntryKind::Directory | EntryKind::EmptyDirectory => {}
        }
    }
}

/// Whether a block may end behind this path: one in 128.
fn is_border(path: &[u8]) -> bool {
    blake3::hash(path).as_bytes().first().is_some_and(|byte| byte & 0x7f == 0)
}

fn write_chain(chain: &Chain, table: &mut BackupTable, to: &mut Writer) {
    match chain {
        Chain::Inline(node) => {
            to.varint(0);
            to.bytes(node);
        }
        Chain::Nodes(nodes) => {
            to.count(nodes.len());
            nodes.iter().for_each(|node| node.write(table, to));
        }
    }
}

/// Reads a block entry by entry. A block can name paths that add up to a thousand times its own bytes, so they are
/// never all in memory.
#[derive(Debug, Clone)]
pub struct FileBlockReader<'a> {
    from: Reader<'a>,
    table: Vec<BackupId>,
    left: usize,
    path: Vec<u8>,
}

impl<'a> FileBlockReader<'a> {
    /// Begins at the first entry.
    pub fn new(node: &'a [u8]) -> Result<Self, FileBlockError> {
        let mut from = Reader::new(node);
        if NodeKind::read(&mut from)? != NodeKind::FileBlock {
            return Err(from.invalid("not a file block").into());
        }
        let table = BackupTable::read(&mut from)?;
        // The least entry: prefix, a suffix of one byte with its length, kind, mode.
        let left = from.count(5)?;
        Ok(Self { from, table, left, path: Vec::new() })
    }

    /// Entries not read yet.
    pub fn remaining(&self) -> usize {
        self.left
    }

    /// The backups whose maps the block's chains name.
    pub fn backups(&self) -> &[BackupId] {
        &self.table
    }

    /// The next entry; `None` behind the last.
    pub fn next_entry(&mut self) -> Result<Option<FileEntry>, FileBlockError> {
        let Some(left) = self.left.checked_sub(1) else {
            self.from.clone().finish()?;
            return Ok(None);
        };
        self.read_path()?;
        let kind = self.from.u8()?;
        let mode = self.from.varint_in("permission bits", 0, 0o7777)? as u32;
        let kind = match kind {
            0 => self.read_file()?,
            1 => EntryKind::Directory,
            2 => self.read_link()?,
            3 => EntryKind::EmptyDirectory,
            _ => return Err(self.from.invalid("unknown kind of entry").into()),
        };
        self.left = left;
        Ok(Some(FileEntry { path: self.path.clone(), mode, kind }))
    }

    /// Takes the next path into `self.path`.
    fn read_path(&mut self) -> Result<(), FileBlockError> {
        let before = self.path.clone();
        let shared = self.from.varint_in("shared prefix of a path", 0, self.path.len() as u64)?;
        let suffix = self.from.bytes()?;
        self.path.truncate(shared as usize);
        if self.path.len() + suffix.len() > PATH_BYTES_MAX {
            let path = suffix.iter().take(80).copied().collect();
            return Err(FileBlockError::Path { path, problem: PathProblem::TooLong });
        }
        self.path.extend_from_slice(suffix);
        check_path(&self.path)
            .map_err(|problem| FileBlockError::Path { path: self.path.clone(), problem })?;
        if self.path <= before {
            return Err(FileBlockError::Order { path: self.path.clone() });
        }
        Ok(())
    }

    fn read_link(&mut self) -> Result<EntryKind, FileBlockError> {
        let target = self.from.bytes()?;
        check_target(target).map_err(|problem| FileBlockError::Path { path: self.path.clone(), problem })?;
        Ok(EntryKind::Link { target: target.to_vec() })
    }

    fn read_file(&mut self) -> Result<EntryKind, FileBlockError> {
        let size = self.from.varint_in("size of a file", 0, FILE_BYTES_MAX)?;
        // Each leaf has two chains of two bytes or more; a size that the block cannot map is refused at once.
        let count = leaf_count(size);
        if count > (self.from.remaining() / 4) as u64 {
            return Err(self.from.invalid("a file larger than the leaves that follow").into());
        }
        let leaves = (0..count).map(|_| {
            let locations = self.read_chain()?;
            Ok::<_, DecodeError>(LeafChains { locations, digests: self.read_chain()? })
        });
        let leaves = leaves.collect::<Result<_, _>>()?;
        Ok(EntryKind::File { size, leaves })
    }

    fn read_chain(&mut self) -> Result<Chain, DecodeError> {
        match self.from.varint_in("nodes of a chain", 0, PATCHES_MAX as u64 + 1)? {
            0 => match self.from.bytes()? {
                [] => Err(self.from.invalid("an empty node")),
                node => Ok(Chain::Inline(node.to_vec())),
            },
            nodes => (0..nodes)
                .map(|_| NodeRef::read(&self.table, &mut self.from))
                .collect::<Result<_, _>>()
                .map(Chain::Nodes),
        }
    }
}

#[cfg(test)]
#[path = "file_block_tests.rs"]
mod tests;
