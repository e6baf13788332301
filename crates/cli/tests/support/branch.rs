//! Successors of one site's server, each on a host of its own with a key of its own, that take themselves for the primary.

use std::path::{Path, PathBuf};

use super::{RECOVERY_LIMIT, Site, recovered};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Outcome, Result, Server, oracles, run_seawall};

/// A server of its own host: its settings and its key.
pub(crate) struct Branch {
    pub(crate) server: Server,
    pub(crate) settings: PathBuf,
    /// Its archive_command.
    archiving: String,
}

/// Rows of one of the branches, or of what was before them.
pub(crate) fn add_rows(server: &Server, branch: &str, count: u32) -> Result<()> {
    let rows = format!("SELECT '{branch}', n, repeat(md5(n::text), 8) FROM generate_series(1, {count}) n");
    server.execute(&format!("INSERT INTO kept {rows}"))
}

/// How many rows of each branch there are; each must be whole, also as indexes find them.
pub(crate) fn rows(server: &Server) -> Result<String> {
    let told = "SELECT string_agg(branch || ' ' || count, ', ' ORDER BY branch) FROM (SELECT branch, count(*) \
                FROM kept WHERE body = repeat(md5(n::text), 8) GROUP BY branch) told";
    oracles::amcheck(server)?;
    server.value(told)
}

impl Branch {
    /// A successor restored to the fork, on a host of its own. It archives nothing yet.
    pub(crate) fn restored(site: &Site, name: &str) -> Result<Self> {
        let directory = site.new_directory();
        site.restore(&directory, &["--restore-point", "fork", "--successor"])?.expect_code(0)?;
        let auto = directory.join("postgresql.auto.conf");
        write_file(&auto, std::fs::read_to_string(&auto)? + "archive_command = 'false'\n", 0o600)?;
        let key = site.home().path().join(format!("{name}.key"));
        let mut line = vec!["key".into(), "add-writer".into(), "--label".into(), name.into()];
        line.extend(["--output".into(), key.clone().into_os_string()]);
        line.extend(["--identity".into(), site.identity("first").into_os_string()]);
        site.seawall::<std::ffi::OsString>(line)?.expect_code(0)?;
        let server = recovered(Server::existing(site.server.major(), &directory)?)?;
        Self::with(site, name, server, &key)
    }

    fn with(site: &Site, name: &str, server: Server, key: &Path) -> Result<Self> {
        let settings = site.home().path().join(format!("{name}.toml"));
        let of = |server: &Server| {
            [server.data_directory(), &server.socket_directory()].map(|path| path.display().to_string())
        };
        let text = of(&site.server)
            .into_iter()
            .zip(of(&server))
            .fold(site.settings_text(), |text, (from, to)| text.replace(&from, &to));
        let own = site.home().path().join("writer.key").display().to_string();
        write_file(&settings, text.replace(&own, &key.display().to_string()), 0o600)?;
        let program = seawall_testkit::bins::seawall_path()?;
        let archiving = format!("{} -c {} wal push %p", program.display(), settings.display());
        Ok(Self { server, settings, archiving })
    }

    pub(crate) fn backup(&self, more: &[&str]) -> Result<Outcome> {
        let line = ["-c".as_ref(), self.settings.as_os_str(), "backup".as_ref(), "--json".as_ref()];
        run_seawall(line.into_iter().chain(more.iter().map(AsRef::as_ref)))
    }

    /// Archives from now on, everything that waits first.
    pub(crate) fn archives(&self) -> Result<()> {
        self.server.set("archive_command", &self.archiving)
    }

    /// Ends the segment; its name.
    pub(crate) fn switch(&self) -> Result<String> {
        let name = self.server.value("SELECT pg_walfile_name(pg_current_wal_lsn() - 1)")?;
        self.server.execute("SELECT pg_switch_wal()")?;
        Ok(name)
    }

    /// Waits until a segment is archived.
    pub(crate) fn has_archived(&mut self, name: &str) -> Result<()> {
        let told = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver";
        self.server
            .wait_for("archiving", RECOVERY_LIMIT, |server| Ok(server.value(told)?.get(..24) >= Some(name)))
    }
}
