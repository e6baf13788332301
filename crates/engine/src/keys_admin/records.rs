//! The records about keys in the regions: read, believed, and put everywhere.
//!
//! Promise: a record that some regions have already is completed with those very bytes, never with newly made ones.

use std::collections::BTreeMap;

use bytes::Bytes;
use seawall_repo::id::{ClusterName, Generation};
use seawall_repo::identity::{Identities, Recipient};
use seawall_repo::layout::{ObjectName, prefix};
use seawall_repo::records::{KeyRecord, OwnerRecord};
use seawall_repo::trust::Trust;
use seawall_repo::wrapped::{ClusterKeys, WrapError, Wrapped};
use seawall_store::{Extent, Put, Regions};

use crate::error::{Error, Result};
use crate::repository::{get_any, list_names, not_served, store_error};

const RECORD_BYTES_MAX: u64 = 1 << 20;

/// A record with its name and its bytes as they are stored.
pub(super) struct Stored<R> {
    pub(super) name: ObjectName,
    pub(super) bytes: Bytes,
    pub(super) record: R,
}

/// Every wrapping of the cluster's keys: by generation, oldest change first.
pub(super) async fn key_records(
    regions: &Regions,
    trust: &Trust,
    cluster: &ClusterName,
) -> Result<BTreeMap<Generation, Vec<Stored<KeyRecord>>>> {
    let mut found: BTreeMap<Generation, Vec<Stored<KeyRecord>>> = BTreeMap::new();
    for name in list_names(regions, &prefix::keys(cluster)).await? {
        let stored: Stored<KeyRecord> = read(regions, trust, &name).await?;
        found.entry(stored.record.generation).or_default().push(stored);
    }
    found.values_mut().for_each(|changes| changes.sort_by_key(|stored| stored.record.change));
    Ok(found)
}

/// The newest wrapping of the owner's key; none where it was made elsewhere.
pub(super) async fn owner_record(regions: &Regions, trust: &Trust) -> Result<Option<Stored<OwnerRecord>>> {
    let mut newest: Option<Stored<OwnerRecord>> = None;
    for name in list_names(regions, prefix::OWNER).await? {
        let stored: Stored<OwnerRecord> = read(regions, trust, &name).await?;
        if newest.as_ref().is_none_or(|newest| newest.record.change < stored.record.change) {
            newest = Some(stored);
        }
    }
    Ok(newest)
}

async fn read<R: serde::de::DeserializeOwned>(
    regions: &Regions,
    trust: &Trust,
    name: &ObjectName,
) -> Result<Stored<R>> {
    let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
    let served = get_any(regions, name, extent, |_region, bytes| {
        trust.open_owners::<R>(name, &bytes).map(|record| (record, bytes))
    })
    .await
    .map_err(|error| not_served(&error))?;
    let (record, bytes) = served.value;
    Ok(Stored { name: name.clone(), bytes, record })
}

/// Opens a generation's keys, by whichever change of recipients an identity fits.
pub(super) fn open(changes: &[Stored<KeyRecord>], identities: &Identities) -> Result<ClusterKeys> {
    let mut refused = None;
    for stored in changes.iter().rev() {
        match stored.record.unwrap(identities) {
            Ok(keys) => return Ok(keys),
            Err(error) => refused = refused.or(Some((stored.name.clone(), error))),
        }
    }
    Err(match refused {
        Some((name, error)) => refused_identity(&name, error),
        None => Error::bug("keys.no-change", "a generation without any record of it"),
    })
}

fn refused_identity(name: &ObjectName, error: WrapError) -> Error {
    Error::usage("keys.wrong-identity", format!("no identity given opens {name}"))
        .hint(
            "name an identity file of one of the recipients: --identity FILE; `seawall key show` lists them",
        )
        .because(error)
}

/// Who can open an entry, as far as it says; how many more can with a passphrase.
pub(super) fn recipients_of(wrapped: &[Wrapped]) -> (Vec<Recipient>, usize) {
    let mut recipients = Vec::new();
    let mut passphrases = 0;
    for entry in wrapped {
        match entry {
            Wrapped::X25519 { recipients: these, .. } => recipients.extend(these.iter().cloned()),
            Wrapped::Passphrase { .. } => passphrases += 1,
            Wrapped::Unknown => {}
        }
    }
    (recipients, passphrases)
}

/// Puts a record to every region.
///
/// # Errors
/// A region cannot take it: the same command goes on from there. Another record stands under the name.
pub(super) async fn put(regions: &Regions, name: &ObjectName, bytes: &Bytes) -> Result<()> {
    let mut failed = None;
    for (region, put) in regions.each(|region| region.put_new(name.as_str(), bytes)).await {
        match put {
            Ok(Put::Created | Put::AlreadyThere) => {}
            Ok(Put::Conflict { .. }) => {
                let what = format!("region {region} holds another {name} already");
                failed = Some(Error::data("keys.name-taken", what).hint(
                    "somebody else changed keys at the same time; nothing was overwritten: look with `seawall key show`, then try again",
                ));
            }
            Err(error) => {
                failed = failed.or(Some(store_error(&format!("{name} could not be stored"), &error).hint(
                    "run the same command again when the region is back: it goes on where it stopped",
                )));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Whether some region lacks one of these.
///
/// # Errors
/// A region cannot be asked.
pub(super) async fn lacked_somewhere(regions: &Regions, names: &[ObjectName]) -> Result<bool> {
    for name in names {
        for (_, got) in regions.each(|region| region.get(name.as_str(), RECORD_BYTES_MAX)).await {
            match got {
                Ok(_) => {}
                Err(error) if error.kind() == seawall_store::ErrorKind::NotFound => return Ok(true),
                Err(error) => return Err(store_error(&format!("{name} cannot be looked for"), &error)),
            }
        }
    }
    Ok(false)
}

/// The bytes that some region has under a name; none where no region has it.
pub(super) async fn existing(regions: &Regions, name: &ObjectName) -> Result<Option<Bytes>> {
    for (_, got) in regions.each(|region| region.get(name.as_str(), RECORD_BYTES_MAX)).await {
        match got {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(error) if error.kind() == seawall_store::ErrorKind::NotFound => {}
            Err(error) => return Err(store_error(&format!("{name} cannot be looked for"), &error)),
        }
    }
    Ok(None)
}
