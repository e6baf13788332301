//! Each fault does what its name says.

use super::*;
use crate::testing::block_on;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutMode};
use std::time::Duration;

fn store() -> (FaultyStore, Arc<InMemory>) {
    let memory = Arc::new(InMemory::new());
    (FaultyStore::new(memory.clone(), &World::seeded(1)), memory)
}

fn create(store: &FaultyStore, name: &str, body: &'static str) -> Result<PutResult> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    block_on(store.put_opts(&Path::from(name), body.into(), options))
}

fn read(store: &dyn ObjectStore, name: &str) -> Option<Bytes> {
    block_on(async { store.get(&Path::from(name)).await.ok()?.bytes().await.ok() })
}

#[test]
fn rules_pick_calls_by_kind_name_and_count() {
    let (store, _) = store();
    store.add(Rule::new(Fault::FailBefore).on(CallKind::Put).named("wal/").after(1).times(2));
    let outcomes: Vec<bool> = ["wal/1", "pack/1", "wal/2", "wal/3", "wal/4"]
        .iter()
        .map(|name| create(&store, name, "x").is_ok())
        .collect();
    assert_eq!(outcomes, [true, true, false, false, true]);
    assert_eq!(store.count(), 5);
    assert_eq!(store.faults_met(), 2);
}

#[test]
fn a_place_that_goes_for_good_stays_gone_for_every_call() {
    let (store, _) = store();
    store.add(Rule::new(Fault::FailBefore).named("wal/").after(1).times(1).for_good());
    let outcomes: Vec<bool> = ["wal/1", "pack/1", "wal/2", "pack/2", "wal/3"]
        .iter()
        .map(|name| create(&store, name, "x").is_ok())
        .collect();
    assert_eq!(outcomes, [true, true, false, false, false]);
}

#[test]
fn a_sweep_fails_each_call_once() {
    let run = |store: &FaultyStore| -> Result<()> {
        create(store, "a", "x")?;
        create(store, "b", "y")?;
        block_on(store.head(&Path::from("a")))?;
        block_on(store.list(None).try_collect::<Vec<_>>())?;
        block_on(store.delete(&Path::from("a")))
    };
    let (counting, _) = store();
    run(&counting).unwrap();
    assert_eq!(counting.count(), 5);
    for call in 1..=counting.count() {
        let (store, _) = store();
        store.add(Rule::new(Fault::FailBefore).at_call(call));
        assert!(run(&store).is_err(), "call {call}");
        assert_eq!((store.count(), store.faults_met()), (call, 1));
    }
}

#[test]
fn fail_before_does_nothing_and_fail_after_does_it() {
    let (store, memory) = store();
    store.add(Rule::new(Fault::FailBefore).at_call(1));
    store.add(Rule::new(Fault::FailAfter).at_call(2));
    assert!(create(&store, "a", "x").is_err());
    assert_eq!(read(&*memory, "a"), None);
    assert!(create(&store, "a", "x").is_err());
    assert_eq!(read(&*memory, "a"), Some("x".into()));
    assert_eq!(create(&store, "b", "y").map(drop).map_err(drop), Ok(()));
}

#[test]
fn late_put_is_done_before_a_later_call_or_when_told() {
    let (store, memory) = store();
    store.add(Rule::new(Fault::ApplyLate { calls: Some(2) }).at_call(1));
    store.add(Rule::new(Fault::ApplyLate { calls: None }).at_call(4));
    assert!(create(&store, "a", "x").is_err());
    assert_eq!(read(&store, "a"), None, "call 2");
    assert_eq!(read(&store, "a"), Some("x".into()), "call 3");
    assert!(create(&store, "b", "late").is_err());
    create(&store, "b", "early").unwrap();
    let answers = block_on(store.apply_late());
    assert!(matches!(answers[..], [Err(object_store::Error::AlreadyExists { .. })]), "{answers:?}");
    assert_eq!(read(&*memory, "b"), Some("early".into()));
}

#[test]
fn forgotten_put_is_answered_and_not_there() {
    let (store, memory) = store();
    store.add(Rule::new(Fault::Forget).times(1));
    create(&store, "a", "x").unwrap();
    assert_eq!(read(&*memory, "a"), None);
}

#[test]
fn reads_are_cut_and_spoilt() {
    let (store, _) = store();
    create(&store, "a", "abcdef").unwrap();
    store.add(Rule::new(Fault::Truncate(2)).times(1));
    assert_eq!(read(&store, "a"), Some("ab".into()));
    store.heal();
    store.add(Rule::new(Fault::FlipBit(8)).times(2));
    assert_eq!(read(&store, "a"), Some("accdef".into()));
    let parts = block_on(store.get_ranges(&Path::from("a"), &[1..3, 0..1])).unwrap();
    assert_eq!(parts, [Bytes::from("bb"), "a".into()], "bit 8 is in the second byte of the first part");
    assert_eq!(read(&store, "a"), Some("abcdef".into()));
}

#[test]
fn listing_breaks_in_the_middle() {
    let (store, _) = store();
    for name in ["a", "b", "c"] {
        create(&store, name, "x").unwrap();
    }
    store.add(Rule::new(Fault::Truncate(2)).on(CallKind::List).times(1));
    let seen: Vec<_> = block_on(store.list(None).collect());
    assert_eq!(seen.iter().filter(|entry| entry.is_ok()).count(), 2);
    assert!(seen.last().unwrap().is_err());
    assert_eq!(block_on(store.list(None).try_collect::<Vec<_>>()).unwrap().len(), 3);
}

#[test]
fn delay_moves_the_clock_and_a_hang_waits_for_its_gate() {
    let (store, _) = store();
    store.add(Rule::new(Fault::Delay(Duration::from_secs(9))).at_call(1));
    create(&store, "a", "x").unwrap();
    assert_eq!(store.world.clock.monotonic(), Duration::from_secs(9));
    let gate = Gate::default();
    store.add(Rule::new(Fault::Hang(gate.clone())).at_call(2));
    let name = Path::from("a");
    let mut head = std::pin::pin!(store.head(&name));
    assert!(futures::FutureExt::now_or_never(&mut head).is_none());
    gate.open();
    assert!(block_on(head).is_ok());
}
