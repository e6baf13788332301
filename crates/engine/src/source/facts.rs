//! Everything that a backup must know of the server, and a restore must be told, asked as the least-privileged role.
//!
//! Promises: what cannot be asked (a database without CONNECT) is listed as not asked, with the reason; every list is
//! bounded and says how much there is in all. Deliberately no judgement: `check` and the backup's plan judge.

use std::collections::BTreeMap;
use std::path::PathBuf;

use seawall_pg::control::ControlMinimums;
use seawall_pg::{ServerVersion, SystemIdentifier, Timeline, WalLevel, WalSegmentSize};
use serde::{Deserialize, Serialize};

use super::connect::{ConnectOptions, Connection, QueryError};
use crate::error::Error;

mod cluster;
mod databases;
mod managed;
mod settings;

pub use databases::{
    CollationVersion, Contents, Database, DatabaseContents, Extension, RowEstimate, UnloggedTables,
};
pub use managed::{ManagedService, Signs};
pub use settings::{Archiving, ConfigurationFiles};

/// What the server says about itself and its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Version with minor release.
    pub server: ServerVersion,
    /// What `version()` says: build, compiler, distribution.
    pub version_text: String,
    /// Which cluster this is.
    pub system_identifier: SystemIdentifier,
    /// The timeline that is written (on a standby: replayed).
    pub timeline: Timeline,
    /// Whether it is a standby, or recovers.
    pub in_recovery: bool,
    /// When the postmaster started, as the server prints it; differs after a restart.
    pub postmaster_start: String,
    /// Where its files are.
    pub files: ConfigurationFiles,
    /// The size of WAL segments.
    pub wal_segment_size: WalSegmentSize,
    /// The size of pages, in bytes.
    pub block_bytes: u32,
    /// Whether pages carry checksums, as the setting says (`on`, `off`, or in between).
    pub data_checksums: String,
    /// How WAL is archived.
    pub archiving: Archiving,
    /// How much goes to WAL.
    pub wal_level: WalLevel,
    /// Whether a page's first change after a checkpoint is logged whole.
    pub full_page_writes: bool,
    /// Settings that a server recovering from the backup must have at least as large.
    pub minimums: ControlMinimums,
    /// Libraries the server loads when it starts; without them a restored server does not start.
    pub preload_libraries: Vec<String>,
    /// Further settings, by name, for the record.
    pub settings: BTreeMap<String, String>,
    /// Tablespaces besides the two built-in ones.
    pub tablespaces: Vec<Tablespace>,
    /// All databases, also those nobody may connect to.
    pub databases: Vec<Database>,
    /// Replication slots: not part of a backup, gone after a restore.
    pub replication_slots: Vec<ReplicationSlot>,
    /// Subscriptions: they come back with a restore and would begin to pull.
    pub subscriptions: Vec<Subscription>,
    /// Prepared transactions: they come back with their locks.
    pub prepared_transactions: Vec<PreparedTransaction>,
    /// The managed service that this is, if it is one: its files are out of reach.
    pub managed_service: Option<ManagedService>,
}

/// A tablespace besides `pg_default` and `pg_global`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tablespace {
    /// Its OID: the name of its link in `pg_tblspc`.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Where it is: absolute, or `pg_tblspc/<oid>` where it is a directory in place.
    pub location: PathBuf,
    /// Whether it is a directory in `pg_tblspc` instead of a link.
    pub in_place: bool,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of pg_replication_slots")]
pub struct ReplicationSlot {
    pub name: String,
    pub kind: String,
    pub database: Option<String>,
    pub plugin: Option<String>,
    pub active: bool,
}

/// A subscription of logical replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of pg_subscription")]
pub struct Subscription {
    pub name: String,
    pub database: String,
    pub enabled: bool,
}

/// A transaction of two-phase commit that waits for its second phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of pg_prepared_xacts")]
pub struct PreparedTransaction {
    pub identifier: String,
    pub database: String,
    pub owner: String,
    pub prepared: String,
}

/// Which cluster the server has, and whether it is a standby.
pub(crate) async fn cluster_identity(
    connection: &Connection,
) -> Result<(SystemIdentifier, bool), QueryError> {
    let identity = cluster::identity(connection).await?;
    Ok((identity.system_identifier, identity.in_recovery))
}

/// The managed service that the server belongs to, if it does.
pub(crate) async fn managed_service(connection: &Connection) -> Result<Option<ManagedService>, QueryError> {
    Ok(ManagedService::recognise(&cluster::signs(connection).await?))
}

impl Facts {
    /// Asks for everything. Connects to each database in turn, so it takes some milliseconds for each.
    pub async fn gather(connection: &Connection, options: &ConnectOptions) -> Result<Self, QueryError> {
        let identity = cluster::identity(connection).await?;
        let settings = settings::Settings::read(connection).await?;
        Ok(Self {
            server: connection.server_version(),
            version_text: identity.version_text,
            system_identifier: identity.system_identifier,
            timeline: identity.timeline,
            in_recovery: identity.in_recovery,
            postmaster_start: identity.postmaster_start,
            files: settings.files()?,
            wal_segment_size: settings.wal_segment_size()?,
            block_bytes: settings.number("block_size")?,
            data_checksums: settings.text("data_checksums")?,
            archiving: settings.archiving()?,
            wal_level: settings.wal_level()?,
            full_page_writes: settings.text("full_page_writes")? == "on",
            minimums: settings.minimums()?,
            preload_libraries: settings.list("shared_preload_libraries"),
            settings: settings.for_the_record(),
            tablespaces: cluster::tablespaces(connection).await?,
            databases: databases::all(connection, options).await?,
            replication_slots: cluster::replication_slots(connection).await?,
            subscriptions: cluster::subscriptions(connection).await?,
            prepared_transactions: cluster::prepared_transactions(connection).await?,
            managed_service: ManagedService::recognise(&cluster::signs(connection).await?),
        })
    }

    /// Refuses a managed service, with what is possible there.
    pub fn refuse_managed_service(&self) -> Result<(), Error> {
        self.managed_service.map_or(Ok(()), |service| Err(service.refusal()))
    }
}
