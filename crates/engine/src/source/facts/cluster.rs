//! What belongs to the cluster as a whole and not to one database.

use std::path::PathBuf;

use seawall_pg::{SystemIdentifier, Timeline};

use super::{PreparedTransaction, ReplicationSlot, Signs, Subscription, Tablespace};
use crate::source::connect::{Connection, QueryError};

/// More than this of one kind is counted by the server but not listed; a server has at most hundreds.
const LISTED_MAX: u32 = 10_000;

pub(super) struct Identity {
    pub(super) version_text: String,
    pub(super) system_identifier: SystemIdentifier,
    pub(super) timeline: Timeline,
    pub(super) in_recovery: bool,
    pub(super) postmaster_start: String,
}

/// On a primary the timeline is that of the WAL being written (the control file learns of a promotion only at the
/// next checkpoint); on a standby the newest that the control file knows.
const IDENTITY: &str = "SELECT version() AS version, pg_is_in_recovery() AS in_recovery, \
     pg_postmaster_start_time() AS postmaster_start, system.system_identifier, \
     CASE WHEN pg_is_in_recovery() \
          THEN greatest(checkpoint.timeline_id, recovery.min_recovery_end_timeline)::text \
          ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint::text \
     END AS timeline \
     FROM pg_control_system() AS system, pg_control_checkpoint() AS checkpoint, pg_control_recovery() AS recovery";

pub(super) async fn identity(connection: &Connection) -> Result<Identity, QueryError> {
    let answer = connection.ask("the question which cluster this is", IDENTITY).await?;
    let row = answer.only()?;
    // The server keeps the identifier unsigned and shows it signed.
    let signed: i64 = row.parsed("system_identifier")?;
    let timeline: u32 = row.parsed("timeline")?;
    Ok(Identity {
        version_text: row.text("version")?,
        system_identifier: SystemIdentifier(signed.cast_unsigned()),
        timeline: Timeline::new(timeline)
            .ok_or_else(|| row.unexpected("timeline", Some(timeline.to_string())))?,
        in_recovery: row.flag("in_recovery")?,
        postmaster_start: row.text("postmaster_start")?,
    })
}

pub(super) async fn tablespaces(connection: &Connection) -> Result<Vec<Tablespace>, QueryError> {
    let sql = "SELECT oid, spcname, pg_tablespace_location(oid) AS location FROM pg_tablespace \
               WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid";
    let answer = connection.ask("the list of tablespaces", sql).await?;
    answer.collect(|row| {
        let location = PathBuf::from(row.text("location")?);
        Ok(Tablespace {
            oid: row.parsed("oid")?,
            name: row.text("spcname")?,
            in_place: location.is_relative(),
            location,
        })
    })
}

pub(super) async fn replication_slots(connection: &Connection) -> Result<Vec<ReplicationSlot>, QueryError> {
    let sql =
        "SELECT slot_name, slot_type, database, plugin, active FROM pg_replication_slots ORDER BY slot_name";
    let answer = connection.ask("the list of replication slots", sql).await?;
    answer.collect(|row| {
        Ok(ReplicationSlot {
            name: row.text("slot_name")?,
            kind: row.text("slot_type")?,
            database: row.optional_text("database")?,
            plugin: row.optional_text("plugin")?,
            active: row.flag("active")?,
        })
    })
}

/// The columns that everybody may read; the connection string, with its password, is not among them.
pub(super) async fn subscriptions(connection: &Connection) -> Result<Vec<Subscription>, QueryError> {
    let sql = "SELECT s.subname, d.datname, s.subenabled FROM pg_subscription AS s \
               JOIN pg_database AS d ON d.oid = s.subdbid ORDER BY d.datname, s.subname";
    let answer = connection.ask("the list of subscriptions", sql).await?;
    answer.collect(|row| {
        Ok(Subscription {
            name: row.text("subname")?,
            database: row.text("datname")?,
            enabled: row.flag("subenabled")?,
        })
    })
}

pub(super) async fn prepared_transactions(
    connection: &Connection,
) -> Result<Vec<PreparedTransaction>, QueryError> {
    let sql = format!(
        "SELECT gid, database, owner, prepared FROM pg_prepared_xacts ORDER BY prepared, gid LIMIT {LISTED_MAX}"
    );
    let answer = connection.ask("the list of prepared transactions", &sql).await?;
    answer.collect(|row| {
        Ok(PreparedTransaction {
            identifier: row.text("gid")?,
            database: row.text("database")?,
            owner: row.text("owner")?,
            prepared: row.text("prepared")?,
        })
    })
}

/// Names that only managed services have; a setting with a prefix is listed only where its module is loaded.
pub(super) async fn signs(connection: &Connection) -> Result<Signs, QueryError> {
    let names = |column: &'static str, sql: &'static str| async move {
        let answer = connection.ask("the question whether this is a managed service", sql).await?;
        answer.collect(|row| row.text(column))
    };
    Ok(Signs {
        roles: names(
            "name",
            "SELECT rolname AS name FROM pg_roles WHERE rolname ~ '^(rds|cloudsql|azure|alloydb|neon)'",
        )
        .await?,
        databases: names(
            "name",
            "SELECT datname AS name FROM pg_database WHERE datname ~ '^(rds|cloudsql|azure|alloydb|neon)'",
        )
        .await?,
        setting_prefixes: names(
            "name",
            "SELECT DISTINCT split_part(name, '.', 1) AS name FROM pg_settings WHERE name LIKE '%.%'",
        )
        .await?,
    })
}
