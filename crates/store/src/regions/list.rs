//! One listing of all regions, merged by name, with who has what.
//!
//! Promises: ascending names, each once; a region whose listing breaks is reported once and counted as unknown for all
//! names after; memory does not grow with the number of objects. Does not do: comparing content; sizes are given.

use super::Regions;
use crate::error::StoreError;
use crate::region::{ObjectInfo, RegionName};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

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
    region: &'a RegionName,
    names: BoxStream<'a, Result<ObjectInfo, StoreError>>,
    next: Option<ObjectInfo>,
    broken: bool,
    ended: bool,
}

impl Source<'_> {
    /// Makes sure that the next name is known; gives the error when the listing breaks.
    async fn look_ahead(&mut self) -> Option<StoreError> {
        if self.next.is_some() || self.ended {
            return None;
        }
        match self.names.next().await {
            Some(Ok(object)) => self.next = Some(object),
            None => self.ended = true,
            Some(Err(error)) => {
                (self.ended, self.broken) = (true, true);
                return Some(error);
            }
        }
        None
    }
}

impl Regions {
    /// All objects beneath `prefix` of all regions.
    #[must_use]
    pub fn list_all<'a>(&'a self, prefix: &str) -> BoxStream<'a, Listed> {
        let sources: Vec<Source<'a>> = self
            .iter()
            .map(|region| Source {
                region: region.name(),
                names: region.list(prefix, None),
                next: None,
                broken: false,
                ended: false,
            })
            .collect();
        stream::unfold(sources, |mut sources| async move {
            let step = merge_step(&mut sources).await?;
            Some((step, sources))
        })
        .boxed()
    }
}

async fn merge_step(sources: &mut [Source<'_>]) -> Option<Listed> {
    for source in &mut *sources {
        if let Some(error) = source.look_ahead().await {
            return Some(Listed::Broken { region: source.region.clone(), error });
        }
    }
    let name = sources.iter().filter_map(|source| source.next.as_ref()).map(|next| &next.name).min()?.clone();
    let mut held = Vec::new();
    for source in &mut *sources {
        if let Some(object) = source.next.take_if(|next| next.name == name) {
            held.push(Held {
                region: source.region.clone(),
                size_bytes: object.size_bytes,
                modified_unix_us: object.modified_unix_us,
            });
        }
    }
    let unknown = sources.iter().filter(|source| source.broken).map(|source| source.region.clone()).collect();
    Some(Listed::Object { name, held, unknown })
}
