//! From settings to regions, and from a store's answers to the engine's errors.

use seawall_store::{
    Bandwidth, ErrorKind, Limits, NotServed, OpenError, Region, RegionConfig, RegionName, Regions, Role,
    StoreError, World,
};

use super::settings::{RegionSettings, RepositorySettings};
use crate::error::{Error, Kind, Result};

/// Whether the regions are expected to hold a repository, or one is about to be made there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expecting {
    /// They hold one; a missing root directory is an outage.
    Repository,
    /// `init` makes one.
    Nothing,
}

/// Opens every region of the settings. Nothing is asked of them yet.
///
/// # Errors
/// A name or URL that cannot be, two regions in one place, no region at all.
pub fn open_regions(
    settings: &RepositorySettings,
    expecting: Expecting,
    bandwidth: Option<&Bandwidth>,
    world: &World,
) -> Result<Regions> {
    let regions = settings
        .regions
        .iter()
        .map(|region| open_region(region, expecting, bandwidth, world))
        .collect::<Result<Vec<_>>>()?;
    Regions::new(regions, world).map_err(|error| {
        Error::usage("settings.regions", error.to_string())
            .hint("give each region a name and a place of its own: --region NAME=file:///directory")
    })
}

fn open_region(
    settings: &RegionSettings,
    expecting: Expecting,
    bandwidth: Option<&Bandwidth>,
    world: &World,
) -> Result<Region> {
    let name = RegionName::new(&settings.name).ok_or_else(|| {
        Error::usage("settings.region-name", format!("{:?} cannot be the name of a region", settings.name))
            .hint("use letters, digits and hyphens, such as europe-west1")
    })?;
    let limits = Limits { bandwidth: bandwidth.cloned(), ..Limits::default() };
    let (url, access) = (settings.url.clone(), settings.access.clone());
    let config = RegionConfig { name, url, access, role: Role::Copy, limits };
    let opened = match expecting {
        Expecting::Repository => Region::open(config, world),
        Expecting::Nothing => Region::found(config, world),
    };
    opened.map_err(|error| open_error(settings, error))
}

fn open_error(settings: &RegionSettings, error: OpenError) -> Error {
    let kind = if matches!(error, OpenError::Make { .. }) { Kind::Unavailable } else { Kind::Usage };
    Error::new(kind, "settings.region-url", format!("region {} cannot be opened", settings.name))
        .fact("url", &settings.url)
        .because(error)
}

/// What a store's answer means for an operation that needed `what`.
#[must_use]
pub fn store_error(what: &str, error: &StoreError) -> Error {
    let (kind, id) = match error.kind() {
        ErrorKind::NotFound => (Kind::Data, "repository.object-missing"),
        ErrorKind::Damaged | ErrorKind::TooLarge => (Kind::Data, "repository.object-damaged"),
        ErrorKind::Unavailable | ErrorKind::Full => (Kind::Unavailable, "repository.region-unavailable"),
        ErrorKind::Denied => (Kind::Usage, "repository.region-denied"),
        _ => (Kind::Unavailable, "repository.region-refused"),
    };
    Error::new(kind, id, format!("{what}: {}", error.chain())).fact("region", error.region())
}

/// What it means that no region could serve an object that an operation needed.
#[must_use]
pub(super) fn not_served(error: &NotServed) -> Error {
    let described = if error.is_absent_everywhere() {
        Error::data("repository.object-missing", format!("{} is in no region", error.name))
    } else if error.may_pass() {
        Error::unavailable("repository.region-unavailable", format!("{} cannot be read now", error.name))
            .hint("a region that may hold it cannot be reached; try again when it is back")
    } else {
        Error::data(
            "repository.object-damaged",
            format!("{} is damaged or missing in every region", error.name),
        )
    };
    error.faults.iter().fold(described, |described, fault| described.fact("region", fault))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::repository::{Acknowledge, Levels};

    fn settings(regions: &[(&str, &std::path::Path)]) -> RepositorySettings {
        let region = |(name, path): &(&str, &std::path::Path)| {
            RegionSettings::new(*name, format!("file://{}", path.display()))
        };
        RepositorySettings {
            regions: regions.iter().map(region).collect(),
            id: None,
            owner: None,
            acknowledge: Acknowledge::All,
            levels: Levels::DEFAULT,
        }
    }

    #[test]
    fn a_limit_holds_for_reads_from_all_regions_together() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for place in [&one, &two] {
            std::fs::write(place.path().join("seawall.json"), vec![b'x'; 3000]).unwrap();
        }
        let world = World::seeded(1);
        let limit = Bandwidth::new(1000, 0, &world);
        let settings = settings(&[("one", one.path()), ("two", two.path())]);
        let regions = open_regions(&settings, Expecting::Repository, Some(&limit), &world).unwrap();
        for region in regions.iter() {
            let read = futures::executor::block_on(region.get("seawall.json", 4096)).unwrap();
            assert_eq!(read.len(), 3000);
        }
        assert_eq!(world.clock.monotonic(), Duration::from_secs(6));
    }
}
