//! A manifest's tables: where a backup's files and packs are found. What it says of the server is `show`'s.

use seawall_pg::SystemIdentifier;
use seawall_repo::id::BackupId;
use seawall_repo::layout::Named;
use seawall_repo::manifest::ManifestHeader;
use seawall_repo::map::NodeRef;
use serde::Serialize;

use super::find;
use crate::error::Result;
use crate::monitor::Finding;
use crate::repository::Repository;
use crate::text::shown_bytes;

/// A manifest.
#[derive(Debug, Clone, Serialize)]
pub struct ManifestReport {
    /// What stands in plain.
    pub header: ManifestHeader,
    /// Other backups whose packs or maps are referenced.
    pub uses: Vec<BackupId>,
    /// Blocks of files, in the order of paths.
    pub blocks: Vec<BlockReport>,
    /// Every pack the files lie in.
    pub packs: Vec<PackRowReport>,
    /// The `backup_label` file.
    pub label: String,
    /// The `tablespace_map` file.
    pub tablespace_map: String,
    /// Bytes of `pg_control`.
    pub control_bytes: u64,
    /// Copies that were wrong while another region served.
    pub findings: Vec<Finding>,
}

/// A block of files.
#[derive(Debug, Clone, Serialize)]
pub struct BlockReport {
    /// The path of its first entry, as a terminal may show it.
    pub first: String,
    /// How many entries.
    pub entries: u64,
    /// Where it is.
    pub node: NodeAt,
}

/// Where a node of a map is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct NodeAt {
    /// The backup that wrote the map.
    pub backup: BackupId,
    /// The map's number.
    pub map: u32,
    /// The frame in it.
    pub frame: u32,
    /// Where it begins in the plain frame.
    pub offset: u32,
    /// Its bytes.
    pub length: u32,
}

/// A pack the files lie in.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PackRowReport {
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Which of the backup's.
    pub pack: u32,
    /// Pages that this backup uses.
    pub pages_in_use: u64,
    /// Pages stored in it.
    pub pages_stored: u64,
    /// Its bytes as stored.
    pub stored: u64,
}

impl From<NodeRef> for NodeAt {
    fn from(node: NodeRef) -> Self {
        let NodeRef { backup, map, frame, offset, length } = node;
        Self { backup, map, frame, offset, length }
    }
}

/// Reads a manifest.
///
/// # Errors
/// There is none of this backup, or it is damaged in every region.
pub async fn manifest(
    repository: &Repository,
    system: Option<SystemIdentifier>,
    backup: BackupId,
) -> Result<ManifestReport> {
    let found = find(repository, system, |place| Named::Manifest { place, backup }).await?;
    let manifest = repository.manifest(&found.place, backup).await?;
    let body = manifest.body;
    let blocks = body.blocks.into_iter().map(|row| BlockReport {
        first: shown_bytes(&row.first),
        entries: row.entries,
        node: row.node.into(),
    });
    let packs = body.packs.into_iter().map(|row| PackRowReport {
        backup: row.pack.backup,
        pack: row.pack.number,
        pages_in_use: row.pages_in_use,
        pages_stored: row.pages_stored,
        stored: row.stored_bytes,
    });
    Ok(ManifestReport {
        header: manifest.header,
        uses: body.uses,
        blocks: blocks.collect(),
        packs: packs.collect(),
        label: body.label,
        tablespace_map: body.tablespace_map,
        control_bytes: body.control.len() as u64,
        findings: repository.take_findings(),
    })
}
