//! Events: what happened in a repository, kept in it, so that any other machine can tell.
//!
//! Commit point: the event itself; whoever must not be believed without one puts it before it goes on.

use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::event::Event;
use seawall_repo::id::RecordId;
use seawall_repo::layout::{ObjectName, Place};
use seawall_store::RegionSet;
use serde::Serialize;

use crate::backup::{host_name, now};
use crate::error::{Error, Result};
use crate::repository::{Repository, WorldEntropy, put_everywhere};

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
    let sealed = event
        .seal(place, repository.sealer()?, repository.writer()?, &mut compressor, &mut entropy)
        .map_err(|error| bug(error.into()))?;
    let name = sealed.name().clone();
    put_everywhere(set, sealed).await?;
    Ok(name)
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
