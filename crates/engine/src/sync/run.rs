//! Bringing regions up to date, kind after kind.
//!
//! Commit point: the manifest of a backup in the region that lacked it, put last and only where everything it needs is.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use seawall_repo::id::{BackupId, ClusterName};
use seawall_repo::layout::{Named, ObjectName, Place, prefix};
use seawall_repo::manifest::Manifest;
use seawall_store::{Listed, Region, RegionName};

use super::absence::refuse_forgotten;
use super::border::Borders;
use super::copy::{Copied, copy};
use super::damage::Heal;
use super::pass::{Lacking, Met, pass};
use super::report::{KindReport, RegionReport, SyncReport};
use super::wanted::Wanted;
use crate::backup::{now, wal_of};
use crate::error::{Error, Result};
use crate::events;
use crate::monitor::{Finding, Monitor};
use crate::repository::{COPY_MISSING, COPY_WRONG, Repository};

/// How to sync.
#[derive(Debug, Clone, Default)]
pub struct SyncOptions {
    /// Only look, and say what would be copied.
    pub dry_run: bool,
    /// Only these regions are brought up to date; none named: all.
    pub regions: Vec<RegionName>,
    /// What is read whole and healed where it is damaged, besides what verifications recorded.
    pub heal: Vec<Heal>,
}

/// Beneath what the records of a cluster stand that belong to no system identifier, and of whom to believe.
pub(crate) fn record_prefixes(cluster: &ClusterName) -> [String; 5] {
    [
        prefix::OWNER.to_owned(),
        prefix::WRITERS.to_owned(),
        prefix::keys(cluster),
        prefix::adoptions(cluster),
        prefix::policies(cluster),
    ]
}

/// Objects copied at the same time; each is at most some 34 MiB of memory.
pub(super) const AT_ONCE: usize = 3;
/// Findings of one kind that are listed; further ones are counted.
const TOLD_MAX: usize = 100;

/// Brings regions to what the others hold.
///
/// # Errors
/// No region can be asked, a region is named that there is not, one was away for longer than tombstones stay, or a tombstone is out of
/// reach.
pub async fn sync(
    repository: &Repository,
    options: &SyncOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<SyncReport> {
    let clock = &repository.world().clock;
    let (began, at) = (clock.monotonic(), now(repository.world())?);
    let mut run = Run::new(repository, options, monitor)?;
    run.everything().await?;
    let mut report = SyncReport {
        cluster: repository.cluster().clone(),
        began: at,
        dry_run: options.dry_run,
        seconds: 0.0,
        regions: run.regions,
        findings: run.findings,
    };
    // That a region lacks something, or has it damaged, is what this is about.
    let about = |finding: &Finding| finding.id == COPY_MISSING || finding.id == COPY_WRONG;
    report.findings.extend(repository.take_findings().into_iter().filter(|finding| !about(finding)));
    report.seconds = clock.monotonic().saturating_sub(began).as_secs_f64();
    if !options.dry_run {
        tell(repository, &mut report).await?;
    }
    Ok(report)
}

/// The event of a sync, where anything was copied or is wrong.
async fn tell(repository: &Repository, report: &mut SyncReport) -> Result<()> {
    let nothing = report.regions.iter().all(|region| region.total().lacking == 0);
    let Some(present) = repository.adoptions().await?.pop().filter(|_| !nothing || report.has_findings())
    else {
        return Ok(());
    };
    let place = Place { cluster: repository.cluster().clone(), system: present.system };
    let told = events::tell(repository, &repository.regions().set(), &place, "sync", report).await;
    if let Err(error) = told {
        report
            .findings
            .push(finding("sync.event-not-stored", format!("the event could not be written: {error}")));
    }
    Ok(())
}

fn finding(id: &'static str, what: String) -> Finding {
    Finding { id, what, hint: None }
}

pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) options: &'a SyncOptions,
    pub(super) monitor: Arc<dyn Monitor>,
    pub(super) targets: Vec<RegionName>,
    regions: Vec<RegionReport>,
    findings: Vec<Finding>,
    told: BTreeMap<&'static str, usize>,
    pub(super) borders: Borders,
}

