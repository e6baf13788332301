//! What holds for every history, tried on thousands of random ones.

use std::collections::BTreeSet;

use seawall_pg::Lsn;
use seawall_repo::id::BackupId;
use seawall_repo::time::Time;

use super::reach::{among, pruned, reachable};
use super::reference;
use super::world::{DAY, Dice, HOUR, World, at, id, timeline};
use crate::retention::calendar::{Calendar, Unit};
use crate::retention::policy::MARGIN;
use crate::retention::window::reach;
use crate::retention::{
    Decision, Input, Point, Policy, Reason, Rule, Span, WalMap, Why, decide, histories_needed, judge,
    simulate, wal_needed,
};

const WORLDS: u64 = 2_000;

fn worlds() -> impl Iterator<Item = (u64, World)> {
    (0..WORLDS).map(|number| (number, World::random(number)))
}

fn kept_of(decisions: &[Decision]) -> BTreeSet<BackupId> {
    decisions.iter().filter(|decision| decision.is_kept()).map(|decision| decision.id).collect()
}

fn kept(world: &World) -> BTreeSet<BackupId> {
    kept_of(&judge(&world.input()))
}

#[test]
fn what_is_kept_is_what_the_plain_reference_keeps() {
    let (mut all, mut condemned) = (0, 0);
    for (number, world) in worlds() {
        let kept = kept(&world);
        assert_eq!(kept, reference::kept(&world), "world {number}");
        all += world.points.len();
        condemned += world.points.len() - kept.len();
    }
    // A test in which nothing is condemned, or everything, proves nothing.
    assert!(
        all > usize::try_from(WORLDS).unwrap() * 25 && condemned * 5 > all && condemned * 5 < all * 4,
        "{condemned} of {all}"
    );
}

#[test]
fn a_policy_that_grows_keeps_no_less() {
    for (number, world) in worlds().filter(|(_, world)| world.policy.has_rules()) {
        let before = kept(&world);
        let mut dice = Dice::new(number + 1);
        let mut grown = world.policy.clone();
        let more = u32::try_from(dice.below(5) + 1).unwrap();
        let longer = Span::seconds(dice.below(864_000) + 1);
        match dice.below(9) {
            0 => grown.last += more,
            1 => grown.hourly += more,
            2 => grown.daily += more,
            3 => grown.weekly += more,
            4 => grown.monthly += more,
            5 => grown.yearly += more,
            6 => grown.min_backups += more,
            7 => grown.within = Some(grown.within.unwrap_or_default().plus(longer)),
            _ => grown.pitr = Some(grown.pitr.unwrap_or_default().plus(longer)),
        }
        let after = kept(&World { policy: grown.clone(), ..world.clone() });
        assert!(before.is_subset(&after), "world {number}: {:?} grew to {grown:?}", world.policy);
    }
}

#[test]
fn the_most_generous_policy_keeps_what_each_keeps() {
    for (number, world) in worlds().take(1_000) {
        let mut other = World::random(number + WORLDS).policy;
        other.zone.clone_from(&world.policy.zone);
        let both = Policy::most_generous(&[other.clone(), world.policy.clone()]);
        let after = kept(&World { policy: both, ..world.clone() });
        for policy in [other, world.policy.clone()] {
            let before = kept(&World { policy, ..world.clone() });
            assert!(before.is_subset(&after), "world {number}");
        }
    }
}

#[test]
fn deciding_again_without_the_condemned_condemns_nothing() {
    for (number, mut world) in worlds() {
        if number % 3 == 0 {
            world.policy.max_age = Some(Span::days(50));
        }
        // A run is as young as its youngest segment, also where that one goes: without runs, ages are exact.
        world.map_each_segment();
        let decisions = judge(&world.input());
        let first = kept_of(&decisions);
        let wal = wal_needed(&world.input(), &decisions);
        world.points.retain(|point| first.contains(&point.id));
        assert_eq!(kept(&world), first, "world {number}, with its WAL");
        world.segments = pruned(&world, &wal);
        world.segments.retain(|_, segments| !segments.is_empty());
        world.map_each_segment();
        assert_eq!(kept(&world), first, "world {number}, without the WAL that is not needed");
        let again = wal_needed(&world.input(), &judge(&world.input()));
        let left: BTreeSet<_> =
            pruned(&world, &again).into_iter().filter(|(_, wal)| !wal.is_empty()).collect();
        let had: BTreeSet<_> = world.segments.clone().into_iter().collect();
        assert_eq!(left, had, "world {number}: more WAL is condemned the second time");
    }
}

