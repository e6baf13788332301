//! Changes to who can read and who may write, each signed with the owner's key.
//!
//! Commit points: the new record of the newest generation (a recipient), the certificate (a writer), the revocation.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use seawall_repo::id::{Generation, WriterId};
use seawall_repo::identity::{Identities, Recipient};
use seawall_repo::keys::WriterKey;
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::records::{ClusterScope, KeyRecord, OwnerRecord, Revocation, Right, WriterCertificate};
use seawall_repo::seal::Cipher;
use seawall_repo::signed::sign_as_owner;
use seawall_repo::time::Time;
use seawall_repo::wrapped::{WrapError, WrapFor, Wrapped};
use seawall_store::{Regions, World};
use serde::Serialize;

use super::KeysOf;
use super::records::{Stored, existing, key_records, open, owner_record, put, recipients_of};
use crate::error::{Error, Result};
use crate::init::{OwnersWord, owners_word};
use crate::repository::{
    Expecting, HostGeneration, HostKeys, Repository, Secrets, WorldEntropy, load_identities, open_regions,
};

/// A recipient was added.
#[derive(Debug, Clone, Serialize)]
pub struct RecipientAdded {
    /// Who can read now.
    pub recipient: Recipient,
    /// The records that let it; empty where all of them were there.
    pub made: Vec<String>,
    /// Whether it can also open the owner's key: no where that is not kept in the repository.
    pub owner_key: bool,
    /// Everybody who can read now.
    pub recipients: Vec<Recipient>,
}

/// A writer was added.
#[derive(Debug, Clone, Serialize)]
pub struct WriterAdded {
    /// Its id.
    pub writer: WriterId,
    /// What it is called.
    pub label: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// The key file; to be carried to its host.
    pub key_file: PathBuf,
}

/// A writer to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewWriter<'a> {
    /// What to call it.
    pub label: &'a str,
    /// What it may do.
    pub rights: &'a [Right],
    /// The key file to write.
    pub output: &'a Path,
}

/// A writer was revoked.
#[derive(Debug, Clone, Serialize)]
pub struct WriterRevoked {
    /// Its id.
    pub writer: WriterId,
    /// What it was called.
    pub label: String,
    /// What it stored from then on does not count.
    pub since: Time,
    /// Why.
    pub reason: String,
}

/// What every change needs.
pub(super) struct Owner {
    pub(super) regions: Regions,
    pub(super) identities: Identities,
    pub(super) word: OwnersWord,
}

impl Owner {
    pub(super) async fn open(of: &KeysOf, world: &World) -> Result<Self> {
        let identities = load_identities(&of.identities)?;
        let regions = open_regions(&of.settings, Expecting::Repository, None, world)?;
        let word = owners_word(&regions, &of.settings, &identities).await?;
        Ok(Self { regions, identities, word })
    }

    pub(super) fn signed<R: Serialize>(&self, named: &Named, record: &R) -> Result<(ObjectName, Bytes)> {
        let name = named.to_name();
        let text =
            sign_as_owner(record, &self.word.record.repository, &name, &self.word.key).map_err(|error| {
                Error::bug("keys.record-encode", format!("{name} could not be signed")).because(error)
            })?;
        Ok((name, Bytes::from(text)))
    }
}

/// Lets one more identity open the cluster's keys of every generation, and the owner's key where it is kept here.
///
/// # Errors
/// The owner's key or a generation of keys cannot be opened with the identities given; a region cannot take a record.
pub async fn add_recipient(of: &KeysOf, recipient: &Recipient, world: &World) -> Result<RecipientAdded> {
    let owner = Owner::open(of, world).await?;
    let mut records: Vec<(ObjectName, Bytes)> = Vec::new();
    let (mut made, mut recipients) = (Vec::new(), Vec::new());
    for (generation, changes) in key_records(&owner.regions, &owner.word.trust, &of.cluster).await? {
        let Some(newest) = changes.last() else { continue };
        let mut all = recipients_of(&newest.record.wrapped).0;
        if all.contains(recipient) {
            // An earlier run came that far, perhaps not in every region.
            records.push((newest.name.clone(), newest.bytes.clone()));
        } else {
            all.push(recipient.clone());
            records.push(rewrapped(&owner, of, generation, &changes, &all)?);
            made.extend(records.last().map(|(name, _)| name.to_string()));
        }
        recipients = all;
    }
    if recipients.is_empty() {
        return Err(no_keys(of, owner.word.record.cipher));
    }
    let kept = owner_record(&owner.regions, &owner.word.trust).await?;
    let owner_key = kept.is_some();
    if let Some(kept) = kept {
        let (record, is_new) = owner_rewrapped(&owner, &kept, recipient)?;
        made.extend(is_new.then(|| record.0.to_string()));
        records.push(record);
    }
    for (name, bytes) in &records {
        put(&owner.regions, name, bytes).await?;
    }
    Ok(RecipientAdded { recipient: recipient.clone(), made, owner_key, recipients })
}

