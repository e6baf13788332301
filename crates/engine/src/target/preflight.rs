//! May this place be written? Asked before the first byte.
//!
//! Promises: a directory is refused when a server may be using it (its process lives, or its `postmaster.pid` is so fresh that it
//! may run on another host or in another container), when another restore is at work in it, when it holds anything (unless it is
//! to be brought up to date), when its file system has too little room, and when the files would belong to root.
//! Deliberately changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use seawall_store::durable::{DirHandle, DurableError, EntryKind};

use crate::error::{Error, Kind};

/// A `postmaster.pid` younger than this may belong to a server that this host does not see.
const FRESH: Duration = Duration::from_secs(120);
/// Longer than any `postmaster.pid`.
const PID_FILE_BYTES_MAX: u64 = 64 << 10;
/// What a file system should keep free beside what is restored: WAL of the recovery itself.
const SPARE_BYTES: u64 = 256 << 20;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupancy {
    /// Nothing; it will be made.
    Missing,
    /// An empty directory (but for `lost+found`).
    Empty,
    /// A data directory: it has a `PG_VERSION`.
    DataDirectory,
    /// The roots that a restore makes first and no file in them: one was interrupted there.
    Begun,
    /// Something else; the first name found.
    Other(PathBuf),
}

/// Why a place is refused.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum PreflightError {
    #[error("{} is used by a running server (process {pid})", .directory.display())]
    ServerRunning { directory: PathBuf, pid: i32 },
    #[error("{} has a postmaster.pid of {age_seconds} s ago, so a server may be using it from another host or container", .directory.display())]
    ServerMayRun { directory: PathBuf, age_seconds: u64 },
    #[error("another restore is writing {}", .directory.display())]
    RestoreRunning { directory: PathBuf },
    #[error("{} is not empty", .directory.display())]
    NotEmpty { directory: PathBuf, holds: PathBuf },
    #[error("{} holds something else than a data directory", .directory.display())]
    NotADataDirectory { directory: PathBuf, holds: PathBuf },
    #[error("the file system of {} has {free} bytes free, and {needed} are needed", .directory.display())]
    TooSmall { directory: PathBuf, free: u64, needed: u64 },
    #[error("files written by root could not be used by a server")]
    OwnerNeeded,
    #[error("cannot look at the target")]
    Local(#[from] DurableError),
    #[error("cannot lock {}", .directory.display())]
    Lock { directory: PathBuf, source: std::io::Error },
}

/// Keeps other restores out of a directory until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _held: OwnedFd,
}

/// What stands at a path.
pub fn occupancy(directory: &Path) -> Result<Occupancy, PreflightError> {
    let dir = match DirHandle::open(directory) {
        Err(error) if error.is_not_found() => return Ok(Occupancy::Missing),
        opened => opened?,
    };
    let entries = dir.entries()?;
    if entries.iter().any(|entry| entry.name == "PG_VERSION") {
        return Ok(Occupancy::DataDirectory);
    }
    let mut names: Vec<_> =
        entries.into_iter().map(|entry| entry.name).filter(|name| name != "lost+found").collect();
    names.sort();
    let Some(first) = names.first() else { return Ok(Occupancy::Empty) };
    let is_begun = names.iter().all(|name| name == "pg_wal" || name == "pg_tblspc");
    if is_begun && !holds_files(&dir, &names)? {
        return Ok(Occupancy::Begun);
    }
    Ok(Occupancy::Other(first.into()))
}

