//! The answers of `wal fetch`: delivered, truthfully absent, or stop; nothing else, whatever fails.

use std::path::Path;

use seawall_pg::{SegmentNo, SystemIdentifier, Timeline};
use seawall_store::faulty::{CallKind, Fault, Rule};

use super::*;
use crate::archive::plan_file::{PlannedRange, PlannedRepository, PlannedSpan, PlannedWay};
use crate::archive::testing::Bench;

const TARGET: &str = "pg_wal/RECOVERYXLOG";

async fn ask(bench: &Bench, plan: Option<&PlanFile>, name: &str) -> FetchAnswer {
    let waiting = Waiting::begin(Duration::from_secs(5), &bench.world);
    let repository = match bench.as_reader().await {
        Ok(repository) => repository,
        Err(error) => return FetchAnswer::Stop(error),
    };
    let data_directory = bench.pgdata();
    let request = FetchRequest {
        name,
        target: Path::new(TARGET),
        data_directory: &data_directory,
        wait: Duration::from_secs(5),
    };
    fetch_in(&repository, plan, &request, &waiting).await
}

async fn code(bench: &Bench, plan: Option<&PlanFile>, name: &str) -> u8 {
    let answer = ask(bench, plan, name).await;
    let exists = bench.pgdata().join(TARGET).exists();
    assert_eq!(exists, answer.exit_code() == 0, "{answer:?}");
    if exists {
        std::fs::remove_file(bench.pgdata().join(TARGET)).unwrap();
    }
    let left: Vec<_> = std::fs::read_dir(bench.pgdata().join("pg_wal"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("seawall")), "left behind: {left:?}");
    answer.exit_code()
}

fn range(timeline: u32, first: u64, last: u64) -> PlannedRange {
    PlannedRange {
        timeline: Timeline::new(timeline).unwrap(),
        first: SegmentNo(first),
        last: SegmentNo(last),
    }
}

/// Timeline 1 to segment 6, timeline 2 from there to the frontier behind segment 8.
fn plan(bench: &Bench) -> PlanFile {
    let end = SegmentNo(6).first_lsn(bench.size).unwrap();
    let span = |timeline, begin, end| PlannedSpan { timeline: Timeline::new(timeline).unwrap(), begin, end };
    PlanFile {
        version: 1,
        made: crate::backup::now(&bench.world).unwrap(),
        cluster: "orders".parse().unwrap(),
        system: crate::archive::testing::SYSTEM,
        postgresql: seawall_pg::Version::from_major(17).unwrap(),
        data_directory: bench.pgdata(),
        backup: "20310504T000000Z-00ff00ff00ff00ff".parse().unwrap(),
        segment_size: bench.size,
        way: Some(PlannedWay {
            timeline: Timeline::new(2).unwrap(),
            path: vec![span(1, seawall_pg::Lsn::INVALID, Some(end)), span(2, end, None)],
            serve: vec![range(1, 4, 5), range(2, 6, 8)],
            frontier: SegmentNo(9).first_lsn(bench.size).unwrap(),
            partial: None,
            in_pg_wal: vec![],
        }),
        repository: PlannedRepository {
            id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            owner: String::new(),
            regions: vec![],
            without_regions: vec![],
            identity_files: vec![],
            passphrase_files: vec![],
            wait_seconds: None,
        },
    }
}

#[tokio::test]
async fn a_segment_comes_back_as_it_was_pushed() {
    let bench = Bench::new().await;
    let name = bench.pushed(5, 9).await;
    let FetchAnswer::Delivered(delivered) = ask(&bench, None, &name).await else { panic!("not delivered") };
    assert_eq!(delivered.bytes, bench.size.bytes());
    assert!(std::fs::read(bench.pgdata().join(TARGET)).unwrap() == bench.segment(1, 5, 9).1);
}

