//! The window: which backups every instant that can be reached now needs to stay reachable.
//!
//! Promises: on every path of a timeline and in every stretch of its WAL that reaches into the window, a base from which the
//! whole part inside the window can be replayed, and of each later day the first backup, so that the base moves on with time;
//! the newest WAL of a lineage keeps its base however old it has become.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::{Lsn, Timeline};
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;

use super::calendar::Unit;
use super::path::{Piece, Stretch, stretches};
use super::policy::{Policy, Span};
use super::scene::{Scene, Seen};
use super::wal::WalMap;

/// WAL this young always leads on from a backup, whatever `pitr` says.
const TAIL: Span = Span::hours(24);

/// A stretch of WAL that is kept, and what it leads on from.
pub(super) struct Window {
    pub(super) system: SystemId,
    /// The timeline whose path it is.
    pub(super) timeline: Timeline,
    pub(super) base: BackupId,
    /// Later backups that will be a base, and their days' names.
    pub(super) steps: Vec<(BackupId, String)>,
    /// From the base to the end of the stretch.
    pub(super) pieces: Vec<Piece>,
    /// Whether WAL in it is as young as `pitr` asks for; otherwise it is kept as the newest of its lineage.
    pub(super) young: bool,
    /// For the newest WAL of a lineage: the last backup before its end, and what follows on it.
    pub(super) tail: Option<(BackupId, Vec<Piece>)>,
}

/// How far back instants stay reachable.
pub(super) fn reach(policy: &Policy) -> Span {
    policy.pitr.unwrap_or_default().max(TAIL)
}

/// The windows that these backups give.
pub(super) fn windows(scene: &Scene<'_>, usable: impl Fn(&Seen<'_>) -> bool) -> Vec<Window> {
    let mut windows = Vec::new();
    for (system, wal) in scene.input.wal {
        let of_system = scene.points.iter().filter(|seen| seen.point.system == *system);
        let leading: Vec<_> = of_system.filter(|seen| scene.leads(seen) && usable(seen)).collect();
        let live =
            if scene.lineages.is_superseded(*system) { BTreeSet::new() } else { live(scene, *system, wal) };
        for timeline in wal.timelines.keys() {
            let path = Path { system: *system, timeline: *timeline, live: live.contains(timeline) };
            path.windows(scene, wal, &leading, &mut windows);
        }
    }
    windows
}

/// The timelines that are the lineage's present: the one whose WAL was stored last, and the highest.
fn live(scene: &Scene<'_>, system: SystemId, wal: &WalMap) -> BTreeSet<Timeline> {
    let known =
        wal.timelines.iter().filter(|(timeline, _)| scene.input.history(system, **timeline).is_some());
    let with_time =
        known.filter_map(|(timeline, runs)| Some((runs.iter().map(|run| run.last_stored).max()?, *timeline)));
    let with_time: Vec<(Time, Timeline)> = with_time.collect();
    let last = with_time.iter().max().map(|(_, timeline)| *timeline);
    let highest = with_time.iter().map(|(_, timeline)| *timeline).max();
    last.into_iter().chain(highest).collect()
}

struct Path {
    system: SystemId,
    timeline: Timeline,
    live: bool,
}

impl Path {
    fn windows(&self, scene: &Scene<'_>, wal: &WalMap, leading: &[&Seen<'_>], windows: &mut Vec<Window>) {
        let history = scene.input.history_or_alone(self.system, self.timeline);
        let on_path: Vec<_> = leading.iter().copied().filter(|seen| seen.point.is_on(&history)).collect();
        let cutoff = reach(scene.input.policy).before(scene.input.now);
        let mut is_newest = self.live;
        for stretch in stretches(&history, wal).iter().rev() {
            let mut inside: Vec<_> =
                on_path.iter().copied().filter(|seen| stretch.holds(seen.point)).collect();
            if inside.is_empty() {
                continue;
            }
            // Where a backup ends is where instants begin to be reachable from it.
            inside.sort_by_key(|seen| (seen.point.stop, seen.point.start, seen.point.stored, seen.point.id));
            let since = stretch.stored_since(cutoff);
            if since.is_some() || is_newest {
                windows.push(self.window(scene, stretch, &inside, (cutoff, since), is_newest));
            }
            is_newest = false;
        }
    }

    fn window(
        &self,
        scene: &Scene<'_>,
        stretch: &Stretch,
        inside: &[&Seen<'_>],
        (cutoff, since): (Time, Option<Lsn>),
        is_newest: bool,
    ) -> Window {
        let steps = steps(inside);
        let leads = |seen: &&&Seen<'_>| {
            seen.point.stored <= cutoff && since.is_none_or(|since| seen.point.stop <= since)
        };
        let base = steps.iter().rposition(|seen| leads(&seen)).unwrap_or(0);
        let from =
            |seen: &Seen<'_>| stretch.from(stretch.size.segment_of(seen.point.start).0).collect::<Vec<_>>();
        let later = steps.iter().skip(base + 1);
        let name = |seen: &Seen<'_>| scene.calendar.name(Unit::Day, seen.point.stored);
        let tail = inside.last().filter(|_| is_newest).map(|seen| (seen.point.id, from(seen)));
        // `inside` is not empty, so neither are the steps.
        let first = steps.get(base).or(inside.first());
        Window {
            system: self.system,
            timeline: self.timeline,
            base: first
                .map_or_else(|| unreachable!("a stretch with a backup has a base"), |seen| seen.point.id),
            steps: later.map(|seen| (seen.point.id, name(seen))).collect(),
            pieces: first.map(|seen| from(seen)).unwrap_or_default(),
            young: since.is_some(),
            tail,
        }
    }
}

/// Of each day, the backup that was stored first and the one that ends first; in the order of their ends.
fn steps<'s, 'a>(inside: &[&'s Seen<'a>]) -> Vec<&'s Seen<'a>> {
    let mut stored: BTreeMap<i64, &Seen<'_>> = BTreeMap::new();
    let mut ending: BTreeMap<i64, BackupId> = BTreeMap::new();
    for seen in inside {
        let day = seen.stored.of(Unit::Day);
        ending.entry(day).or_insert(seen.point.id);
        let first = stored.entry(day).or_insert(seen);
        if (seen.point.stored, seen.point.position()) < (first.point.stored, first.point.position()) {
            *first = seen;
        }
    }
    let chosen: BTreeSet<BackupId> =
        stored.values().map(|seen| seen.point.id).chain(ending.into_values()).collect();
    inside.iter().copied().filter(|seen| chosen.contains(&seen.point.id)).collect()
}
