//! Gaps in WAL: what pruning left is not asked about, what it did not is.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{SegmentNo, Timeline};
use seawall_repo::id::SystemId;
use seawall_repo::time::Time;

use super::reach::pruned;
use super::world::{DAY, Dice, Segments, World, at};
use crate::retention::{WalRanges, WalReason, judge, wal_expected, wal_needed};

const WORLDS: u64 = 2_000;

type Names = BTreeSet<(SystemId, Timeline, u64)>;

/// What of a world there was at a time.
fn until(world: &World, now: i64) -> World {
    let mut then = world.clone();
    then.now = at(now);
    then.points.retain(|point| point.stored <= then.now);
    then.lineages.retain(|lineage| lineage.adopted <= then.now);
    then.segments.values_mut().for_each(|segments| segments.retain(|_, stored| *stored <= then.now));
    then.segments.retain(|_, segments| !segments.is_empty());
    // A branch shows its history file with its first segment.
    let has = |key: &(SystemId, Timeline)| {
        then.segments.get(&key.0).is_some_and(|of| of.keys().any(|(timeline, _)| *timeline == key.1))
    };
    then.histories.retain(|key, _| has(key));
    then.map_wal();
    then
}

fn names(segments: &BTreeMap<SystemId, Segments>) -> Names {
    let of = |(system, segments): (&SystemId, &Segments)| {
        let system = *system;
        segments.keys().map(move |(timeline, number)| (system, *timeline, *number)).collect::<Vec<_>>()
    };
    segments.iter().flat_map(of).collect()
}

fn asked(
    expected: &BTreeMap<SystemId, WalRanges>,
    (system, timeline, number): (SystemId, Timeline, u64),
) -> bool {
    let number = SegmentNo(number);
    expected.get(&system).is_some_and(|ranges| !ranges.inside(timeline, (number, number)).is_empty())
}

/// Takes out of a history what no window is to blame for: what was lost (it is put back, as old as what comes next), and what an old
/// timeline went on with beside its child. Who goes back in time goes to where recovery could.
fn orderly(world: &mut World) {
    let begins: Vec<_> = world
        .histories
        .iter()
        .filter_map(|((system, child), history)| {
            let (left, _, at) = history.switches().last()?;
            Some((*system, *child, left, at))
        })
        .collect();
    let beside = |system: SystemId, timeline: Timeline, end: u64| {
        begins.iter().any(|(of, child, left, at)| {
            *of == system && *child > timeline && (*left != timeline || at.0 < end)
        })
    };
    world.points.retain(|point| !beside(point.system, point.stop_timeline, point.stop.0));
    for (system, segments) in &mut world.segments {
        let first: BTreeMap<Timeline, i64> =
            segments.iter().fold(BTreeMap::new(), |mut first, ((timeline, _), stored)| {
                let stored = stored.micros();
                first
                    .entry(*timeline)
                    .and_modify(|first: &mut i64| *first = stored.min(*first))
                    .or_insert(stored);
                first
            });
        segments.retain(|(timeline, number), stored| {
            let later = first.iter().any(|(child, begun)| child > timeline && *begun <= stored.micros());
            !later && !beside(*system, *timeline, number << 20)
        });
        let mut next: BTreeMap<(Timeline, u64), (Timeline, Time)> = BTreeMap::new();
        for ((timeline, number), stored) in segments.iter() {
            next.insert((*timeline, *number), (*timeline, *stored));
        }
        // What comes behind the end of a timeline is its child's first.
        for (_, child, left, _) in begins.iter().filter(|(of, ..)| of == system) {
            if let Some(((_, number), stored)) =
                segments.range((*child, 0)..).next().filter(|((on, _), _)| on == child)
            {
                next.insert((*left, *number), (*child, *stored));
            }
        }
        let known: Vec<_> = next.into_iter().collect();
        for pair in known.windows(2) {
            let [((timeline, before), _), ((on, number), (_, stored))] = pair else { continue };
            let lost = (before + 1..*number).filter(|_| timeline == on);
            segments.extend(lost.map(|number| ((*on, number), *stored)));
        }
    }
}