#[test]
fn everything_that_can_be_reached_stays_reachable() {
    let mut instants = 0;
    for (number, world) in worlds() {
        let decisions = judge(&world.input());
        let wal = wal_needed(&world.input(), &decisions);
        let left = pruned(&world, &wal);
        let since = reach(&world.policy).before(world.now);
        let all: Vec<&Point> = world.points.iter().collect();
        let before = reachable(&world, &all, &world.segments, since);
        let kept = among(&world, &kept_of(&decisions));
        let after = reachable(&world, &kept, &left, since);
        instants += before.len();
        let lost: Vec<_> = before.difference(&after).collect();
        assert!(lost.is_empty(), "world {number}: {lost:?}");
        for point in kept.iter().filter(|point| point.unfit.is_none()) {
            let path = reference::history(&world, point.system, point.timeline);
            let map = &world.wal[&point.system];
            for segment in point.start.0 >> 20..=(point.stop.0 - 1) >> 20 {
                let name = (reference::serves(&path, map, segment), segment);
                assert!(
                    left[&point.system].contains_key(&name),
                    "world {number}: {} of {}",
                    segment,
                    point.id
                );
            }
        }
    }
    assert!(instants > usize::try_from(WORLDS).unwrap() * 50, "{instants}");
}

#[test]
fn histories_stay_while_anything_lies_on_their_timelines() {
    for (number, world) in worlds().take(500) {
        let decisions = judge(&world.input());
        let wal = wal_needed(&world.input(), &decisions);
        let needed = histories_needed(&world.input(), &decisions, &wal);
        let kept = kept_of(&decisions);
        let on_points = among(&world, &kept).into_iter().map(|point| (point.system, point.timeline));
        let on_wal = wal.iter().flat_map(|(system, keep)| keep.iter().map(|one| (*system, one.timeline)));
        for (system, on) in on_points.chain(on_wal).collect::<BTreeSet<_>>() {
            for span in reference::history(&world, system, on).spans() {
                let name = (system, span.timeline);
                assert!(needed.contains(&name) || !world.histories.contains_key(&name), "world {number}");
            }
        }
    }
}

/// New backups, all stored in the hour of now, with whatever else a taken host can make up.
fn flood(world: &World, dice: &mut Dice, honest_clock: bool) -> World {
    let mut flooded = world.clone();
    let latest = world.points.iter().map(|point| point.stored).max().unwrap_or(world.now);
    let now = latest.max(world.now).seconds().cast_signed() + 2;
    flooded.now = at(now);
    let templates = world.points.clone();
    for index in 0..dice.below(40) + 1 {
        let mut forged = dice.pick(&templates).clone();
        forged.id = id(dice.below(4_000_000_000), dice.roll());
        forged.stored = at(now - 1 + i64::from(index % 2 == 0));
        forged.claimed = if honest_clock { forged.stored } else { at(dice.between(0, 4_000_000_000)) };
        forged.unfit = dice.chance(10).then(|| "empty".to_owned());
        forged.holds.clear();
        if dice.chance(40) {
            let start = dice.below(200 << 20) + 1;
            (forged.start, forged.stop) = (Lsn(start), Lsn(start + dice.below(3 << 20) + 1));
            forged.timeline = timeline(u32::try_from(dice.below(5) + 1).unwrap());
            forged.stop_timeline = forged.timeline;
        }
        if !honest_clock && forged.is_confirmed() {
            continue;
        }
        flooded.points.push(forged);
    }
    flooded
}

