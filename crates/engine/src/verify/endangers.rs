//! What damage means: which backups cannot be restored from a region, and which points in time are out of reach there.
//!
//! Pure. A point of a timeline can be reached from a backup on its way that ends before it, with all WAL between. What a finding endangers
//! is what could be reached in its region without it and cannot with it, other holes in WAL left as they are.

use std::collections::BTreeMap;

use seawall_pg::{History, Lsn, SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::id::BackupId;
use serde::Serialize;

use super::knowledge::Backup;
use crate::archive::inventory::WalHeld;

/// Backups that a finding names; the rest are counted.
const NAMED_MAX: usize = 20;

/// A stretch of WAL no point of which can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Window {
    /// On which timeline.
    pub timeline: Timeline,
    /// From here on.
    pub from: Lsn,
    /// Up to here.
    pub to: Lsn,
}

/// What a finding endangers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Endangered {
    /// In words.
    pub what: String,
    /// Backups that cannot be restored from this region, as far as they are named.
    pub backups: Vec<BackupId>,
    /// How many more.
    pub backups_more: u64,
    /// Points that cannot be reached from this region.
    pub windows: Vec<Window>,
}

impl Endangered {
    /// Something that is neither a backup nor a point in time.
    pub(super) fn other(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    pub(super) fn new(mut backups: Vec<BackupId>, windows: Vec<Window>) -> Self {
        let more = backups.len().saturating_sub(NAMED_MAX);
        backups.truncate(NAMED_MAX);
        let what = in_words(&backups, more, &windows);
        Self { what, backups, backups_more: more as u64, windows }
    }
}

fn in_words(backups: &[BackupId], more: usize, windows: &[Window]) -> String {
    let mut parts = Vec::new();
    let shown = backups.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let rest = backups.len().saturating_sub(3) + more;
    match (backups.len(), rest) {
        (0, _) => {}
        (1, _) => parts.push(format!("backup {shown}")),
        (_, 0) => parts.push(format!("backups {shown}")),
        _ => parts.push(format!("backups {shown} and {rest} more")),
    }
    for window in windows.iter().take(3) {
        let Window { timeline, from, to } = window;
        parts.push(format!("recovery to any point from {from} to {to} on timeline {timeline}"));
    }
    if windows.len() > 3 {
        parts.push(format!("{} more stretches of WAL", windows.len() - 3));
    }
    if parts.is_empty() { "nothing that can be recovered".to_owned() } else { parts.join("; ") }
}

/// What one region has, for one system identifier.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) size: Option<WalSegmentSize>,
    pub(super) backups: BTreeMap<BackupId, Backup>,
    pub(super) wal: WalHeld,
    pub(super) histories: BTreeMap<Timeline, History>,
    /// Where no recovery gets through.
    pub(super) cuts: Vec<Cut>,
}

/// Where a recovery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Segments that are missing, or let go: the first and the last.
    Missing(Timeline, SegmentNo, SegmentNo),
    /// A segment of the second timeline that does not go on where the one before it, on the first, ends.
    Link(Timeline, Timeline, SegmentNo),
}

type Stretches = Vec<(u64, u64)>;

impl Held {
    /// The ancestry of a timeline; by itself where its history file is not there.
    pub(super) fn history(&self, timeline: Timeline) -> History {
        self.histories.get(&timeline).cloned().unwrap_or_else(|| History::root(timeline))
    }

