//! Each kind of fault does what it says, to the requests it is meant for and no others.

use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};
use reqwest::Response;
use seawall_gcsim::{Answer, Control, Fault, Operation, Pause, When};

use crate::support::{BUCKET, Json, driver, driver_as, http, reason, simulator};

fn on(operation: Operation) -> When {
    When { operations: vec![operation], ..When::default() }
}

fn answering(status: u16) -> Fault {
    Fault { answer: Some(Answer { status, ..Answer::default() }), ..Fault::default() }
}

async fn put(control: &Control, name: &str, body: &'static [u8]) -> reqwest::Result<Response> {
    http().put(format!("{}/{BUCKET}/{name}", control.url())).body(Bytes::from_static(body)).send().await
}

async fn exists(control: &Control, name: &str) -> bool {
    Json::new(control).get(&format!("/{BUCKET}/o/{name}")).await.0 == 200
}

/// Waits until something is so; some seconds at most.
async fn until<F: Future<Output = bool>>(so: impl Fn() -> F) {
    for _ in 0..500 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen");
}

async fn held(control: &Control) {
    until(|| async { control.faults().unwrap()[0].held == 1 }).await;
}

#[tokio::test]
async fn errors_are_answered_in_the_form_of_the_api_and_nothing_is_done() {
    let simulator = simulator();
    let json = Json::new(&simulator);
    let known = [
        (408, "RequestTimeout", "uploadBrokenConnection"),
        (429, "SlowDown", "rateLimitExceeded"),
        (500, "InternalError", "internalError"),
        (503, "ServiceUnavailable", "backendError"),
        (403, "AccessDenied", "forbidden"),
    ];
    for (status, code, why) in known {
        simulator.fault(on(Operation::ObjectPut), answering(status)).unwrap();
        let answer = put(&simulator, "a", b"x").await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert!(answer.text().await.unwrap().contains(&format!("<Code>{code}</Code>")));
        assert_eq!(reason(&json.upload("a", "", "x").await), (status, why));
        simulator.release_all().unwrap();
    }
    let full =
        Answer { status: 403, reason: Some("quotaExceeded".into()), message: None, retry_after: Some(7) };
    simulator.fault(on(Operation::ObjectPut), Fault { answer: Some(full), ..Fault::default() }).unwrap();
    let answer = put(&simulator, "a", b"x").await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "7");
    assert_eq!(reason(&json.upload("a", "", "x").await), (403, "quotaExceeded"));
    assert!(!exists(&simulator, "a").await);
}

#[tokio::test]
async fn rules_hit_whom_they_name_as_often_as_they_say() {
    let simulator = simulator();
    simulator.rate_limit(false).unwrap();
    let when = When {
        prefix: Some("wal/".into()),
        token: Some("one".into()),
        bucket: Some(BUCKET.into()),
        method: Some("PUT".into()),
        skip: 1,
        count: Some(2),
        ..When::default()
    };
    simulator.fault(when, answering(503)).unwrap();
    let (one, other) = (driver_as(&simulator, BUCKET, "one"), driver_as(&simulator, BUCKET, "other"));
    let (hit, missed) = (Path::from("wal/1"), Path::from("base/1"));
    let mut results = Vec::new();
    for _ in 0..4 {
        other.put(&hit, "x".into()).await.unwrap();
        one.put(&missed, "x".into()).await.unwrap();
        one.get(&hit).await.unwrap();
        results.push(one.put(&hit, "x".into()).await.is_ok());
    }
    assert_eq!(results, [true, false, false, true]);
    let standing = &simulator.faults().unwrap()[0];
    assert_eq!((standing.matched, standing.hit), (3, 2));
    let failed = simulator.counters().unwrap().into_iter().find(|counted| counted.status == 503).unwrap();
    assert_eq!((failed.operation, failed.count.requests), (Operation::ObjectPut, 2));
}

#[tokio::test]
async fn a_request_cut_in_its_middle_leaves_nothing() {
    let simulator = simulator();
    let cut = Fault { cut_request_at: Some(100_000), ..Fault::default() };
    let id = simulator.fault(on(Operation::ObjectPut), cut).unwrap();
    let large = Bytes::from(vec![7; 1_000_000]);
    let error = driver(&simulator).put(&Path::from("a"), large.into()).await.unwrap_err();
    assert!(!matches!(error, Error::NotFound { .. }), "{error}");
    assert!(!exists(&simulator, "a").await);
    simulator.release(id).unwrap();
    assert_eq!(put(&simulator, "a", b"x").await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_answer_cut_in_its_middle_is_an_error_and_not_a_short_object() {
    let simulator = simulator();
    let store = driver(&simulator);
    let path = Path::from("a");
    store.put(&path, Bytes::from(vec![7; 1_000_000]).into()).await.unwrap();
    let cut = Fault { cut_answer_at: Some(100_000), ..Fault::default() };
    simulator.fault(When { count: Some(1), ..on(Operation::ObjectGet) }, cut).unwrap();
    let mut answer = http().get(format!("{}/{BUCKET}/a", simulator.url())).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(1_000_000));
    let mut got = 0;
    let ended = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => got += chunk.len(),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert_eq!((ended, got), (false, 100_000));
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap().len(), 1_000_000);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_there() {
    let simulator = simulator();
    let store = driver(&simulator);
    let path = Path::from("a");
    let lost = Fault { lose_answer: true, ..Fault::default() };
    simulator.fault(When { count: Some(1), ..on(Operation::ObjectPut) }, lost).unwrap();
    store.put_opts(&path, "mine".into(), PutOptions::from(PutMode::Create)).await.unwrap_err();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "mine");
    let again = store.put_opts(&path, "mine".into(), PutOptions::from(PutMode::Create)).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    // The same with an error for an answer.
    let lost = Fault { lose_answer: true, ..answering(503) };
    simulator.fault(on(Operation::ObjectDelete), lost).unwrap();
    store.delete(&path).await.unwrap_err();
    assert!(!exists(&simulator, "a").await);
    let lost = simulator.counters().unwrap().into_iter().find(|counted| counted.status == 0).unwrap();
    assert_eq!((lost.operation, lost.count.requests), (Operation::ObjectPut, 1));
}

