//! Which instants can be reached, by brute force: every way, every segment; and which backups are the first of their days.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{Lsn, Timeline};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::layout::Named;

use super::history::History;

/// When it was stored, where it began, which backup.
type FirstOfDay = (i64, (Timeline, Lsn), BackupId);

/// A segment on the way of a timeline.
pub(super) type Instant = (SystemId, Timeline, u64);

/// Everything of all regions together: name, and when it was stored where it was stored first.
pub(super) type Together = BTreeMap<String, i64>;

impl History {
    /// The instants that good backups lead to, and when the WAL of each was stored.
    pub(super) fn reachable(&self, all: &Together) -> BTreeMap<Instant, i64> {
        let mut reached = BTreeMap::new();
        for life in &self.lives {
            for branch in 0..life.branches.len() {
                let timeline = life.branches[branch].timeline;
                for (place, manifest) in self.manifests.values() {
                    let header = &manifest.header;
                    let last = life.size.segment_before(header.stop).0;
                    let name = Named::Manifest { place: place.clone(), backup: header.backup }.to_name();
                    if *place != life.place
                        || header.damaged_pages > 0
                        || !all.contains_key(name.as_str())
                        || !life.carries(branch, header.timeline, last)
                    {
                        continue;
                    }
                    let mut number = life.size.segment_of(header.start).0;
                    while let Some(stored) =
                        all.get(life.segment(life.serves(branch, number), number).as_str())
                    {
                        if number >= last {
                            reached.insert((life.place.system, timeline, number), *stored);
                        }
                        number += 1;
                    }
                }
            }
        }
        reached
    }

    /// Instants of the last day that could be reached before and cannot any more. Clocks of regions lie hours apart, so the last hours of the
    /// day are left out.
    pub(super) fn lost(
        &self,
        before: &BTreeMap<Instant, i64>,
        after: &BTreeMap<Instant, i64>,
    ) -> BTreeSet<Instant> {
        let now = self.bench.world.clock.now_unix_us();
        let young = |stored: i64| now - stored < 12 * 3_600_000_000;
        let lost = before.iter().filter(|(instant, stored)| young(**stored) && !after.contains_key(*instant));
        lost.map(|(instant, _)| *instant).collect()
    }

    /// How many days count: what the rules say now, or said within the five days that shortened rules wait.
    fn days(&self) -> usize {
        let now = self.bench.world.clock.now_unix_us();
        let late = self.ended.iter().filter(|(_, ended)| now < ended + 120 * 3_600_000_000);
        late.map(|(daily, _)| *daily).chain([self.policy.daily]).max().unwrap_or(0) as usize
    }

    /// Backups that are gone since `before` although they are the first of one of the newest days. Days on which a writer's clock was
    /// off are passed over, and days on which the regions' clocks disagree: while one is away, the others' decide.
    pub(super) fn first_of_days(&self, before: &Together, after: &Together) -> Vec<BackupId> {
        let mut days: BTreeMap<(i64, SystemId), FirstOfDay> = BTreeMap::new();
        let (mut unclear, mut newest) = (self.disputed_days.clone(), BTreeSet::new());
        for (place, manifest) in self.manifests.values() {
            let name = Named::Manifest { place: place.clone(), backup: manifest.header.backup }.to_name();
            let name = name.as_str();
            let Some(stored) = after.get(name).or_else(|| before.get(name)) else { continue };
            if manifest.header.damaged_pages > 0 {
                continue;
            }
            let day = day_of(*stored);
            if (manifest.header.stopped.micros() - stored).abs() > 12 * 3_600_000_000 {
                unclear.insert(day);
                continue;
            }
            newest.insert(day);
            let header = &manifest.header;
            let one = (*stored, (header.stop_timeline, header.stop), header.backup);
            let first = days.entry((day, place.system)).or_insert(one);
            *first = one.min(*first);
        }
        let counted: BTreeSet<i64> = newest.into_iter().rev().take(self.days()).collect();
        let wanted = days.into_iter().filter(|((day, _), _)| counted.contains(day) && !unclear.contains(day));
        let gone = |id: &BackupId| {
            let name = Named::Manifest { place: self.manifests[id].0.clone(), backup: *id }.to_name();
            !after.contains_key(name.as_str())
        };
        wanted.map(|(_, (_, _, id))| id).filter(gone).collect()
    }
}

/// The day of a moment in microseconds, in UTC.
pub(super) fn day_of(micros: i64) -> i64 {
    micros.div_euclid(86_400_000_000)
}
