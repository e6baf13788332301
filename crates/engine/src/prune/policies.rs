//! The policy that counts now: that of the settings, and whatever more generous one was in force within `shrink_delay`.
//!
//! Promises: who shortens the rules, by mistake or not, deletes nothing for as long as the older rules had set; lengthening counts
//! at once. The store's clock tells how long a policy was in force.

use seawall_repo::condemned::PolicyRecord;
use seawall_repo::id::RecordId;
use seawall_repo::layout::Named;
use seawall_repo::time::Time;
use seawall_store::RegionSet;
use serde::{Deserialize, Serialize};

use super::RetentionRules;
use super::look::Seen;
use crate::backup::{host_name, now};
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::retention::{Policy, Span};

/// What a policy record holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    policy: Policy,
    shrink_delay: Span,
}

/// The policy that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effective {
    pub(super) policy: Policy,
    /// Where it is more generous than the settings: until when, if nothing changes.
    pub(super) shrinking_until: Option<Time>,
    /// Whether the settings' rules and today's holds are those of the newest record.
    pub(super) recorded: bool,
}

/// Joins the settings with the policies that were in force lately.
pub(super) fn effective(seen: &Seen, rules: &RetentionRules) -> Effective {
    let known: Vec<(Kept, Time)> =
        seen.policies.iter().filter_map(|(record, since)| Some((kept_of(record)?, *since))).collect();
    let (mut policies, mut until) = (Vec::new(), None);
    for (policy, counts_until) in counting(&known, rules.shrink_delay, seen.now) {
        if *policy != rules.policy {
            policies.push(policy.clone());
            until = until.max(Some(counts_until));
        }
    }
    policies.push(rules.policy.clone());
    let policy = Policy::most_generous(&policies);
    let current = Kept { policy: rules.policy.clone(), shrink_delay: rules.shrink_delay };
    let newest = seen.policies.last();
    let recorded = newest.is_some_and(|(record, _)| {
        kept_of(record).as_ref() == Some(&current) && record.holds == holds_in_force(seen)
    });
    let shrinking_until = until.filter(|_| policy != rules.policy);
    Effective { policy, shrinking_until, recorded }
}

/// The rules that these records put in force at a time, for whoever has no settings. None where there is no record, or one that
/// this version does not understand.
pub(super) fn in_force(records: &[(PolicyRecord, Time)], now: Time) -> Option<Policy> {
    let known: Option<Vec<(Kept, Time)>> =
        records.iter().map(|(record, since)| Some((kept_of(record)?, *since))).collect();
    let known = known?;
    let (newest, _) = known.last()?;
    let mut policies = vec![newest.policy.clone()];
    policies.extend(counting(&known, Span::seconds(0), now).map(|(policy, _)| policy.clone()));
    Some(Policy::most_generous(&policies))
}

/// The recorded policies that still count, and until when, if nothing changes.
fn counting(known: &[(Kept, Time)], delay: Span, now: Time) -> impl Iterator<Item = (&Policy, Time)> {
    let delay = known.last().map_or(delay, |(kept, _)| kept.shrink_delay.max(delay));
    let each = known.iter().enumerate().map(move |(index, (kept, _))| {
        // A policy was in force until the next one; the newest still is, as far as the store knows.
        let ended = known.get(index + 1).map_or(now, |(_, since)| *since);
        (&kept.policy, delay.after(ended))
    });
    each.filter(move |(_, counts_until)| *counts_until > now)
}

fn kept_of(record: &PolicyRecord) -> Option<Kept> {
    serde_json::from_value(serde_json::Value::Object(record.rules.clone())).ok()
}

fn holds_in_force(seen: &Seen) -> Vec<RecordId> {
    seen.holds.iter().filter(|hold| hold.is_in_force(seen.now)).map(|hold| hold.id).collect()
}

/// Records the rules of the settings as being in force from now on.
pub(super) async fn record(
    repository: &Repository,
    set: &RegionSet,
    seen: &Seen,
    rules: &RetentionRules,
) -> Result<()> {
    let kept = Kept { policy: rules.policy.clone(), shrink_delay: rules.shrink_delay };
    let value = serde_json::to_value(&kept)
        .map_err(|error| Error::bug("prune.policy", "the policy cannot be written").because(error))?;
    let serde_json::Value::Object(rules) = value else {
        return Err(Error::bug("prune.policy", "a policy is an object"));
    };
    let number = seen.policies.last().map_or(0, |(record, _)| record.number).saturating_add(1);
    let record = PolicyRecord {
        cluster: repository.cluster().clone(),
        number,
        rules,
        holds: holds_in_force(seen),
        written: now(repository.world())?,
        host: host_name(),
    };
    let name = Named::Policy { cluster: repository.cluster().clone(), number }.into();
    repository.put_record(set, &name, &record).await
}
