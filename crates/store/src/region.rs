//! One region: a driver of the `object_store` trait with a name, limits, health and a meter.
//!
//! Promises: every call is bounded in attempts and time, counted, and classified; "not found" is positive. A region
//! known to be down is not asked again until it has had time to come back.
//! Does not do: choosing between regions; that is [`crate::Regions`].

mod about;
mod call;
mod health;
mod limits;
mod list;
mod open;
mod read;

pub(crate) use call::Call;
pub use health::{HealthReading, HealthState};
pub use limits::Limits;
pub use list::Level;
pub use open::OpenError;
pub(crate) use read::Moving;

use crate::bucket::about::Service;
use crate::durable::{SweptTemps, Temps};
use crate::error::StoreError;
use crate::local::DurableLocal;
use crate::meter::{Meter, MeterReading, OpKind};
use crate::world::World;
use futures::{StreamExt, stream};
use health::Health;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use std::sync::Arc;
use std::time::Duration;

/// A region's name as the settings give it: not empty, one line, no `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionName(Arc<str>);

impl RegionName {
    /// `None` if the name is empty, longer than 64 bytes, or holds control characters, `/` or spaces.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
        (!name.is_empty() && name.len() <= 64 && name.chars().all(plain)).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RegionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl serde::Serialize for RegionName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// What a region is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A complete copy of the repository.
    #[default]
    Copy,
    /// Only what proves and coordinates; never asked for data.
    Witness,
}

/// What is needed to open a region.
#[derive(Debug, Clone)]
pub struct RegionConfig {
    /// Its name.
    pub name: RegionName,
    /// Where it is: `gs://bucket/prefix`, `s3://bucket/prefix`, `az://container/prefix`, `file:///absolute/path`.
    pub url: String,
    /// How it is reached.
    pub access: crate::access::Access,
    /// What it is for.
    pub role: Role,
    /// Its bounds.
    pub limits: Limits,
}

/// One object as listed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ObjectInfo {
    /// Its whole name.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// When the store says it was made, by the store's clock; microseconds since 1970 UTC.
    pub modified_unix_us: i64,
}

impl ObjectInfo {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            name: meta.location.to_string(),
            size_bytes: meta.size,
            modified_unix_us: meta.last_modified.timestamp_micros(),
        }
    }
}

/// What a deletion found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deleted {
    /// The object was there and is gone.
    Deleted,
    /// There was no such object (some stores do not say and answer the other).
    WasAbsent,
}

/// A named, complete copy of the repository in one place.
#[derive(Debug)]
pub struct Region {
    config: RegionConfig,
    store: Arc<dyn ObjectStore>,
    /// The file driver beneath, where there is one: it alone knows leftovers.
    local: Option<DurableLocal>,
    /// Who is asked about the bucket itself, where it is one.
    service: Option<Arc<dyn Service>>,
    health: Health,
    meter: Meter,
    world: World,
}

impl Region {
    /// A region over any driver. Finding an object there is taken for proof that it is stored.
    #[must_use]
    pub fn with_store(config: RegionConfig, store: Arc<dyn ObjectStore>, world: &World) -> Self {
        let health = Health::new(&config.limits);
        let (local, service) = (None, None);
        Self { config, store, local, service, health, meter: Meter::default(), world: world.clone() }
    }

    /// The same region with its driver wrapped, for instance in a [`crate::faulty::FaultyStore`].
    #[must_use]
    pub fn wrapped(mut self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        self.store = wrap(self.store);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &RegionName {
        &self.config.name
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.config.url
    }

    /// How it is reached.
    #[must_use]
    pub fn access(&self) -> &crate::access::Access {
        &self.config.access
    }

    /// What it is for.
    #[must_use]
    pub fn role(&self) -> Role {
        self.config.role
    }

    /// Its bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// How it fares, from the calls made so far.
    #[must_use]
    pub fn health(&self) -> HealthReading {
        self.health.read(self.world.clock.monotonic())
    }

    /// Takes it for down by the word of somebody who tried: nothing is sent until [`Region::try_again`].
    pub fn leave_alone(&self, why: String) {
        self.health.open(Duration::MAX, why);
    }

    /// If it is taken for down, the next call tries once whether it is back.
    pub fn try_again(&self) {
        self.health.half_open(self.world.clock.monotonic());
    }

    /// A call was given up while it was still on its way and others had answered long ago: the next would hold everybody up as well,
    /// so the region is left alone for as long as any that is taken for down.
    pub(crate) fn gave_up(&self, why: String) {
        let until = self.world.clock.monotonic().saturating_add(self.limits().down_for);
        self.health.open(until, why);
    }

    /// A call has not been answered for `waited`, and somebody else is asked.
    pub(crate) fn is_slow(&self, waited: Duration) {
        self.health.slow(waited);
    }

    /// Calls and bytes so far.
    #[must_use]
    pub fn meter(&self) -> MeterReading {
        self.meter.read()
    }

    /// The driver beneath. Calls made there are neither bounded nor counted.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Whether reading an object back proves that it will survive a power loss. Not so for files: one whose directory
    /// could not be synced can be read all the same.
    pub(crate) fn reading_proves(&self) -> bool {
        self.local.is_none()
    }

    pub(crate) fn parse(&self, name: &str) -> Result<Path, StoreError> {
        crate::name::parse_name(name).map_err(|why| self.bad_name(name, why))
    }

    fn bad_name(&self, name: &str, why: String) -> StoreError {
        StoreError::InvalidName { region: self.name().clone(), name: name.to_owned(), why }
    }

    /// Deletes an object; one that is not there is not an error.
    pub async fn delete(&self, name: &str) -> Result<Deleted, StoreError> {
        let path = self.parse(name)?;
        let call = Call::new(OpKind::Delete, name);
        let done = self
            .call(call, || async {
                let one = stream::iter([Ok(path.clone())]).boxed();
                let mut answers = self.store.delete_stream(one);
                match self.timed(self.limits().stall, answers.next()).await? {
                    Some(Err(error)) => Err(crate::error::Failure::of(error)),
                    Some(Ok(_)) | None => Ok(((), 0)),
                }
            })
            .await;
        match done {
            Ok(()) => Ok(Deleted::Deleted),
            Err(error) if error.is_not_found() => Ok(Deleted::WasAbsent),
            Err(error) => Err(error),
        }
    }

    /// Removes what processes that died while writing have left in this region. Drivers that leave nothing have
    /// nothing to remove.
    pub async fn sweep(&self) -> Result<SweptTemps, StoreError> {
        let Some(local) = &self.local else { return Ok(SweptTemps::default()) };
        local.temps(Temps::Removed).await.map_err(|error| self.left(error))
    }

    /// What [`Region::sweep`] would remove, counted only; none for drivers that leave nothing.
    pub async fn leftovers(&self) -> Result<Option<SweptTemps>, StoreError> {
        let Some(local) = &self.local else { return Ok(None) };
        local.temps(Temps::Counted).await.map(Some).map_err(|error| self.left(error))
    }

    fn left(&self, error: object_store::Error) -> StoreError {
        crate::error::Failure::of(error).dress(self.name(), "", 1, Duration::ZERO)
    }
}

#[cfg(test)]
mod tests;
