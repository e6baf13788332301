//! What is condemned now, in every place: everything that is there, not needed, and not condemned already.
//!
//! Promises: pure; the reason for every backup stands in its decision, and everything else follows from [`Needed`].

use std::collections::{BTreeSet, HashMap, HashSet};

use seawall_pg::{Timeline, WalFolder};
use seawall_repo::condemned::{Condemned, HoldOn, NumberedOf, WalStretch, runs};
use seawall_repo::id::BackupId;
use seawall_store::RegionName;
use serde::Serialize;

use super::look::{Numbered, PlaceSeen, Seen};
use super::needed::{Decided, Needed, needed};
use super::settle::Settled;
use crate::retention::{Point, WalRanges, histories_needed, wal_needed};

/// How much of something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Objects; segments where WAL is counted by listing.
    pub objects: u64,
    /// Their bytes in one region.
    pub bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, objects: u64, bytes: u64) {
        self.objects = self.objects.saturating_add(objects);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Amounts by kind of object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amounts {
    /// Backups.
    pub manifests: u64,
    /// Packs.
    pub packs: Amount,
    /// Maps.
    pub maps: Amount,
    /// WAL, by segments; bytes are an estimate from the average.
    pub wal: Amount,
    /// Intents of backups that ended long ago.
    pub intents: u64,
    /// History files.
    pub histories: u64,
    /// Chapters of WAL.
    pub chapters: Amount,
    /// Heal copies, which go with their originals.
    pub heals: Amount,
}

impl Amounts {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All objects.
    #[must_use]
    pub fn objects(&self) -> u64 {
        let few = self.manifests + self.intents + self.histories;
        few + self.packs.objects
            + self.maps.objects
            + self.wal.objects
            + self.chapters.objects
            + self.heals.objects
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.manifests += other.manifests;
        self.intents += other.intents;
        self.histories += other.histories;
        self.packs.add(other.packs.objects, other.packs.bytes);
        self.maps.add(other.maps.objects, other.maps.bytes);
        self.wal.add(other.wal.objects, other.wal.bytes);
        self.chapters.add(other.chapters.objects, other.chapters.bytes);
        self.heals.add(other.heals.objects, other.heals.bytes);
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let data = self.packs.bytes.saturating_add(self.maps.bytes);
        [self.wal, self.chapters, self.heals].iter().fold(data, |sum, one| sum.saturating_add(one.bytes))
    }
}

/// One place's part of the plan.
#[derive(Debug)]
pub(super) struct PlacePlan {
    pub(super) needed: Needed,
    /// How much there is that is not needed.
    pub(super) amounts: Amounts,
    /// Of it, what no tombstone names yet.
    pub(super) new: Condemned,
}

/// Plans each place of what was seen, in its order.
pub(super) fn plan(seen: &Seen, settled: &Settled) -> Vec<PlacePlan> {
    let input = settled.ground.input(&settled.points);
    let wal = wal_needed(&input, &settled.decisions);
    let histories = histories_needed(&input, &settled.decisions, &wal);
    let asked: Vec<&RegionName> =
        seen.regions.iter().filter(|region| !seen.broken.contains_key(*region)).collect();
    let keep_all = seen
        .holds
        .iter()
        .find(|hold| hold.on == HoldOn::Everything && hold.is_in_force(seen.now))
        .map(|hold| format!("hold {} keeps everything", hold.id));
    let places = seen.places.iter().map(|place| {
        let system = place.place.system;
        let is_fit = |point: &Point| point.system == system && point.unfit.is_none();
        let has_fit_backup = settled.points.iter().any(is_fit);
        let decided = Decided {
            decisions: &settled.decisions,
            wal: wal.get(&system).map(Vec::as_slice).unwrap_or_default(),
            histories: histories
                .iter()
                .filter(|(of, _)| *of == system)
                .map(|(_, timeline)| *timeline)
                .collect(),
            keep_all: keep_all.clone().or_else(|| place.keeps_all_meanwhile(&seen.broken, has_fit_backup)),
            now: seen.now,
        };
        let needed = needed(place, &decided, &settled.bodies);
        let (all, amounts) = condemned(place, &needed);
        let new = without_waiting(place, &all, &asked);
        PlacePlan { needed, amounts, new }
    });
    places.collect()
}

/// Everything of a place that is there and not needed.
fn condemned(seen: &PlaceSeen, needed: &Needed) -> (Condemned, Amounts) {
    let mut condemned = Condemned::default();
    let mut amounts = Amounts::default();
    let manifests = seen.backups.iter().map(|entry| entry.id).chain(seen.healed_only.iter().copied());
    condemned.manifests = manifests.filter(|id| !needed.needs_manifest(*id)).collect();
    amounts.manifests = condemned.manifests.len() as u64;
    for (backup, folder) in &seen.folders {
        let packs = folder.packs.iter().filter(|pack| !needed.needs_pack(*backup, pack.number));
        push(&mut condemned.packs, &mut amounts.packs, *backup, packs);
        let maps = folder.maps.iter().filter(|_| !needed.needs_maps(*backup));
        push(&mut condemned.maps, &mut amounts.maps, *backup, maps);
    }
    for (backup, intent) in &seen.intents.by_backup {
        if !needed.needs_intents(*backup) {
            condemned.intents.push(*backup);
            amounts.intents += intent.objects;
        }
    }
    let average = seen.wal.bytes / seen.wal.objects.max(1);
    for (timeline, numbers) in &seen.wal.numbers {
        for range in numbers {
            for (first, last) in needed.free_wal(*timeline, *range) {
                condemned.wal.push(WalStretch { timeline: *timeline, first, last });
                let segments = last.0 - first.0 + 1;
                amounts.wal.add(segments, segments.saturating_mul(average));
            }
        }
    }
    let histories = seen.wal.history_files.iter().copied();
    condemned.histories = histories.filter(|timeline| !needed.needs_history(*timeline)).collect();
    amounts.histories = condemned.histories.len() as u64;
    // A chapter goes with the first of its segments: of a folder that is not whole any more it is no use.
    for (folder, bytes) in &seen.wal.chapters {
        if !needed.needs_chapter(*folder) {
            condemned.chapters.push(*folder);
            amounts.chapters.add(1, *bytes);
        }
    }
    (condemned, amounts)
}

fn push<'a>(
    to: &mut Vec<NumberedOf>,
    amount: &mut Amount,
    backup: BackupId,
    objects: impl Iterator<Item = &'a Numbered>,
) {
    let numbers = runs(objects.map(|one| {
        amount.add(1, one.bytes);
        one.number
    }));
    if !numbers.is_empty() {
        to.push(NumberedOf { backup, numbers });
    }
}

