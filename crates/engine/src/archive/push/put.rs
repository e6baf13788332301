//! Putting the objects of one WAL file to every region at the same time, and what each region's answer means.
//!
//! Promises: a region gets the object under the plain name only if it holds every part; nothing is overwritten; a region that
//! holds another file under one of the names stops the push, whatever the others say; a region that is away is asked for a sign of life
//! before it gets anything, and what became of each region is remembered for the next push.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seawall_repo::keys::{Digest, DigestKey};
use seawall_repo::layout::Named;
use seawall_repo::layout::ObjectName;
use seawall_repo::object::SealedObject;
use seawall_store::{
    DetachReason, PerRegion, Put, Region, RegionName, RegionSet, StoreError, Verdict, acknowledge,
};

use super::away::{Away, AwayRegions};
use super::existing::{Digested, Found, compare};
use super::indexing::{Plan, Told};
use super::report::Stored;
use super::rule;
use super::seal::Sealing;
use super::source::WalSource;
use crate::archive::conflict::OtherCopy;
use crate::error::Error;
use crate::repository::Repository;

/// What the regions said in the end.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    /// Regions that hold the file, and since when.
    pub(super) stored: Vec<(RegionName, Stored)>,
    /// Regions that do not, and why.
    pub(super) failed: Vec<(RegionName, String)>,
    /// Those of them that count as away: the rule does without them.
    pub(super) away: Vec<RegionName>,
    /// Regions that answer again, and what was known of them.
    pub(super) returned: Vec<(RegionName, Away)>,
    /// Bytes of the objects as sealed.
    pub(super) sealed_bytes: u64,
    /// What was told of the records; none where it did not come to that.
    pub(super) told: Option<Told>,
}

/// Why a push ends at once.
#[derive(Debug)]
pub(super) enum Stop {
    /// Another file stands there.
    Conflict(Box<OtherCopy>),
    /// Something stands there that cannot be believed.
    Unbelieved { region: RegionName, name: ObjectName, why: String },
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Puts one WAL file.
pub(super) struct Putting<'a> {
    repository: &'a Repository,
    sealing: Sealing,
    source: Arc<WalSource>,
    set: RegionSet,
    memory: &'a mut AwayRegions,
    /// When the work with the regions began, in the memory's time.
    began: Duration,
    /// Regions that were not tried, for they were a moment ago.
    untried: Vec<RegionName>,
    sealed_bytes: u64,
    plan: Arc<Plan>,
    told: Option<Told>,
}

/// A step of a push.
type Step<T> = Result<T, Stop>;

/// One region's answer: the digest of what it holds, and whether this push stored it.
type Answers = PerRegion<Result<(Digest, Stored), StoreError>>;

