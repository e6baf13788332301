//! What the rules of retention and the buckets' own come to: how long something stays at least, and how old anything stored can become.
//!
//! Promises: pure, and every part of a sum is named. What a bucket does not tell is no part of a sum: then the sum is no bound, which is
//! said. Regions in directories keep nothing behind a deletion: no versions, no soft delete, no locks.

use seawall_store::bucket::about::{About, Versions};

use super::CheckReport;
use super::places::Place;
use crate::prune::RetentionRules;
use crate::retention::{MARGIN, Span};

/// Between two prunes, where they run daily.
const BETWEEN_PRUNES: Span = Span::days(1);

pub(super) fn check(report: &mut CheckReport, rules: &RetentionRules, places: &[Place]) {
    for (place, about) in places.iter().filter_map(|place| Some((place, place.about.as_ref()?))) {
        lock(report, place, about);
    }
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
    let mut plain = Vec::new();
    for place in places {
        match &place.about {
            Some(about) => in_bucket(report, place, about, (max_age, grace)),
            None => plain.push(place.region.as_str()),
        }
    }
    if !plain.is_empty() || places.is_empty() {
        let beside = "regions in directories keep nothing behind a deletion";
        let sum = Sum::new(max_age, grace);
        report.good(format!("retention: {}; {beside}", sum.words()));
        sum.judge(report, max_age, grace, "");
    }
}

/// What a bucket's lock comes to, whatever the rules.
fn lock(report: &mut CheckReport, place: &Place, about: &About) {
    let Ok(Some(lock)) = &about.lock else { return };
    let end = match lock.is_final {
        true => "nobody can lift that",
        false => "who may change the bucket can lift that",
    };
    report.good(format!(
        "region {}: objects cannot be deleted or replaced before they are {} old; {end}. prune deletes them when it ends",
        place.region,
        Span::seconds(lock.period.as_secs())
    ));
}

fn in_bucket(report: &mut CheckReport, place: &Place, about: &About, (max_age, grace): (Span, Span)) {
    let region = &place.region;
    let mut sum = Sum::new(max_age, grace);
    if let Ok(Some(lock)) = &about.lock {
        let period = Span::seconds(lock.period.as_secs());
        sum.locked(period);
        if period > max_age {
            report.bad(
                "check.lock-outlives-max-age",
                format!("region {region} keeps every object for {period}, and nothing may be older than max_age {max_age}"),
                "shorten the bucket's retention period while that can be done, move the region to another bucket, or set retention.max_age higher",
            );
        }
    }
    if let Ok(Some(kept)) = &about.soft_delete {
        sum.add(Span::seconds(kept.as_secs()), "of soft delete");
    }
    match &about.versions {
        Ok(Versions::Kept(Some(kept))) => sum.add(Span::seconds(kept.as_secs()), "as older versions"),
        Ok(Versions::Kept(None)) => {
            report.bad(
                "check.versions-kept",
                format!("region {region} keeps what was deleted as older versions, without an end: max_age {max_age} does not hold there"),
                "add a rule to the bucket that deletes older versions after some days (Google: daysSinceNoncurrentTime, S3: NoncurrentVersionExpiration), or switch versions off",
            );
            return;
        }
        Ok(Versions::Off) | Err(_) => {}
    }
    if about.lock.is_err() || about.soft_delete.is_err() || about.versions.is_err() {
        report.bad(
            "check.max-age-not-told",
            format!("how long region {region} keeps what was deleted was not told: whether max_age {max_age} holds there is not known"),
            "let this login read the bucket's settings; the notes name the right",
        );
        return;
    }
    report.good(format!("retention in region {region}: {}", sum.words()));
    sum.judge(report, max_age, grace, &format!(" in region {region}"));
}

/// How old anything stored can become, and what that is made of.
struct Sum {
    bound: Span,
    parts: Vec<String>,
}

impl Sum {
    fn new(max_age: Span, grace: Span) -> Self {
        let bound = max_age.minus(MARGIN).plus(grace).plus(BETWEEN_PRUNES);
        let first = format!("max_age {max_age}, less {MARGIN} ahead of time, and the grace {grace}");
        Self { bound, parts: vec![first, format!("{BETWEEN_PRUNES} between two prunes")] }
    }

    /// Nothing leaves earlier than a lock ends, and then with the next prune.
    fn locked(&mut self, period: Span) {
        let then = period.plus(BETWEEN_PRUNES);
        if then > self.bound {
            *self = Self {
                bound: then,
                parts: vec![format!("the lock's {period}"), format!("{BETWEEN_PRUNES} between two prunes")],
            };
        }
    }

