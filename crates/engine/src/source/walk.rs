//! Walking a data directory: every path once, with the decision what to do with it, in bytewise order of paths.
//!
//! Promises: memory is bounded by the names of the directories between the root and the present place; nothing is
//! left out silently: a directory that cannot be listed or a file that could not be opened ends the walk with an error
//! that names it; what vanishes between listing and looking is counted, because the server drops relations at any time.
//! Deliberately not here: the rules (`seawall_pg::copy_rules`) and reading files.
//!
//! Order: a directory's children follow everything that sorts before `<name>/`, so `a`, `a-b`, `a/c` is the order, as if
//! all full paths had been sorted.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, Access, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use seawall_pg::copy_rules::CopyRemark;
use seawall_pg::{CopyRule, CopyRules, EntryKind, RelationFile, SkipReason, Version};
use seawall_repo::relation_list::is_made;

use super::files::{EXTERNAL_PREFIX, unreadable};
use crate::error::Error;
use crate::monitor::Finding;
use crate::text;

/// PostgreSQL's own tree is five deep; what users put beside it is not a hundred.
const DEPTH_MAX: usize = 100;

/// One path of the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkEntry {
    /// Relative to the data directory, as bytes.
    pub path: Vec<u8>,
    /// What stands at the path itself.
    pub kind: EntryKind,
    /// What it is after following a link; equal to `kind` for all else. `None` for a link that leads nowhere.
    pub leads_to: Option<EntryKind>,
    /// Where a link points to.
    pub link_target: Option<Vec<u8>>,
    /// What to do with it.
    pub rule: CopyRule,
    /// What is to be said about it.
    pub remark: Option<CopyRemark>,
    /// Permission bits (the lowest twelve), of what a link leads to.
    pub mode: u32,
    /// Length in bytes; zero for all but files.
    pub size_bytes: u64,
    /// Time of the last change of content, nanoseconds since 1970.
    pub modified_ns: i128,
}

/// Why a walk ended early.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum WalkError {
    #[error("cannot {doing} {}", path.display())]
    Read { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the link {} leads back to a directory above it", path.display())]
    Loop { path: PathBuf },
    #[error("{} lies more than {DEPTH_MAX} directories deep", path.display())]
    Deep { path: PathBuf },
    #[error("{} is a link to {}, which is not there", path.display(), text::shown_bytes(target))]
    Dangling { path: PathBuf, target: Vec<u8> },
    #[error("{} begins with a name that stands for files outside the data directory in a backup", path.display())]
    Reserved { path: PathBuf },
}

/// A walk under way; an iterator over [`WalkEntry`].
#[derive(Debug)]
pub struct Walk {
    root: PathBuf,
    rules: CopyRules,
    levels: Vec<Level>,
    vanished: u64,
    root_mode: u32,
    failed: bool,
}

/// A directory being walked: what is still to be done in it, last first.
#[derive(Debug)]
struct Level {
    handle: OwnedFd,
    identity: (u64, u64),
    /// Relative to the root, with a slash at the end unless it is the root.
    prefix: Vec<u8>,
    steps: Vec<Step>,
    /// Names of init forks, sorted.
    init_forks: Vec<Vec<u8>>,
}

/// Sorted by the bytes with which the resulting paths begin.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    key: Vec<u8>,
    descends: bool,
}

impl Walk {
    /// Starts a walk of this data directory.
    pub fn new(data_directory: &Path, version: Version) -> Result<Self, WalkError> {
        let inside = tablespaces_inside(data_directory)?;
        let rules = CopyRules::new(version, inside.iter().map(Vec::as_slice));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = fs::open(data_directory, flags, Mode::empty());
        let handle = opened.map_err(|error| failed("open", data_directory, error))?;
        let stat = fs::fstat(&handle).map_err(|error| failed("look at", data_directory, error))?;
        let level = Level::open(handle, &stat, Vec::new(), data_directory)?;
        Ok(Self {
            root: data_directory.to_owned(),
            rules,
            levels: vec![level],
            vanished: 0,
            root_mode: stat.st_mode & 0o7777,
            failed: false,
        })
    }

    /// How many names were listed and then not there any more.
    #[must_use]
    pub fn vanished(&self) -> u64 {
        self.vanished
    }

    /// Permission bits of the data directory itself: 0700, or 0750 where the group may read.
    #[must_use]
    pub fn root_mode(&self) -> u32 {
        self.root_mode
    }

    fn step(&mut self) -> Result<Option<WalkEntry>, WalkError> {
        while let Some(level) = self.levels.last_mut() {
            let Some(step) = level.steps.pop() else {
                self.levels.pop();
                continue;
            };
            if step.descends {
                self.descend(&step.key)?;
                continue;
            }
            match self.look_at(&step.key)? {
                Some(entry) => return Ok(Some(entry)),
                None => self.vanished = self.vanished.saturating_add(1),
            }
        }
        Ok(None)
    }

