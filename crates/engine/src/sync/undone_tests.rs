//! What was condemned and taken back: it is healed where it is, nobody may let go of the only copy, and it is brought elsewhere once no
//! prune that had not heard of it can be at work.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt as _;

use super::tests::{carried_out_in, condemned_in, synced};
use super::{Heal, SyncOptions, sync};
use crate::archive::testing::Bench;
use crate::monitor::Silent;
use crate::prune::undo;
use crate::region::{DrainOptions, DrainReport, drain};
use seawall_store::RegionName;

/// Segments 1 to 3 were condemned, are gone in south, and were taken back before north had deleted them.
async fn taken_back() -> Bench {
    let bench = Bench::new().await;
    for number in 1..=4 {
        bench.pushed(number, 9).await;
    }
    let stone = condemned_in(&bench, 1, 3, &["north", "south"]).await;
    for number in 1..=3 {
        bench.memories[1].delete(&segment(&bench, number).as_str().into()).await.unwrap();
    }
    carried_out_in(&bench, stone, "south", Vec::new()).await;
    let pruner = bench.as_host("pruner").await.unwrap();
    let undone = undo(&pruner, None, "a mistake").await.unwrap();
    assert_eq!(undone.partly_carried_out, [stone]);
    bench
}

fn segment(bench: &Bench, number: u64) -> String {
    bench.object(&format!("00000001000000000000000{number}")).to_string()
}

async fn drained(bench: &Bench) -> DrainReport {
    let repository = bench.as_host("db1").await.unwrap();
    let options = DrainOptions { region: RegionName::new("north").unwrap(), dry_run: true };
    drain(&repository, &options, Arc::new(Silent)).await.unwrap()
}

#[tokio::test]
async fn what_was_taken_back_is_copied_when_no_prune_can_be_at_work_on_it() {
    let bench = taken_back().await;
    for (hours, copied) in [(1, 0), (6 * 24, 0), (2 * 24, 3)] {
        bench.world.clock.sleep_blocking(Duration::from_secs(hours * 3600));
        // No host's clock is asked: something was stored at that time.
        crate::prune::tests::backup(&bench, 20 + hours).await;
        let report = synced(&bench).await;
        assert_eq!(report.regions[1].kind("wal").copied, copied, "{hours}: {report:?}");
        let lacking = drained(&bench).await.lacking;
        let of_these =
            lacking.iter().filter(|one| (1..=3).any(|number| one.object == segment(&bench, number)));
        assert_eq!(
            of_these.count() as u64,
            3 - copied,
            "north is not let go of with the only copy: {lacking:?}"
        );
    }
}

#[tokio::test]
async fn a_host_whose_clock_is_ahead_brings_nothing_elsewhere_earlier() {
    let bench = taken_back().await;
    bench.world.clock.sleep_blocking(Duration::from_secs(400 * 24 * 3600));
    assert_eq!(synced(&bench).await.regions[1].kind("wal").copied, 0);
}

#[tokio::test]
async fn what_was_taken_back_is_healed_at_once() {
    let bench = taken_back().await;
    // South has a copy again, of whoever put it there.
    let name = segment(&bench, 2);
    let bytes = bench.memories[0].get(&name.as_str().into()).await.unwrap().bytes().await.unwrap();
    bench.memories[1].put(&name.as_str().into(), bytes.clone().into()).await.unwrap();
    let mut spoiled = bytes.to_vec();
    spoiled[150] ^= 0x10;
    bench.memories[0].put(&name.as_str().into(), spoiled.into()).await.unwrap();
    let repository = bench.as_host("db1").await.unwrap();
    let options = SyncOptions { heal: vec![Heal::All], ..SyncOptions::default() };
    let report = sync(&repository, &options, Arc::new(Silent)).await.unwrap();
    assert_eq!(report.regions[0].kind("heal").copied, 1, "{report:?}");
}
