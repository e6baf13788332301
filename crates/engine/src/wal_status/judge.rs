//! What was seen, judged. Pure.
//!
//! Promises: a window is a stretch of WAL without a hole that begins with a backup whose own WAL lies in it, told for all regions together
//! and for each alone; a hole is what the rules ask for and no region has.

use seawall_pg::{History, Lsn, SegmentName, SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::time::Time;
use seawall_store::RegionName;

use super::conflicts::Conflicts;
use super::look::{Histories, PlaceSeen, WalSeen};
use super::report::{
    HoleReport, Newest, RegionReport, SegmentSpan, StretchReport, SystemWal, TimelineReport, WindowReport,
};
use crate::archive::inventory::{Stretch, WalHeld, stretches};
use crate::holes::gaps;
use crate::monitor::Finding;
use crate::repository::BackupEntry;
use crate::retention::WalRanges;

/// How long a segment may be in one region only before that is told.
const ARRIVING_SECONDS: u64 = 60;

/// Stretches that a region lacks, listed one by one.
const LACKING_MAX: usize = 20;

/// Judges one system identifier.
pub(super) fn judge(
    seen: &PlaceSeen,
    now: Time,
    present: bool,
    unreached: &[(RegionName, String)],
    conflicts: Conflicts,
) -> SystemWal {
    let mut system = SystemWal {
        system: seen.place.system,
        present,
        segment_size: seen.wal.as_ref().map(|wal| wal.size.bytes()),
        timelines: Vec::new(),
        windows: Vec::new(),
        holes: Vec::new(),
        conflicts: conflicts.all,
        conflicts_unread: conflicts.unread,
        not_compared: conflicts.not_compared,
        regions: Vec::new(),
        newest: None,
        found: Vec::new(),
    };
    let Some(wal) = &seen.wal else { return system };
    let current = current(wal);
    system.found = wal.held.findings.clone();
    system.timelines = timelines(wal, current);
    let all: Vec<&BackupEntry> = seen.backups.iter().collect();
    system.windows = windows(None, &wal.held.merged, &wal.held.histories, &all, wal.size, current);
    for region in &wal.held.regions {
        let of: Vec<&BackupEntry> =
            seen.backups.iter().filter(|entry| entry.regions.contains(&region.region)).collect();
        if region.broken.is_none() && wal.held.regions.len() > 1 {
            let name = Some(&region.region);
            system.windows.extend(windows(name, &region.wal, &wal.held.histories, &of, wal.size, current));
        }
    }
    system.holes = holes(seen, wal);
    system.regions = wal
        .held
        .regions
        .iter()
        .map(|region| {
            let lists = unreached.iter().find(|(name, _)| *name == region.region);
            let unreached = region.broken.clone().or(lists.map(|(_, why)| why.clone()));
            region_report(wal, &region.region, &region.wal, unreached, now)
        })
        .collect();
    system.newest = current.and_then(|timeline| newest(wal, timeline, now));
    system
}

/// The timeline that is written now: the highest there is anything of.
fn current(wal: &WalSeen) -> Option<Timeline> {
    let held = &wal.held.merged;
    held.timelines.keys().chain(&held.histories).max().copied()
}

fn name(timeline: Timeline, number: SegmentNo, size: WalSegmentSize) -> Option<SegmentName> {
    SegmentName::new(timeline, number, size).ok()
}

fn timelines(wal: &WalSeen, current: Option<Timeline>) -> Vec<TimelineReport> {
    let held = &wal.held.merged;
    let mut all: Vec<Timeline> =
        held.timelines.keys().chain(&held.histories).chain(wal.held.histories.keys()).copied().collect();
    all.sort_unstable();
    all.dedup();
    // The first is known without a file; without WAL it says nothing.
    let is_there = |timeline: &Timeline| {
        *timeline != Timeline::FIRST || held.timelines.contains_key(timeline) || !held.histories.is_empty()
    };
    let one = |timeline: Timeline| {
        let history = wal.held.histories.get(&timeline);
        let switch = history.and_then(|history| history.switches().last());
        let of = held.timelines.get(&timeline);
        let ranges = of.map(|of| of.segments.as_slice()).unwrap_or_default();
        let stretch = |range: &crate::archive::inventory::SegmentRange| {
            Some(StretchReport {
                first: name(timeline, range.first, wal.size)?,
                last: name(timeline, range.last, wal.size)?,
                from_time: wal.stored(timeline, range.first).map(|(first, _)| first),
                to_time: range.last_stored,
            })
        };
        let behind = ranges.last().map_or(Some(SegmentNo(0)), |range| range.last.next());
        let partial = of.and_then(|of| of.partial.as_slice().last()).map(|range| range.last);
        TimelineReport {
            timeline,
            parent: switch.map(|(parent, _, _)| parent),
            fork: switch.map(|(_, _, at)| at),
            current: current == Some(timeline),
            history_known: history.is_some(),
            segments: of.map_or(0, |of| of.segments.count()),
            stretches: ranges.iter().filter_map(stretch).collect(),
            partial: partial
                .filter(|number| behind.is_some_and(|behind| *number >= behind))
                .and_then(|number| name(timeline, number, wal.size)),
        }
    };
    all.into_iter().filter(is_there).map(one).collect()
}

/// The windows of what one region has, or all together.
fn windows(
    region: Option<&RegionName>,
    held: &WalHeld,
    histories: &Histories,
    backups: &[&BackupEntry],
    size: WalSegmentSize,
    current: Option<Timeline>,
) -> Vec<WindowReport> {
    let mut windows = Vec::new();
    for (timeline, history) in histories {
        // A timeline without WAL of its own leads nowhere that its parent does not.
        if !held.timelines.contains_key(timeline) {
            continue;
        }
        for stretch in stretches(held, history, SegmentNo(0), size) {
            let within: Vec<&&BackupEntry> =
                backups.iter().filter(|entry| lies_in(entry, history, &stretch, size)).collect();
            let Some(first) = within.iter().min_by_key(|entry| entry.header.stop) else { continue };
            windows.push(WindowReport {
                region: region.cloned(),
                timeline: *timeline,
                from: first.header.stop,
                from_time: first.header.stopped,
                to: end_of(stretch.last, size),
                stored: stretch.last_stored,
                last_commit: None,
                by_partial: stretch.by_partial,
                backups: within.len() as u64,
                current: false,
            });
        }
    }
    // Of the present timeline the last one leads to the newest WAL.
    if let Some(last) =
        windows.iter_mut().filter(|window| Some(window.timeline) == current).max_by_key(|window| window.to)
    {
        last.current = true;
    }
    windows
}

/// Whether a backup belongs to the history, and all WAL it needs lies in the stretch.
fn lies_in(entry: &BackupEntry, history: &History, stretch: &Stretch, size: WalSegmentSize) -> bool {
    let header = &entry.header;
    let (first, last) = (size.segment_of(header.start), size.segment_before(header.stop));
    history.carries((header.timeline, header.start), (header.stop_timeline, header.stop))
        && stretch.first <= first
        && last <= stretch.last
}

fn end_of(last: SegmentNo, size: WalSegmentSize) -> Lsn {
    let last = last.last_lsn(size);
    last.checked_add(1).unwrap_or(last)
}

/// What no region has and somebody asks for.
fn holes(seen: &PlaceSeen, wal: &WalSeen) -> Vec<HoleReport> {
    // While a region cannot be listed nobody knows what it has.
    if wal.held.regions.iter().any(|region| region.broken.is_some()) {
        return Vec::new();
    }
    let mut holes = Vec::new();
    for (timeline, first, last) in gaps(&wal.held.merged, &wal.held.histories, &seen.backups, wal.size).iter()
    {
        for gap in wal.asked.of(timeline, (first, last)) {
            for (first, last, acknowledged) in wal.acknowledged.cut(timeline, gap) {
                let Some(missing) = span(timeline, (first, last), wal.size) else { continue };
                holes.push(HoleReport {
                    timeline,
                    missing,
                    from: first.first_lsn(wal.size).unwrap_or(Lsn::MAX),
                    to: end_of(last, wal.size),
                    before: first
                        .prev()
                        .and_then(|number| wal.stored(timeline, number))
                        .map(|(_, last)| last),
                    after: last
                        .next()
                        .and_then(|number| wal.stored(timeline, number))
                        .map(|(first, _)| first),
                    acknowledged,
                });
            }
        }
    }
    holes
}

fn span(
    timeline: Timeline,
    (first, last): (SegmentNo, SegmentNo),
    size: WalSegmentSize,
) -> Option<SegmentSpan> {
    Some(SegmentSpan {
        first: name(timeline, first, size)?,
        last: name(timeline, last, size)?,
        segments: last.0.saturating_sub(first.0).saturating_add(1),
    })
}

/// Whether a segment is its timeline's newest and was stored just now: it may be on its way to the other regions.
fn is_arriving(held: &WalHeld, timeline: Timeline, number: SegmentNo, now: Time) -> bool {
    let newest = held.timelines.get(&timeline).and_then(|wal| wal.segments.as_slice().last());
    newest.is_some_and(|newest| {
        let age = newest.last_stored.map(|stored| now.seconds().saturating_sub(stored.seconds()));
        newest.last == number && age.is_some_and(|age| age < ARRIVING_SECONDS)
    })
}

fn region_report(
    wal: &WalSeen,
    region: &RegionName,
    own: &WalHeld,
    unreached: Option<String>,
    now: Time,
) -> RegionReport {
    let ranges = |held: &WalHeld| {
        let of = held.timelines.iter().flat_map(|(timeline, wal)| {
            wal.segments
                .as_slice()
                .iter()
                .map(|range| (*timeline, range.first, range.last))
                .collect::<Vec<_>>()
        });
        WalRanges::of(of)
    };
    let (here, mut lacking) = (ranges(own), Vec::new());
    if unreached.is_none() {
        for (timeline, first, last) in ranges(&wal.held.merged).iter() {
            let last =
                if is_arriving(&wal.held.merged, timeline, last, now) { last.prev() } else { Some(last) };
            let Some(last) = last.filter(|last| first <= *last) else { continue };
            for gap in here.outside(timeline, (first, last)) {
                // What a tombstone names may have gone here already.
                let left = wal.asked.condemned().outside(timeline, gap);
                lacking.extend(left.into_iter().filter_map(|gap| span(timeline, gap, wal.size)));
            }
        }
    }
    let newest = own.timelines.values().filter_map(|wal| wal.segments.as_slice().last()?.last_stored).max();
    let lacks = lacking.iter().map(|span| span.segments).sum();
    lacking.truncate(LACKING_MAX);
    RegionReport {
        region: region.clone(),
        unreached,
        segments: own.timelines.values().map(|wal| wal.segments.count()).sum(),
        lacks,
        lacking,
        newest_stored: newest,
    }
}

fn newest(wal: &WalSeen, timeline: Timeline, now: Time) -> Option<Newest> {
    let history = wal.held.histories.get(&timeline)?;
    // A timeline that only has its history file goes on in its ancestors.
    let held = &wal.held.merged;
    let last = stretches(held, history, SegmentNo(0), wal.size).into_iter().next_back();
    let (timeline, number, stored) = match last {
        Some(stretch) => {
            (history.timeline_of_segment(stretch.last, wal.size), stretch.last, stretch.last_stored)
        }
        None => return None,
    };
    Some(Newest {
        timeline,
        segment: name(timeline, number, wal.size)?,
        end: end_of(number, wal.size),
        stored,
        age_seconds: stored.map(|stored| now.seconds().saturating_sub(stored.seconds())),
    })
}

/// What is wrong.
pub(super) fn findings(system: &SystemWal) -> Vec<Finding> {
    let finding = |id, what, hint: &str| Finding { id, what, hint: Some(hint.to_owned()) };
    let mut all = system.found.clone();
    for hole in system.holes.iter().filter(|hole| hole.acknowledged.is_none()) {
        let SegmentSpan { first, last, segments } = hole.missing;
        let which = if first == last { first.to_string() } else { format!("{first} to {last}") };
        all.push(finding(
            "wal.hole",
            format!("no region has {which} ({segments} missing): no point from {} to the next backup behind {} can be reached", hole.from, hole.to),
            &format!("if the server still has it: seawall wal push pg_wal/{first}; else: seawall wal ack-hole {first} --reason WHY --backup"),
        ));
    }
    for conflict in &system.conflicts {
        all.push(finding(
            "wal.conflict",
            format!("{}: {}", conflict.object, conflict.what),
            "nothing was overwritten; find out which host was right, and keep the other copy aside by hand",
        ));
    }
    if system.conflicts_unread > 0 {
        all.push(finding(
            "wal.conflicts-unread",
            format!("{} more files have copies of different sizes in the regions", system.conflicts_unread),
            "seawall verify compares them all",
        ));
    }
    for region in &system.regions {
        let name = &region.region;
        if region.lacks > 0 {
            let first =
                region.lacking.first().map_or_else(String::new, |span| format!(", the first {}", span.first));
            all.push(finding(
                "wal.region-lacks",
                format!("region {name} lacks {} WAL segments that others hold{first}", region.lacks),
                "losing the other regions would lose them; seawall verify says where a copy is, and how to put it there",
            ));
        }
    }
    for timeline in system.timelines.iter().filter(|one| !one.history_known) {
        all.push(finding(
            "wal.no-history",
            format!(
                "nobody knows where timeline {} comes from: its history file is in no region",
                timeline.timeline
            ),
            &format!("on the server: seawall wal push pg_wal/{:08X}.history", timeline.timeline.get()),
        ));
    }
    all
}
