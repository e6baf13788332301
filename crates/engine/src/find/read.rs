//! Reading what `find` needs: the lists of names in a backup, and what segments say.
//!
//! Promises: a list that cannot be read is told and the others serve; a segment is what its verified object says, or, where it says nothing
//! or not all, what its records say. Lists and records are content and need the private key; what segments say does not.

use std::collections::HashMap;

use seawall_pg::SegmentName;
use seawall_pg::wal::{Keep, WalOf, WalWalk};
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
use crate::archive::chapters::{Untold, segment_name};
use crate::archive::each_piece;
use crate::archive::index::{Indexer, carry_of};
use crate::error::{Error, Kind, Result};
use crate::repository::{Maps, Repository};

/// What a segment says.
pub(super) struct Says {
    pub(super) segment: SegmentName,
    /// Or why it says nothing.
    pub(super) what: std::result::Result<(SegmentIndex, Transactions), String>,
}

/// What stands behind a segment's index, whoever told that. A missing or damaged one is an answer; an outage is an error.
pub(super) async fn with_transactions(
    repository: &Repository,
    place: &Place,
    segment: SegmentName,
    index: std::result::Result<SegmentIndex, Untold>,
) -> Result<Says> {
    let what = match index {
        Ok(index) => {
            transactions(repository, place, segment).await.map(|behind| behind.map(|all| (index, all)))
        }
        Err(Untold::NotIndexed(why)) => Ok(Err(format!("it is in the archive without an index: {why}"))),
        Err(Untold::Unread(error)) => Err(error),
    };
    match what {
        Ok(what) => Ok(Says { segment, what }),
        Err(error) if error.kind() == Kind::Unavailable => Err(error),
        Err(error) => Ok(Says { segment, what: Err(error.to_string()) }),
    }
}

async fn transactions(
    repository: &Repository,
    place: &Place,
    segment: SegmentName,
) -> Result<std::result::Result<Transactions, String>> {
    let footer = repository.open_object(&segment_name(place, segment)).await?.footer().await?;
    Ok(Transactions::decode(&footer.contents)
        .map_err(|error| format!("what it tells of transactions cannot be read: {error}")))
}

/// What records say.
pub(super) struct ByRecords {
    pub(super) told: (SegmentIndex, Transactions),
    /// Why they were not read to the segment's end.
    pub(super) early: Option<String>,
}

/// What the records of a segment say, and the one that began in the segment before it.
///
/// # Errors
/// Damaged, out of reach, or cannot be opened. Within: why the records tell nothing; and beside what they tell, why not to the end.
pub(super) async fn by_records(
    repository: &Repository,
    place: &Place,
    of: WalOf,
    segment: SegmentName,
    before: Option<SegmentName>,
) -> Result<std::result::Result<ByRecords, String>> {
    let first = |segment: SegmentName| {
        segment.first_lsn(of.size).map_err(|error| Error::bug("find.segment", "no place").because(error))
    };
    let mut carry = None;
    if let Some(before) = before {
        let mut walk = WalWalk::new(of, first(before)?, Keep::Meaning);
        let mut take = |bytes: &[u8]| {
            walk.take(bytes, &mut |_| {});
            Ok(true)
        };
        each_piece(repository, &segment_name(place, before), &mut take).await?;
        carry = carry_of(of, &walk.finish());
    }
    let mut indexer = Indexer::new(of, first(segment)?, carry);
    let mut take = |bytes: &[u8]| {
        indexer.take(bytes);
        Ok(true)
    };
    each_piece(repository, &segment_name(place, segment), &mut take).await?;
    let (told, early) = match indexer.finish_as_far() {
        Ok(told) => told,
        Err(why) => return Ok(Err(why.to_string())),
    };
    if told.index.records == 0 {
        return Ok(Err(early.map_or_else(|| "there are none".to_owned(), |why| why.to_string())));
    }
    Ok(Transactions::decode(&told.transactions)
        .map(|transactions| ByRecords {
            told: (told.index, transactions),
            early: early.map(|why| why.to_string()),
        })
        .map_err(|error| error.to_string()))
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
