//! Looking at the regions and at this host's right to write into them.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use seawall_repo::layout::{Named, Place};
use seawall_repo::records::Right;
use seawall_repo::seal::Cipher;
use seawall_store::{ErrorKind, World};

use super::{CheckOptions, CheckReport};
use crate::archive::adopted;
use crate::error::{Kind, Result};
use crate::keys_admin::show_opened;
use crate::repository::{Repository, Secrets};
use crate::words::SystemIdentifier;

const MARKER_BYTES_MAX: u64 = 1 << 20;

/// Checks the repository. What was opened is handed on to what needs it next.
///
/// # Errors
/// The key file cannot be used, no region can be asked, or there is no repository.
pub(super) async fn check(
    report: &mut CheckReport,
    options: &CheckOptions,
    system: SystemIdentifier,
    world: &World,
) -> Result<Repository> {
    same_devices(report, options);
    let secrets = Secrets::Host(options.key_file.clone());
    let repository = Repository::open(&options.repository, &options.cluster, &secrets, None, world).await?;
    report.good(format!("key file {}", options.key_file.display()));
    markers(report, &repository).await;
    writer(report, &repository)?;
    adoption(report, &repository, system).await?;
    recipients(report, &repository).await?;
    report.findings.extend(repository.take_findings());
    Ok(repository)
}

/// A region that is not mounted shows an empty directory; one of another repository shows another marker.
async fn markers(report: &mut CheckReport, repository: &Repository) {
    let name = Named::Seawall.to_name();
    let mut good = Vec::new();
    for (region, got) in repository.regions().each(|region| region.get(name.as_str(), MARKER_BYTES_MAX)).await
    {
        match got {
            Ok(bytes) => {
                let pins = seawall_repo::trust::Pins {
                    repository: *repository.trust().repository(),
                    owner: *repository.trust().owner(),
                };
                match seawall_repo::trust::Trust::open(pins, &bytes) {
                    Ok(_) => good.push(region.to_string()),
                    Err(error) => report.bad(
                        "check.region-marker",
                        format!("region {region} does not hold this repository: {error}"),
                        "correct its URL in the settings",
                    ),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => report.bad(
                "check.region-empty",
                format!("region {region} can be reached and holds no repository"),
                "is the disk mounted, and the URL right?",
            ),
            Err(error) => report.bad(
                "check.region-away",
                format!("region {region} cannot be asked: {}", error.chain()),
                "is the disk mounted, the network up, and may this user read and write there?",
            ),
        }
    }
    if !good.is_empty() {
        report.good(format!("regions {}", good.join(", ")));
    }
}

fn writer(report: &mut CheckReport, repository: &Repository) -> Result<()> {
    let (trust, id) = (repository.trust(), repository.writer()?.id());
    let known = trust.certificates().find(|certificate| certificate.writer == id);
    match (known, trust.revocation(&id)) {
        (_, Some(end)) => report.bad(
            "check.writer-revoked",
            format!("this host's writer {id} was revoked at {}: {}", end.revoked, end.reason),
            "where the identity is: seawall key add-writer; then use the new key file here",
        ),
        (None, None) => report.bad(
            "check.writer-unknown",
            format!("no certificate names this host's writer {id}: nothing it stores counts"),
            "where the identity is: seawall key add-writer; then use the new key file here",
        ),
        (Some(certificate), None) => report.good(format!("writer {id}, {}", certificate.label)),
    }
    Ok(())
}

/// Whether this host's key has the right to prune.
pub(super) fn may_prune(repository: &Repository) -> bool {
    let Ok(writer) = repository.writer() else { return false };
    let mut certificates = repository.trust().certificates();
    certificates.any(|one| one.writer == writer.id() && one.rights.contains(&Right::Prune))
}

async fn adoption(report: &mut CheckReport, repository: &Repository, system: SystemIdentifier) -> Result<()> {
    match adopted(repository, &place(repository, system)).await {
        Ok(_) => {
            report.good(format!("system identifier {system} belongs to cluster {}", repository.cluster()));
        }
        Err(error) if error.kind() == Kind::Usage => {
            report.bad("check.not-adopted", error.to_string(), error.hints().join("; "));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Where the server's backups and WAL lie.
pub(super) fn place(repository: &Repository, system: SystemIdentifier) -> Place {
    Place { cluster: repository.cluster().clone(), system }
}

async fn recipients(report: &mut CheckReport, repository: &Repository) -> Result<()> {
    if repository.record().cipher == Cipher::None {
        report.good("recipients: none needed, the repository is not encrypted");
        return Ok(());
    }
    let generations = show_opened(repository, None).await?.generations;
    let newest = generations.last().map(|keys| keys.generation);
    let own = repository.keys().newest().map(|own| own.number());
    if let (Some(newest), Some(own)) = (newest, own)
        && own < newest
    {
        report.bad(
            "check.keys-behind",
            format!("this host seals with keys {own}, and keys {newest} were made"),
            "where an identity is: seawall key host-update --output FILE; here: seawall key accept FILE",
        );
    }
    for keys in generations {
        let count = keys.recipients.len() + keys.passphrases;
        if count >= 2 {
            report.good(format!("keys {}: {count} recipients", keys.generation));
        } else {
            report.bad(
                "check.one-recipient",
                format!("keys {} have {count} recipient: when that identity is lost, so is every backup", keys.generation),
                "make another identity and keep it elsewhere: seawall key generate, then seawall key add-recipient",
            );
        }
    }
    Ok(())
}

/// Two copies on one disk are lost together, and so are a copy and the database.
fn same_devices(report: &mut CheckReport, options: &CheckOptions) {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.dev());
    let mut places = vec![("the data directory".to_owned(), device(&options.data_directory))];
    for region in &options.repository.regions {
        // An escaped path is left to the driver; without its file system nothing is claimed.
        let path = region.url.strip_prefix("file://").filter(|path| !path.contains('%'));
        places.push((format!("region {}", region.name), path.and_then(|path| device(Path::new(path)))));
    }
    for (at, (name, found)) in places.iter().enumerate() {
        let earlier = places.iter().take(at).find(|(_, other)| found.is_some() && other == found);
        if let Some((other, _)) = earlier {
            report.bad(
                "check.same-file-system",
                format!("{name} is on the same file system as {other}: they can be lost together"),
                "put each region on storage of its own, away from the database's",
            );
        }
    }
}
