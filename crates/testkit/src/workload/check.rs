//! Comparing a server with a model.
//!
//! Promises: every difference of every kind is told, not only the first; tables are read by sequential scan and again by
//! index, because a restore may spoil one of them alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Model;
use super::steps::{LARGE_OBJECT_CONTENT, TEMPLATE_ROWS};
use crate::{Failure, Result, Server};

/// How many numbers of each kind a complaint lists.
const SHOWN: usize = 8;
/// How many tables one question is about.
const TABLES_AT_ONCE: usize = 500;

impl Model {
    /// The server holds exactly this.
    ///
    /// # Errors
    /// The differences, or the server refuses to be read.
    pub fn check(&self, server: &Server) -> Result<()> {
        let mut complaints = String::new();
        self.check_numbers(server, &mut complaints)?;
        self.check_parts(server, &mut complaints)?;
        self.check_balances(server, &mut complaints)?;
        self.check_tables(server, &mut complaints)?;
        self.check_large_objects(server, &mut complaints)?;
        self.check_databases(server, &mut complaints)?;
        check_unlogged(server, &mut complaints)?;
        if complaints.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("the server does not hold what was committed:\n{complaints}")))
    }

    fn check_numbers(&self, server: &Server, complaints: &mut String) -> Result<()> {
        for (way, settings) in [
            (
                "sequential scan",
                "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET \
            enable_bitmapscan = off",
            ),
            ("index", "SET enable_seqscan = off"),
        ] {
            let rows =
                server.query(&format!("{settings}; SELECT number FROM ledger_entry ORDER BY number"))?;
            let found = rows.iter().map(|row| Ok(row[0].parse::<u64>()?)).collect::<Result<Vec<u64>>>()?;
            let set: BTreeSet<u64> = found.iter().copied().collect();
            complain_sets(complaints, &format!("transactions by {way}"), &self.numbers, &set);
            if set.len() != found.len() {
                let _ok =
                    writeln!(complaints, "  transactions by {way}: {} appear twice", found.len() - set.len());
            }
        }
        Ok(())
    }

    fn check_parts(&self, server: &Server, complaints: &mut String) -> Result<()> {
        let rows = server.query("SELECT number, count(*) FROM ledger_part GROUP BY number")?;
        complain_maps(complaints, "parts of transactions", &self.parts, &numbers(&rows)?);
        let wrong = "SELECT count(*) FROM ledger_part WHERE body IS DISTINCT FROM md5(number || ':' || part)";
        complain_values(complaints, "parts with wrong content", "0", &server.value(wrong)?);
        Ok(())
    }

    fn check_balances(&self, server: &Server, complaints: &mut String) -> Result<()> {
        let rows = server.query("SELECT account, balance FROM ledger_account WHERE balance <> 0")?;
        let found = rows
            .iter()
            .map(|row| Ok((row[0].parse()?, row[1].parse()?)))
            .collect::<Result<BTreeMap<u32, i64>>>()?;
        complain_maps(complaints, "balances of accounts", &self.balances, &found);
        complain_values(
            complaints,
            "sum of balances",
            "0",
            &server.value("SELECT sum(balance) FROM ledger_account")?,
        );
        Ok(())
    }

    fn check_tables(&self, server: &Server, complaints: &mut String) -> Result<()> {
        let listed = server
            .query("SELECT relname FROM pg_class WHERE relname LIKE 'ledger\\_own\\_%' AND relkind = 'r'")?;
        // One question for many: each is a connection. Not for all: each table takes a lock, and writers may have made thousands.
        let questions: Vec<String> = listed
            .iter()
            .map(|row| {
                let name = &row[0];
                format!("SELECT '{name}', count(*), count(*) FILTER (WHERE body IS DISTINCT FROM md5(n::text)) FROM {name}")
            })
            .collect();
        let mut found = BTreeMap::new();
        for some in questions.chunks(TABLES_AT_ONCE) {
            for row in server.query(&some.join(" UNION ALL "))? {
                complain_values(complaints, &format!("rows of {} with wrong content", row[0]), "0", &row[2]);
                found.insert(row[0].clone(), row[1].parse::<u64>()?);
            }
        }
        // Each writer's first table is made empty before the history begins and is in no model until it changes.
        found.retain(|name, rows| *rows > 0 || self.tables.contains_key(name));
        let expected = self.tables.clone();
        complain_maps(complaints, "rows of writers' tables", &expected, &found);
        Ok(())
    }

    fn check_large_objects(&self, server: &Server, complaints: &mut String) -> Result<()> {
        let rows = server.query("SELECT oid FROM pg_largeobject_metadata ORDER BY oid")?;
        let found = rows.iter().map(|row| Ok(row[0].parse::<u32>()?)).collect::<Result<BTreeSet<u32>>>()?;
        let expected: BTreeSet<u32> = self.large_objects.keys().copied().collect();
        complain_sets(complaints, "large objects", &expected, &found);
        let known: Vec<String> = self
            .large_objects
            .iter()
            .filter(|(oid, _)| found.contains(oid))
            .map(|(oid, seed)| format!("({oid}, '{seed}')"))
            .collect();
        if !known.is_empty() {
            let content = LARGE_OBJECT_CONTENT.replace("'{seed}'", "seed");
            let wrong = format!(
                "SELECT coalesce(string_agg(oid::text, ', '), 'none') FROM (VALUES {}) AS known (oid, seed) \
                 WHERE lo_get(oid) IS DISTINCT FROM {content}",
                known.join(", ")
            );
            complain_values(complaints, "large objects with wrong content", "none", &server.value(&wrong)?);
        }
        Ok(())
    }

    fn check_databases(&self, server: &Server, complaints: &mut String) -> Result<()> {
        let rows = server.query("SELECT datname FROM pg_database WHERE datname LIKE 'ledger\\_copy\\_%'")?;
        let found: BTreeSet<String> = rows.into_iter().flatten().collect();
        complain_sets(complaints, "databases", &self.databases, &found);
        for name in self.databases.intersection(&found) {
            let sum = server.value_in(name, "SELECT count(*) FROM template_row WHERE body = md5(n::text)")?;
            complain_values(
                complaints,
                &format!("rows in database {name}"),
                &TEMPLATE_ROWS.to_string(),
                &sum,
            );
        }
        Ok(())
    }
}

