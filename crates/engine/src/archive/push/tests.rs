//! Pushing: every call fails once, racing writers, other content, names and identities that refuse.

use seawall_pg::SystemIdentifier;
use seawall_store::faulty::{CallKind, Fault, Rule};

mod push_by_push;

use super::*;
use crate::Kind;
use crate::archive::testing::{Bench, SYSTEM, first_page};
use crate::repository::Acknowledge;

async fn push_as(bench: &Bench, host: &str, path: &Path) -> Result<PushReport> {
    let repository = bench.as_host(host).await?;
    push(&repository, &bench.pgdata(), path).await
}

fn stored(report: &PushReport) -> Vec<Stored> {
    report.held_by.iter().map(|held| held.stored).collect()
}

/// Every region holds the file, byte for byte.
async fn assert_held(bench: &Bench, file: &str, wanted: &[u8]) {
    for store in &bench.stores {
        store.heal();
    }
    let repository = bench.as_reader().await.unwrap();
    let name = bench.object(file);
    for region in repository.regions().iter() {
        assert!(region.exists(name.as_str()).await.unwrap(), "{file} is not in {}", region.name());
    }
    let opened = crate::archive::read::open(&repository, &name, &|_| Ok(())).await.unwrap();
    if let seawall_repo::wal_object::WalContent::Bytes(bytes) = opened.wal.content {
        assert!(bytes == wanted, "{file} came back changed");
    }
}

#[tokio::test]
async fn a_segment_is_stored_everywhere_and_pushing_it_again_is_success() {
    let bench = Bench::new().await;
    let path = bench.segment_file(1, 5, 9);
    let report = push_as(&bench, "db1", &path).await.unwrap();
    assert_eq!(stored(&report), [Stored::Now, Stored::Now]);
    assert_eq!(report.lines(), ["000000010000000000000005 stored in north, south"]);
    assert_eq!(report.findings, []);
    let again = push_as(&bench, "db1", &path).await.unwrap();
    assert_eq!(stored(&again), [Stored::Before, Stored::Before]);
    let other_host = push_as(&bench, "db2", &bench.pgdata().join(&path)).await.unwrap();
    assert_eq!(stored(&other_host), [Stored::Before, Stored::Before]);
    assert_held(&bench, "000000010000000000000005", &bench.segment(1, 5, 9).1).await;
}

#[tokio::test]
async fn other_content_is_a_conflict_that_names_both_writers() {
    let bench = Bench::new().await;
    let path = bench.segment_file(1, 5, 1);
    push_as(&bench, "db1", &path).await.unwrap();
    let error = push_as(&bench, "db2", &bench.segment_file(1, 5, 2)).await.unwrap_err();
    assert_eq!((error.id(), error.kind()), ("archive.conflict", Kind::Data));
    let facts = format!("{:?}", error.facts());
    assert!(facts.contains("(db1)") && facts.contains("(db2)") && facts.contains(&host_name()), "{facts}");
    assert_held(&bench, "000000010000000000000005", &bench.segment(1, 5, 1).1).await;
}

#[tokio::test]
async fn other_content_in_one_region_stops_a_push_that_the_rule_would_let_pass() {
    let mut bench = Bench::new().await;
    bench.acknowledge = Acknowledge::AtLeast(1);
    bench.stores[0].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    push_as(&bench, "db1", &bench.segment_file(1, 5, 1)).await.unwrap();
    bench.stores[0].heal();
    let error = push_as(&bench, "db2", &bench.segment_file(1, 5, 2)).await.unwrap_err();
    assert_eq!(error.id(), "archive.conflict");
}

#[tokio::test]
async fn a_damaged_copy_of_the_same_segment_is_no_success() {
    let bench = Bench::new().await;
    let path = bench.segment_file(1, 5, 1);
    push_as(&bench, "db1", &path).await.unwrap();
    bench.stores[1].add(Rule::new(Fault::FlipBit(9_000)).on(CallKind::Get).named("/wal/"));
    let error = push_as(&bench, "db1", &path).await.unwrap_err();
    assert_eq!((error.id(), error.kind()), ("archive.copy-unbelieved", Kind::Data));
}

#[tokio::test]
async fn too_few_regions_is_an_outage_and_nothing_is_lost() {
    let mut bench = Bench::new().await;
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    let path = bench.segment_file(1, 5, 1);
    let error = push_as(&bench, "db1", &path).await.unwrap_err();
    assert_eq!((error.id(), error.kind()), ("archive.too-few-regions", Kind::Unavailable));
    assert!(error.facts()[0].1.starts_with("south: "), "{error:?}");
    assert!(bench.pgdata().join(&path).exists());
    bench.acknowledge = Acknowledge::AtLeast(1);
    let report = push_as(&bench, "db1", &path).await.unwrap();
    assert_eq!(stored(&report), [Stored::Before]);
    assert_eq!(report.findings[0].id, "archive.region-behind");
}

