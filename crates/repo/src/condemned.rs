//! The records that decide about deleting: policies, tombstones with their ends, holds.
//!
//! Promises the fields of FORMAT §2, one type a record, and one way to ask whether a tombstone names an object. Deliberately
//! decides nothing: what to condemn, when to delete and what to spare is the engine's.

use std::collections::BTreeSet;

use seawall_pg::{SegmentNo, Timeline, WalFileName, WalFolder, WalSegmentSize};
use serde::{Deserialize, Serialize};

use crate::id::{BackupId, ClusterName, RecordId, SystemId};
use crate::layout::{Named, Place};
use crate::time::Time;

/// `policy/<n>`: rules of retention as they were in force from then on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyRecord {
    /// The cluster.
    pub cluster: ClusterName,
    /// Which change, from 1.
    pub number: u32,
    /// The rules, as the settings had them.
    pub rules: serde_json::Map<String, serde_json::Value>,
    /// Holds that were in force: should one of them become unreadable, it is known to be no forgery.
    #[serde(default)]
    pub holds: Vec<RecordId>,
    /// Its writer's time; the store's decides.
    pub written: Time,
    /// Which host.
    pub host: String,
}

/// Numbered objects of one backup: runs of numbers, both ends inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedOf {
    /// The backup in whose folder they lie.
    pub backup: BackupId,
    /// Runs of numbers, rising.
    pub numbers: Vec<(u32, u32)>,
}

/// All files of some segments of one timeline: segments, their parts, `.partial` and `.backup` files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalStretch {
    /// The timeline.
    pub timeline: Timeline,
    /// The first segment.
    pub first: SegmentNo,
    /// The last, inclusive.
    pub last: SegmentNo,
}

/// Names of objects, said briefly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// Manifests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<BackupId>,
    /// Packs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<NumberedOf>,
    /// Maps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<NumberedOf>,
    /// Every intent of these backups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<BackupId>,
    /// WAL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wal: Vec<WalStretch>,
    /// History files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histories: Vec<Timeline>,
    /// Chapters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chapters: Vec<WalFolder>,
}

impl Condemned {
    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.manifests.is_empty()
            && self.packs.is_empty()
            && self.maps.is_empty()
            && self.intents.is_empty()
            && self.wal.is_empty()
            && self.histories.is_empty()
            && self.chapters.is_empty()
    }

    /// Whether it names this object (of the same place).
    pub fn names(&self, named: &Named, size: Option<WalSegmentSize>) -> bool {
        match named {
            Named::Manifest { backup, .. } => self.manifests.contains(backup),
            Named::Pack { backup, number, .. } => holds(&self.packs, *backup, *number),
            Named::Map { backup, number, .. } => holds(&self.maps, *backup, *number),
            Named::Intent { backup, .. } => self.intents.contains(backup),
            Named::Wal { file, .. } => self.names_wal(*file, size),
            Named::WalPart { file, .. } => self.names_wal((*file).into(), size),
            Named::Chapter { folder, .. } => self.chapters.contains(folder),
            _ => false,
        }
    }

    fn names_wal(&self, file: WalFileName, size: Option<WalSegmentSize>) -> bool {
        let Some(segment) = file.segment() else { return self.histories.contains(&file.timeline()) };
        let Some(number) = size.and_then(|size| segment.number(size).ok()) else { return false };
        let of = |range: &WalStretch| {
            range.timeline == segment.timeline() && range.first <= number && number <= range.last
        };
        self.wal.iter().any(of)
    }

    /// The backups in whose folders packs or maps are named.
    pub fn folders(&self) -> BTreeSet<BackupId> {
        self.packs.iter().chain(&self.maps).map(|of| of.backup).collect()
    }
}

fn holds(all: &[NumberedOf], backup: BackupId, number: u32) -> bool {
    let of = all.iter().filter(|of| of.backup == backup);
    of.flat_map(|of| &of.numbers).any(|(first, last)| *first <= number && number <= *last)
}

/// Rising numbers as runs.
pub fn runs(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            Some((_, last)) if *last >= number => {}
            _ => runs.push((number, number)),
        }
    }
    runs
}

/// `tombstone/<id>`: what will be deleted when the grace is over, unless something needs it by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Which.
    pub tombstone: RecordId,
    /// The cluster.
    pub cluster: ClusterName,
    /// The system identifier.
    pub system: SystemId,
    /// The regions in which it counts: those whose manifests and intents were listed before.
    pub regions: Vec<String>,
    /// For how long nothing is deleted, in seconds, by each region's own clock.
    pub grace: u64,
    /// The segments' size, by which `condemned` counts WAL; none where it names none.
    pub segment_size: Option<WalSegmentSize>,
    /// What.
    pub condemned: Condemned,
    /// Its writer's time.
    pub written: Time,
    /// Which host.
    pub host: String,
}

