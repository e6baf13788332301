//! Places that become regions, come back, or leave: on directories where places count, in memory where names do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, SystemTime};

use object_store::ObjectStoreExt as _;
use seawall_repo::layout::{Named, ObjectName};
use seawall_store::faulty::{CallKind, Fault, Rule};
use seawall_store::{RegionName, World};

use super::*;
use crate::archive::testing::{Bench, ClockApart};
use crate::error::Result;
use crate::monitor::Silent;
use crate::repository::{Acknowledge, Levels, RegionSettings, Repository, RepositorySettings, Secrets};
use crate::sync::{Heal, SyncOptions, sync};

fn name(region: &str) -> RegionName {
    RegionName::new(region).unwrap()
}

/// A repository with WAL in one directory, and room for others beside it.
struct Places {
    bench: Bench,
    home: tempfile::TempDir,
}

impl Places {
    async fn new() -> Self {
        let mut bench = Bench::with(1, 1).await;
        bench.acknowledge = Acknowledge::AtLeast(1);
        for number in 1..=4 {
            bench.pushed(number, 9).await;
        }
        let places = Self { bench, home: tempfile::tempdir().unwrap() };
        places.copy_to("north").await;
        places
    }

    fn path(&self, place: &str) -> PathBuf {
        self.home.path().join(place)
    }

    /// What is in memory, as a directory.
    async fn copy_to(&self, place: &str) {
        let regions = self.bench.regions();
        let region = regions.find("north").unwrap();
        for info in region.list_collect("").await.unwrap() {
            let path = self.path(place).join(&info.name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, region.get(&info.name, 1 << 30).await.unwrap()).unwrap();
        }
    }

    /// Settings of these regions, each a name and a directory.
    fn settings(&self, regions: &[(&str, &str)]) -> RepositorySettings {
        let region = |(name, place): &(&str, &str)| {
            RegionSettings::new(*name, format!("file://{}", self.path(place).display()))
        };
        RepositorySettings {
            regions: regions.iter().map(region).collect(),
            id: None,
            owner: None,
            acknowledge: Acknowledge::AtLeast(1),
            levels: Levels::DEFAULT,
        }
    }

    fn secrets(&self) -> Secrets {
        Secrets::Host(self.bench.key_file("db1"))
    }

    async fn join(&self, regions: &[(&str, &str)], dry_run: bool) -> Result<JoinReport> {
        self.join_ago(regions, dry_run, 0).await
    }

    /// By a host whose clock is so many days behind.
    async fn join_ago(&self, regions: &[(&str, &str)], dry_run: bool, days: i64) -> Result<JoinReport> {
        let options = JoinOptions { region: name("south"), joining: Joining::Rejoin, dry_run };
        let (settings, secrets, cluster) =
            (self.settings(regions), self.secrets(), "orders".parse().unwrap());
        let system = World::system();
        let micros = Arc::new(AtomicI64::new(-days * 86_400_000_000));
        let clock = ClockApart { clock: Arc::clone(&system.clock), micros };
        let world = World { clock: Arc::new(clock), ..system };
        join(&settings, &cluster, &secrets, None, &world, (&options, Arc::new(Silent))).await
    }

    async fn open(&self, regions: &[(&str, &str)]) -> Repository {
        let (settings, cluster) = (self.settings(regions), "orders".parse().unwrap());
        Repository::open(&settings, &cluster, &self.secrets(), None, &World::system()).await.unwrap()
    }

    /// Everything beneath a directory, without events: each run adds one.
    fn content(&self, place: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let root = self.path(place);
        walk(&root, &mut |path| {
            if !path.to_string_lossy().contains("/event/") {
                all.insert(path.strip_prefix(&root).unwrap().to_owned(), std::fs::read(path).unwrap());
            }
        });
        all
    }

    /// Everything there now was stored so many days ago.
    fn age(&self, place: &str, days: u64) {
        let then = SystemTime::now() - Duration::from_secs(days * 86_400);
        walk(&self.path(place), &mut |path| {
            std::fs::File::options().append(true).open(path).unwrap().set_modified(then).unwrap();
        });
    }
}

fn walk(directory: &Path, take: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, take) } else { take(&path) }
    }
}

const BOTH: [(&str, &str); 2] = [("north", "north"), ("south", "south")];

#[tokio::test]
async fn an_empty_place_becomes_a_region_that_holds_what_the_others_hold() {
    let places = Places::new().await;
    let planned = places.join(&BOTH, true).await.unwrap();
    assert_eq!((planned.found, planned.sync.is_none()), (PlaceState::Empty, true));
    let objects = places.content("north").len() as u64;
    assert!(planned.objects == objects && planned.bytes > 1000, "{planned:?}");
    assert!(!places.path("south").exists(), "a look makes nothing");
    let done = places.join(&BOTH, false).await.unwrap();
    assert!(done.found == PlaceState::Empty && !done.has_findings(), "{done:?}");
    assert_eq!(places.content("south"), places.content("north"));
    let again = places.join(&BOTH, false).await.unwrap();
    assert_eq!((again.found, again.sync.unwrap().regions[0].total().lacking), (PlaceState::Region, 0));
    // Interrupted behind the marker, it goes on.
    std::fs::create_dir_all(places.path("west")).unwrap();
    std::fs::copy(places.path("north/seawall.json"), places.path("west/seawall.json")).unwrap();
    let done = places.join(&[("north", "north"), ("south", "west")], false).await.unwrap();
    assert!(done.found == PlaceState::Region && !done.has_findings(), "{done:?}");
    assert_eq!(places.content("west"), places.content("north"));
}

