//! Random histories of backups, prunes, holds, undoings, outages and deaths in one repository, one store call at a time in every
//! order that a seed gives, held against rules that need no knowledge of how pruning works.
//!
//! After every round, in the bare stores: whatever manifest is there, everything it lists is there too, and the WAL that makes it
//! consistent; a good backup stays; what is held stays; WAL goes on from the newest good backup without a gap. In the end, when all
//! is quiet: everything that nothing needs is gone. *Simulated*: packs and maps are names, stores keep the clock of the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use object_store::ObjectStoreExt as _;
use seawall_pg::{Lsn, SegmentName, SegmentNo, Timeline, WalFileName};
use seawall_repo::condemned::HoldOn;
use seawall_repo::id::{BackupId, RecordId};
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::manifest::Manifest;
use seawall_store::ObjectStore as _;
use seawall_store::schedule::Schedule;

use super::{PruneOptions, PruneReport, RetentionRules, prune, undo};
use crate::archive::testing::Bench;
use crate::backup::testing::{At, Dice, Fate, mini_backup, pass};
use crate::hold;
use crate::monitor::Silent;
use crate::repository::Repository;
use crate::retention::{Policy, Span};

/// What an operation did.
#[derive(Debug)]
enum Did {
    Backup(Option<BackupId>),
    Held(RecordId, BackupId),
    Pruned(Box<PruneReport>),
    Nothing,
    Refused(String),
}

