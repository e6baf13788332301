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
    /// The base, and later backups that will be one, each with its day's name; in the order of their ends.
    pub(super) steps: Vec<(BackupId, String)>,
    /// From the beginning of the earliest of them to the end of the stretch.
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
        let of_files =
            scene.input.histories.keys().filter(|(of, _)| of == system).map(|(_, timeline)| *timeline);
        let timelines: BTreeSet<Timeline> = wal.timelines.keys().copied().chain(of_files).collect();
        let live = if scene.lineages.is_superseded(*system) {
            BTreeSet::new()
        } else {
            live(scene, *system, wal, &timelines)
        };
        for timeline in &timelines {
            let path = Path { system: *system, timeline: *timeline, live: live.contains(timeline) };
            path.windows(scene, wal, &leading, &mut windows);
        }
    }
    windows
}

/// The timelines that are the lineage's present: the one whose end was stored last, and the highest, be it that only its
/// history file is there.
fn live(scene: &Scene<'_>, system: SystemId, wal: &WalMap, all: &BTreeSet<Timeline>) -> BTreeSet<Timeline> {
    let known = |timeline: &Timeline| scene.input.history(system, *timeline).is_some();
    let highest = all.iter().copied().rfind(known);
    wal.present(known).into_iter().chain(highest).collect()
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
            inside.sort_by_key(|seen| end(seen));
            let reachable = inside.first().map_or(Lsn::MAX, |seen| seen.point.stop);
            let since = stretch.stored_since(cutoff, reachable);
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
        let leads = |seen: &&Seen<'_>| {
            seen.point.stored <= cutoff && since.is_none_or(|since| seen.point.stop <= since)
        };
        // The last day that has a base. All its steps stay: were one let go, another backup of that day would take its place,
        // and the window would move on a little with each look.
        let base = steps.iter().filter(|seen| leads(seen)).map(|seen| seen.stored.of(Unit::Day)).max();
        let stays = |seen: &&Seen<'_>| base.is_none_or(|base| seen.stored.of(Unit::Day) >= base);
        let kept: Vec<_> = steps.into_iter().filter(stays).collect();
        let segment = |seen: &Seen<'_>| stretch.size.segment_of(seen.point.start).0;
        let from = |segment: u64| stretch.from(segment).collect::<Vec<_>>();
        let last = inside.iter().rfind(|seen| seen.confirmed).or(inside.last());
        let name = |seen: &Seen<'_>| scene.calendar.name(Unit::Day, seen.point.stored);
        Window {
            system: self.system,
            timeline: self.timeline,
            pieces: kept.iter().map(|seen| segment(seen)).min().map(from).unwrap_or_default(),
            steps: kept.iter().map(|seen| (seen.point.id, name(seen))).collect(),
            young: since.is_some(),
            tail: last.filter(|_| is_newest).map(|seen| (seen.point.id, from(segment(seen)))),
        }
    }
}

/// A day of the calendar, apart for confirmed and unconfirmed backups.
type Day = (i64, bool);

fn day(seen: &Seen<'_>) -> Day {
    (seen.stored.of(Unit::Day), seen.confirmed)
}

/// Where a backup ends is where instants begin to be reachable from it.
fn end(seen: &Seen<'_>) -> (Lsn, Lsn, Time, BackupId) {
    (seen.point.stop, seen.point.start, seen.point.stored, seen.point.id)
}

/// Of each day, the backup that was stored first and the one that ends first; in the order of their ends. Unconfirmed ones are
/// chosen among themselves, so that they displace none.
fn steps<'s, 'a>(inside: &[&'s Seen<'a>]) -> Vec<&'s Seen<'a>> {
    let mut stored: BTreeMap<Day, &Seen<'_>> = BTreeMap::new();
    let mut ending: BTreeMap<Day, BackupId> = BTreeMap::new();
    for seen in inside {
        ending.entry(day(seen)).or_insert(seen.point.id);
        let first = stored.entry(day(seen)).or_insert(seen);
        if (seen.point.stored, seen.point.position()) < (first.point.stored, first.point.position()) {
            *first = seen;
        }
    }
    let chosen: BTreeSet<BackupId> =
        stored.values().map(|seen| seen.point.id).chain(ending.into_values()).collect();
    inside.iter().copied().filter(|seen| chosen.contains(&seen.point.id)).collect()
}
