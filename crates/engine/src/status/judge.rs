//! What the regions show, judged: windows, lags, findings, the first line. Pure.
//!
//! Promises: a window is a stretch of WAL without a hole that begins with a backup whose own WAL lies in it; a region that could
//! not be asked is unknown, never empty and never up to date. Deliberately knows no schedule: how old is too old is given.

use std::time::Duration;

use seawall_pg::{History, Lsn, SegmentNo, SystemIdentifier, Timeline};
use seawall_repo::id::ClusterName;
use seawall_repo::manifest::ManifestHeader;
use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::report::{IfGone, Loss, NewestBackup, RegionStatus, StatusReport, Verdict, Window, span};
use crate::archive::inventory::{Stretch, WalHeld, WalInventories, stretches};
use crate::holes::by_timeline;
use crate::monitor::Finding;
use crate::retention::WalRanges;

/// A backup and the regions that show it.
#[derive(Debug, Clone)]
pub struct BackupSeen {
    /// The plain part of its manifest.
    pub header: ManifestHeader,
    /// Which regions.
    pub regions: Vec<RegionName>,
}

/// One system identifier of the cluster.
#[derive(Debug, Clone)]
pub struct SystemSeen {
    /// Which.
    pub system: SystemIdentifier,
    /// Its backups.
    pub backups: Vec<BackupSeen>,
    /// Its WAL; none where there is none.
    pub wal: Option<WalInventories>,
    /// Missing segments that nobody is to be alarmed about: acknowledged, or not asked for by the rules of retention.
    pub(crate) excused: WalRanges,
}

/// Everything that is judged.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The cluster.
    pub cluster: ClusterName,
    /// Now.
    pub now: Time,
    /// How much may be lost, where an objective says so.
    pub rpo: Option<Duration>,
    /// System identifiers in the order of their adoption: the last one is the cluster's present.
    pub systems: Vec<SystemSeen>,
    /// Every region, and why it could not be asked.
    pub regions: Vec<(RegionName, Option<String>)>,
    /// What was found on the way.
    pub findings: Vec<Finding>,
}

/// Judges.
#[must_use]
pub fn judge(seen: &Seen) -> StatusReport {
    let mut findings = seen.findings.clone();
    let windows: Vec<Window> = seen.systems.iter().flat_map(|system| windows_of(system, seen)).collect();
    let present = seen.systems.last();
    let newest = present.and_then(newest_backup);
    let open = windows.iter().filter(|window| window.newest).max_by_key(|window| window.to);
    let loss = loss(seen, open, &windows);
    findings.extend(unreached(seen));
    if let Some(present) = present {
        findings.extend(present.wal.iter().flat_map(|wal| wal.findings.clone()));
        findings.extend(holes(present));
    }
    if newest.as_ref().is_some_and(|newest| newest.damaged_pages > 0) {
        findings.push(finding(
            "status.damaged-pages",
            "the newest backup has damaged pages".to_owned(),
            "see `seawall show`; the database itself is damaged",
        ));
    }
    findings.extend(too_much_lost(seen, &loss, !windows.is_empty()));
    let regions: Vec<RegionStatus> = seen
        .regions
        .iter()
        .map(|(region, why)| region_status(region, why.as_ref(), present, newest.as_ref(), seen))
        .collect();
    findings.extend(regions.iter().flat_map(behind));
    let verdict = match (windows.is_empty(), findings.is_empty()) {
        (true, _) => Verdict::NotRecoverable,
        (false, true) => Verdict::Recoverable,
        (false, false) => Verdict::WithFindings,
    };
    StatusReport {
        cluster: seen.cluster.clone(),
        at: seen.now,
        verdict,
        loss,
        recovery_seconds: None,
        last_proven: None,
        windows,
        backups: seen.systems.iter().map(|system| system.backups.len()).sum(),
        newest_backup: newest,
        regions,
        findings,
    }
}

fn finding(id: &'static str, what: String, hint: &str) -> Finding {
    Finding { id, what, hint: Some(hint.to_owned()) }
}

fn newest_backup(system: &SystemSeen) -> Option<NewestBackup> {
    let newest =
        system.backups.iter().max_by_key(|backup| (backup.header.stop_timeline, backup.header.stop))?;
    Some(NewestBackup {
        id: newest.header.backup,
        stopped: newest.header.stopped,
        regions: newest.regions.clone(),
        damaged_pages: newest.header.damaged_pages,
    })
}

/// The timeline of the newest WAL.
fn newest_timeline(held: &WalHeld) -> Option<Timeline> {
    held.timelines.keys().next_back().copied()
}

