//! Looking at everything, region by region.
//!
//! Commit point: none; the only write is the event at the end that remembers how far reading came. Reads names in order, once, from all regions
//! at the same time; what a name asks for is done beside it by as many readers as there are CPUs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::layout::{Named, ObjectName, Place as Folder, prefix};
use seawall_repo::records::Adoption;
use seawall_store::{Listed, RegionName};
use tokio::task::JoinSet;

use super::expected::Expected;
use super::found::Way;
use super::healed::Heals;
use super::knowledge::Knowledge;
use super::lacking::unknown_name;
use super::manifests;
use super::meaning::explain;
use super::memory::{self, Place};
use super::object::Wrong;
use super::options::{Depth, VerifyOptions};
use super::outcome::{Gathered, found_of};
use super::pass::{Asks, Pass, Progress};
use super::report::{Ended, Kind, VerifyReport};
use super::summary::{known_damage, none_answered, not_checked, place, region_reports};
use super::tasks::{Job, Outcome, Reading, Seen};
use super::wal_held;
use super::walk::{About, Walker};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::repository::Repository;

/// Verifies what the regions hold for the cluster. `signer` is the same repository as a host that writes sees it, where this is one: it
/// remembers what was covered.
///
/// # Errors
/// No judged region can be asked, or there is no such region.
pub async fn verify(
    repository: &Repository,
    signer: Option<&Repository>,
    options: &VerifyOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<VerifyReport> {
    let began = crate::backup::now(repository.world())?;
    let clock = Arc::clone(&repository.world().clock);
    let from = clock.monotonic();
    let regions = judged(repository, options)?;
    let mut run = Run::begin(repository, options, &regions, Arc::clone(&monitor), from).await?;
    let folder = run.newest.clone();
    let recalled = match (&folder, signer) {
        (Some(folder), Some(signer)) if options.is_budgeted() => {
            memory::recall(repository, signer, folder, &regions, options.depth).await?
        }
        _ => None,
    };
    run.pass.resume = recalled.as_ref().and_then(Place::resume).map(str::to_owned);
    run.announce().await;
    run.top().await?;
    let own = [prefix::OWNER, prefix::WRITERS, prefix::HEALS].map(str::to_owned);
    for prefix in own.into_iter().chain([prefix::cluster(repository.cluster())]) {
        run.names(&prefix).await?;
    }
    run.drain(0).await?;
    run.pass.finish(&mut run.gathered);
    if run.gathered.judged().is_empty() {
        return Err(none_answered(&run.gathered));
    }
    let Run { pass, mut gathered, reading, .. } = run;
    let expected = Expected::load(repository, &pass.systems, gathered.judged(), pass.newest).await;
    let held = wal_held::holes(&pass.systems, &mut gathered, &expected);
    let findings = std::mem::take(&mut *gathered.findings());
    let (found, more) = findings.finish();
    let findings = explain(found, &pass.systems, &held, &reading).await?;
    let ended = if pass.stopped { Ended::Budget } else { Ended::Complete };
    let mut report = VerifyReport {
        cluster: repository.cluster().to_string(),
        depth: options.depth.word(),
        share: match options.depth {
            Depth::Sample(share) => Some(share.to_string()),
            Depth::Quick | Depth::Stored | Depth::Full => None,
        },
        began,
        seconds: clock.monotonic().saturating_sub(from).as_secs_f64(),
        ended,
        regions: region_reports(repository, &gathered, &regions),
        findings,
        findings_more: more,
        healed: gathered.heals.noted(),
        known_damage: known_damage(&gathered),
        not_checked: not_checked(repository, options, &gathered, &pass, signer.is_some()),
        place: place(&pass, options, &regions, recalled, began),
        event: None,
    };
    // What served a read in place of a bad copy is found above, region by region.
    let _served = repository.take_findings();
    report.findings.iter().for_each(|finding| monitor.finding(&finding.told()));
    if let (Some(signer), Some(folder), false) = (signer, folder, options.depth == Depth::Quick) {
        report.event = Some(memory::remember(signer, &folder, &report).await?);
    }
    Ok(report)
}

/// The regions that are judged.
fn judged(repository: &Repository, options: &VerifyOptions) -> Result<Vec<RegionName>> {
    let all = || repository.regions().iter().map(|region| region.name().clone());
    let Some(only) = &options.region else { return Ok(all().collect()) };
    let found: Vec<_> = all().filter(|region| region.as_str() == only).collect();
    if found.is_empty() {
        let known = all().map(|region| region.to_string()).collect::<Vec<_>>().join(", ");
        return Err(Error::usage("settings.unknown-region", format!("there is no region {only}"))
            .fact("regions", known));
    }
    Ok(found)
}

/// A run under way.
struct Run<'a> {
    repository: &'a Repository,
    options: &'a VerifyOptions,
    monitor: Arc<dyn Monitor>,
    reading: Reading,
    regions: Vec<RegionName>,
    pass: Pass<'a>,
    gathered: Gathered,
    jobs: JoinSet<Result<(Job, Vec<Seen>)>>,
    walkers: BTreeMap<(SystemId, RegionName), Walker>,
    /// The system identifier adopted last: where events go.
    newest: Option<Folder>,
    from: Duration,
    /// What the regions' meters said of bytes read when reading for the budget began.
    read_before: u64,
}

