//! Where PostgreSQL's programs are, for each major version.
//!
//! Looked for in `SEAWALL_PG_BINS` (a directory with one per major in it), the checkout's cache as `make setup-test` fills it,
//! and Debian's `/usr/lib/postgresql`. Promise: what is returned can be run by the server's user. The builds that
//! `make setup-test` fetches have no ICU; Debian's have.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::identity::{self, run_as_server_user};
use crate::{Context, Failure, Result};

/// Majors that seawall supports and tests run against, oldest first.
pub const MAJORS: [u16; 5] = [14, 15, 16, 17, 18];

/// The first major whose clusters can have ICU as their provider.
pub(crate) const ICU_PROVIDER_SINCE: u16 = 15;

/// The majors to test: all supported ones, or those named in `SEAWALL_TEST_MAJORS` (`"15,18"`).
pub fn majors() -> Vec<u16> {
    match std::env::var("SEAWALL_TEST_MAJORS") {
        Ok(named) => MAJORS
            .into_iter()
            .filter(|major| named.split(',').any(|n| n.trim() == major.to_string()))
            .collect(),
        Err(_) => MAJORS.to_vec(),
    }
}

/// The programs of one PostgreSQL build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The major version.
    pub major: u16,
    /// The directory with `postgres`, `initdb`, `pg_ctl` and the others.
    pub directory: PathBuf,
}

impl Binaries {
    /// The build of this major that `make setup-test` brought, or Debian's where that is missing.
    ///
    /// # Errors
    /// There is none: the text says where was looked.
    pub fn find(major: u16) -> Result<Self> {
        let places = places(major);
        let found = places.iter().find(|place| place.join("postgres").is_file());
        let Some(found) = found else {
            let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            let text = format!("no PostgreSQL {major} in {}: run `make setup-test`", looked.join(", "));
            return Err(Failure::new(text));
        };
        Ok(Self { major, directory: reachable(found)? })
    }

    /// A build of this major that knows ICU, if this machine has one.
    ///
    /// # Errors
    /// A build that is there cannot be asked.
    pub fn find_with_icu(major: u16) -> Result<Option<Self>> {
        for place in places(major) {
            if place.join("pg_config").is_file() && has_icu(&place, major)? {
                return Ok(Some(Self { major, directory: reachable(&place)? }));
            }
        }
        Ok(None)
    }

    /// The newest build on this machine that knows ICU.
    ///
    /// # Errors
    /// There is none: the text says how to get one.
    pub fn newest_with_icu() -> Result<Self> {
        for major in MAJORS.into_iter().rev().filter(|major| *major >= ICU_PROVIDER_SINCE) {
            if let Some(found) = Self::find_with_icu(major)? {
                return Ok(found);
            }
        }
        Err(Failure::new(
            "no PostgreSQL with ICU on this machine: run `make setup-test`, or install Debian's postgresql",
        ))
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A command for one program, not yet told to run as the server's user.
    pub fn command(&self, name: &str) -> Command {
        Command::new(self.program(name))
    }
}

fn places(major: u16) -> Vec<PathBuf> {
    let mut places = Vec::new();
    if let Some(named) = std::env::var_os("SEAWALL_PG_BINS") {
        places.push(Path::new(&named).join(major.to_string()).join("bin"));
    }
    places.push(identity::cache_directory().join(format!("postgresql/{major}/bin")));
    places.push(PathBuf::from(format!("/usr/lib/postgresql/{major}/bin")));
    places
}

/// Since 16 a build has ICU unless it was told otherwise; before, only when it was told so.
fn has_icu(directory: &Path, major: u16) -> Result<bool> {
    let configure =
        run_as_server_user(Command::new(reachable(directory)?.join("pg_config")).arg("--configure"))?;
    Ok(if major >= 16 { !configure.contains("--without-icu") } else { configure.contains("--with-icu") })
}

/// The `bin` directory itself, or that of a copy where the server's user cannot reach the build (a checkout in `/root`).
fn reachable(directory: &Path) -> Result<PathBuf> {
    if identity::is_reachable(directory)? {
        return directory.canonicalize().context(|| format!("resolving {}", directory.display()));
    }
    let build = directory.parent().ok_or_else(|| Failure::new("a bin directory has a parent"))?;
    copied_tree(build).map(|copy| copy.join("bin"))
}

/// A copy of a build in the shared directory, made once for each content of its `.pin`.
fn copied_tree(build: &Path) -> Result<PathBuf> {
    static LOCK: OnceLock<std::sync::Mutex<()>> = OnceLock::new();
    let _held = LOCK.get_or_init(std::sync::Mutex::default).lock();
    let pin = std::fs::read(build.join(".pin")).unwrap_or_default();
    let name = blake3::hash(&[build.as_os_str().as_encoded_bytes(), &pin].concat()).to_hex();
    let copy = identity::shared_directory()?.join(format!("postgresql-{}", &name[..16]));
    if copy.is_dir() {
        return Ok(copy);
    }
    let part = copy.with_extension(std::process::id().to_string());
    let copied = Command::new("cp").arg("-rL").arg(build).arg(&part).output().context(|| "starting cp")?;
    if !copied.status.success() {
        return Err(Failure::new(format!(
            "copying {}: {}",
            build.display(),
            String::from_utf8_lossy(&copied.stderr)
        )));
    }
    // Another test process may have been faster: its copy is as good.
    if std::fs::rename(&part, &copy).is_err() {
        std::fs::remove_dir_all(&part)?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_major_is_here_and_is_what_it_says() -> Result<()> {
        for major in MAJORS {
            let version = run_as_server_user(Binaries::find(major)?.command("postgres").arg("--version"))?;
            assert!(version.starts_with(&format!("postgres (PostgreSQL) {major}.")), "{version}");
        }
        Ok(())
    }

    #[test]
    fn a_missing_major_says_where_it_was_looked_for() {
        let failure = Binaries::find(13).expect_err("13 is not fetched");
        assert!(
            failure.text().contains("/usr/lib/postgresql/13/bin")
                && failure.text().contains("make setup-test")
        );
    }
}
