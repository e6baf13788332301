//! Why there is no plan, with what can be reached instead.
//!
//! Promises: each refusal has a stable id, one line that says what, facts, and for every way out the command to type.

use seawall_pg::timeline::HistoryConflict;
use seawall_pg::{Lsn, SegmentName, SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::id::BackupId;
use seawall_repo::time::Time;

use super::PlanInput;
use super::judge::Way;
use crate::error::Error;

/// Segments that are missing in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// The timeline that should have the first.
    pub timeline: Timeline,
    /// The first that is missing.
    pub first: SegmentNo,
    /// The timeline that should have the last.
    pub last_timeline: Timeline,
    /// The last that is missing.
    pub last: SegmentNo,
    /// The size of a segment.
    pub size: WalSegmentSize,
}

impl Hole {
    /// What is missing behind a way's WAL, where it goes on later.
    pub(super) fn behind(way: &Way<'_>, size: WalSegmentSize) -> Option<Self> {
        let (first, next) = (way.reach.end, way.reach.resumes?);
        let last = SegmentNo(next.0.saturating_sub(1));
        let timeline_of = |number| way.history.timeline_of_segment(number, size);
        Some(Self { timeline: timeline_of(first), first, last_timeline: timeline_of(last), last, size })
    }
}

/// By the names of its files.
impl std::fmt::Display for Hole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&name_of(self.timeline, self.first, self.size))?;
        if self.first == self.last {
            return Ok(());
        }
        write!(f, " to {}", name_of(self.last_timeline, self.last, self.size))
    }
}

/// A point that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachablePoint {
    /// What it is, for a person.
    pub what: String,
    /// The command that goes there.
    pub command: String,
}

/// One of several branches that lead to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    /// Its timeline.
    pub timeline: Timeline,
    /// Which timeline it left, and where; none for the first.
    pub forked: Option<(Timeline, Lsn)>,
    /// When it had begun at the latest.
    pub began_by: Option<Time>,
    /// How far its WAL goes without a gap.
    pub wal_to: Lsn,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum Refusal {
    #[error("there is no backup of this cluster")]
    NoBackup,
    #[error("there is no backup {id}")]
    BackupUnknown { id: BackupId, known: Vec<BackupId> },
    #[error("there is no timeline {timeline}")]
    TimelineUnknown { timeline: Timeline, known: Vec<Timeline> },
    #[error("the history file of timeline {timeline} is missing, so nobody knows from where it grew")]
    HistoryMissing { timeline: Timeline },
    #[error("the history files contradict each other")]
    HistoryConflict(HistoryConflict),
    #[error("{} belongs to timeline {timeline} or what it grew from", match .backup {
        Some(id) => format!("backup {id} is not one that"),
        None => "no backup".to_owned(),
    })]
    NotAncestor { timeline: Timeline, backup: Option<BackupId> },
    #[error("backup {backup} cannot be used: WAL that it needs is missing")]
    BackupWithoutWal { backup: BackupId, timeline: Timeline, missing: SegmentNo, size: WalSegmentSize },
    #[error("{target} cannot be reached on timeline {timeline}")]
    OutOfReach {
        target: String,
        timeline: Timeline,
        hole: Option<Box<Hole>>,
        before: Option<Box<ReachablePoint>>,
        after: Option<Box<ReachablePoint>>,
    },
    #[error("{target} can be reached on {} branches of the cluster's history, which lead to different data", .branches.len())]
    Ambiguous { target: String, branches: Vec<Branch>, command: String },
    #[error("where {target} lies is not known, so the backup to begin with must be named")]
    BackupNeeded { target: String, why: &'static str, backups: Vec<(BackupId, Time, Time)>, command: String },
}

impl ReachablePoint {
    /// The last point of a way.
    pub(super) fn end_of(input: &PlanInput<'_>, way: &Way<'_>) -> Self {
        let timeline = way.history.timeline();
        let end = way.reach.end.first_lsn(input.wal.size()).unwrap_or(Lsn::MAX);
        let by = way.commits_until.map_or_else(String::new, |until| format!(", archived by {until}"));
        Self {
            what: format!("the last point before it is the end of WAL at {end}{by}"),
            command: format!("{} --latest --timeline {timeline} --backup {}", input.command, way.backup.id),
        }
    }

    /// The first point of a way: where its backup is consistent.
    pub(super) fn backup(input: &PlanInput<'_>, way: &Way<'_>) -> Self {
        let backup = way.backup;
        Self {
            what: format!(
                "the first point after it is the end of backup {} at {} ({})",
                backup.id, backup.stop, backup.stopped
            ),
            command: format!("{} --immediate --backup {}", input.command, backup.id),
        }
    }
}

