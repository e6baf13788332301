//! Asking a test's server.
//!
//! Promise: the short forms work inside an async runtime too, because each runs on a thread of its own (the synchronous
//! client must not block a runtime's thread). They are the superuser `postgres` and open a connection per call.

use postgres::{Client, NoTls, SimpleQueryMessage};

use super::Server;
use crate::{Context, Failure, Result};

impl Server {
    /// Connection settings for this database, in libpq's form.
    pub fn connection_string(&self, database: &str) -> String {
        let quoted = database.replace('\\', "\\\\").replace('\'', "\\'");
        format!("host={} port=5432 user=postgres dbname='{quoted}'", self.socket_directory().display())
    }

    /// A connection of its own. Not from inside an async runtime: there, use [`Self::connection_string`].
    ///
    /// # Errors
    /// The server refuses.
    pub fn connect(&self, database: &str) -> Result<Client> {
        Client::connect(&self.connection_string(database), NoTls)
            .context(|| format!("connecting to database {database}"))
    }

    /// Runs one or more statements in database `postgres`; what they return is dropped.
    ///
    /// # Errors
    /// The server refuses; the text has its words and the statement.
    pub fn execute(&self, sql: &str) -> Result<()> {
        self.execute_in("postgres", sql)
    }

    /// The same in another database.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub fn execute_in(&self, database: &str, sql: &str) -> Result<()> {
        self.query_in(database, sql).map(drop)
    }

    /// The rows of a query in database `postgres`, each value as text, NULL as the empty text.
    ///
    /// # Errors
    /// The server refuses; the text has its words and the statement.
    pub fn query(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        self.query_in("postgres", sql)
    }

    /// The same in another database.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn query_in(&self, database: &str, sql: &str) -> Result<Vec<Vec<String>>> {
        let ask = || -> Result<Vec<Vec<String>>> {
            let messages = self.connect(database)?.simple_query(sql).context(|| format!("running {sql}"))?;
            Ok(messages.iter().filter_map(row).collect())
        };
        std::thread::scope(|scope| scope.spawn(ask).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The only value of a query in database `postgres`.
    ///
    /// # Errors
    /// As [`Self::query`], or there is not exactly one row with one value.
    pub fn value(&self, sql: &str) -> Result<String> {
        self.value_in("postgres", sql)
    }

    /// The same in another database.
    ///
    /// # Errors
    /// As [`Self::value`].
    pub fn value_in(&self, database: &str, sql: &str) -> Result<String> {
        let rows = self.query_in(database, sql)?;
        match rows.as_slice() {
            [row] if row.len() == 1 => Ok(row[0].clone()),
            _ => Err(Failure::new(format!("expected one value of {sql}, found {rows:?}"))),
        }
    }
}

fn row(message: &SimpleQueryMessage) -> Option<Vec<String>> {
    match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    }
}
