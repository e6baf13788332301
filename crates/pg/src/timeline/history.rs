//! History files and the ancestry they tell.
//!
//! Promises: reads what the server's own reader takes (`src/backend/access/transam/timeline.c`) and is
//! stricter where a mistake would choose wrong WAL: switch positions never go back, timelines rise.
//! The reason text in a history file is for people and is never interpreted.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;
use crate::segment::{SegmentNo, WalSegmentSize};
use crate::timeline::Timeline;

/// A history file has a line for each switch; more than this is not one that PostgreSQL wrote.
const HISTORY_BYTES_MAX: usize = 4 << 20;

/// The content of `<timeline>.history`: which timelines this one grew from, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFile {
    /// The timeline whose history this is.
    pub timeline: Timeline,
    /// One entry for each ancestor, oldest first.
    pub switches: Vec<Switch>,
}

/// One line of a history file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The timeline that was left.
    pub parent: Timeline,
    /// Where it was left: its last byte lies before this position.
    pub at: Lsn,
    /// What the server wrote about the cause; invalid UTF-8 is replaced.
    pub reason: String,
}

/// Why a history file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum HistoryError {
    #[error("the history of timeline {timeline} is {bytes} bytes long, which no PostgreSQL writes")]
    TooLong { timeline: Timeline, bytes: usize },
    #[error(
        "line {line} of the history of timeline {timeline} does not hold a timeline and a switch position: {text:?}"
    )]
    Line { timeline: Timeline, line: usize, text: String },
    #[error(
        "line {line} of the history of timeline {timeline}: timeline {found} does not follow on what stands before"
    )]
    Order { timeline: Timeline, line: usize, found: Timeline },
    #[error(
        "line {line} of the history of timeline {timeline}: position {at} lies before the switch above it"
    )]
    Backwards { timeline: Timeline, line: usize, at: Lsn },
}

impl HistoryFile {
    /// Reads the history file of `timeline`.
    pub fn parse(timeline: Timeline, content: &[u8]) -> Result<Self, HistoryError> {
        if content.len() > HISTORY_BYTES_MAX {
            return Err(HistoryError::TooLong { timeline, bytes: content.len() });
        }
        let mut switches: Vec<Switch> = Vec::new();
        for (index, raw) in content.split(|&byte| byte == b'\n').enumerate() {
            let text = String::from_utf8_lossy(raw);
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let line = index.saturating_add(1);
            let switch = parse_switch(text).ok_or_else(|| HistoryError::Line {
                timeline,
                line,
                text: text.chars().take(200).collect(),
            })?;
            check_order(timeline, line, switches.last(), &switch)?;
            switches.push(switch);
        }
        Ok(Self { timeline, switches })
    }

    /// Writes it as PostgreSQL does: parent, tab, position, tab, reason.
    pub fn print(&self) -> String {
        self.switches.iter().fold(String::new(), |mut text, switch| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}\t{}\t{}", switch.parent, switch.at, switch.reason);
            text
        })
    }
}

fn parse_switch(line: &str) -> Option<Switch> {
    let (parent, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let (at, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let digits_only = parent.bytes().all(|byte| byte.is_ascii_digit());
    let parent = digits_only.then(|| parent.parse().ok()).flatten().and_then(Timeline::new)?;
    Some(Switch { parent, at: at.parse().ok()?, reason: reason.trim_start().to_owned() })
}

fn check_order(
    timeline: Timeline,
    line: usize,
    before: Option<&Switch>,
    switch: &Switch,
) -> Result<(), HistoryError> {
    let follows = before.is_none_or(|before| before.parent < switch.parent) && switch.parent < timeline;
    if !follows {
        return Err(HistoryError::Order { timeline, line, found: switch.parent });
    }
    // Equal positions are legal: a restore that ends at the very start of a timeline leaves it empty.
    if before.is_some_and(|before| switch.at < before.at) {
        return Err(HistoryError::Backwards { timeline, line, at: switch.at });
    }
    Ok(())
}

/// The stretch of WAL that belongs to one timeline of an ancestry: `begin` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The timeline.
    pub timeline: Timeline,
    /// Where it begins; zero for the first one.
    pub begin: Lsn,
    /// Where it was left; `None` for the newest, which is open.
    pub end: Option<Lsn>,
}

/// The ancestry of a timeline: spans that follow on one another without a gap, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// All but the newest.
    ancestors: Vec<Span>,
    newest: Span,
}

/// Why a stretch of WAL does not belong to a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum OutsideHistory {
    #[error("timeline {timeline} is not an ancestor of timeline {newest}")]
    NotAncestor { timeline: Timeline, newest: Timeline },
    #[error("timeline {timeline} begins at {begin}, after {start}")]
    BeforeBegin { timeline: Timeline, begin: Lsn, start: Lsn },
    #[error("timeline {newest} left timeline {timeline} at {end}, before {stop}")]
    AfterSwitch { timeline: Timeline, newest: Timeline, end: Lsn, stop: Lsn },
}

/// Two histories that cannot both be true: a timeline they share began in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "timeline {timeline} has two beginnings: {} and {}; two servers were promoted to the same timeline",
    Beginning(.here), Beginning(.there)
)]
pub struct HistoryConflict {
    /// The timeline that both know.
    pub timeline: Timeline,
    /// Its parent and first position in this history; `None` where it has no parent.
    pub here: Option<(Timeline, Lsn)>,
    /// The same in the other history.
    pub there: Option<(Timeline, Lsn)>,
}

