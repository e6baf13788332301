//! Nodes of maps: their kinds and how they are named.
//!
//! Promises that a reference never reaches over the largest frame there may be. Deliberately resolves nothing.

use std::collections::HashMap;

use crate::bytes::{DecodeError, Reader, Writer};
use crate::compress::FRAME_PLAIN_BYTES_MAX;
use crate::id::BackupId;

/// What a node is; its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// Where the pages of a leaf lie.
    LocationLeaf,
    /// What changed against an older location leaf.
    LocationPatch,
    /// The digests of a leaf's pages.
    DigestLeaf,
    /// What changed against an older digest leaf.
    DigestPatch,
    /// Files, directories and links.
    FileBlock,
}

impl NodeKind {
    /// Its byte.
    pub fn to_byte(self) -> u8 {
        match self {
            Self::LocationLeaf => 1,
            Self::LocationPatch => 2,
            Self::DigestLeaf => 3,
            Self::DigestPatch => 4,
            Self::FileBlock => 5,
        }
    }

    /// The kind with this byte.
    pub fn from_byte(byte: u8) -> Option<Self> {
        let all =
            [Self::LocationLeaf, Self::LocationPatch, Self::DigestLeaf, Self::DigestPatch, Self::FileBlock];
        all.into_iter().find(|kind| kind.to_byte() == byte)
    }

    /// The kind of a node, by its first byte.
    pub fn of(node: &[u8]) -> Option<Self> {
        node.first().copied().and_then(Self::from_byte)
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let byte = from.u8()?;
        Self::from_byte(byte).ok_or_else(|| from.invalid("unknown type of node"))
    }
}

/// The name of a node: bytes within one plain frame of a map object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeRef {
    /// The backup that wrote the map.
    pub backup: BackupId,
    /// The map's number there.
    pub map: u32,
    /// The frame's number in the map.
    pub frame: u32,
    /// Where the node begins in the plain frame.
    pub offset: u32,
    /// Its bytes, 1 or more.
    pub length: u32,
}

impl NodeRef {
    pub(super) fn write(&self, table: &mut BackupTable, to: &mut Writer) {
        to.varint(table.index_of(self.backup));
        to.varint(self.map.into());
        to.varint(self.frame.into());
        to.varint(self.offset.into());
        to.varint(self.length.into());
    }

    pub(super) fn read(table: &[BackupId], from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = from.varint()?;
        let backup = usize::try_from(index).ok().and_then(|index| table.get(index));
        let backup =
            *backup.ok_or_else(|| from.invalid("a reference names a backup that is not in the table"))?;
        let map = from.varint_u32("map number")?;
        let frame = from.varint_u32("frame number")?;
        let end = FRAME_PLAIN_BYTES_MAX as u64;
        let offset = from.varint_in("offset of a node", 0, end)?;
        let length = from.varint_in("length of a node", 1, end.saturating_sub(offset))?;
        let fit = |value: u64| u32::try_from(value).map_err(|_| from.invalid("place of a node too large"));
        Ok(Self { backup, map, frame, offset: fit(offset)?, length: fit(length)? })
    }
}

/// The backups that references name by index, in the order of their first mention.
#[derive(Debug, Default, Clone)]
pub(super) struct BackupTable {
    backups: Vec<BackupId>,
    index: HashMap<BackupId, u64>,
}

impl BackupTable {
    pub(super) fn index_of(&mut self, backup: BackupId) -> u64 {
        *self.index.entry(backup).or_insert_with(|| {
            self.backups.push(backup);
            self.backups.len() as u64 - 1
        })
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.count(self.backups.len());
        self.backups.iter().for_each(|backup| to.raw(&backup.to_bytes()));
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Vec<BackupId>, DecodeError> {
        let count = from.count(16)?;
        (0..count).map(|_| read_backup(from)).collect()
    }
}

/// The 16 bytes of a backup id.
pub(super) fn read_backup(from: &mut Reader<'_>) -> Result<BackupId, DecodeError> {
    let bytes = from.array()?;
    BackupId::from_bytes(bytes).ok_or_else(|| from.invalid("a backup id with an impossible time"))
}
