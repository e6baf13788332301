//! What will have become of today's backups at a later time, if backups go on once a day at the usual hour.
//!
//! Promises: the same rules as today, asked of today's backups and made-up ones that are good, whole and everywhere, with WAL
//! that has no hole. Deliberately foresees no failures, no releases of holds, and no growth.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{Lsn, SegmentNo, Timeline};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;
use serde::Serialize;

use super::calendar::Calendar;
use super::decide::{Decision, Reason, Rule, judge};
use super::lineage::Lineages;
use super::point::{Input, Point};
use super::policy::Span;
use super::wal::{WalMap, WalRun};

/// How the future is looked at: every day for five weeks, every week for a year, every thirty days for eleven.
const CLOSE: i64 = 35;
const MEDIUM: i64 = 400;
const FAR: i64 = 4_000;

/// Today's backups at another time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreseen {
    /// When.
    pub at: Time,
    /// How many backups were made up on the way.
    pub made_up: u64,
    /// What will be decided about today's.
    pub decisions: Vec<Decision>,
}

/// A backup that will be condemned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leaving {
    /// Which.
    pub id: BackupId,
    /// When.
    pub at: Time,
    /// What keeps it until then.
    pub kept_by: Vec<Reason>,
}

/// What will have been decided about today's backups at a time; now, where that time is past.
#[must_use]
pub fn simulate(input: &Input<'_>, at: Time) -> Foreseen {
    let mut future = Future::of(input);
    let at = at.max(input.now);
    let days = i64::try_from(Span::between(input.now, at).as_seconds() / 86_400).unwrap_or(i64::MAX);
    // A zone that leaves out a day needs one more of the calendar's.
    for day in 0..=days.saturating_add(2).min(FAR * 10) {
        future.make_up(day, Some(at));
    }
    future.now = at;
    let made_up = u64::try_from(future.made_up.len()).unwrap_or(u64::MAX);
    Foreseen {
        at,
        made_up,
        decisions: future.judge().into_iter().filter(|one| !future.made_up.contains(&one.id)).collect(),
    }
}

/// The backups that these decisions keep and that will be condemned within a span from now, the first to leave first.
#[must_use]
pub fn leaving(input: &Input<'_>, decisions: &[Decision], within: Span) -> Vec<Leaving> {
    let until = within.after(input.now);
    let found = decisions.iter().filter_map(|decision| {
        let at = decision.leaves.filter(|at| *at <= until)?;
        Some(Leaving { id: decision.id, at, kept_by: decision.keep.clone() })
    });
    let mut found: Vec<Leaving> = found.collect();
    found.sort_by_key(|leaving| (leaving.at, leaving.id));
    found
}

/// When each kept backup will be condemned; those whose end is not foreseen are missing.
pub(super) fn foresee(input: &Input<'_>, decisions: &[Decision]) -> BTreeMap<BackupId, Time> {
    // Holds end when somebody says so, and without rules only max_age ends anything.
    let bounded = input.policy.max_age.is_some();
    let stays = |reason: &Reason| reason.rule == Rule::Hold || (reason.rule == Rule::NoRule && !bounded);
    let ends = |one: &&Decision| one.is_kept() && !one.keep.iter().any(stays);
    let mut open: BTreeSet<BackupId> = decisions.iter().filter(ends).map(|one| one.id).collect();
    let mut leaves = BTreeMap::new();
    let mut future = Future::of(input);
    future.keep_only(decisions);
    let mut day = -1;
    while day < FAR && !open.is_empty() {
        let step = if day < CLOSE {
            1
        } else if day < MEDIUM {
            7
        } else {
            30
        };
        (day + 1..=day + step).for_each(|day| future.make_up(day, None));
        day += step;
        let Some(now) = future.day(day) else { break };
        future.now = now.max(input.now);
        let decided = future.judge();
        let gone = decided.iter().filter(|one| !one.is_kept()).map(|one| one.id);
        leaves.extend(gone.filter(|id| open.remove(id)).map(|id| (id, future.now)));
        future.keep_only(&decided);
    }
    leaves
}

