//! The rules that choose backups by the calendar and by number.
//!
//! Promises: a period's backup is the first good one that was stored in it, so a choice never changes and a flood of later
//! backups displaces none; periods are counted over the whole cluster and chosen from for each lineage; an unconfirmed backup
//! never takes the place of a confirmed one.

use std::collections::{BTreeMap, BTreeSet};

use seawall_repo::id::SystemId;

use super::calendar::Unit;
use super::decide::{Against, Reason, Rule, Why};
use super::policy::{Policy, Span};
use super::scene::{Scene, Seen};

type Picks = BTreeMap<(i64, SystemId), usize>;

/// One rule that counts periods.
pub(super) struct Tier {
    rule: Rule,
    unit: Unit,
    count: u32,
    /// The newest periods that have a good, confirmed backup.
    counted: BTreeSet<i64>,
    firsts: Picks,
    /// Only for `last`.
    newests: Option<Picks>,
    /// The earliest period that an unconfirmed backup may claim.
    claims_from: i64,
    claimants: Picks,
}

/// The tiers of a policy, those that are set.
pub(super) fn tiers(scene: &Scene<'_>) -> Vec<Tier> {
    let policy = scene.input.policy;
    let all = [
        (Rule::Last, Unit::Hour, policy.last),
        (Rule::Hourly, Unit::Hour, policy.hourly),
        (Rule::Daily, Unit::Day, policy.daily),
        (Rule::Weekly, Unit::Week, policy.weekly),
        (Rule::Monthly, Unit::Month, policy.monthly),
        (Rule::Yearly, Unit::Year, policy.yearly),
    ];
    let set = all.into_iter().filter(|(_, _, count)| *count > 0);
    set.map(|(rule, unit, count)| Tier::of(scene, rule, unit, count)).collect()
}

impl Tier {
    fn of(scene: &Scene<'_>, rule: Rule, unit: Unit, count: u32) -> Self {
        let size = usize::try_from(count).unwrap_or(usize::MAX);
        let key = |seen: &Seen<'_>| (seen.stored.of(unit), seen.point.system);
        let confirmed = || scene.good().filter(|(_, seen)| seen.confirmed);
        let periods: BTreeSet<i64> = confirmed().map(|(_, seen)| seen.stored.of(unit)).collect();
        let counted: BTreeSet<i64> = periods.into_iter().rev().take(size).collect();
        let firsts: Picks = confirmed().rev().map(|(at, seen)| (key(seen), at)).collect();
        let is_last = rule == Rule::Last;
        let newests = is_last.then(|| confirmed().map(|(at, seen)| (key(seen), at)).collect());
        // `last` has no calendar of its own: as far back as the backups it counts, and any way back until it has enough.
        let claims_from = match counted.first() {
            Some(oldest) if is_last && counted.len() == size => *oldest,
            _ if is_last => i64::MIN,
            _ => scene.now.back(unit, count),
        };
        let unconfirmed = scene.good().filter(|(_, seen)| !seen.confirmed);
        let claims = unconfirmed.rev().map(|(at, seen)| ((seen.claimed.of(unit), seen.point.system), at));
        let claimants = claims.filter(|((period, _), _)| *period >= claims_from).collect();
        Self { rule, unit, count, counted, firsts, newests, claims_from, claimants }
    }

    /// Why this rule keeps a backup, if it does.
    pub(super) fn keeps(&self, scene: &Scene<'_>, at: usize, seen: &Seen<'_>) -> Option<Reason> {
        if !seen.good {
            return None;
        }
        let (period, system) = (seen.stored.of(self.unit), seen.point.system);
        if !seen.confirmed {
            let claim = (seen.claimed.of(self.unit), system);
            let name = || scene.calendar.name(self.unit, seen.claimed_time);
            let text = || format!("first of {} {} by its writer's word", self.unit.word(), name());
            return (self.claimants.get(&claim) == Some(&at)).then(|| Reason::new(self.rule, text()));
        }
        if !self.counted.contains(&period) {
            return None;
        }
        let name = || scene.calendar.name(self.unit, seen.point.stored);
        let is = |picks: &Picks| picks.get(&(period, system)) == Some(&at);
        let which = match &self.newests {
            _ if is(&self.firsts) => "first",
            Some(newests) if is(newests) => "newest",
            _ => return None,
        };
        Some(Reason::new(self.rule, format!("{which} of {} {}", self.unit.word(), name())))
    }

    /// Why this rule does not keep a good backup.
    pub(super) fn misses(&self, scene: &Scene<'_>, seen: &Seen<'_>) -> Against {
        let (unit, rule, count) = (self.unit.word(), self.rule, self.count);
        let system = seen.point.system;
        let (period, time, picks) = if seen.confirmed {
            (seen.stored.of(self.unit), seen.point.stored, &self.firsts)
        } else {
            (seen.claimed.of(self.unit), seen.claimed_time, &self.claimants)
        };
        let name = scene.calendar.name(self.unit, time);
        let counts = if seen.confirmed { self.counted.contains(&period) } else { period >= self.claims_from };
        if !counts {
            let of = if seen.confirmed { " that have a good backup" } else { "" };
            return Against::new(
                Why::Outlived,
                format!("{rule}: {unit} {name} is not among the newest {count}{of}"),
            );
        }
        let first = picks.get(&(period, system)).and_then(|at| scene.points.get(*at));
        let first = first.map_or_else(|| "another one".to_owned(), |first| first.point.id.to_string());
        Against::new(Why::NotFirst, format!("{rule}: {first} was the first of {unit} {name}"))
    }
}

/// The backups that `min_backups` keeps: the first good one of each of the newest hours that have one, of the newest lineage
/// there; where these are too few, unconfirmed ones, the newest first.
pub(super) fn least(scene: &Scene<'_>) -> BTreeSet<usize> {
    let wanted = usize::try_from(scene.input.policy.min_backups).unwrap_or(usize::MAX);
    let mut hours: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
    for (at, seen) in scene.good().filter(|(_, seen)| seen.confirmed) {
        let rank = scene.lineages.rank(seen.point.system);
        let chosen = hours.entry(seen.stored.of(Unit::Hour)).or_insert((rank, at));
        if rank > chosen.0 {
            *chosen = (rank, at);
        }
    }
    let mut kept: BTreeSet<usize> = hours.values().rev().take(wanted).map(|(_, at)| *at).collect();
    let mut others: Vec<_> = scene.good().filter(|(_, seen)| !seen.confirmed).collect();
    others.sort_by_key(|(_, seen)| std::cmp::Reverse((seen.claimed_time, seen.point.position())));
    kept.extend(others.into_iter().map(|(at, _)| at).take(wanted.saturating_sub(hours.len())));
    kept
}

/// Whether `within` keeps a backup.
pub(super) fn within(policy: &Policy, scene: &Scene<'_>, seen: &Seen<'_>) -> Option<Reason> {
    let span = policy.within.filter(|_| seen.good)?;
    let age = Span::between(seen.point.stored, scene.input.now);
    (age < span).then(|| Reason::new(Rule::Within, format!("younger than {span}")))
}
