//! Who may do what: each role does its own and is refused the rest by the name of the permission.

use std::collections::BTreeMap;

use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};
use seawall_gcsim::{Credential, Grant, Simulator};
use serde_json::json;

use crate::support::{BUCKET, Json, driver_as, reason, simulator};

fn grant(allow: &[&str], prefix: Option<&str>) -> Grant {
    let allow = allow.iter().map(|one| (*one).to_owned()).collect();
    Grant { allow, bucket: Some(BUCKET.to_owned()), prefix: prefix.map(str::to_owned) }
}

fn with_roles() -> Simulator {
    let simulator = simulator();
    simulator.rate_limit(false).unwrap();
    let person = |name: &str, grants: Vec<Grant>| {
        (name.to_owned(), Credential { name: format!("{name}@project"), grants })
    };
    let known: BTreeMap<String, Credential> = [
        person("creator", vec![grant(&["roles/storage.objectCreator"], None)]),
        person(
            "viewer",
            vec![
                grant(&["roles/storage.objectViewer"], None),
                grant(&["storage.objects.create"], Some("intent/")),
            ],
        ),
        person("pruner", vec![grant(&["storage.objects.delete", "storage.objects.list"], None)]),
        person("owner", vec![grant(&["roles/storage.admin"], None)]),
    ]
    .into();
    simulator.credentials(&known).unwrap();
    simulator
}

#[tokio::test]
async fn a_creator_creates_and_neither_reads_nor_replaces_nor_deletes() {
    let simulator = with_roles();
    let store = driver_as(&simulator, BUCKET, "creator");
    let path = Path::from("a");
    store.put_opts(&path, "1".into(), PutOptions::from(PutMode::Create)).await.unwrap();
    // It is told that the name is taken, not that it may not replace.
    let again = store.put_opts(&path, "2".into(), PutOptions::from(PutMode::Create)).await.unwrap_err();
    assert!(matches!(again, Error::AlreadyExists { .. }), "{again}");
    let refused = [
        ("storage.objects.delete", store.put(&path, "2".into()).await.map(drop)),
        ("storage.objects.delete", store.delete(&path).await),
        ("storage.objects.get", store.get(&path).await.map(drop)),
    ];
    for (permission, result) in refused {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
        let text = format!("{error:?}");
        assert!(text.contains(&format!("creator@project does not have {permission} access")), "{text}");
    }
    // A multipart upload that would replace is refused when it is completed.
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part("x".into()).await.unwrap();
    let refused = format!("{:?}", upload.complete().await.unwrap_err());
    assert!(refused.contains("does not have storage.objects.delete access"), "{refused}");
}

#[tokio::test]
async fn a_right_under_a_prefix_ends_there_and_listing_needs_the_bucket() {
    let simulator = with_roles();
    let viewer = Json::with_token(&simulator, "viewer");
    assert_eq!(viewer.upload("intent/1", "", "x").await.0, 200);
    let elsewhere = viewer.upload("wal/1", "", "x").await;
    assert_eq!(reason(&elsewhere), (403, "forbidden"));
    let message = elsewhere.1["error"]["message"].as_str().unwrap();
    assert!(message.contains("viewer@project does not have storage.objects.create access"), "{message}");
    assert_eq!(viewer.get(&format!("/{BUCKET}/o")).await.0, 200);
    assert_eq!(Json::with_token(&simulator, "creator").get(&format!("/{BUCKET}/o")).await.0, 403);
    let pruner = Json::with_token(&simulator, "pruner");
    assert_eq!(pruner.get(&format!("/{BUCKET}/o/intent%2F1")).await.0, 403);
    assert_eq!(pruner.delete(&format!("/{BUCKET}/o/intent%2F1")).await.0, 204);
}

#[tokio::test]
async fn who_may_not_list_is_not_told_that_something_is_missing() {
    let simulator = with_roles();
    let known = [(
        "reader".to_owned(),
        Credential { name: "reader".to_owned(), grants: vec![grant(&["storage.objects.get"], None)] },
    )];
    simulator.credentials(&known.into()).unwrap();
    let missing = Json::with_token(&simulator, "reader").get(&format!("/{BUCKET}/o/missing")).await;
    assert_eq!(reason(&missing), (403, "forbidden"));
    assert!(missing.1.to_string().contains("storage.objects.list"));
}

#[tokio::test]
async fn strangers_are_unauthorised_and_everybody_may_ask_what_they_may_do() {
    let simulator = with_roles();
    assert_eq!(
        reason(&Json::with_token(&simulator, "stranger").get(&format!("/{BUCKET}")).await),
        (401, "authError")
    );
    let asked =
        "permissions=storage.objects.get&permissions=storage.objects.delete&permissions=storage.objects.list";
    let path = format!("/{BUCKET}/iam/testPermissions?{asked}");
    let (_, viewer) = Json::with_token(&simulator, "viewer").get(&path).await;
    assert_eq!(viewer["permissions"], json!(["storage.objects.get", "storage.objects.list"]));
    let (_, creator) = Json::with_token(&simulator, "creator").get(&path).await;
    assert_eq!(creator["permissions"], json!(null));
    let bucket = format!("/{BUCKET}");
    let patch = json!({ "versioning": { "enabled": true } });
    assert_eq!(Json::with_token(&simulator, "viewer").patch(&bucket, patch.clone()).await.0, 403);
    assert_eq!(Json::with_token(&simulator, "owner").patch(&bucket, patch).await.0, 200);
}

#[tokio::test]
async fn the_rights_that_were_used_are_told_and_those_refused_or_only_asked_about_are_not() {
    let simulator = with_roles();
    let creator = Json::with_token(&simulator, "creator");
    creator.put("a", "1").await;
    assert_eq!(creator.get(&format!("/{BUCKET}/o/a")).await.0, 403);
    let asked = format!("/{BUCKET}/iam/testPermissions?permissions=storage.multipartUploads.create");
    assert_eq!(creator.get(&asked).await.0, 200);
    let used = simulator.rights_used().unwrap();
    assert_eq!(used["creator@project"], ["storage.objects.create".to_owned()].into());
    simulator.forget_rights_used().unwrap();
    assert!(simulator.rights_used().unwrap().is_empty());
}