/// What no tombstone that waits in every region asked names yet.
fn without_waiting(seen: &PlaceSeen, all: &Condemned, asked: &[&RegionName]) -> Condemned {
    let waiting = seen.tombstones.iter().filter(|stone| asked.iter().all(|region| stone.waits_in(region)));
    let waiting: Vec<&Condemned> = waiting.map(|stone| &stone.record.condemned).collect();
    let ids = |of: fn(&Condemned) -> &Vec<BackupId>| -> HashSet<BackupId> {
        waiting.iter().flat_map(|one| of(one)).copied().collect()
    };
    let (manifests, intents) = (ids(|one| &one.manifests), ids(|one| &one.intents));
    let histories: BTreeSet<Timeline> = waiting.iter().flat_map(|one| &one.histories).copied().collect();
    let chapters: BTreeSet<WalFolder> = waiting.iter().flat_map(|one| &one.chapters).copied().collect();
    Condemned {
        manifests: all.manifests.iter().filter(|id| !manifests.contains(id)).copied().collect(),
        packs: without_numbers(&all.packs, waiting.iter().flat_map(|one| &one.packs)),
        maps: without_numbers(&all.maps, waiting.iter().flat_map(|one| &one.maps)),
        intents: all.intents.iter().filter(|id| !intents.contains(id)).copied().collect(),
        wal: without_wal(&all.wal, waiting.iter().flat_map(|one| &one.wal)),
        histories: all.histories.iter().filter(|timeline| !histories.contains(timeline)).copied().collect(),
        chapters: all.chapters.iter().filter(|folder| !chapters.contains(folder)).copied().collect(),
    }
}

fn without_numbers<'a>(all: &[NumberedOf], waiting: impl Iterator<Item = &'a NumberedOf>) -> Vec<NumberedOf> {
    let mut known: HashMap<BackupId, Vec<(u32, u32)>> = HashMap::new();
    for of in waiting {
        known.entry(of.backup).or_default().extend(&of.numbers);
    }
    let left = all.iter().map(|of| {
        let known = known.get(&of.backup).map(Vec::as_slice).unwrap_or_default();
        let numbers = of.numbers.iter().flat_map(|(first, last)| *first..=*last);
        let new =
            numbers.filter(|number| !known.iter().any(|(first, last)| first <= number && number <= last));
        NumberedOf { backup: of.backup, numbers: runs(new) }
    });
    left.filter(|of| !of.numbers.is_empty()).collect()
}

fn without_wal<'a>(all: &[WalStretch], waiting: impl Iterator<Item = &'a WalStretch>) -> Vec<WalStretch> {
    let known = WalRanges::of(waiting.map(|of| (of.timeline, of.first, of.last)));
    let left = all.iter().flat_map(|of| {
        let free = known.outside(of.timeline, (of.first, of.last));
        free.into_iter().map(|(first, last)| WalStretch { timeline: of.timeline, first, last })
    });
    left.collect()
}
