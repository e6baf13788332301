//! A small repository in memory with faults on request, and a data directory with WAL, for the tests of this folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use seawall_pg::control::{CONTROL_FILE_PATH, encode::encode};
use seawall_pg::wal::WalOf;
use seawall_pg::wal::testing::{RecordSpec, WalWriter};
use seawall_pg::{
    ControlFile, Lsn, SegmentName, SegmentNo, SystemIdentifier, Timeline, Version, WalSegmentSize,
};
use seawall_repo::id::{Generation, RepositoryId};
use seawall_repo::identity::Identities;
use seawall_repo::keys::{OwnerKey, WriterKey};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::records::{
    Adoption, ClusterScope, FORMAT, KeyRecord, Right, SeawallJson, WriterCertificate,
};
use seawall_repo::seal::Cipher;
use seawall_repo::signed::sign_as_owner;
use seawall_repo::wrapped::{ClusterKeys, WrapFor};
use seawall_store::clocked::ClockedStore;
use seawall_store::faulty::FaultyStore;
use seawall_store::world::{Clock, ManualClock, Random, SystemRandom};
use seawall_store::{Limits, Region, RegionConfig, RegionName, Regions, Role, World};

use crate::repository::{
    Acknowledge, HostGeneration, HostKeys, Levels, Repository, RepositorySettings, Secrets, WorldEntropy,
};

/// The system identifier of the data directory.
pub(crate) const SYSTEM: SystemIdentifier = SystemIdentifier(7_575_757_575);

/// A clock that is apart from another, and can be set.
#[derive(Debug, Clone)]
pub(crate) struct ClockApart {
    pub(crate) clock: Arc<dyn Clock>,
    /// How much it is ahead.
    pub(crate) micros: Arc<AtomicI64>,
}

impl Clock for ClockApart {
    fn now_unix_us(&self) -> i64 {
        self.clock.now_unix_us() + self.micros.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn uptime(&self) -> Option<seawall_store::world::Uptime> {
        self.clock.uptime()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep(duration)
    }

    fn deadline(&self, at: Duration) -> BoxFuture<'static, ()> {
        self.clock.deadline(at)
    }

    fn sleep_blocking(&self, duration: Duration) {
        self.clock.sleep_blocking(duration);
    }
}

/// Regions, keys and a data directory.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) world: World,
    pub(crate) stores: Vec<FaultyStore>,
    /// What lies beneath, with times of this world, each of which can be put out of reach.
    pub(crate) memories: Vec<ClockedStore>,
    pub(crate) size: WalSegmentSize,
    pub(crate) acknowledge: Acknowledge,
    /// The repository's id and its owner's key.
    pub(crate) owner: Option<(RepositoryId, OwnerKey)>,
}

impl Bench {
    /// Two regions, segments of 1 MiB.
    pub(crate) async fn new() -> Self {
        Self::with(2, 1).await
    }

    pub(crate) async fn with(regions: usize, mebibytes: u32) -> Self {
        Self::of(regions, mebibytes, Cipher::Aes256Gcm).await
    }

    /// The same, encrypted or not.
    pub(crate) async fn of(regions: usize, mebibytes: u32, cipher: Cipher) -> Self {
        let apart: Vec<_> = (0..regions).map(|_| Duration::ZERO).collect();
        Self::with_clocks(&apart, mebibytes, cipher, Arc::new(SystemRandom)).await
    }

    /// With regions whose clocks are so much ahead.
    pub(crate) async fn with_clocks(
        ahead: &[Duration],
        mebibytes: u32,
        cipher: Cipher,
        random: Arc<dyn Random>,
    ) -> Self {
        let world = World { clock: Arc::new(ManualClock::default()), random };
        let memory = |ahead: &Duration| {
            let micros = i64::try_from(ahead.as_micros()).unwrap();
            let clock =
                ClockApart { clock: Arc::clone(&world.clock), micros: Arc::new(AtomicI64::new(micros)) };
            let own = World { clock: Arc::new(clock), random: Arc::clone(&world.random) };
            ClockedStore::new(Arc::new(object_store::memory::InMemory::new()), &own)
        };
        let memories: Vec<ClockedStore> = ahead.iter().map(memory).collect();
        let stores = memories.iter().map(|store| FaultyStore::new(Arc::new(store.clone()), &world)).collect();
        let folder = tempfile::tempdir().unwrap();
        let size = WalSegmentSize::new(mebibytes << 20).unwrap();
        let mut bench =
            Self { folder, world, stores, memories, size, acknowledge: Acknowledge::All, owner: None };
        bench.owner = Some(bench.found(cipher).await);
        bench.write_control(&bench.control(SYSTEM));
        bench
    }