impl<'a> Run<'a> {
    fn new(repository: &'a Repository, options: &'a SyncOptions, monitor: Arc<dyn Monitor>) -> Result<Self> {
        let all: Vec<RegionName> = repository.regions().iter().map(|region| region.name().clone()).collect();
        if let Some(unknown) = options.regions.iter().find(|name| !all.contains(name)) {
            return Err(Error::usage("settings.unknown-region", format!("there is no region {unknown}")));
        }
        if all.len() < 2 {
            return Err(Error::usage(
                "sync.one-region",
                "there is only one region: nothing to bring up to date",
            ));
        }
        let targets = if options.regions.is_empty() { all } else { options.regions.clone() };
        let region = |region: &RegionName| RegionReport {
            region: region.clone(),
            incomplete: None,
            kinds: Vec::new(),
        };
        let regions = targets.iter().map(region).collect();
        let (findings, told, borders) = (Vec::new(), BTreeMap::new(), Borders::default());
        Ok(Self { repository, options, monitor, targets, regions, findings, told, borders })
    }

    async fn everything(&mut self) -> Result<()> {
        let cluster = self.repository.cluster().clone();
        let places = self.repository.adoptions().await?.into_iter();
        let places: Vec<Place> =
            places.map(|adoption| Place { cluster: cluster.clone(), system: adoption.system }).collect();
        // Before anything is copied: events, too, are.
        for place in &places {
            refuse_forgotten(self.repository, place, now(self.repository.world())?).await?;
        }
        self.monitor.phase("records", None);
        for prefix in record_prefixes(&cluster) {
            self.pass("record", &prefix, None, &|_| true).await?;
        }
        let mut wanted = Vec::new();
        for place in &places {
            wanted.push(self.place(place).await?);
        }
        self.heal(&wanted).await
    }

    async fn place(&mut self, place: &Place) -> Result<Wanted> {
        // What ends or begins a condemnation first, on both sides: whoever is asked next must know it.
        for prefix in [place.tombstones(), place.holds(), place.holes(), place.events()] {
            self.pass("record", &prefix, None, &|_| true).await?;
        }
        let wanted = Wanted::look(self.repository, place, &mut self.findings).await?;
        self.monitor.phase("WAL", None);
        for prefix in [place.wal(), place.chapters()] {
            self.pass("wal", &prefix, Some(&wanted), &|named| wanted.wants(named)).await?;
        }
        self.monitor.phase("packs and maps", None);
        let packs_and_maps =
            |named: &Named| matches!(named, Named::Pack { .. } | Named::Map { .. }) && wanted.wants(named);
        self.pass("data", &place.backups(), Some(&wanted), &packs_and_maps).await?;
        self.monitor.phase("manifests", None);
        self.manifests(&wanted).await?;
        Ok(wanted)
    }

    /// Copies what is lacked beneath `prefix` and wanted.
    async fn pass(
        &mut self,
        kind: &'static str,
        prefix: &str,
        of: Option<&Wanted>,
        wants: &(dyn Fn(&Named) -> bool + Sync),
    ) -> Result<()> {
        let (repository, targets) = (self.repository, self.targets.clone());
        let mut met = pass(repository, prefix, &targets);
        let mut units = Vec::new();
        while let Some(next) = met.next().await {
            match next {
                Met::Broken(region, why) => self.broken(&region, &why),
                Met::Unit(unit) => {
                    let unit = self.counted(kind, unit, wants);
                    if !unit.is_empty() && !self.options.dry_run {
                        units.push(unit);
                    }
                }
            }
            if units.len() >= AT_ONCE {
                self.copy_wanted(kind, std::mem::take(&mut units), of).await?;
            }
        }
        self.copy_wanted(kind, units, of).await
    }

    /// Copies what is still wanted: since the pass began, which may take days, some may have been condemned.
    async fn copy_wanted(
        &mut self,
        kind: &'static str,
        mut units: Vec<Vec<Lacking>>,
        of: Option<&Wanted>,
    ) -> Result<()> {
        if let Some(wanted) = of.filter(|_| !units.is_empty()) {
            wanted.keep_fresh(self.repository).await?;
            units.iter_mut().for_each(|unit| unit.retain(|one| wanted.wants(one.name.named())));
            self.keep_apart(&mut units, wanted).await;
        }
        self.copy(kind, units).await;
        Ok(())
    }

