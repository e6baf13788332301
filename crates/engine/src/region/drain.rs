//! Whether a region may leave: everything it holds and anybody needs, looked for in every other region.
//!
//! Writes nothing but the event that says so. Promises: an object counts as held by another region only if its listing shows it, its
//! head there is signed, its length is what the head says, and its digest is that of the leaving region's copy; records are read whole. What
//! is lacking at first is asked for once more at the end: while this looks, others write. A region that cannot be asked to the end holds
//! nothing for certain.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt as _;
use seawall_repo::envelope::Kind;
use seawall_repo::layout::{ObjectName, Place};
use seawall_store::{Held, Listed, RegionName};

use super::look::{goes_along, unknown};
use super::report::{DrainReport, Lacked, OtherRegion};
use crate::error::{Error, Result};
use crate::events;
use crate::monitor::{Finding, Monitor};
use crate::repository::{Apart, COPY_WRONG, Copy, Repository};
use crate::sync::{Bad, Wanted, healed, record_prefixes, under};

/// Objects that are looked at at the same time.
const AT_ONCE: usize = 16;
/// Lacking objects that are named.
const NAMED_MAX: usize = 1_000;

/// Which region.
#[derive(Debug, Clone)]
pub struct DrainOptions {
    /// Its name.
    pub region: RegionName,
    /// Only look: no event says that it may leave.
    pub dry_run: bool,
}

/// Says whether every other region holds what this one holds.
///
/// # Errors
/// There is no such region, or no other; it cannot be listed itself.
pub async fn drain(
    repository: &Repository,
    options: &DrainOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<DrainReport> {
    let mut run = Run::new(repository, &options.region, monitor)?;
    run.everything().await?;
    run.ask_again().await;
    let mut report = run.report();
    if report.may_leave && !options.dry_run {
        tell(repository, &mut report).await?;
    }
    Ok(report)
}

async fn tell(repository: &Repository, report: &mut DrainReport) -> Result<()> {
    let Some(present) = repository.adoptions().await?.pop() else { return Ok(()) };
    let place = Place { cluster: repository.cluster().clone(), system: present.system };
    let set = repository.regions().set();
    match events::tell(repository, &set, &place, "region-drained", report).await {
        Ok(name) => report.event = Some(name.to_string()),
        Err(error) => report.findings.push(Finding {
            id: "region.event-not-stored",
            what: format!("the event could not be written: {error}"),
            hint: None,
        }),
    }
    Ok(())
}

struct Run<'a> {
    repository: &'a Repository,
    leaving: RegionName,
    monitor: Arc<dyn Monitor>,
    others: BTreeMap<RegionName, OtherRegion>,
    objects: u64,
    bytes: u64,
    not_wanted: u64,
    lacking: Vec<(ObjectName, RegionName, String)>,
    findings: Vec<Finding>,
}

impl<'a> Run<'a> {
    fn new(repository: &'a Repository, leaving: &RegionName, monitor: Arc<dyn Monitor>) -> Result<Self> {
        if repository.regions().find(leaving.as_str()).is_none() {
            return Err(unknown(leaving));
        }
        let others: BTreeMap<RegionName, OtherRegion> = repository
            .regions()
            .iter()
            .map(|region| region.name().clone())
            .filter(|region| region != leaving)
            .map(|region| (region.clone(), OtherRegion { region, held: 0, lacking: 0, unreached: None }))
            .collect();
        if others.is_empty() {
            return Err(Error::usage(
                "region.the-only-one",
                format!("{leaving} is the only region: it cannot leave"),
            ));
        }
        let leaving = leaving.clone();
        let (lacking, findings) = (Vec::new(), Vec::new());
        Ok(Self {
            repository,
            leaving,
            monitor,
            others,
            objects: 0,
            bytes: 0,
            not_wanted: 0,
            lacking,
            findings,
        })
    }

    async fn everything(&mut self) -> Result<()> {
        let cluster = self.repository.cluster().clone();
        self.monitor.phase("records", None);
        for prefix in record_prefixes(&cluster) {
            self.pass(&prefix, None).await?;
        }
        for adoption in self.repository.adoptions().await? {
            let place = Place { cluster: cluster.clone(), system: adoption.system };
            let wanted = Wanted::look(self.repository, &place, &mut self.findings).await?;
            self.monitor.phase("objects", None);
            self.pass(&place.all(), Some(&wanted)).await?;
        }
        Ok(())
    }

    /// Everything beneath a prefix that the leaving region has.
    async fn pass(&mut self, prefix: &str, wanted: Option<&Wanted>) -> Result<()> {
        let repository = self.repository;
        let mut listed = repository.regions().list_all(prefix);
        let mut asked = Vec::new();
        while let Some(next) = listed.next().await {
            match next {
                Listed::Broken { region, error } if region == self.leaving => {
                    return Err(Error::unavailable(
                        "region.unreached",
                        format!("region {region} cannot be listed to the end, so nobody knows what only it holds: {}", error.chain()),
                    )
                    .hint("if it is lost for good, take it out of the settings; what it alone held is lost with it (`seawall status` says what the others have)"));
                }
                Listed::Broken { region, error } => {
                    if let Some(other) = self.others.get_mut(&region) {
                        other.unreached.get_or_insert_with(|| error.chain());
                    }
                }
                Listed::Object { name, held, .. } => asked.extend(self.asks(&name, held, wanted)),
            }
            if asked.len() >= 8 * AT_ONCE {
                self.ask(std::mem::take(&mut asked)).await;
            }
        }
        drop(listed);
        self.ask(asked).await;
        Ok(())
    }

