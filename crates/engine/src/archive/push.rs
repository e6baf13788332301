//! `wal push`: one file that PostgreSQL hands over, stored in every region.
//!
//! Commit point: the object under the file's own name, put last. Success (PostgreSQL may then remove its file) means that the
//! acknowledgement rule is met and that no region that answered holds another file under that name. Pushing the same file
//! again, from this host or another, after a kill or a lost answer, is success; nothing is ever overwritten, and nothing of
//! PostgreSQL's is touched. A rule that cannot be met is an error: PostgreSQL keeps the file and tries again. Only where the settings
//! want every *healthy* region is a region done without, after it has failed for as long as they say; that is alarm and event.
//! Deliberately does not look ahead.

mod away;
mod existing;
mod identity;
mod indexing;
mod put;
mod report;
mod rule;
mod seal;
mod source;
mod stream;
mod tell;

use std::path::Path;
use std::sync::Arc;

use seawall_pg::wal::WalOf;
use seawall_pg::wal_page::LONG_HEADER_BYTES;
use seawall_pg::{History, SegmentName, Timeline, WalFileName};
use seawall_repo::layout::{Named, Place};
use seawall_repo::wal_object::WalFacts;
use seawall_store::{Regions, World};

use self::away::AwayRegions;
use self::identity::{Ancestry, Identity, identify};
use self::indexing::{Plan, Told};
use self::put::{Outcome, Putting, Stop};
pub use self::report::{HeldBy, LackedBy, PushReport, Stored};
use self::seal::Sealing;
use self::source::WalSource;
pub(crate) use self::tell::done_without;
use super::index::keep_open_record;
use super::place::adopted;
use crate::backup::{host_name, now};
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::{
    Acknowledge, Expecting, HostKeys, Repository, RepositorySettings, Secrets, open_regions,
};
use crate::words::ClusterName;

/// Whose WAL goes where, for [`archive`].
#[derive(Debug, Clone, Copy)]
pub struct Archiving<'a> {
    /// The repository.
    pub settings: &'a RepositorySettings,
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// This host's key file; what is to be remembered of regions stands beside it.
    pub key_file: &'a Path,
    /// Where the server's files are.
    pub data_directory: &'a Path,
}

/// Opens the repository and pushes one file, with what the host's last pushes learned of regions that do not answer.
///
/// # Errors
/// As [`Repository::open`] and [`push`].
pub async fn archive(archiving: &Archiving<'_>, path: &Path, world: &World) -> Result<PushReport> {
    let keys = HostKeys::load(archiving.key_file)?;
    let mut memory = AwayRegions::load(archiving.key_file, &keys, world);
    let repository = open(archiving, &memory, world).await?;
    push_with(&repository, archiving.data_directory, path, &mut memory).await
}

/// Opens it without waiting for regions that are away, unless without them it cannot be.
async fn open(archiving: &Archiving<'_>, memory: &AwayRegions, world: &World) -> Result<Repository> {
    let Archiving { settings, cluster, key_file, .. } = archiving;
    let regions = open_regions(settings, Expecting::Repository, None, world)?;
    let secrets = Secrets::Host(key_file.to_path_buf());
    let left = leave_alone(&regions, memory);
    let opened = Repository::open_in(regions.clone(), settings, cluster, &secrets, world).await;
    match opened {
        Err(error) if left && error.kind() == crate::Kind::Unavailable => {
            regions.iter().for_each(seawall_store::Region::try_again);
            Repository::open_in(regions, settings, cluster, &secrets, world).await
        }
        opened => opened,
    }
}

/// Leaves regions alone that failed before, unless all did; whether there are any.
fn leave_alone(regions: &Regions, memory: &AwayRegions) -> bool {
    let known = regions.iter().filter_map(|region| Some((region, memory.of(region.name())?)));
    let known: Vec<_> = known.collect();
    if known.len() == regions.len() {
        return false;
    }
    for (region, away) in &known {
        region.leave_alone(format!("away since {}: {}", away.since, away.why));
    }
    !known.is_empty()
}

/// Stores the file that `path` names (`%p`: from the data directory where it is relative).
///
/// # Errors
/// `source`: the file is not what its name says, or cannot be read. `usage`: no name of a WAL file; a system identifier that
/// the cluster has not adopted; no key file of a host. `data`: a region holds another file under the name. `unavailable`:
/// too few regions hold it now; nothing is lost.
pub async fn push(repository: &Repository, data_directory: &Path, path: &Path) -> Result<PushReport> {
    let mut memory = AwayRegions::nothing(repository.world());
    push_with(repository, data_directory, path, &mut memory).await
}

