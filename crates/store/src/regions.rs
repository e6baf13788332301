//! All regions of a repository: one buffer to every region, one answer from the best of them.
//!
//! Promises: a result names who gave it and what was wrong elsewhere; "absent everywhere" needs every region's own
//! word. Does not do: repairing what it finds wrong; it tells.

mod absent;
mod ack;
mod list;
mod race;
mod read;
mod set;
mod spare;

pub use absent::Absence;
pub use ack::{Ack, Verdict, acknowledge};
pub use list::{Held, Listed};
pub use read::{Extent, NotServed, ReadFault, ReadFaultKind, Served};
pub use set::{DetachReason, Detached, RegionSet};
pub use spare::Spares;

use crate::meter::MeterReading;
use crate::region::{HealthReading, Region, RegionName};
use crate::world::World;
use futures::future::join_all;
use serde::Serialize;
use std::future::Future;
use std::sync::Arc;

/// One value for each region asked, in the order of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PerRegion<T>(Vec<(RegionName, T)>);

impl<T> PerRegion<T> {
    /// From pairs in the order of the settings.
    #[must_use]
    pub fn new(values: Vec<(RegionName, T)>) -> Self {
        Self(values)
    }

    /// Regions and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&RegionName, &T)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The value of one region.
    #[must_use]
    pub fn get(&self, region: &RegionName) -> Option<&T> {
        self.iter().find_map(|(name, value)| (name == region).then_some(value))
    }

    /// How many regions were asked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> IntoIterator for PerRegion<T> {
    type Item = (RegionName, T);
    type IntoIter = std::vec::IntoIter<(RegionName, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Why a set of regions makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionsError {
    /// None given.
    #[error("no region is given")]
    None,
    /// One name twice.
    #[error("two regions have the name {name}")]
    SameName {
        /// The name.
        name: RegionName,
    },
    /// One place twice: its copies would be lost together.
    #[error("the regions {first} and {second} are the same place: {url}")]
    SamePlace {
        /// The first one.
        first: RegionName,
        /// The other.
        second: RegionName,
        /// Where both are.
        url: String,
    },
}

/// The regions of one repository. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Regions {
    regions: Arc<[Arc<Region>]>,
    world: World,
}

impl Regions {
    /// At least one region; names and places differ.
    pub fn new(regions: Vec<Region>, world: &World) -> Result<Self, RegionsError> {
        if regions.is_empty() {
            return Err(RegionsError::None);
        }
        for (index, second) in regions.iter().enumerate() {
            for first in regions.iter().take(index) {
                if first.name() == second.name() {
                    return Err(RegionsError::SameName { name: first.name().clone() });
                }
                if first.access().is_same_place(first.url(), second.access(), second.url()) {
                    let (first, url) = (first.name().clone(), first.url().to_owned());
                    return Err(RegionsError::SamePlace { first, second: second.name().clone(), url });
                }
            }
        }
        Ok(Self { regions: regions.into_iter().map(Arc::new).collect(), world: world.clone() })
    }

    /// All of them, in the order of the settings.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().map(|region| &**region)
    }

    /// One of them alone, with its health and its meter: for who must not be helped by another's good copy.
    #[must_use]
    pub fn only(&self, name: &RegionName) -> Option<Self> {
        let one = self.regions.iter().find(|region| region.name() == name)?;
        Some(Self { regions: Arc::new([Arc::clone(one)]), world: self.world.clone() })
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Never true; there is at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Region> {
        self.iter().find(|region| region.name().as_str() == name)
    }

    /// The injected world they were opened in.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// All of them, for one operation that may let some fall behind.
    #[must_use]
    pub fn set(&self) -> RegionSet {
        RegionSet::new(self.clone())
    }

    /// Health of each.
    #[must_use]
    pub fn health(&self) -> PerRegion<HealthReading> {
        PerRegion(self.iter().map(|region| (region.name().clone(), region.health())).collect())
    }

    /// Calls and bytes of each.
    #[must_use]
    pub fn meters(&self) -> PerRegion<MeterReading> {
        PerRegion(self.iter().map(|region| (region.name().clone(), region.meter())).collect())
    }

    /// Asks every region the same at the same time.
    pub async fn each<'a, T, Fut: Future<Output = T>>(
        &'a self,
        ask: impl Fn(&'a Region) -> Fut,
    ) -> PerRegion<T> {
        let asked = self.iter().map(|region| {
            let answer = ask(region);
            async move { (region.name().clone(), answer.await) }
        });
        PerRegion(join_all(asked).await)
    }
}

#[cfg(test)]
mod tests;
