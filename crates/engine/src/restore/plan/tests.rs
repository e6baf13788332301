use seawall_pg::HistoryFile;

use super::*;
use crate::error::Error;
use crate::restore::target::{Point, TimelineChoice};
use crate::restore::wal_end::{RecordAt, WalEnd, WalEnded};

const MIB: u64 = 1 << 20;

fn tli(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

/// Minute `n` of a day.
fn at(minute: u64) -> Time {
    format!("2031-05-04T{:02}:{:02}:00.000000Z", minute / 60, minute % 60).parse().unwrap()
}

/// A backup from segment `start` to the middle of segment `stop`, which ended in minute `stopped`.
fn backup(number: u8, timeline: u32, start: u64, stop: u64, stopped: u64) -> BackupFacts {
    BackupFacts {
        id: format!("20310504T0000{number:02}Z-0000000000000000").parse().unwrap(),
        version: Version::from_major(17).unwrap(),
        timeline: tli(timeline),
        start: Lsn(start * MIB + 40),
        stop: Lsn(stop * MIB + MIB / 2),
        stop_timeline: tli(timeline),
        started: at(stopped - 1),
        stopped: at(stopped),
        bytes: 1 << 30,
        damaged_pages: 0,
        from_standby: false,
        next_xid: None,
        regions: vec!["north".into()],
    }
}

struct World {
    backups: Vec<BackupFacts>,
    wal: WalInventory,
    target: RecoveryTarget,
    backup: Option<BackupId>,
}

impl World {
    /// Timeline 1 with segments 1 to 20 (segment n archived in minute n), backups over 2..3 and 8..9.
    fn new() -> Self {
        let mut world = Self {
            backups: vec![backup(1, 1, 2, 3, 3), backup(2, 1, 8, 9, 9)],
            wal: WalInventory::new(WalSegmentSize::new(1 << 20).unwrap()),
            target: RecoveryTarget::latest(),
            backup: None,
        };
        world.segments(1, 1..=20);
        world
    }

    fn segments(&mut self, timeline: u32, numbers: std::ops::RangeInclusive<u64>) {
        numbers.for_each(|n| self.wal.add_segment(tli(timeline), SegmentNo(n), Some(at(n))));
    }

    /// `child` left `parent` at the middle of segment `at`.
    fn fork(&mut self, child: u32, lines: &[(u32, u64)]) {
        let text: String =
            lines.iter().map(|(p, s)| format!("{p}\t{}\tx\n", Lsn(s * MIB + MIB / 2))).collect();
        let minute = lines.last().unwrap().1;
        self.wal.add_history(HistoryFile::parse(tli(child), text.as_bytes()).unwrap(), Some(at(minute)));
    }

    fn without(mut self, gone: &[u64]) -> Self {
        let old = std::mem::replace(&mut self.wal, WalInventory::new(WalSegmentSize::new(1 << 20).unwrap()));
        for n in 1..=20 {
            if !gone.contains(&n) && old.has(tli(1), SegmentNo(n)) {
                self.wal.add_segment(tli(1), SegmentNo(n), Some(at(n)));
            }
        }
        self
    }

    fn to(mut self, point: Point) -> Self {
        self.target = RecoveryTarget::new(point, false, self.target.timeline()).unwrap();
        self
    }

    fn on(mut self, timeline: TimelineChoice) -> Self {
        self.target = RecoveryTarget::new(self.target.point().clone(), false, timeline).unwrap();
        self
    }

    fn input(&self) -> PlanInput<'_> {
        PlanInput {
            backups: &self.backups,
            wal: &self.wal,
            target: &self.target,
            backup: self.backup,
            command: "seawall restore -D /srv/new",
            as_asked: "seawall restore -D /srv/new --as-asked",
        }
    }

    fn plan(&self) -> Result<RecoveryPlan, Refusal> {
        plan(&self.input())
    }

    fn refused(&self) -> Refusal {
        self.plan().unwrap_err()
    }
}

fn lsn(segment: u64) -> Point {
    Point::Lsn(Lsn(segment * MIB + 100))
}

fn served(plan: &RecoveryPlan) -> Vec<(u32, u64, u64)> {
    plan.serve.iter().map(|range| (range.timeline.get(), range.first.0, range.last.0)).collect()
}

