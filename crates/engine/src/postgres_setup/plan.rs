//! What has to be changed, decided from values alone.
//!
//! A setting is compared with what the configuration files say, not with what is in force: a value that waits for a restart
//! is there already. `archive_mode = always` and any `archive_timeout` are the administrator's choice and stay.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::source::grants::AccessLines;

/// Seconds after which a segment is archived even if it is not full, where nobody chose.
const ARCHIVE_TIMEOUT_SECONDS: &str = "60";

/// What the server shows as `archive_command` while `archive_mode` is off (`guc_tables.c`).
pub(super) const DISABLED: &str = "(disabled)";

/// What the server shall archive with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivingWanted {
    /// The value of `archive_command`, as the server is to run it.
    pub command: String,
}

/// A setting as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// What is in force.
    pub in_force: String,
    /// What the configuration files say, where they say something: in force after a reload or restart.
    pub in_files: Option<String>,
    /// Whether it changes with a restart only.
    pub needs_restart: bool,
}

impl Current {
    fn coming(&self) -> &str {
        self.in_files.as_deref().unwrap_or(&self.in_force)
    }
}

/// What a setting that differs needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// `ALTER SYSTEM`.
    Set,
    /// The files say it already; the server has to be restarted or reloaded.
    InFiles,
}

/// A setting that is not as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name.
    pub name: &'static str,
    /// What is in force, secrets masked.
    pub from: String,
    /// What shall be.
    pub to: String,
    /// What is to be done.
    pub change: Change,
    /// Whether only a restart brings it into force; otherwise a reload does.
    pub needs_restart: bool,
}

/// What will be done to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetupPlan {
    /// The database in which the statements run.
    pub database: String,
    /// Statements that make the role and give it what it lacks; empty where nothing is missing or wanted.
    pub role: Vec<String>,
    /// Lines that let the role in; none where no role is wanted.
    pub access: Option<AccessLines>,
    /// Settings that differ; empty where none do or none are wanted.
    pub settings: Vec<Difference>,
}

impl SetupPlan {
    /// Whether nothing is left to change on the server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.role.is_empty() && self.settings.iter().all(|difference| difference.change != Change::Set)
    }

    /// Whether something waits for a restart, or will.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        self.settings.iter().any(|difference| difference.needs_restart)
    }
}

/// A setting's name, what it is set to, and which values suit as well.
type Rule<'a> = (&'static str, &'a str, &'a dyn Fn(&str) -> bool);

/// The settings that differ from what archiving needs. `current` is by name; a setting the server does not have (such as
/// `archive_library` before 15) is not in it.
#[must_use]
pub fn changes(current: &BTreeMap<String, Current>, wanted: &ArchivingWanted) -> Vec<Difference> {
    let is_set = |text: &str| text != "0";
    let rules: [Rule<'_>; 6] = [
        ("wal_level", "replica", &|now| now == "replica" || now == "logical"),
        ("archive_mode", "on", &|now| now == "on" || now == "always"),
        ("archive_library", "", &|now| now.is_empty()),
        ("archive_command", &wanted.command, &|now| now == wanted.command),
        ("archive_timeout", ARCHIVE_TIMEOUT_SECONDS, &is_set),
        ("full_page_writes", "on", &|now| now == "on"),
    ];
    let differs = |(name, to, suits): Rule<'_>| {
        let now = current.get(name)?;
        // While archive_mode is off the server shows the command as disabled; that setting's own difference tells it.
        if now.in_force == DISABLED && suits(now.coming()) {
            return None;
        }
        let change = match (suits(now.coming()), suits(&now.in_force)) {
            (true, true) => return None,
            (true, false) => Change::InFiles,
            (false, _) => Change::Set,
        };
        let to = if change == Change::InFiles { now.coming() } else { to };
        let (from, to) = (now.in_force.clone(), to.to_owned());
        Some(Difference {
            name,
            from: crate::secrets::masked(&from),
            to,
            change,
            needs_restart: now.needs_restart,
        })
    };
    rules.into_iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(pairs: &[(&str, &str, Option<&str>)]) -> BTreeMap<String, Current> {
        let restart = ["wal_level", "archive_mode"];
        let one = |(name, now, files): &(&str, &str, Option<&str>)| {
            let current = Current {
                in_force: (*now).to_owned(),
                in_files: files.map(str::to_owned),
                needs_restart: restart.contains(name),
            };
            ((*name).to_owned(), current)
        };
        pairs.iter().map(one).collect()
    }

    fn wanted() -> ArchivingWanted {
        ArchivingWanted { command: "/usr/bin/seawall wal push %p".to_owned() }
    }

    #[test]
    fn a_fresh_server_differs_in_what_archiving_needs() {
        let current = server(&[
            ("wal_level", "replica", None),
            ("archive_mode", "off", None),
            ("archive_library", "", None),
            ("archive_command", "(disabled)", None),
            ("archive_timeout", "0", None),
            ("full_page_writes", "on", None),
        ]);
        let told: Vec<_> =
            changes(&current, &wanted()).into_iter().map(|d| (d.name, d.to, d.needs_restart)).collect();
        let set = |name, to: &str, restart| (name, to.to_owned(), restart);
        assert_eq!(
            told,
            [
                set("archive_mode", "on", true),
                set("archive_command", "/usr/bin/seawall wal push %p", false),
                set("archive_timeout", "60", false),
            ]
        );
    }

    #[test]
    fn what_waits_for_a_restart_is_not_set_again_and_not_forgotten() {
        let current =
            server(&[("archive_mode", "off", Some("on")), ("wal_level", "minimal", Some("logical"))]);
        let told: Vec<_> =
            changes(&current, &wanted()).into_iter().map(|d| (d.name, d.to, d.change)).collect();
        assert_eq!(
            told,
            [
                ("wal_level", "logical".to_owned(), Change::InFiles),
                ("archive_mode", "on".to_owned(), Change::InFiles)
            ]
        );
    }

    #[test]
    fn what_somebody_chose_and_suits_stays() {
        let current = server(&[
            ("wal_level", "logical", Some("logical")),
            ("archive_mode", "always", Some("always")),
            ("archive_timeout", "300", Some("5min")),
            ("archive_command", "/usr/bin/seawall wal push %p", None),
        ]);
        assert_eq!(changes(&current, &wanted()), []);
    }

    #[test]
    fn a_file_that_will_switch_archiving_off_is_a_difference() {
        let current = server(&[("archive_mode", "on", Some("off"))]);
        assert_eq!(changes(&current, &wanted())[0].change, Change::Set);
    }
}