fn windows_of(system: &SystemSeen, seen: &Seen) -> Vec<Window> {
    let Some(wal) = &system.wal else { return Vec::new() };
    let is_present = seen.systems.last().is_some_and(|last| last.system == system.system);
    let newest = newest_timeline(&wal.merged);
    let mut windows = Vec::new();
    for (timeline, history) in &wal.histories {
        // A timeline without WAL of its own leads nowhere that its parent does not.
        if !wal.merged.timelines.contains_key(timeline) {
            continue;
        }
        let all = stretches(&wal.merged, history, SegmentNo(0), wal.size);
        for stretch in all {
            let inside = |backup: &&BackupSeen| lies_in(&backup.header, history, &stretch, wal);
            let within: Vec<&BackupSeen> = system.backups.iter().filter(inside).collect();
            let Some(first) = within.iter().min_by_key(|backup| backup.header.stop) else { continue };
            windows.push(Window {
                system: system.system,
                timeline: *timeline,
                from: first.header.stop,
                from_time: first.header.stopped,
                to: end_of(&stretch, wal),
                to_time: stretch.last_stored,
                by_partial: stretch.by_partial,
                backups: within.len(),
                newest: is_present && Some(*timeline) == newest,
            });
        }
    }
    windows
}

/// Whether a backup belongs to the history, and all WAL it needs lies in the stretch.
fn lies_in(header: &ManifestHeader, history: &History, stretch: &Stretch, wal: &WalInventories) -> bool {
    let first = wal.size.segment_of(header.start);
    let last = wal.size.segment_before(header.stop);
    let belongs = history.covers(header.timeline, header.start, header.start).is_ok()
        && history
            .covers(header.stop_timeline, header.start.max(begin(history, header.stop_timeline)), header.stop)
            .is_ok();
    belongs && stretch.first <= first && last <= stretch.last
}

fn begin(history: &History, timeline: Timeline) -> Lsn {
    history.span(timeline).map_or(Lsn::MAX, |span| span.begin)
}

fn end_of(stretch: &Stretch, wal: &WalInventories) -> Lsn {
    let last = stretch.last.last_lsn(wal.size);
    last.checked_add(1).unwrap_or(last)
}

fn loss(seen: &Seen, open: Option<&Window>, windows: &[Window]) -> Loss {
    let Some(window) = open else {
        let basis = if windows.is_empty() {
            "there is no backup that archived WAL makes consistent".to_owned()
        } else {
            "no backup leads to the newest WAL: only older points can be reached".to_owned()
        };
        return Loss { seconds_at_most: None, basis };
    };
    let Some(stored) = window.to_time else {
        return Loss {
            seconds_at_most: None,
            basis: "no region says when the newest WAL was stored".to_owned(),
        };
    };
    let seconds = seen.now.seconds().saturating_sub(stored.seconds());
    Loss {
        seconds_at_most: Some(seconds),
        basis: format!(
            "the newest archived WAL, up to {}, was stored {stored}; what was written since is only on the host",
            window.to
        ),
    }
}

fn too_much_lost(seen: &Seen, loss: &Loss, recoverable: bool) -> Option<Finding> {
    if !recoverable {
        return Some(finding(
            "status.not-recoverable",
            loss.basis.clone(),
            "take a backup: seawall backup; and see that archiving works: seawall check",
        ));
    }
    match (loss.seconds_at_most, seen.rpo) {
        (None, _) => {
            Some(finding("status.loss-unknown", loss.basis.clone(), "take a backup: seawall backup"))
        }
        (Some(seconds), Some(rpo)) if seconds > rpo.as_secs() => Some(finding(
            "status.rpo-missed",
            format!("up to {} would be lost, and the objective is {}", span(seconds), span(rpo.as_secs())),
            "is archiving stuck? `seawall check` says; an idle server archives nothing unless archive_timeout is set",
        )),
        _ => None,
    }
}

fn unreached(seen: &Seen) -> impl Iterator<Item = Finding> + '_ {
    seen.regions.iter().filter_map(|(region, why)| {
        let why = why.as_ref()?;
        Some(finding(
            "status.region-unreached",
            format!("region {region} could not be asked: {why}"),
            "what only this region holds is not counted",
        ))
    })
}

/// Holes behind the oldest backup on the way of the newest WAL.
fn holes(system: &SystemSeen) -> Vec<Finding> {
    let Some(wal) = &system.wal else { return Vec::new() };
    let history = newest_timeline(&wal.merged).and_then(|timeline| wal.histories.get(&timeline));
    let oldest = system.backups.iter().map(|backup| backup.header.start).min();
    let (Some(history), Some(oldest)) = (history, oldest) else { return Vec::new() };
    let all = stretches(&wal.merged, history, wal.size.segment_of(oldest), wal.size);
    let is_told = |(before, after): &(&Stretch, &Stretch)| {
        let (Some(first), Some(last)) = (before.last.next(), after.first.prev()) else { return false };
        let parts = by_timeline(history, (first, last), wal.size);
        parts
            .iter()
            .any(|(timeline, first, last)| !system.excused.outside(*timeline, (*first, *last)).is_empty())
    };
    let holes = all.iter().zip(all.iter().skip(1));
    holes
        .filter(is_told)
        .map(|(before, after)| {
            let missing = after.first.0.saturating_sub(before.last.0).saturating_sub(1);
            let from = end_of(before, wal);
            let what = format!(
                "{missing} WAL segments are missing on timeline {} from {from} on: nothing between them and the next backup can be reached",
                history.timeline_at(from)
            );
            finding("status.wal-hole", what, "take a backup now; look for the segments in another copy of the archive or in pg_wal")
        })
        .collect()
}

