//! The pass over all names of a cluster in order: what each name asks to be looked at, and what is missing between them.
//!
//! Promises: names are taken as they come, one folder of packs and one timeline's state at a time; what was decided for a name depends on
//! the depth, the place remembered and the budget alone. Deliberately reads nothing itself: jobs are done beside it.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{History, SegmentName, WalFileName};
use seawall_repo::envelope::HEAD_BYTES_WITHOUT_HEADER;
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::pack::PackId;
use seawall_repo::time::Time;
use seawall_store::{Held as Listing, RegionName};

use super::folder::Folder;
use super::found::Way;
use super::knowledge::Knowledge;
use super::lacking::{join, leave_folders, not_adopted, tell_parts, unknown_name};
use super::links::At;
use super::object::Wrong;
use super::options::{Depth, VerifyOptions};
use super::outcome::{Gathered, found_of};
use super::pages::PageFacts;
use super::report::Kind;
use super::tasks::{Job, Look, Neighbours};
use super::wal::WalSeen;
use super::wal_pages::WalFacts;

/// Where folders for what comes later lie: a reader ignores what it does not know there.
const RESERVED: [&str; 2] = ["tail/", "move/"];

/// One system identifier while its names go by.
pub(super) struct Progress {
    pub(super) known: Knowledge,
    pub(super) histories: BTreeMap<RegionName, BTreeMap<seawall_pg::Timeline, History>>,
    pub(super) folder: Option<(BackupId, Folder)>,
    /// Folders that manifests name and that did not go by yet.
    pub(super) awaited: BTreeSet<BackupId>,
    pub(super) wal: WalSeen,
    /// What the backup of the folder at hand says of its pages.
    pages: Option<(BackupId, Option<PageFacts>)>,
}

/// The pass.
pub(super) struct Pass<'o> {
    options: &'o VerifyOptions,
    seed: u64,
    /// Where the last budgeted run stopped.
    pub(super) resume: Option<String>,
    /// Set once the budget is used up.
    pub(super) stopped: bool,
    /// The last object that was read for this round.
    pub(super) reached: Option<String>,
    pub(super) systems: BTreeMap<SystemId, Progress>,
    /// When something was stored last, by any region.
    pub(super) newest: Time,
    strangers: BTreeSet<SystemId>,
    regions: Vec<RegionName>,
}

/// What a name asks for.
pub(super) enum Asks {
    Nothing,
    Job(Box<Job>),
    /// The maps of this backup are to be walked.
    Walk(SystemId, BackupId),
}

impl Progress {
    pub(super) fn new(
        known: Knowledge,
        histories: BTreeMap<RegionName, BTreeMap<seawall_pg::Timeline, History>>,
    ) -> Self {
        let awaited =
            known.regions.values().flat_map(|of| of.packs.keys().chain(of.maps.keys())).copied().collect();
        Self { known, histories, folder: None, awaited, wal: WalSeen::default(), pages: None }
    }

    fn wal_facts(&self, timeline: seawall_pg::Timeline, region: &RegionName) -> Option<WalFacts> {
        let history = match self.histories.get(region).and_then(|histories| histories.get(&timeline)) {
            Some(history) => Some(history.clone()),
            None => (timeline == seawall_pg::Timeline::FIRST).then(|| History::root(timeline)),
        };
        Some(WalFacts {
            size: self.known.size?,
            system: self.known.place.system,
            version: self.known.version?,
            history,
        })
    }

    /// Whose sizes or pages must be read before the folder of `backup` is gone through.
    pub(super) fn wants_manifest(&self, backup: BackupId, deep: bool) -> bool {
        let pages = deep && self.pages.as_ref().is_none_or(|(of, _)| *of != backup);
        let damaged = self.known.backup(backup).is_some_and(|backup| backup.damaged_pages > 0);
        self.known.lacks_sizes(backup) || (pages && damaged)
    }

