//! A bucket over a driver in memory: what "not there" is worth, and what is put how.

use super::*;
use crate::contract::{Promises, check_all};
use futures::executor::block_on;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;

fn bucket(expect: Expect) -> (Bucket, Arc<InMemory>) {
    let memory = Arc::new(InMemory::new());
    let driver = Arc::clone(&memory) as Arc<dyn ObjectStore>;
    (Bucket::new(driver, "gs://bucket/pg", None, expect, Lists::InOrder), memory)
}

fn repository() -> (Bucket, Arc<InMemory>) {
    let (bucket, memory) = bucket(Expect::Repository);
    block_on(memory.put(&Path::from(MARKER), "{}".into())).unwrap();
    (bucket, memory)
}

#[test]
fn a_bucket_keeps_the_contract() {
    let (bucket, _) = repository();
    // What is beneath answers deletions of nothing with success.
    let promises = Promises { missing_delete_is_not_found: false, ..Promises::all() };
    let breaches = block_on(check_all(&bucket, "contract", promises));
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn a_bucket_that_is_listed_level_by_level_keeps_the_contract() {
    let (bucket, _) = repository();
    let bucket = Bucket { lists: Lists::SomeHow, ..bucket };
    let promises = Promises { missing_delete_is_not_found: false, ..Promises::all() };
    let breaches = block_on(check_all(&bucket, "contract", promises));
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn not_there_is_the_truth_only_beside_the_marker() {
    let (bucket, memory) = repository();
    let name = Path::from("a/b");
    let is_absent = |error: &object_store::Error| matches!(error, object_store::Error::NotFound { .. });
    assert!(is_absent(&block_on(bucket.get(&name)).unwrap_err()));
    assert!(is_absent(&block_on(bucket.head(&name)).unwrap_err()));
    block_on(memory.delete(&Path::from(MARKER))).unwrap();
    for error in [
        block_on(bucket.get(&name)).unwrap_err(),
        block_on(bucket.head(&name)).unwrap_err(),
        block_on(bucket.get_ranges(&name, &[0..1, 2..3])).unwrap_err(),
        block_on(bucket.get(&Path::from(MARKER))).unwrap_err(),
    ] {
        assert!(!is_absent(&error), "{error}");
        assert_eq!(crate::error::Failure::of(error).kind, crate::ErrorKind::Unavailable);
    }
}

#[test]
fn an_empty_listing_is_believed_only_of_a_repository() {
    let (bucket, memory) = repository();
    let listed = |bucket: &Bucket| block_on(bucket.list(Some(&Path::from("wal"))).try_collect::<Vec<_>>());
    assert_eq!(listed(&bucket).unwrap(), []);
    assert!(block_on(bucket.list_with_delimiter(Some(&Path::from("wal")))).is_ok());
    block_on(memory.delete(&Path::from(MARKER))).unwrap();
    assert!(listed(&bucket).is_err());
    assert!(block_on(bucket.list_with_delimiter(Some(&Path::from("wal")))).is_err());
}

#[test]
fn before_a_repository_is_made_nothing_is_asked_of_its_marker() {
    let (bucket, _) = bucket(Expect::Unfounded);
    let error = block_on(bucket.get(&Path::from(MARKER))).unwrap_err();
    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
    assert_eq!(block_on(bucket.list(None).try_collect::<Vec<_>>()).unwrap(), []);
}
