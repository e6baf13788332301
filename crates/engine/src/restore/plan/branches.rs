//! Which branch of the cluster's history to follow.
//!
//! Promises: a branch is chosen for a person only where no other could have been meant: the newest one for the latest point, and
//! the only one that holds the target. Everything else is a question with a command for each answer.
//! (PostgreSQL's own `latest` is the highest number whatever the target, which may be the wrong branch.)

use std::collections::BTreeSet;

use seawall_pg::{History, Lsn, Timeline};

use super::judge::{Judged, belongs};
use super::refusal::Branch;
use super::{PlanInput, RecoveryPlan, Refusal};
use crate::restore::target::{Point, TimelineChoice};

/// The timelines to judge, newest first.
pub(super) fn candidates(input: &PlanInput<'_>) -> Result<Vec<Timeline>, Refusal> {
    let mut known: BTreeSet<Timeline> = input.wal.timelines();
    known.extend(input.backups.iter().map(|backup| backup.timeline));
    let newest_first = || known.iter().rev().copied().collect::<Vec<_>>();
    match input.target.timeline() {
        TimelineChoice::Number(timeline) if !known.contains(&timeline) => {
            Err(Refusal::TimelineUnknown { timeline, known: newest_first() })
        }
        TimelineChoice::Number(timeline) => Ok(vec![timeline]),
        TimelineChoice::Latest => Ok(known.last().copied().into_iter().collect()),
        TimelineChoice::Current => Ok(vec![backup_timeline(input)]),
        TimelineChoice::TheOneThatFits => match input.target.point() {
            Point::Immediate => Ok(vec![backup_timeline(input)]),
            _ => Ok(newest_first()),
        },
    }
}

/// The timeline of the backup that was named, or of the newest one.
fn backup_timeline(input: &PlanInput<'_>) -> Timeline {
    let asked = input.backups.iter().filter(|backup| input.backup.is_none_or(|id| id == backup.id));
    let newest = asked.max_by_key(|backup| (backup.stop_timeline, backup.stop));
    newest.map_or(Timeline::FIRST, |backup| backup.stop_timeline)
}

/// Takes the one branch that leads to the target, or asks.
pub(super) fn choose(input: &PlanInput<'_>, judged: Vec<Judged>) -> Result<RecoveryPlan, Refusal> {
    refuse_conflicts(&judged)?;
    let (mut leading, mut missing): (Vec<Judged>, Vec<Judged>) =
        judged.into_iter().partition(|branch| branch.outcome.is_ok());
    if leading.is_empty() {
        return Err(most_helpful(missing));
    }
    if let Some(refusal) = newer_but_broken(input, &leading, &mut missing) {
        return Err(refusal);
    }
    if leading.len() > 1 {
        leading = narrow(input, leading)?;
    }
    // Newest first: what is left leads to the same point, or the newest was asked for.
    let mut rest = leading.into_iter();
    let Some(chosen) = rest.next() else { return Err(most_helpful(missing)) };
    let mut plan = chosen.outcome?;
    for other in rest.filter_map(|branch| branch.outcome.ok()) {
        plan.remarks.push(format!(
            "timeline {} was chosen because it is the newest; timeline {} has WAL up to {} too: take it with --timeline {}",
            plan.timeline, other.timeline, other.frontier, other.timeline
        ));
    }
    Ok(plan)
}

/// For the latest point: why a branch cannot be followed that has WAL of its own and is newer than all that can. To take an older
/// one in its place would lose its commits without a word; whoever wants that names the older timeline.
fn newer_but_broken(input: &PlanInput<'_>, leading: &[Judged], missing: &mut Vec<Judged>) -> Option<Refusal> {
    if *input.target.point() != Point::Latest {
        return None;
    }
    let newest = leading.iter().map(|branch| branch.timeline).max()?;
    let is_lost = |branch: &Judged| {
        let span = branch.history.as_ref().and_then(|history| history.span(branch.timeline));
        let begin = span.map_or(Lsn(0), |span| span.begin);
        let broken =
            matches!(branch.outcome, Err(Refusal::OutOfReach { .. } | Refusal::HistoryMissing { .. }));
        broken && branch.timeline > newest && input.wal.goes_beyond(branch.timeline, begin)
    };
    let lost = missing.iter().position(is_lost)?;
    missing.swap_remove(lost).outcome.err()
}

/// Two servers that were promoted to the same number: no choice of ours can be right.
fn refuse_conflicts(judged: &[Judged]) -> Result<(), Refusal> {
    let histories: Vec<&History> = judged.iter().filter_map(|branch| branch.history.as_ref()).collect();
    for (at, one) in histories.iter().enumerate() {
        let conflict = histories.iter().skip(at.saturating_add(1)).find_map(|other| one.conflict(other));
        if let Some(conflict) = conflict {
            return Err(Refusal::HistoryConflict(conflict));
        }
    }
    Ok(())
}

fn narrow(input: &PlanInput<'_>, leading: Vec<Judged>) -> Result<Vec<Judged>, Refusal> {
    match input.target.point() {
        Point::Latest => Ok(newest_with_its_own_wal(input, leading)),
        Point::Lsn(lsn) => {
            // Branches that share the target are one answer; the one on whose own timeline it lies needs the least.
            let owner = |branch: &Judged| branch.history.as_ref().map(|history| history.timeline_at(*lsn));
            let owners: BTreeSet<_> = leading.iter().filter_map(owner).collect();
            keep_owners(input, leading, &owners, |branch| owner(branch))
        }
        Point::Time(_) | Point::Xid(_) | Point::Name(_) => one_tip(input, leading),
        Point::Immediate => Ok(leading),
    }
}