#[tokio::test]
async fn a_large_segment_is_joined_from_its_parts() {
    let bench = Bench::with(2, 64).await;
    let name = bench.pushed(1, 9).await;
    assert_eq!(ask(&bench, None, &name).await.exit_code(), 0);
    assert!(std::fs::read(bench.pgdata().join(TARGET)).unwrap() == bench.segment(1, 1, 9).1);
    std::fs::remove_file(bench.pgdata().join(TARGET)).unwrap();
    bench.stores[0].add(Rule::new(Fault::FlipBit(80_000)).on(CallKind::Get).named(".p1"));
    assert_eq!(code(&bench, None, &name).await, 0);
    bench.stores[1].add(Rule::new(Fault::FlipBit(80_000)).on(CallKind::Get).named(".p1"));
    assert_eq!(code(&bench, None, &name).await, 126);
}

#[tokio::test]
async fn absent_everywhere_is_the_only_way_to_1_without_a_plan() {
    let bench = Bench::new().await;
    let there = bench.pushed(5, 9).await;
    let absent = bench.segment(1, 6, 0).0;
    assert_eq!(code(&bench, None, &absent).await, 1);
    assert_eq!(code(&bench, None, "00000002.history").await, 1);
    for store in &bench.stores {
        store.add(Rule::new(Fault::FailBefore).on(CallKind::Get).named("/wal/"));
        assert_eq!(code(&bench, None, &absent).await, 126, "one region does not answer");
        assert_eq!(code(&bench, None, "00000002.history").await, 126);
        store.heal();
    }
    bench.stores[0].add(Rule::new(Fault::FailBefore).named("/wal/"));
    assert_eq!(code(&bench, None, &there).await, 0, "the other region has it");
}

#[tokio::test]
async fn damage_is_served_by_another_region_and_stops_where_there_is_none() {
    for fault in [Fault::FlipBit(9_000), Fault::FlipBit(70), Fault::Truncate(500), Fault::Truncate(0)] {
        let bench = Bench::new().await;
        let name = bench.pushed(5, 9).await;
        bench.stores[0].add(Rule::new(fault.clone()).on(CallKind::Get).named("/wal/"));
        let FetchAnswer::Delivered(delivered) = ask(&bench, None, &name).await else { panic!("{fault:?}") };
        assert_eq!(delivered.region.as_str(), "south");
        std::fs::remove_file(bench.pgdata().join(TARGET)).unwrap();
        bench.stores[1].add(Rule::new(fault).on(CallKind::Get).named("/wal/"));
        assert_eq!(code(&bench, None, &name).await, 126);
    }
}

#[tokio::test]
async fn every_store_call_fails_once_and_no_answer_is_ever_1() {
    let mut met = 0;
    let mut bench = Bench::new().await;
    let name = bench.pushed(5, 9).await;
    for region in 0..2 {
        for fault in [Fault::FailBefore, Fault::FailAfter, Fault::Truncate(30), Fault::FlipBit(77)] {
            for call in 1.. {
                bench.fresh_faults();
                bench.stores[region].add(Rule::new(fault.clone()).at_call(call));
                let answered = code(&bench, None, &name).await;
                assert_ne!(answered, 1, "call {call} of region {region}: {fault:?}");
                if bench.stores[region].faults_met() == 0 {
                    break;
                }
                met += 1;
            }
        }
    }
    println!("fetch: {met} store calls failed, each once");
    assert!(met > 20);
}

#[tokio::test]
async fn a_wrong_cluster_is_not_the_end_of_wal() {
    let bench = Bench::new().await;
    bench.write_control(&bench.control(SystemIdentifier(42)));
    assert_eq!(code(&bench, None, "000000010000000000000005").await, 126);
    assert_eq!(code(&bench, None, "RECOVERYXLOG").await, 126);
    assert_eq!(code(&bench, None, "0000000100000000FFFFFFFF").await, 126, "no name for this segment size");
}

