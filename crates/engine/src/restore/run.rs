//! A restore, in two steps: [`prepare`] proves and plans and writes nothing; [`run`] does it.
//!
//! Commit point: `global/pg_control` comes into place, last of all (`target::finish`). Interrupted before it, the directory holds
//! files and no cluster; the same restore with `--delta`, or into an emptied directory, goes on from there.
//! Deliberately starts no server.

use std::path::PathBuf;
use std::sync::Arc;

use seawall_pg::{ControlFile, Version};
use seawall_repo::id::BackupId;
use seawall_repo::layout::Place;
use seawall_repo::manifest::Manifest;
use seawall_repo::time::Time;
use seawall_store::durable::{DurableError, ensure_dir};

use super::collations::{self, CollationCheck};
use super::own_files::{self, Written};
use super::plan::{BackupFacts, PlanInput, RecoveryPlan, StopAt, plan};
use super::recovery_settings::TargetAction;
use super::report::{RestorePreview, RestoreReport};
use super::salvage::LocalWal;
use super::sizes::refuse_without_room;
use super::target::{Point, RecoveryTarget};
use super::transfer::{self, Existing, Transfer, local_error, tree_error};
use super::two_writers;
use super::wal_end::WalOf;
use super::wal_inventory::WalInventory;
use super::wal_source::{find_end, load_inventory};
use crate::error::{Error, Result};
use crate::monitor::{Finding, Monitor};
use crate::repository::{BackupEntry, KeyFiles, RegionSettings, Repository};
use crate::source::libc;
use crate::target::binaries::{self, ServerBinaries};
use crate::target::finish;
use crate::target::preflight;
use crate::target::tablespaces::{PlacedTablespace, Remap, Tablespace, place as place_tablespaces};
use crate::target::tree::{TargetTree, TreeSpec};

/// What the cluster shall be afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Become {
    /// A cluster of its own: what to do when the target is reached.
    Recovered(TargetAction),
    /// A standby of this primary (`primary_conninfo`), or of the archive alone.
    Standby(Option<String>),
}

/// Everything a person can say about a restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// The data directory: absolute.
    pub data_directory: PathBuf,
    /// A directory of its own for WAL.
    pub wal_directory: Option<PathBuf>,
    /// Where tablespaces go.
    pub tablespaces: Vec<Remap>,
    /// Whether the directory holds an older life of the cluster.
    pub existing: Existing,
    /// The system identifier, where the cluster's name has had several; else the newest.
    pub system: Option<seawall_pg::SystemIdentifier>,
    /// Where recovery stops.
    pub target: RecoveryTarget,
    /// The backup to begin with.
    pub backup: Option<BackupId>,
    /// What the cluster shall be afterwards.
    pub becomes: Become,
    /// Whether it archives into the original's lineage.
    pub is_successor: bool,
    /// Whether inherited commands stay in force.
    pub keep_commands: bool,
    /// An old data directory whose `pg_wal` may hold newer WAL.
    pub salvage: Option<PathBuf>,
    /// Whether WAL that only the old life's `pg_wal` has may be removed with it.
    pub discard_wal: bool,
    /// Where the server's programs are.
    pub bindir: Option<PathBuf>,
    /// `$PATH`, where they are looked for otherwise.
    pub search_path: std::ffi::OsString,
    /// Restores files for a server that is not on this host.
    pub without_server: bool,
    /// User and group of all files; root has to say.
    pub owner: Option<(u32, u32)>,
    /// The program that serves the recovery: absolute.
    pub program: PathBuf,
    /// Reads in flight.
    pub parallel: usize,
    /// The command so far, without a target, for hints.
    pub command: String,
    /// The same with the target, as it was asked for.
    pub as_asked: String,
    /// The regions, for the plan file.
    pub regions: Vec<RegionSettings>,
    /// Regions given up by name.
    pub without_regions: Vec<String>,
    /// How long the recovery waits for a region that is away before it stops.
    pub wait_for_region: std::time::Duration,
    /// Files that open keys: absolute.
    pub key_files: KeyFiles,
}

