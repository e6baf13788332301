//! Who asks and what they may do: bearer tokens, and for each the permissions it has, everywhere, in a bucket, or under a prefix.
//!
//! Which call needs which permission is written where the call is answered, from "IAM permissions for XML methods"
//! (cloud.google.com/storage/docs/access-control/iam-xml) and "IAM permissions for JSON methods" (.../iam-json). What the
//! predefined roles hold is from "IAM roles for Cloud Storage" (cloud.google.com/storage/docs/access-control/iam-roles), as
//! far as this simulator knows the permissions. A grant under a prefix stands for an IAM condition on `resource.name`
//! ("Conditions", cloud.google.com/iam/docs/conditions-overview); listing asks the bucket, so it is not granted by one
//! (*assumed* from the same page: the resource of a list is the bucket).
//!
//! As long as no credential was registered everybody may do everything; afterwards an unknown token is answered 401.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Permissions given together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// `storage.*` permissions and `roles/storage.*` roles.
    pub allow: Vec<String>,
    /// Only in this bucket.
    #[serde(default)]
    pub bucket: Option<String>,
    /// Only on objects whose name begins so.
    #[serde(default)]
    pub prefix: Option<String>,
}

/// A token's owner.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// As error messages name it, an address usually.
    pub name: String,
    /// What it may do.
    pub grants: Vec<Grant>,
}

const OBJECT_VIEWER: &[&str] = &["storage.objects.get", "storage.objects.list"];
const OBJECT_CREATOR: &[&str] = &[
    "storage.objects.create",
    "storage.multipartUploads.create",
    "storage.multipartUploads.abort",
    "storage.multipartUploads.listParts",
];
const OBJECT_USER: &[&str] = &[
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.restore",
    "storage.objects.update",
    "storage.multipartUploads.abort",
    "storage.multipartUploads.create",
    "storage.multipartUploads.list",
    "storage.multipartUploads.listParts",
];
const OBJECT_ADMIN: &[&str] = &["storage.objects.setRetention", "storage.objects.overrideUnlockedRetention"];
const BUCKET_READER: &[&str] =
    &["storage.buckets.get", "storage.objects.list", "storage.multipartUploads.list"];

/// Whether this entry of a grant, a permission or a role, covers the permission.
fn covers(entry: &str, permission: &str) -> bool {
    match entry {
        "roles/storage.admin" => true,
        "roles/storage.objectViewer" => OBJECT_VIEWER.contains(&permission),
        "roles/storage.objectCreator" => OBJECT_CREATOR.contains(&permission),
        "roles/storage.objectUser" => OBJECT_USER.contains(&permission),
        "roles/storage.objectAdmin" => {
            OBJECT_USER.contains(&permission) || OBJECT_ADMIN.contains(&permission)
        }
        "roles/storage.legacyBucketReader" => BUCKET_READER.contains(&permission),
        "roles/storage.bucketViewer" => ["storage.buckets.get", "storage.buckets.list"].contains(&permission),
        _ => entry == permission,
    }
}

const ROLES: [&str; 7] = [
    "roles/storage.admin",
    "roles/storage.objectViewer",
    "roles/storage.objectCreator",
    "roles/storage.objectUser",
    "roles/storage.objectAdmin",
    "roles/storage.legacyBucketReader",
    "roles/storage.bucketViewer",
];

/// # Errors
/// 400: a grant has a role that is not known here, or what is no `storage.*` permission; it would grant nothing, silently.
pub(crate) fn check(known: &Credentials) -> Result<(), Refusal> {
    let grants = known.values().flat_map(|credential| &credential.grants);
    for entry in grants.flat_map(|grant| &grant.allow) {
        if !ROLES.contains(&entry.as_str()) && !entry.starts_with("storage.") {
            return Err(Refusal::invalid(format!("gcsim knows no role or permission {entry}.")));
        }
    }
    Ok(())
}

/// Everybody that is known.
pub(crate) type Credentials = BTreeMap<String, Credential>;

/// Permissions that somebody needed and had, by the credential's name: what least rights are held against.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used(Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>);

