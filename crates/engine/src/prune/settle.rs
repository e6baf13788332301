//! From what was seen to what is decided, with the proof that every kept backup closes.
//!
//! Promises: a backup counts as good only if what its manifest lists is there; where that shows only after its manifest was read,
//! everything is decided again without it, until nothing changes. While a region cannot be listed no backup is found wanting, for
//! the region may hold what is missing.

use std::collections::{BTreeMap, HashMap};

use seawall_pg::Timeline;
use seawall_repo::condemned::HoldOn;
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::bodies::Bodies;
use super::look::{HoldSeen, PlaceSeen, Seen};
use super::needed::consistency;
use crate::error::Result;
use crate::repository::{BackupEntry, Repository};
use crate::retention::{Decision, Input, Lineage, Point, Policy, WalMap, judge};

/// What is decided, and on what it rests.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) points: Vec<Point>,
    pub(super) decisions: Vec<Decision>,
    pub(super) bodies: Bodies,
    pub(super) ground: Ground,
}

/// What does not change while it is being decided.
#[derive(Debug)]
pub(super) struct Ground {
    lineages: Vec<Lineage>,
    histories: BTreeMap<(SystemId, Timeline), seawall_pg::History>,
    wal: BTreeMap<SystemId, WalMap>,
    policy: Policy,
    now: Time,
    regions: Vec<RegionName>,
}

impl Ground {
    fn of(seen: &Seen, policy: &Policy) -> Self {
        let histories = seen.places.iter().flat_map(|place| {
            let system = place.place.system;
            place.wal.histories.iter().map(move |(timeline, history)| ((system, *timeline), history.clone()))
        });
        let wal = seen.places.iter().filter_map(|place| Some((place.place.system, place.wal.map.clone()?)));
        Self {
            lineages: seen.places.iter().map(|place| place.lineage.clone()).collect(),
            histories: histories.collect(),
            wal: wal.collect(),
            policy: policy.clone(),
            now: seen.now,
            regions: seen.regions.clone(),
        }
    }

    /// As the rules take it.
    pub(super) fn input<'a>(&'a self, points: &'a [Point]) -> Input<'a> {
        Input {
            points,
            lineages: &self.lineages,
            histories: &self.histories,
            wal: &self.wal,
            policy: &self.policy,
            now: self.now,
            regions: &self.regions,
        }
    }
}

impl Settled {
    /// Reads what the manifests list that were not read for deciding.
    pub(super) async fn read_the_others(&mut self, repository: &Repository, seen: &Seen) -> Result<()> {
        let backups = seen.places.iter().flat_map(|place| &place.backups);
        let unread = backups.filter(|entry| !self.bodies.knows(entry.id));
        let wanted = unread.map(|entry| (entry.place.clone(), entry.id)).collect();
        self.bodies.add(repository, wanted).await
    }
}

/// Decides by a policy about everything that was seen.
///
/// # Errors
/// A manifest is out of reach.
pub(super) async fn settle(repository: &Repository, seen: &Seen, policy: &Policy) -> Result<Settled> {
    let ground = Ground::of(seen, policy);
    let mut bodies = Bodies::default();
    loop {
        let points = points(seen, &bodies);
        let decisions = judge(&ground.input(&points));
        let kept: HashMap<BackupId, bool> = decisions.iter().map(|one| (one.id, one.is_kept())).collect();
        let wanted: Vec<_> = seen
            .places
            .iter()
            .flat_map(|place| &place.backups)
            .filter(|entry| policy.max_age.is_some() || kept.get(&entry.id).copied().unwrap_or(true))
            .filter(|entry| !bodies.knows(entry.id))
            .map(|entry| (entry.place.clone(), entry.id))
            .collect();
        if wanted.is_empty() {
            return Ok(Settled { points, decisions, bodies, ground });
        }
        bodies.add(repository, wanted).await?;
    }
}

