//! The backup session: from the start function to the stop function on one connection that must live in between.
//!
//! Promises: a backup that was not stopped by [`Started::stop`] ends with its session (dropping it is enough); what went
//! wrong is told apart: server gone, standby promoted, stop cancelled, refused. Exclusive mode is never used.
//! Deliberately not here: waiting until the WAL of the backup is archived; the caller proves that for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_pg::backup_label::{BackupFrom, BackupLabel, BackupLabelError};
use seawall_pg::{Lsn, Timeline};
use seawall_store::world::World;

use super::connect::{Asker, Connection, QueryError};
use super::rows::literal;
use crate::error::Error;

/// Longer labels are refused by the server (`MAXPGPATH`).
const LABEL_BYTES_MAX: usize = 1023;

/// How to start a backup.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The backup's label, one line.
    pub label: String,
    /// Whether the checkpoint at the start is made as fast as possible instead of being spread out.
    pub fast_checkpoint: bool,
    /// How long that checkpoint may take.
    pub deadline: Duration,
}

/// A backup that has started. Files may be copied until [`Started::stop`].
#[derive(Debug)]
pub struct Started {
    connection: Connection,
    bound: LsnBound,
    on_standby: bool,
    start_lsn: Lsn,
}

/// A backup that has ended well: all its files can be made consistent by its WAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Where recovery begins.
    pub start_lsn: Lsn,
    /// How far recovery must go before the backup is consistent.
    pub stop_lsn: Lsn,
    /// The timeline at the start.
    pub timeline: Timeline,
    /// Whether the backup was taken from a standby.
    pub on_standby: bool,
    /// `backup_label`, to be restored byte by byte.
    pub label: Vec<u8>,
    /// `tablespace_map`, to be restored byte by byte where nothing is relocated; empty for none.
    pub tablespace_map: Vec<u8>,
    /// The server's clock right after the stop, microseconds since 1970: commits below `stop_lsn` are older.
    pub at_us: i64,
    /// A transaction's number, with its epoch, that was given out after the stop: all that had one before have a lower one.
    /// None on a standby, and from a server that gives none out.
    pub next_xid: Option<u64>,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum SessionError {
    #[error(
        "the backup's label must be one line of at most {LABEL_BYTES_MAX} bytes without control characters"
    )]
    Label,
    #[error("the server did not finish the checkpoint that begins a backup within {deadline:?}")]
    CheckpointLate { deadline: Duration },
    #[error("the connection to PostgreSQL ended during the backup: {reason}")]
    Gone { reason: String },
    #[error("the standby was promoted during the backup")]
    Promoted,
    #[error("the end of the backup was cancelled on the server")]
    StopCancelled,
    #[error("the server knows of no backup in this session any more")]
    NotInProgress,
    #[error("the server started the backup at {start} but its label says {label}")]
    LabelDiffers { start: Lsn, label: Lsn },
    #[error("the label that the server gave cannot be used")]
    LabelUnreadable(#[from] BackupLabelError),
    #[error(transparent)]
    Query(QueryError),
}

impl Started {
    /// Starts a backup. With a spread checkpoint this takes minutes; past the deadline the attempt is cancelled.
    pub async fn start(
        connection: Connection,
        options: &StartOptions,
        world: &World,
    ) -> Result<Self, SessionError> {
        if options.label.len() > LABEL_BYTES_MAX || options.label.contains(char::is_control) {
            return Err(SessionError::Label);
        }
        let on_standby = in_recovery(&connection).await.map_err(during)?;
        let sql = connection.server_version().version.facts().backup_api.start_sql;
        // The label last: it may contain anything, also `$2`.
        let fast = if options.fast_checkpoint { "true" } else { "false" };
        let sql = sql.replace("$2", fast).replace("$1", &literal(&options.label));
        let starting = connection.ask("the start of the backup", &sql);
        let Some(started) = world.within(options.deadline, starting).await else {
            connection.cancel().await;
            return Err(SessionError::CheckpointLate { deadline: options.deadline });
        };
        let columns = started.and_then(|answer| Ok(answer.only()?.in_order())).map_err(during)?;
        let start_lsn = lsn(columns.first(), "the start of the backup")?;
        let bound = LsnBound::new(&connection, start_lsn);
        Ok(Self { connection, bound, on_standby, start_lsn })
    }

