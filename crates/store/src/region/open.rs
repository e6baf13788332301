//! Opening a region from its URL.
//!
//! Promises: what is not supported is refused with the words to put it right; opening asks nothing of the region yet.
//! Does not do: building drivers.

use super::{Region, RegionConfig};
use crate::bucket::{self, BucketError, Opened};
use crate::durable::{self, DurableError};
use crate::local::{DurableLocal, Expect, Modes};
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
    #[error(
        "{scheme}:// is no kind of place that seawall knows; gs://bucket/prefix, s3://bucket/prefix, az://container/prefix and file:///absolute/path are"
    )]
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
    /// A bucket that cannot be used as it was given.
    #[error("region {region} cannot be used")]
    Bucket {
        /// The region.
        region: super::RegionName,
        /// Why.
        source: BucketError,
    },
    /// Options where a directory has none.
    #[error("region {region} is a directory and has no {}", .options.join(", "))]
    NoOptions {
        /// The region.
        region: super::RegionName,
        /// Which were given.
        options: Vec<&'static str>,
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
        Self::at(config, Expect::Repository, world)
    }

    /// Opens a region in which a repository is to be made: a root directory is made if it is missing (a bucket is not), and
    /// the marker is not asked for. For `init` only.
    pub fn found(config: RegionConfig, world: &World) -> Result<Self, OpenError> {
        Self::at(config, Expect::Unfounded, world)
    }

    fn at(config: RegionConfig, expect: Expect, world: &World) -> Result<Self, OpenError> {
        let url = parse(&config.url)?;
        if bucket::SCHEMES.contains(&url.scheme()) {
            let opened = bucket::open(&url, &config.access, expect, world);
            let Opened { bucket, service } =
                opened.map_err(|source| OpenError::Bucket { region: config.name.clone(), source })?;
            let region = Self::with_store(config, Arc::new(bucket), world);
            return Ok(Self { service: Some(service), ..region });
        }
        let root = local_root(&config.url)?;
        let options = config.access.beyond(&[]);
        if !options.is_empty() {
            return Err(OpenError::NoOptions { region: config.name, options });
        }
        if expect == Expect::Unfounded {
            durable::ensure_dir(&root, Modes::default().dir)
                .map_err(|source| OpenError::Make { region: config.name.clone(), source })?;
        }
        Ok(Self::local(config, root, expect, world))
    }

    fn local(config: RegionConfig, root: PathBuf, expect: Expect, world: &World) -> Self {
        let local = DurableLocal::new(root, expect, Modes::default(), world.clone());
        let store = Arc::new(local.clone());
        let region = Self::with_store(config, store, world);
        Self { local: Some(local), ..region }
    }
}

fn parse(given: &str) -> Result<Url, OpenError> {
    Url::parse(given).map_err(|source| OpenError::NotAUrl { url: given.to_owned(), source })
}

fn local_root(given: &str) -> Result<PathBuf, OpenError> {
    let url = parse(given)?;
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
            said("ftp://host/pg"),
            "ftp:// is no kind of place that seawall knows; gs://bucket/prefix, s3://bucket/prefix, az://container/prefix and file:///absolute/path are"
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
