//! Files from the repository into the target: made in the order of paths, filled in the order in which packs hold their pages.
//!
//! Promises: every page that is written was opened from its sealed frame *and* compared with its digest in the digest leaf, so a
//! page in a wrong place is as much an error as a damaged one; pages of zeros stay holes; memory is bounded by the band (its
//! entries and digests, 64 MiB each) and by the reads in flight, one a lane; a region that fails in the middle is replaced by another, read by
//! read, and what was wrong with it is a finding of the repository. Deliberately does not decide where files go, and puts nothing in
//! force: [`crate::target::finish`] does.

mod band;
mod lane;
mod leaf;

use std::sync::Arc;

use seawall_repo::id::Generation;
use seawall_repo::keys::DigestKey;
use seawall_repo::layout::{Named, Place};
use seawall_repo::manifest::Manifest;
use seawall_repo::map::file_block::{EntryKind, FileBlockReader, FileEntry};
use seawall_store::durable::DurableError;

use self::band::{BandRunner, Sink};
use super::sweep::Belonging;
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::repository::{Maps, Repository};
use crate::target::external::ExternalFile;
use crate::target::names::{NameError, Spot, spot};
use crate::target::tree::{TargetTree, TreeError};

/// A file outside the data directory that is larger is no configuration.
const EXTERNAL_BYTES_MAX: u64 = 16 << 20;

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The target is empty.
    None,
    /// The target holds an older life of the cluster: what is right already stays.
    Compare,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Transferred {
    /// Files that the target has now.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of pages that were fetched and written.
    pub bytes_written: u64,
    /// Bytes of pages that were right already.
    pub bytes_kept: u64,
    /// Bytes that were read from regions.
    pub bytes_read: u64,
    /// Files and links that did not belong to the backup and were removed.
    pub removed: u64,
    /// Symbolic links of the backup that lead out of the data directory.
    pub links_outside: Vec<String>,
}

/// The files outside the data directory and what was done.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Counts.
    pub transferred: Transferred,
    /// Configuration files outside the data directory, in memory: where they go is decided with all of them at hand.
    pub external: Vec<ExternalFile>,
}

/// From where and to where.
#[derive(Debug)]
pub struct Transfer<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Cluster and system identifier.
    pub place: &'a Place,
    /// The backup.
    pub manifest: &'a Manifest,
    /// The target.
    pub tree: Arc<TargetTree>,
    /// What the target holds.
    pub existing: Existing,
    /// Lanes, each with one read in flight.
    pub parallel: usize,
}

/// Writes every file of the backup.
///
/// # Errors
/// A needed object is damaged or out of reach in every region; the target cannot be written; a hostile name.
pub async fn transfer(transfer: &Transfer<'_>, monitor: &dyn Monitor) -> Result<Outcome> {
    let digest_key = digest_key(transfer).await?;
    let maps = Maps::new(transfer.repository, transfer.place);
    let mut belonging = Belonging::new(transfer.existing == Existing::Compare);
    let mut runner = BandRunner::new(transfer, Arc::new(digest_key));
    let mut outcome = Outcome::default();
    for block in &transfer.manifest.body.blocks {
        let node = maps.node(&block.node).await?;
        let mut entries = FileBlockReader::new(&node).map_err(|error| damaged_block(&error))?;
        while let Some(entry) = entries.next_entry().map_err(|error| damaged_block(&error))? {
            belonging.add(&entry.path);
            take_entry(transfer, &maps, &entry, &mut runner, &mut outcome, monitor).await?;
        }
    }
    runner.finish(&mut outcome.transferred, monitor).await?;
    outcome.external = runner.into_external();
    if transfer.existing == Existing::Compare {
        outcome.transferred.removed = belonging.sweep(&transfer.tree)?;
    }
    Ok(outcome)
}

