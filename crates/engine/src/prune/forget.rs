//! Tombstones that have served: carried out everywhere long ago, or revoked.
//!
//! Promises: a region that comes back within [`STONES_KEPT`] still learns of them, and so does whoever verifies, for as long as the rules
//! ask for WAL that a tombstone names. What cannot be deleted stays for the next run.

use seawall_repo::layout::{Named, ObjectName, RegionLabel};
use seawall_repo::time::Time;
use seawall_store::{Region, RegionSet, StoreError};

use super::look::{PlaceSeen, Seen, TombstoneSeen};
use super::settle::Settled;
use crate::monitor::Finding;
use crate::repository::heal_copies;
use crate::retention::{Span, WalRanges, wal_expected};

/// How long tombstones that were carried out everywhere stay, behind their last word.
pub(crate) const STONES_KEPT: Span = Span::days(90);

/// Deletes those that have served, in all regions of the set.
pub(super) async fn forget_old_stones(set: &RegionSet, seen: &Seen, settled: &Settled) -> Vec<Finding> {
    let old = |since: Time| Span::between(since, seen.now) >= STONES_KEPT;
    let ended = |stone: &TombstoneSeen| stone.ended().is_some_and(old);
    let of_wal = |stone: &TombstoneSeen| ended(stone) && !stone.record.condemned.wal.is_empty();
    let asked = seen.places.iter().flat_map(|place| &place.tombstones).any(of_wal);
    let expected = asked.then(|| wal_expected(&settled.ground.input(&settled.points)));
    let mut findings = Vec::new();
    for place in &seen.places {
        let expected = expected.as_ref().and_then(|expected| expected.get(&place.place.system));
        let over = |stone: &&TombstoneSeen| ended(stone) && !explains_a_gap(place, stone, expected);
        let mut names: Vec<ObjectName> =
            place.tombstones.iter().filter(over).flat_map(|stone| names_of(place, stone)).collect();
        names.extend(place.strays.iter().filter(|(_, since)| old(*since)).map(|(name, _)| name.clone()));
        for region in set.attached() {
            for name in &names {
                if let Err(error) = delete(region, name).await {
                    findings.push(Finding {
                        id: "prune.not-deleted",
                        what: format!("{name} in region {} stays: {}", region.name(), error.chain()),
                        hint: Some("it is tried again by the next prune".to_owned()),
                    });
                    break;
                }
            }
        }
    }
    findings
}

/// Deletes an object, and then what heal copies of it there are.
async fn delete(region: &Region, name: &ObjectName) -> Result<(), StoreError> {
    region.delete(name.as_str()).await?;
    for copy in heal_copies(region, name).await? {
        region.delete(copy.as_str()).await?;
    }
    Ok(())
}

/// The stone before its ends: an end without a stone means nothing, a stone without its end would.
fn names_of(place: &PlaceSeen, stone: &TombstoneSeen) -> Vec<ObjectName> {
    let (place, id) = (&place.place, stone.record.tombstone);
    let mut names = vec![
        Named::Tombstone { place: place.clone(), id }.to_name(),
        Named::TombstoneRevoked { place: place.clone(), id }.to_name(),
    ];
    let done = stone.done.keys().filter_map(|region| RegionLabel::new(region));
    names.extend(done.map(|region| Named::TombstoneDone { place: place.clone(), id, region }.to_name()));
    names
}

/// Whether a tombstone names WAL that would be kept by now, had it not gone: the rules grew since. It tells whoever verifies that this
/// WAL was not lost.
fn explains_a_gap(place: &PlaceSeen, stone: &TombstoneSeen, expected: Option<&WalRanges>) -> bool {
    let condemned = &stone.record.condemned.wal;
    let Some(map) = &place.wal.map else { return false };
    if place.wal.unclear.is_some() || stone.record.segment_size != Some(map.size) {
        return !condemned.is_empty();
    }
    let Some(expected) = expected else { return false };
    condemned.iter().any(|of| !expected.inside(of.timeline, (of.first, of.last)).is_empty())
}
