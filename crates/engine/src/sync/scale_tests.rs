//! What a sync asks regions for, for each object that one lacks and for each that all have: counted. No word about time but what is
//! printed: it belongs to the machine.

use std::sync::Arc;

use seawall_store::{MeterReading, World};

use super::{SyncOptions, sync};
use crate::archive::testing::Bench;
use crate::monitor::Silent;
use crate::repository::Acknowledge;
use seawall_store::faulty::{CallKind, Fault, Rule};

/// A region lacks so many segments; what each region was asked for until it has them, and again when nothing is lacking.
async fn asked(segments: u64) -> [Vec<MeterReading>; 2] {
    let mut bench = Bench::new().await;
    bench.acknowledge = Acknowledge::AtLeast(1);
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    for number in 1..=segments {
        bench.pushed(number, 9).await;
    }
    bench.stores[1].heal();
    let mut asked = Vec::new();
    for lacking in [segments, 0] {
        let repository = bench.as_host("db1").await.unwrap();
        let (clock, before) = (World::system().clock, meters(&repository));
        let began = clock.monotonic();
        let report = sync(&repository, &SyncOptions::default(), Arc::new(Silent)).await.unwrap();
        let took = clock.monotonic().saturating_sub(began);
        assert_eq!((report.regions[1].kind("wal").copied, report.has_findings()), (lacking, false));
        let during: Vec<_> =
            meters(&repository).iter().zip(&before).map(|(now, before)| less(now, before)).collect();
        println!("{lacking} of {segments} segments: {took:?}, {during:?}");
        asked.push(during);
    }
    asked.try_into().unwrap()
}

fn meters(repository: &crate::repository::Repository) -> Vec<MeterReading> {
    repository.regions().iter().map(seawall_store::Region::meter).collect()
}

fn less(now: &MeterReading, before: &MeterReading) -> MeterReading {
    let mut now = *now;
    for (now, before) in [
        (&mut now.put, before.put),
        (&mut now.get, before.get),
        (&mut now.head, before.head),
        (&mut now.list, before.list),
    ] {
        now.calls -= before.calls;
    }
    now
}

/// One read of each object that is lacking and one put, and nothing of those that all have but their names.
fn is_modest(segments: u64, [filled, again]: &[Vec<MeterReading>; 2]) {
    let names = segments.div_ceil(1000);
    for (asked, lacking) in [(filled, segments), (again, 0)] {
        let [from, to] = &asked[..] else { panic!("{asked:?}") };
        assert!(from.get.calls <= lacking + 10, "{from:?}");
        assert!(to.put.calls <= lacking + 3 && to.get.calls <= 10, "{to:?}");
        for one in [from, to] {
            assert!(one.head.calls <= 10 && one.list.calls <= 30 + names, "{one:?}");
        }
    }
}

#[tokio::test]
async fn an_object_that_is_lacking_costs_a_read_and_a_put() {
    is_modest(60, &asked(60).await);
}

#[tokio::test]
#[ignore = "takes minutes: the deep profile runs it"]
async fn ten_thousand_objects_that_are_lacking_cost_a_read_and_a_put_each() {
    is_modest(10_000, &asked(10_000).await);
}