    pub(super) fn broken(&mut self, region: &RegionName, why: &str) {
        self.give_up(region, why);
        self.tell("sync.region-unreached", format!("region {region} could not be listed: {why}"));
    }

    pub(super) fn give_up(&mut self, region: &RegionName, why: &str) {
        if let Some(report) = self.regions.iter_mut().find(|report| report.region == *region) {
            report.incomplete.get_or_insert_with(|| why.to_owned());
        }
    }

    pub(super) fn tell(&mut self, id: &'static str, what: String) {
        let told = self.told.entry(id).or_default();
        *told += 1;
        if *told <= TOLD_MAX {
            self.findings.push(finding(id, what));
        }
    }

    pub(super) fn is_given_up(&self, region: &RegionName) -> bool {
        self.regions.iter().any(|report| report.region == *region && report.incomplete.is_some())
    }

    pub(super) fn kind_of(&mut self, region: &RegionName, kind: &'static str) -> Option<&mut KindReport> {
        let report = self.regions.iter_mut().find(|report| report.region == *region)?;
        Some(report.kind_mut(kind))
    }

    /// What of a unit is to be copied, counted.
    fn counted(
        &mut self,
        kind: &'static str,
        unit: Vec<Lacking>,
        wants: &(dyn Fn(&Named) -> bool + Sync),
    ) -> Vec<Lacking> {
        let mut wanted = Vec::new();
        for lacking in unit {
            let wants = wants(lacking.name.named());
            for region in &lacking.lacked_by {
                let Some(told) = self.kind_of(region, kind) else { continue };
                match wants {
                    true => {
                        told.lacking += 1;
                        told.lacking_bytes += lacking.bytes;
                    }
                    false => told.not_wanted += 1,
                }
            }
            if wants {
                wanted.push(lacking);
            }
        }
        wanted
    }

    async fn copy(&mut self, kind: &'static str, units: Vec<Vec<Lacking>>) {
        let repository = self.repository;
        let given_up: Vec<RegionName> =
            self.targets.iter().filter(|target| self.is_given_up(target)).cloned().collect();
        let copying = units.into_iter().map(|unit| one_unit(repository, unit, &given_up));
        for done in futures::future::join_all(copying).await.into_iter().flatten() {
            let (name, region, copied) = done;
            self.account(kind, &name, &region, copied);
        }
    }

    fn account(&mut self, kind: &'static str, name: &ObjectName, region: &RegionName, copied: Copied) {
        match copied {
            Copied::Now(bytes) => {
                self.monitor.advance(bytes);
                if let Some(told) = self.kind_of(region, kind) {
                    told.copied += 1;
                    told.copied_bytes += bytes;
                }
            }
            Copied::Before => {}
            Copied::Conflict(why) => {
                self.tell("sync.conflict", format!("{name} is not copied into {region}: {why}"));
            }
            Copied::NoGoodCopy(why) => {
                self.tell("sync.no-good-copy", format!("{name} cannot be copied into {region}: {why}"));
            }
            Copied::Refused(error) => {
                self.give_up(region, &error.chain());
                self.tell(
                    "sync.region-refuses",
                    format!("{name} was not taken by {region}: {}", error.chain()),
                );
            }
        }
    }

    async fn manifests(&mut self, wanted: &Wanted) -> Result<()> {
        let (repository, targets) = (self.repository, self.targets.clone());
        let mut lacking = Vec::new();
        let place = wanted.place.clone();
        let mut met = pass(repository, &place.manifests(), &targets);
        while let Some(next) = met.next().await {
            match next {
                Met::Broken(region, why) => self.broken(&region, &why),
                Met::Unit(unit) => {
                    lacking.extend(self.counted("manifest", unit, &|named| wanted.wants(named)));
                }
            }
        }
        drop(met);
        for one in lacking {
            let Named::Manifest { backup, .. } = *one.name.named() else { continue };
            if !self.options.dry_run {
                wanted.look_again(repository).await?;
                if wanted.wants(one.name.named()) {
                    self.manifest(wanted, backup, one).await?;
                }
            }
        }
        Ok(())
    }

