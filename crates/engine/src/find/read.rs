//! Reading what `find` needs: the lists of names in a backup, and what segments say.
//!
//! Promises: a list that cannot be read is told and the others serve; a segment is what its verified object says. The lists are
//! content and need the private key; what segments say does not.

use std::collections::HashMap;

use seawall_pg::{SegmentName, WalFileName};
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::map::file_block::{EntryKind, FileBlockReader, LeafChains};
use seawall_repo::map::place::{LEAF_PAGES, PAGE_BYTES};
use seawall_repo::map::{Source, resolve_locations};
use seawall_repo::pack::PackId;
use seawall_repo::relation_list::{COVERAGE_PATH, Coverage, LIST_BYTES_MAX, MADE_PREFIX, is_made};
use seawall_repo::wal_index::SegmentIndex;
use seawall_repo::wal_index::transactions::Transactions;

use super::names::Snapshot;
use crate::error::{Error, Kind, Result};
use crate::repository::{Maps, Repository};

/// What a segment says.
pub(super) struct Says {
    pub(super) segment: SegmentName,
    /// Or why it says nothing.
    pub(super) what: std::result::Result<(SegmentIndex, Transactions), String>,
}

/// Reads a segment's index and what stands behind it. A missing or damaged one is an answer; an outage is an error.
pub(super) async fn says(repository: &Repository, place: &Place, segment: SegmentName) -> Result<Says> {
    let what = match read(repository, place, segment).await {
        Ok(what) => what,
        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
        Err(error) => Err(error.to_string()),
    };
    Ok(Says { segment, what })
}

async fn read(
    repository: &Repository,
    place: &Place,
    segment: SegmentName,
) -> Result<std::result::Result<(SegmentIndex, Transactions), String>> {
    let name = Named::Wal { place: place.clone(), file: WalFileName::Segment(segment) }.into();
    let index = match repository.segment_index(&name).await? {
        Ok(index) => index,
        Err(none) => return Ok(Err(format!("it is in the archive without an index: {none}"))),
    };
    let footer = repository.open_object(&name).await?.footer().await?;
    Ok(match Transactions::decode(&footer.contents) {
        Ok(transactions) => Ok((index, transactions)),
        Err(error) => Err(format!("what it tells of transactions cannot be read: {error}")),
    })
}

/// The lists of a backup; none where it has none.
pub(super) async fn lists(
    repository: &Repository,
    place: &Place,
    backup: BackupId,
) -> Result<Option<Snapshot>> {
    let manifest = repository.manifest(place, backup).await?;
    let reader = FileReader { repository, place, maps: Maps::new(repository, place) };
    let blocks = &manifest.body.blocks;
    let (mut coverage, mut lists) = (None, Vec::new());
    for (at, block) in blocks.iter().enumerate() {
        // A block ends before the next one's first path.
        let ends_before = blocks.get(at + 1).is_some_and(|next| next.first.as_slice() <= MADE_PREFIX);
        let begins_behind = block.first.as_slice() > MADE_PREFIX && !is_made(&block.first);
        if ends_before || begins_behind {
            continue;
        }
        let node = reader.maps.node(&block.node).await?;
        let mut entries = FileBlockReader::new(&node).map_err(|error| damaged(backup, error))?;
        while let Some(entry) = entries.next_entry().map_err(|error| damaged(backup, error))? {
            let EntryKind::File { size, leaves } = entry.kind else { continue };
            if !is_made(&entry.path) {
                continue;
            }
            let bytes = reader.file(backup, size, &leaves).await?;
            if entry.path == COVERAGE_PATH {
                coverage =
                    Some(serde_json::from_slice::<Coverage>(&bytes).map_err(|error| damaged(backup, error))?);
            } else {
                lists.push(bytes);
            }
        }
    }
    let Some(coverage) = coverage else { return Ok(None) };
    let mut snapshot = Snapshot::new(backup, coverage);
    for list in lists {
        snapshot.add(&list).map_err(|error| damaged(backup, error))?;
    }
    Ok(Some(snapshot))
}

fn damaged(backup: BackupId, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::data("find.names-damaged", format!("the names of relations in backup {backup} cannot be read"))
        .because(error)
}

/// Reads small files of a backup whole.
struct FileReader<'a> {
    repository: &'a Repository,
    place: &'a Place,
    maps: Maps,
}

impl FileReader<'_> {
    async fn file(&self, backup: BackupId, size: u64, leaves: &[LeafChains]) -> Result<Vec<u8>> {
        let length =
            usize::try_from(size).ok().filter(|length| *length <= LIST_BYTES_MAX).ok_or_else(|| {
                Error::data("find.names-damaged", format!("a list of names in backup {backup} is too long"))
                    .fact("bytes", size)
            })?;
        let mut bytes = vec![0; length];
        let mut packs = HashMap::new();
        for (leaf, chains) in leaves.iter().enumerate() {
            let chain = self.maps.chain(&chains.locations).await?;
            let pages = resolve_locations(&chain).map_err(|error| damaged(backup, error))?;
            for extent in pages.extents() {
                let Source::Frame { frame, offset } = extent.source else { continue };
                let Some(at) = usize::try_from(frame).ok().and_then(|frame| pages.frames().get(frame)) else {
                    continue;
                };
                let pack: PackId = at.pack;
                if let std::collections::hash_map::Entry::Vacant(entry) = packs.entry(pack) {
                    let name =
                        Named::Pack { place: self.place.clone(), backup: pack.backup, number: pack.number };
                    entry.insert(self.repository.open_object(&name.into()).await?);
                }
                let Some(reader) = packs.get(&pack) else { continue };
                let plain = reader.frame(&at.at).await?;
                let first = leaf.saturating_mul(LEAF_PAGES).saturating_add(extent.first as usize);
                put(
                    &mut bytes,
                    first.saturating_mul(PAGE_BYTES),
                    &plain,
                    offset as usize,
                    extent.pages as usize,
                );
            }
        }
        Ok(bytes)
    }
}

/// Copies pages of a frame to their place in a file, as far as both reach.
fn put(bytes: &mut [u8], to: usize, plain: &[u8], from: usize, pages: usize) {
    let source = plain.get(from..).unwrap_or_default();
    let target = bytes.get_mut(to..).unwrap_or_default();
    let length = pages.saturating_mul(PAGE_BYTES).min(source.len()).min(target.len());
    if let (Some(target), Some(source)) = (target.get_mut(..length), source.get(..length)) {
        target.copy_from_slice(source);
    }
}
