//! Tests of the compaction planner.

use proptest::prelude::*;

use super::*;
use crate::id::BackupId;

fn pack(number: u32, pages_in_use: u64, pages_stored: u64, days: u32) -> PackInUse {
    let backup = BackupId::from_bytes([0; 16]).unwrap();
    PackInUse { pack: PackId { backup, number }, pages_in_use, pages_stored, age: DAY * days }
}

/// The rule without its floor, so that small figures show it.
const RULE: CompactionRule = CompactionRule {
    rewrite_below: 0.5,
    budget_per_change: 1.5,
    budget_per_day: 0.01,
    budget_pages_min: 0,
    age_ceiling: None,
};

fn changed(pages_changed: u64) -> BackupWork {
    BackupWork { pages_changed, since_parent: Duration::ZERO }
}

fn decisions(plan: &CompactionPlan) -> Vec<Decision> {
    plan.packs.iter().map(|planned| planned.decision).collect()
}

#[test]
fn packs_under_half_use_are_rewritten_worst_first_within_the_budget() {
    let packs = [pack(0, 49, 100, 1), pack(1, 50, 100, 1), pack(2, 10, 100, 1), pack(3, 30, 100, 1)];
    let plan = plan(&packs, changed(30), &RULE);
    assert_eq!(plan.budget_pages, 45);
    assert_eq!(plan.rewrite_pages, 40);
    use Decision::*;
    assert_eq!(decisions(&plan), [KeepBeyondBudget, KeepWellUsed, RewriteLittleUsed, RewriteLittleUsed]);
}

#[test]
fn a_quiet_day_still_has_one_percent_of_the_cluster() {
    let packs = [pack(0, 9_900, 9_900, 1), pack(1, 100, 300, 1)];
    let work = BackupWork { pages_changed: 0, since_parent: DAY };
    assert_eq!(plan(&packs, work, &RULE).rewrite_pages, 100);
    let hourly = BackupWork { pages_changed: 0, since_parent: DAY / 24 };
    assert_eq!(plan(&packs, hourly, &RULE).rewrite_pages, 0);
}

#[test]
fn a_small_cluster_can_afford_its_only_pack() {
    let packs = [pack(0, 4_000, 9_000, 1)];
    assert_eq!(plan(&packs, changed(1), &RULE).rewrite_pages, 0);
    assert_eq!(plan(&packs, changed(1), &CompactionRule::default()).rewrite_pages, 4_000);
}

#[test]
fn the_ceiling_on_age_holds_whatever_the_budget_and_is_met_early_where_there_is_room() {
    let rule = CompactionRule { age_ceiling: Some(DAY * 100), ..RULE };
    let packs = [pack(0, 90, 100, 101), pack(1, 90, 100, 80), pack(2, 90, 100, 90), pack(3, 90, 100, 70)];
    use Decision::*;
    let none = plan(&packs, changed(0), &rule);
    assert_eq!(decisions(&none), [RewriteTooOld, KeepBeyondBudget, KeepBeyondBudget, KeepWellUsed]);
    let some = plan(&packs, changed(120), &rule);
    assert_eq!(decisions(&some), [RewriteTooOld, KeepBeyondBudget, RewriteAgeing, KeepWellUsed]);
}

#[test]
fn what_is_rewritten_is_stored_oldest_first() {
    let packs = [pack(0, 1, 100, 1), pack(1, 2, 100, 9), pack(2, 3, 100, 5)];
    let plan = plan(&packs, changed(100), &RULE);
    let order: Vec<_> = plan.rewrites().iter().map(|planned| planned.pack.number).collect();
    assert_eq!(order, [1, 2, 0]);
}

proptest! {
    #[test]
    fn the_budget_holds_and_nothing_better_used_goes_before_what_is_worse(
        uses in proptest::collection::vec((1..100u64, 0..400u32), 0..60), budget in 0..2000u64,
    ) {
        let packs: Vec<_> =
            uses.iter().zip(0..).map(|(&(used, days), number)| pack(number, used, 100, days)).collect();
        let plan = plan(&packs, changed(budget), &RULE);
        let rewritten: u64 =
            plan.packs.iter().filter(|p| p.decision.is_rewrite()).map(|p| p.pages_in_use).sum();
        prop_assert_eq!(rewritten, plan.rewrite_pages);
        prop_assert!(rewritten <= plan.budget_pages);
        let smallest_left = plan.packs.iter().filter(|p| p.decision == Decision::KeepBeyondBudget)
            .map(|p| p.pages_in_use).min().unwrap_or(u64::MAX);
        let largest_taken = plan.packs.iter().filter(|p| p.decision.is_rewrite())
            .map(|p| p.pages_in_use).max().unwrap_or(0);
        prop_assert!(largest_taken <= smallest_left);
    }
}
