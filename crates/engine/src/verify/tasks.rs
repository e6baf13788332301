//! Reading copies and checking them, several at once.
//!
//! Promises: one region's copy is read from that region alone; on all CPUs, in memory that depends neither on the number of objects nor on
//! that of CPUs: what is long is checked as it streams by. An outage of a region is told apart from damage.

use std::sync::Arc;

use bytes::Bytes;
use seawall_pg::Timeline;
use seawall_repo::compress::Decompressor;
use seawall_repo::envelope::{Head, Kind};
use seawall_repo::layout::{Named, ObjectName, PartedFile};
use seawall_repo::object::OpenHead;
use seawall_repo::time::Time;
use seawall_store::{ErrorKind, RegionName, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::found::Way;
use super::healed::Heals;
use super::links::{At, Beside};
use super::object::{Check, Checked, Good, Plain, Wrong, edges, good, index_checked};
use super::pages::PageFacts;
use super::wal_pages::WalFacts;
use crate::error::{Error, Result};
use crate::repository::{OBJECT_BYTES_MAX, Repository};
use crate::source::{Niceness, lower_this_thread};

/// First read of a head.
const HEAD_READ_BYTES: u64 = 4096;
/// Memory is counted in these.
pub(super) const MEBIBYTE: u64 = 1 << 20;
/// What is longer streams by, where that can be: packs, and everything whose content is left alone. Tests have nothing so long, and
/// look at short objects whole on their own.
const STREAMED_FROM_BYTES: u64 = if cfg!(test) { 0 } else { 8 << 20 };
/// What one that is read whole is counted with at most: an incompressible part of WAL.
const WHOLE_MEBIBYTES: usize = 34;
/// What all together may be.
const MEMORY_MEBIBYTES: usize = 2 * WHOLE_MEBIBYTES;

/// One object to be looked at.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) name: ObjectName,
    /// Where it is listed, with its size there.
    pub(super) copies: Vec<(RegionName, u64)>,
    pub(super) created: Option<Time>,
    /// How much of it.
    pub(super) look: Look,
    /// Regions whose copy has not the size that a manifest names.
    pub(super) odd: Vec<(RegionName, String)>,
    pub(super) pages: Option<PageFacts>,
    /// By region: the history differs where a region lacks it.
    pub(super) wal: Vec<(RegionName, WalFacts)>,
    /// A segment's place beside its neighbours.
    pub(super) neighbours: Option<Neighbours>,
}

/// The neighbours of a segment.
#[derive(Debug, Clone)]
pub(super) struct Neighbours {
    pub(super) at: At,
    /// The timeline of the segment before it.
    pub(super) before: Timeline,
    /// That segment, where only this one is looked at.
    pub(super) alone: Option<ObjectName>,
}

/// How much of an object is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Its head.
    Head,
    /// All stored bytes.
    Stored,
    /// All, opened as far as the keys allow.
    Open,
}

/// What became of one copy.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) name: ObjectName,
    pub(super) region: RegionName,
    pub(super) bytes: u64,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Good(Box<Good>),
    Wrong(Wrong),
    /// A heal copy that is damaged where it is not needed any more.
    Spent,
    /// Listed, and not there when it was read.
    Gone,
    /// The region is down.
    Down(String),
    /// This one cannot be read, whatever the reason.
    Unreadable(String),
}

/// With what jobs are done. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) repository: Repository,
    pub(super) heals: Arc<Heals>,
    memory: Arc<Semaphore>,
    cpus: Arc<Semaphore>,
    niceness: Niceness,
    pub(super) at_once: usize,
}

impl Reading {
    pub(super) fn new(repository: &Repository, workers: usize, niceness: Niceness) -> Self {
        let workers = if workers == 0 {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        } else {
            workers
        };
        Self {
            repository: repository.clone(),
            heals: Arc::default(),
            memory: Arc::new(Semaphore::new(MEMORY_MEBIBYTES)),
            cpus: Arc::new(Semaphore::new(workers)),
            niceness,
            at_once: workers * 4,
        }
    }

