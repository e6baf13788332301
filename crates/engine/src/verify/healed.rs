//! Heal copies: what stands in for damaged objects, looked at in the same run.
//!
//! Promises: an object counts as served in its region only if a heal copy of it there passed every check that the original has to pass;
//! which copy that was, and what is wrong with the original, is told as a note and endangers nothing. Where no copy helps, the fault
//! that is told is the original's.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seawall_repo::layout::{ObjectName, Place, prefix};
use seawall_store::RegionName;
use serde::Serialize;

use super::object::Wrong;
use super::tasks::{Job, Look, Outcome, Reading, Seen};
use crate::error::Result;
use crate::repository::{Repository, heal_number};

/// An object that is damaged under its own name and served by a heal copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Healed {
    /// In which region.
    pub region: RegionName,
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub fault: String,
    /// The heal copy that serves it.
    pub by: String,
}

/// A copy in a region.
type Key = (RegionName, ObjectName);

/// The heal copies of all regions.
#[derive(Debug, Default)]
pub(super) struct Heals {
    /// By region and original, the newest first, with their sizes.
    copies: BTreeMap<Key, Vec<(ObjectName, u64)>>,
    /// Those that stand in for their originals in this run.
    in_place: Mutex<BTreeMap<Key, (ObjectName, u64)>>,
    noted: Mutex<BTreeMap<Key, Healed>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heals {
    /// Lists them. What cannot be listed here breaks its region where all names go by.
    pub(super) async fn load(repository: &Repository, places: &[Place], regions: &[RegionName]) -> Self {
        let mut prefixes = vec![prefix::HEALS.to_owned(), prefix::heals(repository.cluster())];
        prefixes.extend(places.iter().map(Place::heals));
        let mut copies: BTreeMap<Key, Vec<(ObjectName, u64)>> = BTreeMap::new();
        for region in regions {
            let Some(of) = repository.regions().find(region.as_str()) else { continue };
            for prefix in &prefixes {
                for info in of.list_collect(prefix).await.unwrap_or_default() {
                    let Some(copy) = ObjectName::parse(&info.name) else { continue };
                    let Some(original) = copy.healed() else { continue };
                    copies.entry((region.clone(), original)).or_default().push((copy, info.size_bytes));
                }
            }
        }
        copies.values_mut().for_each(|copies| {
            copies.sort_by_key(|(copy, _)| std::cmp::Reverse(heal_number(copy)));
        });
        Self { copies, ..Self::default() }
    }

    fn of(&self, region: &RegionName, original: &ObjectName) -> &[(ObjectName, u64)] {
        self.copies.get(&(region.clone(), original.clone())).map_or(&[], Vec::as_slice)
    }

    /// Whether there are any of this object.
    pub(super) fn has(&self, region: &RegionName, original: &ObjectName) -> bool {
        !self.of(region, original).is_empty()
    }

    /// The name under which the region's copy of an object is read.
    pub(super) fn stored<'n>(&self, region: &RegionName, name: &'n ObjectName) -> Cow<'n, ObjectName> {
        self.standing_in(region, name).map_or(Cow::Borrowed(name), |(copy, _)| Cow::Owned(copy))
    }

    /// The copy that stands in for an object, and its size.
    pub(super) fn standing_in(&self, region: &RegionName, name: &ObjectName) -> Option<(ObjectName, u64)> {
        if self.copies.is_empty() {
            return None;
        }
        locked(&self.in_place).get(&(region.clone(), name.clone())).cloned()
    }

    fn stand_in(&self, region: &RegionName, name: &ObjectName, copy: Option<(ObjectName, u64)>) {
        let key = (region.clone(), name.clone());
        let mut in_place = locked(&self.in_place);
        match copy {
            Some(copy) => drop(in_place.insert(key, copy)),
            None => drop(in_place.remove(&key)),
        }
    }

    fn note(&self, region: &RegionName, name: &ObjectName, fault: String) {
        let Some((by, _)) = self.standing_in(region, name) else { return };
        let (object, by) = (name.to_string(), by.to_string());
        let healed = Healed { region: region.clone(), object, fault, by };
        locked(&self.noted).entry((region.clone(), name.clone())).or_insert(healed);
    }

    /// What is served by heal copies, as far as this run looked.
    pub(super) fn noted(&self) -> Vec<Healed> {
        locked(&self.noted).values().cloned().collect()
    }

    /// Originals that have heal copies in a region.
    pub(super) fn originals(&self) -> impl Iterator<Item = (&RegionName, &ObjectName, u64)> {
        self.copies
            .iter()
            .map(|((region, name), copies)| (region, name, copies.iter().map(|(_, bytes)| bytes).sum()))
    }

    /// How many heal copies of an object there are.
    pub(super) fn count(&self, region: &RegionName, original: &ObjectName) -> u64 {
        self.of(region, original).len() as u64
    }
}

