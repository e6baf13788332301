//! The server's programs on this host: are they there, and of the right major version?
//!
//! Promises: the program is run, not guessed from a directory's name. Deliberately starts no server.

use std::path::{Path, PathBuf};
use std::process::Command;

use seawall_pg::Version;

use crate::error::Error;

/// The programs found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ServerBinaries {
    /// The directory with `postgres` and `pg_ctl`.
    pub directory: PathBuf,
    /// What `postgres --version` says, such as `17.11`.
    pub version: String,
}

/// Why no programs can be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum BinariesError {
    #[error("no server programs of PostgreSQL {wanted} were found")]
    Missing { wanted: Version, looked: Vec<PathBuf> },
    #[error("{} is PostgreSQL {found}, and the backup needs {wanted}", .program.display())]
    WrongMajor { program: PathBuf, wanted: Version, found: String },
    #[error("{} does not say its version", .program.display())]
    Unreadable { program: PathBuf },
}

/// Finds the programs: in `bindir` alone where it is given, else along `path` (as `$PATH`) and where packages put them.
pub fn find(
    version: Version,
    bindir: Option<&Path>,
    path: &std::ffi::OsStr,
) -> Result<ServerBinaries, BinariesError> {
    if let Some(bindir) = bindir {
        let program = bindir.join("postgres");
        let found = ask(&program).ok_or(BinariesError::Unreadable { program: program.clone() })?;
        return check(version, &program, found);
    }
    let looked = places(version, path);
    let mut wrong = None;
    for directory in &looked {
        let program = directory.join("postgres");
        if let Some(found) = ask(&program) {
            match check(version, &program, found) {
                Ok(binaries) => return Ok(binaries),
                // Another major earlier in the path is no reason to stop looking.
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
    }
    Err(wrong.unwrap_or(BinariesError::Missing { wanted: version, looked }))
}

fn places(version: Version, path: &std::ffi::OsStr) -> Vec<PathBuf> {
    let packaged = [format!("/usr/lib/postgresql/{version}/bin"), format!("/usr/pgsql-{version}/bin")];
    let named = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    named.chain(packaged.into_iter().map(PathBuf::from)).collect()
}

fn ask(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").env_clear().output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| version_in(&text)).flatten()
}

/// `17.11` of `postgres (PostgreSQL) 17.11 (Debian 17.11-1.pgdg12+1)`.
fn version_in(text: &str) -> Option<String> {
    let number = text.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    number.starts_with(|c: char| c.is_ascii_digit()).then(|| number.to_owned())
}

fn check(wanted: Version, program: &Path, found: String) -> Result<ServerBinaries, BinariesError> {
    let major: String = found.chars().take_while(char::is_ascii_digit).collect();
    if major != wanted.to_string() {
        return Err(BinariesError::WrongMajor { program: program.to_owned(), wanted, found });
    }
    let directory = program.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(ServerBinaries { directory, version: found })
}

/// Which of these libraries the server would not find. Those named with a path are looked for there, others beside the server's own.
#[must_use]
pub fn missing_libraries(binaries: &ServerBinaries, libraries: &[String]) -> Vec<String> {
    let asked = Command::new(binaries.directory.join("pg_config")).arg("--pkglibdir").env_clear().output();
    let told = asked.ok().filter(|output| output.status.success());
    let directory = told.and_then(|output| String::from_utf8(output.stdout).ok()).map_or_else(
        // Without pg_config (it is in a package of its own on Debian): where packages and builds have it.
        || binaries.directory.join("../lib"),
        |text| PathBuf::from(text.trim()),
    );
    let is_missing = |name: &&String| {
        let plain = name.strip_prefix("$libdir/").unwrap_or(name.as_str());
        let file = directory.join(plain);
        !file.exists() && !file.with_extension("so").exists()
    };
    libraries.iter().filter(is_missing).cloned().collect()
}

impl From<BinariesError> for Error {
    fn from(error: BinariesError) -> Self {
        let what = error.to_string();
        match error {
            BinariesError::Missing { wanted, looked } => looked
                .iter()
                .fold(Self::usage("restore.server-missing", what), |told, place| {
                    told.fact("looked in", place.display())
                })
                .hint(format!("Install PostgreSQL {wanted}, or name its directory with --server-binaries.")),
            BinariesError::WrongMajor { wanted, .. } => Self::usage("restore.server-of-other-major", what)
                .hint(format!("Give the programs of PostgreSQL {wanted} with --server-binaries.")),
            BinariesError::Unreadable { .. } => Self::usage("restore.server-unreadable", what)
                .hint("Give the directory that holds `postgres` with --server-binaries."),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(directory: &Path, says: &str) {
        fs::create_dir_all(directory).unwrap();
        let at = directory.join("postgres");
        fs::write(&at, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_right_major_is_found_behind_a_wrong_one() {
        let scratch = tempfile::tempdir().unwrap();
        let (old, new) = (scratch.path().join("old"), scratch.path().join("new"));
        program(&old, "postgres (PostgreSQL) 14.23");
        program(&new, "postgres (PostgreSQL) 17.11 (Debian 17.11-1.pgdg12+1)");
        let wanted = Version::from_major(17).unwrap();
        let path = std::env::join_paths([&old, &new]).unwrap();
        let found = find(wanted, None, &path).unwrap();
        assert_eq!((found.directory, found.version.as_str()), (new.clone(), "17.11"));
        let wrong = find(wanted, Some(&old), &path);
        assert!(matches!(wrong, Err(BinariesError::WrongMajor { .. })), "{wrong:?}");
        let unreadable = find(wanted, Some(scratch.path()), &path);
        assert!(matches!(unreadable, Err(BinariesError::Unreadable { .. })), "{unreadable:?}");
    }

    #[test]
    fn libraries_that_are_not_there_are_named() {
        let scratch = tempfile::tempdir().unwrap();
        let lib = scratch.path().join("lib");
        fs::create_dir_all(&lib).unwrap();
        fs::create_dir_all(scratch.path().join("bin")).unwrap();
        fs::write(lib.join("here.so"), "").unwrap();
        let binaries = ServerBinaries { directory: scratch.path().join("bin"), version: "17.11".into() };
        let asked = ["here", "$libdir/here", "gone"].map(str::to_owned);
        assert_eq!(missing_libraries(&binaries, &asked), ["gone"]);
    }
}
