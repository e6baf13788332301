//! Asks the server, and changes it as planned.
//!
//! Each statement is a step of its own: after an interruption the next run does what is missing. The reload comes last, so
//! that the server takes all settings at once; what is in force afterwards is asked, not assumed.

use std::collections::BTreeMap;
use std::time::Duration;

use seawall_store::World;
use serde::Serialize;

use super::plan::{Change, Current, DISABLED, Difference, SetupPlan, changes};
use super::{RoleWanted, SetupOptions};
use crate::error::{Error, Result};
use crate::source::connect::Connection;
use crate::source::facts::{cluster_identity, managed_service};
use crate::source::grants::{access_lines, identifier, lacking, role_sql};
use crate::source::rows::literal;

/// A reload reaches a session with its next command, once the postmaster has passed the signal on.
const RELOAD_PATIENCE: Duration = Duration::from_secs(5);
const RELOAD_POLL: Duration = Duration::from_millis(50);

/// What was done.
#[derive(Debug, Clone, Serialize)]
pub struct SetupReport {
    /// As planned, and done.
    #[serde(flatten)]
    pub plan: SetupPlan,
    /// Settings that were changed and that something stronger than `ALTER SYSTEM` keeps as they were.
    pub overridden: Vec<&'static str>,
}

/// Asks the server what is missing. Changes nothing.
///
/// # Errors
/// The server cannot be asked, is not that of the data directory, or is a standby that lacks the role.
pub async fn plan(options: &SetupOptions) -> Result<SetupPlan> {
    plan_over(&connect(options).await?, options).await
}

/// Does what [`plan`] showed.
///
/// # Errors
/// As [`plan`]; the server refuses a statement, and names it.
pub async fn run(plan: SetupPlan, options: &SetupOptions, world: &World) -> Result<SetupReport> {
    let connection = connect(options).await?;
    for statement in &plan.role {
        let done = connection.ask("a statement that makes the role", statement).await;
        done.map_err(|error| Error::from(error).fact("statement", statement))?;
    }
    let set: Vec<&Difference> =
        plan.settings.iter().filter(|difference| difference.change == Change::Set).collect();
    for difference in &set {
        let statement = format!("ALTER SYSTEM SET {} = {}", difference.name, literal(&difference.to));
        let done = connection.ask("a change of its settings", &statement).await;
        done.map_err(|error| Error::from(error).fact("statement", &statement))?;
    }
    let overridden = if set.is_empty() { Vec::new() } else { reload(&connection, &set, world).await? };
    Ok(SetupReport { plan, overridden })
}

async fn connect(options: &SetupOptions) -> Result<Connection> {
    let opened = match &options.role {
        Some(role) => Connection::open_database(&options.administrator, &role.database).await,
        None => Connection::open(&options.administrator).await,
    };
    Ok(opened?)
}

async fn plan_over(connection: &Connection, options: &SetupOptions) -> Result<SetupPlan> {
    let service = managed_service(connection).await?;
    if let Some(service) = service {
        return Err(service.refusal());
    }
    let (found, in_recovery) = cluster_identity(connection).await?;
    if found != options.system {
        return Err(Error::usage(
            "init.other-server",
            "the server that the administrator's connection reaches is not that of the data directory",
        )
        .fact("system identifier of the server", found)
        .fact("system identifier in the data directory", options.system)
        .hint("correct the host and port of --administrator, or data_directory in the settings"));
    }
    let role = match &options.role {
        Some(role) => role_statements(connection, role).await?,
        None => Vec::new(),
    };
    if in_recovery && !role.is_empty() {
        return Err(Error::source_side(
            "init.role-on-standby",
            "the server is a standby and lacks the role or its grants",
        )
        .hint("run init --administrator on the primary: the role comes to its standbys by itself"));
    }
    let settings = match &options.archiving {
        Some(wanted) => changes(&current(connection).await?, wanted),
        None => Vec::new(),
    };
    let access = options.role.as_ref().map(|role| access_lines(&role.name, &options.system_user));
    let database = connection.database().to_owned();
    Ok(SetupPlan { database, role, access, settings })
}

/// What the role lacks: itself, grants, the way into databases that are not open to everybody.
async fn role_statements(connection: &Connection, role: &RoleWanted) -> Result<Vec<String>> {
    let doing = "the question what the role may do";
    let name = literal(&role.name);
    let there = connection.ask(doing, &format!("SELECT 1 FROM pg_roles WHERE rolname = {name}")).await?;
    let exists = there.rows().next().is_some();
    let who = if exists { name } else { "'public'".to_owned() };
    let closed = format!(
        "SELECT datname FROM pg_database \
         WHERE datallowconn AND datconnlimit <> -2 AND NOT has_database_privilege({who}, oid, 'CONNECT') ORDER BY oid"
    );
    let closed = connection.ask(doing, &closed).await?.collect(|row| row.text("datname"))?;
    if !exists {
        let closed: Vec<&str> = closed.iter().map(String::as_str).collect();
        return Ok(role_sql(connection.server_version().version, &role.name, &closed));
    }
    let lacking = lacking(connection, &role.name).await?;
    let mut statements: Vec<String> = lacking.into_iter().map(|grant| grant.statement).collect();
    let role = identifier(&role.name);
    let connect =
        |database: &String| format!("GRANT CONNECT ON DATABASE {} TO {role};", identifier(database));
    statements.extend(closed.iter().map(connect));
    Ok(statements)
}

async fn current(connection: &Connection) -> Result<BTreeMap<String, Current>> {
    let names = "('wal_level', 'archive_mode', 'archive_library', 'archive_command', 'archive_timeout', 'full_page_writes')";
    let sql = format!(
        "SELECT name, setting, context = 'postmaster' AS restart, \
         (SELECT f.setting FROM pg_file_settings f WHERE f.name = s.name ORDER BY f.seqno DESC LIMIT 1) AS in_files \
         FROM pg_settings s WHERE name IN {names}"
    );
    let answer = connection.ask("the list of settings", &sql).await?;
    let pairs = answer.collect(|row| {
        let current = Current {
            in_force: row.text("setting")?,
            in_files: row.optional_text("in_files")?,
            needs_restart: row.flag("restart")?,
        };
        Ok((row.text("name")?, current))
    })?;
    Ok(pairs.into_iter().collect())
}

/// Reloads, and waits until what needs no restart is in force; the names of what stays as it was.
async fn reload(connection: &Connection, set: &[&Difference], world: &World) -> Result<Vec<&'static str>> {
    connection.ask("a reload of its settings", "SELECT pg_reload_conf()").await?;
    let until = world.clock.monotonic() + RELOAD_PATIENCE;
    loop {
        let now = current(connection).await?;
        // While archive_mode is off the server shows the command as disabled, whatever it is.
        let suits = |difference: &&&Difference| {
            let value = now.get(difference.name).map(|current| current.in_force.as_str());
            difference.needs_restart || value == Some(&difference.to) || value == Some(DISABLED)
        };
        let late: Vec<&'static str> =
            set.iter().filter(|difference| !suits(difference)).map(|difference| difference.name).collect();
        if late.is_empty() || world.clock.monotonic() >= until {
            return Ok(late);
        }
        world.clock.sleep(RELOAD_POLL).await;
    }
}
