//! A directory as a handle: everything done through it stays beneath it.
//!
//! Promises: names are checked (relative, no `..`, no NUL) and symbolic links never followed; a handle stays with its
//! directory when somebody renames or mounts over the path. Does not do: syncing, except where a name says so.

use super::beneath::open_beneath;
use super::{Action, DurableError, FileHandle, Result, Step, Watch, check_relative, io_error};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open directory. Cloning is not offered; open it again where two owners are needed ([`DirHandle::again`]).
#[derive(Debug)]
pub struct DirHandle {
    pub(super) fd: OwnedFd,
    path: PathBuf,
    watch: Option<Arc<dyn Watch>>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// An ordinary file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its directory.
    pub name: OsString,
    /// What it stands for.
    pub kind: EntryKind,
}

/// Facts about a file or directory, as `fstatat(2)` gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Bytes taken on disk; less than the length where there are holes.
    pub allocated_bytes: u64,
    /// Permission bits (the lowest twelve).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device and inode: the same pair means the same file.
    pub identity: (u64, u64),
    /// Names (hard links) the file has.
    pub links: u64,
    /// Last change of content, microseconds since 1970 UTC.
    pub modified_unix_us: i64,
}

impl EntryKind {
    fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            _ => Self::Other,
        }
    }
}

impl Metadata {
    #[expect(clippy::unnecessary_cast, reason = "the fields' widths differ between architectures")]
    pub(super) fn of(stat: &fs::Stat) -> Self {
        let micros = i128::from(stat.st_mtime) * 1_000_000 + i128::from(stat.st_mtime_nsec as i64 / 1_000);
        Self {
            kind: EntryKind::of(FileType::from_raw_mode(stat.st_mode)),
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            allocated_bytes: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            identity: (stat.st_dev as u64, stat.st_ino as u64),
            links: stat.st_nlink as u64,
            modified_unix_us: i64::try_from(micros).unwrap_or(i64::MAX),
        }
    }
}