#[tokio::test]
async fn every_store_call_fails_once_before_amid_and_after_the_work() {
    let mut met = 0;
    for fault in
        [Fault::FailBefore, Fault::FailAfter, Fault::Truncate(40), Fault::ApplyLate { calls: Some(1) }]
    {
        for call in 1.. {
            let mut bench = Bench::new().await;
            bench.fresh_faults();
            let path = bench.segment_file(1, 5, 9);
            bench.stores[0].add(Rule::new(fault.clone()).at_call(call));
            let first = push_as(&bench, "db1", &path).await;
            if bench.stores[0].faults_met() == 0 {
                assert!(call > 4, "the sweep ended after {call} calls");
                break;
            }
            met += 1;
            if first.is_err() {
                bench.stores[0].heal();
                push_as(&bench, "db1", &path).await.unwrap();
            }
            assert_held(&bench, "000000010000000000000005", &bench.segment(1, 5, 9).1).await;
        }
    }
    println!("push: {met} store calls failed, each once");
}

#[tokio::test]
async fn a_region_that_never_answers_puts_leaves_no_false_success() {
    for fault in [Fault::FailBefore, Fault::Forget] {
        let bench = Bench::new().await;
        bench.stores[0].add(Rule::new(fault.clone()).on(CallKind::Put));
        let pushed = push_as(&bench, "db1", &bench.segment_file(1, 5, 9)).await;
        // A store that answers "done" and forgets cannot be told from one that keeps: only the other region is sure.
        assert_eq!(pushed.is_err(), fault == Fault::FailBefore);
    }
}

#[tokio::test]
async fn racing_pushers_of_the_same_file_both_succeed_and_of_different_files_one_does() {
    let bench = Bench::new().await;
    let path = bench.segment_file(1, 5, 9);
    let (one, two) = tokio::join!(push_as(&bench, "db1", &path), push_as(&bench, "db2", &path));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    let other = Bench::new().await;
    let (name, bytes) = bench.segment(1, 6, 9);
    let (mine, theirs) = (bench.wal(&name, &bytes), other.pgdata().join(other.segment_file(1, 6, 8)));
    let (one, two) = tokio::join!(push_as(&bench, "db1", &mine), push_as(&bench, "db2", &theirs));
    assert!(one.is_err() || two.is_err(), "{one:?} {two:?}");
}

#[tokio::test]
async fn only_what_is_certainly_wrong_is_refused() {
    let bench = Bench::new().await;
    let at = SegmentName::new(Timeline::FIRST, seawall_pg::SegmentNo(5), bench.size).unwrap();
    let address = at.first_lsn(bench.size).unwrap();
    let whole = |mut bytes: Vec<u8>, length: u64| {
        bytes.resize(usize::try_from(length).unwrap(), 3);
        bench.wal(&at.to_string(), &bytes)
    };
    let right = || first_page(Timeline::FIRST, address, SYSTEM, bench.size);
    let size = bench.size.bytes();
    let refused = [
        (first_page(Timeline::FIRST, address, SystemIdentifier(1), bench.size), size),
        (first_page(Timeline::FIRST, seawall_pg::Lsn(address.0 + size), SYSTEM, bench.size), size),
        (first_page(Timeline::new(7).unwrap(), address, SYSTEM, bench.size), size),
        (first_page(Timeline::FIRST, address, SYSTEM, seawall_pg::WalSegmentSize::DEFAULT), size),
        (right(), size - 1),
        (right(), size + 1),
    ];
    for (bytes, length) in refused {
        let error = push_as(&bench, "db1", &whole(bytes, length)).await.unwrap_err();
        assert_eq!((error.id(), error.kind()), ("archive.refused", Kind::Source));
    }
    let repository = bench.as_reader().await.unwrap();
    assert!(
        !repository
            .regions()
            .iter()
            .next()
            .unwrap()
            .exists(bench.object(&at.to_string()).as_str())
            .await
            .unwrap()
    );
    let report = push_as(&bench, "db1", &whole(vec![0xEE; 64], size)).await.unwrap();
    assert_eq!(report.findings[0].id, "archive.not-identified");
    assert_held(
        &bench,
        &at.to_string(),
        &vec![0xEE; 64].into_iter().chain(vec![3; (size - 64) as usize]).collect::<Vec<_>>(),
    )
    .await;
}