    /// The same; what is damaged is looked for among these.
    pub(super) fn with_heals(self, heals: Arc<Heals>) -> Self {
        Self { heals, ..self }
    }

    /// Does a job. Copies are looked at one after the other: jobs are what runs side by side.
    pub(super) async fn run(&self, job: Job) -> Result<Vec<Seen>> {
        let job = Arc::new(job);
        let mut all = Vec::new();
        for (region, size) in &job.copies {
            all.extend(self.copy(&job, region, *size).await?);
        }
        Ok(all)
    }

    /// One region's copy, and the parts that belong to it.
    pub(super) async fn look(&self, job: &Arc<Job>, region: &RegionName, size: u64) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        if job.look == Look::Head {
            let (bytes, outcome) = self.head(job, region, size).await;
            seen.push(Seen { name: job.name.clone(), region: region.clone(), bytes, outcome });
        } else {
            self.whole(job, region, size, &mut seen).await?;
            self.beside(job, region, seen.first_mut()).await;
        }
        Ok(seen)
    }

    /// Holds a segment that is looked at alone against the one before it.
    async fn beside(&self, job: &Job, region: &RegionName, seen: Option<&mut Seen>) {
        let alone = job.neighbours.as_ref().and_then(|neighbours| neighbours.alone.as_ref());
        let (Some(alone), Some(Seen { outcome: Outcome::Good(good), .. })) = (alone, seen) else { return };
        let before = match self.head_and_index(job, region, alone).await {
            Ok((head, index)) => edges(index.ok().map(Box::new), head.head().writer()),
            // What is not there is no neighbour.
            Err(Outcome::Gone) => return,
            Err(_) => None,
        };
        good.beside = Some(match (before, &good.edges) {
            (Some(before), Some(own)) => before.goes_on(own).map_or_else(Beside::Broken, |()| Beside::Joined),
            _ => Beside::Untold,
        });
    }

    /// The whole of one region's copy, and where it is a file in parts all of these.
    async fn whole(&self, job: &Arc<Job>, region: &RegionName, size: u64, all: &mut Vec<Seen>) -> Result<()> {
        let (bytes, mut outcome, _) = self.object(job, &job.name, region, Some(size), None).await?;
        if let Outcome::Good(good) = &mut outcome
            && let Some(chapter) = good.chapter.take()
            && let Some(fault) = self.chapter_differs(job, region, &chapter).await
        {
            outcome = Outcome::Wrong(Wrong::new(Way::ChapterDiffers, fault));
        }
        let (parts, index, by) = match &mut outcome {
            Outcome::Good(good) => {
                let parts = good.parts.clone().map(|parts| (parts, good.plain_digest, good.generation));
                (parts, good.index.take(), good.writer)
            }
            _ => (None, None, None),
        };
        all.push(Seen { name: job.name.clone(), region: region.clone(), bytes, outcome });
        let (Some((digests, whole, generation)), Named::Wal { place, file }) = (parts, job.name.named())
        else {
            return Ok(());
        };
        let (own, writer) = (index.clone(), by);
        let index = self.with(job, region).index_check(*file, index);
        let Some(file) = PartedFile::of(*file) else { return Ok(()) };
        // Parts and whole were made together, so with the keys of one generation.
        let key = self.repository.keys().digest_key(generation, self.repository.trust().repository());
        let mut plain = key.map(|key| Plain { hasher: key.hasher(), index });
        let (mut every, mut closed) = (true, false);
        for (digest, part) in digests.iter().zip(0..) {
            let name: ObjectName = Named::WalPart { place: place.clone(), file, part }.into();
            let (bytes, mut outcome, back) = self.object(job, &name, region, None, plain.take()).await?;
            plain = back;
            if let Outcome::Good(good) = &outcome {
                closed |= good.closed;
                if good.plain_digest != Some(*digest) {
                    outcome = Outcome::Wrong(Wrong::new(
                        Way::Damaged,
                        "it is another part than the object of the whole file names",
                    ));
                }
            }
            every &= matches!(outcome, Outcome::Good(_));
            // What is not there is told by listing.
            if !matches!(outcome, Outcome::Gone) {
                all.push(Seen { name, region: region.clone(), bytes, outcome });
            }
        }
        let (digest, index) = plain.map(|plain| (plain.hasher.finish(), plain.index)).unzip();
        let told = match writer {
            // Parts that were not all opened say nothing against the index.
            _ if !every || closed => Ok(own),
            _ if digest != whole => Err(Wrong::new(Way::Damaged, "its parts do not make the file it names")),
            Some(writer) => index_checked(index.flatten(), writer),
            None => Ok(None),
        };
        let seen = all.iter_mut().find(|seen| seen.name == job.name && seen.region == *region);
        if let Some(Seen { outcome, .. }) = seen {
            match (told, &mut *outcome, writer) {
                (Err(wrong), _, _) => *outcome = Outcome::Wrong(wrong),
                (Ok(index), Outcome::Good(good), Some(writer)) if good.edges.is_none() => {
                    good.edges = edges(index, writer);
                }
                (Ok(_), ..) => {}
            }
        }
        Ok(())
    }

    pub(super) async fn object(
        &self,
        job: &Arc<Job>,
        name: &ObjectName,
        region: &RegionName,
        size: Option<u64>,
        mut plain: Option<Plain>,
    ) -> Result<(u64, Outcome, Option<Plain>)> {
        let size = self.heals.standing_in(region, name).map(|(_, size)| size).or(size);
        let leaves_content = job.look == Look::Stored && Kind::of_name(&name.signed()).is_some();
        let opens_pack = job.look == Look::Open && matches!(name.signed().named(), Named::Pack { .. });
        // A part is listed by its own name, and not at hand here.
        let expected = size.unwrap_or(seawall_repo::wal_object::PART_BYTES as u64);
        if expected > STREAMED_FROM_BYTES && (opens_pack || leaves_content) {
            let (bytes, outcome) = self.streamed(job, name, region, size).await?;
            return Ok((bytes, outcome, plain));
        }
        let _room = self.room(expected).await?;
        let bytes = match self.get(name, region, None).await {
            Ok(bytes) => bytes,
            Err(outcome) => return Ok((0, outcome, plain)),
        };
        let length = bytes.len() as u64;
        let (this, job, name, region) = (self.clone(), Arc::clone(job), name.clone(), region.clone());
        let (checked, plain) = self
            .on_a_cpu(move || {
                let checked = this.check(&job, &name, &region, &bytes, plain.as_mut())?;
                Ok((checked, plain))
            })
            .await?;
        Ok((length, outcome(checked), plain))
    }

    /// Room for so many bytes of one object.
    pub(super) async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        let mebibytes = u32::try_from(bytes.div_ceil(MEBIBYTE).clamp(1, WHOLE_MEBIBYTES as u64)).unwrap_or(1);
        Arc::clone(&self.memory).acquire_many_owned(mebibytes).await.map_err(closed)
    }

    /// Does work that takes a CPU: at most as much at once as there are.
    pub(super) async fn on_a_cpu<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _cpu = Arc::clone(&self.cpus).acquire_owned().await.map_err(closed)?;
        let niceness = self.niceness;
        let done = tokio::task::spawn_blocking(move || {
            lower_this_thread(niceness)?;
            work()
        });
        done.await.map_err(|error| {
            Error::bug("verify.panicked", "checking an object ended the thread that did it").because(error)
        })?
    }

    /// With what one region's copy is checked.
    pub(super) fn with<'a>(&'a self, job: &'a Job, region: &RegionName) -> Check<'a> {
        Check {
            trust: self.repository.trust(),
            keys: self.repository.keys(),
            created: job.created,
            pages: job.pages.as_ref(),
            wal: job.wal.iter().find(|(of, _)| of == region).map(|(_, facts)| facts),
        }
    }

    fn check(
        &self,
        job: &Job,
        name: &ObjectName,
        region: &RegionName,
        bytes: &Bytes,
        plain: Option<&mut Plain>,
    ) -> Result<std::result::Result<Good, Wrong>> {
        let (check, name) = (self.with(job, region), &*name.signed());
        Ok(match job.look {
            Look::Stored => check.stored(name, bytes),
            Look::Open | Look::Head => check.whole(name, bytes, decompressor()?, plain),
        })
    }

    async fn head(&self, job: &Job, region: &RegionName, size: u64) -> (u64, Outcome) {
        let size = self.heals.standing_in(region, &job.name).map_or(size, |(_, size)| size);
        match self.head_of(job, &job.name, region, size).await {
            Ok((bytes, head)) => (bytes.len() as u64, outcome(Ok(good(&head)))),
            Err((bytes, outcome)) => (bytes, outcome),
        }
    }

    /// The first bytes of a copy, and the head that they begin with.
    pub(super) async fn head_of(
        &self,
        job: &Job,
        name: &ObjectName,
        region: &RegionName,
        size: u64,
    ) -> std::result::Result<(Bytes, OpenHead), (u64, Outcome)> {
        let mut wanted = HEAD_READ_BYTES;
        loop {
            let bytes = match self.get(name, region, Some(wanted)).await {
                Ok(bytes) => bytes,
                Err(_) if size == 0 => {
                    return Err((0, Outcome::Wrong(Wrong::new(Way::Damaged, "it is empty"))));
                }
                Err(outcome) => return Err((0, outcome)),
            };
            let needs = Head::needs(&bytes).map_or(0, |needs| needs as u64);
            if needs > wanted && size >= needs {
                wanted = needs;
                continue;
            }
            let checked = self.with(job, region).head_of(&name.signed(), &bytes, size);
            let read = bytes.len() as u64;
            return checked.map(|head| (bytes, head)).map_err(|wrong| (read, Outcome::Wrong(wrong)));
        }
    }

    /// The bytes of one region's copy: all, or the first so many.
    pub(super) async fn get(
        &self,
        name: &ObjectName,
        region: &RegionName,
        prefix: Option<u64>,
    ) -> std::result::Result<Bytes, Outcome> {
        let Some(region) = self.repository.regions().find(region.as_str()) else { return Err(Outcome::Gone) };
        let stored = self.heals.stored(region.name(), name);
        let got = match prefix {
            Some(length) => region.get_prefix(stored.as_str(), length).await,
            None => region.get(stored.as_str(), OBJECT_BYTES_MAX).await,
        };
        got.map_err(|error| outcome_of(&error))
    }
}

fn closed(_: tokio::sync::AcquireError) -> Error {
    Error::bug("verify.closed", "a reader was stopped while it worked")
}

pub(super) fn decompressor() -> Result<Decompressor> {
    Decompressor::new()
        .map_err(|error| Error::bug("verify.decompressor", "zstd could not be set up").because(error))
}

pub(super) fn outcome(checked: Checked) -> Outcome {
    checked.map_or_else(Outcome::Wrong, |good| Outcome::Good(Box::new(good)))
}

pub(super) fn outcome_of(error: &StoreError) -> Outcome {
    match error.kind() {
        ErrorKind::NotFound => Outcome::Gone,
        ErrorKind::Damaged | ErrorKind::TooLarge => {
            Outcome::Wrong(Wrong::new(Way::Damaged, error.to_string()))
        }
        ErrorKind::Unavailable => Outcome::Down(error.chain()),
        _ => Outcome::Unreadable(error.chain()),
    }
}
