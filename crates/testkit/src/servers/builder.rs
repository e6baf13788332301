//! What a new server shall be like, and making it.
//!
//! Promise: two servers described alike are alike but for their place; options the major version does not know are an error
//! and not a silent default.

use super::{Server, layout};
use crate::binaries::ICU_PROVIDER_SINCE;
use crate::{Binaries, Failure, Result, Scratch, template};

/// Where a server's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Everything in PGDATA.
    #[default]
    Plain,
    /// As Debian does: configuration outside PGDATA with an `include_dir`, and, as many DBAs do there, WAL on another volume
    /// (`pg_wal` a symbolic link) and two tablespaces elsewhere (`ts1`, `ts2`).
    Debian,
}

/// The locale of a server's databases.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Locale {
    /// `C`.
    #[default]
    C,
    /// `C.UTF-8` of the C library.
    CUtf8,
    /// ICU as the provider (15 and later) with this locale, such as `en-US`. Needs a build with ICU.
    Icu(String),
}

/// The description of a server. Made by [`Server::builder`].
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    major: u16,
    data_checksums: bool,
    wal_segment_mebibytes: u32,
    locale: Locale,
    group_access: bool,
    fresh_identity: bool,
    pub(super) layout: Layout,
    pub(super) wal_elsewhere: bool,
    pub(super) tablespaces: Vec<String>,
    pub(super) settings: Vec<(String, String)>,
}

impl ServerBuilder {
    pub(super) fn new(major: u16) -> Self {
        let settings =
            TEST_SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self {
            major,
            data_checksums: true,
            wal_segment_mebibytes: 16,
            locale: Locale::C,
            group_access: false,
            fresh_identity: false,
            layout: Layout::Plain,
            wal_elsewhere: false,
            tablespaces: Vec::new(),
            settings,
        }
    }

    /// Page checksums, on unless said otherwise.
    pub fn data_checksums(mut self, on: bool) -> Self {
        self.data_checksums = on;
        self
    }

    /// Size of a WAL segment in MiB, 16 unless said otherwise.
    pub fn wal_segment_mebibytes(mut self, size: u32) -> Self {
        self.wal_segment_mebibytes = size;
        self
    }

    /// The locale.
    pub fn locale(mut self, locale: Locale) -> Self {
        self.locale = locale;
        self
    }

    /// Lets the group read the data directory (`initdb --allow-group-access`).
    pub fn group_access(mut self) -> Self {
        self.group_access = true;
        self
    }

    /// A system identifier that no other server has; costs a run of `initdb`.
    pub fn fresh_identity(mut self) -> Self {
        self.fresh_identity = true;
        self
    }

    /// Where the files are.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        if layout == Layout::Debian {
            self.wal_elsewhere = true;
            self.tablespaces.extend(["ts1".to_owned(), "ts2".to_owned()]);
        }
        self
    }

    /// `pg_wal` as a symbolic link to a directory elsewhere.
    pub fn wal_elsewhere(mut self) -> Self {
        self.wal_elsewhere = true;
        self
    }

    /// A tablespace of this name in a directory elsewhere, made at the first start.
    pub fn tablespace(mut self, name: &str) -> Self {
        self.tablespaces.push(name.to_owned());
        self
    }

    /// A parameter in the configuration file; the last value of a name wins.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Archiving on, with this command.
    pub fn archive_command(self, command: &str) -> Self {
        self.setting("archive_mode", "on").setting("archive_command", command)
    }

    /// Makes the files without starting the server. Tablespaces are made by [`Self::start`].
    ///
    /// # Errors
    /// No binaries, an option this major does not know, or `initdb` failed.
    pub fn build(self) -> Result<Server> {
        let binaries = self.binaries()?;
        let scratch = Scratch::new()?;
        let files = layout::place(&self, &scratch, self.major)?;
        template::make_data_directory(
            &binaries,
            &self.initdb_options()?,
            self.fresh_identity,
            &files.data_directory,
        )?;
        layout::arrange(&self, &files)?;
        Ok(Server::with_files(binaries, files, scratch))
    }

    /// Makes the files, starts the server, and makes the tablespaces.
    ///
    /// # Errors
    /// As [`Self::build`] and [`Server::start`].
    pub fn start(self) -> Result<Server> {
        let mut server = self.build()?;
        server.start()?;
        for (name, directory) in &server.files.tablespaces {
            let (name, directory) =
                (name.replace('"', "\"\""), directory.display().to_string().replace('\'', "''"));
            server.execute(&format!("CREATE TABLESPACE \"{name}\" LOCATION '{directory}'"))?;
        }
        Ok(server)
    }

    fn binaries(&self) -> Result<Binaries> {
        if !matches!(self.locale, Locale::Icu(_)) {
            return Binaries::find(self.major);
        }
        Binaries::find_with_icu(self.major)?.ok_or_else(|| {
            Failure::new(format!("no build of PostgreSQL {} with ICU on this machine", self.major))
        })
    }

    fn initdb_options(&self) -> Result<Vec<String>> {
        let mut options = vec![format!("--wal-segsize={}", self.wal_segment_mebibytes)];
        match (self.data_checksums, self.major >= 18) {
            (true, _) => options.push("--data-checksums".to_owned()),
            (false, true) => options.push("--no-data-checksums".to_owned()),
            (false, false) => {}
        }
        if self.group_access {
            options.push("--allow-group-access".to_owned());
        }
        match &self.locale {
            Locale::C => options.push("--locale=C".to_owned()),
            Locale::CUtf8 => options.push("--locale=C.UTF-8".to_owned()),
            Locale::Icu(_) if self.major < ICU_PROVIDER_SINCE => {
                return Err(Failure::new("a cluster's locale provider can be ICU from PostgreSQL 15 on"));
            }
            Locale::Icu(name) => options.extend([
                "--locale=C.UTF-8".to_owned(),
                "--locale-provider=icu".to_owned(),
                format!("--icu-locale={name}"),
            ]),
        }
        Ok(options)
    }
}

/// Small, quick, and with what the ledger needs. `fsync` is off: a killed process loses nothing the kernel has, and tests do
/// not pull plugs.
const TEST_SETTINGS: [(&str, &str); 12] = [
    ("shared_buffers", "32MB"),
    ("max_connections", "40"),
    ("max_prepared_transactions", "20"),
    ("wal_level", "replica"),
    ("max_wal_senders", "6"),
    ("track_commit_timestamp", "on"),
    ("fsync", "off"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %b %a "),
    ("cluster_name", "seawall-test"),
];
