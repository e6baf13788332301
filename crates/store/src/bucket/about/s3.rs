//! S3: `GetBucketLocation`, `GetObjectLockConfiguration`, `GetBucketVersioning`, `GetBucketLifecycleConfiguration`, and one object's owner
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html>).
//!
//! Each needs a right of its own, and what is refused is not told. Whose the bucket is follows from whose its objects are: by
//! default the bucket's owner's. What a login may do cannot be asked.

use super::rules::{Lifecycle, between};
use super::{
    About, Answer, Location, LocationKind, Lock, NotTold, Service, Told, Versions, days, request, send, told,
};
use async_trait::async_trait;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpClient;
use object_store::{CredentialProvider, Result};
use std::sync::Arc;

/// A bucket of S3 or of what is compatible.
#[derive(Debug)]
pub(in crate::bucket) struct Amazon {
    pub(in crate::bucket) client: HttpClient,
    pub(in crate::bucket) credentials: Arc<dyn CredentialProvider<Credential = AwsCredential>>,
    /// With the bucket, without a slash at its end.
    pub(in crate::bucket) base: String,
    pub(in crate::bucket) bucket: String,
    /// What names begin with; empty or with a slash at its end.
    pub(in crate::bucket) prefix: String,
    /// What requests are signed for.
    pub(in crate::bucket) region: String,
}

#[async_trait]
impl Service for Amazon {
    fn questions(&self) -> Vec<String> {
        let prefix: String = url::form_urlencoded::byte_serialize(self.prefix.as_bytes()).collect();
        let owner = format!("?fetch-owner=true&list-type=2&max-keys=1&prefix={prefix}");
        ["?location", "?object-lock", "?versioning", "?lifecycle"]
            .map(str::to_owned)
            .into_iter()
            .chain([owner])
            .collect()
    }

    async fn ask(&self, question: &str) -> Result<Answer> {
        let mut request = request(&format!("{}{question}", self.base))?;
        let credential = self.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        send(&self.client, request).await
    }

    fn read(&self, answers: &[Told<Answer>]) -> About {
        let [location, lock, versioning, lifecycle, owner] = [0, 1, 2, 3, 4].map(|at| answers.get(at));
        let rules = lifecycle_of(lifecycle, &self.prefix);
        About {
            bucket: self.bucket.clone(),
            location: told(location).map(|answer| place(&answer.text())),
            owner: told(owner).and_then(|answer| {
                let id = between(&answer.text(), "<ID>", "</ID>").map(str::to_owned);
                let id = id.filter(|id| !id.is_empty());
                id.map(|id| format!("account {id}"))
                    .ok_or_else(|| NotTold("no object says whose it is".into()))
            }),
            lock: lock_of(lock),
            holds_new_objects: Ok(false),
            versions: told(versioning).and_then(|answer| {
                // Suspended keeps what was kept before.
                match answer.text().contains("<Status>") {
                    true => rules.clone().map(|rules| rules.kept()),
                    false => Ok(Versions::Off),
                }
            }),
            soft_delete: Ok(None),
            deletes_by_itself: rules.map(|rules| rules.deletes_current),
            rights: Err(NotTold("S3 answers no question about rights".to_owned())),
        }
    }
}

/// Nothing stands for the first region that there was, and `EU` for the first one in Europe.
fn place(xml: &str) -> Location {
    let inside = xml.split_once("<LocationConstraint").and_then(|(_, rest)| rest.split_once('>'));
    let name =
        inside.and_then(|(_, rest)| rest.split_once('<')).map(|(name, _)| name.trim()).unwrap_or_default();
    let name = match name {
        "" => "us-east-1".to_owned(),
        "EU" => "eu-west-1".to_owned(),
        name => name.to_lowercase(),
    };
    Location { regions: vec![name.clone()], name, kind: LocationKind::Region }
}

/// A bucket without a lock answers 404 `ObjectLockConfigurationNotFoundError`.
fn lock_of(answer: Option<&Told<Answer>>) -> Told<Option<Lock>> {
    if answer.is_some_and(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 404)) {
        return Ok(None);
    }
    let xml = told(answer)?.text().into_owned();
    let Some(rule) = between(&xml, "<DefaultRetention>", "</DefaultRetention>") else { return Ok(None) };
    let count = |from, to| between(rule, from, to).and_then(|text| text.trim().parse::<u64>().ok());
    // A year of a lock is 365 days (*assumed*: the page does not say).
    let period =
        count("<Days>", "</Days>").or_else(|| Some(count("<Years>", "</Years>")?.saturating_mul(365)));
    let period = period.ok_or_else(|| NotTold("the lock's period cannot be read".to_owned()))?;
    Ok(Some(Lock { period: days(period), is_final: rule.contains("<Mode>COMPLIANCE</Mode>") }))
}

/// A bucket without rules answers 404 `NoSuchLifecycleConfiguration`.
fn lifecycle_of(answer: Option<&Told<Answer>>, prefix: &str) -> Told<Lifecycle> {
    match answer {
        Some(Ok(answer)) if answer.status == 404 => Ok(Lifecycle::default()),
        answer => told(answer).map(|answer| Lifecycle::of_s3(&answer.text(), prefix)),
    }
}