impl Used {
    fn note(&self, who: &str, permission: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(who.to_owned()).or_default().insert(permission.to_owned());
    }

    pub(crate) fn all(&self) -> BTreeMap<String, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// Nobody is registered, so everybody may do everything.
    Anybody,
    Known(Credential, Used),
}

impl Who {
    /// # Errors
    /// Somebody is registered, and this token is not theirs.
    pub(crate) fn of(known: &Credentials, token: Option<&str>, used: &Used) -> Result<Self, Refusal> {
        if known.is_empty() {
            return Ok(Self::Anybody);
        }
        let token = token.ok_or_else(Refusal::login_required)?;
        let known = known.get(token).cloned().ok_or_else(Refusal::invalid_credentials)?;
        Ok(Self::Known(known, used.clone()))
    }

    pub(crate) fn may(&self, permission: &str, bucket: &str, name: Option<&str>) -> bool {
        let Self::Known(credential, _) = self else { return true };
        credential.grants.iter().any(|grant| {
            grant.bucket.as_deref().is_none_or(|only| only == bucket)
                && grant.prefix.as_deref().is_none_or(|only| name.is_some_and(|name| name.starts_with(only)))
                && grant.allow.iter().any(|entry| covers(entry, permission))
        })
    }

    /// # Errors
    /// 403 that names the permission.
    pub(crate) fn need(&self, permission: &str, bucket: &str, name: Option<&str>) -> Result<(), Refusal> {
        if self.may(permission, bucket, name) {
            if let Self::Known(credential, used) = self {
                used.note(&credential.name, permission);
            }
            return Ok(());
        }
        let who = match self {
            Self::Anybody => "Anonymous caller",
            Self::Known(credential, _) => &credential.name,
        };
        Err(Refusal::denied(who, permission, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(grants: &[(&str, Option<&str>, Option<&str>)]) -> Who {
        let grants = grants.iter().map(|(allow, bucket, prefix)| Grant {
            allow: vec![(*allow).to_owned()],
            bucket: bucket.map(str::to_owned),
            prefix: prefix.map(str::to_owned),
        });
        let credential = Credential { name: "writer@p".to_owned(), grants: grants.collect() };
        Who::Known(credential, Used::default())
    }

    #[test]
    fn a_grant_ends_at_its_bucket_its_prefix_and_its_permission() {
        let who = who(&[
            ("roles/storage.objectCreator", Some("a"), None),
            ("storage.objects.get", None, Some("x/")),
        ]);
        assert!(who.may("storage.objects.create", "a", Some("n")));
        assert!(!who.may("storage.objects.create", "b", Some("n")));
        assert!(!who.may("storage.objects.delete", "a", Some("n")));
        assert!(who.may("storage.objects.get", "b", Some("x/1")));
        assert!(!who.may("storage.objects.get", "b", Some("y/1")));
        let refusal = who.need("storage.objects.delete", "a", Some("n")).unwrap_err();
        assert!(refusal.said().starts_with("writer@p does not have storage.objects.delete access"));
    }

    #[test]
    fn a_grant_that_would_grant_nothing_is_refused() {
        for (entry, fine) in [
            ("roles/storage.admin", true),
            ("storage.objects.get", true),
            ("roles/storage.objectReader", false),
        ] {
            let Who::Known(credential, _) = who(&[(entry, None, None)]) else { panic!("nobody is known") };
            assert_eq!(check(&[("t".to_owned(), credential)].into()).is_ok(), fine, "{entry}");
        }
    }

    #[test]
    fn strangers_are_refused_once_somebody_is_known() {
        let mut known = Credentials::new();
        let used = Used::default();
        assert!(matches!(Who::of(&known, None, &used), Ok(Who::Anybody)));
        known.insert("t".to_owned(), Credential::default());
        assert_eq!(Who::of(&known, Some("u"), &used).unwrap_err().status, 401);
        assert_eq!(Who::of(&known, None, &used).unwrap_err().reason, "required");
        assert!(matches!(Who::of(&known, Some("t"), &used), Ok(Who::Known(..))));
    }
}
