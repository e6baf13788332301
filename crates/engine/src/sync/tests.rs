//! Regions apart brought together: what is copied, what is not, and what a fault at every call leaves.

use seawall_repo::condemned::{Condemned, Tombstone, TombstoneDone, WalStretch};
use seawall_repo::id::RecordId;
use seawall_store::faulty::{CallKind, Fault, FaultyStore, Gate, Rule};

use super::*;
use crate::archive::push::push;
use crate::archive::testing::{Bench, SYSTEM};
use crate::monitor::Silent;
use crate::repository::{Acknowledge, Repository};
use seawall_pg::{SegmentNo, Timeline};
use seawall_repo::layout::{Named, ObjectName, RegionLabel};
use std::sync::{Arc, Mutex};

pub(super) async fn synced(bench: &Bench) -> SyncReport {
    try_sync(bench).await.unwrap()
}

async fn try_sync(bench: &Bench) -> crate::Result<SyncReport> {
    let repository = bench.as_host("db1").await?;
    sync(&repository, &SyncOptions::default(), Arc::new(Silent)).await
}

/// Segments pushed while a region takes no puts.
async fn pushed_without(bench: &mut Bench, away: usize, numbers: std::ops::RangeInclusive<u64>) {
    bench.acknowledge = Acknowledge::AtLeast(1);
    bench.stores[away].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    for number in numbers {
        bench.pushed(number, 9).await;
    }
    bench.stores[away].heal();
}

/// Every object of a region and its bytes, events left out: each sync adds one.
async fn content(bench: &Bench, region: &str) -> Vec<(String, bytes::Bytes)> {
    let regions = bench.regions();
    let region = regions.find(region).unwrap();
    let mut all = Vec::new();
    for info in region.list_collect("").await.unwrap() {
        if !info.name.contains("/event/") {
            let bytes = region.get(&info.name, 1 << 30).await.unwrap();
            all.push((info.name, bytes));
        }
    }
    all
}

