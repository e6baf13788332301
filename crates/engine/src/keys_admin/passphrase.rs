//! A passphrase beside the recipients: one more entry of the keys' records, opened by nothing but its words.
//!
//! Commit point: the new record of the newest generation. Promises: entries that are there already are carried over as they
//! are, other passphrases among them; a passphrase that opens everything already makes nothing.

use bytes::Bytes;
use seawall_repo::identity::{Identities, Passphrase, Recipient};
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::records::{KeyRecord, OwnerRecord};
use seawall_repo::wrapped::{WrapFor, Wrapped};
use seawall_store::World;
use serde::Serialize;
use zeroize::Zeroizing;

use super::KeysOf;
use super::change::{Owner, no_keys, unwrappable};
use super::records::{key_records, open, owner_record, put, recipients_of};
use crate::error::{Error, Result};

/// Shorter ones are guessed: whoever has a copy of the repository can try without end.
const CHARS_MIN: usize = 16;

/// A passphrase was added.
#[derive(Debug, Clone, Serialize)]
pub struct PassphraseAdded {
    /// The records that let it open; empty where all of them did.
    pub made: Vec<String>,
    /// Whether it also opens the owner's key: no where that is not kept in the repository.
    pub owner_key: bool,
    /// Passphrases that open the newest generation now.
    pub passphrases: usize,
    /// Everybody else who can read.
    pub recipients: Vec<Recipient>,
}

/// Lets whoever knows a passphrase open the cluster's keys of every generation, and the owner's key where it is kept here.
///
/// # Errors
/// It is too short; the owner's key or a generation cannot be opened with what was brought; a region cannot take a record.
pub async fn add_passphrase(of: &KeysOf, passphrase: &Passphrase, world: &World) -> Result<PassphraseAdded> {
    refuse_weak(passphrase)?;
    let owner = Owner::open(of, world).await?;
    let same = Identities::of_passphrase(passphrase.clone());
    let mut records: Vec<(ObjectName, Bytes)> = Vec::new();
    let (mut made, mut newest_entries) = (Vec::new(), (Vec::new(), 0));
    for (generation, changes) in key_records(&owner.regions, &owner.word.trust, &of.cluster).await? {
        let Some(newest) = changes.last() else { continue };
        newest_entries = recipients_of(&newest.record.wrapped);
        if newest_entries.1 > 0 && newest.record.unwrap(&same).is_ok() {
            // An earlier run came that far, perhaps not in every region.
            records.push((newest.name.clone(), newest.bytes.clone()));
            continue;
        }
        let keys = open(&changes, &owner.identities)?;
        let change = newest.record.change.saturating_add(1);
        let added = keys.wrap(&[WrapFor::Passphrase(passphrase)]).map_err(unwrappable)?;
        let record = KeyRecord {
            cluster: of.cluster.clone(),
            generation,
            change,
            public: keys.secret.public(),
            wrapped: [known(&newest.record.wrapped), added].concat(),
        };
        records.push(owner.signed(&Named::Key { cluster: of.cluster.clone(), generation, change }, &record)?);
        made.extend(records.last().map(|(name, _)| name.to_string()));
        newest_entries.1 += 1;
    }
    if records.is_empty() {
        return Err(no_keys(of, owner.word.record.cipher));
    }
    let kept = owner_record(&owner.regions, &owner.word.trust).await?;
    let owner_key = kept.is_some();
    if let Some(kept) = kept {
        let opens = recipients_of(&kept.record.wrapped).1 > 0
            && seawall_repo::keys::OwnerKey::unwrap(&kept.record.wrapped, &same).is_ok();
        if opens {
            records.push((kept.name.clone(), kept.bytes.clone()));
        } else {
            let change = kept.record.change.saturating_add(1);
            let added = owner.word.key.wrap(&[WrapFor::Passphrase(passphrase)]).map_err(unwrappable)?;
            let record = OwnerRecord { change, wrapped: [known(&kept.record.wrapped), added].concat() };
            records.push(owner.signed(&Named::Owner { change }, &record)?);
            made.extend(records.last().map(|(name, _)| name.to_string()));
        }
    }
    for (name, bytes) in &records {
        put(&owner.regions, name, bytes).await?;
    }
    let (recipients, passphrases) = newest_entries;
    Ok(PassphraseAdded { made, owner_key, passphrases, recipients })
}

fn refuse_weak(passphrase: &Passphrase) -> Result<()> {
    let text = Zeroizing::new(seawall_repo::identity::words_of(passphrase).to_owned());
    if text.chars().count() >= CHARS_MIN {
        return Ok(());
    }
    Err(Error::usage("keys.passphrase-weak", format!("a passphrase needs at least {CHARS_MIN} characters"))
        .hint("whoever has a copy of the repository can try without end: take six random words or more"))
}

/// Entries of ways that are known; what a later version wrapped stays in its own record.
fn known(entries: &[Wrapped]) -> Vec<Wrapped> {
    entries.iter().filter(|entry| !matches!(entry, Wrapped::Unknown)).cloned().collect()
}
