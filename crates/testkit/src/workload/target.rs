//! Points of recovery, as PostgreSQL understands them.

use postgres::types::PgLsn;

use super::Moment;

/// Where recovery shall end. `inclusive` is PostgreSQL's `recovery_target_inclusive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// At this instant.
    Time {
        /// The instant.
        at: Moment,
        /// Whether a commit of exactly this instant is kept.
        inclusive: bool,
    },
    /// At the first record that begins here or later.
    Lsn {
        /// The place.
        at: PgLsn,
        /// Whether that record is replayed.
        inclusive: bool,
    },
    /// At the end of this transaction.
    Xid {
        /// The transaction.
        xid: u32,
        /// Whether it is kept.
        inclusive: bool,
    },
    /// At this restore point.
    RestorePoint(String),
    /// As soon as the backup that ended here is consistent.
    Immediate {
        /// The LSN at which the backup stopped.
        backup_end: PgLsn,
    },
    /// At the end of WAL.
    Latest,
}

impl Target {
    /// The recovery settings that ask for it.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let (name, value, inclusive) = match self {
            Self::Time { at, inclusive } => ("recovery_target_time", at.to_string(), *inclusive),
            Self::Lsn { at, inclusive } => ("recovery_target_lsn", at.to_string(), *inclusive),
            Self::Xid { xid, inclusive } => ("recovery_target_xid", xid.to_string(), *inclusive),
            Self::RestorePoint(name) => ("recovery_target_name", name.clone(), true),
            Self::Immediate { .. } => ("recovery_target", "immediate".to_owned(), true),
            Self::Latest => return Vec::new(),
        };
        let inclusive = if inclusive { "on" } else { "off" };
        vec![(name, value), ("recovery_target_inclusive", inclusive.to_owned())]
    }

    /// The arguments of `seawall restore` that ask for it.
    pub fn arguments(&self) -> Vec<String> {
        let (option, value, inclusive) = match self {
            Self::Time { at, inclusive } => ("--at", at.to_string(), *inclusive),
            Self::Lsn { at, inclusive } => ("--lsn", at.to_string(), *inclusive),
            Self::Xid { xid, inclusive } => ("--xid", xid.to_string(), *inclusive),
            Self::RestorePoint(name) => ("--restore-point", name.clone(), true),
            Self::Immediate { .. } => return vec!["--immediate".to_owned()],
            Self::Latest => return vec!["--latest".to_owned()],
        };
        let mut arguments = vec![option.to_owned(), value];
        if !inclusive {
            arguments.push("--before".to_owned());
        }
        arguments
    }
}
