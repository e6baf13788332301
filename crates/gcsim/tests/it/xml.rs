//! The XML API beyond what the driver's suite asks for.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};
use reqwest::{Method, Response};
use serde_json::json;

use crate::support::{BUCKET, driver, http, simulator, simulator_with};

async fn send(method: Method, url: &str, headers: &[(&str, &str)], body: &'static [u8]) -> Response {
    let mut request = http().request(method, url).body(Bytes::from_static(body));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn checksums_that_do_not_match_are_refused_and_nothing_is_stored() {
    let simulator = simulator();
    let url = format!("{}/{BUCKET}/checked", simulator.url());
    let wrong = [
        ("x-goog-hash", "crc32c=AAAAAA==", "CrcMismatch"),
        ("x-goog-hash", "md5=AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest"),
        ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest"),
        ("x-goog-hash", "crc32c=short", "InvalidDigest"),
    ];
    for (header, value, code) in wrong {
        let answer = send(Method::PUT, &url, &[(header, value)], b"123456789").await;
        assert_eq!(answer.status(), 400, "{value}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
        assert_eq!(send(Method::HEAD, &url, &[], b"").await.status(), 404);
    }
    let right = "crc32c=4waSgw==,md5=JfnnlDI7RTiF9RgfG2JNCw==";
    let answer = send(Method::PUT, &url, &[("x-goog-hash", right)], b"123456789").await;
    assert_eq!(answer.status(), 200);
    let hashes: Vec<_> = answer.headers().get_all("x-goog-hash").iter().collect();
    assert_eq!(hashes, ["crc32c=4waSgw==", "md5=JfnnlDI7RTiF9RgfG2JNCw=="]);
    assert_eq!(answer.headers()["x-goog-stored-content-length"], "9");
    assert_eq!(answer.headers()["etag"], "\"25f9e794323b453885f5181f1b624d0b\"");
}

#[tokio::test]
async fn attributes_generations_and_ranges_are_answered() {
    let simulator = simulator_with(&json!({ "versioning": { "enabled": true } }));
    simulator.rate_limit(false).unwrap();
    let url = format!("{}/{BUCKET}/a%2Fb%20c%25", simulator.url());
    let headers =
        [("x-goog-meta-writer", "w1"), ("x-goog-storage-class", "nearline"), ("content-type", "text/x")];
    let first = send(Method::PUT, &url, &headers, b"0123456789").await;
    let generation = first.headers()["x-goog-generation"].to_str().unwrap().to_owned();
    send(Method::PUT, &url, &[], b"new").await;
    let old = format!("{url}?generation={generation}");
    let answer = send(Method::GET, &old, &[("range", "bytes=-3")], b"").await;
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.headers()["content-range"], "bytes 7-9/10");
    assert_eq!(answer.headers()["x-goog-meta-writer"], "w1");
    assert_eq!(answer.headers()["x-goog-storage-class"], "NEARLINE");
    assert_eq!(answer.headers()["content-type"], "text/x");
    assert_eq!(answer.bytes().await.unwrap(), "789");
    assert_eq!(send(Method::GET, &url, &[("range", "bytes=3-")], b"").await.status(), 416);
    assert_eq!(
        send(Method::GET, &url, &[("x-goog-if-generation-match", &generation)], b"").await.status(),
        412
    );
    assert_eq!(send(Method::GET, &format!("{url}?generation=7"), &[], b"").await.status(), 404);
    let stale = send(Method::DELETE, &url, &[("x-goog-if-generation-match", &generation)], b"").await;
    assert_eq!(stale.status(), 412);
    assert!(stale.text().await.unwrap().contains("<Code>PreconditionFailed</Code>"));
}

#[tokio::test]
async fn a_name_is_written_once_a_second() {
    let simulator = simulator();
    let url = format!("{}/{BUCKET}/tail", simulator.url());
    assert_eq!(send(Method::PUT, &url, &[], b"1").await.status(), 200);
    let refused = send(Method::PUT, &url, &[], b"2").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(send(Method::PUT, &format!("{url}2"), &[], b"2").await.status(), 200);
    // The loser of a race is told so, not that it was too fast.
    assert_eq!(send(Method::PUT, &url, &[("x-goog-if-generation-match", "0")], b"2").await.status(), 412);
    simulator.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(send(Method::PUT, &url, &[], b"3").await.status(), 200);
    simulator.rate_limit(false).unwrap();
    assert_eq!(send(Method::PUT, &url, &[], b"4").await.status(), 200);
}

#[tokio::test]
async fn lists_come_in_pages_of_a_thousand_in_the_order_of_bytes() {
    use futures::TryStreamExt as _;

    let simulator = simulator();
    let store = driver(&simulator);
    for number in 0..1005 {
        store.put(&Path::from(format!("n/{number:04}")), "x".into()).await.unwrap();
    }
    store.put(&Path::from("Z"), "x".into()).await.unwrap();
    store.put(&Path::parse("é").unwrap(), "x".into()).await.unwrap();
    simulator.reset_counters().unwrap();
    let found: Vec<_> = store.list(None).try_collect().await.unwrap();
    let names: Vec<&str> = found.iter().map(|meta| meta.location.as_ref()).collect();
    assert_eq!(names.len(), 1007);
    assert!(names.is_sorted());
    assert_eq!((names[0], names[1006]), ("Z", "é"));
    assert_eq!(simulator.requests(seawall_gcsim::Operation::ObjectList).unwrap(), 2);
    let url = format!("{}/{BUCKET}?list-type=2&prefix=n/&max-keys=5000", simulator.url());
    let page = send(Method::GET, &url, &[], b"").await.text().await.unwrap();
    assert_eq!(page.matches("<Contents>").count(), 1000);
    assert!(page.contains("<IsTruncated>true</IsTruncated>"));
    let nonsense = format!("{}/{BUCKET}?list-type=2&continuation-token=x", simulator.url());
    assert_eq!(send(Method::GET, &nonsense, &[], b"").await.status(), 400);
}

#[tokio::test]
async fn multipart_uploads_are_held_to_their_rules() {
    let simulator = simulator();
    let url = format!("{}/{BUCKET}/large", simulator.url());
    let conditional = [("x-goog-if-generation-match", "0")];
    assert_eq!(send(Method::POST, &format!("{url}?uploads"), &conditional, b"").await.status(), 400);
    let started = send(Method::POST, &format!("{url}?uploads"), &[], b"").await.text().await.unwrap();
    let id = started.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let part = |number: u32| format!("{url}?partNumber={number}&uploadId={id}");
    let wrong = [("x-goog-hash", "crc32c=AAAAAA==")];
    assert_eq!(send(Method::PUT, &part(1), &wrong, b"abc").await.status(), 400);
    assert_eq!(send(Method::PUT, &part(0), &[], b"abc").await.status(), 400);
    let mut etags = Vec::new();
    for number in [1, 2] {
        let answer = send(Method::PUT, &part(number), &[], b"abc").await;
        etags.push(answer.headers()["etag"].to_str().unwrap().to_owned());
    }
    let complete = |order: [usize; 2]| {
        let part =
            |at: usize| format!("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", at + 1, etags[at]);
        let body = format!(
            "<CompleteMultipartUpload>{}{}</CompleteMultipartUpload>",
            part(order[0]),
            part(order[1])
        );
        http().post(format!("{url}?uploadId={id}")).body(body).send()
    };
    let small = complete([0, 1]).await.unwrap();
    assert_eq!(small.status(), 400);
    assert!(small.text().await.unwrap().contains("EntityTooSmall"));
    let order = complete([1, 0]).await.unwrap();
    assert!(order.text().await.unwrap().contains("InvalidPartOrder"));
    let listed = send(Method::GET, &format!("{}/{BUCKET}?uploads", simulator.url()), &[], b"").await;
    assert!(listed.text().await.unwrap().contains(&id));
    assert_eq!(send(Method::DELETE, &format!("{url}?uploadId={id}"), &[], b"").await.status(), 204);
    assert_eq!(send(Method::PUT, &part(1), &[], b"abc").await.status(), 404);
    assert_eq!(send(Method::HEAD, &url, &[], b"").await.status(), 404);
}

#[tokio::test]
async fn requests_are_counted_by_what_they_do_and_cost() {
    use seawall_gcsim::{Class, Operation};

    let simulator = simulator();
    let store = driver(&simulator);
    let path = Path::from("a");
    store.put(&path, "12345".into()).await.unwrap();
    store.put_opts(&path, "6".into(), PutOptions::from(PutMode::Create)).await.unwrap_err();
    store.get(&path).await.unwrap().bytes().await.unwrap();
    store.head(&path).await.unwrap();
    store.delete(&path).await.unwrap();
    assert_eq!(simulator.requests(Operation::ObjectPut).unwrap(), 2);
    assert_eq!(simulator.priced(Class::A).unwrap(), 2);
    assert_eq!(simulator.priced(Class::B).unwrap(), 2);
    assert_eq!(simulator.priced(Class::Free).unwrap(), 1);
    let counted = simulator.counters().unwrap();
    let read = counted.iter().find(|counted| counted.operation == Operation::ObjectGet).unwrap();
    assert_eq!((read.bucket.as_str(), read.status, read.count.bytes_out), (BUCKET, 200, 5));
    simulator.reset_counters().unwrap();
    assert!(simulator.counters().unwrap().is_empty());
}
