//! A bucket, or a prefix in one, as the place of a repository: what the drivers of clouds lack, added around them.
//!
//! Promises: "no such object" is answered only after the repository's marker was read at the same place *afterwards*, so a bucket
//! that was deleted, or a prefix that is wrong, never looks like an object that is not there; an empty listing likewise. Objects
//! are put whole, created only, with a checksum that the service compares (Google, S3). What a service answers is turned into
//! what it means in one place ([`verdict`]). Nothing is retried here: [`crate::Region`] does, once, with its own bounds.
//! Does not do: copying, renaming, multipart uploads; nothing needs them.

pub mod about;
mod azure;
mod client;
mod gcs;
mod open;
mod s3;
mod secret;
pub(crate) mod verdict;
mod walk;

pub use open::BucketError;
pub(crate) use open::{Opened, SCHEMES, open};

use crate::local::{Expect, MARKER};
use async_trait::async_trait;
use bytes::Bytes;
use client::Crc32c;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyOptions, Extensions, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use std::ops::Range;
use std::sync::Arc;

/// What the drivers do not keep, kept.
#[derive(Debug, Clone)]
pub struct Bucket {
    driver: Arc<dyn ObjectStore>,
    /// The URL, for messages.
    place: Arc<str>,
    storage_class: Option<String>,
    expect: Expect,
    lists: Lists,
}

/// What can be believed of a service's listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// By name, and after a name: what the providers document.
    InOrder,
    /// Nothing: another make that speaks the same protocol.
    SomeHow,
}

/// The bucket answered, and it is no repository.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoRepository {
    /// The marker is positively not there.
    #[error("{place} has no {MARKER}: the bucket is not there, the prefix is another, or it was emptied")]
    MarkerMissing { place: Arc<str> },
    /// A put was told that there is no such place.
    #[error("there is no bucket at {place}; seawall makes none")]
    NoBucket { place: Arc<str> },
}

impl Bucket {
    pub(crate) fn new(
        driver: Arc<dyn ObjectStore>,
        place: &str,
        storage_class: Option<String>,
        expect: Expect,
        lists: Lists,
    ) -> Self {
        Self { driver, place: place.into(), storage_class, expect, lists }
    }

    /// What "not found" means: the truth only where the marker is there still.
    async fn absent(&self, location: &Path, not_found: object_store::Error) -> object_store::Error {
        if self.expect == Expect::Unfounded {
            return not_found;
        }
        let missing = || generic(NoRepository::MarkerMissing { place: Arc::clone(&self.place) });
        if location.as_ref() == MARKER {
            return missing();
        }
        match self.marker().await {
            Ok(()) => not_found,
            Err(object_store::Error::NotFound { .. }) => missing(),
            Err(other) => other,
        }
    }

    async fn marker(&self) -> Result<()> {
        let head = GetOptions { head: true, ..GetOptions::default() };
        self.driver.get_opts(&Path::from(MARKER), head).await.map(drop)
    }

    /// An empty listing is believed only of a repository. While one is being made there is nothing to compare with.
    async fn believe_empty(&self) -> Result<()> {
        if self.expect == Expect::Unfounded {
            return Ok(());
        }
        match self.marker().await {
            Err(object_store::Error::NotFound { .. }) => {
                Err(generic(NoRepository::MarkerMissing { place: Arc::clone(&self.place) }))
            }
            answer => answer,
        }
    }

    /// The listing from `offset` on, whatever the service makes of offsets, with an empty one looked into.
    fn listing(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = match (self.lists, offset) {
            (Lists::SomeHow, _) => walk::walk(Arc::clone(&self.driver), prefix, offset),
            (Lists::InOrder, Some(offset)) => self.driver.list_with_offset(prefix, offset),
            (Lists::InOrder, None) => self.driver.list(prefix),
        };
        let after = offset.cloned();
        let behind = listed.try_filter(move |meta| {
            let is_behind = after.as_ref().is_none_or(|after| meta.location.as_ref() > after.as_ref());
            std::future::ready(is_behind)
        });
        let store = self.clone();
        stream::try_unfold((behind.boxed(), false), move |(mut rest, seen)| {
            let store = store.clone();
            async move {
                match rest.try_next().await? {
                    Some(meta) => Ok(Some((meta, (rest, true)))),
                    None if seen => Ok(None),
                    None => store.believe_empty().await.map(|()| None),
                }
            }
        })
        .boxed()
    }

    fn refused<T>(&self, operation: &str) -> Result<T> {
        Err(object_store::Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: self.to_string(),
        })
    }
}

fn generic(error: NoRepository) -> object_store::Error {
    object_store::Error::Generic { store: "bucket", source: Box::new(error) }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.place)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for Bucket {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if opts.mode != PutMode::Create {
            return self.refused("put in any mode but create, for nothing is ever overwritten");
        }
        let mut extensions = Extensions::new();
        extensions.insert(Crc32c::of(&payload));
        let mut attributes = Attributes::new();
        if let Some(class) = &self.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let opts = PutOptions { mode: PutMode::Create, attributes, extensions, ..opts };
        match self.driver.put_opts(location, payload, opts).await {
            Err(object_store::Error::NotFound { .. }) => {
                Err(generic(NoRepository::NoBucket { place: Arc::clone(&self.place) }))
            }
            answer => answer,
        }
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.refused("multipart upload, for objects are put whole")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.driver.get_opts(location, options).await {
            Err(error @ object_store::Error::NotFound { .. }) => Err(self.absent(location, error).await),
            answer => answer,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match self.driver.get_ranges(location, ranges).await {
            Err(error @ object_store::Error::NotFound { .. }) => Err(self.absent(location, error).await),
            answer => answer,
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete_one = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                let one = stream::iter([Ok(location.clone())]).boxed();
                match store.driver.delete_stream(one).next().await {
                    Some(Err(error @ object_store::Error::NotFound { .. })) => {
                        Err(store.absent(&location, error).await)
                    }
                    Some(answer) => answer,
                    None => Ok(location),
                }
            }
        };
        locations.then(delete_one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let level = self.driver.list_with_delimiter(prefix).await?;
        if level.objects.is_empty() && level.common_prefixes.is_empty() {
            self.believe_empty().await?;
        }
        Ok(level)
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        self.refused("copy")
    }

    async fn rename_opts(&self, _from: &Path, _to: &Path, _options: RenameOptions) -> Result<()> {
        self.refused("rename")
    }
}

#[cfg(test)]
mod tests;