struct Beginning<'a>(&'a Option<(Timeline, Lsn)>);

impl std::fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some((parent, at)) => write!(f, "at {at} from timeline {parent}"),
            None => f.write_str("without a parent"),
        }
    }
}

impl History {
    /// The history of a timeline without ancestors: the first one, or one whose history file never existed.
    pub fn root(timeline: Timeline) -> Self {
        Self { ancestors: Vec::new(), newest: Span { timeline, begin: Lsn::INVALID, end: None } }
    }

    /// The ancestry that a history file tells.
    pub fn from_file(file: &HistoryFile) -> Self {
        let mut begin = Lsn::INVALID;
        let ancestors = file
            .switches
            .iter()
            .map(|switch| {
                let span = Span { timeline: switch.parent, begin, end: Some(switch.at) };
                begin = switch.at;
                span
            })
            .collect();
        Self { ancestors, newest: Span { timeline: file.timeline, begin, end: None } }
    }

    /// The timeline whose history this is.
    pub fn timeline(&self) -> Timeline {
        self.newest.timeline
    }

    /// All spans, oldest first, without gaps; only the last one is open.
    pub fn spans(&self) -> impl DoubleEndedIterator<Item = Span> + '_ {
        self.ancestors.iter().copied().chain(std::iter::once(self.newest))
    }

    /// The switch points, oldest first: timeline left, timeline begun, position.
    pub fn switches(&self) -> impl Iterator<Item = (Timeline, Timeline, Lsn)> + '_ {
        self.spans()
            .zip(self.spans().skip(1))
            .map(|(left, begun)| (left.timeline, begun.timeline, begun.begin))
    }

    /// The span of one timeline, if it belongs to this history.
    pub fn span(&self, timeline: Timeline) -> Option<Span> {
        self.spans().find(|span| span.timeline == timeline)
    }

    /// Whether WAL of `timeline` from `start` up to (not including) `stop` is a part of this history.
    pub fn covers(&self, timeline: Timeline, start: Lsn, stop: Lsn) -> Result<(), OutsideHistory> {
        let newest = self.timeline();
        let span = self.span(timeline).ok_or(OutsideHistory::NotAncestor { timeline, newest })?;
        if start < span.begin {
            return Err(OutsideHistory::BeforeBegin { timeline, begin: span.begin, start });
        }
        match span.end {
            Some(end) if end < stop => Err(OutsideHistory::AfterSwitch { timeline, newest, end, stop }),
            _ => Ok(()),
        }
    }

    /// Whether the WAL of a backup, given by its two ends with their timelines, is a part of this history.
    pub fn carries(&self, start: (Timeline, Lsn), stop: (Timeline, Lsn)) -> bool {
        let ((began, start), (ended, stop)) = (start, stop);
        if began == ended {
            return self.covers(began, start, stop).is_ok();
        }
        // From a standby that followed a promotion: both ends must lie on the way.
        let begin = self.span(ended).map(|span| span.begin.max(start));
        self.covers(began, start, start).is_ok()
            && begin.is_some_and(|begin| self.covers(ended, begin, stop).is_ok())
    }

    /// The timeline to which the byte at `lsn` belongs.
    pub fn timeline_at(&self, lsn: Lsn) -> Timeline {
        self.newest_that(|span| span.begin <= lsn)
    }

    /// The one timeline whose file may serve a segment: the newest that begins in the segment or before.
    ///
    /// The child's first segment holds the parent's bytes up to the switch. The parent's own segment of that
    /// number may go on beyond the switch, with WAL of another life, so it must never be handed out.
    pub fn timeline_of_segment(&self, number: SegmentNo, size: WalSegmentSize) -> Timeline {
        let last = number.last_lsn(size);
        self.newest_that(|span| span.begin <= last)
    }

    fn newest_that(&self, holds: impl Fn(&Span) -> bool) -> Timeline {
        // The oldest span begins at zero, so for the questions asked here one always holds.
        self.spans().rev().find(holds).unwrap_or(self.newest).timeline
    }

    /// The first timeline, oldest first, that both histories know and whose beginning they tell differently.
    ///
    /// Two children that left one parent at different points are no conflict: that is an ordinary fork.
    pub fn conflict(&self, other: &Self) -> Option<HistoryConflict> {
        self.spans().find_map(|span| {
            let timeline = span.timeline;
            other.span(timeline)?;
            let (here, there) = (self.beginning(timeline), other.beginning(timeline));
            (here != there).then_some(HistoryConflict { timeline, here, there })
        })
    }

    /// Where two histories part: the newest timeline they share and how far (`None`: as far as it goes).
    ///
    /// `None` when they share nothing.
    pub fn common_with(&self, other: &Self) -> Option<(Timeline, Option<Lsn>)> {
        let shared = self
            .spans()
            .zip(other.spans())
            .take_while(|(here, there)| here.timeline == there.timeline && here.begin == there.begin);
        shared.last().map(|(here, there)| {
            let ends = [here.end, there.end];
            (here.timeline, ends.into_iter().flatten().min())
        })
    }

    fn beginning(&self, timeline: Timeline) -> Option<(Timeline, Lsn)> {
        self.switches().find(|&(_, begun, _)| begun == timeline).map(|(left, _, at)| (left, at))
    }
}

#[cfg(test)]
mod tests;
