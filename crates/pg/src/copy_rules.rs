//! What of a data directory belongs into a backup.
//!
//! Promises: one decision, with its reason, for every path that a walk of the data directory meets; what the
//! server's own base backup leaves out (`src/backend/backup/basebackup.c`) is left out, and nothing else that
//! recovery could need. Deliberately does not walk.
//!
//! Paths are bytes, relative to the data directory, parts joined by `/`, as names need not be UTF-8.

use serde::{Deserialize, Serialize};

use crate::control::CONTROL_FILE_PATH;
use crate::relation::{Fork, Oid, RelationFile};
use crate::version::Version;

/// What a path is, by `lstat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// An ordinary file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, whatever it points to.
    Symlink,
    /// A socket, pipe or device.
    Other,
}

/// What to do with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyRule {
    /// Copy the file; make the directory and walk it.
    Copy,
    /// Copy it after everything else: on a standby it says how far recovery must go.
    CopyLast,
    /// Make it and these directories inside; leave its content out, also where it is a link.
    EmptyDirectory(&'static [&'static str]),
    /// A tablespace: walk it under this path, and remember where the link points to.
    Tablespace {
        /// Which one.
        oid: Oid,
        /// Whether it is a directory here and not a link. Recovery of such a cluster needs
        /// `allow_in_place_tablespaces = on`.
        in_place: bool,
    },
    /// A link that is no tablespace: copy what it points to as if it stood here.
    Follow,
    /// Leave it out.
    Skip(SkipReason),
}

/// Why a path is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// Below a directory whose content is left out.
    InsideEmptyDirectory,
    /// Belongs to the running server only, such as `postmaster.pid`.
    OfRunningServer,
    /// Belongs to another backup, such as an old `backup_label`.
    OfOtherBackup,
    /// Temporary file, cleared at the next start.
    Temporary,
    /// Relation of a session.
    TemporaryRelation,
    /// Unlogged relation: empty after recovery whatever was copied.
    Unlogged,
    /// Another major version's directory in a tablespace.
    OtherVersion,
    /// In a tablespace's location but not PostgreSQL's.
    NotOfTablespace,
    /// A tablespace that lies inside the data directory; it is copied where its link stands.
    TablespaceInside,
    /// Socket, pipe or device.
    NotAFile,
}

/// Something about a path that a restore, or the one who asked for the backup, should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyRemark {
    /// `standby.signal`: a restored copy would start as a standby of the old primary.
    StandbySignal,
    /// `recovery.signal`: the server was being recovered itself.
    RecoverySignal,
}

/// A rule and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyDecision {
    /// What to do.
    pub rule: CopyRule,
    /// What to say.
    pub remark: Option<CopyRemark>,
}

/// The rules for one cluster.
#[derive(Clone, Debug)]
pub struct CopyRules {
    version: Version,
    /// This version's directory in every tablespace.
    version_directory: Vec<u8>,
    /// Version directories of tablespaces that lie inside the data directory, relative to it.
    inside: Vec<Vec<u8>>,
}

/// Directories whose content the server makes anew, at the top level only: a directory of such a name deeper
/// down is somebody's data.
const EMPTIED: [&[u8]; 7] = [
    b"pg_replslot",
    b"pg_dynshmem",
    b"pg_notify",
    b"pg_serial",
    b"pg_snapshots",
    b"pg_stat_tmp",
    b"pg_subtrans",
];
const WAL_DIRECTORY: &[u8] = b"pg_wal";
const TABLESPACE_DIRECTORY: &[u8] = b"pg_tblspc";

