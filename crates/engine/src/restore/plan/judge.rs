//! What one branch can do for the target: the best backup on it, or why there is none.
//!
//! Promises: of the backups that lead to the target the one is taken from which the least WAL has to be replayed, a backup with
//! damaged pages only where no other leads there.

use std::cmp::Reverse;

use seawall_pg::{History, Lsn, SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::time::Time;

use super::refusal::{Hole, ReachablePoint};
use super::transaction;
use super::{BackupFacts, PathSpan, PlanInput, RecoveryPlan, Refusal, ServeRange};
use crate::restore::target::Point;
use crate::restore::wal_inventory::Reach;

/// A branch from one backup on.
#[derive(Clone)]
pub(super) struct Way<'a> {
    pub(super) history: &'a History,
    pub(super) backup: &'a BackupFacts,
    pub(super) reach: Reach,
    /// No commit up to the end of the WAL at hand is later; none where nobody wrote down when it was archived.
    pub(super) commits_until: Option<Time>,
}

/// What a branch can do.
pub(super) struct Judged {
    pub(super) timeline: Timeline,
    pub(super) history: Option<History>,
    pub(super) outcome: Result<RecoveryPlan, Refusal>,
}

/// Why a way does not lead to the target.
enum Miss {
    /// Its backup ends after the target.
    TooYoung,
    /// WAL ends, or has a hole, before the target.
    TooShort,
}

pub(super) fn judge(input: &PlanInput<'_>, timeline: Timeline) -> Judged {
    match input.wal.history(timeline) {
        Ok(history) => {
            let outcome = best(input, &history);
            Judged { timeline, history: Some(history), outcome }
        }
        Err(missing) => {
            let outcome = Err(Refusal::HistoryMissing { timeline: missing.timeline });
            Judged { timeline, history: None, outcome }
        }
    }
}

fn best(input: &PlanInput<'_>, history: &History) -> Result<RecoveryPlan, Refusal> {
    let mut ways: Vec<Way<'_>> = ways(input, history);
    if ways.is_empty() {
        return Err(no_way(input, history));
    }
    if ways.len() > 1 && input.backup.is_none() {
        match input.target.point() {
            Point::Xid(xid) => {
                ways = transaction::behind(&ways, *xid).map_err(|why| backup_needed(input, &ways, why))?;
            }
            Point::Name(_) => return Err(backup_needed(input, &ways, NO_INDEX)),
            _ => {}
        }
    }
    let leading = ways.iter().filter(|way| miss(input, way).is_none());
    let newest_point = matches!(input.target.point(), Point::Latest);
    // Of ways to the latest point the longest wins; then an undamaged backup; then the least to replay.
    let best = leading.max_by_key(|way| {
        let length = if newest_point { way.reach.end } else { SegmentNo(0) };
        (length, Reverse(way.backup.damaged_pages.min(1)), way.backup.stop, way.backup.id)
    });
    match best {
        Some(way) => Ok(to_plan(input, way)),
        None => Err(nearest(input, history, &ways)),
    }
}

/// The backups of a history whose own WAL is whole, with how far they lead.
fn ways<'a>(input: &PlanInput<'a>, history: &'a History) -> Vec<Way<'a>> {
    let size = input.wal.size();
    let asked = input.backups.iter().filter(|backup| input.backup.is_none_or(|id| id == backup.id));
    let of_history = asked.filter(|backup| belongs(history, backup));
    let with_reach = of_history.map(|backup| {
        let from = size.segment_of(backup.start);
        let reach = input.wal.reach(history, from);
        let commits_until = input.wal.latest_archived(history, from, reach.end);
        Way { history, backup, reach, commits_until }
    });
    with_reach.filter(|way| size.segment_before(way.backup.stop) < way.reach.end).collect()
}

/// Whether the backup's own WAL is a part of the history.
pub(super) fn belongs(history: &History, backup: &BackupFacts) -> bool {
    history.carries((backup.timeline, backup.start), (backup.stop_timeline, backup.stop))
}

fn miss(input: &PlanInput<'_>, way: &Way<'_>) -> Option<Miss> {
    let size = input.wal.size();
    match input.target.point() {
        // WAL that goes on behind a hole holds newer commits: whoever wants the latest has to hear of it. A backup that was
        // named says that the end before the hole is meant.
        Point::Latest => (input.backup.is_none() && way.reach.resumes.is_some()).then_some(Miss::TooShort),
        Point::Immediate | Point::Xid(_) | Point::Name(_) => None,
        Point::Lsn(lsn) if *lsn < way.backup.stop => Some(Miss::TooYoung),
        Point::Lsn(lsn) => (size.segment_of(*lsn) >= way.reach.end).then_some(Miss::TooShort),
        Point::Time(time) if *time < way.backup.stopped => Some(Miss::TooYoung),
        // Where no time of archiving is known nothing speaks against it; the basis says so.
        Point::Time(time) => way.commits_until.is_some_and(|until| until < *time).then_some(Miss::TooShort),
    }
}

const NO_INDEX: &str =
    "the archive has no index of restore points; the server's log, or whoever made it, knows when that was";

/// What may be anywhere: beginning too late never finds it, beginning early costs hours.
fn backup_needed(input: &PlanInput<'_>, ways: &[Way<'_>], why: &'static str) -> Refusal {
    let facts = |way: &Way<'_>| (way.backup.id, way.backup.started, way.backup.stopped);
    let mut backups: Vec<_> = ways.iter().map(facts).collect();
    backups.sort_by_key(|(_, _, stopped)| Reverse(*stopped));
    Refusal::BackupNeeded {
        target: input.target.to_string(),
        why,
        backups,
        command: input.as_asked.to_owned(),
    }
}

