//! A site as a DBA sets it up: a server, a role that may do no more than it must, a repository in two regions, two identities.
//!
//! Promises: everything happens through command lines that users type; `seawall` connects as the least-privileged role made
//! from the engine's own grants; nothing here looks into the repository's formats. What damages objects is in [`regions`],
//! other servers of the cluster in [`standby`].

pub(crate) mod branch;
pub(crate) mod by_wal;
pub(crate) mod clouds;
pub(crate) mod documented;
pub(crate) mod places;
pub(crate) mod regions;
pub(crate) mod rights;
pub(crate) mod standby;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_engine::source::{grants, read_control};
use seawall_engine::words::World;
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context, Failure, Outcome, Result, Scratch, Server, bins, run_seawall};
use serde_json::Value;

/// The role that `seawall` connects as.
const ROLE: &str = "seawall";
/// How long a recovery of a test's few segments may take.
pub(crate) const RECOVERY_LIMIT: Duration = Duration::from_secs(180);

/// A server with its repository.
pub(crate) struct Site {
    pub(crate) server: Server,
    home: Scratch,
    /// The regions' part of the settings.
    regions: String,
    /// How many restores there were, for the names of their directories.
    restored: std::cell::Cell<u32>,
}

impl Site {
    /// A started server with archiving on gets its role, its repository and its `archive_command`.
    pub(crate) fn new(server: Server) -> Result<Self> {
        Self::in_regions(server, |home| {
            let region = |name| {
                format!(
                    "[[repository.region]]\nname = \"{name}\"\nurl = \"file://{}/{name}\"\n",
                    home.display()
                )
            };
            Ok(["one", "two"].map(region).concat())
        })
    }

    /// As [`Self::new`], with regions as this part of the settings says, which is made when the site's home is there.
    pub(crate) fn in_regions(server: Server, regions: impl FnOnce(&Path) -> Result<String>) -> Result<Self> {
        let home = Scratch::new()?;
        let regions = regions(home.path())?;
        let site = Self { server, home, regions, restored: std::cell::Cell::new(0) };
        site.make_role()?;
        write_file(&site.settings(), site.settings_text(), 0o600)?;
        let recipients = [site.make_identity("first")?, site.make_identity("second")?];
        let init = ["init", "--yes", "--recipient", &recipients[0], "--recipient", &recipients[1]];
        site.seawall(init)?.expect_code(0)?;
        site.archive_with(&bins::seawall_path()?)?;
        Ok(site)
    }

    /// A plain server with archiving on, and its repository.
    pub(crate) fn plain(major: u16) -> Result<Self> {
        Self::new(Server::builder(major).archive_command("false").start()?)
    }

    fn make_role(&self) -> Result<()> {
        let control = read_control(self.server.data_directory(), World::system().clock.as_ref())?.file;
        for statement in grants::role_sql(control.version, ROLE, &[]) {
            self.server.execute(&statement)?;
        }
        Ok(())
    }

    fn make_identity(&self, name: &str) -> Result<String> {
        let file = self.home.path().join(name);
        let made = run_seawall(["key".as_ref(), "generate".as_ref(), "--output".as_ref(), file.as_os_str()])?
            .expect_code(0)?;
        let recipient = made.stdout.split_whitespace().find(|word| word.starts_with("age1"));
        recipient.map(str::to_owned).ok_or_else(|| Failure::new(format!("no recipient in {}", made.stdout)))
    }

    fn archive_with(&self, program: &Path) -> Result<()> {
        let command = format!("{} -c {} wal push %p", program.display(), self.settings().display());
        self.server.set("archive_command", &command)
    }

    /// The settings of this site.
    pub(crate) fn settings_text(&self) -> String {
        let data_directory = self.server.data_directory().display();
        let socket = self.server.socket_directory();
        let (home, socket) = (self.home.path().display(), socket.display());
        format!(
            "[cluster.demo]\n\
             data_directory = \"{data_directory}\"\n\
             connection = \"host={socket} port=5432 user={ROLE} dbname=postgres\"\n\
             [repository]\n\
             writer_key_file = \"{home}/writer.key\"\n{}",
            self.regions
        )
    }