#[test]
fn the_latest_point_begins_with_the_newest_backup_and_uses_all_wal() {
    let plan = World::new().plan().unwrap();
    assert_eq!((plan.backup.id, plan.timeline), (World::new().backups[1].id, tli(1)));
    assert_eq!(served(&plan), [(1, 8, 20)]);
    assert_eq!((plan.frontier, plan.last_needed), (Lsn(21 * MIB), SegmentNo(20)));
    assert_eq!(plan.segments_needed(), 13);
}

#[test]
fn the_backup_with_the_least_to_replay_is_chosen_for_each_target() {
    let chosen = |point| World::new().to(point).plan().unwrap().backup.id;
    let ids: Vec<_> = World::new().backups.iter().map(|backup| backup.id).collect();
    assert_eq!(chosen(lsn(12)), ids[1]);
    assert_eq!(chosen(lsn(9)), ids[0], "the second ends in the middle of segment 9");
    assert_eq!(chosen(Point::Time(at(8))), ids[0]);
    assert_eq!(chosen(Point::Time(at(9))), ids[1]);
    assert_eq!(World::new().to(lsn(12)).plan().unwrap().last_needed, SegmentNo(12));
}

#[test]
fn a_target_before_the_first_backup_is_refused_with_the_first_point() {
    for point in [lsn(2), Point::Time(at(2))] {
        let error = Error::from(World::new().to(point).refused());
        assert_eq!(error.id(), "restore.target-out-of-reach");
        assert_eq!(error.facts().len(), 1, "{error:?}");
        assert_eq!(
            error.hints(),
            ["seawall restore -D /srv/new --immediate --backup 20310504T000001Z-0000000000000000"]
        );
    }
}

#[test]
fn a_target_after_the_last_segment_is_refused_with_the_last_point() {
    for point in [lsn(21), Point::Time(at(21))] {
        let error = Error::from(World::new().to(point).refused());
        assert_eq!(error.id(), "restore.target-out-of-reach");
        let hint =
            "seawall restore -D /srv/new --latest --timeline 1 --backup 20310504T000002Z-0000000000000000";
        assert_eq!(error.hints(), [hint]);
        assert!(error.facts()[0].1.contains("1500000"), "{error:?}");
    }
}

#[test]
fn a_hole_is_named_with_the_points_on_both_sides_of_it() {
    let mut world = World::new().without(&[5, 6]).to(lsn(6));
    let Refusal::OutOfReach { hole: Some(hole), before: Some(before), after: Some(after), .. } =
        world.refused()
    else {
        panic!("{:?}", world.refused());
    };
    assert_eq!((hole.first, hole.last), (SegmentNo(5), SegmentNo(6)));
    assert!(before.what.contains("0/500000"), "{before:?}");
    assert!(after.what.contains("20310504T000002Z"), "{after:?}");
    assert_eq!(Error::from(world.refused()).id(), "restore.wal-hole");
    // Behind the hole the second backup leads on.
    world = world.to(Point::Latest);
    assert_eq!(served(&world.plan().unwrap()), [(1, 8, 20)]);
}

#[test]
fn a_hole_behind_the_target_does_not_matter_and_is_told() {
    let plan = World::new().without(&[15]).to(lsn(12)).plan().unwrap();
    assert_eq!(plan.frontier, Lsn(15 * MIB));
    assert!(plan.remarks.iter().any(|remark| remark.contains("hole")), "{plan:?}");
}

#[test]
fn a_hole_is_told_by_the_names_of_its_files_on_the_timelines_that_should_have_them() {
    let mut world = World::new().without(&[11, 12, 13, 14, 15, 16, 17, 18, 19, 20]).to(Point::Immediate);
    world.fork(2, &[(1, 12)]);
    world.segments(2, 15..=16);
    world = world.on(TimelineChoice::Number(tli(2)));
    let plan = world.plan().unwrap();
    let wanted = "missing 00000001000000000000000B to 00000002000000000000000E";
    assert!(plan.remarks.iter().any(|remark| remark.ends_with(wanted)), "{plan:?}");
}