/// Whether one of these directories holds a file. Where a link leads is not looked at.
fn holds_files(dir: &DirHandle, names: &[std::ffi::OsString]) -> Result<bool, PreflightError> {
    for name in names {
        if dir.metadata(name)?.kind == EntryKind::Symlink {
            continue;
        }
        if dir.open_dir(name)?.entries()?.iter().any(|entry| entry.kind == EntryKind::File) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses a directory that holds anything; with `may_hold_cluster` a data directory is welcome.
pub fn refuse_occupied(directory: &Path, may_hold_cluster: bool) -> Result<Occupancy, PreflightError> {
    let found = occupancy(directory)?;
    match &found {
        Occupancy::Missing | Occupancy::Empty => Ok(found),
        Occupancy::DataDirectory | Occupancy::Begun if may_hold_cluster => Ok(found),
        Occupancy::Begun => {
            Err(PreflightError::NotEmpty { directory: directory.to_owned(), holds: "pg_tblspc".into() })
        }
        Occupancy::DataDirectory => {
            Err(PreflightError::NotEmpty { directory: directory.to_owned(), holds: "PG_VERSION".into() })
        }
        Occupancy::Other(holds) if may_hold_cluster => {
            Err(PreflightError::NotADataDirectory { directory: directory.to_owned(), holds: holds.clone() })
        }
        Occupancy::Other(holds) => {
            Err(PreflightError::NotEmpty { directory: directory.to_owned(), holds: holds.clone() })
        }
    }
}

/// Refuses a directory that a server uses or may be using. `now_unix_us` is the present time.
pub fn refuse_in_use(directory: &Path, now_unix_us: i64) -> Result<(), PreflightError> {
    let dir = match DirHandle::open(directory) {
        Err(error) if error.is_not_found() => return Ok(()),
        opened => opened?,
    };
    let file = match dir.open_read("postmaster.pid") {
        Err(error) if error.is_not_found() => return Ok(()),
        opened => opened?,
    };
    let content = file.read_whole(PID_FILE_BYTES_MAX)?;
    // A stand-alone server writes its number with a minus sign.
    let first = String::from_utf8_lossy(&content).lines().next().unwrap_or_default().trim().to_owned();
    let pid = first.parse::<i32>().ok().map(i32::abs);
    if let Some(pid) = pid.filter(|pid| is_alive(*pid)) {
        return Err(PreflightError::ServerRunning { directory: directory.to_owned(), pid });
    }
    let age_us = now_unix_us.saturating_sub(file.metadata()?.modified_unix_us);
    let age = Duration::from_micros(u64::try_from(age_us).unwrap_or(0));
    if age < FRESH {
        return Err(PreflightError::ServerMayRun {
            directory: directory.to_owned(),
            age_seconds: age.as_secs(),
        });
    }
    Ok(())
}

/// A process that may not be asked is alive all the same.
fn is_alive(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return false };
    !matches!(rustix::process::test_kill_process(pid), Err(Errno::SRCH))
}

/// Takes the directory for this restore alone.
pub fn lock(directory: &Path) -> Result<DirectoryLock, PreflightError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let failed =
        |errno: Errno| PreflightError::Lock { directory: directory.to_owned(), source: errno.into() };
    let held = rustix::fs::open(directory, flags, Mode::empty()).map_err(failed)?;
    match rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(DirectoryLock { _held: held }),
        Err(Errno::WOULDBLOCK) => Err(PreflightError::RestoreRunning { directory: directory.to_owned() }),
        Err(errno) => Err(failed(errno)),
    }
}

/// Whose the files shall be: nobody's in particular for an ordinary user, who owns what he writes; root has to say.
pub fn owner(asked: Option<(u32, u32)>) -> Result<Option<(u32, u32)>, PreflightError> {
    let is_root = rustix::process::geteuid().is_root();
    match asked {
        Some((0, _)) => Err(PreflightError::OwnerNeeded),
        None if is_root => Err(PreflightError::OwnerNeeded),
        asked => Ok(asked),
    }
}

/// How much will be written where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceNeed {
    /// The directory; its nearest existing parent is asked where it is missing.
    pub directory: PathBuf,
    /// Bytes to be written there.
    pub bytes: u64,
    /// Bytes that become free there before anything is written.
    pub frees: u64,
}

impl SpaceNeed {
    /// What a file system should keep free, whatever is written.
    fn spare(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), bytes: SPARE_BYTES, frees: 0 }
    }
}

