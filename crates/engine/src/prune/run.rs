//! Pruning: looks, decides, condemns what is not needed, and carries out what was condemned long enough ago.
//!
//! Commit points: each tombstone (from then on the grace runs), each region's word that it was carried out. Interrupted anywhere,
//! nothing that is needed is gone, and the next run goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use seawall_repo::condemned::TombstoneDone;
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place, RegionLabel};
use seawall_repo::records::{Adoption, Right};
use seawall_repo::time::Time;
use seawall_store::{DetachReason, RegionName, RegionSet};
use serde::Serialize;

use super::carry_out::{Carried, carry_out};
use super::clocks::clocks;
use super::forget::forget_old_stones;
use super::hand_on::hand_on;
use super::look::{PlaceSeen, Seen, TombstoneSeen, look};
use super::plan::{Amounts, PlacePlan, plan};
use super::policies::{self, effective};
use super::report::{Decided, PruneReport, RegionPruned};
use super::settle::{Settled, settle};
use super::stones::NewStones;
use super::summary::report;
use super::{GRACE_FLOOR, RetentionRules};
use crate::backup::{host_name, now};
use crate::error::{Error, Result};
use crate::events;
use crate::monitor::{Finding, Monitor};
use crate::repository::{Repository, reason};
use crate::retention::{Policy, Span, simulate};

/// How to prune.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Decide and show, write and delete nothing.
    pub dry_run: bool,
    /// Show what will be decided at this time about today's backups. With `dry_run` only.
    pub at: Option<Time>,
}

/// Prunes the repository by these rules.
///
/// # Errors
/// No rules; no right to prune; a place is down; something that must be read cannot be.
pub async fn prune(
    repository: &Repository,
    rules: &RetentionRules,
    options: PruneOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<PruneReport> {
    refuse_unfit(rules)?;
    let adoptions = repository.adoptions().await?;
    let Some(newest) = adoptions.last() else {
        return Err(Error::data(
            "prune.nothing-here",
            format!("cluster {} has no data yet", repository.cluster()),
        ));
    };
    if options.dry_run {
        return foresee(repository, rules, options.at, monitor.as_ref()).await;
    }
    refuse_without_right(repository)?;
    let mut run = Run::begin(repository, rules, newest, monitor).await?;
    let seen = run.look().await?;
    run.hand_on_holds(&seen).await;
    let effective = effective(&seen, rules);
    if !effective.recorded {
        policies::record(repository, &repository.regions().set(), &seen, rules).await?;
    }
    run.monitor.phase("deciding", None);
    let mut settled = settle(repository, &seen, &effective.policy).await?;
    let plans = plan(&seen, &settled);
    let regions = run.carry_out(&seen, &plans, &mut settled).await?;
    let tombstones = run.condemn(&seen, &plans).await?;
    run.findings.extend(forget_old_stones(&run.set, &seen, &settled).await);
    let mut report = report(repository, &seen, &effective, &settled, &plans, false);
    (report.regions, report.tombstones) = (regions, tombstones);
    report.findings.append(&mut run.findings);
    run.tell(&report, &settled).await?;
    Ok(report)
}

/// Decides and shows.
async fn foresee(
    repository: &Repository,
    rules: &RetentionRules,
    at: Option<Time>,
    monitor: &dyn Monitor,
) -> Result<PruneReport> {
    monitor.phase("looking at the repository", None);
    let now = now(repository.world())?;
    let mut seen = look(repository, now).await?;
    let newest = seen.places.iter().flat_map(|place| &place.backups).map(|entry| entry.stored).max();
    if newest.is_some_and(|newest| Span::between(now, newest) > Span::hours(1)) {
        seen.findings.push(Finding {
            id: "prune.clock",
            what: format!("this host's clock says {now}, and a backup was stored later"),
            hint: Some("without --dry-run the regions' clocks decide; set this host's right".to_owned()),
        });
    }
    let mut findings = Vec::new();
    name_broken(&seen, &mut findings);
    let effective = effective(&seen, rules);
    monitor.phase("deciding", None);
    let mut settled = settle(repository, &seen, &effective.policy).await?;
    let plans = plan(&seen, &settled);
    let mut report = match at {
        None => report(repository, &seen, &effective, &settled, &plans, true),
        Some(at) => {
            settled.decisions = simulate(&settled.ground.input(&settled.points), at).decisions;
            let mut report = report(repository, &seen, &effective, &settled, &plans, false);
            report.leaving.clear();
            report.at = at.max(now);
            report
        }
    };
    report.dry_run = true;
    report.findings.extend(findings);
    Ok(report)
}

/// What each rule makes of one backup.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// Which.
    pub backup: BackupId,
    /// In sentences.
    pub lines: Vec<String>,
}

/// Says what each rule makes of one backup; none if there is no such backup.
///
/// # Errors
/// As [`prune`].
pub async fn explain(
    repository: &Repository,
    rules: &RetentionRules,
    backup: BackupId,
) -> Result<Option<Explained>> {
    refuse_unfit(rules)?;
    let seen = look(repository, now(repository.world())?).await?;
    let effective = effective(&seen, rules);
    let settled = settle(repository, &seen, &effective.policy).await?;
    let lines = crate::retention::explain(&settled.ground.input(&settled.points), backup);
    Ok(lines.map(|lines| Explained { backup, lines }))
}