fn region_status(
    region: &RegionName,
    why: Option<&String>,
    present: Option<&SystemSeen>,
    newest: Option<&NewestBackup>,
    seen: &Seen,
) -> RegionStatus {
    let wal = present.and_then(|system| system.wal.as_ref());
    let own = wal.and_then(|wal| wal.regions.iter().find(|known| known.region == *region));
    let broken = own.and_then(|own| own.broken.clone());
    let unreached = why.cloned().or(broken);
    let lag = match (wal, own) {
        _ if unreached.is_some() => None,
        (Some(wal), Some(own)) => Some(lag(&wal.merged, &own.wal)),
        _ => Some(0),
    };
    let holds = newest.filter(|_| unreached.is_none()).map(|newest| newest.regions.contains(region));
    let if_gone = (seen.regions.len() > 1).then(|| if_gone(region, unreached.is_some(), seen));
    RegionStatus { region: region.clone(), unreached, holds_newest_backup: holds, lag_segments: lag, if_gone }
}

/// Regions that could not be asked for everything.
fn unasked(seen: &Seen) -> impl Iterator<Item = &RegionName> {
    let broken = |region: &RegionName| {
        let wal = seen.systems.iter().filter_map(|system| system.wal.as_ref());
        wal.flat_map(|wal| &wal.regions).any(|known| known.region == *region && known.broken.is_some())
    };
    seen.regions.iter().filter(move |(region, why)| why.is_some() || broken(region)).map(|(region, _)| region)
}

/// What the others would be worth alone.
fn if_gone(region: &RegionName, unreached: bool, seen: &Seen) -> IfGone {
    let (mut lost_backups, mut lost_segments) = (0, 0);
    let mut left = seen.clone();
    for system in &mut left.systems {
        let before = system.backups.len();
        system.backups.iter_mut().for_each(|backup| backup.regions.retain(|shown| shown != region));
        system.backups.retain(|backup| !backup.regions.is_empty());
        lost_backups += before - system.backups.len();
        if let Some(wal) = &mut system.wal {
            let others = wal.regions.iter().filter(|known| known.region != *region).map(|known| &known.wal);
            let together = WalHeld::together(others);
            lost_segments += wal.merged.count().saturating_sub(together.count());
            wal.histories
                .retain(|timeline, _| *timeline == Timeline::FIRST || together.histories.contains(timeline));
            wal.merged = together;
        }
    }
    let windows = |seen: &Seen| -> Vec<Window> {
        seen.systems.iter().flat_map(|system| windows_of(system, seen)).collect()
    };
    let (now, then) = (windows(seen), windows(&left));
    // The newest of now: an older timeline is no way to the newest WAL, even where it is all that is left.
    let end = |windows: &[Window]| {
        let present = seen.systems.last()?;
        let newest = newest_timeline(&present.wal.as_ref()?.merged)?;
        let on_it =
            windows.iter().filter(|window| window.system == present.system && window.timeline == newest);
        on_it.max_by_key(|window| window.to).map(|window| (window.to, window.to_time))
    };
    let seconds_earlier = match (end(&now), end(&then)) {
        (Some((to, _)), Some((left, _))) if to == left => Some(0),
        (Some((_, Some(to))), Some((_, Some(left)))) => Some(to.seconds().saturating_sub(left.seconds())),
        _ => None,
    };
    IfGone {
        backups: (!unreached).then_some(lost_backups),
        segments: (!unreached).then_some(lost_segments),
        to: end(&then).map(|(to, _)| to),
        seconds_earlier,
        recoverable: !then.is_empty(),
        others_unreached: unasked(seen).filter(|other| *other != region).cloned().collect(),
    }
}

/// Segments of the newest timeline that all regions together have and this one has not.
fn lag(merged: &WalHeld, own: &WalHeld) -> u64 {
    let Some(timeline) = newest_timeline(merged) else { return 0 };
    let count = |held: &WalHeld| held.timelines.get(&timeline).map_or(0, |wal| wal.segments.count());
    count(merged).saturating_sub(count(own))
}

fn behind(region: &RegionStatus) -> Vec<Finding> {
    let name = &region.region;
    let mut findings = Vec::new();
    if region.holds_newest_backup == Some(false) {
        findings.push(finding(
            "status.region-without-backup",
            format!("region {name} does not hold the newest backup"),
            "losing the other regions would lose it",
        ));
    }
    if let Some(lag) = region.lag_segments.filter(|lag| *lag > 0) {
        findings.push(finding(
            "status.region-behind",
            format!("region {name} lacks {lag} WAL segments that others hold"),
            "losing the other regions would lose them",
        ));
    }
    findings
}

#[cfg(test)]
mod tests;
