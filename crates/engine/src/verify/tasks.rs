//! Reading copies and checking them, several at once.
//!
//! Promises: one region's copy is read from that region alone; on all CPUs, with memory bounded by the bytes of the objects that are being
//! read, whatever their number. An outage of a region is told apart from damage.

use std::sync::Arc;

use bytes::Bytes;
use seawall_repo::compress::Decompressor;
use seawall_repo::envelope::Head;
use seawall_repo::keys::DigestHasher;
use seawall_repo::layout::{Named, ObjectName, PartedFile};
use seawall_repo::time::Time;
use seawall_store::{ErrorKind, RegionName, StoreError};
use tokio::sync::Semaphore;

use super::found::Way;
use super::object::{Check, Good, Wrong};
use super::pages::PageFacts;
use super::wal_pages::WalFacts;
use crate::error::{Error, Result};
use crate::repository::{OBJECT_BYTES_MAX, Repository};
use crate::source::{Niceness, lower_this_thread};

/// First read of a head.
const HEAD_READ_BYTES: u64 = 4096;
/// Memory is counted in these.
const MEBIBYTE: u64 = 1 << 20;
/// What one reader is counted with: the largest pack there is, nearly always.
const READER_MEBIBYTES: usize = 34;

/// One object to be looked at.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) name: ObjectName,
    /// Where it is listed, with its size there.
    pub(super) copies: Vec<(RegionName, u64)>,
    pub(super) created: Option<Time>,
    /// The whole object, or its head alone.
    pub(super) whole: bool,
    /// Regions whose copy has not the size that a manifest names.
    pub(super) odd: Vec<(RegionName, String)>,
    pub(super) pages: Option<PageFacts>,
    /// By region: the history differs where a region lacks it.
    pub(super) wal: Vec<(RegionName, WalFacts)>,
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
            // One object being read beside each that is being checked, up to a bound that few machines reach.
            memory: Arc::new(Semaphore::new(READER_MEBIBYTES * (workers + 1).min(16))),
            cpus: Arc::new(Semaphore::new(workers)),
            niceness,
            at_once: workers * 4,
        }
    }

    /// Does a job. Copies are looked at one after the other: jobs are what runs side by side.
    pub(super) async fn run(&self, job: Job) -> Result<Vec<Seen>> {
        let job = Arc::new(job);
        let mut all = Vec::new();
        for (region, size) in &job.copies {
            if job.whole {
                self.whole(&job, region, *size, &mut all).await?;
            } else {
                let (bytes, outcome) = self.head(&job, region, *size).await;
                all.push(Seen { name: job.name.clone(), region: region.clone(), bytes, outcome });
            }
        }
        Ok(all)
    }

    /// The whole of one region's copy, and where it is a file in parts all of these.
    async fn whole(&self, job: &Arc<Job>, region: &RegionName, size: u64, all: &mut Vec<Seen>) -> Result<()> {
        let (bytes, mut outcome, _) = self.object(job, &job.name, region, size, None).await?;
        if let Outcome::Good(good) = &mut outcome
            && let Some(chapter) = good.chapter.take()
            && let Some(fault) = self.chapter_differs(job, region, &chapter).await
        {
            outcome = Outcome::Wrong(Wrong::new(Way::ChapterDiffers, fault));
        }
        let parts = match &outcome {
            Outcome::Good(good) => {
                good.parts.clone().map(|parts| (parts, good.plain_digest, good.generation))
            }
            _ => None,
        };
        all.push(Seen { name: job.name.clone(), region: region.clone(), bytes, outcome });
        let (Some((digests, whole, generation)), Named::Wal { place, file }) = (parts, job.name.named())
        else {
            return Ok(());
        };
        let Some(file) = PartedFile::of(*file) else { return Ok(()) };
        // Parts and whole were made together, so with the keys of one generation.
        let key = self.repository.keys().digest_key(generation, self.repository.trust().repository());
        let mut hasher = key.map(|key| key.hasher());
        let (mut every, mut closed) = (true, false);
        for (digest, part) in digests.iter().zip(0..) {
            let name: ObjectName = Named::WalPart { place: place.clone(), file, part }.into();
            let (bytes, mut outcome, back) = self
                .object(job, &name, region, seawall_repo::wal_object::PART_BYTES as u64, hasher.take())
                .await?;
            hasher = back;
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
        if every
            && !closed
            && hasher.map(DigestHasher::finish) != whole
            && let Some(seen) = all.iter_mut().find(|seen| seen.name == job.name && seen.region == *region)
        {
            seen.outcome =
                Outcome::Wrong(Wrong::new(Way::Damaged, "its parts do not make the file it names"));
        }
        Ok(())
    }

    async fn object(
        &self,
        job: &Arc<Job>,
        name: &ObjectName,
        region: &RegionName,
        size: u64,
        mut plain: Option<DigestHasher>,
    ) -> Result<(u64, Outcome, Option<DigestHasher>)> {
        let mebibytes = u32::try_from(size.div_ceil(MEBIBYTE).clamp(1, READER_MEBIBYTES as u64)).unwrap_or(1);
        let closed = |_| Error::bug("verify.closed", "a reader was stopped while it worked");
        let _room = Arc::clone(&self.memory).acquire_many_owned(mebibytes).await.map_err(closed)?;
        let bytes = match self.get(name, region, None).await {
            Ok(bytes) => bytes,
            Err(outcome) => return Ok((0, outcome, plain)),
        };
        let length = bytes.len() as u64;
        let _cpu = Arc::clone(&self.cpus).acquire_owned().await.map_err(closed)?;
        let (this, job, name, region) = (self.clone(), Arc::clone(job), name.clone(), region.clone());
        let done = tokio::task::spawn_blocking(move || {
            lower_this_thread(this.niceness)?;
            let checked = this.check(&job, &name, &region, &bytes, plain.as_mut())?;
            Ok::<_, Error>((checked, plain))
        });
        let (checked, plain) = done.await.map_err(|error| {
            Error::bug("verify.panicked", "checking an object ended the thread that did it").because(error)
        })??;
        let outcome = checked.map_or_else(Outcome::Wrong, |good| Outcome::Good(Box::new(good)));
        Ok((length, outcome, plain))
    }

    fn check(
        &self,
        job: &Job,
        name: &ObjectName,
        region: &RegionName,
        bytes: &Bytes,
        plain: Option<&mut DigestHasher>,
    ) -> Result<std::result::Result<Good, Wrong>> {
        let mut decompressor = Decompressor::new()
            .map_err(|error| Error::bug("verify.decompressor", "zstd could not be set up").because(error))?;
        let wal = job.wal.iter().find(|(of, _)| of == region).map(|(_, facts)| facts);
        let check = Check {
            trust: self.repository.trust(),
            keys: self.repository.keys(),
            created: job.created,
            pages: job.pages.as_ref(),
            wal,
        };
        Ok(check.whole(name, bytes, &mut decompressor, plain))
    }

    async fn head(&self, job: &Job, region: &RegionName, size: u64) -> (u64, Outcome) {
        let mut wanted = HEAD_READ_BYTES;
        loop {
            let bytes = match self.get(&job.name, region, Some(wanted)).await {
                Ok(bytes) => bytes,
                Err(_) if size == 0 => return (0, Outcome::Wrong(Wrong::new(Way::Damaged, "it is empty"))),
                Err(outcome) => return (0, outcome),
            };
            let needs = Head::needs(&bytes).map_or(0, |needs| needs as u64);
            if needs > wanted && size >= needs {
                wanted = needs;
                continue;
            }
            let (trust, keys) = (self.repository.trust(), self.repository.keys());
            let check = Check { trust, keys, created: job.created, pages: None, wal: None };
            let checked = check.head(&job.name, &bytes, size);
            return (
                bytes.len() as u64,
                checked.map_or_else(Outcome::Wrong, |good| Outcome::Good(Box::new(good))),
            );
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
        let got = match prefix {
            Some(length) => region.get_prefix(name.as_str(), length).await,
            None => region.get(name.as_str(), OBJECT_BYTES_MAX).await,
        };
        got.map_err(|error| outcome_of(&error))
    }
}

fn outcome_of(error: &StoreError) -> Outcome {
    match error.kind() {
        ErrorKind::NotFound => Outcome::Gone,
        ErrorKind::Damaged | ErrorKind::TooLarge => {
            Outcome::Wrong(Wrong::new(Way::Damaged, error.to_string()))
        }
        ErrorKind::Unavailable => Outcome::Down(error.chain()),
        _ => Outcome::Unreadable(error.chain()),
    }
}