const READ_DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl DirHandle {
    /// Opens an existing directory; symbolic links in `path` itself are followed, it is the caller's word.
    pub fn open(path: &Path) -> Result<Self> {
        let fd = fs::open(path, READ_DIR, Mode::empty()).map_err(io_error(Action::Open, path))?;
        Ok(Self { fd, path: path.to_owned(), watch: None })
    }

    /// The same directory once more.
    pub fn again(&self) -> Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 0).map_err(io_error(Action::Open, &self.path))?;
        Ok(Self { fd, path: self.path.clone(), watch: self.watch.clone() })
    }

    /// For tests: `watch` sees every durable step taken through this handle and those opened from it.
    #[must_use]
    pub fn watched(mut self, watch: Arc<dyn Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// The path it was opened by, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn child(&self, fd: OwnedFd, name: &Path) -> Self {
        Self { fd, path: self.path.join(name), watch: self.watch.clone() }
    }

    pub(super) fn step(&self, action: Action, step: &Step) -> Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        watch.before(step).map_err(|source| DurableError::Io { action, path: self.path.clone(), source })
    }

    /// Opens a directory beneath this one.
    pub fn open_dir(&self, name: impl AsRef<Path>) -> Result<Self> {
        let name = name.as_ref();
        let fd = self.open_name(name, READ_DIR, Mode::empty(), Action::Open)?;
        Ok(self.child(fd, name))
    }

    pub(super) fn open_name(
        &self,
        name: &Path,
        flags: OFlags,
        mode: Mode,
        action: Action,
    ) -> Result<OwnedFd> {
        check_relative(name)?;
        open_beneath(self.fd.as_fd(), name, flags, mode).map_err(io_error(action, &self.path.join(name)))
    }

    /// Runs `work` with the directory that holds `name` and its last part.
    pub(super) fn at<T>(
        &self,
        name: &Path,
        action: Action,
        work: impl FnOnce(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<T> {
        check_relative(name)?;
        let leaf = name.file_name().ok_or_else(|| DurableError::UnsafeName { name: name.to_owned() })?;
        let parent = match name.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                Some(self.open_name(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty(), action)?)
            }
            _ => None,
        };
        let dir = parent.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
        work(dir, leaf).map_err(io_error(action, &self.path.join(name)))
    }

    /// Makes one directory with exactly the permission bits `mode`; its parent must exist. Not synced.
    pub fn make_dir(&self, name: impl AsRef<Path>, mode: u32) -> Result<()> {
        let name = name.as_ref();
        self.step(Action::MakeDir, &Step::MakeDir(self.path.join(name)))?;
        self.at(name, Action::MakeDir, |dir, leaf| {
            fs::mkdirat(dir, leaf, Mode::from_raw_mode(mode))?;
            fs::chmodat(dir, leaf, Mode::from_raw_mode(mode), AtFlags::empty())
        })
        .map_err(|error| exists_as_such(error, &self.path.join(name)))
    }

    /// Creates a file with exactly the permission bits `mode`, open for reading and writing. Not synced.
    ///
    /// # Errors
    /// [`DurableError::AlreadyExists`] when anything has that name.
    pub fn create_file(&self, name: impl AsRef<Path>, mode: u32) -> Result<FileHandle> {
        let name = name.as_ref();
        let path = self.path.join(name);
        self.step(Action::Create, &Step::Create(path.clone()))?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let fd = self
            .open_name(name, flags, Mode::from_raw_mode(mode), Action::Create)
            .map_err(|error| exists_as_such(error, &path))?;
        // The process's umask has taken bits away; the caller asked for these.
        fs::fchmod(&fd, Mode::from_raw_mode(mode)).map_err(io_error(Action::SetAttributes, &path))?;
        Ok(FileHandle::new(fd, path, self.watch.clone()))
    }

    /// Opens an existing ordinary file for reading and writing in place.
    pub fn open_file(&self, name: impl AsRef<Path>) -> Result<FileHandle> {
        self.open_ordinary(name.as_ref(), OFlags::RDWR)
    }

    /// Opens an existing ordinary file for reading.
    pub fn open_read(&self, name: impl AsRef<Path>) -> Result<FileHandle> {
        self.open_ordinary(name.as_ref(), OFlags::RDONLY)
    }

    fn open_ordinary(&self, name: &Path, flags: OFlags) -> Result<FileHandle> {
        // NONBLOCK: opening a pipe that somebody put there must fail, not wait.
        let path = self.path.join(name);
        let opened =
            self.open_name(name, flags | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty(), Action::Open);
        let fd = opened.map_err(|error| link_as_such(error, &path))?;
        let file = FileHandle::new(fd, path, self.watch.clone());
        if file.metadata()?.kind != EntryKind::File {
            return Err(DurableError::WrongKind { path: file.path().to_owned(), wanted: "an ordinary file" });
        }
        Ok(file)
    }

    /// The whole file, if it has at most `limit_bytes`.
    pub fn read_whole(&self, name: impl AsRef<Path>, limit_bytes: u64) -> Result<Vec<u8>> {
        self.open_read(name)?.read_whole(limit_bytes)
    }

    /// Facts about a name; a symbolic link is described, not followed.
    pub fn metadata(&self, name: impl AsRef<Path>) -> Result<Metadata> {
        let stat = self.at(name.as_ref(), Action::Stat, |dir, leaf| {
            fs::statat(dir, leaf, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT)
        })?;
        Ok(Metadata::of(&stat))
    }

    /// Facts about the directory itself.
    pub fn own_metadata(&self) -> Result<Metadata> {
        let stat = fs::fstat(&self.fd).map_err(io_error(Action::Stat, &self.path))?;
        Ok(Metadata::of(&stat))
    }

    /// The names in this directory, in no order, without `.` and `..`.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let failed = || io_error(Action::List, &self.path);
        let mut entries = Vec::new();
        for entry in fs::Dir::read_from(&self.fd).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say; ask, and leave out what has gone meanwhile.
                FileType::Unknown => match self.metadata(&name) {
                    Ok(metadata) => metadata.kind,
                    Err(error) if error.is_not_found() => continue,
                    Err(error) => return Err(error),
                },
                known => EntryKind::of(known),
            };
            entries.push(Entry { name, kind });
        }
        Ok(entries)
    }

    /// Makes the symbolic link `name` that points to `target`, which is stored as given. Not synced.
    pub fn symlink(&self, name: impl AsRef<Path>, target: &Path) -> Result<()> {
        let name = name.as_ref();
        self.step(Action::Symlink, &Step::Create(self.path.join(name)))?;
        self.at(name, Action::Symlink, |dir, leaf| fs::symlinkat(target, dir, leaf))
            .map_err(|error| exists_as_such(error, &self.path.join(name)))
    }

    /// Where the symbolic link `name` points.
    pub fn read_link(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let target =
            self.at(name.as_ref(), Action::Read, |dir, leaf| fs::readlinkat(dir, leaf, Vec::new()))?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Renames within this directory's tree, replacing what `to` was. Not synced.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        self.rename_with(from.as_ref(), to.as_ref(), RenameFlags::empty())
    }

    /// Renames within this directory's tree; fails when `to` exists. Not synced.
    pub fn rename_new(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let to = to.as_ref();
        self.rename_with(from.as_ref(), to, RenameFlags::NOREPLACE)
            .map_err(|error| exists_as_such(error, &self.path.join(to)))
    }

    fn rename_with(&self, from: &Path, to: &Path, flags: RenameFlags) -> Result<()> {
        check_relative(to)?;
        self.step(Action::Rename, &Step::Rename(self.path.join(from), self.path.join(to)))?;
        self.at(from, Action::Rename, |from_dir, from_leaf| {
            // The inner error keeps its number; both names stand in the step, the message names the source.
            let moved = self.at(to, Action::Rename, |to_dir, to_leaf| {
                fs::renameat_with(from_dir, from_leaf, to_dir, to_leaf, flags)
            });
            moved.map_err(|error| {
                rustix::io::Errno::from_raw_os_error(
                    error.raw_os_error().unwrap_or(rustix::io::Errno::INVAL.raw_os_error()),
                )
            })
        })
    }

    /// Removes a file or symbolic link. Not synced.
    pub fn remove_file(&self, name: impl AsRef<Path>) -> Result<()> {
        let name = name.as_ref();
        self.step(Action::Remove, &Step::Remove(self.path.join(name)))?;
        self.at(name, Action::Remove, |dir, leaf| fs::unlinkat(dir, leaf, AtFlags::empty()))
    }

    /// Removes an empty directory. Not synced.
    pub fn remove_dir(&self, name: impl AsRef<Path>) -> Result<()> {
        let name = name.as_ref();
        self.step(Action::Remove, &Step::Remove(self.path.join(name)))?;
        self.at(name, Action::Remove, |dir, leaf| fs::unlinkat(dir, leaf, AtFlags::REMOVEDIR))
    }
}

/// EEXIST said as [`DurableError::AlreadyExists`].
pub(super) fn exists_as_such(error: DurableError, path: &Path) -> DurableError {
    match error.raw_os_error() {
        Some(number) if number == rustix::io::Errno::EXIST.raw_os_error() => {
            DurableError::AlreadyExists { path: path.to_owned() }
        }
        _ => error,
    }
}

/// ELOOP said as what it is here: a symbolic link where none is followed.
fn link_as_such(error: DurableError, path: &Path) -> DurableError {
    match error.raw_os_error() {
        Some(number) if number == rustix::io::Errno::LOOP.raw_os_error() => {
            DurableError::WrongKind { path: path.to_owned(), wanted: "free of symbolic links" }
        }
        _ => error,
    }
}
