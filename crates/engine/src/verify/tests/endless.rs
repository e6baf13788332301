//! A store with more WAL than memory holds: its names are made up while they are listed, and everything that is asked of it is counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use seawall_pg::{SegmentName, SegmentNo, Timeline, WalSegmentSize};

/// Names that a cloud's listing gives at once.
const NAMES_A_PAGE: u64 = 1000;

/// The store.
#[derive(Debug)]
pub(super) struct Endless {
    pub(super) real: Arc<dyn ObjectStore>,
    /// Where WAL lies.
    pub(super) wal: String,
    pub(super) size: WalSegmentSize,
    /// How many segments there are, from number 2 on.
    pub(super) segments: u64,
    /// When the first of them was stored, and how long after it the last; seconds.
    pub(super) stored: (u64, u64),
    pub(super) gets: AtomicU64,
    pub(super) names: AtomicU64,
    pub(super) listings: AtomicU64,
}

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endless")
    }
}

impl Endless {
    /// The names of WAL, in order, as they are asked for.
    fn made_up(&self, real: Vec<ObjectMeta>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (size, wal, segments) = (self.size, self.wal.clone(), self.segments);
        let (first, span) = self.stored;
        let (before, after): (Vec<_>, Vec<_>) =
            real.into_iter().partition(|meta| meta.location.as_ref() < wal.as_str());
        let made_up = (0..segments).map(move |nth| {
            let name = SegmentName::new(Timeline::FIRST, SegmentNo(2 + nth), size).unwrap();
            let location = Path::from(format!("{wal}00000001/{}/{name}", name.folder()));
            let stored = SystemTime::UNIX_EPOCH + Duration::from_secs(first + nth * span / segments);
            ObjectMeta { location, size: 70_000, last_modified: stored.into(), e_tag: None, version: None }
        });
        let all = before.into_iter().chain(made_up).chain(after);
        stream::iter(all.map(Ok)).boxed()
    }

    /// Reads, and pages of names, since this was asked last.
    pub(super) fn asked(&self) -> (u64, u64) {
        let names = self.names.swap(0, Ordering::Relaxed).div_ceil(NAMES_A_PAGE);
        (self.gets.swap(0, Ordering::Relaxed), names + self.listings.swap(0, Ordering::Relaxed))
    }
}

#[async_trait::async_trait]
impl ObjectStore for Endless {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.real.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.real.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.real.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.real.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let real: Vec<_> =
            futures::executor::block_on(self.real.list(prefix).map(|meta| meta.unwrap()).collect());
        self.names.fetch_add(real.len() as u64, Ordering::Relaxed);
        self.listings.fetch_add(1, Ordering::Relaxed);
        if !prefix.is_none_or(|prefix| self.wal.starts_with(prefix.as_ref())) {
            return stream::iter(real.into_iter().map(Ok)).boxed();
        }
        self.names.fetch_add(self.segments, Ordering::Relaxed);
        self.made_up(real)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        self.real.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.real.copy_opts(from, to, options).await
    }
}