#[tokio::test]
async fn with_a_plan_what_was_promised_is_delivered_or_recovery_stops() {
    let bench = Bench::new().await;
    let plan = plan(&bench);
    let five = bench.pushed(5, 9).await;
    bench.pushed(7, 9).await;
    let name = |timeline, number| bench.segment(timeline, number, 0).0;
    let cases = [
        (five.clone(), 0, "served by timeline 1"),
        (name(1, 4), 126, "promised and not there"),
        (name(2, 7), 126, "promised and not there, though timeline 1 has the number"),
        (name(1, 7), 1, "of the way, but timeline 2 serves it"),
        (name(2, 9), 1, "beyond the frontier"),
        (name(1, 9), 1, "beyond the frontier, an ancestor"),
        (name(3, 7), 126, "a timeline that the plan does not know"),
        (name(3, 9), 1, "a later timeline, beyond the frontier, proven absent"),
        ("00000002.history".to_owned(), 126, "the way's own history"),
        ("00000001.history".to_owned(), 1, "the first timeline has none"),
        ("00000003.history".to_owned(), 1, "the next number is free"),
    ];
    for (name, wanted, why) in cases {
        assert_eq!(code(&bench, Some(&plan), &name).await, wanted, "{name}: {why}");
    }
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::Get).named("/wal/"));
    let cases = [
        (five, 0, "the other region has it"),
        (name(1, 4), 126, "an outage"),
        (name(2, 9), 1, "beyond the frontier, whatever the regions say"),
        (name(3, 9), 126, "not proven"),
        ("00000003.history".to_owned(), 126, "a wrong answer gives two servers one timeline"),
    ];
    for (name, wanted, why) in cases {
        assert_eq!(code(&bench, Some(&plan), &name).await, wanted, "{name}: {why}");
    }
}

#[tokio::test]
async fn a_plan_of_another_cluster_stops_and_an_outlived_one_promises_nothing() {
    let bench = Bench::new().await;
    let five = bench.pushed(5, 9).await;
    let foreign = PlanFile { system: SystemIdentifier(42), ..plan(&bench) };
    assert_eq!(code(&bench, Some(&foreign), &five).await, 126);
    let mut control = bench.control(crate::archive::testing::SYSTEM);
    control.checkpoint.timeline = Timeline::new(3).unwrap();
    control.checkpoint.previous_timeline = Timeline::new(2).unwrap();
    bench.write_control(&control);
    assert_eq!(code(&bench, Some(&plan(&bench)), &bench.segment(1, 4, 0).0).await, 1);
}

#[tokio::test]
async fn a_partial_segment_is_handed_over_where_the_plan_says_so() {
    let bench = Bench::new().await;
    let (segment, bytes) = bench.segment(1, 5, 4);
    let repository = bench.as_host("db1").await.unwrap();
    let path = bench.wal(&format!("{segment}.partial"), &bytes);
    crate::archive::push::push(&repository, &bench.pgdata(), &path).await.unwrap();
    assert_eq!(code(&bench, None, &segment).await, 1);
    let mut plan = plan(&bench);
    plan.way.as_mut().unwrap().partial = Some(SegmentNo(5));
    assert_eq!(code(&bench, Some(&plan), &segment).await, 0);
}

#[tokio::test]
async fn a_salvaged_segment_is_left_to_the_server_only_if_it_lies_in_pg_wal() {
    let bench = Bench::new().await;
    let mut plan = plan(&bench);
    plan.way.as_mut().unwrap().in_pg_wal = vec![range(2, 8, 8)];
    let (name, bytes) = bench.segment(2, 8, 1);
    assert_eq!(code(&bench, Some(&plan), &name).await, 126, "it is not there");
    bench.wal(&name, &bytes);
    assert_eq!(code(&bench, Some(&plan), &name).await, 1);
    bench.wal(&name, &bytes[..bytes.len() - 1]);
    assert_eq!(code(&bench, Some(&plan), &name).await, 126);
}

