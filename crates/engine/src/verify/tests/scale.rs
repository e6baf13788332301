//! Ten thousand backups and two million WAL objects: what `verify --quick`, `list`, `list --cost`, `status`, `wal status` and `prune --dry-run` ask for, and how much
//! memory they take.
//!
//! Backups are real and small, an hour apart; WAL is names that the store makes up while it lists. Deliberately one store for both
//! regions, and no word about time but what is printed: it belongs to the machine.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use seawall_repo::condemned::PolicyRecord;
use seawall_repo::layout::Named;
use seawall_store::faulty::FaultyStore;
use seawall_store::{ObjectStore, World};

use super::endless::Endless;
use super::ground::{As, Ground, options};
use crate::monitor::Silent;
use crate::prune::{PruneOptions, RetentionRules, prune};
use crate::retention::{Policy, Span};
use crate::status::StatusOptions;
use crate::verify::Depth;
use crate::wal_status::{WalStatusOptions, wal_status};

struct Scale {
    ground: Ground,
    endless: Arc<Endless>,
    backups: u64,
    segments: u64,
}

/// What something took.
struct Took {
    reads: u64,
    pages: u64,
    mebibytes: u64,
}

fn rules() -> RetentionRules {
    let policy = Policy {
        hourly: 48,
        daily: 30,
        weekly: 12,
        monthly: 12,
        pitr: Some(Span::days(30)),
        ..Policy::default()
    };
    RetentionRules { policy, shrink_delay: Span::days(7), grace: Span::hours(24) }
}

