//! What a request is: the operation that counters, prices and faults speak of.
//!
//! Classes are those of "Cloud Storage pricing", Operations (cloud.google.com/storage/pricing#operations-pricing): writing, listing, copying
//! and changing are class A, reading is class B, deleting costs nothing. That aborting an upload and sending chunks of a
//! session already started are free is *assumed* (the page counts requests; a session's chunks are one insert).

use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::call::{Call, decoded};
use crate::refusal::Refusal;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// Reading bytes.
    #[serde(rename = "object.get")]
    ObjectGet,
    /// Reading what is known of an object.
    #[serde(rename = "object.head")]
    ObjectHead,
    /// Writing an object in one request.
    #[serde(rename = "object.put")]
    ObjectPut,
    /// Deleting an object.
    #[serde(rename = "object.delete")]
    ObjectDelete,
    /// Listing objects.
    #[serde(rename = "object.list")]
    ObjectList,
    /// Copying or rewriting.
    #[serde(rename = "object.copy")]
    ObjectCopy,
    /// Changing metadata, holds, retention.
    #[serde(rename = "object.patch")]
    ObjectPatch,
    /// Composing.
    #[serde(rename = "object.compose")]
    ObjectCompose,
    /// Bringing back a soft-deleted object.
    #[serde(rename = "object.restore")]
    ObjectRestore,
    /// Starting a multipart upload.
    #[serde(rename = "upload.start")]
    UploadStart,
    /// A part of one.
    #[serde(rename = "upload.part")]
    UploadPart,
    /// Completing one.
    #[serde(rename = "upload.finish")]
    UploadFinish,
    /// Aborting one.
    #[serde(rename = "upload.abort")]
    UploadAbort,
    /// Listing uploads, or the parts of one.
    #[serde(rename = "upload.list")]
    UploadList,
    /// Starting a resumable session.
    #[serde(rename = "session.start")]
    SessionStart,
    /// A chunk of one, or asking how far it is.
    #[serde(rename = "session.put")]
    SessionPut,
    /// Giving one up.
    #[serde(rename = "session.cancel")]
    SessionCancel,
    /// Reading a bucket's settings.
    #[serde(rename = "bucket.get")]
    BucketGet,
    /// Making a bucket.
    #[serde(rename = "bucket.insert")]
    BucketInsert,
    /// Changing a bucket's settings.
    #[serde(rename = "bucket.patch")]
    BucketPatch,
    /// Listing buckets.
    #[serde(rename = "bucket.list")]
    BucketList,
    /// Locking a retention policy.
    #[serde(rename = "bucket.lock")]
    BucketLock,
    /// Deleting a bucket.
    #[serde(rename = "bucket.delete")]
    BucketDelete,
    /// Asking which permissions the caller has.
    #[serde(rename = "bucket.test")]
    BucketTest,
    /// Anything that is not simulated.
    #[serde(rename = "unknown")]
    Unknown,
}

/// What a request costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// Writing, listing, changing.
    A,
    /// Reading.
    B,
    /// Nothing.
    Free,
}

impl Operation {
    /// Its class of price.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::ObjectGet | Self::ObjectHead | Self::BucketGet | Self::BucketTest => Class::B,
            Self::ObjectDelete
            | Self::UploadAbort
            | Self::SessionPut
            | Self::SessionCancel
            | Self::BucketDelete
            | Self::Unknown => Class::Free,
            _ => Class::A,
        }
    }
}

/// Which of the two APIs was called; errors are written in its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Xml,
    Json,
}

/// A request's address, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) api: Api,
    pub(crate) operation: Operation,
    pub(crate) bucket: String,
    /// The object's name; empty where the bucket is meant.
    pub(crate) name: String,
    /// Where a rewrite goes.
    pub(crate) destination: Option<(String, String)>,
}

impl Route {
    fn new(api: Api, operation: Operation, bucket: &str, name: &str) -> Self {
        Self { api, operation, bucket: bucket.to_owned(), name: name.to_owned(), destination: None }
    }

    /// # Errors
    /// 400: the address is no UTF-8.
    pub(crate) fn of(call: &Call) -> Result<Self, Refusal> {
        let path = call.path.as_str();
        if let Some(rest) = path.strip_prefix("/upload/storage/v1/b/") {
            return upload(call, rest);
        }
        let json = path.strip_prefix("/storage/v1/").or_else(|| path.strip_prefix("/download/storage/v1/"));
        match json {
            Some(rest) => Self::json(call, rest),
            None => Self::xml(call, path),
        }
    }