#[test]
fn a_flood_with_wrong_dates_condemns_nothing_that_was_confirmed() {
    for (number, mut world) in worlds().filter(|(_, world)| !world.points.is_empty()) {
        let mut dice = Dice::new(number + 2);
        let flooded = flood(&world, &mut dice, false);
        world.now = flooded.now;
        let after = kept(&flooded);
        for decision in judge(&world.input()).iter().filter(|decision| decision.is_kept()) {
            let point = world.points.iter().find(|point| point.id == decision.id).unwrap();
            let sure = point.is_good() && point.is_confirmed();
            assert!(!sure || after.contains(&point.id), "world {number}: {decision:?}");
        }
    }
}

#[test]
fn a_flood_with_right_dates_costs_the_oldest_period_and_no_more() {
    let mut lost = 0;
    for (number, mut world) in worlds().filter(|(_, world)| !world.points.is_empty()) {
        let mut dice = Dice::new(number + 3);
        let flooded = flood(&world, &mut dice, true);
        world.now = flooded.now;
        let after = judge(&flooded.input());
        for decision in judge(&world.input()).iter().filter(|decision| decision.is_kept()) {
            let point = world.points.iter().find(|point| point.id == decision.id).unwrap();
            let now = after.iter().find(|now| now.id == decision.id).unwrap();
            if !point.is_good() || !point.is_confirmed() || now.is_kept() {
                continue;
            }
            lost += 1;
            for reason in &decision.keep {
                assert!(is_excused(&world, point, reason), "world {number}: {decision:?}");
            }
        }
    }
    assert!(lost > 0, "no flood cost anything, so the bound is not tried");
}

/// Whether a flood within the hour of now may take this reason from a backup.
fn is_excused(world: &World, point: &Point, reason: &Reason) -> bool {
    let policy = &world.policy;
    let oldest_of = |unit: Unit, count: u32| is_oldest(world, point, unit, count);
    match reason.rule {
        // What is newest moves on.
        Rule::Floor => true,
        Rule::Tail if reason.text.starts_with("last backup") => true,
        // The day that is not over yet.
        Rule::Pitr | Rule::Tail => same(world, point, Unit::Day),
        Rule::Last => oldest_of(Unit::Hour, policy.last) || same(world, point, Unit::Hour),
        Rule::MinBackups => oldest_of(Unit::Hour, policy.min_backups) || same(world, point, Unit::Hour),
        Rule::Hourly => oldest_of(Unit::Hour, policy.hourly),
        Rule::Daily => oldest_of(Unit::Day, policy.daily),
        Rule::Weekly => oldest_of(Unit::Week, policy.weekly),
        Rule::Monthly => oldest_of(Unit::Month, policy.monthly),
        Rule::Yearly => oldest_of(Unit::Year, policy.yearly),
        Rule::Hold | Rule::NoRule | Rule::Within => false,
    }
}

fn same(world: &World, point: &Point, unit: Unit) -> bool {
    let calendar = Calendar::of(&world.policy);
    calendar.periods(point.stored).of(unit) == calendar.periods(world.now).of(unit)
}

/// Whether a backup's period is the last that counts, and now's does not count yet.
fn is_oldest(world: &World, point: &Point, unit: Unit, count: u32) -> bool {
    let calendar = Calendar::of(&world.policy);
    let of = |time: Time| calendar.periods(time).of(unit);
    let sure = world.points.iter().filter(|point| point.is_good() && point.is_confirmed());
    let periods: BTreeSet<i64> = sure.map(|point| of(point.stored)).collect();
    let newer = periods.iter().filter(|period| **period > of(point.stored)).count();
    newer + 1 == count as usize && !periods.contains(&of(world.now))
}

#[test]
fn time_alone_never_takes_the_newest_good_backup_of_a_lineage_or_region() {
    for (number, mut world) in worlds().take(1_000) {
        world.policy.max_age = (number % 2 == 0).then(|| Span::days(90));
        for days in [1, 30, 400, 4_000] {
            let later = World { now: at(world.now.seconds().cast_signed() + days * DAY), ..world.clone() };
            let decisions = judge(&later.input());
            let kept = kept_of(&decisions);
            let left = pruned(&later, &wal_needed(&later.input(), &decisions));
            for lineage in later.lineages.iter().filter(|one| !reference::superseded(&later, one.system)) {
                let of_it = later.points.iter().filter(|point| point.system == lineage.system);
                let good: Vec<&Point> = of_it.filter(|point| point.is_good()).collect();
                let newest = good.iter().max_by_key(|point| (point.stored, point.position()));
                assert!(newest.is_none_or(|point| kept.contains(&point.id)), "world {number}");
                for region in &later.regions {
                    let here = good.iter().filter(|point| point.regions.contains(region));
                    let newest = here.max_by_key(|point| (point.stored, point.position()));
                    assert!(newest.is_none_or(|point| kept.contains(&point.id)), "world {number}: {region}");
                }
                latest_stays(number, &later, &left, lineage.system);
            }
        }
    }
}