impl Scale {
    async fn new(backups: u64, segments: u64) -> Self {
        let mut ground = Ground::with_time(1).await;
        let first = crate::backup::now(&ground.bench.world).unwrap().seconds();
        record(&ground, &rules().policy).await;
        for number in 0..backups {
            // Each changes one of three files, so that packs and maps of the backups before are named.
            let stamp = |file: u64| (number + 3 - (number + file) % 3).to_le_bytes().to_vec();
            let files: [(&'static [u8], Vec<u8>); 3] =
                [(b"PG_VERSION", stamp(0)), (b"base/5/1", stamp(1)), (b"base/5/2", stamp(2))];
            ground.backup(2 + number * (segments / backups), &files).await;
            ground.bench.world.clock.sleep_blocking(Duration::from_secs(3600));
        }
        let endless = Arc::new(Endless {
            real: Arc::new(ground.bench.memories[0].clone()),
            wal: ground.bench.place().wal(),
            size: ground.bench.size,
            segments,
            stored: (first, backups * 3600),
            gets: AtomicU64::new(0),
            names: AtomicU64::new(0),
            listings: AtomicU64::new(0),
        });
        let store = || FaultyStore::new(Arc::clone(&endless) as Arc<dyn ObjectStore>, &ground.bench.world);
        ground.bench.stores = vec![store(), store()];
        Self { ground, endless, backups, segments }
    }

    /// Does something; what it took.
    async fn took(&self, what: &str, work: impl AsyncFnOnce(&Ground)) -> Took {
        self.endless.asked();
        forget_peak();
        let (before, clock) = (memory("VmRSS:"), World::system().clock);
        let began = clock.monotonic();
        work(&self.ground).await;
        let took = clock.monotonic().saturating_sub(began);
        let (reads, pages) = self.endless.asked();
        let mebibytes = memory("VmHWM:").saturating_sub(before) >> 10;
        println!(
            "{what}, {} backups, {} segments: {reads} reads, {pages} pages of names, {mebibytes} MiB more, {took:?}",
            self.backups, self.segments
        );
        Took { reads, pages, mebibytes }
    }

    async fn verify(&self) -> Took {
        let took = self.took("verify --quick", async |ground| {
            let report = ground.verify(As::Host, &options(Depth::Quick)).await;
            assert!(!report.has_findings(), "{:?}", &report.findings[..report.findings.len().min(3)]);
            let wal = report.regions[0].kinds.iter().find(|kind| kind.kind.word() == "WAL").unwrap();
            assert_eq!((wal.objects, wal.read), (self.segments, 0));
        });
        let took = took.await;
        // In each of two regions a manifest and a map's head; a few records. Each name is listed once, manifests once more, and four
        // folders of heal copies.
        assert!(took.reads <= 2 * 2 * self.backups + 100, "{} reads", took.reads);
        assert!(took.pages <= self.pages(4 * self.backups + self.segments) + 2 * 4, "{} pages", took.pages);
        took
    }

    async fn list(&self) -> Took {
        let took = self.took("list", async |ground| {
            let host = ground.bench.as_host("db1").await.unwrap();
            let report = crate::list::list(&host, None).await.unwrap();
            assert_eq!((report.backups.len() as u64, report.has_findings()), (self.backups, false));
        });
        let took = took.await;
        // A head each, from one region.
        assert!(took.reads <= self.backups + 50, "{} reads", took.reads);
        assert!(took.pages <= self.pages(self.backups), "{} pages", took.pages);
        took
    }

    async fn status(&self) -> Took {
        let took = self.took("status", async |ground| {
            let host = ground.bench.as_host("db1").await.unwrap();
            let report = crate::status::status(&host, &StatusOptions::default()).await.unwrap();
            assert_eq!(report.windows.len(), 1, "{:?}", report.findings);
        });
        let took = took.await;
        assert!(took.reads <= self.backups + 50, "{} reads", took.reads);
        assert!(took.pages <= self.pages(self.backups + self.segments), "{} pages", took.pages);
        took
    }

    async fn wal_status(&self) -> Took {
        let took = self.took("wal status", async |ground| {
            let host = ground.bench.as_host("db1").await.unwrap();
            let report = wal_status(&host, &WalStatusOptions::default()).await.unwrap();
            let system = &report.systems[0];
            assert_eq!((system.together().count(), system.holes.len()), (1, 0), "{:?}", report.findings);
            assert_eq!(system.timelines[0].segments, self.segments);
        });
        let took = took.await;
        // A head of each backup, the last segments of the window, and both copies of the newest names, which are compared.
        assert!(took.reads <= self.backups + 60 + 2 * 64, "{} reads", took.reads);
        // These made-up segments do not open, so heal copies are looked for.
        let pages = self.pages(self.backups + self.segments) + 2 * 64;
        assert!(took.pages <= pages, "{} pages", took.pages);
        took
    }

    async fn prune(&self) -> Took {
        let took = self.took("prune --dry-run", async |ground| {
            let host = ground.bench.as_host("pruner").await.unwrap();
            let options = PruneOptions { dry_run: true, at: None };
            let report = prune(&host, &rules(), options, Arc::new(Silent)).await.unwrap();
            let kept = report.kept() as u64;
            assert!(kept > 20 && kept <= self.backups, "{kept} are kept");
            let condemned = report.condemned.wal.objects;
            assert!(condemned < self.segments, "{condemned} segments are condemned");
        });
        let took = took.await;
        // A head each, the bodies of those that are kept, a few records.
        assert!(took.reads <= 2 * self.backups + 100, "{} reads", took.reads);
        assert!(took.pages <= self.pages(3 * self.backups + self.segments), "{} pages", took.pages);
        took
    }

    async fn cost(&self) -> Took {
        let took = self.took("list --cost", async |ground| {
            let host = ground.bench.as_host("pruner").await.unwrap();
            let report = crate::prune::cost(&host, &rules()).await.unwrap();
            let packs: u64 = report.by_reason.iter().map(|row| row.amount.objects).sum();
            assert!(packs >= self.backups, "{packs} packs");
        });
        let took = took.await;
        // A head and a body each, a few records.
        assert!(took.reads <= 2 * self.backups + 100, "{} reads", took.reads);
        assert!(took.pages <= self.pages(3 * self.backups + self.segments), "{} pages", took.pages);
        took
    }

    /// Pages of so many names in two regions, with the last of each listing.
    fn pages(&self, names: u64) -> u64 {
        2 * names / 1000 + 60
    }
}

/// Puts a policy in force, so that gaps in WAL are judged by it.
async fn record(ground: &Ground, policy: &Policy) {
    let pruner = ground.bench.as_host("pruner").await.unwrap();
    let mut rules = serde_json::to_value(policy).unwrap();
    rules["shrink_delay"] = 0.into();
    let cluster = ground.bench.place().cluster;
    let record = PolicyRecord {
        cluster: cluster.clone(),
        number: 1,
        rules: rules.as_object().unwrap().clone(),
        holds: Vec::new(),
        written: crate::backup::now(&ground.bench.world).unwrap(),
        host: "pruner".to_owned(),
    };
    let name = Named::Policy { cluster, number: 1 }.to_name();
    pruner.put_record(&pruner.regions().set(), &name, &record).await.unwrap();
}

/// The kernel begins to count the most memory of this process anew.
fn forget_peak() {
    std::fs::OpenOptions::new()
        .write(true)
        .open("/proc/self/clear_refs")
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"5"))
        .unwrap();
}

/// Memory of this process in KiB: what it has, or had at most.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    found.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn requests_follow_backups_and_pages_of_names() {
    let scale = Scale::new(60, 100_000).await;
    scale.verify().await;
    scale.list().await;
    scale.status().await;
    scale.wal_status().await;
    scale.prune().await;
    scale.cost().await;
}

#[tokio::test]
#[ignore = "minutes in a debug build: make test-deep runs it"]
async fn ten_thousand_backups_and_two_million_segments_take_bounded_memory() {
    let scale = Scale::new(10_000, 2_000_000).await;
    for took in [
        scale.verify().await,
        scale.list().await,
        scale.status().await,
        scale.wal_status().await,
        scale.prune().await,
        scale.cost().await,
    ] {
        assert!(took.mebibytes < 128, "{} MiB", took.mebibytes);
    }
}
