//! A new generation of a cluster's keys, and how hosts that write come to it.
//!
//! [`rotate`] makes the generation; [`host_update`], where an identity is, writes what hosts need of it into a file, without any
//! key that opens content; [`accept`], on the host, takes the file up once the owner's signed record confirms its public keys.
//! Commit points: the new record; the file; the replaced key file. Promises: an interrupted rotation is completed and not
//! repeated; what older generations sealed opens as before, for everybody who could open it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use seawall_repo::id::{ClusterName, Generation};
use seawall_repo::identity::{Identities, Recipient};
use seawall_repo::layout::Named;
use seawall_repo::records::KeyRecord;
use seawall_repo::wrapped::{ClusterKeys, WrapFor};
use seawall_store::World;
use serde::Serialize;

use super::KeysOf;
use super::change::{Owner, no_keys, unwrappable};
use super::records::{Stored, key_records, lacked_somewhere, open, owner_record, put, recipients_of};
use crate::error::{Error, Result};
use crate::repository::{
    HostGeneration, HostKeys, HostUpdate, Repository, RepositorySettings, Secrets, WorldEntropy,
};

/// How to rotate.
#[derive(Debug, Clone, Default)]
pub struct RotateOptions {
    /// Recipients who shall not read what comes next.
    pub without: Vec<Recipient>,
    /// Whether a single recipient may be left.
    pub one_key: bool,
}

/// A generation of keys was made, or an interrupted one completed.
#[derive(Debug, Clone, Serialize)]
pub struct KeysRotated {
    /// Its number.
    pub generation: u32,
    /// Whether it was there already, and lacked in a region.
    pub completed: bool,
    /// Who can read what is sealed with it.
    pub recipients: Vec<Recipient>,
    /// Passphrases that open it.
    pub passphrases: usize,
    /// Passphrases of the generation before that do not: nobody brought them.
    pub passphrases_left_behind: usize,
    /// Those left out who can open the owner's key, which is kept in the repository: they could name themselves again.
    pub still_open_owner_key: Vec<Recipient>,
}

/// Starts a new generation for the recipients of the newest one.
///
/// # Errors
/// The owner's key or the newest generation cannot be opened; too few recipients would be left; a region cannot take the record.
pub async fn rotate(of: &KeysOf, options: &RotateOptions, world: &World) -> Result<KeysRotated> {
    let owner = Owner::open(of, world).await?;
    let mut records = key_records(&owner.regions, &owner.word.trust, &of.cluster).await?;
    let Some((newest, changes)) = records.pop_last() else {
        return Err(no_keys(of, owner.word.record.cipher));
    };
    let Some(last) = changes.last() else { return Err(no_keys(of, owner.word.record.cipher)) };
    let (mut recipients, passphrases) = recipients_of(&last.record.wrapped);
    let names: Vec<_> = changes.iter().map(|stored| stored.name.clone()).collect();
    if lacked_somewhere(&owner.regions, &names).await? {
        for stored in &changes {
            put(&owner.regions, &stored.name, &stored.bytes).await?;
        }
        return Ok(told(newest, true, recipients, passphrases));
    }
    // Whoever starts a generation shows that what was sealed so far is not lost to him.
    open(&changes, &owner.identities)?;
    refuse_unknown(&recipients, &options.without)?;
    recipients.retain(|recipient| !options.without.contains(recipient));
    let brought = brought_passphrases(&owner.identities, last);
    refuse_too_few(recipients.len() + brought.len(), options)?;
    let generation = newest.next().ok_or_else(|| {
        Error::bug("keys.generations-exhausted", "there is no number for another generation of keys")
    })?;
    let keys = ClusterKeys::generate(&mut WorldEntropy::new(world));
    let of_recipients = (!recipients.is_empty()).then_some(WrapFor::Recipients(&recipients));
    let to: Vec<WrapFor<'_>> =
        of_recipients.into_iter().chain(brought.iter().map(WrapFor::Passphrase)).collect();
    let record = KeyRecord {
        cluster: of.cluster.clone(),
        generation,
        change: 1,
        public: keys.secret.public(),
        wrapped: keys.wrap(&to).map_err(unwrappable)?,
    };
    let (name, bytes) =
        owner.signed(&Named::Key { cluster: of.cluster.clone(), generation, change: 1 }, &record)?;
    put(&owner.regions, &name, &bytes).await?;
    let kept = owner_record(&owner.regions, &owner.word.trust).await?;
    let opens_owner = kept.map(|kept| recipients_of(&kept.record.wrapped).0).unwrap_or_default();
    Ok(KeysRotated {
        passphrases_left_behind: passphrases.saturating_sub(brought.len()),
        still_open_owner_key: opens_owner.into_iter().filter(|one| options.without.contains(one)).collect(),
        ..told(generation, false, recipients, brought.len())
    })
}

fn told(
    generation: Generation,
    completed: bool,
    recipients: Vec<Recipient>,
    passphrases: usize,
) -> KeysRotated {
    KeysRotated {
        generation: generation.number(),
        completed,
        recipients,
        passphrases,
        passphrases_left_behind: 0,
        still_open_owner_key: Vec::new(),
    }
}

/// Only a passphrase that was brought can be wrapped for again.
fn brought_passphrases(
    brought: &Identities,
    last: &Stored<KeyRecord>,
) -> Vec<seawall_repo::identity::Passphrase> {
    let opens = |one: &&seawall_repo::identity::Passphrase| {
        last.record.unwrap(&Identities::of_passphrase((*one).clone())).is_ok()
    };
    brought.passphrases().iter().filter(opens).cloned().collect()
}

