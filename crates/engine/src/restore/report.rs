//! What a restore did, and what is left for a person to do.
//!
//! Promises: serialisable, and the one truth behind text and JSON. Deliberately renders nothing.

use std::path::PathBuf;

use seawall_repo::id::BackupId;
use seawall_repo::manifest::Manifest;

use super::collations::CollationCheck;
use super::conf_text::FoundSetting;
use super::own_files::Written;
use super::plan::{RecoveryPlan, StopAt};
use super::recovery_settings::Neutralised;
use super::run::{Become, Prepared, RestoreOptions};
use super::transfer::Transferred;
use crate::backup::Requests;
use crate::monitor::Finding;
use crate::target::binaries::ServerBinaries;
use crate::target::tablespaces::PlacedTablespace;

/// What a restore did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RestoreReport {
    /// The data directory.
    pub data_directory: PathBuf,
    /// The backup.
    pub backup: BackupId,
    /// The way to the target.
    pub plan: RecoveryPlan,
    /// Where the server stops; none for a standby.
    pub stop_at: Option<StopAt>,
    /// Files and bytes.
    pub transferred: Transferred,
    /// Segments taken from an old data directory.
    pub salvaged_segments: u64,
    /// Those of a successor that no region holds, by name: without them nobody can follow its new timeline.
    pub not_archived: Vec<String>,
    /// Seconds until all pages were written.
    pub seconds_transfer: f64,
    /// Seconds until everything was on disk.
    pub seconds_sync: f64,
    /// Calls and bytes, by region: who served what.
    pub requests: Vec<Requests>,
    /// Inherited settings without force, and what has force instead.
    pub neutralised: Vec<Neutralised>,
    /// Inherited commands and libraries that stay in force.
    pub commands_in_force: Vec<FoundSetting>,
    /// What must be known about the configuration.
    pub remarks: Vec<String>,
    /// Whether text is sorted here as it was there.
    pub collations: Vec<CollationCheck>,
    /// What is lost or to be done.
    pub afterwards: Vec<Afterwards>,
    /// What was found wrong while another copy served.
    pub findings: Vec<Finding>,
    /// The next command to type.
    pub next: String,
}

/// What a restore would do.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RestorePreview {
    /// The data directory.
    pub data_directory: PathBuf,
    /// The way to the target.
    pub plan: RecoveryPlan,
    /// Where the server stops; none for a standby.
    pub stop_at: Option<StopAt>,
    /// Bytes of files to be written.
    pub bytes: u64,
    /// Where tablespaces go.
    pub tablespaces: Vec<PlacedTablespace>,
    /// The server's programs.
    pub binaries: Option<ServerBinaries>,
    /// Whether text is sorted here as it was there.
    pub collations: Vec<CollationCheck>,
    /// What is lost or to be done.
    pub afterwards: Vec<Afterwards>,
    /// What was found wrong and did not keep it from being possible.
    pub findings: Vec<Finding>,
}

/// One thing that is lost or to be done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Afterwards {
    /// What kind of thing: stable.
    pub what: &'static str,
    /// Which: names, at most a hundred.
    pub which: Vec<String>,
    /// How many in all.
    pub count: usize,
    /// What to do, a sentence.
    pub advice: String,
}

/// Names shown of each kind.
const NAMES_MAX: usize = 100;

pub(super) fn report(
    prepared: &Prepared,
    options: &RestoreOptions,
    transferred: Transferred,
    written: Written,
) -> RestoreReport {
    let plan = &prepared.plan;
    let mut remarks = plan.remarks.clone();
    remarks.extend(written.remarks);
    RestoreReport {
        data_directory: options.data_directory.clone(),
        backup: plan.backup.id,
        plan: plan.clone(),
        stop_at: prepared.stop_at.clone(),
        transferred,
        salvaged_segments: 0,
        not_archived: Vec::new(),
        seconds_transfer: 0.0,
        seconds_sync: 0.0,
        requests: Vec::new(),
        neutralised: written.neutralised,
        commands_in_force: written.commands_in_force,
        remarks,
        collations: prepared.collations.clone(),
        afterwards: afterwards(&prepared.manifest, &prepared.collations, options),
        findings: Vec::new(),
        next: next_command(prepared.binaries.as_ref(), options),
    }
}

fn next_command(binaries: Option<&ServerBinaries>, options: &RestoreOptions) -> String {
    let program = binaries.map_or_else(|| PathBuf::from("pg_ctl"), |found| found.directory.join("pg_ctl"));
    format!("{} -D {} start", quoted(&program), quoted(&options.data_directory))
}

fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// What is lost or to be done after the restore.
#[must_use]
pub fn afterwards(
    manifest: &Manifest,
    collations: &[CollationCheck],
    options: &RestoreOptions,
) -> Vec<Afterwards> {
    let body = &manifest.body;
    let mut list = vec![
        entry(
            "slots",
            body.slots.iter().map(|slot| slot.name.clone()),
            "Replication slots are not restored: make them anew, and their consumers with them.",
        ),
        entry(
            "subscriptions",
            body.subscriptions.iter().map(|one| format!("{}.{}", one.database, one.name)),
            "Subscriptions are restored and connect to their publishers when the server opens: disable them in a clone.",
        ),
        entry(
            "unlogged-tables",
            body.unlogged.iter().map(|one| format!("{}.{}", one.database, one.table)),
            "Unlogged tables are empty after a recovery: fill them again.",
        ),
        entry(
            "prepared-transactions",
            body.prepared.iter().map(|one| format!("{} in {}", one.gid, one.database)),
            "Prepared transactions come back and hold their locks: commit them or roll them back.",
        ),
        entry(
            "statistics",
            std::iter::once("all databases".to_owned()),
            "Activity counters start at zero after a recovery: run ANALYZE so that autovacuum has something to go by.",
        ),
    ];
    list.extend(collations.iter().filter_map(|check| {
        check.advice().map(|advice| entry("collations", check.databases.iter().cloned(), &advice))
    }));
    match options.becomes {
        Become::Standby(_) if options.is_successor => {}
        Become::Standby(_) => list.push(entry(
            "archiving-off",
            std::iter::once("archive_mode = off".to_owned()),
            "This standby will not archive after a promotion. If it may take its primary's place, restore with --successor.",
        )),
        Become::Recovered(_) if options.is_successor => list.push(entry(
            "first-backup",
            std::iter::once("a new timeline".to_owned()),
            "Take a backup once the server has opened: the new timeline's first one shortens every later recovery.",
        )),
        Become::Recovered(_) => list.push(entry(
            "archiving-off",
            std::iter::once("archive_mode = off".to_owned()),
            "This copy does not archive. To make it the original's successor, restore with --successor.",
        )),
    }
    list.retain(|entry| entry.count > 0);
    list
}

fn entry(what: &'static str, which: impl Iterator<Item = String>, advice: &str) -> Afterwards {
    let mut which: Vec<String> = which.collect();
    let count = which.len();
    which.truncate(NAMES_MAX);
    Afterwards { what, which, count, advice: advice.to_owned() }
}
