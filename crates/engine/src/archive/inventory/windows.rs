//! How far recovery can follow a timeline from a segment on: without a hole, each segment from the one timeline that may
//! serve it.

use seawall_pg::{History, SegmentNo, WalSegmentSize};
use seawall_repo::time::Time;
use serde::Serialize;

use super::WalHeld;

/// WAL without a gap along a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// The first segment.
    pub first: SegmentNo,
    /// The last segment.
    pub last: SegmentNo,
    /// Whether the last one is there only as a `.partial` file.
    pub by_partial: bool,
    /// When the last one was first stored anywhere, where that is known.
    pub last_stored: Option<Time>,
}

/// All stretches of a history's own way from segment `from` on, in order; between two of them lies a hole.
///
/// Steps from range to range, never from segment to segment.
#[must_use]
pub fn stretches(held: &WalHeld, history: &History, from: SegmentNo, size: WalSegmentSize) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    for span in history.spans() {
        // Where a timeline is left inside a segment, the child's copy serves it.
        let begin = size.segment_of(span.begin).max(from);
        let end = span.end.map(|end| size.segment_of(end));
        let Some(wal) = held.timelines.get(&span.timeline) else { continue };
        for range in wal.segments.as_slice() {
            let first = range.first.max(begin);
            let last = match end.map(SegmentNo::prev) {
                None => range.last,
                Some(Some(before_switch)) => range.last.min(before_switch),
                Some(None) => continue,
            };
            if first <= last {
                let last_stored = range.last_stored.filter(|_| last == range.last);
                append(&mut all, Stretch { first, last, by_partial: false, last_stored });
            }
        }
        if span.end.is_none() {
            append_partial(&mut all, wal, begin);
        }
    }
    all
}

fn append(all: &mut Vec<Stretch>, next: Stretch) {
    match all.last_mut() {
        Some(before) if before.last.next() == Some(next.first) => {
            before.last = next.last;
            before.last_stored = next.last_stored;
            before.by_partial = next.by_partial;
        }
        _ => all.push(next),
    }
}

/// A `.partial` file counts only behind the last whole segment of the newest timeline.
fn append_partial(all: &mut Vec<Stretch>, wal: &super::TimelineWal, begin: SegmentNo) {
    let after = all.last().and_then(|stretch| stretch.last.next()).unwrap_or(begin);
    if let Some(range) = wal.partial.holding(after) {
        append(all, Stretch { first: after, last: after, by_partial: true, last_stored: range.last_stored });
    }
}