#[tokio::test]
async fn a_write_that_was_refused_is_made_later_all_the_same() {
    let simulator = simulator();
    // Held besides, so that "later" is when this test says.
    let late = Fault { apply_late_ms: Some(1), pause: Some(Pause::Before), ..answering(503) };
    let id = simulator.fault(on(Operation::ObjectPut), late).unwrap();
    assert_eq!(put(&simulator, "a", b"late").await.unwrap().status(), 503);
    held(&simulator).await;
    assert!(!exists(&simulator, "a").await);
    simulator.release(id).unwrap();
    until(|| exists(&simulator, "a")).await;
    // Without an answer to give, the connection is closed.
    let late = Fault { apply_late_ms: Some(1), pause: Some(Pause::Before), ..Fault::default() };
    let id = simulator.fault(on(Operation::ObjectPut), late).unwrap();
    put(&simulator, "b", b"late").await.unwrap_err();
    held(&simulator).await;
    assert!(!exists(&simulator, "b").await);
    simulator.release(id).unwrap();
    until(|| exists(&simulator, "b")).await;
}

#[tokio::test]
async fn a_paused_write_is_made_after_its_release_though_its_client_is_gone() {
    let simulator = simulator();
    let pause = Fault { pause: Some(Pause::Before), ..Fault::default() };
    let id = simulator.fault(on(Operation::ObjectPut), pause).unwrap();
    let waiting = tokio::spawn({
        let url = format!("{}/{BUCKET}/a", simulator.url());
        async move { http().put(url).body("x").send().await }
    });
    held(&simulator).await;
    waiting.abort();
    waiting.await.unwrap_err();
    assert!(!exists(&simulator, "a").await);
    simulator.release(id).unwrap();
    until(|| exists(&simulator, "a")).await;
}

#[tokio::test]
async fn a_write_paused_before_its_answer_is_there_while_its_client_waits() {
    let simulator = simulator();
    let pause = Fault { pause: Some(Pause::After), ..Fault::default() };
    let id = simulator.fault(on(Operation::ObjectPut), pause).unwrap();
    let waiting = tokio::spawn({
        let url = format!("{}/{BUCKET}/a", simulator.url());
        async move { http().put(url).body("x").send().await }
    });
    held(&simulator).await;
    assert!(exists(&simulator, "a").await);
    assert!(!waiting.is_finished());
    simulator.release(id).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn delays_and_slow_bodies_take_their_time_and_arrive_whole() {
    let simulator = simulator();
    let store = driver(&simulator);
    let path = Path::from("a");
    let body = Bytes::from(vec![7; 200_000]);
    let faults = [
        (Operation::ObjectPut, Fault { request_bytes_per_second: Some(1_000_000), ..Fault::default() }),
        (Operation::ObjectGet, Fault { answer_bytes_per_second: Some(1_000_000), ..Fault::default() }),
        (Operation::ObjectHead, Fault { delay_ms: 200, ..Fault::default() }),
    ];
    for (operation, fault) in faults {
        simulator.fault(on(operation), fault).unwrap();
    }
    let began = Instant::now();
    store.put(&path, body.clone().into()).await.unwrap();
    let put = began.elapsed();
    let read = store.get(&path).await.unwrap().bytes().await.unwrap();
    let got = began.elapsed() - put;
    store.head(&path).await.unwrap();
    let head = began.elapsed() - put - got;
    assert_eq!(read, body);
    // Only that it was not faster: how much slower is the machine's affair.
    assert!(
        [put, got, head].iter().all(|took| *took >= Duration::from_millis(150)),
        "{put:?} {got:?} {head:?}"
    );
}

#[tokio::test]
async fn a_damaged_object_is_told_by_its_bytes_alone() {
    let simulator = simulator();
    let store = driver(&simulator);
    let path = Path::from("a");
    store.put(&path, "123456789".into()).await.unwrap();
    let before = store.head(&path).await.unwrap();
    simulator.damage(BUCKET, "a", 4, 0).unwrap();
    assert_eq!(store.head(&path).await.unwrap(), before);
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "123446789");
    simulator.damage(BUCKET, "a", 9, 0).unwrap_err();
    simulator.damage(BUCKET, "b", 0, 0).unwrap_err();
}
