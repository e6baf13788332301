//! Which packs a backup rewrites from the data directory.
//!
//! The rule, in order: packs older than the ceiling on age, all of them; packs of which the newest map uses less than
//! half, worst first; packs near the ceiling, oldest first, so that a ceiling never falls due for a whole cluster on
//! one day. The last two stay within a budget: 1.5 times the pages this backup changed, or 1 % of the cluster for each
//! day since the parent, whichever is more (and never less than half a pack or so, else a small cluster could not afford
//! its first pack).
//!
//! The budget is made to be enough: at a steady rate of change, rewriting at half use costs as many pages as change
//! (0.9 times in the model), so the factor 1.5 catches up after a burst, such as the day on which every pack of the
//! first full backup falls below half.
//!
//! What is rewritten goes into packs of its own, apart from what changed, in the order of `rewrites()`: oldest pack
//! first, so that what survived longest stands together and goes on surviving together.
//!
//! Promises a reason for every pack and that the budget holds but for the ceiling. Deliberately does not choose by
//! space: a pack that older backups still need is not given back by rewriting, only reads get shorter.

use std::cmp::Reverse;
use std::time::Duration;

use serde::Serialize;

use crate::pack::PackId;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A pack in use by the map as it stands after this backup's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackInUse {
    /// Which.
    pub pack: PackId,
    /// Pages in it that the newest map uses.
    pub pages_in_use: u64,
    /// Pages stored in it.
    pub pages_stored: u64,
    /// Since it was written.
    pub age: Duration,
}

impl PackInUse {
    /// Share of the stored pages that is in use, from 0 to 1.
    pub fn share_in_use(&self) -> f64 {
        if self.pages_stored == 0 { 1.0 } else { self.pages_in_use as f64 / self.pages_stored as f64 }
    }
}

/// What the backup did before compaction is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupWork {
    /// Pages it stored because they changed.
    pub pages_changed: u64,
    /// Time between the parent's start and this backup's.
    pub since_parent: Duration,
}

/// The figures of the rule; `default()` is what the bounds were proven with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompactionRule {
    /// Packs with a lower share in use are rewritten.
    pub rewrite_below: f64,
    /// Budget as a multiple of the pages that changed.
    pub budget_per_change: f64,
    /// Budget as a share of the cluster's pages for each day since the parent.
    pub budget_per_day: f64,
    /// Budget of the smallest cluster, in pages: a pack must fit, or it would never be rewritten.
    pub budget_pages_min: u64,
    /// No pack grows older than this (privacy: erased data leaves even packs that are well used).
    pub age_ceiling: Option<Duration>,
}

impl Default for CompactionRule {
    fn default() -> Self {
        Self {
            rewrite_below: 0.5,
            budget_per_change: 1.5,
            budget_per_day: 0.01,
            budget_pages_min: 8_192,
            age_ceiling: None,
        }
    }
}

/// What becomes of a pack, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Rewritten: older than the ceiling; budget or not.
    RewriteTooOld,
    /// Rewritten: too little of it is in use.
    RewriteLittleUsed,
    /// Rewritten: in the last quarter of the ceiling, and the budget has room.
    RewriteAgeing,
    /// Kept: enough of it is in use.
    KeepWellUsed,
    /// Kept for now: it should be rewritten, and the budget is spent.
    KeepBeyondBudget,
}

impl Decision {
    /// Whether the pack is rewritten.
    pub fn is_rewrite(self) -> bool {
        matches!(self, Self::RewriteTooOld | Self::RewriteLittleUsed | Self::RewriteAgeing)
    }
}

/// One pack with its decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlannedPack {
    /// Which.
    pub pack: PackId,
    /// Pages to rewrite, or to keep.
    pub pages_in_use: u64,
    /// Since it was written.
    pub age: Duration,
    /// What becomes of it.
    pub decision: Decision,
}

/// Every pack with its decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CompactionPlan {
    /// Pages that may be rewritten.
    pub budget_pages: u64,
    /// Pages that are.
    pub rewrite_pages: u64,
    /// In the order given.
    pub packs: Vec<PlannedPack>,
}

impl CompactionPlan {
    /// The packs to rewrite, in the order in which their pages are to be stored: oldest first.
    pub fn rewrites(&self) -> Vec<PlannedPack> {
        let mut chosen: Vec<_> = self.packs.iter().filter(|p| p.decision.is_rewrite()).copied().collect();
        chosen.sort_by_key(|planned| (Reverse(planned.age), planned.pack));
        chosen
    }
}

/// Decides for every pack. Packs without a page in use are not the newest map's and must not be passed.
pub fn plan(packs: &[PackInUse], work: BackupWork, rule: &CompactionRule) -> CompactionPlan {
    let budget_pages = budget(packs, work, rule);
    let mut decisions = vec![Decision::KeepWellUsed; packs.len()];
    let mut rewrite_pages = 0u64;
    for (index, pack) in in_order(packs, rule) {
        let wanted = wish(pack, rule);
        let fits = rewrite_pages.saturating_add(pack.pages_in_use) <= budget_pages;
        let decision = match wanted {
            Decision::RewriteLittleUsed | Decision::RewriteAgeing if !fits => Decision::KeepBeyondBudget,
            other => other,
        };
        if decision.is_rewrite() {
            rewrite_pages = rewrite_pages.saturating_add(pack.pages_in_use);
        }
        if let Some(slot) = decisions.get_mut(index) {
            *slot = decision;
        }
    }
    let planned = packs.iter().zip(decisions).map(|(pack, decision)| PlannedPack {
        pack: pack.pack,
        pages_in_use: pack.pages_in_use,
        age: pack.age,
        decision,
    });
    CompactionPlan { budget_pages, rewrite_pages, packs: planned.collect() }
}

fn budget(packs: &[PackInUse], work: BackupWork, rule: &CompactionRule) -> u64 {
    let cluster: u64 = packs.iter().map(|pack| pack.pages_in_use).sum();
    let days = work.since_parent.as_secs_f64() / DAY.as_secs_f64();
    let by_change = work.pages_changed as f64 * rule.budget_per_change;
    let by_time = cluster as f64 * rule.budget_per_day * days;
    (by_change.max(by_time) as u64).max(rule.budget_pages_min)
}

/// What would be done with a pack if the budget had no end.
fn wish(pack: &PackInUse, rule: &CompactionRule) -> Decision {
    match rule.age_ceiling {
        Some(ceiling) if pack.age > ceiling => Decision::RewriteTooOld,
        _ if pack.share_in_use() < rule.rewrite_below => Decision::RewriteLittleUsed,
        Some(ceiling) if pack.age > ceiling.mul_f64(0.75) => Decision::RewriteAgeing,
        _ => Decision::KeepWellUsed,
    }
}

/// The packs in the order in which they may take from the budget.
fn in_order<'a>(packs: &'a [PackInUse], rule: &CompactionRule) -> Vec<(usize, &'a PackInUse)> {
    let mut order: Vec<_> = packs.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| {
        let class = |pack: &PackInUse| match wish(pack, rule) {
            Decision::RewriteTooOld => 0,
            Decision::RewriteLittleUsed => 1,
            _ => 2,
        };
        let by_use = || match class(a) {
            1 => a.share_in_use().total_cmp(&b.share_in_use()),
            _ => b.age.cmp(&a.age),
        };
        class(a).cmp(&class(b)).then_with(by_use).then_with(|| a.pack.cmp(&b.pack))
    });
    order
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
