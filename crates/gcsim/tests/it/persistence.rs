//! What a data directory keeps: everything that was answered, whenever the process is killed.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::ObjectStoreExt as _;
use seawall_gcsim::{Credential, Grant, Process};
use serde_json::{Value, json};

use crate::support::{BUCKET, Json, driver, http, said};

fn start(data: &Path) -> Process {
    Process::start(Path::new(env!("CARGO_BIN_EXE_gcsim")), Some(data)).unwrap()
}

/// Everything that can be seen of the world.
async fn seen(control: &Process) -> Vec<Value> {
    let json = Json::with_token(control, "owner");
    let mut all = Vec::new();
    for path in [
        "?project=project".to_owned(),
        format!("/{BUCKET}/o?versions=true"),
        format!("/{BUCKET}/o?softDeleted=true"),
    ] {
        let (status, mut value) = json.get(&path).await;
        assert_eq!(status, 200, "{value}");
        for item in value["items"].as_array_mut().into_iter().flatten() {
            // They carry the port, which differs.
            let links = item.as_object_mut().unwrap();
            links.remove("selfLink");
            links.remove("mediaLink");
        }
        all.push(value);
    }
    let uploads =
        http().get(format!("{}/{BUCKET}?uploads", control.url())).bearer_auth("owner").send().await.unwrap();
    all.push(json!(uploads.text().await.unwrap()));
    all
}

#[tokio::test]
async fn all_of_a_world_is_there_after_a_kill_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = start(directory.path());
    simulator.rate_limit(false).unwrap();
    let versioned = json!({ "name": BUCKET, "location": "EU", "versioning": { "enabled": true } });
    simulator.create_bucket_with(&versioned, "project", true).unwrap();
    let retained = json!({ "name": "a-locked-one", "retentionPolicy": { "retentionPeriod": "60" } });
    simulator.create_bucket_with(&retained, "project", false).unwrap();
    simulator.advance(Duration::from_secs(1_000_000)).unwrap();
    let grant = Grant { allow: vec!["roles/storage.admin".to_owned()], ..Grant::default() };
    let owner = Credential { name: "owner".to_owned(), grants: vec![grant] };
    simulator.credentials(&[("owner".to_owned(), owner)].into()).unwrap();
    let json = Json::with_token(&simulator, "owner");
    let locked = json.post("/a-locked-one/lockRetentionPolicy?ifMetagenerationMatch=1", json!({})).await;
    assert_eq!(locked.0, 200);
    let first = json.put("a", "one").await;
    json.put("a", "two").await;
    json.put("b", "three").await;
    simulator.advance(Duration::from_secs(61)).unwrap();
    assert_eq!(json.delete(&format!("/{BUCKET}/o/a?generation={first}")).await.0, 204);
    json.patch(&format!("/{BUCKET}/o/b"), json!({ "temporaryHold": true, "metadata": { "k": "é\n" } })).await;
    let xml = format!("{}/{BUCKET}/large", simulator.url());
    let started = http()
        .post(format!("{xml}?uploads"))
        .bearer_auth("owner")
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let id = started.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let part = http().put(format!("{xml}?partNumber=1&uploadId={id}")).bearer_auth("owner").body("part");
    let etag = part.send().await.unwrap().headers()["etag"].to_str().unwrap().to_owned();
    let session =
        format!("{}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=session", simulator.url());
    let session = http().post(session).bearer_auth("owner").send().await.unwrap();
    let session = session.headers()["location"].to_str().unwrap().to_owned();
    let chunk = |range: &str, body: Vec<u8>, at: String| {
        http().put(at).header("content-range", range).body(body).send()
    };
    assert_eq!(chunk("bytes 0-262143/*", vec![1; 262_144], session.clone()).await.unwrap().status(), 308);

    let before = seen(&simulator).await;
    let old = simulator.url();
    simulator.kill().unwrap();
    let simulator = start(directory.path());
    assert_eq!(seen(&simulator).await, before);
    assert_eq!(before[0]["items"][0]["retentionPolicy"]["isLocked"], json!(true));
    assert_eq!(before[2]["items"].as_array().unwrap().len(), 1);
    let json = Json::with_token(&simulator, "owner");
    assert_eq!(Json::with_token(&simulator, "stranger").get(&format!("/{BUCKET}")).await.0, 401);
    assert_eq!(json.delete(&format!("/{BUCKET}/o/b?generation=1")).await.0, 404);
    let later = json.put("a", "four").await;
    assert!(later.parse::<u64>().unwrap() > first.parse().unwrap());
    let here = |url: &str| url.replace(&old, &simulator.url());
    let body = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    let done = http()
        .post(here(&format!("{xml}?uploadId={id}")))
        .bearer_auth("owner")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(done.status(), 200);
    let (status, object) =
        said(chunk("bytes 262144-262145/262146", vec![2; 2], here(&session)).await.unwrap()).await;
    assert_eq!((status, &object["size"]), (200, &json!("262146")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_before_a_kill_in_the_middle_of_writing_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = start(directory.path());
    simulator.create_bucket(BUCKET, "EU").unwrap();
    drop(simulator);
    let answered = Arc::new(Mutex::new(Vec::<String>::new()));
    for round in 0..5 {
        let simulator = start(directory.path());
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (store, answered, stop) = (driver(&simulator), Arc::clone(&answered), Arc::clone(&stop));
                tokio::spawn(async move {
                    for number in 0.. {
                        let name = format!("{round}-{writer}-{number}");
                        let written = store.put(&name.as_str().into(), name.repeat(2000).into()).await;
                        if written.is_err() || stop.load(Ordering::SeqCst) {
                            break;
                        }
                        answered.lock().unwrap().push(name);
                    }
                })
            })
            .collect();
        let so_many = (round + 1) * 40;
        while answered.lock().unwrap().len() < so_many {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        simulator.kill().unwrap();
        stop.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.await.unwrap();
        }
    }
    let simulator = start(directory.path());
    let store = driver(&simulator);
    let answered = answered.lock().unwrap().clone();
    assert!(answered.len() >= 200);
    for name in answered {
        let found = store.get(&name.as_str().into()).await.unwrap().bytes().await.unwrap();
        assert_eq!(found, name.repeat(2000));
    }
}

#[tokio::test]
async fn a_long_journal_is_begun_anew_and_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let simulator = start(directory.path());
    simulator
        .create_bucket_with(&json!({ "name": BUCKET, "softDeletePolicy": {} }), "project", false)
        .unwrap();
    simulator.rate_limit(false).unwrap();
    let json = Json::new(&simulator);
    for _ in 0..1100 {
        json.put("a", "x").await;
    }
    let before = seen(&simulator).await;
    simulator.kill().unwrap();
    let size = || std::fs::metadata(directory.path().join("journal")).unwrap().len();
    let long = size();
    let simulator = start(directory.path());
    assert!(size() < long / 100, "{long} {}", size());
    assert_eq!(seen(&simulator).await, before);
    assert_eq!(std::fs::read_dir(directory.path().join("blobs")).unwrap().count(), 1);
    Json::new(&simulator).put("b", "y").await;
    drop(simulator);
    let (_, listed) = Json::new(&start(directory.path())).get(&format!("/{BUCKET}/o")).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
}

#[test]
fn it_listens_on_loopback_only() {
    let binary = Path::new(env!("CARGO_BIN_EXE_gcsim"));
    let refused = Process::start_at(binary, None, "0.0.0.0:0".parse().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("exit status: 1"), "{refused}");
}