async fn push_with(
    repository: &Repository,
    data_directory: &Path,
    path: &Path,
    memory: &mut AwayRegions,
) -> Result<PushReport> {
    let key = repository.writer()?;
    let source = look(repository, data_directory, path).await?;
    let place = Place { cluster: repository.cluster().clone(), system: source.control.system_identifier };
    adopted(repository, &place).await?;
    let (identity, history) = check(repository, &place, &source).await?;
    let mut findings = repository.take_findings();
    findings.extend(unparsed(&source, &identity));
    let plan = Plan::new(source.file, identity, history);
    let facts = facts(repository, place.clone(), &source)?;
    let name = facts.name();
    let sealing = Sealing { repository: repository.clone(), facts };
    findings.extend(memory.ignored.take().as_deref().map(tell::ignored));
    let putting = Putting::new(repository, sealing, Arc::clone(&source), plan, memory);
    let put = putting.run().await;
    if let Ok(outcome) = &put {
        findings.extend(tell::regions(repository, &place, outcome, memory).await);
    }
    findings.extend(memory.keep(&repository.record().repository, key));
    let outcome = match put {
        Ok(outcome) if outcome.verdict.met => outcome,
        Ok(outcome) => return Err(too_few(repository, &source, &outcome)),
        Err(Stop::Failed(error)) => return Err(error),
        Err(Stop::Conflict(copy)) => return Err(copy.error(repository)),
        Err(Stop::Unbelieved { region, name, why }) => {
            return Err(Error::data(
                "archive.copy-unbelieved",
                format!("region {region} holds something under {name} that cannot be believed"),
            )
            .fact("why", why)
            .hint("nothing was overwritten and PostgreSQL keeps its file; compare with the other regions, and move this copy out of the region by hand"));
        }
    };
    findings.extend(
        outcome.told.as_ref().and_then(|told| told.alarm.as_deref()).map(|why| not_indexed(&source, why)),
    );
    findings.extend(keep_open(repository, &source, outcome.told.as_ref()));
    let behind = outcome.failed.iter().filter(|(region, _)| !outcome.away.contains(region));
    findings.extend(behind.map(|(region, why)| {
        Finding {
            id: "archive.region-behind",
            what: format!("region {region} lacks {name}: {why}"),
            hint: Some(
                "the acknowledgement rule is met by the others; this region has to be brought up to date: seawall sync"
                    .to_owned(),
            ),
        }
    }));
    Ok(report(&source, outcome, findings))
}

async fn look(repository: &Repository, data_directory: &Path, path: &Path) -> Result<Arc<WalSource>> {
    let (directory, path, world) = (data_directory.to_owned(), path.to_owned(), repository.world().clone());
    let looked = tokio::task::spawn_blocking(move || WalSource::look(&directory, &path, &world)).await;
    let source =
        looked.map_err(|error| Error::bug("archive.look", "a reading thread ended").because(error))??;
    Ok(Arc::new(source))
}

/// Whether the file is what its name says, and where a segment's timeline came from, if that is known.
async fn check(
    repository: &Repository,
    place: &Place,
    source: &WalSource,
) -> Result<(Identity, Option<History>)> {
    match source.file {
        WalFileName::Segment(name) | WalFileName::Partial(name) => {
            let ancestry = ancestry(repository, place, source, name.timeline()).await;
            let identity = check_segment(source, name, &ancestry)?;
            Ok((identity, ancestry.known()))
        }
        WalFileName::BackupHistory { .. } => {
            match source.file.backup_start(source.control.wal_segment_size) {
                Ok(_) => Ok((Identity::Right, None)),
                Err(error) => Err(source.refused(error)),
            }
        }
        WalFileName::TimelineHistory(timeline) => {
            let identity = match Ancestry::parse(timeline, &source.read_part(0)?) {
                Ancestry::Known(_) => Identity::Right,
                Ancestry::Unknown(why) => Identity::Unparsed(why),
            };
            Ok((identity, None))
        }
    }
}

fn check_segment(source: &WalSource, name: SegmentName, ancestry: &Ancestry) -> Result<Identity> {
    let first = source.read_first(LONG_HEADER_BYTES)?;
    identify(&first, name, source, ancestry).map_err(|error| source.refused(error))
}