    /// Founds a repository with one cluster, two writers, a pruner and the adoption of [`SYSTEM`].
    async fn found(&self, cipher: Cipher) -> (RepositoryId, OwnerKey) {
        let identity = Identities::generate();
        self.secret("identity", &identity.print());
        let mut entropy = WorldEntropy::new(&self.world);
        let (id, owner) = (RepositoryId::new(&mut entropy), OwnerKey::generate(&mut entropy));
        let keys = ClusterKeys::generate(&mut entropy);
        let now = crate::backup::now(&self.world).unwrap();
        let cluster: seawall_repo::id::ClusterName = "orders".parse().unwrap();
        let (generation, change) = (Generation::FIRST, 1);
        let recipients = identity.recipients();
        let record = KeyRecord {
            cluster: cluster.clone(),
            generation,
            change,
            public: keys.secret.public(),
            wrapped: keys.wrap(&[WrapFor::Recipients(&recipients)]).unwrap(),
        };
        let encrypted = cipher != Cipher::None;
        if encrypted {
            self.put(&id, &owner, Named::Key { cluster: cluster.clone(), generation, change }, &record).await;
        }
        for (label, right) in [("db1", Right::Write), ("db2", Right::Write), ("pruner", Right::Prune)] {
            let writer = WriterKey::generate(&mut entropy);
            let certificate = WriterCertificate {
                writer: writer.id(),
                public: writer.public(),
                cluster: ClusterScope::One(cluster.clone()),
                rights: vec![right],
                label: label.to_owned(),
                created: now,
            };
            self.put(&id, &owner, Named::Writer(writer.id()), &certificate).await;
            let one = HostGeneration { generation, meta: keys.meta.clone(), public: keys.secret.public() };
            let generations = if encrypted { vec![one] } else { Vec::new() };
            let host = HostKeys {
                repository: id,
                owner: owner.public(),
                cluster: cluster.clone(),
                writer,
                generations,
            };
            host.create(&self.key_file(label), &self.world).unwrap();
        }
        let adoption = Adoption { cluster, system: SYSTEM, after: None, adopted: now, postgresql: 17 };
        self.put(&id, &owner, Named::Adoption(self.place()), &adoption).await;
        let record =
            SeawallJson { format: FORMAT, repository: id, cipher, owner: owner.public(), created: now };
        self.put(&id, &owner, Named::Seawall, &record).await;
        (id, owner)
    }

    pub(crate) async fn put<R: serde::Serialize>(
        &self,
        id: &RepositoryId,
        owner: &OwnerKey,
        named: Named,
        record: &R,
    ) {
        let name = named.to_name();
        let text = sign_as_owner(record, id, &name, owner).unwrap();
        let puts = self.regions().set().put_all(name.as_str(), &text.into()).await;
        assert!(puts.iter().all(|(_, put)| put.is_ok()));
    }

    /// A host's key file.
    pub(crate) fn key_file(&self, host: &str) -> PathBuf {
        self.folder.path().join(format!("{host}.key"))
    }

    fn secret(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        seawall_store::durable::create_new(&path, text.as_bytes(), 0o600, self.world.random.as_ref())
            .unwrap();
    }