#[tokio::test]
async fn a_timeline_is_checked_by_its_history_and_an_ancestors_page_is_legal() {
    let bench = Bench::new().await;
    let (name, _) = bench.segment(2, 5, 1);
    let path = bench.wal(&name, &bench.segment(1, 5, 1).1);
    // Nobody knows the timeline's history: it is kept, and said.
    assert_eq!(push_as(&bench, "db1", &path).await.unwrap().findings[0].id, "archive.not-identified");
    let (name, _) = bench.segment(2, 6, 1);
    let mut later = first_page(
        Timeline::FIRST,
        seawall_pg::SegmentNo(6).first_lsn(bench.size).unwrap(),
        SYSTEM,
        bench.size,
    );
    later.resize(usize::try_from(bench.size.bytes()).unwrap(), 1);
    bench.wal("00000002.history", b"1\t0/580000\tno recovery target specified\n");
    let error = push_as(&bench, "db1", &bench.wal(&name, &later)).await.unwrap_err();
    assert_eq!(error.id(), "archive.refused", "timeline 1 has no part in a segment behind the switch");
    assert_eq!(push_as(&bench, "db1", &path).await.unwrap().findings, []);
}

#[tokio::test]
async fn history_backup_and_partial_files_are_stored_under_their_names() {
    let bench = Bench::new().await;
    let (segment, bytes) = bench.segment(1, 5, 4);
    let files: [(String, Vec<u8>); 3] = [
        ("00000002.history".to_owned(), b"1\t0/580000\tbefore 2031\n".to_vec()),
        (format!("{segment}.00000028.backup"), b"START WAL LOCATION: 0/500028\n".to_vec()),
        (format!("{segment}.partial"), bytes),
    ];
    for (name, bytes) in files {
        let report = push_as(&bench, "db1", &bench.wal(&name, &bytes)).await.unwrap();
        assert_eq!((report.file.to_string(), report.findings), (name.clone(), vec![]));
        assert_held(&bench, &name, &bytes).await;
    }
    let error =
        push_as(&bench, "db1", &bench.wal("00000002.history", b"1\t0/590000\tother\n")).await.unwrap_err();
    assert_eq!(error.id(), "archive.conflict", "two servers promoted to one timeline");
}

#[tokio::test]
async fn what_is_no_wal_file_or_of_no_adopted_cluster_is_refused_in_words() {
    let bench = Bench::new().await;
    let error = push_as(&bench, "db1", &bench.wal("xlogtemp.17", b"")).await.unwrap_err();
    assert_eq!(error.id(), "archive.name");
    let error = push_as(&bench, "db1", Path::new("pg_wal/000000010000000000000001")).await.unwrap_err();
    assert_eq!(error.id(), "archive.unreadable");
    bench.write_control(&bench.control(SystemIdentifier(42)));
    let error = push_as(&bench, "db1", &bench.segment_file(1, 5, 1)).await.unwrap_err();
    assert_eq!((error.id(), error.kind()), ("archive.system-not-adopted", Kind::Usage));
    assert!(error.hints()[0].contains("--after-upgrade-of"), "{error:?}");
}

#[tokio::test]
async fn a_large_segment_lies_in_parts_and_every_call_may_fail() {
    let (mut met, mut call) = (0, 1);
    loop {
        let mut bench = Bench::with(2, 64).await;
        bench.fresh_faults();
        let (name, mut bytes) = bench.segment(1, 1, 0);
        bytes[40 << 20] = 1;
        let path = bench.wal(&name, &bytes);
        bench.stores[1].add(Rule::new(Fault::FailAfter).at_call(call));
        let first = push_as(&bench, "db1", &path).await;
        let was_met = bench.stores[1].faults_met() > 0;
        if first.is_err() {
            bench.stores[1].heal();
            push_as(&bench, "db2", &path).await.unwrap();
        }
        assert_held(&bench, &name, &bytes).await;
        if !was_met {
            assert_eq!(first.unwrap().parts, 2);
            break;
        }
        (met, call) = (met + 1, call + 1);
    }
    println!("push in parts: {met} store calls failed, each once");
    assert_eq!(met, 4, "a listing at opening, two parts, the object of the whole");
}

#[tokio::test]
async fn a_region_without_a_part_does_not_get_the_object_of_the_whole() {
    let bench = Bench::with(2, 64).await;
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::Put).named(".p1"));
    let (name, bytes) = bench.segment(1, 1, 0);
    let error = push_as(&bench, "db1", &bench.wal(&name, &bytes)).await.unwrap_err();
    assert_eq!(error.id(), "archive.too-few-regions");
    let whole = bench.object(&name);
    let held: Vec<bool> = futures::future::join_all(
        bench.regions().iter().map(|region| async { region.exists(whole.as_str()).await.unwrap() }),
    )
    .await;
    assert_eq!(held, [true, false]);
}
