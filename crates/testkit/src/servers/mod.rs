//! A PostgreSQL server of a test: made, started, stopped in every way, asked, and gone at the end.
//!
//! Promises: it listens on a Unix socket in a private directory and nowhere else; it runs as the server's user, never as
//! root; it ends when the value is dropped and also when the test process is killed; a start that fails tells the end of the
//! server's log. Deliberately no pool and no sharing: one test, one server.

mod builder;
mod layout;
mod process;
mod sql;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use builder::{Layout, Locale, ServerBuilder};
pub use process::StopMode;

use crate::{Binaries, Context, Failure, Result, Scratch};
use process::Postmaster;

/// How long a server may take to accept connections when no other limit is named.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A PostgreSQL server and the files it has, started or not.
#[derive(Debug)]
pub struct Server {
    binaries: Binaries,
    files: Files,
    postmaster: Option<Postmaster>,
    // Dropped last: the files must outlive the process.
    scratch: Scratch,
}

/// Where a server's files are.
#[derive(Debug, Clone)]
pub struct Files {
    /// PGDATA.
    pub data_directory: PathBuf,
    /// `postgresql.conf`, in PGDATA or, in Debian's layout, elsewhere.
    pub config_file: PathBuf,
    /// The directory with `pg_hba.conf`, `pg_ident.conf` and the rest of the configuration.
    pub config_directory: PathBuf,
    /// Where `pg_wal` really is, when it is a symbolic link.
    pub wal_directory: Option<PathBuf>,
    /// Tablespaces made at the first start: name and directory.
    pub tablespaces: Vec<(String, PathBuf)>,
}

impl Server {
    /// Describes a new server of this major version.
    pub fn builder(major: u16) -> ServerBuilder {
        ServerBuilder::new(major)
    }

    /// A server on a data directory that is already there (a restored one), not started.
    ///
    /// # Errors
    /// No binaries of that major.
    pub fn existing(major: u16, data_directory: &Path) -> Result<Self> {
        let files = Files {
            data_directory: data_directory.to_owned(),
            config_file: data_directory.join("postgresql.conf"),
            config_directory: data_directory.to_owned(),
            wal_directory: None,
            tablespaces: Vec::new(),
        };
        Ok(Self::with_files(Binaries::find(major)?, files, Scratch::new()?))
    }

    /// The same with the programs of another build.
    pub fn with_binaries(mut self, binaries: &Binaries) -> Self {
        self.binaries = binaries.clone();
        self
    }

    /// The same with a `postgresql.conf` outside the data directory (Debian's layout).
    pub fn with_config_file(mut self, config_file: &Path) -> Self {
        self.files.config_file = config_file.to_owned();
        if let Some(directory) = config_file.parent() {
            self.files.config_directory = directory.to_owned();
        }
        self
    }

    fn with_files(binaries: Binaries, files: Files, scratch: Scratch) -> Self {
        Self { binaries, files, postmaster: None, scratch }
    }

    /// The major version.
    pub fn major(&self) -> u16 {
        self.binaries.major
    }

    /// The programs of its build.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// PGDATA.
    pub fn data_directory(&self) -> &Path {
        &self.files.data_directory
    }

    /// Where all its files are.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// A directory of its own, for whatever the test wants to put beside it; removed with the server.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The directory of its Unix socket (the port is 5432).
    pub fn socket_directory(&self) -> PathBuf {
        self.scratch.path().join("s")
    }

    /// What the server has said so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// Process id of the postmaster, when it was started and not stopped.
    pub fn pid(&self) -> Option<u32> {
        self.postmaster.as_ref().map(Postmaster::pid)
    }

    /// Starts it and waits until it accepts connections.
    ///
    /// # Errors
    /// It ended instead, or took too long: the text has the end of its log.
    pub fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_for_connections(START_LIMIT)
    }

    /// Starts the postmaster and returns at once.
    ///
    /// # Errors
    /// It is started already, or the process could not be made.
    pub fn spawn(&mut self) -> Result<()> {
        if self.postmaster.is_some() {
            return Err(Failure::new("this server is started already"));
        }
        let socket = self.scratch.directory("s")?;
        self.postmaster = Some(Postmaster::spawn(&self.binaries, &self.files, &socket, &self.log_file())?);
        Ok(())
    }

    /// Waits until it accepts connections (in recovery, too: that is once it is consistent).
    ///
    /// # Errors
    /// It ended, or `limit` passed.
    pub fn wait_for_connections(&mut self, limit: Duration) -> Result<()> {
        self.wait_for("connections", limit, |server| Ok(server.value("SELECT 1").is_ok()))
    }

    /// Waits until recovery is over and it accepts writes.
    ///
    /// # Errors
    /// It ended, or `limit` passed.
    pub fn wait_for_end_of_recovery(&mut self, limit: Duration) -> Result<()> {
        self.wait_for("the end of recovery", limit, |server| {
            Ok(server.value("SELECT pg_is_in_recovery()").is_ok_and(|value| value == "f"))
        })
    }

    /// Waits until `reached` says so, failing early when the server ends.
    ///
    /// # Errors
    /// It ended, `limit` passed, or `reached` failed.
    pub fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        reached: impl Fn(&Self) -> Result<bool>,
    ) -> Result<()> {
        let until = Instant::now() + limit;
        loop {
            if reached(self)? {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                return Err(Failure::new(format!(
                    "the server ended ({status}) before {what}; its log ends:\n{}",
                    self.log_end()
                )));
            }
            if Instant::now() > until {
                return Err(Failure::new(format!(
                    "no {what} within {limit:?}; the server's log ends:\n{}",
                    self.log_end()
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the server ends by itself and says how.
    ///
    /// # Errors
    /// `limit` passed.
    pub fn wait_for_exit(&mut self, limit: Duration) -> Result<std::process::ExitStatus> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.ended()? {
                self.postmaster = None;
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Failure::new(format!(
            "the server is still there after {limit:?}; its log ends:\n{}",
            self.log_end()
        )))
    }

    /// The exit status, if it has ended by itself.
    ///
    /// # Errors
    /// It is not started.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        match &mut self.postmaster {
            Some(postmaster) => postmaster.ended(),
            None => Err(Failure::new("this server is not started")),
        }
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Stops it and waits until every one of its processes is gone.
    ///
    /// # Errors
    /// It is not started, or does not end in time.
    pub fn stop(&mut self, mode: StopMode) -> Result<()> {
        let mut postmaster =
            self.postmaster.take().ok_or_else(|| Failure::new("this server is not started"))?;
        postmaster.stop(mode).context(|| format!("stopping the server; its log ends:\n{}", self.log_end()))
    }

    /// Stops it in the fast way and starts it again.
    ///
    /// # Errors
    /// As [`Self::stop`] and [`Self::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop(StopMode::Fast)?;
        self.start()
    }

    /// Ends recovery and waits until it accepts writes.
    ///
    /// # Errors
    /// It was not in recovery, or did not end it within a minute.
    pub fn promote(&mut self) -> Result<()> {
        let answer = self.value("SELECT pg_promote(true, 60)")?;
        if answer != "t" {
            return Err(Failure::new(format!(
                "pg_promote answered {answer}; the server's log ends:\n{}",
                self.log_end()
            )));
        }
        self.wait_for_end_of_recovery(START_LIMIT)
    }

    /// Sets a parameter by ALTER SYSTEM and reloads the configuration.
    ///
    /// # Errors
    /// The server refuses.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.execute(&format!("ALTER SYSTEM SET {name} = '{}'", value.replace('\'', "''")))?;
        self.execute("SELECT pg_reload_conf()")
    }
}
