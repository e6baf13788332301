//! What a pass has seen, gathered: counts by region and kind, findings, conflicts, regions that broke.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seawall_pg::{SegmentName, SegmentNo, Timeline, WalFileName, WalSegmentSize};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_store::{RegionName, SweptTemps};

use super::found::{Findings, Found, Subject, Way};
use super::healed::Heals;
use super::links::{Broken, Links, Told};
use super::object::{Good, Wrong};
use super::report::{Kind, KindCount, Orphans};
use super::tasks::{Job, Look, Neighbours, Outcome, Seen};
use crate::repository::{Apart, Copy};

/// What is counted for one region.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) kinds: Vec<KindCount>,
    pub(super) orphans: Orphans,
    pub(super) leftovers: Option<SweptTemps>,
    pub(super) pages: u64,
    pub(super) unjudged: u64,
}

impl Tally {
    fn new() -> Self {
        let kinds = Kind::ALL.into_iter().map(KindCount::new).collect();
        Self { kinds, orphans: Orphans::default(), leftovers: None, pages: 0, unjudged: 0 }
    }

    fn kind(&mut self, kind: Kind) -> Option<&mut KindCount> {
        self.kinds.iter_mut().find(|count| count.kind == kind)
    }
}

/// Everything seen so far.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) findings: Arc<Mutex<Findings>>,
    pub(super) heals: Arc<Heals>,
    /// Objects with heal copies that went by under their own names.
    pub(super) originals: BTreeSet<(RegionName, ObjectName)>,
    pub(super) tallies: BTreeMap<RegionName, Tally>,
    pub(super) broken: BTreeMap<RegionName, String>,
    /// Damaged pages that backups knew of, by backup: the most that any region showed.
    pub(super) known: BTreeMap<BackupId, BTreeMap<RegionName, u64>>,
    /// Neighbouring segments, and whether they go on in one another.
    pub(super) links: BTreeMap<(SystemId, RegionName), Links>,
    /// Objects whose content could not be opened.
    pub(super) closed: u64,
    /// Bytes of copies that were read.
    pub(super) read_bytes: u64,
}

impl Gathered {
    pub(super) fn new(regions: &[RegionName]) -> Self {
        Self {
            findings: Arc::default(),
            heals: Arc::default(),
            originals: BTreeSet::new(),
            tallies: regions.iter().map(|region| (region.clone(), Tally::new())).collect(),
            broken: BTreeMap::new(),
            known: BTreeMap::new(),
            links: BTreeMap::new(),
            closed: 0,
            read_bytes: 0,
        }
    }

    /// Whether a region is judged, and answers.
    pub(super) fn judges(&self, region: &RegionName) -> bool {
        self.tallies.contains_key(region) && !self.broken.contains_key(region)
    }

    pub(super) fn judged(&self) -> BTreeSet<RegionName> {
        self.tallies.keys().filter(|region| !self.broken.contains_key(*region)).cloned().collect()
    }

    pub(super) fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listed(&mut self, region: &RegionName, kind: Kind, bytes: u64) {
        if let Some(count) = self.tallies.get_mut(region).and_then(|tally| tally.kind(kind)) {
            count.objects += 1;
            count.bytes = count.bytes.saturating_add(bytes);
        }
    }

    pub(super) fn read(&mut self, region: &RegionName, kind: Kind, bytes: u64) {
        if let Some(count) = self.tallies.get_mut(region).and_then(|tally| tally.kind(kind)) {
            count.read += 1;
            count.read_bytes = count.read_bytes.saturating_add(bytes);
        }
    }

    /// A region whose listing broke, or that went down: told once, and judged no further.
    pub(super) fn breaks(&mut self, region: &RegionName, why: &str) {
        if !self.judges(region) {
            return;
        }
        self.broken.insert(region.clone(), why.to_owned());
        let found = Found {
            region: region.clone(),
            object: "the region".to_owned(),
            subject: Subject::Region,
            way: Way::Unlisted,
            fault: format!("it could not be asked to the end: {why}"),
            writer: None,
            elsewhere: Vec::new(),
            read_good: 0,
        };
        self.findings().add(found);
    }

    pub(super) fn find(&mut self, found: Found, kind: Kind) {
        let region = found.region.clone();
        let added = self.findings().add(found);
        if added && let Some(count) = self.tallies.get_mut(&region).and_then(|tally| tally.kind(kind)) {
            count.bad += 1;
        }
    }

