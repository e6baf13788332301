//! Making, changing, locking, listing and deleting buckets.
//!
//! "Buckets" (cloud.google.com/storage/docs/json_api/v1/buckets) and its methods; "Bucket Lock" (.../bucket-lock): a locked policy can be
//! made longer, never shorter, and never be removed, which is refused as a missing permission is; "Object Versioning"
//! (.../object-versioning): it cannot be enabled where there is a retention policy; "Soft delete" (.../soft-delete): off, or 7 to 90 days. Rights:
//! `storage.buckets.get`, `.list`, `.create`, `.update`, `.delete` ("IAM permissions for JSON methods").
//!
//! *Assumed*: that there can be no retention policy where versioning is on either; that locking without a policy is 400. Not simulated: the limit on the rate
//! of bucket changes.

use serde_json::{Map, Value};

use super::{Bucket, Change, RetentionPolicy, SoftDelete, World};
use crate::moment::Moment;
use crate::refusal::Refusal;
use crate::rights::Who;

/// A hundred years, the longest retention of "Bucket Lock".
const LONGEST_RETENTION: u64 = 3_155_760_000;
const DAY: u64 = 24 * 3600;

/// Fields of a bucket resource, as they were sent.
pub(crate) struct BucketChange<'a>(pub(crate) &'a Map<String, Value>);

/// What the service says of a bucket and nobody sets.
const OUTPUT_ONLY: [&str; 13] = [
    "kind",
    "id",
    "name",
    "selfLink",
    "projectNumber",
    "metageneration",
    "generation",
    "timeCreated",
    "updated",
    "etag",
    "locationType",
    "satisfiesPZS",
    "satisfiesPZI",
];

