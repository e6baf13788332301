//! From what was found to what it means: backups and points that it endangers in its region, and what to do.
//!
//! Reads manifests again, and only where a pack or map is bad: memory holds what is bad, not who needs what. Promise: what a finding
//! endangers is counted from the region's own manifests and WAL.

use std::collections::{BTreeMap, BTreeSet};

use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::pack::PackId;
use seawall_store::RegionName;

use super::endangers::{Endangered, Held};
use super::found::{Found, Subject, Way};
use super::manifests;
use super::mend::mend;
use super::outcome::place_of;
use super::pass::Progress;
use super::report::VerifyFinding;
use super::tasks::Reading;
use super::walk::maps_named;
use crate::error::Result;

/// Which backups need a bad pack or map, in one region.
#[derive(Debug, Default)]
struct Users {
    packs: BTreeMap<PackId, Vec<BackupId>>,
    maps: BTreeMap<PackId, Vec<BackupId>>,
}

/// What all findings mean.
pub(super) async fn explain(
    found: Vec<Found>,
    systems: &BTreeMap<SystemId, Progress>,
    holes: &BTreeMap<(SystemId, RegionName), Held>,
    reading: &Reading,
) -> Result<Vec<VerifyFinding>> {
    let mut users = BTreeMap::new();
    for ((system, region), held) in holes {
        let bad: Vec<&Found> = found
            .iter()
            .filter(|found| {
                found.region == *region
                    && place_of(&found.subject).is_some_and(|place| place.system == *system)
            })
            .collect();
        if let Some(progress) = systems.get(system) {
            users.insert((*system, region.clone()), users_of(&bad, progress, region, held, reading).await?);
        }
    }
    let explained = found.into_iter().map(|found| {
        let key = place_of(&found.subject).map(|place| (place.system, found.region.clone()));
        let at = key.and_then(|key| Some((holes.get(&key)?, users.get(&key)?)));
        let endangers = endangers(&found, at);
        let mend = mend(&found);
        VerifyFinding {
            id: found.way.id(),
            object: found.object,
            region: found.region,
            fault: found.fault,
            endangers,
            mend,
        }
    });
    Ok(explained.collect())
}

async fn users_of(
    bad: &[&Found],
    progress: &Progress,
    region: &RegionName,
    held: &Held,
    reading: &Reading,
) -> Result<Users> {
    let mut users = Users::default();
    for found in bad {
        match &found.subject {
            Subject::Pack(_, id) => drop(users.packs.entry(*id).or_default()),
            Subject::Map(_, id) => drop(users.maps.entry(*id).or_default()),
            _ => {}
        }
    }
    if users.packs.is_empty() && users.maps.is_empty() {
        return Ok(users);
    }
    let place = &progress.known.place;
    for backup in held.backups.keys() {
        let Ok((manifest, _)) = manifests::manifest(reading, place, *backup, region, None).await? else {
            continue;
        };
        for row in &manifest.body.packs {
            if let Some(users) = users.packs.get_mut(&row.pack) {
                users.push(*backup);
            }
        }
        let folders: BTreeSet<BackupId> = manifest.body.uses.iter().copied().chain([*backup]).collect();
        // Whichever region's copy tells who names what: this only says what a finding means.
        if users.maps.keys().any(|map| folders.contains(&map.backup)) {
            for map in maps_named(&reading.repository, place, &manifest).await {
                if let Some(users) = users.maps.get_mut(&map) {
                    users.push(*backup);
                }
            }
        }
        // Its own maps make it, whatever can be read of them.
        for (map, users) in &mut users.maps {
            if map.backup == *backup && !users.contains(backup) {
                users.push(*backup);
            }
        }
    }
    Ok(users)
}

fn endangers(found: &Found, at: Option<(&Held, &Users)>) -> Endangered {
    if let (Some((held, users)), true) = (at, found.way.spoils() || found.way == Way::Unreadable) {
        match &found.subject {
            Subject::Manifest(_, id) => return of_backups(held, vec![*id]),
            Subject::Pack(_, id) => {
                return of_backups(held, users.packs.get(id).cloned().unwrap_or_default());
            }
            Subject::Map(_, id) => return of_backups(held, users.maps.get(id).cloned().unwrap_or_default()),
            Subject::Wal(_, timeline, first, last) => {
                let (backups, windows) = held.without_wal(*timeline, *first, *last);
                return Endangered::new(backups, windows);
            }
            Subject::Link(_, before, timeline, number) => {
                let (backups, windows) = held.without_link(*before, *timeline, *number);
                return Endangered::new(backups, windows);
            }
            Subject::History(_, timeline) => {
                let (backups, windows) = held.on_timeline(*timeline);
                if !backups.is_empty() || !windows.is_empty() {
                    return Endangered::new(backups, windows);
                }
                return Endangered::other(format!(
                    "following timeline {timeline}: nothing else tells where it began"
                ));
            }
            _ => {}
        }
    }
    Endangered::other(in_words(found))
}

fn of_backups(held: &Held, backups: Vec<BackupId>) -> Endangered {
    let windows = held.without_backups(&backups);
    Endangered::new(backups, windows)
}

fn in_words(found: &Found) -> String {
    let region = &found.region;
    match (&found.subject, found.way) {
        (_, Way::Conflict) => "whoever reads one of them and means the other".to_owned(),
        (_, Way::IndexWrong) => {
            "no restore through the segment itself; but backups since then that read only what WAL names (\"way\": \"wal\") may lack pages"
                .to_owned()
        }
        (Subject::Manifest(_, id), _) => format!("backup {id}"),
        (Subject::Partial(_, timeline, _), _) => {
            format!("the newest points of timeline {timeline}, in its unfinished segment")
        }
        (Subject::BackupHistory, _) => "nothing that a restore needs".to_owned(),
        (Subject::Seawall, _) => {
            format!("everything, where only region {region} is at hand: nothing there can be believed")
        }
        (Subject::Owner, _) => format!("the owner's key, where only region {region} is at hand"),
        (Subject::Certificate(writer), _) => {
            format!("everything that writer {writer} signed, where only region {region} is at hand")
        }
        (Subject::Revocation(writer), _) => {
            format!("that writer {writer} was revoked is not known where only region {region} is at hand")
        }
        (Subject::Key, _) => {
            format!("opening any content for these recipients, where only region {region} is at hand")
        }
        (Subject::Adoption, _) => {
            format!("all backups of this system identifier, where only region {region} is at hand")
        }
        (Subject::Intent, _) => {
            "what the running backup uses, should something be pruned meanwhile".to_owned()
        }
        (Subject::Keeping, _) => {
            "what is kept and what is deleted: a record that decides about it is not believed there"
                .to_owned()
        }
        (Subject::Chapter, _) => {
            "nothing that a restore needs: backups read the folder's segments one by one instead, which is slower".to_owned()
        }
        (Subject::Hole, _) => {
            "nothing that a restore needs: which lost WAL is acknowledged; it is told again where this is not at hand".to_owned()
        }
        (Subject::Heal(original), _) => format!("{original} in region {region}, if that is still damaged"),
        (Subject::Event, _) => "nothing that a restore needs: what the event tells".to_owned(),
        (Subject::System, _) => "nothing that is relied on".to_owned(),
        (Subject::Stranger, _) => "nothing: it is not read".to_owned(),
        (Subject::Region, _) => format!("everything that only region {region} holds; it was not verified"),
        (Subject::Pack(..) | Subject::Map(..), _) => "backups that need it".to_owned(),
        (Subject::Wal(..) | Subject::Link(..) | Subject::History(..), _) => "recovery through it".to_owned(),
    }
}
