//! For tests: a scheduler that interleaves several operations over stores, decided by a seed.
//!
//! Every call through a [`SteppedStore`] first waits for its turn; when all operations wait, the seed chooses who goes
//! on. So one seed is one interleaving of store calls, and replays it. No threads, no runtime, no real time: use it with
//! [`crate::World::seeded`] and drivers that work on the calling thread (memory, or [`crate::DurableLocal`] without a runtime).
//! Promises: the same operations and seed give the same [`Schedule::trace`]. Does not do: choosing between steps of an
//! operation that are not store calls.

use crate::world::{Random, SeededRandom};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::LocalBoxFuture;
use futures::stream::{self, BoxStream};
use futures::task::noop_waker_ref;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// Decides who goes on. Clones share it.
#[derive(Debug, Clone)]
pub struct Schedule {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: SeededRandom,
    /// The operation being polled.
    current: usize,
    /// Whether the current operation may make one store call.
    turn: bool,
    trace: Vec<(usize, String)>,
}

/// The operations cannot go on although none waits for its turn: a deadlock, or something real was waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} of the operations wait for something that no other operation will do")]
pub struct Stuck {
    /// How many have not ended.
    pub waiting: usize,
}

/// Turns given in a row without any store call or end of an operation before the run counts as stuck.
const IDLE_MAX: usize = 10_000;

impl Schedule {
    /// The interleaving that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State { random: SeededRandom::new(seed), current: 0, turn: false, trace: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls made so far: number of the operation, and what it called.
    #[must_use]
    pub fn trace(&self) -> Vec<(usize, String)> {
        self.lock().trace.clone()
    }

    /// A store whose calls wait for their turn in this schedule.
    #[must_use]
    pub fn over(&self, inner: Arc<dyn ObjectStore>) -> SteppedStore {
        SteppedStore { inner, schedule: self.clone() }
    }

    /// Runs the operations to their ends, one store call at a time.
    pub fn run<T>(&self, operations: Vec<LocalBoxFuture<'_, T>>) -> Result<Vec<T>, Stuck> {
        let mut running: Vec<_> = operations.into_iter().map(Some).collect();
        let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
        let mut idle = 0;
        loop {
            let alive: Vec<usize> =
                running.iter().enumerate().filter_map(|(index, left)| left.as_ref().map(|_| index)).collect();
            if alive.is_empty() {
                return Ok(results.into_iter().flatten().collect());
            }
            let (chosen, calls_before) = self.choose(&alive);
            let Some(operation) = running.get_mut(chosen).and_then(Option::as_mut) else { continue };
            let mut context = Context::from_waker(noop_waker_ref());
            if let Poll::Ready(value) = operation.as_mut().poll(&mut context) {
                if let (Some(left), Some(result)) = (running.get_mut(chosen), results.get_mut(chosen)) {
                    (*left, *result) = (None, Some(value));
                }
                idle = 0;
            } else if self.lock().trace.len() > calls_before {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > IDLE_MAX {
                return Err(Stuck { waiting: alive.len() });
            }
        }
    }

    fn choose(&self, alive: &[usize]) -> (usize, usize) {
        let mut state = self.lock();
        let word = state.random.next_u64().unwrap_or(0);
        let index = usize::try_from(word % alive.len().max(1) as u64).unwrap_or(0);
        state.current = alive.get(index).copied().unwrap_or(0);
        state.turn = true;
        (state.current, state.trace.len())
    }

    /// Waits for the turn of the operation that calls; takes it.
    async fn turn(&self, call: String) {
        std::future::poll_fn(|context| {
            let mut state = self.lock();
            if !std::mem::take(&mut state.turn) {
                // Joined futures are polled again only when woken, though nobody waits for the waker out here.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let current = state.current;
            state.trace.push((current, call.clone()));
            Poll::Ready(())
        })
        .await;
    }
}

/// A store whose calls wait for their turn.
#[derive(Debug, Clone)]
pub struct SteppedStore {
    inner: Arc<dyn ObjectStore>,
    schedule: Schedule,
}

impl std::fmt::Display for SteppedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SteppedStore({})", self.inner)
    }
}

fn list_label(prefix: Option<&Path>) -> String {
    format!("list {}", prefix.map(ToString::to_string).unwrap_or_default())
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for SteppedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.schedule.turn(format!("put {location}")).await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.schedule.turn(format!("multipart {location}")).await;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let call = if options.head { "head" } else { "get" };
        self.schedule.turn(format!("{call} {location}")).await;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.schedule.turn(format!("get {location}")).await;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let schedule = self.schedule.clone();
        let in_turn = locations.and_then(move |location| {
            let schedule = schedule.clone();
            async move {
                schedule.turn(format!("delete {location}")).await;
                Ok(location)
            }
        });
        self.inner.delete_stream(in_turn.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        stream::once(async move {
            store.schedule.turn(list_label(prefix.as_ref())).await;
            store.inner.list(prefix.as_ref())
        })
        .flatten()
        .boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, offset) = (self.clone(), prefix.cloned(), offset.clone());
        stream::once(async move {
            store.schedule.turn(list_label(prefix.as_ref())).await;
            store.inner.list_with_offset(prefix.as_ref(), &offset)
        })
        .flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.schedule.turn(list_label(prefix)).await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.schedule.turn(format!("copy {from} {to}")).await;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.schedule.turn(format!("rename {from} {to}")).await;
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