#[test]
fn the_latest_point_never_ends_silently_at_a_hole() {
    let mut world = World::new().without(&[15]);
    let refusal = Error::from(world.refused());
    assert_eq!((refusal.id(), refusal.kind().exit_code()), ("restore.wal-hole", 4));
    let before =
        "seawall restore -D /srv/new --latest --timeline 1 --backup 20310504T000002Z-0000000000000000";
    assert!(refusal.hints().iter().any(|hint| hint == before), "{refusal:?}");
    // Whoever names the backup has seen that.
    world.backup = Some(world.backups[1].id);
    let plan = world.plan().unwrap();
    assert_eq!(plan.frontier, Lsn(15 * MIB));
    let wanted = "WAL has a hole behind the part that is used here: missing 00000001000000000000000F";
    assert_eq!(plan.remarks, [wanted]);
    world.backup = None;
    world.backups.push(backup(3, 1, 17, 18, 18));
    assert_eq!(world.plan().unwrap().frontier, Lsn(21 * MIB));
}

#[test]
fn a_backup_without_its_own_wal_is_never_chosen() {
    let world = World::new().without(&[9]);
    assert_eq!(world.to(Point::Immediate).plan().unwrap().backup.id, World::new().backups[0].id);
    let mut world = World::new().without(&[9]);
    world.backup = Some(world.backups[1].id);
    let refusal = world.refused();
    assert!(matches!(refusal, Refusal::BackupWithoutWal { missing: SegmentNo(9), .. }), "{refusal:?}");
}

#[test]
fn a_backup_with_damaged_pages_is_used_only_where_no_other_leads_and_loudly() {
    let mut world = World::new().to(lsn(12));
    world.backups[1].damaged_pages = 3;
    let plan = world.plan().unwrap();
    assert_eq!(plan.backup.id, world.backups[0].id);
    assert_eq!(plan.remarks, Vec::<String>::new());
    world.backups.remove(0);
    assert!(world.plan().unwrap().remarks[0].contains("3 DAMAGED PAGES"));
}

#[test]
fn after_a_failover_each_segment_is_served_by_one_timeline() {
    let mut world = World::new();
    world.fork(2, &[(1, 12)]);
    world.segments(2, 12..=30);
    let plan = world.plan().unwrap();
    assert_eq!(plan.timeline, tli(2));
    // Timeline 1 has segments 12 to 20 too, with WAL of another life.
    assert_eq!(served(&plan), [(1, 8, 11), (2, 12, 30)]);
    assert_eq!(plan.serving(SegmentNo(12)), Some(tli(2)));
    assert_eq!(plan.serving(SegmentNo(31)), None);
    assert!(plan.remarks[0].contains("--timeline 1"), "the abandoned branch is told: {plan:?}");
}

#[test]
fn a_segment_that_only_the_abandoned_parent_has_ends_the_way() {
    let mut world = World::new();
    world.fork(2, &[(1, 12)]);
    world.segments(2, 12..=14);
    world.segments(2, 16..=18);
    let plan = world.to(lsn(13)).on(TimelineChoice::Number(tli(2))).plan().unwrap();
    assert_eq!(plan.frontier, Lsn(15 * MIB), "segment 15 of timeline 1 is no substitute");
}

#[test]
fn a_promotion_without_any_wal_of_its_own_leaves_the_parent_the_latest() {
    let mut world = World::new();
    world.fork(2, &[(1, 21)]);
    world.wal.add_partial(tli(1), SegmentNo(21), Some(at(21)));
    let plan = world.plan().unwrap();
    assert_eq!((plan.timeline, plan.partial), (tli(1), Some(SegmentNo(21))));
    assert_eq!(plan.frontier, Lsn(22 * MIB));
}

#[test]
fn a_target_on_two_branches_is_a_question_with_a_command_for_each() {
    let mut world = World::new();
    world.fork(2, &[(1, 12)]);
    world.segments(2, 12..=30);
    for point in [lsn(15), Point::Time(at(15))] {
        world = world.to(point);
        let error = Error::from(world.refused());
        assert_eq!((error.id(), error.kind().exit_code()), ("restore.branch-ambiguous", 2));
        assert_eq!(
            error.hints(),
            [
                "seawall restore -D /srv/new --as-asked --timeline 2",
                "seawall restore -D /srv/new --as-asked --timeline 1"
            ]
        );
        assert!(error.facts()[0].1.starts_with("timeline 2: left timeline 1 at 0/C80000"), "{error:?}");
    }
    let world = world.on(TimelineChoice::Number(tli(1)));
    assert_eq!(served(&world.plan().unwrap()), [(1, 8, 20)]);
}

