//! What was verified, remembered in the repository: where a budgeted run stopped, so that the next goes on there.
//!
//! Promises: a place is believed only from an event that this host signed: who takes another host must not make this one skip what it
//! spoiled. Deliberately not the report: findings are counted here, and found again by whoever looks.

use std::collections::BTreeMap;

use seawall_repo::id::WriterId;
use seawall_repo::layout::{Named, ObjectName, Place as Folder};
use seawall_repo::time::Time;
use seawall_store::RegionName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::found::Way;
use super::options::Depth;
use super::report::VerifyReport;
use crate::error::{Error, Result};
use crate::events;
use crate::repository::Repository;

/// The word of these events.
const WHAT: &str = "verify";
/// For how long damage that was recorded is looked at again: longer than a round of monthly budgets.
const DAMAGE_KNOWN_MICROS: i64 = 35 * 86_400 * 1_000_000;
/// Damaged copies that one event names; the next verification names the others.
const DAMAGED_MAX: usize = 2_000;
/// Heads of events that are read in search of the last place: more than a year of daily ones among others.
const HEADS_MAX: usize = 2_000;

/// Where budgeted runs stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// How deep the runs of this round look: one of another depth goes through everything by itself.
    #[serde(default = "full")]
    pub depth: String,
    /// The regions that are read together.
    pub regions: Vec<String>,
    /// When this round through everything began.
    pub round_began: Time,
    /// The last object that was read in this round; none when the round is over.
    pub after: Option<String>,
    /// When the last round that came to its end did so.
    pub last_complete: Option<Time>,
}

/// What places were before there was another depth.
fn full() -> String {
    Depth::Full.word().to_owned()
}

impl Place {
    /// Where the next run goes on; none when it begins a new round.
    pub(super) fn resume(&self) -> Option<&str> {
        self.after.as_deref()
    }
}

/// The last place that `signer` remembered for these regions and this depth.
pub(super) async fn recall(
    repository: &Repository,
    signer: &Repository,
    folder: &Folder,
    regions: &[RegionName],
    depth: Depth,
) -> Result<Option<Place>> {
    let regions: Vec<&str> = regions.iter().map(RegionName::as_str).collect();
    let wanted = Wanted { by: signer.writer()?.id(), regions, depth: depth.word() };
    let mut heads = 0;
    for region in repository.regions().iter() {
        let mut folders = vec![folder.events()];
        while let Some(prefix) = folders.pop() {
            // Oldest last on the list, so that the newest is taken first.
            let Ok(level) = region.list_level(&prefix).await else { break };
            let mut newest: Option<(u64, Time, Place)> = None;
            for object in level.objects.iter().rev() {
                let Some(name) = ObjectName::parse(&object.name) else { continue };
                let Named::Event { id, .. } = name.named() else { continue };
                // Names tell seconds; among those of one second the event's own time does.
                if newest.as_ref().is_some_and(|(second, ..)| *second != id.seconds()) || heads >= HEADS_MAX {
                    break;
                }
                heads += 1;
                if let Some((at, place)) = read(repository, &name, &wanted).await
                    && newest.as_ref().is_none_or(|(_, known, _)| *known < at)
                {
                    newest = Some((id.seconds(), at, place));
                }
            }
            if let Some((_, _, place)) = newest {
                return Ok(Some(place));
            }
            folders.extend(level.dirs.into_iter().map(|dir| format!("{}/", dir.trim_end_matches('/'))));
        }
    }
    Ok(None)
}

/// Whose word about which regions.
struct Wanted<'a> {
    by: WriterId,
    regions: Vec<&'a str>,
    depth: &'static str,
}

/// The place in an event and when it was written, if it is one of these and tells of these regions.
async fn read(repository: &Repository, name: &ObjectName, wanted: &Wanted<'_>) -> Option<(Time, Place)> {
    let head = repository.read_head(name).await.ok()?.value;
    if head.head().writer() != wanted.by {
        return None;
    }
    if head.head().header().get("what").and_then(Value::as_str) != Some(WHAT) {
        return None;
    }
    let event = events::read(repository, name).await.ok()?;
    let place: Place = serde_json::from_value(event.detail.get("place")?.clone()).ok()?;
    let same = place.depth == wanted.depth && place.regions.iter().eq(&wanted.regions);
    same.then_some((event.at, place))
}

