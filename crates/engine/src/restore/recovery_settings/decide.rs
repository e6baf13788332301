//! The value of each setting that a restore decides.
//!
//! Promises: every setting in the version's list of recovery settings is either decided here or stands in [`LEFT_ALONE`] with a
//! reason (a test holds that).

use seawall_pg::version::ArchiveLibrary;

use super::{Purpose, RecoveryRequest, RecoverySettingsError, TargetAction, restore_command};
use crate::restore::conf_text::FoundSetting;
use crate::restore::plan::StopAt;

/// Recovery settings that a restore has nothing to say about: reading ahead in WAL changes speed and nothing else.
pub(super) const LEFT_ALONE: [&str; 1] = ["recovery_prefetch"];

/// A setting that a restore decides on.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    pub(super) name: String,
    pub(super) value: String,
    /// Why, for whoever had set it otherwise.
    pub(super) why: &'static str,
}

impl Decided {
    fn new(name: impl Into<String>, value: impl Into<String>, why: &'static str) -> Self {
        Self { name: name.into(), value: value.into(), why }
    }
}

type Values = Vec<Decided>;

/// Everything that is set, in the order in which it is written.
pub(super) fn decide(
    request: &RecoveryRequest<'_>,
    found: &[FoundSetting],
) -> Result<Values, RecoverySettingsError> {
    let mut values = Values::new();
    for name in request.version.facts().recovery_settings {
        if let Some(value) = recovery_value(request, name)? {
            values.push(Decided::new(*name, value, why(request, name)));
        }
    }
    values.extend(archiving(request));
    let alone = "commits would wait for standbys that this cluster does not have";
    values.push(Decided::new("synchronous_standby_names", "", alone));
    values.extend(minimums(request, found));
    if request.has_in_place_tablespaces {
        let in_place = "the cluster has tablespaces inside its data directory";
        values.push(Decided::new("allow_in_place_tablespaces", "on", in_place));
    }
    let elsewhere = "the file stands elsewhere here";
    let of_host = request.host_settings.iter();
    values.extend(of_host.map(|(name, value)| Decided::new(name, value, elsewhere)));
    // The server takes even an empty target behind the real one for a second target and refuses to start
    // (`assign_recovery_target_*` in xlogrecovery.c), so the real one is the last of all lines.
    values.sort_by_key(|decided| is_target(&decided.name) && !decided.value.is_empty());
    Ok(values)
}

fn is_target(name: &str) -> bool {
    const TARGETS: [&str; 5] = [
        "recovery_target",
        "recovery_target_lsn",
        "recovery_target_name",
        "recovery_target_time",
        "recovery_target_xid",
    ];
    TARGETS.contains(&name)
}

/// The value of one recovery setting; none where the inherited one stays.
fn recovery_value(
    request: &RecoveryRequest<'_>,
    name: &str,
) -> Result<Option<String>, RecoverySettingsError> {
    let is_standby = matches!(request.purpose, Purpose::Standby { .. });
    let text = |text: &str| Ok(Some(text.to_owned()));
    match name {
        "restore_command" => restore_command(&request.program).map(Some),
        // They run what somebody wrote for the old server, on files that are the old server's.
        "archive_cleanup_command" | "recovery_end_command" if request.keep_commands => Ok(None),
        "archive_cleanup_command" | "recovery_end_command" => text(""),
        "primary_conninfo" => match &request.purpose {
            Purpose::Standby { primary_conninfo: Some(conninfo) } => text(conninfo),
            _ => text(""),
        },
        // A slot belongs to one standby, and this is another; a trigger file of the old life would promote at once.
        "primary_slot_name" | "promote_trigger_file" => text(""),
        // Pausing at the target needs it, and so does whoever wants to look.
        "hot_standby" => text("on"),
        "hot_standby_feedback" | "sync_replication_slots" if !is_standby => text("off"),
        "hot_standby_feedback" | "sync_replication_slots" => Ok(None),
        // A delayed standby's delay makes a restore look as if it hung.
        "recovery_min_apply_delay" => text("0"),
        _ => Ok(target_value(request, name)),
    }
}

