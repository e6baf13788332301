//! The names of objects in a region: built here and parsed here, nowhere else.
//!
//! Promises: every name that this module builds parses back to what it was built from, and every name that parses is
//! built in exactly that spelling; a name it does not know is not an error but somebody else's (or a later version's).
//! Deliberately knows no region, prefix or store: names are relative to the region.

use std::borrow::Cow;
use std::fmt;

use seawall_pg::{SegmentName, Timeline, WalFileName, WalFolder};

use crate::id::{BackupId, ClusterName, Generation, RecordId, SystemId, WriterId};

mod parse;
pub mod prefix;

/// What an object is, as its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Named {
    /// What this repository is; signed text.
    Seawall,
    /// The wrapped owner's key, number `change` from 1; signed text.
    Owner {
        /// Which change of recipients, from 1.
        change: u32,
    },
    /// A writer's certificate; signed text.
    Writer(WriterId),
    /// A writer's revocation; signed text.
    Revocation(WriterId),
    /// A cluster's wrapped keys; signed text.
    Key {
        /// Whose keys.
        cluster: ClusterName,
        /// Which keys.
        generation: Generation,
        /// Which change of recipients, from 1.
        change: u32,
    },
    /// That a system identifier belongs to a cluster; signed text.
    Adoption(Place),
    /// What a running backup uses; signed text.
    Intent {
        /// Where.
        place: Place,
        /// Whose word.
        backup: BackupId,
        /// Which renewal, from 1.
        number: u32,
    },
    /// A pack of pages.
    Pack {
        /// Where.
        place: Place,
        /// The backup that wrote it.
        backup: BackupId,
        /// Which of the backup's, from 0.
        number: u32,
    },
    /// A map object.
    Map {
        /// Where.
        place: Place,
        /// Whose.
        backup: BackupId,
        /// Which of the backup's, from 0.
        number: u32,
    },
    /// The object that makes a backup exist.
    Manifest {
        /// Where.
        place: Place,
        /// Which backup.
        backup: BackupId,
    },
    /// A file of the WAL archive.
    Wal {
        /// Where.
        place: Place,
        /// PostgreSQL's name.
        file: WalFileName,
    },
    /// A part of a large segment (or `.partial` file).
    WalPart {
        /// Where.
        place: Place,
        /// The file it is a part of.
        file: PartedFile,
        /// Which part, from 0.
        part: u32,
    },
    /// What the segments of a full folder say, in one object: a cache.
    Chapter {
        /// Where.
        place: Place,
        /// Which folder.
        folder: WalFolder,
        /// 0, and one more where the one before is damaged.
        number: u32,
    },
    /// A policy of retention that was in force; signed text.
    Policy {
        /// Whose.
        cluster: ClusterName,
        /// Which, from 1.
        number: u32,
    },
    /// What is about to be deleted; signed text.
    Tombstone {
        /// Where.
        place: Place,
        /// Which.
        id: RecordId,
    },
    /// That a tombstone counts no more; signed text.
    TombstoneRevoked {
        /// Where.
        place: Place,
        /// Which tombstone.
        id: RecordId,
    },
    /// That a tombstone was carried out in a region, and what was spared; signed text.
    TombstoneDone {
        /// Where.
        place: Place,
        /// Which tombstone.
        id: RecordId,
        /// In which region.
        region: RegionLabel,
    },
    /// What must not be deleted; signed text.
    Hold {
        /// Where.
        place: Place,
        /// Which.
        id: RecordId,
    },
    /// The end of a hold; signed text.
    HoldReleased {
        /// Where.
        place: Place,
        /// Which hold.
        id: RecordId,
    },
    /// That lost WAL was acknowledged; signed text.
    Hole {
        /// Where.
        place: Place,
        /// Which.
        id: RecordId,
    },
    /// What happened, and by whom.
    Event {
        /// Where.
        place: Place,
        /// Which; its time gives the folders.
        id: RecordId,
    },
    /// A whole copy of an object that is damaged under its own name in this region: the same bytes, which say the original's name.
    Heal {
        /// Of which object; never itself such a copy.
        of: Box<Self>,
        /// Which, from 1; one more where the one before is damaged too.
        number: u32,
    },
}

