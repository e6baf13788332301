//! Conditions that a request attaches to a generation.
//!
//! "Request preconditions" (cloud.google.com/storage/docs/request-preconditions): generation 0 means that no live version
//! exists; a condition that does not hold is answered 412, or 304 where a read asked for anything but what there is.
//! That a metageneration condition on a missing object does not hold is *assumed*.

use serde::{Deserialize, Serialize};

use super::object::Version;
use crate::refusal::Refusal;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preconditions {
    pub(crate) generation: Option<u64>,
    pub(crate) generation_not: Option<u64>,
    pub(crate) metageneration: Option<u64>,
    pub(crate) metageneration_not: Option<u64>,
}

impl Preconditions {
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Before a write: against the version that it would replace or change.
    ///
    /// # Errors
    /// 412.
    pub(crate) fn hold_for_write(&self, found: Option<&Version>) -> Result<(), Refusal> {
        let generation = found.map_or(0, |version| version.generation);
        let metageneration = found.map(|version| version.metageneration);
        let holds = self.generation.is_none_or(|wanted| wanted == generation)
            && self.generation_not.is_none_or(|unwanted| unwanted != generation)
            && self.metageneration.is_none_or(|wanted| Some(wanted) == metageneration)
            && self
                .metageneration_not
                .is_none_or(|unwanted| metageneration.is_some_and(|found| found != unwanted));
        if holds { Ok(()) } else { Err(Refusal::precondition_failed()) }
    }

    /// Before a read.
    ///
    /// # Errors
    /// 412, or 304 where it is what the caller already has.
    pub(crate) fn hold_for_read(&self, found: &Version) -> Result<(), Refusal> {
        let positive = Self { generation_not: None, metageneration_not: None, ..*self };
        positive.hold_for_write(Some(found))?;
        self.hold_for_write(Some(found)).map_err(|_| Refusal::not_modified())
    }
}