fn refuse_unknown(recipients: &[Recipient], without: &[Recipient]) -> Result<()> {
    match without.iter().find(|one| !recipients.contains(one)) {
        None => Ok(()),
        Some(one) => {
            Err(Error::usage("keys.recipient-unknown", format!("{one} is no recipient of the newest keys"))
                .hint("`seawall key show` lists them"))
        }
    }
}

fn refuse_too_few(count: usize, options: &RotateOptions) -> Result<()> {
    match count {
        0 => Err(Error::usage("keys.no-recipient", "nobody would be left who can read")
            .hint("add another recipient first: seawall key add-recipient")),
        1 if !options.one_key => Err(Error::usage(
            "keys.one-recipient",
            "a single recipient would be left: when that identity is lost, so is every backup",
        )
        .hint("add another recipient first, or accept that with --one-key")),
        _ => Ok(()),
    }
}

/// What hosts need of the keys, in a file.
#[derive(Debug, Clone, Serialize)]
pub struct HostUpdateMade {
    /// The file.
    pub file: PathBuf,
    /// Generations in it.
    pub generations: Vec<u32>,
}

/// Writes what hosts that write need of every generation: meta keys and public halves, nothing that opens content.
///
/// # Errors
/// The file is there already, or a generation cannot be opened.
pub async fn host_update(of: &KeysOf, output: &Path, world: &World) -> Result<HostUpdateMade> {
    let owner = Owner::open(of, world).await?;
    let mut generations = Vec::new();
    for (generation, changes) in key_records(&owner.regions, &owner.word.trust, &of.cluster).await? {
        let keys = open(&changes, &owner.identities)?;
        generations.push(HostGeneration { generation, public: keys.secret.public(), meta: keys.meta });
    }
    if generations.is_empty() {
        return Err(no_keys(of, owner.word.record.cipher));
    }
    let numbers = generations.iter().map(|one| one.generation.number()).collect();
    let record = &owner.word.record;
    let update = HostUpdate {
        repository: record.repository,
        owner: record.owner,
        cluster: of.cluster.clone(),
        generations,
    };
    update.create(output, world)?;
    Ok(HostUpdateMade { file: output.to_owned(), generations: numbers })
}

/// A host took newer keys up.
#[derive(Debug, Clone, Serialize)]
pub struct UpdateAccepted {
    /// Its key file.
    pub key_file: PathBuf,
    /// Generations that it did not have; empty where it had all.
    pub added: Vec<u32>,
    /// What it seals with from now on.
    pub generation: u32,
}

/// Takes an update into this host's key file.
///
/// # Errors
/// It is for another repository, cluster or owner, contradicts what the host has, or names a key that the owner did not sign.
pub async fn accept(
    settings: &RepositorySettings,
    cluster: &ClusterName,
    key_file: &Path,
    update: &Path,
    world: &World,
) -> Result<UpdateAccepted> {
    let mut host = HostKeys::load(key_file)?;
    let update = HostUpdate::load(update)?;
    refuse_foreign(&host, &update, key_file)?;
    refuse_other_user(key_file)?;
    let repository =
        Repository::open(settings, cluster, &Secrets::Host(key_file.to_owned()), None, world).await?;
    let signed = key_records(repository.regions(), repository.trust(), cluster).await?;
    for one in &update.generations {
        let recorded = signed.get(&one.generation).and_then(|changes| changes.last());
        if recorded.is_none_or(|stored| stored.record.public != one.public) {
            return Err(contradiction(
                one.generation,
                "the key that the repository's owner signed for it is another, or there is none",
            ));
        }
    }
    let known: Vec<Generation> = host.generations.iter().map(|one| one.generation).collect();
    for one in &host.generations {
        let same = update.generations.iter().any(|new| new.same_as(one));
        if !same {
            return Err(contradiction(one.generation, "this host has other keys of it"));
        }
    }
    let added = update.generations.iter().map(|one| one.generation).filter(|one| !known.contains(one));
    let added: Vec<u32> = added.map(Generation::number).collect();
    host.generations = update.generations;
    let generation = host.newest().map_or(0, |newest| newest.generation.number());
    if !added.is_empty() {
        host.replace(key_file, world)?;
    }
    Ok(UpdateAccepted { key_file: key_file.to_owned(), added, generation })
}

fn refuse_foreign(host: &HostKeys, update: &HostUpdate, key_file: &Path) -> Result<()> {
    if (host.repository, host.owner, &host.cluster) == (update.repository, update.owner, &update.cluster) {
        return Ok(());
    }
    Err(Error::usage("keys.update-of-another", format!("the update is not for {}", key_file.display()))
        .fact("update for", format!("repository {}, cluster {}", update.repository, update.cluster))
        .fact("key file of", format!("repository {}, cluster {}", host.repository, host.cluster)))
}

/// The new file belongs to whoever writes it, and the server's user must be able to read it.
fn refuse_other_user(key_file: &Path) -> Result<()> {
    let owner = std::fs::metadata(key_file).map(|found| found.uid()).unwrap_or_default();
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(Error::usage("keys.other-user", format!("{} belongs to another user", key_file.display()))
        .hint("run it as the user that owns the key file (often postgres)"))
}

fn contradiction(generation: Generation, why: &str) -> Error {
    Error::usage(
        "keys.update-refused",
        format!("generation {generation} of the update is not believed: {why}"),
    )
    .hint("make the update anew: seawall key host-update, with an identity")
}