/// After recovery an unlogged table is there and empty.
fn check_unlogged(server: &Server, complaints: &mut String) -> Result<()> {
    let log = server.log();
    if log.contains("starting archive recovery")
        || log.contains("starting point-in-time recovery")
        || log.contains("starting backup recovery")
    {
        complain_values(
            complaints,
            "rows of the unlogged table",
            "0",
            &server.value("SELECT count(*) FROM ledger_unlogged")?,
        );
    }
    Ok(())
}

fn numbers(rows: &[Vec<String>]) -> Result<BTreeMap<u64, u32>> {
    rows.iter().map(|row| Ok((row[0].parse()?, row[1].parse()?))).collect()
}

fn complain_values(complaints: &mut String, what: &str, expected: &str, found: &str) {
    if expected != found {
        let _ok = writeln!(complaints, "  {what}: expected {expected}, found {found}");
    }
}

fn complain_sets<T: Ord + std::fmt::Debug>(
    complaints: &mut String,
    what: &str,
    expected: &BTreeSet<T>,
    found: &BTreeSet<T>,
) {
    for (kind, items) in [
        ("missing", expected.difference(found).collect::<Vec<_>>()),
        ("too much", found.difference(expected).collect::<Vec<_>>()),
    ] {
        if !items.is_empty() {
            let shown: Vec<_> = items.iter().take(SHOWN).collect();
            let _ok = writeln!(complaints, "  {what}: {} {kind}, such as {shown:?}", items.len());
        }
    }
}

fn complain_maps<K: Ord + std::fmt::Debug + Clone, V: PartialEq + std::fmt::Debug + Clone + Ord>(
    complaints: &mut String,
    what: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) {
    let pairs = |map: &BTreeMap<K, V>| map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    complain_sets::<(K, V)>(complaints, what, &pairs(expected), &pairs(found));
}