impl CopyRules {
    /// The rules for a cluster of this version. `tablespaces_inside` are the locations, relative to the data
    /// directory, of tablespaces whose links point back into it.
    pub fn new<'a>(version: Version, tablespaces_inside: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let version_directory = version.tablespace_directory().into_bytes();
        let inside = tablespaces_inside.into_iter().map(|location| {
            let location = location.strip_suffix(b"/").unwrap_or(location);
            let parts = [location, version_directory.as_slice()];
            if location.is_empty() { version_directory.clone() } else { parts.join(&b'/') }
        });
        Self { version, inside: inside.collect(), version_directory: version_directory.clone() }
    }

    /// Decides on one path. `has_init_fork` says whether the file of an init fork exists now; it is asked at the
    /// time of each file because relations come and go while the backup runs. A wrong answer in that race is
    /// harmless, recovery puts it right.
    pub fn decide(
        &self,
        path: &[u8],
        kind: EntryKind,
        has_init_fork: &dyn Fn(&RelationFile) -> bool,
    ) -> CopyDecision {
        let rule = self
            .by_place(path, kind)
            .or_else(|| by_name(path, kind))
            .or_else(|| by_relation(path, kind, has_init_fork))
            .unwrap_or(match kind {
                EntryKind::File | EntryKind::Directory => CopyRule::Copy,
                EntryKind::Symlink => CopyRule::Follow,
                EntryKind::Other => CopyRule::Skip(SkipReason::NotAFile),
            });
        CopyDecision { rule, remark: remark(path, kind) }
    }

    /// Rules that hold for a place in the tree.
    fn by_place(&self, path: &[u8], kind: EntryKind) -> Option<CopyRule> {
        if path == CONTROL_FILE_PATH.as_bytes() {
            return Some(CopyRule::CopyLast);
        }
        if self.inside.iter().any(|inside| is_at_or_below(path, inside)) {
            return Some(CopyRule::Skip(SkipReason::TablespaceInside));
        }
        let mut parts = path.split(|&byte| byte == b'/');
        let top = parts.next()?;
        let deeper: Vec<&[u8]> = parts.take(3).collect();
        if top == TABLESPACE_DIRECTORY {
            return self.in_tablespaces(&deeper, kind);
        }
        let is_wal = top == WAL_DIRECTORY;
        if !is_wal && !EMPTIED.contains(&top) {
            return None;
        }
        match (deeper.is_empty(), kind) {
            (false, _) => Some(CopyRule::Skip(SkipReason::InsideEmptyDirectory)),
            (true, EntryKind::Directory | EntryKind::Symlink) if is_wal => {
                Some(CopyRule::EmptyDirectory(self.version.facts().wal_directories))
            }
            (true, EntryKind::Directory | EntryKind::Symlink) => Some(CopyRule::EmptyDirectory(&[])),
            (true, _) => None,
        }
    }

    fn in_tablespaces(&self, below: &[&[u8]], kind: EntryKind) -> Option<CopyRule> {
        match *below {
            [name] => {
                let oid = Oid::parse(name)?;
                match kind {
                    EntryKind::Symlink => Some(CopyRule::Tablespace { oid, in_place: false }),
                    EntryKind::Directory => Some(CopyRule::Tablespace { oid, in_place: true }),
                    EntryKind::File | EntryKind::Other => None,
                }
            }
            [name, directory, ..] if Oid::parse(name).is_some() => {
                if directory == self.version_directory {
                    None
                } else if directory.starts_with(b"PG_") {
                    Some(CopyRule::Skip(SkipReason::OtherVersion))
                } else {
                    Some(CopyRule::Skip(SkipReason::NotOfTablespace))
                }
            }
            _ => None,
        }
    }
}

fn is_at_or_below(path: &[u8], place: &[u8]) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// Rules that hold for a name wherever it stands.
fn by_name(path: &[u8], kind: EntryKind) -> Option<CopyRule> {
    let name = base_name(path);
    if name.starts_with(b"pgsql_tmp") {
        return Some(CopyRule::Skip(SkipReason::Temporary));
    }
    if kind == EntryKind::Directory {
        return None;
    }
    if name.starts_with(b"pg_internal.init") {
        return Some(CopyRule::Skip(SkipReason::Temporary));
    }
    let reason = match name {
        b"postmaster.pid" | b"postmaster.opts" => SkipReason::OfRunningServer,
        b"backup_label" | b"tablespace_map" | b"backup_manifest" => SkipReason::OfOtherBackup,
        b"postgresql.auto.conf.tmp" | b"current_logfiles.tmp" | b".DS_Store" => SkipReason::Temporary,
        _ => return None,
    };
    Some(CopyRule::Skip(reason))
}

fn by_relation(
    path: &[u8],
    kind: EntryKind,
    has_init_fork: &dyn Fn(&RelationFile) -> bool,
) -> Option<CopyRule> {
    if kind != EntryKind::File {
        return None;
    }
    let file = RelationFile::parse(path)?;
    if file.temporary.is_some() {
        return Some(CopyRule::Skip(SkipReason::TemporaryRelation));
    }
    let is_unlogged = file.fork != Fork::Init && has_init_fork(&file.with_fork(Fork::Init));
    is_unlogged.then_some(CopyRule::Skip(SkipReason::Unlogged))
}

fn remark(path: &[u8], kind: EntryKind) -> Option<CopyRemark> {
    match path {
        _ if kind == EntryKind::Directory => None,
        b"standby.signal" => Some(CopyRemark::StandbySignal),
        b"recovery.signal" => Some(CopyRemark::RecoverySignal),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
