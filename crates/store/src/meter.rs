//! Counts calls and bytes per kind of operation, so that callers can print what an operation cost a region.
//!
//! Promises: every attempt is counted, retries and failures included. Does not do: time, prices, printing.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Kinds of calls to a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OpKind {
    /// Storing an object.
    Put,
    /// Reading an object or part of it.
    Get,
    /// Asking for an object's size.
    Head,
    /// Listing names.
    List,
    /// Deleting an object.
    Delete,
}

impl OpKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Put, Self::Get, Self::Head, Self::List, Self::Delete];
}

/// What one kind of call amounted to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Attempts, the failed ones included.
    pub calls: u64,
    /// Attempts that failed ("no such object" and "exists already" are answers, not failures).
    pub failed: u64,
    /// Bytes sent (put) or received (get) by attempts that did not fail.
    pub bytes: u64,
}

/// A copy of a [`Meter`] at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MeterReading {
    /// Storing.
    pub put: Tally,
    /// Reading.
    pub get: Tally,
    /// Asking for sizes.
    pub head: Tally,
    /// Listing.
    pub list: Tally,
    /// Deleting.
    pub delete: Tally,
}

#[derive(Debug, Default)]
struct Cell {
    calls: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

/// Running counts of one region.
#[derive(Debug, Default)]
pub struct Meter {
    cells: [Cell; 5],
}

impl Meter {
    fn cell(&self, kind: OpKind) -> &Cell {
        let [put, get, head, list, delete] = &self.cells;
        match kind {
            OpKind::Put => put,
            OpKind::Get => get,
            OpKind::Head => head,
            OpKind::List => list,
            OpKind::Delete => delete,
        }
    }

    pub(crate) fn count(&self, kind: OpKind, failed: bool, bytes: u64) {
        let cell = self.cell(kind);
        cell.calls.fetch_add(1, Ordering::Relaxed);
        cell.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
        cell.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn tally(&self, kind: OpKind) -> Tally {
        let cell = self.cell(kind);
        Tally {
            calls: cell.calls.load(Ordering::Relaxed),
            failed: cell.failed.load(Ordering::Relaxed),
            bytes: cell.bytes.load(Ordering::Relaxed),
        }
    }

    /// The counts so far.
    #[must_use]
    pub fn read(&self) -> MeterReading {
        MeterReading {
            put: self.tally(OpKind::Put),
            get: self.tally(OpKind::Get),
            head: self.tally(OpKind::Head),
            list: self.tally(OpKind::List),
            delete: self.tally(OpKind::Delete),
        }
    }
}

impl MeterReading {
    /// Calls of all kinds.
    #[must_use]
    pub fn calls(&self) -> u64 {
        [self.put, self.get, self.head, self.list, self.delete].iter().map(|tally| tally.calls).sum()
    }
}
