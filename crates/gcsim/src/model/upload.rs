//! Uploads under way: XML multipart uploads and JSON resumable sessions.
//!
//! "XML API multipart uploads" (cloud.google.com/storage/docs/multipart-uploads) and "Resumable uploads"
//! (cloud.google.com/storage/docs/resumable-uploads). Promise: what was answered as received survives this process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::object::{About, ObjectRetention};
use super::preconditions::Preconditions;
use crate::hashes::Hashes;
use crate::moment::Moment;
use crate::rights::Credential;

/// A part of a multipart upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) blob: u64,
    pub(crate) size: u64,
    pub(crate) md5: [u8; 16],
    pub(crate) stored: Moment,
}

/// A multipart upload that was neither completed nor aborted. It never expires, by the page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) bucket: String,
    pub(crate) name: String,
    pub(crate) about: About,
    pub(crate) started: Moment,
    pub(crate) parts: BTreeMap<u32, Part>,
}

/// What a writer asks for besides the bytes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Wishes {
    pub(crate) about: About,
    pub(crate) preconditions: Preconditions,
    pub(crate) hashes: Hashes,
    pub(crate) temporary_hold: bool,
    /// Absent: as the bucket's default says.
    pub(crate) event_based_hold: Option<bool>,
    pub(crate) retention: Option<ObjectRetention>,
}

/// A resumable upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) bucket: String,
    pub(crate) name: String,
    /// Who started it; absent: it may do everything.
    pub(crate) who: Option<Credential>,
    pub(crate) wishes: Wishes,
    pub(crate) started: Moment,
    /// Blobs of the chunks so far, with their lengths.
    pub(crate) chunks: Vec<(u64, u64)>,
    /// The generation it became.
    pub(crate) finished: Option<u64>,
}

impl Session {
    pub(crate) fn received(&self) -> u64 {
        self.chunks.iter().map(|(_, length)| length).sum()
    }
}
