//! The files that a restore writes itself: label, settings, signal, plan, and configuration from outside the data directory.
//!
//! Promises: decided before `pg_control` is put into place and written with it; what was inherited and lost its force is returned to
//! be shown. Deliberately writes nothing; reads the configuration that was just restored.

use std::path::{Path, PathBuf};

use seawall_repo::time::Time;
use seawall_store::durable::read_whole;

use super::conf_text::FoundSetting;
use super::plan::StopAt;
use super::recovery_settings::{
    ConfFile, Neutralised, Purpose, RecoveryRequest, RecoverySettings, RecoverySettingsError, SIGNAL_FILES,
    TargetAction, recovery_settings,
};
use super::run::{Become, Prepared, RestoreOptions};
use super::transfer::local_error;
use crate::archive::plan_file::{
    PLAN_FILE_MODE, PLAN_FILE_NAME, PLAN_FILE_VERSION, PlanFile, PlannedRange, PlannedRepository,
    PlannedSpan, PlannedWay,
};
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::target::external::{self, ExternalFile, ExternalPlan, ExternalWrite, SourcePaths, There};
use crate::target::finish::OwnFile;
use crate::target::tree::TargetTree;

/// No configuration file is longer.
const CONF_BYTES_MAX: u64 = 16 << 20;

/// What is written, and what is to be told.
#[derive(Debug, Default)]
pub struct Written {
    /// Files in the data directory.
    pub files: Vec<OwnFile>,
    /// Files outside it, at places that were free.
    pub outside: Vec<ExternalWrite>,
    /// Inherited settings without force.
    pub neutralised: Vec<Neutralised>,
    /// Inherited commands that stay in force.
    pub commands_in_force: Vec<FoundSetting>,
    /// Sentences about the configuration.
    pub remarks: Vec<String>,
}

/// Decides on all of them.
pub(super) fn decide(
    repository: &Repository,
    prepared: &Prepared,
    options: &RestoreOptions,
    tree: &TargetTree,
    external: &[ExternalFile],
    made: Time,
) -> Result<Written> {
    let placed = place_external(prepared, options, external);
    let settings = settings(prepared, options, tree, external, &placed)?;
    let plan_file = plan_file(repository, prepared, options, made)?;
    let mut written = Written { remarks: placed.remarks, ..Written::default() };
    let own = |name: &str, content: Vec<u8>, mode| OwnFile { name: PathBuf::from(name), content, mode };
    let (outside, inside): (Vec<_>, Vec<_>) =
        placed.writes.into_iter().partition(|write| write.to.is_absolute());
    written.outside = outside;
    for write in inside {
        let parent = write.to.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            let made = tree.make_dir(&crate::target::names::Spot::Data(parent.to_owned()));
            made.map_err(super::transfer::tree_error)?;
        }
        written.files.push(OwnFile { name: write.to, content: write.content, mode: write.mode });
    }
    written.files.push(own("backup_label", label(prepared)?, 0o600));
    written.files.push(own("postgresql.auto.conf", settings.auto_conf, 0o600));
    written.files.push(own(PLAN_FILE_NAME, plan_file, PLAN_FILE_MODE));
    written.files.push(own(settings.signal_file, Vec::new(), 0o600));
    debug_assert!(SIGNAL_FILES.contains(&settings.signal_file));
    written.neutralised = settings.neutralised;
    written.commands_in_force = settings.commands_in_force;
    Ok(written)
}

/// The label byte for byte, once it is seen to be one that a server takes and that belongs to this backup.
fn label(prepared: &Prepared) -> Result<Vec<u8>> {
    let text = prepared.manifest.body.label.as_bytes();
    let refused = |why: String| {
        Error::data("restore.label-wrong", "the backup's label cannot be used").fact("reason", why)
    };
    let label =
        seawall_pg::backup_label::BackupLabel::parse(text).map_err(|error| refused(error.to_string()))?;
    if label.start != prepared.manifest.header.start {
        return Err(refused(format!(
            "it begins at {}, the backup at {}",
            label.start, prepared.manifest.header.start
        )));
    }
    Ok(text.to_vec())
}

