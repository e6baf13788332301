//! What stands where a region is to be, and what it would get.
//!
//! Reads only. A place that cannot be asked is an error: nothing is decided about what nobody has seen.

use futures::StreamExt as _;
use seawall_repo::layout::{Named, ObjectName, prefix};
use seawall_repo::time::Time;
use seawall_store::{Listed, Region, RegionName};

use super::report::PlaceState;
use crate::backup::now;
use crate::error::{Error, Result};
use crate::init::{RegionState, region_state};
use crate::repository::{Repository, store_error};
use crate::retention::Span;
use crate::sync::REMEMBERED;

/// What stands in a place that may become, or is, a region of this repository.
///
/// # Errors
/// It holds something else, or cannot be asked.
pub(super) async fn place(repository: &Repository, region: &Region) -> Result<PlaceState> {
    let name = region.name();
    match region_state(region).await? {
        RegionState::Empty => Ok(PlaceState::Empty),
        RegionState::Repository { id, owner, .. }
            if (id, owner) == (repository.record().repository, repository.record().owner) =>
        {
            Ok(PlaceState::Region)
        }
        RegionState::Repository { id, owner, .. } => Err(Error::usage(
            "repository.other-repository",
            format!("region {name} holds another repository"),
        )
        .fact("url", region.url())
        .fact("repository", id)
        .fact("owner", owner)
        .hint("give the region a place of its own that is empty: another prefix in its URL in the settings")),
        RegionState::Other { .. } if by_hosts(repository, region).await? => Ok(PlaceState::Written),
        RegionState::Remains { names } | RegionState::Other { names } => Err(Error::usage(
            "region.not-empty",
            format!("the place of region {name} is not empty, and holds no repository"),
        )
        .fact("url", region.url())
        .fact("found", names.join(", "))
        .hint("give the region a place of its own that is empty: another prefix in its URL in the settings")),
    }
}

/// Whether there is only what hosts of this cluster wrote lately: nothing of the repository's own, nothing that was stored, or by its id
/// made, when pruning may be forgotten.
async fn by_hosts(repository: &Repository, region: &Region) -> Result<bool> {
    let now = now(repository.world())?;
    let young = |time: Option<Time>| time.is_some_and(|time| Span::between(time, now) < REMEMBERED);
    let mut listed = region.list("", None);
    while let Some(next) = listed.next().await {
        let info = next.map_err(|error| store_error("cannot look into a region", &error))?;
        let Some(name) = ObjectName::parse(&info.name) else { return Ok(false) };
        let named = name.named();
        let ours = named.cluster() == Some(repository.cluster()) && named.place().is_some();
        if !ours
            || !young(Time::from_micros(info.modified_unix_us))
            || !made(named).is_none_or(|at| young(Some(at)))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// When an object was made, by the id in its name.
fn made(named: &Named) -> Option<Time> {
    let seconds = match named {
        Named::Manifest { backup, .. }
        | Named::Pack { backup, .. }
        | Named::Map { backup, .. }
        | Named::Intent { backup, .. } => backup.seconds(),
        Named::Event { id, .. } => id.seconds(),
        _ => return None,
    };
    Time::from_micros(i64::try_from(seconds).ok()?.checked_mul(1_000_000)?)
}

/// Objects and bytes of the cluster that regions hold, each counted once.
pub(super) async fn held(repository: &Repository) -> (u64, u64) {
    let (mut objects, mut bytes) = (1, 0_u64);
    for prefix in
        [prefix::OWNER.to_owned(), prefix::WRITERS.to_owned(), prefix::cluster(repository.cluster())]
    {
        let mut listed = repository.regions().list_all(&prefix);
        while let Some(next) = listed.next().await {
            let Listed::Object { name, held, .. } = next else { continue };
            if ObjectName::parse(&name).is_some_and(|name| goes_along(name.named())) {
                objects += 1;
                bytes = bytes.saturating_add(held.iter().map(|one| one.size_bytes).max().unwrap_or(0));
            }
        }
    }
    (objects, bytes)
}

/// Whether a region is to hold it at all: not what only says something about one region.
pub(super) fn goes_along(named: &Named) -> bool {
    !matches!(named, Named::Heal { .. } | Named::Intent { .. })
}

/// A region of the settings.
///
/// # Errors
/// There is none of that name.
pub(super) fn unknown(name: &RegionName) -> Error {
    Error::usage("settings.unknown-region", format!("there is no region {name} in the settings"))
        .hint(format!("add [[repository.region]] with name = \"{name}\" and its url to the settings first"))
}
