//! What a service tells of a bucket and of the login's rights in it: where it lies, whose it is, what keeps bytes there.
//!
//! Promises: only questions are asked, nothing is changed; what the service did not tell says why, and is never taken for "none".
//! A service has two halves: [`Service::questions`] and [`Service::ask`] send, [`Service::read`] is pure and makes one [`About`] of the
//! answers, each of which may be missing. Does not do: judging what was told; retries (the region has them).

pub(super) mod azure;
pub(super) mod gcs;
mod rules;
pub(super) mod s3;

use crate::error::StoreError;
use async_trait::async_trait;
use bytes::Bytes;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::{HeaderMap, Result};
use serde::Serialize;
use std::time::Duration;

/// An answer longer than this is none.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why something is not known, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{0}")]
pub struct NotTold(pub String);

/// The cause alone: one outage is one reason, whatever was asked.
impl From<&StoreError> for NotTold {
    fn from(error: &StoreError) -> Self {
        Self(std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string))
    }
}

/// What was told, or why it was not.
pub type Told<T> = std::result::Result<T, NotTold>;

/// How a service calls a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocationKind {
    /// One region.
    Region,
    /// Two regions, each with a copy of everything.
    DualRegion,
    /// Several, of which the service chooses.
    MultiRegion,
}

/// Where a bucket's bytes lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The service's name for it, in small letters.
    pub name: String,
    /// What kind of place that is.
    pub kind: LocationKind,
    /// The single regions that it is made of, as far as they are known; the name itself for a region.
    pub regions: Vec<String>,
}

/// What keeps objects from being deleted for some time after they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// How long after an object was made.
    pub period: Duration,
    /// Whether nobody can take it away or shorten it any more.
    pub is_final: bool,
}

/// What becomes of an object that is deleted or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Versions {
    /// It is gone.
    Off,
    /// It stays as an older version for so long; for ever where nothing takes it away.
    Kept(Option<Duration>),
}

/// What a service tells of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// The bucket or container.
    pub bucket: String,
    /// Where it lies.
    pub location: Told<Location>,
    /// Whose it is, with the service's word for it: `project 123`, `account acme`.
    pub owner: Told<String>,
    /// What keeps objects from being deleted; none where nothing does.
    pub lock: Told<Option<Lock>>,
    /// Whether every new object is held until somebody lets it go.
    pub holds_new_objects: Told<bool>,
    /// What becomes of deleted objects.
    pub versions: Told<Versions>,
    /// How long deleted objects can be brought back; none where they cannot.
    pub soft_delete: Told<Option<Duration>>,
    /// Rules of the bucket that delete objects by themselves, in words.
    pub deletes_by_itself: Told<Vec<String>>,
    /// Of the rights that were asked about, those that this login has; told by Google only.
    pub rights: Told<Vec<String>>,
}

/// An answer that is no refusal: what was asked for, or that it is not there.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// A bucket's service, as far as it is asked about the bucket itself.
#[async_trait]
pub(crate) trait Service: std::fmt::Debug + Send + Sync {
    /// What is asked, as paths with queries, in the order in which [`Self::read`] takes the answers.
    fn questions(&self) -> Vec<String>;

    /// Asks once, with the login of the driver.
    async fn ask(&self, question: &str) -> Result<Answer>;

    /// What the answers come to.
    fn read(&self, answers: &[Told<Answer>]) -> About;
}

/// A `GET` without a body, not signed yet.
fn request(url: &str) -> Result<HttpRequest> {
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = url.parse().map_err(failed)?;
    Ok(request)
}

/// Sends it. Refusals are told apart by the client beneath; "not there" comes back as an answer.
async fn send(client: &HttpClient, request: HttpRequest) -> Result<Answer> {
    let (parts, body) = client.execute(request).await.map_err(failed)?.into_parts();
    let body = body.bytes().await.map_err(failed)?;
    if body.len() > ANSWER_BYTES_MAX {
        return Err(failed("the service's answer is longer than such an answer can be"));
    }
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "bucket", source: source.into() }
}

/// The answer, if it is one that tells.
fn told(answer: Option<&Told<Answer>>) -> Told<&Answer> {
    match answer {
        Some(Ok(answer)) if answer.status < 300 => Ok(answer),
        Some(Ok(answer)) => Err(NotTold(format!("the service answered {}", answer.status))),
        Some(Err(why)) => Err(why.clone()),
        None => Err(NotTold("it was not asked".to_owned())),
    }
}

const DAY: u64 = 24 * 3600;

fn days(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(DAY))
}

#[cfg(test)]
mod tests;
