//! A quick verification of ten thousand backups and two million WAL objects: requests counted, memory bounded.
//!
//! Backups are real and small; WAL is names that the store makes up while it lists. Deliberately one store for both regions: what is
//! counted is what verifying asks for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use seawall_pg::{SegmentName, SegmentNo, Timeline, WalSegmentSize};
use seawall_store::faulty::FaultyStore;

use super::ground::{As, Ground, options};
use crate::verify::Depth;

/// Names that a cloud's listing gives at once.
const NAMES_A_PAGE: u64 = 1000;

#[derive(Debug)]
struct Endless {
    real: Arc<dyn ObjectStore>,
    wal: String,
    size: WalSegmentSize,
    segments: u64,
    gets: AtomicU64,
    names: AtomicU64,
}

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endless")
    }
}

impl Endless {
    /// The names of WAL, in order, as they are asked for.
    fn made_up(&self, real: Vec<ObjectMeta>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (size, wal, like) = (self.size, self.wal.clone(), real[0].clone());
        let (before, after): (Vec<_>, Vec<_>) =
            real.into_iter().partition(|meta| meta.location.as_ref() < wal.as_str());
        let segments = (2..2 + self.segments).map(move |number| {
            let name = SegmentName::new(Timeline::FIRST, SegmentNo(number), size).unwrap();
            let location = Path::from(format!("{wal}00000001/{}/{name}", name.folder()));
            ObjectMeta { location, size: 70_000, ..like.clone() }
        });
        let all = before.into_iter().chain(segments).chain(after);
        stream::iter(all.map(Ok)).boxed()
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
        let whole = prefix.is_some_and(|prefix| prefix.as_ref() == "orders");
        if !whole {
            return stream::iter(real.into_iter().map(Ok)).boxed();
        }
        self.names.fetch_add(self.segments, Ordering::Relaxed);
        self.made_up(real)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.real.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.real.copy_opts(from, to, options).await
    }
}

/// The most memory this process ever had.
fn peak_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
}

/// Verifies so much; memory that it took, in MiB.
async fn quick(backups: u64, segments: u64) -> u64 {
    let mut ground = Ground::new(1).await;
    for number in 0..backups {
        // Each changes one of three files, so that packs and maps of the backups before are named.
        let stamp = |file: u64| (number + 3 - (number + file) % 3).to_le_bytes().to_vec();
        ground
            .backup(
                2 + number,
                &[(b"PG_VERSION", stamp(0)), (b"base/5/1", stamp(1)), (b"base/5/2", stamp(2))],
            )
            .await;
    }
    let real = ground.bench.stores[0].clone();
    let endless = Arc::new(Endless {
        real: Arc::new(real),
        wal: ground.bench.place().wal(),
        size: ground.bench.size,
        segments,
        gets: AtomicU64::new(0),
        names: AtomicU64::new(0),
    });
    let store = || FaultyStore::new(Arc::clone(&endless) as Arc<dyn ObjectStore>, &ground.bench.world);
    ground.bench.stores = vec![store(), store()];
    let before = peak_mebibytes();
    let began = ground.bench.world.clock.monotonic();
    let report = ground.verify(As::Host, &options(Depth::Quick)).await;
    let took = ground.bench.world.clock.monotonic() - began;
    let memory = peak_mebibytes().saturating_sub(before);
    assert!(!report.has_findings(), "{:?}", &report.findings[..report.findings.len().min(3)]);
    let wal = report.regions[0].kinds.iter().find(|kind| kind.kind.word() == "WAL").unwrap();
    assert_eq!((wal.objects, wal.read), (segments, 0));
    let (gets, pages) =
        (endless.gets.load(Ordering::Relaxed), endless.names.load(Ordering::Relaxed) / NAMES_A_PAGE);
    println!(
        "{backups} backups, {segments} segments: {gets} reads, {pages} pages of names, {memory} MiB more, {took:?}"
    );
    // In each of two regions a manifest and a map's head; a few records. Each name is listed once, manifests once more.
    assert!(gets <= 2 * 2 * backups + 100, "{gets} reads");
    assert!(pages <= 2 * (4 * backups + segments) / NAMES_A_PAGE + 10, "{pages} pages");
    memory
}

#[tokio::test]
async fn requests_follow_backups_and_pages_of_names() {
    quick(60, 100_000).await;
}

#[tokio::test]
#[ignore = "minutes in a debug build: make test-deep runs it"]
async fn ten_thousand_backups_and_two_million_segments_are_verified_in_bounded_memory() {
    let memory = quick(10_000, 2_000_000).await;
    assert!(memory < 128, "{memory} MiB");
}