    /// Puts a manifest into the regions that lack it and have everything it needs.
    async fn manifest(&mut self, wanted: &Wanted, backup: BackupId, mut one: Lacking) -> Result<()> {
        let manifest = self.repository.manifest(&wanted.place, backup).await?;
        let mut whole = Vec::new();
        for region in
            one.lacked_by.iter().filter(|region| !self.is_given_up(region)).cloned().collect::<Vec<_>>()
        {
            match lacks(self.repository, wanted, &manifest, &region).await {
                Ok(None) if self.has_other_wal(&wanted.place, &manifest, &region, &one.held).await => {}
                Ok(None) => whole.push(region),
                Ok(Some(what)) => {
                    self.give_up(&region, &format!("backup {backup} lacks {what} there"));
                    self.tell(
                        "sync.backup-incomplete",
                        format!("backup {backup} stays out of {region}, which lacks {what}"),
                    );
                }
                Err(why) => self.broken(&region, &why),
            }
        }
        one.lacked_by = whole;
        self.copy("manifest", vec![vec![one]]).await;
        Ok(())
    }
}

type Done = (ObjectName, RegionName, Copied);

/// Copies the objects of a unit in order; a region that did not take one of them gets none of the rest.
async fn one_unit(repository: &Repository, unit: Vec<Lacking>, given_up: &[RegionName]) -> Vec<Done> {
    let (mut done, mut out) = (Vec::new(), given_up.to_vec());
    for lacking in unit {
        for region in &lacking.lacked_by {
            let Some(target) = repository.regions().find(region.as_str()).filter(|_| !out.contains(region))
            else {
                continue;
            };
            let copied = copy(repository, &lacking.name, &lacking.held, target).await;
            if !matches!(copied, Copied::Now(_) | Copied::Before) {
                out.push(region.clone());
            }
            done.push((lacking.name.clone(), region.clone(), copied));
        }
    }
    done
}

/// What a region lacks of what a backup needs; `Err` where it cannot be asked.
async fn lacks(
    repository: &Repository,
    wanted: &Wanted,
    manifest: &Manifest,
    region: &RegionName,
) -> std::result::Result<Option<String>, String> {
    let Some(target) = repository.regions().find(region.as_str()) else { return Ok(None) };
    let place = &wanted.place;
    let used = std::iter::once(manifest.header.backup).chain(manifest.body.uses.iter().copied());
    for backup in used {
        let packs = manifest.body.packs.iter().map(|row| row.pack).filter(|pack| pack.backup == backup);
        let there = names(target, &place.packs(backup)).await?;
        let pack = |number| Named::Pack { place: place.clone(), backup, number }.to_name();
        if let Some(pack) = packs.map(|row| pack(row.number)).find(|name| !there.contains(name)) {
            return Ok(Some(pack.to_string()));
        }
        let mut maps = repository.regions().list_all(&place.maps(backup));
        while let Some(listed) = maps.next().await {
            let (name, held) = match listed {
                Listed::Object { name, held, .. } => (name, held),
                // Whether it is all cannot be told then: not even by what the others show.
                Listed::Broken { region, error } => return Err(format!("{region}: {}", error.chain())),
            };
            let Some(name) = ObjectName::parse(&name) else { continue };
            if wanted.wants(name.named()) && !held.iter().any(|copy| copy.region == *region) {
                return Ok(Some(name.to_string()));
            }
        }
    }
    let header = &manifest.header;
    for file in wal_of(header.stop_timeline, header.start, header.stop, header.segment_size) {
        let name = Named::Wal { place: place.clone(), file }.to_name();
        if !target.exists(name.as_str()).await.map_err(|error| error.chain())? {
            return Ok(Some(name.to_string()));
        }
    }
    Ok(None)
}

async fn names(
    region: &Region,
    prefix: &str,
) -> std::result::Result<std::collections::HashSet<ObjectName>, String> {
    let listed = region.list_collect(prefix).await.map_err(|error| error.chain())?;
    Ok(listed.into_iter().filter_map(|info| ObjectName::parse(&info.name)).collect())
}
