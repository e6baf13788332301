//! Which WAL is kept: what makes kept backups consistent, the windows, and what nobody can judge yet.
//!
//! Promises: everything that a kept backup or an instant inside the window needs; WAL of a timeline whose history is unknown, while
//! its lineage stands or has a kept backup, and young WAL before the first backup, which a backup that is running may need, are kept too.
//! Deliberately speaks of segment numbers: the parts of a segment, its `.partial` and its `.backup` go with its number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use seawall_pg::{SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;
use serde::Serialize;

use super::decide::Decision;
use super::path::{Piece, serving, stretches};
use super::point::{Input, Point};
use super::policy::Span;
use super::scene::Scene;
use super::window::windows;

/// WAL without a base is kept this long at least: a first backup may be running.
const FIRST_BACKUP: Span = Span::days(7);

/// Segments that follow on one another on one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalRun {
    /// The first.
    pub first: SegmentNo,
    /// The last, inclusive. One that is there only as `.partial` counts.
    pub last: SegmentNo,
    /// When the earliest of them was stored, by the store, in the earliest region.
    pub first_stored: Time,
    /// When the latest of them was.
    pub last_stored: Time,
}

/// The WAL of one system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalMap {
    /// The size of its segments.
    pub size: WalSegmentSize,
    /// Runs of each timeline that do not overlap. The shorter in time, the exacter ages are: a day at most is meant.
    pub timelines: BTreeMap<Timeline, Vec<WalRun>>,
}

impl WalMap {
    /// The timeline whose end was stored last. A segment before the end that came late says nothing.
    pub(super) fn present(&self, wanted: impl Fn(&Timeline) -> bool) -> Option<Timeline> {
        let ends =
            self.timelines.iter().filter(|(timeline, _)| wanted(timeline)).filter_map(|(timeline, runs)| {
                let end = runs.iter().max_by_key(|run| run.last)?;
                Some((end.last_stored, *timeline))
            });
        ends.max().map(|(_, timeline)| timeline)
    }

    /// The runs of a timeline from its beginning on, without what would overlap.
    pub(super) fn sorted(&self, timeline: Timeline) -> Vec<WalRun> {
        let mut runs = self.timelines.get(&timeline).cloned().unwrap_or_default();
        runs.sort_by_key(|run| (run.first, run.last));
        let mut end: Option<SegmentNo> = None;
        runs.retain_mut(|run| {
            let free = end.map_or(Some(SegmentNo(0)), SegmentNo::next);
            let Some(free) = free.filter(|free| *free <= run.last) else { return false };
            run.first = run.first.max(free);
            end = Some(run.last);
            true
        });
        runs
    }
}

/// Why WAL is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum WalReason {
    /// It makes a kept backup consistent.
    Consistency {
        /// Which.
        backup: BackupId,
    },
    /// It leads on from a base, so that every instant of the window can be reached.
    Window {
        /// The base.
        base: BackupId,
    },
    /// It is the newest of its lineage.
    Tail {
        /// The last backup before its end.
        base: BackupId,
    },
    /// No backup leads here yet; one may be running.
    Young,
    /// Nobody knows the history of its timeline.
    HistoryMissing,
    /// No rule is set.
    NoRule,
}

impl fmt::Display for WalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consistency { backup } => write!(f, "makes backup {backup} consistent"),
            Self::Window { base } => write!(f, "in the window, from backup {base} on"),
            Self::Tail { base } => write!(f, "newest WAL of its lineage, from backup {base} on"),
            Self::Young => f.write_str("young, and no backup leads to it yet"),
            Self::HistoryMissing => f.write_str("the history file of its timeline is missing"),
            Self::NoRule => f.write_str("no rule is set, so everything is kept"),
        }
    }
}

/// WAL that is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct WalKeep {
    /// On which timeline.
    pub timeline: Timeline,
    /// The first segment.
    pub first: SegmentNo,
    /// The last, inclusive. There may be numbers between that are not there.
    pub last: SegmentNo,
    /// Why.
    pub reason: WalReason,
}

