//! Regions that were away for longer than anybody remembers what was pruned meanwhile.
//!
//! Promises: one that has data and lacks an event which others have had for longer than tombstones are sure to stay stops a sync before
//! anything is copied: it holds what was pruned, and no tombstone says so any more. One without data lacks everything and may be filled; of
//! one that was begun anew (an event in it says so) only what happened since counts, for it held nothing then. Not the times of its objects
//! decide: a copy of long ago has new ones. One whose events cannot be listed stops a sync too. Ages are told by the stores' clocks.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_repo::layout::{Named, Place};
use seawall_repo::time::Time;
use seawall_store::{Listed, RegionName};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::events;
use crate::prune::STONES_KEPT;
use crate::repository::Repository;
use crate::retention::Span;

/// For so long a region may lack an event that others have; what is younger than that was pruned later, if at all, and that is remembered.
pub(crate) const REMEMBERED: Span = Span::days(80);

/// The event of a region that was begun in an empty place.
pub(crate) const REGION_BEGUN: &str = "region-begun";

// Tombstones are forgotten a while before the whole of their time would be over for a region that comes back just then.
const _: () = assert!(REMEMBERED.as_seconds() + 10 * 86_400 <= STONES_KEPT.as_seconds());

/// Stops a sync over a region that was away for too long.
///
/// # Errors
/// There is one, or it cannot be told.
pub(super) async fn refuse_forgotten(repository: &Repository, place: &Place, now: Time) -> Result<()> {
    let Some((region, since)) = forgotten(repository, place, now).await?.into_iter().next() else {
        return Ok(());
    };
    let what = format!(
        "region {region} was away since {since} or before: it holds what was pruned meanwhile, and nobody remembers what that was"
    );
    Err(without(Error::data("sync.away-too-long", what), &region)
        .hint(format!(
            "to have {region} back: give it an empty place (another prefix in its URL in the settings), and `seawall region rejoin {region}` fills it from the others"
        )))
}

/// Regions that were away for so long that nobody remembers what was pruned meanwhile, and since when.
///
/// # Errors
/// It cannot be told, for a region's events cannot be listed.
pub(crate) async fn forgotten(
    repository: &Repository,
    place: &Place,
    now: Time,
) -> Result<Vec<(RegionName, Time)>> {
    let mut begun: BTreeMap<RegionName, Time> = BTreeMap::new();
    let old = |lacked: BTreeMap<RegionName, Time>| {
        lacked.into_iter().filter(|(_, since)| Span::between(*since, now) >= REMEMBERED).collect::<Vec<_>>()
    };
    let mut suspects = Vec::new();
    for (region, since) in old(oldest_lacked(repository, place, &begun).await?) {
        if has_data(repository, place, &region).await {
            begun.extend(begun_anew(repository, place, &region).await.map(|at| (region.clone(), at)));
            suspects.push((region, since));
        }
    }
    if begun.is_empty() {
        return Ok(suspects);
    }
    let still = oldest_lacked(repository, place, &begun).await?;
    let still = old(still).into_iter().filter(|(region, _)| suspects.iter().any(|(one, _)| one == region));
    Ok(still.collect())
}

/// When a region was begun anew, in an empty place: by the newest event of that kind in itself.
async fn begun_anew(repository: &Repository, place: &Place, region: &RegionName) -> Option<Time> {
    let alone = repository.within(region)?;
    let event = events::newest_of(&alone, place, REGION_BEGUN, |event| {
        event.detail.get("region").and_then(Value::as_str) == Some(region.as_str())
    });
    let name = event.await?;
    let Named::Event { id, .. } = name.named() else { return None };
    let said = i64::try_from(id.seconds())
        .ok()
        .and_then(|seconds| Time::from_micros(seconds.saturating_mul(1_000_000)))?;
    let info = repository.regions().find(region.as_str())?.head(name.as_str()).await.ok()?;
    // Whichever is earlier: a copy of long ago was stored just now.
    Some(Time::from_micros(info.modified_unix_us)?.min(said))
}

fn without(error: Error, region: &RegionName) -> Error {
    error.hint(format!("`seawall sync --without-region {region}` brings the others up to date"))
}

/// Of each region, since when another has had the oldest event that it lacks, of those since it was begun anew.
async fn oldest_lacked(
    repository: &Repository,
    place: &Place,
    begun: &BTreeMap<RegionName, Time>,
) -> Result<BTreeMap<RegionName, Time>> {
    let mut oldest: BTreeMap<RegionName, Time> = BTreeMap::new();
    let mut listed = repository.regions().list_all(&place.events());
    while let Some(next) = listed.next().await {
        let held = match next {
            Listed::Object { held, .. } => held,
            Listed::Broken { region, error } => {
                let what = format!("region {region} could not be listed: {}", error.chain());
                return Err(without(Error::unavailable("sync.region-unreached", what), &region));
            }
        };
        let Some(stored) = held.iter().filter_map(|copy| Time::from_micros(copy.modified_unix_us)).min()
        else {
            continue;
        };
        let names = repository.regions().iter().map(seawall_store::Region::name);
        let lacks = |region: &&RegionName| !held.iter().any(|copy| copy.region == **region);
        let counts = |region: &&RegionName| begun.get(*region).is_none_or(|begun| stored > *begun);
        for region in names.filter(lacks).filter(counts) {
            let known = oldest.entry(region.clone()).or_insert(stored);
            *known = stored.min(*known);
        }
    }
    Ok(oldest)
}

/// What pruning deletes, in the order in which it is most likely found.
fn data(place: &Place) -> [String; 3] {
    [place.manifests(), place.backups(), place.wal()]
}

/// Whether there is anything in it that pruning deletes; what cannot be listed is taken for some.
async fn has_data(repository: &Repository, place: &Place, region: &RegionName) -> bool {
    let Some(region) = repository.regions().find(region.as_str()) else { return false };
    for prefix in data(place) {
        if region.list(&prefix, None).next().await.is_some() {
            return true;
        }
    }
    false
}

/// How many backups' objects and WAL files a region has that no other has.
///
/// # Errors
/// A region cannot be listed.
pub(crate) async fn only_in(repository: &Repository, place: &Place, region: &RegionName) -> Result<u64> {
    let mut only = 0;
    for prefix in data(place) {
        let mut listed = repository.regions().list_all(&prefix);
        while let Some(next) = listed.next().await {
            match next {
                Listed::Object { held, .. } => {
                    only += u64::from(matches!(&held[..], [one] if one.region == *region));
                }
                Listed::Broken { region, error } => {
                    let what = format!("region {region} could not be listed: {}", error.chain());
                    return Err(Error::unavailable("sync.region-unreached", what));
                }
            }
        }
    }
    Ok(only)
}
