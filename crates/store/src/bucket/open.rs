//! From a URL to a driver.
//!
//! Promises: an option that means nothing for this kind of place is refused by name; nothing is asked of the service yet.
//! Does not do: reading settings.

use super::about::Service;
use super::{Bucket, Lists, azure, gcs, s3};
use crate::access::Access;
use crate::local::Expect;
use crate::world::World;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// Schemes that are buckets.
pub(crate) const SCHEMES: [&str; 3] = ["gs", "s3", "az"];

/// Why a bucket cannot be used as it was given.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The URL lacks a part or has one too many.
    #[error("{url:?} {why}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Options that mean nothing here.
    #[error("{} {} nothing for {scheme}://", .options.join(", "), if .options.len() == 1 { "means" } else { "mean" })]
    Options {
        /// Which.
        options: Vec<&'static str>,
        /// The place's scheme.
        scheme: String,
    },
    /// An endpoint that cannot be used.
    #[error("the endpoint {endpoint} cannot be used: {why}")]
    Endpoint {
        /// Its host.
        endpoint: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A proxy that cannot be used.
    #[error("the proxy cannot be used: {why}")]
    Proxy {
        /// What is wrong.
        why: &'static str,
    },
    /// A file that cannot be used.
    #[error("{} cannot be used: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong; never what stands in it.
        why: String,
    },
    /// The driver refuses.
    #[error("the driver refuses what it was given")]
    Driver {
        /// Its words.
        source: object_store::Error,
    },
}

impl From<object_store::Error> for BucketError {
    fn from(source: object_store::Error) -> Self {
        Self::Driver { source }
    }
}

/// A bucket, and whom to ask about it.
#[derive(Debug)]
pub(crate) struct Opened {
    /// For objects.
    pub(crate) bucket: Bucket,
    /// For the bucket itself.
    pub(crate) service: Arc<dyn Service>,
}

/// Opens the bucket that `url` names.
pub(crate) fn open(url: &Url, access: &Access, expect: Expect, world: &World) -> Result<Opened, BucketError> {
    let bad = |why| BucketError::Url { url: without_secrets(url), why };
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a query or a fragment; options are settings of the region"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.port().is_some() {
        return Err(bad("has a user, a password or a port; write scheme://bucket/prefix"));
    }
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty());
    let bucket = bucket.ok_or_else(|| bad("names no bucket; write scheme://bucket/prefix"))?;
    let prefix =
        Path::from_url_path(url.path()).map_err(|_odd| bad("has a prefix that no object can have"))?;
    crate::name::parse_prefix(prefix.as_ref())
        .map_err(|_odd| bad("has a prefix that not every driver can keep"))?;
    let known = match url.scheme() {
        "gs" => gcs::OPTIONS,
        "s3" => s3::OPTIONS,
        _ => azure::OPTIONS,
    };
    let options = access.beyond(known);
    if !options.is_empty() {
        return Err(BucketError::Options { options, scheme: url.scheme().to_owned() });
    }
    let prefix = Some(prefix).filter(|prefix| !prefix.as_ref().is_empty());
    let driven = match url.scheme() {
        "gs" => gcs::driver(bucket, access, prefix, world),
        "s3" => s3::driver(bucket, access, prefix),
        _ => azure::driver(bucket, access, prefix),
    };
    let Driven { driver, service } = driven?;
    let lists = match (url.scheme(), &access.endpoint) {
        ("s3", Some(_)) => Lists::SomeHow,
        _ => Lists::InOrder,
    };
    let place = url.as_str().trim_end_matches('/');
    let bucket = Bucket::new(driver, place, access.storage_class.clone(), expect, lists);
    Ok(Opened { bucket, service })
}

/// The two halves of what a service is used for.
#[derive(Debug)]
pub(super) struct Driven {
    /// Objects, seen from the prefix.
    pub(super) driver: Arc<dyn ObjectStore>,
    /// The bucket itself.
    pub(super) service: Arc<dyn Service>,
}

/// The driver, seen from its prefix.
pub(super) fn beneath<S: ObjectStore>(driver: S, prefix: Option<Path>) -> Arc<dyn ObjectStore> {
    match prefix {
        Some(prefix) => Arc::new(PrefixStore::new(driver, prefix)),
        None => Arc::new(driver),
    }
}

/// What names in the bucket begin with, seen from no prefix.
pub(super) fn names_begin(prefix: Option<&Path>) -> String {
    prefix.map(|prefix| format!("{prefix}/")).unwrap_or_default()
}

fn without_secrets(url: &Url) -> String {
    let mut bare = url.clone();
    // Both fail only for URLs that cannot have a user at all.
    let _none = bare.set_password(None);
    let _none = bare.set_username("");
    bare.set_query(None);
    bare.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, access: &Access) -> String {
        open(&Url::parse(url).unwrap(), access, Expect::Repository, &World::system()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_place_is_refused_without_repeating_secrets() {
        let plain = Access::default();
        assert!(refusal("gs:///pg", &plain).contains("names no bucket"));
        assert!(refusal("gs://bucket/pg?sig=abc", &plain).contains("has a query"));
        let said = refusal("s3://key:hidden@bucket/pg", &plain);
        assert!(said.contains("has a user") && !said.contains("hidden"), "{said}");
        assert!(refusal("gs://bucket/.hidden/pg", &plain).contains("has a prefix"));
    }

    #[test]
    fn an_option_of_another_kind_of_place_is_refused_by_name() {
        let access = Access {
            account: Some("a".into()),
            profile: Some("p".into()),
            endpoint: Some("http://127.0.0.1:1".into()),
            ..Access::default()
        };
        assert_eq!(refusal("gs://bucket/pg", &access), "profile, account mean nothing for gs://");
        let access =
            Access { user_project: Some("p".into()), account: Some("a".into()), ..Access::default() };
        assert_eq!(refusal("az://bucket/pg", &access), "user_project means nothing for az://");
    }
}
