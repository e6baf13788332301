//! What the regions show, judged: windows, lags, findings, the first line. Pure.
//!
//! Promises: a window is a stretch of WAL without a hole that begins with a backup whose own WAL lies in it; a region that could
//! not be asked is unknown, never empty and never up to date. Deliberately knows no schedule: how old is too old is given.

use std::collections::BTreeMap;
use std::time::Duration;

use seawall_pg::{History, Lsn, SegmentNo, SystemIdentifier, Timeline};
use seawall_repo::id::ClusterName;
use seawall_repo::manifest::ManifestHeader;
use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::report::{Loss, NewestBackup, RegionStatus, StatusReport, Verdict, Verified, Window, span};
use crate::archive::inventory::{Stretch, WalHeld, WalInventories, stretches};
use crate::holes::by_timeline;
use crate::monitor::Finding;
use crate::retention::WalRanges;
use crate::wal_status::Lacking;

mod regions;

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
    /// What of its WAL each region lacks.
    pub(crate) lacking: BTreeMap<RegionName, Lacking>,
}

/// What else is known of a region.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Time to its answers.
    pub latency: Option<Duration>,
    /// The last verification that read it.
    pub verified: Option<Verified>,
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
    /// What else is known of them.
    pub known: BTreeMap<RegionName, Known>,
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
        .map(|(region, why)| regions::status(region, why.as_ref(), newest.as_ref(), seen))
        .collect();
    findings.extend(regions.iter().flat_map(regions::behind));
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

#[cfg(test)]
mod tests;