#[tokio::test]
async fn a_place_that_holds_something_else_is_left_as_it_is() {
    let places = Places::new().await;
    let other = Places::new().await;
    let marker = std::fs::read(other.path("north/seawall.json")).unwrap();
    for (file, bytes, id) in [
        ("holiday.jpg", &b"a beach"[..], "region.not-empty"),
        ("writer/x.json", b"{}", "region.not-empty"),
        ("seawall.json", &marker, "repository.other-repository"),
    ] {
        let path = places.path("south").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        for dry_run in [true, false] {
            assert_eq!(places.join(&BOTH, dry_run).await.unwrap_err().id(), id, "{file}");
        }
        assert_eq!(places.content("south").len(), 1, "{file}");
        std::fs::remove_dir_all(places.path("south")).unwrap();
    }
    for (regions, id) in [(&BOTH[..1], "settings.unknown-region"), (&BOTH[1..], "region.the-only-one")] {
        assert_eq!(places.join(regions, false).await.unwrap_err().id(), id);
    }
}

/// A region that is back after a hundred days still has what was pruned meanwhile, and no tombstone says so any more.
#[tokio::test]
async fn what_was_pruned_while_a_region_was_away_does_not_come_back_from_it() {
    let places = Places::new().await;
    places.join(&BOTH, false).await.unwrap();
    places.age("south", 101);
    let place = places.bench.place();
    let north = [("north", "north")];
    let alone = places.open(&north).await;
    // Something happened when it had just gone away.
    crate::events::tell(&alone, &alone.regions().set(), &place, "prune", &1).await.unwrap();
    places.age("north", 100);
    let gone = places.bench.object("000000010000000000000001");
    std::fs::remove_file(places.path("north").join(gone.as_str())).unwrap();
    let before = places.content("south");
    for dry_run in [true, false] {
        let refused = places.join(&BOTH, dry_run).await.unwrap_err();
        assert_eq!(refused.id(), "region.away-too-long");
        let told = format!("{refused:?}");
        assert!(told.contains("objects that no other region has\", \"1\""), "{told}");
    }
    let both = places.open(&BOTH).await;
    let refused = sync(&both, &SyncOptions::default(), Arc::new(Silent)).await.unwrap_err();
    assert_eq!(refused.id(), "sync.away-too-long");
    assert_eq!(places.content("south"), before, "nothing is taken out of the old place");
    // An empty place, and nothing deleted.
    let anew = [("north", "north"), ("south", "south-2")];
    let done = places.join(&anew, false).await.unwrap();
    assert!(done.found == PlaceState::Empty && !done.has_findings(), "{done:?}");
    assert_eq!(places.content("south-2"), places.content("north"));
    assert!(!places.path("north").join(gone.as_str()).exists());
    assert_eq!(places.content("south"), before);
}

/// Hosts whose settings name a region already write to it before anybody filled it: that is no data of long ago.
#[tokio::test]
async fn a_region_that_hosts_write_to_already_is_filled_all_the_same() {
    let places = Places::new().await;
    let alone = places.open(&BOTH[..1]).await;
    let place = places.bench.place();
    crate::events::tell(&alone, &alone.regions().set(), &place, "prune", &1).await.unwrap();
    places.age("north", 100);
    let newest = places.bench.object("000000010000000000000004");
    let path = places.path("south").join(newest.as_str());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, std::fs::read(places.path("north").join(newest.as_str())).unwrap()).unwrap();
    assert_eq!(places.join(&BOTH, true).await.unwrap().found, PlaceState::Written);
    // Something old among it is no such thing.
    places.age("south", 81);
    assert_eq!(places.join(&BOTH, false).await.unwrap_err().id(), "region.not-empty");
    places.age("south", 70);
    // It is begun, and stopped before anything was copied; hosts go on, and so does the next run.
    let begun = places.join(&BOTH, false).await.unwrap();
    assert!(begun.found == PlaceState::Written && !begun.has_findings(), "{begun:?}");
    for gone in ["event", "backup", "manifest", "key"] {
        let mut lost = Vec::new();
        walk(&places.path("south"), &mut |path| {
            let old = path.to_string_lossy().contains(&format!("/{gone}/"));
            let told = std::fs::read(path).unwrap();
            if old && !String::from_utf8_lossy(&told).contains("region-begun") {
                lost.push(path.to_owned());
            }
        });
        lost.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    }
    let done = places.join(&BOTH, false).await.unwrap();
    assert!(done.found == PlaceState::Region && !done.has_findings(), "{done:?}");
    assert_eq!(places.content("south"), places.content("north"));
}