impl<'a> Putting<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        sealing: Sealing,
        source: Arc<WalSource>,
        plan: Plan,
        memory: &'a mut AwayRegions,
    ) -> Self {
        let (rule, began) = (repository.acknowledge(), memory.now());
        // A region that hangs must not hold the server's archiver up for longer than the rule asks for.
        let mut set = repository.regions().set().with_quorum(rule::quorum(rule));
        for region in repository.regions().iter() {
            if let Some(lag_max) = rule::lag_max(rule, memory.of(region.name()), began) {
                set = set.with_lag_max_of(region.name(), lag_max);
            }
        }
        Self {
            repository,
            sealing,
            source,
            set,
            memory,
            began,
            untried: Vec::new(),
            sealed_bytes: 0,
            plan: Arc::new(plan),
            told: None,
        }
    }

    /// Puts all of it.
    pub(super) async fn run(mut self) -> Step<Outcome> {
        self.try_away().await;
        let answers =
            if self.source.is_parted() { self.put_parted().await? } else { self.put_whole().await? };
        let mut stored = Vec::new();
        let mut failed: Vec<(RegionName, String)> = Vec::new();
        for gone in self.set.detached() {
            failed.push((gone.region, crate::repository::reason(&gone.reason)));
        }
        let mut puts = Vec::new();
        for (region, answer) in answers {
            match answer {
                Ok((_, how)) => {
                    stored.push((region.clone(), how));
                    puts.push((region, Ok(Put::AlreadyThere)));
                }
                Err(error) => {
                    if !failed.iter().any(|(known, _)| *known == region) {
                        failed.push((region.clone(), error.chain()));
                    }
                    puts.push((region, Err(error)));
                }
            }
        }
        let (away, returned) = self.remember(&stored, &failed);
        let (rule, regions) = (self.repository.acknowledge(), self.repository.regions().len());
        let verdict = acknowledge(rule::ack(rule, regions, away.len()), regions, &PerRegion::new(puts));
        Ok(Outcome {
            verdict,
            stored,
            failed,
            away,
            returned,
            sealed_bytes: self.sealed_bytes,
            told: self.told,
        })
    }

    /// Remembers what became of each region: those that count as away now, and those that answer again.
    fn remember(
        &mut self,
        stored: &[(RegionName, Stored)],
        failed: &[(RegionName, String)],
    ) -> (Vec<RegionName>, Vec<(RegionName, Away)>) {
        for (region, why) in failed.iter().filter(|(region, _)| !self.untried.contains(region)) {
            self.memory.failed(region, self.began, why);
        }
        let returned = stored
            .iter()
            .filter_map(|(region, _)| Some((region.clone(), self.memory.answered(region)?)))
            .collect();
        let (rule, now) = (self.repository.acknowledge(), self.memory.now());
        let is_away = |region: &&RegionName| rule::is_away(rule, self.memory.of(region), now);
        let away = failed.iter().map(|(region, _)| region).filter(is_away).cloned().collect();
        (away, returned)
    }

    /// Of the regions that failed before: one whose time it is not is left alone, one that counts as away is asked for a sign of life
    /// first, and the others are tried as any.
    async fn try_away(&mut self) {
        let (repository, rule) = (self.repository, self.repository.acknowledge());
        let failed: Vec<&Region> =
            repository.regions().iter().filter(|region| self.memory.of(region.name()).is_some()).collect();
        // Whom the rule cannot do without is tried whatever the time.
        let needed = repository.regions().len() - failed.len() < rule::quorum(rule);
        let mut trials = Vec::new();
        for region in failed {
            let Some(known) = self.memory.of(region.name()) else { continue };
            if !needed && !rule::is_due(rule, known, self.began) {
                let why = format!("away since {}, not tried again yet: {}", known.since, known.why);
                self.set.detach(region.name(), DetachReason::Failed(why));
                self.untried.push(region.name().clone());
                continue;
            }
            region.try_again();
            if rule::is_away(rule, Some(known), self.began) {
                trials.push(sign_of_life(region, repository));
            }
        }
        for (region, sign) in futures::future::join_all(trials).await {
            if let Err(why) = sign {
                region.leave_alone(why.clone());
                self.set.detach(region.name(), DetachReason::Failed(why));
            }
        }
    }

    async fn put_whole(&mut self) -> Step<Answers> {
        let (source, sealing, plan) =
            (Arc::clone(&self.source), self.sealing.clone(), Arc::clone(&self.plan));
        let (object, told) = away(move || sealing.seal_whole(&source, &plan)).await?;
        self.told = Some(told);
        let source = Arc::clone(&self.source);
        self.put(object, &move |key: &DigestKey| source.digest(key)).await
    }

    /// Parts first; the object that tells of them only to regions that hold them all.
    async fn put_parted(&mut self) -> Step<Answers> {
        let mut whole = self.repository.digest_key()?.hasher();
        let mut digests = Vec::new();
        let (source, plan) = (Arc::clone(&self.source), Arc::clone(&self.plan));
        let mut indexing = away(move || Ok(plan.begin(&source))).await?;
        for part in 0..self.source.parts() {
            let (source, sealing) = (Arc::clone(&self.source), self.sealing.clone());
            let sealed = away(move || {
                let object = sealing.seal_part(&source, part, &mut |plain| {
                    whole.update(plain);
                    indexing.take(plain);
                })?;
                Ok((object, indexing, whole))
            });
            let object;
            (object, indexing, whole) = sealed.await?;
            let source = Arc::clone(&self.source);
            let answers = self.put(object, &move |key: &DigestKey| source.digest_part(key, part)).await?;
            match self.let_go(part, &answers) {
                Some(digest) => digests.push(digest),
                None => return Ok(answers),
            }
        }
        let told = away(move || Ok(indexing.finish())).await?;
        let object = self.sealing.seal_parted(&digests, whole.finish(), self.source.bytes, &told.index)?;
        self.told = Some(told);
        let source = Arc::clone(&self.source);
        self.put(object, &move |key: &DigestKey| source.digest(key)).await
    }

    /// Detaches regions without this part, and those whose copy has another digest than the first one's (it was sealed with
    /// keys of another generation): the object of the whole can name only one. The digest to name; none if no region is left.
    fn let_go(&self, part: u32, answers: &Answers) -> Option<Digest> {
        let named = answers.iter().find_map(|(_, answer)| answer.as_ref().ok().map(|(digest, _)| *digest));
        for (region, answer) in answers.iter() {
            let reason = match answer {
                Err(error) => error.chain(),
                Ok((digest, _)) if Some(*digest) == named => continue,
                Ok(_) => format!("its part {part} was sealed with keys of another generation"),
            };
            self.set.detach(region, DetachReason::Failed(reason));
        }
        named
    }

    async fn put(&mut self, object: SealedObject, plain: &Digested<'_>) -> Step<Answers> {
        let (name, bytes, digest) = object.into_parts();
        let bytes = Bytes::from(bytes);
        self.sealed_bytes += bytes.len() as u64;
        let mut answers = Vec::new();
        for (region, put) in self.set.put_all(name.as_str(), &bytes).await {
            let answer = match put {
                Ok(Put::Created) => Ok((digest, Stored::Now)),
                Ok(Put::AlreadyThere) => Ok((digest, Stored::Before)),
                Ok(Put::Conflict { existing }) => {
                    let held = self.settle(&region, &name, &existing, plain).await?;
                    Ok((held, Stored::Before))
                }
                Err(error) => Err(error),
            };
            answers.push((region, answer));
        }
        Ok(PerRegion::new(answers))
    }

    async fn settle(
        &self,
        region: &RegionName,
        name: &ObjectName,
        existing: &seawall_store::Existing,
        plain: &Digested<'_>,
    ) -> Step<Digest> {
        let place = self.repository.regions().find(region.as_str()).ok_or_else(|| {
            Error::bug("archive.region", format!("region {region} answered and is not there"))
        })?;
        match compare(self.repository, place, name, existing, plain).await? {
            Found::Same(digest) => Ok(digest),
            Found::Other(copy) => Err(Stop::Conflict(copy)),
            Found::Unbelieved(why) => {
                Err(Stop::Unbelieved { region: region.clone(), name: name.clone(), why })
            }
        }
    }
}

/// Whether a region answers at all, asked for an object that every region has.
async fn sign_of_life<'a>(
    region: &'a Region,
    repository: &Repository,
) -> (&'a Region, std::result::Result<(), String>) {
    let marker = Named::Seawall.to_name();
    let sign = match repository.world().within(rule::TRIAL, region.exists(marker.as_str())).await {
        Some(Ok(true)) => Ok(()),
        Some(Ok(false)) => Err("it shows no repository".to_owned()),
        Some(Err(error)) => Err(error.chain()),
        None => Err(format!("no sign of life within {} s", rule::TRIAL.as_secs())),
    };
    (region, sign)
}

/// Reading and sealing, away from the runtime's threads.
async fn away<T: Send + 'static>(work: impl FnOnce() -> crate::error::Result<T> + Send + 'static) -> Step<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::bug("archive.seal", "the sealing thread ended").because(error))?
        .map_err(Stop::Failed)
}