#[tokio::test]
async fn a_segment_that_was_stored_without_being_known_is_not_handed_over() {
    let bench = Bench::new().await;
    let (name, mut bytes) = bench.segment(1, 5, 1);
    bytes[..64].fill(0xEE);
    let repository = bench.as_host("db1").await.unwrap();
    crate::archive::push::push(&repository, &bench.pgdata(), &bench.wal(&name, &bytes)).await.unwrap();
    assert_eq!(code(&bench, None, &name).await, 126, "the server would take it for the end of WAL");
}

#[tokio::test]
async fn an_unwritable_target_stops() {
    let bench = Bench::new().await;
    let name = bench.pushed(5, 9).await;
    let data_directory = bench.pgdata();
    let waiting = Waiting::begin(Duration::ZERO, &bench.world);
    let repository = bench.as_reader().await.unwrap();
    let request = FetchRequest {
        name: &name,
        target: Path::new("no/such/directory/file"),
        data_directory: &data_directory,
        wait: Duration::ZERO,
    };
    assert_eq!(fetch_in(&repository, None, &request, &waiting).await.exit_code(), 126);
}

/// Segments 5 to 7 of a life of the server: what is written is the same up to the middle of the first, then records of so many bytes
/// that hold `seed`.
fn life(bench: &Bench, bytes: usize, seed: u8) -> Vec<(String, Vec<u8>)> {
    use seawall_pg::wal::testing::{RecordSpec, WalWriter};
    let version = seawall_pg::Version::from_major(17).unwrap();
    let of = seawall_pg::wal::WalOf { version, system: crate::archive::testing::SYSTEM, size: bench.size };
    let mut writer = WalWriter::new(of, SegmentNo(5));
    let mut common = 50;
    while writer.segments().len() < 4 {
        let (bytes, seed) = if common > 0 { (10_000, 0) } else { (bytes, seed) };
        common -= 1;
        writer.record(&RecordSpec::of(0, 0x20, &vec![seed; bytes]));
    }
    let named = |(number, bytes)| (bench.segment(1, number, 0).0, bytes);
    (5..8).zip(writer.segments()).map(named).collect()
}

async fn archived(bench: &Bench, host: &str, (name, bytes): &(String, Vec<u8>)) {
    let path = bench.wal(name, bytes);
    let repository = bench.as_host(host).await.unwrap();
    crate::archive::push::push(&repository, &bench.pgdata(), &path).await.unwrap();
    std::fs::remove_file(bench.pgdata().join(path)).unwrap();
}

/// One archived the first segment, the other one the second: no record follows on the one before it.
#[tokio::test]
async fn a_segment_of_another_life_is_never_handed_over() {
    // Records that end elsewhere, and records of the same length: then the one over the segments' edge tells.
    for (bytes, why) in [(7_777, "bytes are missing before it"), (10_000, "cannot be read from its pieces")] {
        let mut bench = Bench::new().await;
        let (one, two) = (life(&bench, 10_000, 1), life(&bench, bytes, 2));
        archived(&bench, "db1", &one[0]).await;
        archived(&bench, "db2", &two[1]).await;
        let mut planned = plan(&bench);
        planned.way.as_mut().unwrap().serve = vec![range(1, 5, 8)];
        planned.way.as_mut().unwrap().path.truncate(1);
        planned.way.as_mut().unwrap().timeline = Timeline::FIRST;
        for plan in [None, Some(&planned)] {
            assert_eq!(code(&bench, plan, &one[1].0).await, 0, "nothing was handed over before it");
            bench.wal(&one[0].0, &one[0].1);
            let FetchAnswer::Stop(error) = ask(&bench, plan, &one[1].0).await else { panic!("handed over") };
            assert_eq!(error.id(), "archive.broken-link");
            let said = format!("{error} {:?}", error.facts());
            assert!(said.contains(why) && said.contains("(db1)") && said.contains("(db2)"), "{said}");
            assert_eq!(code(&bench, plan, &one[1].0).await, 126);
            bench.wal(&one[0].0, &two[0].1);
            assert_eq!(code(&bench, plan, &one[1].0).await, 0, "behind its own life it is right");
            std::fs::remove_file(bench.pgdata().join("pg_wal").join(&one[0].0)).unwrap();
        }
        // Each region took the other life's segment while the other one was away: the right one is found.
        bench.acknowledge = crate::repository::Acknowledge::AtLeast(1);
        bench.stores[0].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
        archived(&bench, "db1", &one[2]).await;
        bench.stores[0].heal();
        bench.stores[1].add(Rule::new(Fault::FailBefore));
        archived(&bench, "db2", &two[2]).await;
        bench.stores[1].heal();
        for life in [&one, &two] {
            bench.wal(&life[1].0, &life[1].1);
            assert_eq!(ask(&bench, None, &life[2].0).await.exit_code(), 0);
            assert!(std::fs::read(bench.pgdata().join(TARGET)).unwrap() == life[2].1);
        }
    }
}