/// A restore that was proven possible and has not written anything.
#[derive(Debug)]
pub struct Prepared {
    /// The way to the target.
    pub plan: RecoveryPlan,
    /// Where the server stops; none for a standby.
    pub stop_at: Option<StopAt>,
    /// Where tablespaces go.
    pub tablespaces: Vec<PlacedTablespace>,
    /// The server's programs; none with `without_server`.
    pub binaries: Option<ServerBinaries>,
    /// Whether text is sorted here as it was there.
    pub collations: Vec<CollationCheck>,
    /// What was found wrong on the way and did not keep the restore from being possible.
    pub findings: Vec<Finding>,
    pub(super) place: Place,
    pub(super) manifest: Manifest,
    pub(super) control: ControlFile,
    pub(super) local: LocalWal,
}

/// Proves that the restore can be done and says how.
///
/// # Errors
/// The target cannot be reached, the place cannot be written, the server's programs do not fit, or something is out of reach.
pub async fn prepare(repository: &Repository, options: &RestoreOptions) -> Result<Prepared> {
    refuse_without_identity(repository)?;
    refuse_contradictions(options)?;
    let catalog = repository.catalog().await?;
    let mut findings = catalog.refused.clone();
    let (place, backups) = lineage(&catalog.backups, options).map_err(|error| {
        findings.iter().fold(error, |error, refused| error.fact("not believed", &refused.what))
    })?;
    findings.extend(newer_system(repository, &place, options).await?);
    let size = backups.first().map(|entry| entry.header.segment_size);
    let size = size.ok_or_else(|| Error::from(super::plan::Refusal::NoBackup))?;
    let facts: Vec<BackupFacts> = backups.iter().map(|entry| facts_of(entry)).collect::<Result<_>>()?;
    let version = facts.first().map_or_else(
        || Version::from_major(18).map_err(|error| unsupported(&error)),
        |fact| Ok(fact.version),
    )?;
    let mut wal = load_inventory(repository, &place, size).await?;
    findings.append(&mut wal.findings);
    let of = WalOf { version, system: place.system, size };
    let local = match &options.salvage {
        Some(old) => LocalWal::scan(old, &of, &mut wal.inventory, repository.world().clock.now_unix_us())?,
        None => LocalWal::none(),
    };
    if let Some(old) = &options.salvage {
        local.refuse_another_branch(repository, &place, &of, old).await?;
    }
    refuse_to_lose_wal(&of, &wal.inventory, options, repository.world().clock.now_unix_us())?;
    let input = PlanInput {
        backups: &facts,
        wal: &wal.inventory,
        target: &options.target,
        backup: options.backup,
        command: &options.command,
        as_asked: &options.as_asked,
    };
    let mut plan = plan(&input)?;
    two_writers::refuse(repository, &place, &plan, &wal.doubled, &options.as_asked).await?;
    let stop_at = settle(repository, &place, &mut plan, &local, of, options).await?;
    let manifest = repository.manifest(&place, plan.backup.id).await?;
    let control = ControlFile::decode(&manifest.body.control).map_err(|error| {
        Error::data("restore.control-damaged", "the backup's pg_control cannot be read").because(error)
    })?;
    let tablespaces = check_target(&manifest, options, repository.world().clock.now_unix_us())?;
    refuse_without_room(repository, &place, &manifest, &tablespaces, options).await?;
    let binaries = check_server(&manifest, plan.backup.version, options, &mut findings)?;
    // Files for a server that is elsewhere say nothing about this host.
    let libc = binaries.as_ref().and_then(|_| libc::version());
    let collations = collations::check(&manifest.body.server, libc.as_deref());
    findings.extend(collations.iter().filter_map(CollationCheck::finding));
    findings.extend(repository.take_findings());
    Ok(Prepared {
        plan,
        stop_at,
        tablespaces,
        binaries,
        collations,
        findings,
        place,
        manifest,
        control,
        local,
    })
}