/// The name of a region as it stands in object names: one component of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionLabel(String);

impl RegionLabel {
    /// From the name of a region; none for what cannot stand in the name of an object.
    pub fn new(name: &str) -> Option<Self> {
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
        let fits = !name.is_empty() && name.len() <= 64 && name.chars().all(plain);
        (fits && name != "." && name != "..").then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A cluster and one of its system identifiers: the folder that holds backups and WAL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The cluster's chosen name.
    pub cluster: ClusterName,
    /// PostgreSQL's system identifier.
    pub system: SystemId,
}

/// The kinds of WAL file that are as large as a segment and so may lie in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartedFile {
    /// A whole segment.
    Segment(SegmentName),
    /// `<segment>.partial`.
    Partial(SegmentName),
}

/// The name of an object, relative to the region. Only [`Named`] makes one, so it is always well formed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    text: String,
    named: Named,
}

impl ObjectName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the name says.
    pub fn named(&self) -> &Named {
        &self.named
    }

    /// The object that this is a heal copy of; none for an original.
    pub fn healed(&self) -> Option<Self> {
        match &self.named {
            Named::Heal { of, .. } => Some(of.to_name()),
            _ => None,
        }
    }

    /// The name that stands in what an object signs: a heal copy holds the bytes of its original.
    pub fn signed(&self) -> Cow<'_, Self> {
        self.healed().map_or(Cow::Borrowed(self), Cow::Owned)
    }

    /// Its heal copy of this number; none for one that is itself such a copy, or for number 0.
    pub fn heal(&self, number: u32) -> Option<Self> {
        if number == 0 || matches!(self.named, Named::Heal { .. }) {
            return None;
        }
        Some(Named::Heal { of: Box::new(self.named.clone()), number }.to_name())
    }

    /// The folder in which its heal copies lie, with those of its neighbours.
    pub fn heals_folder(&self) -> String {
        let (home, rest) = self.at_home();
        let folder = rest.rfind('/').and_then(|at| rest.get(..=at)).unwrap_or("");
        format!("{home}{}{folder}", prefix::HEALS)
    }

    /// The folder of what it belongs to (a system identifier, a cluster, or the region), and the rest of the name.
    fn at_home(&self) -> (String, &str) {
        let home = match &self.named {
            Named::Adoption(_) | Named::Key { .. } | Named::Policy { .. } => {
                self.named.cluster().map(prefix::cluster).unwrap_or_default()
            }
            named => named.place().map(Place::all).unwrap_or_default(),
        };
        let rest = self.text.strip_prefix(&home).unwrap_or(&self.text);
        (home, rest)
    }

    /// Reads a name; none for what this version does not know.
    pub fn parse(text: &str) -> Option<Self> {
        let name = parse::parse(text)?.to_name();
        // One spelling each: leading zeros, other case or other folders are not this object.
        (name.text == text).then_some(name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectName({})", self.text)
    }
}

impl From<Named> for ObjectName {
    fn from(named: Named) -> Self {
        named.to_name()
    }
}

