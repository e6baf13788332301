//! From what was seen and decided to the report.

use std::collections::HashMap;

use seawall_repo::id::BackupId;
use seawall_repo::time::Time;

use super::look::Seen;
use super::plan::{Amounts, PlacePlan};
use super::policies::Effective;
use super::report::{Decided, PruneReport, Waiting};
use super::settle::Settled;
use crate::monitor::Finding;
use crate::repository::Repository;
use crate::retention::{Span, decide, leaving};

/// How far ahead the report says what will leave.
const FORESIGHT: Span = Span::days(30);

/// The report of what was seen and decided; what was done is added by who does it.
pub(super) fn report(
    repository: &Repository,
    seen: &Seen,
    effective: &Effective,
    settled: &Settled,
    plans: &[PlacePlan],
    with_foresight: bool,
) -> PruneReport {
    let input = settled.ground.input(&settled.points);
    let stored: HashMap<BackupId, Time> =
        settled.points.iter().map(|point| (point.id, point.stored)).collect();
    let mut since: HashMap<BackupId, Time> = HashMap::new();
    for stone in seen.places.iter().flat_map(|place| &place.tombstones).filter(|stone| stone.waits()) {
        let Some(first) = stone.stored.values().min() else { continue };
        for id in &stone.record.condemned.manifests {
            since.entry(*id).or_insert(*first);
        }
    }
    let decisions = if with_foresight { foreseen(settled) } else { settled.decisions.clone() };
    let leaving = leaving(&input, &decisions, FORESIGHT);
    let mut condemned = Amounts::default();
    plans.iter().for_each(|plan| condemned.join(&plan.amounts));
    let kept_back = plans.iter().zip(&seen.places).flat_map(|(plan, place)| {
        let why = [&plan.needed.everything, &plan.needed.all_wal];
        why.into_iter().flatten().map(|why| format!("{}: {why}", place.place.system)).collect::<Vec<_>>()
    });
    let mut kept_back: Vec<String> = kept_back.collect();
    kept_back.dedup();
    PruneReport {
        cluster: repository.cluster().to_string(),
        at: seen.now,
        dry_run: false,
        policy: effective.policy.clone(),
        shrinking_until: effective.shrinking_until,
        backups: decisions
            .into_iter()
            .map(|decision| Decided {
                stored: stored.get(&decision.id).copied().unwrap_or(Time::EPOCH),
                condemned_since: since.get(&decision.id).copied(),
                decision,
            })
            .collect(),
        points: settled.points.clone(),
        leaving,
        condemned,
        newly_condemned: plans.iter().map(|plan| plan.new.manifests.len() as u64).sum(),
        tombstones: Vec::new(),
        waiting: waiting(seen),
        regions: Vec::new(),
        holds: seen
            .holds
            .iter()
            .filter(|hold| hold.is_in_force(seen.now))
            .map(|hold| hold.id.to_string())
            .collect(),
        kept_back,
        strange: seen.strange,
        findings: seen.findings.iter().cloned().chain(breaches(settled)).collect(),
    }
}

/// With a look at the future, which costs too much for every run.
fn foreseen(settled: &Settled) -> Vec<crate::retention::Decision> {
    decide(&settled.ground.input(&settled.points))
}

/// Where `max_age` is overruled, loudly.
fn breaches(settled: &Settled) -> impl Iterator<Item = Finding> + '_ {
    settled.decisions.iter().filter(|decision| decision.breaches_max_age()).map(|decision| Finding {
        id: "prune.max-age-breached",
        what: format!(
            "backup {} is older than max_age allows and stays: {}",
            decision.id,
            decision.keep.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        ),
        hint: Some("release the hold, or take a good backup, and prune again".to_owned()),
    })
}

fn waiting(seen: &Seen) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for place in &seen.places {
        for stone in &place.tombstones {
            for region in seen.regions.iter().filter(|region| stone.waits_in(region)) {
                let Some(due) = stone.due_in(region) else { continue };
                waiting.push(Waiting {
                    tombstone: stone.record.tombstone,
                    system: place.place.system,
                    region: region.clone(),
                    due,
                    backups: stone.record.condemned.manifests.clone(),
                });
            }
        }
    }
    waiting
}
