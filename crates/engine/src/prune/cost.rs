//! What is stored, by age and by the reason for which it is there, and what the rules will cost.
//!
//! Promises: reads what pruning reads and nothing more; every stored byte of packs is counted once, under the first reason that needs
//! it. What is ahead is an estimate that says on what it rests: backups as large and as often as those of the last thirty days.

use std::collections::HashMap;

use seawall_repo::id::BackupId;
use serde::Serialize;

use super::look::{Seen, look};
use super::plan::{Amounts, plan};
use super::policies::effective;
use super::run::refuse_unfit;
use super::settle::{Settled, settle};
use super::{Amount, RetentionRules};
use crate::backup::now;
use crate::error::Result;
use crate::monitor::Finding;
use crate::repository::Repository;
use crate::retention::{Rule, Span};

/// The days of which backups are taken for the measure.
const MEASURED: Span = Span::days(30);
const AGES_DAYS: [u32; 4] = [7, 30, 90, 365];

/// What a cluster's backups and WAL take.
#[derive(Debug, Clone, Serialize)]
pub struct CostReport {
    /// The cluster.
    pub cluster: String,
    /// Regions: all amounts are of one, and so many hold them.
    pub regions: usize,
    /// Packs and maps by the first rule that keeps a backup which uses them, the strongest first; what none keeps comes last.
    pub by_reason: Vec<ByReason>,
    /// Packs by age.
    pub by_age: Vec<ByAge>,
    /// WAL.
    pub wal: Amount,
    /// Chapters of WAL.
    pub chapters: Amount,
    /// Packs that kept backups use, and what of them the backups' maps still use.
    pub stored_for_kept: u64,
    /// The same without what no map of a kept backup uses.
    pub needed_for_kept: u64,
    /// `stored_for_kept` in units of `needed_for_kept`, for the newest backup alone: the format bounds it.
    pub newest_ratio: Option<f64>,
    /// What is there and not needed.
    pub condemned: Amounts,
    /// What there will be in a year.
    pub in_a_year: Option<Forecast>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Bytes under one reason.
#[derive(Debug, Clone, Serialize)]
pub struct ByReason {
    /// The rule; none for what nothing keeps.
    pub rule: Option<Rule>,
    /// Backups of which it is the first reason.
    pub backups: u64,
    /// Objects and bytes that no stronger reason needs.
    pub amount: Amount,
}

/// Bytes not older than so many days.
#[derive(Debug, Clone, Serialize)]
pub struct ByAge {
    /// At most so many days; none for what is older than the last.
    pub days_max: Option<u32>,
    /// Objects and bytes.
    pub amount: Amount,
}

/// An estimate.
#[derive(Debug, Clone, Serialize)]
pub struct Forecast {
    /// Bytes in one region.
    pub bytes: u64,
    /// Backups that will be kept.
    pub backups: u64,
    /// On what it rests.
    pub basis: String,
}

/// Adds it all up.
///
/// # Errors
/// As `prune --dry-run`.
pub async fn cost(repository: &Repository, rules: &RetentionRules) -> Result<CostReport> {
    let ruled = rules.policy.has_rules();
    if ruled {
        refuse_unfit(rules)?;
    }
    let seen = look(repository, now(repository.world())?).await?;
    let effective = effective(&seen, rules);
    let settled = settle(repository, &seen, &effective.policy).await?;
    let plans = plan(&seen, &settled);
    let mut condemned = Amounts::default();
    plans.iter().for_each(|plan| condemned.join(&plan.amounts));
    let (stored_for_kept, needed_for_kept) = for_kept(&seen, &settled);
    let mut wal = Amount::default();
    seen.places.iter().for_each(|place| wal.add(place.wal.objects, place.wal.bytes));
    let mut chapters = Amount::default();
    let each = seen.places.iter().flat_map(|place| place.wal.chapters.values());
    each.for_each(|bytes| chapters.add(1, *bytes));
    let newest = settled
        .points
        .iter()
        .max_by_key(|point| point.stored)
        .and_then(|point| settled.bodies.read(point.id));
    let ratio = newest
        .filter(|body| body.used_bytes > 0)
        .map(|body| body.stored_bytes as f64 / body.used_bytes as f64);
    Ok(CostReport {
        cluster: repository.cluster().to_string(),
        regions: seen.regions.len(),
        by_reason: by_reason(&seen, &settled),
        by_age: by_age(&seen),
        wal,
        chapters,
        stored_for_kept,
        needed_for_kept,
        newest_ratio: ratio,
        condemned,
        in_a_year: if ruled { forecast(&seen, &settled) } else { None },
        findings: seen.findings.clone(),
    })
}

/// Every pack under the first rule that keeps a backup which uses it.
fn by_reason(seen: &Seen, settled: &Settled) -> Vec<ByReason> {
    let mut first: Vec<(Rule, BackupId)> = settled
        .decisions
        .iter()
        .filter_map(|decision| Some((decision.keep.iter().map(|reason| reason.rule).min()?, decision.id)))
        .collect();
    first.sort_unstable();
    let mut left: HashMap<(BackupId, u32), u64> = HashMap::new();
    for (backup, folder) in seen.places.iter().flat_map(|place| &place.folders) {
        left.extend(folder.packs.iter().map(|pack| ((*backup, pack.number), pack.bytes)));
    }
    let mut reasons: Vec<ByReason> = Vec::new();
    for (rule, id) in first {
        if reasons.last().is_none_or(|last| last.rule != Some(rule)) {
            reasons.push(ByReason { rule: Some(rule), backups: 0, amount: Amount::default() });
        }
        let Some(of_rule) = reasons.last_mut() else { continue };
        of_rule.backups += 1;
        for pack in settled.bodies.read(id).iter().flat_map(|body| &body.packs) {
            if let Some(bytes) = left.remove(&(pack.backup, pack.number)) {
                of_rule.amount.add(1, bytes);
            }
        }
    }
    let mut rest = ByReason { rule: None, backups: 0, amount: Amount::default() };
    rest.backups = settled.decisions.iter().filter(|decision| !decision.is_kept()).count() as u64;
    left.values().for_each(|bytes| rest.amount.add(1, *bytes));
    reasons.push(rest);
    reasons
}

fn by_age(seen: &Seen) -> Vec<ByAge> {
    let ages = AGES_DAYS.into_iter().map(Some).chain([None]);
    let mut all: Vec<ByAge> = ages.map(|days_max| ByAge { days_max, amount: Amount::default() }).collect();
    for folder in seen.places.iter().flat_map(|place| place.folders.values()) {
        let age = Span::between(folder.newest.unwrap_or(seen.now), seen.now).as_seconds() / 86_400;
        let fits = |one: &&mut ByAge| one.days_max.is_none_or(|days| age < u64::from(days));
        if let Some(of_age) = all.iter_mut().find(fits) {
            folder.packs.iter().for_each(|pack| of_age.amount.add(1, pack.bytes));
        }
    }
    all
}

/// Bytes of packs that kept backups use, each counted once; and the share of them that the backup which uses most of each needs.
fn for_kept(seen: &Seen, settled: &Settled) -> (u64, u64) {
    let mut used: HashMap<(BackupId, u32), u64> = HashMap::new();
    for decision in settled.decisions.iter().filter(|decision| decision.is_kept()) {
        let Some(body) = settled.bodies.read(decision.id) else { continue };
        for (pack, bytes) in body.packs.iter().zip(&body.used_of_pack) {
            let most = used.entry((pack.backup, pack.number)).or_default();
            *most = (*most).max(*bytes);
        }
    }
    let stored = |(backup, number): &(BackupId, u32)| {
        let mut folders = seen.places.iter().filter_map(|place| place.folders.get(backup));
        folders.find_map(|folder| folder.pack(*number)).map_or(0, |pack| pack.bytes)
    };
    (used.keys().map(stored).sum(), used.values().sum())
}

/// The kept backups of a year from now, each as large as the average of what the last thirty days added; WAL as much as then.
fn forecast(seen: &Seen, settled: &Settled) -> Option<Forecast> {
    let since = MEASURED.before(seen.now);
    let headers = seen.places.iter().flat_map(|place| &place.backups);
    let recent: Vec<_> = headers.filter(|entry| entry.stored >= since).collect();
    let added: u64 =
        recent.iter().filter(|entry| entry.header.parent.is_some()).map(|entry| entry.header.stored).sum();
    let building = recent.iter().filter(|entry| entry.header.parent.is_some()).count() as u64;
    let newest = recent.iter().max_by_key(|entry| entry.stored)?;
    let policy = settled.ground.input(&settled.points).policy;
    let periods = [policy.hourly, policy.daily, policy.weekly, policy.monthly.min(12), policy.yearly.min(1)];
    let in_window = policy.pitr.map_or(0, |span| span.as_seconds() / 86_400);
    let kept =
        periods.into_iter().map(u64::from).sum::<u64>().max(in_window).max(u64::from(policy.last)).max(1);
    let each = added / building.max(1);
    // A backup that stays alone keeps what the later ones replaced: at most its own change a period.
    let base = settled.bodies.read(newest.id).map_or(newest.header.bytes, |body| body.stored_bytes);
    let wal: u64 = seen.places.iter().map(|place| place.wal.bytes).sum();
    let bytes = base.saturating_add(each.saturating_mul(kept)).saturating_add(wal);
    let basis = format!(
        "{building} backups of the last thirty days added {each} bytes each on average; {kept} backups kept by the rules; as much WAL as now"
    );
    Some(Forecast { bytes, backups: kept, basis })
}
