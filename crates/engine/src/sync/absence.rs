//! Regions that were away for longer than anybody remembers what was pruned meanwhile.
//!
//! Promises: one that has data and lacks an event which others have had for longer than tombstones are sure to stay stops a sync before
//! anything is copied: it holds what was pruned, and no tombstone says so any more. One without data lacks everything and may be filled.
//! One whose events cannot be listed could be such a one, and stops it too. Ages are told by the stores' clocks.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_repo::layout::Place;
use seawall_repo::time::Time;
use seawall_store::{Listed, RegionName};

use crate::error::{Error, Result};
use crate::prune::STONES_KEPT;
use crate::repository::Repository;
use crate::retention::Span;

/// Tombstones are forgotten a while before the whole of their time would be over for a region that comes back just then.
const MARGIN: Span = Span::days(10);

/// Stops a sync over a region that was away for too long.
///
/// # Errors
/// There is one, or it cannot be told.
pub(super) async fn refuse_forgotten(repository: &Repository, place: &Place, now: Time) -> Result<()> {
    for (region, since) in oldest_lacked(repository, place).await? {
        let away = Span::between(since, now);
        if away < Span::seconds(STONES_KEPT.as_seconds() - MARGIN.as_seconds())
            || !has_data(repository, place, &region).await
        {
            continue;
        }
        let what = format!(
            "region {region} was away since {since} or before: it holds what was pruned meanwhile, and nobody remembers what that was"
        );
        return Err(without(Error::data("sync.away-too-long", what), &region)
            .hint(format!(
                "to have {region} back: empty it, make it a region again with `seawall init`, and sync; it is filled from the others"
            )));
    }
    Ok(())
}

fn without(error: Error, region: &RegionName) -> Error {
    error.hint(format!("`seawall sync --without-region {region}` brings the others up to date"))
}

/// Of each region, since when another has had the oldest event that it lacks.
async fn oldest_lacked(repository: &Repository, place: &Place) -> Result<BTreeMap<RegionName, Time>> {
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
        for region in names.filter(lacks) {
            let known = oldest.entry(region.clone()).or_insert(stored);
            *known = stored.min(*known);
        }
    }
    Ok(oldest)
}

/// Whether there is anything in it that pruning deletes; what cannot be listed is taken for some.
async fn has_data(repository: &Repository, place: &Place, region: &RegionName) -> bool {
    let Some(region) = repository.regions().find(region.as_str()) else { return false };
    for prefix in [place.manifests(), place.backups(), place.wal()] {
        if region.list(&prefix, None).next().await.is_some() {
            return true;
        }
    }
    false
}
