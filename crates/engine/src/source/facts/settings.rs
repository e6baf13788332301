//! The server's settings, as far as a backup or a restore needs them.
//!
//! Promise: a setting that the role may not see is an error that names it, because a path that is silently empty
//! would be a file that is silently not backed up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use seawall_pg::control::ControlMinimums;
use seawall_pg::{WalLevel, WalSegmentSize};
use serde::{Deserialize, Serialize};

use crate::source::connect::{Connection, QueryError};

const DOING: &str = "the list of settings";

/// Names beyond those with a field of their own that are recorded for whoever restores.
const RECORDED: [&str; 27] = [
    "allow_in_place_tablespaces",
    "autovacuum_max_workers",
    "cluster_name",
    "data_directory_mode",
    "default_text_search_config",
    "dynamic_library_path",
    "extension_control_path",
    "fsync",
    "huge_pages",
    "io_method",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "listen_addresses",
    "log_directory",
    "max_wal_size",
    "port",
    "restore_command",
    "segment_size",
    "server_encoding",
    "shared_buffers",
    "ssl",
    "summarize_wal",
    "synchronous_standby_names",
    "unix_socket_directories",
    "wal_compression",
];

/// Where the server's configuration is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationFiles {
    /// PGDATA.
    pub data_directory: PathBuf,
    /// `postgresql.conf`.
    pub config_file: PathBuf,
    /// `pg_hba.conf`.
    pub hba_file: PathBuf,
    /// `pg_ident.conf`.
    pub ident_file: PathBuf,
    /// The server's certificate, absolute, where TLS is on.
    pub ssl_cert_file: Option<PathBuf>,
    /// The authorities it trusts.
    pub ssl_ca_file: Option<PathBuf>,
    /// Revoked certificates.
    pub ssl_crl_file: Option<PathBuf>,
    /// Diffie-Hellman parameters.
    pub ssl_dh_params_file: Option<PathBuf>,
    /// The private key.
    pub ssl_key_file: Option<PathBuf>,
}

/// How finished WAL segments leave the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archiving {
    /// `off`, `on` or `always`.
    pub mode: String,
    /// The command; may be empty.
    pub command: String,
    /// The module; may be empty, and is absent before 15.
    pub library: Option<String>,
    /// Seconds after which a segment is finished even if not full; 0 for never.
    pub timeout_seconds: u32,
}

pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Settings that are hidden from the role are not among them.
    pub(super) async fn read(connection: &Connection) -> Result<Self, QueryError> {
        let sql = "SELECT name, setting FROM pg_settings WHERE setting IS NOT NULL";
        let answer = connection.ask(DOING, sql).await?;
        let pairs = answer.collect(|row| Ok((row.text("name")?, row.text("setting")?)))?;
        Ok(Self(pairs.into_iter().collect()))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<String, QueryError> {
        self.0.get(name).cloned().ok_or(QueryError::Unexpected { doing: DOING, column: name, found: None })
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, QueryError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| QueryError::Unexpected { doing: DOING, column: name, found: Some(text) })
    }

    /// A list such as `shared_preload_libraries`: comma-separated, names perhaps in double quotes.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let items = self.0.get(name).map(String::as_str).unwrap_or_default().split(',');
        let names = items.map(|item| item.trim().trim_matches('"').to_owned());
        names.filter(|item| !item.is_empty()).collect()
    }

    pub(super) fn files(&self) -> Result<ConfigurationFiles, QueryError> {
        let data_directory = PathBuf::from(self.text("data_directory")?);
        let path = |name| self.text(name).map(PathBuf::from);
        let has_tls = self.0.get("ssl").is_some_and(|value| value == "on");
        let tls = |name: &str| {
            let value = self.0.get(name).filter(|value| has_tls && !value.is_empty())?;
            Some(data_directory.join(value))
        };
        Ok(ConfigurationFiles {
            config_file: path("config_file")?,
            hba_file: path("hba_file")?,
            ident_file: path("ident_file")?,
            ssl_cert_file: tls("ssl_cert_file"),
            ssl_ca_file: tls("ssl_ca_file"),
            ssl_crl_file: tls("ssl_crl_file"),
            ssl_dh_params_file: tls("ssl_dh_params_file"),
            ssl_key_file: tls("ssl_key_file"),
            data_directory,
        })
    }

    pub(super) fn wal_segment_size(&self) -> Result<WalSegmentSize, QueryError> {
        let bytes: u32 = self.number("wal_segment_size")?;
        let found = Some(bytes.to_string());
        WalSegmentSize::new(bytes).map_err(|_| QueryError::Unexpected {
            doing: DOING,
            column: "wal_segment_size",
            found,
        })
    }

    pub(super) fn wal_level(&self) -> Result<WalLevel, QueryError> {
        match self.text("wal_level")?.as_str() {
            "minimal" => Ok(WalLevel::Minimal),
            "replica" => Ok(WalLevel::Replica),
            "logical" => Ok(WalLevel::Logical),
            other => Err(QueryError::Unexpected {
                doing: DOING,
                column: "wal_level",
                found: Some(other.to_owned()),
            }),
        }
    }

    pub(super) fn archiving(&self) -> Result<Archiving, QueryError> {
        Ok(Archiving {
            mode: self.text("archive_mode")?,
            command: self.text("archive_command")?,
            library: self.0.get("archive_library").cloned(),
            timeout_seconds: self.number("archive_timeout")?,
        })
    }

    pub(super) fn minimums(&self) -> Result<ControlMinimums, QueryError> {
        Ok(ControlMinimums {
            max_connections: self.number("max_connections")?,
            max_worker_processes: self.number("max_worker_processes")?,
            max_wal_senders: self.number("max_wal_senders")?,
            max_prepared_transactions: self.number("max_prepared_transactions")?,
            max_locks_per_transaction: self.number("max_locks_per_transaction")?,
        })
    }

    pub(super) fn for_the_record(mut self) -> BTreeMap<String, String> {
        self.0.retain(|name, _| RECORDED.contains(&name.as_str()));
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_lose_their_quotes_and_spaces() {
        let settings =
            Settings([("shared_preload_libraries".to_owned(), " a, \"b c\",,d".to_owned())].into());
        assert_eq!(settings.list("shared_preload_libraries"), ["a", "b c", "d"]);
        assert!(settings.list("other").is_empty());
    }

    #[test]
    fn a_setting_that_is_hidden_is_an_error_that_names_it() {
        let error = Settings(BTreeMap::new()).files().unwrap_err();
        assert!(matches!(error, QueryError::Unexpected { column: "data_directory", found: None, .. }));
    }
}