    /// One name of the present directory; `None` when it is not there any more.
    fn look_at(&mut self, name: &[u8]) -> Result<Option<WalkEntry>, WalkError> {
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        let path = [level.prefix.as_slice(), name].concat();
        let place = self.root.join(OsStr::from_bytes(&path));
        let Some(stat) = level.stat(name, AtFlags::SYMLINK_NOFOLLOW, &place)? else { return Ok(None) };
        let kind = kind_of(&stat);
        let has_init_fork = |file: &RelationFile| level.has_init_fork(file);
        let decision = self.rules.decide(&path, kind, &has_init_fork);
        let mut entry = WalkEntry {
            path,
            kind,
            leads_to: Some(kind),
            link_target: None,
            rule: decision.rule,
            remark: decision.remark,
            mode: stat.st_mode & 0o7777,
            size_bytes: size_of(&stat),
            modified_ns: modified_ns(&stat),
        };
        if kind == EntryKind::Symlink && !level.follow(name, &mut entry, &place)? {
            return Ok(None);
        }
        if level.check_readable(name, &entry, &place)? {
            if is_walked(&entry) {
                level.push_descent(name);
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// Goes into the directory `key`, a name with a slash at its end.
    fn descend(&mut self, key: &[u8]) -> Result<(), WalkError> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let name = key.strip_suffix(b"/").unwrap_or(key);
        let prefix = [level.prefix.as_slice(), key].concat();
        let place = self.root.join(OsStr::from_bytes(&prefix));
        // Links are followed here because the rules said so; everything else was seen to be a directory.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = match fs::openat(&level.handle, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.vanished = self.vanished.saturating_add(1);
                return Ok(());
            }
            Err(error) => return Err(failed("open", &place, error)),
        };
        let stat = fs::fstat(&handle).map_err(|error| failed("look at", &place, error))?;
        if self.levels.iter().any(|above| above.identity == identity(&stat)) {
            return Err(WalkError::Loop { path: place });
        }
        if self.levels.len() >= DEPTH_MAX {
            return Err(WalkError::Deep { path: place });
        }
        self.levels.push(Level::open(handle, &stat, prefix, &place)?);
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Result<WalkEntry, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.step().and_then(|entry| match entry {
            // Restored, it would go where its name says: outside the data directory.
            Some(entry) if entry.path.starts_with(EXTERNAL_PREFIX) || is_made(&entry.path) => {
                Err(WalkError::Reserved { path: self.root.join(std::ffi::OsStr::from_bytes(&entry.path)) })
            }
            entry => Ok(entry),
        });
        self.failed = next.is_err();
        next.transpose()
    }
}

impl Level {
    fn open(handle: OwnedFd, stat: &Stat, prefix: Vec<u8>, place: &Path) -> Result<Self, WalkError> {
        let listed = |error| failed("list", place, error);
        let (mut steps, mut init_forks) = (Vec::new(), Vec::new());
        for entry in fs::Dir::read_from(&handle).map_err(listed)? {
            let name = entry.map_err(listed)?.file_name().to_bytes().to_vec();
            if name.ends_with(b"_init") {
                init_forks.push(name.clone());
            }
            if name != b"." && name != b".." {
                steps.push(Step { key: name, descends: false });
            }
        }
        steps.sort_unstable_by(|a, b| b.cmp(a));
        init_forks.sort_unstable();
        Ok(Self { handle, identity: identity(stat), prefix, steps, init_forks })
    }

    /// Puts a descent where it sorts among what is left.
    fn push_descent(&mut self, name: &[u8]) {
        let step = Step { key: [name, b"/"].concat(), descends: true };
        let at = self.steps.partition_point(|other| *other > step);
        self.steps.insert(at, step);
    }

    fn stat(&self, name: &[u8], flags: AtFlags, place: &Path) -> Result<Option<Stat>, WalkError> {
        match fs::statat(&self.handle, name, flags) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(failed("look at", place, error)),
        }
    }

    /// Whether this init fork was there when the directory was listed. It stands beside the file it belongs to, and a relation has its
    /// from the beginning.
    fn has_init_fork(&self, file: &RelationFile) -> bool {
        let path = file.to_string();
        let name = path.rsplit('/').next().unwrap_or(&path).as_bytes();
        self.init_forks.binary_search_by(|fork| fork.as_slice().cmp(name)).is_ok()
    }

    /// Fills in where a link leads to. False when the link itself has vanished.
    fn follow(&self, name: &[u8], entry: &mut WalkEntry, place: &Path) -> Result<bool, WalkError> {
        let target = match fs::readlinkat(&self.handle, name, Vec::new()) {
            Ok(target) => target.into_bytes(),
            Err(Errno::NOENT | Errno::INVAL) => return Ok(false),
            Err(error) => return Err(failed("read the link", place, error)),
        };
        let stat = self.stat(name, AtFlags::empty(), place)?;
        entry.leads_to = stat.as_ref().map(kind_of);
        if let Some(stat) = stat {
            entry.mode = stat.st_mode & 0o7777;
            entry.size_bytes = size_of(&stat);
            entry.modified_ns = modified_ns(&stat);
        } else if matches!(entry.rule, CopyRule::Tablespace { .. }) && self.link_is_there(name) {
            return Err(WalkError::Dangling { path: place.to_owned(), target });
        }
        entry.link_target = Some(target);
        Ok(true)
    }

    /// A tablespace may be dropped at this moment; only a link that stays and leads nowhere is a fault.
    fn link_is_there(&self, name: &[u8]) -> bool {
        fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether a file to be copied is still there; an error when it could not be opened. Asked here so that a file
    /// of another owner ends a backup in its first second and not in its third hour.
    fn check_readable(&self, name: &[u8], entry: &WalkEntry, place: &Path) -> Result<bool, WalkError> {
        let is_copied = matches!(entry.rule, CopyRule::Copy | CopyRule::CopyLast | CopyRule::Follow);
        if !is_copied || entry.leads_to != Some(EntryKind::File) {
            return Ok(true);
        }
        match fs::accessat(self.handle.as_fd(), name, Access::READ_OK, AtFlags::EACCESS) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(failed("read", place, error)),
        }
    }
}

