//! The regions of one operation, some of which may be let go while it runs.
//!
//! Promises: a region once detached gets nothing more from this operation, its reason is kept, and what it holds of it
//! stays incomplete and uncommitted there. Does not do: deciding to detach for anything but lagging; the operation does.

use super::{PerRegion, Regions};
use crate::error::{ErrorKind, Failure, StoreError};
use crate::put::Put;
use crate::region::{Region, RegionName};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::{Either, pending, select};
use futures::stream::FuturesUnordered;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Why a region was let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DetachReason {
    /// A put or another call failed; the words of the error.
    Failed(String),
    /// It was too far behind the others.
    Lagging {
        /// How long it was waited for after the first region had finished.
        waited: Duration,
    },
    /// It holds something else under a name of this operation.
    Conflict {
        /// The name.
        name: String,
    },
    /// The operation was told to do without it.
    Excluded,
}

/// A region that was let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Detached {
    /// Which.
    pub region: RegionName,
    /// Why; the first reason stays.
    pub reason: DetachReason,
}

/// The regions of one operation. Shared by reference between its tasks.
#[derive(Debug)]
pub struct RegionSet {
    regions: Regions,
    lag_max: Option<Duration>,
    detached: Mutex<Vec<Detached>>,
}

/// The region was given up for lagging; its put may still happen.
#[derive(Debug, thiserror::Error)]
#[error("given up {} ms after the first region had finished", .0.as_millis())]
struct Lagged(Duration);

impl RegionSet {
    pub(super) fn new(regions: Regions) -> Self {
        Self { regions, lag_max: None, detached: Mutex::default() }
    }

    /// A region that needs longer than `lag_max` more than the first one that stored an object is detached.
    #[must_use]
    pub fn with_lag_max(mut self, lag_max: Duration) -> Self {
        self.lag_max = Some(lag_max);
        self
    }

    /// All the repository's regions, detached or not.
    #[must_use]
    pub fn regions(&self) -> &Regions {
        &self.regions
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Detached>> {
        self.detached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a region go for the rest of this operation. The first reason stays.
    pub fn detach(&self, region: &RegionName, reason: DetachReason) {
        let mut detached = self.lock();
        if !detached.iter().any(|known| known.region == *region) {
            detached.push(Detached { region: region.clone(), reason });
        }
    }

    /// Whether the region still takes part.
    #[must_use]
    pub fn is_attached(&self, region: &RegionName) -> bool {
        !self.lock().iter().any(|known| known.region == *region)
    }

    /// Regions that still take part.
    #[must_use]
    pub fn attached(&self) -> Vec<&Region> {
        self.regions.iter().filter(|region| self.is_attached(region.name())).collect()
    }

    /// Regions let go so far, and why.
    #[must_use]
    pub fn detached(&self) -> Vec<Detached> {
        self.lock().clone()
    }

    /// Puts the same bytes to every attached region at the same time. Each region's put is bounded by its own limits;
    /// one that lags more than [`RegionSet::with_lag_max`] is given up (its put may still happen) and detached.
    /// Failures do not detach: the caller sees them and decides.
    pub async fn put_all(&self, name: &str, bytes: &Bytes) -> PerRegion<Result<Put, StoreError>> {
        let attached = self.attached();
        let mut results: Vec<Option<Result<Put, StoreError>>> = attached.iter().map(|_| None).collect();
        let mut running: FuturesUnordered<_> = attached
            .iter()
            .enumerate()
            .map(|(index, region)| async move { (index, region.put_new(name, bytes).await) })
            .collect();
        let mut deadline: futures::future::BoxFuture<'static, ()> = Box::pin(pending());
        let mut waiting = false;
        loop {
            match select(running.next(), deadline).await {
                Either::Left((None, _)) | Either::Right(_) => break,
                Either::Left((Some((index, result)), rest)) => {
                    deadline = rest;
                    if let Some(lag_max) = self.lag_max.filter(|_| !waiting && result.is_ok()) {
                        let clock = &self.regions.world().clock;
                        deadline = clock.deadline(clock.monotonic().saturating_add(lag_max));
                        waiting = true;
                    }
                    if let Some(slot) = results.get_mut(index) {
                        *slot = Some(result);
                    }
                }
            }
        }
        let named = attached.iter().zip(results).map(|(region, result)| {
            let result = result.unwrap_or_else(|| Err(self.give_up(region, name)));
            (region.name().clone(), result)
        });
        PerRegion(named.collect())
    }

    fn give_up(&self, region: &Region, name: &str) -> StoreError {
        let waited = self.lag_max.unwrap_or_default();
        self.detach(region.name(), DetachReason::Lagging { waited });
        Failure { kind: ErrorKind::Unavailable, cause: Arc::new(Lagged(waited)) }.dress(
            region.name(),
            name,
            1,
            waited,
        )
    }
}
