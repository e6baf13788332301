//! `gs://` against the simulator of Google Cloud Storage: the contract, and what each thing that goes wrong comes to.
//! What is shown here alone is *simulated*.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a test's way of failing")]

mod login;

use bytes::Bytes;
use seawall_gcsim::{Answer, Credential, Fault, Grant, Operation, Simulator, When};
use seawall_store::bucket::about::{LocationKind, Lock, Versions};
use seawall_store::contract::{Promises, check_all};
use seawall_store::{
    Access, Deleted, ErrorKind, Limits, OpenError, Put, Region, RegionConfig, RegionName, Role, World,
};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const TOKEN: &str = "a-token-that-nobody-may-see";

const WRITER: [&str; 3] = ["storage.objects.create", "storage.objects.get", "storage.objects.list"];

/// A simulator with one bucket, and a folder with the credentials.
struct Bench {
    simulator: Simulator,
    folder: tempfile::TempDir,
    world: World,
}

impl Bench {
    fn new() -> Self {
        let simulator = Simulator::start().unwrap();
        simulator.create_bucket("acme-dr", "europe-west3").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token.json");
        std::fs::write(&file, format!("{{\"type\": \"fixed_token\", \"token\": \"{TOKEN}\"}}")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { simulator, folder, world: World::system() }
    }

    fn config(&self, url: &str) -> RegionConfig {
        let limits = Limits {
            attempts_max: 3,
            backoff_first: Duration::from_millis(1),
            stall: Duration::from_secs(3),
            ..Limits::default()
        };
        RegionConfig {
            name: RegionName::new("eu").unwrap(),
            url: url.to_owned(),
            access: Access {
                endpoint: Some(self.simulator.url()),
                credentials_file: Some(self.folder.path().join("token.json")),
                ..Access::default()
            },
            role: Role::Copy,
            limits,
        }
    }

    /// With the marker of a repository.
    async fn repository(&self) -> Region {
        let config = self.config("gs://acme-dr/pg");
        let founding = Region::found(config.clone(), &self.world).unwrap();
        founding.put_new("seawall.json", &Bytes::from_static(b"{}")).await.unwrap();
        Region::open(config, &self.world).unwrap()
    }

    /// From now on the token may do this and nothing else.
    fn allow(&self, rights: &[&str]) {
        let allow = rights.iter().map(|right| (*right).to_owned()).collect();
        let credential =
            Credential { name: "writer@acme".to_owned(), grants: vec![Grant { allow, ..Grant::default() }] };
        self.simulator.credentials(&BTreeMap::from([(TOKEN.to_owned(), credential)])).unwrap();
    }

    fn once(&self, operation: Operation, fault: Fault) {
        let when = When { operations: vec![operation], count: Some(1), ..When::default() };
        self.simulator.fault(when, fault).unwrap();
    }

    fn always(&self, operation: Operation, fault: Fault) {
        self.simulator.fault(When { operations: vec![operation], ..When::default() }, fault).unwrap();
    }
}

fn answer(status: u16, reason: Option<&str>) -> Fault {
    let answer = Answer { status, reason: reason.map(str::to_owned), message: None, retry_after: None };
    Fault { answer: Some(answer), ..Fault::default() }
}

fn body() -> Bytes {
    Bytes::from(vec![7; 300_000])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_keeps_the_contract() {
    let bench = Bench::new();
    let region = bench.repository().await;
    let promises = Promises { writes_at_any_rate: false, ..Promises::all() };
    let breaches = check_all(region.store().as_ref(), "contract", promises).await;
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[tokio::test]
async fn what_passes_is_tried_again_and_counted_as_one() {
    let bench = Bench::new();
    let region = bench.repository().await;
    for status in [408, 429, 500, 503, 504] {
        bench.once(Operation::ObjectPut, answer(status, None));
        let put = region.put_new(&format!("a/{status}"), &body()).await.unwrap();
        assert_eq!(put, Put::Created, "{status}");
        bench.once(Operation::ObjectGet, answer(status, None));
        assert_eq!(region.get(&format!("a/{status}"), 1 << 20).await.unwrap(), body());
    }
}

#[tokio::test]
async fn a_transfer_that_is_cut_is_begun_again() {
    let bench = Bench::new();
    let region = bench.repository().await;
    bench.once(Operation::ObjectPut, Fault { cut_request_at: Some(100_000), ..Fault::default() });
    assert!(region.put_new("a/b", &body()).await.unwrap().is_stored());
    bench.once(Operation::ObjectGet, Fault { cut_answer_at: Some(100_000), ..Fault::default() });
    assert_eq!(region.get("a/b", 1 << 20).await.unwrap(), body());
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_found_stored() {
    let bench = Bench::new();
    let region = bench.repository().await;
    bench.once(Operation::ObjectPut, Fault { lose_answer: true, ..Fault::default() });
    let put = region.put_new("a/b", &body()).await.unwrap();
    assert_eq!(put, Put::AlreadyThere);
    // And somebody else's other bytes under that name are a conflict.
    let other = region.put_new("a/b", &Bytes::from_static(b"other")).await.unwrap();
    assert!(!other.is_stored());
}

#[tokio::test]
async fn a_put_that_is_applied_late_is_never_called_stored_too_early() {
    let bench = Bench::new();
    let region = bench.repository().await;
    let late = Fault { apply_late_ms: Some(300), ..answer(503, None) };
    bench.always(Operation::ObjectPut, late);
    let first = region.put_new("a/b", &body()).await;
    // Either it was seen when it was read back, or the outcome is unknown; never "conflict", never a false "created".
    match first {
        Ok(put) => assert_eq!(put, Put::AlreadyThere),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
    }
}

#[tokio::test]
async fn refusals_say_what_they_are_and_never_show_the_token() {
    let bench = Bench::new();
    let region = bench.repository().await;
    let cases = [
        (403, Some("AccessDenied"), ErrorKind::Denied),
        (401, None, ErrorKind::Denied),
        (403, Some("QuotaExceeded"), ErrorKind::Full),
        (503, None, ErrorKind::Unavailable),
    ];
    for (at, (status, reason, kind)) in cases.into_iter().enumerate() {
        let when = When { operations: vec![Operation::ObjectPut], count: Some(3), ..When::default() };
        bench.simulator.fault(when, answer(status, reason)).unwrap();
        let error = region.put_new(&format!("a/{at}"), &body()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {reason:?}: {}", error.chain());
        assert!(!error.chain().contains(TOKEN), "{}", error.chain());
        assert_eq!(error.chain().matches(&status.to_string()).count(), 1, "{}", error.chain());
        // A refusal ends the attempts at once; what is left of the rule would hit the next case.
        while region.put_new(&format!("b/{at}"), &body()).await.is_err() {}
    }
}

#[tokio::test]
async fn a_bucket_or_prefix_without_a_repository_is_away_and_not_empty() {
    let bench = Bench::new();
    bench.repository().await;
    for url in ["gs://acme-dr/another", "gs://no-such-bucket/pg"] {
        let region = Region::open(bench.config(url), &bench.world).unwrap();
        let errors = [
            region.get("a/b", 1 << 20).await.unwrap_err(),
            region.head("a/b").await.unwrap_err(),
            region.get("seawall.json", 1 << 20).await.unwrap_err(),
            region.list_collect("").await.unwrap_err(),
            region.list_level("").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{url}: {}", error.chain());
        }
    }
    let nowhere = Region::found(bench.config("gs://no-such-bucket/pg"), &bench.world).unwrap();
    let error = nowhere.put_new("seawall.json", &body()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
}

#[tokio::test]
async fn a_missing_object_is_a_positive_answer() {
    let bench = Bench::new();
    let region = bench.repository().await;
    assert!(region.get("a/b", 1 << 20).await.unwrap_err().is_not_found());
    assert!(!region.exists("a/b").await.unwrap());
    assert_eq!(region.list_collect("wal").await.unwrap(), []);
    assert_eq!(region.delete("a/b").await.unwrap(), Deleted::WasAbsent);
}

#[tokio::test]
async fn a_role_that_may_only_create_and_read_cannot_delete() {
    let bench = Bench::new();
    let region = bench.repository().await;
    region.put_new("a/b", &body()).await.unwrap();
    bench.allow(&WRITER);
    assert!(region.put_new("a/c", &body()).await.unwrap().is_stored());
    assert_eq!(region.get("a/c", 1 << 20).await.unwrap(), body());
    let error = region.delete("a/b").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.chain());
    assert!(region.exists("a/b").await.unwrap());
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_in_bounded_time() {
    let bench = Bench::new();
    let config = bench.config("gs://acme-dr/pg");
    bench.repository().await;
    let limits = Limits { stall: Duration::from_millis(300), attempts_max: 1, ..config.limits.clone() };
    let region = Region::open(RegionConfig { limits, ..config }, &bench.world).unwrap();
    bench.always(Operation::ObjectGet, Fault { delay_ms: 60_000, ..Fault::default() });
    let error = region.get("seawall.json", 1 << 20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
}

#[test]
fn credentials_that_others_can_read_are_refused() {
    let bench = Bench::new();
    let file = bench.folder.path().join("token.json");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    match Region::open(bench.config("gs://acme-dr/pg"), &bench.world) {
        Err(OpenError::Bucket { source, .. }) => assert!(source.to_string().contains("others can reach it")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_bucket_is_asked_where_it_is_and_what_it_keeps() {
    let bench = Bench::new();
    let day = 24 * 3600;
    let resource = serde_json::json!({
        "name": "acme-locked", "location": "EUR4", "retentionPolicy": { "retentionPeriod": (30 * day).to_string() },
        "softDeletePolicy": { "retentionDurationSeconds": (9 * day).to_string() },
        "lifecycle": { "rule": [{ "action": { "type": "Delete" }, "condition": { "age": 10 } }] },
    });
    bench.simulator.create_bucket_with(&resource, "acme", false).unwrap();
    let open = |url: &str| Region::open(bench.config(url), &bench.world).unwrap();
    let about = open("gs://acme-locked/pg").about().await.unwrap();
    let location = about.location.unwrap();
    assert_eq!((location.name.as_str(), location.kind), ("eur4", LocationKind::DualRegion));
    assert_eq!(about.lock.unwrap(), Some(Lock { period: Duration::from_secs(30 * day), is_final: false }));
    assert_eq!(about.soft_delete.unwrap(), Some(Duration::from_secs(9 * day)));
    assert_eq!(about.deletes_by_itself.unwrap().len(), 1);
    let plain = open("gs://acme-dr/pg").about().await.unwrap();
    assert_eq!((plain.lock, plain.versions), (Ok(None), Ok(Versions::Off)));
    assert_ne!(plain.owner.unwrap(), about.owner.unwrap());
}

#[tokio::test]
async fn rights_are_found_out_without_touching_what_is_stored() {
    let bench = Bench::new();
    let region = bench.repository().await;
    region.put_new("a/b", &body()).await.unwrap();
    bench.allow(&WRITER);
    let about = region.about().await.unwrap();
    assert_eq!(about.rights.unwrap(), WRITER);
    let why = about.location.unwrap_err().to_string();
    assert!(why.contains("403") && why.contains("storage.buckets.get") && !why.contains(TOKEN), "{why}");
    assert_eq!((region.may_create().await.unwrap(), region.may_delete().await), (true, Ok(false)));
    bench.allow(&["storage.objects.get", "storage.objects.list", "storage.objects.delete"]);
    assert_eq!((region.may_create().await.unwrap(), region.may_delete().await), (false, Ok(true)));
    bench.allow(&["roles/storage.admin"]);
    assert_eq!((region.may_create().await.unwrap(), region.may_delete().await), (true, Ok(true)));
    assert_eq!(region.list_collect("").await.unwrap().len(), 2);
    assert_eq!(region.get("seawall.json", 1 << 20).await.unwrap(), Bytes::from_static(b"{}"));
}

#[tokio::test]
async fn a_right_that_cannot_be_asked_about_is_neither_had_nor_lacking() {
    let bench = Bench::new();
    let region = bench.repository().await;
    bench.always(Operation::ObjectDelete, answer(503, None));
    assert!(region.may_delete().await.unwrap_err().to_string().contains("503"));
}

#[tokio::test]
async fn new_objects_have_the_class_and_the_key_that_the_settings_name() {
    let bench = Bench::new();
    bench.repository().await;
    let key = "projects/acme/locations/eu/keyRings/r/cryptoKeys/k";
    let mut config = bench.config("gs://acme-dr/pg");
    config.access.storage_class = Some("NEARLINE".to_owned());
    config.access.kms_key = Some(key.to_owned());
    let region = Region::open(config, &bench.world).unwrap();
    assert!(region.put_new("a/b", &body()).await.unwrap().is_stored());
    assert_eq!(region.get("a/b", 1 << 20).await.unwrap(), body());
    let url = format!("{}/storage/v1/b/acme-dr/o/pg%2Fa%2Fb", bench.simulator.url());
    let told = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!((&told["storageClass"], &told["kmsKeyName"]), (&"NEARLINE".into(), &key.into()), "{told}");
}
