//! The WAL along one history, cut into stretches without a hole.
//!
//! Promises: a segment is looked for on the one timeline that may serve it, as a restore does.

use seawall_pg::{History, Lsn, SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::time::Time;

use super::point::Point;
use super::wal::WalMap;

/// Segments of one timeline, all there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) timeline: Timeline,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) last_stored: Time,
}

/// Pieces that follow on one another without a hole.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) size: WalSegmentSize,
    pub(super) pieces: Vec<Piece>,
}

impl Stretch {
    pub(super) fn first(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.first)
    }

    pub(super) fn last(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.last)
    }

    /// Whether all WAL that makes the backup consistent lies in it.
    pub(super) fn holds(&self, point: &Point) -> bool {
        let first = self.size.segment_of(point.start).0;
        let last = self.size.segment_before(point.stop).0;
        self.first() <= first && last.max(first) <= self.last()
    }

    /// The pieces from a segment on.
    pub(super) fn from(&self, segment: u64) -> impl Iterator<Item = Piece> + '_ {
        let behind = self.pieces.iter().filter(move |piece| piece.last >= segment);
        behind.map(move |piece| Piece { first: piece.first.max(segment), ..*piece })
    }

    /// Where the WAL begins that was stored at a time or later, from a position on.
    pub(super) fn stored_since(&self, time: Time, position: Lsn) -> Option<Lsn> {
        let segment = self.size.segment_of(position).0;
        let piece = self.from(segment).find(|piece| piece.last_stored >= time)?;
        SegmentNo(piece.first).first_lsn(self.size).map(|first| first.max(position))
    }
}

/// Which segment numbers each timeline of a history serves: the child's copy of the segment in which it began counts.
pub(super) fn serving(history: &History, size: WalSegmentSize) -> Vec<(Timeline, u64, u64)> {
    let begins: Vec<_> = history.spans().map(|span| (span.timeline, size.segment_of(span.begin).0)).collect();
    let ends = begins.iter().skip(1).map(|(_, begin)| begin.checked_sub(1)).chain([Some(u64::MAX)]);
    let spans = begins.iter().zip(ends);
    spans
        .filter_map(|((timeline, first), last)| Some((*timeline, *first, last?)))
        .filter(|(_, f, l)| f <= l)
        .collect()
}

pub(super) fn stretches(history: &History, wal: &WalMap) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for (timeline, first, last) in serving(history, wal.size) {
        for run in wal.sorted(timeline) {
            let piece = Piece {
                timeline,
                first: run.first.0.max(first),
                last: run.last.0.min(last),
                last_stored: run.last_stored,
            };
            if piece.first > piece.last {
                continue;
            }
            match found.last_mut() {
                Some(stretch) if piece.first <= stretch.last().saturating_add(1) => {
                    stretch.pieces.push(piece);
                }
                _ => found.push(Stretch { size: wal.size, pieces: vec![piece] }),
            }
        }
    }
    found
}
