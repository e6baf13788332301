//! What the documents say, by example.

use seawall_pg::{History, HistoryFile, Lsn, SegmentNo, Switch};
use seawall_repo::time::Time;

use super::world::{DAY, Segments, World, at, civil, id, region, system, timeline};
use crate::retention::{
    Decision, Input, Lineage, Point, Policy, PolicyError, Rule, Span, WalReason, Why, decide, explain,
    histories_needed, judge, leaving, simulate, wal_needed,
};

const MIB: u64 = 1 << 20;

fn policy() -> Policy {
    Policy { daily: 3, weekly: 2, zone: "Europe/Berlin".to_owned(), ..Policy::default() }
}

fn backup(stored: &str, segment: u64) -> Point {
    let stored = civil(stored);
    Point {
        id: id(stored.seconds(), segment),
        system: system(0),
        timeline: timeline(1),
        start: Lsn(segment * MIB + 40),
        stop: Lsn(segment * MIB + 400),
        stop_timeline: timeline(1),
        stored,
        claimed: stored,
        oldest_bytes: None,
        unfit: None,
        regions: vec![region("north"), region("south")],
        holds: Vec::new(),
    }
}

/// A backup every day at two o'clock from one day to another, with WAL between.
fn daily(first: &str, days: i64, policy: Policy) -> World {
    let first = civil(first).seconds().cast_signed();
    let mut world = World::empty(at(first + (days - 1) * DAY + 3_600), policy);
    world.lineages.push(Lineage { system: system(0), after: None, adopted: at(first) });
    for day in 0..days {
        let stored = at(first + day * DAY);
        let segment = 10 + day.unsigned_abs() * 4;
        world.points.push(backup(&stored.to_string(), segment));
        let segments: &mut Segments = world.segments.entry(system(0)).or_default();
        for step in 0..4 {
            let later = Span::hours(6 * u32::try_from(step).unwrap()).after(stored).min(world.now);
            segments.insert((timeline(1), segment + step), later);
        }
    }
    world.map_wal();
    world
}

fn texts(world: &World) -> Vec<(String, String)> {
    let day = |decision: &Decision| decision.id.to_string()[..8].to_owned();
    let keep =
        |decision: &Decision| decision.keep.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    judge(&world.input()).iter().map(|decision| (day(decision), keep(decision))).collect()
}

fn kept_days(world: &World) -> Vec<String> {
    texts(world).into_iter().filter(|(_, keep)| !keep.is_empty()).map(|(day, _)| day).collect()
}

fn rules(world: &World, nth: usize) -> Vec<Rule> {
    let wanted = world.points[nth].id;
    let found = judge(&world.input()).into_iter().find(|one| one.id == wanted).unwrap();
    found.keep.into_iter().map(|reason| reason.rule).collect()
}

#[test]
fn every_kept_backup_names_each_rule_that_keeps_it() {
    let world = daily("2026-11-09T01:00:00Z", 12, policy());
    let wanted = [
        ("20261109", "weekly: first of week 2026-W46"),
        ("20261110", ""),
        ("20261111", ""),
        ("20261112", ""),
        ("20261113", ""),
        ("20261114", ""),
        ("20261115", ""),
        ("20261116", "weekly: first of week 2026-W47"),
        ("20261117", ""),
        ("20261118", "tail: base of the newest WAL on timeline 1, daily: first of day 2026-11-18"),
        (
            "20261119",
            "tail: of day 2026-11-19 in the newest WAL on timeline 1, a later base, daily: first of day 2026-11-19",
        ),
        (
            "20261120",
            "floor: newest backup of its lineage, tail: of day 2026-11-20 in the newest WAL on timeline 1, a later base, \
             daily: first of day 2026-11-20",
        ),
    ];
    let wanted: Vec<_> = wanted.iter().map(|(day, keep)| ((*day).to_owned(), (*keep).to_owned())).collect();
    assert_eq!(texts(&world), wanted);
}

