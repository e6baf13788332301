//! One listing of all regions, merged by name, with who has what.
//!
//! Promises: ascending names, each once; a region whose listing breaks is reported once and counted as unknown for all
//! names after; memory does not grow with the number of objects; regions are waited for side by side. Does not do: comparing content; sizes are given.

use super::Regions;
use crate::error::{ErrorKind, Failure, StoreError};
use crate::region::{ObjectInfo, Region, RegionName};
use crate::world::World;
use futures::StreamExt;
use futures::future::{BoxFuture, Either, pending, select};
use futures::stream::{self, BoxStream, FuturesUnordered};
use std::sync::Arc;
use std::time::Duration;

/// A region's copy of a listed object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Which region.
    pub region: RegionName,
    /// Its size there.
    pub size_bytes: u64,
    /// When that region says it was made, by its clock; microseconds since 1970 UTC.
    pub modified_unix_us: i64,
}

/// One step of a merged listing.
#[derive(Debug, Clone)]
pub enum Listed {
    /// An object that at least one region has.
    Object {
        /// Its name.
        name: String,
        /// Who has it, in the order of the settings.
        held: Vec<Held>,
        /// Whose listing broke before this name: they may have it or not.
        unknown: Vec<RegionName>,
    },
    /// A region's listing broke here; the others go on.
    Broken {
        /// Which.
        region: RegionName,
        /// Why.
        error: StoreError,
    },
}

struct Source<'a> {
    region: &'a Region,
    names: BoxStream<'a, Result<ObjectInfo, StoreError>>,
    next: Option<ObjectInfo>,
    broken: bool,
    ended: bool,
}

impl Source<'_> {
    /// Makes sure that the next name is known; gives the error when the listing breaks.
    async fn look_ahead(&mut self) -> Option<(RegionName, StoreError)> {
        if self.next.is_some() || self.ended {
            return None;
        }
        match self.names.next().await {
            Some(Ok(object)) => self.next = Some(object),
            None => self.ended = true,
            Some(Err(error)) => {
                (self.ended, self.broken) = (true, true);
                return Some((self.region.name().clone(), error));
            }
        }
        None
    }

    fn give_up(&mut self, waited: Duration) -> (RegionName, StoreError) {
        (self.ended, self.broken) = (true, true);
        let late = Late(waited);
        self.region.gave_up(late.to_string());
        let failure = Failure { kind: ErrorKind::Unavailable, cause: Arc::new(late) };
        (self.region.name().clone(), failure.dress(self.region.name(), "", 1, waited))
    }
}

/// The region's listing was given up while it was still on its way.
#[derive(Debug, thiserror::Error)]
#[error("its listing was given up {} ms after another region's", .0.as_millis())]
struct Late(Duration);

impl Regions {
    /// All objects beneath `prefix` of all regions.
    #[must_use]
    pub fn list_all<'a>(&'a self, prefix: &str) -> BoxStream<'a, Listed> {
        self.list_merged(prefix, None)
    }

    /// The same for a short listing that must not wait for a region that hangs: whose next name comes more than `lag_max` after
    /// another region's is given up, and told as broken.
    #[must_use]
    pub fn list_all_within<'a>(&'a self, prefix: &str, lag_max: Duration) -> BoxStream<'a, Listed> {
        self.list_merged(prefix, Some(lag_max))
    }

    fn list_merged<'a>(&'a self, prefix: &str, lag_max: Option<Duration>) -> BoxStream<'a, Listed> {
        let source = |region: &'a Arc<Region>| Source {
            region,
            names: region.list(prefix, None),
            next: None,
            broken: false,
            ended: false,
        };
        let merge = Merge {
            world: self.world(),
            lag_max,
            sources: self.regions.iter().map(source).collect(),
            broken: Vec::new(),
        };
        stream::unfold(merge, |mut merge| async move {
            let step = merge.step().await?;
            Some((step, merge))
        })
        .boxed()
    }
}

struct Merge<'a> {
    world: &'a World,
    lag_max: Option<Duration>,
    sources: Vec<Source<'a>>,
    /// Listings that broke and were not told yet.
    broken: Vec<(RegionName, StoreError)>,
}

impl Merge<'_> {
    async fn step(&mut self) -> Option<Listed> {
        if self.broken.is_empty() {
            self.look_ahead().await;
        }
        match self.broken.pop() {
            Some((region, error)) => Some(Listed::Broken { region, error }),
            None => first_name(&mut self.sources),
        }
    }

    /// Makes sure that every region's next name is known, or that there is none.
    async fn look_ahead(&mut self) {
        let clock = &self.world.clock;
        let known = self.sources.iter().any(|source| source.next.is_some() || source.ended && !source.broken);
        let mut since = known.then(|| clock.monotonic());
        let mut running: FuturesUnordered<_> = self.sources.iter_mut().map(Source::look_ahead).collect();
        loop {
            let deadline = match since.zip(self.lag_max) {
                Some((since, lag_max)) => clock.deadline(since.saturating_add(lag_max)),
                None => Box::pin(pending()) as BoxFuture<'static, ()>,
            };
            match select(running.next(), deadline).await {
                Either::Left((Some(None), _)) => {
                    since.get_or_insert_with(|| clock.monotonic());
                }
                Either::Left((Some(Some(broken)), _)) => self.broken.push(broken),
                Either::Left((None, _)) => return,
                Either::Right(_) => break,
            }
        }
        drop(running);
        let waited = self.lag_max.unwrap_or_default();
        for source in &mut self.sources {
            if source.next.is_none() && !source.ended {
                self.broken.push(source.give_up(waited));
            }
        }
    }
}

fn first_name(sources: &mut [Source<'_>]) -> Option<Listed> {
    let name = sources.iter().filter_map(|source| source.next.as_ref()).map(|next| &next.name).min()?.clone();
    let mut held = Vec::new();
    for source in &mut *sources {
        if let Some(object) = source.next.take_if(|next| next.name == name) {
            held.push(Held {
                region: source.region.name().clone(),
                size_bytes: object.size_bytes,
                modified_unix_us: object.modified_unix_us,
            });
        }
    }
    let unknown =
        sources.iter().filter(|source| source.broken).map(|source| source.region.name().clone()).collect();
    Some(Listed::Object { name, held, unknown })
}
