//! A bucket's settings.
//!
//! Promise: every setting that is accepted is enforced or only reported by the real service too (location, storage class, key
//! name, labels, lifecycle). Deliberately no access lists and no IAM policy: rights are by token, see `rights`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// "Bucket Lock" (cloud.google.com/storage/docs/bucket-lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetentionPolicy {
    pub(crate) seconds: u64,
    pub(crate) effective: Moment,
    pub(crate) locked: bool,
}

/// "Soft delete" (cloud.google.com/storage/docs/soft-delete). No seconds: off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SoftDelete {
    pub(crate) seconds: u64,
    pub(crate) effective: Moment,
}

/// What soft delete keeps in a bucket that says nothing: 7 days, by the same page.
pub(crate) const SOFT_DELETE_DEFAULT: u64 = 7 * 24 * 3600;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) project: String,
    pub(crate) project_number: u64,
    pub(crate) location: String,
    pub(crate) location_type: String,
    pub(crate) data_locations: Vec<String>,
    pub(crate) storage_class: String,
    pub(crate) created: Moment,
    pub(crate) updated: Moment,
    pub(crate) metageneration: u64,
    pub(crate) versioning: bool,
    pub(crate) retention: Option<RetentionPolicy>,
    pub(crate) soft_delete: SoftDelete,
    pub(crate) default_event_based_hold: bool,
    pub(crate) uniform_access: Option<Moment>,
    pub(crate) public_access_prevention: String,
    pub(crate) default_kms_key: Option<String>,
    /// Whether objects may have a retention of their own; cannot be switched off again.
    pub(crate) object_retention: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) lifecycle: Option<serde_json::Value>,
    pub(crate) rpo: Option<String>,
}

impl Bucket {
    pub(crate) fn new(name: &str, project: &str, location: &str, now: Moment) -> Self {
        let location = location.to_uppercase();
        Self {
            name: name.to_owned(),
            project: project.to_owned(),
            project_number: project_number(project),
            location_type: location_type(&location).to_owned(),
            location,
            data_locations: Vec::new(),
            storage_class: "STANDARD".to_owned(),
            created: now,
            updated: now,
            metageneration: 1,
            versioning: false,
            retention: None,
            soft_delete: SoftDelete { seconds: SOFT_DELETE_DEFAULT, effective: now },
            default_event_based_hold: false,
            uniform_access: None,
            public_access_prevention: "inherited".to_owned(),
            default_kms_key: None,
            object_retention: false,
            labels: BTreeMap::new(),
            lifecycle: None,
            rpo: None,
        }
    }
}

/// "Bucket locations" (cloud.google.com/storage/docs/locations): US, EU, ASIA are multi-regions; NAM4, EUR4, EUR5, EUR7,
/// EUR8, ASIA1 and pairs within a continent (which are asked for with two data locations) are dual-regions.
fn location_type(location: &str) -> &'static str {
    match location {
        "US" | "EU" | "ASIA" => "multi-region",
        "NAM4" | "EUR4" | "EUR5" | "EUR7" | "EUR8" | "ASIA1" => "dual-region",
        _ => "region",
    }
}

/// A number for a project's name, always the same one (*assumed*: the real one is the service's to give).
fn project_number(project: &str) -> u64 {
    100_000_000_000 + u64::from(crc32c::crc32c(project.as_bytes()))
}
