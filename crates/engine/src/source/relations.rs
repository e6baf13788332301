//! What the relations of every database are called, so that `find` can name what a transaction in WAL did to a number.
//!
//! Promises: a database that cannot be asked, and a relation that does not fit, are told in the coverage and never fail a backup;
//! the server hands out a few thousand rows at a time, and all lists together stay below a bound. Any role sees these names.

use std::collections::BTreeMap;

use seawall_pg::Lsn;
use seawall_repo::relation_list::{
    COVERAGE_PATH, Coverage, CoveredDatabase, Relation, RelationListWriter, list_path,
};
use seawall_repo::time::Time;

use super::connect::{ConnectOptions, Connection, QueryError};
use super::facts::{Contents, Database, Facts};
use super::rows::Fields;

/// Bytes of all lists together: about a million relations.
const ALL_BYTES_MAX: usize = 64 << 20;
/// Rows that the server hands out at once.
const ROWS_AT_ONCE: usize = 5_000;
/// Schemas of a database that are listed; those of sessions' temporary tables are not.
const SCHEMAS_SQL: &str =
    "SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_' ORDER BY oid LIMIT 10000";

const DOING: &str = "the names of relations";

const MOMENT: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END AS lsn, \
     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at";

/// The lists as files of the backup, and what they cover.
#[derive(Debug)]
pub struct RelationLists {
    /// By path.
    pub files: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What they cover.
    pub coverage: Coverage,
}

impl RelationLists {
    /// Asks every database that let itself be asked before.
    ///
    /// # Errors
    /// The server went away, or does not say where its WAL ends.
    pub async fn gather(
        connection: &Connection,
        options: &ConnectOptions,
        facts: &Facts,
    ) -> Result<Self, QueryError> {
        let (from, taken) = moment(connection).await?;
        let (mut files, mut databases) = (BTreeMap::new(), Vec::new());
        let mut room = ALL_BYTES_MAX;
        for database in &facts.databases {
            let (list, covered) = one(connection, options, database, room).await?;
            if let Some(list) = list {
                room = room.saturating_sub(list.len());
                files.insert(list_path(database.oid), list);
            }
            databases.push(covered);
        }
        let (to, _) = moment(connection).await?;
        let coverage = Coverage { from, to, taken, databases };
        let words = serde_json::to_vec(&coverage).map_err(|error| QueryError::Unexpected {
            doing: DOING,
            column: "coverage",
            found: Some(error.to_string()),
        })?;
        files.insert(COVERAGE_PATH.to_vec(), words);
        Ok(Self { files, coverage })
    }
}

async fn moment(connection: &Connection) -> Result<(Lsn, Time), QueryError> {
    let answer = connection.ask(DOING, MOMENT).await?;
    let row = answer.only()?;
    let at = Time::from_micros(row.parsed("at")?);
    Ok((row.parsed("lsn")?, at.ok_or_else(|| row.unexpected("at", None))?))
}

async fn one(
    connection: &Connection,
    options: &ConnectOptions,
    database: &Database,
    room: usize,
) -> Result<(Option<Vec<u8>>, CoveredDatabase), QueryError> {
    let mut covered = CoveredDatabase {
        oid: database.oid,
        name: database.name.clone(),
        relations: 0,
        left_out: 0,
        schemas: BTreeMap::new(),
        not_asked: None,
    };
    let asked = match &database.contents {
        Contents::NotAsked { reason } => Err(reason.clone()),
        Contents::Asked(_) if connection.database() == database.name => {
            list(connection, room, &mut covered).await.map_err(|error| error.to_string())
        }
        Contents::Asked(_) => match Connection::open_database(options, &database.name).await {
            Ok(other) => list(&other, room, &mut covered).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        },
    };
    // The server going away is not a property of this database.
    if asked.is_err() && connection.is_closed() {
        return Err(QueryError::Gone { doing: DOING, reason: connection.ended().await });
    }
    match asked {
        Ok(bytes) => Ok((Some(bytes), covered)),
        Err(reason) => {
            (covered.not_asked, covered.schemas) = (Some(reason), BTreeMap::new());
            Ok((None, covered))
        }
    }
}

/// The list of the connection's database, and what is said of it.
async fn list(
    connection: &Connection,
    room: usize,
    covered: &mut CoveredDatabase,
) -> Result<Vec<u8>, QueryError> {
    for row in connection.ask(DOING, SCHEMAS_SQL).await?.rows() {
        covered.schemas.insert(row.parsed("oid")?, row.text("nspname")?);
    }
    let mut writer = RelationListWriter::new(covered.oid, room);
    let mut after = 0;
    loop {
        let answer = connection.ask(DOING, &rows_sql(after)).await?;
        let mut count = 0;
        for row in answer.rows() {
            let relation = relation(&row)?;
            after = relation.oid;
            writer.push(&relation);
            count += 1;
        }
        if count < ROWS_AT_ONCE {
            let (bytes, relations, left_out) = writer.finish();
            (covered.relations, covered.left_out) = (relations, left_out);
            return Ok(bytes);
        }
    }
}

/// `pg_relation_filenode` knows mapped relations too. A TOAST table says in its name whose it is; an index of one belongs to it.
fn rows_sql(after: u32) -> String {
    format!(
        "SELECT c.oid, coalesce(pg_relation_filenode(c.oid), 0) AS number, \
                CASE WHEN pg_relation_filenode(c.oid) IS NULL THEN 0 WHEN c.reltablespace <> 0 THEN c.reltablespace \
                     ELSE (SELECT dattablespace FROM pg_database WHERE datname = current_database()) END AS tablespace, \
                coalesce(i.indrelid, CASE WHEN c.relkind = 't' AND c.relname ~ '^pg_toast_[0-9]+$' \
                                          THEN substr(c.relname, 10)::oid END, 0) AS owner, \
                c.reltuples::bigint AS rows, c.relkind, c.relpersistence, coalesce(n.nspname, '') AS schema, c.relname \
         FROM pg_class AS c LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace \
         LEFT JOIN pg_index AS i ON i.indexrelid = c.oid \
         WHERE c.oid > {after} ORDER BY c.oid LIMIT {ROWS_AT_ONCE}"
    )
}

fn relation(row: &Fields<'_>) -> Result<Relation, QueryError> {
    let letter = |column| Ok::<u8, QueryError>(row.text(column)?.bytes().next().unwrap_or(b'?'));
    Ok(Relation {
        oid: row.parsed("oid")?,
        number: row.parsed("number")?,
        tablespace: row.parsed("tablespace")?,
        owner: row.parsed("owner")?,
        rows: u64::try_from(row.parsed::<i64>("rows")?).ok(),
        kind: letter("relkind")?,
        persistence: letter("relpersistence")?,
        schema: row.text("schema")?,
        name: row.text("relname")?,
    })
}
