//! A good copy of an object: read whole, and what its writer signed.
//!
//! Promise: what is handed on was held against signature and stored digest; a region whose own copy is wrong is asked for its heal copies.

use bytes::Bytes;
use seawall_repo::envelope::Kind;
use seawall_repo::layout::ObjectName;
use seawall_repo::time::Time;
use seawall_store::{ErrorKind, Region, RegionName, StoreError};

use crate::repository::{Apart, Copy, OBJECT_BYTES_MAX, Repository, apart, heal_copies};
use crate::verify::stored_copy;

/// Bytes that are what was signed.
#[derive(Debug)]
pub(crate) struct Good {
    pub(crate) bytes: Bytes,
    /// What it is compared by.
    pub(crate) copy: Option<Copy>,
}

/// Why a region has none.
#[derive(Debug)]
pub(crate) enum Bad {
    /// There is no such object.
    Absent,
    /// What is there is not what was signed; the bytes, where they could be read.
    Damaged(String, Bytes),
    /// The region cannot be asked.
    Away(StoreError),
}

impl Bad {
    fn words(&self) -> String {
        match self {
            Self::Absent => "it is not there".to_owned(),
            Self::Damaged(why, _) => why.clone(),
            Self::Away(error) => error.chain(),
        }
    }
}

/// The copy that stands in a region under `stored`, the object's own name or that of a heal copy.
pub(crate) async fn under(
    repository: &Repository,
    region: &Region,
    stored: &ObjectName,
    created: Option<Time>,
) -> Result<Good, Bad> {
    let bytes = match region.get(stored.as_str(), OBJECT_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Err(Bad::Absent),
        Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::TooLarge) => {
            return Err(Bad::Damaged(error.chain(), Bytes::new()));
        }
        Err(error) => return Err(Bad::Away(error)),
    };
    match stored_copy(repository, &stored.signed(), &bytes, created, region.name()) {
        Ok(copy) => Ok(Good { bytes, copy }),
        Err(why) => Err(Bad::Damaged(why, bytes)),
    }
}

/// The first good heal copy of an object in a region.
///
/// # Errors
/// The region cannot be listed.
pub(crate) async fn healed(
    repository: &Repository,
    region: &Region,
    name: &ObjectName,
    created: Option<Time>,
) -> Result<Option<Good>, StoreError> {
    for copy in heal_copies(region, name).await? {
        if let Ok(good) = under(repository, region, &copy, created).await {
            return Ok(Some(good));
        }
    }
    Ok(None)
}

/// A good copy from the best of these regions; why there is none in each of them otherwise.
pub(super) async fn good_copy(
    repository: &Repository,
    name: &ObjectName,
    sources: &[RegionName],
    created: Option<Time>,
) -> Result<Good, String> {
    let mut faults = Vec::new();
    for source in repository.regions().by_preference().into_iter().filter(|one| sources.contains(one.name()))
    {
        let bad = match under(repository, source, name, created).await {
            Ok(good) => return Ok(good),
            Err(bad) => bad,
        };
        if !matches!(bad, Bad::Away(_))
            && let Ok(Some(good)) = healed(repository, source, name, created).await
        {
            return Ok(good);
        }
        faults.push(format!("{}: {}", source.name(), bad.words()));
    }
    Err(faults.join("; "))
}

/// Two of these regions that hold different contents, each signed by somebody who may: nobody but a person can say whose it should be.
pub(super) async fn differ(
    repository: &Repository,
    name: &ObjectName,
    holders: &[RegionName],
) -> Option<Apart> {
    if Kind::of_name(name).is_some() {
        return apart(repository, name, holders).await;
    }
    let created = repository.created(name).await;
    let mut copies = Vec::new();
    for holder in holders.iter().filter_map(|holder| repository.regions().find(holder.as_str())) {
        // A copy that cannot be read is no other content; whoever copies says what is wrong with it.
        if let Ok(good) = under(repository, holder, name, created).await {
            copies.extend(good.copy);
        }
    }
    Apart::of(copies)
}
