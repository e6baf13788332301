//! A version of an object and what is known of it.
//!
//! Promise: everything that an answer says of an object is here, and all of it is journaled. Deliberately no bytes: they are a
//! blob, named by its number.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// What a writer says of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) content_type: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) storage_class: Option<String>,
    pub(crate) kms_key: Option<String>,
    pub(crate) custom_time: Option<Moment>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What kind of version this is.
///
/// "Object Versioning" (cloud.google.com/storage/docs/object-versioning) and "Soft delete" (.../soft-delete).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Live,
    Noncurrent { since: Moment },
    SoftDeleted { since: Moment, until: Moment },
}

/// "Object Retention Lock" (cloud.google.com/storage/docs/object-lock).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectRetention {
    pub(crate) locked: bool,
    pub(crate) until: Moment,
}

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) generation: u64,
    pub(crate) metageneration: u64,
    pub(crate) blob: u64,
    pub(crate) size: u64,
    pub(crate) crc32c: u32,
    /// Absent on composed objects and on those from XML multipart uploads: "XML API multipart uploads" says no MD5 exists.
    pub(crate) md5: Option<[u8; 16]>,
    /// How many components a composed object has.
    pub(crate) components: Option<u64>,
    pub(crate) about: About,
    pub(crate) created: Moment,
    pub(crate) updated: Moment,
    pub(crate) state: State,
    pub(crate) temporary_hold: bool,
    pub(crate) event_based_hold: bool,
    /// From when a bucket's retention period counts: creation, or the release of an event-based hold.
    pub(crate) retained_from: Moment,
    pub(crate) retention: Option<ObjectRetention>,
}

impl Version {
    /// As headers carry it, with quotation marks: the MD5 where there is one.
    ///
    /// "HTTP headers and common query string parameters for XML" (cloud.google.com/storage/docs/xml-api/reference-headers#etag)
    /// says that an ETag is the MD5 in the cases it names and otherwise nothing to interpret.
    pub(crate) fn etag(&self) -> String {
        let inner = self.md5.map_or_else(|| format!("-{}", self.json_etag()), |md5| hex(&md5));
        format!("\"{inner}\"")
    }

    /// As a JSON resource carries it: changes with every change of metadata too.
    pub(crate) fn json_etag(&self) -> String {
        STANDARD.encode([self.generation.to_be_bytes(), self.metageneration.to_be_bytes()].concat())
    }

    pub(crate) fn crc32c_base64(&self) -> String {
        STANDARD.encode(self.crc32c.to_be_bytes())
    }

    pub(crate) fn md5_base64(&self) -> Option<String> {
        self.md5.map(|md5| STANDARD.encode(md5))
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state == State::Live
    }

    pub(crate) fn is_soft_deleted(&self) -> bool {
        matches!(self.state, State::SoftDeleted { .. })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