    /// What became of the copies of one object: `others` are all regions that show it.
    pub(super) fn take(&mut self, mut seen: Vec<Seen>, job: &Job, size: Option<WalSegmentSize>) {
        if let (Some(neighbours), Some(size)) = (&job.neighbours, size) {
            seen.iter_mut().for_each(|seen| self.link(seen, job, neighbours, size));
        }
        let others: Vec<RegionName> = job.copies.iter().map(|(region, _)| region.clone()).collect();
        let mut by_name: BTreeMap<ObjectName, Vec<Seen>> = BTreeMap::new();
        for one in seen {
            by_name.entry(one.name.clone()).or_default().push(one);
        }
        for (name, seen) in by_name {
            self.take_object(&name, seen, &others, size, job);
        }
    }

    fn take_object(
        &mut self,
        name: &ObjectName,
        seen: Vec<Seen>,
        others: &[RegionName],
        size: Option<WalSegmentSize>,
        job: &Job,
    ) {
        let (kind, whole) = (Kind::of(name.named()), job.look != Look::Head);
        let good: Vec<RegionName> = seen
            .iter()
            .filter(|seen| matches!(seen.outcome, Outcome::Good(_)))
            .map(|seen| seen.region.clone())
            .collect();
        let mut copies = Vec::new();
        for Seen { region, bytes, outcome, .. } in seen {
            self.read_bytes = self.read_bytes.saturating_add(bytes);
            if whole {
                self.read(&region, kind, bytes);
            }
            match outcome {
                Outcome::Good(one) => copies.extend(self.good(name, &region, &one)),
                Outcome::Wrong(wrong) if self.judges(&region) => {
                    let read_good = if whole { &good[..] } else { &[] };
                    let found = found_of(name, &region, wrong, read_good, others, size);
                    self.find(found, kind);
                }
                Outcome::Down(why) => self.breaks(&region, &why),
                Outcome::Unreadable(why) if self.judges(&region) => {
                    let wrong = Wrong::new(Way::Unreadable, why);
                    self.find(found_of(name, &region, wrong, &good, others, size), kind);
                }
                Outcome::Wrong(_) | Outcome::Unreadable(_) | Outcome::Gone | Outcome::Spent => {}
            }
        }
        // Of one that a heal copy serves it is known what is wrong.
        let healed = |region: &RegionName| self.heals.standing_in(region, name).is_some();
        let told: Vec<_> = job.odd.iter().filter(|(region, _)| !healed(region)).collect();
        let odd: Vec<RegionName> = told.iter().map(|(region, _)| region.clone()).collect();
        self.compare(name, &copies, &odd, size);
        // What is signed and is not what the manifest names is told, once, if nothing worse was.
        for (region, fault) in told.into_iter().filter(|(region, _)| good.contains(region)) {
            let wrong = Wrong::new(Way::Damaged, fault.clone());
            self.find(found_of(name, region, wrong, &[], others, size), kind);
        }
    }

    /// Puts a segment beside its neighbours.
    fn link(&mut self, seen: &mut Seen, job: &Job, neighbours: &Neighbours, size: WalSegmentSize) {
        let Some(place) = job.name.named().place().filter(|_| seen.name == job.name) else { return };
        let links = self.links.entry((place.system, seen.region.clone())).or_default();
        let (told, beside) = match &mut seen.outcome {
            Outcome::Good(good) => (good.edges.take().map_or(Told::Nothing, Told::Edges), good.beside.take()),
            _ => (Told::Bad, None),
        };
        let at = neighbours.at;
        let mut broken = links.add(at, told);
        let alone = beside.and_then(|beside| links.take(beside));
        broken.extend(alone.map(|alone| (at.number, alone)));
        for (number, broken) in broken {
            let before = if number == at.number { neighbours.before } else { at.timeline };
            if let Some(found) =
                broken_link(place, &seen.region, (before, at.timeline, number), &broken, size)
            {
                self.find(found, Kind::Wal);
            }
        }
    }

    fn good(&mut self, name: &ObjectName, region: &RegionName, good: &Good) -> Option<Copy> {
        self.closed += u64::from(good.closed);
        if let Some(tally) = self.tallies.get_mut(region) {
            tally.pages = tally.pages.saturating_add(good.pages.pages);
            tally.unjudged = tally.unjudged.saturating_add(good.pages.unjudged);
        }
        if let (Named::Pack { backup, .. }, 1..) = (name.named(), good.pages.known) {
            *self.known.entry(*backup).or_default().entry(region.clone()).or_default() += good.pages.known;
        }
        good.copy(region)
    }