    /// The settings file.
    pub(crate) fn settings(&self) -> PathBuf {
        self.home.path().join("seawall.toml")
    }

    /// One of the regions' directories: `one` or `two`.
    pub(crate) fn region(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// One of the identity files: `first` or `second`.
    pub(crate) fn identity(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A place for files of the test.
    pub(crate) fn home(&self) -> &Scratch {
        &self.home
    }

    /// `seawall -c SETTINGS ...`.
    pub(crate) fn seawall<S: Into<OsString>>(&self, line: impl IntoIterator<Item = S>) -> Result<Outcome> {
        let mut words: Vec<OsString> = vec!["-c".into(), self.settings().into()];
        words.extend(line.into_iter().map(Into::into));
        run_seawall(words)
    }

    /// A backup that must have no findings; the report.
    pub(crate) fn backup(&self, more: &[&str]) -> Result<Value> {
        let line = ["backup", "--json"].iter().chain(more).copied();
        json(&self.seawall(line)?.expect_code(0)?)
    }

    /// A directory for a restore; not there yet.
    pub(crate) fn new_directory(&self) -> PathBuf {
        self.restored.set(self.restored.get() + 1);
        self.home.path().join(format!("restored{}", self.restored.get()))
    }

    /// The command line of a restore into `directory` with the first identity and the server's own programs.
    pub(crate) fn restore_line(&self, directory: &Path, more: &[&str]) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["restore".into(), "-D".into(), directory.into()];
        line.extend(["--identity".into(), self.identity("first").into()]);
        line.extend(["--server-binaries".into(), self.server.binaries().directory.clone().into()]);
        line.extend(more.iter().map(Into::into));
        line
    }

    /// Restores into `directory`.
    pub(crate) fn restore(&self, directory: &Path, more: &[&str]) -> Result<Outcome> {
        self.seawall(self.restore_line(directory, more))
    }

    /// Restores into a new directory without a finding, starts the server there and waits until it accepts writes.
    pub(crate) fn restored(&self, more: &[&str]) -> Result<Server> {
        let directory = self.new_directory();
        self.restore(&directory, more)?.expect_code(0)?;
        recovered(Server::existing(self.server.major(), &directory)?.with_binaries(self.server.binaries()))
    }

    /// Ends the current segment and waits until all WAL is archived.
    pub(crate) fn archive_all(&self) -> Result<()> {
        archive_all(&self.server)
    }
}

/// Ends the current segment of a server and waits until all its WAL is archived.
pub(crate) fn archive_all(server: &Server) -> Result<()> {
    let last = server.value("SELECT pg_walfile_name(pg_current_wal_lsn() - 1)")?;
    server.execute("SELECT pg_switch_wal()")?;
    for _ in 0..2400 {
        let archived = server.value("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")?;
        if archived.get(..24).unwrap_or_default() >= last.as_str() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(Failure::new(format!("{last} was not archived: {}", server.log())))
}

/// A restored server, started, with its recovery over.
pub(crate) fn recovered(mut server: Server) -> Result<Server> {
    server.spawn()?;
    server.wait_for_end_of_recovery(RECOVERY_LIMIT)?;
    Ok(server)
}

/// What a command with `--json` printed, every key of it named in that command's section of `docs/JSON.md`.
pub(crate) fn json(outcome: &Outcome) -> Result<Value> {
    let command = &outcome.command;
    let value = serde_json::from_str(&outcome.stdout).context(|| format!("reading JSON of {command}"))?;
    // As it is shown for messages: each word in quotes.
    let words = command.split_whitespace().map(|word| word.trim_matches('"'));
    documented::check(words, &value).map_err(|why| Failure::new(format!("{command}\n  {why}")))?;
    Ok(value)
}

/// The outcome failed with this code, and says each of these words on standard error.
#[track_caller]
pub(crate) fn says(outcome: Outcome, code: i32, words: &[&str]) -> Result<Outcome> {
    let outcome = outcome.expect_code(code)?;
    let missing: Vec<_> = words.iter().filter(|word| !outcome.stderr.contains(**word)).collect();
    if missing.is_empty() {
        return Ok(outcome);
    }
    Err(Failure::new(format!("{}\n  does not say {missing:?}: {}", outcome.command, outcome.stderr)))
}
