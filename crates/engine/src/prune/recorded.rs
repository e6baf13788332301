//! What was decided about keeping, for whoever reads a repository and has no settings for it.
//!
//! Promises: only records that their signer had the right to write count; where one that is there cannot be read, no rule is known.

use seawall_repo::condemned::{HoldOn, PolicyRecord};
use seawall_repo::id::BackupId;
use seawall_repo::layout::Place;
use seawall_repo::time::Time;

use super::look::{Broken, HoldSeen, holds, policies};
use super::policies::in_force;
use crate::error::Result;
use crate::repository::Repository;
use crate::retention::Policy;

/// Rules and holds as they are recorded.
#[derive(Debug)]
pub(crate) struct Recorded {
    policies: Option<Vec<(PolicyRecord, Time)>>,
    holds: Vec<(Place, HoldSeen)>,
}

impl Recorded {
    /// The most generous of the rules in force at a time; none where they are not known.
    pub(crate) fn policy(&self, now: Time) -> Option<Policy> {
        in_force(self.policies.as_ref()?, now)
    }

    /// The holds that keep a backup at a time.
    pub(crate) fn holds_on(&self, place: &Place, backup: BackupId, now: Time) -> Vec<String> {
        let on = |hold: &HoldSeen| match &hold.on {
            HoldOn::Everything => true,
            HoldOn::Backups(backups) => backups.contains(&backup),
        };
        let of_place = self.holds.iter().filter(|(of, _)| of == place).map(|(_, hold)| hold);
        of_place.filter(|hold| hold.is_in_force(now) && on(hold)).map(|hold| hold.id.to_string()).collect()
    }
}

/// Reads what the regions of a repository record for these places.
///
/// # Errors
/// A record is out of reach.
pub(crate) async fn recorded(repository: &Repository, places: &[Place]) -> Result<Recorded> {
    let (mut broken, mut findings) = (Broken::new(), Vec::new());
    let seen = policies(repository, &mut broken, &mut findings).await?;
    let known = seen.records.last().map(|(policy, _)| policy.holds.clone()).unwrap_or_default();
    let mut all = Vec::new();
    for place in places {
        let (held, _strange) = holds(repository, place, &known, &mut broken, &mut findings).await?;
        all.extend(held.into_iter().map(|hold| (place.clone(), hold)));
    }
    let clear = broken.is_empty() && seen.unreadable.is_none();
    Ok(Recorded { policies: clear.then_some(seen.records), holds: all })
}
