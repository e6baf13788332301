//! Taking a backup.
//!
//! Commit point: the manifest, put to each region that holds everything it needs. Before it nothing that was put makes a
//! backup exist; interrupted at any place, the next backup takes over what is there.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use seawall_repo::id::BackupId;
use seawall_repo::keys::WriterKey;
use seawall_repo::pack::PackId;
use seawall_repo::time::Time;
use seawall_repo::usage::PackRow;
use seawall_store::{Bandwidth, RegionSet};

use super::adopt::Adopted;
use super::changed::Changed;
use super::collect::{Collected, ParentBlocks};
use super::condemned::{after_manifest, before_manifest};
use super::jobs::{Merged, SourceKind, SourcePath, of_walk};
use super::packer::PackContext;
use super::parent::ParentEntries;
use super::pipeline::{Pipeline, compression, worker_count};
use super::plan::{packs_to_empty, packs_too_old};
use super::prepare::{Announced, Prepared, give_word, prepare, refuse_unfit, since_parent};
use super::report::BackupReport;
use super::upload::{self, UploadSender, Uploaded};
use super::wal_wait::{self, NeededWal};
use super::worker::{PackAge, Shared};
use super::{condemned, intent, now};
use crate::archive::Beside;
use crate::error::{Error, Result};
use crate::monitor::{Monitor, Recorder};
use crate::prune::Standing;
use crate::repository::{Maps, Repository, WorldEntropy};
use crate::source::external::find_external;
use crate::source::{
    ConnectOptions, Connection, Facts, MadeFiles, Niceness, PageRules, Reader, RelationLists, StartOptions,
    Started, Stopped, Walk, read_control,
};

/// How to take a backup.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Store every page, whatever earlier backups hold.
    pub full: bool,
    /// Read every page and compare it, whatever WAL tells.
    pub scan: bool,
    /// Build on this backup.
    pub parent: Option<BackupId>,
    /// Make the checkpoint at the start at once instead of spreading it.
    pub fast_checkpoint: bool,
    /// How long that checkpoint may take.
    pub checkpoint_deadline: Duration,
    /// Threads that read and compress; 0 for one a core.
    pub workers: usize,
    /// How far those threads step back behind the server.
    pub niceness: Niceness,
    /// What is read from the data directory at most.
    pub disk_rate: Option<Bandwidth>,
    /// Whether private keys outside the data directory belong to the backup.
    pub include_private_keys: bool,
    /// Pages in packs older than this are stored anew, so that nothing stored grows older than `max_age`.
    pub pack_age_max: Option<Duration>,
    /// How long to wait for the backup's WAL.
    pub wal_wait: Duration,
    /// A region this much slower than the first is let go.
    pub lag_max: Duration,
}

/// Most bytes under construction in all workers together.
const BUILDING_BYTES_MAX: usize = 128 << 20;