impl<'a> Run<'a> {
    async fn begin(
        repository: &'a Repository,
        options: &'a VerifyOptions,
        regions: &[RegionName],
        monitor: Arc<dyn Monitor>,
        from: Duration,
    ) -> Result<Self> {
        let seed = repository.world().random.next_u64().map_err(|error| {
            Error::source_side("host.random", "this host has no randomness to draw a sample with")
                .because(error)
        })?;
        let adoptions = repository.adoptions().await?;
        let place =
            |adoption: &Adoption| Folder { cluster: repository.cluster().clone(), system: adoption.system };
        let places: Vec<Folder> = adoptions.iter().map(place).collect();
        let heals = Arc::new(Heals::load(repository, &places, regions).await);
        let reading =
            Reading::new(repository, options.workers, options.niceness).with_heals(Arc::clone(&heals));
        let mut run = Self {
            repository,
            options,
            monitor,
            regions: regions.to_vec(),
            pass: Pass::new(options, seed, regions),
            gathered: Gathered { heals, ..Gathered::new(regions) },
            jobs: JoinSet::new(),
            walkers: BTreeMap::new(),
            newest: None,
            from,
            read_before: 0,
            reading,
        };
        run.monitor.phase("manifests", None);
        for adoption in adoptions {
            let mut known = Knowledge::load(&run.reading, &adoption, regions).await?;
            run.newest = Some(known.place.clone());
            run.manifests(&mut known);
            let mut histories = BTreeMap::new();
            for region in regions {
                histories.insert(region.clone(), wal_held::histories(repository, &known.place, region).await);
            }
            wal_held::undisputed(&mut histories);
            run.pass.systems.insert(adoption.system, Progress::new(known, histories));
        }
        run.read_before = run.read_bytes();
        Ok(run)
    }

    /// What reading the manifests showed.
    fn manifests(&mut self, known: &mut Knowledge) {
        let bad = std::mem::take(&mut known.bad);
        for bad in bad {
            let Named::Manifest { backup, .. } = bad.name.named() else { continue };
            let good = known.good.get(backup).cloned().unwrap_or_default();
            let wrong = match bad.outcome {
                Outcome::Wrong(wrong) => wrong,
                Outcome::Unreadable(why) => Wrong::new(Way::Unreadable, why),
                Outcome::Down(why) => {
                    self.gathered.breaks(&bad.region, &why);
                    continue;
                }
                // Deleted since it was listed: by who has the right to.
                Outcome::Gone | Outcome::Spent | Outcome::Good(_) => continue,
            };
            let found = found_of(&bad.name, &bad.region, wrong, &good, &good, known.size);
            self.gathered.find(found, Kind::Manifests);
        }
        for (name, copies) in std::mem::take(&mut known.differing) {
            self.gathered.compare(&name, &copies, &[], known.size);
        }
        for (region, bytes) in std::mem::take(&mut known.read) {
            self.gathered.read(&region, Kind::Manifests, bytes);
        }
    }