fn rewrapped(
    owner: &Owner,
    of: &KeysOf,
    generation: Generation,
    changes: &[Stored<KeyRecord>],
    all: &[Recipient],
) -> Result<(ObjectName, Bytes)> {
    let keys = open(changes, &owner.identities)?;
    let change = changes.last().map_or(0, |newest| newest.record.change).saturating_add(1);
    let record = KeyRecord {
        cluster: of.cluster.clone(),
        generation,
        change,
        public: keys.secret.public(),
        wrapped: with_passphrases(
            keys.wrap(&[WrapFor::Recipients(all)]),
            changes.last().map(|last| &last.record.wrapped),
        )?,
    };
    owner.signed(&Named::Key { cluster: of.cluster.clone(), generation, change }, &record)
}

/// New entries with the passphrases' old ones, which nobody here can make anew.
fn with_passphrases(
    made: std::result::Result<Vec<Wrapped>, WrapError>,
    before: Option<&Vec<Wrapped>>,
) -> Result<Vec<Wrapped>> {
    let mut wrapped = made.map_err(unwrappable)?;
    let kept = before.into_iter().flatten().filter(|entry| matches!(entry, Wrapped::Passphrase { .. }));
    wrapped.extend(kept.cloned());
    Ok(wrapped)
}

/// The owner's record with the recipient in it, and whether it is a new one.
fn owner_rewrapped(
    owner: &Owner,
    kept: &Stored<OwnerRecord>,
    recipient: &Recipient,
) -> Result<((ObjectName, Bytes), bool)> {
    let mut all = recipients_of(&kept.record.wrapped).0;
    if all.contains(recipient) {
        return Ok(((kept.name.clone(), kept.bytes.clone()), false));
    }
    all.push(recipient.clone());
    let change = kept.record.change.saturating_add(1);
    let wrapped =
        with_passphrases(owner.word.key.wrap(&[WrapFor::Recipients(&all)]), Some(&kept.record.wrapped))?;
    Ok((owner.signed(&Named::Owner { change }, &OwnerRecord { change, wrapped })?, true))
}

pub(super) fn unwrappable(error: WrapError) -> Error {
    Error::usage("keys.wrap", "the keys cannot be wrapped for these recipients").because(error)
}

pub(super) fn no_keys(of: &KeysOf, cipher: Cipher) -> Error {
    match cipher {
        Cipher::None => Error::usage(
            "keys.nothing-sealed",
            "this repository is not encrypted: everybody who reaches it can read it",
        ),
        Cipher::Aes256Gcm => Error::usage(
            "repository.cluster-unknown",
            format!("this repository has no cluster named {}", of.cluster),
        )
        .hint("name one that it has: --cluster NAME"),
    }
}