/// Today's backups and WAL, and what is made up behind them.
struct Future<'a> {
    input: &'a Input<'a>,
    calendar: Calendar,
    /// What the made-up ones are like.
    like: Option<Point>,
    now: Time,
    points: Vec<Point>,
    made_up: BTreeSet<BackupId>,
    wal: BTreeMap<SystemId, WalMap>,
}

impl<'a> Future<'a> {
    fn of(input: &'a Input<'a>) -> Self {
        Self {
            input,
            calendar: Calendar::of(input.policy),
            like: present(input).cloned(),
            now: input.now,
            points: input.points.to_vec(),
            made_up: BTreeSet::new(),
            wal: input.wal.clone(),
        }
    }

    fn judge(&self) -> Vec<Decision> {
        judge(&Input { points: &self.points, wal: &self.wal, now: self.now, ..*self.input })
    }

    fn keep_only(&mut self, decisions: &[Decision]) {
        let kept: BTreeSet<BackupId> =
            decisions.iter().filter(|one| one.is_kept()).map(|one| one.id).collect();
        self.points.retain(|point| kept.contains(&point.id));
    }

    /// The usual time of day, so many days after today.
    fn day(&self, days: i64) -> Option<Time> {
        self.calendar.days_later(self.input.now, days, self.like.as_ref()?.stored)
    }

    /// Adds the backup of a day, if its time lies in the future and not after `until`.
    fn make_up(&mut self, days: i64, until: Option<Time>) {
        let (Some(like), Some(at)) = (self.like.clone(), self.day(days)) else { return };
        if at <= self.input.now || until.is_some_and(|until| at > until) {
            return;
        }
        // A day that the zone left out is the one behind it.
        let Some(id) = made_up_id(at).filter(|id| self.made_up.insert(*id)) else { return };
        let (timeline, start, stop) = self.next_position(&like, at);
        self.points.push(Point {
            id,
            system: like.system,
            timeline,
            start,
            stop,
            stop_timeline: timeline,
            stored: at,
            claimed: at,
            oldest_bytes: self.input.policy.max_age.map(|_| at),
            unfit: None,
            regions: self.input.regions.to_vec(),
            holds: Vec::new(),
        });
        // The next one goes on behind it.
        self.like = Some(Point { stop, stop_timeline: timeline, ..like });
    }

    /// The segment behind all WAL of the present timeline, which is added.
    fn next_position(&mut self, like: &Point, at: Time) -> (Timeline, Lsn, Lsn) {
        const SMALL: u64 = 0x100;
        let Some(wal) = self.wal.get_mut(&like.system) else {
            let start = Lsn(like.stop.0.saturating_add(SMALL));
            return (like.stop_timeline, start, Lsn(start.0.saturating_add(SMALL)));
        };
        let known = |timeline: &Timeline| self.input.history(like.system, *timeline).is_some();
        let timeline = wal.present(known).unwrap_or(like.stop_timeline);
        let runs = wal.timelines.entry(timeline).or_default();
        let behind = runs.iter().map(|run| run.last.0.saturating_add(1)).max().unwrap_or_default();
        let behind = behind.max(wal.size.segment_of(like.stop).0.saturating_add(u64::from(runs.is_empty())));
        let segment = SegmentNo(behind);
        runs.push(WalRun { first: segment, last: segment, first_stored: at, last_stored: at });
        let start = segment.first_lsn(wal.size).unwrap_or(Lsn::MAX);
        (timeline, start, Lsn(start.0.saturating_add(SMALL)))
    }
}

/// The newest good backup of the newest lineage that has any; without good ones the newest of all.
fn present<'p>(input: &Input<'p>) -> Option<&'p Point> {
    let lineages = Lineages::of(input);
    let key = |point: &&Point| {
        (point.is_good(), lineages.rank(point.system), point.is_confirmed(), point.stored, point.id)
    };
    input.points.iter().max_by_key(key)
}

/// An id that no backup gets by chance.
fn made_up_id(at: Time) -> Option<BackupId> {
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(at.seconds().to_le_bytes().into_iter().chain(*b"foreseen"))
        .for_each(|(to, from)| *to = from);
    BackupId::from_bytes(bytes)
}
