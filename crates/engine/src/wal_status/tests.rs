//! `wal status` and `wal ack-hole` in memory: what is told as missing, who may acknowledge it, and that nothing is deleted by it.

use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use seawall_pg::{SegmentName, SegmentNo, Timeline, WalFileName};
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::condemned::WalStretch;
use seawall_repo::hole::HoleRecord;
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::wal_object::{Indexed, WalFacts, WalSealer};

use super::*;
use crate::ack_hole::{AckHole, ack_hole};
use crate::archive::testing::Bench;
use crate::events::record_id;
use crate::monitor::Silent;
use crate::prune::tests::{backup, rules};
use crate::prune::{PruneOptions, PruneReport, prune};
use crate::repository::WorldEntropy;

fn segment(number: u64, bench: &Bench) -> SegmentName {
    SegmentName::new(Timeline::FIRST, SegmentNo(number), bench.size).unwrap()
}

fn object(number: u64, bench: &Bench) -> String {
    let file = WalFileName::Segment(segment(number, bench));
    ObjectName::from(Named::Wal { place: bench.place(), file }).to_string()
}

async fn archived(bench: &Bench, numbers: &[u64]) {
    for number in numbers {
        for store in &bench.memories {
            let name = object(*number, bench);
            store.put(&name.as_str().into(), name.clone().into()).await.unwrap();
        }
    }
}

/// A backup that needs segments 10 to 12, then 13, and 16 to 18.
async fn bench() -> Bench {
    let bench = Bench::with(2, 1).await;
    backup(&bench, 10).await;
    archived(&bench, &[13, 16, 17, 18]).await;
    bench
}

async fn looked(bench: &Bench) -> WalStatusReport {
    let host = bench.as_host("db1").await.unwrap();
    wal_status(&host, &WalStatusOptions::default()).await.unwrap()
}

