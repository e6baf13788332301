//! What the rules of retention come to: how long something stays at least, and how old anything stored can become.
//!
//! Promises: pure, and every part of a sum is named. Regions in directories keep nothing behind a deletion: no versions, no soft
//! delete, no locks.

use super::CheckReport;
use crate::prune::RetentionRules;
use crate::retention::{MARGIN, Span};

/// Between two prunes, where they run daily.
const BETWEEN_PRUNES: Span = Span::days(1);

pub(super) fn check(report: &mut CheckReport, rules: &RetentionRules) {
    let policy = &rules.policy;
    if !policy.has_rules() {
        report.good("retention: no rule is set, so everything is kept and `prune` deletes nothing");
        return;
    }
    let (grace, delay) = (rules.grace, rules.shrink_delay);
    report.good(format!(
        "retention: what no rule keeps stays {grace} more before it is deleted; shortened rules wait {delay}"
    ));
    let Some(max_age) = policy.max_age else { return };
    let bound = oldest(max_age, grace);
    report.good(format!(
        "retention: pruned daily, no stored byte grows older than {bound}: max_age {max_age}, less {MARGIN} ahead of time, and the grace \
         {grace}, and {BETWEEN_PRUNES} between two prunes; regions in directories keep nothing behind a deletion"
    ));
    if bound > max_age.plus(BETWEEN_PRUNES) {
        report.bad(
            "check.max-age-exceeded",
            format!("with a grace of {grace}, stored bytes may grow as old as {bound}, more than max_age and a day"),
            format!("set retention.grace to at most {MARGIN}, or retention.max_age lower by the difference"),
        );
    }
}

/// How old anything stored can become.
fn oldest(max_age: Span, grace: Span) -> Span {
    max_age.minus(MARGIN).plus(grace).plus(BETWEEN_PRUNES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Policy;

    fn checked(max_age: Option<Span>, daily: u32, grace: Span) -> CheckReport {
        let mut report = CheckReport::default();
        let policy = Policy { daily, max_age, ..Policy::default() };
        check(&mut report, &RetentionRules { policy, shrink_delay: Span::days(7), grace });
        report
    }

    #[test]
    fn the_bound_on_age_is_stated_and_a_grace_that_breaks_it_is_found() {
        let fine = checked(Some(Span::days(60)), 30, Span::hours(24));
        assert!(
            fine.findings.is_empty() && fine.in_order[1].contains("older than 61 d"),
            "{:?}",
            fine.in_order
        );
        let long = checked(Some(Span::days(60)), 30, Span::days(5));
        assert_eq!(long.findings[0].id, "check.max-age-exceeded");
        assert!(long.findings[0].what.contains("65 d"), "{:?}", long.findings);
        assert_eq!(checked(None, 30, Span::days(5)).in_order.len(), 1);
        assert!(checked(Some(Span::days(60)), 0, Span::days(5)).in_order[0].contains("no rule is set"));
    }
}