/// Each region took another server's file while the other one was away, and either would go on here: nobody can say which it is.
#[tokio::test]
async fn files_of_two_servers_that_both_go_on_are_not_handed_over() {
    let mut bench = Bench::new().await;
    let (one, two) = (life(&bench, 10_000, 1), life(&bench, 7_777, 2));
    bench.acknowledge = crate::repository::Acknowledge::AtLeast(1);
    for (away, host, life) in [(1, "db1", &one), (0, "db2", &two)] {
        bench.stores[away].add(Rule::new(Fault::FailBefore));
        archived(&bench, host, &life[1]).await;
        bench.stores[away].heal();
    }
    let name = &one[1].0;
    let FetchAnswer::Stop(error) = ask(&bench, None, name).await else { panic!("handed over") };
    assert_eq!(error.id(), "archive.two-writers");
    let said = format!("{error} {:?} {:?}", error.facts(), error.hints());
    assert_eq!(said.matches("by writer").count(), 2, "{said}");
    assert!(
        ["--without-region north", "--without-region south"].iter().all(|line| said.contains(line)),
        "{said}"
    );
    assert_eq!(code(&bench, None, name).await, 126);
    // Promised, or beyond what was promised.
    let mut planned = plan(&bench);
    let way = planned.way.as_mut().unwrap();
    (way.serve, way.timeline) = (vec![range(1, 5, 8)], Timeline::FIRST);
    way.path.truncate(1);
    assert_eq!(code(&bench, Some(&planned), name).await, 126);
    // Only one of them is there for who gave the other region up, or cannot reach it.
    for (away, life) in [(0, &two), (1, &one)] {
        bench.stores[away].add(Rule::new(Fault::FailBefore));
        assert_eq!(ask(&bench, None, name).await.exit_code(), 0);
        assert!(std::fs::read(bench.pgdata().join(TARGET)).unwrap() == life[1].1);
        bench.stores[away].heal();
    }
}

/// What lies in `pg_wal` and tells nothing keeps nothing back: no whole segment, or one that a switch ended, which goes on.
#[tokio::test]
async fn a_link_is_judged_only_by_what_is_whole() {
    let bench = Bench::new().await;
    let one = life(&bench, 10_000, 1);
    let two = life(&bench, 7_777, 2);
    archived(&bench, "db2", &two[1]).await;
    let half = [&one[0].1[..one[0].1.len() / 2], &vec![0; one[0].1.len() / 2]].concat();
    bench.wal(&one[0].0, &half);
    assert_eq!(code(&bench, None, &two[1].0).await, 0, "a stream that ended in it");
    bench.wal(&one[0].0, b"short");
    assert_eq!(code(&bench, None, &two[1].0).await, 0);
    let (four, switched) = bench.segment(1, 4, 3);
    bench.wal(&four, &switched);
    archived(&bench, "db1", &one[0]).await;
    assert_eq!(code(&bench, None, &one[0].0).await, 126, "its first record names no switch");
}