/// Takes a backup of the server that `connect` leads to, whose files lie in `data_directory`.
///
/// # Errors
/// Whatever keeps the backup from existing in at least one region.
pub async fn run(
    repository: &Repository,
    connect: &ConnectOptions,
    data_directory: &Path,
    options: &BackupOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<BackupReport> {
    let began = repository.world().clock.monotonic();
    let recorder = Arc::new(Recorder::new(monitor));
    let monitor: Arc<dyn Monitor> = Arc::clone(&recorder) as _;
    monitor.phase("looking at the server", None);
    let connection = Connection::open(connect).await?;
    let facts = Facts::gather(&connection, connect).await?;
    refuse_unfit(&facts)?;
    let set = Arc::new(repository.regions().set().with_lag_max(options.lag_max));
    let mut prepared = prepare(repository, &set, &facts, data_directory, options, &monitor).await?;

    let started_at = now(repository.world())?;
    let backup = new_id(repository, started_at)?;
    let made = made_files(&connection, connect, &facts, monitor.as_ref()).await?;
    let Announced { word, adopted, condemned } =
        give_word(repository, &set, &prepared, backup, monitor.as_ref()).await?;
    let adopted_packs = adopted.packs().to_vec();
    monitor.phase("waiting for the server's checkpoint", None);
    let start = start_options(backup, options);
    let session = Started::start(connection, &start, repository.world()).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let word = Arc::new(futures::lock::Mutex::new(word));
    let renewal = tokio::spawn(intent::renew(
        Arc::clone(&word),
        repository.clone(),
        Arc::clone(&set),
        Arc::clone(&monitor),
        Arc::clone(&stop),
    ));
    let _renewal = AbortOnDrop(renewal);
    monitor.phase("reading what WAL tells of the time since the parent", None);
    let changed = prepared.changed_since(repository, &session, data_directory, options).await?;

    let job = Job {
        repository,
        set: &set,
        facts: &facts,
        prepared: &prepared,
        data_directory,
        options,
        monitor: &monitor,
        backup,
        condemned: &condemned,
        made: &made,
    };
    let read = Arc::new(AtomicU64::new(0));
    let beforehand = Beforehand { adopted, changed, read: Arc::clone(&read) };
    let (collected, uploaded) = job.copy(&session, beforehand, stop).await?;
    let control = read_control(data_directory, repository.world().clock.as_ref())?;
    let (stopped, _connection) = session.stop().await?;
    monitor.phase("waiting for the backup's WAL", None);
    wal_wait::wait(&set, &job.needed_wal(&stopped), options.wal_wait, repository.world()).await?;

    let finished = Finished {
        collected,
        uploaded,
        adopted: adopted_packs,
        control: control.bytes,
        stopped,
        started_at,
        read: read.load(Ordering::Relaxed),
    };
    let manifest = job.manifest(&finished)?;
    before_manifest(repository, &set, &prepared.place, &word, &manifest).await?;
    job.commit(&manifest).await?;
    let took = repository.world().clock.monotonic().saturating_sub(began);
    after_manifest(&set, &prepared.place, &word, monitor.as_ref()).await;
    job.tell_left_out().await;
    let chapters = job.chapters(manifest.header.start).await;
    repository.take_findings().iter().for_each(|finding| monitor.finding(finding));
    Ok(job.report(&manifest, finished, took, chapters, recorder.recorded()))
}

/// What all steps of one backup share.
pub(super) struct Job<'a> {
    pub(super) repository: &'a Repository,
    pub(super) set: &'a Arc<RegionSet>,
    pub(super) facts: &'a Facts,
    pub(super) prepared: &'a Prepared,
    pub(super) data_directory: &'a Path,
    pub(super) options: &'a BackupOptions,
    pub(super) monitor: &'a Arc<dyn Monitor>,
    pub(super) backup: BackupId,
    pub(super) condemned: &'a Standing,
    /// Files that are made for the backup.
    pub(super) made: &'a MadeFiles,
}

/// A backup whose files are stored and whose WAL has arrived.
pub(super) struct Finished {
    pub(super) collected: Collected,
    pub(super) uploaded: Uploaded,
    pub(super) adopted: Vec<upload::PackRow>,
    pub(super) control: Vec<u8>,
    pub(super) stopped: Stopped,
    pub(super) started_at: Time,
    /// Bytes read of the files.
    pub(super) read: u64,
}

/// What workers know before they read.
struct Beforehand {
    adopted: Adopted,
    changed: Option<Changed>,
    /// Where they count the bytes they read.
    read: Arc<AtomicU64>,
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn new_id(repository: &Repository, started_at: Time) -> Result<BackupId> {
    BackupId::new(started_at.seconds(), &mut WorldEntropy::new(repository.world())).ok_or_else(clock_unusable)
}

pub(super) fn clock_unusable() -> Error {
    Error::source_side("backup.clock", "the clock of this host is far outside the years a backup can have")
}

impl Job<'_> {
    fn needed_wal(&self, stopped: &Stopped) -> NeededWal {
        NeededWal {
            timeline: stopped.timeline,
            start: stopped.start_lsn,
            stop: stopped.stop_lsn,
            on_standby: stopped.on_standby,
            beside: Beside::new(
                self.repository.clone(),
                self.prepared.place.clone(),
                self.data_directory.join("pg_wal"),
                self.facts.wal_segment_size,
            ),
        }
    }