    /// Where recovery of this backup begins.
    #[must_use]
    pub fn start_lsn(&self) -> Lsn {
        self.start_lsn
    }

    /// Whether the server is a standby.
    #[must_use]
    pub fn on_standby(&self) -> bool {
        self.on_standby
    }

    /// The newest LSN a page may carry, for whoever checks pages.
    #[must_use]
    pub fn lsn_bound(&self) -> LsnBound {
        self.bound.clone()
    }

    /// Completes when the session is lost, and never as long as it lives: race it against the copying.
    pub async fn lost(&self) -> SessionError {
        SessionError::Gone { reason: self.connection.ended().await }
    }

    /// Whether the backup can still succeed: the session lives and a standby was not promoted.
    pub async fn check(&self) -> Result<(), SessionError> {
        let in_recovery = in_recovery(&self.connection).await.map_err(during)?;
        if self.on_standby && !in_recovery { Err(SessionError::Promoted) } else { Ok(()) }
    }

    /// Ends the backup without waiting for the archiver, and hands the connection back.
    pub async fn stop(self) -> Result<(Stopped, Connection), SessionError> {
        let sql = self.connection.server_version().version.facts().backup_api.stop_sql.replace("$1", "false");
        let columns = match self.connection.ask("the end of the backup", &sql).await {
            Ok(answer) => answer.only().map_err(during)?.in_order(),
            Err(error) => return Err(self.why_not_stopped(error).await),
        };
        let mut stopped = self.stopped(&columns)?;
        if !self.on_standby {
            stopped.next_xid = self.next_xid().await?;
        }
        Ok((stopped, self.connection))
    }

    /// Takes a number, because no function tells the next one: a snapshot names the last that ended, and the last checkpoint is
    /// older than the backup. A server that refuses (it protects itself from wraparound) shall be backed up all the same.
    async fn next_xid(&self) -> Result<Option<u64>, SessionError> {
        match self.connection.ask("a transaction's number", "SELECT pg_current_xact_id()::text AS xid").await
        {
            Ok(answer) => answer.only().and_then(|row| row.parsed("xid")).map(Some).map_err(during),
            Err(QueryError::Refused { .. }) => Ok(None),
            Err(error) => Err(during(error)),
        }
    }

    fn stopped(&self, columns: &[Option<String>]) -> Result<Stopped, SessionError> {
        let stop_lsn = lsn(columns.first(), "the end of the backup")?;
        let text = |index: usize| columns.get(index).cloned().flatten().unwrap_or_default().into_bytes();
        let label = text(1);
        let read = BackupLabel::parse(&label)?;
        if read.start != self.start_lsn {
            return Err(SessionError::LabelDiffers { start: self.start_lsn, label: read.start });
        }
        let at = columns.get(3).cloned().flatten();
        let at_us = at.as_deref().and_then(|text| text.parse().ok());
        let at_us = at_us.ok_or(SessionError::Query(QueryError::Unexpected {
            doing: "the end of the backup",
            column: "time",
            found: at,
        }))?;
        Ok(Stopped {
            at_us,
            next_xid: None,
            start_lsn: read.start,
            stop_lsn,
            timeline: read.timeline,
            on_standby: read.from == BackupFrom::Standby,
            label,
            tablespace_map: text(2),
        })
    }

    /// The server's messages are translated, so a promotion is recognised by what it did.
    async fn why_not_stopped(&self, error: QueryError) -> SessionError {
        match during(error) {
            SessionError::Query(QueryError::Refused { code, .. }) if code == "57014" => {
                SessionError::StopCancelled
            }
            SessionError::Query(QueryError::Refused { code, doing, message, hint }) if code == "55000" => {
                match in_recovery(&self.connection).await {
                    Ok(false) if self.on_standby => SessionError::Promoted,
                    Ok(_) if message.contains("not in progress") => SessionError::NotInProgress,
                    Ok(_) => SessionError::Query(QueryError::Refused { code, doing, message, hint }),
                    Err(error) => during(error),
                }
            }
            other => other,
        }
    }
}

