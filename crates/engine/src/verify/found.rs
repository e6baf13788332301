//! What was found wrong with one copy, before it is known what that means.
//!
//! Promises: one object in one region is found once, by whoever looked first; signatures of one writer whom nobody certifies are one
//! finding about that writer, for the objects are not to blame.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{SegmentNo, Timeline};
use seawall_repo::envelope::HeadError;
use seawall_repo::error::{Fault, ObjectError};
use seawall_repo::id::{BackupId, SystemId, WriterId};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::pack::PackId;
use seawall_repo::signed::SignedError;
use seawall_repo::trust::TrustError;
use seawall_store::RegionName;

use super::endangers::Cut;

/// In which way something is wrong: the finding's stable id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Way {
    Missing,
    Damaged,
    Forged,
    UnknownWriter,
    NotBelieved,
    NewerFormat,
    Conflict,
    MapMismatch,
    PageChecksum,
    WalPage,
    WalHole,
    LinkBroken,
    IndexWrong,
    ChapterDiffers,
    UnknownName,
    NotAdopted,
    Unlisted,
    Unreadable,
}

impl Way {
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Missing => "verify.missing",
            Self::Damaged => "verify.damaged",
            Self::Forged => "verify.forged",
            Self::UnknownWriter => "verify.unknown-writer",
            Self::NotBelieved => "verify.not-believed",
            Self::NewerFormat => "verify.newer-format",
            Self::Conflict => "verify.conflict",
            Self::MapMismatch => "verify.map-mismatch",
            Self::PageChecksum => "verify.page-checksum",
            Self::WalPage => "verify.wal-page",
            Self::WalHole => "verify.wal-hole",
            Self::LinkBroken => "verify.link-broken",
            Self::IndexWrong => "verify.index-wrong",
            Self::ChapterDiffers => "verify.chapter-differs",
            Self::UnknownName => "verify.unknown-name",
            Self::NotAdopted => "verify.not-adopted",
            Self::Unlisted => "verify.region-not-listed",
            Self::Unreadable => "verify.unreadable",
        }
    }

    /// Whether the copy is of no use to a restore.
    pub(super) fn spoils(self) -> bool {
        !matches!(
            self,
            Self::Conflict
                | Self::IndexWrong
                | Self::UnknownName
                | Self::NotAdopted
                | Self::Unlisted
                | Self::Unreadable
        )
    }
}

/// What it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Manifest(Place, BackupId),
    Pack(Place, PackId),
    Map(Place, PackId),
    /// Whole segments, both ends inclusive.
    Wal(Place, Timeline, SegmentNo, SegmentNo),
    /// A segment that does not go on where the one before it ends, which is on the first of these timelines.
    Link(Place, Timeline, Timeline, SegmentNo),
    /// A `.partial` file.
    Partial(Place, Timeline, SegmentNo),
    /// A `.backup` file.
    BackupHistory,
    History(Place, Timeline),
    Seawall,
    Owner,
    Certificate(WriterId),
    Revocation(WriterId),
    Key,
    Adoption,
    Intent,
    /// Tombstones, holds, policies: what decides about deleting.
    Keeping,
    Event,
    /// An acknowledged hole.
    Hole,
    /// A heal copy, of this object.
    Heal(ObjectName),
    /// A cache of what segments say.
    Chapter,
    /// A system identifier that nobody adopted.
    System,
    Stranger,
    Region,
}

impl Subject {
    /// What an object of this name is; `size` is asked for WAL only.
    pub(super) fn of(named: &Named, size: Option<seawall_pg::WalSegmentSize>) -> Self {
        match named {
            Named::Seawall => Self::Seawall,
            Named::Owner { .. } => Self::Owner,
            Named::Writer(writer) => Self::Certificate(*writer),
            Named::Revocation(writer) => Self::Revocation(*writer),
            Named::Key { .. } => Self::Key,
            Named::Adoption(_) => Self::Adoption,
            Named::Intent { .. } => Self::Intent,
            Named::Pack { place, backup, number } => {
                Self::Pack(place.clone(), PackId { backup: *backup, number: *number })
            }
            Named::Map { place, backup, number } => {
                Self::Map(place.clone(), PackId { backup: *backup, number: *number })
            }
            Named::Manifest { place, backup } => Self::Manifest(place.clone(), *backup),
            Named::Wal { place, file } => Self::of_wal(place, *file, size),
            Named::WalPart { place, file, .. } => Self::of_wal(place, (*file).into(), size),
            Named::Event { .. } => Self::Event,
            Named::Hole { .. } => Self::Hole,
            Named::Heal { of, .. } => Self::Heal(of.to_name()),
            Named::Chapter { .. } => Self::Chapter,
            _ => Self::Keeping,
        }
    }

    fn of_wal(
        place: &Place,
        file: seawall_pg::WalFileName,
        size: Option<seawall_pg::WalSegmentSize>,
    ) -> Self {
        use seawall_pg::WalFileName as File;
        let number = |name: seawall_pg::SegmentName| size.and_then(|size| name.number(size).ok());
        match file {
            File::Segment(name) => match number(name) {
                Some(number) => Self::Wal(place.clone(), name.timeline(), number, number),
                None => Self::Stranger,
            },
            File::Partial(name) => match number(name) {
                Some(number) => Self::Partial(place.clone(), name.timeline(), number),
                None => Self::Stranger,
            },
            File::BackupHistory { .. } => Self::BackupHistory,
            File::TimelineHistory(timeline) => Self::History(place.clone(), timeline),
        }
    }
}

