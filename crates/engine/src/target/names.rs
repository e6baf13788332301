//! Where a path of a backup belongs in a target.
//!
//! Promises: paths are hostile until they pass here; what a restore writes itself (`pg_control`, `backup_label`, signal files,
//! the plan) is never taken from a backup's files; a name that could lead out of its root is refused and never repaired.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use seawall_repo::map::{PathProblem, check_path};
use seawall_repo::relation_list::is_made;

use crate::archive::fetch::MEMORY_FILE_NAME;
use crate::archive::index::OPEN_RECORD_FILE_NAME;
use crate::archive::plan_file::PLAN_FILE_NAME;

/// Under this, files from outside the data directory stand.
const EXTERNAL: &str = "@external/";

/// Where a path belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spot {
    /// Beneath the data directory.
    Data(PathBuf),
    /// Beneath WAL's own directory.
    Wal(PathBuf),
    /// Beneath a tablespace's directory.
    Tablespace {
        /// Which.
        oid: u32,
        /// Where in it.
        name: PathBuf,
    },
    /// `pg_wal` itself, or `pg_tblspc/<oid>` itself: made by the restore, as the target wants it.
    Root,
    /// Outside the data directory, at this absolute path on the source.
    External(PathBuf),
    /// Not taken from a backup: the restore writes its own, or none. What seawall made for the backup is of this kind.
    OwnFile,
}

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum NameError {
    #[error("the backup names a path that is not one of a data directory: {}", .path.escape_ascii())]
    Path { path: Vec<u8>, source: PathProblem },
    #[error("the backup names a tablespace that is not a number: {}", .path.escape_ascii())]
    Tablespace { path: Vec<u8> },
    #[error("the backup names a temporary file of seawall: {}", .path.escape_ascii())]
    Temporary { path: Vec<u8> },
}

/// Files that a restore decides itself, relative to the data directory.
const OWN_FILES: [&str; 10] = [
    "global/pg_control",
    "backup_label",
    "tablespace_map",
    "recovery.signal",
    "standby.signal",
    "postmaster.pid",
    "postmaster.opts",
    PLAN_FILE_NAME,
    MEMORY_FILE_NAME,
    OPEN_RECORD_FILE_NAME,
];

/// Where a path of a backup belongs.
pub fn spot(path: &[u8]) -> Result<Spot, NameError> {
    check_path(path).map_err(|source| NameError::Path { path: path.to_vec(), source })?;
    let is_temporary = |part: &[u8]| seawall_store::durable::is_temp_name(OsStr::from_bytes(part));
    if path.split(|byte| *byte == b'/').any(is_temporary) {
        return Err(NameError::Temporary { path: path.to_vec() });
    }
    if is_made(path) || OWN_FILES.iter().any(|own| own.as_bytes() == path) {
        return Ok(Spot::OwnFile);
    }
    if let Some(outside) = path.strip_prefix(EXTERNAL.as_bytes()) {
        return Ok(Spot::External(Path::new("/").join(name(outside))));
    }
    if let Some(rest) = path.strip_prefix(b"pg_tblspc/") {
        return in_tablespace(path, rest);
    }
    Ok(match path.strip_prefix(b"pg_wal") {
        Some(b"") => Spot::Root,
        Some([b'/', rest @ ..]) => Spot::Wal(name(rest)),
        _ => Spot::Data(name(path)),
    })
}

fn in_tablespace(path: &[u8], rest: &[u8]) -> Result<Spot, NameError> {
    let mut parts = rest.splitn(2, |byte| *byte == b'/');
    let number = parts.next().unwrap_or_default();
    let refused = || NameError::Tablespace { path: path.to_vec() };
    let text = std::str::from_utf8(number).map_err(|_| refused())?;
    // One spelling, so that two names cannot be one tablespace.
    let oid =
        text.parse::<u32>().ok().filter(|oid| *oid > 0 && oid.to_string() == text).ok_or_else(refused)?;
    Ok(match parts.next() {
        None => Spot::Root,
        Some(inside) => Spot::Tablespace { oid, name: name(inside) },
    })
}

fn name(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_data_directory_has_its_root() {
        let at = |path: &str| spot(path.as_bytes()).unwrap();
        assert_eq!(at("base/5/16384"), Spot::Data("base/5/16384".into()));
        assert_eq!(at("pg_wal"), Spot::Root);
        assert_eq!(at("pg_wal/archive_status"), Spot::Wal("archive_status".into()));
        assert_eq!(at("pg_wallet/x"), Spot::Data("pg_wallet/x".into()));
        assert_eq!(at("pg_tblspc/16400"), Spot::Root);
        assert_eq!(
            at("pg_tblspc/16400/PG_17_202406281/5/1"),
            Spot::Tablespace { oid: 16400, name: "PG_17_202406281/5/1".into() }
        );
        assert_eq!(at("@external/etc/postgresql/x.conf"), Spot::External("/etc/postgresql/x.conf".into()));
    }

    #[test]
    fn what_a_restore_writes_itself_is_not_taken_from_files() {
        for own in OWN_FILES {
            assert_eq!(spot(own.as_bytes()), Ok(Spot::OwnFile), "{own}");
        }
        assert_eq!(spot(b"@seawall/relations/5"), Ok(Spot::OwnFile), "made for the backup");
        assert_eq!(spot(b"@seawalls"), Ok(Spot::Data("@seawalls".into())));
        assert_eq!(spot(b"base/backup_label"), Ok(Spot::Data("base/backup_label".into())));
    }

    #[test]
    fn hostile_names_are_refused() {
        for hostile in [
            &b"../etc/passwd"[..],
            b"/etc/passwd",
            b"base/../../x",
            b"base//x",
            b"base/./x",
            b"",
            b"base/x\0y",
            b"pg_wal/../../x",
            b"@external/../x",
            b"@external/",
            b"pg_tblspc/x/1",
            b"pg_tblspc/016400/1",
            b"pg_tblspc/0/1",
            b"pg_tblspc/+5/1",
            b"base/.seawall-tmp-0000000000000000",
        ] {
            assert!(spot(hostile).is_err(), "{}: {:?}", hostile.escape_ascii(), spot(hostile));
        }
    }

    proptest::proptest! {
        #[test]
        fn an_accepted_name_stays_beneath_its_root(path: Vec<u8>) {
            let inside = match spot(&path) {
                Ok(Spot::Data(name) | Spot::Wal(name) | Spot::Tablespace { name, .. }) => name,
                Ok(Spot::External(name)) => name.strip_prefix("/").unwrap().to_owned(),
                Ok(Spot::Root | Spot::OwnFile) | Err(_) => return Ok(()),
            };
            assert!(seawall_store::durable::check_relative(&inside).is_ok(), "{}", inside.display());
        }
    }
}
