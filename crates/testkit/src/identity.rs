//! Who runs what in a test, and where it may write.
//!
//! PostgreSQL refuses to run as root, and seawall runs as PostgreSQL's user. So where the test process is root, servers and
//! `seawall` run as the system user `postgres`, or else `seawall-test`; otherwise everything runs as whoever runs the test.
//! Promises: everything made through [`Scratch`] belongs to that user, can be reached by it, and is removed on drop.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::{Context, Failure, Result};

/// The user that servers and `seawall` run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUser {
    /// Its name, as PostgreSQL tools show it.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric group id.
    pub gid: u32,
    /// Whether the test process is somebody else (root) and has to drop to it.
    pub dropped: bool,
}

/// The user that servers and `seawall` run as on this machine.
///
/// # Errors
/// The test process is root and neither `postgres` nor `seawall-test` exists: `make setup-test` creates one.
pub fn server_user() -> Result<&'static ServerUser> {
    static USER: OnceLock<std::result::Result<ServerUser, String>> = OnceLock::new();
    USER.get_or_init(|| find_user().map_err(|failure| failure.text().to_owned()))
        .as_ref()
        .map_err(Failure::new)
}

fn find_user() -> Result<ServerUser> {
    let passwd = std::fs::read_to_string("/etc/passwd").context(|| "reading /etc/passwd")?;
    let own = rustix::process::geteuid().as_raw();
    if own != 0 {
        let gid = rustix::process::getegid().as_raw();
        let name = passwd_entry(&passwd, |entry| entry.uid == own)
            .map_or_else(|| own.to_string(), |entry| entry.name);
        return Ok(ServerUser { name, uid: own, gid, dropped: false });
    }
    ["postgres", "seawall-test"]
        .iter()
        .find_map(|name| passwd_entry(&passwd, |entry| entry.name == *name))
        .ok_or_else(|| {
            Failure::new(
                "root needs a user `postgres` or `seawall-test` to run servers as: run `make setup-test`",
            )
        })
}

fn passwd_entry(passwd: &str, wanted: impl Fn(&ServerUser) -> bool) -> Option<ServerUser> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let user = ServerUser { name, uid, gid, dropped: true };
        wanted(&user).then_some(user)
    })
}

/// Makes `command` run as the server's user, in a directory that user can enter, with a plain environment.
///
/// # Errors
/// As [`server_user`].
pub fn as_server_user(command: &mut Command) -> Result<&mut Command> {
    let user = server_user()?;
    if user.dropped {
        // Setting the uid as root also drops root's supplementary groups.
        command.uid(user.uid).gid(user.gid).env("HOME", "/nonexistent").env("USER", &user.name);
    }
    // Root's working directory may be closed to the other user, and PostgreSQL's programs look at theirs.
    command.current_dir("/").env("LC_ALL", "C").env("TZ", "UTC");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Runs `command` as the server's user and returns its standard output.
///
/// # Errors
/// It could not be started, or it failed: the text has its command line and both outputs.
pub fn run_as_server_user(command: &mut Command) -> Result<String> {
    let line = format!("{command:?}");
    let output = as_server_user(command)?.output().context(|| format!("starting {line}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "{line}\n  ended with {}\n  stdout: {stdout}\n  stderr: {stderr}",
        output.status
    )))
}

/// Gives `path` (not what is beneath it) to the server's user.
///
/// # Errors
/// The system refuses.
pub fn give_to_server_user(path: &Path) -> Result<()> {
    let user = server_user()?;
    if user.dropped {
        std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid))
            .context(|| format!("chown {}", path.display()))?;
    }
    Ok(())
}

/// Makes a directory (and those above it) that belongs to the server's user.
///
/// # Errors
/// The system refuses.
pub fn make_directory(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        result => result.context(|| format!("creating {}", path.display()))?,
    }
    give_to_server_user(path)
}

