//! What the workload's tables hold at one point of its history, as a plain value.
//!
//! Promise: made only by applying committed changes in commit order. Shared rows change by amounts that commute; everything
//! else belongs to one writer, so commit order is also the order in which it was done.

use std::collections::{BTreeMap, BTreeSet};

/// What a transaction changes beside entering its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// That many rows of `ledger_part`.
    Parts(u32),
    /// An amount goes from one account to another.
    Transfer {
        /// The account that gives.
        from: u32,
        /// The account that takes.
        to: u32,
        /// How much.
        amount: i64,
    },
    /// From now on the table has this many rows, or is not there.
    Table {
        /// Its name.
        name: String,
        /// Rows 1 to this many.
        rows: Option<u64>,
    },
    /// From now on the large object has the content that follows from this seed, or is not there.
    LargeObject {
        /// Its object id.
        oid: u32,
        /// The seed of its content.
        seed: Option<u64>,
    },
    /// The database is there, a copy of the workload's template.
    Database(String),
}

/// What the workload's tables hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Model {
    /// Numbers of all transactions that committed.
    pub numbers: BTreeSet<u64>,
    /// Rows of `ledger_part` for each number that has some.
    pub parts: BTreeMap<u64, u32>,
    /// Balance of each account that is not 0; all together are 0.
    pub balances: BTreeMap<u32, i64>,
    /// Writers' own tables with their number of rows.
    pub tables: BTreeMap<String, u64>,
    /// Large objects with the seed of their content.
    pub large_objects: BTreeMap<u32, u64>,
    /// Databases.
    pub databases: BTreeSet<String>,
}

impl Model {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The highest number entered, 0 where there is none.
    pub fn highest_number(&self) -> u64 {
        self.numbers.last().copied().unwrap_or_default()
    }

    /// A transaction of this number committed with these changes.
    pub fn apply(&mut self, number: Option<u64>, changes: &[Change]) {
        self.numbers.extend(number);
        for change in changes {
            self.apply_change(number, change);
        }
    }

    fn apply_change(&mut self, number: Option<u64>, change: &Change) {
        match change {
            Change::Parts(count) => self.parts.extend(number.map(|number| (number, *count))),
            Change::Transfer { from, to, amount } => {
                self.add(*from, -amount);
                self.add(*to, *amount);
            }
            Change::Table { name, rows: Some(rows) } => {
                self.tables.insert(name.clone(), *rows);
            }
            Change::Table { name, rows: None } => {
                self.tables.remove(name);
            }
            Change::LargeObject { oid, seed: Some(seed) } => {
                self.large_objects.insert(*oid, *seed);
            }
            Change::LargeObject { oid, seed: None } => {
                self.large_objects.remove(oid);
            }
            Change::Database(name) => {
                self.databases.insert(name.clone());
            }
        }
    }

    fn add(&mut self, account: u32, amount: i64) {
        let balance = self.balances.entry(account).or_default();
        *balance += amount;
        if *balance == 0 {
            self.balances.remove(&account);
        }
    }
}