/// Where the timeline in a name came from: the history file beside the segment, else the archived one.
async fn ancestry(
    repository: &Repository,
    place: &Place,
    source: &WalSource,
    timeline: Timeline,
) -> Ancestry {
    let unknown = |why: &dyn std::fmt::Display| {
        Ancestry::Unknown(format!("the history of timeline {timeline} is not known: {why}"))
    };
    match source.history_beside(timeline) {
        Ok(Some(content)) => return Ancestry::parse(timeline, &content),
        Ok(None) if timeline == Timeline::FIRST => return Ancestry::Known(History::root(timeline)),
        Ok(None) => {}
        Err(error) => return unknown(&error),
    }
    let name = Named::Wal { place: place.clone(), file: WalFileName::TimelineHistory(timeline) }.into();
    match super::read::small(repository, &name).await {
        Ok(content) => Ancestry::parse(timeline, &content),
        Err(error) => unknown(&error),
    }
}

fn unparsed(source: &WalSource, identity: &Identity) -> Option<Finding> {
    let Identity::Unparsed(why) = identity else { return None };
    Some(Finding {
        id: "archive.not-identified",
        what: format!("{} was stored, but what it is could not be told: {why}", source.file),
        hint: Some("it is kept as PostgreSQL gave it; check that a restore can use it".to_owned()),
    })
}

/// A segment was stored, and nothing is told of its records.
pub(crate) const NOT_INDEXED: &str = "archive.not-indexed";

fn not_indexed(source: &WalSource, why: &str) -> Finding {
    Finding {
        id: NOT_INDEXED,
        what: format!("{} was stored without an index of its records: {why}", source.file),
        hint: Some(
            "recovery is not affected; backups that begin before it read every page. If the server's own recovery can read it (pg_waldump), please report this"
                .to_owned(),
        ),
    }
}

/// Keeps the record that goes on behind a segment for the push of the next one.
fn keep_open(repository: &Repository, source: &WalSource, told: Option<&Told>) -> Option<Finding> {
    let WalFileName::Segment(segment) = source.file else { return None };
    let (of, open) = (WalOf::by(&source.control), told.and_then(|told| told.open.clone()));
    let random = repository.world().random.as_ref();
    let kept = keep_open_record(&source.data_directory, of, segment, open, random);
    kept.err().map(|why| Finding {
        id: "archive.open-record-not-kept",
        what: format!("the record that goes on behind {segment} could not be kept for the next push: {why}"),
        hint: Some("recovery is not affected; the next backup may have to read every page".to_owned()),
    })
}

fn facts(repository: &Repository, place: Place, source: &WalSource) -> Result<WalFacts> {
    Ok(WalFacts {
        place,
        file: source.file,
        segment_size: source.control.wal_segment_size,
        host: host_name(),
        archived: now(repository.world())?,
    })
}

fn report(source: &WalSource, outcome: Outcome, findings: Vec<Finding>) -> PushReport {
    PushReport {
        file: source.file,
        bytes: source.bytes,
        sealed_bytes: outcome.sealed_bytes,
        parts: if source.is_parted() { source.parts() } else { 0 },
        held_by: outcome.stored.into_iter().map(|(region, stored)| HeldBy { region, stored }).collect(),
        lacked_by: outcome.failed.into_iter().map(|(region, why)| LackedBy { region, why }).collect(),
        findings,
    }
}

fn too_few(repository: &Repository, source: &WalSource, outcome: &Outcome) -> Error {
    let verdict = &outcome.verdict;
    let error = Error::unavailable(
        "archive.too-few-regions",
        format!(
            "{} is in {} of {} regions that must hold it",
            source.file,
            verdict.holding.len(),
            verdict.needed
        ),
    );
    let error = outcome
        .failed
        .iter()
        .fold(error, |error, (region, why)| error.fact("region", format!("{region}: {why}")));
    let error = error.hint("nothing is lost: PostgreSQL keeps the file and tries again; bring the region back, or set repository.ack to the number of copies that are enough");
    match repository.acknowledge() {
        Acknowledge::Healthy { degrade } if !outcome.verdict.holding.is_empty() => error.hint(format!(
            "once a region has failed for {} s (repository.ack_degrade) WAL is acknowledged without it",
            degrade.as_secs()
        )),
        _ => error,
    }
}

#[cfg(test)]
mod tests;
