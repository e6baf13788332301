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
use futures::future::{BoxFuture, Either, pending, select};
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
        /// How long it was waited for after the others had finished.
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
    /// Where a region has another bound than the others.
    own_lag_max: Vec<(RegionName, Duration)>,
    /// So many regions must have stored an object before the others count as lagging.
    quorum: usize,
    detached: Mutex<Vec<Detached>>,
}

/// The region was given up for lagging; its put may still happen.
#[derive(Debug, thiserror::Error)]
#[error("given up {} ms after the others had finished", .0.as_millis())]
struct Lagged(Duration);

impl RegionSet {
    pub(super) fn new(regions: Regions) -> Self {
        Self { regions, lag_max: None, own_lag_max: Vec::new(), quorum: 1, detached: Mutex::default() }
    }

    /// A region that needs longer than `lag_max` more than the first one that stored an object is detached.
    #[must_use]
    pub fn with_lag_max(mut self, lag_max: Duration) -> Self {
        self.lag_max = Some(lag_max);
        self
    }

    /// The bound of one region, whatever that of the others is.
    #[must_use]
    pub fn with_lag_max_of(mut self, region: &RegionName, lag_max: Duration) -> Self {
        self.own_lag_max.push((region.clone(), lag_max));
        self
    }

    /// Regions lag only behind so many that have stored an object, not behind the first one; 0 is taken as 1.
    #[must_use]
    pub fn with_quorum(mut self, quorum: usize) -> Self {
        self.quorum = quorum.max(1);
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
    /// one that lags more than its bound is given up (its put may still happen) and detached.
    /// Failures do not detach: the caller sees them and decides.
    pub async fn put_all(&self, name: &str, bytes: &Bytes) -> PerRegion<Result<Put, StoreError>> {
        let attached = self.attached();
        let clock = &self.regions.world().clock;
        let mut results: Vec<Option<Result<Put, StoreError>>> = attached.iter().map(|_| None).collect();
        let mut running: FuturesUnordered<_> = attached
            .iter()
            .enumerate()
            .map(|(index, region)| async move { (index, region.put_new(name, bytes).await) })
            .collect();
        let (mut stored, mut lagging_since) = (0, None);
        while results.iter().any(Option::is_none) {
            let waiting = attached.iter().zip(&results).filter(|(_, result)| result.is_none());
            let deadline = self.next_deadline(lagging_since, waiting.map(|(region, _)| *region));
            match select(running.next(), deadline).await {
                Either::Left((None, _)) => break,
                Either::Left((Some((index, result)), _)) => {
                    stored += usize::from(result.is_ok());
                    if stored >= self.quorum && lagging_since.is_none() {
                        lagging_since = Some(clock.monotonic());
                    }
                    if let Some(slot) = results.get_mut(index) {
                        slot.get_or_insert(result);
                    }
                }
                Either::Right(_) => self.give_up_late(lagging_since, name, &attached, &mut results),
            }
        }
        let named = attached
            .iter()
            .zip(results)
            .filter_map(|(region, result)| result.map(|result| (region.name().clone(), result)));
        PerRegion(named.collect())
    }

    /// How much longer than the others a region may take.
    fn lag_max_of(&self, region: &Region) -> Option<Duration> {
        let own = self.own_lag_max.iter().find(|(name, _)| name == region.name());
        own.map(|(_, lag_max)| *lag_max).or(self.lag_max)
    }

    fn next_deadline<'a>(
        &self,
        since: Option<Duration>,
        waiting: impl Iterator<Item = &'a Region>,
    ) -> BoxFuture<'static, ()> {
        let shortest = waiting.filter_map(|region| self.lag_max_of(region)).min();
        match since.zip(shortest) {
            Some((since, lag_max)) => self.regions.world().clock.deadline(since.saturating_add(lag_max)),
            None => Box::pin(pending()),
        }
    }

    fn give_up_late(
        &self,
        since: Option<Duration>,
        name: &str,
        attached: &[&Region],
        results: &mut [Option<Result<Put, StoreError>>],
    ) {
        let now = self.regions.world().clock.monotonic();
        let waited = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        for (region, result) in attached.iter().zip(results) {
            let late = self.lag_max_of(region).filter(|lag_max| result.is_none() && waited >= *lag_max);
            if let Some(lag_max) = late {
                *result = Some(Err(self.give_up(region, name, lag_max)));
            }
        }
    }

    fn give_up(&self, region: &Region, name: &str, waited: Duration) -> StoreError {
        self.detach(region.name(), DetachReason::Lagging { waited });
        let lagged = Lagged(waited);
        region.gave_up(lagged.to_string());
        Failure { kind: ErrorKind::Unavailable, cause: Arc::new(lagged) }.dress(
            region.name(),
            name,
            1,
            waited,
        )
    }
}