impl std::fmt::Display for Did {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Backup(Some(id)) => write!(f, "backup {id}"),
            Self::Backup(None) => f.write_str("a backup that died"),
            Self::Held(hold, id) => write!(f, "hold {hold} on {id}"),
            Self::Pruned(report) => {
                let deleted: u64 = report.regions.iter().map(|region| region.deleted.objects()).sum();
                write!(f, "pruned {deleted}, {} tombstones", report.tombstones.len())
            }
            Self::Nothing => f.write_str("nothing"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

struct History {
    seed: u64,
    bench: Bench,
    dice: Dice,
    policy: Policy,
    next_segment: u64,
    /// Every manifest that was ever committed.
    manifests: BTreeMap<BackupId, Manifest>,
    held: BTreeMap<RecordId, BackupId>,
    /// Regions that were away once: their WAL has holes.
    ever_away: BTreeSet<usize>,
    away: Option<usize>,
    /// Whether each region had a good backup when it was looked at last.
    had_good: [std::cell::Cell<bool>; 3],
    deleted: u64,
    trace: Vec<String>,
}

const NAMES: [&str; 3] = ["north", "south", "west"];

impl History {
    async fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let bench = Bench::with(1 + usize::try_from(dice.below(2)).unwrap(), 1).await;
        let policy = some_policy(&dice);
        let (manifests, held, ever_away) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self {
            seed,
            bench,
            dice,
            policy,
            next_segment: 10,
            manifests,
            held,
            ever_away,
            away: None,
            had_good: Default::default(),
            deleted: 0,
            trace: Vec::new(),
        }
    }

    fn rules(&self) -> RetentionRules {
        RetentionRules { policy: self.policy.clone(), shrink_delay: Span::days(2), grace: Span::hours(24) }
    }

    fn advance(&self, hours: u64) {
        self.bench.world.clock.sleep_blocking(Duration::from_secs(hours * 3600));
    }

    /// Puts segments to every region that is not away.
    async fn push(&mut self, count: u64) {
        for _ in 0..count {
            let name = self.segment(self.next_segment);
            for (index, store) in self.bench.memories.iter().enumerate() {
                if self.away != Some(index) {
                    store.put(&name.as_str().into(), name.to_string().into()).await.unwrap();
                }
            }
            self.next_segment += 1;
        }
    }

    fn segment(&self, number: u64) -> ObjectName {
        let name = SegmentName::new(Timeline::FIRST, SegmentNo(number), self.bench.size).unwrap();
        Named::Wal { place: self.bench.place(), file: WalFileName::Segment(name) }.into()
    }

    async fn round(&mut self) {
        if self.dice.one_in(8) && self.bench.memories.len() > 1 {
            let index = usize::try_from(self.dice.below(2)).unwrap();
            self.away = Some(index);
            self.ever_away.insert(index);
        } else {
            self.away = None;
        }
        for (index, store) in self.bench.memories.iter().enumerate() {
            store.set_away(self.away == Some(index));
        }
        if self.dice.one_in(10) {
            self.policy = some_policy(&self.dice);
        }
        let schedule = Schedule::new(self.dice.below(u64::MAX));
        let mut chosen = Vec::new();
        for _ in 0..=self.dice.below(3) {
            let what = self.dice.below(12);
            chosen.push((what, self.dice.below(u64::MAX), self.next_segment));
            if what < 6 {
                self.push(2).await;
            }
        }
        let operations = chosen.into_iter().map(|(what, seed, first)| match what {
            0..6 => self.backup(&schedule, seed, first),
            _ => self.other(&schedule, seed, what),
        });
        let operations = operations.collect();
        let done = schedule.run(operations).unwrap();
        self.trace.push(done.iter().map(|did| did.to_string()).collect::<Vec<_>>().join(", "));
        for did in done {
            self.note(did).await;
        }
        self.check().await;
        self.advance([1, 7, 13, 26, 26, 50, 100][usize::try_from(self.dice.below(7)).unwrap()]);
    }

    fn backup<'a>(&'a self, schedule: &'a Schedule, seed: u64, first: u64) -> LocalBoxFuture<'a, Did> {
        let dice = Dice::new(seed);
        let start = SegmentNo(first).first_lsn(self.bench.size).unwrap();
        let at = At {
            timeline: Timeline::FIRST,
            start: Lsn(start.0 + 40),
            stop: Lsn(start.0 + self.bench.size.bytes() + 80),
            size: self.bench.size,
        };
        let fate = Fate {
            dies_after: dice.one_in(4).then(|| dice.below(8)),
            works: if dice.one_in(5) { dice.below(40) } else { 0 },
            frozen: if dice.one_in(6) { dice.below(60) } else { 0 },
            damaged: dice.one_in(12),
        };
        async move {
            let taken = async {
                let repository = self.over(schedule, "db1").await?;
                mini_backup(&repository, &self.bench.place(), at, fate, &dice).await
            };
            match taken.await {
                Ok(id) => Did::Backup(id),
                Err(error) => Did::Refused(format!("backup: {error}")),
            }
        }
        .boxed_local()
    }

    fn other<'a>(&'a self, schedule: &'a Schedule, seed: u64, what: u64) -> LocalBoxFuture<'a, Did> {
        let dice = Dice::new(seed);
        async move {
            let did = async {
                let repository = self.over(schedule, "pruner").await?;
                match what {
                    10 => {
                        let known: Vec<&BackupId> = self.manifests.keys().collect();
                        let Some(id) = known.get(usize::try_from(dice.below(known.len() as u64)).unwrap())
                        else {
                            return Ok(Did::Nothing);
                        };
                        let on = HoldOn::Backups(vec![**id]);
                        let (reason, by) = ("model".to_owned(), "model".to_owned());
                        let added =
                            hold::add(&repository, hold::NewHold { on, reason, until: None, by }).await?;
                        Ok(Did::Held(added.hold, **id))
                    }
                    // Two prunes with a grace between them, while whatever else runs goes on running.
                    8 | 9 => {
                        let options = PruneOptions::default();
                        let first = prune(&repository, &self.rules(), options, Arc::new(Silent)).await?;
                        drop(first);
                        pass(&repository, 25).await;
                        let report = prune(&repository, &self.rules(), options, Arc::new(Silent)).await?;
                        Ok(Did::Pruned(Box::new(report)))
                    }
                    11 => undo(&repository, None, "model").await.map(|_undone| Did::Nothing),
                    _ => {
                        let options = PruneOptions::default();
                        let report = prune(&repository, &self.rules(), options, Arc::new(Silent)).await?;
                        Ok(Did::Pruned(Box::new(report)))
                    }
                }
            };
            match did.await {
                Ok(did) => did,
                Err(error) => Did::Refused(format!("{what}: {error}")),
            }
        }
        .boxed_local()
    }

    async fn over(&self, schedule: &Schedule, host: &str) -> crate::Result<Repository> {
        self.bench.open_over(host, |store| Arc::new(schedule.over(store))).await
    }

    async fn bare(&self) -> Repository {
        self.bench.open_over("db1", |store| store).await.unwrap()
    }

    async fn note(&mut self, did: Did) {
        match did {
            Did::Backup(Some(id)) => {
                // Two prunes within the same round may have taken it away already.
                if let Ok(manifest) = self.bare().await.manifest(&self.bench.place(), id).await {
                    self.manifests.insert(id, manifest);
                }
            }
            // A hold of the last moment may come when its backup is being deleted already.
            Did::Held(hold, id) if self.is_safe(id).await => {
                self.held.insert(hold, id);
            }
            Did::Pruned(report) => {
                self.deleted += report.regions.iter().map(|region| region.deleted.objects()).sum::<u64>();
            }
            _ => {}
        }
    }

    /// Whether a backup is there, everywhere it was, and no tombstone names it.
    async fn is_safe(&self, id: BackupId) -> bool {
        let repository = self.bare().await;
        let standing = super::standing(&repository, &self.bench.place()).await.unwrap();
        let named = Named::Manifest { place: self.bench.place(), backup: id };
        let name = named.to_name();
        !standing.names(&named) && self.holders(&name).await == self.bench.memories.len()
    }

    async fn holders(&self, name: &ObjectName) -> usize {
        let mut holders = 0;
        for index in 0..self.bench.memories.len() {
            holders += usize::from(self.names_in(index).await.contains(name.as_str()));
        }
        holders
    }

    /// Every name in a store, whether or not it is away.
    async fn names_in(&self, index: usize) -> BTreeSet<String> {
        let store = &self.bench.memories[index];
        store.set_away(false);
        let names = store.list(None).map(|meta| meta.unwrap().location.to_string()).collect().await;
        store.set_away(self.away == Some(index));
        names
    }

    async fn check(&self) {
        for (index, region) in NAMES.iter().enumerate().take(self.bench.memories.len()) {
            let names = self.names_in(index).await;
            let there = |named: Named| names.contains(named.to_name().as_str());
            let place = self.bench.place();
            let mut good = None;
            for (id, manifest) in &self.manifests {
                if !there(Named::Manifest { place: place.clone(), backup: *id }) {
                    continue;
                }
                for row in &manifest.body.packs {
                    let (backup, number) = (row.pack.backup, row.pack.number);
                    let pack = Named::Pack { place: place.clone(), backup, number };
                    assert!(
                        there(pack.clone()),
                        "{}: {region} has manifest {id} and lacks {}",
                        self.story(),
                        pack.to_name()
                    );
                }
                let own = Named::Map { place: place.clone(), backup: *id, number: 0 };
                assert!(there(own), "{}: {region} lacks the map of {id}", self.story());
                for number in self.bench.size.segment_of(manifest.header.start).0
                    ..=self.bench.size.segment_before(manifest.header.stop).0
                {
                    let segment = self.segment(number);
                    assert!(
                        names.contains(segment.as_str()),
                        "{}: {region} has {id} and lacks {segment}",
                        self.story()
                    );
                }
                if manifest.header.damaged_pages == 0 {
                    good = good.max(Some((manifest.header.stop, *id)));
                }
            }
            let had = &self.had_good[index];
            assert!(good.is_some() || !had.get(), "{}: {region} lost its last good backup", self.story());
            had.set(good.is_some());
            if let Some((stop, _)) = good.filter(|_| !self.ever_away.contains(&index)) {
                for number in self.bench.size.segment_of(stop).0..self.next_segment {
                    let segment = self.segment(number);
                    assert!(names.contains(segment.as_str()), "{}: {region} lacks {segment}", self.story());
                }
            }
            for id in self.held.values() {
                let held = there(Named::Manifest { place: place.clone(), backup: *id });
                assert!(held, "{}: {region} lacks {id}, which is held", self.story());
            }
        }
    }

    fn story(&self) -> String {
        format!("seed {} after {} rounds\n{}\n", self.seed, self.trace.len(), self.trace.join("\n"))
    }

    /// When all is quiet: what nothing needs is gone, and nothing comes back.
    async fn settle(&mut self) {
        self.away = None;
        for store in &self.bench.memories {
            store.set_away(false);
        }
        let pruner = self.bench.open_over("pruner", |store| store).await.unwrap();
        for hold in std::mem::take(&mut self.held).into_keys() {
            hold::release(&pruner, hold, "model", "model").await.unwrap();
        }
        let rules = self.rules();
        for _ in 0..5 {
            self.advance(80);
            let report = prune(&pruner, &rules, PruneOptions::default(), Arc::new(Silent)).await;
            let Ok(report) = report else { return };
            self.deleted += report.regions.iter().map(|region| region.deleted.objects()).sum::<u64>();
            self.check().await;
        }
        let report =
            prune(&pruner, &rules, PruneOptions { dry_run: true, at: None }, Arc::new(Silent)).await.unwrap();
        assert!(report.condemned.is_empty(), "{}: still there: {:?}", self.story(), report.condemned);
        self.check_nothing_left().await;
    }

    /// By the manifests that are there: no pack, map or intent beside.
    async fn check_nothing_left(&self) {
        let mut needed = BTreeSet::new();
        let place = self.bench.place();
        let mut all = BTreeSet::new();
        for index in 0..self.bench.memories.len() {
            all.extend(self.names_in(index).await);
        }
        for (id, manifest) in &self.manifests {
            if all.contains(Named::Manifest { place: place.clone(), backup: *id }.to_name().as_str()) {
                needed.extend(manifest.body.packs.iter().map(|row| row.pack.backup));
                needed.extend(manifest.body.uses.iter().copied());
                needed.insert(*id);
            }
        }
        for name in &all {
            match ObjectName::parse(name).unwrap().named() {
                Named::Pack { backup, .. } | Named::Map { backup, .. } => {
                    assert!(needed.contains(backup), "{}: {name} is needed by nobody", self.story());
                }
                Named::Intent { .. } => panic!("{}: {name} is still there", self.story()),
                _ => {}
            }
        }
    }
}

fn some_policy(dice: &Dice) -> Policy {
    let small = |end: u64| u32::try_from(dice.below(end)).unwrap();
    Policy {
        last: small(3),
        daily: 1 + small(3),
        weekly: small(3),
        min_backups: small(3),
        pitr: [None, Some(Span::days(1)), Some(Span::days(4))][usize::try_from(dice.below(3)).unwrap()],
        max_age: dice.one_in(8).then(|| Span::days(60)),
        ..Policy::default()
    }
}

fn histories(seeds: std::ops::Range<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut deleted, mut backups) = (0, 0);
    for seed in seeds {
        runtime.block_on(async {
            let mut history = History::new(seed).await;
            for _ in 0..12 {
                history.round().await;
            }
            history.settle().await;
            deleted += history.deleted;
            backups += history.manifests.len();
        });
    }
    assert!(deleted > 0 && backups > 0, "nothing was backed up or deleted: the model shows nothing");
    println!("{backups} backups, {deleted} objects deleted");
}

#[test]
fn whatever_happens_what_is_there_is_whole_and_what_is_not_needed_goes() {
    let many: u64 = std::env::var("SEAWALL_TEST_HISTORIES").map_or(40, |text| text.parse().unwrap());
    histories(0..many);
}
