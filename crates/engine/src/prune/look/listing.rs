//! One listing, with what every caller here needs of it: who holds what since when, and which regions could not be asked.
//!
//! Promises: a region whose listing broke is remembered for the whole look, since what it holds is unknown from then on.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_repo::layout::ObjectName;
use seawall_repo::time::Time;
use seawall_store::{Held, Listed, RegionName};

use crate::repository::Repository;

/// Regions that could not be listed, and why.
pub(in crate::prune) type Broken = BTreeMap<RegionName, String>;

/// An object of a name this version knows.
pub(super) struct Found {
    pub(super) name: ObjectName,
    pub(super) held: Vec<Held>,
}

impl Found {
    /// When it was stored where it was stored first.
    pub(super) fn first_stored(&self) -> Option<Time> {
        self.times().min()
    }

    /// When it was stored where it was stored last.
    pub(super) fn last_stored(&self) -> Option<Time> {
        self.times().max()
    }

    fn times(&self) -> impl Iterator<Item = Time> {
        self.held.iter().filter_map(|at| Time::from_micros(at.modified_unix_us))
    }

    /// Its size; the largest where regions disagree.
    pub(super) fn bytes(&self) -> u64 {
        self.held.iter().map(|at| at.size_bytes).max().unwrap_or(0)
    }
}

/// Gives every known object beneath `prefix` to `take`, in the order of names. How many names were unknown.
pub(super) async fn each(
    repository: &Repository,
    prefix: &str,
    broken: &mut Broken,
    mut take: impl FnMut(Found),
) -> u64 {
    let mut strange = 0;
    let mut listed = repository.regions().list_all(prefix);
    while let Some(entry) = listed.next().await {
        match entry {
            Listed::Object { name, held, .. } => match ObjectName::parse(&name) {
                Some(name) => take(Found { name, held }),
                None => strange += 1,
            },
            Listed::Broken { region, error } => {
                broken.entry(region).or_insert_with(|| error.chain());
            }
        }
    }
    strange
}
