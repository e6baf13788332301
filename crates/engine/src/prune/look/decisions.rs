//! What was decided about deleting before: tombstones with their ends, holds, policies.
//!
//! Promises: what a writer without the right to prune signed counts for nothing, and neither does what cannot be read: anybody who
//! can create objects could write that. But a hold that was in force when retention looked last (the newest policy says so) and
//! cannot be read any more keeps everything, for that is damage.

use std::collections::BTreeMap;

use seawall_repo::condemned::{Hold, HoldOn, PolicyRecord, Tombstone};
use seawall_repo::id::RecordId;
use seawall_repo::layout::{Named, ObjectName, Place, prefix};
use seawall_repo::time::Time;
use seawall_store::RegionName;
use serde::de::DeserializeOwned;

use super::listing::{Broken, each};
use super::not_believed;
use crate::error::{Kind, Result};
use crate::monitor::Finding;
use crate::prune::GRACE_FLOOR;
use crate::repository::{Repository, is_of_a_stranger};
use crate::retention::Span;

/// A tombstone.
#[derive(Debug, Clone)]
pub(in crate::prune) struct TombstoneSeen {
    pub(in crate::prune) record: Tombstone,
    /// Since when each region has it, by its own clock.
    pub(in crate::prune) stored: BTreeMap<RegionName, Time>,
    /// Whether it counts no more.
    pub(in crate::prune) revoked: bool,
    pub(in crate::prune) revoked_at: Option<Time>,
    /// Regions that know of it.
    pub(in crate::prune) revoked_in: Vec<RegionName>,
    /// Regions in which it was carried out, and since when that is known.
    pub(in crate::prune) done: BTreeMap<String, Time>,
}

impl TombstoneSeen {
    /// Whether it waits to be carried out in a region.
    pub(in crate::prune) fn waits_in(&self, region: &RegionName) -> bool {
        let named = self.record.regions.iter().any(|one| one == region.as_str());
        named && !self.revoked && self.stored.contains_key(region) && !self.done.contains_key(region.as_str())
    }

    /// From when on it may be carried out in a region, by the region's clock.
    pub(in crate::prune) fn due_in(&self, region: &RegionName) -> Option<Time> {
        let grace = Span::seconds(self.record.grace).max(Span::seconds(GRACE_FLOOR.as_secs()));
        self.stored.get(region).map(|stored| grace.after(*stored))
    }

    /// When its last word was said, where nothing of it waits.
    pub(in crate::prune) fn ended(&self) -> Option<Time> {
        let last = self.done.values().chain(self.stored.values()).chain(&self.revoked_at).max();
        last.copied().filter(|_| !self.waits())
    }

    /// Regions that would still carry it out if they were asked alone: they did not hear that it was taken back.
    pub(in crate::prune) fn unaware(&self) -> impl Iterator<Item = &RegionName> {
        let knows =
            |region: &RegionName| self.revoked_in.contains(region) || self.done.contains_key(region.as_str());
        self.stored.keys().filter(move |region| self.revoked && !knows(region))
    }

    /// Whether any region has still to carry it out.
    pub(in crate::prune) fn waits(&self) -> bool {
        !self.revoked && self.record.regions.iter().any(|region| !self.done.contains_key(region))
    }
}

/// A hold.
#[derive(Debug, Clone)]
pub(crate) struct HoldSeen {
    pub(crate) id: RecordId,
    pub(crate) on: HoldOn,
    pub(crate) until: Option<Time>,
    /// The whole record; none for one that cannot be read.
    pub(crate) record: Option<Hold>,
    /// Since when, by the store.
    pub(crate) stored: Option<Time>,
    /// Whether it was released.
    pub(crate) released: bool,
    /// Its objects, and the regions that have each.
    pub(in crate::prune) copies: Vec<(ObjectName, Vec<RegionName>)>,
}

impl HoldSeen {
    /// Whether it keeps something at this time.
    pub(crate) fn is_in_force(&self, now: Time) -> bool {
        !self.released && self.until.is_none_or(|until| now < until)
    }
}

