//! Bytes under names in regions; knows no meaning.
//!
//! The road through the crate: [`Regions`] fans one buffer out and chooses who is read; each [`Region`] adds to a driver
//! of the `object_store` trait what it lacks ([`Put`]: the rule for unknown outcomes; health, retries, limits, a meter);
//! [`DurableLocal`] is the driver for directories, [`bucket`] holds what the drivers of clouds lack. [`durable`] writes local files, [`world`] is clock and randomness.
//! [`clocked`], [`contract`], [`faulty`] and [`schedule`] are for tests, here and in the crates above.
//!
//! Promises: nothing is ever overwritten; "no such object" is always a positive answer. Does not do: building names,
//! looking into bytes.

mod access;
pub mod bucket;
pub mod clocked;
pub mod contract;
pub mod durable;
mod error;
pub mod faulty;
mod limit;
pub mod local;
mod meter;
mod name;
mod put;
mod region;
mod regions;
pub mod schedule;
#[cfg(test)]
mod testing;
pub mod world;

pub use access::Access;
pub use durable::SweptTemps;
pub use error::{Cause, ErrorKind, StoreError};
pub use limit::Bandwidth;
pub use local::DurableLocal;
pub use meter::{Meter, MeterReading, OpKind, Tally};
pub use object_store::ObjectStore;
pub use put::{Existing, Put};
pub use region::{
    Deleted, HealthReading, HealthState, Level, Limits, ObjectInfo, OpenError, Region, RegionConfig,
    RegionName, Role,
};
pub use regions::{
    Absence, Ack, DetachReason, Detached, Extent, Held, Listed, NotServed, PerRegion, ReadFault,
    ReadFaultKind, RegionSet, Regions, RegionsError, Served, Spares, Verdict, acknowledge,
};
pub use world::World;