#[test]
fn an_absence_ages_nothing_out() {
    let mut world = daily("2026-11-09T01:00:00Z", 12, policy());
    let before = kept_days(&world);
    world.now = civil("2029-01-01T00:00:00Z");
    let mut after = kept_days(&world);
    // Only the base behind the last backup is no longer needed for the day before it; daily keeps it anyway.
    after.retain(|day| before.contains(day));
    assert_eq!(before, after);
}

#[test]
fn the_first_of_a_day_stays_the_one_that_is_kept() {
    let mut world = daily("2026-11-09T01:00:00Z", 12, Policy { daily: 5, ..Policy::default() });
    let mut later = backup("2026-11-17T20:00:00Z", 43);
    later.unfit = None;
    world.points.push(later);
    assert_eq!(rules(&world, 8), [Rule::Daily]);
    assert_eq!(rules(&world, 12), []);
    // A damaged first one does not count.
    world.points[8].unfit = Some("1 damaged page".to_owned());
    assert_eq!(rules(&world, 8), []);
    assert_eq!(rules(&world, 12), [Rule::Daily]);
}

#[test]
fn days_are_those_of_the_time_zone() {
    let mut world = daily("2026-11-09T22:30:00Z", 3, Policy { daily: 9, ..Policy::default() });
    world.points.push(backup("2026-11-09T23:30:00Z", 13));
    assert!(!rules(&world, 3).contains(&Rule::Daily));
    world.policy.zone = "Europe/Berlin".to_owned();
    assert!(rules(&world, 3).contains(&Rule::Daily));
}

#[test]
fn an_hour_that_comes_twice_is_two_hours() {
    let mut world = daily("2026-10-25T00:10:00Z", 1, Policy { hourly: 2, ..policy() });
    world.points.push(backup("2026-10-25T01:10:00Z", 11));
    assert!(texts(&world).iter().all(|(_, keep)| keep.contains("hourly: first of hour 2026-10-25 02:00")));
}

#[test]
fn without_a_rule_or_with_one_that_cannot_be_applied_everything_is_kept() {
    for policy in [
        Policy::default(),
        Policy { min_backups: 2, ..Policy::default() },
        Policy { daily: 1, zone: "Mars/Olympus".to_owned(), ..Policy::default() },
        Policy { daily: 1, pitr: Some(Span::days(9)), max_age: Some(Span::days(9)), ..Policy::default() },
    ] {
        let world = daily("2026-01-09T01:00:00Z", 40, policy);
        assert_eq!(kept_days(&world).len(), 40);
        let wal = wal_needed(&world.input(), &judge(&world.input()));
        let numbers: u64 = wal[&system(0)]
            .iter()
            .filter(|one| one.reason == WalReason::NoRule)
            .map(|o| o.last.0 - o.first.0 + 1)
            .sum();
        assert_eq!(numbers, 160);
    }
}

#[test]
fn policies_that_contradict_themselves_are_refused_with_their_field() {
    let check = |policy: Policy| policy.check().map_err(|error| error.field());
    assert_eq!(check(policy()), Ok(()));
    assert_eq!(check(Policy { zone: "Berlin".to_owned(), ..policy() }), Err("zone"));
    assert_eq!(check(Policy { max_age: Some(Span::hours(40)), ..policy() }), Err("max_age"));
    let crossed = Policy { max_age: Some(Span::days(32)), pitr: Some(Span::days(30)), ..policy() };
    let error = crossed.check().unwrap_err();
    assert!(matches!(error, PolicyError::Crossed { rule: "pitr", .. }));
    let wanted = "pitr = 30 d cannot be kept with max_age = 32 d, which must be at least 33 d for it";
    assert_eq!(error.to_string(), wanted);
    assert_eq!(check(Policy { max_age: Some(Span::days(33)), ..crossed }), Ok(()));
}

