//! One object into one region.
//!
//! Promises: what is put was read whole and is what its writer signed; under a taken name nothing is changed, and the same content
//! there, sealed another time, is no fault.

use seawall_repo::keys::Digest;
use seawall_repo::layout::{Named, ObjectName};
use seawall_store::{Existing, Put, Region, RegionName, StoreError};

use crate::repository::{OBJECT_BYTES_MAX, Repository};
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
    if let Some(conflict) = conflict(repository, name, sources).await {
        return Copied::Conflict(conflict);
    }
    let created = repository.created(name).await;
    let mut faults = Vec::new();
    let sources = repository.regions().by_preference().into_iter().filter(|one| sources.contains(one.name()));
    for source in sources {
        let bytes = match source.get(name.as_str(), OBJECT_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(error) => {
                faults.push(format!("{}: {}", source.name(), error.chain()));
                continue;
            }
        };
        let digest = match stored_copy(repository, name, &bytes, created) {
            Ok(digest) => digest,
            Err(why) => {
                faults.push(format!("{}: {why}", source.name()));
                continue;
            }
        };
        return match target.put_new(name.as_str(), &bytes).await {
            Ok(Put::Created) => Copied::Now(bytes.len() as u64),
            Ok(Put::AlreadyThere) => Copied::Before,
            Ok(Put::Conflict { existing }) => {
                taken(repository, name, digest, &existing, (source.name(), target.name()))
            }
            Err(error) => Copied::Refused(error),
        };
    }
    Copied::NoGoodCopy(faults.join("; "))
}

/// What stands under the name was put meanwhile: the same content, perhaps sealed another time, or another one.
fn taken(
    repository: &Repository,
    name: &ObjectName,
    digest: Option<Digest>,
    existing: &Existing,
    (source, target): (&RegionName, &RegionName),
) -> Copied {
    let there = match existing {
        Existing::Whole(bytes) => stored_copy(repository, name, bytes, None),
        Existing::TooLarge { size_bytes } => Err(format!("it has {size_bytes} bytes")),
    };
    match there {
        Ok(there) if there.is_some() && there == digest => Copied::Before,
        Ok(_) => Copied::Conflict(format!("{source} and {target} hold different contents")),
        Err(why) => Copied::Conflict(format!("{target} holds what cannot be believed: {why}")),
    }
}

/// Whether regions hold different contents of a WAL file: two servers may have archived under one name, and nobody but a person can
/// say whose it should be.
async fn conflict(repository: &Repository, name: &ObjectName, holders: &[RegionName]) -> Option<String> {
    if holders.len() < 2 || !matches!(name.named(), Named::Wal { .. } | Named::WalPart { .. }) {
        return None;
    }
    let mut known: Option<(RegionName, Digest)> = None;
    for holder in holders {
        let Some(alone) = repository.within(holder) else { continue };
        // A copy that cannot be read is no other content; whoever copies says what is wrong with it.
        let Ok(head) = alone.read_head(name).await else { continue };
        let digest = *head.value.head().plain_digest();
        match &known {
            Some((first, other)) if *other != digest => {
                return Some(format!("{first} and {holder} hold different contents"));
            }
            Some(_) => {}
            None => known = Some((holder.clone(), digest)),
        }
    }
    None
}
