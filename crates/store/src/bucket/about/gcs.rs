//! Google: "Buckets: get" and "Buckets: testIamPermissions" of the JSON API
//! (<https://cloud.google.com/storage/docs/json_api/v1/buckets>).
//!
//! The first needs `storage.buckets.get`, the second nothing. Permissions given under a condition on objects' names are not seen by a
//! question about the bucket (<https://cloud.google.com/iam/docs/conditions-overview>; *assumed* for `testIamPermissions`).

use super::rules::Lifecycle;
use super::{
    About, Answer, Location, LocationKind, Lock, NotTold, Service, Told, Versions, request, send, told,
};
use async_trait::async_trait;
use object_store::client::HttpClient;
use object_store::gcp::GcpCredential;
use object_store::{CredentialProvider, HeaderValue, Result};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What is asked about: what a writer needs, and what nobody should have who takes a database host.
const ASKED: [&str; 11] = [
    "storage.objects.create",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.delete",
    "storage.objects.update",
    "storage.objects.setIamPolicy",
    "storage.objects.overrideUnlockedRetention",
    "storage.buckets.get",
    "storage.buckets.update",
    "storage.buckets.delete",
    "storage.buckets.setIamPolicy",
];

/// Predefined pairs ("Bucket locations", cloud.google.com/storage/docs/locations). Pairs of one's own say what they are made of.
const PAIRS: [(&str, [&str; 2]); 6] = [
    ("asia1", ["asia-northeast1", "asia-northeast2"]),
    ("eur4", ["europe-north1", "europe-west4"]),
    ("eur5", ["europe-west1", "europe-west2"]),
    ("eur7", ["europe-west2", "europe-west3"]),
    ("eur8", ["europe-west3", "europe-west6"]),
    ("nam4", ["us-central1", "us-east1"]),
];

/// A bucket of Google.
#[derive(Debug)]
pub(in crate::bucket) struct Google {
    pub(in crate::bucket) client: HttpClient,
    pub(in crate::bucket) credentials: Arc<dyn CredentialProvider<Credential = GcpCredential>>,
    /// Without a slash at its end.
    pub(in crate::bucket) base: String,
    pub(in crate::bucket) bucket: String,
    /// What names begin with; empty or with a slash at its end.
    pub(in crate::bucket) prefix: String,
}

#[async_trait]
impl Service for Google {
    fn questions(&self) -> Vec<String> {
        let bucket = format!("/storage/v1/b/{}", self.bucket);
        let asked: Vec<String> = ASKED.iter().map(|one| format!("permissions={one}")).collect();
        vec![
            format!("{bucket}?projection=noAcl"),
            format!("{bucket}/iam/testPermissions?{}", asked.join("&")),
        ]
    }

    async fn ask(&self, question: &str) -> Result<Answer> {
        let mut request = request(&format!("{}{question}", self.base))?;
        let credential = self.credentials.get_credential().await?;
        if !credential.bearer.is_empty() {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", credential.bearer))
                .map_err(|_secret| super::failed("the token cannot be sent"))?;
            bearer.set_sensitive(true);
            request.headers_mut().insert("authorization", bearer);
        }
        send(&self.client, request).await
    }

    fn read(&self, answers: &[Told<Answer>]) -> About {
        let resource = told(answers.first()).and_then(json);
        let rights = told(answers.get(1)).and_then(json).map(|value| {
            let had = value["permissions"].as_array().into_iter().flatten();
            had.filter_map(Value::as_str).map(str::to_owned).collect()
        });
        let of = |read: fn(&Value) -> Told<Option<Duration>>| resource.clone().and_then(|value| read(&value));
        let rules = resource.clone().map(|value| Lifecycle::of_google(&value, &self.prefix));
        About {
            bucket: self.bucket.clone(),
            location: resource.clone().and_then(|value| location(&value)),
            owner: resource.clone().and_then(|value| {
                let number = value["projectNumber"].as_str().ok_or_else(|| missing("projectNumber"))?;
                Ok(format!("project {number}"))
            }),
            lock: resource.clone().and_then(|value| lock(&value)),
            holds_new_objects: resource.clone().map(|value| value["defaultEventBasedHold"] == true),
            versions: resource.clone().and_then(|value| match value["versioning"]["enabled"] == true {
                true => rules.clone().map(|rules| rules.kept()),
                false => Ok(Versions::Off),
            }),
            soft_delete: of(soft_delete),
            deletes_by_itself: rules.map(|rules| rules.deletes_current),
            rights,
        }
    }
}

fn json(answer: &Answer) -> Told<Value> {
    serde_json::from_slice(&answer.body)
        .map_err(|_odd| NotTold("the service's answer cannot be read".to_owned()))
}

fn missing(field: &str) -> NotTold {
    NotTold(format!("the service's answer has no {field}"))
}

/// A number that the JSON API writes as a text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn location(value: &Value) -> Told<Location> {
    let name = value["location"].as_str().ok_or_else(|| missing("location"))?.to_lowercase();
    let kind = match value["locationType"].as_str() {
        Some("region" | "zone") => LocationKind::Region,
        Some("dual-region") => LocationKind::DualRegion,
        Some("multi-region") => LocationKind::MultiRegion,
        _ => return Err(missing("locationType that is known here")),
    };
    let own = value["customPlacementConfig"]["dataLocations"].as_array();
    let own = own.map(|all| all.iter().filter_map(Value::as_str).map(str::to_lowercase).collect());
    let regions = match (kind, own) {
        (LocationKind::Region, _) => vec![name.clone()],
        (_, Some(own)) => own,
        (_, None) => {
            let pair = PAIRS.iter().find(|(pair, _)| *pair == name);
            pair.map(|(_, of)| of.map(str::to_owned).to_vec()).unwrap_or_default()
        }
    };
    Ok(Location { name, kind, regions })
}

fn lock(value: &Value) -> Told<Option<Lock>> {
    let policy = &value["retentionPolicy"];
    if policy.is_null() {
        return Ok(None);
    }
    let seconds = number(&policy["retentionPeriod"]).ok_or_else(|| missing("retentionPeriod"))?;
    Ok(Some(Lock { period: Duration::from_secs(seconds), is_final: policy["isLocked"] == true }))
}

/// A bucket that says nothing has none ("Soft delete", cloud.google.com/storage/docs/soft-delete: a new one says so).
fn soft_delete(value: &Value) -> Told<Option<Duration>> {
    let policy = &value["softDeletePolicy"];
    if policy.is_null() {
        return Ok(None);
    }
    let seconds = number(&policy["retentionDurationSeconds"]);
    let seconds = seconds.ok_or_else(|| missing("retentionDurationSeconds"))?;
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}
