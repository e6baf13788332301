//! What stands under tombstones when a backup begins, and when it is about to commit (design §9).
//!
//! Promises: nothing that a tombstone names is built upon; what was named while the backup ran is asked for again in each region
//! right before the manifest, and a region that has lost it is let go.

use std::collections::HashSet;

use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::{Manifest, ManifestHeader};
use seawall_repo::pack::PackId;
use seawall_store::{DetachReason, RegionSet};

use super::intent::{self, SharedWord};
use crate::error::{Error, Result};
use crate::monitor::{Finding, Monitor};
use crate::prune::{Standing, standing};
use crate::repository::Repository;

/// Whether a backup can be built on: neither its manifest nor maps that it lists are condemned. Condemned packs do not matter: their
/// pages are stored anew.
pub(super) fn can_be_parent(standing: &Standing, place: &Place, header: &ManifestHeader) -> bool {
    let manifest = Named::Manifest { place: place.clone(), backup: header.backup };
    !standing.names(&manifest) && maps_stand(standing, header.backup, &header.uses)
}

/// Whether no map of a backup or of those it uses is condemned.
fn maps_stand(standing: &Standing, backup: BackupId, uses: &[BackupId]) -> bool {
    !std::iter::once(&backup).chain(uses).any(|backup| standing.names_maps_of(*backup))
}

/// Asked after the intent was given: whoever condemned before that may not have seen it. A tombstone that was carried out by now says
/// nothing any more, but then the parent's manifest is gone; as long as that is there, all it lists is.
///
/// # Errors
/// The parent was condemned between being chosen and being named in the intent.
pub(super) async fn after_intent(
    repository: &Repository,
    set: &RegionSet,
    place: &Place,
    parent: Option<&Manifest>,
    monitor: &dyn Monitor,
) -> Result<Standing> {
    let standing = standing(repository, place).await?;
    standing.findings.iter().for_each(|finding| monitor.finding(finding));
    let Some(parent) = parent else { return Ok(standing) };
    // The header lists the first of the backups it uses, the body all.
    let all_stand = maps_stand(&standing, parent.header.backup, &parent.body.uses);
    if all_stand && can_be_parent(&standing, place, &parent.header) && is_there(set, place, parent).await {
        return Ok(standing);
    }
    let what = format!("backup {}, on which this one builds, was condemned meanwhile", parent.header.backup);
    Err(Error::busy("backup.parent-condemned", what).hint("run it again: another parent is chosen"))
}

/// Whether every attached region has the parent's manifest.
async fn is_there(set: &RegionSet, place: &Place, parent: &Manifest) -> bool {
    let name: ObjectName = Named::Manifest { place: place.clone(), backup: parent.header.backup }.into();
    for region in set.attached() {
        match region.exists(name.as_str()).await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => set.detach(region.name(), DetachReason::Failed(error.chain())),
        }
    }
    true
}

/// Packs whose pages must not be used any more.
pub(super) fn packs(standing: &Standing, place: &Place, of: impl Iterator<Item = PackId>) -> HashSet<PackId> {
    of.filter(|pack| names_pack(standing, place, *pack)).collect()
}

pub(super) fn names_pack(standing: &Standing, place: &Place, pack: PackId) -> bool {
    standing.names(&Named::Pack { place: place.clone(), backup: pack.backup, number: pack.number })
}

/// Looks once more right before the manifest: the word about what the backup uses must never have been dead, and what the manifest
/// lists and a tombstone names must still be there.
///
/// # Errors
/// No region is left that has it all.
pub(super) async fn before_manifest(
    repository: &Repository,
    set: &RegionSet,
    place: &Place,
    word: &SharedWord,
    manifest: &Manifest,
) -> Result<()> {
    intent::confirm(word, repository, set).await?;
    let standing = standing(repository, place).await?;
    let packs = manifest.body.packs.iter().map(|row| row.pack);
    let named = packs.filter(|pack| names_pack(&standing, place, *pack));
    let named: Vec<ObjectName> = named
        .map(|pack| Named::Pack { place: place.clone(), backup: pack.backup, number: pack.number }.into())
        .collect();
    for region in set.attached() {
        for name in &named {
            let why = match region.exists(name.as_str()).await {
                Ok(true) => continue,
                Ok(false) => format!("{name} was pruned while the backup ran"),
                Err(error) => error.chain(),
            };
            set.detach(region.name(), DetachReason::Failed(why));
            break;
        }
    }
    if set.attached().is_empty() {
        let error =
            Error::unavailable("backup.pruned-meanwhile", "no region has everything that this backup uses");
        let error = error.hint("what was stored stays and is taken up by the next backup: run it again");
        return Err(set.detached().iter().fold(error, |error, gone| {
            error.fact("region", format!("{}: {}", gone.region, crate::repository::reason(&gone.reason)))
        }));
    }
    Ok(())
}

/// Looks, by the regions' clocks, whether the manifest came right behind the last word about what the backup uses. A process that was
/// stopped just between may have committed what was pruned meanwhile; that cannot be prevented, so it is told.
pub(super) async fn after_manifest(set: &RegionSet, place: &Place, word: &SharedWord, monitor: &dyn Monitor) {
    let word = word.lock().await;
    let manifest: ObjectName = Named::Manifest { place: place.clone(), backup: word.backup }.into();
    let intent = Named::Intent { place: place.clone(), backup: word.backup, number: word.number }.into();
    for region in set.attached() {
        let intent: &ObjectName = &intent;
        let times = futures::join!(region.head(manifest.as_str()), region.head(intent.as_str()));
        // What cannot be asked now was stored a moment ago.
        let (Ok(manifest), Ok(intent)) = times else { continue };
        let late = manifest.modified_unix_us.saturating_sub(intent.modified_unix_us);
        if u128::try_from(late).is_ok_and(|late| late >= intent::GIVE_UP_AFTER.as_micros()) {
            monitor.finding(&Finding {
                id: "backup.stopped-at-commit",
                what: format!(
                    "the backup was stopped for hours right before its manifest was stored in {}",
                    region.name()
                ),
                hint: Some(
                    "what it uses may have been pruned meanwhile: seawall verify tells; take a new backup"
                        .to_owned(),
                ),
            });
        }
    }
}
