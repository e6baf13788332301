//! The methods of "Buckets" (cloud.google.com/storage/docs/json_api/v1/buckets).

use serde_json::{Value, json};

use super::fields;
use crate::call::Reply;
use crate::model::{Bucket, BucketChange};
use crate::refusal::Refusal;
use crate::xml::Asked;

/// The resource that describes a bucket.
pub(crate) fn resource(bucket: &Bucket) -> Value {
    let mut value = json!({
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "projectNumber": bucket.project_number.to_string(),
        "metageneration": bucket.metageneration.to_string(),
        "location": bucket.location,
        "locationType": bucket.location_type,
        "storageClass": bucket.storage_class,
        "timeCreated": bucket.created.rfc3339(),
        "updated": bucket.updated.rfc3339(),
        "etag": format!("CA{}=", bucket.metageneration),
        "versioning": { "enabled": bucket.versioning },
        "defaultEventBasedHold": bucket.default_event_based_hold,
        "softDeletePolicy": {
            "retentionDurationSeconds": bucket.soft_delete.seconds.to_string(),
            "effectiveTime": bucket.soft_delete.effective.rfc3339(),
        },
        "iamConfiguration": {
            "publicAccessPrevention": bucket.public_access_prevention,
            "uniformBucketLevelAccess": { "enabled": bucket.uniform_access.is_some() },
        },
    });
    // 90 days: "Uniform bucket-level access" can be switched off again so long.
    if let Some(since) = bucket.uniform_access {
        let until = since.plus_seconds(90 * 24 * 3600).rfc3339();
        value["iamConfiguration"]["uniformBucketLevelAccess"]["lockedTime"] = json!(until);
    }
    if let Some(policy) = &bucket.retention {
        value["retentionPolicy"] = json!({
            "retentionPeriod": policy.seconds.to_string(),
            "effectiveTime": policy.effective.rfc3339(),
        });
        if policy.locked {
            value["retentionPolicy"]["isLocked"] = json!(true);
        }
    }
    if bucket.object_retention {
        value["objectRetention"] = json!({ "mode": "Enabled" });
    }
    if let Some(key) = &bucket.default_kms_key {
        value["encryption"] = json!({ "defaultKmsKeyName": key });
    }
    if !bucket.data_locations.is_empty() {
        value["customPlacementConfig"] = json!({ "dataLocations": bucket.data_locations });
    }
    if !bucket.labels.is_empty() {
        value["labels"] = json!(bucket.labels);
    }
    if let Some(lifecycle) = &bucket.lifecycle {
        value["lifecycle"] = lifecycle.clone();
    }
    if let Some(rpo) = &bucket.rpo {
        value["rpo"] = json!(rpo);
    }
    value
}

pub(crate) fn get(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let world = asked.shared.world();
    let bucket = world.bucket(&asked.route.bucket)?;
    asked.who.need("storage.buckets.get", &bucket.name, None)?;
    if asked.call.number("ifMetagenerationMatch")?.is_some_and(|wanted| wanted != bucket.metageneration) {
        return Err(Refusal::precondition_failed());
    }
    Ok(Reply::json(200, &resource(bucket)))
}

pub(crate) fn list(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let project = asked.call.asked("project").ok_or_else(|| Refusal::required("project"))?;
    let world = asked.shared.world();
    let prefix = asked.call.asked("prefix").unwrap_or_default();
    let items: Vec<Value> = world.buckets_of(asked.who, project, prefix)?.into_iter().map(resource).collect();
    let mut value = json!({ "kind": "storage#buckets" });
    if !items.is_empty() {
        value["items"] = json!(items);
    }
    Ok(Reply::json(200, &value))
}

pub(crate) fn insert(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let project = asked.call.asked("project").ok_or_else(|| Refusal::required("project"))?;
    let retention = asked.call.flag("enableObjectRetention");
    let fields = fields(asked.body)?;
    let bucket = asked.shared.world().insert_bucket(asked.who, project, &fields, retention)?;
    Ok(Reply::json(200, &resource(&bucket)))
}

pub(crate) fn patch(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let fields = fields(asked.body)?;
    let metageneration = asked.call.number("ifMetagenerationMatch")?;
    let mut world = asked.shared.world();
    let bucket =
        world.patch_bucket(asked.who, &asked.route.bucket, metageneration, &BucketChange(&fields))?;
    Ok(Reply::json(200, &resource(&bucket)))
}

pub(crate) fn lock(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    let metageneration = asked.call.number("ifMetagenerationMatch")?;
    let metageneration = metageneration.ok_or_else(|| Refusal::required("ifMetagenerationMatch"))?;
    let bucket = asked.shared.world().lock_bucket(asked.who, &asked.route.bucket, metageneration)?;
    Ok(Reply::json(200, &resource(&bucket)))
}

pub(crate) fn delete(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    asked.shared.world().delete_bucket(asked.who, &asked.route.bucket)?;
    Ok(Reply::new(204))
}

/// "Buckets: testIamPermissions": those of the permissions asked for that the caller has; needs no right itself.
pub(crate) fn test_permissions(asked: &Asked<'_>) -> Result<Reply, Refusal> {
    asked.shared.world().bucket(&asked.route.bucket)?;
    let asked_for = asked.call.query.iter().filter(|(key, _)| key == "permissions").map(|(_, value)| value);
    let had: Vec<&String> =
        asked_for.filter(|permission| asked.who.may(permission, &asked.route.bucket, None)).collect();
    let mut value = json!({ "kind": "storage#testIamPermissionsResponse" });
    if !had.is_empty() {
        value["permissions"] = json!(had);
    }
    Ok(Reply::json(200, &value))
}
