//! `s3://` against SeaweedFS and `az://` against Azurite: the contract, races, and refused credentials.
//!
//! Both are installed by `make setup-test` and found through `SEAWALL_EMULATORS`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a test's way of failing")]

mod cloud;
mod service;
mod tls;

use bytes::Bytes;
use seawall_store::bucket::about::{Lock, Versions};
use seawall_store::contract::{Promises, check_all};
use seawall_store::{ErrorKind, Put, Region, RegionConfig, World};
use std::time::Duration;

use seawall_testkit::emulators::seaweed::SECRET;
use service::{Emulator, private_file};

async fn keeps_the_contract(region: &Region, promises: Promises) {
    let breaches = check_all(region.store().as_ref(), "contract", promises).await;
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
}

/// Sixteen at once, each with other bytes: one is told "created", and its bytes are there.
async fn one_of_many_creators_wins(region: &Region) {
    let bodies: Vec<Bytes> = (0..16).map(|racer: u8| Bytes::from(vec![racer; 100_000])).collect();
    let puts = bodies.iter().map(|body| region.put_new("race/name", body));
    let outcomes = futures::future::join_all(puts).await;
    let winners: Vec<usize> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| outcome.as_ref().is_ok_and(Put::is_stored))
        .map(|(racer, _)| racer)
        .collect();
    let [winner] = winners[..] else { panic!("winners: {winners:?} of {outcomes:?}") };
    assert_eq!(region.get("race/name", 1 << 20).await.unwrap(), bodies[winner]);
}

/// Another bucket is away, another key is refused; neither is an absence, and no message has the key.
async fn refusals_are_refusals(emulator: &Emulator, other_bucket: &str, wrong_key: &str) {
    let world = World::system();
    let nowhere =
        Region::open(RegionConfig { url: other_bucket.to_owned(), ..emulator.config() }, &world).unwrap();
    for error in [nowhere.get("a/b", 1 << 20).await.unwrap_err(), nowhere.list_collect("").await.unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    }
    let mut config = emulator.config();
    config.access.credentials_file = Some(private_file(emulator.folder.path(), "wrong", wrong_key));
    let stranger = Region::open(config, &world).unwrap();
    for error in [
        stranger.get("a/b", 1 << 20).await.unwrap_err(),
        stranger.put_new("a/b", &Bytes::from_static(b"x")).await.unwrap_err(),
        stranger.list_collect("").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.chain());
        assert!(!error.chain().contains(SECRET) && !error.chain().contains("d3Jvbmc"), "{}", error.chain());
    }
}

/// A bucket that locks every object for a day, for good.
async fn works_under_object_lock(emulator: &Emulator) {
    emulator.as_seaweed().make_locked_bucket("acme-locked", 1).unwrap();
    let config = RegionConfig { url: "s3://acme-locked/pg".to_owned(), ..emulator.config() };
    let world = World::system();
    let founding = Region::found(config.clone(), &world).unwrap();
    assert!(founding.put_new("seawall.json", &Bytes::from_static(b"{}")).await.unwrap().is_stored());
    let region = Region::open(config, &world).unwrap();
    let about = region.about().await.unwrap();
    assert_eq!(about.lock, Ok(Some(Lock { period: Duration::from_secs(24 * 3600), is_final: true })));
    assert_eq!(about.versions, Ok(Versions::Kept(None)));

    one_of_many_creators_wins(&region).await;
    region.put_new("a/b", &Bytes::from_static(b"one")).await.unwrap();
    assert!(!region.put_new("a/b", &Bytes::from_static(b"two")).await.unwrap().is_stored());
    assert_eq!(region.get("a/b", 1 << 20).await.unwrap(), Bytes::from_static(b"one"));
    // Hidden; its bytes stay as a version, which no deletion without a version's id reaches.
    region.delete("a/b").await.unwrap();
    assert!(!region.exists("a/b").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_on_seaweedfs() {
    let emulator = Emulator::seaweed();
    let region = emulator.repository().await;
    // S3 answers the deletion of what is not there with success.
    keeps_the_contract(&region, Promises { missing_delete_is_not_found: false, ..Promises::all() }).await;
    one_of_many_creators_wins(&region).await;
    let wrong = "[default]\naws_access_key_id = seawall\naws_secret_access_key = d3Jvbmc=\n";
    refusals_are_refusals(&emulator, "s3://no-such-bucket/pg", wrong).await;
    let about = region.about().await.unwrap();
    assert_eq!(about.location.unwrap().name, "us-east-1");
    assert!(about.owner.is_ok() && about.rights.is_err(), "{:?}", about.owner);
    assert_eq!((about.lock, about.versions), (Ok(None), Ok(Versions::Off)));
    assert_eq!((region.may_create().await.unwrap(), region.may_delete().await), (true, Ok(true)));
    assert_eq!(region.get("seawall.json", 1 << 20).await.unwrap(), Bytes::from_static(b"{}"));
    works_under_object_lock(&emulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_on_azurite() {
    let emulator = Emulator::azurite();
    let region = emulator.repository().await;
    keeps_the_contract(&region, Promises { suffix_ranges: false, ..Promises::all() }).await;
    one_of_many_creators_wins(&region).await;
    refusals_are_refusals(&emulator, "az://no-such-container/pg", "account_key = \"d3Jvbmc=\"\n").await;
    let about = region.about().await.unwrap();
    assert!(about.location.is_err() && about.rights.is_err(), "{about:?}");
    assert_eq!(
        (about.owner.unwrap().as_str(), about.lock, about.soft_delete),
        ("account acme", Ok(None), Ok(None))
    );
    assert_eq!((region.may_create().await.unwrap(), region.may_delete().await), (true, Ok(true)));
    assert_eq!(region.get("seawall.json", 1 << 20).await.unwrap(), Bytes::from_static(b"{}"));
}