    /// All timelines that anything is on.
    pub(super) fn timelines(&self) -> Vec<Timeline> {
        let mut all: Vec<Timeline> = self.wal.timelines.keys().copied().collect();
        all.extend(self.backups.values().map(|backup| backup.stop_timeline));
        all.extend(self.histories.keys().copied());
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The segments that make a backup consistent: timeline and number.
    pub(super) fn needed_by(&self, backup: &Backup) -> Vec<(Timeline, SegmentNo)> {
        let Some(size) = self.size else { return Vec::new() };
        let first = size.segment_of(backup.start).0;
        let last = size.segment_before(backup.stop).0.max(first);
        let history = self.history(backup.stop_timeline);
        let timeline = |number| {
            if backup.timeline == backup.stop_timeline {
                backup.timeline
            } else {
                history.timeline_of_segment(number, size)
            }
        };
        (first..=last).map(SegmentNo).map(|number| (timeline(number), number)).collect()
    }

    /// What is lost where these backups are of no use.
    pub(super) fn without_backups(&self, lost: &[BackupId]) -> Vec<Window> {
        self.lost(&self.cuts, &self.cuts, |id| !lost.contains(id))
    }

    /// Backups and points that are lost where these segments are.
    pub(super) fn without_wal(
        &self,
        timeline: Timeline,
        first: SegmentNo,
        last: SegmentNo,
    ) -> (Vec<BackupId>, Vec<Window>) {
        let hit = |backup: &&Backup| {
            self.needed_by(backup)
                .iter()
                .any(|(on, number)| *on == timeline && first <= *number && *number <= last)
        };
        let backups = self.backups.values().filter(hit).map(|backup| backup.id).collect();
        (backups, self.cut_at(Cut::Missing(timeline, first, last)))
    }

    /// Backups and points that are lost where this segment does not go on where the one before it ends.
    pub(super) fn without_link(
        &self,
        before: Timeline,
        timeline: Timeline,
        number: SegmentNo,
    ) -> (Vec<BackupId>, Vec<Window>) {
        let over = |pair: &[(Timeline, SegmentNo)]| matches!(pair, [one, other] if one.0 == before && *other == (timeline, number));
        let hit = |backup: &&Backup| self.needed_by(backup).windows(2).any(over);
        let backups = self.backups.values().filter(hit).map(|backup| backup.id).collect();
        (backups, self.cut_at(Cut::Link(before, timeline, number)))
    }

    /// What this cut costs, the others left as they are.
    fn cut_at(&self, cut: Cut) -> Vec<Window> {
        let others: Vec<_> = self.cuts.iter().copied().filter(|other| *other != cut).collect();
        let mut with = others.clone();
        with.push(cut);
        self.lost(&others, &with, |_| true)
    }

    /// What is lost where a timeline's history is not known: everything on it that begins on an ancestor.
    pub(super) fn on_timeline(&self, timeline: Timeline) -> (Vec<BackupId>, Vec<Window>) {
        let on = self.backups.values().filter(|backup| backup.stop_timeline == timeline);
        let windows = self.reach(timeline, &[], &|_| true);
        (on.map(|backup| backup.id).collect(), windows_of(timeline, windows))
    }

    fn lost(&self, before: &[Cut], after: &[Cut], usable: impl Fn(&BackupId) -> bool) -> Vec<Window> {
        let mut windows = Vec::new();
        for timeline in self.timelines() {
            let could = self.reach(timeline, before, &|_| true);
            let can = self.reach(timeline, after, &usable);
            windows.extend(windows_of(timeline, minus(&could, &can)));
        }
        windows
    }

    /// The points of a timeline's own stretch that can be reached.
    fn reach(&self, timeline: Timeline, cuts: &[Cut], usable: &dyn Fn(&BackupId) -> bool) -> Stretches {
        let (Some(size), history) = (self.size, self.history(timeline)) else { return Vec::new() };
        let Some(end) = self.end_of(timeline, size) else { return Vec::new() };
        let begin = history.span(timeline).map_or(0, |span| span.begin.0);
        let mut holes: Stretches = cuts.iter().filter_map(|cut| on_way(&history, size, *cut)).collect();
        holes.sort_unstable();
        let mut reached = Vec::new();
        for backup in self.backups.values().filter(|backup| usable(&backup.id)) {
            if history.covers(backup.stop_timeline, backup.stop, backup.stop).is_err() {
                continue;
            }
            let hole = holes.iter().find(|(_, hole_end)| *hole_end > backup.start.0);
            let limit = hole.map_or(end, |(from, _)| (*from).min(end));
            if backup.stop.0 <= limit {
                reached.push((backup.stop.0.max(begin), limit));
            }
        }
        joined(reached)
    }

    /// Where the WAL of a timeline ends, holes or not.
    fn end_of(&self, timeline: Timeline, size: WalSegmentSize) -> Option<u64> {
        let wal = self.wal.timelines.get(&timeline)?;
        let last =
            |ranges: &crate::archive::inventory::Ranges| ranges.as_slice().last().map(|range| range.last);
        let present = last(&wal.segments).max(last(&wal.partial));
        let missing = |cut: &Cut| match cut {
            Cut::Missing(on, _, last) if *on == timeline => Some(*last),
            Cut::Missing(..) | Cut::Link(..) => None,
        };
        present
            .max(self.cuts.iter().filter_map(missing).max())
            .map(|last| last.last_lsn(size).0.saturating_add(1))
    }
}

/// The stretch of a way that a cut takes away, an empty one at a broken link; none where it is not on the way.
fn on_way(history: &History, size: WalSegmentSize, cut: Cut) -> Option<(u64, u64)> {
    let (timeline, first, last) = match cut {
        Cut::Missing(timeline, first, last) => (timeline, first, last),
        Cut::Link(before, timeline, number) => {
            let serves = |number, on| history.timeline_of_segment(number, size) == on;
            let at = number.first_lsn(size)?.0;
            return (serves(number, timeline) && serves(number.prev()?, before)).then_some((at, at));
        }
    };
    let serves = |number: SegmentNo| history.timeline_of_segment(number, size) == timeline;
    if serves(first) && serves(last) {
        return Some((first.first_lsn(size)?.0, last.last_lsn(size).0.saturating_add(1)));
    }
    // The way leaves this timeline, or comes to it, within the stretch.
    let span = history.span(timeline)?;
    let first = first.max(size.segment_of(span.begin));
    let last = match span.end {
        Some(end) => last.min(size.segment_of(end).prev()?),
        None => last,
    };
    (first <= last).then(|| Some((first.first_lsn(size)?.0, last.last_lsn(size).0.saturating_add(1))))?
}

fn windows_of(timeline: Timeline, stretches: Stretches) -> Vec<Window> {
    stretches.into_iter().map(|(from, to)| Window { timeline, from: Lsn(from), to: Lsn(to) }).collect()
}

fn joined(mut stretches: Stretches) -> Stretches {
    stretches.retain(|(from, to)| from < to);
    stretches.sort_unstable();
    let mut all: Stretches = Vec::new();
    for (from, to) in stretches {
        match all.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => all.push((from, to)),
        }
    }
    all
}

