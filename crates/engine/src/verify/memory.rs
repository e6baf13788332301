//! What was verified, remembered in the repository: where a budgeted run stopped, so that the next goes on there.
//!
//! Promises: a place is believed only from an event that a known writer signed. Deliberately not the report: findings are counted here, and
//! found again by whoever looks.

use seawall_repo::compress::Decompressor;
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::error::{Fault, ObjectError};
use seawall_repo::event::Event;
use seawall_repo::id::RecordId;
use seawall_repo::layout::{Named, ObjectName, Place as Folder};
use seawall_repo::object::WholeObject;
use seawall_repo::time::Time;
use seawall_store::RegionName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::report::VerifyReport;
use crate::error::{Error, Result};
use crate::repository::{Repository, WorldEntropy, put_everywhere};

/// The word of these events.
const WHAT: &str = "verify";
/// Heads of events that are read in search of the last place: more than a year of daily ones among others.
const HEADS_MAX: usize = 2_000;

/// Where budgeted runs stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The regions that are read together.
    pub regions: Vec<String>,
    /// When this round through everything began.
    pub round_began: Time,
    /// The last object that was read in this round; none when the round is over.
    pub after: Option<String>,
    /// When the last round that came to its end did so.
    pub last_complete: Option<Time>,
}

impl Place {
    /// Where the next run goes on; none when it begins a new round.
    pub(super) fn resume(&self) -> Option<&str> {
        self.after.as_deref()
    }
}

/// The last place that was remembered for these regions.
pub(super) async fn recall(
    repository: &Repository,
    folder: &Folder,
    regions: &[RegionName],
) -> Result<Option<Place>> {
    let wanted: Vec<&str> = regions.iter().map(RegionName::as_str).collect();
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

/// The place in an event and when it was written, if it is one of these and tells of these regions.
async fn read(repository: &Repository, name: &ObjectName, wanted: &[&str]) -> Option<(Time, Place)> {
    let head = repository.read_head(name).await.ok()?.value;
    if head.head().header().get("what").and_then(Value::as_str) != Some(WHAT) {
        return None;
    }
    let open = |whole: &WholeObject<'_>,
                decompressor: &mut Decompressor|
     -> std::result::Result<Event, ObjectError> {
        let generation = whole.head().generation();
        let key = repository.keys().digest_key(generation, repository.trust().repository());
        let missing =
            Fault::NeedsMetaKey { generation: generation.unwrap_or(seawall_repo::id::Generation::FIRST) };
        Event::open(whole, &key.ok_or_else(|| whole.head().fault(missing))?, decompressor)
    };
    let event = repository.read_whole(name, open).await.ok()?.value;
    let place: Place = serde_json::from_value(event.detail.get("place")?.clone()).ok()?;
    place.regions.iter().eq(wanted).then_some((event.at, place))
}

/// Writes what a run covered and found; the event's name.
pub(super) async fn remember(signer: &Repository, folder: &Folder, report: &VerifyReport) -> Result<String> {
    let world = signer.world();
    let now = crate::backup::now(world)?;
    let mut entropy = WorldEntropy::new(world);
    let id = RecordId::new(now.seconds(), &mut entropy).ok_or_else(|| {
        Error::bug("verify.event-id", "the host's clock is in a year that no event can be named after")
    })?;
    let event = Event {
        event: id,
        what: WHAT.to_owned(),
        at: now,
        host: crate::backup::host_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        detail: detail(report)?,
    };
    let failed = |error: &dyn std::fmt::Display| {
        Error::bug("verify.event", format!("the event could not be made: {error}"))
    };
    let mut compressor = Compressor::new(Compression::Zstd(3)).map_err(|error| failed(&error))?;
    let sealed = event
        .seal(folder, signer.sealer()?, signer.writer()?, &mut compressor, &mut entropy)
        .map_err(|error| failed(&error))?;
    put_everywhere(&signer.regions().set(), sealed).await?;
    Ok(ObjectName::from(Named::Event { place: folder.clone(), id }).to_string())
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
        "findings_more": report.findings_more,
        "not_checked": report.not_checked,
        "place": serde_json::to_value(&report.place).map_err(json)?,
    });
    match detail {
        Value::Object(detail) => Ok(detail),
        _ => Ok(Map::new()),
    }
}
