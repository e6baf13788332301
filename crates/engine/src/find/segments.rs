//! Reading what segments say, in order: in front, or by the chapter of their folder; behind, each itself; and by their records where neither
//! tells all.
//!
//! Promise: what is not looked at is a finding: holes, segments that say nothing, records that nobody tells.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use seawall_pg::{SegmentName, SegmentNo};
use seawall_repo::chapter::ChapterSegment;
use seawall_repo::wal_index::transactions::Transactions;
use seawall_repo::wal_index::{Begins, SegmentIndex};

use super::judge::Judge;
use super::read::{self, ByRecords, Says};
use super::run::{Way, numbers, told};
use crate::archive::chapters::{Told, Untold, WalSays, Whose};
use crate::error::{Kind, Result};
use crate::monitor::{Finding, Monitor};

/// Segments that are read at the same time.
const AHEAD: usize = 8;

/// What a segment says, or why nothing.
type Said = std::result::Result<(SegmentIndex, Transactions), String>;
/// What is to be told of it: a finding's id, and words.
type ToTell = Option<(&'static str, String)>;

impl Way<'_> {
    /// Reads all segments in order; how many could be looked at.
    pub(super) async fn read(
        &self,
        first: SegmentNo,
        last: SegmentNo,
        judge: &mut Judge<'_>,
        findings: &mut Vec<Finding>,
        monitor: &dyn Monitor,
    ) -> Result<u64> {
        let count = last.0.saturating_sub(first.0).saturating_add(1);
        monitor.phase("reading what segments say", Some(count.saturating_mul(self.size.bytes())));
        let there = numbers(first, last).filter_map(|number| self.name(number));
        let mut reading =
            self.told(there).map(|told| self.with_transactions(told)).buffered(AHEAD).boxed_local();
        let (mut segments, mut before) = (0, None);
        while let Some(one) = reading.next().await {
            let Says { segment, what } = one?;
            let Ok(number) = segment.number(self.size) else { continue };
            monitor.advance(self.size.bytes());
            let expected = before.map_or(first, |(number, _): (SegmentNo, _)| SegmentNo(number.0 + 1));
            self.hole(expected, number, findings);
            let beside = before.filter(|_| expected == number).map(|(_, name)| name);
            let (what, more) = self.completed(segment, beside, what).await?;
            if let Some((id, more)) = more {
                told(findings, id, more);
            }
            match what {
                Ok((index, transactions)) => {
                    segments += 1;
                    judge.segment(number, &index.marks, &transactions);
                }
                Err(why) => told(
                    findings,
                    "find.not-looked-at",
                    format!("segment {segment} was not looked at: {why}"),
                ),
            }
            before = Some((number, segment));
        }
        let expected = before.map_or(first, |(number, _)| SegmentNo(number.0 + 1));
        self.hole(expected, SegmentNo(last.0 + 1), findings);
        Ok(segments)
    }

    /// What segments say in front: each itself, or the chapter of their folder where that has one.
    fn told(
        &self,
        segments: impl Iterator<Item = SegmentName>,
    ) -> BoxStream<'_, (SegmentName, std::result::Result<SegmentIndex, Untold>)> {
        let (repository, place, size) = (self.repository, self.place, self.size);
        let says = WalSays { repository, place, size, whose: Whose::Anyones };
        let each = |told: Told| match told {
            Told::Segment { segment, index } => vec![(segment, index.map(|index| *index))],
            Told::Folder(chapter) => {
                let of = |one: &ChapterSegment| {
                    let why = || Untold::NotIndexed(one.reason.clone().unwrap_or_default());
                    (one.segment, one.index.clone().ok_or_else(why))
                };
                chapter.segments().iter().map(of).collect()
            }
        };
        says.of(segments).map(each).flat_map(futures::stream::iter).boxed()
    }

    async fn with_transactions(
        &self,
        (segment, index): (SegmentName, std::result::Result<SegmentIndex, Untold>),
    ) -> Result<Says> {
        read::with_transactions(self.repository, self.place, segment, index).await
    }

    /// What a segment says, by its records where its index is missing or does not tell all; and what is to be told of that.
    async fn completed(
        &self,
        segment: SegmentName,
        before: Option<SegmentName>,
        what: Said,
    ) -> Result<(Said, ToTell)> {
        let (lacks, id) = match &what {
            Ok((index, _))
                if index.untold.is_empty() && (before.is_none() || index.begins != Begins::UnknownRest) =>
            {
                return Ok((what, None));
            }
            Ok(_) => (
                format!("what a record that goes on in segment {segment} did is told by none"),
                "find.untold",
            ),
            Err(why) => (format!("segment {segment} says nothing of itself ({why})"), "find.no-index"),
        };
        let of = match self.records() {
            Ok(of) => of,
            Err(why) if what.is_ok() => return Ok((what, Some((id, format!("{lacks}; {why}"))))),
            Err(_) => return Ok((what, None)),
        };
        let ByRecords { told, early } =
            match read::by_records(self.repository, self.place, of, segment, before).await {
                Ok(Ok(read)) => read,
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                Ok(Err(why)) => return Ok(unread(what, id, &lacks, &why)),
                Err(error) => return Ok(unread(what, id, &lacks, &error.to_string())),
            };
        let begins = before.is_some() && told.0.begins == Begins::UnknownRest;
        let more = match (&what, begins, early) {
            // Its index could not know, and nothing is missing: that is no finding.
            (Ok(_), false, None) => None,
            (_, true, _) => Some("its records were read, but for the one that began before it".to_owned()),
            (_, _, Some(why)) => Some(format!("its records were read as far as there are any: {why}")),
            (Err(_), ..) => Some("its records were read".to_owned()),
        };
        Ok((Ok(told), more.map(|more| (id, format!("{lacks}; {more}")))))
    }

    /// Tells that segments from `expected` to before `number` are not there.
    fn hole(&self, expected: SegmentNo, number: SegmentNo, findings: &mut Vec<Finding>) {
        let Some(last) = number.prev().filter(|last| *last >= expected) else { return };
        let name = |number| {
            let timeline = self.history.timeline_of_segment(number, self.size);
            SegmentName::new(timeline, number, self.size)
                .map_or_else(|_| number.0.to_string(), |name| name.to_string())
        };
        let what =
            format!("WAL is missing: segments {} to {} were not looked at", name(expected), name(last));
        told(findings, "find.hole", what);
    }
}

/// Its records could not tell either.
fn unread(what: Said, id: &'static str, lacks: &str, why: &str) -> (Said, ToTell) {
    match what {
        Ok(_) => (what, Some((id, format!("{lacks}; its records tell nothing: {why}")))),
        Err(said) => (Err(format!("{said}; its records tell nothing either: {why}")), None),
    }
}
