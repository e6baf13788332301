//! Which WAL there is: segments, partial segments and history files, as listing a repository tells it.
//!
//! Promises: pure; a segment that is not in here is not assumed; where two listings disagree nothing is dropped. Deliberately
//! does not know what the files hold.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{History, HistoryFile, Lsn, SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::time::Time;

/// The WAL of one lineage.
#[derive(Debug, Clone)]
pub struct WalInventory {
    size: WalSegmentSize,
    segments: BTreeMap<(Timeline, SegmentNo), Option<Time>>,
    partials: BTreeMap<(Timeline, SegmentNo), Option<Time>>,
    histories: BTreeMap<Timeline, (HistoryFile, Option<Time>)>,
}

/// A timeline above 1 without a history file: nobody knows where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no history file of timeline {timeline}")]
pub struct HistoryMissing {
    /// Which.
    pub timeline: Timeline,
}

/// How far WAL goes without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The first segment that is not there.
    pub end: SegmentNo,
    /// Whether the last segment before `end` is there only as a `.partial` file.
    pub by_partial: bool,
    /// The next segment on the way that is there again, where there is one: what is missing before it is a hole.
    pub resumes: Option<SegmentNo>,
}

impl WalInventory {
    /// An empty one for segments of this size.
    #[must_use]
    pub fn new(size: WalSegmentSize) -> Self {
        Self { size, segments: BTreeMap::new(), partials: BTreeMap::new(), histories: BTreeMap::new() }
    }

    /// A whole segment. `archived` is when it was there at the latest, which bounds the times of the commits in it.
    pub fn add_segment(&mut self, timeline: Timeline, number: SegmentNo, archived: Option<Time>) {
        let known = self.segments.entry((timeline, number)).or_insert(archived);
        *known = (*known).min(archived).or(archived);
    }

    /// A `.partial` segment.
    pub fn add_partial(&mut self, timeline: Timeline, number: SegmentNo, archived: Option<Time>) {
        self.partials.insert((timeline, number), archived);
    }

    /// A history file.
    pub fn add_history(&mut self, file: HistoryFile, archived: Option<Time>) {
        self.histories.insert(file.timeline, (file, archived));
    }

    /// The size of the segments.
    #[must_use]
    pub fn size(&self) -> WalSegmentSize {
        self.size
    }

    /// Every timeline that a segment, a partial segment or a history file speaks of.
    #[must_use]
    pub fn timelines(&self) -> BTreeSet<Timeline> {
        let of_files = self.segments.keys().chain(self.partials.keys()).map(|(timeline, _)| *timeline);
        of_files.chain(self.histories.keys().copied()).collect()
    }

    /// The ancestry of a timeline.
    pub fn history(&self, timeline: Timeline) -> Result<History, HistoryMissing> {
        match self.histories.get(&timeline) {
            Some((file, _)) => Ok(History::from_file(file)),
            None if timeline == Timeline::FIRST => Ok(History::root(timeline)),
            None => Err(HistoryMissing { timeline }),
        }
    }

    /// When the history file of a timeline was there at the latest: about when the timeline began.
    #[must_use]
    pub fn history_archived(&self, timeline: Timeline) -> Option<Time> {
        self.histories.get(&timeline).and_then(|(_, archived)| *archived)
    }

    /// Whether a whole segment is there.
    #[must_use]
    pub fn has(&self, timeline: Timeline, number: SegmentNo) -> bool {
        self.segments.contains_key(&(timeline, number))
    }

    /// How far the way of a history goes without a gap from segment `from` on.
    ///
    /// A `.partial` file counts for the last segment of the newest timeline alone: whoever follows a child reads the
    /// child's copy.
    #[must_use]
    pub fn reach(&self, history: &History, from: SegmentNo) -> Reach {
        let mut end = from;
        while self.has(history.timeline_of_segment(end, self.size), end) {
            let Some(next) = end.next() else { break };
            end = next;
        }
        let resumes = self.next_on(history, end);
        let newest = history.timeline();
        let open = resumes.is_none() && history.timeline_of_segment(end, self.size) == newest;
        let by_partial = open && self.partials.contains_key(&(newest, end));
        if by_partial {
            end = end.next().unwrap_or(end);
        }
        Reach { end, by_partial, resumes }
    }

    /// The first segment behind `after` that the history's own timelines have.
    fn next_on(&self, history: &History, after: SegmentNo) -> Option<SegmentNo> {
        let behind = after.next()?;
        let on_way = history.spans().filter_map(|span| {
            let mut there =
                self.segments.range((span.timeline, behind)..=(span.timeline, SegmentNo(u64::MAX)));
            there.find(|((timeline, number), _)| history.timeline_of_segment(*number, self.size) == *timeline)
        });
        on_way.map(|((_, number), _)| *number).min()
    }

    /// The latest time at which one of the segments `from..to` of the way was there: no commit in them is later.
    #[must_use]
    pub fn latest_archived(&self, history: &History, from: SegmentNo, to: SegmentNo) -> Option<Time> {
        let on_way = history.spans().flat_map(|span| {
            let range = (span.timeline, from)..(span.timeline, to);
            self.segments.range(range).chain(self.partials.range((span.timeline, from)..(span.timeline, to)))
        });
        let served = on_way
            .filter(|((timeline, number), _)| history.timeline_of_segment(*number, self.size) == *timeline);
        served.filter_map(|(_, archived)| *archived).max()
    }

    /// Whether a timeline has WAL of its own at or beyond a position.
    #[must_use]
    pub fn goes_beyond(&self, timeline: Timeline, position: Lsn) -> bool {
        let from = self.size.segment_of(position);
        let range = (timeline, from)..=(timeline, SegmentNo(u64::MAX));
        self.segments.range(range.clone()).chain(self.partials.range(range)).next().is_some()
    }
}
