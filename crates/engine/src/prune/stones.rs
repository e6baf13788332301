//! Tombstones written, and what those that stand mean for a backup that begins or is about to commit.
//!
//! Promises: a tombstone fits into a signed text however much is condemned; a manifest's tombstone is never behind that of what the
//! manifest lists.

use std::collections::BTreeMap;

use seawall_pg::WalSegmentSize;
use seawall_repo::condemned::{Condemned, NumberedOf, Tombstone, TombstoneDone};
use seawall_repo::id::{BackupId, RecordId};
use seawall_repo::layout::{Named, Place, RegionLabel};
use seawall_repo::time::Time;
use seawall_store::{RegionName, RegionSet};

use super::look::{Broken, TombstoneSeen, tombstones};
use crate::backup::{host_name, now};
use crate::error::{Kind, Result};
use crate::events::record_id;
use crate::monitor::Finding;
use crate::repository::{Repository, unlistable};
use crate::retention::{Span, WalRanges};

/// For so long after a tombstone was taken back nothing that it names is copied: a prune that had read it before may still be deleting.
/// By the stores' clocks; longer than any process stops and goes on.
const UNDONE_FOR: Span = Span::days(7);

/// Things named in one tombstone: each takes at most some hundred bytes of the mebibyte that a signed text may have.
const NAMED_MAX: usize = 4_000;

/// What a new tombstone says besides what it condemns.
pub(super) struct NewStones<'a> {
    pub(super) place: &'a Place,
    pub(super) regions: Vec<RegionName>,
    pub(super) grace: Span,
    pub(super) size: Option<WalSegmentSize>,
}

impl NewStones<'_> {
    /// Puts as many tombstones as it takes.
    pub(super) async fn put(
        &self,
        repository: &Repository,
        set: &RegionSet,
        condemned: &Condemned,
    ) -> Result<Vec<RecordId>> {
        let mut ids = Vec::new();
        for part in parts(condemned, NAMED_MAX) {
            let id = record_id(repository)?;
            let record = Tombstone {
                tombstone: id,
                cluster: self.place.cluster.clone(),
                system: self.place.system,
                regions: self.regions.iter().map(ToString::to_string).collect(),
                grace: self.grace.as_seconds(),
                segment_size: self.size,
                condemned: part,
                written: now(repository.world())?,
                host: host_name(),
            };
            let name = Named::Tombstone { place: self.place.clone(), id }.into();
            repository.put_record(set, &name, &record).await?;
            ids.push(id);
        }
        Ok(ids)
    }
}