/// Heal copies that were tried in place of what was found wrong.
pub(super) struct Trying<'h> {
    heals: &'h Heals,
    region: &'h RegionName,
    first: BTreeMap<ObjectName, Wrong>,
    tried: BTreeMap<ObjectName, usize>,
}

impl<'h> Trying<'h> {
    pub(super) fn new(heals: &'h Heals, region: &'h RegionName) -> Self {
        Self { heals, region, first: BTreeMap::new(), tried: BTreeMap::new() }
    }

    /// Puts the next heal copy in the place of one that is wrong; whether there was one, so that it is worth another look.
    pub(super) fn next(&mut self, name: &ObjectName, wrong: &Wrong) -> bool {
        self.first.entry(name.clone()).or_insert_with(|| wrong.clone());
        let tried = self.tried.entry(name.clone()).or_default();
        let next = self.heals.of(self.region, name).get(*tried).cloned();
        *tried += 1;
        let found = next.is_some();
        self.heals.stand_in(self.region, name, next);
        found
    }

    /// What is to be told of an object that was good in the end, or of one that no copy helps.
    pub(super) fn end(&self, name: &ObjectName, is_good: bool) -> Option<Wrong> {
        let first = self.first.get(name)?;
        if is_good {
            self.heals.note(self.region, name, first.fault.clone());
            return None;
        }
        Some(first.clone())
    }
}

impl Reading {
    /// Looks at one region's copy; where something is wrong, again with its heal copies in its place.
    pub(super) async fn copy(&self, job: &Arc<Job>, region: &RegionName, size: u64) -> Result<Vec<Seen>> {
        let mut seen = self.look(job, region, size).await?;
        let mut trying = Trying::new(&self.heals, region);
        while let Some((name, wrong)) = first_wrong(&seen, &self.heals, region, &trying.tried) {
            trying.next(&name, &wrong);
            seen = self.look(job, region, size).await?;
        }
        for one in &mut seen {
            match &one.outcome {
                Outcome::Good(_) => drop(trying.end(&one.name, true)),
                Outcome::Wrong(_) => {
                    if let Some(first) = trying.end(&one.name, false) {
                        self.heals.stand_in(region, &one.name, None);
                        one.outcome = Outcome::Wrong(first);
                    }
                }
                _ => {}
            }
        }
        self.without_spent(job, region, &mut seen).await?;
        Ok(seen)
    }

    /// A heal copy that is damaged itself matters no more where its original, or another copy of it, is good.
    async fn without_spent(&self, job: &Job, region: &RegionName, seen: &mut [Seen]) -> Result<()> {
        let Some(original) = job.name.healed() else { return Ok(()) };
        let copies: BTreeSet<ObjectName> =
            self.heals.of(region, &original).iter().map(|(copy, _)| copy.clone()).collect();
        for one in seen.iter_mut().filter(|one| matches!(one.outcome, Outcome::Wrong(_))) {
            for other in copies.iter().chain([&original]).filter(|other| **other != one.name) {
                let look = Job::of_stored(other.clone(), job);
                let (_, outcome, _) = self.object(&Arc::new(look), other, region, None, None).await?;
                if matches!(outcome, Outcome::Good(_)) {
                    one.outcome = Outcome::Spent;
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The first object that is wrong and of which a heal copy was not tried yet.
fn first_wrong(
    seen: &[Seen],
    heals: &Heals,
    region: &RegionName,
    tried: &BTreeMap<ObjectName, usize>,
) -> Option<(ObjectName, Wrong)> {
    seen.iter().find_map(|seen| {
        let Outcome::Wrong(wrong) = &seen.outcome else { return None };
        let left = heals.of(region, &seen.name).len() > tried.get(&seen.name).copied().unwrap_or(0);
        left.then(|| (seen.name.clone(), wrong.clone()))
    })
}

impl Job {
    /// One that reads the stored bytes of an object, beside `job`.
    fn of_stored(name: ObjectName, job: &Self) -> Self {
        Self {
            name,
            copies: Vec::new(),
            created: job.created,
            look: Look::Stored,
            odd: Vec::new(),
            pages: None,
            wal: Vec::new(),
            neighbours: None,
        }
    }
}
