//! Reading from the best region that has a good copy.
//!
//! Promises: what is served has passed the caller's check; every region that was asked before and failed is named with
//! what was wrong there; where one shows no sign of life for several times its usual latency, the next is asked beside it, and who has
//! not answered by the time another did is dropped. Does not do: believing a region; without a check that fails on damage there is
//! no promise.

use super::Regions;
use super::race::Race;
use super::spare::Spares;
use crate::error::{ErrorKind, StoreError};
use crate::meter::OpKind;
use crate::region::{Call, HealthState, Moving, Region, RegionName, Role};
use bytes::Bytes;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

/// What part of an object is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All of it, if it has at most so many bytes.
    Whole {
        /// The limit.
        bytes_max: u64,
    },
    /// These bytes.
    Range(Range<u64>),
    /// The first so many bytes, or all if there are fewer.
    Prefix(u64),
    /// The last so many bytes, or all if there are fewer.
    Suffix(u64),
}

/// What was wrong with a region's copy.
#[derive(Debug, Clone)]
pub enum ReadFaultKind {
    /// The region positively lacks the object.
    Missing,
    /// It could not be asked, or refused.
    Failed(StoreError),
    /// The caller's check refused what it gave.
    Damaged(Arc<dyn Error + Send + Sync>),
}

/// A region that could not serve an object.
#[derive(Debug, Clone)]
pub struct ReadFault {
    /// Which.
    pub region: RegionName,
    /// What was wrong.
    pub kind: ReadFaultKind,
}

impl std::fmt::Display for ReadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            ReadFaultKind::Missing => write!(f, "{}: not there", self.region),
            ReadFaultKind::Failed(error) => write!(f, "{}: {}", self.region, error.chain()),
            ReadFaultKind::Damaged(error) => write!(f, "{}: damaged: {error}", self.region),
        }
    }
}

/// An object's value, who served it, and what was wrong with those asked before.
#[derive(Debug, Clone)]
pub struct Served<T> {
    /// What the check made of the bytes.
    pub value: T,
    /// Who gave them.
    pub region: RegionName,
    /// Who failed before; to be reported, and healed.
    pub faults: Vec<ReadFault>,
}

/// No region has a good copy.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{name} cannot be read from any region ({})", list(.faults))]
pub struct NotServed {
    /// The object.
    pub name: String,
    /// What was wrong in each region.
    pub faults: Vec<ReadFault>,
}

fn list(faults: &[ReadFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl NotServed {
    /// Whether every region positively lacks it.
    #[must_use]
    pub fn is_absent_everywhere(&self) -> bool {
        !self.faults.is_empty()
            && self.faults.iter().all(|fault| matches!(fault.kind, ReadFaultKind::Missing))
    }

    /// Whether a region that could not be asked may have it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.faults.iter().any(|fault| match &fault.kind {
            ReadFaultKind::Failed(error) => error.kind() == ErrorKind::Unavailable,
            ReadFaultKind::Missing | ReadFaultKind::Damaged(_) => false,
        })
    }
}

impl Regions {
    /// Regions in the order in which they are best asked: in use before down, copies before witnesses, fast before
    /// slow, else as in the settings.
    #[must_use]
    pub fn by_preference(&self) -> Vec<&Region> {
        let mut ranked: Vec<_> = self
            .iter()
            .map(|region| {
                let health = region.health();
                let state = match health.state {
                    HealthState::Closed => 0,
                    HealthState::HalfOpen => 1,
                    HealthState::Open => 2,
                };
                ((state, region.role() == Role::Witness, health.latency_us), region)
            })
            .collect();
        // Stable: equals stay in the order of the settings.
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, region)| region).collect()
    }

    /// Reads from the best region, and from others where it fails or hesitates, until `check` accepts what one gave.
    pub async fn get_any<T, E>(
        &self,
        name: &str,
        extent: Extent,
        check: impl FnMut(&RegionName, Bytes) -> Result<T, E>,
    ) -> Result<Served<T>, NotServed>
    where
        E: Error + Send + Sync + 'static,
    {
        self.get_any_or_spare(name, None, extent, check).await
    }

    /// The same; where a region's copy is wrong its spares are read before another region is asked, and where no region has a copy
    /// under the name, theirs. Who served by a spare is not among the faults.
    pub async fn get_any_or_spare<T, E>(
        &self,
        name: &str,
        spares: Option<&Spares<'_>>,
        extent: Extent,
        mut check: impl FnMut(&RegionName, Bytes) -> Result<T, E>,
    ) -> Result<Served<T>, NotServed>
    where
        E: Error + Send + Sync + 'static,
    {
        let mut faults = Vec::new();
        let mut race = Race::new(self, name, &extent);
        while let Some((region, answer)) = race.next().await {
            let kind = match answer {
                Ok(bytes) => match check(region.name(), bytes) {
                    Ok(value) => return Ok(Served { value, region: region.name().clone(), faults }),
                    Err(error) => ReadFaultKind::Damaged(Arc::new(error)),
                },
                Err(error) if error.is_not_found() => ReadFaultKind::Missing,
                Err(error) => ReadFaultKind::Failed(error),
            };
            // A spare that does not help says no more than the copy that was wrong before.
            if let Some(spares) = spares.filter(|_| kind.is_of_the_copy())
                && let Ok(Some(value)) =
                    region.spare(spares, &extent, |bytes| check(region.name(), bytes)).await
            {
                return Ok(Served { value, region: region.name().clone(), faults });
            }
            faults.push(ReadFault { region: region.name().clone(), kind });
        }
        drop(race);
        let Some(spares) = spares else { return Err(NotServed { name: name.to_owned(), faults }) };
        for at in 0..faults.len() {
            let Some(region) = faults.get(at).filter(|fault| matches!(fault.kind, ReadFaultKind::Missing))
            else {
                continue;
            };
            let Some(region) = self.find(region.region.as_str()) else { continue };
            match region.spare(spares, &extent, |bytes| check(region.name(), bytes)).await {
                Ok(Some(value)) => {
                    faults.remove(at);
                    return Ok(Served { value, region: region.name().clone(), faults });
                }
                Ok(None) => {}
                // Whether it lacks the object as a whole is not known, or it has one that is wrong.
                Err(kind) => faults[at].kind = kind,
            }
        }
        Err(NotServed { name: name.to_owned(), faults })
    }
}

impl Region {
    /// The bytes of `extent`.
    pub async fn get_extent(&self, name: &str, extent: &Extent) -> Result<Bytes, StoreError> {
        self.get_extent_moving(name, extent, &Moving::default()).await
    }

    pub(super) async fn get_extent_moving(
        &self,
        name: &str,
        extent: &Extent,
        moving: &Moving,
    ) -> Result<Bytes, StoreError> {
        match extent {
            Extent::Whole { bytes_max } => {
                self.get_within(Call::new(OpKind::Get, name), name, *bytes_max, moving).await
            }
            Extent::Range(range) => self.get_range_moving(name, range.clone(), moving).await,
            Extent::Prefix(len) => self.get_prefix_moving(name, *len, moving).await,
            Extent::Suffix(len) => self.get_suffix_moving(name, *len, moving).await.map(|(bytes, _)| bytes),
        }
    }
}
