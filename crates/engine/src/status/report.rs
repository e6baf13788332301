//! What `status` says: as values for JSON, as lines for people.

use seawall_pg::{Lsn, SystemIdentifier, Timeline};
use seawall_repo::id::{BackupId, ClusterName};
use seawall_repo::time::Time;
use seawall_store::RegionName;
use serde::Serialize;

use crate::monitor::Finding;

/// The answer in one word; its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Recovery is possible and nothing was found wrong.
    Recoverable,
    /// Recovery is possible; something is wrong.
    WithFindings,
    /// No recovery is possible: no backup that WAL makes consistent.
    NotRecoverable,
}

impl Verdict {
    /// 0, 1 or 4.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Recoverable => 0,
            Self::WithFindings => 1,
            Self::NotRecoverable => 4,
        }
    }
}

/// What would be lost if the database host died now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// At most so many seconds of commits; none where all would be lost or nobody can tell.
    pub seconds_at_most: Option<u64>,
    /// Where the number comes from.
    pub basis: String,
}

/// A span to every point of which recovery is possible without a hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The system identifier.
    pub system: SystemIdentifier,
    /// The timeline that recovery follows.
    pub timeline: Timeline,
    /// The earliest point: where its oldest backup is consistent.
    pub from: Lsn,
    /// When that was, by the database server's clock.
    pub from_time: Time,
    /// Behind the last byte of WAL.
    pub to: Lsn,
    /// When its last segment was stored, by the store's clock.
    pub to_time: Option<Time>,
    /// Whether the last segment is there only as a `.partial` file.
    pub by_partial: bool,
    /// Backups in it.
    pub backups: usize,
    /// Whether it is the way of the newest WAL.
    pub newest: bool,
}

/// The newest backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewestBackup {
    /// Its id.
    pub id: BackupId,
    /// When it ended, by the database server's clock.
    pub stopped: Time,
    /// Regions that show its manifest.
    pub regions: Vec<RegionName>,
    /// Pages whose checksum was wrong.
    pub damaged_pages: u64,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionStatus {
    /// Which.
    pub region: RegionName,
    /// Why it could not be asked; none if it answered.
    pub unreached: Option<String>,
    /// Whether it shows the newest backup; none where there is none or it could not be asked.
    pub holds_newest_backup: Option<bool>,
    /// Segments of the newest timeline that other regions have and it has not; none if it could not be asked.
    pub lag_segments: Option<u64>,
    /// What others have and it has not; none if it could not be asked.
    pub lag: Option<Lag>,
    /// Spans to every point of which it alone would do; none if it could not be asked.
    pub windows: Vec<Window>,
    /// How long it takes to answer, in milliseconds, smoothed over the calls of this run; none where none was answered.
    pub latency_ms: Option<u64>,
    /// The last verification that read it; none where none of the newest events tells of one.
    pub verified: Option<Verified>,
    /// What would be lost if it vanished now; none where no other region was asked.
    pub if_gone: Option<IfGone>,
}

/// How far a region is behind the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Objects that it lacks, at most: WAL, and everything of backups that it does not show.
    pub objects: u64,
    /// Their bytes as they are stored elsewhere, at most.
    pub bytes: u64,
    /// How much earlier its newest usable WAL was stored than the newest there is; none where it has none or nobody can tell.
    pub seconds: Option<u64>,
}

/// A verification, as the event says that remembers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// When it was written down, by the clock of the host that verified.
    pub at: Time,
    /// That host.
    pub host: String,
    /// How deep it looked: `quick`, `stored`, `sample` or `full`.
    pub depth: String,
    /// Whether it came to its end; otherwise its budget was used up.
    pub complete: bool,
    /// How much was wrong, in all regions together.
    pub findings: u64,
}

/// What would be lost if one region vanished now, as far as the others could be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IfGone {
    /// Backups that no other region shows; none if the region could not be asked.
    pub backups: Option<usize>,
    /// Segments that no other region holds; none if the region could not be asked.
    pub segments: Option<u64>,
    /// Where recovery along the newest WAL would end; none where no backup would lead there.
    pub to: Option<Lsn>,
    /// So many seconds earlier than with the region, by the times at which the last segments were stored.
    pub seconds_earlier: Option<u64>,
    /// Whether anything could still be recovered.
    pub recoverable: bool,
    /// Other regions that could not be asked: they may hold some of what counts as lost here.
    pub others_unreached: Vec<RegionName>,
}

