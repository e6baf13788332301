//! Putting what was sealed: one buffer to every region of the operation.

use bytes::Bytes;
use seawall_repo::layout::ObjectName;
use seawall_repo::object::SealedObject;
use seawall_repo::signed::sign_as_writer;
use seawall_store::{DetachReason, PerRegion, Put, RegionSet, StoreError};
use serde::Serialize;

use super::handle::Repository;
use crate::error::{Error, Result};

/// Puts a sealed object to every region that still takes part; those where it fails or where something else stands under
/// the name are let go, with the reason.
///
/// # Errors
/// No region is left.
pub async fn put_everywhere(set: &RegionSet, object: SealedObject) -> Result<u64> {
    let (name, bytes, _digest) = object.into_parts();
    let size = bytes.len() as u64;
    put_bytes_everywhere(set, &name, bytes).await?;
    Ok(size)
}

/// As [`put_everywhere`], for bytes.
///
/// # Errors
/// No region is left.
pub async fn put_bytes_everywhere(set: &RegionSet, name: &ObjectName, bytes: Vec<u8>) -> Result<()> {
    let bytes = Bytes::from(bytes);
    let puts = set.put_all(name.as_str(), &bytes).await;
    let_go(set, name, &puts);
    if set.attached().is_empty() { Err(no_region_left(set, name)) } else { Ok(()) }
}

fn let_go(set: &RegionSet, name: &ObjectName, puts: &PerRegion<std::result::Result<Put, StoreError>>) {
    for (region, put) in puts.iter() {
        match put {
            Ok(Put::Created | Put::AlreadyThere) => {}
            Ok(Put::Conflict { .. }) => set.detach(region, DetachReason::Conflict { name: name.to_string() }),
            Err(error) => set.detach(region, DetachReason::Failed(error.chain())),
        }
    }
}

fn no_region_left(set: &RegionSet, name: &ObjectName) -> Error {
    let detached = set.detached();
    let conflict = detached.iter().all(|gone| matches!(gone.reason, DetachReason::Conflict { .. }));
    let error = if conflict {
        Error::data(
            "repository.name-taken",
            format!("something else stands under the new name {name} in every region"),
        )
        .hint("nothing was overwritten; run the command again, it takes a new name")
    } else {
        Error::unavailable("repository.no-region-left", format!("{name} could not be stored in any region"))
            .hint("nothing is lost: what was stored stays and is taken up again by the next run")
    };
    detached
        .iter()
        .fold(error, |error, gone| error.fact("region", format!("{}: {}", gone.region, reason(&gone.reason))))
}

/// A detach reason in words.
#[must_use]
pub fn reason(reason: &DetachReason) -> String {
    match reason {
        DetachReason::Failed(why) => why.clone(),
        DetachReason::Lagging { waited } => {
            format!("lagging: given up after {} s more than the first", waited.as_secs())
        }
        DetachReason::Conflict { name } => format!("conflict: something else stands under {name}"),
        DetachReason::Excluded => "left out of this operation".to_owned(),
    }
}

impl Repository {
    /// Signs a plain record as this host and puts it to every region of `set`.
    ///
    /// # Errors
    /// No key file of a host, or no region is left.
    pub async fn put_record<R: Serialize>(
        &self,
        set: &RegionSet,
        name: &ObjectName,
        record: &R,
    ) -> Result<()> {
        let text =
            sign_as_writer(record, self.trust().repository(), name, self.writer()?).map_err(|error| {
                Error::bug("repository.record-encode", format!("{name} could not be signed")).because(error)
            })?;
        put_bytes_everywhere(set, name, text).await
    }
}