/// One run that writes.
struct Run<'a> {
    repository: &'a Repository,
    rules: &'a RetentionRules,
    set: RegionSet,
    /// The regions that told their time: nothing is concluded about others.
    clocks: BTreeMap<RegionName, Time>,
    monitor: Arc<dyn Monitor>,
    findings: Vec<Finding>,
    place: Place,
}

#[derive(Serialize)]
struct Begun<'a> {
    policy: &'a Policy,
    grace: u64,
}

impl<'a> Run<'a> {
    async fn begin(
        repository: &'a Repository,
        rules: &'a RetentionRules,
        newest: &Adoption,
        monitor: Arc<dyn Monitor>,
    ) -> Result<Self> {
        monitor.phase("looking at the repository", None);
        let place = Place { cluster: repository.cluster().clone(), system: newest.system };
        let set = repository.regions().set();
        let begun = Begun { policy: &rules.policy, grace: rules.grace.as_seconds() };
        let put = events::tell(repository, &set, &place, "prune-begun", &begun).await?;
        let mut findings = Vec::new();
        let clocks = clocks(&set, &put, now(repository.world())?, &mut findings).await?;
        Ok(Self { repository, rules, set, clocks, monitor, findings, place })
    }

    async fn look(&mut self) -> Result<Seen> {
        let now = self.clocks.values().min().copied().unwrap_or(Time::EPOCH);
        let mut seen = look(self.repository, now).await?;
        for gone in self.set.detached() {
            seen.broken.entry(gone.region).or_insert_with(|| reason(&gone.reason));
        }
        for region in seen.regions.iter().filter(|region| !self.clocks.contains_key(*region)) {
            seen.broken.entry(region.clone()).or_insert_with(|| "it did not tell its time".to_owned());
        }
        for (region, why) in &seen.broken {
            self.set.detach(region, DetachReason::Failed(why.clone()));
        }
        name_broken(&seen, &mut self.findings);
        Ok(seen)
    }

    /// Gives holds, and their releases, to regions that were away when they were added: a prune that reaches only such a region
    /// would not see them.
    async fn hand_on_holds(&mut self, seen: &Seen) {
        let asked: Vec<&RegionName> =
            seen.regions.iter().filter(|region| !seen.broken.contains_key(*region)).collect();
        for (hold, name, have) in
            seen.holds.iter().flat_map(|hold| hold.copies.iter().map(move |(name, have)| (hold, name, have)))
        {
            let lacking: Vec<RegionName> = asked
                .iter()
                .filter(|region| !have.contains(region))
                .map(|region| (*region).clone())
                .collect();
            let (_taken, missed) = hand_on(self.repository, name, &lacking).await;
            self.findings.extend(missed.into_iter().map(|(region, why)| Finding {
                id: "hold.region-unreached",
                what: format!("region {region} did not take hold {}: {why}", hold.id),
                hint: Some("a prune that reaches only this region would not see it".to_owned()),
            }));
        }
    }

    /// Carries out, in every region, the tombstones whose grace is over there.
    async fn carry_out(
        &mut self,
        seen: &Seen,
        plans: &[PlacePlan],
        settled: &mut Settled,
    ) -> Result<Vec<RegionPruned>> {
        let mut pruned = Vec::new();
        let regions: Vec<_> = self.repository.regions().iter().collect();
        for region in regions {
            let (name, Some(now)) = (region.name(), self.clocks.get(region.name()).copied()) else {
                continue;
            };
            if seen.broken.contains_key(name) {
                continue;
            }
            self.monitor.phase(&format!("deleting in {name}"), None);
            let mut done = RegionPruned {
                region: name.clone(),
                deleted: Amounts::default(),
                left: 0,
                locked_until: None,
            };
            for (place, plan) in seen.places.iter().zip(plans) {
                let due = due(place, name, now);
                if due.is_empty() {
                    continue;
                }
                settled.read_the_others(self.repository, seen).await?;
                let going =
                    |id: BackupId| due.iter().any(|stone| stone.record.condemned.manifests.contains(&id));
                let needed = plan.needed.with_staying(place, &|id| !going(id), &settled.bodies);
                for stone in due.iter().copied() {
                    let size = stone.record.segment_size;
                    let monitor = self.monitor.as_ref();
                    let carried = carry_out(region, &place.place, &[stone], &needed, size, monitor).await;
                    self.confirm(&place.place, stone, name, &carried).await?;
                    done.deleted.join(&carried.deleted);
                    done.left += carried.left;
                    done.locked_until = done.locked_until.max(carried.locked_until);
                    self.findings.extend(carried.findings);
                    // With a manifest still there, what it lists must stay.
                    if carried.left > 0 {
                        break;
                    }
                }
            }
            pruned.push(done);
        }
        Ok(pruned)
    }

