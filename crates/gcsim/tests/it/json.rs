//! The JSON API: objects and buckets as others than `object_store` handle them.

use serde_json::{Value, json};

use crate::support::{BUCKET, Json, http, reason, said, simulator, simulator_with};

#[tokio::test]
async fn an_upload_with_its_resource_is_read_back() {
    let simulator = simulator();
    let json = Json::new(&simulator);
    let url = format!(
        "{}/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart&ifGenerationMatch=0",
        simulator.url()
    );
    let upload = |crc32c: &str| {
        let resource = json!({ "name": "a/b", "metadata": { "writer": "w" }, "crc32c": crc32c, "storageClass": "coldline" });
        let body = format!(
            "--==x==\r\nContent-Type: application/json\r\n\r\n{resource}\r\n--==x==\r\nContent-Type: text/y\r\n\r\n\
             123456789\r\n--==x==--"
        );
        let typed = http().post(&url).header("content-type", "multipart/related; boundary=\"==x==\"");
        typed.body(body).send()
    };
    let wrong = said(upload("AAAAAA==").await.unwrap()).await;
    assert_eq!(reason(&wrong), (400, "invalid"));
    assert_eq!(json.get(&format!("/{BUCKET}/o/a%2Fb")).await.0, 404);
    let (status, value) = said(upload("4waSgw==").await.unwrap()).await;
    assert_eq!(status, 200, "{value}");
    let (_, found) = json.get(&format!("/{BUCKET}/o/a%2Fb")).await;
    assert_eq!(found, value);
    assert_eq!((&found["contentType"], &found["storageClass"]), (&json!("text/y"), &json!("COLDLINE")));
    assert_eq!((&found["size"], &found["md5Hash"]), (&json!("9"), &json!("JfnnlDI7RTiF9RgfG2JNCw==")));
    assert_eq!(found["metadata"], json!({ "writer": "w" }));
    let bytes =
        http().get(found["mediaLink"].as_str().unwrap()).header("range", "bytes=2-4").send().await.unwrap();
    assert_eq!((bytes.status().as_u16(), bytes.text().await.unwrap().as_str()), (206, "345"));
    assert_eq!(reason(&said(upload("4waSgw==").await.unwrap()).await), (412, "conditionNotMet"));
}

#[tokio::test]
async fn preconditions_guard_reads_patches_and_deletes() {
    let simulator = simulator();
    let json = Json::new(&simulator);
    let generation = json.put("a", "1").await;
    let at = format!("/{BUCKET}/o/a");
    assert_eq!(json.get(&format!("{at}?ifGenerationNotMatch={generation}")).await.0, 304);
    assert_eq!(json.get(&format!("{at}?ifMetagenerationMatch=2")).await.0, 412);
    assert_eq!(
        json.get(&format!("{at}?ifGenerationMatch={generation}&ifMetagenerationMatch=1")).await.0,
        200
    );
    let stale =
        json.patch(&format!("{at}?ifMetagenerationMatch=2"), json!({ "metadata": { "k": "v" } })).await;
    assert_eq!(reason(&stale), (412, "conditionNotMet"));
    let (status, patched) = json.patch(&at, json!({ "metadata": { "k": "v" }, "contentType": "x/y" })).await;
    assert_eq!((status, &patched["metageneration"]), (200, &json!("2")));
    assert_eq!(
        reason(&json.patch(&at, json!({ "metadata": { "l": "w" } })).await),
        (429, "rateLimitExceeded")
    );
    simulator.advance(std::time::Duration::from_secs(1)).unwrap();
    let (_, patched) = json.patch(&at, json!({ "metadata": { "l": "w", "k": null } })).await;
    assert_eq!(patched["metadata"], json!({ "l": "w" }));
    assert_eq!(patched["generation"], json!(generation));
    assert_eq!(json.delete(&format!("{at}?ifGenerationMatch=1")).await.0, 412);
    assert_eq!(json.delete(&format!("{at}?generation=1")).await.0, 404);
    assert_eq!(json.delete(&format!("{at}?ifMetagenerationMatch=3")).await.0, 204);
    assert_eq!(reason(&json.delete(&at).await), (404, "notFound"));
}