/// Cuts what is condemned into parts of at most `most` things; manifests come first.
fn parts(condemned: &Condemned, most: usize) -> Vec<Condemned> {
    let mut parts = Vec::new();
    let mut part = Condemned::default();
    let mut room = most;
    let mut take = |room: &mut usize, part: &mut Condemned| {
        if *room == 0 {
            parts.push(std::mem::take(part));
            *room = most;
        }
        *room -= 1;
    };
    for manifest in &condemned.manifests {
        take(&mut room, &mut part);
        part.manifests.push(*manifest);
    }
    for (all, is_pack) in [(&condemned.packs, true), (&condemned.maps, false)] {
        for of in all {
            for run in &of.numbers {
                take(&mut room, &mut part);
                let to = if is_pack { &mut part.packs } else { &mut part.maps };
                match to.last_mut().filter(|last| last.backup == of.backup) {
                    Some(last) => last.numbers.push(*run),
                    None => to.push(NumberedOf { backup: of.backup, numbers: vec![*run] }),
                }
            }
        }
    }
    for intent in &condemned.intents {
        take(&mut room, &mut part);
        part.intents.push(*intent);
    }
    for wal in &condemned.wal {
        take(&mut room, &mut part);
        part.wal.push(*wal);
    }
    for history in &condemned.histories {
        take(&mut room, &mut part);
        part.histories.push(*history);
    }
    for chapter in &condemned.chapters {
        take(&mut room, &mut part);
        part.chapters.push(*chapter);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// What the tombstones of a place that stand name.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Those that are to be carried out somewhere.
    stones: Vec<Tombstone>,
    /// Those that were taken back, and that a prune which had read them before may still carry out.
    revoked: Vec<Tombstone>,
    /// Those that were carried out everywhere they counted, with what each region spared.
    carried_out: Vec<(Tombstone, Vec<Condemned>)>,
    /// Tombstones and their ends that are not believed.
    pub(crate) findings: Vec<Finding>,
}

impl Standing {
    /// Whether a tombstone that stands names an object: it is on its way out, or may still go although that was taken back.
    pub(crate) fn names(&self, named: &Named) -> bool {
        self.is_going(named) || self.was_taken_back(named)
    }

    /// Whether an object was on its way out, and somebody took that back not long ago.
    pub(crate) fn was_taken_back(&self, named: &Named) -> bool {
        self.revoked.iter().any(|stone| stone.names(named))
    }

    /// Whether an object is on its way out, and nobody took that back.
    pub(crate) fn is_going(&self, named: &Named) -> bool {
        let gone = |(stone, spared): &(Tombstone, Vec<Condemned>)| {
            stone.names(named) && spared.iter().any(|spared| !spared.names(named, stone.segment_size))
        };
        self.stones.iter().any(|stone| stone.names(named)) || self.carried_out.iter().any(gone)
    }

    /// Whether any of a backup's maps is named.
    pub(crate) fn names_maps_of(&self, backup: BackupId) -> bool {
        let mut stones = self.stones.iter().chain(&self.revoked);
        stones.any(|stone| stone.condemned.maps.iter().any(|of| of.backup == backup))
    }
}

/// The WAL of a place that pruning let go, as far as tombstones still tell: those that wait and those that were carried out.
///
/// # Errors
/// A tombstone is out of reach.
pub(crate) async fn let_go(repository: &Repository, place: &Place) -> Result<WalRanges> {
    // Tombstones that are not believed are told by who prunes; regions that cannot be listed by who lists their WAL.
    let (mut broken, mut told) = (Broken::new(), Vec::new());
    let seen = tombstones(repository, place, &[], &mut broken, &mut told).await?.seen;
    let all = seen.iter().filter(|stone| !stone.revoked).flat_map(|stone| &stone.record.condemned.wal);
    Ok(WalRanges::of(all.map(|of| (of.timeline, of.first, of.last))))
}

/// What stands under tombstones at a place, or did until they were taken back.
///
/// # Errors
/// A region cannot be listed or a tombstone is out of reach: who does not know what is condemned must not build on anything.
pub(crate) async fn standing(repository: &Repository, place: &Place) -> Result<Standing> {
    let (seen, findings) = listed(repository, place, &names_of_regions(repository)).await?;
    // One that was taken back may have been read before by a prune that still deletes.
    let mut standing = Standing { findings, ..Standing::default() };
    for stone in seen {
        if stone.revoked {
            standing.revoked.push(stone.record);
        } else if stone.waits() {
            standing.stones.push(stone.record);
        }
    }
    Ok(standing)
}

/// What each region spared when a tombstone was carried out there: read once, for it never changes.
pub(crate) type Spared = BTreeMap<RecordId, Vec<Condemned>>;

/// As [`standing`], and what tombstones named that were carried out everywhere they counted: a region that was away when they were written
/// still has it, and it is not to come back from there. One that was taken back counts until something was stored `UNDONE_FOR` after that;
/// `newest` is when something was stored last, as far as the caller knows.
///
/// # Errors
/// As [`standing`].
pub(crate) async fn standing_or_gone(
    repository: &Repository,
    place: &Place,
    newest: Option<Time>,
    known: &mut Spared,
) -> Result<Standing> {
    let regions = names_of_regions(repository);
    let (seen, findings) = listed(repository, place, &[]).await?;
    let mut standing = Standing { findings, ..Standing::default() };
    // A host's own clock may be far off, and nothing brings back what is copied beside a prune that deletes.
    let newest = seen
        .iter()
        .flat_map(|stone| stone.stored.values().chain(stone.done.values()))
        .copied()
        .max()
        .max(newest);
    let is_long_ago = |stone: &TombstoneSeen| {
        let (Some(revoked), Some(newest)) = (stone.revoked_at, newest) else { return false };
        Span::between(revoked, newest) > UNDONE_FOR
    };
    for stone in seen {
        let everywhere = regions.iter().all(|region| stone.done.contains_key(region.as_str()));
        if stone.revoked {
            // Carried out everywhere or long since taken back, nobody deletes any more.
            if !everywhere && !is_long_ago(&stone) {
                standing.revoked.push(stone.record);
            }
            continue;
        }
        if stone.waits() && !everywhere {
            standing.stones.push(stone.record);
            continue;
        }
        let id = stone.record.tombstone;
        let spared = match known.get(&id) {
            Some(spared) => spared.clone(),
            None => known.entry(id).or_insert(spared_by(repository, place, &stone).await?).clone(),
        };
        standing.carried_out.push((stone.record, spared));
    }
    Ok(standing)
}

fn names_of_regions(repository: &Repository) -> Vec<RegionName> {
    repository.regions().iter().map(|region| region.name().clone()).collect()
}

/// The tombstones that some region shows, but for those that were carried out in all of `unless_done_in`, and those not believed.
async fn listed(
    repository: &Repository,
    place: &Place,
    unless_done_in: &[RegionName],
) -> Result<(Vec<TombstoneSeen>, Vec<Finding>)> {
    let (mut broken, mut findings) = (Broken::new(), Vec::new());
    let seen = tombstones(repository, place, unless_done_in, &mut broken, &mut findings).await?.seen;
    match broken.len() == repository.regions().len() {
        true => Err(unlistable(&broken)),
        false => Ok((seen, findings)),
    }
}

async fn spared_by(repository: &Repository, place: &Place, stone: &TombstoneSeen) -> Result<Vec<Condemned>> {
    let mut all = Vec::new();
    for region in stone.done.keys().filter_map(|region| RegionLabel::new(region)) {
        let name = Named::TombstoneDone { place: place.clone(), id: stone.record.tombstone, region }.into();
        match repository.read_record::<TombstoneDone>(&name).await {
            Ok(done) => all.push(done.value.spared),
            Err(error) if error.kind() == Kind::Unavailable => return Err(error),
            // What was spared there cannot be told: then nothing was, so that nothing comes back.
            Err(_) => all.push(Condemned::default()),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_everything_once_and_manifests_first() {
        let id =
            |number: u8| BackupId::from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]).unwrap();
        let condemned = Condemned {
            manifests: vec![id(1), id(2), id(3)],
            packs: vec![NumberedOf { backup: id(1), numbers: vec![(0, 5), (7, 7), (9, 12)] }],
            maps: vec![NumberedOf { backup: id(1), numbers: vec![(0, 0)] }],
            intents: vec![id(4)],
            wal: Vec::new(),
            histories: Vec::new(),
            chapters: vec!["000000010000002A".parse().unwrap()],
        };
        let cut = parts(&condemned, 2);
        assert_eq!(cut.len(), 5);
        assert_eq!(cut.iter().map(|part| part.manifests.len()).collect::<Vec<_>>(), [2, 1, 0, 0, 0]);
        let mut joined = Condemned::default();
        for part in cut {
            joined.manifests.extend(part.manifests);
            joined.intents.extend(part.intents);
            joined.chapters.extend(part.chapters);
            for (to, from) in [(&mut joined.packs, part.packs), (&mut joined.maps, part.maps)] {
                for of in from {
                    match to.last_mut().filter(|last| last.backup == of.backup) {
                        Some(last) => last.numbers.extend(of.numbers),
                        None => to.push(of),
                    }
                }
            }
        }
        assert_eq!(joined, condemned);
        assert!(parts(&Condemned::default(), 2).is_empty());
    }
}