/// What was copied out of an old region has new times, and its old event that it was begun once.
#[tokio::test]
async fn a_copy_of_long_ago_is_a_region_that_was_away() {
    let places = Places::new().await;
    places.join_ago(&BOTH, false, 101).await.unwrap();
    let alone = places.open(&BOTH[..1]).await;
    let (set, place) = (alone.regions().set(), places.bench.place());
    crate::events::tell(&alone, &set, &place, "prune", &1).await.unwrap();
    places.age("north", 100);
    for (days, id) in [(0, "sync.away-too-long"), (101, "sync.away-too-long")] {
        places.age("south", days);
        let both = places.open(&BOTH).await;
        let refused = sync(&both, &SyncOptions::default(), Arc::new(Silent)).await.unwrap_err();
        assert_eq!(refused.id(), id, "{days}");
    }
    // One that was begun when the event was told already lacks nothing of its own time.
    places.age("north", 102);
    let both = places.open(&BOTH).await;
    assert!(sync(&both, &SyncOptions::default(), Arc::new(Silent)).await.is_ok());
}

async fn drained(bench: &Bench, region: &str) -> DrainReport {
    let repository = bench.as_host("db1").await.unwrap();
    let options = DrainOptions { region: name(region), dry_run: false };
    drain(&repository, &options, Arc::new(Silent)).await.unwrap()
}

fn lacking(report: &DrainReport) -> Vec<(&str, &str)> {
    report.lacking.iter().map(|one| (one.region.as_str(), one.object.rsplit('/').next().unwrap())).collect()
}

#[tokio::test]
async fn a_region_may_leave_only_when_every_other_one_holds_all_that_is_needed() {
    let mut bench = Bench::with(3, 1).await;
    for number in 1..=5 {
        bench.pushed(number, 9).await;
    }
    let report = drained(&bench, "south").await;
    assert!(report.may_leave && report.objects > 5 && !report.has_findings(), "{report:?}");
    let event = ObjectName::parse(report.event.as_deref().unwrap()).unwrap();
    assert!(matches!(event.named(), Named::Event { .. }));
    let object = |number: u64| bench.object(&format!("00000001000000000000000{number}"));
    let put = |index: usize, number: u64, bytes: bytes::Bytes| {
        let (store, name) = (bench.memories[index].clone(), object(number));
        async move {
            store.delete(&name.as_str().into()).await.unwrap();
            if !bytes.is_empty() {
                store.put(&name.as_str().into(), bytes.into()).await.unwrap();
            }
        }
    };
    let read = |number: u64| {
        let (store, name) = (bench.memories[1].clone(), object(number));
        async move { store.get(&name.as_str().into()).await.unwrap().bytes().await.unwrap() }
    };
    // Gone; cut short; damaged in its head; another segment's content; each in one of the two that stay.
    let whole = read(2).await;
    let mut flipped = read(3).await.to_vec();
    flipped[100] ^= 1;
    put(0, 1, bytes::Bytes::new()).await;
    put(2, 2, whole.slice(..whole.len() - 1)).await;
    put(0, 3, flipped.into()).await;
    put(2, 4, read(5).await).await;
    let report = drained(&bench, "south").await;
    let mut said = lacking(&report);
    said.sort_unstable();
    let wanted = [("north", 1), ("north", 3), ("west", 2), ("west", 4)]
        .map(|(region, number)| (region, format!("00000001000000000000000{number}")));
    assert_eq!(said, wanted.iter().map(|(region, file)| (*region, file.as_str())).collect::<Vec<_>>());
    assert!(!report.may_leave && report.event.is_none() && report.has_findings());
    let others: Vec<u64> = report.others.iter().map(|other| other.lacking).collect();
    assert_eq!(others, [2, 2]);
    // What sync copies and heals counts.
    let host = bench.as_host("db1").await.unwrap();
    let all = SyncOptions { heal: vec![Heal::All], ..SyncOptions::default() };
    assert!(!sync(&host, &all, Arc::new(Silent)).await.unwrap().has_findings());
    let report = drained(&bench, "south").await;
    assert!(report.may_leave, "{report:?}");
    // A region that cannot be listed holds nothing for certain; the leaving one itself must be.
    bench.stores[2].add(Rule::new(Fault::FailBefore).on(CallKind::List));
    let report = drained(&bench, "south").await;
    assert!(!report.may_leave && report.others[1].unreached.is_some(), "{report:?}");
    bench.stores[2].heal();
    bench.fresh_faults();
    bench.stores[1].add(Rule::new(Fault::FailBefore).on(CallKind::List));
    let host = bench.as_host("db1").await.unwrap();
    let options = DrainOptions { region: name("south"), dry_run: true };
    assert_eq!(drain(&host, &options, Arc::new(Silent)).await.unwrap_err().id(), "region.unreached");
}
