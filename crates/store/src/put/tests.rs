//! The rule for unknown outcomes, fault by fault.

use super::*;
use crate::faulty::{CallKind, Fault, FaultyStore, Rule};
use crate::region::{Limits, RegionConfig};
use crate::testing::{block_on, config, in_dir, in_memory, in_memory_with, world};

const NAME: &str = "c/wal/1";

fn put(region: &Region, body: &'static str) -> Result<Put, StoreError> {
    block_on(region.put_new(NAME, &Bytes::from(body)))
}

fn stored(region: &Region, faults: &FaultyStore) -> Option<Bytes> {
    faults.heal();
    block_on(region.get(NAME, 100)).ok()
}

fn conflict(body: &'static str) -> Put {
    Put::Conflict { existing: Existing::Whole(body.into()) }
}

#[test]
fn plain_put_creates_then_is_there_then_conflicts() {
    let (world, _) = world();
    let (region, _) = in_memory("one", &world);
    assert_eq!(put(&region, "a").unwrap(), Put::Created);
    assert_eq!(put(&region, "a").unwrap(), Put::AlreadyThere);
    assert_eq!(put(&region, "b").unwrap(), conflict("a"));
    assert_eq!(put(&region, "").unwrap(), conflict("a"));
    assert_eq!(block_on(region.get(NAME, 10)).unwrap(), "a");
}

#[test]
fn passing_failure_is_retried() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    faults.add(Rule::new(Fault::FailBefore).on(CallKind::Put).times(2));
    assert_eq!(put(&region, "a").unwrap(), Put::Created);
    assert_eq!(faults.faults_met(), 2);
}

#[test]
fn lost_answer_is_found_out() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    faults.add(Rule::new(Fault::FailAfter).on(CallKind::Put).times(1));
    assert_eq!(put(&region, "a").unwrap(), Put::AlreadyThere);
}

#[test]
fn put_whose_every_answer_is_lost_is_believed_where_reading_proves() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    let limits = Limits { attempts_max: 1, ..Limits::default() };
    let (single, single_faults) = in_memory_with(RegionConfig { limits, ..config("two") }, &world);
    for (region, faults) in [(region, faults), (single, single_faults)] {
        faults.add(Rule::new(Fault::FailAfter).on(CallKind::Put));
        assert_eq!(put(&region, "a").unwrap(), Put::AlreadyThere);
    }
}

#[test]
fn file_that_can_be_read_is_believed_only_once_the_driver_has_synced_it() {
    let (world, _) = world();
    let dir = tempfile::tempdir().unwrap();
    let (region, faults) = in_dir("one", dir.path(), &world);
    // Without any answer to a put nobody knows whether it is on disk.
    faults.add(Rule::new(Fault::FailAfter).on(CallKind::Put));
    // With attempts left, the first answer is lost and the next one says "exists": no unknown remains.
    assert_eq!(put(&region, "a").unwrap(), Put::AlreadyThere);
    let dir = tempfile::tempdir().unwrap();
    let (region, faults) = in_dir("two", dir.path(), &world);
    // The work is done late, after the last attempt; then only reading shows it.
    faults.add(Rule::new(Fault::ApplyLate { calls: Some(1) }).on(CallKind::Put).after(4).times(1));
    faults.add(Rule::new(Fault::FailBefore).on(CallKind::Put));
    let error = put(&region, "a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(stored(&region, &faults).unwrap(), "a", "it is there, but was not said to be");
    assert_eq!(put(&region, "a").unwrap(), Put::AlreadyThere);
}

#[test]
fn late_work_is_confirmed_when_the_driver_answers_again() {
    let (world, _) = world();
    let dir = tempfile::tempdir().unwrap();
    let (region, faults) = in_dir("one", dir.path(), &world);
    faults.add(Rule::new(Fault::ApplyLate { calls: Some(1) }).on(CallKind::Put).after(4).times(1));
    faults.add(Rule::new(Fault::FailBefore).on(CallKind::Put).times(4));
    assert_eq!(put(&region, "a").unwrap(), Put::AlreadyThere);
}

#[test]
fn outage_is_an_error_and_nothing_is_there() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    faults.add(Rule::new(Fault::FailBefore));
    let error = put(&region, "a").unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { tried: 5, .. }), "{error:?}");
    assert_eq!(stored(&region, &faults), None);
}

#[test]
fn late_put_is_met_by_the_next_try_and_never_overwrites() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    faults.add(Rule::new(Fault::ApplyLate { calls: None }).on(CallKind::Put));
    assert_eq!(put(&region, "late").unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(stored(&region, &faults), None);
    let answers = block_on(faults.apply_late());
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "five attempts, one object");
    assert_eq!(put(&region, "late").unwrap(), Put::AlreadyThere);
    assert_eq!(put(&region, "other").unwrap(), conflict("late"));
}

#[test]
fn late_put_that_comes_after_another_writer_changes_nothing() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    faults.add(Rule::new(Fault::ApplyLate { calls: None }).on(CallKind::Put));
    put(&region, "late").unwrap_err();
    faults.heal();
    assert_eq!(put(&region, "early").unwrap(), Put::Created);
    assert!(block_on(faults.apply_late()).iter().all(Result::is_err));
    assert_eq!(stored(&region, &faults).unwrap(), "early");
}

#[test]
fn exists_that_cannot_be_read_back_is_no_success() {
    let (world, _) = world();
    let (region, faults) = in_memory("one", &world);
    put(&region, "a").unwrap();
    faults.add(Rule::new(Fault::FailBefore).on(CallKind::Get));
    assert_eq!(put(&region, "a").unwrap_err().kind(), ErrorKind::Unavailable);
    faults.heal();
    faults.add(Rule::new(Fault::Truncate(0)).on(CallKind::Get));
    assert_eq!(put(&region, "a").unwrap_err().kind(), ErrorKind::Unavailable, "a cut answer is no conflict");
}

#[test]
fn large_conflict_is_not_read_into_memory() {
    let (world, _) = world();
    let limits = Limits { read_back_bytes_max: 3, ..Limits::default() };
    let (region, _) = in_memory_with(RegionConfig { limits, ..config("one") }, &world);
    put(&region, "abcd").unwrap();
    assert_eq!(put(&region, "x").unwrap(), Put::Conflict { existing: Existing::TooLarge { size_bytes: 4 } });
    assert_eq!(
        put(&region, "abcd").unwrap(),
        Put::AlreadyThere,
        "the limit never stops a comparison with our own"
    );
}