impl Refusal {
    /// Its stable id.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::NoBackup => "restore.no-backup",
            Self::BackupUnknown { .. } => "restore.backup-unknown",
            Self::TimelineUnknown { .. } => "restore.timeline-unknown",
            Self::HistoryMissing { .. } => "restore.history-missing",
            Self::HistoryConflict(_) => "restore.history-conflict",
            Self::NotAncestor { .. } => "restore.not-an-ancestor",
            Self::BackupWithoutWal { .. } => "restore.backup-without-wal",
            Self::OutOfReach { hole: Some(_), .. } => "restore.wal-hole",
            Self::OutOfReach { .. } => "restore.target-out-of-reach",
            Self::Ambiguous { .. } => "restore.branch-ambiguous",
            Self::BackupNeeded { .. } => "restore.backup-needed",
        }
    }

    fn is_about_the_command(&self) -> bool {
        matches!(
            self,
            Self::BackupUnknown { .. }
                | Self::TimelineUnknown { .. }
                | Self::Ambiguous { .. }
                | Self::BackupNeeded { .. }
        )
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let what = refusal.to_string();
        let new = if refusal.is_about_the_command() { Self::usage } else { Self::data };
        explain(new(refusal.id(), what), refusal)
    }
}

fn explain(error: Error, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NoBackup => error.hint("Take one with `seawall backup`, or name another cluster with --cluster."),
        Refusal::BackupUnknown { known, .. } => {
            error.fact("known", listed(&known)).hint("Type `seawall list` to see the backups.")
        }
        Refusal::TimelineUnknown { known, .. } => error.fact("known", listed(&known)),
        Refusal::HistoryMissing { timeline } => error.hint(format!(
            "If a server of that timeline still has pg_wal/{timeline:08X}.history, archive it with `seawall wal push`."
        )),
        Refusal::HistoryConflict(conflict) => error.because(conflict),
        Refusal::NotAncestor { .. } => error.hint("Leave --timeline away, or choose a backup of that branch from `seawall list`."),
        Refusal::BackupWithoutWal { timeline, missing, size, .. } => error
            .fact("missing", name_of(timeline, missing, size))
            .hint("If a server still has that segment in pg_wal, archive it with `seawall wal push`, or give its data directory with --salvage-wal."),
        Refusal::OutOfReach { hole, before, after, .. } => explain_reach(error, hole, before, after),
        Refusal::Ambiguous { branches, command, .. } => branches.iter().fold(error, |error, branch| {
            error.fact("branch", describe(branch)).hint(format!("{command} --timeline {}", branch.timeline))
        }),
        Refusal::BackupNeeded { backups, command, why, .. } => backups.into_iter().fold(
            error.fact("why", why).hint("Name the newest backup that ended before it:"),
            |error, (id, started, stopped)| {
                error.hint(format!("{command} --backup {id}     (began {started}, ended {stopped})"))
            },
        ),
    }
}

fn explain_reach(
    error: Error,
    hole: Option<Box<Hole>>,
    before: Option<Box<ReachablePoint>>,
    after: Option<Box<ReachablePoint>>,
) -> Error {
    let error = match hole {
        Some(hole) => error
            .fact("missing", hole)
            .hint("If a server still has these segments in pg_wal, archive them with `seawall wal push`."),
        None => error,
    };
    [("before", before), ("after", after)].into_iter().fold(error, |error, (side, point)| match point {
        Some(point) => error.fact(side, point.what).hint(point.command),
        None => error,
    })
}

fn describe(branch: &Branch) -> String {
    let from = branch
        .forked
        .map_or_else(|| "the first".to_owned(), |(parent, at)| format!("left timeline {parent} at {at}"));
    let began = branch.began_by.map_or_else(String::new, |began| format!(", by {began}"));
    format!("timeline {}: {from}{began}, WAL to {}", branch.timeline, branch.wal_to)
}

fn name_of(timeline: Timeline, number: SegmentNo, size: WalSegmentSize) -> String {
    SegmentName::new(timeline, number, size)
        .map_or_else(|_| format!("segment {} of timeline {timeline}", number.0), |name| name.to_string())
}

fn listed<T: std::fmt::Display>(values: &[T]) -> String {
    let shown: Vec<String> = values.iter().take(10).map(T::to_string).collect();
    let more = values.len().saturating_sub(10);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{tail}", shown.join(", "))
}
