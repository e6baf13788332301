//! Whether the rules of retention ask for WAL that is not there: a gap that pruning left is no damage, one that it did not leave is.
//!
//! Promises: what is asked for follows from the backups and WAL of all regions together, as it does when `prune` decides, and from
//! the rules that each region itself records. Where a region's rules are not known (none recorded, one that cannot be read), every gap in
//! it is told: a false alarm costs less than a silent hole. No host's clock makes a gap go unsaid: what was stored last tells the time.

use std::collections::BTreeMap;

use seawall_pg::{History, Timeline};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::layout::Place;
use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::knowledge::Backup;
use super::pass::Progress;
use crate::prune::{Recorded, recorded};
use crate::repository::Repository;
use crate::retention::{Input, Lineage, Point, WalMap, WalRanges, wal_expected};

/// What WAL the rules of each region ask for, by system identifier; none where the rules are not known.
#[derive(Debug, Default)]
pub(super) struct Expected {
    regions: BTreeMap<RegionName, Option<BTreeMap<SystemId, WalRanges>>>,
}

impl Expected {
    /// What WAL of a system a region should have; none where that is not known.
    pub(super) fn of(&self, region: &RegionName, system: SystemId) -> Option<&WalRanges> {
        self.regions.get(region)?.as_ref()?.get(&system)
    }

    /// Reads the rules of each of these regions and applies them to what all of them have. `newest` is when something was stored last.
    pub(super) async fn load(
        repository: &Repository,
        systems: &BTreeMap<SystemId, Progress>,
        regions: impl IntoIterator<Item = RegionName>,
        newest: Time,
    ) -> Self {
        let now = crate::backup::now(repository.world()).map_or(newest, |now| now.min(newest));
        let places: Vec<Place> = systems.values().map(|progress| progress.known.place.clone()).collect();
        let scene = Scene::of(systems, now);
        let mut expected = Self::default();
        for region in regions {
            let of_region = match repository.within(&region) {
                // A region that cannot say its rules keeps them to itself: every gap is told.
                Some(within) => recorded(&within, &places).await.ok(),
                None => None,
            };
            let asked = of_region.and_then(|recorded| scene.expected(systems, &recorded));
            expected.regions.insert(region, asked);
        }
        expected
    }
}

/// What retention looks at, but for the rules.
struct Scene {
    lineages: Vec<Lineage>,
    histories: BTreeMap<(SystemId, Timeline), History>,
    wal: BTreeMap<SystemId, WalMap>,
    now: Time,
    regions: Vec<RegionName>,
}

impl Scene {
    fn of(systems: &BTreeMap<SystemId, Progress>, now: Time) -> Self {
        let histories = systems.iter().flat_map(|(system, progress)| {
            let all = progress.histories.values().flatten();
            all.map(move |(timeline, history)| ((*system, *timeline), history.clone()))
        });
        let wal = systems
            .iter()
            .filter_map(|(system, progress)| Some((*system, progress.wal.map(progress.known.size?))));
        let regions =
            systems.values().next().map(|progress| progress.known.regions.keys().cloned().collect());
        Self {
            lineages: systems.values().map(|progress| progress.known.lineage.clone()).collect(),
            histories: histories.collect(),
            wal: wal.collect(),
            now,
            regions: regions.unwrap_or_default(),
        }
    }

    fn expected(
        &self,
        systems: &BTreeMap<SystemId, Progress>,
        recorded: &Recorded,
    ) -> Option<BTreeMap<SystemId, WalRanges>> {
        let policy = recorded.policy(self.now)?;
        let points: Vec<Point> =
            systems.values().flat_map(|progress| points(progress, recorded, self.now)).collect();
        Some(wal_expected(&Input {
            points: &points,
            lineages: &self.lineages,
            histories: &self.histories,
            wal: &self.wal,
            policy: &policy,
            now: self.now,
            regions: &self.regions,
        }))
    }
}

/// The backups of a place as they were when they were stored: what they lost since makes no gap before them matter.
fn points(progress: &Progress, recorded: &Recorded, now: Time) -> Vec<Point> {
    let known = &progress.known;
    let mut all: BTreeMap<BackupId, (&Backup, Vec<RegionName>)> = BTreeMap::new();
    for (region, of) in &known.regions {
        for (id, backup) in &of.backups {
            all.entry(*id).or_insert((backup, Vec::new())).1.push(region.clone());
        }
    }
    let point = |(id, (backup, regions)): (BackupId, (&Backup, Vec<RegionName>))| Point {
        id,
        system: known.place.system,
        timeline: backup.timeline,
        start: backup.start,
        stop: backup.stop,
        stop_timeline: backup.stop_timeline,
        stored: backup.stored,
        claimed: backup.claimed,
        oldest_bytes: None,
        unfit: (backup.damaged_pages > 0 || backup.empty).then(|| "damaged or empty".to_owned()),
        regions,
        holds: recorded.holds_on(&known.place, id, now),
    };
    all.into_iter().map(point).collect()
}