/// The key of the generation that the manifest was sealed with: digests of all its pages were made with it.
async fn digest_key(transfer: &Transfer<'_>) -> Result<DigestKey> {
    let name =
        Named::Manifest { place: transfer.place.clone(), backup: transfer.manifest.header.backup }.into();
    let head = transfer.repository.read_head(&name).await?;
    let generation: Option<Generation> = head.value.generation();
    let keys = transfer.repository.keys();
    keys.digest_key(generation, transfer.repository.trust().repository()).ok_or_else(|| {
        Error::usage("keys.generation-missing", "the keys at hand lack the generation of this backup")
            .hint("Give the identity file of one of the recipients: --identity FILE.")
    })
}

async fn take_entry(
    transfer: &Transfer<'_>,
    maps: &Maps,
    entry: &FileEntry,
    runner: &mut BandRunner<'_>,
    outcome: &mut Outcome,
    monitor: &dyn Monitor,
) -> Result<()> {
    let spot = spot(&entry.path).map_err(|error| hostile(&error))?;
    let tree = &transfer.tree;
    match (&entry.kind, &spot) {
        (_, Spot::Root | Spot::OwnFile) => Ok(()),
        (EntryKind::File { size, leaves }, Spot::External(path)) => {
            if *size > EXTERNAL_BYTES_MAX {
                return Err(Error::data(
                    "restore.external-too-large",
                    "a configuration file of the backup is too large",
                )
                .fact("file", path.display())
                .fact("bytes", size));
            }
            let file = runner.begin(Sink::External { path: path.clone(), mode: entry.mode, size: *size })?;
            runner.leaves(maps, file, leaves, &mut outcome.transferred, monitor).await
        }
        // Directories on the way to external files are made when the files are written.
        (_, Spot::External(_)) => Ok(()),
        (EntryKind::File { size, leaves }, _) => {
            outcome.transferred.files += 1;
            outcome.transferred.bytes = outcome.transferred.bytes.saturating_add(*size);
            let reused = match transfer.existing {
                Existing::None => None,
                Existing::Compare => tree.reuse_file(&spot, entry.mode, *size).map_err(tree_error)?,
            };
            let is_new = reused.is_none();
            if is_new {
                drop(tree.make_file(&spot, entry.mode, *size).map_err(tree_error)?);
            }
            let file = runner.begin(Sink::Tree { spot, size: *size, is_new })?;
            runner.leaves(maps, file, leaves, &mut outcome.transferred, monitor).await
        }
        (EntryKind::Directory | EntryKind::EmptyDirectory, _) => tree.make_dir(&spot).map_err(tree_error),
        (EntryKind::Link { target }, _) => {
            use std::os::unix::ffi::OsStrExt as _;
            let target = std::path::Path::new(std::ffi::OsStr::from_bytes(target));
            outcome.transferred.links_outside.push(format!("{spot:?} -> {}", target.display()));
            tree.make_link(&spot, target).map_err(tree_error)
        }
    }
}

pub(super) fn damaged_block(error: &seawall_repo::map::file_block::FileBlockError) -> Error {
    Error::data("restore.map-damaged", "the list of the backup's files cannot be read").fact("reason", error)
}

pub(super) fn hostile(error: &NameError) -> Error {
    Error::data("restore.hostile-name", error.to_string())
        .hint("Nothing was written under that name. Whoever signed this backup's manifest wrote it: find out who did.")
}

/// What a failure of the target means for a person.
pub(super) fn tree_error(error: TreeError) -> Error {
    match error {
        TreeError::Local(cause) => local_error(cause),
        TreeError::InTheWay { .. } => Error::source_side("restore.in-the-way", error.to_string())
            .hint("Remove it, or restore into an empty directory."),
        TreeError::UnknownTablespace { .. } | TreeError::NotInTree { .. } => {
            Error::data("restore.hostile-name", error.to_string())
        }
    }
}

/// What a local failure means for a person.
pub(super) fn local_error(cause: DurableError) -> Error {
    Error::source_side("restore.target-unwritable", cause.to_string())
        .hint("The directory is not a cluster yet: no server starts from it. Mend the cause and run the restore again.")
        .because(cause)
}