fn ids(report: &WalStatusReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

fn ack(first: SegmentName, last: Option<SegmentName>) -> AckHole {
    AckHole { first, last, reason: "disk lost".to_owned(), by: "ann".to_owned(), data_directory: None }
}

async fn planned(bench: &Bench) -> PruneReport {
    let pruner = bench.as_host("pruner").await.unwrap();
    let options = PruneOptions { dry_run: true, at: None };
    prune(&pruner, &rules(3), options, Arc::new(Silent)).await.unwrap()
}

#[tokio::test]
async fn windows_end_at_a_hole_which_is_told_with_its_files() {
    let bench = bench().await;
    let report = looked(&bench).await;
    let system = &report.systems[0];
    assert_eq!(ids(&report), ["wal.hole"]);
    let hole = &system.holes[0];
    assert_eq!(
        (hole.missing.first, hole.missing.last, hole.missing.segments),
        (segment(14, &bench), segment(15, &bench), 2)
    );
    assert_eq!(system.timelines[0].stretches.len(), 2);
    let windows: Vec<_> = system.together().collect();
    assert_eq!((windows.len(), windows[0].to.0), (1, 14 << 20), "nothing leads behind the hole");
    assert_eq!(system.windows.len(), 3, "each region by itself");
    assert_eq!(system.newest.as_ref().map(|newest| newest.segment), Some(segment(18, &bench)));
    // Another backup opens a window behind it; WAL from before the oldest backup is no hole.
    backup(&bench, 17).await;
    archived(&bench, &[1]).await;
    let report = looked(&bench).await;
    let windows: Vec<_> = report.systems[0].together().collect();
    assert_eq!((windows.len(), windows[1].current, report.systems[0].holes.len()), (2, true, 1));
}

#[tokio::test]
async fn what_one_region_lacks_is_its_lack_and_no_hole() {
    let bench = bench().await;
    archived(&bench, &[14, 15]).await;
    assert_eq!(ids(&looked(&bench).await), Vec::<&str>::new());
    bench.memories[1].delete(&object(15, &bench).as_str().into()).await.unwrap();
    let report = looked(&bench).await;
    assert_eq!(ids(&report), ["wal.region-lacks"]);
    let regions = &report.systems[0].regions;
    assert_eq!(
        (regions[0].lacks, regions[1].lacks, regions[1].lacking[0].first),
        (0, 1, segment(15, &bench))
    );
    let of = |region: usize| {
        let name = &regions[region].region;
        report.systems[0]
            .windows
            .iter()
            .filter(|one| one.region.as_ref() == Some(name))
            .map(|one| one.to.0 >> 20)
            .collect::<Vec<_>>()
    };
    assert_eq!((of(0), of(1)), (vec![19], vec![15]), "each region's own window");
}

#[tokio::test]
async fn the_newest_segment_may_be_on_its_way_to_a_region_for_a_minute() {
    let bench = bench().await;
    archived(&bench, &[14, 15]).await;
    bench.memories[1].delete(&object(18, &bench).as_str().into()).await.unwrap();
    assert_eq!(ids(&looked(&bench).await), Vec::<&str>::new());
    bench.memories[1].delete(&object(17, &bench).as_str().into()).await.unwrap();
    assert_eq!(ids(&looked(&bench).await), ["wal.region-lacks"], "the one before it is not");
}

#[tokio::test]
async fn an_acknowledged_hole_is_shown_and_alarms_nobody_and_nothing_is_deleted_by_it() {
    let bench = bench().await;
    let pruner = bench.as_host("pruner").await.unwrap();
    let before = planned(&bench).await;
    let done = ack_hole(&pruner, &ack(segment(14, &bench), Some(segment(14, &bench)))).await.unwrap();
    assert_eq!((done.missing.segments, done.backup_behind, done.findings.len()), (1, false, 0));
    let report = looked(&bench).await;
    let said: Vec<_> = report.systems[0]
        .holes
        .iter()
        .map(|hole| (hole.missing.first, hole.acknowledged.as_ref().map(|by| by.by.as_str())))
        .collect();
    assert_eq!(said, [(segment(14, &bench), Some("ann")), (segment(15, &bench), None)]);
    assert_eq!(ids(&report), ["wal.hole"], "half of it");
    ack_hole(&pruner, &ack(segment(15, &bench), None)).await.unwrap();
    assert_eq!(ids(&looked(&bench).await), Vec::<&str>::new());
    let after = planned(&bench).await;
    assert_eq!(after.condemned, before.condemned, "no more and no less is condemned");
    // It alarms again where one region has it by then and another lacks it.
    let name = object(14, &bench);
    bench.memories[0].put(&name.as_str().into(), name.clone().into()).await.unwrap();
    assert_eq!(ids(&looked(&bench).await), ["wal.region-lacks"]);
}

/// Somebody took a database host: its key may write, and may not decide about keeping.
#[tokio::test]
async fn a_taken_hosts_acknowledgement_silences_nobody_and_deletes_nothing() {
    let bench = bench().await;
    let taken = bench.as_host("db1").await.unwrap();
    let before = planned(&bench).await;
    let refused = ack_hole(&taken, &ack(segment(14, &bench), None)).await.unwrap_err();
    assert_eq!(refused.id(), "keys.no-right-to-prune");
    let id = record_id(&taken).unwrap();
    let record = HoleRecord {
        hole: id,
        cluster: bench.place().cluster,
        system: bench.place().system,
        segment_size: bench.size,
        missing: vec![WalStretch {
            timeline: Timeline::FIRST,
            first: SegmentNo(0),
            last: SegmentNo(1 << 30),
        }],
        reason: "all of it".to_owned(),
        by: "mallory".to_owned(),
        written: crate::backup::now(&bench.world).unwrap(),
        host: "db1".to_owned(),
    };
    let name = Named::Hole { place: bench.place(), id }.to_name();
    taken.put_record(&taken.regions().set(), &name, &record).await.unwrap();
    let report = looked(&bench).await;
    assert_eq!(ids(&report), ["hole.not-believed", "wal.hole"]);
    assert!(report.systems[0].holes[0].acknowledged.is_none());
    assert_eq!(planned(&bench).await.condemned, before.condemned);
}

#[tokio::test]
async fn what_is_no_hole_is_not_acknowledged() {
    let bench = bench().await;
    let pruner = bench.as_host("pruner").await.unwrap();
    let refused = async |first: u64, last: Option<u64>| {
        let ack = ack(segment(first, &bench), last.map(|last| segment(last, &bench)));
        ack_hole(&pruner, &ack).await.map(|done| done.missing.first.to_string()).unwrap_err().id().to_owned()
    };
    assert_eq!(refused(13, None).await, "hole.not-one", "it is there");
    assert_eq!(refused(19, None).await, "hole.not-one", "it may still arrive");
    assert_eq!(refused(2, None).await, "hole.not-one", "no backup's way leads through it");
    assert_eq!(refused(14, Some(16)).await, "hole.longer");
    assert_eq!(refused(15, Some(14)).await, "hole.range");
    // The server still has it.
    let data_directory = Some(bench.pgdata());
    bench.wal(&segment(15, &bench).to_string(), b"here it is");
    let still = AckHole { data_directory, ..ack(segment(14, &bench), None) };
    assert_eq!(ack_hole(&pruner, &still).await.unwrap_err().id(), "hole.still-there");
    // One region has it, another does not.
    let name = object(14, &bench);
    bench.memories[1].put(&name.as_str().into(), name.clone().into()).await.unwrap();
    assert_eq!(refused(14, None).await, "hole.not-one");
    let no_reason = AckHole { reason: "  ".to_owned(), ..ack(segment(15, &bench), None) };
    assert_eq!(ack_hole(&pruner, &no_reason).await.unwrap_err().id(), "hole.no-reason");
}

/// A segment of these bytes, sealed by a host; its object.
async fn sealed(number: u64, byte: u8, bench: &Bench) -> Vec<u8> {
    let host = bench.as_host("db1").await.unwrap();
    let facts = WalFacts {
        place: bench.place(),
        file: WalFileName::Segment(segment(number, bench)),
        segment_size: bench.size,
        host: "db1".to_owned(),
        archived: now(&bench.world).unwrap(),
    };
    let index = Indexed::Not("nobody could read it".to_owned());
    let wal = WalSealer {
        facts: &facts,
        index: &index,
        sealer: host.sealer().unwrap(),
        key: host.writer().unwrap(),
    };
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    let object = wal.seal(&[byte; 8192], &mut compressor, &mut WorldEntropy::new(&bench.world)).unwrap();
    object.into_parts().1
}

/// Sizes tell nothing where two servers archived as much: the newest copies are compared by what was signed of them.
#[tokio::test]
async fn other_content_of_the_same_size_is_a_conflict_and_what_is_not_compared_is_counted() {
    let bench = Bench::with(2, 1).await;
    backup(&bench, 10).await;
    for number in 13..93 {
        let (ours, theirs) = (sealed(number, 7, &bench).await, sealed(number, 8, &bench).await);
        assert_eq!(ours.len(), theirs.len());
        let differs = number == 20 || number == 90;
        for (store, bytes) in bench.memories.iter().zip([&ours, if differs { &theirs } else { &ours }]) {
            store.put(&object(number, &bench).as_str().into(), bytes.clone().into()).await.unwrap();
        }
    }
    let report = looked(&bench).await;
    let conflicts = &report.systems[0].conflicts;
    let found: Vec<&str> = conflicts.iter().map(|conflict| conflict.object.as_str()).collect();
    // Segment 20 lies behind the newest 64.
    assert!(found.len() == 1 && found[0] == object(90, &bench), "{found:?}");
    // The backup's own segments, 10 to 12, are there as well.
    assert_eq!(report.systems[0].not_compared, 83 - 64);
    assert_eq!(ids(&report), ["wal.conflict"]);
}

#[tokio::test]
async fn what_a_region_lacks_is_counted_from_its_own_oldest_backup_on() {
    let bench = bench().await;
    archived(&bench, &[14, 15]).await;
    for number in [5, 19, 20] {
        let name = object(number, &bench);
        bench.memories[0].put(&name.as_str().into(), name.clone().into()).await.unwrap();
    }
    let host = bench.as_host("db1").await.unwrap();
    let told = crate::status::status(&host, &crate::status::StatusOptions::default()).await.unwrap();
    let lags: Vec<_> = told.regions.iter().map(|region| region.lag.clone().unwrap()).collect();
    let bytes = (object(19, &bench).len() * 2) as u64;
    assert_eq!((lags[0].objects, lags[0].bytes), (0, 0));
    assert_eq!((lags[1].objects, lags[1].bytes, told.regions[1].lag_segments), (2, bytes, Some(2)));
}