/// One thing that is wrong in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) region: RegionName,
    /// The object's name, or what stands for it.
    pub(super) object: String,
    pub(super) subject: Subject,
    pub(super) way: Way,
    /// In words.
    pub(super) fault: String,
    /// Who signed it, where nobody certifies that writer.
    pub(super) writer: Option<WriterId>,
    /// Other regions that show the object; those that were read and found good come first.
    pub(super) elsewhere: Vec<RegionName>,
    /// How many of those were read and found good in this run.
    pub(super) read_good: usize,
}

/// How a fault of the format is called here.
pub(super) fn way_of(error: &ObjectError) -> (Way, Option<WriterId>) {
    match &error.fault {
        Fault::Trust(TrustError::UnknownWriter { writer }) => (Way::UnknownWriter, Some(*writer)),
        Fault::Trust(TrustError::Forged { .. }) => (Way::Forged, None),
        Fault::Signed(SignedError::Forged { .. } | SignedError::Signer { .. }) => (Way::Forged, None),
        Fault::Trust(_) => (Way::NotBelieved, None),
        Fault::Head(
            HeadError::NewerVersion { .. }
            | HeadError::UnknownFeatures { .. }
            | HeadError::UnknownKind { .. },
        ) => (Way::NewerFormat, None),
        _ => (Way::Damaged, None),
    }
}

/// Findings kept one by one; what is beyond is counted.
pub(super) const FOUND_MAX: usize = 10_000;

/// Everything found, once each.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Found>,
    /// Broken links by themselves: the object on either side is what its writer signed.
    seen: BTreeSet<(RegionName, String, bool)>,
    /// Packs and maps of no use, by region: who walks maps does not blame them for it.
    spoilt: BTreeMap<RegionName, BTreeSet<(bool, PackId)>>,
    more: u64,
}

impl Findings {
    /// Enters a finding; false where this object was found in this region before.
    pub(super) fn add(&mut self, found: Found) -> bool {
        let is_link = matches!(found.subject, Subject::Link(..));
        let key = (found.region.clone(), found.object.clone(), is_link);
        if self.seen.contains(&key) {
            return false;
        }
        let spoilt = match &found.subject {
            Subject::Pack(_, id) => Some((true, *id)),
            Subject::Map(_, id) => Some((false, *id)),
            _ => None,
        };
        if let Some(spoilt) = spoilt.filter(|_| found.way.spoils()) {
            self.spoilt.entry(found.region.clone()).or_default().insert(spoilt);
        }
        if self.list.len() < FOUND_MAX {
            self.seen.insert(key);
            self.list.push(found);
        } else {
            self.more += 1;
        }
        true
    }

    /// A pack or map of which nobody can say whether it is the right one: who walks maps passes it over.
    pub(super) fn doubt(&mut self, region: &RegionName, named: &Named) {
        let spoilt = match named {
            Named::Pack { backup, number, .. } => (true, PackId { backup: *backup, number: *number }),
            Named::Map { backup, number, .. } => (false, PackId { backup: *backup, number: *number }),
            _ => return,
        };
        self.spoilt.entry(region.clone()).or_default().insert(spoilt);
    }

    pub(super) fn has(&self, region: &RegionName, object: &str) -> bool {
        self.seen.contains(&(region.clone(), object.to_owned(), false))
    }

    /// The broken links of one place in one region.
    pub(super) fn links(&self, region: &RegionName, system: SystemId) -> Vec<Cut> {
        let of = self.list.iter().filter(|found| found.region == *region);
        of.filter_map(|found| match &found.subject {
            Subject::Link(place, before, timeline, number) if place.system == system => {
                Some(Cut::Link(*before, *timeline, *number))
            }
            _ => None,
        })
        .collect()
    }

    pub(super) fn has_pack(&self, region: &RegionName, pack: PackId) -> bool {
        self.spoilt.get(region).is_some_and(|spoilt| spoilt.contains(&(true, pack)))
    }

    pub(super) fn has_map(&self, region: &RegionName, map: PackId) -> bool {
        self.spoilt.get(region).is_some_and(|spoilt| spoilt.contains(&(false, map)))
    }

    /// All findings in the order of regions' names and objects, those of unknown writers drawn together; and how many more there were.
    pub(super) fn finish(self) -> (Vec<Found>, u64) {
        let mut rest = Vec::new();
        let mut unknown: BTreeMap<(RegionName, WriterId), Vec<Found>> = BTreeMap::new();
        for found in self.list {
            match found.writer {
                Some(writer) => unknown.entry((found.region.clone(), writer)).or_default().push(found),
                None => rest.push(found),
            }
        }
        rest.extend(unknown.into_iter().map(|((_, writer), found)| joined(writer, found)));
        rest.sort_by(|a, b| (&a.region, &a.object).cmp(&(&b.region, &b.object)));
        (rest, self.more)
    }
}

/// Objects that one unknown writer signed: a single one is a finding of its own, several are one about the writer.
fn joined(writer: WriterId, mut found: Vec<Found>) -> Found {
    let count = found.len();
    let mut first = found.swap_remove(0);
    if count > 1 {
        let name = ObjectName::from(Named::Writer(writer));
        first.fault = format!(
            "writer {writer} is unknown: no certificate of the owner names it, and it signed {count} objects, such as {}",
            first.object
        );
        first.object = name.to_string();
        first.subject = Subject::Certificate(writer);
        (first.elsewhere, first.read_good) = (Vec::new(), 0);
    }
    first
}
