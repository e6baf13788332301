//! The body of a manifest: where the files are, and what a restore must know. One JSON document.
//!
//! References name backups by their index in the document's own table, index 0 being this backup. Promises that every
//! index read is in the table, every path passes `check_path`, and blocks rise by path. Deliberately knows no frames:
//! `Manifest` cuts the document.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::base64_field::Base64Bytes;
use crate::compress::FRAME_PLAIN_BYTES_MAX;
use crate::id::BackupId;
use crate::manifest::header::{ManifestHeader, USES_MAX};
use crate::manifest::server::{
    Database, PreparedTransaction, RowEstimate, ServerFacts, Slot, Subscription, Tablespace, UnloggedTable,
};
use crate::manifest::{FINDINGS_MAX, ManifestError, require};
use crate::map::node::NodeRef;
use crate::map::path::check_path;
use crate::pack::PackId;
use crate::usage::PackRow;

/// One block of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRow {
    /// The path of its first entry.
    pub first: Vec<u8>,
    /// Entries in it.
    pub entries: u64,
    /// Where it is.
    pub node: NodeRef,
}

/// A damaged page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The file, base64 of its path.
    pub path: Base64Bytes,
    /// The page, counted in the file.
    pub page: u64,
    /// The checksum its content has.
    pub expected: u16,
    /// The checksum it carries.
    pub found: u16,
    /// What is wrong, for a person.
    pub reason: String,
}

/// The body, with references resolved.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ManifestBody {
    /// Every other backup whose packs or maps are referenced, from here or from the maps; rising.
    pub uses: Vec<BackupId>,
    /// The files, in the order of paths.
    pub blocks: Vec<BlockRow>,
    /// Every pack the files lie in.
    pub packs: Vec<PackRow>,
    /// The backup_label file as the server returned it.
    pub label: String,
    /// The tablespace_map file as the server returned it; empty if none.
    pub tablespace_map: String,
    /// The file `global/pg_control`, read last of all.
    pub control: Vec<u8>,
    /// Tablespaces.
    pub tablespaces: Vec<Tablespace>,
    /// The server.
    pub server: ServerFacts,
    /// Databases.
    pub databases: Vec<Database>,
    /// Replication slots.
    pub slots: Vec<Slot>,
    /// Subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Prepared transactions.
    pub prepared: Vec<PreparedTransaction>,
    /// Unlogged tables.
    pub unlogged: Vec<UnloggedTable>,
    /// Row estimates.
    pub row_estimates: Vec<RowEstimate>,
    /// Damaged pages, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Damaged pages beyond those listed.
    pub findings_more: u64,
    /// Paths outside the data directory, as they were there.
    pub external: Vec<Vec<u8>>,
}

/// The document as written.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    backups: Vec<BackupId>,
    blocks: Vec<BlockDocument>,
    packs: Vec<(u64, u32, u64, u64, u64)>,
    label: String,
    #[serde(default)]
    tablespace_map: String,
    control: Base64Bytes,
    tablespaces: Vec<Tablespace>,
    server: ServerFacts,
    databases: Vec<Database>,
    slots: Vec<Slot>,
    subscriptions: Vec<Subscription>,
    prepared: Vec<PreparedTransaction>,
    unlogged: Vec<UnloggedTable>,
    row_estimates: Vec<RowEstimate>,
    findings: Vec<Finding>,
    #[serde(default)]
    findings_more: u64,
    external: Vec<Base64Bytes>,
}

#[derive(Debug, Serialize, Deserialize)]
struct BlockDocument {
    first: Base64Bytes,
    entries: u64,
    r#ref: (u64, u32, u32, u32, u32),
}

