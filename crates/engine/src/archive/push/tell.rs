//! What is told of regions that are away or back: events in the repository, findings for the server's log.
//!
//! Promises: who is done without is told at once, and again each day while it lasts, so that whoever looks at two days of events knows;
//! what could not be told is tried again by the next push. Nothing here changes whether a file counts as stored.

use std::collections::BTreeMap;
use std::time::Duration;

use seawall_repo::layout::Place;
use seawall_repo::time::Time;
use seawall_store::{DetachReason, RegionName, RegionSet};
use serde::{Deserialize, Serialize};

use super::away::AwayRegions;
use super::put::Outcome;
use super::rule;
use crate::error::Result;
use crate::events;
use crate::monitor::Finding;
use crate::repository::Repository;

/// The word of the event that a region is done without.
pub(crate) const AWAY: &str = "region-away";
/// The word of the event that it answers again.
pub(crate) const BACK: &str = "region-back";
/// How often an event says that a region is still away.
const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The particulars of both events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegionEvent {
    /// Which region.
    pub(crate) region: String,
    /// Since when it did not answer, by this host's clock.
    pub(crate) since: Time,
    /// Why it failed last.
    pub(crate) why: String,
    /// Files of WAL that were acknowledged without it so far.
    pub(crate) without: u64,
}

/// A memory that was there and is not believed.
pub(super) fn ignored(why: &str) -> Finding {
    Finding {
        id: "archive.memory-ignored",
        what: format!(
            "what was remembered of regions that are away is not believed, and is waited for anew: {why}"
        ),
        hint: Some("it is replaced by itself; find out who could write there".to_owned()),
    }
}

/// Tells what one push saw of regions.
pub(super) async fn regions(
    repository: &Repository,
    place: &Place,
    outcome: &Outcome,
    memory: &mut AwayRegions,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if outcome.verdict.met {
        for region in &outcome.away {
            memory.went_without(region);
            findings.extend(away(repository, place, outcome, memory, region).await);
        }
    }
    for (region, known) in outcome.returned.iter().filter(|(_, known)| known.told_us.is_some()) {
        let event = RegionEvent {
            region: region.to_string(),
            since: known.since,
            why: known.why.clone(),
            without: known.without,
        };
        findings.push(Finding {
            id: "archive.region-back",
            what: format!(
                "region {region} answers again, away since {}; {} files of WAL were acknowledged without it",
                known.since, known.without
            ),
            hint: Some(
                "it lacks what was stored meanwhile, and has to be brought up to date: seawall sync"
                    .to_owned(),
            ),
        });
        findings.extend(put(repository, place, outcome, BACK, &event).await.err());
    }
    findings
}

async fn away(
    repository: &Repository,
    place: &Place,
    outcome: &Outcome,
    memory: &mut AwayRegions,
    region: &RegionName,
) -> Vec<Finding> {
    let now = memory.now();
    let Some(known) = memory.of(region) else { return Vec::new() };
    let due = known.untold(now).is_none_or(|untold| untold >= TELL_EVERY);
    let event = RegionEvent {
        region: region.to_string(),
        since: known.since,
        why: known.why.clone(),
        without: known.without,
    };
    let held: Vec<&str> = outcome.stored.iter().map(|(region, _)| region.as_str()).collect();
    let mut findings = vec![Finding {
        id: "archive.degraded",
        what: format!(
            "WAL is acknowledged without region {region}, away since {} ({} s): {}",
            known.since,
            known.lasted(now).as_secs(),
            known.why
        ),
        hint: Some(format!(
            "only {} holds it: losing that now would lose WAL; bring {region} back",
            held.join(", ")
        )),
    }];
    if due {
        match put(repository, place, outcome, AWAY, &event).await {
            Ok(()) => memory.told(region),
            Err(finding) => findings.push(finding),
        }
    }
    findings
}

/// Regions that are done without by what the events of the last two days say, in words; what cannot be read of them.
///
/// # Errors
/// No region can be listed.
pub(crate) async fn done_without(repository: &Repository, place: &Place, now: Time) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut newest = BTreeMap::new();
    for event in events::recent(repository, place, &[AWAY, BACK], now, &mut findings).await? {
        let Ok(region) = serde_json::from_value::<RegionEvent>(event.detail.into()) else { continue };
        newest.insert(region.region.clone(), (event.what == AWAY, event.at, region));
    }
    let away = newest.into_values().filter(|(away, ..)| *away);
    findings.extend(away.filter(|(.., region)| repository.regions().find(&region.region).is_some()).map(
        |(_, at, region)| Finding {
            id: "status.region-away",
            what: format!(
                "WAL is acknowledged without region {}, away since {}: {} (told {at}, nobody said since that it is back)",
                region.region, region.since, region.why
            ),
            hint: Some("losing the others now would lose WAL; bring it back".to_owned()),
        },
    ));
    Ok(findings)
}

/// Puts an event to the regions that hold the file.
async fn put(
    repository: &Repository,
    place: &Place,
    outcome: &Outcome,
    what: &str,
    event: &RegionEvent,
) -> std::result::Result<(), Finding> {
    let set: RegionSet = repository.regions().set().with_lag_max(rule::LAG_MAX);
    for (region, _) in &outcome.failed {
        set.detach(region, DetachReason::Excluded);
    }
    match events::tell(repository, &set, place, what, event).await {
        Ok(_name) => Ok(()),
        Err(error) => Err(Finding {
            id: "archive.event-not-stored",
            what: format!("that region {} is {what} could not be written: {error}", event.region),
            hint: None,
        }),
    }
}