/// The WAL that is kept with these decisions, of every system that has WAL. Ranges may overlap where there are several reasons.
#[must_use]
pub fn wal_needed(input: &Input<'_>, decisions: &[Decision]) -> BTreeMap<SystemId, Vec<WalKeep>> {
    let scene = Scene::of(input);
    let kept: BTreeMap<BackupId, &Decision> =
        decisions.iter().filter(|decision| !decision.keep.is_empty()).map(|one| (one.id, one)).collect();
    let mut needed = Needed { input, found: BTreeMap::new() };
    for (system, wal) in input.wal {
        let keep = needed.found.entry(*system).or_default();
        if !input.policy.has_rules() || input.policy.check().is_err() {
            keep.extend(every(wal, |_| true, &WalReason::NoRule));
        }
        // Of a lineage that is over and of which no backup is kept, the history files have gone or may go: a segment that comes
        // later still, of a push that hung for weeks, leads nowhere.
        let over = scene.lineages.is_superseded(*system) && !kept.values().any(|one| one.system == *system);
        let unknown = |timeline: Timeline| !over && input.history(*system, timeline).is_none();
        keep.extend(every(wal, unknown, &WalReason::HistoryMissing));
    }
    needed.young(&scene, &kept);
    let windows = windows(&scene, |seen| kept.contains_key(&seen.point.id));
    for window in &windows {
        if let Some((base, _)) = window.steps.first() {
            needed.add(window.system, &window.pieces, &WalReason::Window { base: *base });
        }
    }
    needed.drop_expired();
    // What the floor and holds need is beyond the reach of max_age.
    for (base, pieces, system) in
        windows.iter().filter_map(|w| w.tail.as_ref().map(|(b, p)| (b, p, w.system)))
    {
        needed.add(system, pieces, &WalReason::Tail { base: *base });
    }
    for point in input.points {
        if let Some(decision) = kept.get(&point.id) {
            needed.consistency(point, decision);
        }
    }
    needed.sorted()
}

/// The history files that are kept: all of every lineage that nothing superseded, and of one of which anything is kept.
///
/// A history file costs nothing, and a promoted server finds its new timeline by asking which history files there are: with one
/// taken away, a number would be used twice.
#[must_use]
pub fn histories_needed(
    input: &Input<'_>,
    decisions: &[Decision],
    wal: &BTreeMap<SystemId, Vec<WalKeep>>,
) -> BTreeSet<(SystemId, Timeline)> {
    let scene = Scene::of(input);
    let with_backup = decisions.iter().filter(|one| !one.keep.is_empty()).map(|one| one.system);
    let with_wal = wal.iter().filter(|(_, keep)| !keep.is_empty()).map(|(system, _)| *system);
    let used: BTreeSet<SystemId> = with_backup.chain(with_wal).collect();
    let needed = |system: &SystemId| used.contains(system) || !scene.lineages.is_superseded(*system);
    input.histories.keys().filter(|(system, _)| needed(system)).copied().collect()
}

fn every<'w>(
    wal: &'w WalMap,
    wanted: impl Fn(Timeline) -> bool + 'w,
    reason: &'w WalReason,
) -> impl Iterator<Item = WalKeep> + 'w {
    let runs = wal.timelines.iter().filter(move |(timeline, _)| wanted(**timeline));
    let each = runs.flat_map(|(timeline, runs)| runs.iter().map(|run| (*timeline, *run)));
    each.map(move |(timeline, run)| WalKeep {
        timeline,
        first: run.first,
        last: run.last,
        reason: reason.clone(),
    })
}

struct Needed<'i, 'a> {
    input: &'i Input<'a>,
    found: BTreeMap<SystemId, Vec<WalKeep>>,
}

impl Needed<'_, '_> {
    fn add(&mut self, system: SystemId, pieces: &[Piece], reason: &WalReason) {
        let keep = self.found.entry(system).or_default();
        keep.extend(pieces.iter().map(|piece| WalKeep {
            timeline: piece.timeline,
            first: SegmentNo(piece.first),
            last: SegmentNo(piece.last),
            reason: reason.clone(),
        }));
    }

