//! Reading WAL objects whole: verified to the digest of the file, from the best region with a good copy.
//!
//! Promises: a copy that does not fit the caller's own check counts as damaged, and the next region is asked. The answer of
//! every region is kept, so that the caller can tell absence, outage and damage apart.

use seawall_repo::compress::Decompressor;
use seawall_repo::error::{Fault, ObjectError};
use seawall_repo::layout::ObjectName;
use seawall_repo::object::OpenHead;
use seawall_repo::wal_object::{OpenWal, PartJoiner, Taken, WalContent, WalHeader, WalReader};
use seawall_store::{Extent, NotServed, RegionName};

use crate::error::{Error, Result};
use crate::repository::{OBJECT_BYTES_MAX, Repository, get_any, not_served, object_error};

/// A WAL object, and what joins its parts where it lies in parts.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) wal: OpenWal,
    pub(super) joiner: Option<PartJoiner>,
    pub(super) region: RegionName,
}

/// Reads one object; `fits` says what is wrong with one that is not what is wanted.
pub(super) async fn open(
    repository: &Repository,
    name: &ObjectName,
    fits: &(dyn Fn(&OpenWal) -> std::result::Result<(), String> + Sync),
) -> std::result::Result<Opened, NotServed> {
    let created = repository.created(name).await;
    let reader = WalReader { trust: repository.trust(), keys: repository.keys() };
    let extent = Extent::Whole { bytes_max: OBJECT_BYTES_MAX };
    let refused = |reason: String| ObjectError::new(name, Fault::KindHeader { reason });
    let check = |bytes: &[u8]| {
        let mut decompressor = Decompressor::new().map_err(|error| refused(error.to_string()))?;
        let wal = reader.open(name, bytes, created, &mut decompressor)?;
        fits(&wal).map_err(refused)?;
        let joiner = match &wal.content {
            WalContent::Bytes(_) => None,
            WalContent::Parts(_) => {
                reader.join(&OpenHead::open(name, bytes, repository.trust(), created)?, &wal)?
            }
        };
        Ok::<_, ObjectError>((wal, joiner))
    };
    let served = get_any(repository.regions(), name, extent, |_region, bytes| check(&bytes)).await?;
    repository.notice_faults(name, &served.faults);
    let (wal, joiner) = served.value;
    Ok(Opened { wal, joiner, region: served.region })
}

/// What [`open_into`] gave.
#[derive(Debug)]
pub(super) enum Arrived<S> {
    /// The whole file is in the sink, proven.
    Whole(S),
    /// The file lies in parts: [`open`] begins them.
    InParts,
    /// The sink failed.
    Failed(Error),
}

/// Reads one file into a sink while it is being opened; each region's copy begins with a new one. `fits` looks at the header and
/// the first bytes.
pub(super) async fn open_into<S: Sink>(
    repository: &Repository,
    name: &ObjectName,
    fits: impl Fn(&WalHeader, &[u8]) -> std::result::Result<(), String>,
    begin: impl Fn() -> Result<S>,
) -> std::result::Result<(Arrived<S>, RegionName), NotServed> {
    let created = repository.created(name).await;
    let reader = WalReader { trust: repository.trust(), keys: repository.keys() };
    let extent = Extent::Whole { bytes_max: OBJECT_BYTES_MAX };
    let refused = |reason: String| ObjectError::new(name, Fault::KindHeader { reason });
    let check = |bytes: &[u8]| {
        let mut decompressor = Decompressor::new().map_err(|error| refused(error.to_string()))?;
        let mut sink = None;
        let taken = reader.open_into(name, bytes, created, &mut decompressor, |header, plain| {
            if sink.is_none() {
                fits(header, plain).map_err(Refusal::Unfit)?;
                sink = Some(begin().map_err(Refusal::Sink)?);
            }
            sink.as_mut().map_or(Ok(()), |sink| sink.append(plain).map_err(Refusal::Sink))
        });
        match (taken?, sink) {
            (Ok(Taken::Whole), Some(sink)) => Ok(Arrived::Whole(sink)),
            (Ok(Taken::Whole), None) => Err(refused("nothing of it was given".to_owned())),
            (Ok(Taken::InParts), _) => Ok(Arrived::InParts),
            (Err(Refusal::Sink(error)), _) => Ok(Arrived::Failed(error)),
            (Err(Refusal::Unfit(reason)), _) => Err(refused(reason)),
        }
    };
    let served = get_any(repository.regions(), name, extent, |_region, bytes| check(&bytes)).await?;
    repository.notice_faults(name, &served.faults);
    Ok((served.value, served.region))
}

/// Where plain bytes go before they are proven.
pub(super) trait Sink {
    /// Takes the next bytes.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Why bytes were not taken.
enum Refusal {
    Unfit(String),
    Sink(Error),
}

/// The content of a file that never lies in parts, such as a history file.
///
/// # Errors
/// Missing, damaged or out of reach in every region.
pub(crate) async fn small(repository: &Repository, name: &ObjectName) -> Result<Vec<u8>> {
    let opened = open(repository, name, &|_| Ok(())).await.map_err(|error| not_served(&error))?;
    match opened.wal.content {
        WalContent::Bytes(bytes) => Ok(bytes),
        WalContent::Parts(_) => Err(Error::data("archive.in-parts", format!("{name} lies in parts"))),
    }
}

/// The bytes of a file piece by piece, each proven before `take` gets it, until `take` says that it has enough.
///
/// # Errors
/// Missing, damaged or out of reach in every region; what `take` says.
pub(crate) async fn each_piece(
    repository: &Repository,
    name: &ObjectName,
    take: &mut dyn FnMut(&[u8]) -> Result<bool>,
) -> Result<()> {
    let opened = open(repository, name, &|_| Ok(())).await.map_err(|error| not_served(&error))?;
    let mut joiner = match (opened.wal.content, opened.joiner) {
        (WalContent::Bytes(bytes), _) => return take(&bytes).map(drop),
        (WalContent::Parts(_), Some(joiner)) => joiner,
        (WalContent::Parts(_), None) => {
            return Err(Error::bug("archive.no-joiner", "a file in parts has nothing that joins them"));
        }
    };
    for part in joiner.part_names() {
        let opened = open(repository, &part, &|_| Ok(())).await.map_err(|error| not_served(&error))?;
        let bytes = joiner.add(opened.wal).map_err(|error| object_error(&error))?;
        if !take(&bytes)? {
            return Ok(());
        }
    }
    joiner.finish().map_err(|error| object_error(&error))
}