    /// What the manifest says of the folder at hand; none where it could not be read.
    pub(super) fn enter(&mut self, backup: BackupId, manifest: Option<&seawall_repo::manifest::Manifest>) {
        if let Some(manifest) = manifest.filter(|_| self.known.lacks_sizes(backup)) {
            let own = manifest.body.packs.iter().filter(|row| row.pack.backup == backup);
            let mut sizes: Vec<(u32, u64)> = own.map(|row| (row.pack.number, row.stored_bytes)).collect();
            sizes.sort_unstable();
            self.known.take_sizes(backup, sizes);
        }
        let facts = self.known.backup(backup).map(|of| PageFacts {
            checksums: of.checksums,
            start: of.start,
            stop: of.stop,
            relation_segment_blocks: of.relation_segment_blocks,
            known: manifest.map(super::knowledge::Backup::known_pages).unwrap_or_default(),
            known_all: of.damaged_pages == 0
                || manifest.is_some_and(|manifest| manifest.body.findings_more == 0),
        });
        self.pages = Some((backup, facts));
    }
}

/// Whether it is a signed text, which is always read whole.
fn is_text(name: &ObjectName) -> bool {
    seawall_repo::envelope::Kind::of_name(&name.signed()).is_none()
}

/// Objects of which listing tells all that quick looks for.
fn is_plain(named: &Named) -> bool {
    matches!(named, Named::Wal { .. } | Named::WalPart { .. } | Named::Chapter { .. } | Named::Event { .. })
}

impl<'o> Pass<'o> {
    pub(super) fn new(options: &'o VerifyOptions, seed: u64, regions: &[RegionName]) -> Self {
        Self {
            options,
            seed,
            resume: None,
            stopped: false,
            reached: None,
            systems: BTreeMap::new(),
            newest: Time::EPOCH,
            strangers: BTreeSet::new(),
            regions: regions.to_vec(),
        }
    }

    /// Whether this object is to be read whole.
    pub(super) fn is_deep(&self, name: &str) -> bool {
        match self.options.depth {
            Depth::Quick => false,
            Depth::Sample(share) => share.holds(self.seed, name),
            Depth::Stored | Depth::Full => {
                !self.stopped && self.resume.as_deref().is_none_or(|resume| name > resume)
            }
        }
    }

    /// The backup whose manifest must be at hand before this name is taken.
    pub(super) fn wants_manifest(&self, name: &ObjectName) -> Option<(SystemId, BackupId)> {
        let (Named::Pack { place, backup, .. } | Named::Map { place, backup, .. }) = name.named() else {
            return None;
        };
        let progress = self.systems.get(&place.system)?;
        let enters = progress.folder.as_ref().is_none_or(|(of, _)| of != backup);
        (enters
            && progress.wants_manifest(*backup, matches!(self.options.depth, Depth::Sample(_) | Depth::Full)))
        .then_some((place.system, *backup))
    }

    /// Takes the next name, and what it says.
    pub(super) fn take(
        &mut self,
        text: &str,
        name: Option<ObjectName>,
        held: &[Listing],
        gathered: &mut Gathered,
    ) -> Asks {
        let shown: Vec<RegionName> = held.iter().map(|held| held.region.clone()).collect();
        let stored = held.iter().map(|held| held.modified_unix_us).max().and_then(Time::from_micros);
        self.newest = stored.map_or(self.newest, |stored| stored.max(self.newest));
        let Some(name) = name else {
            self.stranger(text, &shown, gathered);
            return Asks::Nothing;
        };
        let kind = Kind::of(name.named());
        if let Some(place) = name.named().place()
            && !matches!(name.signed().named(), Named::Adoption(_))
            && !self.systems.contains_key(&place.system)
        {
            self.not_adopted(place, &shown, gathered);
            return Asks::Nothing;
        }
        gathered.originals.extend(
            held.iter()
                .filter(|held| gathered.heals.has(&held.region, &name))
                .map(|held| (held.region.clone(), name.clone())),
        );
        for held in held {
            gathered.listed(&held.region, kind, held.size_bytes);
        }
        match name.named() {
            Named::Pack { place, backup, number } => {
                self.of_folder(
                    place.system,
                    PackId { backup: *backup, number: *number },
                    false,
                    held,
                    gathered,
                );
            }
            Named::Map { place, backup, number } => {
                self.of_folder(
                    place.system,
                    PackId { backup: *backup, number: *number },
                    true,
                    held,
                    gathered,
                );
            }
            Named::Wal { place, .. } | Named::WalPart { place, .. } => {
                if let Some(progress) = self.systems.get_mut(&place.system) {
                    leave_folders(progress, None, gathered);
                }
                self.of_wal(place.system, &name, held, &shown, gathered);
            }
            named => {
                // Folders come first among a system identifier's names, so they have all gone by.
                if let Some(progress) = named.place().and_then(|place| self.systems.get_mut(&place.system)) {
                    leave_folders(progress, None, gathered);
                }
            }
        }
        self.lacking(&name, &shown, gathered);
        self.asks(name, held, gathered)
    }