/// What reading a record gave.
enum Read<R> {
    Record(R),
    /// Of somebody who has no right to it.
    Stranger,
    Unreadable,
}

async fn read<R: DeserializeOwned>(
    repository: &Repository,
    name: &ObjectName,
    findings: &mut Vec<Finding>,
) -> Result<Read<R>> {
    match repository.read_record::<R>(name).await {
        Ok(read) => Ok(Read::Record(read.value)),
        Err(error) if is_of_a_stranger(&error) => {
            findings.push(not_believed(name, &error.to_string()));
            Ok(Read::Stranger)
        }
        Err(error) if error.kind() == Kind::Data => {
            findings.push(not_believed(name, &error.to_string()));
            Ok(Read::Unreadable)
        }
        Err(error) => Err(error),
    }
}

async fn is_readable(
    repository: &Repository,
    name: &ObjectName,
    findings: &mut Vec<Finding>,
) -> Result<bool> {
    Ok(matches!(read::<serde_json::Value>(repository, name, findings).await?, Read::Record(_)))
}

#[derive(Default)]
struct Names {
    stone: Option<(ObjectName, BTreeMap<RegionName, Time>)>,
    revoked: Option<(ObjectName, Option<Time>, Vec<RegionName>)>,
    done: Vec<(ObjectName, String, Time)>,
}

/// The tombstones of a place.
pub(in crate::prune) struct TombstonesSeen {
    pub(in crate::prune) seen: Vec<TombstoneSeen>,
    /// What is left of tombstones that are gone, and since when.
    pub(in crate::prune) strays: Vec<(ObjectName, Time)>,
    pub(in crate::prune) strange: u64,
}

/// All tombstones of a place, but for those that were carried out in each of the regions `unless_done_in` (where any is named):
/// they are not read.
pub(in crate::prune) async fn tombstones(
    repository: &Repository,
    place: &Place,
    unless_done_in: &[RegionName],
    broken: &mut Broken,
    findings: &mut Vec<Finding>,
) -> Result<TombstonesSeen> {
    let mut names: BTreeMap<RecordId, Names> = BTreeMap::new();
    let strange = each(repository, &place.tombstones(), broken, |found| {
        let first = found.first_stored();
        match found.name.named().clone() {
            Named::Tombstone { id, .. } => {
                let held = found.held.iter();
                let stored = held
                    .filter_map(|at| Some((at.region.clone(), Time::from_micros(at.modified_unix_us)?)))
                    .collect();
                names.entry(id).or_default().stone = Some((found.name, stored));
            }
            Named::TombstoneRevoked { id, .. } => {
                let regions = found.held.iter().map(|at| at.region.clone()).collect();
                names.entry(id).or_default().revoked = Some((found.name, first, regions));
            }
            Named::TombstoneDone { id, region, .. } => {
                let done = (found.name, region.as_str().to_owned(), first.unwrap_or(Time::EPOCH));
                names.entry(id).or_default().done.push(done);
            }
            _ => {}
        }
    })
    .await;
    let (mut seen, mut strays) = (Vec::new(), Vec::new());
    for (id, names) in names {
        let Some((name, stored)) = names.stone else {
            let ends = names.revoked.into_iter().map(|(name, at, _)| (name, at.unwrap_or(Time::EPOCH)));
            strays.extend(ends.chain(names.done.into_iter().map(|(name, _, at)| (name, at))));
            continue;
        };
        let done_in = |region: &RegionName| names.done.iter().any(|(_, done, _)| done == region.as_str());
        if !unless_done_in.is_empty() && unless_done_in.iter().all(done_in) {
            continue;
        }
        let Read::Record(record) = read::<Tombstone>(repository, &name, findings).await? else { continue };
        if record.tombstone != id || record.system != place.system || record.cluster != place.cluster {
            findings.push(not_believed(&name, "it speaks of another place or tombstone"));
            continue;
        }
        let revoked_at = names.revoked.as_ref().and_then(|(_, at, _)| *at);
        let (revoked, revoked_in) = match names.revoked {
            None => (false, Vec::new()),
            Some((name, _, regions)) => (is_readable(repository, &name, findings).await?, regions),
        };
        let mut done = BTreeMap::new();
        for (name, region, at) in names.done {
            if is_readable(repository, &name, findings).await? {
                done.insert(region, at);
            }
        }
        seen.push(TombstoneSeen { record, stored, revoked, revoked_at, revoked_in, done });
    }
    Ok(TombstonesSeen { seen, strays, strange })
}

