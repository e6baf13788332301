//! What keeps objects: retention and its lock, holds, versions, soft delete, retention of an object's own.

use std::time::Duration;

use serde_json::json;

use crate::support::{BUCKET, Json, driver, reason, simulator, simulator_with};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn retention_forbids_deleting_and_replacing_until_its_time() {
    use object_store::ObjectStoreExt as _;

    let simulator = simulator_with(&json!({ "retentionPolicy": { "retentionPeriod": "3600" } }));
    simulator.rate_limit(false).unwrap();
    let json = Json::new(&simulator);
    json.put("a", "1").await;
    let at = format!("/{BUCKET}/o/a");
    let (_, found) = json.get(&at).await;
    assert!(found["retentionExpirationTime"].is_string());
    assert_eq!(reason(&json.delete(&at).await), (403, "retentionPolicyNotMet"));
    assert_eq!(reason(&json.upload("a", "", "2").await), (403, "retentionPolicyNotMet"));
    let by_xml = driver(&simulator).delete(&"a".into()).await.unwrap_err();
    assert!(matches!(by_xml, object_store::Error::PermissionDenied { .. }), "{by_xml}");
    // Its metadata may change, and that does not start the time anew.
    assert_eq!(json.patch(&at, json!({ "metadata": { "k": "v" } })).await.0, 200);
    simulator.advance(HOUR - Duration::from_secs(5)).unwrap();
    assert_eq!(json.delete(&at).await.0, 403);
    simulator.advance(Duration::from_secs(6)).unwrap();
    assert_eq!(json.upload("a", "", "2").await.0, 200);
    assert_eq!(json.delete(&at).await.0, 403);
}

#[tokio::test]
async fn a_lock_can_be_made_longer_and_never_shorter() {
    let simulator = simulator_with(&json!({ "retentionPolicy": { "retentionPeriod": "3600" } }));
    let json = Json::new(&simulator);
    let bucket = format!("/{BUCKET}");
    let lock =
        |metageneration: u64| format!("{bucket}/lockRetentionPolicy?ifMetagenerationMatch={metageneration}");
    assert_eq!(json.post(&format!("{bucket}/lockRetentionPolicy"), json!({})).await.0, 400);
    assert_eq!(reason(&json.post(&lock(7), json!({})).await), (412, "conditionNotMet"));
    let (status, locked) = json.post(&lock(1), json!({})).await;
    assert_eq!((status, &locked["retentionPolicy"]["isLocked"]), (200, &json!(true)));
    for shorter in
        [json!({ "retentionPolicy": null }), json!({ "retentionPolicy": { "retentionPeriod": "3599" } })]
    {
        assert_eq!(json.patch(&bucket, shorter).await.0, 403);
    }
    let longer = json!({ "retentionPolicy": { "retentionPeriod": "7200" } });
    let (status, longer) = json.patch(&bucket, longer).await;
    assert_eq!((status, &longer["retentionPolicy"]["isLocked"]), (200, &json!(true)));
    json.put("a", "1").await;
    simulator.advance(HOUR).unwrap();
    assert_eq!(json.delete(&format!("{bucket}/o/a")).await.0, 403);
    assert_eq!(json.delete(&bucket).await.0, 409);
    simulator.advance(HOUR).unwrap();
    assert_eq!(json.delete(&format!("{bucket}/o/a")).await.0, 204);
}

