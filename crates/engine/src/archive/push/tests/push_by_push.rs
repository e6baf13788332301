//! Regions that are away, push by push as PostgreSQL calls them: what is acknowledged without them, when, and who is told.

use std::time::Duration;

use seawall_store::faulty::{CallKind, Fault, FaultyStore, Rule};

use super::*;
use crate::archive::testing::Bench;
use crate::events;
use crate::repository::HostKeys;

const DEGRADE: Duration = Duration::from_secs(60);

async fn bench(regions: usize) -> Bench {
    let mut bench = Bench::with(regions, 1).await;
    bench.acknowledge = Acknowledge::Healthy { degrade: DEGRADE };
    bench
}

fn memory(bench: &Bench) -> AwayRegions {
    let key_file = bench.key_file("db1");
    AwayRegions::load(&key_file, &HostKeys::load(&key_file).unwrap(), &bench.world)
}

/// One call of `archive_command`: a process that knows nothing but what the last one left.
async fn call(bench: &Bench, segment: u64) -> Result<PushReport> {
    let (mut memory, regions) = (memory(bench), bench.regions());
    leave_alone(&regions, &memory);
    let secrets = Secrets::Host(bench.key_file("db1"));
    let cluster = "orders".parse().unwrap();
    let repository =
        Repository::open_in(regions, &bench.settings(), &cluster, &secrets, &bench.world).await?;
    push_with(&repository, &bench.pgdata(), &bench.segment_file(1, segment, 9), &mut memory).await
}

fn down(store: &FaultyStore) {
    store.add(Rule::new(Fault::FailBefore));
}

async fn pass(bench: &Bench, seconds: u64) {
    bench.world.clock.sleep(Duration::from_secs(seconds)).await;
}

