//! The input with what every rule asks of it worked out once.

use std::collections::BTreeSet;

use seawall_repo::id::SystemId;
use seawall_repo::time::Time;

use super::calendar::{Calendar, Periods};
use super::lineage::Lineages;
use super::point::{Input, Point};

/// A backup and its places in the calendar.
pub(super) struct Seen<'a> {
    pub(super) point: &'a Point,
    pub(super) good: bool,
    pub(super) confirmed: bool,
    pub(super) stored: Periods,
    /// By its writer's word. A backup cannot have ended after it was stored: who says so is taken by the store's time.
    pub(super) claimed: Periods,
    pub(super) claimed_time: Time,
    /// Older than `max_age` allows.
    pub(super) expired: bool,
}

pub(super) struct Scene<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) lineages: Lineages,
    pub(super) calendar: Calendar,
    /// In the order in which they were stored.
    pub(super) points: Vec<Seen<'a>>,
    pub(super) now: Periods,
    with_good: BTreeSet<SystemId>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(input: &'a Input<'a>) -> Self {
        let calendar = Calendar::of(input.policy);
        let oldest = input.oldest_allowed();
        let seen = |point: &'a Point| {
            let claimed_time = point.claimed.min(point.stored);
            Seen {
                point,
                good: point.is_good(),
                confirmed: point.is_confirmed(),
                stored: calendar.periods(point.stored),
                claimed: calendar.periods(claimed_time),
                claimed_time,
                expired: oldest.is_some_and(|oldest| point.born() < oldest),
            }
        };
        let mut points: Vec<Seen<'a>> = input.points.iter().map(seen).collect();
        points.sort_by_key(|seen| (seen.point.stored, seen.point.position()));
        let with_good = points.iter().filter(|seen| seen.good).map(|seen| seen.point.system).collect();
        let now = calendar.periods(input.now);
        Self { input, lineages: Lineages::of(input), calendar, points, now, with_good }
    }

    /// Good backups in the order in which they were stored, with their index.
    pub(super) fn good(&self) -> impl DoubleEndedIterator<Item = (usize, &Seen<'a>)> {
        self.points.iter().enumerate().filter(|(_, seen)| seen.good)
    }

    pub(super) fn has_good(&self, system: SystemId) -> bool {
        self.with_good.contains(&system)
    }

    /// Whether WAL may lead on from it: a good backup, or any where a lineage has no good one.
    pub(super) fn leads(&self, seen: &Seen<'_>) -> bool {
        seen.good || !self.has_good(seen.point.system)
    }
}