/// Writes a file that belongs to the server's user, with this mode.
///
/// # Errors
/// The system refuses.
pub fn write_file(path: &Path, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    std::fs::write(path, content).context(|| format!("writing {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    give_to_server_user(path)
}

/// Whether the server's user can reach what is in `directory`: it and every directory above let that user pass.
///
/// # Errors
/// The directory is not there.
pub fn is_reachable(directory: &Path) -> Result<bool> {
    let user = server_user()?;
    if !user.dropped {
        return Ok(true);
    }
    let directory = directory.canonicalize().context(|| format!("resolving {}", directory.display()))?;
    for above in directory.ancestors() {
        let found = std::fs::metadata(above)?;
        let needed = if found.uid() == user.uid { 0o100 } else { 0o001 };
        if found.mode() & needed == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The directory under which tests put what they make: `SEAWALL_TEST_ROOT`, else the system's directory for temporary files.
pub fn test_root() -> PathBuf {
    std::env::var_os("SEAWALL_TEST_ROOT").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// The checkout's `.cache`.
pub fn cache_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache")
}

/// A directory shared by all tests and kept between runs: templates of data directories, copies of programs.
///
/// It is in the checkout's cache where the server's user can reach that, and else under [`test_root`].
///
/// # Errors
/// It cannot be made, or it belongs to somebody else.
pub fn shared_directory() -> Result<PathBuf> {
    let user = server_user()?;
    let cache = cache_directory();
    std::fs::create_dir_all(&cache).context(|| format!("creating {}", cache.display()))?;
    let place = if is_reachable(&cache)? {
        cache.canonicalize()?.join(format!("testkit-{}", user.name))
    } else {
        test_root().join(format!("seawall-testkit-{}", user.name))
    };
    make_directory(&place)?;
    let owner = std::fs::metadata(&place)?.uid();
    if owner != user.uid {
        return Err(Failure::new(format!(
            "{} belongs to uid {owner}, not to {}",
            place.display(),
            user.name
        )));
    }
    Ok(place)
}

/// A directory of one test, owned by the server's user, with a short path, removed on drop.
///
/// With `SEAWALL_TEST_KEEP=1` it stays, for looking at what a failed test left.
#[derive(Debug)]
pub struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    /// Makes one under [`test_root`].
    ///
    /// # Errors
    /// It cannot be made, or the server's user could not reach it.
    pub fn new() -> Result<Self> {
        let root = test_root();
        std::fs::create_dir_all(&root).context(|| format!("creating {}", root.display()))?;
        let mut directory = tempfile::Builder::new()
            .prefix("sw-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in(&root)
            .context(|| format!("making a directory in {}", root.display()))?;
        directory.disable_cleanup(std::env::var_os("SEAWALL_TEST_KEEP").is_some());
        give_to_server_user(directory.path())?;
        if !is_reachable(directory.path())? {
            let name = &server_user()?.name;
            return Err(Failure::new(format!(
                "{name} cannot reach {}: set SEAWALL_TEST_ROOT",
                root.display()
            )));
        }
        Ok(Self { directory })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A directory in it, made if it is not there, owned by the server's user.
    ///
    /// # Errors
    /// As [`make_directory`].
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path().join(name);
        make_directory(&path)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_belongs_to_the_server_user_and_goes_away() -> Result<()> {
        let scratch = Scratch::new()?;
        let inner = scratch.directory("a/b")?;
        assert_eq!(std::fs::metadata(&inner)?.uid(), server_user()?.uid);
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
        Ok(())
    }

    #[test]
    fn commands_run_as_the_server_user_and_never_as_root() -> Result<()> {
        let uid = run_as_server_user(Command::new("id").arg("-u"))?;
        assert_eq!(uid.trim(), server_user()?.uid.to_string());
        assert_ne!(uid.trim(), "0");
        Ok(())
    }

    #[test]
    fn a_failed_command_tells_its_line_and_its_words() {
        let failure = run_as_server_user(Command::new("sh").args(["-c", "echo no luck >&2; exit 3"]))
            .expect_err("exit 3");
        assert!(failure.text().contains("no luck") && failure.text().contains("exit status: 3"), "{failure}");
    }
}
