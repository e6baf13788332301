//! Deleting, and bringing back what was soft-deleted.
//!
//! "Objects: delete" (cloud.google.com/storage/docs/json_api/v1/objects/delete): without a generation the live version goes, and with
//! versioning it becomes noncurrent; with a generation that version goes for good. What is missing is 404. Rights:
//! `storage.objects.delete`. "Objects: restore" (.../objects/restore): a new live version with the old one's metadata; rights
//! `storage.objects.restore`, `.create`, and `.delete` where a live object is replaced.
//!
//! *Assumed*: the soft-deleted version stays as it is after it was restored.

use super::rules::{after_deletion, may_go, not_held};
use super::{At, Change, Payload, Preconditions, State, Target, Version, Wishes, World, version_change};
use crate::refusal::Refusal;

impl World {
    /// # Errors
    /// 403, 404, 412.
    pub(crate) fn delete(
        &mut self,
        target: Target<'_>,
        generation: Option<u64>,
        preconditions: Preconditions,
    ) -> Result<(), Refusal> {
        let bucket = self.bucket(target.bucket)?;
        target.need("storage.objects.delete")?;
        let at = generation.map_or(At::Live, At::Generation);
        let found = self.version(target.bucket, target.name, at)?;
        preconditions.hold_for_write(Some(found))?;
        let now = self.now();
        let state = if bucket.versioning && generation.is_none() {
            not_held(bucket, target.name, found)?;
            Some(State::Noncurrent { since: now })
        } else {
            may_go(bucket, target.name, found, now)?;
            after_deletion(bucket, now)
        };
        let change = match state {
            Some(state) => version_change(target.bucket, target.name, Version { state, ..found.clone() }),
            None => Change::Gone {
                bucket: target.bucket.to_owned(),
                name: target.name.to_owned(),
                generation: found.generation,
            },
        };
        self.commit(vec![change])
    }

    /// # Errors
    /// 403, 404, 412, 429.
    pub(crate) fn restore(
        &mut self,
        target: Target<'_>,
        generation: u64,
        preconditions: Preconditions,
    ) -> Result<Version, Refusal> {
        self.bucket(target.bucket)?;
        target.need("storage.objects.restore")?;
        let found = self.version(target.bucket, target.name, At::SoftDeleted(generation))?.clone();
        let wishes = Wishes {
            about: found.about,
            preconditions,
            temporary_hold: found.temporary_hold,
            event_based_hold: Some(found.event_based_hold),
            ..Wishes::default()
        };
        self.may_put(target, &wishes)?;
        let payload = Payload {
            blob: self.blobs.copy(found.blob)?,
            size: found.size,
            crc32c: found.crc32c,
            md5: found.md5,
            components: found.components,
        };
        self.put(target, payload, wishes)
    }
}
