//! Local files, written so that they survive: the only place in the workspace (with `durable/`) that opens local files
//! for writing, and the handles with which everything else does it.
//!
//! Promises: what [`create_new`] and [`replace`] return `Ok` for is on disk, content and name, and a reader never sees
//! half of it; nothing is followed out of the directory a [`DirHandle`] stands for; an error leaves no temporary file
//! behind, and what a killed process left is found and removed by [`DirHandle::sweep_temps`].
//! Does not do: knowing what the bytes mean; locking between processes (`create_new` is how two of them settle a name).

mod beneath;
mod dir;
mod direct;
mod file;
mod made;
mod publish;
mod temp;
mod tree;

pub use dir::{DirHandle, Entry, EntryKind, Metadata};
pub use file::FileHandle;
pub use made::MadeDirs;
pub use temp::{SweptTemps, Temps, is_temp_name};

use crate::world::Random;
use std::io;
use std::path::{Component, Path, PathBuf};

/// What was being done when the file system refused; the word in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Opening for reading or writing.
    Open,
    /// Making a file.
    Create,
    /// Making a directory.
    MakeDir,
    /// Reading content.
    Read,
    /// Reading a directory.
    List,
    /// Reading size, kind or owner.
    Stat,
    /// Writing content.
    Write,
    /// Setting the length.
    SetLen,
    /// Setting mode or owner.
    SetAttributes,
    /// Bringing content or names to disk.
    Sync,
    /// Giving a finished file its name.
    Publish,
    /// Renaming.
    Rename,
    /// Making a symbolic link.
    Symlink,
    /// Removing.
    Remove,
    /// Locking a temporary file.
    Lock,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::MakeDir => "make directory",
            Self::Read => "read",
            Self::List => "read directory",
            Self::Stat => "look at",
            Self::Write => "write",
            Self::SetLen => "set the length of",
            Self::SetAttributes => "set mode or owner of",
            Self::Sync => "sync",
            Self::Publish => "put into place",
            Self::Rename => "rename",
            Self::Symlink => "make symbolic link",
            Self::Remove => "remove",
            Self::Lock => "lock",
        })
    }
}

/// Why a local file operation did not happen. After an error of `create_new` or `replace` from [`Action::Publish`] or
/// [`Action::Sync`] the name may exist all the same: read it back.
#[derive(Debug, thiserror::Error)]
pub enum DurableError {
    /// The name is absolute, empty, holds `.`, `..` or NUL, or is kept for temporary files.
    #[error("{} is not a plain relative name", .name.display())]
    UnsafeName {
        /// The name as given.
        name: PathBuf,
    },
    /// Something has that name already; it was not touched.
    #[error("{} already exists", .path.display())]
    AlreadyExists {
        /// The path that exists.
        path: PathBuf,
    },
    /// Something else than an ordinary file or directory stands there, or a symbolic link on the way.
    #[error("{} is not {wanted}", .path.display())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What was expected there.
        wanted: &'static str,
    },
    /// The file is larger than the caller is ready to hold.
    #[error("{} has {size_bytes} bytes, more than the {limit_bytes} allowed here", .path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// The caller's limit.
        limit_bytes: u64,
    },
    /// No randomness for a temporary name.
    #[error("no name for a temporary file")]
    Random {
        /// Why.
        #[from]
        source: crate::world::RandomError,
    },
    /// The file system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: Action,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl DurableError {
    /// Whether the file system said that there is no such name. (A missing directory on the way says the same.)
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The operating system's error number, where there is one.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// The short form of results here.
pub type Result<T, E = DurableError> = std::result::Result<T, E>;

fn io_error(action: Action, path: &Path) -> impl FnOnce(rustix::io::Errno) -> DurableError {
    let path = path.to_owned();
    move |errno| DurableError::Io { action, path, source: errno.into() }
}

