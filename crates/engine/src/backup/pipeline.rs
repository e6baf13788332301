//! The road from files to packs: one thread makes jobs, workers (one a core) do them, one thread collects.
//!
//! Promises: bounded everywhere (jobs ahead, results waiting, objects on their way); the first error ends all threads and is
//! the one reported; nothing is committed here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use seawall_repo::compress::{Compression, Compressor};

use super::collect::{Collected, Collector, ParentBlocks};
use super::jobs::{Jobs, ParentFiles, SourcePath, Work};
use super::packer::{PackContext, Packer};
use super::worker::{Done, Shared, Worker};
use crate::error::{Error, Result};
use crate::repository::{Levels, Repository};
use crate::source::walk::WalkError;
use crate::source::{Niceness, lower_this_thread};

/// Jobs that may be ahead of the collector: bounds what waits for its turn.
const WINDOW: u64 = 128;

/// All that the threads need.
pub(super) struct Pipeline {
    pub(super) shared: Shared,
    pub(super) packs: PackContext,
    pub(super) parent_blocks: Arc<ParentBlocks>,
    pub(super) workers: usize,
    pub(super) niceness: Niceness,
    pub(super) compression: Compression,
    pub(super) cancelled: Arc<AtomicBool>,
}

/// How far the collector is.
#[derive(Default)]
struct Progress {
    collected: Mutex<u64>,
    moved: Condvar,
}

type Numbered<T> = (u64, T);

impl Pipeline {
    /// Backs up these paths. Blocking; to be run off the runtime's threads.
    pub(super) fn run<P: ParentFiles + Send>(
        self,
        paths: impl Iterator<Item = std::result::Result<SourcePath, WalkError>> + Send,
        parent: Option<P>,
    ) -> Result<Collected> {
        let progress = Progress::default();
        let (job_sender, job_receiver) = sync_channel(self.workers * 2);
        let (done_sender, done_receiver) = sync_channel(self.workers * 2);
        let jobs = Mutex::new(Some(job_receiver));
        let (this, jobs, progress) = (&self, &jobs, &progress);
        std::thread::scope(|scope| {
            let maker = scope.spawn(|| {
                this.guard(progress, || {
                    // Its end is the end of the jobs.
                    let sender = job_sender;
                    this.make_jobs(paths, parent, &sender, progress)
                })
            });
            let workers: Vec<_> = (0..self.workers)
                .map(|_| {
                    let sender = done_sender.clone();
                    // Each owns its sender: when the last worker ends, the collector sees the end of the results.
                    scope.spawn(move || this.guard(progress, || this.do_jobs(jobs, &sender)))
                })
                .collect();
            drop(done_sender);
            let collected = this.guard(progress, || this.collect(&done_receiver, progress));
            // Nobody may wait for a collector that has given up.
            drop(done_receiver);
            // Nor may the maker wait for workers that have: it ends once nobody can take a job.
            *jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let mut results = vec![join(maker)];
            results.extend(workers.into_iter().map(join));
            first_error(results, collected)
        })
    }

    /// Runs one thread's work; its failure stops the others.
    fn guard<T>(&self, progress: &Progress, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let result = work();
        if result.is_err() {
            self.cancelled.store(true, Ordering::Relaxed);
            // Through the lock: whoever looked before the line above is waiting by now and hears the bell.
            drop(progress.collected.lock().unwrap_or_else(PoisonError::into_inner));
            progress.moved.notify_all();
        }
        result
    }

