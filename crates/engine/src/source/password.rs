//! Where the server's password comes from: the environment or a password file, and nowhere else.
//!
//! Promises: a password never appears in `Debug` output or in an error; a password file that others can read is
//! refused (`PQconnectdb` ignores it with a warning, which nobody sees at three in the morning).

use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio_postgres::config::Host;

/// A password file larger than this is not one.
const PASSFILE_BYTES_MAX: u64 = 1024 * 1024;

/// A password. Shown as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(...)")
    }
}

impl Password {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// Where to look for a password.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// What `PGPASSWORD` holds.
    pub password: Option<Password>,
    /// The file to look into: `PGPASSFILE`, else `.pgpass` in the home directory.
    pub passfile: Option<PathBuf>,
    /// Whether the file was asked for by name, so that its absence is a fault.
    pub passfile_is_named: bool,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum PasswordError {
    #[error("cannot read the password file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the password file {} can be read by others (mode {mode:04o})", path.display())]
    Open { path: PathBuf, mode: u32 },
    #[error("the password file {} is {bytes} bytes long, which no password file is", path.display())]
    Large { path: PathBuf, bytes: u64 },
    #[error("PGPASSWORD is not UTF-8 text")]
    Encoding,
}

impl Credentials {
    /// Takes `PGPASSWORD`, `PGPASSFILE` and `HOME` from `lookup`, which is `std::env::var_os` outside of tests.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, PasswordError> {
        let filled = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let password =
            filled("PGPASSWORD").map(|value| value.into_string().map_err(|_| PasswordError::Encoding));
        let named = filled("PGPASSFILE").map(PathBuf::from);
        let passfile_is_named = named.is_some();
        let passfile = named.or_else(|| Some(PathBuf::from(filled("HOME")?).join(".pgpass")));
        Ok(Self { password: password.transpose()?.map(Password), passfile, passfile_is_named })
    }

    /// The password for this server, if there is one.
    pub(super) fn find(&self, config: &tokio_postgres::Config) -> Result<Option<Password>, PasswordError> {
        if self.password.is_some() {
            return Ok(self.password.clone());
        }
        let Some(path) = &self.passfile else { return Ok(None) };
        let Some(content) = self.read_passfile(path)? else { return Ok(None) };
        Ok(content.lines().find_map(|line| matching_password(line, config)).map(Password))
    }

    fn read_passfile(&self, path: &Path) -> Result<Option<String>, PasswordError> {
        let read_error = |source| PasswordError::Read { path: path.to_owned(), source };
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.passfile_is_named => {
                return Ok(None);
            }
            opened => opened.map_err(read_error)?,
        };
        let metadata = file.metadata().map_err(read_error)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(PasswordError::Open { path: path.to_owned(), mode });
        }
        if metadata.len() > PASSFILE_BYTES_MAX {
            return Err(PasswordError::Large { path: path.to_owned(), bytes: metadata.len() });
        }
        let mut content = String::new();
        file.take(PASSFILE_BYTES_MAX).read_to_string(&mut content).map_err(read_error)?;
        Ok(Some(content))
    }
}

/// The password of a line `host:port:database:user:password`, when its first four fields fit.
///
/// A user that the connection setting leaves out fits only `*`: guessing the system's user name could send one
/// user's password for another.
fn matching_password(line: &str, config: &tokio_postgres::Config) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields(line);
    let [host, port, database, user, password] = fields.as_slice() else { return None };
    let ports: Vec<String> = match config.get_ports() {
        [] => vec!["5432".to_owned()],
        given => given.iter().map(ToString::to_string).collect(),
    };
    let fits = |field: &str, value: Option<&str>| field == "*" || value == Some(field);
    let host_fits = config.get_hosts().iter().any(|known| match known {
        Host::Tcp(name) => fits(host, Some(name)),
        Host::Unix(directory) => fits(host, Some("localhost")) || fits(host, directory.to_str()),
    });
    let all_fit = host_fits
        && ports.iter().any(|known| fits(port, Some(known)))
        && fits(database, config.get_dbname())
        && fits(user, config.get_user());
    all_fit.then(|| password.clone())
}

/// The fields of a line; `\` takes the next character as it is. The last field keeps its colons.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        let taken = match c {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => characters.next(),
            c => Some(c),
        };
        if let Some(last) = fields.last_mut() {
            last.extend(taken);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::conninfo;
    use super::*;

    fn in_file(content: &str, mode: u32, conninfo: &str) -> Result<Option<String>, PasswordError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pass");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let credentials = Credentials::from_environment(|name| {
            (name == "PGPASSFILE").then(|| path.clone().into_os_string())
        })
        .unwrap();
        Ok(credentials.find(&conninfo::parse(conninfo).unwrap())?.map(|found| found.reveal().to_owned()))
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = "# comment\nother:5432:*:*:no\nlocalhost:5432:db:seawall:a\\:b\\\\c:d\n*:*:*:*:last\n";
        let here = "host=/run/x user=seawall dbname=db";
        assert_eq!(in_file(file, 0o600, here).unwrap().as_deref(), Some("a:b\\c:d"));
        assert_eq!(in_file(file, 0o600, "host=h user=seawall dbname=db").unwrap().as_deref(), Some("last"));
        assert_eq!(in_file("h:1:d:u:p", 0o600, "host=h").unwrap(), None);
    }

    #[test]
    fn a_file_others_can_read_is_refused() {
        let error = in_file("*:*:*:*:hunter2", 0o640, "").unwrap_err();
        assert!(matches!(error, PasswordError::Open { mode: 0o640, .. }));
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }

    #[test]
    fn a_named_file_must_be_there_and_the_home_one_need_not() {
        let nowhere = |wanted: &'static str| {
            Credentials::from_environment(move |name| {
                (name == wanted).then(|| OsString::from("/nonexistent/x"))
            })
            .unwrap()
        };
        let config = conninfo::parse("").unwrap();
        assert!(matches!(nowhere("PGPASSFILE").find(&config), Err(PasswordError::Read { .. })));
        assert_eq!(nowhere("HOME").find(&config).unwrap(), None);
    }

    #[test]
    fn the_environment_wins_and_is_not_shown() {
        let credentials =
            Credentials::from_environment(|name| (name == "PGPASSWORD").then(|| "hunter2".into())).unwrap();
        assert!(!format!("{credentials:?}").contains("hunter2"));
        let found = credentials.find(&conninfo::parse("").unwrap()).unwrap();
        assert_eq!(found.unwrap().reveal(), "hunter2");
    }
}
