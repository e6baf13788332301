//! One history: what happens in each round, and how it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use object_store::ObjectStoreExt as _;
use seawall_pg::SystemIdentifier;
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::condemned::Tombstone;
use seawall_repo::id::{BackupId, RecordId, SystemId};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::Manifest;
use seawall_repo::records::Adoption;
use seawall_repo::seal::Cipher;
use seawall_repo::wal_object::{Indexed, WalFacts, WalSealer};
use seawall_store::World;
use seawall_store::schedule::Schedule;
use seawall_store::world::SeededRandom;

use super::counts::Counts;
use super::lives::Life;
use super::operations::{Did, Due};
use super::reach::{Instant, Together};
use crate::archive::testing::{Bench, ClockApart, SYSTEM};
use crate::backup::testing::{Dice, Fate, mini_backup};
use crate::hold;
use crate::monitor::Silent;
use crate::prune::{PruneOptions, RetentionRules, prune};
use crate::repository::{Repository, WorldEntropy};
use crate::retention::{Policy, Span};

pub(super) const NAMES: [&str; 3] = ["north", "south", "west"];
const HOUR: i64 = 3_600_000_000;

pub(super) struct History {
    seed: u64,
    pub(super) bench: Bench,
    /// Seals WAL.
    archiver: Repository,
    /// Each host's world, and how far its clock is ahead.
    pub(super) hosts: BTreeMap<&'static str, (World, Arc<AtomicI64>)>,
    pub(super) dice: Dice,
    pub(super) policy: Policy,
    /// Whether a prune went by it.
    recorded: bool,
    /// What older policies said of days, and when they ended.
    pub(super) ended: Vec<(u32, i64)>,
    pub(super) lives: Vec<Life>,
    /// Segments that are on their way.
    late: Vec<ObjectName>,
    /// Every manifest that was ever committed.
    pub(super) manifests: BTreeMap<BackupId, (Place, Manifest)>,
    pub(super) held: BTreeMap<RecordId, BackupId>,
    /// Holds that a region missed when they were added.
    half_known: BTreeMap<RecordId, BackupId>,
    /// Every hold there is.
    holds: Vec<RecordId>,
    pub(super) away: Option<usize>,
    /// Of which lineages each region had a good backup when it was looked at last.
    pub(super) had_good: [BTreeSet<SystemId>; 3],
    /// Days that the clocks of two regions give to one backup: on which of them it was taken depends on who is asked.
    pub(super) disputed_days: BTreeSet<i64>,
    /// What each region held when it was looked at last, and what it held once and does not any more.
    pub(super) seen: [BTreeSet<String>; 3],
    pub(super) gone: [BTreeSet<String>; 3],
    /// Every tombstone that a region ever had, and since when.
    pub(super) stones: [Vec<(Tombstone, i64)>; 3],
    /// How far the regions' clocks are ahead; microseconds.
    pub(super) ahead: Vec<i64>,
    pub(super) reached: BTreeMap<Instant, i64>,
    /// What all regions had together when they were looked at last.
    pub(super) together: Together,
    /// Objects that are damaged in a region.
    pub(super) damaged: BTreeSet<(usize, String)>,
    /// Those of them that nothing can heal any more.
    pub(super) lost: BTreeSet<(usize, String)>,
    pub(super) counts: Counts,
    pub(super) trace: Vec<String>,
}