/// Writes what a run covered and found; the event's name.
pub(super) async fn remember(signer: &Repository, folder: &Folder, report: &VerifyReport) -> Result<String> {
    let name = events::tell(signer, &signer.regions().set(), folder, WHAT, &detail(report)?).await?;
    Ok(name.to_string())
}

/// A copy that a verification found damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Damaged {
    pub(crate) region: String,
    pub(crate) object: String,
}

/// Damaged copies that verifications of the last weeks recorded, and when each was found last. Any writer's word counts: it only asks for
/// another look.
///
/// # Errors
/// No region can be listed.
pub(crate) async fn known_damage(
    repository: &Repository,
    folder: &Folder,
    now: Time,
) -> Result<BTreeMap<(String, ObjectName), Time>> {
    let since = Time::from_micros(now.micros().saturating_sub(DAMAGE_KNOWN_MICROS)).unwrap_or(Time::EPOCH);
    let mut known: BTreeMap<(String, ObjectName), Time> = BTreeMap::new();
    for event in events::of_kind(repository, folder, WHAT, since).await? {
        let Some(list) = event.detail.get("damaged").and_then(|list| Vec::deserialize(list).ok()) else {
            continue;
        };
        for Damaged { region, object } in list {
            if let Some(name) = ObjectName::parse(&object) {
                let found = known.entry((region, name)).or_insert(event.at);
                *found = event.at.max(*found);
            }
        }
    }
    Ok(known)
}

/// The copies that another region's may heal.
fn damaged(report: &VerifyReport) -> Vec<Damaged> {
    let heals = |id: &str| {
        [Way::Damaged, Way::Forged, Way::UnknownWriter, Way::NotBelieved].iter().any(|way| way.id() == id)
    };
    let findings = report.findings.iter().filter(|finding| heals(finding.id));
    findings
        .map(|finding| Damaged { region: finding.region.to_string(), object: finding.object.clone() })
        .take(DAMAGED_MAX)
        .collect()
}

fn detail(report: &VerifyReport) -> Result<Map<String, Value>> {
    let json = |error: serde_json::Error| {
        Error::bug("verify.event", "the event could not be written as JSON").because(error)
    };
    let regions = report.regions.iter().map(|region| {
        serde_json::json!({
            "region": region.region, "broken": region.broken, "kinds": region.kinds, "read_bytes": region.read_bytes,
        })
    });
    let detail = serde_json::json!({
        "depth": report.depth,
        "share": report.share,
        "began": report.began,
        "seconds": report.seconds,
        "ended": report.ended,
        "regions": regions.collect::<Vec<_>>(),
        "findings": report.by_id(),
        "damaged": damaged(report),
        "findings_more": report.findings_more,
        "not_checked": report.not_checked,
        "place": serde_json::to_value(&report.place).map_err(json)?,
    });
    match detail {
        Value::Object(detail) => Ok(detail),
        _ => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::testing::Bench;

    #[tokio::test]
    async fn a_place_is_taken_only_from_this_hosts_own_word() {
        let bench = Bench::with(1, 1).await;
        let (own, other) = (bench.as_host("db1").await.unwrap(), bench.as_host("db2").await.unwrap());
        let round_began = crate::backup::now(&bench.world).unwrap();
        let regions = vec!["north".to_owned()];
        let place = |after: &str| Place {
            depth: "full".to_owned(),
            regions: regions.clone(),
            round_began,
            after: Some(after.to_owned()),
            last_complete: None,
        };
        let names: Vec<RegionName> = own.regions().iter().map(|region| region.name().clone()).collect();
        let tell = |by: Repository, after: &'static str| {
            let detail = serde_json::json!({ "place": place(after) });
            let folder = bench.place();
            async move { events::tell(&by, &by.regions().set(), &folder, WHAT, &detail).await.unwrap() }
        };
        tell(own.clone(), "a").await;
        bench.world.clock.sleep_blocking(std::time::Duration::from_secs(60));
        tell(other.clone(), "z").await;
        let seen = recall(&own, &own, &bench.place(), &names, Depth::Full).await.unwrap();
        assert_eq!(seen.as_ref().and_then(Place::resume), Some("a"), "another host's word moves nothing");
        let seen = recall(&own, &other, &bench.place(), &names, Depth::Full).await.unwrap();
        assert_eq!(seen.as_ref().and_then(Place::resume), Some("z"));
        let stored = recall(&own, &own, &bench.place(), &names, Depth::Stored).await.unwrap();
        assert_eq!(stored, None, "another depth begins its own round");
    }
}