    /// What this name asks to be read.
    fn asks(&mut self, name: ObjectName, held: &[Listing], gathered: &mut Gathered) -> Asks {
        let deep = self.is_deep(name.as_str());
        let sizes_differ = held.windows(2).any(|pair| matches!(pair, [a, b] if a.size_bytes != b.size_bytes));
        // Most names by far, decided without a thought.
        if is_plain(name.named()) && !deep && !sizes_differ {
            return Asks::Nothing;
        }
        let named = name.named().clone();
        if deep && self.options.depth.reads_all() && Kind::of(&named) != Kind::Records {
            self.reached = Some(name.to_string());
        }
        let copies = |of: &Listing| (of.region.clone(), of.size_bytes);
        let judged: Vec<(RegionName, u64)> =
            held.iter().filter(|held| gathered.judges(&held.region)).map(copies).collect();
        let all = || held.iter().map(copies).collect();
        let odd = self.odd(&named, &judged);
        let (copies, whole): (Vec<(RegionName, u64)>, bool) = match &named {
            Named::Manifest { place, backup } => {
                return if deep && self.options.depth == Depth::Full {
                    Asks::Walk(place.system, *backup)
                } else {
                    Asks::Nothing
                };
            }
            // Read together with the object of the whole file, which names their digests.
            Named::WalPart { .. } if self.options.depth.reads_all() => return Asks::Nothing,
            Named::Intent { place, backup, .. } => {
                let live = self
                    .systems
                    .get(&place.system)
                    .is_some_and(|progress| progress.known.under_way.contains(backup));
                if !live && !deep {
                    return Asks::Nothing;
                }
                (judged, true)
            }
            Named::Pack { .. }
            | Named::Map { .. }
            | Named::Wal { .. }
            | Named::WalPart { .. }
            | Named::Chapter { .. }
            | Named::Event { .. }
            | Named::Heal { .. } => {
                if deep || is_text(&name) {
                    (judged, true)
                } else if sizes_differ || !odd.is_empty() {
                    (all(), false)
                } else if matches!(named, Named::Map { .. } | Named::Heal { .. }) {
                    (judged, false)
                } else {
                    return Asks::Nothing;
                }
            }
            _ => (judged, true),
        };
        // What listing alone showed to be wrong is told already.
        let object = name.to_string();
        let copies: Vec<_> =
            copies.into_iter().filter(|(region, _)| !gathered.findings().has(region, &object)).collect();
        if copies.is_empty() {
            return Asks::Nothing;
        }
        let created = held.iter().map(|held| held.modified_unix_us).min().and_then(Time::from_micros);
        Asks::Job(Box::new(Job {
            pages: self.page_facts(&named),
            wal: self.wal_facts(&named, &copies),
            neighbours: if deep { self.neighbours(&named) } else { None },
            name,
            copies,
            created,
            look: self.look(whole),
            odd,
        }))
    }

