//! Changing what is known of an object: metadata, holds, retention.
//!
//! "Objects: patch" (cloud.google.com/storage/docs/json_api/v1/objects/patch), "Object holds" (.../object-holds), "Object Retention Lock" (.../object-lock).
//! Rights: `storage.objects.update`; with a retention `storage.objects.setRetention`; to shorten, remove or lock an unlocked one
//! `storage.objects.overrideUnlockedRetention` and `overrideUnlockedRetention=true` ("Enable and use object retention configurations"). A locked retention can only be made longer.
//! An object cannot have an event-based hold and a retention. Releasing an event-based hold starts a bucket's retention period anew.
//!
//! *Assumed*: the status (403) of a change that a retention forbids; a retention in the past is 400.

use super::{At, ObjectRetention, Preconditions, Target, Version, World, version_change};
use crate::moment::Moment;
use crate::refusal::Refusal;

/// A hold to be set or released.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hold {
    pub(crate) temporary: Option<bool>,
    pub(crate) event_based: Option<bool>,
}

/// What becomes of an object's own retention.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum RetentionChange {
    #[default]
    Keep,
    Remove,
    Set(ObjectRetention),
}

/// What a change asks for.
pub(crate) struct ObjectChange<'a> {
    pub(crate) at: At,
    pub(crate) preconditions: Preconditions,
    /// Changes what a writer says of an object.
    pub(crate) about: &'a dyn Fn(&mut super::About) -> Result<(), Refusal>,
    pub(crate) hold: Hold,
    pub(crate) retention: RetentionChange,
    pub(crate) override_unlocked: bool,
}

impl World {
    /// # Errors
    /// 400, 403, 404, 412, 429.
    pub(crate) fn patch(
        &mut self,
        target: Target<'_>,
        change: &ObjectChange<'_>,
    ) -> Result<Version, Refusal> {
        let bucket = self.bucket(target.bucket)?;
        target.need("storage.objects.update")?;
        let mut version = self.version(target.bucket, target.name, change.at)?.clone();
        change.preconditions.hold_for_write(Some(&version))?;
        self.may_patch_again(target.bucket, target.name)?;
        let now = self.now();
        (change.about)(&mut version.about)?;
        version.temporary_hold = change.hold.temporary.unwrap_or(version.temporary_hold);
        if version.event_based_hold && change.hold.event_based == Some(false) {
            version.retained_from = now;
        }
        version.event_based_hold = change.hold.event_based.unwrap_or(version.event_based_hold);
        let wanted = match change.retention {
            RetentionChange::Keep => version.retention,
            RetentionChange::Remove => None,
            RetentionChange::Set(retention) => Some(retention),
        };
        if !matches!(change.retention, RetentionChange::Keep) {
            target.need("storage.objects.setRetention")?;
            if !bucket.object_retention {
                return Err(Refusal::invalid("Object retention is not enabled for this bucket."));
            }
            may_change(target, change.override_unlocked, version.retention, wanted, now)?;
        }
        version.retention = wanted;
        if version.retention.is_some() && version.event_based_hold {
            return Err(Refusal::invalid("An object cannot have both an event-based hold and a retention."));
        }
        version.metageneration += 1;
        version.updated = now;
        self.commit(vec![version_change(target.bucket, target.name, version.clone())])?;
        self.patched_now(target.bucket, target.name);
        Ok(version)
    }
}

fn may_change(
    target: Target<'_>,
    override_unlocked: bool,
    old: Option<ObjectRetention>,
    new: Option<ObjectRetention>,
    now: Moment,
) -> Result<(), Refusal> {
    if new.is_some_and(|new| new.until <= now) {
        return Err(Refusal::invalid("retainUntilTime must be in the future."));
    }
    let Some(old) = old.filter(|old| old.until > now) else { return Ok(()) };
    let weaker = new.is_none_or(|new| new.until < old.until || (old.locked && !new.locked));
    let locks = !old.locked && new.is_some_and(|new| new.locked);
    if !weaker && !locks {
        return Ok(());
    }
    if old.locked {
        return Err(Refusal::retained(target.bucket, target.name, old.until));
    }
    if !override_unlocked {
        let message =
            "Shortening, removing or locking an unlocked retention needs overrideUnlockedRetention=true.";
        return Err(Refusal::new(403, "AccessDenied", "forbidden", message));
    }
    target.need("storage.objects.overrideUnlockedRetention")
}
