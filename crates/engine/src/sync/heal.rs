//! Healing: a good copy beside one that is damaged, in its own region.
//!
//! Commit point: the heal copy, one object put whole. Promises: what is damaged stays as it is, and what is good is never given a
//! copy; the copy is the bytes of another region's object that was read whole and is what its writer signed; where a head that can
//! be believed names other content than that copy has, or other regions differ, it is a conflict and nothing is put. Repeated, or done
//! twice at once, it finds the copy there.

use bytes::Bytes;
use seawall_repo::layout::ObjectName;
use seawall_repo::object::OpenHead;
use seawall_repo::time::Time;
use seawall_store::{Existing, Put, Region, RegionName, StoreError};

use super::good::{Bad, Good, differ, good_copy, healed, under};
use crate::repository::{Apart, Copy, Repository, heal_copies, heal_number};
use crate::verify::stored_copy;

/// Numbers that others may take meanwhile.
const NUMBERS_TRIED: u32 = 16;

/// What became of an object in a region.
#[derive(Debug)]
pub(super) enum Healing {
    /// It is good, not there, or served by a heal copy already.
    NotNeeded,
    /// It is damaged and can be healed, with so many bytes.
    Damaged(u64),
    /// A heal copy of so many bytes serves it now.
    Healed(u64),
    /// Two contents under one name: where, in words.
    Conflict(String),
    /// What is wrong with it, and why no region has a good copy.
    NoGoodCopy(String),
    /// The region cannot be asked, or does not take it.
    Refused(StoreError),
}

/// Looks at `name` in `target`, and heals it where it is damaged; with `dry_run` only says so.
pub(super) async fn heal(
    repository: &Repository,
    name: &ObjectName,
    target: &Region,
    dry_run: bool,
) -> Healing {
    let created = repository.created(name).await;
    let (why, bytes) = match under(repository, target, name, created).await {
        Ok(_) | Err(Bad::Absent) => return Healing::NotNeeded,
        Err(Bad::Damaged(why, bytes)) => (why, bytes),
        Err(Bad::Away(error)) => return Healing::Refused(error),
    };
    match healed(repository, target, name, created).await {
        Ok(None) => {}
        Ok(Some(_)) => return Healing::NotNeeded,
        Err(error) => return Healing::Refused(error),
    }
    let regions = repository.regions().iter().map(|region| region.name().clone());
    let others: Vec<RegionName> = regions.filter(|region| region != target.name()).collect();
    if let Some(conflict) = differ(repository, name, &others).await {
        return Healing::Conflict(conflict.words());
    }
    let good = match good_copy(repository, name, &others, created).await {
        Ok(good) => good,
        Err(faults) => return Healing::NoGoodCopy(format!("{}: {why}; {faults}", target.name())),
    };
    let believed = believed(repository, name, &bytes, created, target.name());
    if let Some(conflict) = Apart::of(believed.into_iter().chain(good.copy.clone())) {
        return Healing::Conflict(conflict.words());
    }
    if dry_run {
        return Healing::Damaged(good.bytes.len() as u64);
    }
    put(repository, name, target, &good).await
}

/// What the head of damaged bytes names, where the head itself can be believed.
fn believed(
    repository: &Repository,
    name: &ObjectName,
    bytes: &Bytes,
    created: Option<Time>,
    region: &RegionName,
) -> Option<Copy> {
    let head = OpenHead::open(name, bytes, repository.trust(), created).ok()?;
    Some(Copy::of_head(region, &head))
}

async fn put(repository: &Repository, name: &ObjectName, target: &Region, good: &Good) -> Healing {
    let known = match heal_copies(target, name).await {
        Ok(known) => known.first().map_or(0, heal_number),
        Err(error) => return Healing::Refused(error),
    };
    for number in (known.saturating_add(1)..).take(NUMBERS_TRIED as usize) {
        let Some(copy) = name.heal(number) else { break };
        match target.put_new(copy.as_str(), &good.bytes).await {
            Ok(Put::Created) => return Healing::Healed(good.bytes.len() as u64),
            Ok(Put::AlreadyThere) => return Healing::NotNeeded,
            // Another sync put its own meanwhile; where that is damaged already, the next number is free.
            Ok(Put::Conflict { existing: Existing::Whole(bytes) })
                if stored_copy(repository, name, &bytes, None, target.name()).is_ok() =>
            {
                return Healing::NotNeeded;
            }
            Ok(Put::Conflict { .. }) => {}
            Err(error) => return Healing::Refused(error),
        }
    }
    Healing::NoGoodCopy(format!("{}: its heal copies are damaged as fast as they are put", target.name()))
}
