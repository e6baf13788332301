//! Which backups are kept, each with every reason for it, and what spoke against it.
//!
//! Promises: what several rules keep names them all; what is condemned says for each rule why not; holds win over everything,
//! the floor over all but holds, `max_age` over the rest; a policy that has no rules or cannot be applied keeps everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::time::Time;
use serde::Serialize;

use super::floor::floor;
use super::point::Input;
use super::policy::Span;
use super::rules::{Tier, least, tiers, within};
use super::scene::{Scene, Seen};
use super::simulate;
use super::window::windows;

/// What keeps a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Somebody holds it.
    Hold,
    /// What no setting lets go.
    Floor,
    /// No rule is set, or the policy cannot be applied.
    NoRule,
    /// The window needs it.
    Pitr,
    /// The newest WAL of a lineage leads on from it.
    Tail,
    /// It is young.
    Within,
    /// `last`.
    Last,
    /// `hourly`.
    Hourly,
    /// `daily`.
    Daily,
    /// `weekly`.
    Weekly,
    /// `monthly`.
    Monthly,
    /// `yearly`.
    Yearly,
    /// `min_backups`.
    MinBackups,
}

impl Rule {
    /// Its word, as in the settings and in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Floor => "floor",
            Self::NoRule => "no_rule",
            Self::Pitr => "pitr",
            Self::Tail => "tail",
            Self::Within => "within",
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
            Self::MinBackups => "min_backups",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One reason to keep a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The rule.
    pub rule: Rule,
    /// What it found, such as `first of day 2026-11-20`.
    pub text: String,
}

impl Reason {
    pub(super) fn new(rule: Rule, text: String) -> Self {
        Self { rule, text }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

/// In which way something speaks against a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is not a good backup, so no rule that counts chooses it.
    Unfit,
    /// Its writer's clock and the store's are far apart, so it takes no period from another.
    Unconfirmed,
    /// Older than `max_age`: this condemns it, or is overruled by a hold or the floor and then is a breach.
    MaxAge,
    /// Another backup was the first of its period.
    NotFirst,
    /// Its period is older than those that a rule counts.
    Outlived,
}

/// One thing that speaks against a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Against {
    /// In which way.
    pub why: Why,
    /// For people.
    pub text: String,
}

impl Against {
    pub(super) fn new(why: Why, text: String) -> Self {
        Self { why, text }
    }
}

/// What is decided about one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Which.
    pub id: BackupId,
    /// Of which lineage.
    pub system: SystemId,
    /// Every reason to keep it; none: it is condemned.
    pub keep: Vec<Reason>,
    /// What speaks against it. Of one that is kept, only what holds whichever rule is asked.
    pub against: Vec<Against>,
    /// When it will be condemned if backups go on once a day: to the day for five weeks, to the week for a year, to the month
    /// beyond. None where it is condemned now, or its end is not foreseen.
    pub leaves: Option<Time>,
}

impl Decision {
    /// Whether it is kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !self.keep.is_empty()
    }

    /// Whether `max_age` is broken by a hold or the floor.
    #[must_use]
    pub fn breaches_max_age(&self) -> bool {
        self.is_kept() && self.against.iter().any(|against| against.why == Why::MaxAge)
    }
}

/// Decides about every backup, in the order of lineages, timelines and positions, and says when each kept one will leave.
#[must_use]
pub fn decide(input: &Input<'_>) -> Vec<Decision> {
    let mut decisions = judge(input);
    let leaves = simulate::foresee(input, &decisions);
    for decision in &mut decisions {
        decision.leaves = leaves.get(&decision.id).copied();
    }
    decisions
}

/// [`decide`] without a look at the future, which takes a hundred times as long.
#[must_use]
pub fn judge(input: &Input<'_>) -> Vec<Decision> {
    let scene = Scene::of(input);
    let tiers = tiers(&scene);
    let reasons = reasons(&scene, &tiers);
    let mut order: Vec<usize> = (0..scene.points.len()).collect();
    order.sort_by_key(|at| scene.points.get(*at).map(|seen| place(&scene, seen)));
    let decided = order.into_iter().filter_map(|at| {
        let seen = scene.points.get(at)?;
        Some(decision(&scene, &tiers, seen, reasons.get(&at).cloned().unwrap_or_default()))
    });
    decided.collect()
}

fn place(scene: &Scene<'_>, seen: &Seen<'_>) -> impl Ord + use<> {
    (scene.lineages.rank(seen.point.system), seen.point.position())
}