    fn look(&self, whole: bool) -> Look {
        match self.options.depth {
            _ if !whole => Look::Head,
            Depth::Stored => Look::Stored,
            Depth::Quick | Depth::Sample(_) | Depth::Full => Look::Open,
        }
    }

    /// The judged copies of a pack that have not the size that its manifest says, and what they have.
    fn odd(&self, named: &Named, judged: &[(RegionName, u64)]) -> Vec<(RegionName, String)> {
        let Named::Pack { place, backup, number } = named else { return Vec::new() };
        let id = PackId { backup: *backup, number: *number };
        let wanted = self.systems.get(&place.system).and_then(|progress| progress.known.pack_size(id));
        let Some(wanted) = wanted else { return Vec::new() };
        let odd = judged.iter().filter(|(_, size)| *size != wanted);
        odd.map(|(region, size)| (region.clone(), format!("it has {size} bytes, its manifest says {wanted}")))
            .collect()
    }

    fn page_facts(&self, named: &Named) -> Option<PageFacts> {
        let Named::Pack { place, backup, .. } = named else { return None };
        let (of, facts) = self.systems.get(&place.system)?.pages.as_ref()?;
        facts.clone().filter(|_| of == backup)
    }

    fn wal_facts(&self, named: &Named, copies: &[(RegionName, u64)]) -> Vec<(RegionName, WalFacts)> {
        let (place, timeline) = match named {
            Named::Wal { place, file } => (place, file.timeline()),
            Named::WalPart { place, file, .. } => (place, seawall_pg::WalFileName::from(*file).timeline()),
            _ => return Vec::new(),
        };
        let Some(progress) = self.systems.get(&place.system) else { return Vec::new() };
        copies
            .iter()
            .filter_map(|(region, _)| Some((region.clone(), progress.wal_facts(timeline, region)?)))
            .collect()
    }

    /// The neighbours of a segment that is read whole, and which of them are too.
    fn neighbours(&self, named: &Named) -> Option<Neighbours> {
        let Named::Wal { place, file: WalFileName::Segment(segment) } = named else { return None };
        let progress = self.systems.get(&place.system)?;
        let (timeline, size) = (segment.timeline(), progress.known.size?);
        let number = segment.number(size).ok()?;
        let named = |timeline, number| {
            let file = WalFileName::Segment(SegmentName::new(timeline, number, size).ok()?);
            Some(ObjectName::from(Named::Wal { place: place.clone(), file }))
        };
        let is_deep = |name: Option<&ObjectName>| name.is_some_and(|name| self.is_deep(name.as_str()));
        let earlier = number.prev()?;
        let history = progress.histories.values().find_map(|histories| histories.get(&timeline));
        let before = history.map_or(timeline, |history| history.timeline_of_segment(earlier, size));
        let alone = named(before, earlier);
        let after_another = before == timeline && is_deep(alone.as_ref());
        let before_another = is_deep(number.next().and_then(|next| named(timeline, next)).as_ref());
        let at = At { timeline, number, after_another, before_another };
        Some(Neighbours { at, before, alone: alone.filter(|_| !after_another) })
    }

    fn of_folder(
        &mut self,
        system: SystemId,
        id: PackId,
        is_map: bool,
        held: &[Listing],
        gathered: &mut Gathered,
    ) {
        let Some(progress) = self.systems.get_mut(&system) else { return };
        if progress.folder.as_ref().is_none_or(|(of, _)| *of != id.backup) {
            leave_folders(progress, Some(id.backup), gathered);
            if progress.pages.as_ref().is_none_or(|(of, _)| *of != id.backup) {
                progress.enter(id.backup, None);
            }
            progress.awaited.remove(&id.backup);
            progress.folder = Some((id.backup, Folder::default()));
        }
        let known = &progress.known;
        let needed = known.is_needed_anywhere(id, is_map);
        let covered = needed
            || known.shown.contains(&id.backup)
            || known.under_way.contains(&id.backup)
            || (!is_map && known.adopted.contains(&id));
        for one in held {
            if let Some((_, folder)) = &mut progress.folder {
                folder.add(&one.region, is_map, id.number);
            }
            if !gathered.judges(&one.region) {
                continue;
            }
            if !covered {
                gathered.orphan(&one.region, one.size_bytes);
            }
        }
    }