/// The last position that the present timeline of a lineage leads to can be reached for ever.
fn latest_stays(
    number: u64,
    world: &World,
    left: &std::collections::BTreeMap<seawall_repo::id::SystemId, super::world::Segments>,
    system: seawall_repo::id::SystemId,
) {
    let Some(map) = world.wal.get(&system) else { return };
    let known = |on: seawall_pg::Timeline| on.get() == 1 || world.histories.contains_key(&(system, on));
    let ends = map.timelines.iter().filter(|(on, _)| known(**on));
    let Some((_, on)) =
        ends.map(|(on, runs)| (runs.iter().max_by_key(|run| run.last).map(|run| run.last_stored), *on)).max()
    else {
        return;
    };
    let all: Vec<&Point> = world.points.iter().collect();
    let kept = kept(world);
    let last = |points: &[&Point], wal| {
        let instants = reachable(world, points, wal, at(0)).into_iter();
        instants.filter(|(of, path, _)| *of == system && *path == on).max()
    };
    if world.policy.max_age.is_none() {
        let after = last(&among(world, &kept), left);
        assert_eq!(last(&all, &world.segments), after, "world {number}");
    }
}

#[test]
fn max_age_is_kept_but_for_holds_and_the_floor() {
    let mut breaches = 0;
    for (number, mut world) in worlds().take(1_000) {
        let max_age = Span::days(20);
        world.policy.max_age = Some(max_age);
        world.policy.pitr = world.policy.pitr.map(|pitr| pitr.min(Span::days(15)));
        world.policy.within = world.policy.within.map(|within| within.min(Span::days(15)));
        let mut dice = Dice::new(number);
        for point in &mut world.points {
            let age = dice.between(0, 30) * DAY;
            point.oldest_bytes = dice.chance(70).then(|| at(point.stored.seconds().cast_signed() - age));
        }
        world.policy.check().unwrap();
        let oldest = max_age.minus(MARGIN).before(world.now);
        let decisions = judge(&world.input());
        for decision in decisions.iter().filter(|decision| decision.is_kept()) {
            let point = world.points.iter().find(|point| point.id == decision.id).unwrap();
            if point.born() < oldest {
                let strong = |reason: &Reason| matches!(reason.rule, Rule::Hold | Rule::Floor);
                assert!(decision.keep.iter().all(strong) && decision.breaches_max_age(), "world {number}");
                breaches += 1;
            } else {
                assert!(!decision.breaches_max_age());
            }
        }
        let held: BTreeSet<BackupId> =
            decisions.iter().filter(|one| one.breaches_max_age()).map(|one| one.id).collect();
        old_wal_goes(number, &world, &decisions, &held, oldest);
    }
    assert!(breaches > 100, "{breaches}");
}

fn old_wal_goes(number: u64, world: &World, decisions: &[Decision], held: &BTreeSet<BackupId>, oldest: Time) {
    use crate::retention::WalReason;
    for (system, keep) in wal_needed(&world.input(), decisions) {
        for one in keep {
            let excused = match &one.reason {
                WalReason::Consistency { backup } => held.contains(backup),
                WalReason::Tail { .. } => true,
                _ => false,
            };
            let runs = &world.wal[&system].timelines[&one.timeline];
            let of_it = runs.iter().filter(|run| run.first <= one.last && one.first <= run.last);
            let old = of_it.filter(|run| run.last_stored < oldest).count();
            // A backup's own WAL is stored before it, and so may be older by the time that it took.
            let young = matches!(one.reason, WalReason::Consistency { .. });
            assert!(old == 0 || excused || young, "world {number}: {one:?}");
        }
    }
}

