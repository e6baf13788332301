//! When each region was last verified, by the events that remember it.
//!
//! Promises: only what a writer of the cluster signed counts; looks through the newest events only, so a region of which nothing is found
//! was "not verified lately", never "never". Bounded: a region that fails while it is listed is left for the next one.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_repo::event::Event;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_store::{Region, RegionName};
use serde_json::Value;

use super::report::Verified;
use crate::events;
use crate::repository::Repository;

/// Heads of events that are read: about a month of a busy cluster's.
const HEADS_MAX: usize = 512;
const HEADS_AT_ONCE: usize = 16;
/// The word of these events.
const WHAT: &str = "verify";

/// The newest verification of each region, of those that are found.
pub(super) async fn last(repository: &Repository, place: &Place) -> BTreeMap<RegionName, Verified> {
    let mut last = BTreeMap::new();
    for region in repository.regions().iter() {
        if newest_first(repository, region, place, &mut last).await.is_some() {
            break;
        }
    }
    last
}

/// Goes through one region's events; none if it could not be listed to the end of what is looked at.
async fn newest_first(
    repository: &Repository,
    region: &Region,
    place: &Place,
    last: &mut BTreeMap<RegionName, Verified>,
) -> Option<()> {
    let (mut folders, mut heads) = (vec![place.events()], 0);
    while let Some(folder) = folders.pop() {
        let level = region.list_level(&folder).await.ok()?;
        let names = level.objects.iter().rev().filter_map(|object| ObjectName::parse(&object.name));
        let names: Vec<ObjectName> = names
            .filter(|name| matches!(name.named(), Named::Event { .. }))
            .take(HEADS_MAX.saturating_sub(heads))
            .collect();
        heads += names.len();
        let mut reading =
            futures::stream::iter(names).map(|name| read(repository, name)).buffered(HEADS_AT_ONCE).boxed();
        while let Some(event) = reading.next().await {
            event.iter().for_each(|event| note(event, last));
        }
        drop(reading);
        if heads >= HEADS_MAX || repository.regions().iter().all(|region| last.contains_key(region.name())) {
            break;
        }
        // Oldest first in the listing, so that the newest is taken from the end.
        folders.extend(level.dirs.into_iter().map(|dir| format!("{}/", dir.trim_end_matches('/'))));
    }
    Some(())
}

/// An event of a verification; what cannot be read tells of none.
async fn read(repository: &Repository, name: ObjectName) -> Option<Event> {
    let head = repository.read_head(&name).await.ok()?.value;
    if head.head().header().get("what").and_then(Value::as_str) != Some(WHAT) {
        return None;
    }
    events::read(repository, &name).await.ok()
}

/// Enters what an event tells of regions that it read, where no newer one did.
fn note(event: &Event, last: &mut BTreeMap<RegionName, Verified>) {
    let detail = &event.detail;
    let regions = detail.get("regions").and_then(Value::as_array);
    for region in regions.into_iter().flatten().filter(|region| region["broken"].is_null()) {
        let Some(name) = region["region"].as_str().and_then(RegionName::new) else { continue };
        let text = |name: &str| detail.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let by_id = detail.get("findings").and_then(Value::as_object);
        let listed = by_id.into_iter().flat_map(|all| all.values()).filter_map(Value::as_u64).sum::<u64>();
        let more = detail.get("findings_more").and_then(Value::as_u64).unwrap_or_default();
        let verified = Verified {
            at: event.at,
            host: event.host.clone(),
            depth: text("depth"),
            complete: text("ended") == "complete",
            findings: listed.saturating_add(more),
        };
        let is_newer = last.get(&name).is_none_or(|known| known.at < verified.at);
        if is_newer {
            last.insert(name, verified);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::testing::Bench;

    #[tokio::test]
    async fn the_newest_verification_that_read_a_region_counts() {
        let bench = Bench::with(2, 1).await;
        let host = bench.as_host("db1").await.unwrap();
        let names: Vec<RegionName> = host.regions().iter().map(|region| region.name().clone()).collect();
        assert!(last(&host, &bench.place()).await.is_empty());
        for (depth, ended, broken) in [("full", "complete", false), ("quick", "budget", true)] {
            let regions = [
                serde_json::json!({ "region": names[0], "broken": null }),
                serde_json::json!({ "region": names[1], "broken": broken.then_some("away") }),
            ];
            let detail = serde_json::json!({
                "depth": depth, "ended": ended, "regions": regions, "findings": { "a": 2, "b": 1 }, "findings_more": 4,
            });
            events::tell(&host, &host.regions().set(), &bench.place(), WHAT, &detail).await.unwrap();
            bench.world.clock.sleep_blocking(std::time::Duration::from_secs(90_000));
        }
        events::tell(&host, &host.regions().set(), &bench.place(), "sync", &serde_json::json!({}))
            .await
            .unwrap();
        let last = last(&host, &bench.place()).await;
        let of = |at: usize| {
            let verified = &last[&names[at]];
            (verified.depth.as_str(), verified.complete, verified.findings)
        };
        assert_eq!((of(0), of(1)), (("quick", false, 7), ("full", true, 7)));
    }
}