impl ManifestBody {
    pub(super) fn encode(&self, header: &ManifestHeader) -> Result<Vec<u8>, ManifestError> {
        self.check(header)?;
        let backups: Vec<_> = std::iter::once(header.backup).chain(self.uses.iter().copied()).collect();
        let index: HashMap<_, _> = backups.iter().copied().zip(0u64..).collect();
        // `check` saw that every backup named is in the table.
        let index = |backup: BackupId| index.get(&backup).copied().unwrap_or_default();
        let blocks = self.blocks.iter().map(|block| {
            let NodeRef { backup, map, frame, offset, length } = block.node;
            let r#ref = (index(backup), map, frame, offset, length);
            BlockDocument { first: Base64Bytes(block.first.clone()), entries: block.entries, r#ref }
        });
        let packs = self.packs.iter().map(|row| {
            (index(row.pack.backup), row.pack.number, row.pages_in_use, row.pages_stored, row.stored_bytes)
        });
        let body = self.clone();
        let document = Document {
            blocks: blocks.collect(),
            packs: packs.collect(),
            backups,
            label: body.label,
            tablespace_map: body.tablespace_map,
            control: Base64Bytes(body.control),
            tablespaces: body.tablespaces,
            server: body.server,
            databases: body.databases,
            slots: body.slots,
            subscriptions: body.subscriptions,
            prepared: body.prepared,
            unlogged: body.unlogged,
            row_estimates: body.row_estimates,
            findings: body.findings,
            findings_more: body.findings_more,
            external: body.external.into_iter().map(Base64Bytes).collect(),
        };
        serde_json::to_vec(&document).map_err(|error| ManifestError::Json { reason: error.to_string() })
    }

    pub(super) fn decode(plain: &[u8], header: &ManifestHeader) -> Result<Self, ManifestError> {
        let document: Document = serde_json::from_slice(plain)
            .map_err(|error| ManifestError::Json { reason: error.to_string() })?;
        let table = document.backups;
        let Some((_, uses)) = table.split_first().filter(|(first, _)| **first == header.backup) else {
            return Err(ManifestError::Contradiction { what: "the first of its backups is not itself" });
        };
        let outside = ManifestError::Contradiction { what: "a reference names a backup not in the table" };
        let named = |index: u64| {
            let backup = usize::try_from(index).ok().and_then(|index| table.get(index)).copied();
            backup.ok_or_else(|| outside.clone())
        };
        let blocks = document.blocks.into_iter().map(|block| {
            let (index, map, frame, offset, length) = block.r#ref;
            let node = NodeRef { backup: named(index)?, map, frame, offset, length };
            Ok(BlockRow { first: block.first.0, entries: block.entries, node })
        });
        let blocks = blocks.collect::<Result<_, ManifestError>>()?;
        let packs = document.packs.into_iter().map(|(index, number, in_use, stored, stored_bytes)| {
            let pack = PackId { backup: named(index)?, number };
            Ok(PackRow { pack, pages_in_use: in_use, pages_stored: stored, stored_bytes })
        });
        let packs = packs.collect::<Result<_, ManifestError>>()?;
        let body = Self {
            uses: uses.to_vec(),
            blocks,
            packs,
            label: document.label,
            tablespace_map: document.tablespace_map,
            control: document.control.0,
            tablespaces: document.tablespaces,
            server: document.server,
            databases: document.databases,
            slots: document.slots,
            subscriptions: document.subscriptions,
            prepared: document.prepared,
            unlogged: document.unlogged,
            row_estimates: document.row_estimates,
            findings: document.findings,
            findings_more: document.findings_more,
            external: document.external.into_iter().map(|path| path.0).collect(),
        };
        body.check(header)?;
        Ok(body)
    }

    fn check(&self, header: &ManifestHeader) -> Result<(), ManifestError> {
        self.check_uses(header)?;
        self.check_tables()?;
        let listed = self.findings.len();
        require(listed <= FINDINGS_MAX, "it lists more findings than allowed")?;
        require(self.findings_more == 0 || listed == FINDINGS_MAX, "it counts findings it could list")?;
        let damaged = (listed as u64).checked_add(self.findings_more);
        require(damaged == Some(header.damaged_pages), "header and findings disagree")?;
        require(!self.control.is_empty(), "it has no pg_control")
    }

    fn check_uses(&self, header: &ManifestHeader) -> Result<(), ManifestError> {
        let rising = self.uses.is_sorted_by(|a, b| a < b) && !self.uses.contains(&header.backup);
        require(rising, "the other backups it uses are not in order, or itself is among them")?;
        let beginning = self.uses.iter().take(USES_MAX).eq(&header.uses);
        let all = header.uses_more == (self.uses.len() > USES_MAX);
        require(beginning && all, "header and body disagree about the backups it uses")?;
        let known = |backup| backup == header.backup || self.uses.binary_search(&backup).is_ok();
        let blocks = self.blocks.iter().all(|block| known(block.node.backup));
        let packs = self.packs.iter().all(|row| known(row.pack.backup));
        require(blocks && packs, "it references a backup that it does not list")
    }

    fn check_tables(&self) -> Result<(), ManifestError> {
        let rising = self.blocks.is_sorted_by(|a, b| a.first < b.first);
        require(rising, "its blocks are not in the order of paths")?;
        let plain = self.blocks.iter().all(|block| check_path(&block.first).is_ok());
        require(plain, "a block begins with a path that must not be")?;
        let within = self.blocks.iter().all(|block| {
            let end = u64::from(block.node.offset) + u64::from(block.node.length);
            block.entries > 0 && block.node.length > 0 && end <= FRAME_PLAIN_BYTES_MAX as u64
        });
        require(within, "a block is empty or lies beyond its frame")?;
        let counted = self.packs.iter().all(|row| row.pages_in_use <= row.pages_stored);
        require(counted, "more pages of a pack are in use than stored")?;
        let rising = self.packs.is_sorted_by(|a, b| a.pack < b.pack);
        require(rising, "its packs are not in the order of their ids")
    }
}