    fn add(&mut self, span: Span, what: &str) {
        self.bound = self.bound.plus(span);
        self.parts.push(format!("{span} {what}"));
    }

    fn words(&self) -> String {
        format!("pruned daily, no stored byte grows older than {}: {}", self.bound, self.parts.join(", and "))
    }

    fn judge(&self, report: &mut CheckReport, max_age: Span, grace: Span, place: &str) {
        if self.bound > max_age.plus(BETWEEN_PRUNES) {
            let cure = match grace > MARGIN {
                true => format!(
                    "set retention.grace to at most {MARGIN}, or retention.max_age lower by the difference"
                ),
                false => "shorten what the bucket keeps, or set retention.max_age lower by the difference"
                    .to_owned(),
            };
            report.bad(
                "check.max-age-exceeded",
                format!(
                    "stored bytes may grow as old as {}{place}, more than max_age and a day: {}",
                    self.bound,
                    self.parts.join(", and ")
                ),
                cure,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seawall_store::bucket::about::{Lock, NotTold};

    use super::super::places::tests::{about, place};
    use super::*;
    use crate::retention::Policy;

    fn rules(max_age: Option<Span>, daily: u32, grace: Span) -> RetentionRules {
        let policy = Policy { daily, max_age, ..Policy::default() };
        RetentionRules { policy, shrink_delay: Span::days(7), grace }
    }

    fn checked(max_age: Option<Span>, daily: u32, grace: Span) -> CheckReport {
        let mut report = CheckReport::default();
        check(&mut report, &rules(max_age, daily, grace), &[]);
        report
    }

    /// With a max_age of 60 days and the usual grace, in a bucket with these settings.
    fn in_a_bucket(change: impl FnOnce(&mut About)) -> CheckReport {
        let mut of = about("a", Err(NotTold("not asked".to_owned())), "project 1");
        change(&mut of);
        let mut report = CheckReport::default();
        check(
            &mut report,
            &rules(Some(Span::days(60)), 30, Span::hours(24)),
            &[place("one", "gs://a/pg", of)],
        );
        assert!(report.findings.iter().all(|finding| finding.hint.is_some()));
        report
    }

    fn ids(report: &CheckReport) -> Vec<&'static str> {
        report.findings.iter().map(|finding| finding.id).collect()
    }

    fn days(count: u64) -> Duration {
        Duration::from_secs(count * 24 * 3600)
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

    #[test]
    fn soft_delete_and_versions_are_added_up() {
        let plain = in_a_bucket(|_| {});
        assert!(plain.findings.is_empty() && plain.in_order[1].contains("older than 61 d"), "{plain:?}");
        let both = in_a_bucket(|about| {
            about.soft_delete = Ok(Some(days(7)));
            about.versions = Ok(Versions::Kept(Some(days(3))));
        });
        assert_eq!(ids(&both), ["check.max-age-exceeded"]);
        assert!(both.findings[0].what.contains("71 d"), "{both:?}");
        assert!(both.in_order[1].contains("7 d of soft delete, and 3 d as older versions"), "{both:?}");
        assert_eq!(
            ids(&in_a_bucket(|about| about.versions = Ok(Versions::Kept(None)))),
            ["check.versions-kept"]
        );
    }

    #[test]
    fn a_lock_within_max_age_is_told_and_one_beyond_it_is_found() {
        let locked = |count| {
            in_a_bucket(|about| about.lock = Ok(Some(Lock { period: days(count), is_final: count > 30 })))
        };
        let short = locked(30);
        assert!(
            short.findings.is_empty() && short.in_order[0].contains("before they are 30 d old"),
            "{short:?}"
        );
        assert!(
            short.in_order[0].contains("can lift that") && !short.in_order[0].contains("nobody"),
            "{short:?}"
        );
        // As long as max_age: pruned a day later at the latest.
        assert!(locked(60).findings.is_empty(), "{:?}", locked(60));
        let long = locked(61);
        assert_eq!(ids(&long), ["check.lock-outlives-max-age", "check.max-age-exceeded"]);
        assert!(
            long.findings[1].what.contains("the lock's 61 d") && long.in_order[0].contains("nobody"),
            "{long:?}"
        );
    }

    #[test]
    fn what_a_bucket_does_not_tell_is_no_bound() {
        let silent = in_a_bucket(|about| about.soft_delete = Err(NotTold("403".to_owned())));
        assert_eq!(ids(&silent), ["check.max-age-not-told"]);
        assert!(!silent.in_order.iter().any(|line| line.contains("older than")), "{silent:?}");
    }
}
