//! What a backup would do, without doing it: `--dry-run`.
//!
//! Asks the server and the repository, walks the data directory, writes nothing anywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_pg::copy_rules::CopyRule;
use serde::Serialize;

use super::plan::ChosenWay;
use super::prepare::{prepare, refuse_unfit};
use super::run::BackupOptions;
use crate::error::Result;
use crate::monitor::{Finding, Monitor, Recorder};
use crate::repository::Repository;
use crate::source::external::find_external;
use crate::source::{ConnectOptions, Connection, Facts, Walk};

/// What would be done.
#[derive(Debug, Clone, Serialize)]
pub struct BackupPreview {
    /// How pages would be found, on which parent, and why.
    #[serde(flatten)]
    pub way: ChosenWay,
    /// Decisions over the paths of the data directory.
    pub decisions: Vec<DecisionCount>,
    /// Files outside the data directory that belong to the backup.
    pub external: Vec<String>,
    /// Private keys that would be left out.
    pub left_out: Vec<PathBuf>,
    /// What would be found.
    pub findings: Vec<Finding>,
}

/// How many paths met one decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionCount {
    /// The decision and, where something is left out, why.
    pub decision: String,
    /// Paths.
    pub paths: u64,
    /// Bytes of files among them.
    pub bytes: u64,
}

/// Looks at everything a backup would look at.
///
/// # Errors
/// Whatever would keep the backup from starting.
pub async fn preview(
    repository: &Repository,
    connect: &ConnectOptions,
    data_directory: &Path,
    options: &BackupOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<BackupPreview> {
    let recorder = Arc::new(Recorder::new(monitor));
    let monitor: Arc<dyn Monitor> = Arc::clone(&recorder) as _;
    let connection = Connection::open(connect).await?;
    let facts = Facts::gather(&connection, connect).await?;
    refuse_unfit(&facts)?;
    let set = repository.regions().set();
    let mut prepared = prepare(repository, &set, &facts, data_directory, options, &monitor).await?;
    // A backup begins with a checkpoint of its own; the last one is nearly where that will be.
    let start = prepared.control.file.checkpoint.redo;
    prepared.changed_from(repository, start, data_directory, facts.in_recovery, options).await?;
    let external = find_external(&facts.files, options.include_private_keys)?;
    external.findings.iter().for_each(|finding| monitor.finding(finding));
    let mut counts: BTreeMap<String, DecisionCount> = BTreeMap::new();
    for entry in Walk::new(data_directory, facts.server.version)? {
        let entry = entry?;
        if let Some(finding) = entry.finding() {
            monitor.finding(&finding);
        }
        let decision = decision(&entry.rule);
        let count = counts.entry(decision.clone()).or_insert(DecisionCount { decision, paths: 0, bytes: 0 });
        count.paths += 1;
        count.bytes = count.bytes.saturating_add(entry.size_bytes);
    }
    repository.take_findings().iter().for_each(|finding| monitor.finding(finding));
    Ok(BackupPreview {
        way: prepared.way,
        decisions: counts.into_values().collect(),
        external: external.files.iter().map(|file| crate::text::shown_bytes(&file.path)).collect(),
        left_out: external.left_out,
        findings: recorder.recorded().findings,
    })
}

fn decision(rule: &CopyRule) -> String {
    match rule {
        CopyRule::Copy => "copy".to_owned(),
        CopyRule::CopyLast => "copy last".to_owned(),
        CopyRule::EmptyDirectory(_) => "make as an empty directory".to_owned(),
        CopyRule::Tablespace { in_place: true, .. } => "copy as a tablespace in place".to_owned(),
        CopyRule::Tablespace { in_place: false, .. } => "copy as a tablespace".to_owned(),
        CopyRule::Follow => "copy what the link leads to".to_owned(),
        CopyRule::Skip(reason) => format!("leave out: {}", words(*reason)),
    }
}

/// The reason as it is named in JSON, in words.
fn words(reason: seawall_pg::SkipReason) -> String {
    serde_json::to_value(reason)
        .ok()
        .and_then(|value| value.as_str().map(|text| text.replace('-', " ")))
        .unwrap_or_default()
}
