//! The rules once more, slow and plain: what is kept, without a thought for speed, reasons or order.
//!
//! Written from the words in `docs/ARCHITECTURE.md`, with calendars as text and WAL segment by segment.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, ToSpan as _, Zoned};
use seawall_pg::{History, SegmentNo, Timeline};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;

use super::world::World;
use crate::retention::Point;

const DAY: i64 = 86_400_000_000;

/// The ids of all that is kept. `max_age` is left out.
pub(super) fn kept(world: &World) -> BTreeSet<BackupId> {
    let policy = &world.policy;
    let mut kept: BTreeSet<BackupId> = BTreeSet::new();
    kept.extend(world.points.iter().filter(|point| !point.holds.is_empty()).map(|point| point.id));
    kept.extend(floor(world));
    let counts = [policy.last, policy.hourly, policy.daily, policy.weekly, policy.monthly, policy.yearly];
    if counts == [0; 6] && policy.within.is_none() && policy.pitr.is_none() {
        return world.points.iter().map(|point| point.id).collect();
    }
    for (format, count) in [
        (HOUR, policy.hourly),
        ("%Y-%m-%d", policy.daily),
        ("%G-W%V", policy.weekly),
        ("%Y-%m", policy.monthly),
        ("%Y", policy.yearly),
    ] {
        kept.extend(periodic(world, format, count));
    }
    kept.extend(last(world));
    kept.extend(least(world));
    if let Some(within) = policy.within {
        let young = |point: &&Point| micros_since(point.stored, world.now) < span(within);
        kept.extend(good(world).into_iter().filter(young).map(|point| point.id));
    }
    kept.extend(windows(world));
    kept
}

/// The name of an hour with its offset, so that one that comes twice has two names.
const HOUR: &str = "%Y-%m-%d %H %z";

fn span(span: crate::retention::Span) -> i64 {
    span.as_seconds().cast_signed() * 1_000_000
}

fn micros_since(earlier: Time, later: Time) -> i64 {
    // Ages are counted in whole seconds.
    (later.seconds().cast_signed() - earlier.seconds().cast_signed()).max(0) * 1_000_000
}

fn zoned(world: &World, time: Time) -> Zoned {
    Timestamp::from_microsecond(time.micros()).unwrap().in_tz(&world.policy.zone).unwrap()
}

fn name(world: &World, format: &str, time: Time) -> String {
    zoned(world, time).strftime(format).to_string()
}

fn claim(point: &Point) -> Time {
    if point.claimed > point.stored { point.stored } else { point.claimed }
}

fn confirmed(point: &Point) -> bool {
    (point.claimed.seconds().cast_signed() - point.stored.seconds().cast_signed()).abs() <= 86_400
}

/// In the order in which they were stored.
fn good(world: &World) -> Vec<&Point> {
    let mut good: Vec<&Point> = world.points.iter().filter(|point| point.unfit.is_none()).collect();
    good.sort_by_key(|point| (point.stored, place(point)));
    good
}

fn place(point: &Point) -> impl Ord + use<> {
    (point.stop_timeline, point.stop, point.start, point.stored, point.id)
}

fn systems(world: &World) -> BTreeSet<SystemId> {
    world.points.iter().map(|point| point.system).collect()
}

/// The newest names of periods that have a good, confirmed backup.
fn newest_names(world: &World, format: &str, count: u32) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for point in good(world).into_iter().rev().filter(|point| confirmed(point)) {
        let name = name(world, format, point.stored);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(count as usize);
    names
}

fn periodic(world: &World, format: &str, count: u32) -> Vec<BackupId> {
    let mut kept = Vec::new();
    let newest = newest_names(world, format, count);
    let span = names_back(world, format, count);
    for system in systems(world) {
        let of_it: Vec<_> = good(world).into_iter().filter(|point| point.system == system).collect();
        for wanted in &newest {
            let in_it = |point: &&&Point| confirmed(point) && name(world, format, point.stored) == *wanted;
            kept.extend(of_it.iter().find(in_it).map(|point| point.id));
        }
        for wanted in &span {
            let in_it = |point: &&&Point| !confirmed(point) && name(world, format, claim(point)) == *wanted;
            kept.extend(of_it.iter().find(in_it).map(|point| point.id));
        }
    }
    kept
}

/// The names of so many periods, the last of which is now's.
fn names_back(world: &World, format: &str, count: u32) -> BTreeSet<String> {
    let now = zoned(world, world.now);
    let noon = now.date().at(12, 0, 0, 0);
    let back = |steps: i64| match format {
        HOUR => (&now - steps.hours()).strftime(HOUR).to_string(),
        "%Y-%m-%d" => (noon - steps.days()).strftime(format).to_string(),
        "%G-W%V" => (noon - steps.weeks()).strftime(format).to_string(),
        "%Y-%m" => (noon.first_of_month() - steps.months()).strftime(format).to_string(),
        _ => (noon.first_of_year() - steps.years()).strftime(format).to_string(),
    };
    (0..i64::from(count)).map(back).collect()
}

