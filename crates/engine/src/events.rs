//! Events: what happened in a repository, kept in it, so that any other machine can tell.
//!
//! Commit point: the event itself; whoever must not be believed without one puts it before it goes on. [`recent`] reads them back.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use seawall_repo::compress::{Compression, Compressor, Decompressor};
use seawall_repo::error::Fault;
use seawall_repo::event::Event;
use seawall_repo::id::{Generation, RecordId};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::object::{SealedObject, WholeObject};
use seawall_repo::time::Time;
use seawall_store::RegionSet;
use serde::Serialize;

use crate::backup::{host_name, now};
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::{Repository, WorldEntropy, list_names, put_everywhere};

const DAY_SECONDS: u64 = 86_400;
/// Heads that are read in search of events: many more than two days have.
const HEADS_MAX: usize = 500;
/// Heads that are read in search of one event: more than a year of hourly ones.
const HEADS_SEARCHED: usize = 10_000;
/// Heads that are read at the same time.
const HEADS_AT_ONCE: usize = 16;

/// Puts an event to every region of the set.
///
/// # Errors
/// No key file of a host, or no region is left.
pub(crate) async fn tell<D: Serialize>(
    repository: &Repository,
    set: &RegionSet,
    place: &Place,
    what: &str,
    detail: &D,
) -> Result<ObjectName> {
    let sealed = sealed(repository, place, what, detail)?;
    let name = sealed.name().clone();
    put_everywhere(set, sealed).await?;
    Ok(name)
}

/// An event that is not stored yet.
///
/// # Errors
/// No key file of a host.
pub(crate) fn sealed<D: Serialize>(
    repository: &Repository,
    place: &Place,
    what: &str,
    detail: &D,
) -> Result<SealedObject> {
    let bug = |cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::bug("event.encode", format!("the event of a {what} cannot be written")).because(cause)
    };
    let detail = match serde_json::to_value(detail).map_err(|error| bug(error.into()))? {
        serde_json::Value::Object(detail) => detail,
        other => serde_json::Map::from_iter([("value".to_owned(), other)]),
    };
    let event = Event {
        event: record_id(repository)?,
        what: what.to_owned(),
        at: now(repository.world())?,
        host: host_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        detail,
    };
    let mut compressor = Compressor::new(Compression::Zstd(3)).map_err(|error| bug(error.into()))?;
    let mut entropy = WorldEntropy::new(repository.world());
    event
        .seal(place, repository.sealer()?, repository.writer()?, &mut compressor, &mut entropy)
        .map_err(|error| bug(error.into()))
}

/// A fresh id for a record of now.
///
/// # Errors
/// This host's clock is outside the years that can be written.
pub(crate) fn record_id(repository: &Repository) -> Result<RecordId> {
    let seconds = now(repository.world())?.seconds();
    RecordId::new(seconds, &mut WorldEntropy::new(repository.world())).ok_or_else(|| {
        Error::source_side(
            "host.clock",
            "the clock of this host is far outside the years that can be written",
        )
    })
}

/// One event.
///
/// # Errors
/// Missing, damaged, not believed, out of reach in every region, or sealed with keys that are not at hand.
pub(crate) async fn read(repository: &Repository, name: &ObjectName) -> Result<Event> {
    let open = |whole: &WholeObject<'_>, decompressor: &mut Decompressor| {
        let generation = whole.head().generation();
        let key = repository.keys().digest_key(generation, repository.trust().repository());
        let missing = Fault::NeedsMetaKey { generation: generation.unwrap_or(Generation::FIRST) };
        Event::open(whole, &key.ok_or_else(|| whole.head().fault(missing))?, decompressor)
    };
    Ok(repository.read_whole(name, open).await?.value)
}

/// Events of some kinds of this day and the one before (UTC, by their writers' clocks), oldest first. What cannot be read is a finding.
///
/// # Errors
/// No region can be listed.
pub(crate) async fn recent(
    repository: &Repository,
    place: &Place,
    kinds: &[&str],
    now: Time,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Event>> {
    let mut names = BTreeSet::new();
    for seconds in [now.seconds().saturating_sub(DAY_SECONDS), now.seconds()] {
        let Some(day) = RecordId::new(seconds, &mut WorldEntropy::new(repository.world())) else { continue };
        names.extend(list_names(repository.regions(), &place.events_of(day)).await?);
    }
    let mut events = Vec::new();
    for name in names.iter().rev().filter(|name| matches!(name.named(), Named::Event { .. })).take(HEADS_MAX)
    {
        match one(repository, name, kinds).await {
            Ok(event) => events.extend(event),
            Err(error) => findings.push(Finding {
                id: "repository.event-unreadable",
                what: format!("{name} cannot be read: {error}"),
                hint: None,
            }),
        }
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// Events of one kind from `since` on, by their ids: of the newest [`HEADS_MAX`] of any kind. What cannot be read is left out.
///
/// # Errors
/// No region can be listed.
pub(crate) async fn of_kind(
    repository: &Repository,
    place: &Place,
    kind: &str,
    since: Time,
) -> Result<Vec<Event>> {
    let names = list_names(repository.regions(), &place.events()).await?;
    let mut names: Vec<(u64, ObjectName)> = names
        .into_iter()
        .filter_map(|name| match name.named() {
            Named::Event { id, .. } if id.seconds() >= since.seconds() => Some((id.seconds(), name)),
            _ => None,
        })
        .collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    names.truncate(HEADS_MAX);
    let kinds = [kind];
    let events: Vec<Option<Event>> = futures::stream::iter(names)
        .map(|(_, name)| async move { one(repository, &name, &kinds).await.ok().flatten() })
        .buffered(HEADS_AT_ONCE)
        .collect()
        .await;
    Ok(events.into_iter().flatten().collect())
}

/// The newest event of a kind that `fits`, by their ids; none among the newest [`HEADS_SEARCHED`] of any kind.
pub(crate) async fn newest_of(
    repository: &Repository,
    place: &Place,
    kind: &str,
    fits: impl Fn(&Event) -> bool,
) -> Option<ObjectName> {
    let names = list_names(repository.regions(), &place.events()).await.ok()?;
    let mut names: Vec<(u64, ObjectName)> = names
        .into_iter()
        .filter_map(|name| match name.named() {
            Named::Event { id, .. } => Some((id.seconds(), name)),
            _ => None,
        })
        .collect();
    names.sort_unstable_by(|one, other| other.cmp(one));
    names.truncate(HEADS_SEARCHED);
    let kinds = [kind];
    let mut read = futures::stream::iter(names)
        .map(|(_, name)| async move { (one(repository, &name, &kinds).await.ok().flatten(), name) })
        .buffered(HEADS_AT_ONCE)
        .boxed();
    while let Some((event, name)) = read.next().await {
        if event.is_some_and(|event| fits(&event)) {
            return Some(name);
        }
    }
    None
}

async fn one(repository: &Repository, name: &ObjectName, kinds: &[&str]) -> Result<Option<Event>> {
    let head = repository.read_head(name).await?.value;
    let what = head.head().header().get("what").and_then(serde_json::Value::as_str);
    if !what.is_some_and(|what| kinds.contains(&what)) {
        return Ok(None);
    }
    read(repository, name).await.map(Some)
}