/// Why a recovery setting is not left as it was.
fn why(request: &RecoveryRequest<'_>, name: &str) -> &'static str {
    let is_standby = matches!(request.purpose, Purpose::Standby { .. });
    match name {
        "restore_command" => "WAL comes from the repository, checked",
        "archive_cleanup_command" | "recovery_end_command" => "it was written for the old server's files",
        "primary_conninfo" if is_standby => "this standby follows the primary it was made for",
        "primary_conninfo" => "a recovered cluster follows no other server",
        "primary_slot_name" => "a slot belongs to one standby, and this is another",
        "promote_trigger_file" => "the old server's file would end recovery at once",
        "hot_standby" => "the server must be readable when it waits at its target",
        "hot_standby_feedback" | "sync_replication_slots" => "a recovered cluster is no standby",
        "recovery_min_apply_delay" => "a delay would look like a recovery that hangs",
        _ if is_standby => "a standby has no recovery target",
        _ => "only the target of this restore counts",
    }
}

/// The settings that name the target. All are set, because two with a value are an error of the server.
fn target_value(request: &RecoveryRequest<'_>, name: &str) -> Option<String> {
    if LEFT_ALONE.contains(&name) {
        return None;
    }
    let Purpose::Recover { stop_at, action } = &request.purpose else {
        let value = match name {
            "recovery_target_timeline" => "latest",
            "recovery_target_inclusive" => "on",
            "recovery_target_action" => "pause",
            _ => "",
        };
        return Some(value.to_owned());
    };
    let (target, value, is_inclusive) = spelled(stop_at);
    let value = match name {
        "recovery_target_timeline" => request.timeline.to_string(),
        "recovery_target_inclusive" => if is_inclusive { "on" } else { "off" }.to_owned(),
        "recovery_target_action" => match action {
            TargetAction::Pause => "pause",
            TargetAction::Promote => "promote",
            TargetAction::Shutdown => "shutdown",
        }
        .to_owned(),
        _ if name == target => value,
        _ => String::new(),
    };
    Some(value)
}

fn spelled(stop_at: &StopAt) -> (&'static str, String, bool) {
    match stop_at {
        StopAt::Immediate => ("recovery_target", "immediate".to_owned(), true),
        // With a numeric zone, so that no setting of the server changes what it means.
        StopAt::Time { time, inclusive } => {
            let text = time.to_string().replace('T', " ").replace('Z', "+00");
            ("recovery_target_time", text, *inclusive)
        }
        StopAt::Lsn { lsn, inclusive } => ("recovery_target_lsn", lsn.to_string(), *inclusive),
        StopAt::Xid { xid, inclusive } => ("recovery_target_xid", xid.to_string(), *inclusive),
        StopAt::Name { name } => ("recovery_target_name", name.clone(), true),
    }
}

/// A clone that archives into the original's lineage is taken for a failover; only a successor does.
fn archiving(request: &RecoveryRequest<'_>) -> Values {
    let mut values = Values::new();
    if request.is_successor {
        return values;
    }
    let clone = "a copy that archives would be taken for the original; --successor makes it its successor";
    values.push(Decided::new("archive_mode", "off", clone));
    if request.keep_commands {
        return values;
    }
    values.push(Decided::new("archive_command", "", clone));
    if request.version.facts().archive_library != ArchiveLibrary::Absent {
        values.push(Decided::new("archive_library", "", clone));
    }
    values
}

/// What must be at least as large. A larger inherited value wins, so nothing becomes smaller.
fn minimums(request: &RecoveryRequest<'_>, found: &[FoundSetting]) -> Values {
    let inherited = |name: &str| {
        let last = found.iter().rev().find(|found| found.name == name);
        last.and_then(|found| found.value.parse::<i64>().ok())
    };
    let values = request.minimums.iter().map(|(name, minimum)| {
        let value = inherited(name).map_or(*minimum, |inherited| inherited.max(*minimum));
        Decided::new(name, value.to_string(), "recovery needs at least what the original ran with")
    });
    values.collect()
}