    fn of_wal(
        &mut self,
        system: SystemId,
        name: &ObjectName,
        held: &[Listing],
        shown: &[RegionName],
        gathered: &mut Gathered,
    ) {
        let Some(progress) = self.systems.get_mut(&system) else { return };
        // Every region is followed, also those that are not judged: they may have what another lacks.
        let stored = held.iter().map(|held| held.modified_unix_us).min().and_then(Time::from_micros);
        let lacking = progress.wal.add(name.named(), shown, stored, &progress.known);
        tell_parts(&lacking, progress, gathered);
        let least = (HEAD_BYTES_WITHOUT_HEADER + 2) as u64;
        for one in held.iter().filter(|held| held.size_bytes < least) {
            if !gathered.judges(&one.region) || gathered.heals.has(&one.region, name) {
                continue;
            }
            let fault = match one.size_bytes {
                0 => "it is empty".to_owned(),
                there => format!("it has {there} bytes, less than any object has"),
            };
            let found =
                found_of(name, &one.region, Wrong::new(Way::Damaged, fault), &[], shown, progress.known.size);
            gathered.find(found, Kind::Wal);
        }
    }

    /// Judged regions that lack an object which stands by itself, and which another region shows.
    fn lacking(&self, name: &ObjectName, shown: &[RegionName], gathered: &mut Gathered) {
        use seawall_pg::WalFileName as File;
        let named = name.named();
        let progress = named.place().and_then(|place| self.systems.get(&place.system));
        let stands_alone = match named {
            Named::Pack { .. } | Named::Map { .. } | Named::WalPart { .. } | Named::Heal { .. } => false,
            Named::Wal { file, .. } => !matches!(file, File::Segment(_)),
            Named::Intent { backup, .. } => {
                progress.is_some_and(|progress| progress.known.under_way.contains(backup))
            }
            _ => true,
        };
        if !stands_alone || progress.is_some_and(|progress| progress.known.is_condemned(named)) {
            return;
        }
        let size = progress.and_then(|progress| progress.known.size);
        for region in &self.regions {
            if shown.contains(region) || !gathered.judges(region) {
                continue;
            }
            let fault = format!("region {region} lacks it, region {} shows it", join(shown));
            let found = found_of(name, region, Wrong::new(Way::Missing, fault), &[], shown, size);
            gathered.find(found, Kind::of(named));
        }
    }

    fn stranger(&self, text: &str, shown: &[RegionName], gathered: &mut Gathered) {
        let reserved = |rest: &str| RESERVED.iter().any(|folder| rest.starts_with(folder));
        let below_system =
            text.split_once('/').and_then(|(_, rest)| rest.split_once('/')).map(|(_, rest)| rest);
        if below_system.is_some_and(reserved) {
            return;
        }
        for region in shown.iter().filter(|region| gathered.judges(region)).cloned().collect::<Vec<_>>() {
            gathered.find(unknown_name(&region, text, shown), Kind::Records);
        }
    }

    fn not_adopted(
        &mut self,
        place: &seawall_repo::layout::Place,
        shown: &[RegionName],
        gathered: &mut Gathered,
    ) {
        if !self.strangers.insert(place.system) {
            return;
        }
        for region in shown.iter().filter(|region| gathered.judges(region)).cloned().collect::<Vec<_>>() {
            let found = not_adopted(&region, place);
            gathered.find(found, Kind::Records);
        }
    }

    /// The names have all gone by.
    pub(super) fn finish(&mut self, gathered: &mut Gathered) {
        for progress in self.systems.values_mut() {
            leave_folders(progress, None, gathered);
            let lacking = progress.wal.end_parts(&progress.known);
            tell_parts(&lacking, progress, gathered);
        }
        gathered.orphaned_heals();
    }
}
