//! Other copies of an object in the region where its own is wrong or gone.
//!
//! Promises: nothing is asked for while the copy under the object's own name is good; a spare has to pass the caller's check as well; a
//! region counts as lacking an object only if it said that it has no spare of it either.
//! Does not do: knowing what spares are called; that is told.

use super::{Extent, ReadFaultKind};
use crate::error::{ErrorKind, StoreError};
use crate::region::Region;
use bytes::Bytes;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Where a region keeps other copies of an object.
pub struct Spares<'a> {
    /// The folder in which they lie, among others; ends in `/`.
    pub folder: String,
    /// Which of them a name is, none for a name of something else. The highest is read first.
    pub rank: &'a (dyn Fn(&str) -> Option<u32> + Send + Sync),
}

impl fmt::Debug for Spares<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spares({})", self.folder)
    }
}

impl ReadFaultKind {
    /// Whether what the region has under the name is of no use, as opposed to the region itself.
    #[must_use]
    pub fn is_of_the_copy(&self) -> bool {
        match self {
            Self::Missing => false,
            Self::Failed(error) => matches!(error.kind(), ErrorKind::Damaged | ErrorKind::TooLarge),
            Self::Damaged(_) => true,
        }
    }
}

impl Region {
    /// What the check makes of the first spare that it accepts; none where there are none.
    ///
    /// # Errors
    /// They cannot be listed or read, or the check accepts none.
    pub(super) async fn spare<T, E>(
        &self,
        spares: &Spares<'_>,
        extent: &Extent,
        mut check: impl FnMut(Bytes) -> Result<T, E>,
    ) -> Result<Option<T>, ReadFaultKind>
    where
        E: Error + Send + Sync + 'static,
    {
        let mut fault = None;
        for name in self.spares(spares).await.map_err(ReadFaultKind::Failed)? {
            match self.get_extent(&name, extent).await.map(&mut check) {
                Ok(Ok(value)) => return Ok(Some(value)),
                Ok(Err(error)) => fault = Some(ReadFaultKind::Damaged(Arc::new(error))),
                Err(error) => fault = Some(ReadFaultKind::Failed(error)),
            }
        }
        fault.map_or(Ok(None), Err)
    }

    /// The names of spares, the highest first.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub async fn spares(&self, spares: &Spares<'_>) -> Result<Vec<String>, StoreError> {
        let level = self.list_level(&spares.folder).await?;
        let ranked = level.objects.into_iter().map(|object| object.name);
        let mut ranked: Vec<(u32, String)> =
            ranked.filter_map(|name| Some(((spares.rank)(&name)?, name))).collect();
        ranked.sort_unstable_by(|one, other| other.cmp(one));
        Ok(ranked.into_iter().map(|(_, name)| name).collect())
    }
}