#[tokio::test]
async fn holds_forbid_and_releasing_an_event_based_one_starts_retention() {
    let simulator = simulator_with(&json!({
        "retentionPolicy": { "retentionPeriod": "3600" }, "defaultEventBasedHold": true,
    }));
    simulator.rate_limit(false).unwrap();
    let json = Json::new(&simulator);
    json.put("a", "1").await;
    let at = format!("/{BUCKET}/o/a");
    let (_, found) = json.get(&at).await;
    assert_eq!((&found["eventBasedHold"], &found["retentionExpirationTime"]), (&json!(true), &json!(null)));
    simulator.advance(HOUR * 2).unwrap();
    assert_eq!(reason(&json.delete(&at).await), (403, "objectUnderActiveHold"));
    assert_eq!(reason(&json.upload("a", "", "2").await), (403, "objectUnderActiveHold"));
    json.patch(&at, json!({ "eventBasedHold": false, "temporaryHold": true })).await;
    simulator.advance(HOUR * 2).unwrap();
    assert_eq!(reason(&json.delete(&at).await), (403, "objectUnderActiveHold"));
    json.patch(&at, json!({ "eventBasedHold": true })).await;
    json.patch(&at, json!({ "eventBasedHold": false, "temporaryHold": false })).await;
    assert_eq!(reason(&json.delete(&at).await), (403, "retentionPolicyNotMet"));
    simulator.advance(HOUR).unwrap();
    assert_eq!(json.delete(&at).await.0, 204);
}

#[tokio::test]
async fn versions_are_kept_listed_read_and_deleted_one_by_one() {
    let simulator = simulator_with(&json!({ "versioning": { "enabled": true }, "softDeletePolicy": {} }));
    simulator.rate_limit(false).unwrap();
    let json = Json::new(&simulator);
    let first = json.put("a", "1").await;
    let second = json.put("a", "2").await;
    assert_eq!(json.delete(&format!("/{BUCKET}/o/a")).await.0, 204);
    assert_eq!(json.get(&format!("/{BUCKET}/o/a")).await.0, 404);
    assert_eq!(json.get(&format!("/{BUCKET}/o")).await.1["items"], json!(null));
    let (_, listed) = json.get(&format!("/{BUCKET}/o?versions=true")).await;
    let listed = listed["items"].as_array().unwrap();
    let generations: Vec<_> = listed.iter().map(|one| one["generation"].as_str().unwrap()).collect();
    assert_eq!(generations, [&first, &second]);
    assert!(listed.iter().all(|one| one["timeDeleted"].is_string()));
    assert_eq!(json.get(&format!("/{BUCKET}/o/a?generation={first}")).await.0, 200);
    assert_eq!(json.delete(&format!("/{BUCKET}/o/a?generation={first}")).await.0, 204);
    assert_eq!(json.get(&format!("/{BUCKET}/o/a?generation={first}")).await.0, 404);
    // Creating works: no live version is there.
    assert_eq!(json.upload("a", "&ifGenerationMatch=0", "3").await.0, 200);
    assert_eq!(json.get(&format!("/{BUCKET}/o/a?generation={second}")).await.0, 200);
}

#[tokio::test]
async fn an_objects_retention_protects_what_versioning_keeps() {
    let simulator = simulator_with(&json!({ "versioning": { "enabled": true } }));
    simulator.rate_limit(false).unwrap();
    let json = Json::new(&simulator);
    let first = json.put("a", "1").await;
    let retention = json!({ "retention": { "mode": "Unlocked", "retainUntilTime": "2099-01-01T00:00:00Z" } });
    assert_eq!(json.patch(&format!("/{BUCKET}/o/a"), retention).await.0, 200);
    assert_eq!(json.upload("a", "", "2").await.0, 200);
    let one = format!("/{BUCKET}/o/a?generation={first}");
    assert_eq!(reason(&json.delete(&one).await), (403, "retentionPolicyNotMet"));
    assert_eq!(json.delete(&format!("/{BUCKET}/o/a")).await.0, 204);
    simulator.advance(HOUR * 24 * 366 * 100).unwrap();
    assert_eq!(json.delete(&one).await.0, 204);
}

#[tokio::test]
async fn versioning_and_a_retention_policy_exclude_each_other() {
    let policy = json!({ "retentionPolicy": { "retentionPeriod": "3600" } });
    let versioning = json!({ "versioning": { "enabled": true } });
    for (first, then) in [(&policy, &versioning), (&versioning, &policy)] {
        let simulator = simulator_with(first);
        let json = Json::new(&simulator);
        assert_eq!(json.patch(&format!("/{BUCKET}"), then.clone()).await.0, 400);
        let (_, found) = json.get(&format!("/{BUCKET}")).await;
        assert_ne!(found["versioning"]["enabled"].as_bool().unwrap(), found["retentionPolicy"].is_object());
    }
}

