//! What a name says: the way back from text to [`Named`].
//!
//! Promise: reads more generously than is written; [`super::ObjectName::parse`] compares the spelling.

use crate::id::{ClusterName, Generation, parse_decimal};
use crate::layout::{Named, PartedFile, Place, RegionLabel, prefix};

/// What a name says, read more generously than it is written: [`ObjectName::parse`] compares the spelling.
pub(super) fn parse(text: &str) -> Option<Named> {
    let (first, rest) = match text.split_once('/') {
        None if text == prefix::SEAWALL => return Some(Named::Seawall),
        None => return None,
        Some(split) => split,
    };
    match first {
        "heal" => parse_heal("", rest),
        "owner" => number_from_1(rest).map(|change| Named::Owner { change }),
        "writer" => match rest.strip_suffix(".revoked.json") {
            Some(id) => id.parse().ok().map(Named::Revocation),
            None => rest.strip_suffix(".json")?.parse().ok().map(Named::Writer),
        },
        cluster => parse_of_cluster(cluster.parse().ok()?, rest),
    }
}

/// A heal copy in the `heal` folder of `home`, which ends in `/` or is empty.
fn parse_heal(home: &str, rest: &str) -> Option<Named> {
    let (original, number) = rest.rsplit_once('.')?;
    // Of a heal copy there is none; asked first, so that a name made of nothing else is not followed inwards.
    if original.starts_with(prefix::HEALS) {
        return None;
    }
    let of = Box::new(parse(&format!("{home}{original}"))?);
    Some(Named::Heal { of, number: number_from_1(number)? }).filter(|heal| !heal.is_nested())
}

fn parse_of_cluster(cluster: ClusterName, rest: &str) -> Option<Named> {
    let (second, rest) = rest.split_once('/')?;
    match second {
        "heal" => parse_heal(&prefix::cluster(&cluster), rest),
        "key" => {
            let (generation, change) = rest.split_once('.')?;
            let generation = Generation::new(parse_decimal(generation)?)?;
            Some(Named::Key { cluster, generation, change: number_from_1(change)? })
        }
        "policy" => number_from_1(rest).map(|number| Named::Policy { cluster, number }),
        "adopt" => {
            let system = rest.strip_suffix(".json")?.parse().ok()?;
            Some(Named::Adoption(Place { cluster, system }))
        }
        system => parse_of_place(Place { cluster, system: system.parse().ok()? }, rest),
    }
}

fn parse_of_place(place: Place, rest: &str) -> Option<Named> {
    let (folder, rest) = rest.split_once('/')?;
    match folder {
        "heal" => parse_heal(&place.all(), rest),
        "intent" => {
            let (backup, number) = rest.split_once('.')?;
            Some(Named::Intent { place, backup: backup.parse().ok()?, number: number_from_1(number)? })
        }
        "manifest" => Some(Named::Manifest { place, backup: rest.parse().ok()? }),
        "backup" => {
            let (backup, rest) = rest.split_once('/')?;
            let (what, number) = rest.split_once('/')?;
            let (backup, number) = (backup.parse().ok()?, parse_decimal(number)?);
            match what {
                "pack" => Some(Named::Pack { place, backup, number }),
                "map" => Some(Named::Map { place, backup, number }),
                _ => None,
            }
        }
        "wal" => parse_wal(place, rest.rsplit('/').next()?),
        "chapter" => parse_chapter(place, rest.rsplit('/').next()?),
        "tombstone" => parse_tombstone(place, rest),
        "hold" => match rest.strip_suffix(".released") {
            Some(id) => Some(Named::HoldReleased { place, id: id.parse().ok()? }),
            None => Some(Named::Hold { place, id: rest.parse().ok()? }),
        },
        "hole" => Some(Named::Hole { place, id: rest.parse().ok()? }),
        "event" => Some(Named::Event { place, id: rest.rsplit('/').next()?.parse().ok()? }),
        _ => None,
    }
}

fn parse_tombstone(place: Place, rest: &str) -> Option<Named> {
    let Some((id, behind)) = rest.split_once('.') else {
        return Some(Named::Tombstone { place, id: rest.parse().ok()? });
    };
    let id = id.parse().ok()?;
    if behind == "revoked" {
        return Some(Named::TombstoneRevoked { place, id });
    }
    let region = RegionLabel::new(behind.strip_prefix("done.")?)?;
    Some(Named::TombstoneDone { place, id, region })
}

fn parse_chapter(place: Place, last: &str) -> Option<Named> {
    let (folder, number) = match last.split_once('.') {
        Some((folder, number)) => (folder, number_from_1(number)?),
        None => (last, 0),
    };
    Some(Named::Chapter { place, folder: folder.parse().ok()?, number })
}

fn parse_wal(place: Place, last: &str) -> Option<Named> {
    if let Ok(file) = last.parse() {
        return Some(Named::Wal { place, file });
    }
    let (file, part) = last.rsplit_once(".p")?;
    let file = PartedFile::of(file.parse().ok()?)?;
    Some(Named::WalPart { place, file, part: parse_decimal(part)? })
}

fn number_from_1(text: &str) -> Option<u32> {
    parse_decimal(text).filter(|number| *number > 0)
}
