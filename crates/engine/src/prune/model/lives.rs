//! A cluster's WAL as it comes to be: system identifiers, timelines that branch off, segments that are lost or late.

use std::collections::BTreeSet;

use seawall_pg::{Lsn, SegmentName, SegmentNo, SystemIdentifier, Timeline, WalFileName, WalSegmentSize};
use seawall_repo::layout::{Named, ObjectName, Place};

use crate::backup::testing::At;

/// A timeline.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) timeline: Timeline,
    /// The branch it left, by its place in the list.
    parent: Option<usize>,
    /// The segment in which it begins: its own copy of it counts.
    first: u64,
    /// The segment that is written next.
    pub(super) next: u64,
}

impl Branch {
    pub(super) fn begins_before(&self, number: u64) -> bool {
        self.first < number
    }
}

/// A system identifier and its timelines, the present one last.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) place: Place,
    pub(super) size: WalSegmentSize,
    pub(super) branches: Vec<Branch>,
    /// Segments that were lost, or came late.
    pub(super) odd: BTreeSet<(Timeline, u64)>,
}

impl Life {
    pub(super) fn new(place: Place, system: SystemIdentifier, size: WalSegmentSize) -> Self {
        let place = Place { system, ..place };
        let first = Branch { timeline: Timeline::FIRST, parent: None, first: 0, next: 10 };
        Self { place, size, branches: vec![first], odd: BTreeSet::new() }
    }

    pub(super) fn live(&self) -> usize {
        self.branches.len() - 1
    }

    /// Branches off the present timeline, so many segments before its end; the history file of the new one.
    pub(super) fn promote(&mut self, back: u64) -> (ObjectName, String) {
        let parent = self.live();
        let first = self.branches[parent].next - back;
        let timeline = Timeline::new(self.branches[parent].timeline.get() + 1).unwrap();
        self.branches.push(Branch { timeline, parent: Some(parent), first, next: first });
        let mut lines = Vec::new();
        let mut at = self.live();
        while let Some(parent) = self.branches[at].parent {
            let begin = Lsn(self.branches[at].first * self.size.bytes() + 8192);
            lines.push(format!("{}\t{begin}\tpromoted\n", self.branches[parent].timeline.get()));
            at = parent;
        }
        lines.reverse();
        let file = WalFileName::TimelineHistory(timeline);
        (Named::Wal { place: self.place.clone(), file }.to_name(), lines.concat())
    }

    pub(super) fn segment(&self, timeline: Timeline, number: u64) -> ObjectName {
        let name = SegmentName::new(timeline, SegmentNo(number), self.size).unwrap();
        Named::Wal { place: self.place.clone(), file: WalFileName::Segment(name) }.into()
    }

    /// The timeline that serves a segment on the way of a branch.
    pub(super) fn serves(&self, branch: usize, number: u64) -> Timeline {
        let mut at = branch;
        while let Some(parent) = self.branches[at].parent.filter(|_| number < self.branches[at].first) {
            at = parent;
        }
        self.branches[at].timeline
    }

    /// Whether a backup from one segment to another lies on the way of a branch.
    pub(super) fn carries(&self, branch: usize, timeline: Timeline, last: u64) -> bool {
        let mut at = branch;
        loop {
            if self.branches[at].timeline == timeline {
                return true;
            }
            // It ended before the way left its timeline: backups end near the beginning of a segment, branches further in.
            let Some(parent) = self.branches[at].parent.filter(|_| last <= self.branches[at].first) else {
                return false;
            };
            at = parent;
        }
    }

    /// Where a backup lies that begins in a segment.
    pub(super) fn at(&self, branch: usize, first: u64) -> At {
        let start = SegmentNo(first).first_lsn(self.size).unwrap();
        At {
            timeline: self.branches[branch].timeline,
            start: Lsn(start.0 + 40),
            stop: Lsn(start.0 + self.size.bytes() + 80),
            size: self.size,
        }
    }
}
