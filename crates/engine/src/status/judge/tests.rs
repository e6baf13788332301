//! The first line, windows, lags and findings, from values alone.

use std::collections::BTreeMap;

use seawall_pg::{HistoryFile, WalSegmentSize};
use seawall_repo::manifest::Way;

use super::*;
use crate::archive::inventory::RegionWal;
use crate::status::{IfGone, Lag};

const MIB: u64 = 1 << 20;

fn tli(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

fn time(seconds: i64) -> Time {
    Time::from_micros(seconds * 1_000_000).unwrap()
}

fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

fn backup(number: u8, timeline: u32, start: u64, stop: u64) -> BackupSeen {
    let header = ManifestHeader {
        backup: format!("20310504T0000{number:02}Z-00000000000000{number:02x}").parse().unwrap(),
        cluster: "orders".parse().unwrap(),
        system: SystemIdentifier(77),
        postgresql: 17,
        way: Way::Full,
        parent: None,
        timeline: tli(timeline),
        start: Lsn(start * MIB + 40),
        stop: Lsn(stop * MIB + 400),
        stop_timeline: tli(timeline),
        started: time(100),
        stopped: time(200),
        segment_size: WalSegmentSize::new(1 << 20).unwrap(),
        bytes: 1,
        stored: 1,
        packs: 1,
        maps: 1,
        uses: vec![],
        uses_more: false,
        damaged_pages: 0,
        from_standby: false,
        next_xid: None,
    };
    BackupSeen { header, regions: vec![region("north"), region("south")] }
}

fn held(segments: &[(u32, std::ops::RangeInclusive<u64>)]) -> WalHeld {
    let mut held = WalHeld::default();
    for (timeline, numbers) in segments {
        for number in numbers.clone() {
            let stored = time(1_000 + i64::try_from(number).unwrap());
            held.timelines.entry(tli(*timeline)).or_default().segments.add(SegmentNo(number), Some(stored));
        }
    }
    held
}

fn seen(segments: &[(u32, std::ops::RangeInclusive<u64>)], backups: Vec<BackupSeen>) -> Seen {
    let merged = held(segments);
    let regions =
        ["north", "south"].map(|name| RegionWal { region: region(name), wal: merged.clone(), broken: None });
    let two = HistoryFile::parse(tli(2), b"1\t0/C80000\tx\n").unwrap();
    let wal = WalInventories {
        size: WalSegmentSize::new(1 << 20).unwrap(),
        merged,
        regions: regions.to_vec(),
        histories: BTreeMap::from([(tli(1), History::root(tli(1))), (tli(2), History::from_file(&two))]),
        findings: vec![],
    };
    Seen {
        cluster: "orders".parse().unwrap(),
        now: time(1_020 + 125),
        rpo: Some(Duration::from_secs(3_600)),
        systems: vec![SystemSeen {
            system: SystemIdentifier(77),
            backups,
            wal: Some(wal),
            excused: WalRanges::default(),
            lacking: BTreeMap::new(),
        }],
        regions: vec![(region("north"), None), (region("south"), None)],
        known: BTreeMap::new(),
        findings: vec![],
    }
}

fn ids(report: &StatusReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

#[test]
fn everything_well_is_one_window_and_exit_code_0() {
    let report = judge(&seen(&[(1, 4..=20)], vec![backup(1, 1, 8, 9), backup(2, 1, 15, 16)]));
    assert_eq!(report.findings, []);
    assert_eq!(report.verdict.exit_code(), 0);
    assert_eq!(
        report.lines(),
        [
            "if this host died now: at most 2 min 5 s lost, back in: never measured; last proven: never",
            "  basis: the newest archived WAL, up to 0/1500000, was stored 1970-01-01T00:17:00.000000Z; what was written since is only on the host",
            "window: timeline 1 of system 77: 0/900190 (1970-01-01T00:03:20.000000Z) to 0/1500000 (stored 1970-01-01T00:17:00.000000Z), 2 backups",
            "backups: 2, newest 20310504T000002Z-0000000000000002 of 1970-01-01T00:03:20.000000Z",
            "region north: newest backup there, WAL up to date",
            "  by itself: recovery from 1970-01-01T00:03:20.000000Z to 0/1500000; not verified lately",
            "  if it vanished now: nothing lost, recovery would end at 0/1500000, as now",
            "region south: newest backup there, WAL up to date",
            "  by itself: recovery from 1970-01-01T00:03:20.000000Z to 0/1500000; not verified lately",
            "  if it vanished now: nothing lost, recovery would end at 0/1500000, as now",
        ]
    );
}

#[test]
fn without_a_backup_that_wal_makes_consistent_everything_is_lost() {
    for seen in [seen(&[(1, 4..=20)], vec![]), seen(&[(1, 4..=8)], vec![backup(1, 1, 8, 9)])] {
        let report = judge(&seen);
        assert_eq!((report.verdict.exit_code(), ids(&report)), (4, vec!["status.not-recoverable"]));
        assert!(
            report.headline().starts_with("if this host died now: everything lost"),
            "{}",
            report.headline()
        );
    }
}

#[test]
fn a_hole_parts_the_window_and_is_told() {
    let both = vec![backup(1, 1, 8, 9), backup(2, 1, 15, 16)];
    let report = judge(&seen(&[(1, 4..=11), (1, 14..=20)], both));
    let ends: Vec<_> = report.windows.iter().map(|window| (window.from.0 / MIB, window.to.0 / MIB)).collect();
    assert_eq!(ends, [(9, 12), (16, 21)]);
    assert_eq!((report.verdict.exit_code(), ids(&report)), (1, vec!["status.wal-hole"]));
    assert!(report.findings[0].what.starts_with("2 WAL segments are missing on timeline 1 from 0/C00000"));
}

#[test]
fn after_a_failover_both_branches_have_their_window_and_the_newest_counts() {
    let report = judge(&seen(&[(1, 4..=15), (2, 12..=20)], vec![backup(1, 1, 8, 9)]));
    let ends: Vec<_> = report
        .windows
        .iter()
        .map(|window| (window.timeline.get(), window.to.0 / MIB, window.newest))
        .collect();
    assert_eq!(ends, [(1, 16, false), (2, 21, true)]);
    assert_eq!(report.loss.seconds_at_most, Some(125));
}

#[test]
fn a_region_behind_away_or_without_the_newest_backup_is_told() {
    let mut seen = seen(&[(1, 4..=20)], vec![backup(1, 1, 8, 9)]);
    seen.regions[0].1 = Some("not mounted".to_owned());
    let system = &mut seen.systems[0];
    system.backups[0].regions.remove(1);
    system.wal.as_mut().unwrap().regions[1].wal = held(&[(1, 4..=17)]);
    let report = judge(&seen);
    assert_eq!(
        ids(&report),
        ["status.region-unreached", "status.region-without-backup", "status.region-behind"]
    );
    assert_eq!(report.regions[0].lag_segments, None, "nobody knows what a region holds that does not answer");
    assert_eq!(report.regions[1].lag_segments, Some(3));
}

#[test]
fn more_lost_than_the_objective_allows_is_a_finding() {
    let mut seen = seen(&[(1, 4..=20)], vec![backup(1, 1, 8, 9)]);
    seen.rpo = Some(Duration::from_secs(60));
    assert_eq!(ids(&judge(&seen)), ["status.rpo-missed"]);
}

/// The same with WAL and backups of each region by itself.
fn apart(
    north: &[(u32, std::ops::RangeInclusive<u64>)],
    south: &[(u32, std::ops::RangeInclusive<u64>)],
) -> Seen {
    let all: Vec<_> = north.iter().chain(south).cloned().collect();
    let mut seen = seen(&all, vec![backup(1, 1, 8, 9), backup(2, 1, 15, 16)]);
    let wal = seen.systems[0].wal.as_mut().unwrap();
    wal.merged.histories = vec![tli(2)];
    for (region, own) in wal.regions.iter_mut().zip([north, south]) {
        region.wal = held(own);
        region.wal.histories = vec![tli(2)];
    }
    seen
}

#[test]
fn what_only_one_region_has_would_be_lost_with_it() {
    let mut seen = apart(&[(1, 4..=20)], &[(1, 4..=17)]);
    seen.systems[0].backups[1].regions = vec![region("north")];
    let report = judge(&seen);
    let [north, south] = &report.regions[..] else { panic!("two regions") };
    let lost = IfGone {
        backups: Some(1),
        segments: Some(3),
        to: Some(Lsn(18 * MIB)),
        seconds_earlier: Some(3),
        recoverable: true,
        others_unreached: vec![],
    };
    assert_eq!(north.if_gone, Some(lost));
    assert!(report.lines().contains(
        &"  if it vanished now: 1 backups and 3 WAL segments lost, recovery would end at 0/1200000, 3 s earlier"
            .to_owned()
    ));
    let south = south.if_gone.as_ref().unwrap();
    assert_eq!((south.segments, south.seconds_earlier), (Some(0), Some(0)));
}

#[test]
fn a_region_without_which_nothing_is_left_is_told() {
    let mut seen = apart(&[(1, 4..=20)], &[(1, 4..=20)]);
    for backup in &mut seen.systems[0].backups {
        backup.regions = vec![region("north")];
    }
    let report = judge(&seen);
    let gone = |region: usize| report.regions[region].if_gone.clone().unwrap();
    assert!(!gone(0).recoverable && gone(1).recoverable);
    // A timeline whose history only the lost region had is no way for the others.
    let mut seen = apart(&[(1, 4..=12), (2, 12..=20)], &[(1, 4..=12), (2, 12..=20)]);
    seen.systems[0].wal.as_mut().unwrap().regions[1].wal.histories.clear();
    let gone = judge(&seen).regions[0].if_gone.clone().unwrap();
    assert_eq!((gone.to, gone.recoverable), (None, true));
}

#[test]
fn of_a_region_that_could_not_be_asked_nobody_knows_what_it_alone_has() {
    let mut seen = apart(&[(1, 4..=20)], &[]);
    seen.regions[1].1 = Some("gone".to_owned());
    let report = judge(&seen);
    let south = report.regions[1].if_gone.as_ref().unwrap();
    assert_eq!((south.backups, south.segments, south.to), (None, None, Some(Lsn(21 * MIB))));
    let north = report.regions[0].if_gone.as_ref().unwrap();
    assert_eq!((north.recoverable, &north.others_unreached), (false, &vec![region("south")]));
    let said = "  if it vanished now: EVERYTHING lost, nothing could be recovered from the others (south could not be asked, and may hold some of it)";
    assert!(report.lines().contains(&said.to_owned()), "{:?}", report.lines());
}

#[test]
fn of_one_region_asked_alone_nobody_says_what_its_loss_would_cost() {
    let mut seen = apart(&[(1, 4..=20)], &[]);
    seen.regions.truncate(1);
    assert_eq!(judge(&seen).regions[0].if_gone, None);
}

#[test]
fn a_region_s_own_windows_and_what_it_lacks_are_told() {
    let mut seen = apart(&[(1, 4..=20)], &[(1, 4..=17)]);
    seen.systems[0].backups[1].regions = vec![region("north")];
    seen.systems[0].backups[1].header.stored = 5_000;
    seen.systems[0].lacking = BTreeMap::from([(region("south"), Lacking { objects: 3, bytes: 300 })]);
    let report = judge(&seen);
    let [north, south] = &report.regions[..] else { panic!("two regions") };
    let ends = |status: &RegionStatus| -> Vec<_> {
        status.windows.iter().map(|window| (window.from.0 / MIB, window.to.0 / MIB, window.backups)).collect()
    };
    assert_eq!((ends(north), ends(south)), (vec![(9, 21, 2)], vec![(9, 18, 1)]));
    assert_eq!(north.lag, Some(Lag { objects: 0, bytes: 0, seconds: Some(0) }));
    // Three WAL files; the backup's pack, its map and its manifest.
    assert_eq!(south.lag, Some(Lag { objects: 6, bytes: 5_300, seconds: Some(3) }));
    let line =
        "region south: newest backup MISSING, WAL 3 segments behind (lacks 6 objects, 5300 bytes, 3 s)";
    assert!(report.lines().contains(&line.to_owned()), "{:?}", report.lines());
}

#[test]
fn what_a_region_let_go_before_its_oldest_backup_is_nothing_it_lacks() {
    let mut seen = apart(&[(1, 4..=20)], &[(1, 12..=20)]);
    seen.systems[0].backups[0].regions = vec![region("north")];
    let report = judge(&seen);
    assert_eq!(
        (report.regions[1].lag_segments, report.regions[1].lag.as_ref().unwrap().objects),
        (Some(0), 0)
    );
    assert_eq!(report.findings, []);
    // Without a backup of its own it lacks everything.
    seen.systems[0].backups[1].regions = vec![region("north")];
    let report = judge(&seen);
    assert_eq!((report.regions[1].lag_segments, report.regions[1].windows.len()), (Some(8), 0));
    assert!(report.lines().iter().any(|line| line.contains("by itself: NOTHING could be recovered")));
}

#[test]
fn latency_and_the_last_verification_are_told_and_of_a_region_that_is_away_only_the_latter() {
    let mut seen = apart(&[(1, 4..=20)], &[(1, 4..=20)]);
    let verified = Verified {
        at: time(900),
        host: "db1".to_owned(),
        depth: "full".to_owned(),
        complete: true,
        findings: 0,
    };
    let known = Known { latency: Some(Duration::from_micros(3_400)), verified: Some(verified.clone()) };
    seen.known = BTreeMap::from([(region("north"), known)]);
    let report = judge(&seen);
    let lines = report.lines();
    assert!(
        lines.contains(&"region north: newest backup there, WAL up to date, answers within 3 ms".to_owned())
    );
    assert!(lines[5].ends_with("; verified 1970-01-01T00:15:00.000000Z (full): nothing wrong"), "{lines:?}");
    seen.regions[0].1 = Some("gone".to_owned());
    let away = &judge(&seen).regions[0];
    assert_eq!((&away.lag, away.windows.len(), &away.verified), (&None, 0, &Some(verified)));
}