/// No backup of the branch is usable: none belongs to it, or each lacks WAL of its own.
fn no_way(input: &PlanInput<'_>, history: &History) -> Refusal {
    let timeline = history.timeline();
    let size = input.wal.size();
    let of_history = input.backups.iter().filter(|backup| belongs(history, backup));
    let asked = of_history.filter(|backup| input.backup.is_none_or(|id| id == backup.id));
    match asked.max_by_key(|backup| backup.stop) {
        None => Refusal::NotAncestor { timeline, backup: input.backup },
        Some(backup) => {
            let reach = input.wal.reach(history, size.segment_of(backup.start));
            Refusal::BackupWithoutWal {
                backup: backup.id,
                timeline: history.timeline_of_segment(reach.end, size),
                missing: reach.end,
                size,
            }
        }
    }
}

/// Every way misses the target: the nearest points on both sides of it.
fn nearest(input: &PlanInput<'_>, history: &History, ways: &[Way<'_>]) -> Refusal {
    let size = input.wal.size();
    let earlier = ways.iter().filter(|way| matches!(miss(input, way), Some(Miss::TooShort)));
    let later = ways.iter().filter(|way| matches!(miss(input, way), Some(Miss::TooYoung)));
    let before = earlier.max_by_key(|way| (way.reach.end, way.backup.stop));
    let after = later.min_by_key(|way| way.backup.stop);
    let hole = before.and_then(|way| Hole::behind(way, size)).map(Box::new);
    Refusal::OutOfReach {
        target: input.target.to_string(),
        timeline: history.timeline(),
        hole,
        before: before.map(|way| Box::new(ReachablePoint::end_of(input, way))),
        after: after.map(|way| Box::new(ReachablePoint::backup(input, way))),
    }
}

fn to_plan(input: &PlanInput<'_>, way: &Way<'_>) -> RecoveryPlan {
    let size = input.wal.size();
    let last = SegmentNo(way.reach.end.0.saturating_sub(1));
    let last_needed = match input.target.point() {
        Point::Immediate => size.segment_before(way.backup.stop),
        Point::Lsn(lsn) => size.segment_of(*lsn).max(size.segment_before(way.backup.stop)),
        Point::Latest | Point::Time(_) | Point::Xid(_) | Point::Name(_) => last,
    };
    RecoveryPlan {
        backup: way.backup.clone(),
        target: input.target.clone(),
        timeline: way.history.timeline(),
        path: path_of(way.history),
        segment_size: size,
        serve: serve(input, way, last),
        last_needed,
        frontier: way.reach.end.first_lsn(size).unwrap_or(Lsn::MAX),
        partial: way.reach.by_partial.then_some(last),
        basis: basis(input, way),
        remarks: remarks(way, size),
    }
}

pub(super) fn path_of(history: &History) -> Vec<PathSpan> {
    let spans = history.spans();
    spans.map(|span| PathSpan { timeline: span.timeline, begin: span.begin, end: span.end }).collect()
}

fn serve(input: &PlanInput<'_>, way: &Way<'_>, last: SegmentNo) -> Vec<ServeRange> {
    let size = input.wal.size();
    let mut ranges: Vec<ServeRange> = Vec::new();
    for number in size.segment_of(way.backup.start).0..=last.0 {
        let number = SegmentNo(number);
        let timeline = way.history.timeline_of_segment(number, size);
        match ranges.last_mut() {
            Some(range) if range.timeline == timeline => range.last = number,
            _ => ranges.push(ServeRange { timeline, first: number, last: number }),
        }
    }
    ranges
}

fn basis(input: &PlanInput<'_>, way: &Way<'_>) -> Vec<String> {
    let backup = way.backup;
    let mut basis = vec![format!(
        "backup {} ended at {} on timeline {}, at {} by its server's clock",
        backup.id, backup.stop, backup.stop_timeline, backup.stopped
    )];
    if let (Point::Xid(xid), Some(next)) = (input.target.point(), backup.next_xid) {
        basis.push(format!(
            "when it ended, transactions had come to number {next}; {xid} is behind that, so it ended behind the backup, too"
        ));
    }
    if matches!(input.target.point(), Point::Time(_)) {
        basis.push(match way.commits_until {
            Some(until) => format!(
                "the newest segment on this branch was archived by {until}; times of commits are not indexed, so the server \
                 stops with an error, and does not open, should none be later than the target"
            ),
            None => "when the segments were archived is not known, so whether a commit is later than the target is not \
                     known either; the server stops with an error, and does not open, should none be"
                .to_owned(),
        });
    }
    basis
}

fn remarks(way: &Way<'_>, size: WalSegmentSize) -> Vec<String> {
    let mut remarks = Vec::new();
    if way.backup.damaged_pages > 0 {
        remarks.push(format!(
            "backup {} HAS {} DAMAGED PAGES: they were damaged when it was taken, and no other backup leads to this target; \
             `seawall show {}` names them",
            way.backup.id, way.backup.damaged_pages, way.backup.id
        ));
    }
    if way.reach.by_partial {
        remarks.push(
            "the last segment is there only as a .partial file, left by a promotion; what it holds is used"
                .to_owned(),
        );
    }
    if let Some(hole) = Hole::behind(way, size) {
        remarks.push(format!("WAL has a hole behind the part that is used here: missing {hole}"));
    }
    remarks
}
