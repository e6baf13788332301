//! The steps of XML multipart uploads.
//!
//! "XML API multipart uploads" (cloud.google.com/storage/docs/multipart-uploads) and "Quotas & limits" (cloud.google.com/storage/quotas): parts
//! 1 to 10,000, each but the last at least 5 MiB when the upload is completed; a part sent again replaces the earlier one;
//! completing replaces what has the name; no preconditions; no MD5. Rights by "IAM permissions for XML methods":
//! `storage.multipartUploads.create` and `storage.objects.create` to start, to send and to complete (and `.delete` where
//! completing replaces), `.abort`, `.listParts`, `.list`. *Assumed*: a completed upload is unknown afterwards (404).

use std::collections::HashMap;

use super::object::About;
use super::upload::{Part, Upload};
use super::{Change, Payload, Target, Version, Wishes, World};
use crate::hashes::Hashes;
use crate::refusal::Refusal;
use crate::rights::Who;

const SMALLEST_PART: u64 = 5 * 1024 * 1024;
const MOST_PARTS: u32 = 10_000;

impl World {
    /// # Errors
    /// 403, 404.
    pub(crate) fn start_upload(&mut self, target: Target<'_>, about: About) -> Result<String, Refusal> {
        self.bucket(target.bucket)?;
        target.need("storage.multipartUploads.create")?;
        target.need("storage.objects.create")?;
        let now = self.now();
        let id = self.new_id(target.name);
        let upload = Upload {
            id: id.clone(),
            bucket: target.bucket.to_owned(),
            name: target.name.to_owned(),
            about,
            started: now,
            parts: std::collections::BTreeMap::new(),
        };
        // Taken from the same row as generations, so that no two ids are alike, before and after a restart.
        self.last_generation = self.next_generation();
        self.commit(vec![Change::Upload(Box::new(upload))])?;
        Ok(id)
    }

    /// An id that no upload had before.
    pub(super) fn new_id(&self, name: &str) -> String {
        format!("{:x}-{:08x}", self.next_generation(), crc32c::crc32c(name.as_bytes()))
    }

    /// # Errors
    /// 404.
    pub(crate) fn upload(&self, target: Target<'_>, id: &str) -> Result<&Upload, Refusal> {
        self.bucket(target.bucket)?;
        let found = self.uploads.get(id);
        let found = found.filter(|upload| upload.bucket == target.bucket && upload.name == target.name);
        found.ok_or_else(Refusal::no_such_upload)
    }

    /// Takes a part; its ETag is the MD5.
    ///
    /// # Errors
    /// 400, 403, 404. The part's blob is removed then.
    pub(crate) fn put_part(
        &mut self,
        target: Target<'_>,
        id: &str,
        number: u32,
        payload: Payload,
    ) -> Result<[u8; 16], Refusal> {
        let result = self.try_put_part(target, id, number, payload);
        if result.is_err() {
            self.blobs.remove(payload.blob);
        }
        result
    }

    fn try_put_part(
        &mut self,
        target: Target<'_>,
        id: &str,
        number: u32,
        payload: Payload,
    ) -> Result<[u8; 16], Refusal> {
        target.need("storage.multipartUploads.create")?;
        target.need("storage.objects.create")?;
        if !(1..=MOST_PARTS).contains(&number) {
            return Err(Refusal::invalid("Part number must be an integer between 1 and 10000, inclusive."));
        }
        let mut upload = self.upload(target, id)?.clone();
        let md5 = payload.md5.unwrap_or_default();
        let part = Part { blob: payload.blob, size: payload.size, md5, stored: self.now() };
        let replaced = upload.parts.insert(number, part);
        self.commit(vec![Change::Upload(Box::new(upload))])?;
        if let Some(replaced) = replaced {
            self.blobs.remove(replaced.blob);
        }
        Ok(md5)
    }

    /// Puts the named parts together; what was sent and is not named goes.
    ///
    /// # Errors
    /// 400 for parts that are unknown, in the wrong order or too small; 403, 404, 429.
    pub(crate) fn complete_upload(
        &mut self,
        target: Target<'_>,
        id: &str,
        named: &[(u32, [u8; 16])],
    ) -> Result<Version, Refusal> {
        target.need("storage.multipartUploads.create")?;
        let upload = self.upload(target, id)?.clone();
        if named.is_empty() {
            return Err(Refusal::new(400, "MalformedMultipartUpload", "invalid", "No parts were named."));
        }
        if !named.is_sorted_by(|(left, _), (right, _)| left < right) {
            let message = "The list of parts was not in ascending order.";
            return Err(Refusal::new(400, "InvalidPartOrder", "invalid", message));
        }
        let mut pieces = Vec::new();
        for (at, (number, md5)) in named.iter().enumerate() {
            let part = upload.parts.get(number).filter(|part| part.md5 == *md5).ok_or_else(|| {
                let message = format!("Part {number} was not found or its ETag does not match.");
                Refusal::new(400, "InvalidPart", "invalid", message)
            })?;
            if at + 1 < named.len() && part.size < SMALLEST_PART {
                let message = format!("Part {number} is smaller than the minimum allowed size.");
                return Err(Refusal::new(400, "EntityTooSmall", "invalid", message));
            }
            pieces.push(self.blobs.whole(part.blob)?);
        }
        let wishes = Wishes { about: upload.about, ..Wishes::default() };
        self.may_put(target, &wishes)?;
        let payload = Payload {
            blob: self.blobs.put(&pieces)?,
            size: pieces.iter().map(|piece| piece.len() as u64).sum(),
            crc32c: Hashes::of(&pieces).crc32c.unwrap_or(0),
            md5: None,
            components: None,
        };
        self.put_and(target, payload, wishes, &|_| vec![Change::UploadGone(id.to_owned())])
    }

    /// # Errors
    /// 403, 404.
    pub(crate) fn abort_upload(&mut self, target: Target<'_>, id: &str) -> Result<(), Refusal> {
        target.need("storage.multipartUploads.abort")?;
        self.upload(target, id)?;
        self.commit(vec![Change::UploadGone(id.to_owned())])
    }

    /// Uploads under way in a bucket, by name.
    ///
    /// # Errors
    /// 403, 404.
    pub(crate) fn uploads_of(&self, who: &Who, bucket: &str, prefix: &str) -> Result<Vec<&Upload>, Refusal> {
        self.bucket(bucket)?;
        who.need("storage.multipartUploads.list", bucket, None)?;
        let found = self.uploads.values();
        let found = found.filter(|upload| upload.bucket == bucket && upload.name.starts_with(prefix));
        let mut found: Vec<&Upload> = found.collect();
        found.sort_by(|left, right| (&left.name, &left.id).cmp(&(&right.name, &right.id)));
        Ok(found)
    }

    /// How many uploads and sessions each bucket has under way.
    pub(crate) fn under_way(&self) -> HashMap<String, usize> {
        let sessions = self.sessions.values().filter(|session| session.finished.is_none());
        let buckets = self.uploads.values().map(|upload| &upload.bucket);
        let mut found = HashMap::new();
        for bucket in buckets.chain(sessions.map(|session| &session.bucket)) {
            *found.entry(bucket.clone()).or_default() += 1;
        }
        found
    }
}
