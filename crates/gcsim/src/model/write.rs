//! Giving a name new bytes: uploads, copies, compositions and restores all end here.
//!
//! Rights: `storage.objects.create`, and `storage.objects.delete` where a live object is replaced ("IAM permissions for XML
//! methods", footnote on replacing); `storage.objects.setRetention` where a retention comes along. *Assumed*: preconditions
//! are asked before the right to replace, so that who may only create and asks for generation 0 is told 412.
//!
//! With versioning a version under a retention of its own may be replaced, because it stays as a noncurrent one that the
//! retention still protects ("Object Retention Lock"); one under a hold may not ("Object holds": cannot be deleted or replaced).

use super::rules::{after_deletion, may_go, not_held};
use super::{Bucket, Change, State, Version, Wishes, World, version_change};
use crate::moment::Moment;
use crate::refusal::Refusal;
use crate::rights::Who;

/// Bytes that are stored already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload {
    pub(crate) blob: u64,
    pub(crate) size: u64,
    pub(crate) crc32c: u32,
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) components: Option<u64>,
}

/// Which name is meant, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) who: &'a Who,
    pub(crate) bucket: &'a str,
    pub(crate) name: &'a str,
}

impl Target<'_> {
    /// # Errors
    /// 403 naming the permission.
    pub(crate) fn need(&self, permission: &str) -> Result<(), Refusal> {
        self.who.need(permission, self.bucket, Some(self.name))
    }
}

impl World {
    /// What must be so before bytes are taken at all.
    ///
    /// # Errors
    /// No such bucket, a name that none may have, a missing right, a condition that already does not hold.
    pub(crate) fn may_put(&self, target: Target<'_>, wishes: &Wishes) -> Result<(), Refusal> {
        let bucket = self.bucket(target.bucket)?;
        check_name(target.name)?;
        target.need("storage.objects.create")?;
        let live = self.live(target.bucket, target.name);
        wishes.preconditions.hold_for_write(live)?;
        if wishes.retention.is_some() {
            target.need("storage.objects.setRetention")?;
            if !bucket.object_retention {
                return Err(Refusal::invalid("Object retention is not enabled for this bucket."));
            }
        }
        let Some(live) = live else { return Ok(()) };
        target.need("storage.objects.delete")?;
        if bucket.versioning {
            not_held(bucket, target.name, live)
        } else {
            may_go(bucket, target.name, live, self.now())
        }
    }

    /// Makes the payload the live version of the name.
    ///
    /// # Errors
    /// As [`Self::may_put`], or written less than a second ago. The payload's blob is removed then.
    pub(crate) fn put(
        &mut self,
        target: Target<'_>,
        payload: Payload,
        wishes: Wishes,
    ) -> Result<Version, Refusal> {
        self.put_and(target, payload, wishes, &|_| Vec::new())
    }

    /// As [`Self::put`], with other changes in the same step, made of the new generation.
    pub(crate) fn put_and(
        &mut self,
        target: Target<'_>,
        payload: Payload,
        wishes: Wishes,
        also: &dyn Fn(u64) -> Vec<Change>,
    ) -> Result<Version, Refusal> {
        let result = self.try_put(target, payload, wishes, also);
        if result.is_err() {
            self.blobs.remove(payload.blob);
        }
        result
    }

    fn try_put(
        &mut self,
        target: Target<'_>,
        payload: Payload,
        wishes: Wishes,
        also: &dyn Fn(u64) -> Vec<Change>,
    ) -> Result<Version, Refusal> {
        self.may_put(target, &wishes)?;
        self.may_write_again(target.bucket, target.name)?;
        let bucket = self.bucket(target.bucket)?;
        let now = self.now();
        let version = new_version(bucket, self.next_generation(), payload, wishes, now);
        let mut changes = Vec::new();
        if let Some(live) = self.live(target.bucket, target.name) {
            changes.push(displaced(bucket, target.name, live, now));
        }
        changes.push(version_change(target.bucket, target.name, version.clone()));
        changes.extend(also(version.generation));
        self.commit(changes)?;
        self.written_now(target.bucket, target.name);
        Ok(version)
    }
}

fn new_version(bucket: &Bucket, generation: u64, payload: Payload, wishes: Wishes, now: Moment) -> Version {
    let mut about = wishes.about;
    about.storage_class.get_or_insert_with(|| bucket.storage_class.clone());
    about.kms_key = about.kms_key.or_else(|| bucket.default_kms_key.clone());
    Version {
        generation,
        metageneration: 1,
        blob: payload.blob,
        size: payload.size,
        crc32c: payload.crc32c,
        md5: payload.md5,
        components: payload.components,
        about,
        created: now,
        updated: now,
        state: State::Live,
        temporary_hold: wishes.temporary_hold,
        event_based_hold: wishes.event_based_hold.unwrap_or(bucket.default_event_based_hold),
        retained_from: now,
        retention: wishes.retention,
    }
}

/// What becomes of a live version when its name gets a new one: noncurrent with versioning, otherwise as if deleted.
fn displaced(bucket: &Bucket, name: &str, live: &Version, now: Moment) -> Change {
    let state =
        if bucket.versioning { Some(State::Noncurrent { since: now }) } else { after_deletion(bucket, now) };
    match state {
        Some(state) => version_change(&bucket.name, name, Version { state, ..live.clone() }),
        None => {
            Change::Gone { bucket: bucket.name.clone(), name: name.to_owned(), generation: live.generation }
        }
    }
}

/// "About Cloud Storage objects" (cloud.google.com/storage/docs/objects#naming): 1 to 1024 bytes of UTF-8, neither `.` nor `..`,
/// no carriage return or line feed, not beginning with `.well-known/acme-challenge/`.
fn check_name(name: &str) -> Result<(), Refusal> {
    let bad = name.is_empty()
        || name.len() > 1024
        || [".", ".."].contains(&name)
        || name.contains(['\r', '\n'])
        || name.starts_with(".well-known/acme-challenge/");
    if bad {
        return Err(Refusal::new(
            400,
            "InvalidObjectName",
            "invalid",
            "The specified object name is not valid.",
        ));
    }
    Ok(())
}