#[test]
fn a_policy_is_read_back_and_fields_of_later_versions_are_passed_over() {
    let policy = Policy { pitr: Some(Span::days(30)), ..policy() };
    let text = serde_json::to_string(&policy).unwrap();
    assert!(text.contains("\"pitr\":2592000"), "{text}");
    assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    let later = "{\"daily\":3,\"lunar\":13}";
    assert_eq!(serde_json::from_str::<Policy>(later).unwrap(), Policy { daily: 3, ..Policy::default() });
    // A policy without rules keeps everything, so nothing is more generous.
    assert!(!Policy::most_generous(&[Policy::default(), policy.clone()]).has_rules());
    assert!(!Policy::most_generous(&[]).has_rules());
    let shorter = Policy { daily: 1, max_age: Some(Span::days(90)), ..Policy::default() };
    let both = Policy::most_generous(&[policy, shorter]);
    assert_eq!((both.daily, both.weekly, both.max_age, both.zone.as_str()), (3, 2, None, "UTC"));
}

#[test]
fn a_rebuilt_region_keeps_its_history_by_its_writers_word() {
    let mut world = daily("2026-11-09T01:00:00Z", 12, policy());
    let rebuilt = civil("2026-11-20T01:30:00Z");
    for point in &mut world.points {
        point.stored = rebuilt;
    }
    assert_eq!(kept_days(&world), ["20261109", "20261116", "20261118", "20261119", "20261120"]);
    let decisions = judge(&world.input());
    assert_eq!(decisions[0].against[0].why, Why::Unconfirmed);
    assert_eq!(decisions[0].keep.last().unwrap().text, "first of week 2026-W46 by its writer's word");
}

#[test]
fn an_old_lineage_ages_out_by_the_same_rules_and_loses_its_floor() {
    let mut world = daily("2026-11-09T01:00:00Z", 12, policy());
    world.lineages.push(Lineage { system: system(1), after: Some(system(0)), adopted: world.now });
    assert_eq!(kept_days(&world).len(), 5);
    world.now = civil("2026-12-31T00:00:00Z");
    let mut forged = backup("2026-11-21T01:00:00Z", 10);
    (forged.system, forged.claimed) = (system(1), civil("2020-01-01T00:00:00Z"));
    world.points.push(forged);
    assert!(rules(&world, 11).contains(&Rule::Floor), "a backup with a date of its own takes nothing over");
    for day in 21..27 {
        let mut new = backup(&format!("2026-11-{day}T01:00:00Z"), 10);
        new.system = system(1);
        world.points.push(new);
    }
    // One week that both have counts once, and each keeps its own first of it.
    let old: Vec<_> = judge(&world.input()).into_iter().filter(|one| one.system == system(0)).collect();
    let kept: Vec<_> = old.iter().filter(|one| one.is_kept()).map(|one| one.keep[0].text.clone()).collect();
    assert_eq!(kept, ["first of week 2026-W47"]);
    let wal = wal_needed(&world.input(), &old);
    assert!(!wal[&system(0)].iter().any(|one| matches!(one.reason, WalReason::Tail { .. })));
}

#[test]
fn wal_of_a_kept_backup_outside_the_window_is_what_makes_it_consistent() {
    let mut world = daily("2026-11-09T01:00:00Z", 12, Policy { pitr: Some(Span::days(3)), ..policy() });
    world.points[0].stop = Lsn(12 * MIB + 5);
    let wal = wal_needed(&world.input(), &judge(&world.input()));
    let of = |wanted: &WalReason| {
        let found = wal[&system(0)].iter().filter(|one| one.reason == *wanted);
        found.map(|one| (one.first.0, one.last.0)).collect::<Vec<_>>()
    };
    assert_eq!(of(&WalReason::Consistency { backup: world.points[0].id }), [(10, 12)]);
    // Three days before 2026-11-20T02:00 there is the backup of the 17th. Its own WAL is in the run of that day, which is in
    // the window, so it is the one before from which all of that run can be reached.
    assert_eq!(of(&WalReason::Window { base: world.points[7].id }), [(38, 57)]);
    assert_eq!(wal[&system(0)].iter().map(|one| one.last).max(), Some(SegmentNo(57)));
}