impl Named {
    /// The object's name.
    pub fn to_name(&self) -> ObjectName {
        let text = match self {
            Self::Seawall => prefix::SEAWALL.to_owned(),
            Self::Owner { change } => format!("{}{change}", prefix::OWNER),
            Self::Writer(writer) => format!("{}{writer}.json", prefix::WRITERS),
            Self::Revocation(writer) => format!("{}{writer}.revoked.json", prefix::WRITERS),
            Self::Key { cluster, generation, change } => {
                format!("{}{generation}.{change}", prefix::keys(cluster))
            }
            Self::Adoption(place) => format!("{}{}.json", prefix::adoptions(&place.cluster), place.system),
            Self::Intent { place, backup, number } => format!("{}{backup}.{number}", place.intents()),
            Self::Pack { place, backup, number } => format!("{}{number}", place.packs(*backup)),
            Self::Map { place, backup, number } => format!("{}{number}", place.maps(*backup)),
            Self::Manifest { place, backup } => format!("{}{backup}", place.manifests()),
            Self::Wal { place, file } => wal_text(place, *file),
            Self::WalPart { place, file, part } => format!("{}.p{part}", wal_text(place, (*file).into())),
            Self::Chapter { place, folder, number } => {
                let again = if *number == 0 { String::new() } else { format!(".{number}") };
                format!("{}{folder}{again}", place.chapters_timeline(folder.timeline()))
            }
            Self::Policy { cluster, number } => format!("{}{number}", prefix::policies(cluster)),
            Self::Tombstone { place, id } => format!("{}{id}", place.tombstones()),
            Self::TombstoneRevoked { place, id } => format!("{}{id}.revoked", place.tombstones()),
            Self::TombstoneDone { place, id, region } => {
                format!("{}{id}.done.{}", place.tombstones(), region.as_str())
            }
            Self::Hold { place, id } => format!("{}{id}", place.holds()),
            Self::HoldReleased { place, id } => format!("{}{id}.released", place.holds()),
            Self::Hole { place, id } => format!("{}{id}", place.holes()),
            Self::Event { place, id } => format!("{}{id}", place.events_of(*id)),
            Self::Heal { of, number } => {
                let original = of.to_name();
                let (home, rest) = original.at_home();
                format!("{home}{}{rest}.{number}", prefix::HEALS)
            }
        };
        ObjectName { text, named: self.clone() }
    }

    fn is_nested(&self) -> bool {
        matches!(self, Self::Heal { of, .. } if matches!(**of, Self::Heal { .. }))
    }

    /// The cluster the object belongs to; none for what belongs to the whole repository.
    pub fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Self::Key { cluster, .. } | Self::Policy { cluster, .. } => Some(cluster),
            Self::Heal { of, .. } => of.cluster(),
            _ => self.place().map(|place| &place.cluster),
        }
    }

    /// The cluster and system identifier the object belongs to.
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::Seawall
            | Self::Owner { .. }
            | Self::Writer(_)
            | Self::Revocation(_)
            | Self::Key { .. }
            | Self::Policy { .. } => None,
            Self::Heal { of, .. } => of.place(),
            Self::Adoption(place)
            | Self::Intent { place, .. }
            | Self::Pack { place, .. }
            | Self::Map { place, .. }
            | Self::Manifest { place, .. }
            | Self::Wal { place, .. }
            | Self::WalPart { place, .. }
            | Self::Chapter { place, .. }
            | Self::Tombstone { place, .. }
            | Self::TombstoneRevoked { place, .. }
            | Self::TombstoneDone { place, .. }
            | Self::Hold { place, .. }
            | Self::HoldReleased { place, .. }
            | Self::Hole { place, .. }
            | Self::Event { place, .. } => Some(place),
        }
    }
}

impl From<PartedFile> for WalFileName {
    fn from(file: PartedFile) -> Self {
        match file {
            PartedFile::Segment(segment) => Self::Segment(segment),
            PartedFile::Partial(segment) => Self::Partial(segment),
        }
    }
}

impl PartedFile {
    /// The file, if it is of a kind that may lie in parts.
    pub fn of(file: WalFileName) -> Option<Self> {
        match file {
            WalFileName::Segment(segment) => Some(Self::Segment(segment)),
            WalFileName::Partial(segment) => Some(Self::Partial(segment)),
            WalFileName::BackupHistory { .. } | WalFileName::TimelineHistory(_) => None,
        }
    }
}

fn wal_text(place: &Place, file: WalFileName) -> String {
    match file.segment() {
        Some(segment) => format!("{}{file}", place.wal_folder(segment)),
        None => format!("{}{file}", place.wal()),
    }
}

/// The name of the timeline's folder under `wal/`.
pub(crate) fn timeline_folder(timeline: Timeline) -> String {
    format!("{timeline:08X}/")
}

#[cfg(test)]
mod tests;