fn place_external(prepared: &Prepared, options: &RestoreOptions, files: &[ExternalFile]) -> ExternalPlan {
    let server = &prepared.manifest.body.server;
    let source = SourcePaths {
        data_directory: PathBuf::from(&server.data_directory),
        config_file: PathBuf::from(&server.config_file),
        hba_file: PathBuf::from(&server.hba_file),
        ident_file: PathBuf::from(&server.ident_file),
    };
    external::plan(files, &source, &options.data_directory, |file| {
        match read_whole(&file.path, CONF_BYTES_MAX) {
            Ok(content) if content == file.content => There::Same,
            Err(error) if error.is_not_found() => There::Nothing,
            // What cannot be read is there, and is not ours to change.
            Ok(_) | Err(_) => There::Other,
        }
    })
}

fn settings(
    prepared: &Prepared,
    options: &RestoreOptions,
    tree: &TargetTree,
    external: &[ExternalFile],
    placed: &ExternalPlan,
) -> Result<RecoverySettings> {
    let main = read_if_there(tree, "postgresql.conf")?;
    let auto = read_if_there(tree, "postgresql.auto.conf")?;
    let names: Vec<String> = external.iter().map(|file| file.path.display().to_string()).collect();
    let mut inherited = vec![ConfFile { name: "postgresql.conf", content: &main }];
    for (file, name) in external.iter().zip(&names) {
        if Path::new(name).extension().is_some_and(|end| end == "conf") {
            inherited.push(ConfFile { name, content: &file.content });
        }
    }
    let minimums: Vec<(String, i64)> = prepared
        .control
        .minimums
        .settings()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    let request = RecoveryRequest {
        version: prepared.plan.backup.version,
        purpose: purpose(prepared.stop_at.as_ref(), &options.becomes)?,
        timeline: prepared.plan.timeline,
        program: options.program.clone(),
        is_successor: options.is_successor,
        keep_commands: options.keep_commands,
        minimums: &minimums,
        has_in_place_tablespaces: prepared.tablespaces.iter().any(|placed| placed.directory.is_none()),
        host_settings: &placed.host_settings,
    };
    recovery_settings(&auto, &inherited, &request).map_err(|error| match &error {
        RecoverySettingsError::Unwritable { .. } | RecoverySettingsError::Program { .. } => {
            Error::usage("restore.setting-unwritable", error.to_string()).because(error)
        }
    })
}

fn purpose(stop_at: Option<&StopAt>, becomes: &Become) -> Result<Purpose> {
    match (becomes, stop_at) {
        (Become::Standby(primary_conninfo), _) => {
            Ok(Purpose::Standby { primary_conninfo: primary_conninfo.clone() })
        }
        (Become::Recovered(action), Some(stop_at)) => {
            let action: TargetAction = *action;
            Ok(Purpose::Recover { stop_at: stop_at.clone(), action })
        }
        (Become::Recovered(_), None) => {
            Err(Error::bug("restore.no-target", "a recovery was prepared without a target"))
        }
    }
}

fn read_if_there(tree: &TargetTree, name: &str) -> Result<Vec<u8>> {
    match tree.data().read_whole(name, CONF_BYTES_MAX) {
        Ok(content) => Ok(content),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(local_error(error)),
    }
}

fn plan_file(
    repository: &Repository,
    prepared: &Prepared,
    options: &RestoreOptions,
    made: Time,
) -> Result<Vec<u8>> {
    let plan = &prepared.plan;
    let range = |range: &super::plan::ServeRange| PlannedRange {
        timeline: range.timeline,
        first: range.first,
        last: range.last,
    };
    let way = PlannedWay {
        timeline: plan.timeline,
        path: plan
            .path
            .iter()
            .map(|span| PlannedSpan { timeline: span.timeline, begin: span.begin, end: span.end })
            .collect(),
        serve: plan.serve.iter().map(range).collect(),
        frontier: plan.frontier,
        partial: plan.partial,
        in_pg_wal: prepared.local.used_by(plan).iter().map(range).collect(),
    };
    let record = repository.record();
    let file = PlanFile {
        version: PLAN_FILE_VERSION,
        made,
        cluster: repository.cluster().clone(),
        system: prepared.place.system,
        postgresql: plan.backup.version,
        data_directory: options.data_directory.clone(),
        backup: plan.backup.id,
        segment_size: plan.segment_size,
        way: prepared.stop_at.as_ref().map(|_| way),
        repository: PlannedRepository {
            id: record.repository,
            owner: record.owner.to_string(),
            regions: options.regions.clone(),
            without_regions: options.without_regions.clone(),
            identity_files: options.key_files.identities.clone(),
            passphrase_files: options.key_files.passphrases.clone(),
            wait_seconds: Some(options.wait_for_region.as_secs()),
        },
    };
    file.encode().map_err(|error| Error::usage("restore.plan-file", error.to_string()).because(error))
}
