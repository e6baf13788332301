//! Carrying tombstones out in one region: what they name and nothing needs is deleted, manifests first.
//!
//! Commit point: the region's word that it was done, put after the last deletion; a run that ends before is repeated, and finds less
//! to delete. Promises: every object is asked for again ([`Needed`] from a listing made after the grace) right before it goes; what
//! the region will not let go (a lock, a denied right) stays, is told, and is tried again by the next run.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use seawall_pg::{SegmentName, SegmentNo, WalFileName, WalSegmentSize};
use seawall_repo::condemned::{Condemned, NumberedOf, WalStretch, runs};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::time::Time;
use seawall_store::{ErrorKind, ObjectInfo, Region};

use super::look::TombstoneSeen;
use super::needed::Needed;
use super::plan::Amounts;
use crate::monitor::{Finding, Monitor};
use crate::retention::WalRanges;

/// Deletions at the same time.
const AT_ONCE: usize = 8;

/// What carrying out did in one region.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) deleted: Amounts,
    /// Named, and needed again.
    pub(super) spared: Condemned,
    /// Objects that are still there against the will of the plan.
    pub(super) left: u64,
    /// Until when the store keeps some of them, as it says itself: the latest.
    pub(super) locked_until: Option<Time>,
    pub(super) findings: Vec<Finding>,
}

/// Findings told one by one; more are counted.
const TOLD_MAX: usize = 20;

/// Deletes what these tombstones of a place name and nothing needs.
pub(super) async fn carry_out(
    region: &Region,
    place: &Place,
    stones: &[&TombstoneSeen],
    needed: &Needed,
    size: Option<WalSegmentSize>,
    monitor: &dyn Monitor,
) -> Carried {
    let mut carried = Carried::default();
    let work = Work { region, place, stones, needed, monitor };
    work.manifests(&mut carried).await;
    // With a manifest still there, what it lists must stay.
    if carried.left > 0 {
        return carried;
    }
    work.folders(&mut carried).await;
    work.intents(&mut carried).await;
    if let Some(size) = size {
        work.wal(&mut carried, size).await;
    }
    work.histories(&mut carried).await;
    work.chapters(&mut carried).await;
    work.heals(&mut carried).await;
    carried
}

struct Work<'a> {
    region: &'a Region,
    place: &'a Place,
    stones: &'a [&'a TombstoneSeen],
    needed: &'a Needed,
    monitor: &'a dyn Monitor,
}