#[tokio::test]
async fn what_is_deleted_can_be_restored_for_a_week() {
    let simulator = simulator();
    simulator.rate_limit(false).unwrap();
    let json = Json::new(&simulator);
    let generation = json.put("a", "old").await;
    json.put("a", "new").await;
    json.delete(&format!("/{BUCKET}/o/a")).await;
    assert_eq!(json.get(&format!("/{BUCKET}/o?versions=true")).await.1["items"], json!(null));
    let (_, listed) = json.get(&format!("/{BUCKET}/o?softDeleted=true")).await;
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed[0]["softDeleteTime"].is_string() && listed[0]["hardDeleteTime"].is_string());
    assert_eq!(json.get(&format!("/{BUCKET}/o/a?generation={generation}")).await.0, 404);
    let soft = format!("/{BUCKET}/o/a?generation={generation}&softDeleted=true");
    assert_eq!(json.get(&soft).await.0, 200);
    assert_eq!(json.post(&format!("/{BUCKET}/o/a/restore?generation=5"), json!({})).await.0, 404);
    let (status, back) =
        json.post(&format!("/{BUCKET}/o/a/restore?generation={generation}"), json!({})).await;
    assert_eq!(status, 200, "{back}");
    assert_ne!(back["generation"], json!(generation));
    let read = crate::support::http().get(back["mediaLink"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(read.text().await.unwrap(), "old");
    simulator.advance(HOUR * 24 * 7).unwrap();
    assert_eq!(json.get(&soft).await.0, 404);
    assert_eq!(json.get(&format!("/{BUCKET}/o?softDeleted=true")).await.1["items"], json!(null));
}

#[tokio::test]
async fn an_objects_own_retention_is_kept_and_locked() {
    let simulator = simulator_with(&json!({}));
    simulator.rate_limit(false).unwrap();
    let json = Json::new(&simulator);
    json.put("a", "1").await;
    let at = format!("/{BUCKET}/o/a");
    let retain = |mode: &str, until: &str| json!({ "retention": { "mode": mode, "retainUntilTime": until } });
    assert_eq!(json.patch(&at, retain("Unlocked", "2001-01-01T00:00:00Z")).await.0, 400);
    let (status, kept) = json.patch(&at, retain("Unlocked", "2099-01-02T00:00:00Z")).await;
    assert_eq!((status, &kept["retention"]["mode"]), (200, &json!("Unlocked")));
    assert_eq!(kept["retentionExpirationTime"], json!("2099-01-02T00:00:00.000Z"));
    assert_eq!(reason(&json.delete(&at).await), (403, "retentionPolicyNotMet"));
    assert_eq!(json.patch(&at, json!({ "retention": null })).await.0, 403);
    let freely = format!("{at}?overrideUnlockedRetention=true");
    assert_eq!(json.patch(&freely, retain("Unlocked", "2099-01-01T00:00:00Z")).await.0, 200);
    assert_eq!(json.patch(&at, json!({ "eventBasedHold": true })).await.0, 400);
    assert_eq!(json.patch(&at, retain("Locked", "2099-01-01T00:00:00Z")).await.0, 403);
    assert_eq!(json.patch(&freely, retain("Locked", "2099-01-01T00:00:00Z")).await.0, 200);
    for weaker in [
        json!({ "retention": null }),
        retain("Locked", "2098-01-01T00:00:00Z"),
        retain("Unlocked", "2099-01-01T00:00:00Z"),
    ] {
        assert_eq!(json.patch(&freely, weaker).await.0, 403);
    }
    assert_eq!(json.patch(&at, retain("Locked", "2099-02-01T00:00:00Z")).await.0, 200);
}
