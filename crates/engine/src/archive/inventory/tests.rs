//! Listing of a small archive in two regions, with holes, differences and a broken region.

use seawall_pg::Lsn;
use seawall_store::faulty::{CallKind, Fault, Rule};

use super::*;
use crate::archive::push::push;
use crate::archive::testing::Bench;

fn tli(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

fn spans(ranges: &Ranges) -> Vec<(u64, u64)> {
    ranges.as_slice().iter().map(|range| (range.first.0, range.last.0)).collect()
}

#[tokio::test]
async fn ranges_holes_histories_and_differences_between_regions_are_seen() {
    let mut bench = Bench::new().await;
    for number in [4, 5, 7] {
        bench.pushed(number, 1).await;
    }
    bench.acknowledge = crate::repository::Acknowledge::AtLeast(1);
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    bench.pushed(8, 1).await;
    bench.stores[1].heal();
    let host = bench.as_host("db1").await.unwrap();
    let path = bench.wal("00000002.history", b"1\t0/580000\tbefore 2031\n");
    push(&host, &bench.pgdata(), &path).await.unwrap();
    let loaded = load(&host, &bench.place(), bench.size).await.unwrap();
    assert_eq!(spans(&loaded.merged.timelines[&tli(1)].segments), [(4, 5), (7, 8)]);
    assert_eq!(spans(&loaded.regions[1].wal.timelines[&tli(1)].segments), [(4, 5), (7, 7)]);
    assert_eq!(loaded.merged.histories, [tli(2)]);
    let history = &loaded.histories[&tli(2)];
    assert_eq!(history.span(tli(2)).unwrap().begin, Lsn(0x58_0000));
    assert_eq!(loaded.findings, []);
}

#[tokio::test]
async fn a_region_that_cannot_be_listed_is_said_and_all_of_them_are_an_error() {
    let bench = Bench::new().await;
    bench.pushed(4, 1).await;
    bench.stores[0].add(Rule::new(Fault::FailBefore).on(CallKind::List).named("/wal"));
    let host = bench.as_host("db1").await.unwrap();
    let loaded = load(&host, &bench.place(), bench.size).await.unwrap();
    assert_eq!(spans(&loaded.merged.timelines[&tli(1)].segments), [(4, 4)]);
    assert!(loaded.regions[0].broken.is_some() && loaded.regions[1].broken.is_none());
    assert_eq!(loaded.findings[0].id, "archive.region-not-listed");
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::List).named("/wal"));
    let error = load(&host, &bench.place(), bench.size).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

fn held(segments: &[(u32, u64)], partial: &[(u32, u64)]) -> WalHeld {
    let mut held = WalHeld::default();
    for (timeline, number) in segments {
        held.timelines.entry(tli(*timeline)).or_default().segments.add(SegmentNo(*number), None);
    }
    for (timeline, number) in partial {
        held.timelines.entry(tli(*timeline)).or_default().partial.add(SegmentNo(*number), None);
    }
    held
}

#[test]
fn a_stretch_goes_over_a_switch_and_never_takes_the_parents_later_segments() {
    let size = WalSegmentSize::new(1 << 20).unwrap();
    let file = HistoryFile::parse(tli(2), b"1\t0/680000\tx\n").unwrap();
    let history = History::from_file(&file);
    let held = held(&[(1, 4), (1, 5), (1, 6), (1, 7), (1, 8), (2, 6), (2, 7), (2, 9)], &[(2, 10)]);
    let all = stretches(&held, &history, SegmentNo(5), size);
    let ends: Vec<_> = all.iter().map(|one| (one.first.0, one.last.0, one.by_partial)).collect();
    assert_eq!(ends, [(5, 7, false), (9, 10, true)]);
    let first = stretches(&held, &History::root(tli(1)), SegmentNo(0), size);
    assert_eq!((first[0].first.0, first[0].last.0, first.len()), (4, 8, 1));
}