fn ids(report: &SyncReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

#[tokio::test]
async fn each_region_gets_what_only_the_other_has_and_a_second_run_finds_nothing_to_do() {
    let mut bench = Bench::new().await;
    pushed_without(&mut bench, 1, 1..=3).await;
    pushed_without(&mut bench, 0, 4..=5).await;
    let repository = bench.as_host("db1").await.unwrap();
    let dry = SyncOptions { dry_run: true, ..SyncOptions::default() };
    let planned = sync(&repository, &dry, Arc::new(Silent)).await.unwrap();
    let counts = |report: &SyncReport| -> Vec<(u64, u64)> {
        report.regions.iter().map(|region| (region.kind("wal").lacking, region.kind("wal").copied)).collect()
    };
    assert_eq!(counts(&planned), [(2, 0), (3, 0)]);
    let report = synced(&bench).await;
    assert_eq!((counts(&report), ids(&report)), (vec![(2, 2), (3, 3)], vec![]));
    assert_eq!(content(&bench, "north").await, content(&bench, "south").await);
    let again = synced(&bench).await;
    assert!(again.regions.iter().all(|region| region.total().lacking == 0) && !again.has_findings());
    // Only one of them.
    pushed_without(&mut bench, 0, 6..=6).await;
    pushed_without(&mut bench, 1, 7..=7).await;
    let repository = bench.as_host("db1").await.unwrap();
    let one = SyncOptions {
        regions: vec![repository.regions().find("south").unwrap().name().clone()],
        ..SyncOptions::default()
    };
    let report = sync(&repository, &one, Arc::new(Silent)).await.unwrap();
    assert_eq!(counts(&report), [(1, 1)]);
}

#[tokio::test]
async fn a_fault_at_every_call_leaves_nothing_half_and_the_next_run_finishes() {
    for fault in
        [Fault::FailBefore, Fault::FailAfter, Fault::Truncate(40), Fault::ApplyLate { calls: Some(1) }]
    {
        for side in 0..2 {
            for call in 1.. {
                let mut bench = Bench::new().await;
                pushed_without(&mut bench, 1, 1..=2).await;
                bench.fresh_faults();
                bench.stores[side].add(Rule::new(fault.clone()).at_call(call));
                let first = try_sync(&bench).await;
                let met = bench.stores[side].faults_met() > 0;
                for store in &bench.stores {
                    store.heal();
                }
                let second = synced(&bench).await;
                assert!(!second.has_findings(), "{fault:?} at {call}: {first:?}, then {second:?}");
                assert_eq!(
                    content(&bench, "north").await,
                    content(&bench, "south").await,
                    "{fault:?} at {call}"
                );
                if !met {
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn two_runs_at_once_disturb_nobody() {
    let mut bench = Bench::new().await;
    pushed_without(&mut bench, 1, 1..=4).await;
    let (one, two) = tokio::join!(synced(&bench), synced(&bench));
    assert!(!one.has_findings() && !two.has_findings(), "{one:?} {two:?}");
    assert_eq!(content(&bench, "north").await, content(&bench, "south").await);
}

#[tokio::test]
async fn what_a_tombstone_of_either_side_names_is_not_brought_back() {
    let mut bench = Bench::new().await;
    pushed_without(&mut bench, 1, 1..=4).await;
    let pruner = bench.as_host("pruner").await.unwrap();
    let id: RecordId = crate::events::record_id(&pruner).unwrap();
    let place = bench.place();
    let condemned = Condemned {
        wal: vec![WalStretch { timeline: Timeline::FIRST, first: SegmentNo(1), last: SegmentNo(2) }],
        ..Condemned::default()
    };
    let stone = Tombstone {
        tombstone: id,
        cluster: place.cluster.clone(),
        system: SYSTEM,
        regions: vec!["south".to_owned()],
        grace: 86_400,
        segment_size: Some(bench.size),
        condemned,
        written: crate::backup::now(&bench.world).unwrap(),
        host: "keeper".to_owned(),
    };
    // Only the region that lacks the segments knows of it.
    let south = pruner.regions().set();
    south.detach(pruner.regions().find("north").unwrap().name(), seawall_store::DetachReason::Excluded);
    let name: ObjectName = Named::Tombstone { place, id }.into();
    pruner.put_record(&south, &name, &stone).await.unwrap();
    let report = synced(&bench).await;
    let wal = report.regions[1].kind("wal");
    assert_eq!((wal.lacking, wal.copied, wal.not_wanted), (2, 2, 2));
    let south = content(&bench, "south").await;
    assert!(south.iter().all(|(name, _)| !name.ends_with("000000000001") && !name.ends_with("000000000002")));
    assert!(
        content(&bench, "north").await.iter().any(|(held, _)| *held == name.to_string()),
        "it is known there now"
    );
}

/// A region that was away for some days still has what was condemned and deleted meanwhile, by tombstones that do not count there.
#[tokio::test]
async fn what_was_pruned_while_a_region_was_away_for_days_does_not_come_back_from_it() {
    let bench = Bench::new().await;
    for number in 1..=4 {
        bench.pushed(number, 9).await;
    }
    let stone = condemned_in(&bench, 1, 3, &["north"]).await;
    // Carried out: the first two are gone, the third was needed again.
    let store = &bench.memories[0];
    for number in [1, 2, 4] {
        let name = bench.object(&format!("00000001000000000000000{number}"));
        object_store::ObjectStoreExt::delete(store, &name.as_str().into()).await.unwrap();
    }
    let spared = vec![WalStretch { timeline: Timeline::FIRST, first: SegmentNo(3), last: SegmentNo(3) }];
    carried_out_in(&bench, stone, "north", spared).await;
    let report = synced(&bench).await;
    let wal = report.regions[0].kind("wal");
    assert_eq!((wal.copied, wal.not_wanted), (1, 2), "only what no tombstone names comes: {report:?}");
    // What was spared is wanted, wherever it is lacking.
    let third = bench.object("000000010000000000000003");
    object_store::ObjectStoreExt::delete(&bench.memories[1], &third.as_str().into()).await.unwrap();
    assert_eq!(synced(&bench).await.regions[1].kind("wal").copied, 1);
}

/// A sync of terabytes takes days, and prunes go on meanwhile.
#[tokio::test]
async fn what_is_condemned_while_a_sync_runs_is_not_copied_any_more() {
    let mut bench = Bench::new().await;
    pushed_without(&mut bench, 1, 1..=9).await;
    let gate = Gate::default();
    let slow: Mutex<Vec<FaultyStore>> = Mutex::default();
    let host = bench.open_over("db1", |store| {
        let faulty = FaultyStore::new(store, &bench.world);
        faulty.add(Rule::new(Fault::Hang(gate.clone())).on(CallKind::Put).named("000000000001"));
        slow.lock().unwrap().push(faulty.clone());
        Arc::new(faulty)
    });
    let host = host.await.unwrap();
    let south = slow.lock().unwrap()[1].clone();
    let options = SyncOptions::default();
    let syncing = sync(&host, &options, Arc::new(Silent));
    let meanwhile = async {
        while south.faults_met() == 0 {
            tokio::task::yield_now().await;
        }
        bench.world.clock.sleep_blocking(std::time::Duration::from_secs(3600));
        condemned_in(&bench, 2, 9, &["north", "south"]).await;
        gate.open();
    };
    let (report, ()) = tokio::join!(syncing, meanwhile);
    // What was on its way is there; the grace lets nothing of it be deleted before the next prune sees it.
    let report = report.unwrap();
    let wal = report.regions[1].kind("wal");
    assert!(wal.copied >= 1 && wal.copied <= 3 && !report.has_findings(), "{report:?}");
}

/// A tombstone that names these segments, known in every region and counting in these.
pub(super) async fn condemned_in(bench: &Bench, first: u64, last: u64, regions: &[&str]) -> RecordId {
    let pruner = bench.as_host("pruner").await.unwrap();
    let (id, place) = (crate::events::record_id(&pruner).unwrap(), bench.place());
    let wal = vec![WalStretch { timeline: Timeline::FIRST, first: SegmentNo(first), last: SegmentNo(last) }];
    let stone = Tombstone {
        tombstone: id,
        cluster: place.cluster.clone(),
        system: SYSTEM,
        regions: regions.iter().map(|region| (*region).to_owned()).collect(),
        grace: 86_400,
        segment_size: Some(bench.size),
        condemned: Condemned { wal, ..Condemned::default() },
        written: crate::backup::now(&bench.world).unwrap(),
        host: "keeper".to_owned(),
    };
    let name: ObjectName = Named::Tombstone { place, id }.into();
    pruner.put_record(&pruner.regions().set(), &name, &stone).await.unwrap();
    id
}

/// That tombstone was carried out in a region, but for what it spared.
pub(super) async fn carried_out_in(bench: &Bench, stone: RecordId, region: &str, spared: Vec<WalStretch>) {
    let pruner = bench.as_host("pruner").await.unwrap();
    let done = TombstoneDone {
        tombstone: stone,
        region: region.to_owned(),
        deleted: 2,
        bytes: 0,
        spared: Condemned { wal: spared, ..Condemned::default() },
        written: crate::backup::now(&bench.world).unwrap(),
        host: "keeper".to_owned(),
    };
    let region = RegionLabel::new(region).unwrap();
    let name: ObjectName = Named::TombstoneDone { place: bench.place(), id: stone, region }.into();
    pruner.put_record(&pruner.regions().set(), &name, &done).await.unwrap();
}

/// One that is over counts for sync alone, so sync tells what is wrong with it.
#[tokio::test]
async fn a_tombstone_that_is_over_and_cannot_be_believed_is_told() {
    let bench = Bench::new().await;
    bench.pushed(4, 9).await;
    let stone = condemned_in(&bench, 1, 3, &["north", "south"]).await;
    for region in ["north", "south"] {
        carried_out_in(&bench, stone, region, Vec::new()).await;
    }
    assert!(!synced(&bench).await.has_findings());
    let name = Named::Tombstone { place: bench.place(), id: stone }.to_name();
    for store in &bench.memories {
        let spoiled = bytes::Bytes::from_static(b"something else").into();
        object_store::ObjectStoreExt::put(store, &name.as_str().into(), spoiled).await.unwrap();
    }
    assert_eq!(ids(&synced(&bench).await), ["prune.record-refused"]);
}

#[tokio::test]
async fn two_contents_under_one_name_are_left_as_they_are_and_told() {
    let mut bench = Bench::with(3, 1).await;
    bench.acknowledge = Acknowledge::AtLeast(1);
    let down = |store: &FaultyStore| store.add(Rule::new(Fault::FailBefore));
    for (held, seed, host) in [(0, 1, "db1"), (1, 2, "db2")] {
        bench
            .stores
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != held)
            .for_each(|(_, store)| down(store));
        let repository = bench.as_host(host).await.unwrap();
        push(&repository, &bench.pgdata(), &bench.segment_file(1, 5, seed)).await.unwrap();
        bench.stores.iter().for_each(FaultyStore::heal);
    }
    let before = (content(&bench, "north").await, content(&bench, "south").await);
    let report = synced(&bench).await;
    assert_eq!(ids(&report), ["sync.conflict"]);
    assert_eq!((content(&bench, "north").await, content(&bench, "south").await), before);
    assert!(content(&bench, "west").await.iter().all(|(name, _)| !name.contains("/wal/")));
}

/// Of two servers that were apart one went further: what it has more would stand behind the other's WAL.
#[tokio::test]
async fn what_follows_another_servers_file_is_not_copied() {
    let mut bench = Bench::new().await;
    bench.acknowledge = Acknowledge::AtLeast(1);
    bench.pushed(4, 9).await;
    for (away, seed, host, last) in [(1, 1, "db1", 8), (0, 2, "db2", 6)] {
        bench.stores[away].add(Rule::new(Fault::FailBefore));
        let repository = bench.as_host(host).await.unwrap();
        for number in 5..=last {
            push(&repository, &bench.pgdata(), &bench.segment_file(1, number, seed)).await.unwrap();
        }
        bench.stores[away].heal();
    }
    let before = (content(&bench, "north").await, content(&bench, "south").await);
    for _ in 0..2 {
        let report = synced(&bench).await;
        assert_eq!(ids(&report), ["sync.conflict"]);
        let what = &report.findings[0].what;
        assert!(what.contains("by writer") && what.matches("in region").count() == 2, "{what}");
        assert_eq!((content(&bench, "north").await, content(&bench, "south").await), before);
    }
}

#[tokio::test]
async fn a_damaged_copy_is_never_spread() {
    let mut bench = Bench::with(3, 1).await;
    bench.acknowledge = Acknowledge::AtLeast(1);
    bench.stores[2].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    bench.pushed(1, 9).await;
    bench.stores[2].heal();
    bench.stores[0].add(Rule::new(Fault::FlipBit(9_000)).on(CallKind::Get).named("/wal/"));
    let report = synced(&bench).await;
    assert_eq!(ids(&report), Vec::<&str>::new(), "another region has a good one");
    let name = bench.object("000000010000000000000001").to_string();
    let good = |all: Vec<(String, bytes::Bytes)>| {
        all.into_iter().find(|(held, _)| *held == name).map(|(_, bytes)| bytes)
    };
    assert_eq!(good(content(&bench, "west").await), good(content(&bench, "south").await));

    let mut bench = Bench::new().await;
    pushed_without(&mut bench, 1, 1..=1).await;
    bench.stores[0].add(Rule::new(Fault::FlipBit(9_000)).on(CallKind::Get).named("/wal/"));
    let report = synced(&bench).await;
    assert_eq!(ids(&report), ["sync.no-good-copy"]);
    assert!(content(&bench, "south").await.iter().all(|(name, _)| !name.contains("/wal/")));
}

#[tokio::test]
async fn the_parts_of_a_file_come_before_the_whole() {
    let mut bench = Bench::with(2, 64).await;
    let (name, mut content) = bench.segment(1, 1, 0);
    content[40 << 20] = 1;
    let path = bench.wal(&name, &content);
    bench.acknowledge = Acknowledge::AtLeast(1);
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    push(&bench.as_host("db1").await.unwrap(), &bench.pgdata(), &path).await.unwrap();
    bench.stores[1].heal();
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::Put).named(".p1"));
    let report = synced(&bench).await;
    assert!(report.regions[1].incomplete.is_some());
    let whole = bench.object(&name);
    assert!(!bench.regions().find("south").unwrap().exists(whole.as_str()).await.unwrap());
    bench.stores[1].heal();
    assert!(!synced(&bench).await.has_findings());
    assert!(bench.regions().find("south").unwrap().exists(whole.as_str()).await.unwrap());
}

#[tokio::test]
async fn a_region_that_does_not_take_it_stops_nobody_else() {
    let mut bench = Bench::with(3, 1).await;
    bench.acknowledge = Acknowledge::AtLeast(1);
    for away in [1, 2] {
        bench.stores[away].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    }
    for number in 1..=3 {
        bench.pushed(number, 9).await;
    }
    bench.stores[2].heal();
    let report = synced(&bench).await;
    assert!(report.regions[1].incomplete.is_some() && report.regions[2].incomplete.is_none(), "{report:?}");
    assert_eq!(report.regions[2].kind("wal").copied, 3);
    let repository: Repository = bench.as_host("db1").await.unwrap();
    let nowhere = seawall_store::RegionName::new("nowhere").unwrap();
    let options = SyncOptions { regions: vec![nowhere], ..SyncOptions::default() };
    let error = sync(&repository, &options, Arc::new(Silent)).await.unwrap_err();
    assert_eq!(error.kind(), crate::Kind::Usage);
}

/// After a hundred days no tombstone tells any more what was pruned while the region was away.
#[tokio::test]
async fn a_region_that_was_away_for_longer_than_tombstones_stay_brings_nothing_back() {
    for (days, too_long) in [(70, false), (100, true)] {
        let mut bench = Bench::new().await;
        bench.pushed(1, 9).await;
        let repository = bench.as_host("db1").await.unwrap();
        let north = repository.regions().set();
        north.detach(
            repository.regions().find("south").unwrap().name(),
            seawall_store::DetachReason::Excluded,
        );
        crate::events::tell(&repository, &north, &bench.place(), "prune", &1).await.unwrap();
        bench.world.clock.sleep_blocking(std::time::Duration::from_secs(days * 24 * 3600));
        pushed_without(&mut bench, 1, 2..=2).await;
        // It is told of what happens now, which hides nothing.
        let both = repository.regions().set();
        crate::events::tell(&repository, &both, &bench.place(), "prune", &2).await.unwrap();
        let before = (content(&bench, "north").await, content(&bench, "south").await);
        let done = try_sync(&bench).await;
        if too_long {
            assert_eq!(done.unwrap_err().id(), "sync.away-too-long");
            assert_eq!((content(&bench, "north").await, content(&bench, "south").await), before);
        } else {
            assert_eq!(done.unwrap().regions[1].kind("wal").copied, 1);
        }
    }
}

#[tokio::test]
async fn a_region_whose_absence_cannot_be_told_is_copied_from_and_into_by_nobody() {
    let mut bench = Bench::new().await;
    pushed_without(&mut bench, 1, 1..=1).await;
    let before = (content(&bench, "north").await, content(&bench, "south").await);
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::List).named("/event"));
    assert_eq!(try_sync(&bench).await.unwrap_err().id(), "sync.region-unreached");
    bench.stores[1].heal();
    assert_eq!((content(&bench, "north").await, content(&bench, "south").await), before);
    assert_eq!(synced(&bench).await.regions[1].kind("wal").copied, 1);
}
