//! Reading one region's copy of a manifest.
//!
//! Promises: every byte of it is checked; what is wrong with a copy is told apart from a region that does not answer.

use seawall_repo::compress::Decompressor;
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::Manifest;
use seawall_repo::object::WholeObject;
use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::found::Way;
use super::healed::Trying;
use super::object::Wrong;
use super::tasks::{Outcome, Reading};
use crate::error::{Error, Result};
use crate::repository::{Copy, Repository};

/// The manifest and what its copy is compared by, or what became of it.
pub(super) type ReadManifest = Result<std::result::Result<(Box<Manifest>, Copy), Outcome>>;

/// One region's copy of a manifest, or the heal copy that serves it there.
pub(super) async fn manifest(
    reading: &Reading,
    place: &Place,
    id: BackupId,
    region: &RegionName,
    created: Option<Time>,
) -> ReadManifest {
    let mut read = one(reading, place, id, region, created).await?;
    let name: ObjectName = Named::Manifest { place: place.clone(), backup: id }.into();
    let mut trying = Trying::new(&reading.heals, region);
    while let Err(Outcome::Wrong(wrong)) = &read
        && trying.next(&name, wrong)
    {
        read = one(reading, place, id, region, created).await?;
    }
    Ok(match (trying.end(&name, read.is_ok()), read) {
        (Some(first), Err(Outcome::Wrong(_))) => Err(Outcome::Wrong(first)),
        (_, read) => read,
    })
}

async fn one(
    reading: &Reading,
    place: &Place,
    id: BackupId,
    region: &RegionName,
    created: Option<Time>,
) -> ReadManifest {
    let name: ObjectName = Named::Manifest { place: place.clone(), backup: id }.into();
    // A revoked writer's manifest counts by when it was made: asked for where it was not listed just now.
    let created = match created {
        Some(created) => Some(created),
        None => reading.repository.created(&name).await,
    };
    let bytes = match reading.get(&name, region, None).await {
        Ok(bytes) if bytes.is_empty() => {
            return Ok(Err(Outcome::Wrong(Wrong::new(Way::Damaged, "it is empty"))));
        }
        Ok(bytes) => bytes,
        Err(outcome) => return Ok(Err(outcome)),
    };
    let (repository, region) = (reading.repository.clone(), region.clone());
    let opened =
        tokio::task::spawn_blocking(move || open_manifest(&repository, &name, &region, &bytes, created));
    opened.await.map_err(|error| {
        Error::bug("verify.panicked", "checking a manifest ended the thread that did it").because(error)
    })?
}

fn open_manifest(
    repository: &Repository,
    name: &ObjectName,
    region: &RegionName,
    bytes: &[u8],
    created: Option<Time>,
) -> ReadManifest {
    let mut decompressor = Decompressor::new()
        .map_err(|error| Error::bug("verify.decompressor", "zstd could not be set up").because(error))?;
    let (trust, keys) = (repository.trust(), repository.keys());
    let whole = match WholeObject::open(name, bytes, trust, created, keys, &mut decompressor) {
        Ok(whole) => whole,
        Err(error) => return Ok(Err(Outcome::Wrong(error.into()))),
    };
    let Some(digest_key) = keys.digest_key(whole.head().generation(), trust.repository()) else {
        return Ok(Err(Outcome::Wrong(Wrong::new(
            Way::Damaged,
            "the meta key of its generation is not at hand",
        ))));
    };
    Ok(match Manifest::open(&whole, &digest_key, &mut decompressor) {
        Ok(manifest) => Ok((Box::new(manifest), Copy::of_head(region, whole.head()))),
        Err(seawall_repo::manifest::ManifestError::Object(error)) => Err(Outcome::Wrong(error.into())),
        Err(error) => Err(Outcome::Wrong(Wrong::new(Way::Damaged, error.to_string()))),
    })
}