impl Prepared {
    /// What would be done, for `--dry-run` and for the question before it.
    #[must_use]
    pub fn preview(&self, options: &RestoreOptions) -> RestorePreview {
        RestorePreview {
            data_directory: options.data_directory.clone(),
            plan: self.plan.clone(),
            stop_at: self.stop_at.clone(),
            bytes: self.manifest.header.bytes,
            tablespaces: self.tablespaces.clone(),
            binaries: self.binaries.clone(),
            collations: self.collations.clone(),
            afterwards: super::report::afterwards(&self.manifest, &self.collations, options),
            findings: self.findings.clone(),
        }
    }
}

fn refuse_without_identity(repository: &Repository) -> Result<()> {
    if repository.opens_content() {
        return Ok(());
    }
    Err(Error::usage("keys.identity-needed", "content opens only with an identity")
        .hint("Give the identity file of one of the recipients: --identity FILE."))
}

fn refuse_contradictions(options: &RestoreOptions) -> Result<()> {
    let follows_for_ever = matches!(options.becomes, Become::Standby(_));
    if follows_for_ever && *options.target.point() != Point::Latest {
        return Err(Error::usage(
            "restore.standby-with-target",
            "a standby follows its primary and has no recovery target",
        )
        .hint("Leave the target away, or leave --standby away."));
    }
    if options.salvage.as_ref() == Some(&options.data_directory) {
        return Err(Error::usage(
            "restore.salvage-from-target",
            "WAL cannot be salvaged from the directory that is written",
        )
        .hint("Move its pg_wal into another directory first, and give that directory with --salvage-wal."));
    }
    Ok(())
}

/// Says so when the cluster has a newer system identifier than the one that has a backup.
async fn newer_system(
    repository: &Repository,
    place: &Place,
    options: &RestoreOptions,
) -> Result<Option<Finding>> {
    let adoptions = repository.adoptions().await?;
    let newest = adoptions.last().map(|adoption| adoption.system);
    let is_newer = options.system.is_none() && newest.is_some_and(|newest| newest != place.system);
    Ok(is_newer.then(|| Finding {
        id: "restore.older-system",
        what: format!(
            "the backup is of system identifier {}, but the cluster has been {} since",
            place.system,
            newest.map_or_else(String::new, |newest| newest.to_string())
        ),
        hint: Some("after pg_upgrade or a new initdb take a backup at once".to_owned()),
    }))
}

/// Bringing an old directory up to date empties its `pg_wal`, which may hold the only copy of the newest commits.
fn refuse_to_lose_wal(
    of: &WalOf,
    wal: &WalInventory,
    options: &RestoreOptions,
    now_unix_us: i64,
) -> Result<()> {
    if options.existing == Existing::None
        || options.discard_wal
        || !options.data_directory.join("pg_wal").exists()
    {
        return Ok(());
    }
    let own = LocalWal::scan(&options.data_directory, of, &mut wal.clone(), now_unix_us)?;
    if own.is_empty() {
        return Ok(());
    }
    let at = options.data_directory.display();
    Err(Error::usage("restore.wal-would-be-lost", format!("{at}/pg_wal holds WAL that is not in the archive"))
        .fact("segments", own.len())
        .hint(format!("Move it away and use it: mkdir {at}.old && mv {at}/pg_wal {at}.old/ and restore with --salvage-wal {at}.old."))
        .hint("If nothing in it is wanted, say so with --discard-wal."))
}

/// The backups of one system identifier: the one asked for, or the one adopted last.
fn lineage<'a>(
    backups: &'a [BackupEntry],
    options: &RestoreOptions,
) -> Result<(Place, Vec<&'a BackupEntry>)> {
    let wanted = |entry: &&BackupEntry| options.system.is_none_or(|system| system == entry.place.system);
    let of_named = |entry: &&BackupEntry| options.backup.is_none_or(|id| id == entry.id);
    // The catalog lists system identifiers in the order of their adoption.
    let chosen = backups.iter().rev().filter(wanted);
    let place =
        chosen.clone().find(of_named).or_else(|| chosen.clone().next()).map(|entry| entry.place.clone());
    let place = place.ok_or_else(|| Error::from(super::plan::Refusal::NoBackup))?;
    let of_place = backups.iter().filter(|entry| entry.place == place).collect();
    Ok((place, of_place))
}

