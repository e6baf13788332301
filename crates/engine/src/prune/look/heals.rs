//! Heal copies among what is there: one whose original is gone counts as its original, so that it is kept, or goes, for the same reasons.
//!
//! Promise: where the original is there nothing changes.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{SegmentNo, Timeline, WalFileName};
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_store::RegionName;

use super::folders::{Folder, InRegions, Numbered};
use super::listing::{Broken, Found, each};
use super::wal::WalSeen;
use crate::repository::Repository;

/// What is there of a place.
pub(super) struct There {
    pub(super) folders: BTreeMap<BackupId, Folder>,
    pub(super) wal: WalSeen,
    /// Backups whose manifests have heal copies.
    pub(super) manifests: BTreeSet<BackupId>,
}

impl There {
    /// Lists the heal copies of a place and adds what they stand for. How many names were unknown.
    pub(super) async fn add(
        &mut self,
        repository: &Repository,
        place: &Place,
        regions: &[RegionName],
        broken: &mut Broken,
    ) -> u64 {
        let mut found = Vec::new();
        let strange = each(repository, &place.heals(), broken, |one| found.push(one)).await;
        for one in found {
            if let Some(original) = one.name.healed() {
                self.stands_for(&original, &one, InRegions::of(&one, regions));
            }
        }
        strange
    }

    fn stands_for(&mut self, original: &ObjectName, found: &Found, regions: InRegions) {
        let one = |number| Numbered { number, bytes: found.bytes(), regions };
        match *original.named() {
            Named::Manifest { backup, .. } => drop(self.manifests.insert(backup)),
            Named::Pack { backup, number, .. } => {
                let folder = self.folders.entry(backup).or_default();
                add(&mut folder.packs, one(number));
                folder.newest = folder.newest.or(found.last_stored());
            }
            Named::Map { backup, number, .. } => {
                let folder = self.folders.entry(backup).or_default();
                add(&mut folder.maps, one(number));
                folder.newest = folder.newest.or(found.last_stored());
            }
            Named::Wal { file, .. } => self.of_wal(file),
            Named::WalPart { file, .. } => self.of_wal(file.into()),
            Named::Chapter { folder, .. } => drop(self.wal.chapters.entry(folder).or_default()),
            _ => {}
        }
    }

    fn of_wal(&mut self, file: WalFileName) {
        let Some(segment) = file.segment() else {
            self.wal.history_files.insert(file.timeline());
            return;
        };
        let size = self.wal.map.as_ref().map(|map| map.size);
        let Some(number) = size.and_then(|size| segment.number(size).ok()) else { return };
        insert(&mut self.wal.numbers, segment.timeline(), number);
    }
}

/// A number among rising ones, where it is not among them.
fn add(numbered: &mut Vec<Numbered>, one: Numbered) {
    match numbered.binary_search_by_key(&one.number, |known| known.number) {
        Ok(at) => {
            if let Some(known) = numbered.get_mut(at) {
                known.regions = known.regions.with(one.regions);
            }
        }
        Err(at) => numbered.insert(at, one),
    }
}

/// A segment number among rising ranges, where it is in none of them.
fn insert(
    numbers: &mut BTreeMap<Timeline, Vec<(SegmentNo, SegmentNo)>>,
    timeline: Timeline,
    number: SegmentNo,
) {
    let ranges = numbers.entry(timeline).or_default();
    let at = ranges.partition_point(|(_, last)| *last < number);
    if ranges.get(at).is_none_or(|(first, _)| number < *first) {
        ranges.insert(at, (number, number));
    }
}
