//! The statements of the workload: its schema, and what each kind of transaction does.
//!
//! Promise: content follows from numbers, so that it can be checked without having been kept.

use super::{Change, Random};
use crate::{Result, Server};

/// Accounts between which amounts go to and fro.
const ACCOUNTS: u64 = 64;
/// Rows of the template's table.
pub(super) const TEMPLATE_ROWS: u32 = 2000;
/// The content of a large object as an SQL expression; `{seed}` is its seed. A bit under four pages.
pub(super) const LARGE_OBJECT_CONTENT: &str = "decode(repeat(md5('{seed}'), 500), 'hex')";

/// Makes the tables and the template database.
pub(super) fn make_schema(server: &Server) -> Result<()> {
    server.execute(&format!(
        "CREATE TABLE ledger_entry (number bigint PRIMARY KEY, writer int NOT NULL, filler text);
         CREATE INDEX ON ledger_entry (writer);
         CREATE TABLE ledger_part (number bigint, part int, body text, PRIMARY KEY (number, part));
         CREATE TABLE ledger_account (account int PRIMARY KEY, balance bigint NOT NULL);
         INSERT INTO ledger_account SELECT g, 0 FROM generate_series(0, {ACCOUNTS} - 1) g;
         CREATE UNLOGGED TABLE ledger_unlogged (n bigint);"
    ))?;
    server.execute("CREATE DATABASE ledger_template")?;
    server.execute_in(
        "ledger_template",
        &format!("CREATE TABLE template_row AS SELECT n, md5(n::text) AS body FROM generate_series(1, {TEMPLATE_ROWS}) n"),
    )
}

/// The first statement of every transaction; one in eight has a value that is stored out of line.
pub(super) fn enter(number: u64, writer: u32, random: &mut Random) -> String {
    let filler = match random.below(8) {
        0 => "(SELECT string_agg(md5(g::text), '') FROM generate_series(1, 200) g)".to_owned(),
        _ => format!("md5('{number}')"),
    };
    format!("INSERT INTO ledger_entry VALUES ({number}, {writer}, {filler});")
}

/// Rows `first` to `last` of `ledger_part`.
pub(super) fn parts(number: u64, first: u32, last: u32) -> String {
    format!(
        "INSERT INTO ledger_part SELECT {number}, g, md5({number} || ':' || g) FROM generate_series({first}, {last}) g;"
    )
}

/// A transfer, always in the order of accounts so that two of them do not wait for each other in a circle.
pub(super) fn transfer(random: &mut Random) -> (String, Change) {
    let from = random.below(ACCOUNTS);
    let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
    let amount = 1 + random.below(1000) as i64;
    let mut updates = [(from, -amount), (to, amount)];
    updates.sort_unstable();
    let sql = updates.map(|(account, by)| {
        format!("UPDATE ledger_account SET balance = balance + {by} WHERE account = {account};")
    });
    (sql.concat(), Change::Transfer { from: from as u32, to: to as u32, amount })
}

/// Subtransactions: one rolled back, one kept within another, one kept.
pub(super) fn subtransactions(number: u64) -> (String, Change) {
    let sql = format!(
        "SAVEPOINT a; {} ROLLBACK TO SAVEPOINT a; SAVEPOINT b; {} SAVEPOINT c; {} RELEASE SAVEPOINT c; RELEASE SAVEPOINT b; {}",
        parts(number, 1, 50),
        parts(number, 1, 3),
        parts(number, 4, 6),
        parts(number, 7, 9),
    );
    (sql, Change::Parts(9))
}

/// A new table with rows and an index.
pub(super) fn create_table(name: &str, rows: u64) -> (String, Change) {
    let sql = format!(
        "CREATE TABLE {name} (n bigint, body text);
         INSERT INTO {name} SELECT g, md5(g::text) FROM generate_series(1, {rows}) g; CREATE INDEX ON {name} (n);"
    );
    (sql, Change::Table { name: name.to_owned(), rows: Some(rows) })
}

/// A table that is gone.
pub(super) fn drop_table(name: &str) -> (String, Change) {
    (format!("DROP TABLE {name};"), Change::Table { name: name.to_owned(), rows: None })
}

/// A table emptied (by TRUNCATE or DELETE) and filled again.
pub(super) fn refill_table(name: &str, rows: u64, truncate: bool) -> (String, Change) {
    let empty = if truncate { "TRUNCATE" } else { "DELETE FROM" };
    let sql = format!(
        "{empty} {name}; INSERT INTO {name} SELECT g, md5(g::text) FROM generate_series(1, {rows}) g;"
    );
    (sql, Change::Table { name: name.to_owned(), rows: Some(rows) })
}

/// A large object made with the content of its seed.
pub(super) fn create_large_object(oid: u32, seed: u64) -> (String, Change) {
    let content = LARGE_OBJECT_CONTENT.replace("{seed}", &seed.to_string());
    (format!("SELECT lo_from_bytea({oid}, {content});"), Change::LargeObject { oid, seed: Some(seed) })
}

/// A large object that is gone.
pub(super) fn unlink_large_object(oid: u32) -> (String, Change) {
    (format!("SELECT lo_unlink({oid});"), Change::LargeObject { oid, seed: None })
}

/// Work that leaves nothing behind: an unlogged and a temporary table.
pub(super) const PASSING_WORK: &str = "INSERT INTO ledger_unlogged SELECT generate_series(1, 100);
    CREATE TEMP TABLE passing AS SELECT generate_series(1, 500) AS n; DROP TABLE passing;";

/// Statements that change files and no content.
pub(super) fn maintenance(own_table: &str, random: &mut Random) -> String {
    match random.below(6) {
        0 => format!("VACUUM FULL {own_table}"),
        1 => format!("VACUUM (FREEZE) {own_table}"),
        2 => "REINDEX INDEX ledger_part_pkey".to_owned(),
        3 => "VACUUM ledger_account".to_owned(),
        4 => "CHECKPOINT".to_owned(),
        _ => format!("REINDEX TABLE {own_table}"),
    }
}