impl BucketChange<'_> {
    /// # Errors
    /// 400 for what is malformed, 403 for what a lock forbids, 501 for what is not simulated.
    pub(crate) fn apply(&self, bucket: &mut Bucket, now: Moment) -> Result<(), Refusal> {
        for (key, value) in self.0 {
            match key.as_str() {
                "versioning" => bucket.versioning = truth(value, "enabled")?,
                "retentionPolicy" => retention(bucket, value, now)?,
                "softDeletePolicy" => soft_delete(bucket, value, now)?,
                "defaultEventBasedHold" => bucket.default_event_based_hold = value.as_bool().unwrap_or(false),
                "iamConfiguration" => access(bucket, value, now)?,
                "encryption" => bucket.default_kms_key = text(&value["defaultKmsKeyName"]),
                "labels" => labels(bucket, value),
                "lifecycle" => bucket.lifecycle = Some(value.clone()).filter(|value| !value.is_null()),
                "storageClass" => bucket.storage_class = text(value).unwrap_or_default().to_uppercase(),
                "rpo" => bucket.rpo = text(value),
                "location" | "customPlacementConfig" => {}
                "objectRetention" if text(&value["mode"]).as_deref() == Some("Enabled") => {
                    bucket.object_retention = true;
                }
                known if OUTPUT_ONLY.contains(&known) => {}
                other => return Err(Refusal::not_simulated(&format!("the field {other} of a bucket"))),
            }
        }
        if bucket.versioning && bucket.retention.is_some() {
            return Err(Refusal::invalid("Object Versioning and a retention policy exclude each other."));
        }
        Ok(())
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn truth(value: &Value, key: &str) -> Result<bool, Refusal> {
    match &value[key] {
        Value::Bool(truth) => Ok(*truth),
        Value::Null => Ok(false),
        _ => Err(Refusal::invalid(format!("Invalid value for {key}."))),
    }
}

/// Numbers that JSON carries as text, or as numbers.
pub(crate) fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn retention(bucket: &mut Bucket, value: &Value, now: Moment) -> Result<(), Refusal> {
    let locked = bucket.retention.filter(|policy| policy.locked);
    let forbidden = |what: &str| {
        let message = format!("Cannot {what} a locked Retention Policy for bucket '{}'.", bucket.name);
        Err(Refusal::new(403, "AccessDenied", "forbidden", message))
    };
    let seconds = match &value["retentionPeriod"] {
        Value::Null => None,
        period => Some(whole_number(period).ok_or_else(|| Refusal::invalid("Invalid retentionPeriod."))?),
    };
    let Some(seconds) = seconds.filter(|seconds| *seconds > 0) else {
        if locked.is_some() {
            return forbidden("remove");
        }
        bucket.retention = None;
        return Ok(());
    };
    if seconds > LONGEST_RETENTION {
        return Err(Refusal::invalid("The retention period is longer than 100 years."));
    }
    if locked.is_some_and(|policy| seconds < policy.seconds) {
        return forbidden("reduce retention duration of");
    }
    bucket.retention = Some(RetentionPolicy { seconds, effective: now, locked: locked.is_some() });
    Ok(())
}

fn soft_delete(bucket: &mut Bucket, value: &Value, now: Moment) -> Result<(), Refusal> {
    let seconds = whole_number(&value["retentionDurationSeconds"]).unwrap_or(0);
    if seconds != 0 && !(7 * DAY..=90 * DAY).contains(&seconds) {
        return Err(Refusal::invalid("Soft delete retention must be 0 or between 7 and 90 days."));
    }
    bucket.soft_delete = SoftDelete { seconds, effective: now };
    Ok(())
}

fn access(bucket: &mut Bucket, value: &Value, now: Moment) -> Result<(), Refusal> {
    if !value["uniformBucketLevelAccess"].is_null() {
        let enabled = truth(&value["uniformBucketLevelAccess"], "enabled")?;
        bucket.uniform_access = enabled.then(|| bucket.uniform_access.unwrap_or(now));
    }
    match value["publicAccessPrevention"].as_str() {
        None => {}
        Some("unspecified") => "inherited".clone_into(&mut bucket.public_access_prevention),
        Some(known @ ("inherited" | "enforced")) => known.clone_into(&mut bucket.public_access_prevention),
        Some(_) => return Err(Refusal::invalid("Invalid publicAccessPrevention.")),
    }
    Ok(())
}

fn labels(bucket: &mut Bucket, value: &Value) {
    match value.as_object() {
        None => bucket.labels.clear(),
        Some(fields) => {
            for (key, value) in fields {
                match text(value) {
                    Some(value) => drop(bucket.labels.insert(key.clone(), value)),
                    None => drop(bucket.labels.remove(key)),
                }
            }
        }
    }
}

impl World {
    /// # Errors
    /// 400, 403, 409.
    pub(crate) fn insert_bucket(
        &mut self,
        who: &Who,
        project: &str,
        fields: &Map<String, Value>,
        object_retention: bool,
    ) -> Result<Bucket, Refusal> {
        let name = fields.get("name").and_then(Value::as_str).ok_or_else(|| Refusal::required("name"))?;
        who.need("storage.buckets.create", name, None)?;
        if !is_bucket_name(name) {
            return Err(Refusal::new(
                400,
                "InvalidBucketName",
                "invalid",
                format!("Invalid bucket name: '{name}'"),
            ));
        }
        if self.buckets.contains_key(name) {
            let message =
                "Your previous request to create the named bucket succeeded and you already own it.";
            return Err(Refusal::new(409, "BucketAlreadyOwnedByYou", "conflict", message));
        }
        let location = fields.get("location").and_then(Value::as_str).unwrap_or("US");
        let now = self.now();
        let mut bucket = Bucket::new(name, project, location, now);
        let placement =
            fields.get("customPlacementConfig").and_then(|config| config["dataLocations"].as_array());
        if let Some(locations) = placement {
            bucket.data_locations = locations.iter().filter_map(text).map(|one| one.to_uppercase()).collect();
            "dual-region".clone_into(&mut bucket.location_type);
        }
        bucket.object_retention = object_retention;
        BucketChange(fields).apply(&mut bucket, now)?;
        self.commit(vec![Change::Bucket(Box::new(bucket.clone()))])?;
        Ok(bucket)
    }

    /// # Errors
    /// 400, 403, 404, 412.
    pub(crate) fn patch_bucket(
        &mut self,
        who: &Who,
        name: &str,
        metageneration: Option<u64>,
        change: &BucketChange<'_>,
    ) -> Result<Bucket, Refusal> {
        let mut bucket = self.bucket(name)?.clone();
        who.need("storage.buckets.update", name, None)?;
        if metageneration.is_some_and(|wanted| wanted != bucket.metageneration) {
            return Err(Refusal::precondition_failed());
        }
        let now = self.now();
        change.apply(&mut bucket, now)?;
        self.changed_bucket(bucket, now)
    }

    fn changed_bucket(&mut self, mut bucket: Bucket, now: Moment) -> Result<Bucket, Refusal> {
        bucket.metageneration += 1;
        bucket.updated = now;
        self.commit(vec![Change::Bucket(Box::new(bucket.clone()))])?;
        Ok(bucket)
    }

    /// For good: nothing takes a lock away.
    ///
    /// # Errors
    /// 400, 403, 404, 412.
    pub(crate) fn lock_bucket(
        &mut self,
        who: &Who,
        name: &str,
        metageneration: u64,
    ) -> Result<Bucket, Refusal> {
        let mut bucket = self.bucket(name)?.clone();
        who.need("storage.buckets.update", name, None)?;
        if metageneration != bucket.metageneration {
            return Err(Refusal::precondition_failed());
        }
        let policy = bucket.retention.as_mut();
        policy.ok_or_else(|| Refusal::invalid("The bucket has no retention policy to lock."))?.locked = true;
        let now = self.now();
        self.changed_bucket(bucket, now)
    }

    /// # Errors
    /// 403.
    pub(crate) fn buckets_of(&self, who: &Who, project: &str, prefix: &str) -> Result<Vec<&Bucket>, Refusal> {
        who.need("storage.buckets.list", "", None)?;
        let buckets = self.buckets.values();
        Ok(buckets.filter(|bucket| bucket.project == project && bucket.name.starts_with(prefix)).collect())
    }

    /// # Errors
    /// 403, 404; 409 while it has a live or noncurrent object, or an upload under way.
    pub(crate) fn delete_bucket(&mut self, who: &Who, name: &str) -> Result<(), Refusal> {
        self.bucket(name)?;
        who.need("storage.buckets.delete", name, None)?;
        let names = self.objects.get(name).into_iter().flat_map(|names| names.values());
        let full = names.flat_map(|versions| versions.values()).any(|version| !version.is_soft_deleted());
        if full || self.under_way().contains_key(name) {
            let message = "The bucket you tried to delete is not empty.";
            return Err(Refusal::new(409, "BucketNotEmpty", "conflict", message));
        }
        let mut changes = Vec::new();
        for (object, versions) in self.objects.get(name).into_iter().flatten() {
            changes.extend(versions.keys().map(|generation| Change::Gone {
                bucket: name.to_owned(),
                name: object.clone(),
                generation: *generation,
            }));
        }
        changes.push(Change::BucketGone(name.to_owned()));
        self.commit(changes)
    }
}

/// "Bucket names" (cloud.google.com/storage/docs/buckets#naming), for names without dots.
fn is_bucket_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.chars().all(inner)
        && edge(name.chars().next())
        && edge(name.chars().next_back())
        && !name.starts_with("goog")
}
