//! What is to be done, decided from what was found. Pure.

use seawall_repo::id::{RepositoryId, SystemId};
use seawall_repo::identity::Recipient;
use seawall_repo::seal::Cipher;
use serde::Serialize;

use super::journal::Journal;
use super::look::{Found, HostFound, RegionFound, RegionState};
use super::{InitOptions, Lineage};
use crate::error::{Error, Result};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InitPlan {
    /// The one thing that is missing.
    pub step: Step,
    /// In these regions.
    pub regions: Vec<String>,
}

/// What is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Everything: a repository, this cluster in it, this host's keys.
    MakeRepository,
    /// This cluster and this host's keys.
    AddCluster,
    /// What an interrupted run began.
    Finish,
    /// A system identifier that the cluster did not have.
    Adopt {
        /// The one it follows.
        after: Option<SystemId>,
    },
    /// Nothing.
    Nothing,
}

/// Decides.
///
/// # Errors
/// Something is in the way, or what is asked for would be unsafe; each with what to do.
pub fn plan(found: &Found, options: &InitOptions) -> Result<InitPlan> {
    let step = step(found, options)?;
    Ok(InitPlan { step, regions: found.regions.iter().map(|region| region.name.clone()).collect() })
}

fn step(found: &Found, options: &InitOptions) -> Result<Step> {
    for region in &found.regions {
        refuse_foreign(region)?;
    }
    let id = one_repository(&found.regions)?;
    if let Some(journal) = &found.journal {
        return finish(journal, id, options);
    }
    refuse_remains(&found.regions)?;
    match id {
        None => {
            refuse_host_of_another(found.host.as_ref(), None, options)?;
            check_recipients(options)?;
            Ok(Step::MakeRepository)
        }
        Some(id) => in_repository(found, id, options),
    }
}

fn in_repository(found: &Found, id: RepositoryId, options: &InitOptions) -> Result<Step> {
    refuse_missing_regions(&found.regions)?;
    refuse_other_cipher(&found.regions, options.cipher)?;
    refuse_host_of_another(found.host.as_ref(), Some(id), options)?;
    if found.systems.is_empty() {
        return add_cluster(options);
    }
    if found.host.is_none() {
        let cluster = &options.cluster;
        return Err(Error::usage(
            "init.host-not-certified",
            format!("cluster {cluster} has a host already, and this one has no key file"),
        )
        .fact("key file", options.key_file.display())
        .hint(format!(
            "where an identity is: seawall key add-writer --cluster {cluster} --label {} --output host.key --identity FILE; then bring host.key here",
            options.label
        )));
    }
    lineage(found, options)
}

fn lineage(found: &Found, options: &InitOptions) -> Result<Step> {
    let system = options.server.system;
    let known = || found.systems.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match options.lineage {
        _ if found.systems.contains(&system) => Ok(Step::Nothing),
        Lineage::Adopt => Ok(Step::Adopt { after: None }),
        Lineage::After(before) if found.systems.contains(&before) => Ok(Step::Adopt { after: Some(before) }),
        Lineage::After(before) => Err(Error::usage(
            "init.unknown-predecessor",
            format!("{before} never belonged to cluster {}", options.cluster),
        )
        .fact("known system identifiers", known())),
        Lineage::Refuse => Err(Error::usage(
            "init.other-system-identifier",
            format!("the server is not the one that cluster {} knows", options.cluster),
        )
        .fact("system identifier", system)
        .fact("known", known())
        .hint(format!(
            "after pg_upgrade: seawall init --after-upgrade-of {}",
            found.systems.last().map(ToString::to_string).unwrap_or_default()
        ))
        .hint("a new cluster that takes over the name: seawall init --adopt")
        .hint("another cluster: give it a name of its own")),
    }
}

fn add_cluster(options: &InitOptions) -> Result<Step> {
    check_recipients(options)?;
    if options.identities.is_empty() {
        return Err(Error::usage(
            "init.owner-key-needed",
            format!(
                "the repository does not know cluster {}, and only its owner can add one",
                options.cluster
            ),
        )
        .hint(
            "add --identity FILE: an identity of one of the recipients, or the file with the owner's key",
        ));
    }
    Ok(Step::AddCluster)
}

/// A run that was interrupted is finished before anything else; what it began cannot be had with other recipients.
fn finish(journal: &Journal, id: Option<RepositoryId>, options: &InitOptions) -> Result<Step> {
    let fits = journal.cluster == options.cluster && id.is_none_or(|id| id == journal.repository);
    if fits {
        return Ok(Step::Finish);
    }
    let path = Journal::path(&options.key_file);
    Err(Error::usage("init.journal-of-another", "an interrupted init began something else")
        .fact("journal", path.display())
        .fact("of repository", journal.repository)
        .fact("of cluster", &journal.cluster)
        .hint("finish that one first, or move the journal away if no region holds anything of it"))
}

