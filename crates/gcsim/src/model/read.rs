//! Finding the version that a request means.
//!
//! *Assumed* from the text of its 403 ("denied on resource (or it may not exist)"): who may not list a bucket is not told that
//! an object is missing, but 403 with `storage.objects.list`.

use super::{Preconditions, Target, Version, World};
use crate::refusal::Refusal;

/// Which version of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Live,
    /// Live or noncurrent.
    Generation(u64),
    SoftDeleted(u64),
}

impl World {
    /// # Errors
    /// 404.
    pub(crate) fn version(&self, bucket: &str, name: &str, at: At) -> Result<&Version, Refusal> {
        let found = match at {
            At::Live => self.live(bucket, name),
            At::Generation(generation) => {
                let found = self.versions(bucket, name).and_then(|versions| versions.get(&generation));
                found.filter(|version| !version.is_soft_deleted())
            }
            At::SoftDeleted(generation) => {
                let found = self.versions(bucket, name).and_then(|versions| versions.get(&generation));
                found.filter(|version| version.is_soft_deleted())
            }
        };
        found.ok_or_else(|| Refusal::no_such_key(bucket, name))
    }

    /// For reading it, bytes or metadata.
    ///
    /// # Errors
    /// 304, 403, 404, 412.
    pub(crate) fn read(
        &self,
        target: Target<'_>,
        at: At,
        preconditions: Preconditions,
    ) -> Result<&Version, Refusal> {
        self.bucket(target.bucket)?;
        target.need("storage.objects.get")?;
        if matches!(at, At::SoftDeleted(_)) {
            target.need("storage.objects.restore")?;
        }
        let found = self.version(target.bucket, target.name, at).map_err(|missing| {
            let listing = target.who.need("storage.objects.list", target.bucket, None);
            listing.err().unwrap_or(missing)
        })?;
        preconditions.hold_for_read(found)?;
        Ok(found)
    }
}
