//! One object into one region.
//!
//! Promises: what is put was read whole and is what its writer signed; under a taken name nothing is changed, and the same content
//! there, sealed another time, is no fault.

use seawall_repo::layout::{Named, ObjectName};
use seawall_store::{Existing, Put, Region, RegionName, StoreError};

use super::good::{Good, differ, good_copy};
use crate::repository::{Apart, Repository};
use crate::verify::stored_copy;

/// What became of it.
#[derive(Debug)]
pub(super) enum Copied {
    /// It is there now, with so many bytes.
    Now(u64),
    /// Somebody else had put it meanwhile.
    Before,
    /// Two contents under one name: where, in words.
    Conflict(String),
    /// No region has a copy that can be believed, and why.
    NoGoodCopy(String),
    /// The region does not take it.
    Refused(StoreError),
}

/// Copies `name` from one of `sources` into `target`.
pub(super) async fn copy(
    repository: &Repository,
    name: &ObjectName,
    sources: &[RegionName],
    target: &Region,
) -> Copied {
    // Of other kinds one writer makes each object once.
    if matches!(name.named(), Named::Wal { .. } | Named::WalPart { .. })
        && sources.len() > 1
        && let Some(conflict) = differ(repository, name, sources).await
    {
        return Copied::Conflict(conflict.words());
    }
    let good = match good_copy(repository, name, sources, repository.created(name).await).await {
        Ok(good) => good,
        Err(faults) => return Copied::NoGoodCopy(faults),
    };
    match target.put_new(name.as_str(), &good.bytes).await {
        Ok(Put::Created) => Copied::Now(good.bytes.len() as u64),
        Ok(Put::AlreadyThere) => Copied::Before,
        Ok(Put::Conflict { existing }) => taken(repository, name, good, &existing, target.name()),
        Err(error) => Copied::Refused(error),
    }
}

/// What stands under the name was put meanwhile: the same content, perhaps sealed another time, or another one.
fn taken(
    repository: &Repository,
    name: &ObjectName,
    good: Good,
    existing: &Existing,
    target: &RegionName,
) -> Copied {
    let there = match existing {
        Existing::Whole(bytes) => stored_copy(repository, name, bytes, None, target),
        Existing::TooLarge { size_bytes } => Err(format!("it has {size_bytes} bytes")),
    };
    match there {
        Ok(there) => match Apart::of(good.copy.into_iter().chain(there)) {
            Some(conflict) => Copied::Conflict(conflict.words()),
            None => Copied::Before,
        },
        Err(why) => Copied::Conflict(format!("{target} holds what cannot be believed: {why}")),
    }
}
