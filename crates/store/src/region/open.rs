//! Opening a region from its URL.
//!
//! Promises: what is not supported is refused with the words to put it right; opening asks nothing of the region yet.
//! Does not do: credentials; directories need none.

use super::health::Health;
use super::{Region, RegionConfig};
use crate::durable::{self, DurableError};
use crate::local::{DurableLocal, Expect, Modes};
use crate::meter::Meter;
use crate::world::World;
use std::path::PathBuf;
use std::sync::Arc;
use url::Url;

/// Why a region cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a URL at all.
    #[error("{url:?} is not a URL; a directory is written as file:///srv/backup")]
    NotAUrl {
        /// As given.
        url: String,
        /// What the parser says.
        source: url::ParseError,
    },
    /// A kind of place that this release cannot use.
    #[error("{scheme}:// is not supported in this release; supported: file:///absolute/path")]
    UnsupportedScheme {
        /// The URL's scheme.
        scheme: String,
    },
    /// A file URL that names no absolute local directory.
    #[error("{url:?} names no local directory; write file:///absolute/path with three slashes")]
    NotLocal {
        /// As given.
        url: String,
    },
    /// The root directory could not be made.
    #[error("the directory for region {region} could not be made")]
    Make {
        /// The region.
        region: super::RegionName,
        /// The file system's answer.
        source: DurableError,
    },
}

impl Region {
    /// Opens a region that holds a repository already: without the marker `seawall.json` at its root every call
    /// answers "unavailable".
    pub fn open(config: RegionConfig, world: &World) -> Result<Self, OpenError> {
        let root = local_root(&config.url)?;
        Ok(Self::local(config, root, Expect::Repository, world))
    }

    /// Opens a region in which a repository is to be made: the root directory is made if it is missing, and the
    /// marker is not asked for. For `init` only.
    pub fn found(config: RegionConfig, world: &World) -> Result<Self, OpenError> {
        let root = local_root(&config.url)?;
        durable::ensure_dir(&root, Modes::default().dir)
            .map_err(|source| OpenError::Make { region: config.name.clone(), source })?;
        Ok(Self::local(config, root, Expect::Unfounded, world))
    }

    fn local(config: RegionConfig, root: PathBuf, expect: Expect, world: &World) -> Self {
        let local = DurableLocal::new(root, expect, Modes::default(), world.clone());
        let health = Health::new(&config.limits);
        let store = Arc::new(local.clone());
        Self { config, store, local: Some(local), health, meter: Meter::default(), world: world.clone() }
    }
}

fn local_root(given: &str) -> Result<PathBuf, OpenError> {
    let url = Url::parse(given).map_err(|source| OpenError::NotAUrl { url: given.to_owned(), source })?;
    if url.scheme() != "file" {
        return Err(OpenError::UnsupportedScheme { scheme: url.scheme().to_owned() });
    }
    let not_local = || OpenError::NotLocal { url: given.to_owned() };
    if url.query().is_some() || url.fragment().is_some() {
        return Err(not_local());
    }
    let path = url.to_file_path().map_err(|()| not_local())?;
    if path.parent().is_none() { Err(not_local()) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_urls_become_paths() {
        assert_eq!(local_root("file:///srv/back%20up").unwrap(), PathBuf::from("/srv/back up"));
        assert_eq!(local_root("file://localhost/srv").unwrap(), PathBuf::from("/srv"));
    }

    #[test]
    fn other_places_are_refused_in_words_that_help() {
        let said = |url| local_root(url).unwrap_err().to_string();
        assert_eq!(
            said("gs://bucket/pg"),
            "gs:// is not supported in this release; supported: file:///absolute/path"
        );
        assert_eq!(
            said("/srv/backup"),
            "\"/srv/backup\" is not a URL; a directory is written as file:///srv/backup"
        );
        assert!(said("file://srv/backup").contains("three slashes"));
        assert!(said("file:///").contains("names no local directory"));
        assert!(said("file:///srv?x=1").contains("names no local directory"));
    }
}
