//! A map's nodes. A map itself does not list them: they are those that the manifest of its backup leads to.

use std::collections::BTreeMap;

use seawall_pg::SystemIdentifier;
use seawall_repo::id::BackupId;
use seawall_repo::layout::Named;
use seawall_repo::map::leaf::Source;
use seawall_repo::map::{
    Chain, DigestNode, EntryKind, FileBlockError, FileBlockReader, FileEntry, LocationNode, NodeKind, NodeRef,
};
use serde::Serialize;

use super::find;
use super::pack::{FrameLine, frame_line};
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::{Maps, Repository};
use crate::text::shown_bytes;

/// A map.
#[derive(Debug, Clone, Serialize)]
pub struct MapReport {
    /// The cluster.
    pub cluster: String,
    /// The system identifier.
    pub system: String,
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Which of the backup's.
    pub map: u32,
    /// Its frames, in order.
    pub frames: Vec<FrameLine>,
    /// Its nodes, by place.
    pub nodes: Vec<NodeReport>,
    /// Copies that were wrong while another region served.
    pub findings: Vec<Finding>,
}

/// A node.
#[derive(Debug, Clone, Serialize)]
pub struct NodeReport {
    /// The frame it lies in.
    pub frame: u32,
    /// Where it begins in the plain frame.
    pub offset: u32,
    /// Its bytes.
    pub length: u32,
    /// What it is: `file-block`, `location-leaf`, `location-patch`, `digest-leaf`, `digest-patch`.
    pub kind: &'static str,
    /// The file it is about, or the first path of a block, as a terminal may show it.
    pub path: String,
    /// Which 4,096 pages of the file, from 0; none for a block.
    pub leaf: Option<usize>,
    /// Entries of a block, digests of a digest node, extents of a location node.
    pub entries: usize,
    /// Of a location node, where pages lie.
    pub extents: Vec<ExtentReport>,
}

/// Consecutive pages, and where they lie.
#[derive(Debug, Clone, Serialize)]
pub struct ExtentReport {
    /// The first page, counted in the leaf.
    pub first: u16,
    /// How many.
    pub pages: u16,
    /// Where they lie; none for pages of zeros.
    pub at: Option<PlaceReport>,
}

/// A place in a pack.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PlaceReport {
    /// The backup that wrote the pack.
    pub backup: BackupId,
    /// Which of the backup's.
    pub pack: u32,
    /// The frame in it.
    pub frame: u32,
    /// Where the first page begins in the plain frame.
    pub offset: u32,
}

/// Whose a node is.
#[derive(Debug)]
struct Owner {
    length: u32,
    path: String,
    leaf: Option<usize>,
}

/// Reads a map.
///
/// # Errors
/// It or its backup's manifest is missing, or damaged in every region.
pub async fn map(
    repository: &Repository,
    system: Option<SystemIdentifier>,
    backup: BackupId,
    number: u32,
) -> Result<MapReport> {
    let found = find(repository, system, |place| Named::Map { place, backup, number }).await?;
    let frames = repository.open_object(&found.name).await?.footer().await?.frames;
    let manifest = repository.manifest(&found.place, backup).await.map_err(|error| {
        error.hint("the nodes of a map are found from the manifest of its backup; one that was never finished has none")
    })?;
    let maps = Maps::new(repository, &found.place);
    let here = |node: &NodeRef| node.backup == backup && node.map == number;
    let mut owners: BTreeMap<(u32, u32), Owner> = BTreeMap::new();
    let mut own = |node: &NodeRef, path: &str, leaf: Option<usize>| {
        if here(node) {
            let owner = Owner { length: node.length, path: path.to_owned(), leaf };
            owners.entry((node.frame, node.offset)).or_insert(owner);
        }
    };
    for row in &manifest.body.blocks {
        own(&row.node, &shown_bytes(&row.first), None);
        let node = maps.node(&row.node).await?;
        for entry in entries(&node).map_err(|error| damaged(&found.name, error))? {
            let EntryKind::File { leaves, .. } = &entry.kind else { continue };
            let path = shown_bytes(&entry.path);
            for (leaf, chains) in leaves.iter().enumerate() {
                for chain in [&chains.locations, &chains.digests] {
                    if let Chain::Nodes(nodes) = chain {
                        nodes.iter().for_each(|node| own(node, &path, Some(leaf)));
                    }
                }
            }
        }
    }
    let mut nodes = Vec::with_capacity(owners.len());
    for ((frame, offset), owner) in owners {
        let reference = NodeRef { backup, map: number, frame, offset, length: owner.length };
        let bytes = maps.node(&reference).await?;
        nodes.push(node_report(&reference, owner, &bytes).map_err(|error| damaged(&found.name, error))?);
    }
    Ok(MapReport {
        cluster: found.place.cluster.to_string(),
        system: found.place.system.to_string(),
        backup,
        map: number,
        frames: frames.iter().map(frame_line).collect(),
        nodes,
        findings: repository.take_findings(),
    })
}

fn damaged(name: &seawall_repo::layout::ObjectName, error: FileBlockError) -> Error {
    Error::data("debug.node", format!("a node that leads to {name}, or of it, cannot be read")).because(error)
}

fn entries(block: &[u8]) -> std::result::Result<Vec<FileEntry>, FileBlockError> {
    let (mut reader, mut entries) = (FileBlockReader::new(block)?, Vec::new());
    while let Some(entry) = reader.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn node_report(at: &NodeRef, owner: Owner, bytes: &[u8]) -> std::result::Result<NodeReport, FileBlockError> {
    let kind = NodeKind::of(bytes);
    let (name, count, extents) = match kind {
        Some(NodeKind::LocationLeaf | NodeKind::LocationPatch) => {
            let node = LocationNode::decode(bytes)?;
            let name = if node.is_patch { "location-patch" } else { "location-leaf" };
            (name, node.extents.len(), extents(&node))
        }
        Some(NodeKind::DigestLeaf | NodeKind::DigestPatch) => {
            let (name, count) = digests(&DigestNode::decode(bytes)?);
            (name, count, Vec::new())
        }
        // Whatever else it may be is refused by the reader of blocks.
        Some(NodeKind::FileBlock) | None => ("file-block", entries(bytes)?.len(), Vec::new()),
    };
    Ok(NodeReport {
        frame: at.frame,
        offset: at.offset,
        length: at.length,
        kind: name,
        path: owner.path,
        leaf: owner.leaf,
        entries: count,
        extents,
    })
}

fn digests(node: &DigestNode) -> (&'static str, usize) {
    match node {
        DigestNode::Leaf(digests) => ("digest-leaf", digests.len()),
        DigestNode::Patch(entries) => ("digest-patch", entries.len()),
    }
}

fn extents(node: &LocationNode) -> Vec<ExtentReport> {
    let place = |source| match source {
        Source::Zeros => None,
        Source::Frame { frame, offset } => node.frames.get(usize::try_from(frame).ok()?).map(|place| {
            PlaceReport { backup: place.pack.backup, pack: place.pack.number, frame: place.at.number, offset }
        }),
    };
    let extents = node.extents.iter();
    extents
        .map(|extent| ExtentReport { first: extent.first, pages: extent.pages, at: place(extent.source) })
        .collect()
}