    /// The regions as they are now, faults included, with fresh health.
    pub(crate) fn regions(&self) -> Regions {
        let names = ["north", "south", "west"];
        let regions = self.stores.iter().zip(names).map(|(store, name)| {
            let limits = Limits { attempts_max: 2, ..Limits::default() };
            let name = RegionName::new(name).unwrap();
            let config = RegionConfig {
                url: format!("memory:///{name}"),
                access: seawall_store::Access::default(),
                name,
                role: Role::Copy,
                limits,
            };
            Region::with_store(config, Arc::new(store.clone()), &self.world)
        });
        Regions::new(regions.collect(), &self.world).unwrap()
    }

    /// New fault counters over the same objects.
    pub(crate) fn fresh_faults(&mut self) {
        self.stores = self
            .memories
            .iter()
            .map(|store| FaultyStore::new(Arc::new(store.clone()), &self.world))
            .collect();
    }

    /// The repository as a host sees it through stores that `wrap` changes, with all the time in the world.
    pub(crate) async fn open_over(
        &self,
        host: &str,
        wrap: impl Fn(Arc<dyn seawall_store::ObjectStore>) -> Arc<dyn seawall_store::ObjectStore>,
    ) -> crate::Result<Repository> {
        self.open_in(host, &self.world, wrap).await
    }

    /// The same, as a host whose clock is that of another world.
    pub(crate) async fn open_in(
        &self,
        host: &str,
        world: &World,
        wrap: impl Fn(Arc<dyn seawall_store::ObjectStore>) -> Arc<dyn seawall_store::ObjectStore>,
    ) -> crate::Result<Repository> {
        let patient = Duration::from_secs(1_000_000_000);
        let limits =
            Limits { attempts_max: 1, stall: patient, down_after_failures: 1_000_000, ..Limits::default() };
        let names = ["north", "south", "west"];
        let regions = self.memories.iter().zip(names).map(|(store, name)| {
            let name = RegionName::new(name).unwrap();
            let config = RegionConfig {
                url: format!("memory:///{name}"),
                name,
                role: Role::Copy,
                access: seawall_store::Access::default(),
                limits: limits.clone(),
            };
            Region::with_store(config, wrap(Arc::new(store.clone())), world)
        });
        let regions = Regions::new(regions.collect(), world).unwrap();
        let secrets = Secrets::Host(self.key_file(host));
        Repository::open_in(regions, &self.settings(), &"orders".parse().unwrap(), &secrets, world).await
    }

    /// Settings that name no region.
    pub(crate) fn settings(&self) -> RepositorySettings {
        RepositorySettings {
            regions: Vec::new(),
            id: None,
            owner: None,
            acknowledge: self.acknowledge,
            levels: Levels::DEFAULT,
        }
    }

    /// The repository as a host sees it.
    pub(crate) async fn as_host(&self, host: &str) -> crate::Result<Repository> {
        self.open(&Secrets::Host(self.key_file(host))).await
    }

    /// The repository as a restore sees it.
    pub(crate) async fn as_reader(&self) -> crate::Result<Repository> {
        let host = HostKeys::load(&self.key_file("db1"))?;
        let settings =
            RepositorySettings { id: Some(host.repository), owner: Some(host.owner), ..self.settings() };
        let secrets = Secrets::Identities(vec![self.folder.path().join("identity")].into());
        let cluster = "orders".parse().unwrap();
        Repository::open_in(self.regions(), &settings, &cluster, &secrets, &self.world).await
    }

    async fn open(&self, secrets: &Secrets) -> crate::Result<Repository> {
        let cluster = "orders".parse().unwrap();
        Repository::open_in(self.regions(), &self.settings(), &cluster, secrets, &self.world).await
    }

    pub(crate) fn place(&self) -> Place {
        Place { cluster: "orders".parse().unwrap(), system: SYSTEM }
    }