fn facts_of(entry: &BackupEntry) -> Result<BackupFacts> {
    let header = &entry.header;
    Ok(BackupFacts {
        id: entry.id,
        version: Version::from_major(u32::from(header.postgresql)).map_err(|error| unsupported(&error))?,
        timeline: header.timeline,
        start: header.start,
        stop: header.stop,
        stop_timeline: header.stop_timeline,
        started: header.started,
        stopped: header.stopped,
        bytes: header.bytes,
        damaged_pages: header.damaged_pages,
        from_standby: header.from_standby,
        next_xid: header.next_xid,
        regions: entry.regions.iter().map(ToString::to_string).collect(),
    })
}

fn unsupported(error: &seawall_pg::VersionError) -> Error {
    Error::usage("restore.version-unknown", error.to_string())
}

async fn settle(
    repository: &Repository,
    place: &Place,
    plan: &mut RecoveryPlan,
    local: &LocalWal,
    of: WalOf,
    options: &RestoreOptions,
) -> Result<Option<StopAt>> {
    if matches!(options.becomes, Become::Standby(_)) {
        return Ok(None);
    }
    let end = match plan.needs_end_of_wal() {
        true => Some(find_end(repository, place, plan, local, of).await?),
        false => None,
    };
    let settled = plan.settle(end.as_ref());
    settled.map(Some).map_err(|error| {
        Error::data("restore.end-of-wal", error.to_string())
            .hint("Name a point yourself: --immediate for the end of the backup, or --lsn.")
    })
}

/// Everything about the place but its room, before a byte is written.
fn check_target(
    manifest: &Manifest,
    options: &RestoreOptions,
    now_unix_us: i64,
) -> Result<Vec<PlacedTablespace>> {
    let may_hold_cluster = options.existing == Existing::Compare;
    preflight::refuse_in_use(&options.data_directory, now_unix_us)?;
    preflight::refuse_occupied(&options.data_directory, may_hold_cluster)?;
    preflight::owner(options.owner)?;
    let wal_directory = options.wal_directory.as_deref();
    let known: Vec<Tablespace> = manifest.body.tablespaces.iter().map(tablespace_of).collect();
    let placed = place_tablespaces(&known, &options.tablespaces, &options.data_directory, wal_directory)
        .map_err(|error| {
            Error::usage("restore.tablespace", error.to_string())
                .hint("Place tablespaces with --tablespace NAME=DIR.")
        })?;
    if !may_hold_cluster {
        let own = placed.iter().filter_map(|placed| placed.directory.as_deref()).chain(wal_directory);
        for directory in own {
            preflight::refuse_occupied(directory, false)?;
        }
    }
    Ok(placed)
}

fn tablespace_of(known: &seawall_repo::manifest::Tablespace) -> Tablespace {
    Tablespace {
        oid: known.oid,
        name: known.name.clone(),
        location: known.location.as_ref().map(PathBuf::from),
    }
}

fn check_server(
    manifest: &Manifest,
    version: Version,
    options: &RestoreOptions,
    findings: &mut Vec<Finding>,
) -> Result<Option<ServerBinaries>> {
    if options.without_server {
        return Ok(None);
    }
    let found = binaries::find(version, options.bindir.as_deref(), &options.search_path)?;
    for library in binaries::missing_libraries(&found, &manifest.body.server.libraries) {
        findings.push(Finding {
            id: "restore.library-missing",
            what: format!("the server's library {library} is not on this host"),
            hint: Some("install the extension's package before the server is started".to_owned()),
        });
    }
    Ok(Some(found))
}