fn refuse_foreign(region: &RegionFound) -> Result<()> {
    let RegionState::Other { names } = &region.state else { return Ok(()) };
    Err(Error::usage("init.region-not-empty", format!("region {} holds something else already", region.name))
        .fact("found", names.join(", "))
        .hint(
            "a repository begins in an empty directory: name another one, such as a directory below this one",
        ))
}

fn refuse_remains(regions: &[RegionFound]) -> Result<()> {
    let remains = regions.iter().find_map(|region| match &region.state {
        RegionState::Remains { names } => Some((&region.name, names)),
        _ => None,
    });
    let Some((name, names)) = remains else { return Ok(()) };
    Err(Error::usage("init.remains", format!("region {name} holds the beginning of a repository that was never finished"))
        .fact("found", names.join(", "))
        .hint("run init on the host where it began, as the same user with the same settings: it goes on there")
        .hint("if that host is gone, nothing was ever stored in it: empty the directory by hand, or name another one"))
}

/// The id that all repositories found agree on.
fn one_repository(regions: &[RegionFound]) -> Result<Option<RepositoryId>> {
    let mut first: Option<(&str, RepositoryId)> = None;
    for region in regions {
        let RegionState::Repository { id, .. } = &region.state else { continue };
        match first {
            Some((name, other)) if other != *id => {
                return Err(Error::data("init.regions-differ", "the regions hold different repositories")
                    .fact("region", format!("{name}: {other}"))
                    .fact("region", format!("{}: {id}", region.name))
                    .hint("correct the URLs in the settings"));
            }
            _ => first = Some((&region.name, *id)),
        }
    }
    Ok(first.map(|(_, id)| id))
}

/// An empty place beside a repository may be a disk that is not mounted; filling it would look like a second copy.
fn refuse_missing_regions(regions: &[RegionFound]) -> Result<()> {
    let Some(empty) = regions.iter().find(|region| region.state == RegionState::Empty) else { return Ok(()) };
    Err(Error::unavailable(
        "init.region-lacks",
        format!("region {} is empty, and another region holds the repository", empty.name),
    )
    .hint("is the disk mounted, and the URL right?")
    .hint("a region cannot be added to a repository yet: take it out of the settings"))
}

fn refuse_other_cipher(regions: &[RegionFound], wanted: Cipher) -> Result<()> {
    let differs = |region: &&RegionFound| matches!(region.state, RegionState::Repository { cipher, .. } if cipher != wanted);
    let Some(region) = regions.iter().find(differs) else { return Ok(()) };
    Err(Error::usage(
        "init.other-encryption",
        format!("the repository in region {} is not sealed as the settings say", region.name),
    )
    .fact("settings", wanted.as_str())
    .hint("how a repository is sealed is fixed when it is made: correct repository.encryption, or the URLs"))
}

fn refuse_host_of_another(
    host: Option<&HostFound>,
    id: Option<RepositoryId>,
    options: &InitOptions,
) -> Result<()> {
    let Some(host) = host else { return Ok(()) };
    if id == Some(host.repository) && host.cluster == options.cluster {
        return Ok(());
    }
    let error =
        Error::usage("init.key-file-of-another", "the key file of this host belongs to something else")
            .fact("key file", options.key_file.display())
            .fact("of repository", host.repository)
            .fact("of cluster", &host.cluster);
    Err(match id {
        Some(id) => error.fact("repository in the regions", id),
        None => error
            .fact("repository in the regions", "none")
            .hint("is a disk not mounted? The repository of this host should be there"),
    }
    .hint("for another repository name another key file: repository.writer_key_file"))
}

fn check_recipients(options: &InitOptions) -> Result<()> {
    let mut distinct: Vec<&Recipient> = options.recipients.iter().collect();
    distinct.sort();
    distinct.dedup();
    let make = "on a machine that is no database host: seawall key generate --output NAME.key";
    match distinct.len() {
        0 => Err(Error::usage("init.no-recipient", "nobody could read the backups: no recipient is given")
            .hint(make)
            .hint("then here: seawall init --recipient age1… --recipient age1…")),
        1 if !options.one_key => Err(Error::usage(
            "init.one-recipient",
            "a single recipient: when that identity is lost, so is every backup",
        )
        .hint(format!("make a second identity and keep it elsewhere; {make}"))
        .hint("or accept it: --one-key")),
        _ => Ok(()),
    }
}