impl WalkEntry {
    /// Whether it is a file whose content belongs into the backup.
    #[must_use]
    pub fn is_copied_file(&self) -> bool {
        matches!(self.rule, CopyRule::Copy | CopyRule::CopyLast | CopyRule::Follow)
            && self.leads_to == Some(EntryKind::File)
    }

    /// What an operator should know about it, if anything: what is no file and no directory is not in the backup.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let path = text::shown_bytes(&self.path);
        let name = self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        // The server's own socket, where unix_socket_directories names the data directory.
        let is_server_socket = name.starts_with(b".s.PGSQL.");
        let what = match (&self.rule, self.leads_to) {
            (CopyRule::Skip(SkipReason::NotAFile), _) if !is_server_socket => {
                format!("{path} is a socket, pipe or device and is not in the backup")
            }
            (CopyRule::Follow, None) => {
                format!("{path} is a link that leads nowhere and is not in the backup")
            }
            (CopyRule::Follow, Some(EntryKind::Other | EntryKind::Symlink)) => {
                format!("{path} is a link to a socket, pipe or device and is not in the backup")
            }
            _ => return None,
        };
        let hint = Some("PostgreSQL does not make such things; move it out of the data directory".to_owned());
        Some(Finding { id: "source.not-a-file", what, hint })
    }
}

fn is_walked(entry: &WalkEntry) -> bool {
    let is_walked_rule =
        matches!(entry.rule, CopyRule::Copy | CopyRule::Follow | CopyRule::Tablespace { .. });
    is_walked_rule && entry.leads_to == Some(EntryKind::Directory)
}

/// Locations, relative to the data directory, of tablespaces whose links lead back into it.
fn tablespaces_inside(data_directory: &Path) -> Result<Vec<Vec<u8>>, WalkError> {
    let unreadable = |path: &Path, source| WalkError::Read { doing: "list", path: path.to_owned(), source };
    let root = data_directory.canonicalize().map_err(|error| unreadable(data_directory, error))?;
    let links = root.join("pg_tblspc");
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(&links).map_err(|error| unreadable(&links, error))? {
        let path = entry.map_err(|error| unreadable(&links, error))?.path();
        // What is no link is a tablespace in place; what cannot be resolved is reported when the walk comes to it.
        let (Ok(_), Ok(target)) = (path.read_link(), path.canonicalize()) else { continue };
        if let Ok(relative) = target.strip_prefix(&root) {
            inside.push(relative.as_os_str().to_owned().into_vec());
        }
    }
    Ok(inside)
}

fn kind_of(stat: &Stat) -> EntryKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Other,
    }
}

fn size_of(stat: &Stat) -> u64 {
    if kind_of(stat) == EntryKind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 }
}

fn modified_ns(stat: &Stat) -> i128 {
    i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec)
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn failed(doing: &'static str, path: &Path, error: Errno) -> WalkError {
    WalkError::Read { doing, path: path.to_owned(), source: error.into() }
}

impl From<WalkError> for Error {
    fn from(error: WalkError) -> Self {
        let what = error.to_string();
        match error {
            WalkError::Read { path, source, .. } => unreadable("source.unreadable", what, &path, source),
            WalkError::Loop { .. } => Self::source_side("source.link-loop", what).hint("remove the link"),
            WalkError::Deep { .. } => Self::source_side("source.too-deep", what)
                .hint("move what is not PostgreSQL's out of the data directory"),
            WalkError::Dangling { .. } => Self::source_side("source.tablespace-missing", what)
                .hint("is the tablespace's volume mounted? drop the tablespace if it is gone for good"),
            WalkError::Reserved { .. } => Self::source_side("source.reserved-name", what)
                .hint("PostgreSQL makes no such name: move the file out of the data directory"),
        }
    }
}

#[cfg(test)]
mod tests;