    /// Reads and stores all files.
    async fn copy(
        &self,
        session: &Started,
        beforehand: Beforehand,
        stop: Arc<AtomicBool>,
    ) -> Result<(Collected, Uploaded)> {
        let (uploads, uploader) = upload::start(Arc::clone(self.set));
        let uploader = AbortOnDrop(uploader);
        let pipeline = self.pipeline(session, beforehand, uploads, Arc::clone(&stop))?;
        let (paths, total) = self.paths()?;
        self.monitor.phase("reading the data directory", Some(total));
        let parent = self.parent_entries(&pipeline);
        let copying = tokio::task::spawn_blocking(move || pipeline.run(paths, parent));
        tokio::pin!(copying);
        let collected = tokio::select! {
            done = &mut copying => done.map_err(|_panic| Error::bug("backup.thread", "the backup's threads panicked"))?,
            gone = session.lost() => {
                stop.store(true, Ordering::Relaxed);
                // The threads end at their next job; their word is that they were interrupted.
                let _interrupted = copying.await;
                return Err(gone.into());
            }
        };
        let mut uploader = uploader;
        let uploaded = (&mut uploader.0)
            .await
            .map_err(|_panic| Error::bug("backup.uploader", "the uploader panicked"))?;
        // The uploader's error is the cause when both failed.
        let uploaded = uploaded?;
        Ok((collected?, uploaded))
    }

    fn pipeline(
        &self,
        session: &Started,
        beforehand: Beforehand,
        uploads: UploadSender,
        stop: Arc<AtomicBool>,
    ) -> Result<Pipeline> {
        let repository = self.repository;
        let control = &self.prepared.control.file;
        let rules = PageRules {
            backup_start: session.start_lsn(),
            checksums: control.data_checksums(),
            relation_segment_blocks: control.relation_segment_blocks,
            ceiling: Arc::new(session.lsn_bound()),
        };
        let now_seconds = self.backup.seconds();
        let parent = self.prepared.parent.as_ref();
        let rows = parent.map(|parent| parent.body.packs.clone()).unwrap_or_default();
        let changed_before = parent.map_or(0, |parent| parent.header.stored / 8192);
        let workers = worker_count(self.options.workers);
        let clock = Arc::clone(&repository.world().clock);
        Ok(Pipeline {
            shared: Shared {
                reader: Reader::new(self.data_directory, rules, clock, self.options.disk_rate.clone())
                    .with_made(Arc::clone(self.made)),
                maps: Arc::new(Maps::new(repository, &self.prepared.place)),
                runtime: tokio::runtime::Handle::current(),
                digest_key: repository.digest_key()?.clone(),
                emptied: self.emptied(&rows, since_parent(parent, now_seconds), changed_before),
                pack_age: PackAge { now_seconds, fulls: self.prepared.fulls.clone() },
                adopted: beforehand.adopted,
                changed: beforehand.changed,
                read: beforehand.read,
                monitor: Arc::clone(self.monitor),
            },
            packs: PackContext {
                sealer: repository.sealer()?.clone(),
                place: self.prepared.place.clone(),
                backup: self.backup,
                writer: Arc::new(WriterKey::from_seed(*repository.writer()?.seed())),
                world: repository.world().clone(),
                numbers: AtomicU32::new(0),
                uploads,
                worker_bytes_max: (BUILDING_BYTES_MAX / workers).clamp(16 << 20, 64 << 20),
            },
            parent_blocks: Arc::new(ParentBlocks::default()),
            workers,
            niceness: self.options.niceness,
            compression: compression(repository),
            cancelled: stop,
        })
    }

