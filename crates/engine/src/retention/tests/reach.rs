//! Which instants can be reached, by brute force: every path, every segment, several positions in each.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{Lsn, Timeline};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;

use super::reference::{history, on_path, serves};
use super::world::{Segments, World};
use crate::retention::{Point, WalKeep};

const MIB: u64 = 1 << 20;

/// A position on the path of a timeline.
pub(super) type Instant = (SystemId, Timeline, Lsn);

/// The instants whose WAL was stored since a time and that some of these backups lead to with this WAL.
pub(super) fn reachable(
    world: &World,
    points: &[&Point],
    wal: &BTreeMap<SystemId, Segments>,
    since: Time,
) -> BTreeSet<Instant> {
    let mut found = BTreeSet::new();
    for (system, map) in &world.wal {
        let there = &wal[system];
        let has_good = world.points.iter().any(|point| point.system == *system && point.unfit.is_none());
        for timeline in map.timelines.keys() {
            let path = history(world, *system, *timeline);
            for point in points {
                let leads = point.system == *system && (point.unfit.is_none() || !has_good);
                if !leads || !on_path(&path, point) {
                    continue;
                }
                let mut number = point.start.0 / MIB;
                while let Some(stored) = there.get(&(serves(&path, map, number), number)) {
                    for position in [number * MIB, number * MIB + MIB / 2, (number + 1) * MIB - 1] {
                        if position >= point.stop.0 && *stored >= since {
                            found.insert((*system, *timeline, Lsn(position)));
                        }
                    }
                    number += 1;
                }
            }
        }
    }
    found
}

/// What is left of the WAL when only this is kept.
pub(super) fn pruned(world: &World, keep: &BTreeMap<SystemId, Vec<WalKeep>>) -> BTreeMap<SystemId, Segments> {
    let left = world.segments.iter().map(|(system, segments)| {
        let is_kept = |timeline: Timeline, number: u64| {
            keep[system]
                .iter()
                .any(|one| one.timeline == timeline && one.first.0 <= number && number <= one.last.0)
        };
        let left = segments.iter().filter(|((timeline, number), _)| is_kept(*timeline, *number));
        (*system, left.map(|(at, stored)| (*at, *stored)).collect())
    });
    left.collect()
}

/// The kept backups among those of a world.
pub(super) fn among<'w>(world: &'w World, kept: &BTreeSet<BackupId>) -> Vec<&'w Point> {
    world.points.iter().filter(|point| kept.contains(&point.id)).collect()
}