    fn stopped(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn make_jobs<P: ParentFiles>(
        &self,
        paths: impl Iterator<Item = std::result::Result<SourcePath, WalkError>>,
        parent: Option<P>,
        sender: &SyncSender<Numbered<Work>>,
        progress: &Progress,
    ) -> Result<()> {
        let mut jobs = Jobs::new(parent);
        let mut number = 0;
        for path in paths {
            for work in jobs.push(path?)? {
                if !self.send(work, &mut number, sender, progress) {
                    return Ok(());
                }
            }
        }
        if let Some(work) = jobs.finish() {
            self.send(work, &mut number, sender, progress);
        }
        Ok(())
    }

    /// False when nobody wants further jobs.
    fn send(
        &self,
        work: Work,
        number: &mut u64,
        sender: &SyncSender<Numbered<Work>>,
        progress: &Progress,
    ) -> bool {
        let mut collected = progress.collected.lock().unwrap_or_else(PoisonError::into_inner);
        while *number >= *collected + WINDOW && !self.stopped() {
            collected = progress.moved.wait(collected).unwrap_or_else(PoisonError::into_inner);
        }
        drop(collected);
        let this = *number;
        *number += 1;
        !self.stopped() && sender.send((this, work)).is_ok()
    }

    fn do_jobs(&self, jobs: &JobQueue, sender: &SyncSender<Numbered<Vec<Done>>>) -> Result<()> {
        lower_this_thread(self.niceness)?;
        let mut worker = Worker::new(&self.shared, Packer::new(&self.packs), compressor(self.compression)?);
        while let Some((number, work)) = next_job(jobs) {
            if self.stopped() {
                return Ok(());
            }
            let done = worker.work(work)?;
            if sender.send((number, done)).is_err() {
                return Ok(());
            }
        }
        worker.finish()
    }

    fn collect(&self, results: &Receiver<Numbered<Vec<Done>>>, progress: &Progress) -> Result<Collected> {
        let parent = Arc::clone(&self.parent_blocks);
        let monitor = Arc::clone(&self.shared.monitor);
        let mut collector = Collector::new(&self.packs, parent, monitor, compressor(self.compression)?);
        let mut waiting: BTreeMap<u64, Vec<Done>> = BTreeMap::new();
        let mut next = 0;
        for (number, done) in results {
            waiting.insert(number, done);
            while let Some(done) = waiting.remove(&next) {
                collector.take(done)?;
                next += 1;
            }
            *progress.collected.lock().unwrap_or_else(PoisonError::into_inner) = next;
            progress.moved.notify_all();
        }
        if self.stopped() {
            return Err(interrupted());
        }
        collector.finish()
    }
}

/// Where workers take jobs from; none when there will be no more takers.
type JobQueue = Mutex<Option<Receiver<Numbered<Work>>>>;

/// The next job; none when there are no more. A worker that waits here keeps the others waiting behind it, which is all
/// they could do anyway.
fn next_job(jobs: &JobQueue) -> Option<Numbered<Work>> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.recv().ok()
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_panic| Err(Error::bug("backup.thread", "a thread of the backup panicked")))
}

/// The error that came first in the order of cause: an interruption is only what others were told.
fn first_error(threads: Vec<Result<()>>, collected: Result<Collected>) -> Result<Collected> {
    let mut errors: Vec<Error> = threads.into_iter().filter_map(Result::err).collect();
    let collected = match collected {
        Ok(collected) if errors.is_empty() => return Ok(collected),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    errors.extend(collected);
    errors.sort_by_key(|error| matches!(error.id(), "backup.interrupted" | "backup.uploader-gone"));
    Err(errors.into_iter().next().unwrap_or_else(interrupted))
}

fn interrupted() -> Error {
    Error::unavailable("backup.interrupted", "the backup was interrupted")
}

fn compressor(compression: Compression) -> Result<Compressor> {
    Compressor::new(compression)
        .map_err(|error| Error::bug("backup.compressor", "zstd could not be set up").because(error))
}

/// How new objects are compressed, by the settings.
pub(super) fn compression(repository: &Repository) -> Compression {
    Levels::compression(repository.levels().backup)
}

/// Threads that read and seal: as many as asked for, or one a core.
pub(super) fn worker_count(asked: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    if asked == 0 { cores.min(16) } else { asked.min(64) }
}
