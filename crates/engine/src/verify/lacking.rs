//! What is missing or does not belong: told as findings while names go by.
//!
//! Promise: what a region lacks is told with the regions that show it; a region that broke is not blamed for what it could not show.

use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::pack::PackId;
use seawall_store::RegionName;

use super::folder::Folder;
use super::found::{Found, Subject, Way};
use super::object::Wrong;
use super::outcome::{Gathered, found_of};
use super::pass::Progress;
use super::report::Kind;
use super::wal::LacksParts;

/// Ends the folder at hand, and all that manifests name and that did not go by before `next`.
pub(super) fn leave_folders(progress: &mut Progress, next: Option<BackupId>, gathered: &mut Gathered) {
    if let Some((backup, folder)) = progress.folder.take() {
        tell_lacks(backup, &folder, progress, gathered);
    }
    let absent: Vec<BackupId> = progress
        .awaited
        .iter()
        .copied()
        .take_while(|backup| next.is_none_or(|next| *backup < next))
        .collect();
    for backup in absent {
        progress.awaited.remove(&backup);
        tell_lacks(backup, &Folder::default(), progress, gathered);
    }
}

pub(super) fn tell_lacks(backup: BackupId, folder: &Folder, progress: &Progress, gathered: &mut Gathered) {
    for lacks in folder.lacks(backup, &progress.known) {
        if !gathered.judges(&lacks.region) {
            continue;
        }
        let (place, PackId { backup, number }) = (progress.known.place.clone(), lacks.id);
        let named = if lacks.is_map {
            Named::Map { place, backup, number }
        } else {
            Named::Pack { place, backup, number }
        };
        let name: ObjectName = named.into();
        let found = found_of(
            &name,
            &lacks.region,
            missing(&lacks.region, &lacks.elsewhere),
            &[],
            &lacks.elsewhere,
            None,
        );
        gathered.find(found, Kind::of(name.named()));
    }
}

pub(super) fn tell_parts(lacking: &[LacksParts], progress: &Progress, gathered: &mut Gathered) {
    for LacksParts { region, part } in lacking {
        if gathered.judges(region) && progress.wal.held.contains_key(region) {
            let found = found_of(part, region, missing(region, &[]), &[], &[], progress.known.size);
            gathered.find(found, Kind::Wal);
        }
    }
}

pub(super) fn missing(region: &RegionName, elsewhere: &[RegionName]) -> Wrong {
    let fault = match elsewhere {
        [] => "it is not there".to_owned(),
        regions => format!("region {region} lacks it, region {} shows it", join(regions)),
    };
    Wrong::new(Way::Missing, fault)
}

pub(super) fn unknown_name(region: &RegionName, text: &str, shown: &[RegionName]) -> Found {
    Found {
        region: region.clone(),
        object: text.to_owned(),
        subject: Subject::Stranger,
        way: Way::UnknownName,
        fault: "no object of this version has such a name".to_owned(),
        writer: None,
        elsewhere: shown.iter().filter(|other| *other != region).cloned().collect(),
        read_good: 0,
    }
}

pub(super) fn join(regions: &[RegionName]) -> String {
    regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Objects of a system identifier that nobody adopted.
pub(super) fn not_adopted(region: &RegionName, place: &Place) -> Found {
    Found {
        region: region.clone(),
        object: place.all(),
        subject: Subject::System,
        way: Way::NotAdopted,
        fault: format!("nobody adopted system identifier {} for cluster {}", place.system, place.cluster),
        writer: None,
        elsewhere: Vec::new(),
        read_good: 0,
    }
}