/// The objects of one hold.
#[derive(Default)]
struct HoldNames {
    hold: Option<(ObjectName, Option<Time>, Vec<RegionName>)>,
    released: Option<(ObjectName, Vec<RegionName>)>,
}

/// All holds of a place, released ones included. `known`: those that were in force before.
pub(in crate::prune) async fn holds(
    repository: &Repository,
    place: &Place,
    known: &[RecordId],
    broken: &mut Broken,
    findings: &mut Vec<Finding>,
) -> Result<(Vec<HoldSeen>, u64)> {
    let mut names: BTreeMap<RecordId, HoldNames> = BTreeMap::new();
    let strange = each(repository, &place.holds(), broken, |found| {
        let stored = found.first_stored();
        let regions = found.held.iter().map(|at| at.region.clone()).collect();
        match *found.name.named() {
            Named::Hold { id, .. } => names.entry(id).or_default().hold = Some((found.name, stored, regions)),
            Named::HoldReleased { id, .. } => {
                names.entry(id).or_default().released = Some((found.name, regions));
            }
            _ => {}
        }
    })
    .await;
    let mut seen = Vec::new();
    for (id, HoldNames { hold, released }) in names {
        let Some((name, stored, regions)) = hold else { continue };
        let mut copies = Vec::new();
        let released = match released {
            None => false,
            Some((name, regions)) => {
                let readable = is_readable(repository, &name, findings).await?;
                copies.extend(readable.then_some((name, regions)));
                readable
            }
        };
        let record = match read::<Hold>(repository, &name, findings).await? {
            Read::Record(record) if record.hold == id => Some(record),
            Read::Record(_) => {
                findings.push(not_believed(&name, "it speaks of another hold"));
                continue;
            }
            Read::Unreadable if known.contains(&id) => None,
            Read::Stranger | Read::Unreadable => continue,
        };
        copies.extend(record.as_ref().map(|_| (name, regions)));
        let on = record.as_ref().map_or(HoldOn::Everything, |record| record.on.clone());
        let until = record.as_ref().and_then(|record| record.until);
        seen.push(HoldSeen { id, on, until, record, stored, released, copies });
    }
    Ok((seen, strange))
}

/// The policies that were ever in force.
#[derive(Debug, Default)]
pub(in crate::prune) struct PoliciesSeen {
    /// In order, and since when by the store's clock.
    pub(in crate::prune) records: Vec<(PolicyRecord, Time)>,
    /// One that is there and cannot be read.
    pub(in crate::prune) unreadable: Option<ObjectName>,
}

/// Reads all policies.
pub(in crate::prune) async fn policies(
    repository: &Repository,
    broken: &mut Broken,
    findings: &mut Vec<Finding>,
) -> Result<PoliciesSeen> {
    let mut names: BTreeMap<u32, (ObjectName, Option<Time>)> = BTreeMap::new();
    each(repository, &prefix::policies(repository.cluster()), broken, |found| {
        if let Named::Policy { number, .. } = *found.name.named() {
            let stored = found.first_stored();
            names.insert(number, (found.name, stored));
        }
    })
    .await;
    let mut seen = PoliciesSeen::default();
    for (number, (name, stored)) in names {
        match read::<PolicyRecord>(repository, &name, findings).await? {
            Read::Record(record) if record.number == number && record.cluster == *repository.cluster() => {
                seen.records.push((record, stored.unwrap_or(Time::EPOCH)));
            }
            Read::Record(_) | Read::Unreadable => seen.unreadable = Some(name),
            Read::Stranger => {}
        }
    }
    Ok(seen)
}