    /// Young WAL that no backup leads to: before the first one of its stretch, and off every path.
    fn young(&mut self, scene: &Scene<'_>, kept: &BTreeMap<BackupId, &Decision>) {
        let span = self.input.policy.pitr.unwrap_or_default().max(FIRST_BACKUP);
        let since = span.before(self.input.now);
        for (system, wal) in self.input.wal {
            let leading = scene.points.iter().filter(|seen| {
                seen.point.system == *system && scene.leads(seen) && kept.contains_key(&seen.point.id)
            });
            let leading: Vec<&Point> = leading.map(|seen| seen.point).collect();
            for timeline in wal.timelines.keys() {
                let history = self.input.history_or_alone(*system, *timeline);
                let pieces: Vec<Piece> = stretches(&history, wal)
                    .iter()
                    .flat_map(|stretch| {
                        let inside =
                            leading.iter().filter(|point| point.is_on(&history) && stretch.holds(point));
                        let first = inside.map(|point| wal.size.segment_of(point.start).0).min();
                        let until = first.map_or(Some(u64::MAX), |first| first.checked_sub(1));
                        let young =
                            stretch.pieces.clone().into_iter().filter(|piece| piece.last_stored >= since);
                        young.filter_map(move |piece| cut(piece, 0, until?)).collect::<Vec<_>>()
                    })
                    .collect();
                self.add(*system, &pieces, &WalReason::Young);
                let own = serving(&history, wal.size).into_iter().find(|(serves, _, _)| serves == timeline);
                // What lies before the timeline's own beginning is on no path.
                let until = own.map_or(Some(u64::MAX), |(_, first, _)| first.checked_sub(1));
                let stray = wal.sorted(*timeline).into_iter().filter(|run| run.last_stored >= since);
                let stray = stray.filter_map(|run| {
                    let (first, last, last_stored) = (run.first.0, run.last.0, run.last_stored);
                    cut(Piece { timeline: *timeline, first, last, last_stored }, 0, until?)
                });
                self.add(*system, &stray.collect::<Vec<_>>(), &WalReason::Young);
            }
        }
    }

    /// The WAL from a backup's start to its end, wherever a path serves it from.
    fn consistency(&mut self, point: &Point, decision: &Decision) {
        let Some(wal) = self.input.wal.get(&point.system) else { return };
        let (first, last) = (wal.size.segment_of(point.start).0, wal.size.segment_of(point.stop).0);
        let own = self.input.history_or_alone(point.system, point.stop_timeline);
        let of_system = self.input.histories.iter().filter(|((system, _), _)| *system == point.system);
        let paths = of_system.map(|(_, history)| history).filter(|history| point.is_on(history));
        let pieces: BTreeSet<(Timeline, u64, u64)> = paths
            .chain([&own])
            .flat_map(|history| serving(history, wal.size))
            .map(|(timeline, from, to)| (timeline, from.max(first), to.min(last.max(first))))
            .filter(|(_, from, to)| from <= to)
            .collect();
        let reason = WalReason::Consistency { backup: decision.id };
        let keep = self.found.entry(point.system).or_default();
        keep.extend(pieces.into_iter().map(|(timeline, first, last)| WalKeep {
            timeline,
            first: SegmentNo(first),
            last: SegmentNo(last),
            reason: reason.clone(),
        }));
    }

    /// Takes out the runs that are older than `max_age` allows.
    fn drop_expired(&mut self) {
        let Some(oldest) = self.input.oldest_allowed() else { return };
        for (system, keep) in &mut self.found {
            let Some(wal) = self.input.wal.get(system) else { continue };
            *keep = keep.iter().flat_map(|one| young_part(wal, one, oldest)).collect();
        }
    }

    /// Ranges of one reason that touch become one; in the order of timelines and numbers.
    fn sorted(self) -> BTreeMap<SystemId, Vec<WalKeep>> {
        let sort = |mut keep: Vec<WalKeep>| {
            keep.sort_by(|a, b| (&a.reason, a.timeline, a.first).cmp(&(&b.reason, b.timeline, b.first)));
            let mut joined: Vec<WalKeep> = Vec::with_capacity(keep.len());
            for one in keep {
                match joined.last_mut() {
                    Some(before) if before.is_followed_by(&one) => before.last = before.last.max(one.last),
                    _ => joined.push(one),
                }
            }
            joined.sort();
            joined
        };
        self.found.into_iter().map(|(system, keep)| (system, sort(keep))).collect()
    }
}

impl WalKeep {
    fn is_followed_by(&self, next: &Self) -> bool {
        let touches = self.last.next().is_none_or(|free| free >= next.first);
        self.reason == next.reason && self.timeline == next.timeline && touches
    }
}

fn cut(piece: Piece, from: u64, until: u64) -> Option<Piece> {
    let (first, last) = (piece.first.max(from), piece.last.min(until));
    (first <= last).then_some(Piece { first, last, ..piece })
}

/// What of a range is young enough, run by run.
fn young_part(wal: &WalMap, keep: &WalKeep, oldest: Time) -> Vec<WalKeep> {
    let runs = wal.sorted(keep.timeline).into_iter().filter(|run| run.last_stored >= oldest);
    let parts = runs.map(|run| (run.first.max(keep.first), run.last.min(keep.last)));
    parts
        .filter(|(first, last)| first <= last)
        .map(|(first, last)| WalKeep { first, last, ..keep.clone() })
        .collect()
}