/// Refuses every name that could lead out of a directory. Allowed: one or more ordinary components, no NUL, no
/// trailing slash surprises; non-UTF-8 is fine.
pub fn check_relative(name: &Path) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let bytes = name.as_os_str().as_bytes();
    let ordinary = name.components().all(|part| matches!(part, Component::Normal(_)));
    // `components` silently drops "." in the middle and doubled or trailing slashes; a checked name has none of them.
    let literal =
        bytes.split(|byte| *byte == b'/').all(|part| !part.is_empty() && part != b"." && part != b"..");
    if bytes.is_empty() || bytes.contains(&0) || !ordinary || !literal {
        return Err(DurableError::UnsafeName { name: name.to_owned() });
    }
    Ok(())
}

/// One step towards the disk, as told to a [`Watch`] right before it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A directory is made.
    MakeDir(PathBuf),
    /// A file is made.
    Create(PathBuf),
    /// That many bytes are written.
    Write(PathBuf, usize),
    /// A file's content is synced.
    SyncFile(PathBuf),
    /// A directory's names are synced.
    SyncDir(PathBuf),
    /// A finished file gets its second, final name; fails if the name is taken.
    Link(PathBuf, PathBuf),
    /// A file moves to another name.
    Rename(PathBuf, PathBuf),
    /// A name is removed.
    Remove(PathBuf),
}

/// For tests: sees every durable step in order, and may stand in for a failing disk by answering an error.
pub trait Watch: Send + Sync + std::fmt::Debug {
    /// Called before the step; an error is taken for the file system's answer and the step is not done.
    fn before(&self, step: &Step) -> io::Result<()>;
}

/// Splits a path into the handle of its directory and its last component.
fn parent_of(path: &Path) -> Result<(DirHandle, PathBuf)> {
    let name = path.file_name().ok_or_else(|| DurableError::UnsafeName { name: path.to_owned() })?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((DirHandle::open(parent)?, PathBuf::from(name)))
}

/// Creates the file `path` with `bytes` and permission bits `mode`, on disk with its name before `Ok`.
///
/// # Errors
/// [`DurableError::AlreadyExists`] if the name is taken (what is there has been synced as well, so a caller that finds
/// it equal may rely on it); the directory must exist.
pub fn create_new(path: &Path, bytes: &[u8], mode: u32, random: &dyn Random) -> Result<()> {
    let (dir, name) = parent_of(path)?;
    dir.create_new(&name, &[bytes], mode, random)
}

/// Replaces the file `path`, or creates it, in one step: readers see the old content or the new. For local state
/// files only; nothing in a repository is ever replaced.
pub fn replace(path: &Path, bytes: &[u8], mode: u32, random: &dyn Random) -> Result<()> {
    let (dir, name) = parent_of(path)?;
    dir.replace(&name, &[bytes], mode, random)
}

/// Removes a file, for good: its directory is synced before this returns.
///
/// # Errors
/// It is not there ([`DurableError::is_not_found`]), or cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    let (dir, leaf) = parent_of(path)?;
    dir.remove_file(leaf)?;
    dir.sync()
}

/// The whole file, if it has at most `limit_bytes`. Follows a symbolic link in `path`'s directory part only.
pub fn read_whole(path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let (dir, name) = parent_of(path)?;
    dir.read_whole(&name, limit_bytes)
}

/// Makes `path` and every missing directory above it with permission bits `mode`; each new name is on disk before
/// `Ok`. An existing directory is left as it is.
pub fn ensure_dir(path: &Path, mode: u32) -> Result<DirHandle> {
    let mut existing = path;
    let mut missing = Vec::new();
    let top = loop {
        let here = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
        match DirHandle::open(here) {
            Ok(dir) => break dir,
            Err(error) if error.is_not_found() => {
                let name = existing.file_name();
                missing.push(name.ok_or_else(|| DurableError::UnsafeName { name: path.to_owned() })?);
                existing = existing.parent().unwrap_or(Path::new(""));
            }
            Err(error) => return Err(error),
        }
    };
    let below: PathBuf = missing.into_iter().rev().collect();
    if below.as_os_str().is_empty() { Ok(top) } else { top.ensure_dirs(&below, mode, &MadeDirs::default()) }
}

#[cfg(test)]
mod tests;
