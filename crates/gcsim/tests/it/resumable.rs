//! Resumable sessions: chunks, questions, clients that go away.

use std::time::Duration;

use reqwest::Response;
use seawall_gcsim::{Control, Fault, Operation, When};
use serde_json::json;

use crate::support::{BUCKET, Json, http, said, simulator};

const GRAIN: usize = 256 * 1024;

async fn start(control: &Control, name: &str, more: &str) -> Response {
    let url =
        format!("{}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name={name}{more}", control.url());
    http().post(url).body(json!({ "contentType": "x/y" }).to_string()).send().await.unwrap()
}

fn address(response: &Response) -> String {
    response.headers()["location"].to_str().unwrap().to_owned()
}

async fn put(address: &str, range: &str, body: Vec<u8>) -> Response {
    http().put(address).header("content-range", range).body(body).send().await.unwrap()
}

fn stored(response: &Response) -> (u16, Option<&str>) {
    let range = response.headers().get("range").map(|range| range.to_str().unwrap());
    (response.status().as_u16(), range)
}

#[tokio::test]
async fn a_session_takes_chunks_says_how_far_it_is_and_survives_its_client() {
    let simulator = simulator();
    let at = address(&start(&simulator, "large", "&ifGenerationMatch=0").await);
    assert_eq!(stored(&put(&at, "bytes */*", vec![]).await), (308, None));
    let total = 2 * GRAIN + 10;
    assert_eq!(put(&at, "bytes 0-9/*", vec![1; 10]).await.status(), 400);
    let first = put(&at, &format!("bytes 0-{}/*", GRAIN - 1), vec![1; GRAIN]).await;
    assert_eq!(stored(&first), (308, Some("bytes=0-262143")));
    assert_eq!(
        put(&at, &format!("bytes {}-{}/{total}", 2 * GRAIN, total - 1), vec![3; 10]).await.status(),
        400
    );
    // A client that was cut in the middle: the whole grains that arrived are kept.
    let cut = Fault { cut_request_at: Some(GRAIN as u64 + 5), ..Fault::default() };
    let when = When { operations: vec![Operation::SessionPut], count: Some(1), ..When::default() };
    simulator.fault(when, cut).unwrap();
    let rest = [vec![2; GRAIN], vec![3; 10]].concat();
    let range = format!("bytes {GRAIN}-{}/{total}", total - 1);
    http().put(&at).header("content-range", &range).body(rest.clone()).send().await.unwrap_err();
    let asked = put(&at, &format!("bytes */{total}"), vec![]).await;
    assert_eq!(stored(&asked), (308, Some("bytes=0-524287")));
    assert_eq!(Json::new(&simulator).get(&format!("/{BUCKET}/o/large")).await.0, 404);
    // What is stored already may be sent again.
    let (status, object) = said(put(&at, &range, rest).await).await;
    assert_eq!((status, &object["size"]), (200, &json!(total.to_string())));
    let (status, again) = said(put(&at, "bytes */*", vec![]).await).await;
    assert_eq!((status, &again["generation"]), (200, &object["generation"]));
    let bytes =
        http().get(object["mediaLink"].as_str().unwrap()).send().await.unwrap().bytes().await.unwrap();
    assert_eq!((bytes.len(), bytes[GRAIN - 1], bytes[GRAIN], bytes[2 * GRAIN]), (total, 1, 2, 3));
}

#[tokio::test]
async fn the_condition_is_asked_at_the_start_and_at_the_end() {
    let simulator = simulator();
    let at = address(&start(&simulator, "a", "&ifGenerationMatch=0").await);
    Json::new(&simulator).put("a", "somebody else's").await;
    assert_eq!(start(&simulator, "a", "&ifGenerationMatch=0").await.status(), 412);
    assert_eq!(put(&at, "bytes 0-2/3", b"abc".to_vec()).await.status(), 412);
    assert_eq!(put(&at, "bytes */*", vec![]).await.status(), 404);
}

#[tokio::test]
async fn checksums_cancelling_and_a_weeks_age() {
    let simulator = simulator();
    let at = address(&start(&simulator, "a", "").await);
    let wrong =
        http().put(&at).header("x-goog-hash", "crc32c=AAAAAA==").body("123456789").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert_eq!(Json::new(&simulator).get(&format!("/{BUCKET}/o/a")).await.0, 404);
    let at = address(&start(&simulator, "a", "").await);
    let right =
        http().put(&at).header("x-goog-hash", "crc32c=4waSgw==").body("123456789").send().await.unwrap();
    assert_eq!(right.status(), 200);
    let at = address(&start(&simulator, "b", "").await);
    assert_eq!(http().delete(&at).send().await.unwrap().status(), 499);
    assert_eq!(put(&at, "bytes */*", vec![]).await.status(), 404);
    let at = address(&start(&simulator, "b", "").await);
    simulator.advance(Duration::from_secs(7 * 24 * 3600)).unwrap();
    assert_eq!(put(&at, "bytes */*", vec![]).await.status(), 410);
    let at = address(&start(&simulator, "empty", "").await);
    assert_eq!(said(put(&at, "bytes */0", vec![]).await).await.1["size"], json!("0"));
}