    /// An object that has to be in every other region, and where it is listed.
    fn asks(
        &mut self,
        name: &str,
        held: Vec<Held>,
        wanted: Option<&Wanted>,
    ) -> Option<(ObjectName, Vec<Held>)> {
        let here = held.iter().find(|one| one.region == self.leaving)?;
        let name = ObjectName::parse(name).filter(|name| goes_along(name.named()))?;
        if wanted.is_some_and(|wanted| !wanted.stays(name.named())) {
            self.not_wanted += 1;
            return None;
        }
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(here.size_bytes);
        Some((name, held))
    }

    async fn ask(&mut self, asked: Vec<(ObjectName, Vec<Held>)>) {
        let (repository, leaving) = (self.repository, self.leaving.clone());
        let others: Vec<RegionName> = self.others.keys().cloned().collect();
        let mut answers = futures::stream::iter(asked)
            .map(|(name, held)| {
                let (others, leaving) = (&others, &leaving);
                async move {
                    let own = copy(repository, &name, leaving, &held).await.ok();
                    let mut answers = Vec::new();
                    for other in others {
                        answers
                            .push((other.clone(), holds(repository, &name, other, &held, own.clone()).await));
                    }
                    (name, answers)
                }
            })
            .buffered(AT_ONCE);
        while let Some((name, answers)) = answers.next().await {
            self.monitor.advance(1);
            for (region, answer) in answers {
                let Some(other) = self.others.get_mut(&region) else { continue };
                match answer {
                    Ok(()) => other.held += 1,
                    Err(why) => self.lacking.push((name.clone(), region, why)),
                }
            }
        }
    }

    /// What was lacking a while ago may have come since.
    async fn ask_again(&mut self) {
        for (name, region, why) in std::mem::take(&mut self.lacking) {
            let mut held = Vec::new();
            for at in [&self.leaving, &region] {
                let Some(of) = self.repository.regions().find(at.as_str()) else { continue };
                if let Ok(info) = of.head(name.as_str()).await {
                    let (size_bytes, modified_unix_us) = (info.size_bytes, info.modified_unix_us);
                    held.push(Held { region: at.clone(), size_bytes, modified_unix_us });
                }
            }
            let own = copy(self.repository, &name, &self.leaving, &held).await.ok();
            let Some(other) = self.others.get_mut(&region) else { continue };
            match holds(self.repository, &name, &region, &held, own).await {
                Ok(()) => other.held += 1,
                Err(_) => {
                    other.lacking += 1;
                    self.lacking.push((name, region, why));
                }
            }
        }
    }

    fn report(self) -> DrainReport {
        let may_leave =
            self.lacking.is_empty() && self.others.values().all(|other| other.unreached.is_none());
        let lacking_more = self.lacking.len().saturating_sub(NAMED_MAX) as u64;
        let named = self.lacking.into_iter().take(NAMED_MAX);
        let findings = self.repository.take_findings().into_iter().filter(|one| one.id != COPY_WRONG);
        DrainReport {
            cluster: self.repository.cluster().clone(),
            region: self.leaving,
            may_leave,
            objects: self.objects,
            bytes: self.bytes,
            not_wanted: self.not_wanted,
            others: self.others.into_values().collect(),
            lacking: named
                .map(|(name, region, why)| Lacked { region, object: name.to_string(), why })
                .collect(),
            lacking_more,
            event: None,
            findings: self.findings.into_iter().chain(findings).collect(),
        }
    }
}

/// Whether a region holds an object whole, with this content.
async fn holds(
    repository: &Repository,
    name: &ObjectName,
    region: &RegionName,
    held: &[Held],
    own: Option<Copy>,
) -> std::result::Result<(), String> {
    let there = copy(repository, name, region, held).await?;
    match Apart::of(own.into_iter().chain([there])) {
        Some(apart) => Err(apart.words()),
        None => Ok(()),
    }
}

/// What a region's copy is, its heal copies included, of which head and length were seen to fit; why not otherwise.
async fn copy(
    repository: &Repository,
    name: &ObjectName,
    region: &RegionName,
    held: &[Held],
) -> std::result::Result<Copy, String> {
    let listed = held.iter().find(|one| one.region == *region).ok_or("it is not there")?;
    let of = repository.regions().find(region.as_str()).ok_or("there is no such region")?;
    let created = repository.created(name).await;
    let alone = repository.within(region).ok_or("there is no such region")?;
    if Kind::of_name(name).is_some()
        && let Ok(head) = alone.read_head(name).await
        && head.value.head().check_object_bytes(listed.size_bytes).is_ok()
    {
        return Ok(Copy::of_head(region, &head.value));
    }
    // A record, or something is wrong with it: all of it is read, and its heal copies after it.
    let why = match under(repository, of, name, created).await {
        Ok(good) => return good.copy.ok_or_else(|| "nothing says what is in it".to_owned()),
        Err(Bad::Absent) => "it is not there".to_owned(),
        Err(Bad::Damaged(why, _)) => format!("it is damaged: {why}"),
        Err(Bad::Away(error)) => return Err(error.chain()),
    };
    match healed(repository, of, name, created).await {
        Ok(Some(good)) => good.copy.ok_or(why),
        _ => Err(why),
    }
}
