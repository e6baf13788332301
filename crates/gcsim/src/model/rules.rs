//! What may not be deleted or replaced: holds, retention, and the limit on writes to one name.
//!
//! * "Object holds" (cloud.google.com/storage/docs/object-holds): while an object has a hold it cannot be deleted or replaced;
//!   its metadata can be edited. Releasing an event-based hold starts the bucket's retention period anew.
//! * "Bucket Lock" (.../bucket-lock): objects can only be deleted or replaced once their age is greater than the retention
//!   period; it applies to what was there before too.
//! * "Object Retention Lock" (.../object-lock): the later of the two moments counts.
//! * "Quotas & limits" (cloud.google.com/storage/quotas): one write a second to the same object name, one metadata update a second.
//!
//! *Assumed*: the limit is exact (the page says "might result in throttling errors"), counts creating, replacing, copying to,
//! composing and restoring but not deleting, and is asked after preconditions, so that the loser of a race is told 412.

use super::{Bucket, State, Version, World};
use crate::moment::Moment;
use crate::refusal::Refusal;

/// Until when a version may not be deleted or replaced; nothing where no retention says so.
pub(crate) fn retained_until(bucket: &Bucket, version: &Version) -> Option<Moment> {
    let by_bucket = bucket.retention.filter(|_| !version.event_based_hold);
    let by_bucket = by_bucket.map(|policy| version.retained_from.plus_seconds(policy.seconds));
    by_bucket.max(version.retention.map(|retention| retention.until))
}

/// Whether it may be deleted for good, or replaced where nothing is kept.
///
/// # Errors
/// 403 with what is in the way.
pub(crate) fn may_go(bucket: &Bucket, name: &str, version: &Version, now: Moment) -> Result<(), Refusal> {
    not_held(bucket, name, version)?;
    match retained_until(bucket, version) {
        Some(until) if now < until => Err(Refusal::retained(&bucket.name, name, until)),
        _ => Ok(()),
    }
}

/// # Errors
/// 403 naming the kind of hold.
pub(crate) fn not_held(bucket: &Bucket, name: &str, version: &Version) -> Result<(), Refusal> {
    let kind = match (version.temporary_hold, version.event_based_hold) {
        (true, _) => "Temporary",
        (false, true) => "Event-Based",
        (false, false) => return Ok(()),
    };
    Err(Refusal::held(&bucket.name, name, kind))
}

/// What becomes of a version that is deleted for good: soft-deleted where the bucket does that, otherwise gone.
pub(crate) fn after_deletion(bucket: &Bucket, now: Moment) -> Option<State> {
    let seconds = bucket.soft_delete.seconds;
    (seconds > 0).then(|| State::SoftDeleted { since: now, until: now.plus_seconds(seconds) })
}

const A_SECOND: i64 = 1_000_000;

impl World {
    /// # Errors
    /// 429: this name was written less than a second ago.
    pub(super) fn may_write_again(&self, bucket: &str, name: &str) -> Result<(), Refusal> {
        let last = self.last_write.get(&(bucket.to_owned(), name.to_owned()));
        self.apart(last, bucket, name)
    }

    pub(super) fn written_now(&mut self, bucket: &str, name: &str) {
        let now = self.now();
        self.last_write.insert((bucket.to_owned(), name.to_owned()), now);
    }

    /// # Errors
    /// 429: this object's metadata were changed less than a second ago.
    pub(super) fn may_patch_again(&self, bucket: &str, name: &str) -> Result<(), Refusal> {
        let last = self.last_patch.get(&(bucket.to_owned(), name.to_owned()));
        self.apart(last, bucket, name)
    }

    pub(super) fn patched_now(&mut self, bucket: &str, name: &str) {
        let now = self.now();
        self.last_patch.insert((bucket.to_owned(), name.to_owned()), now);
    }

    fn apart(&self, last: Option<&Moment>, bucket: &str, name: &str) -> Result<(), Refusal> {
        match last {
            Some(last) if self.rate_limit && self.now().0 - last.0 < A_SECOND => {
                Err(Refusal::rate_limited(bucket, name))
            }
            _ => Ok(()),
        }
    }
}