/// Whether a segment that no prune took is asked for.
fn asks_for_a_loss(
    expected: &BTreeMap<SystemId, WalRanges>,
    system: SystemId,
    there: &Names,
    gone: &Names,
) -> bool {
    let ranges = expected.get(&system).into_iter().flat_map(WalRanges::iter);
    let mut all = ranges.flat_map(|(timeline, first, last)| {
        (first.0..=last.0.min(10_000)).map(move |number| (system, timeline, number))
    });
    all.any(|name| !there.contains(&name) && !gone.contains(&name))
}

/// Prunes day by day and asks after each: backups and segments that are gone stay gone, those of a day come as they did. In a history
/// without losses nothing is asked about. Beside a loss, which is asked about, what was let go because nothing led through it may be; a
/// segment that comes when what lies behind it was given up, or who goes back to where nothing led, makes a few more matter.
#[test]
fn no_gap_that_pruning_left_is_asked_about_but_for_a_loss_beside_it() {
    let (mut gone_of_all, mut with_a_loss, mut alone, mut looks) = (0, 0, 0, 0);
    for number in 0..WORLDS / 4 {
        let mut world = World::random(number);
        if !world.policy.has_rules() {
            continue;
        }
        if number % 2 == 0 {
            orderly(&mut world);
        }
        let end = world.now.seconds().cast_signed();
        let (mut gone, mut let_go): (Names, BTreeSet<_>) = Default::default();
        for now in (0..12).map(|step| end - (11 - step) * 5 * DAY) {
            let mut then = until(&world, now);
            then.points.retain(|point| !let_go.contains(&point.id));
            for (system, segments) in &mut then.segments {
                segments.retain(|(timeline, number), _| !gone.contains(&(*system, *timeline, *number)));
            }
            then.map_wal();
            let expected = wal_expected(&then.input());
            let there = names(&then.segments);
            for name in gone.iter().filter(|name| asked(&expected, **name)) {
                assert!(number % 2 == 1, "world {number}, day {}: {name:?}", (now - end) / DAY);
                let counted = if asks_for_a_loss(&expected, name.0, &there, &gone) {
                    &mut with_a_loss
                } else {
                    &mut alone
                };
                *counted += 1;
            }
            let decisions = judge(&then.input());
            let left = pruned(&then, &wal_needed(&then.input(), &decisions));
            gone.extend(there.difference(&names(&left)));
            let_go.extend(decisions.iter().filter(|one| !one.is_kept()).map(|one| one.id));
            looks += 1;
        }
        gone_of_all += gone.len();
    }
    assert!(gone_of_all > 10_000 && looks > 2_000, "{gone_of_all} segments, {looks} looks");
    assert!(with_a_loss < gone_of_all / 20 && alone < 10, "{with_a_loss} and {alone} of {gone_of_all}");
}

/// Takes a segment away that the window or a backup needs: it is asked for, wherever it lay.
#[test]
fn a_segment_that_is_needed_and_gone_is_asked_for() {
    let mut tried = 0;
    for number in 0..WORLDS {
        let world = World::random(number);
        let keep = wal_needed(&world.input(), &judge(&world.input()));
        // Where no history file tells the way, a gap before the first backup lies on none.
        let told = [WalReason::Young, WalReason::HistoryMissing];
        let led_to = |one: &&crate::retention::WalKeep| !told.contains(&one.reason);
        let needed: BTreeMap<_, Vec<_>> = keep
            .iter()
            .map(|(system, keep)| (*system, keep.iter().filter(led_to).cloned().collect()))
            .collect();
        let all: Vec<_> = names(&pruned(&world, &needed)).into_iter().collect();
        if all.is_empty() {
            continue;
        }
        let (system, timeline, segment) = *Dice::new(number + 7).pick(&all);
        let mut without = world.clone();
        without.segments.get_mut(&system).unwrap().remove(&(timeline, segment));
        without.map_wal();
        // The end of a timeline is no gap: nobody knows that there was more. Of one that came late nobody knows how young it was.
        let behind = without.segments[&system].range((timeline, segment)..).next();
        let late = |stored: &Time| *stored < world.segments[&system][&(timeline, segment)];
        if behind.is_none_or(|((on, _), stored)| *on != timeline || late(stored)) {
            continue;
        }
        tried += 1;
        let expected = wal_expected(&without.input());
        assert!(asked(&expected, (system, timeline, segment)), "world {number}: {timeline} {segment}");
    }
    assert!(tried > 1_000, "{tried}");
}
