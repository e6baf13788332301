//! Marks: single records that a backup or a person should know of.

use seawall_pg::{Lsn, Timeline, WalLevel};
use serde::{Deserialize, Serialize};

use crate::time::Time;

/// A record that stands out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Where it begins.
    pub start: Lsn,
    /// What it says.
    #[serde(flatten)]
    pub what: MarkWhat,
}

/// What a record says that stands out. Names: `src/include/catalog/pg_control.h`, `dbcommands_xlog.h`, `tablespace.h`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum MarkWhat {
    /// A checkpoint ended.
    Checkpoint {
        /// Where recovery from it begins.
        redo: Lsn,
        /// Whether the server was shut down.
        shutdown: bool,
        /// When it began.
        time: Time,
    },
    /// A recovery ended: a timeline begins.
    EndOfRecovery {
        /// The new timeline.
        timeline: Timeline,
        /// The one before.
        previous: Timeline,
        /// When.
        time: Time,
    },
    /// The server's `wal_level`, wherever a record tells it. With `minimal` WAL does not tell of every change.
    WalLevel {
        /// The level.
        level: WalLevel,
    },
    /// `full_page_writes` was switched.
    FullPageWrites {
        /// Whether it is on now.
        on: bool,
    },
    /// A restore point.
    RestorePoint {
        /// Its name.
        name: String,
        /// When.
        time: Time,
    },
    /// A backup ended on this server.
    BackupEnded {
        /// Where it began.
        began: Lsn,
    },
    /// A database was made.
    DatabaseCreated {
        /// Its OID.
        database: u32,
        /// Its tablespace.
        tablespace: u32,
    },
    /// A database was dropped.
    DatabaseDropped {
        /// Its OID.
        database: u32,
        /// The tablespaces it was in.
        tablespaces: Vec<u32>,
    },
    /// A tablespace was made.
    TablespaceCreated {
        /// Its OID.
        tablespace: u32,
    },
    /// A tablespace was dropped.
    TablespaceDropped {
        /// Its OID.
        tablespace: u32,
    },
}
