//! Which WAL would be kept if none had ever gone: what tells a gap that costs something from one that pruning left.
//!
//! Promises: pure. Every gap behind which an instant of the window lies, or the newest WAL of a lineage, is in it; no gap that
//! pruning by the same rules left is, while backups go on. Deliberately leaves out WAL that no backup leads to: kept because a first
//! backup may be running, it is let go unread once none came.

use std::collections::BTreeMap;

use seawall_pg::{SegmentNo, Timeline};
use seawall_repo::id::SystemId;

use super::decide::judge;
use super::path::serving;
use super::point::Input;
use super::ranges::WalRanges;
use super::wal::{WalMap, WalReason, WalRun, wal_needed};

/// The WAL that these rules keep where all of it is there. `input` says what is.
pub(crate) fn wal_expected(input: &Input<'_>) -> BTreeMap<SystemId, WalRanges> {
    let whole: BTreeMap<SystemId, WalMap> =
        input.wal.iter().map(|(system, wal)| (*system, filled(input, *system, wal))).collect();
    let input = Input { wal: &whole, ..*input };
    let keep = wal_needed(&input, &judge(&input));
    let of = |keep: Vec<super::wal::WalKeep>| {
        let led_to = keep.into_iter().filter(|one| one.reason != WalReason::Young);
        WalRanges::of(led_to.map(|one| (one.timeline, one.first, one.last)))
    };
    keep.into_iter().map(|(system, keep)| (system, of(keep))).collect()
}

/// WAL without its gaps: on the way of each timeline, from its first backup on. What fills a gap is as old as what comes next on the
/// way: WAL is stored in order, so it was no younger.
fn filled(input: &Input<'_>, system: SystemId, wal: &WalMap) -> WalMap {
    let of_files = input.histories.keys().filter(|(of, _)| *of == system).map(|(_, timeline)| *timeline);
    let mut fills: BTreeMap<Timeline, Vec<WalRun>> = BTreeMap::new();
    for timeline in wal.timelines.keys().copied().chain(of_files) {
        let history = input.history_or_alone(system, timeline);
        let on_way = input.points.iter().filter(|point| point.system == system && point.is_on(&history));
        let Some(mut at) = on_way.map(|point| wal.size.segment_of(point.start).0).min() else { continue };
        let serving = serving(&history, wal.size);
        for run in runs_on_way(&serving, wal) {
            for (serves, first, last) in &serving {
                let (first, last) = ((*first).max(at), (*last).min(run.first.0.saturating_sub(1)));
                if first <= last && at < run.first.0 {
                    let run = WalRun {
                        first: SegmentNo(first),
                        last: SegmentNo(last),
                        last_stored: run.first_stored,
                        ..run
                    };
                    fills.entry(*serves).or_default().push(run);
                }
            }
            at = at.max(run.last.0.saturating_add(1));
        }
    }
    let mut whole = wal.clone();
    for (timeline, fills) in fills {
        whole.timelines.entry(timeline).or_default().extend(joined(fills));
    }
    for runs in whole.timelines.values_mut() {
        runs.sort_by_key(|run| run.first);
    }
    whole
}

/// The runs that serve a way, in its order.
fn runs_on_way(serving: &[(Timeline, u64, u64)], wal: &WalMap) -> Vec<WalRun> {
    let cut = |(timeline, first, last): &(Timeline, u64, u64)| {
        let (first, last) = (SegmentNo(*first), SegmentNo(*last));
        let runs = wal.sorted(*timeline).into_iter();
        let cut =
            runs.map(move |run| WalRun { first: run.first.max(first), last: run.last.min(last), ..run });
        cut.filter(|run| run.first <= run.last).collect::<Vec<_>>()
    };
    serving.iter().flat_map(cut).collect()
}

/// Gaps of several ways that overlap become one, as young as the youngest.
fn joined(mut fills: Vec<WalRun>) -> Vec<WalRun> {
    fills.sort_by_key(|run| (run.first, run.last));
    let mut all: Vec<WalRun> = Vec::new();
    for run in fills {
        match all.last_mut() {
            Some(before) if run.first <= before.last => {
                before.last = before.last.max(run.last);
                before.first_stored = before.first_stored.min(run.first_stored);
                before.last_stored = before.last_stored.max(run.last_stored);
            }
            _ => all.push(run),
        }
    }
    all
}
