//! Does what was planned.
//!
//! Commit point: `seawall.json` for a repository, the adoption for a cluster; each is the last record put, region by region.
//! Before it the journal is on disk with every byte that will be put, after it the key file is written, and only then the
//! journal goes. At the end the repository is opened with that key file: what cannot be opened was not made.

use bytes::Bytes;
use seawall_repo::layout::ObjectName;
use seawall_repo::records::Adoption;
use seawall_repo::signed::sign_as_writer;
use seawall_store::{Put, Regions, World};

use super::journal::Journal;
use super::owner::owners_word;
use super::plan::{InitPlan, Step};
use super::report::InitReport;
use super::{InitOptions, make};
use crate::error::{Error, Result};
use crate::repository::{HostKeys, Repository, RepositorySettings, Secrets, load_identities, store_error};

const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Runs a plan. `regions` are those of `settings`, opened for founding.
///
/// # Errors
/// A region cannot take a record; the next run goes on from there. Somebody else made a repository meanwhile.
pub async fn run(
    plan: InitPlan,
    regions: &Regions,
    settings: &RepositorySettings,
    options: &InitOptions,
    world: &World,
) -> Result<InitReport> {
    match &plan.step {
        Step::MakeRepository => {
            let owner = load_identities(&options.identities)?;
            let owner =
                owner.owners().first().map(|key| seawall_repo::keys::OwnerKey::from_seed(*key.seed()));
            begin(&make::repository(options, owner, world)?, regions, options, world).await?;
        }
        Step::AddCluster => {
            let word = owners_word(regions, settings, &load_identities(&options.identities)?).await?;
            begin(&make::cluster(options, &word.record, &word.key, world)?, regions, options, world).await?;
        }
        Step::Finish => {
            let journal = Journal::load(&options.key_file)?.ok_or_else(journal_gone)?;
            finish(&journal, regions, options, world).await?;
        }
        Step::Adopt { .. } | Step::Nothing => {}
    }
    let repository =
        Repository::open(settings, &options.cluster, &Secrets::Host(options.key_file.clone()), None, world)
            .await?;
    if let Step::Adopt { after } = &plan.step {
        adopt(&repository, regions, options, *after, world).await?;
    }
    report(plan, &repository, options)
}

async fn begin(journal: &Journal, regions: &Regions, options: &InitOptions, world: &World) -> Result<()> {
    journal.save(&options.key_file, world)?;
    finish(journal, regions, options, world).await
}

/// Puts every record everywhere, in order; then this host may write.
async fn finish(journal: &Journal, regions: &Regions, options: &InitOptions, world: &World) -> Result<()> {
    for (name, bytes) in &journal.records {
        put_everywhere(regions, name, bytes).await?;
    }
    match HostKeys::load(&options.key_file) {
        // An earlier run came that far; another file under this name would have been refused by the plan.
        Ok(there) if there.writer.id() == journal.host.writer.id() => {}
        _ => journal.host.create(&options.key_file, world)?,
    }
    Journal::remove(&options.key_file)
}

async fn put_everywhere(regions: &Regions, name: &ObjectName, bytes: &[u8]) -> Result<()> {
    let bytes = Bytes::copy_from_slice(bytes);
    for (region, put) in regions.each(|region| region.put_new(name.as_str(), &bytes)).await {
        match put {
            Ok(Put::Created | Put::AlreadyThere) => {}
            Ok(Put::Conflict { .. }) => {
                return Err(Error::data(
                    "init.name-taken",
                    format!("region {region} holds another {name} already"),
                )
                .hint("somebody else made a repository there at the same time; nothing was overwritten"));
            }
            Err(error) => {
                return Err(store_error(&format!("{name} could not be stored"), &error)
                    .hint("run init again when the region is back: it goes on where it stopped"));
            }
        }
    }
    Ok(())
}

/// A region that has the record already decides its bytes, so that an interrupted adoption ends alike everywhere.
async fn adopt(
    repository: &Repository,
    regions: &Regions,
    options: &InitOptions,
    after: Option<seawall_repo::id::SystemId>,
    world: &World,
) -> Result<()> {
    let (named, fresh) = make::adoption(options, after, world)?;
    let name = named.to_name();
    for region in regions.iter() {
        if let Ok(bytes) = region.get(name.as_str(), RECORD_BYTES_MAX).await {
            repository.read_record::<Adoption>(&name).await?;
            return put_everywhere(regions, &name, &bytes).await;
        }
    }
    let text = sign_as_writer(&fresh, repository.trust().repository(), &name, repository.writer()?).map_err(
        |error| Error::bug("init.record-encode", format!("{name} could not be signed")).because(error),
    )?;
    put_everywhere(regions, &name, &text).await
}

fn report(plan: InitPlan, repository: &Repository, options: &InitOptions) -> Result<InitReport> {
    let record = repository.record();
    let made = matches!(plan.step, Step::MakeRepository | Step::AddCluster);
    Ok(InitReport {
        step: plan.step,
        repository: record.repository,
        owner: record.owner,
        cipher: record.cipher,
        cluster: options.cluster.clone(),
        system: options.server.system,
        postgresql: options.server.postgresql,
        writer: repository.writer()?.id(),
        key_file: options.key_file.clone(),
        recipients: if made { options.recipients.clone() } else { Vec::new() },
        regions: plan.regions,
    })
}

fn journal_gone() -> Error {
    Error::busy("init.journal-gone", "another init finished meanwhile")
        .hint("run it again to see that nothing is missing")
}
