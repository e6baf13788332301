//! What something kept still needs: the closure that is proved before anything is condemned, and asked again before anything is
//! deleted.
//!
//! Promises: pure. Whatever a kept backup, a running backup, a hold or a window may read is in here; where that is not known for
//! certain (a manifest that cannot be read, an intent that cannot be read, WAL of unknown ancestry) everything it could be is.

use std::collections::{BTreeSet, HashMap, HashSet};

use seawall_pg::{SegmentNo, Timeline, WalFileName, WalFolder, WalSegmentSize};
use seawall_repo::id::BackupId;
use seawall_repo::layout::Named;
use seawall_repo::manifest::ManifestHeader;
use seawall_repo::time::Time;

use super::bodies::Bodies;
use super::look::{DEAD_AFTER, PlaceSeen, WalSeen};
use crate::retention::{Decision, Span, WalKeep, WalRanges};

/// How long an intent that counts no more is left standing.
const INTENT_KEPT: Span = Span::hours(48);

/// What is needed of one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Needed {
    /// Why everything is, packs and maps and manifests.
    pub(super) everything: Option<String>,
    /// Why all WAL is.
    pub(super) all_wal: Option<String>,
    manifests: HashSet<BackupId>,
    /// Backups whose packs and maps are all needed.
    folders: HashSet<BackupId>,
    /// Backups whose maps are all needed.
    maps: HashSet<BackupId>,
    packs: HashMap<BackupId, HashSet<u32>>,
    intents: HashSet<BackupId>,
    wal: WalRanges,
    histories: BTreeSet<Timeline>,
    size: Option<WalSegmentSize>,
}

impl Needed {
    /// Whether an object of this place is needed. What this version does not know, and what stands for itself (certificates, holds,
    /// tombstones, events), always is.
    pub(super) fn needs(&self, named: &Named) -> bool {
        let of_wal = matches!(named, Named::Wal { .. } | Named::WalPart { .. } | Named::Chapter { .. });
        if self.everything.is_some() && !of_wal {
            return true;
        }
        match named {
            Named::Manifest { backup, .. } => self.manifests.contains(backup),
            Named::Pack { backup, number, .. } => self.needs_pack(*backup, *number),
            Named::Map { backup, .. } => self.needs_maps(*backup),
            Named::Intent { backup, .. } => self.intents.contains(backup),
            Named::Wal { file, .. } => self.needs_wal(*file),
            Named::WalPart { file, .. } => self.needs_wal((*file).into()),
            Named::Chapter { folder, .. } => self.needs_chapter(*folder),
            _ => true,
        }
    }

    pub(super) fn needs_manifest(&self, backup: BackupId) -> bool {
        self.everything.is_some() || self.manifests.contains(&backup)
    }

    pub(super) fn needs_pack(&self, backup: BackupId, number: u32) -> bool {
        self.everything.is_some()
            || self.folders.contains(&backup)
            || self.packs.get(&backup).is_some_and(|packs| packs.contains(&number))
    }

    pub(super) fn needs_maps(&self, backup: BackupId) -> bool {
        self.everything.is_some() || self.folders.contains(&backup) || self.maps.contains(&backup)
    }

    pub(super) fn needs_intents(&self, backup: BackupId) -> bool {
        self.everything.is_some() || self.intents.contains(&backup)
    }

    pub(super) fn needs_history(&self, timeline: Timeline) -> bool {
        self.all_wal.is_some() || self.histories.contains(&timeline)
    }

    /// The segments of a range that are not needed.
    pub(super) fn free_wal(
        &self,
        timeline: Timeline,
        range: (SegmentNo, SegmentNo),
    ) -> Vec<(SegmentNo, SegmentNo)> {
        if self.all_wal.is_some() {
            return Vec::new();
        }
        self.wal.outside(timeline, range)
    }

    /// A chapter stays as long as all of its segments do, and keeps none of them.
    pub(super) fn needs_chapter(&self, folder: WalFolder) -> bool {
        let Some(size) = self.size else { return true };
        self.free_wal(folder.timeline(), folder.numbers(size)).is_empty()
    }

    fn needs_wal(&self, file: WalFileName) -> bool {
        if self.all_wal.is_some() {
            return true;
        }
        let Some(segment) = file.segment() else { return self.histories.contains(&file.timeline()) };
        let Some(number) = self.size.and_then(|size| segment.number(size).ok()) else { return true };
        self.free_wal(segment.timeline(), (number, number)).is_empty()
    }
}

/// What is decided that bears on one place.
pub(super) struct Decided<'a> {
    pub(super) decisions: &'a [Decision],
    pub(super) wal: &'a [WalKeep],
    pub(super) histories: BTreeSet<Timeline>,
    /// Why nothing of the place may be condemned at all.
    pub(super) keep_all: Option<String>,
    pub(super) now: Time,
}