    /// The data directory.
    pub(crate) fn pgdata(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn control(&self, system: SystemIdentifier) -> ControlFile {
        control_file(system, self.size)
    }

    pub(crate) fn write_control(&self, control: &ControlFile) {
        let path = self.pgdata().join(CONTROL_FILE_PATH);
        self.write(&path, &encode(control));
        std::fs::create_dir_all(self.pgdata().join("pg_wal")).unwrap();
    }

    fn write(&self, path: &Path, bytes: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Puts a file into `pg_wal`; its path as `%p` says it.
    pub(crate) fn wal(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = PathBuf::from("pg_wal").join(name);
        self.write(&self.pgdata().join(&path), bytes);
        path
    }

    /// A segment with a right first page and content that follows from `seed`.
    pub(crate) fn segment(&self, timeline: u32, number: u64, seed: u8) -> (String, Vec<u8>) {
        let timeline = Timeline::new(timeline).unwrap();
        let name = SegmentName::new(timeline, SegmentNo(number), self.size).unwrap();
        let of = WalOf { version: Version::from_major(17).unwrap(), system: SYSTEM, size: self.size };
        let mut writer = WalWriter::new(of, SegmentNo(number));
        writer.bytes.clear();
        writer.timeline = timeline;
        writer.page_header(0, false);
        writer.record(&RecordSpec::of(RMGR_XLOG, XLOG_NOOP, &[seed; 10_000]));
        writer.switch();
        (name.to_string(), writer.bytes)
    }

    /// Writes a segment into `pg_wal`; its `%p`.
    pub(crate) fn segment_file(&self, timeline: u32, number: u64, seed: u8) -> PathBuf {
        let (name, bytes) = self.segment(timeline, number, seed);
        self.wal(&name, &bytes)
    }

    /// Pushes segment `number` of timeline 1.
    pub(crate) async fn pushed(&self, number: u64, seed: u8) -> String {
        let path = self.segment_file(1, number, seed);
        let repository = self.as_host("db1").await.unwrap();
        super::push::push(&repository, &self.pgdata(), &path).await.unwrap();
        self.segment(1, number, seed).0
    }

    pub(crate) fn object(&self, file: &str) -> ObjectName {
        Named::Wal { place: self.place(), file: file.parse().unwrap() }.into()
    }
}

const RMGR_XLOG: u8 = 0;
const XLOG_NOOP: u8 = 0x20;

/// The first forty bytes of a segment of PostgreSQL 17.
pub(crate) fn first_page(
    timeline: Timeline,
    at: Lsn,
    system: SystemIdentifier,
    size: WalSegmentSize,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(Version::from_major(17).unwrap().facts().wal_magic.to_le_bytes());
    bytes.extend(2u16.to_le_bytes());
    bytes.extend(timeline.get().to_le_bytes());
    bytes.extend(at.0.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(system.0.to_le_bytes());
    bytes.extend(size.bytes_u32().to_le_bytes());
    bytes.extend(8192u32.to_le_bytes());
    bytes
}

fn control_file(system: SystemIdentifier, size: WalSegmentSize) -> ControlFile {
    use seawall_pg::control::{Checkpoint, ClusterState, WalLevel};
    let timeline = Timeline::FIRST;
    ControlFile {
        system_identifier: system,
        version: Version::from_major(17).unwrap(),
        state: ClusterState::InProduction,
        time: 1_900_000_000,
        checkpoint_lsn: Lsn(0x0100_0028),
        checkpoint: Checkpoint {
            redo: Lsn(0x0100_0028),
            timeline,
            previous_timeline: timeline,
            full_page_writes: true,
            wal_level: Some(WalLevel::Replica),
            next_xid: 700,
            next_oid: 16_384,
            next_multi: 1,
            next_multi_offset: 0,
            oldest_xid: 700,
            oldest_multi: 1,
            time: 1_900_000_000,
        },
        min_recovery_point: Lsn::INVALID,
        min_recovery_timeline: None,
        backup_start: Lsn::INVALID,
        backup_end: Lsn::INVALID,
        backup_end_required: false,
        wal_level: WalLevel::Replica,
        wal_log_hints: false,
        minimums: seawall_pg::ControlMinimums {
            max_connections: 100,
            max_worker_processes: 8,
            max_wal_senders: 10,
            max_prepared_transactions: 0,
            max_locks_per_transaction: 64,
        },
        track_commit_timestamp: false,
        relation_segment_blocks: 131_072,
        wal_segment_size: size,
        data_checksum_version: 1,
        default_char_signed: None,
        mock_authentication_nonce: [7; 32],
    }
}