#[test]
fn a_window_that_is_pruned_every_day_moves_on() {
    let mut world =
        daily("2026-11-09T01:00:00Z", 1, Policy { pitr: Some(Span::days(5)), ..Policy::default() });
    for day in 1..60 {
        let stored = at(civil("2026-11-09T01:00:00Z").seconds().cast_signed() + day * DAY);
        world.now = Span::hours(1).after(stored);
        let segment = 10 + day.unsigned_abs() * 4;
        world.points.push(backup(&stored.to_string(), segment));
        let wal = world.segments.get_mut(&system(0)).unwrap();
        wal.extend((0..4).map(|step| ((timeline(1), segment + step), stored)));
        world.map_wal();
        let decisions = judge(&world.input());
        let wal = wal_needed(&world.input(), &decisions);
        world.points.retain(|point| decisions.iter().any(|one| one.id == point.id && one.is_kept()));
        world.segments = super::reach::pruned(&world, &wal);
    }
    assert!(world.points.len() <= 8, "{}", world.points.len());
    assert!(world.segments[&system(0)].len() <= 8 * 4);
}

#[test]
fn wal_that_no_backup_leads_to_yet_stays_for_a_week() {
    let mut world = daily("2026-11-09T01:00:00Z", 3, policy());
    world.points.clear();
    let left = |world: &World| {
        let wal = wal_needed(&world.input(), &judge(&world.input()));
        let young = wal[&system(0)].iter().filter(|one| one.reason == WalReason::Young);
        young.map(|one| one.last.0 - one.first.0 + 1).sum::<u64>()
    };
    assert_eq!(left(&world), 12);
    world.now = Span::days(9).after(world.now);
    assert_eq!(left(&world), 0);
}

#[test]
fn the_newest_wal_stays_however_long_the_server_is_off() {
    let mut world = daily("2026-11-09T01:00:00Z", 12, policy());
    world.now = civil("2027-06-01T00:00:00Z");
    let wal = wal_needed(&world.input(), &judge(&world.input()));
    let tail = wal[&system(0)].iter().find(|one| matches!(one.reason, WalReason::Tail { .. })).unwrap();
    assert_eq!((tail.first.0, tail.last.0), (54, 57));
}

#[test]
fn histories_of_a_standing_lineage_are_never_let_go() {
    let mut world = daily("2026-11-09T01:00:00Z", 2, policy());
    let switches = vec![Switch { parent: timeline(1), at: Lsn(11 * MIB), reason: String::new() }];
    for number in [2, 3] {
        let file = HistoryFile { timeline: timeline(number), switches: switches.clone() };
        world.histories.insert((system(0), timeline(number)), History::from_file(&file));
    }
    let decisions = judge(&world.input());
    let wal = wal_needed(&world.input(), &decisions);
    assert_eq!(histories_needed(&world.input(), &decisions, &wal).len(), 2);
}

#[test]
fn wal_without_a_history_is_kept_until_somebody_can_judge_it() {
    let mut world = daily("2026-01-09T01:00:00Z", 2, policy());
    world.segments.get_mut(&system(0)).unwrap().insert((timeline(7), 90), civil("2026-01-09T01:00:00Z"));
    world.map_wal();
    world.now = civil("2030-01-01T00:00:00Z");
    let wal = wal_needed(&world.input(), &judge(&world.input()));
    assert!(wal[&system(0)].iter().any(|one| one.reason == WalReason::HistoryMissing && one.first.0 == 90));
}

/// A push that hung for weeks stores a segment of a timeline whose history file went with the rest of its lineage.
#[test]
fn wal_without_a_history_goes_once_its_lineage_is_over_and_no_longer_young() {
    let mut world = daily("2026-01-09T01:00:00Z", 2, policy());
    let late = civil("2026-12-20T00:00:00Z");
    world.segments.get_mut(&system(0)).unwrap().insert((timeline(7), 90), late);
    world.map_wal();
    world.lineages.push(Lineage { system: system(1), after: Some(system(0)), adopted: world.now });
    let mut new = backup("2026-12-01T01:00:00Z", 10);
    new.system = system(1);
    world.points.push(new);
    let why = |world: &World| {
        let wal = wal_needed(&world.input(), &judge(&world.input()));
        wal[&system(0)].iter().find(|one| one.timeline == timeline(7)).map(|one| one.reason.clone())
    };
    world.now = civil("2027-03-01T00:00:00Z");
    assert_eq!(why(&world), Some(WalReason::HistoryMissing), "it may belong to a backup that is kept");
    world.points.retain(|point| point.system == system(1));
    assert_eq!(why(&world), None);
    world.now = civil("2026-12-21T00:00:00Z");
    assert_eq!(why(&world), Some(WalReason::Young));
}

