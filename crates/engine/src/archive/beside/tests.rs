//! The file in `pg_wal` beside what a region holds: the same, another server's, recycled, absent, unbelieved.

use seawall_pg::{SegmentNo, Timeline};
use seawall_store::faulty::{CallKind, Fault, Rule};

use super::*;
use crate::archive::push::push;
use crate::archive::testing::Bench;

fn segment(bench: &Bench, number: u64) -> SegmentName {
    SegmentName::new(Timeline::FIRST, SegmentNo(number), bench.size).unwrap()
}

async fn held(bench: &Bench, host: &str, region: &str, number: u64) -> Held {
    let repository = bench.as_host(host).await.unwrap();
    let region = repository.regions().find(region).unwrap();
    let directory = bench.pgdata().join("pg_wal");
    let beside = Beside::new(repository.clone(), bench.place(), directory, bench.size);
    beside.held(region, segment(bench, number)).await.unwrap()
}

#[tokio::test]
async fn another_servers_segment_is_a_conflict_that_names_both_writers() {
    let bench = Bench::new().await;
    bench.pushed(5, 1).await;
    assert!(matches!(held(&bench, "db1", "north", 5).await, Held::Ours));
    assert!(matches!(held(&bench, "db2", "north", 5).await, Held::Ours), "the same file of another host");
    bench.segment_file(1, 5, 2);
    let Held::Other(error) = held(&bench, "db2", "south", 5).await else { panic!("taken for its own") };
    assert_eq!(error.id(), "archive.conflict");
    let facts = format!("{:?}", error.facts());
    assert!(facts.contains("(db1)") && facts.contains("(db2)"), "{facts}");
}

#[tokio::test]
async fn a_segment_in_parts_is_compared_as_a_whole() {
    let bench = Bench::with(1, 64).await;
    bench.pushed(1, 9).await;
    assert!(matches!(held(&bench, "db1", "north", 1).await, Held::Ours));
    bench.segment_file(1, 1, 8);
    assert!(matches!(held(&bench, "db1", "north", 1).await, Held::Other(_)));
}

#[tokio::test]
async fn a_file_that_was_let_go_is_no_conflict() {
    let bench = Bench::new().await;
    let name = bench.pushed(5, 1).await;
    std::fs::remove_file(bench.pgdata().join("pg_wal").join(&name)).unwrap();
    assert!(matches!(held(&bench, "db1", "north", 5).await, Held::Ours));
    bench.wal(&name, b"of another length");
    assert!(matches!(held(&bench, "db1", "north", 5).await, Held::Ours));
}

#[tokio::test]
async fn nothing_damage_and_outages_are_told_apart() {
    let bench = Bench::new().await;
    let path = bench.segment_file(1, 6, 1);
    assert!(matches!(held(&bench, "db1", "north", 6).await, Held::Nothing));
    push(&bench.as_host("db1").await.unwrap(), &bench.pgdata(), &path).await.unwrap();
    bench.stores[0].add(Rule::new(Fault::FlipBit(70)).on(CallKind::Get).named("/wal/"));
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::Get).named("/wal/"));
    assert!(matches!(held(&bench, "db1", "north", 6).await, Held::Unknown(_)));
    assert!(matches!(held(&bench, "db1", "south", 6).await, Held::Unknown(_)));
}

/// One that is asked for several regions reads a file once, and again when it is another one.
#[tokio::test]
async fn a_file_is_read_once_while_it_stays_what_it_was() {
    let bench = Bench::new().await;
    bench.pushed(5, 1).await;
    let repository = bench.as_host("db1").await.unwrap();
    let pg_wal = bench.pgdata().join("pg_wal");
    let beside = Beside::new(repository.clone(), bench.place(), pg_wal.clone(), bench.size);
    let region = repository.regions().find("north").unwrap();
    let file = pg_wal.join(segment(&bench, 5).to_string());
    assert!(matches!(beside.held(region, segment(&bench, 5)).await.unwrap(), Held::Ours));
    // Other bytes with the times of before: nobody looks.
    let times = std::fs::metadata(&file).unwrap().modified().unwrap();
    let changed = |modified| {
        use std::os::unix::fs::FileExt as _;
        let open = std::fs::File::options().write(true).open(&file).unwrap();
        open.write_all_at(b"other", 9_000).unwrap();
        open.set_modified(modified).unwrap();
    };
    changed(times);
    assert!(matches!(beside.held(region, segment(&bench, 5)).await.unwrap(), Held::Ours));
    changed(times + std::time::Duration::from_secs(1));
    assert!(matches!(beside.held(region, segment(&bench, 5)).await.unwrap(), Held::Other(_)));
}