    /// Different content under one name: each copy is what its writer signed, so neither is damaged.
    pub(super) fn compare(
        &mut self,
        name: &ObjectName,
        copies: &[Copy],
        odd: &[RegionName],
        size: Option<WalSegmentSize>,
    ) {
        // Heal copies are numbered in each region by itself.
        if name.healed().is_some() {
            return;
        }
        let Some(apart) = Apart::of(copies.iter().cloned()) else { return };
        copies.iter().for_each(|copy| self.findings().doubt(&copy.region, name.named()));
        let mut candidates = [&apart.other, &apart.one];
        candidates.sort_by_key(|copy| !odd.contains(&copy.region));
        let region = candidates.into_iter().find(|copy| self.judges(&copy.region));
        let Some(region) = region.map(|copy| copy.region.clone()) else { return };
        let found = Found {
            region,
            object: name.to_string(),
            subject: Subject::of(name.named(), size),
            way: Way::Conflict,
            fault: apart.words(),
            writer: None,
            elsewhere: Vec::new(),
            read_good: 0,
        };
        self.find(found, Kind::of(name.named()));
    }

    /// Heal copies whose originals are not there.
    pub(super) fn orphaned_heals(&mut self) {
        let heals = Arc::clone(&self.heals);
        for (region, original, bytes) in heals.originals() {
            if !self.originals.contains(&(region.clone(), original.clone()))
                && let Some(tally) = self.tallies.get_mut(region)
            {
                tally.orphans.objects += heals.count(region, original);
                tally.orphans.bytes = tally.orphans.bytes.saturating_add(bytes);
            }
        }
    }

    pub(super) fn orphan(&mut self, region: &RegionName, bytes: u64) {
        if let Some(tally) = self.tallies.get_mut(region) {
            tally.orphans.objects += 1;
            tally.orphans.bytes = tally.orphans.bytes.saturating_add(bytes);
        }
    }
}

/// A fault of one copy as a finding; good copies that were read come first among the others.
pub(super) fn found_of(
    name: &ObjectName,
    region: &RegionName,
    wrong: Wrong,
    read_good: &[RegionName],
    others: &[RegionName],
    size: Option<WalSegmentSize>,
) -> Found {
    let mut elsewhere: Vec<RegionName> = read_good.iter().filter(|other| *other != region).cloned().collect();
    let read = elsewhere.len();
    for other in others {
        if other != region && !elsewhere.contains(other) {
            elsewhere.push(other.clone());
        }
    }
    Found {
        region: region.clone(),
        object: name.to_string(),
        subject: Subject::of(name.named(), size),
        way: wrong.way,
        fault: wrong.fault,
        writer: wrong.writer,
        elsewhere,
        read_good: read,
    }
}

/// A segment that does not go on where the one before it ends: the timelines of both, and the later one's number.
fn broken_link(
    place: &Place,
    region: &RegionName,
    (before, timeline, number): (Timeline, Timeline, SegmentNo),
    broken: &Broken,
    size: WalSegmentSize,
) -> Option<Found> {
    let earlier = SegmentName::new(before, number.prev()?, size).ok()?;
    let file = WalFileName::Segment(SegmentName::new(timeline, number, size).ok()?);
    let Broken { why, by: [one, other] } = broken;
    Some(Found {
        region: region.clone(),
        object: ObjectName::from(Named::Wal { place: place.clone(), file }).to_string(),
        subject: Subject::Link(place.clone(), before, timeline, number),
        way: Way::LinkBroken,
        fault: format!(
            "it does not go on where segment {earlier} ends: {why}; writer {one} signed that one, writer {other} this one"
        ),
        writer: None,
        elsewhere: Vec::new(),
        read_good: 0,
    })
}

/// The place an object belongs to.
pub(super) fn place_of(subject: &Subject) -> Option<&Place> {
    match subject {
        Subject::Manifest(place, _)
        | Subject::Pack(place, _)
        | Subject::Map(place, _)
        | Subject::Wal(place, ..)
        | Subject::Link(place, ..)
        | Subject::Partial(place, ..)
        | Subject::History(place, _) => Some(place),
        _ => None,
    }
}
