//! One region: what it would be worth alone, what it lacks, what would be lost with it.
//!
//! Promises: what lies before a region's own oldest backup is nothing that it lacks: it may have let that go earlier than others. A region
//! that could not be asked lacks nobody knows what.

use seawall_pg::{SegmentNo, Timeline};
use seawall_store::RegionName;

use super::super::report::{IfGone, Lag, NewestBackup, RegionStatus, Window};
use super::{BackupSeen, Seen, SystemSeen, finding, newest_timeline, windows_of};
use crate::archive::inventory::{RegionWal, WalHeld};
use crate::monitor::Finding;

pub(super) fn status(
    region: &RegionName,
    why: Option<&String>,
    newest: Option<&NewestBackup>,
    seen: &Seen,
) -> RegionStatus {
    let present = seen.systems.last();
    let wal = present.and_then(|system| system.wal.as_ref());
    let own = wal.and_then(|wal| wal.regions.iter().find(|known| known.region == *region));
    let broken = own.and_then(|own| own.broken.clone());
    let unreached = why.cloned().or(broken);
    let reached = unreached.is_none();
    let windows = if reached { windows_alone(region, seen) } else { Vec::new() };
    let known = seen.known.get(region).cloned().unwrap_or_default();
    RegionStatus {
        region: region.clone(),
        latency_ms: known.latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
        holds_newest_backup: newest.filter(|_| reached).map(|newest| newest.regions.contains(region)),
        lag_segments: reached.then(|| lag_segments(region, own, present)),
        lag: reached.then(|| behind_by(region, &windows, seen)),
        windows,
        verified: known.verified,
        if_gone: (seen.regions.len() > 1).then(|| if_gone(region, !reached, seen)),
        unreached,
    }
}

/// Whether a backup is shown by a region.
fn shows(backup: &BackupSeen, region: &RegionName) -> bool {
    backup.regions.contains(region)
}

/// The oldest backup that a region shows.
fn oldest<'a>(system: &'a SystemSeen, region: &RegionName) -> Option<&'a BackupSeen> {
    system.backups.iter().filter(|backup| shows(backup, region)).min_by_key(|backup| backup.header.start)
}

fn lag_segments(region: &RegionName, own: Option<&RegionWal>, present: Option<&SystemSeen>) -> u64 {
    let (Some(system), Some(own)) = (present, own) else { return 0 };
    let Some(wal) = &system.wal else { return 0 };
    let from = oldest(system, region).map_or(SegmentNo(0), |backup| wal.size.segment_of(backup.header.start));
    lag(&wal.merged, &own.wal, from)
}

/// What others have and it has not. Of a backup without a manifest there some objects may be there already.
fn behind_by(region: &RegionName, windows: &[Window], seen: &Seen) -> Lag {
    let mut lag = Lag { objects: 0, bytes: 0, seconds: seconds_behind(windows, seen) };
    for system in &seen.systems {
        let since = oldest(system, region).map(|backup| backup.header.start);
        let lacking = system.backups.iter().filter(|backup| {
            !shows(backup, region) && since.is_none_or(|since| backup.header.start >= since)
        });
        for backup in lacking {
            let header = &backup.header;
            lag.objects += u64::from(header.packs) + u64::from(header.maps) + 1;
            lag.bytes += header.stored;
        }
        if let Some(wal) = system.lacking.get(region) {
            lag.objects += wal.objects;
            lag.bytes += wal.bytes;
        }
    }
    lag
}

/// How much earlier the newest WAL that it has was stored than the newest there is, on the way of the newest WAL.
fn seconds_behind(windows: &[Window], seen: &Seen) -> Option<u64> {
    let present = seen.systems.last()?;
    let newest = newest_timeline(&present.wal.as_ref()?.merged)?;
    let end = |windows: &[Window]| {
        let on_it =
            windows.iter().filter(|window| window.system == present.system && window.timeline == newest);
        on_it.max_by_key(|window| window.to).map(|window| (window.to, window.to_time))
    };
    let all: Vec<Window> = seen.systems.iter().flat_map(|system| windows_of(system, seen)).collect();
    match (end(&all)?, end(windows)?) {
        ((to, _), (own, _)) if to == own => Some(0),
        ((_, to), (_, own)) => Some(to?.seconds().saturating_sub(own?.seconds())),
    }
}

/// Windows with what this region has, and nothing else.
fn windows_alone(region: &RegionName, seen: &Seen) -> Vec<Window> {
    let mut alone = seen.clone();
    for system in &mut alone.systems {
        system.backups.retain(|backup| shows(backup, region));
        if let Some(wal) = &mut system.wal {
            let own = wal.regions.iter().find(|known| known.region == *region);
            let own = own.map(|own| own.wal.clone()).unwrap_or_default();
            wal.histories
                .retain(|timeline, _| *timeline == Timeline::FIRST || own.histories.contains(timeline));
            wal.merged = own;
        }
    }
    alone.systems.iter().flat_map(|system| windows_of(system, &alone)).collect()
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

/// Segments of the newest timeline that all regions together have and this one has not, from `from` on.
fn lag(merged: &WalHeld, own: &WalHeld, from: SegmentNo) -> u64 {
    let Some(timeline) = newest_timeline(merged) else { return 0 };
    let count = |held: &WalHeld| held.timelines.get(&timeline).map_or(0, |wal| wal.segments.count_from(from));
    count(merged).saturating_sub(count(own))
}

pub(super) fn behind(region: &RegionStatus) -> Vec<Finding> {
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
