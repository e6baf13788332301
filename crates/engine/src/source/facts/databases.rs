//! Databases, and what only a connection to each of them can tell.
//!
//! Promise: a database that cannot be asked is in the list with the reason. One connection at a time, so a role with
//! few connections allowed is enough.

use serde::{Deserialize, Serialize};

use crate::source::connect::{ConnectError, ConnectOptions, Connection, QueryError};
use crate::source::rows::{Answer, Fields};

/// Tables whose size is recorded, biggest first, per database.
const ROW_ESTIMATES_MAX: u32 = 100;
/// Unlogged tables that are named, per database.
const UNLOGGED_NAMED_MAX: u32 = 100;
/// Extensions and libraries that are named, per database.
const EXTENSIONS_MAX: u32 = 1_000;

const DOING: &str = "the list of databases";

/// A database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its OID: the name of its directory.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Its encoding, such as `UTF8`.
    pub encoding: String,
    /// `LC_COLLATE`.
    pub collate: Option<String>,
    /// `LC_CTYPE`.
    pub ctype: Option<String>,
    /// Who sorts: `libc`, `icu` or `builtin`.
    pub provider: String,
    /// The provider's own locale, where it has one.
    pub provider_locale: Option<String>,
    /// The version of the collation that its indexes were built with, where the provider tells one (15 and later).
    pub collation_version: Option<String>,
    /// Whether it is a template.
    pub is_template: bool,
    /// Whether its DROP DATABASE was interrupted: it can only be dropped again (`datconnlimit` -2).
    pub is_invalid: bool,
    /// What is inside.
    pub contents: Contents,
}

/// What is inside a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// It was asked.
    Asked(DatabaseContents),
    /// It could not be asked.
    NotAsked {
        /// Why.
        reason: String,
    },
}

/// What a connection to a database tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseContents {
    /// Installed extensions.
    pub extensions: Vec<Extension>,
    /// Files that functions written in C are loaded from, as recorded (`$libdir/name`).
    pub libraries: Vec<String>,
    /// Versions of collations, recorded and present.
    pub collations: Vec<CollationVersion>,
    /// Tables that are empty after a restore.
    pub unlogged: UnloggedTables,
    /// The biggest user tables with the planner's estimate of their rows.
    pub row_estimates: Vec<RowEstimate>,
}

/// An installed extension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of pg_extension")]
pub struct Extension {
    pub name: String,
    pub version: String,
}

/// A version that some collation was made with, and what the system has today.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollationVersion {
    /// `libc` or `icu`.
    pub provider: String,
    /// The version that is recorded in the catalog.
    pub recorded: String,
    /// The version that the system's library reports now. For `libc` it is glibc's own.
    pub present: Option<String>,
}

/// Unlogged tables and materialized views.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnloggedTables {
    /// How many there are.
    pub count: u64,
    /// The first of them by name, with schema.
    pub named: Vec<String>,
}

/// How many rows the planner believes a table has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowEstimate {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// The estimate; -1 where the table was never analysed.
    pub rows: i64,
}

/// As JSON, because the columns about locales differ between versions and a missing key reads as NULL.
const DATABASES: &str = "SELECT d.oid, d.datname, pg_encoding_to_char(d.encoding) AS encoding, d.datcollate, d.datctype, \
     CASE coalesce(to_jsonb(d)->>'datlocprovider', 'c') WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' \
          ELSE to_jsonb(d)->>'datlocprovider' END AS provider, \
     coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') AS provider_locale, \
     to_jsonb(d)->>'datcollversion' AS collation_version, \
     d.datistemplate, d.datallowconn, d.datconnlimit, has_database_privilege(d.oid, 'CONNECT') AS may_connect \
     FROM pg_database AS d ORDER BY d.datname";

pub(super) async fn all(
    connection: &Connection,
    options: &ConnectOptions,
) -> Result<Vec<Database>, QueryError> {
    let answer = connection.ask(DOING, DATABASES).await?;
    let mut databases = Vec::new();
    for row in answer.rows() {
        let name = row.text("datname")?;
        let contents = match reason_not_to_ask(&row)? {
            Some(reason) => Contents::NotAsked { reason: reason.to_owned() },
            None => ask(connection, options, &name).await?,
        };
        databases.push(database(&row, name, contents)?);
    }
    Ok(databases)
}

