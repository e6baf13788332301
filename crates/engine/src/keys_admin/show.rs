//! What there is of keys, recipients and writers. Reads only, and needs no secret.

use seawall_repo::id::{ClusterName, RepositoryId, WriterId};
use seawall_repo::identity::{Identities, Recipient};
use seawall_repo::keys::{OwnerKey, OwnerPublic};
use seawall_repo::records::Right;
use seawall_repo::seal::Cipher;
use seawall_repo::time::Time;
use seawall_store::World;
use serde::Serialize;

use super::KeysOf;
use super::records::{key_records, owner_record, recipients_of};
use crate::error::Result;
use crate::monitor::Finding;
use crate::repository::{Repository, Secrets, load_identities};

/// Everything about keys that is no secret.
#[derive(Debug, Clone, Serialize)]
pub struct KeysReport {
    /// The repository.
    pub repository: RepositoryId,
    /// Whose word counts in it.
    pub owner: OwnerPublic,
    /// How it seals.
    pub cipher: Cipher,
    /// The cluster.
    pub cluster: ClusterName,
    /// The owner's key, where it is kept in the repository for the recipients.
    pub owner_key: Option<OwnerKeyShown>,
    /// The cluster's keys, oldest first.
    pub generations: Vec<GenerationShown>,
    /// Who may write.
    pub writers: Vec<WriterShown>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// The owner's key as it is kept.
#[derive(Debug, Clone, Serialize)]
pub struct OwnerKeyShown {
    /// Which change of recipients is the newest.
    pub change: u32,
    /// Who can open it.
    pub recipients: Vec<Recipient>,
    /// Whether the identities given open it; none where none was given.
    pub opens: Option<bool>,
}

/// One generation of a cluster's keys.
#[derive(Debug, Clone, Serialize)]
pub struct GenerationShown {
    /// Its number.
    pub generation: u32,
    /// Which change of recipients is the newest.
    pub change: u32,
    /// Who can open it.
    pub recipients: Vec<Recipient>,
    /// Passphrases that open it.
    pub passphrases: usize,
    /// Whether the identities given open it; none where none was given.
    pub opens: Option<bool>,
}

/// A writer.
#[derive(Debug, Clone, Serialize)]
pub struct WriterShown {
    /// Its id.
    pub writer: WriterId,
    /// What it is called.
    pub label: String,
    /// For which cluster it writes; `*` for all.
    pub cluster: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// Since when.
    pub created: Time,
    /// Its end.
    pub revoked: Option<RevokedShown>,
}

/// The end of a certificate.
#[derive(Debug, Clone, Serialize)]
pub struct RevokedShown {
    /// Since when.
    pub since: Time,
    /// Why.
    pub reason: String,
}

/// Shows what there is; with identities also whether they open it.
///
/// # Errors
/// The owner is not pinned, or the repository cannot be read. An identity that opens nothing is a finding, not an error.
pub async fn show(of: &KeysOf, world: &World) -> Result<KeysReport> {
    let identities = load_identities(&of.identities)?;
    let mut settings = of.settings.clone();
    if let (None, [one]) = (settings.owner, identities.owners()) {
        settings.owner = Some(one.public());
    }
    let repository = Repository::open(&settings, &of.cluster, &Secrets::Observer, None, world).await?;
    let asked = (!of.identities.is_empty()).then_some(&identities);
    show_opened(&repository, asked).await
}

/// As [`show`], of an opened repository.
pub(crate) async fn show_opened(
    repository: &Repository,
    identities: Option<&Identities>,
) -> Result<KeysReport> {
    let (regions, trust) = (repository.regions(), repository.trust());
    let owner_key = owner_record(regions, trust).await?.map(|stored| OwnerKeyShown {
        change: stored.record.change,
        recipients: recipients_of(&stored.record.wrapped).0,
        opens: identities.map(|with| OwnerKey::unwrap(&stored.record.wrapped, with).is_ok()),
    });
    let mut generations = Vec::new();
    for (generation, changes) in key_records(regions, trust, repository.cluster()).await? {
        let Some(newest) = changes.last() else { continue };
        generations.push(GenerationShown {
            generation: generation.number(),
            change: newest.record.change,
            recipients: recipients_of(&newest.record.wrapped).0,
            passphrases: recipients_of(&newest.record.wrapped).1,
            opens: identities.map(|with| changes.iter().any(|change| change.record.unwrap(with).is_ok())),
        });
    }
    let mut report = KeysReport {
        repository: repository.record().repository,
        owner: repository.record().owner,
        cipher: repository.record().cipher,
        cluster: repository.cluster().clone(),
        owner_key,
        generations,
        writers: writers(repository),
        findings: repository.take_findings(),
    };
    report.findings.extend(report.generations.iter().filter_map(wrong_identity));
    Ok(report)
}

fn wrong_identity(generation: &GenerationShown) -> Option<Finding> {
    (generation.opens == Some(false)).then(|| Finding {
        id: "keys.wrong-identity",
        what: format!("no identity given opens generation {} of the keys", generation.generation),
        hint: Some("name an identity file of one of its recipients: --identity FILE".to_owned()),
    })
}

fn writers(repository: &Repository) -> Vec<WriterShown> {
    let trust = repository.trust();
    let shown = |certificate: &seawall_repo::records::WriterCertificate| WriterShown {
        writer: certificate.writer,
        label: certificate.label.clone(),
        cluster: certificate.cluster.to_string(),
        rights: certificate.rights.clone(),
        created: certificate.created,
        revoked: trust
            .revocation(&certificate.writer)
            .map(|end| RevokedShown { since: end.revoked, reason: end.reason.clone() }),
    };
    let of_cluster = trust.certificates().filter(|one| one.cluster.covers(repository.cluster()));
    let mut writers: Vec<WriterShown> = of_cluster.map(shown).collect();
    writers.sort_by_key(|writer| writer.created);
    writers
}