#[test]
fn a_position_that_branches_share_is_no_question() {
    let mut world = World::new().to(lsn(11));
    world.fork(2, &[(1, 12)]);
    world.fork(3, &[(1, 14)]);
    world.segments(2, 12..=30);
    world.segments(3, 14..=30);
    assert_eq!(world.plan().unwrap().timeline, tli(1));
    let world = world.to(lsn(25));
    let Refusal::Ambiguous { branches, .. } = world.refused() else { panic!("{:?}", world.refused()) };
    assert_eq!(branches.iter().map(|branch| branch.timeline.get()).collect::<Vec<_>>(), [3, 2]);
}

#[test]
fn a_time_that_a_shared_backup_has_passed_is_no_question() {
    let mut world = World::new().to(Point::Time(at(7)));
    world.fork(2, &[(1, 12)]);
    world.segments(2, 12..=30);
    assert_eq!(world.plan().unwrap().timeline, tli(1));
}

#[test]
fn a_branch_of_a_branch_is_followed_through_all_switches() {
    let mut world = World::new();
    world.fork(2, &[(1, 12)]);
    world.fork(3, &[(1, 12), (2, 15)]);
    world.segments(2, 12..=14);
    world.segments(3, 15..=17);
    let plan = world.plan().unwrap();
    assert_eq!(served(&plan), [(1, 8, 11), (2, 12, 14), (3, 15, 17)]);
    assert_eq!(plan.path.iter().map(|span| span.timeline.get()).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_backup_taken_after_the_fork_on_the_old_branch_does_not_serve_the_new_one() {
    let mut world = World::new();
    world.backups.push(backup(3, 1, 14, 15, 15));
    world.fork(2, &[(1, 12)]);
    world.segments(2, 12..=30);
    assert_eq!(world.plan().unwrap().backup.id, world.backups[1].id);
    world.backup = Some(world.backups[2].id);
    let world = world.on(TimelineChoice::Number(tli(2)));
    assert!(matches!(world.refused(), Refusal::NotAncestor { .. }), "{:?}", world.refused());
}

#[test]
fn the_latest_point_is_never_taken_from_an_older_branch_because_the_newer_one_has_a_hole() {
    let forked = |segments: std::ops::RangeInclusive<u64>, own: &[std::ops::RangeInclusive<u64>]| {
        let mut world = World::new().without(&[17, 18, 19, 20]);
        world.segments(1, segments);
        world.fork(2, &[(1, 20)]);
        own.iter().for_each(|range| world.segments(2, range.clone()));
        world
    };
    // Whole, it is followed.
    assert_eq!(forked(17..=19, &[20..=25]).plan().unwrap().timeline, tli(2));
    // Before the fork, segment 19 never reached the archive; or a segment of its own is gone.
    for world in [forked(17..=18, &[20..=25]), forked(17..=20, &[20..=20, 22..=25])] {
        let refusal = Error::from(world.refused());
        assert_eq!((refusal.id(), refusal.kind().exit_code()), ("restore.wal-hole", 4), "{refusal:?}");
        // Whoever names the older one gets it.
        assert_eq!(world.on(TimelineChoice::Number(tli(1))).plan().unwrap().timeline, tli(1));
    }
    let mut without_history = World::new();
    without_history.segments(2, 20..=25);
    assert_eq!(without_history.refused(), Refusal::HistoryMissing { timeline: tli(2) });
    // A promotion that never wrote a segment of its own holds nothing that could be lost.
    let mut nothing_of_its_own = World::new().without(&[19, 20]);
    nothing_of_its_own.fork(2, &[(1, 20)]);
    assert_eq!(nothing_of_its_own.plan().unwrap().timeline, tli(1));
}

#[test]
fn timelines_that_cannot_be_followed_are_named() {
    let world = World::new().on(TimelineChoice::Number(tli(9)));
    assert!(matches!(world.refused(), Refusal::TimelineUnknown { .. }));
    let mut world = World::new();
    world.segments(3, 20..=22);
    let world = world.on(TimelineChoice::Latest);
    assert_eq!(world.refused(), Refusal::HistoryMissing { timeline: tli(3) });
}

#[test]
fn two_servers_promoted_to_one_timeline_are_a_conflict() {
    let mut world = World::new();
    world.fork(2, &[(1, 12)]);
    world.fork(3, &[(1, 14), (2, 15)]);
    world.segments(2, 12..=14);
    assert!(matches!(world.refused(), Refusal::HistoryConflict(_)), "{:?}", world.refused());
}

#[test]
fn a_transaction_or_a_name_needs_a_named_backup_where_several_could_be_meant() {
    for point in [Point::Xid(700), Point::Name("before the release".into())] {
        let mut world = World::new().to(point);
        let error = Error::from(world.refused());
        assert_eq!(error.id(), "restore.backup-needed");
        assert_eq!(
            error.hints()[1],
            "seawall restore -D /srv/new --as-asked --backup 20310504T000002Z-0000000000000000     \
             (began 2031-05-04T00:08:00.000000Z, ended 2031-05-04T00:09:00.000000Z)",
            "the newest first"
        );
        world.backup = Some(world.backups[0].id);
        assert_eq!(world.plan().unwrap().backup.id, world.backups[0].id);
    }
}

#[test]
fn a_transaction_begins_with_the_newest_backup_that_certainly_ended_before_it() {
    let mut world = World::new();
    world.backups.push(backup(3, 1, 14, 15, 15));
    for (backup, next) in world.backups.iter_mut().zip([1000, 2000, 3000]) {
        backup.next_xid = Some((5 << 32) + next);
    }
    let chosen = |world: &World, xid| {
        let plan = plan(&PlanInput {
            target: &RecoveryTarget::new(Point::Xid(xid), false, TimelineChoice::default()).unwrap(),
            ..world.input()
        });
        plan.map(|plan| plan.backup.id)
    };
    let ids: Vec<_> = world.backups.iter().map(|backup| backup.id).collect();
    assert_eq!(chosen(&world, 2999), Ok(ids[1]), "the third may have ended behind it");
    assert_eq!((chosen(&world, 3000), chosen(&world, 1999)), (Ok(ids[2]), Ok(ids[0])));
    let error = Error::from(chosen(&world, 999).unwrap_err());
    assert_eq!((error.id(), error.hints().len()), ("restore.backup-needed", 4));
    assert!(error.facts()[0].1.contains("before any of these backups"), "{error:?}");
    // One that does not say is not taken for one that fits, nor is a damaged one while another leads there.
    world.backups[2].next_xid = None;
    assert_eq!(chosen(&world, 3500), Ok(ids[1]));
    world.backups[1].damaged_pages = 1;
    assert_eq!(chosen(&world, 3500), Ok(ids[0]));
}

#[test]
fn what_is_not_there_is_said() {
    let mut world = World::new();
    let other = backup(9, 1, 2, 3, 3).id;
    world.backup = Some(other);
    assert!(matches!(world.refused(), Refusal::BackupUnknown { id, .. } if id == other));
    world.backups.clear();
    assert_eq!(world.refused(), Refusal::NoBackup);
}

fn end(start: u64, end: u64, latest: Option<Time>) -> WalEnd {
    let last = Some(RecordAt { start: Lsn(start), end: Lsn(end) });
    WalEnd { last, first: last, latest_commit: latest, ended: WalEnded::WithTheSegments }
}

#[test]
fn the_latest_point_becomes_the_position_of_the_last_record() {
    let mut plan = World::new().plan().unwrap();
    assert!(plan.needs_end_of_wal());
    let last = 20 * MIB + 4096;
    let settled = plan.settle(Some(&end(last, last + 30, None))).unwrap();
    assert_eq!(settled, StopAt::Lsn { lsn: Lsn(last), inclusive: true });
    assert!(matches!(plan.settle(None), Err(SettleError::EndUnknown { .. })));
    let early = plan.settle(Some(&end(9 * MIB, 9 * MIB + 30, None)));
    assert!(matches!(early, Err(SettleError::EndsInsideBackup { .. })), "{early:?}");
}

#[test]
fn a_time_behind_the_last_commit_becomes_the_end_of_wal() {
    let last = 20 * MIB + 4096;
    let mut plan = World::new().to(Point::Time(at(19))).plan().unwrap();
    let by_time = plan.clone().settle(Some(&end(last, last + 30, Some(at(20))))).unwrap();
    assert_eq!(by_time, StopAt::Time { time: at(19), inclusive: true });
    // Equal is not later: the server would wait for one that is.
    for latest in [18, 19] {
        let by_end = plan.settle(Some(&end(last, last + 30, Some(at(latest))))).unwrap();
        assert_eq!(by_end, StopAt::Lsn { lsn: Lsn(last), inclusive: true });
    }
    let unknown = plan.settle(Some(&end(last, last + 30, None))).unwrap();
    assert_eq!(unknown, StopAt::Time { time: at(19), inclusive: true });
}
