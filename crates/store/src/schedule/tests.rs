//! One seed, one interleaving.

use super::*;
use crate::testing::config;
use crate::world::World;
use crate::{Put, Region};
use futures::FutureExt;
use object_store::memory::InMemory;

/// Three writers of one name and a reader; what happened, in words.
fn scenario(seed: u64) -> (Vec<String>, Vec<(usize, String)>) {
    let world = World::seeded(seed);
    let schedule = Schedule::new(seed);
    let region =
        Region::with_store(config("one"), Arc::new(schedule.over(Arc::new(InMemory::new()))), &world);
    let write = |body: &'static str| {
        let region = &region;
        async move {
            match region.put_new("name", &Bytes::from(body)).await.unwrap() {
                Put::Created => format!("{body} created"),
                Put::AlreadyThere => format!("{body} there"),
                Put::Conflict { .. } => format!("{body} conflict"),
            }
        }
    };
    let read = async {
        match region.get("name", 100).await {
            Ok(bytes) => format!("read {}", String::from_utf8_lossy(&bytes)),
            Err(error) => format!("read {:?}", error.kind()),
        }
    };
    let operations = vec![
        write("a").boxed_local(),
        write("b").boxed_local(),
        write("a").boxed_local(),
        read.boxed_local(),
    ];
    (schedule.run(operations).unwrap(), schedule.trace())
}

#[test]
fn same_seed_same_interleaving() {
    for seed in 0..20 {
        assert_eq!(scenario(seed), scenario(seed), "seed {seed}");
    }
}

#[test]
fn seeds_reach_different_interleavings_and_each_has_one_creator() {
    let mut traces = std::collections::BTreeSet::new();
    let mut creators = std::collections::BTreeSet::new();
    let mut reads = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let (results, trace) = scenario(seed);
        let created: Vec<_> = results.iter().filter(|result| result.ends_with("created")).collect();
        assert_eq!(created.len(), 1, "seed {seed}: {results:?}");
        // Who wrote the same as the creator is told "there", who wrote something else "conflict".
        let expected = if created[0] == "b created" {
            ["conflict", "created", "conflict"]
        } else {
            ["", "conflict", ""]
        };
        for (result, ending) in results.iter().zip(expected) {
            assert!(result.ends_with(ending), "seed {seed}: {results:?}");
        }
        creators.insert(created[0].clone());
        reads.insert(results[3].clone());
        traces.insert(trace);
    }
    assert!(traces.len() > 20, "only {} interleavings", traces.len());
    assert_eq!(creators.len(), 2, "{creators:?}");
    assert_eq!(reads.len(), 3, "{reads:?}");
}

#[test]
fn joined_calls_of_one_operation_all_get_their_turns() {
    let schedule = Schedule::new(5);
    let store = schedule.over(Arc::new(InMemory::new()));
    let many = async {
        let names: Vec<Path> = (0..100).map(|n| Path::from(format!("n{n}"))).collect();
        let puts = names.iter().map(|name| store.put_opts(name, "x".into(), PutOptions::default()));
        futures::future::join_all(puts).await.len()
    };
    assert_eq!(schedule.run(vec![many.boxed_local()]).unwrap(), [100]);
}

#[test]
fn waiting_for_nobody_is_stuck_and_not_a_hang() {
    let schedule = Schedule::new(1);
    let never: LocalBoxFuture<'_, ()> = futures::future::pending().boxed_local();
    assert_eq!(schedule.run(vec![never]), Err(Stuck { waiting: 1 }));
}
