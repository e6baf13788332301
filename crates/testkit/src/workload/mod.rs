//! A workload whose every committed transaction is known outside the database, and the judge of what a restore brought back.
//!
//! Writers work on a real server: plain transactions, subtransactions kept and rolled back, prepared transactions, rolled-back
//! work, tables made, truncated, rewritten and dropped, large objects, unlogged and temporary tables, databases. What each
//! attempt would change stands in the [`Ledger`], in the test process. Which attempts committed, in which order, at which LSN
//! and time, is read afterwards from WAL by `pg_waldump`, so a [`Target`] has one right answer even between two commits
//! that were on their way at once.
//! Promise: the answer does not come from seawall or from the restored server.
//! Deliberately not here: starting recovery; the test does that in the way it is about.

mod check;
mod ledger;
mod model;
mod moment;
mod random;
mod steps;
mod target;
mod wal;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub use ledger::{Attempt, Fate, Ledger};
pub use model::{Change, Model};
pub use moment::Moment;
pub use postgres::types::PgLsn;
pub use random::Random;
pub use target::Target;
pub use wal::{Wal, WalRange, XactRecord};

use crate::{Context, Failure, Result, Server, oracles};

/// How a workload behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Writers at once.
    pub writers: u32,
    /// Makes the choices repeatable (not their interleaving).
    pub seed: u64,
    /// A rest after each transaction, so that a slow machine's WAL stays small.
    pub pace: Duration,
    /// Whether databases are created, too. Each copies a template: some megabytes a time.
    pub databases: bool,
    /// Whether a lost connection is survived (the server is stopped or killed on purpose) or fails the workload.
    pub survives_disconnects: bool,
}

impl Default for Options {
    fn default() -> Self {
        let pace = Duration::from_millis(2);
        Self { writers: 8, seed: 1, pace, databases: true, survives_disconnects: false }
    }
}

/// What all writers share.
#[derive(Debug)]
pub(crate) struct Shared {
    connection: String,
    major: u16,
    options: Options,
    next_number: AtomicU64,
    acknowledged: AtomicU64,
    stop: AtomicBool,
}

/// Settings that [`Workload::finish`] relies on: all WAL of the run stays in `pg_wal`.
pub const SETTINGS: [(&str, &str); 1] = [("wal_keep_size", "4GB")];

/// Writers at work.
#[derive(Debug)]
pub struct Workload {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Result<Vec<Attempt>>>>,
    base: Model,
    begin: String,
}

impl Workload {
    /// Makes the tables and starts the writers.
    ///
    /// # Errors
    /// The server refuses.
    pub fn start(server: &Server, options: Options) -> Result<Self> {
        steps::make_schema(server)?;
        Self::go_on(server, Model::new(), options)
    }

    /// Starts writers on a server that holds exactly `base` (a restored one, promoted).
    ///
    /// # Errors
    /// The server refuses.
    pub fn go_on(server: &Server, base: Model, options: Options) -> Result<Self> {
        for writer in 0..options.writers {
            server
                .execute(&format!("CREATE TABLE IF NOT EXISTS ledger_own_{writer} (n bigint, body text)"))?;
        }
        let shared = Arc::new(Shared {
            connection: server.connection_string("postgres"),
            major: server.major(),
            next_number: AtomicU64::new(base.highest_number() + 1),
            acknowledged: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            options,
        });
        let begin = server.value("SELECT pg_current_wal_insert_lsn()")?;
        let writers =
            (0..shared.options.writers).map(|id| writer::spawn(id, Arc::clone(&shared), &base)).collect();
        Ok(Self { shared, writers, base, begin })
    }

    /// Transactions whose commit a writer has been told of, so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until that many more transactions have committed.
    ///
    /// # Errors
    /// It takes longer than two minutes, or a writer failed.
    pub fn wait_for_commits(&self, more: u64) -> Result<()> {
        let wanted = self.acknowledged() + more;
        for _ in 0..12_000 {
            if self.acknowledged() >= wanted {
                return Ok(());
            }
            if self.writers.iter().any(JoinHandle::is_finished) {
                return Err(Failure::new("a writer ended early: finish the workload to see why"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Failure::new(format!("{} commits, not {wanted}, after two minutes", self.acknowledged())))
    }

    /// Stops the writers and joins what they did with the WAL in the running server's `pg_wal`.
    ///
    /// # Errors
    /// A writer failed, WAL is not there from the beginning, or WAL and writers disagree.
    pub fn finish(self, server: &Server) -> Result<Ledger> {
        let crashed = self.shared.options.survives_disconnects;
        let (base, begin, attempts) = self.join()?;
        server.execute("SELECT pg_switch_wal()")?;
        let end = server.value("SELECT pg_current_wal_flush_lsn()")?;
        let timeline = server.value("SELECT timeline_id FROM pg_control_checkpoint()")?.parse()?;
        let range = WalRange { directory: server.data_directory().join("pg_wal"), timeline, begin, end };
        let wal = range.read(server.binaries())?;
        Ledger::join(base, attempts, wal, crashed)
    }

    /// The same with the server gone: WAL is read from `directory`, up to `end`.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn finish_from(
        self,
        server: &Server,
        directory: &std::path::Path,
        timeline: u32,
        end: &str,
    ) -> Result<Ledger> {
        let crashed = self.shared.options.survives_disconnects;
        let (base, begin, attempts) = self.join()?;
        let range = WalRange { directory: directory.to_owned(), timeline, begin, end: end.to_owned() };
        let wal = range.read(server.binaries())?;
        Ledger::join(base, attempts, wal, crashed)
    }

    fn join(mut self) -> Result<(Model, String, Vec<Attempt>)> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut attempts = Vec::new();
        for writer in std::mem::take(&mut self.writers) {
            let done = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            attempts.extend(done.context(|| "a writer of the workload")?);
        }
        Ok((std::mem::take(&mut self.base), std::mem::take(&mut self.begin), attempts))
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for writer in std::mem::take(&mut self.writers) {
            // A test that failed elsewhere has its own story; this one only must not leave threads behind.
            let _ended = writer.join();
        }
    }
}

/// Everything a restored server has to pass: it holds exactly `expected`, and PostgreSQL's own tools find it sound. Stops it.
///
/// # Errors
/// What is missing, too much, or unsound.
pub fn judge(mut server: Server, expected: &Model) -> Result<()> {
    expected.check(&server)?;
    oracles::amcheck(&server)?;
    oracles::visibility(&server)?;
    let checksums = server.value("SHOW data_checksums")? == "on";
    server.stop(crate::StopMode::Fast)?;
    if checksums {
        oracles::checksums(server.binaries(), server.data_directory())?;
    }
    // Two hundred of these would fill a disk; one that was judged wrong stays, to be looked at.
    Ok(std::fs::remove_dir_all(server.data_directory())?)
}
