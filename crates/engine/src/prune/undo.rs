//! Taking back what was condemned and is not deleted yet.
//!
//! Commit point: the revocation of each tombstone. Rules that condemn the same again write a new tombstone with a new grace: undoing
//! gains time, a hold or other rules keep.

use seawall_repo::condemned::TombstoneRevoked;
use seawall_repo::id::RecordId;
use seawall_repo::layout::{Named, Place};
use seawall_store::RegionName;
use serde::Serialize;

use super::hand_on::hand_on;
use super::look::{Broken, TombstoneSeen, tombstones};
use super::run::refuse_without_right;
use crate::backup::{host_name, now};
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::Repository;

/// What was taken back.
#[derive(Debug, Clone, Serialize)]
pub struct Undone {
    /// Tombstones that count no more.
    pub tombstones: Vec<RecordId>,
    /// Of them, those that were already carried out somewhere: what is gone there stays gone.
    pub partly_carried_out: Vec<RecordId>,
    /// Regions that do not know of it yet, and other things that are wrong.
    pub findings: Vec<Finding>,
}

/// Gives regions that were away when a tombstone was taken back the word that it was. Whether any took it.
async fn tell_the_unaware(
    repository: &Repository,
    place: &Place,
    stone: &TombstoneSeen,
    findings: &mut Vec<Finding>,
) -> bool {
    let unaware: Vec<_> = stone.unaware().cloned().collect();
    let name = Named::TombstoneRevoked { place: place.clone(), id: stone.record.tombstone }.into();
    let (told, missed) = hand_on(repository, &name, &unaware).await;
    findings.extend(missed.iter().map(|(region, why)| not_taken(region, why)));
    told
}

fn not_taken(region: &RegionName, why: &str) -> Finding {
    Finding {
        id: "prune.region-unreached",
        what: format!("region {region} did not take the revocation: {why}"),
        hint: Some("run it again when the region is back, before the grace is over".to_owned()),
    }
}

/// Revokes one tombstone, or all that wait; regions that were away then hear of it when this is run again.
///
/// # Errors
/// No such tombstone waits; no right to prune; no region takes the revocation.
pub async fn undo(repository: &Repository, which: Option<RecordId>, reason: &str) -> Result<Undone> {
    refuse_without_right(repository)?;
    let mut undone = Undone { tombstones: Vec::new(), partly_carried_out: Vec::new(), findings: Vec::new() };
    let set = repository.regions().set();
    let mut broken = Broken::new();
    for adoption in repository.adoptions().await? {
        let place = Place { cluster: repository.cluster().clone(), system: adoption.system };
        let seen = tombstones(repository, &place, &[], &mut broken, &mut undone.findings).await?.seen;
        for stone in seen.iter().filter(|stone| which.is_none_or(|which| which == stone.record.tombstone)) {
            let id = stone.record.tombstone;
            if tell_the_unaware(repository, &place, stone, &mut undone.findings).await {
                undone.tombstones.push(id);
            }
            if !stone.waits() {
                continue;
            }
            let record = TombstoneRevoked {
                tombstone: id,
                reason: reason.to_owned(),
                written: now(repository.world())?,
                host: host_name(),
            };
            let name = Named::TombstoneRevoked { place: place.clone(), id }.into();
            repository.put_record(&set, &name, &record).await?;
            undone.tombstones.push(id);
            if !stone.done.is_empty() {
                undone.partly_carried_out.push(id);
            }
        }
    }
    for (region, why) in broken {
        undone.findings.push(Finding {
            id: "prune.region-unreached",
            what: format!("region {region} could not be listed: {why}"),
            hint: Some("run it again when the region is back".to_owned()),
        });
    }
    for gone in set.detached() {
        undone.findings.push(not_taken(&gone.region, &crate::repository::reason(&gone.reason)));
    }
    if undone.tombstones.is_empty() {
        let what = which.map_or_else(
            || "nothing waits to be deleted".to_owned(),
            |id| format!("no tombstone {id} waits to be carried out"),
        );
        let error =
            Error::data("prune.nothing-to-undo", what).hint("`seawall prune --dry-run` shows what waits");
        // A region that was to be told and could not be is not lost with it.
        return Err(undone.findings.iter().fold(error, |error, found| error.fact(found.id, &found.what)));
    }
    Ok(undone)
}