/// What `status` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// The cluster.
    pub cluster: ClusterName,
    /// When it was asked, by the clock of the host that asks.
    pub at: Time,
    /// The answer.
    pub verdict: Verdict,
    /// What would be lost.
    pub loss: Loss,
    /// How long a recovery takes, in seconds: never measured.
    pub recovery_seconds: Option<u64>,
    /// When a recovery was last proven by a drill: never.
    pub last_proven: Option<Time>,
    /// Spans to every point of which recovery is possible.
    pub windows: Vec<Window>,
    /// Number of backups.
    pub backups: usize,
    /// The newest of them.
    pub newest_backup: Option<NewestBackup>,
    /// Every region.
    pub regions: Vec<RegionStatus>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl StatusReport {
    /// The first line.
    #[must_use]
    pub fn headline(&self) -> String {
        if self.verdict == Verdict::NotRecoverable {
            return format!("if this host died now: everything lost ({})", self.loss.basis);
        }
        let lost = match self.loss.seconds_at_most {
            Some(seconds) => format!("at most {} lost", span(seconds)),
            None => "nobody knows how much lost".to_owned(),
        };
        let back = self.recovery_seconds.map_or("never measured".to_owned(), span);
        let proven = self.last_proven.map_or("never".to_owned(), |time| time.to_string());
        format!("if this host died now: {lost}, back in: {back}; last proven: {proven}")
    }

    /// As text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.headline()];
        if self.verdict != Verdict::NotRecoverable {
            lines.push(format!("  basis: {}", self.loss.basis));
        }
        lines.extend(self.windows.iter().map(Window::line));
        lines.push(match &self.newest_backup {
            None => "backups: none".to_owned(),
            Some(newest) => format!("backups: {}, newest {} of {}", self.backups, newest.id, newest.stopped),
        });
        lines.extend(self.regions.iter().flat_map(RegionStatus::lines));
        lines
    }
}

impl Window {
    fn line(&self) -> String {
        let until = self.to_time.map_or("an unknown time".to_owned(), |time| time.to_string());
        let partial = if self.by_partial { ", the last segment is partial" } else { "" };
        format!(
            "window: timeline {} of system {}: {} ({}) to {} (stored {until}{partial}), {} backups",
            self.timeline, self.system, self.from, self.from_time, self.to, self.backups
        )
    }
}

impl RegionStatus {
    fn lines(&self) -> impl Iterator<Item = String> {
        let alone = self.unreached.is_none().then(|| self.alone());
        [Some(self.line()), alone, self.if_gone.as_ref().map(IfGone::line)].into_iter().flatten()
    }

    fn line(&self) -> String {
        if let Some(why) = &self.unreached {
            return format!("region {}: not reached: {why}", self.region);
        }
        let backup = match self.holds_newest_backup {
            Some(true) => "newest backup there",
            Some(false) => "newest backup MISSING",
            None => "no backup to hold",
        };
        let lag = match self.lag_segments {
            Some(0) => "WAL up to date".to_owned(),
            Some(behind) => format!("WAL {behind} segments behind"),
            None => "WAL not listed".to_owned(),
        };
        let answers =
            self.latency_ms.map(|latency| format!(", answers within {latency} ms")).unwrap_or_default();
        format!("region {}: {backup}, {lag}{}{answers}", self.region, self.behind())
    }

    fn behind(&self) -> String {
        let Some(lag) = self.lag.as_ref().filter(|lag| lag.objects > 0) else { return String::new() };
        let late = lag.seconds.filter(|seconds| *seconds > 0).map(|seconds| format!(", {}", span(seconds)));
        format!(" (lacks {} objects, {} bytes{})", lag.objects, lag.bytes, late.unwrap_or_default())
    }

    /// What it would be worth without the others.
    fn alone(&self) -> String {
        let newest = self.windows.iter().filter(|window| window.newest).max_by_key(|window| window.to);
        let reach = match newest.or_else(|| self.windows.last()) {
            Some(window) => format!("recovery from {} to {}", window.from_time, window.to),
            None => "NOTHING could be recovered".to_owned(),
        };
        let verified = match &self.verified {
            Some(verified) => verified.words(),
            None => "not verified lately".to_owned(),
        };
        format!("  by itself: {reach}; {verified}")
    }
}

impl Verified {
    fn words(&self) -> String {
        let end = if self.complete { "" } else { ", not to the end" };
        let found = match self.findings {
            0 => "nothing wrong".to_owned(),
            found => format!("{found} findings"),
        };
        format!("verified {} ({}{end}): {found}", self.at, self.depth)
    }
}

impl IfGone {
    fn line(&self) -> String {
        let others: Vec<&str> = self.others_unreached.iter().map(RegionName::as_str).collect();
        let beside = match others.is_empty() {
            true => String::new(),
            false => format!(" ({} could not be asked, and may hold some of it)", others.join(", ")),
        };
        format!("  if it vanished now: {}{beside}", self.words())
    }

    fn words(&self) -> String {
        if !self.recoverable {
            return "EVERYTHING lost, nothing could be recovered from the others".to_owned();
        }
        let end = match (self.to, self.seconds_earlier) {
            (None, _) => "only older points could be reached".to_owned(),
            (Some(to), Some(0)) => format!("recovery would end at {to}, as now"),
            (Some(to), Some(seconds)) => format!("recovery would end at {to}, {} earlier", span(seconds)),
            (Some(to), None) => format!("recovery would end at {to}"),
        };
        let lost = match (self.backups, self.segments) {
            (Some(0), Some(0)) => "nothing lost".to_owned(),
            (Some(backups), Some(segments)) => format!("{backups} backups and {segments} WAL segments lost"),
            _ => "what it alone holds is not known".to_owned(),
        };
        format!("{lost}, {end}")
    }
}

/// Seconds as people say them, two units at most.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}
