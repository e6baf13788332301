//! PostgreSQL's side of setting up: the least-privileged role, and the settings that make the server archive its WAL.
//!
//! Promises: nothing is changed that the [`SetupPlan`] did not show; only what differs is changed, so a second run changes
//! nothing; a server of another data directory is refused before anything. Deliberately never restarts the server and never
//! edits `pg_hba.conf`: both are said instead, with what to type.

mod plan;
mod run;

pub use plan::{ArchivingWanted, Change, Current, Difference, SetupPlan, changes};
pub use run::{SetupReport, plan, run};

use crate::source::ConnectOptions;
use crate::words::SystemIdentifier;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct SetupOptions {
    /// As whom to connect: a superuser, in any database.
    pub administrator: ConnectOptions,
    /// The role that seawall connects as, and the database it does so in; none where the role is made by other means.
    pub role: Option<RoleWanted>,
    /// What the server shall archive with; none where its settings are left alone.
    pub archiving: Option<ArchivingWanted>,
    /// Whose data directory this host's settings name.
    pub system: SystemIdentifier,
    /// The system user that seawall runs as on this host: the owner of the data directory.
    pub system_user: String,
}

/// The role that backups, archiving and checks run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleWanted {
    /// Its name.
    pub name: String,
    /// The database it connects to: grants on functions hold in one only.
    pub database: String,
}
