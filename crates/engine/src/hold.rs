//! Holds: what must not be deleted whatever the rules say, with the reason, until when, and who asked for it.
//!
//! Commit points: the hold, its release. Promises: a hold added before the grace is over keeps what was condemned already; only who
//! has the right to prune can hold or release, so a taken database host can do neither.

use seawall_repo::condemned::{Hold, HoldOn, HoldReleased};
use seawall_repo::id::{BackupId, RecordId};
use seawall_repo::layout::{Named, Place};
use seawall_repo::time::Time;
use serde::Serialize;

use crate::backup::now;
use crate::error::{Error, Result};
use crate::events::record_id;
use crate::monitor::Finding;
use crate::prune::{held, refuse_without_right};
use crate::repository::{Repository, reason};

/// What to hold.
#[derive(Debug, Clone)]
pub struct NewHold {
    /// What.
    pub on: HoldOn,
    /// Why.
    pub reason: String,
    /// Until when; none: until it is released.
    pub until: Option<Time>,
    /// Who asks for it.
    pub by: String,
}

/// A hold that was added or released.
#[derive(Debug, Clone, Serialize)]
pub struct HoldChanged {
    /// Which.
    pub hold: RecordId,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// A hold.
#[derive(Debug, Clone, Serialize)]
pub struct HoldShown {
    /// Which.
    pub hold: RecordId,
    /// What it keeps.
    pub on: HoldOn,
    /// Why; empty for one that can no longer be read.
    pub reason: String,
    /// Until when.
    pub until: Option<Time>,
    /// Who asked for it.
    pub by: String,
    /// Since when, by the store.
    pub since: Option<Time>,
    /// Whether it keeps anything now: not released, and not over.
    pub in_force: bool,
    /// Whether it was released.
    pub released: bool,
}

/// The holds of a cluster.
#[derive(Debug, Clone, Serialize)]
pub struct Holds {
    /// The newest last.
    pub holds: Vec<HoldShown>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Adds a hold.
///
/// # Errors
/// No such backup; a time that is past; no right to prune; no region takes it.
pub async fn add(repository: &Repository, new: NewHold) -> Result<HoldChanged> {
    refuse_without_right(repository)?;
    let written = now(repository.world())?;
    if new.until.is_some_and(|until| until <= written) {
        return Err(
            Error::usage("hold.over", "a hold cannot end before it begins").hint("give a later --until")
        );
    }
    let place = match &new.on {
        HoldOn::Everything => newest_place(repository).await?,
        HoldOn::Backups(backups) => place_of(repository, backups).await?,
    };
    let hold = record_id(repository)?;
    let record = Hold {
        hold,
        cluster: place.cluster.clone(),
        on: new.on,
        reason: new.reason,
        until: new.until,
        by: new.by,
        written,
    };
    let name = Named::Hold { place, id: hold }.into();
    put(repository, hold, &name, &record).await
}

/// Releases a hold; its id and reason stay readable.
///
/// # Errors
/// No such hold in force; no right to prune; no region takes it.
pub async fn release(repository: &Repository, hold: RecordId, why: &str, by: &str) -> Result<HoldChanged> {
    refuse_without_right(repository)?;
    let mut findings = Vec::new();
    let known = held(repository, &mut findings).await?;
    let found = known.into_iter().find(|(_, one)| one.id == hold && !one.released);
    let Some((place, _)) = found else {
        return Err(Error::data("hold.unknown", format!("there is no hold {hold} that could be released"))
            .hint("`seawall hold list` shows them"));
    };
    let record =
        HoldReleased { hold, reason: why.to_owned(), by: by.to_owned(), written: now(repository.world())? };
    let name = Named::HoldReleased { place, id: hold }.into();
    put(repository, hold, &name, &record).await
}

/// All holds that there ever were.
///
/// # Errors
/// A place is down.
pub async fn list(repository: &Repository) -> Result<Holds> {
    let mut findings = Vec::new();
    let at = now(repository.world())?;
    let known = held(repository, &mut findings).await?;
    let holds = known.into_iter().map(|(_, seen)| HoldShown {
        hold: seen.id,
        in_force: seen.is_in_force(at),
        on: seen.on,
        reason: seen.record.as_ref().map(|record| record.reason.clone()).unwrap_or_default(),
        until: seen.until,
        by: seen.record.map(|record| record.by).unwrap_or_default(),
        since: seen.stored,
        released: seen.released,
    });
    Ok(Holds { holds: holds.collect(), findings })
}

async fn put<R: Serialize>(
    repository: &Repository,
    hold: RecordId,
    name: &seawall_repo::layout::ObjectName,
    record: &R,
) -> Result<HoldChanged> {
    let set = repository.regions().set();
    repository.put_record(&set, name, record).await?;
    let findings = set.detached().into_iter().map(|gone| Finding {
        id: "hold.region-unreached",
        what: format!("region {} does not know of it: {}", gone.region, reason(&gone.reason)),
        hint: Some(
            "a prune that reaches only this region would not see it; the next one that reaches all regions gives it on: run `seawall \
             prune` when the region is back"
                .to_owned(),
        ),
    });
    Ok(HoldChanged { hold, findings: findings.collect() })
}

async fn newest_place(repository: &Repository) -> Result<Place> {
    let newest = repository.adoptions().await?.pop().ok_or_else(|| {
        Error::data("prune.nothing-here", format!("cluster {} has no data yet", repository.cluster()))
    })?;
    Ok(Place { cluster: repository.cluster().clone(), system: newest.system })
}

async fn place_of(repository: &Repository, backups: &[BackupId]) -> Result<Place> {
    let catalog = repository.catalog().await?;
    let mut places = Vec::new();
    for backup in backups {
        let entry = catalog.backups.iter().find(|entry| entry.id == *backup).ok_or_else(|| {
            Error::data("repository.no-such-backup", format!("there is no backup {backup}"))
                .hint("seawall list shows what there is")
        })?;
        places.push(entry.place.clone());
    }
    places.pop().ok_or_else(|| {
        Error::usage("hold.nothing", "nothing is named that could be held")
            .hint("name backups, or --everything")
    })
}