    /// Says what lies ahead: counted by listing once more, where much is to be read.
    async fn announce(&mut self) {
        if !self.options.depth.reads_all() {
            self.monitor.phase("names", None);
            return;
        }
        let mut total = 0_u64;
        let mut listed = self.repository.regions().list_all(&prefix::cluster(self.repository.cluster()));
        while let Some(entry) = listed.next().await {
            let Listed::Object { name, held, .. } = entry else { continue };
            if self.pass.is_deep(&name) {
                let bytes = held
                    .iter()
                    .filter(|held| self.regions.contains(&held.region))
                    .map(|held| held.size_bytes);
                total = total.saturating_add(bytes.sum());
            }
        }
        drop(listed);
        let total = self.options.budget_bytes.map_or(total, |budget| total.min(budget));
        self.monitor.phase("objects", Some(total));
    }

    /// What stands at the top of the regions: the repository's own record, and what does not belong there.
    async fn top(&mut self) -> Result<()> {
        let name = Named::Seawall.to_name();
        let mut shown = Vec::new();
        for region in self.repository.regions().iter() {
            if let Ok(info) = region.head(name.as_str()).await {
                shown.push(seawall_store::Held {
                    region: region.name().clone(),
                    size_bytes: info.size_bytes,
                    modified_unix_us: info.modified_unix_us,
                });
            }
            if !self.regions.contains(region.name()) {
                continue;
            }
            match region.list_level("").await {
                Ok(level) => {
                    let known = |dir: &str| {
                        let dir = format!("{}/", dir.trim_end_matches('/'));
                        dir == prefix::OWNER
                            || dir == prefix::WRITERS
                            || dir == prefix::HEALS
                            || prefix::cluster_of_folder(&dir).is_some()
                    };
                    let objects = level
                        .objects
                        .iter()
                        .map(|object| &object.name)
                        .filter(|object| **object != name.as_str());
                    for stranger in level.dirs.iter().filter(|dir| !known(dir)).chain(objects) {
                        self.gathered.find(unknown_name(region.name(), stranger, &[]), Kind::Records);
                    }
                    if let Ok(leftovers) = region.leftovers().await
                        && let Some(tally) = self.gathered.tallies.get_mut(region.name())
                    {
                        tally.leftovers = leftovers;
                    }
                }
                Err(error) => self.gathered.breaks(region.name(), &error.chain()),
            }
        }
        self.entry(name.as_str(), &shown).await
    }

    /// All names beneath a prefix.
    async fn names(&mut self, prefix: &str) -> Result<()> {
        let mut listed = self.repository.regions().list_all(prefix);
        while let Some(entry) = listed.next().await {
            match entry {
                Listed::Broken { region, error } => self.gathered.breaks(&region, &error.chain()),
                Listed::Object { name, held, .. } => self.entry(&name, &held).await?,
            }
        }
        Ok(())
    }

    async fn entry(&mut self, text: &str, held: &[seawall_store::Held]) -> Result<()> {
        if self.options.is_budgeted() && !self.pass.stopped && self.is_used_up() {
            self.pass.stopped = true;
        }
        let name = ObjectName::parse(text);
        if let Some((system, backup)) = name.as_ref().and_then(|name| self.pass.wants_manifest(name)) {
            let manifest = self.any_manifest(system, backup).await?;
            if let Some(progress) = self.pass.systems.get_mut(&system) {
                progress.enter(backup, manifest.as_deref());
            }
        }
        match self.pass.take(text, name, held, &mut self.gathered) {
            Asks::Nothing => Ok(()),
            Asks::Job(job) => {
                self.drain(self.reading.at_once).await?;
                let reading = self.reading.clone();
                self.jobs.spawn(async move {
                    let seen = reading.run((*job).clone()).await?;
                    Ok((*job, seen))
                });
                Ok(())
            }
            Asks::Walk(system, backup) => {
                // Bad packs and maps must be known before what names them is walked.
                self.drain(0).await?;
                self.walk(system, backup).await
            }
        }
    }