    fn xml(call: &Call, path: &str) -> Result<Self, Refusal> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (bucket, name) = path.split_once('/').unwrap_or((path, ""));
        let (bucket, name) = (decoded(bucket)?, decoded(name)?);
        let upload = call.asked("uploadId").is_some();
        let uploads = call.asked("uploads").is_some();
        let operation = match (&call.method, name.is_empty()) {
            (&Method::GET, true) if uploads => Operation::UploadList,
            (&Method::GET, true) if !bucket.is_empty() => Operation::ObjectList,
            (&Method::HEAD, true) if !bucket.is_empty() => Operation::BucketGet,
            (&Method::GET, false) if upload => Operation::UploadList,
            (&Method::GET, false) => Operation::ObjectGet,
            (&Method::HEAD, false) => Operation::ObjectHead,
            (&Method::PUT, false) if upload => Operation::UploadPart,
            (&Method::PUT, false) if call.header("x-goog-copy-source").is_some() => Operation::ObjectCopy,
            (&Method::PUT, false) => Operation::ObjectPut,
            (&Method::POST, false) if uploads => Operation::UploadStart,
            (&Method::POST, false) if upload => Operation::UploadFinish,
            (&Method::DELETE, false) if upload => Operation::UploadAbort,
            (&Method::DELETE, false) => Operation::ObjectDelete,
            _ => Operation::Unknown,
        };
        Ok(Self::new(Api::Xml, operation, &bucket, &name))
    }

    fn json(call: &Call, rest: &str) -> Result<Self, Refusal> {
        let segments: Vec<String> = rest.split('/').map(decoded).collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let new = |operation, bucket, name| Self::new(Api::Json, operation, bucket, name);
        let media = call.asked("alt") == Some("media");
        Ok(match (&call.method, segments.as_slice()) {
            (&Method::GET, ["b"]) => new(Operation::BucketList, "", ""),
            (&Method::POST, ["b"]) => new(Operation::BucketInsert, "", ""),
            (&Method::GET, ["b", bucket]) => new(Operation::BucketGet, bucket, ""),
            (&Method::PATCH | &Method::PUT, ["b", bucket]) => new(Operation::BucketPatch, bucket, ""),
            (&Method::DELETE, ["b", bucket]) => new(Operation::BucketDelete, bucket, ""),
            (&Method::POST, ["b", bucket, "lockRetentionPolicy"]) => new(Operation::BucketLock, bucket, ""),
            (&Method::GET, ["b", bucket, "iam", "testPermissions"]) => new(Operation::BucketTest, bucket, ""),
            (&Method::GET, ["b", bucket, "o"]) => new(Operation::ObjectList, bucket, ""),
            (&Method::GET, ["b", bucket, "o", name]) if media => new(Operation::ObjectGet, bucket, name),
            (&Method::GET, ["b", bucket, "o", name]) => new(Operation::ObjectHead, bucket, name),
            (&Method::PATCH | &Method::PUT, ["b", bucket, "o", name]) => {
                new(Operation::ObjectPatch, bucket, name)
            }
            (&Method::DELETE, ["b", bucket, "o", name]) => new(Operation::ObjectDelete, bucket, name),
            (&Method::POST, ["b", bucket, "o", name, "compose"]) => {
                new(Operation::ObjectCompose, bucket, name)
            }
            (&Method::POST, ["b", bucket, "o", name, "restore"]) => {
                new(Operation::ObjectRestore, bucket, name)
            }
            (&Method::POST, ["b", bucket, "o", name, "rewriteTo" | "copyTo", "b", to, "o", as_name]) => {
                Self {
                    destination: Some(((*to).to_owned(), (*as_name).to_owned())),
                    ..new(Operation::ObjectCopy, bucket, name)
                }
            }
            _ => new(Operation::Unknown, "", ""),
        })
    }
}

fn upload(call: &Call, rest: &str) -> Result<Route, Refusal> {
    let bucket = decoded(rest.strip_suffix("/o").unwrap_or(rest))?;
    let session = call.asked("upload_id").is_some();
    let operation = match (&call.method, call.asked("uploadType")) {
        (&Method::PUT, _) if session => Operation::SessionPut,
        (&Method::DELETE, _) if session => Operation::SessionCancel,
        (&Method::POST, Some("resumable")) => Operation::SessionStart,
        (&Method::POST, Some("media" | "multipart")) => Operation::ObjectPut,
        _ => Operation::Unknown,
    };
    Ok(Route::new(Api::Json, operation, &bucket, call.asked("name").unwrap_or_default()))
}