fn reason_not_to_ask(row: &Fields<'_>) -> Result<Option<&'static str>, QueryError> {
    if row.parsed::<i32>("datconnlimit")? == -2 {
        return Ok(Some("its DROP DATABASE was interrupted"));
    }
    if !row.flag("datallowconn")? {
        return Ok(Some("it does not allow connections"));
    }
    Ok((!row.flag("may_connect")?).then_some("the role lacks CONNECT on it"))
}

fn database(row: &Fields<'_>, name: String, contents: Contents) -> Result<Database, QueryError> {
    Ok(Database {
        oid: row.parsed("oid")?,
        name,
        encoding: row.text("encoding")?,
        collate: row.optional_text("datcollate")?,
        ctype: row.optional_text("datctype")?,
        provider: row.text("provider")?,
        provider_locale: row.optional_text("provider_locale")?,
        collation_version: row.optional_text("collation_version")?,
        is_template: row.flag("datistemplate")?,
        is_invalid: row.parsed::<i32>("datconnlimit")? == -2,
        contents,
    })
}

/// The database that the given connection is in is asked over it; others get a connection for the moment.
async fn ask(connection: &Connection, options: &ConnectOptions, name: &str) -> Result<Contents, QueryError> {
    if connection.database() == name {
        return contents(connection).await.map(Contents::Asked);
    }
    let other = match Connection::open_database(options, name).await {
        Ok(other) => other,
        // The server going away is not a property of this database.
        Err(_) if connection.is_closed() => {
            return Err(QueryError::Gone { doing: DOING, reason: connection.ended().await });
        }
        Err(ConnectError::Refused { reason, .. }) => return Ok(Contents::NotAsked { reason }),
        Err(ConnectError::Query(error)) => return Err(error),
        Err(error) => return Ok(Contents::NotAsked { reason: error.to_string() }),
    };
    match contents(&other).await {
        // A refusal concerns this database alone: a REVOKE in it, say. It is told, and the others are asked.
        Err(error @ QueryError::Refused { .. }) => Ok(Contents::NotAsked { reason: error.to_string() }),
        asked => asked.map(Contents::Asked),
    }
}

async fn contents(connection: &Connection) -> Result<DatabaseContents, QueryError> {
    let rows = |doing, sql: String| async move { connection.ask(doing, &sql).await };
    let extensions =
        format!("SELECT extname, extversion FROM pg_extension ORDER BY extname LIMIT {EXTENSIONS_MAX}");
    let libraries = format!(
        "SELECT DISTINCT probin FROM pg_proc WHERE probin IS NOT NULL AND probin <> '' ORDER BY probin LIMIT {EXTENSIONS_MAX}"
    );
    Ok(DatabaseContents {
        extensions: rows("the list of extensions", extensions)
            .await?
            .collect(|row| Ok(Extension { name: row.text("extname")?, version: row.text("extversion")? }))?,
        libraries: rows("the list of libraries", libraries).await?.collect(|row| row.text("probin"))?,
        collations: collations(&rows("the list of collations", COLLATIONS.to_owned()).await?)?,
        unlogged: unlogged(&rows("the list of unlogged tables", unlogged_sql()).await?)?,
        row_estimates: row_estimates(&rows("the list of tables", row_estimates_sql()).await?)?,
    })
}

/// One collation of each recorded version stands for all, because asking ICU about each of hundreds takes seconds.
const COLLATIONS: &str = "SELECT c.provider, c.collversion, pg_collation_actual_version(c.example) AS present \
     FROM (SELECT CASE collprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE collprovider::text END AS provider, \
                  collversion, min(oid) AS example \
           FROM pg_collation WHERE collversion IS NOT NULL GROUP BY 1, 2) AS c ORDER BY 1, 2 LIMIT 1000";

fn collations(answer: &Answer) -> Result<Vec<CollationVersion>, QueryError> {
    answer.collect(|row| {
        Ok(CollationVersion {
            provider: row.text("provider")?,
            recorded: row.text("collversion")?,
            present: row.optional_text("present")?,
        })
    })
}

fn unlogged_sql() -> String {
    format!(
        "SELECT format('%I.%I', n.nspname, c.relname) AS name, count(*) OVER () AS total \
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm') ORDER BY 1 LIMIT {UNLOGGED_NAMED_MAX}"
    )
}

fn unlogged(answer: &Answer) -> Result<UnloggedTables, QueryError> {
    let total = answer.rows().next().map(|row| row.parsed("total")).transpose()?;
    Ok(UnloggedTables { count: total.unwrap_or(0), named: answer.collect(|row| row.text("name"))? })
}

fn row_estimates_sql() -> String {
    format!(
        "SELECT n.nspname, c.relname, c.reltuples::bigint AS rows \
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' \
           AND n.nspname !~ '^pg_' ORDER BY c.relpages DESC, 1, 2 LIMIT {ROW_ESTIMATES_MAX}"
    )
}

fn row_estimates(answer: &Answer) -> Result<Vec<RowEstimate>, QueryError> {
    answer.collect(|row| {
        Ok(RowEstimate {
            schema: row.text("nspname")?,
            table: row.text("relname")?,
            rows: row.parsed("rows")?,
        })
    })
}