/// What the files of a directory take, those below it left out; nothing where there is none.
pub fn bytes_in(directory: &Path) -> Result<u64, PreflightError> {
    let dir = match DirHandle::open(directory) {
        Err(error) if error.is_not_found() => return Ok(0),
        opened => opened?,
    };
    let mut bytes = 0_u64;
    for entry in dir.entries()? {
        match dir.metadata(&entry.name) {
            // Removing one of several names frees nothing.
            Ok(file) if file.kind == EntryKind::File && file.links == 1 => {
                bytes = bytes.saturating_add(file.allocated_bytes);
            }
            Err(error) if !error.is_not_found() => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(bytes)
}

/// Refuses when a file system has too little room for all that goes there.
pub fn refuse_small(needs: &[SpaceNeed]) -> Result<(), PreflightError> {
    let mut file_systems: BTreeMap<u64, (DirHandle, SpaceNeed)> = BTreeMap::new();
    for need in needs {
        let dir = nearest(&need.directory)?;
        let device = dir.own_metadata()?.identity.0;
        let all = file_systems.entry(device).or_insert_with(|| (dir, SpaceNeed::spare(&need.directory)));
        all.1.bytes = all.1.bytes.saturating_add(need.bytes);
        all.1.frees = all.1.frees.saturating_add(need.frees);
    }
    for (dir, SpaceNeed { directory, bytes, frees }) in file_systems.into_values() {
        let (free, needed) = (dir.free_bytes()?, bytes.saturating_sub(frees));
        if free < needed {
            return Err(PreflightError::TooSmall { directory, free, needed });
        }
    }
    Ok(())
}

fn nearest(directory: &Path) -> Result<DirHandle, PreflightError> {
    let mut here = directory;
    loop {
        match DirHandle::open(here) {
            Err(error) if error.is_not_found() => match here.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => here = parent,
                _ => return Ok(DirHandle::open(Path::new("."))?),
            },
            opened => return Ok(opened?),
        }
    }
}

impl From<PreflightError> for Error {
    fn from(error: PreflightError) -> Self {
        let (kind, id, hint) = meaning(&error);
        let told = Self::new(kind, id, error.to_string()).hint(hint);
        let told = match &error {
            PreflightError::NotEmpty { holds, .. } | PreflightError::NotADataDirectory { holds, .. } => {
                told.fact("holds", holds.display())
            }
            _ => told,
        };
        match error {
            PreflightError::Local(cause) => told.because(cause),
            PreflightError::Lock { source, .. } => told.because(source),
            _ => told,
        }
    }
}

fn meaning(error: &PreflightError) -> (Kind, &'static str, &'static str) {
    match error {
        PreflightError::ServerRunning { .. } => (
            Kind::Busy,
            "restore.target-in-use",
            "Stop that server first, or restore into another directory.",
        ),
        PreflightError::ServerMayRun { .. } => (
            Kind::Busy,
            "restore.target-may-be-in-use",
            "If no server uses the directory, on this host or any other, remove its postmaster.pid or wait two minutes.",
        ),
        PreflightError::RestoreRunning { .. } => {
            (Kind::Busy, "restore.already-running", "Wait for it, or restore into another directory.")
        }
        PreflightError::NotEmpty { .. } => (
            Kind::Usage,
            "restore.target-not-empty",
            "Give an empty directory, or --delta to bring an old data directory to the backup's state.",
        ),
        PreflightError::NotADataDirectory { .. } => (
            Kind::Usage,
            "restore.target-not-a-data-directory",
            "--delta removes what does not belong to the backup, so it wants a directory with a PG_VERSION.",
        ),
        PreflightError::TooSmall { .. } => (
            Kind::Usage,
            "restore.target-too-small",
            "Make room, or put tablespaces (--tablespace) or WAL (--waldir) on other file systems.",
        ),
        PreflightError::OwnerNeeded => (
            Kind::Usage,
            "restore.owner-needed",
            "Run it as the server's user, or name that user with --owner.",
        ),
        PreflightError::Local(_) | PreflightError::Lock { .. } => {
            (Kind::Source, "restore.target-unusable", "Check that the directory can be read and written.")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn now() -> i64 {
        seawall_store::World::system().clock.now_unix_us()
    }

    #[test]
    fn only_a_free_directory_is_taken() {
        let scratch = tempfile::tempdir().unwrap();
        let at = scratch.path().join("x");
        assert_eq!(refuse_occupied(&at, false).unwrap(), Occupancy::Missing);
        fs::create_dir_all(at.join("lost+found")).unwrap();
        assert_eq!(refuse_occupied(&at, false).unwrap(), Occupancy::Empty);
        fs::write(at.join("notes"), "").unwrap();
        assert!(matches!(refuse_occupied(&at, false), Err(PreflightError::NotEmpty { .. })));
        assert!(matches!(refuse_occupied(&at, true), Err(PreflightError::NotADataDirectory { .. })));
        fs::write(at.join("PG_VERSION"), "17\n").unwrap();
        assert!(matches!(refuse_occupied(&at, false), Err(PreflightError::NotEmpty { .. })));
        assert_eq!(refuse_occupied(&at, true).unwrap(), Occupancy::DataDirectory);
    }

    #[test]
    fn a_restore_that_was_killed_before_its_first_file_goes_on_with_delta() {
        let scratch = tempfile::tempdir().unwrap();
        let at = scratch.path();
        fs::create_dir_all(at.join("pg_tblspc")).unwrap();
        assert_eq!(refuse_occupied(at, true).unwrap(), Occupancy::Begun);
        fs::create_dir_all(at.join("pg_wal/archive_status")).unwrap();
        std::os::unix::fs::symlink("/elsewhere", at.join("pg_tblspc/16400")).unwrap();
        assert_eq!(refuse_occupied(at, true).unwrap(), Occupancy::Begun);
        assert!(matches!(refuse_occupied(at, false), Err(PreflightError::NotEmpty { .. })));
        // Somebody's WAL is no restore's beginning.
        fs::write(at.join("pg_wal/000000010000000000000001"), "").unwrap();
        assert!(matches!(refuse_occupied(at, true), Err(PreflightError::NotADataDirectory { .. })));
    }

    #[test]
    fn a_directory_that_a_server_may_be_using_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let pid_file = scratch.path().join("postmaster.pid");
        assert!(refuse_in_use(scratch.path(), now()).is_ok());
        fs::write(&pid_file, format!("{}\n/x\n", std::process::id())).unwrap();
        let later = now() + HOUR_US;
        assert!(matches!(refuse_in_use(scratch.path(), later), Err(PreflightError::ServerRunning { .. })));
        // No process has a number this high, so its owner may only be elsewhere.
        fs::write(&pid_file, "2147483646\n").unwrap();
        assert!(matches!(refuse_in_use(scratch.path(), now()), Err(PreflightError::ServerMayRun { .. })));
        assert!(refuse_in_use(scratch.path(), later).is_ok());
    }

    #[test]
    fn two_restores_do_not_share_a_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let held = lock(scratch.path()).unwrap();
        assert!(matches!(lock(scratch.path()), Err(PreflightError::RestoreRunning { .. })));
        drop(held);
        assert!(lock(scratch.path()).is_ok());
    }

    #[test]
    fn room_is_counted_over_all_directories_of_a_file_system() {
        let scratch = tempfile::tempdir().unwrap();
        let free = DirHandle::open(scratch.path()).unwrap().free_bytes().unwrap();
        let need = |name: &str, bytes| SpaceNeed { directory: scratch.path().join(name), bytes, frees: 0 };
        assert!(refuse_small(&[need("a", 1), need("b/c", 1)]).is_ok());
        let half = free / 2 + (64 << 20);
        assert!(matches!(
            refuse_small(&[need("a", half), need("b", half)]),
            Err(PreflightError::TooSmall { .. })
        ));
        // What is removed first makes room.
        let freed = SpaceNeed { directory: scratch.path().join("wal"), bytes: 0, frees: half };
        assert!(refuse_small(&[need("a", half), need("b", half), freed]).is_ok());
    }

    #[test]
    fn what_emptying_a_directory_frees_is_what_its_own_files_take() {
        let scratch = tempfile::tempdir().unwrap();
        let wal = scratch.path().join("pg_wal");
        assert_eq!(bytes_in(&wal).unwrap(), 0);
        fs::create_dir_all(wal.join("archive_status")).unwrap();
        fs::write(wal.join("000000010000000000000001"), vec![1; 1 << 20]).unwrap();
        fs::write(wal.join("kept elsewhere"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(wal.join("kept elsewhere"), scratch.path().join("too")).unwrap();
        let bytes = bytes_in(&wal).unwrap();
        assert!((1 << 20..2 << 20).contains(&bytes), "{bytes}");
    }
}
