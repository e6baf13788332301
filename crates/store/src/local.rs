//! Objects as files beneath one directory, kept the way a careful object store would.
//!
//! Promises: `PutMode::Create` is settled by the file system itself and is on disk (content, name and every directory
//! above it up to the root) before `Ok`; a reader sees all of an object or nothing; overwriting, updating, copying and
//! renaming are refused; listing is in the order of names; a missing root, or one without the marker `seawall.json`
//! (a volume that is not mounted), is an error and never an empty store or a "no such object".
//! Does not do: following symbolic links beneath the root, attributes, tags, multipart uploads.
//!
//! Why not `object_store`'s own local driver: it syncs only directories that it made itself (one made by a process that
//! died is left), answers "exists" for an object whose maker has not synced it, does not sync deletions, lists in no
//! order, follows links out of the root, and takes a missing root for an empty one.

mod delete;
mod list;
mod read;
mod root;
mod write;

pub use root::LocalError;

use crate::durable::{MadeDirs, SweptTemps, Temps};
use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use root::Root;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// The object whose presence shows that a root is what it should be and not an empty mount point.
pub const MARKER: &str = "seawall.json";

/// What the driver expects to find at its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// A repository: the marker must be there at every call.
    Repository,
    /// A directory in which a repository is being made: the marker may be missing. For `init` only.
    Unfounded,
}

/// Permission bits of what the driver makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// Of objects.
    pub file: u32,
    /// Of directories.
    pub dir: u32,
}

impl Default for Modes {
    /// Owner writes, group reads.
    fn default() -> Self {
        Self { file: 0o640, dir: 0o750 }
    }
}

/// A directory as an object store.
#[derive(Debug, Clone)]
pub struct DurableLocal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: Root,
    modes: Modes,
    made: MadeDirs,
    world: World,
}

impl DurableLocal {
    /// A store at `root`, an absolute path. Opens nothing yet: whether the root is there is asked at every call.
    #[must_use]
    pub fn new(root: PathBuf, expect: Expect, modes: Modes, world: World) -> Self {
        let root = Root::new(root, expect);
        Self { inner: Arc::new(Inner { root, modes, made: MadeDirs::default(), world }) }
    }

    /// For tests: `watch` sees every step of every put.
    #[must_use]
    pub fn watched(
        root: PathBuf,
        expect: Expect,
        world: World,
        watch: Arc<dyn crate::durable::Watch>,
    ) -> Self {
        let root = Root::new(root, expect).watched(watch);
        let inner = Inner { root, modes: Modes::default(), made: MadeDirs::default(), world };
        Self { inner: Arc::new(inner) }
    }

    /// Removes what processes that died while writing have left behind, in the whole tree.
    pub async fn sweep(&self) -> Result<SweptTemps> {
        self.temps(Temps::Removed).await
    }

    /// Looks for what processes that died while writing have left behind, in the whole tree.
    pub(crate) async fn temps(&self, fate: Temps) -> Result<SweptTemps> {
        self.blocking(move |inner| inner.root.open()?.temps(fate).map_err(LocalError::from)).await
    }

    /// Runs file system work where it may block: on tokio's blocking threads, or right here without a runtime (the
    /// deterministic scheduler). Work once begun is finished even if the caller stops waiting.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, LocalError> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        let done = match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(move || work(&inner)).await?,
            Err(_) => work(&inner),
        };
        done.map_err(object_store::Error::from)
    }

    fn refused<T>(&self, operation: &str) -> Result<T> {
        Err(object_store::Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: self.to_string(),
        })
    }
}

impl std::fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableLocal({})", self.inner.root.path().display())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if opts.mode != object_store::PutMode::Create {
            return self.refused("put in any mode but create, for nothing is ever overwritten");
        }
        if !opts.attributes.is_empty() {
            return self.refused("put with attributes");
        }
        let location = location.clone();
        self.blocking(move |inner| write::create(inner, &location, &payload)).await
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.refused("multipart upload, for objects are put whole")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        read::get(self, location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (location, ranges) = (location.clone(), ranges.to_vec());
        self.blocking(move |inner| read::ranges(inner, &location, &ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete_one = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                let name = location.clone();
                store.blocking(move |inner| delete::delete(inner, &name)).await?;
                Ok(location)
            }
        };
        locations.then(delete_one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list::list(self, prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        list::list(self, prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        self.blocking(move |inner| list::level(inner, prefix.as_ref())).boxed().await
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