/// `tombstone/<id>.revoked`: that nothing more is deleted because of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TombstoneRevoked {
    /// Which tombstone.
    pub tombstone: RecordId,
    /// Why, for people.
    pub reason: String,
    /// Its writer's time.
    pub written: Time,
    /// Which host.
    pub host: String,
}

/// `tombstone/<id>.done.<region>`: that it was carried out there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TombstoneDone {
    /// Which tombstone.
    pub tombstone: RecordId,
    /// Where.
    pub region: String,
    /// Objects that were deleted.
    pub deleted: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was named and needed again by then.
    pub spared: Condemned,
    /// Its writer's time.
    pub written: Time,
    /// Which host.
    pub host: String,
}

/// What a hold keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldOn {
    /// Everything of the cluster.
    Everything,
    /// These backups, with the WAL that makes them consistent.
    Backups(Vec<BackupId>),
}

/// `hold/<id>`: what must not be deleted, whatever the rules say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which.
    pub hold: RecordId,
    /// The cluster.
    pub cluster: ClusterName,
    /// What it keeps.
    pub on: HoldOn,
    /// Why, for people.
    pub reason: String,
    /// Until when, by the store's clock; none: until it is released.
    pub until: Option<Time>,
    /// Who asked for it.
    pub by: String,
    /// Its writer's time.
    pub written: Time,
}

/// `hold/<id>.released`: the end of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReleased {
    /// Which hold.
    pub hold: RecordId,
    /// Why, for people.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// Its writer's time.
    pub written: Time,
}

impl Tombstone {
    /// Whether it names an object.
    pub fn names(&self, named: &Named) -> bool {
        let place = Place { cluster: self.cluster.clone(), system: self.system };
        named.place() == Some(&place) && self.condemned.names(named, self.segment_size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layout::ObjectName;

    const BACKUP: &str = "20240229T123456Z-00ff00ff00ff00ff";

    fn tombstone(condemned: Condemned) -> Tombstone {
        Tombstone {
            tombstone: BACKUP.parse().unwrap(),
            cluster: "orders".parse().unwrap(),
            system: "7575".parse().unwrap(),
            regions: vec!["north".to_owned()],
            grace: 86_400,
            segment_size: Some(WalSegmentSize::new(16 << 20).unwrap()),
            condemned,
            written: Time::from_micros(0).unwrap(),
            host: "db1".to_owned(),
        }
    }

    #[test]
    fn a_tombstone_names_what_it_lists_and_nothing_beside() {
        let backup: BackupId = BACKUP.parse().unwrap();
        let timeline = Timeline::new(1).unwrap();
        let stone = tombstone(Condemned {
            manifests: vec![backup],
            packs: vec![NumberedOf { backup, numbers: vec![(0, 1), (4, 4)] }],
            maps: vec![NumberedOf { backup, numbers: vec![(2, 2)] }],
            intents: vec![backup],
            wal: vec![WalStretch { timeline, first: SegmentNo(0x1fe), last: SegmentNo(0x200) }],
            histories: vec![Timeline::new(2).unwrap()],
            chapters: vec!["000000010000002A".parse().unwrap()],
        });
        let names = |text: &str| {
            let text = text.replace("ID", BACKUP);
            stone.names(ObjectName::parse(&text).unwrap_or_else(|| panic!("{text}")).named())
        };
        for text in [
            "orders/7575/manifest/ID",
            "orders/7575/backup/ID/pack/0",
            "orders/7575/backup/ID/pack/4",
            "orders/7575/backup/ID/map/2",
            "orders/7575/intent/ID.7",
            "orders/7575/wal/00000001/0000000100000001/0000000100000001000000FE",
            "orders/7575/wal/00000001/0000000100000001/0000000100000001000000FF.p2",
            "orders/7575/wal/00000001/0000000100000002/000000010000000200000000.partial",
            "orders/7575/wal/00000001/0000000100000002/000000010000000200000000.00000028.backup",
            "orders/7575/wal/00000002.history",
        ] {
            assert!(names(text), "{text}");
        }
        for text in [
            "orders/7576/manifest/ID",
            "other/7575/manifest/ID",
            "orders/7575/backup/ID/pack/2",
            "orders/7575/backup/ID/map/0",
            "orders/7575/wal/00000001/0000000100000001/0000000100000001000000FD",
            "orders/7575/wal/00000001/0000000100000002/000000010000000200000001",
            "orders/7575/wal/00000002/0000000200000001/0000000200000001000000FF",
            "orders/7575/wal/00000001.history",
            "orders/7575/tombstone/ID",
            "orders/7575/hold/ID",
            "orders/key/1.1",
        ] {
            assert!(!names(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn runs_hold_the_numbers_and_nothing_else(numbers in proptest::collection::btree_set(0u32..50, 0..40)) {
            let runs = runs(numbers.iter().copied());
            let held: Vec<u32> = runs.iter().flat_map(|(first, last)| *first..=*last).collect();
            prop_assert_eq!(held, numbers.into_iter().collect::<Vec<_>>());
            for pair in runs.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0);
            }
        }
    }
}
