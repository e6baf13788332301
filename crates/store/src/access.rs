//! How a bucket is reached: everything about a region beyond its name and URL. Files are named, never their content.
//!
//! Promises: holds no secret, so it may stand in settings, in a plan file and in a report; what does not belong to the kind of
//! place is refused by name when the region is opened. Does not do: reading the files.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Options of a region. All may be left out: credentials are then found as the provider's own tools find them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// File with credentials: of Google (`service_account`, `authorized_user`), a shared credentials file of AWS, or TOML for Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// Section of AWS's file; `default` where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Where the service answers, when not at the provider's own address: `https://host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// PEM file with certificates that are believed besides the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Proxy for every call: `http://host:port`. Else the environment decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Storage class of new objects, in the provider's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Key of the provider's key management that new objects are sealed with on its side (Google: the key's whole name).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Google: the project that pays for requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_project: Option<String>,
    /// S3: the region that requests are signed for, such as `eu-central-1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_region: Option<String>,
    /// Azure: the storage account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Access {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether two regions with these URLs lie in one place: one bucket's name is another bucket at another address or account.
    #[must_use]
    pub fn is_same_place(&self, url: &str, other: &Self, other_url: &str) -> bool {
        let here = |url: &str| url.trim_end_matches('/').to_owned();
        here(url) == here(other_url) && self.endpoint == other.endpoint && self.account == other.account
    }

    /// The names of options that are given and not among `known`, which are those that mean something here.
    pub(crate) fn beyond(&self, known: &[&str]) -> Vec<&'static str> {
        self.given().into_iter().filter(|name| !known.contains(name)).collect()
    }

    fn given(&self) -> Vec<&'static str> {
        let Self {
            credentials_file,
            profile,
            endpoint,
            ca_file,
            proxy,
            storage_class,
            kms_key,
            user_project,
            aws_region,
            account,
        } = self;
        let all = [
            ("credentials_file", credentials_file.is_some()),
            ("profile", profile.is_some()),
            ("endpoint", endpoint.is_some()),
            ("ca_file", ca_file.is_some()),
            ("proxy", proxy.is_some()),
            ("storage_class", storage_class.is_some()),
            ("kms_key", kms_key.is_some()),
            ("user_project", user_project.is_some()),
            ("aws_region", aws_region.is_some()),
            ("account", account.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_at_two_addresses_is_two_places() {
        let at = |endpoint: &str| Access { endpoint: Some(endpoint.into()), ..Access::default() };
        assert!(at("https://a").is_same_place("s3://b/pg/", &at("https://a"), "s3://b/pg"));
        assert!(!at("https://a").is_same_place("s3://b/pg", &at("https://c"), "s3://b/pg"));
        assert!(!at("https://a").is_same_place("s3://b/pg", &at("https://a"), "s3://b/other"));
    }

    #[test]
    fn what_is_given_and_not_known_is_named() {
        let access = Access { profile: Some("x".into()), account: Some("y".into()), ..Access::default() };
        assert_eq!(access.beyond(&["account"]), ["profile"]);
        assert!(Access::default().is_empty() && Access::default().beyond(&[]).is_empty());
    }
}