/// Does what was prepared.
///
/// # Errors
/// A needed object is damaged or out of reach in every region, or the target cannot be written. The directory is no cluster then.
pub async fn run(
    repository: &Repository,
    mut prepared: Prepared,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreReport> {
    let world = repository.world().clone();
    let began = world.clock.monotonic();
    let tree = Arc::new(open_tree(&prepared, options)?);
    // Once more under the lock: between plan and now somebody may have used the place.
    let lock = preflight::lock(&options.data_directory)?;
    preflight::refuse_in_use(&options.data_directory, world.clock.now_unix_us())?;
    finish::disarm(&tree).map_err(local_error)?;
    finish::clear_wal(&tree.wal().map_err(tree_error)?).map_err(local_error)?;
    monitor.phase("restore", Some(prepared.manifest.header.bytes));
    let job = Transfer {
        repository,
        place: &prepared.place,
        manifest: &prepared.manifest,
        tree: Arc::clone(&tree),
        existing: options.existing,
        parallel: options.parallel,
    };
    let outcome = transfer::transfer(&job, monitor).await?;
    let transferred = world.clock.monotonic();
    monitor.phase("sync", None);
    let made = Time::from_micros(world.clock.now_unix_us()).ok_or_else(|| {
        Error::usage("restore.clock", "this host's clock is outside the years 1970 to 9999")
    })?;
    let salvaged = prepared.local.copy_to(&prepared.plan, &tree.wal().map_err(tree_error)?, tree.owner())?;
    let not_archived = match options.is_successor {
        true => prepared.local.names_used_by(&prepared.plan),
        false => Vec::new(),
    };
    let written = {
        let written = own_files::decide(repository, &prepared, options, &tree, &outcome.external, made)?;
        write_external(&written, options)?;
        finish::arm(&tree, &written.files, &prepared.manifest.body.control, &world).map_err(local_error)?;
        written
    };
    drop(lock);
    let mut findings = std::mem::take(&mut prepared.findings);
    findings.extend(repository.take_findings());
    Ok(RestoreReport {
        findings,
        requests: crate::backup::requests(repository.regions()),
        salvaged_segments: salvaged,
        not_archived,
        seconds_transfer: transferred.saturating_sub(began).as_secs_f64(),
        seconds_sync: world.clock.monotonic().saturating_sub(transferred).as_secs_f64(),
        ..super::report::report(&prepared, options, outcome.transferred, written)
    })
}

fn open_tree(prepared: &Prepared, options: &RestoreOptions) -> Result<TargetTree> {
    let settings = &prepared.manifest.body.server.settings;
    let spec = TreeSpec {
        data_directory: options.data_directory.clone(),
        wal_directory: options.wal_directory.clone(),
        tablespaces: prepared.tablespaces.clone(),
        version: prepared.plan.backup.version,
        group_access: settings.get("data_directory_mode").is_some_and(|mode| mode.ends_with("750")),
        owner: preflight::owner(options.owner)?,
    };
    TargetTree::open(&spec).map_err(tree_error)
}

/// Configuration files that go back to their own, free places.
fn write_external(written: &Written, options: &RestoreOptions) -> Result<()> {
    for file in &written.outside {
        let parent = file.to.parent().unwrap_or(std::path::Path::new("/"));
        let name = file.to.file_name().unwrap_or_default();
        let put = || -> std::result::Result<(), DurableError> {
            let dir = ensure_dir(parent, 0o755)?;
            let at = dir.create_file(name, file.mode)?;
            at.write_at(&file.content, 0)?;
            if let Some((uid, gid)) = options.owner {
                at.set_owner(uid, gid)?;
            }
            at.sync()?;
            dir.sync()
        };
        put().map_err(|cause| {
            Error::source_side("restore.configuration-unwritable", format!("cannot put {} back", file.to.display()))
                .hint("Run it as a user who may write there, or restore into another directory: the configuration goes with it.")
                .because(cause)
        })?;
    }
    Ok(())
}
