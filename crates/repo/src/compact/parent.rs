//! Which backup a new one builds on.
//!
//! Normally the newest. Where more than 5 % of the pages change a day, a weekly or monthly backup built on yesterday's
//! would pin seven or thirty days of packs, each with little left in it for as long as the week or month is kept; so it
//! builds on the last of its own tier, stores what changed since then once more, and the daily packs go when the days go.
//!
//! What it costs and gains, in the model at 8 % scattered change a day: 143 clusters stored over 1,000 days instead of 77,
//! for 1.53 times the needed space in the last year instead of 1.73. Below the limit it would never pay.
//!
//! Promises a choice with its reason. Deliberately does not judge whether a candidate may be built on (lineage,
//! completeness, condemnation): the caller passes only those that may, oldest first by lineage and LSN.

use serde::Serialize;

use crate::id::BackupId;

/// For how long a backup is meant to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Hours or days.
    Daily,
    /// The first of a week.
    Weekly,
    /// The first of a month, or of a year.
    Monthly,
}

/// A backup that may be built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentCandidate {
    /// Which.
    pub backup: BackupId,
    /// The highest tier it serves.
    pub tier: Tier,
}

/// The figures of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParentRule {
    /// Above this share of pages changed a day, long-kept backups build on their own tier.
    pub change_per_day_max: f64,
}

impl Default for ParentRule {
    fn default() -> Self {
        Self { change_per_day_max: 0.05 }
    }
}

/// Why a parent was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParentReason {
    /// It is the newest.
    Newest,
    /// It is the last of the new backup's tier, and much changes every day.
    LastOfTier,
}

/// A parent and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ParentChoice {
    /// Which backup to build on.
    pub backup: BackupId,
    /// Why this one.
    pub reason: ParentReason,
}

/// Chooses the parent of a backup of `tier` among `candidates` (oldest first) at `change_per_day` (share of the
/// cluster's pages changed a day, as the last backups saw it). `None`: there is nothing to build on.
pub fn choose_parent(
    candidates: &[ParentCandidate],
    tier: Tier,
    change_per_day: f64,
    rule: &ParentRule,
) -> Option<ParentChoice> {
    let newest = candidates.last()?;
    if tier == Tier::Daily || change_per_day <= rule.change_per_day_max {
        return Some(ParentChoice { backup: newest.backup, reason: ParentReason::Newest });
    }
    // A monthly backup is the weekly one of its week too.
    let of_tier = candidates.iter().rev().find(|candidate| candidate.tier >= tier);
    Some(match of_tier {
        Some(last) if last.backup != newest.backup => {
            ParentChoice { backup: last.backup, reason: ParentReason::LastOfTier }
        }
        _ => ParentChoice { backup: newest.backup, reason: ParentReason::Newest },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(number: u8, tier: Tier) -> ParentCandidate {
        let mut bytes = [0; 16];
        bytes[15] = number;
        ParentCandidate { backup: BackupId::from_bytes(bytes).unwrap(), tier }
    }

    fn chosen(candidates: &[ParentCandidate], tier: Tier, change: f64) -> Option<(u8, ParentReason)> {
        choose_parent(candidates, tier, change, &ParentRule::default())
            .map(|choice| (choice.backup.to_bytes()[15], choice.reason))
    }

    #[test]
    fn the_newest_is_the_parent_unless_much_changes() {
        use Tier::*;
        let all = [candidate(1, Monthly), candidate(2, Weekly), candidate(3, Daily)];
        assert_eq!(chosen(&all, Monthly, 0.05), Some((3, ParentReason::Newest)));
        assert_eq!(chosen(&all, Daily, 0.5), Some((3, ParentReason::Newest)));
        assert_eq!(chosen(&all, Weekly, 0.051), Some((2, ParentReason::LastOfTier)));
        assert_eq!(chosen(&all, Monthly, 0.051), Some((1, ParentReason::LastOfTier)));
        assert_eq!(chosen(&all[..2], Weekly, 0.051), Some((2, ParentReason::Newest)));
        assert_eq!(chosen(&all[2..], Weekly, 0.051), Some((3, ParentReason::Newest)));
        assert_eq!(chosen(&[], Weekly, 0.051), None);
    }
}
