//! What the server is told about its recovery: `postgresql.auto.conf` and the signal file.
//!
//! Promises: `postgresql.auto.conf` is read last, so what stands in it wins over every inherited file; each recovery setting of
//! the server's version is decided here, so none of another life has force (a command, a primary, a slot, a delay, a target);
//! exactly one target is set; a clone does not archive unless it is the successor; settings that recovery needs at least as large
//! never become smaller. What was inherited is returned to be shown, secrets masked, and stays in the file as a comment.
//! Deliberately does not read or write files.

mod decide;

use std::path::PathBuf;

use seawall_pg::Version;
use seawall_pg::settings::SettingError;

use self::decide::Decided;
use super::conf_text::{self, FoundSetting};
use super::plan::StopAt;
use crate::archive::plan_file::PLAN_FILE_NAME;
use crate::secrets::masked;

/// What the server does when it has reached the target (`recovery_target_action`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetAction {
    /// Waits, readable, so that a person can look; `SELECT pg_wal_replay_resume()` opens it.
    #[default]
    Pause,
    /// Opens for writing on a new timeline.
    Promote,
    /// Stops; a later start goes on to the same target.
    Shutdown,
}

/// What the restored cluster shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// A cluster of its own, recovered to a target.
    Recover {
        /// Where the server stops.
        stop_at: StopAt,
        /// What it does then.
        action: TargetAction,
    },
    /// A standby, which follows its primary and the archive for ever.
    Standby {
        /// `primary_conninfo`; without one it follows the archive alone.
        primary_conninfo: Option<String>,
    },
}

/// Everything that decides about the settings.
#[derive(Debug, Clone)]
pub struct RecoveryRequest<'a> {
    /// The server's version.
    pub version: Version,
    /// What the cluster shall be.
    pub purpose: Purpose,
    /// The timeline to follow; a standby follows the latest.
    pub timeline: seawall_pg::Timeline,
    /// The program that serves recovery: `seawall` itself, by its absolute path.
    pub program: PathBuf,
    /// Whether the cluster takes the original's place, so that it archives into the original's lineage.
    pub is_successor: bool,
    /// Whether inherited archiving and clean-up commands stay in force.
    pub keep_commands: bool,
    /// Settings that must be at least this large (from `pg_control` and the manifest).
    pub minimums: &'a [(String, i64)],
    /// Whether there are tablespaces inside the data directory, which recovery refuses unless it is told.
    pub has_in_place_tablespaces: bool,
    /// Further settings for this host, unquoted, such as `hba_file`.
    pub host_settings: &'a [(String, String)],
}

/// A configuration file of the backup.
#[derive(Debug, Clone, Copy)]
pub struct ConfFile<'a> {
    /// Its name for messages.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

/// An inherited setting that has no force any more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Neutralised {
    /// What stood where.
    #[serde(flatten)]
    pub found: FoundSetting,
    /// The value that has force now.
    pub now: String,
    /// Why.
    pub why: &'static str,
}

impl Neutralised {
    /// As a line for a person.
    #[must_use]
    pub fn line(&self) -> String {
        let FoundSetting { file, line, name, value } = &self.found;
        format!("{name} = '{}' instead of '{value}' ({file}, line {line}): {}", self.now, self.why)
    }
}

/// What to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoverySettings {
    /// The content of `postgresql.auto.conf`.
    pub auto_conf: Vec<u8>,
    /// The empty file whose presence starts recovery.
    pub signal_file: &'static str,
    /// Inherited settings without force, to be shown.
    pub neutralised: Vec<Neutralised>,
    /// Commands in the inherited configuration that stay in force, to be shown.
    pub commands_in_force: Vec<FoundSetting>,
}

/// Why the settings cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum RecoverySettingsError {
    #[error("{name} cannot be written into a configuration file")]
    Unwritable { name: String, source: SettingError },
    #[error("the program's path {} is not UTF-8, so restore_command cannot name it", .program.display())]
    Program { program: PathBuf },
}

/// Signal files, both of which are removed before one is made.
pub const SIGNAL_FILES: [&str; 2] = ["recovery.signal", "standby.signal"];

const HEADING: &str = "set by seawall restore; each stays in force until ALTER SYSTEM RESET";

/// Rewrites `postgresql.auto.conf`. `inherited` are the other configuration files of the backup in the order in which the server
/// reads them.
pub fn recovery_settings(
    auto_conf: &[u8],
    inherited: &[ConfFile<'_>],
    request: &RecoveryRequest<'_>,
) -> Result<RecoverySettings, RecoverySettingsError> {
    let mut found: Vec<FoundSetting> = Vec::new();
    for file in inherited {
        found.extend(conf_text::settings_in(file.name, file.content));
    }
    found.extend(conf_text::settings_in("postgresql.auto.conf", auto_conf));
    let decided = decide::decide(request, &found)?;
    let mut written = Vec::new();
    for Decided { name, value, .. } in &decided {
        let quoted = seawall_pg::settings::quote_conf(value);
        let quoted =
            quoted.map_err(|source| RecoverySettingsError::Unwritable { name: name.clone(), source })?;
        written.push((name.clone(), quoted));
    }
    let decided_on = |name: &str| decided.iter().find(|decided| decided.name == name);
    let neutralised = found.iter().filter_map(|found| {
        let Decided { value, why, .. } = decided_on(&found.name)?;
        (*value != found.value).then(|| Neutralised { found: shown(found), now: masked(value), why })
    });
    let is_kept_command =
        |found: &&FoundSetting| is_command(&found.name) && decided_on(&found.name).is_none();
    Ok(RecoverySettings {
        auto_conf: conf_text::with_settings(auto_conf, HEADING, &written),
        signal_file: match request.purpose {
            Purpose::Recover { .. } => "recovery.signal",
            Purpose::Standby { .. } => "standby.signal",
        },
        neutralised: neutralised.collect(),
        commands_in_force: found.iter().filter(is_kept_command).map(shown).collect(),
    })
}

/// What is shown of an inherited setting: no secret in it.
fn shown(found: &FoundSetting) -> FoundSetting {
    FoundSetting { value: masked(&found.value), ..found.clone() }
}

/// Settings whose value the server runs or loads.
fn is_command(name: &str) -> bool {
    let libraries = [
        "shared_preload_libraries",
        "session_preload_libraries",
        "local_preload_libraries",
        "archive_library",
    ];
    name.ends_with("_command") || libraries.contains(&name)
}

/// `restore_command`: the program, quoted for the shell, with the plan file beside which it runs.
pub fn restore_command(program: &std::path::Path) -> Result<String, RecoverySettingsError> {
    let text =
        program.to_str().ok_or_else(|| RecoverySettingsError::Program { program: program.to_owned() })?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    let quoted = if text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    };
    // The server replaces %f and %p; a % of the path is written twice.
    Ok(format!("{} wal fetch --plan {PLAN_FILE_NAME} %f %p", quoted.replace('%', "%%")))
}

#[cfg(test)]
mod tests;