    /// A good copy of a manifest, from whichever judged region has one.
    async fn any_manifest(
        &self,
        system: SystemId,
        backup: BackupId,
    ) -> Result<Option<Box<seawall_repo::manifest::Manifest>>> {
        let Some(known) = self.pass.systems.get(&system).map(|progress| &progress.known) else {
            return Ok(None);
        };
        for region in known.good.get(&backup).into_iter().flatten() {
            if let Ok((manifest, _)) =
                manifests::manifest(&self.reading, &known.place, backup, region, None).await?
            {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    /// Takes results until at most `left` jobs are under way.
    async fn drain(&mut self, left: usize) -> Result<()> {
        while self.jobs.len() > left {
            let Some(done) = self.jobs.join_next().await else { return Ok(()) };
            let (job, seen) = done.map_err(|error| {
                Error::bug("verify.panicked", "a reader ended the thread that ran it").because(error)
            })??;
            let size =
                job.name.named().place().and_then(|place| self.pass.systems.get(&place.system)?.known.size);
            self.monitor.advance(seen.iter().map(|seen| seen.bytes).sum());
            self.gathered.take(seen, &job, size);
        }
        Ok(())
    }

    /// Walks the maps of a backup in every judged region that shows it.
    async fn walk(&mut self, system: SystemId, backup: BackupId) -> Result<()> {
        for region in self.regions.clone() {
            let Some(known) = self.pass.systems.get(&system).map(|progress| &progress.known) else {
                return Ok(());
            };
            let has = known.regions.get(&region).is_some_and(|of| of.backups.contains_key(&backup));
            if !has || !self.gathered.judges(&region) {
                continue;
            }
            let place = known.place.clone();
            let Ok((manifest, _)) = manifests::manifest(&self.reading, &place, backup, &region, None).await?
            else {
                continue;
            };
            let name: ObjectName = Named::Manifest { place: place.clone(), backup }.into();
            let size = known.size;
            let key = (system, region.clone());
            let walker = match self.walkers.remove(&key) {
                Some(walker) => Some(walker),
                None => self.repository.within(&region).map(|within| {
                    Walker::new(&self.reading, within, &place, &region, Arc::clone(&self.gathered.findings))
                }),
            };
            let Some(mut walker) = walker else { continue };
            let walked = walker.walk(&manifest).await;
            self.walkers.insert(key, walker);
            match walked {
                Ok(faults) => {
                    for fault in faults {
                        let name = match fault.about {
                            About::Manifest => name.clone(),
                            About::Map(map) => {
                                Named::Map { place: place.clone(), backup: map.backup, number: map.number }
                                    .into()
                            }
                        };
                        let found =
                            found_of(&name, &region, Wrong::new(fault.way, fault.fault), &[], &[], size);
                        self.gathered.find(found, Kind::of(name.named()));
                    }
                }
                Err(error) => self.gathered.breaks(&region, &error.to_string()),
            }
        }
        Ok(())
    }

    /// Bytes that all regions gave so far.
    fn read_bytes(&self) -> u64 {
        self.repository.regions().iter().map(|region| region.meter().get.bytes).sum()
    }

    fn is_used_up(&self) -> bool {
        let read = self.read_bytes().saturating_sub(self.read_before);
        let spent = self.repository.world().clock.monotonic().saturating_sub(self.from);
        self.options.budget_bytes.is_some_and(|budget| read >= budget)
            || self.options.budget_time.is_some_and(|limit| spent >= limit)
    }
}