fn last(world: &World) -> Vec<BackupId> {
    let count = world.policy.last;
    if count == 0 {
        return Vec::new();
    }
    let hours = newest_names(world, HOUR, count);
    let mut kept = Vec::new();
    // The start of the oldest hour that counts; any claim will do while there are too few.
    let oldest = hours.last().filter(|_| hours.len() == count as usize);
    let oldest = oldest.and_then(|hour| {
        good(world).into_iter().find(|p| confirmed(p) && name(world, HOUR, p.stored) == *hour)
    });
    for system in systems(world) {
        let of_it: Vec<_> = good(world).into_iter().filter(|point| point.system == system).collect();
        for hour in &hours {
            let in_it = |point: &&&Point| confirmed(point) && name(world, HOUR, point.stored) == *hour;
            kept.extend(of_it.iter().find(in_it).map(|point| point.id));
            kept.extend(of_it.iter().rfind(in_it).map(|point| point.id));
        }
        let mut claimed: BTreeSet<String> = BTreeSet::new();
        for point in of_it.iter().filter(|point| !confirmed(point)) {
            let hour = name(world, HOUR, claim(point));
            let young = oldest.is_none_or(|oldest| {
                claim(point) >= oldest.stored || hour == name(world, HOUR, oldest.stored)
            });
            if young && claimed.insert(hour) {
                kept.push(point.id);
            }
        }
    }
    kept
}

fn rank(world: &World, system: SystemId) -> usize {
    let mut adopted: Vec<_> = world.lineages.iter().map(|one| (one.adopted, one.system)).collect();
    adopted.sort_unstable();
    let strangers = systems(world).into_iter().chain(world.wal.keys().copied()).collect::<BTreeSet<_>>();
    let mut order: Vec<SystemId> = adopted.into_iter().map(|(_, system)| system).collect();
    order
        .extend(strangers.into_iter().filter(|one| !world.lineages.iter().any(|known| known.system == *one)));
    order.iter().position(|one| *one == system).unwrap()
}

fn least(world: &World) -> Vec<BackupId> {
    let wanted = world.policy.min_backups as usize;
    let hours = newest_names(world, HOUR, u32::MAX);
    let mut kept: Vec<BackupId> = Vec::new();
    for hour in hours.iter().take(wanted) {
        let in_it: Vec<&Point> = good(world)
            .into_iter()
            .filter(|p| confirmed(p) && name(world, HOUR, p.stored) == *hour)
            .collect();
        let newest = in_it.iter().map(|point| rank(world, point.system)).max().unwrap();
        kept.extend(
            in_it.into_iter().find(|point| rank(world, point.system) == newest).map(|point| point.id),
        );
    }
    let mut others: Vec<&Point> = good(world).into_iter().filter(|point| !confirmed(point)).collect();
    others.sort_by_key(|point| (claim(point), place(point)));
    let room = wanted.saturating_sub(hours.len());
    kept.extend(others.into_iter().rev().take(room).map(|point| point.id));
    kept
}

pub(super) fn superseded(world: &World, system: SystemId) -> bool {
    let successors = world
        .lineages
        .iter()
        .filter(|one| one.after == Some(system) && rank(world, one.system) > rank(world, system));
    successors.into_iter().any(|one| {
        let taken = good(world).into_iter().any(|point| point.system == one.system && confirmed(point));
        taken || superseded(world, one.system)
    })
}

fn floor(world: &World) -> Vec<BackupId> {
    let mut kept = Vec::new();
    for system in systems(world).into_iter().filter(|system| !superseded(world, *system)) {
        let all: Vec<&Point> = world.points.iter().filter(|point| point.system == system).collect();
        let good: Vec<&Point> = all.iter().copied().filter(|point| point.unfit.is_none()).collect();
        if good.is_empty() {
            kept.extend(all.iter().map(|point| point.id));
        }
        let sure: Vec<&Point> = good.iter().copied().filter(|point| confirmed(point)).collect();
        let mut groups = vec![all, good.clone(), sure.clone()];
        for region in &world.regions {
            for of in [&good, &sure] {
                groups.push(of.iter().copied().filter(|point| point.regions.contains(region)).collect());
            }
        }
        for group in groups {
            kept.extend(group.iter().max_by_key(|point| (point.stored, place(point))).map(|point| point.id));
            kept.extend(group.iter().max_by_key(|point| place(point)).map(|point| point.id));
        }
    }
    kept
}

/// The timeline whose copy of a segment counts on a path.
pub(super) fn serves(history: &History, wal: &crate::retention::WalMap, number: u64) -> Timeline {
    history.timeline_of_segment(SegmentNo(number), wal.size)
}

/// When the run that holds a segment was last added to.
fn stored(wal: &crate::retention::WalMap, timeline: Timeline, number: u64) -> Option<Time> {
    let runs = wal.timelines.get(&timeline)?;
    let run = runs.iter().find(|run| run.first.0 <= number && number <= run.last.0)?;
    Some(run.last_stored)
}

pub(super) fn history(world: &World, system: SystemId, timeline: Timeline) -> History {
    world.histories.get(&(system, timeline)).cloned().unwrap_or(History::root(timeline))
}