impl History {
    pub(super) async fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let regions = 1 + dice.below(2);
        let ahead: Vec<Duration> =
            (0..regions).map(|_| Duration::from_secs([0, 0, 600, 36_000][pick(&dice, 4)])).collect();
        let random = Arc::new(SeededRandom::new(seed));
        let bench = Bench::with_clocks(&ahead, 1, Cipher::Aes256Gcm, random).await;
        let host = |name| {
            let micros = Arc::new(AtomicI64::new(0));
            let clock = ClockApart { clock: Arc::clone(&bench.world.clock), micros: Arc::clone(&micros) };
            let world = World { clock: Arc::new(clock), random: Arc::clone(&bench.world.random) };
            (name, (world, micros))
        };
        let hosts = ["db1", "db2", "pruner"].map(host).into();
        let lives = vec![Life::new(bench.place(), SYSTEM, bench.size)];
        let policy = some_policy(&dice);
        let archiver = bench.open_over("db1", |store| store).await.unwrap();
        Self {
            seed,
            bench,
            archiver,
            hosts,
            dice,
            policy,
            recorded: false,
            ended: Vec::new(),
            lives,
            late: Vec::new(),
            manifests: BTreeMap::new(),
            held: BTreeMap::new(),
            half_known: BTreeMap::new(),
            holds: Vec::new(),
            away: None,
            had_good: Default::default(),
            disputed_days: BTreeSet::new(),
            seen: Default::default(),
            gone: Default::default(),
            stones: Default::default(),
            ahead: ahead.iter().map(|ahead| i64::try_from(ahead.as_micros()).unwrap()).collect(),
            reached: BTreeMap::new(),
            together: Together::new(),
            damaged: BTreeSet::new(),
            lost: BTreeSet::new(),
            counts: Counts::default(),
            trace: Vec::new(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { backups: self.manifests.len() as u64, ..self.counts.clone() }
    }

    pub(super) fn rules(&self) -> RetentionRules {
        RetentionRules { policy: self.policy.clone(), shrink_delay: Span::days(5), grace: Span::hours(24) }
    }

    fn advance(&self, hours: u64) {
        self.bench.world.clock.sleep_blocking(Duration::from_secs(hours * 3600));
    }

    pub(super) async fn round(&mut self) {
        self.regions_come_and_go();
        if self.dice.one_in(10) {
            let old = std::mem::replace(&mut self.policy, some_policy(&self.dice));
            if std::mem::take(&mut self.recorded) {
                self.ended.push((old.daily, self.bench.world.clock.now_unix_us()));
            }
        }
        for (_, ahead) in self.hosts.values().filter(|_| self.dice.one_in(8)) {
            let hours = [0, 0, -40, 40, -30 * 24, 400 * 24][pick(&self.dice, 6)];
            ahead.store(hours * HOUR, Ordering::Relaxed);
        }
        if self.dice.one_in(8) {
            self.promote().await;
        }
        if self.dice.one_in(30) && self.away.is_none() && self.lives.len() < 3 {
            self.upgrade().await;
        }
        self.late_ones_arrive().await;
        self.spoil().await;
        let schedule = Schedule::new(self.dice.below(u64::MAX));
        let mut chosen = Vec::new();
        for _ in 0..=self.dice.below(4) {
            let (what, seed) = (self.dice.below(15), self.dice.below(u64::MAX));
            let due = if what < 6 { Some(self.due().await) } else { None };
            chosen.push((what, seed, due));
        }
        let operations = chosen.into_iter().map(|(what, seed, due)| match due {
            Some(due) => self.backup(&schedule, seed, due),
            None => self.other(&schedule, seed, what),
        });
        let operations = operations.collect();
        let done = schedule.run(operations).unwrap();
        let away = self.away.map_or_else(String::new, |index| format!("{} away: ", NAMES[index]));
        self.trace.push(away + &done.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        for did in done {
            self.note(did).await;
        }
        self.learn_of_holds().await;
        self.check().await;
        self.advance([1, 7, 13, 19, 26, 50, 100][pick(&self.dice, 7)]);
    }

    fn regions_come_and_go(&mut self) {
        // Who is away stays so for a few rounds.
        if self.away.is_none() || self.dice.one_in(3) {
            let goes = self.dice.one_in(6) && self.bench.memories.len() > 1;
            self.away = goes.then(|| pick(&self.dice, 2));
        }
        for (index, store) in self.bench.memories.iter().enumerate() {
            store.set_away(self.away == Some(index));
        }
    }

    /// Writes WAL for a backup that is about to begin, on the present branch or on one that was left.
    async fn due(&mut self) -> Due {
        let life = if self.dice.one_in(10) {
            pick(&self.dice, self.lives.len() as u64)
        } else {
            self.lives.len() - 1
        };
        let live = self.lives[life].live();
        let branch = if self.dice.one_in(8) { pick(&self.dice, live as u64 + 1) } else { live };
        let odd = self.dice.below(4);
        for _ in 0..odd {
            self.write(life, branch, true).await;
        }
        let first = self.lives[life].branches[branch].next;
        for _ in 0..2 {
            self.write(life, branch, false).await;
        }
        Due { life, branch, first }
    }

    /// Writes one segment; sometimes it is lost, or comes later.
    async fn write(&mut self, life: usize, branch: usize, may_be_odd: bool) {
        let of = &mut self.lives[life];
        let (timeline, number) = (of.branches[branch].timeline, of.branches[branch].next);
        of.branches[branch].next += 1;
        let name = of.segment(timeline, number);
        let (lost, late) = (may_be_odd && self.dice.one_in(15), may_be_odd && self.dice.one_in(10));
        if lost || late {
            of.odd.insert((timeline, number));
        }
        if late {
            self.late.push(name);
        } else if !lost {
            self.put_segment(&name).await;
        }
    }

    async fn late_ones_arrive(&mut self) {
        for name in std::mem::take(&mut self.late) {
            if self.dice.one_in(2) {
                self.put_segment(&name).await;
            } else {
                self.late.push(name);
            }
        }
    }

    /// A segment whose head says how long segments are: of a lineage without backups nothing else does.
    async fn put_segment(&self, name: &ObjectName) {
        self.put(name, self.sealed(name, name.as_str().as_bytes())).await;
    }

    fn sealed(&self, name: &ObjectName, content: &[u8]) -> Vec<u8> {
        let Named::Wal { place, file } = name.named() else { panic!("{name}") };
        let facts = WalFacts {
            place: place.clone(),
            file: *file,
            segment_size: self.bench.size,
            host: "db1".to_owned(),
            archived: crate::backup::now(&self.bench.world).unwrap(),
        };
        let (host, index) = (&self.archiver, Indexed::Not("none".to_owned()));
        let (sealer, key) = (host.sealer().unwrap(), host.writer().unwrap());
        let wal = WalSealer { facts: &facts, index: &index, sealer, key };
        let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
        let mut entropy = WorldEntropy::new(&self.bench.world);
        wal.seal(content, &mut compressor, &mut entropy).unwrap().bytes().to_vec()
    }

    /// Puts something to every region that is not away.
    async fn put(&self, name: &ObjectName, bytes: Vec<u8>) {
        for (index, store) in self.bench.memories.iter().enumerate() {
            if self.away != Some(index) {
                store.put(&name.as_str().into(), bytes.clone().into()).await.unwrap();
            }
        }
    }

    /// A standby takes over: where the old primary was, or a little before.
    async fn promote(&mut self) {
        let life = self.lives.len() - 1;
        let live = self.lives[life].live();
        let next = self.lives[life].branches[live].next;
        // Who goes back goes to where recovery could.
        let back = (1..=2)
            .rev()
            .find(|back| {
                let system = self.lives[life].place.system;
                let timeline = self.lives[life].branches[live].timeline;
                // Before its own beginning there is nothing of the present timeline.
                self.dice.one_in(3)
                    && self.lives[life].branches[live].begins_before(next.saturating_sub(*back))
                    && self.reached.contains_key(&(system, timeline, next.saturating_sub(*back)))
                    && self.reached.contains_key(&(system, timeline, next.saturating_sub(*back + 1)))
            })
            .unwrap_or(0);
        let (name, content) = self.lives[life].promote(back);
        self.put(&name, self.sealed(&name, content.as_bytes())).await;
        // The beginning of the segment in which it branched off comes at once.
        let branch = self.lives[life].live();
        self.write(life, branch, false).await;
        self.counts.promotions += 1;
        self.trace.push(format!("{name}, {back} back"));
    }

    /// A new major version: a new system identifier, adopted as the old one's successor.
    async fn upgrade(&mut self) {
        let old = self.lives.last().unwrap().place.clone();
        let system = SystemIdentifier(SYSTEM.0 + self.lives.len() as u64);
        let life = Life::new(old.clone(), system, self.bench.size);
        let adoption = Adoption {
            cluster: old.cluster.clone(),
            system,
            after: Some(old.system),
            adopted: crate::backup::now(&self.bench.world).unwrap(),
            postgresql: 18,
        };
        let (id, owner) = self.bench.owner.as_ref().unwrap();
        self.bench.put(id, owner, Named::Adoption(life.place.clone()), &adoption).await;
        self.lives.push(life);
        self.counts.upgrades += 1;
        self.trace.push(format!("upgraded to {system}"));
    }

    pub(super) async fn bare(&self) -> Repository {
        self.bench.open_over("db1", |store| store).await.unwrap()
    }

    async fn note(&mut self, did: Did) {
        match did {
            Did::Backup(place, Some(id)) => {
                // Two prunes within the same round may have taken it away already.
                if let Ok(manifest) = self.bare().await.manifest(&place, id).await {
                    self.manifests.insert(id, (place, manifest));
                }
            }
            Did::Mounted(id, lost) => {
                let lost = lost.inspect(|_| self.counts.mounts += 1).unwrap_or_default();
                assert!(lost.is_empty(), "{}: a mount of {id} lost {lost:?}", self.story());
            }
            Did::Held(hold, id) => {
                self.holds.push(hold);
                self.half_known.insert(hold, id);
            }
            Did::Pruned(report) => {
                self.recorded = true;
                self.counts.deleted +=
                    report.regions.iter().map(|region| region.deleted.objects()).sum::<u64>();
            }
            Did::Synced(copied, healed) => {
                self.counts.copied += copied;
                self.counts.healed += healed;
            }
            Did::Refused(_) => self.counts.refused += 1,
            Did::Died(_) => self.counts.died += 1,
            _ => {}
        }
    }

    /// A hold counts once every region has it: a prune that reaches only another knows nothing of it, until one that reaches both has
    /// given it on.
    async fn learn_of_holds(&mut self) {
        for (hold, id) in std::mem::take(&mut self.half_known) {
            let Some((place, _)) = self.manifests.get(&id) else { continue };
            let name = Named::Hold { place: place.clone(), id: hold }.to_name();
            if !self.is_everywhere(&name).await {
                self.half_known.insert(hold, id);
            // One of the last moment may come when its backup is being deleted already.
            } else if self.is_safe(id).await {
                self.held.insert(hold, id);
            }
        }
    }

    /// Whether a backup is there, everywhere it was, and no tombstone names it.
    async fn is_safe(&self, id: BackupId) -> bool {
        let Some((place, _)) = self.manifests.get(&id) else { return false };
        let standing = crate::prune::standing(&self.bare().await, place).await.unwrap();
        let named = Named::Manifest { place: place.clone(), backup: id };
        self.is_everywhere(&named.to_name()).await && !standing.names(&named)
    }

    async fn is_everywhere(&self, name: &ObjectName) -> bool {
        for index in 0..self.bench.memories.len() {
            if !self.names_in(index).await.contains_key(name.as_str()) {
                return false;
            }
        }
        true
    }

    pub(super) fn story(&self) -> String {
        format!("seed {} after {} rounds\n{}\n", self.seed, self.trace.len(), self.trace.join("\n"))
    }

    /// When all is quiet: what nothing needs is gone, and nothing comes back.
    pub(super) async fn settle(&mut self) {
        self.away = None;
        for store in &self.bench.memories {
            store.set_away(false);
        }
        self.hosts.values().for_each(|(_, ahead)| ahead.store(0, Ordering::Relaxed));
        let pruner = self.bench.open_over("pruner", |store| store).await.unwrap();
        self.held.clear();
        self.half_known.clear();
        for hold in std::mem::take(&mut self.holds) {
            hold::release(&pruner, hold, "model", "model").await.unwrap();
        }
        // Five times at least, and on while the age of something comes to its bound.
        let mut left = None;
        for times in 1..20 {
            self.advance(80);
            if !self.pruned(&pruner).await {
                return;
            }
            let options = PruneOptions { dry_run: true, at: None };
            let report = prune(&pruner, &self.rules(), options, Arc::new(Silent)).await.unwrap();
            left = (!report.condemned.is_empty()).then_some(report.condemned);
            if times >= 5 && left.is_none() {
                break;
            }
        }
        assert!(left.is_none(), "{}: still there: {left:?}", self.story());
        self.check_nothing_left().await;
        self.check_all_heals().await;
        if self.lives.len() > 1 {
            self.outlive(&pruner).await;
        }
    }

    /// Backups of the newest lineage, day by day, until the rules have no use for older ones.
    async fn outlive(&mut self, pruner: &Repository) {
        let life = self.lives.len() - 1;
        for day in 0..40 {
            let branch = self.lives[life].live();
            let first = self.lives[life].branches[branch].next;
            self.write(life, branch, false).await;
            self.write(life, branch, false).await;
            let (place, at) = (self.lives[life].place.clone(), self.lives[life].at(branch, first));
            let host = self.bare().await;
            let taken = mini_backup(&host, &place, at, Fate::default(), &Dice::new(self.seed + day)).await;
            let id = taken.unwrap().unwrap();
            self.manifests.insert(id, (place.clone(), host.manifest(&place, id).await.unwrap()));
            self.advance(26);
            self.pruned(pruner).await;
        }
        self.check_old_lineages_gone().await;
    }

    async fn pruned(&mut self, pruner: &Repository) -> bool {
        let report = prune(pruner, &self.rules(), PruneOptions::default(), Arc::new(Silent)).await;
        let Ok(report) = report else { return false };
        self.counts.deleted += report.regions.iter().map(|region| region.deleted.objects()).sum::<u64>();
        self.check().await;
        true
    }
}

pub(super) fn pick(dice: &Dice, of: u64) -> usize {
    usize::try_from(dice.below(of)).unwrap()
}

fn some_policy(dice: &Dice) -> Policy {
    let small = |end: u64| u32::try_from(dice.below(end)).unwrap();
    Policy {
        last: small(3),
        daily: 1 + small(3),
        weekly: small(3),
        min_backups: small(3),
        pitr: [None, Some(Span::days(1)), Some(Span::days(4))][pick(dice, 3)],
        max_age: dice.one_in(8).then(|| Span::days(60)),
        ..Policy::default()
    }
}