    /// The region's word that a tombstone was carried out there.
    async fn confirm(
        &self,
        place: &Place,
        stone: &TombstoneSeen,
        region: &RegionName,
        carried: &Carried,
    ) -> Result<()> {
        if carried.left > 0 {
            return Ok(());
        }
        let label = RegionLabel::new(region.as_str()).ok_or_else(|| {
            Error::usage("settings.region-name", format!("{region} cannot stand in the name of an object"))
        })?;
        let id = stone.record.tombstone;
        let record = TombstoneDone {
            tombstone: id,
            region: region.to_string(),
            deleted: carried.deleted.objects(),
            bytes: carried.deleted.bytes(),
            spared: carried.spared.clone(),
            written: now(self.repository.world())?,
            host: host_name(),
        };
        let name = Named::TombstoneDone { place: place.clone(), id, region: label }.into();
        // A set of its own: a region whose word another prune has given meanwhile is no loss for the rest of this run.
        let set = self.repository.regions().set();
        for gone in self.set.detached() {
            set.detach(&gone.region, gone.reason);
        }
        match self.repository.put_record(&set, &name, &record).await {
            Err(error) if error.id() == "repository.name-taken" => Ok(()),
            put => put,
        }
    }

    /// Writes the tombstones of what is condemned now.
    async fn condemn(&self, seen: &Seen, plans: &[PlacePlan]) -> Result<Vec<seawall_repo::id::RecordId>> {
        let mut written = Vec::new();
        for (place, plan) in seen.places.iter().zip(plans) {
            let size = place.wal.map.as_ref().map(|map| map.size);
            if plan.new.is_empty() {
                continue;
            }
            let stones = NewStones {
                place: &place.place,
                regions: self.set.attached().iter().map(|region| region.name().clone()).collect(),
                grace: self.rules.grace.max(Span::seconds(GRACE_FLOOR.as_secs())),
                size,
            };
            written.extend(stones.put(self.repository, &self.set, &plan.new).await?);
        }
        Ok(written)
    }

    /// The record of what was deleted, when and by which rule.
    async fn tell(&self, report: &PruneReport, settled: &Settled) -> Result<()> {
        #[derive(Serialize)]
        struct Ended<'a> {
            policy: &'a Policy,
            tombstones: &'a [seawall_repo::id::RecordId],
            condemned: Vec<&'a Decided>,
            regions: &'a [RegionPruned],
            holds: &'a [String],
            findings: u64,
        }
        let place = &self.place;
        let condemned = report.backups.iter().filter(|one| !one.decision.is_kept());
        let ended = Ended {
            policy: settled.ground.input(&settled.points).policy,
            tombstones: &report.tombstones,
            // The first thousand: an event has its bounds, the tombstones have all.
            condemned: condemned.take(1_000).collect(),
            regions: &report.regions,
            holds: &report.holds,
            findings: report.findings.len() as u64,
        };
        events::tell(self.repository, &self.set, place, "prune", &ended).await.map(|_name| ())
    }
}

/// The tombstones of a place whose grace is over in a region; those that name manifests come first.
fn due<'s>(place: &'s PlaceSeen, region: &RegionName, now: Time) -> Vec<&'s TombstoneSeen> {
    let mut due: Vec<&TombstoneSeen> = place
        .tombstones
        .iter()
        .filter(|stone| stone.waits_in(region) && stone.due_in(region).is_some_and(|due| due <= now))
        .collect();
    due.sort_by_key(|stone| stone.record.condemned.manifests.is_empty());
    due
}

fn name_broken(seen: &Seen, findings: &mut Vec<Finding>) {
    findings.extend(seen.broken.iter().map(|(region, why)| Finding {
        id: "prune.region-unreached",
        what: format!("region {region} could not be asked: {why}"),
        hint: Some("nothing is condemned or deleted there until it is back".to_owned()),
    }));
}

pub(super) fn refuse_unfit(rules: &RetentionRules) -> Result<()> {
    if !rules.policy.has_rules() {
        return Err(Error::usage("retention.no-rules", "no rule says what to keep, so nothing may leave")
            .hint(
                "set rules such as daily = 30, weekly = 12, monthly = 12, pitr = \"30d\" under [retention]",
            ));
    }
    rules.policy.check().map_err(|error| {
        Error::usage("retention.policy", format!("the rules of retention cannot be applied: {error}"))
    })
}

/// Deciding about deleting needs a writer with the right to prune, best on a host that is no database host.
pub(crate) fn refuse_without_right(repository: &Repository) -> Result<()> {
    let writer = repository.writer()?.id();
    let mut certificates = repository.trust().certificates();
    let may = certificates.any(|one| one.writer == writer && one.rights.contains(&Right::Prune));
    if may {
        return Ok(());
    }
    Err(Error::usage("keys.no-right-to-prune", format!("writer {writer} has not the right to prune")).hint(
        "seawall key add-writer --right prune --label NAME --output FILE --identity FILE makes a key file that has it: keep it on \
         another host than the database's, and name it in repository.prune_key_file there",
    ))
}
