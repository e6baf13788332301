//! Whether an object is nowhere: the question on which the end of WAL rests.
//!
//! Promises: `Yes` only with the positive word of every region; an outage anywhere gives `Unknown`.
//! Does not do: waiting for regions to come back.

use super::{PerRegion, Regions};
use crate::error::StoreError;
use crate::region::RegionName;

/// Whether any region has an object.
#[derive(Debug, Clone)]
pub enum Absence {
    /// Every region was asked and has no such object.
    Yes,
    /// At least one has it.
    No {
        /// Those that have it.
        held_by: Vec<RegionName>,
    },
    /// None of those that answered has it, but not all answered.
    Unknown {
        /// Those that did not, and why.
        unanswered: PerRegion<StoreError>,
    },
}

impl Regions {
    /// Asks every region for `name`.
    pub async fn absent_everywhere(&self, name: &str) -> Absence {
        let mut held_by = Vec::new();
        let mut unanswered = Vec::new();
        for (region, answer) in self.each(|region| region.exists(name)).await {
            match answer {
                Ok(true) => held_by.push(region),
                Ok(false) => {}
                Err(error) => unanswered.push((region, error)),
            }
        }
        match (held_by.is_empty(), unanswered.is_empty()) {
            (false, _) => Absence::No { held_by },
            (true, true) => Absence::Yes,
            (true, false) => Absence::Unknown { unanswered: PerRegion::new(unanswered) },
        }
    }
}
