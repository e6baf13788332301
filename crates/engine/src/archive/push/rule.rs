//! The acknowledgement rule and time: what regions that are away are worth waiting for. Pure.
//!
//! Promises: under "all healthy", a file is acknowledged without a region only if every call to that region failed since at least the
//! time that the settings give, and at least one region holds the file; a conflict anywhere never meets a rule. A region that is
//! away delays a push by a bound that stands here, once it has been away for that time.

use std::time::Duration;

use seawall_store::Ack;

use super::away::Away;
use crate::repository::Acknowledge;

/// Where fewer copies than regions are enough, a region may be so much slower than the others.
pub(super) const LAG_MAX: Duration = Duration::from_secs(10);
/// A region that has been away is asked for a sign of life first, and may take so long to give one.
pub(super) const TRIAL: Duration = Duration::from_secs(3);
/// A region that is away is tried so seldom.
const TRY_EVERY: Duration = Duration::from_secs(30);
/// Where the rule itself says how many copies are enough: a region that failed for so long counts as away.
const AWAY_AFTER: Duration = Duration::from_secs(60);

/// How long a region must have failed to count as away; none where it never does.
pub(super) fn away_after(rule: Acknowledge) -> Option<Duration> {
    match rule {
        Acknowledge::All => None,
        Acknowledge::Healthy { degrade } => Some(degrade),
        Acknowledge::AtLeast(_) => Some(AWAY_AFTER),
    }
}

/// Whether a region counts as away.
pub(super) fn is_away(rule: Acknowledge, known: Option<&Away>, now: Duration) -> bool {
    known.zip(away_after(rule)).is_some_and(|(known, after)| known.lasted(now) >= after)
}

/// Whether it is time to try a region again.
pub(super) fn is_due(rule: Acknowledge, known: &Away, now: Duration) -> bool {
    !is_away(rule, Some(known), now) || known.untried(now) >= TRY_EVERY
}

/// How much longer than the others a region may take; none: as long as its own limits allow.
pub(super) fn lag_max(rule: Acknowledge, known: Option<&Away>, now: Duration) -> Option<Duration> {
    match rule {
        Acknowledge::All => None,
        Acknowledge::AtLeast(_) => Some(LAG_MAX),
        Acknowledge::Healthy { degrade } => {
            let lasted = known.map_or(Duration::ZERO, |known| known.lasted(now));
            Some(degrade.saturating_sub(lasted).max(LAG_MAX))
        }
    }
}

/// So many regions must hold a file before the others count as slow.
pub(super) fn quorum(rule: Acknowledge) -> usize {
    match rule {
        Acknowledge::AtLeast(count) => count,
        Acknowledge::All | Acknowledge::Healthy { .. } => 1,
    }
}

/// The rule for one file, where `away` of all regions count as away.
pub(super) fn ack(rule: Acknowledge, regions: usize, away: usize) -> Ack {
    match rule {
        Acknowledge::All => Ack::All,
        Acknowledge::AtLeast(count) => Ack::AtLeast(count),
        Acknowledge::Healthy { .. } => Ack::AtLeast(regions.saturating_sub(away)),
    }
}

#[cfg(test)]
mod tests {
    use seawall_repo::time::Time;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HEALTHY: Acknowledge = Acknowledge::Healthy { degrade: Duration::from_secs(60) };

    fn away(since: u64, tried: u64) -> Away {
        Away {
            since_us: since * 1_000_000,
            since: Time::EPOCH,
            tried_us: tried * 1_000_000,
            told_us: None,
            without: 0,
            why: String::new(),
        }
    }

    #[test]
    fn only_a_region_that_failed_for_the_whole_time_is_done_without() {
        assert!(!is_away(HEALTHY, None, 1000 * SECOND));
        assert!(!is_away(HEALTHY, Some(&away(100, 100)), 159 * SECOND));
        assert!(is_away(HEALTHY, Some(&away(100, 100)), 160 * SECOND));
        assert!(!is_away(Acknowledge::All, Some(&away(0, 0)), 100_000 * SECOND), "strict is strict");
        assert_eq!(ack(HEALTHY, 3, 0), Ack::AtLeast(3));
        assert_eq!(ack(HEALTHY, 3, 2), Ack::AtLeast(1));
        assert_eq!(ack(HEALTHY, 2, 2), Ack::AtLeast(0), "which the rule takes as 1");
        assert_eq!(ack(Acknowledge::AtLeast(2), 3, 2), Ack::AtLeast(2), "a number is never relaxed");
        assert_eq!(ack(Acknowledge::All, 3, 2), Ack::All);
    }

    #[test]
    fn until_then_every_push_tries_it_and_afterwards_one_in_thirty_seconds() {
        assert!(is_due(HEALTHY, &away(100, 159), 159 * SECOND));
        assert!(!is_due(HEALTHY, &away(100, 159), 188 * SECOND));
        assert!(is_due(HEALTHY, &away(100, 159), 189 * SECOND));
    }

    #[test]
    fn a_slow_region_is_waited_for_until_it_may_be_done_without() {
        assert_eq!(lag_max(HEALTHY, None, SECOND), Some(60 * SECOND));
        assert_eq!(lag_max(HEALTHY, Some(&away(100, 100)), 120 * SECOND), Some(40 * SECOND));
        assert_eq!(lag_max(HEALTHY, Some(&away(100, 100)), 900 * SECOND), Some(LAG_MAX));
        assert_eq!(lag_max(Acknowledge::All, None, SECOND), None);
    }
}