fn ids(report: &PushReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

async fn events(bench: &Bench) -> Vec<String> {
    let repository = bench.as_host("db1").await.unwrap();
    let now = crate::backup::now(&bench.world).unwrap();
    let (kinds, mut findings) = ([tell::AWAY, tell::BACK], Vec::new());
    let events = events::recent(&repository, &bench.place(), &kinds, now, &mut findings).await.unwrap();
    events.iter().map(|event| format!("{} {}", event.what, event.detail["region"])).collect()
}

#[tokio::test]
async fn a_region_is_done_without_only_after_it_failed_for_the_whole_time() {
    let bench = bench(2).await;
    call(&bench, 1).await.unwrap();
    down(&bench.stores[1]);
    let began = bench.world.clock.monotonic();
    let mut refused = 0;
    let report = loop {
        match call(&bench, 2).await {
            Ok(report) => break report,
            Err(error) => {
                assert_eq!((error.id(), error.kind()), ("archive.too-few-regions", crate::Kind::Unavailable));
                assert!(format!("{:?}", error.hints()).contains("ack_degrade"), "{error:?}");
                refused += 1;
            }
        }
        pass(&bench, 5).await;
    };
    let took = bench.world.clock.monotonic() - began;
    assert!(took >= DEGRADE && took < DEGRADE + Duration::from_secs(30), "{took:?}");
    assert!(refused > 5, "until then PostgreSQL keeps the file");
    assert_eq!(ids(&report), ["archive.degraded"]);
    assert_eq!(events(&bench).await, ["region-away \"south\""]);
    // From now on nobody waits, and the region is left alone but for a trial now and then.
    let before = (bench.stores[1].count(), bench.world.clock.monotonic());
    for segment in 3..9 {
        assert_eq!(ids(&call(&bench, segment).await.unwrap()), ["archive.degraded"]);
        pass(&bench, 1).await;
    }
    assert_eq!(bench.stores[1].count(), before.0);
    assert!(bench.world.clock.monotonic() - before.1 < Duration::from_secs(10));
    pass(&bench, 31).await;
    call(&bench, 9).await.unwrap();
    assert_eq!(bench.stores[1].count(), before.0 + 1, "one sign of life was asked for");
    assert_eq!(events(&bench).await.len(), 1, "told once a day");

    bench.stores[1].heal();
    pass(&bench, 31).await;
    let report = call(&bench, 10).await.unwrap();
    assert_eq!((report.held_by.len(), ids(&report)), (2, vec!["archive.region-back"]));
    assert!(report.findings[0].what.contains("8 files"), "{:?}", report.findings);
    assert_eq!(events(&bench).await, ["region-away \"south\"", "region-back \"south\""]);
    assert_eq!(call(&bench, 11).await.unwrap().findings, []);
    // Away again: the wait begins anew.
    down(&bench.stores[1]);
    assert_eq!(call(&bench, 12).await.unwrap_err().id(), "archive.too-few-regions");
}

#[tokio::test]
async fn an_answer_in_between_begins_the_wait_anew() {
    let bench = bench(2).await;
    down(&bench.stores[1]);
    call(&bench, 1).await.unwrap_err();
    pass(&bench, 50).await;
    bench.stores[1].heal();
    call(&bench, 1).await.unwrap();
    down(&bench.stores[1]);
    pass(&bench, 20).await;
    assert_eq!(call(&bench, 2).await.unwrap_err().id(), "archive.too-few-regions");
}

#[tokio::test]
async fn a_memory_that_was_lost_or_forged_only_means_to_wait_anew() {
    let bench = bench(2).await;
    down(&bench.stores[1]);
    call(&bench, 1).await.unwrap_err();
    pass(&bench, 61).await;
    let file = away::file_beside(&bench.key_file("db1"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"tried_us\"", "\"tried_us\" ")).unwrap();
    let error = call(&bench, 1).await.unwrap_err();
    assert_eq!(error.id(), "archive.too-few-regions", "whose signature does not fit is not believed");
    pass(&bench, 40).await;
    std::fs::remove_file(&file).unwrap();
    call(&bench, 1).await.unwrap_err();
    pass(&bench, 30).await;
    call(&bench, 1).await.unwrap_err();
    pass(&bench, 31).await;
    assert_eq!(ids(&call(&bench, 1).await.unwrap()), ["archive.degraded"]);
}

#[tokio::test]
async fn with_no_region_left_postgresql_keeps_its_wal_however_long() {
    let bench = bench(2).await;
    for store in &bench.stores {
        store.add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    }
    for _ in 0..30 {
        assert_eq!(call(&bench, 1).await.unwrap_err().kind(), crate::Kind::Unavailable);
        pass(&bench, 60).await;
    }
    bench.stores[0].heal();
    assert_eq!(ids(&call(&bench, 1).await.unwrap()), ["archive.degraded"], "south is still away");
}

#[tokio::test]
async fn a_conflict_in_one_region_is_never_done_without() {
    let bench = bench(2).await;
    let other = bench.segment_file(1, 1, 8);
    bench.stores[0].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    let mut of_other = AwayRegions::nothing(&bench.world);
    let db2 = bench.as_host("db2").await.unwrap();
    push_with(&db2, &bench.pgdata(), &other, &mut of_other).await.unwrap_err();
    bench.stores[0].heal();
    for _ in 0..3 {
        assert_eq!(call(&bench, 1).await.unwrap_err().id(), "archive.conflict");
        pass(&bench, 60).await;
    }
}

#[tokio::test]
async fn a_number_is_never_relaxed() {
    let mut bench = bench(3).await;
    bench.acknowledge = Acknowledge::AtLeast(2);
    down(&bench.stores[1]);
    let report = call(&bench, 1).await.unwrap();
    assert_eq!((report.held_by.len(), ids(&report)), (2, vec!["archive.region-behind"]));
    pass(&bench, 61).await;
    assert_eq!(ids(&call(&bench, 2).await.unwrap()), ["archive.degraded"], "it is told");
    down(&bench.stores[2]);
    for _ in 0..5 {
        pass(&bench, 60).await;
        assert_eq!(call(&bench, 3).await.unwrap_err().id(), "archive.too-few-regions");
    }
}