impl Work<'_> {
    async fn manifests(&self, carried: &mut Carried) {
        let named = self.stones.iter().flat_map(|stone| &stone.record.condemned.manifests);
        let (mut going, mut spared) = (Vec::new(), Vec::new());
        for id in named {
            if self.needed.needs_manifest(*id) { spared.push(*id) } else { going.push(*id) }
        }
        carried.spared.manifests = spared;
        let names = going
            .into_iter()
            .map(|backup| (ObjectName::from(Named::Manifest { place: self.place.clone(), backup }), 0));
        let (objects, _) = self.delete(names.collect(), carried).await;
        carried.deleted.manifests += objects;
    }

    async fn folders(&self, carried: &mut Carried) {
        let mut folders: Vec<_> =
            self.stones.iter().flat_map(|stone| stone.record.condemned.folders()).collect();
        folders.sort_unstable();
        folders.dedup();
        for backup in folders {
            let Some(listed) = self.list(&self.place.backup(backup), carried).await else { continue };
            let (mut packs, mut maps) = (Vec::new(), Vec::new());
            let (mut spared_packs, mut spared_maps) = (Vec::new(), Vec::new());
            for (name, bytes) in self.named_by_stones(&listed) {
                let needs = self.needed.needs(name.named());
                match (name.named().clone(), needs) {
                    (Named::Pack { number, .. }, true) => spared_packs.push(number),
                    (Named::Map { number, .. }, true) => spared_maps.push(number),
                    (Named::Pack { .. }, false) => packs.push((name, bytes)),
                    (Named::Map { .. }, false) => maps.push((name, bytes)),
                    _ => {}
                }
            }
            spare(&mut carried.spared.packs, backup, spared_packs);
            spare(&mut carried.spared.maps, backup, spared_maps);
            let (objects, bytes) = self.delete(packs, carried).await;
            carried.deleted.packs.add(objects, bytes);
            let (objects, bytes) = self.delete(maps, carried).await;
            carried.deleted.maps.add(objects, bytes);
        }
    }

    async fn intents(&self, carried: &mut Carried) {
        if self.stones.iter().all(|stone| stone.record.condemned.intents.is_empty()) {
            return;
        }
        let Some(listed) = self.list(&self.place.intents(), carried).await else { return };
        let going = self.free_of(&listed);
        let (objects, _) = self.delete(going, carried).await;
        carried.deleted.intents += objects;
        let named = self.stones.iter().flat_map(|stone| &stone.record.condemned.intents);
        carried.spared.intents = named.filter(|id| self.needed.needs_intents(**id)).copied().collect();
    }

    async fn wal(&self, carried: &mut Carried, size: WalSegmentSize) {
        let ranges: Vec<WalStretch> =
            self.stones.iter().flat_map(|stone| &stone.record.condemned.wal).copied().collect();
        // Of a folder all that the tombstones name goes with one listing, however many ranges lie in it.
        let mut done = BTreeSet::new();
        for range in ranges {
            let mut number = range.first;
            while number <= range.last {
                let Ok(segment) = SegmentName::new(range.timeline, number, size) else { break };
                number = next_folder(segment, number, size);
                if !done.insert(segment.folder()) {
                    continue;
                }
                let Some(listed) = self.list(&self.place.wal_folder(segment), carried).await else { return };
                let going = self.free_of(&listed);
                let (objects, bytes) = self.delete(going, carried).await;
                carried.deleted.wal.add(objects, bytes);
            }
            let free = self.needed.free_wal(range.timeline, (range.first, range.last));
            let free = WalRanges::of(free.into_iter().map(|(first, last)| (range.timeline, first, last)));
            let spared = free.outside(range.timeline, (range.first, range.last));
            carried.spared.wal.extend(spared.into_iter().map(|(first, last)| WalStretch {
                timeline: range.timeline,
                first,
                last,
            }));
        }
    }

    async fn histories(&self, carried: &mut Carried) {
        let named = self.stones.iter().flat_map(|stone| &stone.record.condemned.histories);
        let (spared, going): (Vec<_>, Vec<_>) =
            named.copied().partition(|timeline| self.needed.needs_history(*timeline));
        carried.spared.histories = spared;
        let names = going.into_iter().map(|timeline| {
            let file = WalFileName::TimelineHistory(timeline);
            (ObjectName::from(Named::Wal { place: self.place.clone(), file }), 0)
        });
        let (objects, _) = self.delete(names.collect(), carried).await;
        carried.deleted.histories += objects;
    }

    async fn chapters(&self, carried: &mut Carried) {
        if self.stones.iter().all(|stone| stone.record.condemned.chapters.is_empty()) {
            return;
        }
        let Some(listed) = self.list(&self.place.chapters(), carried).await else { return };
        let (objects, bytes) = self.delete(self.free_of(&listed), carried).await;
        carried.deleted.chapters.add(objects, bytes);
        let named = self.stones.iter().flat_map(|stone| &stone.record.condemned.chapters);
        carried.spared.chapters =
            named.filter(|folder| self.needed.needs_chapter(**folder)).copied().collect();
    }

    /// Heal copies go with their originals, and after them: a run that ends between the two finds them again.
    async fn heals(&self, carried: &mut Carried) {
        let Some(listed) = self.list(&self.place.heals(), carried).await else { return };
        let going = listed.iter().filter_map(|info| {
            let name = ObjectName::parse(&info.name)?;
            let original = name.healed()?;
            let named = self.stones.iter().any(|stone| stone.record.names(original.named()));
            (named && !self.needed.needs(original.named())).then_some((name, info.size_bytes))
        });
        let (objects, bytes) = self.delete(going.collect(), carried).await;
        carried.deleted.heals.add(objects, bytes);
    }

    fn named_by_stones<'b>(
        &'b self,
        listed: &'b [ObjectInfo],
    ) -> impl Iterator<Item = (ObjectName, u64)> + 'b {
        listed.iter().filter_map(|info| {
            let name = ObjectName::parse(&info.name)?;
            let named = self.stones.iter().any(|stone| stone.record.names(name.named()));
            named.then_some((name, info.size_bytes))
        })
    }

    /// Named by a tombstone, and not needed.
    fn free_of(&self, listed: &[ObjectInfo]) -> Vec<(ObjectName, u64)> {
        self.named_by_stones(listed).filter(|(name, _)| !self.needed.needs(name.named())).collect()
    }

    async fn list(&self, prefix: &str, carried: &mut Carried) -> Option<Vec<ObjectInfo>> {
        match self.region.list_collect(prefix).await {
            Ok(listed) => Some(listed),
            Err(error) => {
                carried.left += 1;
                tell(
                    &mut carried.findings,
                    Finding {
                        id: "prune.not-listed",
                        what: format!(
                            "{prefix} in region {} cannot be listed: {}",
                            self.region.name(),
                            error.chain()
                        ),
                        hint: Some("what is condemned there is tried again by the next prune".to_owned()),
                    },
                );
                None
            }
        }
    }

    /// Deletes; how many are gone, and their bytes.
    async fn delete(&self, going: Vec<(ObjectName, u64)>, carried: &mut Carried) -> (u64, u64) {
        let (mut objects, mut total) = (0, 0);
        let mut deleting = futures::stream::iter(going)
            .map(|(name, bytes)| async move { (self.region.delete(name.as_str()).await, name, bytes) })
            .buffer_unordered(AT_ONCE);
        while let Some((deleted, name, bytes)) = deleting.next().await {
            match deleted {
                Ok(seawall_store::Deleted::Deleted) => {
                    objects += 1;
                    total += bytes;
                    self.monitor.advance(bytes);
                }
                Ok(seawall_store::Deleted::WasAbsent) => {}
                Err(error) => {
                    carried.left += 1;
                    let locked = error.kind() == ErrorKind::Denied;
                    let until = if locked { time_in(&error.chain()) } else { None };
                    carried.locked_until = carried.locked_until.max(until);
                    let hint = match (locked, until) {
                        (true, Some(until)) => format!("the store keeps it until {until}; the first prune after that deletes it"),
                        (true, None) => "a lock of the bucket or a missing right keeps it; it is tried again by the next prune".to_owned(),
                        (false, _) => "it is tried again by the next prune".to_owned(),
                    };
                    tell(
                        &mut carried.findings,
                        Finding {
                            id: if locked { "prune.locked" } else { "prune.not-deleted" },
                            what: format!("{name} in region {} stays: {}", self.region.name(), error.chain()),
                            hint: Some(hint),
                        },
                    );
                }
            }
        }
        (objects, total)
    }
}

