//! All names beneath a prefix, with who lacks them.
//!
//! Promises: names in order, each with the regions whose word about it is complete; memory of one file's objects. The parts of a file
//! come before the object under its plain name, which is the one that says that it is there.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use seawall_repo::layout::{Named, ObjectName};
use seawall_store::{Listed, RegionName};

use crate::repository::Repository;

/// A region whose next name comes so much later than another region's is left for another run.
const LIST_LAG_MAX: Duration = Duration::from_secs(60);

/// An object that somebody lacks.
#[derive(Debug, Clone)]
pub(super) struct Lacking {
    pub(super) name: ObjectName,
    pub(super) bytes: u64,
    pub(super) held: Vec<RegionName>,
    pub(super) lacked_by: Vec<RegionName>,
}

/// What a pass meets.
#[derive(Debug)]
pub(super) enum Met {
    /// Objects that belong together, in the order in which they are to be copied.
    Unit(Vec<Lacking>),
    /// A region's listing broke; what it has behind this is not known.
    Broken(RegionName, String),
}

/// Walks over `prefix`; `targets` are the regions that are asked about.
pub(super) fn pass<'a>(
    repository: &'a Repository,
    prefix: &str,
    targets: &'a [RegionName],
) -> BoxStream<'a, Met> {
    let listed = repository.regions().list_all_within(prefix, LIST_LAG_MAX).fuse();
    let state = (listed, None::<Vec<Lacking>>, targets);
    futures::stream::unfold(state, |(mut listed, mut begun, targets)| async move {
        loop {
            match listed.next().await {
                None => return begun.take().map(|unit| (Met::Unit(ordered(unit)), (listed, None, targets))),
                Some(Listed::Broken { region, error }) => {
                    return Some((Met::Broken(region, error.chain()), (listed, begun, targets)));
                }
                Some(Listed::Object { name, held, unknown }) => {
                    let Some(lacking) = lacking(&name, held, &unknown, targets) else { continue };
                    match &mut begun {
                        Some(unit)
                            if unit.first().is_some_and(|first| one_file(&first.name, &lacking.name)) =>
                        {
                            unit.push(lacking);
                        }
                        _ => {
                            if let Some(unit) = begun.replace(vec![lacking]) {
                                return Some((Met::Unit(ordered(unit)), (listed, begun, targets)));
                            }
                        }
                    }
                }
            }
        }
    })
    .boxed()
}

fn lacking(
    name: &str,
    held: Vec<seawall_store::Held>,
    unknown: &[RegionName],
    targets: &[RegionName],
) -> Option<Lacking> {
    // What this release does not know is not copied: it could not tell whether it is good, nor what must come first.
    let name = ObjectName::parse(name)?;
    let has = |region: &RegionName| held.iter().any(|copy| copy.region == *region);
    let lacks = |region: &&RegionName| !has(region) && !unknown.contains(region);
    let lacked_by: Vec<RegionName> = targets.iter().filter(lacks).cloned().collect();
    if lacked_by.is_empty() {
        return None;
    }
    let bytes = held.iter().map(|copy| copy.size_bytes).max().unwrap_or(0);
    Some(Lacking { name, bytes, held: held.into_iter().map(|copy| copy.region).collect(), lacked_by })
}

/// Whether both are objects of one WAL file: its parts and the whole.
fn one_file(one: &ObjectName, other: &ObjectName) -> bool {
    let file = |name: &ObjectName| match name.named() {
        Named::Wal { file, .. } => Some(*file),
        Named::WalPart { file, .. } => Some((*file).into()),
        _ => None,
    };
    file(one).is_some() && file(one) == file(other)
}

/// Parts first.
fn ordered(mut unit: Vec<Lacking>) -> Vec<Lacking> {
    unit.sort_by_key(|lacking| !matches!(lacking.name.named(), Named::WalPart { .. }));
    unit
}
