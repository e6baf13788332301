//! What stands where a repository is to be: in each region, and on this host.
//!
//! Reads only. A region that cannot be asked is an error: nothing may be decided about a place nobody has seen.

use std::path::Path;

use seawall_repo::id::{ClusterName, RepositoryId, SystemId};
use seawall_repo::keys::OwnerPublic;
use seawall_repo::layout::{Named, ObjectName, prefix};
use seawall_repo::records::SeawallJson;
use seawall_repo::seal::Cipher;
use seawall_repo::signed::SignedText;
use seawall_store::{Level, Region, Regions, World};

use super::InitOptions;
use super::journal::Journal;
use crate::error::{Error, Result};
use crate::repository::{Expecting, HostKeys, RepositorySettings, list_names, open_regions, store_error};

const RECORD_BYTES_MAX: u64 = 1 << 20;
/// So many names of what is in the way are told.
const TOLD_MAX: usize = 5;

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Each region.
    pub regions: Vec<RegionFound>,
    /// What an interrupted run left beside the key file.
    pub journal: Option<Journal>,
    /// This host's key file.
    pub host: Option<HostFound>,
    /// System identifiers of the cluster, from all regions; empty where the cluster is unknown.
    pub systems: Vec<SystemId>,
}

/// A region and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionFound {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub state: RegionState,
}

/// What is in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionState {
    /// Nothing.
    Empty,
    /// A repository, as it says itself; not believed yet.
    Repository {
        /// Its id.
        id: RepositoryId,
        /// Its owner.
        owner: OwnerPublic,
        /// How it seals.
        cipher: Cipher,
    },
    /// Records of a repository without the one that makes it exist.
    Remains {
        /// Some of their names.
        names: Vec<String>,
    },
    /// Something else.
    Other {
        /// Some of the names.
        names: Vec<String>,
    },
}

/// Whose key file this host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFound {
    /// The repository.
    pub repository: RepositoryId,
    /// The cluster.
    pub cluster: ClusterName,
}

/// Looks at every region and at this host.
///
/// # Errors
/// A region cannot be asked; a key file or journal is there and cannot be read.
pub async fn look(regions: &Regions, options: &InitOptions) -> Result<Found> {
    let mut found = Vec::with_capacity(regions.len());
    for region in regions.iter() {
        found.push(RegionFound { name: region.name().to_string(), state: region_state(region).await? });
    }
    let journal = Journal::load(&options.key_file)?;
    let host = host(&options.key_file)?;
    let systems = systems(regions, &options.cluster).await?;
    Ok(Found { regions: found, journal, host, systems })
}

/// As [`look`], before anything is made: a directory that is not there yet is an empty region, and stays not there.
///
/// # Errors
/// As [`look`]; a region's name or URL that cannot be.
pub async fn survey(settings: &RepositorySettings, options: &InitOptions, world: &World) -> Result<Found> {
    let mut there = settings.clone();
    there.regions.retain(|region| !is_missing_directory(&region.url));
    let mut found = if there.regions.is_empty() {
        let (journal, host) = (Journal::load(&options.key_file)?, host(&options.key_file)?);
        Found { regions: Vec::new(), journal, host, systems: Vec::new() }
    } else {
        look(&open_regions(&there, Expecting::Nothing, None, world)?, options).await?
    };
    let mut seen = std::mem::take(&mut found.regions);
    for region in &settings.regions {
        let at = seen.iter().position(|seen| seen.name == region.name);
        let empty = || RegionFound { name: region.name.clone(), state: RegionState::Empty };
        found.regions.push(at.map_or_else(empty, |at| seen.swap_remove(at)));
    }
    Ok(found)
}

/// An escaped path is taken for one that is there: looking at it is then the driver's business.
pub(crate) fn is_missing_directory(url: &str) -> bool {
    let path = url.strip_prefix("file://").filter(|path| path.starts_with('/') && !path.contains('%'));
    path.is_some_and(|path| matches!(Path::new(path).try_exists(), Ok(false)))
}

/// What is in a region.
///
/// # Errors
/// It cannot be asked, or its marker cannot be read.
pub(crate) async fn region_state(region: &Region) -> Result<RegionState> {
    let name = Named::Seawall.to_name();
    match region.get(name.as_str(), RECORD_BYTES_MAX).await {
        Ok(bytes) => said(region, &bytes),
        Err(error) if error.is_not_found() => {
            let level = region
                .list_level("")
                .await
                .map_err(|error| store_error("cannot look into a region", &error))?;
            Ok(without_repository(&level))
        }
        Err(error) => Err(store_error("cannot look into a region", &error)
            .hint("is the disk mounted, and may this user read and write there?")),
    }
}

fn said(region: &Region, bytes: &[u8]) -> Result<RegionState> {
    let record: SeawallJson = SignedText::parse(bytes).and_then(|text| text.peek()).map_err(|error| {
        Error::data(
            "repository.object-damaged",
            format!("seawall.json in region {} cannot be read", region.name()),
        )
        .hint("the place holds something else, or a damaged repository; nothing was changed")
        .because(error)
    })?;
    let SeawallJson { repository: id, owner, cipher, .. } = record;
    Ok(RegionState::Repository { id, owner, cipher })
}

fn without_repository(level: &Level) -> RegionState {
    let names = level.dirs.iter().map(|dir| format!("{}/", dir.trim_end_matches('/')));
    let names: Vec<String> = names.chain(level.objects.iter().map(|object| object.name.clone())).collect();
    // A file system of its own has this directory from the day it was made.
    let names: Vec<String> = names.into_iter().filter(|name| name != "lost+found/").collect();
    let ours = names.iter().any(|name| name == prefix::OWNER || name == prefix::WRITERS);
    let told = names.iter().take(TOLD_MAX).cloned().collect();
    match (names.is_empty(), ours) {
        (true, _) => RegionState::Empty,
        (false, true) => RegionState::Remains { names: told },
        (false, false) => RegionState::Other { names: told },
    }
}

fn host(key_file: &Path) -> Result<Option<HostFound>> {
    match std::fs::symlink_metadata(key_file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // Every other trouble is told by the reading itself.
        _ => HostKeys::load(key_file)
            .map(|keys| Some(HostFound { repository: keys.repository, cluster: keys.cluster.clone() })),
    }
}

async fn systems(regions: &Regions, cluster: &ClusterName) -> Result<Vec<SystemId>> {
    let mut systems = Vec::new();
    for name in list_names(regions, &prefix::adoptions(cluster)).await? {
        if let Some(system) = adopted(&name)
            && !systems.contains(&system)
        {
            systems.push(system);
        }
    }
    Ok(systems)
}

fn adopted(name: &ObjectName) -> Option<SystemId> {
    match name.named() {
        Named::Adoption(place) => Some(place.system),
        _ => None,
    }
}
