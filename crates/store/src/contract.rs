//! What every driver must keep, as functions to run against it. For tests, here and wherever a driver is added.
//!
//! Promises: each check uses names of its own, so all can run on one store, also one in use; each names what is broken.
//! Does not do: durability (a driver proves that itself) and cleaning up: nothing is deleted but what a check put to be
//! deleted.

mod listing;
mod reading;
mod writing;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, PutResult};
use std::time::Duration;

use crate::bucket::verdict;
use crate::world::World;

/// A promise that a driver does not keep.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{check}: {what}")]
pub struct Breach {
    /// The check.
    pub check: &'static str,
    /// What was seen.
    pub what: String,
}

/// Where drivers differ and are allowed to.
#[derive(Debug, Clone, Copy)]
pub struct Promises {
    /// Ranges counted from the end (Azure has none).
    pub suffix_ranges: bool,
    /// Any put but a creation is refused.
    pub refuses_overwrite: bool,
    /// Deleting what is not there says so.
    pub missing_delete_is_not_found: bool,
    /// Listings are sorted by name.
    pub sorted: bool,
    /// A name may be written as often as anybody likes (Google takes one write a second).
    pub writes_at_any_rate: bool,
}

impl Promises {
    /// What [`crate::DurableLocal`] promises: everything.
    #[must_use]
    pub fn all() -> Self {
        Self {
            suffix_ranges: true,
            refuses_overwrite: true,
            missing_delete_is_not_found: true,
            sorted: true,
            writes_at_any_rate: true,
        }
    }

    /// Rests between two writes to one name, where a service wants that.
    fn rest(self) {
        if !self.writes_at_any_rate {
            World::system().clock.sleep_blocking(Duration::from_millis(1_200));
        }
    }

    /// Whether an error is a service's word that a name is written too often.
    fn is_too_often(self, error: &Error) -> bool {
        !self.writes_at_any_rate && verdict::status(error) == Some(429)
    }
}

type Check = Result<(), String>;

/// Runs every check beneath the prefix `under`, which must be new; what is broken comes back, empty if nothing is.
pub async fn check_all(store: &dyn ObjectStore, under: &str, promises: Promises) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut note = |check: &'static str, result: Check| {
        if let Err(what) = result {
            breaches.push(Breach { check, what });
        }
    };
    note("create_only", writing::create_only(store, under).await);
    note("race_has_one_winner", writing::race_has_one_winner(store, under, promises).await);
    note("overwrite_refused", writing::overwrite_refused(store, under, promises).await);
    note("odd_names", writing::odd_names(store, under).await);
    note("delete", writing::delete(store, under, promises).await);
    note("missing_is_not_found", reading::missing_is_not_found(store, under).await);
    note("read_your_write", reading::read_your_write(store, under).await);
    note("zero_length", reading::zero_length(store, under).await);
    note("ranges", reading::ranges(store, under, promises).await);
    note("large_object", reading::large_object(store, under).await);
    note("list_after_write", listing::list_after_write(store, under, promises).await);
    note("prefix_is_whole_segments", listing::prefix_is_whole_segments(store, under).await);
    note("offset", listing::offset(store, under).await);
    note("levels", listing::levels(store, under).await);
    breaches
}

fn path(under: &str, name: &str) -> Path {
    // Checks use names that parse; one that does not shows as a missing object at the root.
    Path::parse(format!("{under}/{name}")).unwrap_or_default()
}

async fn create(store: &dyn ObjectStore, path: &Path, bytes: &Bytes) -> object_store::Result<PutResult> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(path, PutPayload::from(bytes.clone()), options).await
}

async fn must_create(store: &dyn ObjectStore, path: &Path, bytes: &Bytes) -> Check {
    create(store, path, bytes).await.map(drop).map_err(|error| format!("put of {path}: {error}"))
}

async fn must_read(store: &dyn ObjectStore, path: &Path, expected: &Bytes) -> Check {
    let read = async { store.get(path).await?.bytes().await };
    let found = read.await.map_err(|error| format!("get of {path}: {error}"))?;
    ensure(found == *expected, || {
        format!("{path} reads {} bytes, not the {} put", found.len(), expected.len())
    })
}

fn ensure(kept: bool, what: impl FnOnce() -> String) -> Check {
    if kept { Ok(()) } else { Err(what()) }
}

/// Bytes that tell where they are from: no two ranges of them are alike.
fn pattern(len: usize, salt: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(len + 8);
    let mut word = salt;
    while bytes.len() < len {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}
