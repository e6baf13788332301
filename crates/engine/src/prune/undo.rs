//! Taking back what was condemned and is not deleted yet.
//!
//! Commit point: the revocation of each tombstone. Rules that condemn the same again write a new tombstone with a new grace: undoing
//! gains time, a hold or other rules keep.

use seawall_repo::condemned::TombstoneRevoked;
use seawall_repo::id::RecordId;
use seawall_repo::layout::{Named, Place};
use serde::Serialize;

use super::look::{Broken, tombstones};
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

/// Revokes one tombstone, or all that wait.
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
        for stone in seen.iter().filter(|stone| stone.waits()) {
            let id = stone.record.tombstone;
            if which.is_some_and(|which| which != id) {
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
        undone.findings.push(Finding {
            id: "prune.region-unreached",
            what: format!(
                "region {} did not take the revocation: {}",
                gone.region,
                crate::repository::reason(&gone.reason)
            ),
            hint: Some("run it again when the region is back, before the grace is over".to_owned()),
        });
    }
    if undone.tombstones.is_empty() {
        let what = which.map_or_else(
            || "nothing waits to be deleted".to_owned(),
            |id| format!("no tombstone {id} waits to be carried out"),
        );
        return Err(
            Error::data("prune.nothing-to-undo", what).hint("`seawall prune --dry-run` shows what waits")
        );
    }
    Ok(undone)
}