#[tokio::test]
async fn lists_go_from_to_and_page_by_page() {
    let simulator = simulator();
    let json = Json::new(&simulator);
    for name in ["a", "b/1", "b/2", "b/c/3", "d", "e"] {
        json.put(name, "x").await;
    }
    let names = |value: &Value, key: &str| -> Vec<String> {
        let found = value[key].as_array().into_iter().flatten();
        found.map(|one| one["name"].as_str().or(one.as_str()).unwrap().to_owned()).collect()
    };
    let (_, all) = json.get(&format!("/{BUCKET}/o?delimiter=/")).await;
    assert_eq!(
        (names(&all, "items"), names(&all, "prefixes")),
        (vec!["a".into(), "d".into(), "e".into()], vec!["b/".into()])
    );
    let (_, some) = json.get(&format!("/{BUCKET}/o?startOffset=b/2&endOffset=e")).await;
    assert_eq!(names(&some, "items"), ["b/2", "b/c/3", "d"]);
    let (mut token, mut found) = (String::new(), Vec::new());
    for _ in 0..5 {
        let (_, page) = json.get(&format!("/{BUCKET}/o?delimiter=/&maxResults=1&pageToken={token}")).await;
        found.extend([names(&page, "items"), names(&page, "prefixes")].concat());
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, ["a", "b/", "d", "e"]);
    let (_, beneath) = json.get(&format!("/{BUCKET}/o?prefix=b/&delimiter=/")).await;
    assert_eq!((names(&beneath, "items").len(), names(&beneath, "prefixes")), (2, vec!["b/c/".to_owned()]));
    assert_eq!(json.get(&format!("/{BUCKET}/o?matchGlob=*")).await.0, 501);
}

#[tokio::test]
async fn composing_and_rewriting_make_new_objects() {
    let simulator = simulator();
    let json = Json::new(&simulator);
    let first = json.put("1", "abc").await;
    json.put("2", "def").await;
    let compose = |generation: &str| {
        json!({ "sourceObjects": [{ "name": "1", "objectPreconditions": { "ifGenerationMatch": generation } }, { "name": "2" }],
            "destination": { "contentType": "x/y" } })
    };
    let stale = json.post(&format!("/{BUCKET}/o/whole/compose"), compose("5")).await;
    assert_eq!(reason(&stale), (412, "conditionNotMet"));
    let (status, whole) =
        json.post(&format!("/{BUCKET}/o/whole/compose?ifGenerationMatch=0"), compose(&first)).await;
    assert_eq!(status, 200, "{whole}");
    assert_eq!(
        (&whole["componentCount"], &whole["md5Hash"], &whole["size"]),
        (&json!(2), &Value::Null, &json!("6"))
    );
    assert_eq!(json.post(&format!("/{BUCKET}/o/n/compose"), json!({ "sourceObjects": [] })).await.0, 400);
    let rewrite = format!("/{BUCKET}/o/whole/rewriteTo/b/{BUCKET}/o/copied%2Fto");
    let (_, done) = json.post(&rewrite, json!({ "storageClass": "NEARLINE" })).await;
    assert_eq!((&done["done"], &done["resource"]["contentType"]), (&json!(true), &json!("x/y")));
    assert_eq!(done["resource"]["storageClass"], json!("NEARLINE"));
    let bytes = http().get(done["resource"]["mediaLink"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(bytes.text().await.unwrap(), "abcdef");
    assert_eq!(json.post(&format!("{rewrite}?ifGenerationMatch=0"), json!({})).await.0, 412);
    assert_eq!(json.post(&format!("/{BUCKET}/o/none/rewriteTo/b/{BUCKET}/o/x"), json!({})).await.0, 404);
}

#[tokio::test]
async fn buckets_say_where_they_are_and_what_they_are_set_to() {
    let simulator = simulator_with(&json!({
        "encryption": { "defaultKmsKeyName": "projects/p/k" },
        "iamConfiguration": { "uniformBucketLevelAccess": { "enabled": true }, "publicAccessPrevention": "enforced" },
    }));
    let json = Json::new(&simulator);
    let (_, found) = json.get(&format!("/{BUCKET}")).await;
    assert_eq!((&found["location"], &found["locationType"]), (&json!("EUROPE-WEST3"), &json!("region")));
    assert_eq!(found["encryption"]["defaultKmsKeyName"], json!("projects/p/k"));
    assert_eq!(found["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"], json!(true));
    assert_eq!(found["iamConfiguration"]["publicAccessPrevention"], json!("enforced"));
    assert_eq!(found["softDeletePolicy"]["retentionDurationSeconds"], json!("604800"));
    let made = json!({ "name": "two-places", "location": "EU", "customPlacementConfig": { "dataLocations": ["europe-west1", "europe-west4"] } });
    let (_, dual) = json.post("?project=other", made).await;
    assert_eq!((&dual["locationType"], &dual["location"]), (&json!("dual-region"), &json!("EU")));
    assert_ne!(dual["projectNumber"], found["projectNumber"]);
    let (_, listed) = json.get("?project=other").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(reason(&json.post("?project=p", json!({ "name": BUCKET })).await), (409, "conflict"));
    assert_eq!(json.post("?project=p", json!({ "name": "Upper" })).await.0, 400);
    assert_eq!(json.patch(&format!("/{BUCKET}"), json!({ "website": {} })).await.0, 501);
    json.put("a", "1").await;
    assert_eq!(reason(&json.delete(&format!("/{BUCKET}")).await), (409, "conflict"));
    json.delete(&format!("/{BUCKET}/o/a")).await;
    assert_eq!(json.delete(&format!("/{BUCKET}")).await.0, 204);
    assert_eq!(reason(&json.get(&format!("/{BUCKET}")).await), (404, "notFound"));
}