pub(super) fn on_path(history: &History, point: &Point) -> bool {
    // The histories of these tests' backups never change timeline on the way.
    history.covers(point.timeline, point.start, point.stop).is_ok()
}

fn windows(world: &World) -> BTreeSet<BackupId> {
    let pitr = world.policy.pitr.map_or(0, span).max(DAY);
    let cutoff = Time::from_micros((world.now.micros() - pitr).max(0)).unwrap();
    let mut kept = BTreeSet::new();
    for (system, wal) in &world.wal {
        let has_good = good(world).iter().any(|point| point.system == *system);
        let leads = |point: &&Point| point.system == *system && (point.unfit.is_none() || !has_good);
        let candidates: Vec<&Point> = world.points.iter().filter(leads).collect();
        let live = live(world, *system);
        for timeline in &timelines(world, *system) {
            let path = history(world, *system, *timeline);
            let mut newest = live.contains(timeline);
            for stretch in stretches(&path, wal).into_iter().rev() {
                let inside = |point: &&Point| {
                    let last = (point.stop.0 - 1) / wal.size.bytes();
                    let own = point.start.0 / wal.size.bytes()..=last;
                    on_path(&path, point) && own.into_iter().all(|number| stretch.contains_key(&number))
                };
                let inside: Vec<&Point> = candidates.iter().copied().filter(inside).collect();
                if inside.is_empty() {
                    continue;
                }
                kept.extend(window(world, &inside, &stretch, cutoff, newest));
                newest = false;
            }
        }
    }
    kept
}

/// Those of WAL and those of history files.
fn timelines(world: &World, system: SystemId) -> BTreeSet<Timeline> {
    let of_files = world.histories.keys().filter(|(of, _)| *of == system).map(|(_, timeline)| *timeline);
    world.wal[&system].timelines.keys().copied().chain(of_files).collect()
}

fn live(world: &World, system: SystemId) -> BTreeSet<Timeline> {
    let wal = &world.wal[&system];
    let known =
        |timeline: &&Timeline| timeline.get() == 1 || world.histories.contains_key(&(system, **timeline));
    let of_wal: Vec<Timeline> = wal.timelines.keys().filter(known).copied().collect();
    let all = timelines(world, system);
    if superseded(world, system) {
        return BTreeSet::new();
    }
    let when = |timeline: &&Timeline| {
        (wal.timelines[timeline].iter().max_by_key(|run| run.last).unwrap().last_stored, **timeline)
    };
    of_wal.iter().max_by_key(when).into_iter().chain(all.iter().rfind(known)).copied().collect()
}

fn stretches(path: &History, wal: &crate::retention::WalMap) -> Vec<BTreeMap<u64, Time>> {
    let highest = wal.timelines.values().flatten().map(|run| run.last.0).max().unwrap_or(0);
    let mut stretches: Vec<BTreeMap<u64, Time>> = vec![BTreeMap::new()];
    for number in 0..=highest {
        match stored(wal, serves(path, wal, number), number) {
            Some(time) => drop(stretches.last_mut().unwrap().insert(number, time)),
            None => stretches.push(BTreeMap::new()),
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

fn window(
    world: &World,
    inside: &[&Point],
    stretch: &BTreeMap<u64, Time>,
    cutoff: Time,
    newest: bool,
) -> Vec<BackupId> {
    let reachable = inside.iter().map(|point| point.stop.0).min().unwrap();
    let since = stretch.iter().find(|(number, time)| **number >= reachable >> 20 && **time >= cutoff);
    let since = since.map(|(number, _)| (number << 20).max(reachable));
    if since.is_none() && !newest {
        return Vec::new();
    }
    let end = |point: &&Point| (point.stop, point.start, point.stored, point.id);
    let mut steps: Vec<&Point> = Vec::new();
    for point in inside {
        let day = |other: &&&Point| {
            confirmed(other) == confirmed(point)
                && name(world, "%Y-%m-%d", other.stored) == name(world, "%Y-%m-%d", point.stored)
        };
        let first = inside.iter().copied().filter(|other| day(&other)).min_by_key(|p| (p.stored, place(p)));
        let ends = inside.iter().copied().filter(|other| day(&other)).min_by_key(end);
        if [first, ends].iter().flatten().any(|chosen| chosen.id == point.id) {
            steps.push(point);
        }
    }
    steps.sort_by_key(end);
    let leads = |point: &&&Point| point.stored <= cutoff && since.is_none_or(|since| point.stop.0 <= since);
    let day = |point: &Point| name(world, "%Y-%m-%d", point.stored);
    let base = steps.iter().filter(leads).map(|point| day(point)).max().unwrap_or_default();
    let mut kept: Vec<BackupId> =
        steps.iter().filter(|point| day(point) >= base).map(|point| point.id).collect();
    if newest {
        let sure = inside.iter().copied().filter(|point| confirmed(point)).max_by_key(end);
        kept.extend(sure.or(inside.iter().copied().max_by_key(end)).map(|point| point.id));
    }
    kept
}