/// The closure of a place.
pub(super) fn needed(seen: &PlaceSeen, decided: &Decided<'_>, bodies: &Bodies) -> Needed {
    let mut needed = Needed {
        everything: decided.keep_all.clone().or_else(|| seen.intents.unreadable.clone()),
        all_wal: decided.keep_all.clone().or_else(|| seen.wal.unclear.clone()),
        size: seen.wal.map.as_ref().map(|map| map.size),
        histories: decided.histories.clone(),
        ..Needed::default()
    };
    let headers: HashMap<BackupId, &ManifestHeader> =
        seen.backups.iter().map(|entry| (entry.id, &entry.header)).collect();
    let kept = decided.decisions.iter().filter(|one| one.system == seen.place.system && one.is_kept());
    for decision in kept {
        needed.manifests.insert(decision.id);
        if let Some(header) = headers.get(&decision.id) {
            needed.add_backup(header, bodies);
        }
    }
    needed.folders.extend(seen.unbelieved.keys());
    needed.manifests.extend(seen.unbelieved.keys());
    needed.add_running(seen, decided.now);
    needed.add_fresh_orphans(seen, decided.now);
    needed.add_wal(decided);
    needed
}

impl Needed {
    fn add_backup(&mut self, header: &ManifestHeader, bodies: &Bodies) {
        let id = header.backup;
        match bodies.read(id) {
            Some(body) => {
                self.maps.insert(id);
                self.maps.extend(&body.uses);
                for pack in &body.packs {
                    self.packs.entry(pack.backup).or_default().insert(pack.number);
                }
            }
            // Not read, or not readable: all that it could use.
            None if header.uses_more => {
                self.everything.get_or_insert_with(|| {
                    format!("what backup {id} uses is not known: its manifest cannot be read")
                });
            }
            None => {
                self.folders.insert(id);
                self.folders.extend(&header.uses);
            }
        }
    }

    /// A running backup needs what its word names, and WAL from before it began.
    fn add_running(&mut self, seen: &PlaceSeen, now: Time) {
        let mut since: Option<Time> = None;
        for (backup, intent) in &seen.intents.by_backup {
            if Span::between(intent.renewed, now) < INTENT_KEPT {
                self.intents.insert(*backup);
            }
            if !intent.alive {
                continue;
            }
            self.folders.insert(*backup);
            self.folders.extend(&intent.uses);
            for pack in &intent.adopts {
                self.packs.entry(pack.backup).or_default().insert(pack.number);
            }
            // A standby begins at its last restart point.
            let begun = DEAD_AFTER.before(intent.begun);
            since = Some(since.map_or(begun, |before| before.min(begun)));
        }
        let Some(since) = since else { return };
        let all = seen.wal.map.iter().flat_map(|map| &map.timelines);
        let all = all.flat_map(|(timeline, runs)| runs.iter().map(|run| (*timeline, run)));
        let young = all.filter(|(_, run)| run.last_stored >= since);
        self.wal.add(young.map(|(timeline, run)| (timeline, run.first, run.last)));
    }

    /// What a backup without manifest and without word left may still be taken up; and a late put may belong to one whose word is
    /// on its way.
    fn add_fresh_orphans(&mut self, seen: &PlaceSeen, now: Time) {
        let committed: HashSet<BackupId> = seen.backups.iter().map(|entry| entry.id).collect();
        for (backup, folder) in &seen.folders {
            let fresh = folder.newest.is_none_or(|newest| Span::between(newest, now) < DEAD_AFTER);
            if fresh && !committed.contains(backup) {
                self.folders.insert(*backup);
            }
        }
    }

    /// The same with backups that are condemned and stay for now: as long as a manifest is there, all that it lists is.
    pub(super) fn with_staying(
        &self,
        seen: &PlaceSeen,
        stays: &dyn Fn(BackupId) -> bool,
        bodies: &Bodies,
    ) -> Self {
        let (mut needed, mut wal) = (self.clone(), Vec::new());
        for entry in &seen.backups {
            if needed.manifests.contains(&entry.id) || !stays(entry.id) {
                continue;
            }
            needed.manifests.insert(entry.id);
            needed.add_backup(&entry.header, bodies);
            let consistent = consistency(&seen.wal, &entry.header).into_iter();
            wal.extend(consistent.map(|(timeline, (first, last))| (timeline, first, last)));
        }
        needed.wal.add(wal);
        needed
    }

    fn add_wal(&mut self, decided: &Decided<'_>) {
        self.wal.add(decided.wal.iter().map(|keep| (keep.timeline, keep.first, keep.last)));
    }
}

/// The segments that make a backup consistent, on the timelines that serve them.
pub(super) fn consistency(wal: &WalSeen, header: &ManifestHeader) -> Vec<(Timeline, (SegmentNo, SegmentNo))> {
    let size = header.segment_size;
    let (first, last) = (size.segment_of(header.start), size.segment_before(header.stop));
    let Some(history) = wal.histories.get(&header.stop_timeline) else {
        return vec![(header.timeline, (first, last)), (header.stop_timeline, (first, last))];
    };
    let mut ranges = Vec::new();
    for span in history.spans() {
        let begin = size.segment_of(span.begin).max(first);
        // Where a timeline is left inside a segment, the child's copy serves it.
        let end = match span.end.map(|end| size.segment_of(end).prev()) {
            None => last,
            Some(Some(before)) => before.min(last),
            Some(None) => continue,
        };
        if begin <= end {
            ranges.push((span.timeline, (begin, end)));
        }
    }
    ranges
}