fn during(error: QueryError) -> SessionError {
    match error {
        QueryError::Gone { reason, .. } => SessionError::Gone { reason },
        other => SessionError::Query(other),
    }
}

async fn in_recovery(connection: &Connection) -> Result<bool, QueryError> {
    let answer =
        connection.ask("the question whether this is a standby", "SELECT pg_is_in_recovery() AS yes").await?;
    answer.only()?.flag("yes")
}

fn lsn(text: Option<&Option<String>>, doing: &'static str) -> Result<Lsn, SessionError> {
    let found = text.cloned().flatten();
    let parsed = found.as_deref().and_then(|text| text.parse().ok());
    parsed.ok_or(SessionError::Query(QueryError::Unexpected { doing, column: "LSN", found }))
}

/// The newest LSN that any page may carry. Shared by all workers; asks the server only when a page seems newer than
/// all that is known, so a backup asks a few times a second at most.
#[derive(Clone, Debug)]
pub struct LsnBound {
    known: Arc<AtomicU64>,
    asker: Asker,
    runtime: tokio::runtime::Handle,
}

/// On a standby a page may carry the end of the record being replayed, which counts as replayed only afterwards; it
/// was received before, though. Without streaming nothing was received, and the next look finds it replayed.
const BOUND: &str = "SELECT CASE WHEN pg_is_in_recovery() \
     THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_insert_lsn() END AS lsn";

impl LsnBound {
    fn new(connection: &Connection, start: Lsn) -> Self {
        let known = Arc::new(AtomicU64::new(start.0));
        Self { known, asker: connection.asker(), runtime: tokio::runtime::Handle::current() }
    }

    /// What is known without asking; the true bound is never lower.
    #[must_use]
    pub fn known(&self) -> Lsn {
        Lsn(self.known.load(Ordering::Relaxed))
    }

    /// Asks the server and remembers the answer.
    pub async fn refresh(&self) -> Result<Lsn, SessionError> {
        let answer = self.asker.ask("the question how far WAL is written", BOUND).await.map_err(during)?;
        let text = answer.only().map_err(during)?.optional_text("lsn").map_err(during)?;
        let lsn = lsn(Some(&text), "the question how far WAL is written")?;
        Ok(Lsn(self.known.fetch_max(lsn.0, Ordering::Relaxed).max(lsn.0)))
    }

    /// A bound that covers `page`, if there is one by now: what is known where that suffices, else a fresh answer.
    /// For threads outside the async runtime; the runtime must have another thread to serve the connection.
    pub fn covering_blocking(&self, page: Lsn) -> Result<Lsn, SessionError> {
        let known = self.known();
        if page <= known { Ok(known) } else { self.runtime.block_on(self.refresh()) }
    }
}

const NOT_POSTGRESQL: &str = "is this PostgreSQL itself, and not a fork of it?";

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        let what = error.to_string();
        match error {
            SessionError::Query(error) => error.into(),
            SessionError::Label => Self::usage("source.label", what),
            SessionError::CheckpointLate { .. } => Self::source_side("source.checkpoint-late", what)
                .hint("ask for a fast checkpoint, or raise the deadline above checkpoint_timeout"),
            SessionError::Gone { .. } => Self::source_side("source.connection-lost", what)
                .hint("the server's log says why; start the backup again: what was stored is found and used"),
            SessionError::Promoted => Self::source_side("source.promoted", what)
                .hint("start the backup again, now on the new primary: what was stored is found and used"),
            SessionError::StopCancelled => Self::source_side("source.stop-cancelled", what).hint(
                "somebody called pg_cancel_backend on it; the label is lost, so start the backup again",
            ),
            SessionError::NotInProgress => Self::source_side("source.not-in-progress", what).hint(
                "a connection pooler between seawall and the server? connect to the server's own socket",
            ),
            SessionError::LabelDiffers { .. } => {
                Self::source_side("source.backup-label", what).hint(NOT_POSTGRESQL)
            }
            SessionError::LabelUnreadable(cause) => {
                Self::source_side("source.backup-label", what).hint(NOT_POSTGRESQL).because(cause)
            }
        }
    }
}