#[test]
fn what_is_condemned_stays_condemned_while_backups_go_on() {
    for (number, world) in worlds().take(150) {
        let mut gone: BTreeSet<BackupId> = BTreeSet::new();
        for days in [0, 1, 2, 5, 9, 30, 31, 100, 500] {
            let at = at(world.now.seconds().cast_signed() + days * DAY);
            let kept = kept_of(&simulate(&world.input(), at).decisions);
            let back: Vec<_> = gone.intersection(&kept).collect();
            let simulated = simulate(&world.input(), at).decisions;
            let back: Vec<_> = simulated.iter().filter(|one| back.contains(&&one.id)).collect();
            assert!(back.is_empty(), "world {number} after {days} days: {back:?}");
            gone.extend(world.points.iter().map(|point| point.id).filter(|id| !kept.contains(id)));
        }
    }
}

#[test]
fn what_is_said_to_leave_leaves_then_and_not_before() {
    let mut left = 0;
    for (number, world) in worlds().take(60) {
        for decision in decide(&world.input()) {
            let Some(at) = decision.leaves else { continue };
            left += 1;
            let far = Span::between(world.now, at) > Span::days(34);
            let keep_at = |time| {
                let mut found = simulate(&world.input(), time).decisions;
                found.retain(|one| one.id == decision.id);
                found.pop().unwrap().keep
            };
            let keep = keep_at(at);
            assert!(decision.is_kept() && keep.is_empty(), "world {number}: {decision:?} but {keep:?}");
            // Beyond five weeks the time is exact to the step.
            let step = if far { 30 * DAY } else { DAY };
            let before = super::world::at(at.seconds().cast_signed() - step - 3 * HOUR).max(world.now);
            assert!(!keep_at(before).is_empty(), "world {number}: {decision:?} was gone by {before}");
        }
    }
    assert!(left > 500, "{left}");
}

#[test]
fn everything_but_holds_and_the_floor_goes_in_time() {
    for (number, mut world) in worlds().take(100) {
        world.policy = Policy { daily: 7, weekly: 4, pitr: Some(Span::days(7)), ..world.policy };
        (world.policy.yearly, world.policy.monthly) = (0, 0);
        let at = at(world.now.seconds().cast_signed() + 900 * DAY);
        let future = simulate(&world.input(), at);
        assert!(world.points.is_empty() || future.made_up >= 899, "{}", future.made_up);
        for decision in future.decisions.iter().filter(|decision| decision.is_kept()) {
            let strong = decision.keep.iter().all(|reason| match reason.rule {
                Rule::Hold | Rule::Floor => true,
                // A lineage that nobody took over from keeps its newest WAL, and so what leads to it.
                Rule::Tail => !reference::superseded(&world, decision.system),
                _ => false,
            });
            assert!(strong, "world {number}: {decision:?}");
        }
    }
}

#[test]
fn every_condemned_backup_says_why() {
    for (number, world) in worlds().take(300) {
        for decision in judge(&world.input()) {
            let counts = [Why::NotFirst, Why::Outlived, Why::Unfit, Why::MaxAge];
            let told = decision.against.iter().any(|against| counts.contains(&against.why));
            let policy = &world.policy;
            let tiers =
                policy.last + policy.hourly + policy.daily + policy.weekly + policy.monthly + policy.yearly;
            assert!(decision.is_kept() || told || tiers == 0, "world {number}: {decision:?}");
        }
    }
}

#[test]
fn the_order_of_the_input_changes_nothing() {
    for (number, world) in worlds().take(300) {
        let mut turned = world.clone();
        turned.points.reverse();
        turned.lineages.reverse();
        let turn = |map: &mut WalMap| map.timelines.values_mut().for_each(|runs| runs.reverse());
        turned.wal.values_mut().for_each(turn);
        assert_eq!(judge(&world.input()), judge(&turned.input()), "world {number}");
        let decisions = judge(&world.input());
        let input: Input<'_> = turned.input();
        assert_eq!(wal_needed(&world.input(), &decisions), wal_needed(&input, &decisions), "world {number}");
    }
}