fn keep_owners(
    input: &PlanInput<'_>,
    leading: Vec<Judged>,
    owners: &BTreeSet<Timeline>,
    owner: impl Fn(&Judged) -> Option<Timeline>,
) -> Result<Vec<Judged>, Refusal> {
    let mut owners_left = owners.iter();
    match (owners_left.next(), owners_left.next()) {
        (Some(only), None) => {
            let (own, shared): (Vec<_>, Vec<_>) =
                leading.into_iter().partition(|branch| branch.timeline == *only);
            let kept = if own.is_empty() { shared } else { own };
            Ok(kept.into_iter().take(1).collect())
        }
        _ => Err(ambiguous(
            input,
            &leading.iter().filter(|b| owner(b) == Some(b.timeline)).collect::<Vec<_>>(),
        )),
    }
}

/// A branch without WAL of its own adds nothing to its parent, and may lack the parent's last segment.
fn newest_with_its_own_wal(input: &PlanInput<'_>, leading: Vec<Judged>) -> Vec<Judged> {
    let has_own = |branch: &Judged| {
        let begin =
            branch.history.as_ref().and_then(|history| history.span(branch.timeline)).map(|span| span.begin);
        begin.is_some_and(|begin| branch.outcome.as_ref().is_ok_and(|plan| plan.frontier > begin))
    };
    let (own, empty): (Vec<_>, Vec<_>) = leading.into_iter().partition(has_own);
    let kept = if own.is_empty() { empty } else { own };
    // An ancestor that ends where its child begins is a part of the child, not an alternative.
    let mut tips = Vec::new();
    for branch in kept {
        if !tips.iter().any(|tip| is_inside(input, &branch, tip)) {
            tips.push(branch);
        }
    }
    tips
}

/// Whether a branch has nothing that another one, which grew from it, has not.
fn is_inside(input: &PlanInput<'_>, branch: &Judged, tip: &Judged) -> bool {
    let left =
        tip.history.as_ref().and_then(|history| history.span(branch.timeline)).and_then(|span| span.end);
    let Some(left) = left else { return false };
    let size = input.wal.size();
    // The segment in which the child begins is in the child; only later ones are the parent's alone.
    let behind = size.segment_of(left).next().and_then(|next| next.first_lsn(size));
    behind.is_some_and(|behind| !input.wal.goes_beyond(branch.timeline, behind))
}

/// Where it is unknown at which position the target lies, only a single tip can be meant.
fn one_tip(input: &PlanInput<'_>, leading: Vec<Judged>) -> Result<Vec<Judged>, Refusal> {
    let tips = newest_with_its_own_wal(input, leading);
    if tips.len() < 2 {
        return Ok(tips);
    }
    if let Some(shared) = before_the_fork(input, &tips) {
        return Ok(tips.into_iter().filter(|branch| branch.timeline == shared).collect());
    }
    Err(ambiguous(input, &tips.iter().collect::<Vec<_>>()))
}

/// A time that a backup on the common part has passed lies before the fork, so every branch leads to the same state; the oldest
/// is taken.
fn before_the_fork(input: &PlanInput<'_>, tips: &[Judged]) -> Option<Timeline> {
    let Point::Time(time) = input.target.point() else { return None };
    let histories: Vec<&History> = tips.iter().filter_map(|tip| tip.history.as_ref()).collect();
    let passed = input
        .backups
        .iter()
        .any(|backup| backup.started > *time && histories.iter().all(|history| belongs(history, backup)));
    passed.then(|| tips.iter().map(|tip| tip.timeline).min()).flatten()
}

fn ambiguous(input: &PlanInput<'_>, tips: &[&Judged]) -> Refusal {
    let branches = tips.iter().filter_map(|tip| {
        let plan = tip.outcome.as_ref().ok()?;
        let switch = tip.history.as_ref()?.switches().last();
        Some(Branch {
            timeline: tip.timeline,
            forked: switch.map(|(parent, _, at)| (parent, at)),
            began_by: input.wal.history_archived(tip.timeline),
            wal_to: plan.frontier,
        })
    });
    Refusal::Ambiguous {
        target: input.target.to_string(),
        branches: branches.collect(),
        command: input.as_asked.to_owned(),
    }
}

/// Of several refusals the one that tells most: a near miss before a branch without a backup.
fn most_helpful(missing: Vec<Judged>) -> Refusal {
    let rank = |refusal: &Refusal| match refusal {
        Refusal::BackupNeeded { .. } => 0,
        Refusal::OutOfReach { before: Some(_), .. } => 1,
        Refusal::OutOfReach { .. } => 2,
        Refusal::BackupWithoutWal { .. } => 3,
        Refusal::HistoryMissing { .. } => 4,
        _ => 5,
    };
    let refusals = missing.into_iter().filter_map(|branch| branch.outcome.err());
    refusals.min_by_key(rank).unwrap_or(Refusal::NoBackup)
}