/// Names one more host that may write for the cluster, and writes its key file.
///
/// # Errors
/// The file is that of something else; the owner's key or the cluster's keys cannot be opened; a region is away.
pub async fn add_writer(of: &KeysOf, new: &NewWriter<'_>, world: &World) -> Result<WriterAdded> {
    let NewWriter { label, rights, output } = *new;
    let owner = Owner::open(of, world).await?;
    let host = match output.exists() {
        // An earlier run wrote it and was interrupted before every region had the certificate.
        true => begun(HostKeys::load(output)?, &owner, of, output)?,
        false => {
            let host = new_host(&owner, of, world).await?;
            host.create(output, world)?;
            host
        }
    };
    let named = Named::Writer(host.writer.id());
    let bytes = match existing(&owner.regions, &named.to_name()).await? {
        Some(bytes) => bytes,
        None => owner.signed(&named, &certificate(&host, label, rights, world)?)?.1,
    };
    put(&owner.regions, &named.to_name(), &bytes).await?;
    let settings = of.settings.clone();
    // What cannot be opened was not made.
    let opened =
        Repository::open(&settings, &of.cluster, &Secrets::Host(output.to_owned()), None, world).await?;
    let known = opened.trust().certificates().find(|one| one.writer == host.writer.id());
    let (label, rights) = known.map_or_else(
        || (label.to_owned(), rights.to_vec()),
        |certificate| (certificate.label.clone(), certificate.rights.clone()),
    );
    Ok(WriterAdded { writer: host.writer.id(), label, rights, key_file: output.to_owned() })
}

fn begun(host: HostKeys, owner: &Owner, of: &KeysOf, output: &Path) -> Result<HostKeys> {
    if host.repository == owner.word.record.repository && host.cluster == of.cluster {
        return Ok(host);
    }
    Err(Error::usage(
        "keys.file-of-another",
        format!("{} is the key file of something else", output.display()),
    )
    .fact("of repository", host.repository)
    .fact("of cluster", &host.cluster)
    .hint("a key file is never replaced: name another with --output"))
}

async fn new_host(owner: &Owner, of: &KeysOf, world: &World) -> Result<HostKeys> {
    let mut generations = Vec::new();
    let records = key_records(&owner.regions, &owner.word.trust, &of.cluster).await?;
    if records.is_empty() && owner.word.record.cipher != Cipher::None {
        return Err(no_keys(of, owner.word.record.cipher));
    }
    for (generation, changes) in records {
        let keys = open(&changes, &owner.identities)?;
        generations.push(HostGeneration { generation, public: keys.secret.public(), meta: keys.meta });
    }
    Ok(HostKeys {
        repository: owner.word.record.repository,
        owner: owner.word.record.owner,
        cluster: of.cluster.clone(),
        writer: WriterKey::generate(&mut WorldEntropy::new(world)),
        generations,
    })
}

fn certificate(host: &HostKeys, label: &str, rights: &[Right], world: &World) -> Result<WriterCertificate> {
    Ok(WriterCertificate {
        writer: host.writer.id(),
        public: host.writer.public(),
        cluster: ClusterScope::One(host.cluster.clone()),
        rights: rights.to_vec(),
        label: label.to_owned(),
        created: now(world)?,
    })
}

/// Ends a writer's certificate: what it stores from now on does not count, what it stored before does.
///
/// # Errors
/// No such writer; the owner's key cannot be opened; a region cannot take the record.
pub async fn revoke_writer(
    of: &KeysOf,
    writer: WriterId,
    reason: &str,
    world: &World,
) -> Result<WriterRevoked> {
    let owner = Owner::open(of, world).await?;
    let mut settings = of.settings.clone();
    settings.owner = Some(owner.word.record.owner);
    let opened = Repository::open(&settings, &of.cluster, &Secrets::Observer, None, world).await?;
    let trust = opened.trust();
    let known = trust.certificates().find(|one| one.writer == writer);
    let label = known.map(|certificate| certificate.label.clone()).ok_or_else(|| {
        Error::usage("keys.writer-unknown", format!("no certificate names writer {writer}"))
            .hint("`seawall key show` lists the writers")
    })?;
    let named = Named::Revocation(writer);
    let (since, reason) = match trust.revocation(&writer) {
        Some(end) => (end.revoked, end.reason.clone()),
        None => (now(world)?, reason.to_owned()),
    };
    let bytes = match existing(&owner.regions, &named.to_name()).await? {
        Some(bytes) => bytes,
        None => owner.signed(&named, &Revocation { writer, revoked: since, reason: reason.clone() })?.1,
    };
    put(&owner.regions, &named.to_name(), &bytes).await?;
    Ok(WriterRevoked { writer, label, since, reason })
}

fn now(world: &World) -> Result<Time> {
    Time::from_micros(world.clock.now_unix_us()).ok_or_else(|| {
        Error::source_side("host.clock", "this host's clock shows a time that cannot be")
            .hint("set the clock")
    })
}