/// Every reason to keep each backup, before `max_age`.
fn reasons(scene: &Scene<'_>, tiers: &[Tier]) -> BTreeMap<usize, Vec<Reason>> {
    let policy = scene.input.policy;
    let mut reasons: BTreeMap<usize, Vec<Reason>> = BTreeMap::new();
    let mut add = |at: usize, reason: Reason| reasons.entry(at).or_default().push(reason);
    for (at, seen) in scene.points.iter().enumerate() {
        let held = seen.point.holds.iter().map(|id| Reason::new(Rule::Hold, format!("held by {id}")));
        held.for_each(|reason| add(at, reason));
    }
    let floor = floor(scene);
    let protected: BTreeSet<BackupId> =
        floor.iter().filter_map(|(at, _)| Some(scene.points.get(*at)?.point.id)).collect();
    floor.into_iter().for_each(|(at, reason)| add(at, reason));
    if let Some(text) = keeps_all(scene) {
        (0..scene.points.len()).for_each(|at| add(at, Reason::new(Rule::NoRule, text.clone())));
        return reasons;
    }
    let stays =
        |seen: &Seen<'_>| !seen.expired || !seen.point.holds.is_empty() || protected.contains(&seen.point.id);
    let window = window_reasons(scene, stays);
    let least = least(scene);
    for (at, seen) in scene.points.iter().enumerate() {
        let by_window = window.get(&seen.point.id).into_iter().flatten().cloned();
        let by_tiers = tiers.iter().filter_map(|tier| tier.keeps(scene, at, seen));
        by_window.chain(within(policy, scene, seen)).chain(by_tiers).for_each(|reason| add(at, reason));
        if least.contains(&at) {
            add(at, Reason::new(Rule::MinBackups, format!("one of the newest {}", policy.min_backups)));
        }
    }
    reasons
}

fn keeps_all(scene: &Scene<'_>) -> Option<String> {
    match scene.input.policy.check() {
        Err(error) => Some(format!("the policy cannot be applied: {error}")),
        Ok(()) if !scene.input.policy.has_rules() => Some("no rule is set, so everything is kept".to_owned()),
        Ok(()) => None,
    }
}

fn window_reasons(scene: &Scene<'_>, usable: impl Fn(&Seen<'_>) -> bool) -> BTreeMap<BackupId, Vec<Reason>> {
    let mut reasons: BTreeMap<BackupId, Vec<Reason>> = BTreeMap::new();
    let mut add = |id: BackupId, rule: Rule, text: String| {
        let of_id = reasons.entry(id).or_default();
        // Many paths share their beginning: one word about each rule is enough.
        if !of_id.iter().any(|known| known.rule == rule) {
            of_id.push(Reason::new(rule, text));
        }
    };
    let pitr = scene.input.policy.pitr;
    for window in windows(scene, usable) {
        let rule = if pitr.is_some() && window.young { Rule::Pitr } else { Rule::Tail };
        let what = if rule == Rule::Pitr { "the window" } else { "the newest WAL" };
        for (nth, (id, day)) in window.steps.into_iter().enumerate() {
            let text = match nth {
                0 => format!("base of {what} on timeline {}", window.timeline),
                _ => format!("of day {day} in {what} on timeline {}, a later base", window.timeline),
            };
            add(id, rule, text);
        }
        if let Some((id, _)) = window.tail {
            add(id, Rule::Tail, format!("last backup before the end of timeline {}", window.timeline));
        }
    }
    reasons
}

fn decision(scene: &Scene<'_>, tiers: &[Tier], seen: &Seen<'_>, mut keep: Vec<Reason>) -> Decision {
    let mut against = always_against(scene, seen);
    if seen.expired {
        keep.retain(|reason| matches!(reason.rule, Rule::Hold | Rule::Floor));
    } else if keep.is_empty() && seen.good {
        against.extend(tiers.iter().map(|tier| tier.misses(scene, seen)));
    }
    Decision { id: seen.point.id, system: seen.point.system, keep, against, leaves: None }
}

/// What speaks against a backup whichever rule is asked.
fn always_against(scene: &Scene<'_>, seen: &Seen<'_>) -> Vec<Against> {
    let mut against = Vec::new();
    if let Some(unfit) = &seen.point.unfit {
        against.push(Against::new(Why::Unfit, unfit.clone()));
    }
    if !seen.confirmed {
        let (claimed, stored) = (seen.point.claimed, seen.point.stored);
        let text = format!(
            "its writer says it ended at {claimed}, and it was stored at {stored}: more than 24 h apart"
        );
        against.push(Against::new(Why::Unconfirmed, text));
    }
    if let (true, Some(max_age)) = (seen.expired, scene.input.policy.max_age) {
        let age = Span::between(seen.point.born(), scene.input.now).as_seconds() / 86_400;
        let what = if seen.point.oldest_bytes.is_some() { "its oldest bytes are" } else { "it is" };
        against.push(Against::new(Why::MaxAge, format!("{what} {age} days old, and max_age is {max_age}")));
    }
    against
}

/// Everything that speaks against a backup, rule by rule, also where another rule keeps it.
pub(super) fn objections(input: &Input<'_>, id: BackupId) -> Vec<Against> {
    let scene = Scene::of(input);
    let tiers = tiers(&scene);
    let found = scene.points.iter().enumerate().find(|(_, seen)| seen.point.id == id);
    let Some((at, seen)) = found else { return Vec::new() };
    let mut against = always_against(&scene, seen);
    if seen.good {
        let missed = tiers.iter().filter(|tier| tier.keeps(&scene, at, seen).is_none());
        against.extend(missed.map(|tier| tier.misses(&scene, seen)));
    }
    against
}