    /// Packs that this backup leaves: by the plan of compaction, by their age, and because they are condemned.
    fn emptied(&self, rows: &[PackRow], since_parent: Duration, changed_before: u64) -> HashSet<PackId> {
        let now_seconds = self.backup.seconds();
        let mut emptied = packs_to_empty(rows, now_seconds, since_parent, changed_before);
        emptied.extend(packs_too_old(rows, now_seconds, self.options.pack_age_max));
        let packs = rows.iter().map(|row| row.pack);
        emptied.extend(condemned::packs(self.condemned, &self.prepared.place, packs));
        emptied
    }

    fn parent_entries(&self, pipeline: &Pipeline) -> Option<ParentEntries> {
        let parent = self.prepared.parent.as_ref()?;
        let (maps, runtime) = (Arc::clone(&pipeline.shared.maps), pipeline.shared.runtime.clone());
        Some(ParentEntries::new(
            maps,
            runtime,
            parent.body.blocks.clone(),
            Arc::clone(&pipeline.parent_blocks),
        ))
    }

    /// All paths in order, and about how many bytes they have.
    fn paths(&self) -> Result<(impl Iterator<Item = PathResult> + Send + 'static, u64)> {
        let version = self.facts.server.version;
        let external = find_external(&self.facts.files, self.options.include_private_keys)?;
        for finding in &external.findings {
            self.monitor.finding(finding);
        }
        for key in &external.left_out {
            self.monitor.notice(&format!("{} is a private key and is left out", key.display()));
        }
        let total = total_bytes(self.data_directory, version)?;
        let files = external.files.into_iter().map(|file| SourcePath {
            path: file.path,
            mode: file.mode,
            kind: SourceKind::File { size: file.size_bytes },
        });
        // These sort behind all that lie outside.
        let files = files.chain(made_paths(self.made));
        let monitor = Arc::clone(self.monitor);
        let walk =
            Walk::new(self.data_directory, version)?.flat_map(move |entry| walked(entry, monitor.as_ref()));
        Ok((Merged::new(walk, files), total))
    }
}

/// The names of relations, as files.
async fn made_files(
    connection: &Connection,
    connect: &ConnectOptions,
    facts: &Facts,
    monitor: &dyn Monitor,
) -> Result<MadeFiles> {
    monitor.phase("asking the databases for the names of their relations", None);
    Ok(Arc::new(RelationLists::gather(connection, connect, facts).await?.files))
}

fn start_options(backup: BackupId, options: &BackupOptions) -> StartOptions {
    StartOptions {
        label: format!("seawall {backup}"),
        fast_checkpoint: options.fast_checkpoint,
        deadline: options.checkpoint_deadline,
    }
}

fn made_paths(made: &MadeFiles) -> std::vec::IntoIter<SourcePath> {
    let path = |(path, bytes): (&Vec<u8>, &Vec<u8>)| SourcePath {
        path: path.clone(),
        mode: 0o600,
        kind: SourceKind::File { size: bytes.len() as u64 },
    };
    made.iter().map(path).collect::<Vec<_>>().into_iter()
}

type PathResult = std::result::Result<SourcePath, crate::source::walk::WalkError>;

fn walked(
    entry: std::result::Result<crate::source::WalkEntry, crate::source::walk::WalkError>,
    monitor: &dyn Monitor,
) -> Vec<PathResult> {
    match entry {
        Ok(entry) => {
            if let Some(finding) = entry.finding() {
                monitor.finding(&finding);
            }
            of_walk(entry).into_iter().map(Ok).collect()
        }
        Err(error) => vec![Err(error)],
    }
}

/// For the progress bar: one quick walk ahead.
fn total_bytes(data_directory: &Path, version: seawall_pg::Version) -> Result<u64> {
    let mut total = 0_u64;
    for entry in Walk::new(data_directory, version)? {
        let entry = entry?;
        if entry.is_copied_file() {
            total = total.saturating_add(entry.size_bytes);
        }
    }
    Ok(total)
}