fn points(seen: &Seen, bodies: &Bodies) -> Vec<Point> {
    let one = |place: &PlaceSeen, entry: &BackupEntry| Point {
        id: entry.id,
        system: entry.place.system,
        timeline: entry.header.timeline,
        start: entry.header.start,
        stop: entry.header.stop,
        stop_timeline: entry.header.stop_timeline,
        stored: entry.stored,
        claimed: entry.header.stopped,
        oldest_bytes: bodies.read(entry.id).and_then(|body| oldest(place, body)),
        unfit: unfit(seen, place, entry, bodies),
        regions: whole_in(seen, place, entry, bodies),
        holds: holds_on(&seen.holds, entry, seen.now),
    };
    let places = seen.places.iter();
    places.flat_map(|place| place.backups.iter().map(move |entry| one(place, entry))).collect()
}

/// When the oldest pack was stored, by the store.
fn oldest(place: &PlaceSeen, body: &super::bodies::Body) -> Option<Time> {
    let folders = body.packs.iter().filter_map(|pack| place.folders.get(&pack.backup));
    folders.filter_map(|folder| folder.oldest).min()
}

/// Why a backup cannot be restored, or not without loss.
fn unfit(seen: &Seen, place: &PlaceSeen, entry: &BackupEntry, bodies: &Bodies) -> Option<String> {
    if entry.header.damaged_pages > 0 {
        return Some(format!("{} damaged pages", entry.header.damaged_pages));
    }
    if entry.header.bytes == 0 {
        return Some("it holds nothing".to_owned());
    }
    if let Some(why) = bodies.fault(entry.id) {
        return Some(format!("its manifest cannot be read: {why}"));
    }
    if !seen.broken.is_empty() {
        return None;
    }
    if let Some(body) = bodies.read(entry.id) {
        let there = |pack: &seawall_repo::pack::PackId| {
            place.folders.get(&pack.backup).is_some_and(|folder| folder.pack(pack.number).is_some())
        };
        if let Some(lost) = body.packs.iter().find(|pack| !there(pack)) {
            return Some(format!("pack {} of backup {} is in no region", lost.number, lost.backup));
        }
    }
    missing_wal(place, entry)
}

/// The first segment that a backup needs to become consistent and that nobody has.
fn missing_wal(place: &PlaceSeen, entry: &BackupEntry) -> Option<String> {
    if place.wal.unclear.is_some() {
        return None;
    }
    let map = place.wal.map.as_ref();
    for (timeline, (first, last)) in consistency(&place.wal, &entry.header) {
        let runs = map.and_then(|map| map.timelines.get(&timeline)).map(Vec::as_slice).unwrap_or_default();
        let mut number = first;
        while number <= last {
            let Some(run) = runs.iter().find(|run| run.first <= number && number <= run.last) else {
                let number = number.0;
                return Some(format!(
                    "WAL segment {number} of timeline {timeline}, which makes it consistent, is in no region"
                ));
            };
            number = run.last.next()?;
        }
    }
    None
}

/// The regions that hold the manifest and every pack it lists.
fn whole_in(seen: &Seen, place: &PlaceSeen, entry: &BackupEntry, bodies: &Bodies) -> Vec<RegionName> {
    let Some(body) = bodies.read(entry.id) else { return entry.regions.clone() };
    let has_all = |region: &RegionName| {
        let Some(index) = seen.regions.iter().position(|known| known == region) else { return true };
        seen.broken.contains_key(region)
            || body.packs.iter().all(|pack| {
                let pack = place.folders.get(&pack.backup).and_then(|folder| folder.pack(pack.number));
                pack.is_some_and(|pack| pack.regions.has(index))
            })
    };
    entry.regions.iter().filter(|region| has_all(region)).cloned().collect()
}

fn holds_on(holds: &[HoldSeen], entry: &BackupEntry, now: Time) -> Vec<String> {
    let on = |hold: &&HoldSeen| {
        hold.is_in_force(now)
            && match &hold.on {
                HoldOn::Everything => true,
                HoldOn::Backups(backups) => backups.contains(&entry.id),
            }
    };
    holds.iter().filter(on).map(|hold| hold.id.to_string()).collect()
}
