//! WAL of two servers under the names that a restore would read.
//!
//! Regions that were apart may each hold the WAL of another server. Whoever read now from one and now from the other would replay two
//! histories into one database, and PostgreSQL need not notice: segments can end and begin at the same places. Promise: a way on which copies
//! are known to differ is refused, and for each region a command is named that follows what is there alone.
//! Compared are names whose copies differ in size, which copies of one file never do, and of the others the last on the way; so much costs the
//! same whatever the length of the way. What comes behind the plan is not judged here.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_pg::{SegmentName, SegmentNo, Timeline, WalFileName};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_store::Held;

use super::plan::RecoveryPlan;
use crate::archive::apart::{Apart, apart};
use crate::error::{Error, Result};
use crate::repository::Repository;

/// Names whose copies differ in size that are compared: one that is not the same file is enough.
const ODD_MAX: usize = 100;
/// Names whose copies are of one size that are compared: the last on the way.
const ALIKE_MAX: usize = 64;
/// Names that are compared at the same time.
const AHEAD: usize = 8;

/// Segments that two regions or more hold, and whether their copies differ in size.
#[derive(Debug, Clone, Default)]
pub struct Doubled(BTreeMap<(Timeline, SegmentNo), bool>);

impl Doubled {
    /// Enters a segment with its copies.
    pub(super) fn see(&mut self, timeline: Timeline, number: SegmentNo, held: &[Held]) {
        if held.len() > 1 {
            let odd = held.windows(2).any(|pair| matches!(pair, [a, b] if a.size_bytes != b.size_bytes));
            self.0.insert((timeline, number), odd);
        }
    }

    /// The names to compare, of the way up to the target.
    fn names(&self, place: &Place, plan: &RecoveryPlan) -> Vec<ObjectName> {
        let on_way = |wanted: bool| {
            let ranges = plan.serve.iter().rev().flat_map(|range| {
                let last = range.last.min(plan.last_needed).max(range.first);
                self.0.range((range.timeline, range.first)..=(range.timeline, last)).rev()
            });
            ranges.filter(move |(_, odd)| **odd == wanted).map(|(at, _)| *at)
        };
        let all = on_way(true).take(ODD_MAX).chain(on_way(false).take(ALIKE_MAX));
        let name = |(timeline, number)| SegmentName::new(timeline, number, plan.segment_size).ok();
        all.filter_map(name)
            .map(|name| Named::Wal { place: place.clone(), file: WalFileName::Segment(name) }.into())
            .collect()
    }
}

/// Refuses a way on which regions hold different WAL.
///
/// # Errors
/// They do; the error names the first segment that was found, both writers, and how to follow each.
pub(super) async fn refuse(
    repository: &Repository,
    place: &Place,
    plan: &RecoveryPlan,
    doubled: &Doubled,
    as_asked: &str,
) -> Result<()> {
    let mut comparing = futures::stream::iter(doubled.names(place, plan))
        .map(|name| async move { apart(repository, &name, &[]).await.map(|apart| (name, apart)) })
        .buffered(AHEAD)
        .boxed_local();
    let mut first = None::<(ObjectName, Apart)>;
    while let Some(found) = comparing.next().await {
        let Some((name, apart)) = found else { continue };
        if first.as_ref().is_none_or(|(known, _)| name < *known) {
            first = Some((name, apart));
        }
    }
    let Some((name, apart)) = first else { return Ok(()) };
    let mut error = Error::data(
        "restore.two-writers",
        format!("regions hold WAL of two servers on the way to the target, {name} first"),
    )
    .fact("what", apart.words());
    for (follow, without) in [(&apart.one, &apart.other), (&apart.other, &apart.one)] {
        let (writer, region, without) = (follow.writer, &follow.region, &without.region);
        error = error.hint(format!(
            "to follow writer {writer}, whose WAL is in region {region}: {as_asked} --without-region {without}"
        ));
    }
    Err(error)
}