/// What of the first (joined) is not in the second (joined).
fn minus(all: &Stretches, taken: &Stretches) -> Stretches {
    let mut left = Vec::new();
    for (from, to) in all {
        let mut at = *from;
        for (begin, end) in taken.iter().filter(|(begin, end)| begin < to && end > from) {
            left.push((at, *begin));
            at = at.max(*end);
        }
        left.push((at, *to));
    }
    joined(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u32 = 1 << 20;

    fn size() -> WalSegmentSize {
        WalSegmentSize::new(MIB).unwrap()
    }

    fn backup(seconds: u64, start: u64, stop: u64) -> Backup {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&seconds.to_le_bytes());
        let timeline = Timeline::FIRST;
        Backup {
            id: BackupId::from_bytes(bytes).unwrap(),
            timeline,
            stop_timeline: timeline,
            start: Lsn(start),
            stop: Lsn(stop),
            ..Backup::blank()
        }
    }

    /// Segments 1 to 20 on timeline 1, backups within segments 2 and 10.
    fn held() -> Held {
        let at = |segment: u64, byte: u64| segment * u64::from(MIB) + byte;
        let backups = [backup(1, at(2, 40), at(2, 900)), backup(2, at(10, 40), at(10, 900))];
        let mut held = Held { size: Some(size()), ..Held::default() };
        held.backups = backups.into_iter().map(|backup| (backup.id, backup)).collect();
        for number in 1..=20 {
            let name = seawall_pg::SegmentName::new(Timeline::FIRST, SegmentNo(number), size()).unwrap();
            held.wal.add(seawall_pg::WalFileName::Segment(name), Some(SegmentNo(number)), None);
        }
        held
    }

    fn said(windows: &[Window]) -> Vec<(u64, u64)> {
        windows.iter().map(|window| (window.from.0, window.to.0)).collect()
    }

    #[test]
    fn a_hole_ends_at_the_next_backup_and_spoils_the_one_it_lies_in() {
        let held = held();
        let mib = u64::from(MIB);
        let (backups, windows) = held.without_wal(Timeline::FIRST, SegmentNo(5), SegmentNo(6));
        assert_eq!((backups.len(), said(&windows)), (0, vec![(5 * mib, 10 * mib + 900)]));
        let (backups, windows) = held.without_wal(Timeline::FIRST, SegmentNo(10), SegmentNo(10));
        assert_eq!((backups.len(), said(&windows)), (1, vec![(10 * mib, 21 * mib)]));
        let (backups, windows) = held.without_wal(Timeline::FIRST, SegmentNo(1), SegmentNo(1));
        assert_eq!((backups, windows), (vec![], vec![]), "before the first backup nothing can be recovered");
    }

    #[test]
    fn a_lost_backup_costs_only_what_no_older_one_reaches() {
        let held = held();
        let ids: Vec<BackupId> = held.backups.keys().copied().collect();
        let mib = u64::from(MIB);
        assert_eq!(said(&held.without_backups(&ids[1..])), []);
        assert_eq!(said(&held.without_backups(&ids[..1])), [(2 * mib + 900, 10 * mib + 900)]);
        assert_eq!(said(&held.without_backups(&ids)), [(2 * mib + 900, 21 * mib)]);
    }

    #[test]
    fn a_hole_on_an_ancestor_is_a_hole_on_the_way_to_the_child_too() {
        let mut held = held();
        let mib = u64::from(MIB);
        let two = Timeline::new(2).unwrap();
        let file =
            seawall_pg::HistoryFile::parse(two, format!("1\t0/{:X}\tx\n", 15 * mib + 8).as_bytes()).unwrap();
        held.histories.insert(two, History::from_file(&file));
        for number in 15..=17 {
            let name = seawall_pg::SegmentName::new(two, SegmentNo(number), size()).unwrap();
            held.wal.add(seawall_pg::WalFileName::Segment(name), Some(SegmentNo(number)), None);
        }
        let (_, windows) = held.without_wal(Timeline::FIRST, SegmentNo(12), SegmentNo(12));
        assert_eq!(said(&windows), [(12 * mib, 21 * mib), (15 * mib + 8, 18 * mib)]);
        let (_, windows) = held.without_wal(Timeline::FIRST, SegmentNo(16), SegmentNo(16));
        assert_eq!(said(&windows), [(16 * mib, 21 * mib)], "the child left before");
        // A link is a cut without length, on the ways that go through both segments.
        let two_at = |number| held.without_link(two, two, SegmentNo(number)).1;
        assert_eq!(said(&two_at(16)), [(16 * mib, 18 * mib)]);
        let (_, windows) = held.without_link(Timeline::FIRST, two, SegmentNo(15));
        assert_eq!(said(&windows), [(15 * mib + 8, 18 * mib)], "where the child begins");
        let (_, windows) = held.without_link(Timeline::FIRST, Timeline::FIRST, SegmentNo(15));
        assert_eq!(said(&windows), [(15 * mib, 21 * mib)], "the child has its own copy of that one");
    }

    #[test]
    fn a_broken_link_ends_a_window_and_spoils_the_backup_it_lies_in() {
        let mut held = held();
        let (one, mib) = (Timeline::FIRST, u64::from(MIB));
        let at = |segment: u64, byte: u64| segment * mib + byte;
        let wide = backup(3, at(12, 40), at(14, 900));
        held.backups.insert(wide.id, wide);
        let (backups, windows) = held.without_link(one, one, SegmentNo(5));
        assert_eq!((backups, said(&windows)), (vec![], vec![(5 * mib, 10 * mib + 900)]));
        let (backups, windows) = held.without_link(one, one, SegmentNo(14));
        assert_eq!((backups, said(&windows)), (vec![wide.id], vec![(14 * mib, 21 * mib)]));
        // Of two cuts each is told by what it costs beside the other.
        held.cuts.push(Cut::Link(one, one, SegmentNo(5)));
        let (_, windows) = held.without_wal(one, SegmentNo(7), SegmentNo(7));
        assert_eq!(said(&windows), [], "nothing there could be reached before");
        assert_eq!(said(&held.without_link(one, one, SegmentNo(5)).1), [(5 * mib, 10 * mib + 900)]);
    }
}