#[test]
fn max_age_condemns_what_rules_keep_and_a_hold_breaks_it_loudly() {
    let rules_policy = Policy { yearly: 9, max_age: Some(Span::days(30)), ..Policy::default() };
    let mut world = daily("2026-01-09T01:00:00Z", 60, rules_policy);
    assert_eq!(rules(&world, 0), []);
    world.points[0].holds.push("case-17".to_owned());
    let first = judge(&world.input()).swap_remove(0);
    assert!(first.breaches_max_age() && first.keep.len() == 1);
    assert_eq!(first.keep[0].to_string(), "hold: held by case-17");
    assert_eq!(first.against[0].text, "it is 59 days old, and max_age is 30 d");
    world.now = civil("2030-01-01T00:00:00Z");
    assert!(judge(&world.input()).pop().unwrap().breaches_max_age(), "the floor stays");
}

#[test]
fn the_future_says_when_each_backup_leaves() {
    let world = daily("2026-11-09T01:00:00Z", 12, policy());
    let decisions = decide(&world.input());
    let leaves: Vec<(String, Option<String>)> = decisions
        .iter()
        .filter(|one| one.is_kept())
        .map(|one| {
            (one.id.to_string()[..8].to_owned(), one.leaves.map(|at: Time| at.to_string()[..10].to_owned()))
        })
        .collect();
    let wanted = [
        ("20261109", "2026-11-23"),
        ("20261116", "2026-11-30"),
        ("20261118", "2026-11-21"),
        ("20261119", "2026-11-22"),
        ("20261120", "2026-11-23"),
    ];
    let wanted: Vec<_> = wanted.iter().map(|(day, at)| ((*day).to_owned(), Some((*at).to_owned()))).collect();
    assert_eq!(leaves, wanted);
    let soon = leaving(&world.input(), &decisions, Span::days(2));
    assert_eq!(
        soon.iter().map(|one| one.id.to_string()[..8].to_owned()).collect::<Vec<_>>(),
        ["20261118", "20261119"]
    );
    let future = simulate(&world.input(), civil("2026-11-21T12:00:00Z"));
    assert_eq!(future.made_up, 1);
    assert!(!future.decisions.iter().find(|one| one.id == world.points[9].id).unwrap().is_kept());
}

#[test]
fn one_backup_is_explained_rule_by_rule() {
    let world = daily("2026-11-09T01:00:00Z", 12, policy());
    let lines = explain(&world.input(), world.points[2].id).unwrap();
    let wanted = [
        "backup 20261111T010000Z-1200000000000000 of system 7000",
        "from 0/1200028 on timeline 1 to 0/1200190 on timeline 1",
        "stored at 2026-11-11T01:00:00.000000Z by the store's clock, ended at 2026-11-11T01:00:00.000000Z by its writer's",
        "in north, south",
        "condemned: nothing keeps it",
        "against it:",
        "  daily: day 2026-11-11 is not among the newest 3 that have a good backup",
        "  weekly: 20261109T010000Z-0a00000000000000 was the first of week 2026-W46",
    ];
    assert_eq!(lines, wanted);
    let kept = explain(&world.input(), world.points[0].id).unwrap();
    assert_eq!(kept.last().unwrap(), "leaves about 2026-11-23T01:00:00.000000Z, if backups go on once a day");
    assert_eq!(explain(&world.input(), id(1, 1)), None);
}

#[test]
fn ten_thousand_backups_are_decided_in_moments() {
    let mut world = daily("2026-01-09T01:00:00Z", 10_000, policy());
    world.policy.pitr = Some(Span::days(30));
    let input: Input<'_> = world.input();
    let decisions = judge(&input);
    let kept = decisions.iter().filter(|one| one.is_kept()).count();
    assert_eq!((decisions.len(), kept), (10_000, 32));
    let wal = wal_needed(&input, &decisions);
    assert!(wal[&system(0)].len() < 100);
}