/// The latest time that a store's words name, which is when its lock ends; stores say it in no other way.
fn time_in(words: &str) -> Option<Time> {
    let of_time = |c: char| c.is_ascii_digit() || "-:.TZ+".contains(c);
    let tokens = words.split(|c| !of_time(c)).map(|token| token.trim_end_matches(['.', ':', '-']));
    let times = tokens.filter_map(|token| token.parse::<jiff::Timestamp>().ok());
    times.filter_map(|time| Time::from_micros(time.as_microsecond())).max()
}

fn tell(findings: &mut Vec<Finding>, finding: Finding) {
    if findings.len() < TOLD_MAX {
        findings.push(finding);
    }
}

fn spare(spared: &mut Vec<NumberedOf>, backup: seawall_repo::id::BackupId, mut numbers: Vec<u32>) {
    numbers.sort_unstable();
    if !numbers.is_empty() {
        spared.push(NumberedOf { backup, numbers: runs(numbers) });
    }
}

/// The first number behind those that lie in a segment's folder.
fn next_folder(segment: SegmentName, number: SegmentNo, size: WalSegmentSize) -> SegmentNo {
    let folder = segment.folder();
    let mut next = number;
    loop {
        let Some(behind) = next.next() else { return SegmentNo(u64::MAX) };
        next = behind;
        match SegmentName::new(segment.timeline(), next, size) {
            Ok(name) if name.folder() == folder => {}
            _ => return next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_lock_is_found_in_the_words_of_a_store() {
        let at = |text: &str| Some(text.parse::<Time>().unwrap());
        let gcs = "Object 'a/b' is subject to bucket's retention policy and cannot be deleted until 2027-03-01T05:00:00.123-08:00";
        assert_eq!(time_in(gcs), at("2027-03-01T13:00:00.123000Z"));
        assert_eq!(
            time_in("kept (2026-01-01T00:00:00Z, then 2026-02-01T00:00:00Z)."),
            at("2026-02-01T00:00:00.000000Z")
        );
        for none in ["Access Denied because object protected by object lock", "2027-03-01", "12:00:00", ""] {
            assert_eq!(time_in(none), None, "{none}");
        }
    }
}
