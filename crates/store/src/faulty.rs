//! For tests: a store that lies, in ways a real one does.
//!
//! Wraps any driver and applies [`Rule`]s by operation, name and the count of the call: fail before doing anything, do
//! the work and answer an error, apply a put late, forget it, cut or spoil what is read, delay, hang. Every call is
//! counted, so a test can count an operation's calls once and then fail call k for each k.
//! Promises: the same calls in the same order meet the same faults. Does not do: claiming that an object is missing
//! when it is not, or any fault that was not asked for.

mod inject;
mod rule;

pub use rule::{CallKind, Fault, Gate, Rule};

use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An error made by a test; taken for an outage that may pass.
#[derive(Debug, Clone, thiserror::Error)]
#[error("injected fault: {0}")]
pub struct InjectedFault(pub &'static str);

impl From<InjectedFault> for object_store::Error {
    fn from(fault: InjectedFault) -> Self {
        Self::Generic { store: "faulty", source: Box::new(fault) }
    }
}

/// One call as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// Its number among all calls, from 1.
    pub number: u64,
    /// What was called.
    pub kind: CallKind,
    /// On what: a name, or the prefix listed.
    pub name: String,
    /// The fault it met.
    pub fault: Option<Fault>,
}

/// A driver with faults. Cheap to clone; clones share rules, counts and what is pending.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    world: World,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<rule::Armed>,
    calls: Vec<CallRecord>,
    late: Vec<Late>,
}

/// A put that was answered but not done yet.
#[derive(Debug, Clone)]
struct Late {
    location: Path,
    payload: PutPayload,
    options: PutOptions,
    /// Number of the call before which it is done; `None`: when told.
    before_call: Option<u64>,
}

impl FaultyStore {
    /// Wraps `inner`; without rules it only counts. Delays go by the world's clock.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, world: &World) -> Self {
        Self { inner, world: world.clone(), state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a rule. The first one that applies to a call decides.
    pub fn add(&self, rule: Rule) {
        self.lock().rules.push(rule::Armed::new(rule));
    }

    /// Removes all rules; counts and pending puts stay.
    pub fn heal(&self) {
        self.lock().rules.clear();
    }

    /// Calls so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.lock().calls.len() as u64
    }

    /// All calls so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.lock().calls.clone()
    }

    /// Faults that have been met so far. A sweep asserts that its rule was met at all.
    #[must_use]
    pub fn faults_met(&self) -> u64 {
        self.lock().calls.iter().filter(|call| call.fault.is_some()).count() as u64
    }

    /// Does now what was answered and not done ([`Fault::ApplyLate`]), in order; the results, for some creations may
    /// come too late.
    pub async fn apply_late(&self) -> Vec<Result<PutResult>> {
        let due = std::mem::take(&mut self.lock().late);
        self.apply(due).await
    }

    async fn apply(&self, due: Vec<Late>) -> Vec<Result<PutResult>> {
        let mut results = Vec::new();
        for late in due {
            results.push(self.inner.put_opts(&late.location, late.payload, late.options).await);
        }
        results
    }

    /// Counts a call, does late puts that are due before it, and says what fault it meets.
    async fn enter(&self, kind: CallKind, name: &str) -> Option<Fault> {
        let (due, fault) = {
            let mut state = self.lock();
            let number = state.calls.len() as u64 + 1;
            let fault = state.rules.iter_mut().find_map(|rule| rule.meets(number, kind, name));
            state.calls.push(CallRecord { number, kind, name: name.to_owned(), fault: fault.clone() });
            let is_due = |late: &Late| late.before_call.is_some_and(|before| before <= number);
            let (due, later) = std::mem::take(&mut state.late).into_iter().partition(is_due);
            state.late = later;
            (due, fault)
        };
        // A creation that comes too late is refused by the driver; nobody waits for its answer any more.
        drop(self.apply(due).await);
        self.pause(fault.as_ref()).await;
        fault
    }

    async fn pause(&self, fault: Option<&Fault>) {
        match fault {
            Some(Fault::Delay(duration)) => self.world.clock.sleep(*duration).await,
            Some(Fault::Hang(gate)) => gate.opened().await,
            _ => {}
        }
    }
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

fn label(prefix: Option<&Path>) -> String {
    prefix.map(ToString::to_string).unwrap_or_default()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.enter(CallKind::Put, location.as_ref()).await;
        self.put_with(fault, location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.enter(CallKind::Put, location.as_ref()).await;
        inject::refuse(fault.as_ref())?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { CallKind::Head } else { CallKind::Get };
        let fault = self.enter(kind, location.as_ref()).await;
        inject::refuse(fault.as_ref())?;
        let answer = self.inner.get_opts(location, options).await?;
        inject::spoil(fault, answer).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fault = self.enter(CallKind::Get, location.as_ref()).await;
        inject::refuse(fault.as_ref())?;
        let parts = self.inner.get_ranges(location, ranges).await?;
        inject::refuse_after(fault.as_ref())?;
        Ok(inject::spoil_parts(fault.as_ref(), parts))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .then(move |location| {
                let store = store.clone();
                async move {
                    let location = location?;
                    let fault = store.enter(CallKind::Delete, location.as_ref()).await;
                    store.delete_with(fault, location).await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        stream::once(async move {
            let fault = store.enter(CallKind::List, &label(prefix.as_ref())).await;
            inject::spoil_list(fault.as_ref(), || store.inner.list(prefix.as_ref()))
        })
        .try_flatten()
        .boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, offset) = (self.clone(), prefix.cloned(), offset.clone());
        stream::once(async move {
            let fault = store.enter(CallKind::List, &label(prefix.as_ref())).await;
            inject::spoil_list(fault.as_ref(), || store.inner.list_with_offset(prefix.as_ref(), &offset))
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let fault = self.enter(CallKind::List, &label(prefix)).await;
        inject::refuse(fault.as_ref())?;
        let answer = self.inner.list_with_delimiter(prefix).await?;
        inject::refuse_after(fault.as_ref())?;
        Ok(answer)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fault = self.enter(CallKind::Put, to.as_ref()).await;
        inject::refuse(fault.as_ref())?;
        self.inner.copy_opts(from, to, options).await?;
        inject::refuse_after(fault.as_ref())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let fault = self.enter(CallKind::Put, to.as_ref()).await;
        inject::refuse(fault.as_ref())?;
        self.inner.rename_opts(from, to, options).await?;
        inject::refuse_after(fault.as_ref())
    }
}

#[cfg(test)]
mod tests;
