//! A repository in two regions with one object of every kind, to be spoiled one object at a time.
//!
//! Everything in it is made by the crate `repo`'s builders and signed by a host that the owner certified. Deliberately small: a matrix of
//! damage makes it anew for each cell, from the bytes kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use seawall_pg::control::encode::encode;
use seawall_pg::wal::WalOf;
use seawall_pg::wal::testing::{RecordSpec, WalWriter};
use seawall_pg::{Lsn, PAGE_BYTES, SegmentName, SegmentNo, Timeline, Version, WalFileName, page_checksum};
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::id::BackupId;
use seawall_repo::keys::{PageDigest, WriterKey};
use seawall_repo::manifest::{BlockRow, Manifest, ManifestBody, ManifestHeader, ServerFacts, Way};
use seawall_repo::map::{
    Chain, DigestPages, EntryKind, FileBlockBuilder, FileEntry, LeafChains, LeafPages, MapBuilder,
};
use seawall_repo::object::SealedObject;
use seawall_repo::pack::{PackBuilder, PackId, Run};
use seawall_repo::seal::Cipher;
use seawall_repo::usage::PackUsage;
use seawall_repo::wal_object::{Indexed, PART_BYTES, PlainRead, WalFacts, WalSealer};
use seawall_store::faulty::FaultyStore;
use seawall_store::{ObjectStore, World};

use crate::archive::index::Indexer;
use crate::archive::testing::{Bench, SYSTEM};
use crate::monitor::Collecting;
use crate::repository::{Repository, WorldEntropy};
use crate::verify::{Depth, VerifyOptions, VerifyReport, verify};

/// One region's objects.
pub(crate) type Objects = BTreeMap<String, Bytes>;

/// A file of a backup: path and content.
pub(crate) type File = (&'static [u8], Vec<u8>);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// Somebody with an identity: everything opens.
    Reader,
    /// A host that writes: content stays closed.
    Host,
}

/// The repository.
pub(crate) struct Ground {
    pub(crate) bench: Bench,
    pub(crate) host: Repository,
    pub(crate) compressor: Compressor,
    leaves: BTreeMap<&'static [u8], (Vec<u8>, LeafPages, DigestPages, LeafChains)>,
    usage: PackUsage,
    pub(crate) backups: Vec<BackupId>,
    /// Whether segments have an index.
    pub(crate) indexes: bool,
    /// Damaged pages that the next backups know of.
    pub(crate) known: Vec<seawall_repo::manifest::Finding>,
}

pub(crate) fn options(depth: Depth) -> VerifyOptions {
    VerifyOptions {
        depth,
        region: None,
        budget_bytes: None,
        budget_time: None,
        workers: 2,
        niceness: Default::default(),
    }
}

/// A relation's page with its checksum, for a block.
pub(crate) fn page(block: u32, fill: u8) -> Vec<u8> {
    let mut page = [fill; PAGE_BYTES];
    page[..20].copy_from_slice(&[0, 0, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0x20, 0, 0x20, 4, 0x20]);
    let sum = page_checksum(&page, block);
    page[8..10].copy_from_slice(&sum.to_le_bytes());
    page.to_vec()
}

fn relation(fills: &[u8]) -> Vec<u8> {
    fills.iter().zip(0..).flat_map(|(fill, block)| page(block, *fill)).collect()
}

impl Ground {
    /// An empty repository.
    pub(crate) async fn new(mebibytes: u32) -> Self {
        let mut bench = Bench::with(2, mebibytes).await;
        // What is stored in memory is dated by the real clock, and intents live by it.
        bench.world = World::system();
        Self::over(bench).await
    }

    /// An empty repository whose stores and hosts go by the clock of the test.
    pub(crate) async fn with_time(mebibytes: u32) -> Self {
        Self::over(Bench::with(2, mebibytes).await).await
    }

    /// One whose content is not encrypted, with an object of every kind.
    pub(crate) async fn plain() -> Self {
        let mut bench = Bench::of(2, 1, Cipher::None).await;
        bench.world = World::system();
        Self::over(bench).await.filled().await
    }

    async fn over(bench: Bench) -> Self {
        let host = bench.as_host("db1").await.unwrap();
        let compressor = Compressor::new(Compression::Zstd(1)).unwrap();
        Self {
            bench,
            host,
            compressor,
            leaves: BTreeMap::new(),
            usage: PackUsage::default(),
            backups: Vec::new(),
            indexes: true,
            known: Vec::new(),
        }
    }

    /// One object of every kind: two backups, the younger naming packs and maps of the older; two timelines.
    pub(crate) async fn full() -> Self {
        Self::new(1).await.filled().await
    }

    /// The same, its segments without an index.
    pub(crate) async fn without_indexes() -> Self {
        Self { indexes: false, ..Self::new(1).await }.filled().await
    }

    async fn filled(self) -> Self {
        let mut ground = self;
        let plain = vec![7; 20_000];
        ground
            .backup(
                3,
                &[
                    (b"PG_VERSION", b"17\n".to_vec()),
                    (b"base/5/16384", relation(&[1, 2, 3])),
                    (b"pg_xact/0000", plain.clone()),
                ],
            )
            .await;
        ground
            .backup(
                5,
                &[
                    (b"PG_VERSION", b"17\n".to_vec()),
                    (b"base/5/16384", relation(&[1, 9, 3, 4])),
                    (b"pg_xact/0000", plain),
                ],
            )
            .await;
        for number in 2..=6 {
            ground.segment(1, number).await;
        }
        for number in 6..=8 {
            ground.segment(2, number).await;
        }
        let at = 6 * (1 << 20) + 8192;
        ground
            .wal("00000002.history", format!("1\t0/{at:X}\tno recovery target specified\n").as_bytes())
            .await;
        let content = ground.segment_bytes(1, 7, 7);
        ground.wal("000000010000000000000007.partial", &content).await;
        ground.wal("000000010000000000000003.00000028.backup", b"START WAL LOCATION: 0/300028\n").await;
        ground.records().await;
        ground
    }

    pub(crate) async fn put(&self, object: SealedObject) {
        let (name, bytes, _) = object.into_parts();
        let puts = self.bench.regions().set().put_all(name.as_str(), &bytes.into()).await;
        assert!(puts.iter().all(|(_, put)| put.is_ok()), "{name}");
    }

    /// Takes a backup of files of less than one leaf, within WAL segment `segment`; a file that did not change keeps its chains.
    pub(crate) async fn backup(&mut self, segment: u64, files: &[File]) {
        let id = BackupId::new(1_900_000_000 + segment, &mut WorldEntropy::new(&self.bench.world)).unwrap();
        let changed = self.store_pages(id, files).await;
        let block = self.store_maps(id, files, changed).await;
        self.store_manifest(id, segment, files, block).await;
        self.backups.push(id);
    }

    /// Puts what changed into one pack: the leaves of changed files, by their number among `files`.
    async fn store_pages(
        &mut self,
        id: BackupId,
        files: &[File],
    ) -> BTreeMap<u32, (LeafPages, Vec<PageDigest>)> {
        let world = self.bench.world.clone();
        let (sealer, mut entropy) = (self.host.sealer().unwrap().clone(), WorldEntropy::new(&world));
        let pack = PackId { backup: id, number: 0 };
        let mut builder = PackBuilder::new(&sealer, &self.bench.place(), pack, &mut entropy).unwrap();
        let mut changed: BTreeMap<u32, (LeafPages, Vec<PageDigest>)> = BTreeMap::new();
        for ((path, bytes), file) in files.iter().zip(0..) {
            let old = self.leaves.get(path);
            if old.is_some_and(|(content, ..)| content == bytes) {
                continue;
            }
            let digests: Vec<_> =
                bytes.chunks(PAGE_BYTES).map(|page| sealer.digest_key().page_digest(page)).collect();
            let places = old.map(|(_, places, ..)| places.clone()).unwrap_or_default();
            let older = old.map(|(_, _, digests, _)| digests);
            for (page, content) in bytes.chunks(PAGE_BYTES).enumerate() {
                if older.is_none_or(|older| older.digest(page) != digests[page]) {
                    let digests = &digests[page..=page];
                    let run = Run { file, path, first_page: page as u64, bytes: content, digests };
                    builder.add_run(&run, &mut self.compressor).unwrap();
                }
            }
            changed.insert(file, (places, digests));
        }
        let sealed = builder.finish(self.host.writer().unwrap(), &mut self.compressor).unwrap().unwrap();
        for run in &sealed.stored {
            let (places, _) = changed.get_mut(&run.file).unwrap();
            places.set(run.first_page as usize, run.pages as usize, &run.place, run.offset);
        }
        self.usage.add_pack(pack, sealed.pages, sealed.stored_bytes).unwrap();
        self.put(sealed.object).await;
        changed
    }

    /// Puts the maps; the row of the only block.
    async fn store_maps(
        &mut self,
        id: BackupId,
        files: &[File],
        mut changed: BTreeMap<u32, (LeafPages, Vec<PageDigest>)>,
    ) -> BlockRow {
        let world = self.bench.world.clone();
        let (sealer, mut entropy) = (self.host.sealer().unwrap().clone(), WorldEntropy::new(&world));
        let mut map = MapBuilder::new(&sealer, &self.bench.place(), id, 0, &mut entropy).unwrap();
        let mut blocks = FileBlockBuilder::default();
        for ((path, bytes), file) in files.iter().zip(0..) {
            if let Some((places, digests)) = changed.remove(&file) {
                if let Some((_, old, ..)) = self.leaves.get(path) {
                    self.usage.remove_leaf(old).unwrap();
                }
                self.usage.add_leaf(&places).unwrap();
                let digests = DigestPages::new(digests);
                // Written as nodes of their own, however small, so that maps are named from other backups' blocks.
                let mut chain =
                    |node: &[u8]| Chain::Nodes(vec![map.append(node, &mut self.compressor).unwrap()]);
                let locations = chain(&places.to_leaf().encode());
                let chains = LeafChains { locations, digests: chain(&digests.to_leaf().encode()) };
                self.leaves.insert(path, (bytes.clone(), places, digests, chains));
            }
            let leaves = vec![self.leaves[path].3.clone()];
            let kind = EntryKind::File { size: bytes.len() as u64, leaves };
            assert!(blocks.push(&FileEntry { path: path.to_vec(), mode: 0o600, kind }).unwrap().is_none());
        }
        let block = blocks.finish().unwrap();
        let node = map.append(&block.node, &mut self.compressor).unwrap();
        let object = map.finish(self.host.writer().unwrap(), &mut self.compressor).unwrap().unwrap();
        self.put(object).await;
        BlockRow { first: block.first_path, entries: block.entries as u64, node }
    }

    /// Every other backup whose packs or maps are named.
    fn uses(&self, id: BackupId) -> Vec<BackupId> {
        let of = |chain: &Chain| match chain {
            Chain::Inline(_) => Vec::new(),
            Chain::Nodes(nodes) => nodes.iter().map(|node| node.backup).collect(),
        };
        let leaves = self.leaves.values().map(|(_, _, _, leaf)| leaf);
        let chains = leaves.flat_map(|leaf| [of(&leaf.locations), of(&leaf.digests)].concat());
        let all: BTreeSet<BackupId> = self.usage.backups().into_iter().chain(chains).collect();
        all.into_iter().filter(|other| *other != id).collect()
    }

    async fn store_manifest(&mut self, id: BackupId, segment: u64, files: &[File], block: BlockRow) {
        let (uses, parent) = (self.uses(id), self.backups.last().copied());
        let at = |byte: u64| Lsn(segment * self.bench.size.bytes() + byte);
        let now = crate::backup::now(&self.bench.world).unwrap();
        let mut header = ManifestHeader {
            backup: id,
            cluster: self.bench.place().cluster,
            system: SYSTEM,
            postgresql: 17,
            way: if parent.is_some() { Way::Scan } else { Way::Full },
            parent,
            timeline: Timeline::FIRST,
            start: at(0x28),
            stop: at(0x200),
            stop_timeline: Timeline::FIRST,
            started: now,
            stopped: now,
            segment_size: self.bench.size,
            bytes: files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
            stored: 1,
            packs: 1,
            maps: 1,
            uses: Vec::new(),
            uses_more: false,
            damaged_pages: self.known.len() as u64,
            from_standby: false,
            next_xid: None,
        };
        header.set_uses(&uses);
        let body = ManifestBody {
            uses,
            blocks: vec![block],
            packs: self.usage.rows(),
            label: "START WAL LOCATION".to_owned(),
            findings: self.known.clone(),
            control: encode(&self.bench.control(SYSTEM)),
            server: ServerFacts { data_checksums: true, ..ServerFacts::default() },
            ..ManifestBody::default()
        };
        let mut entropy = WorldEntropy::new(&self.bench.world);
        let (sealer, key) = (self.host.sealer().unwrap(), self.host.writer().unwrap());
        let manifest = Manifest { header, body };
        let object = manifest.seal(sealer, key, &mut self.compressor, &mut entropy).unwrap();
        self.put(object).await;
    }

    /// The bytes of a segment of two records, the second of which closes it. Those of neighbours go on in one another, whatever is in them.
    pub(crate) fn segment_bytes(&self, timeline: u32, number: u64, seed: u8) -> Vec<u8> {
        self.segment_behind(timeline, number, seed, 0)
    }

    /// The same; `off` is by how much its first record misses where the last one before it begins.
    pub(crate) fn segment_behind(&self, timeline: u32, number: u64, seed: u8, off: u64) -> Vec<u8> {
        let of = WalOf { version: Version::from_major(17).unwrap(), system: SYSTEM, size: self.bench.size };
        let record = RecordSpec::of(0, 0x20, &[seed; 10_000]);
        let mut before = WalWriter::new(of, SegmentNo(number - 1));
        before.record(&record);
        let mut writer = WalWriter::new(of, SegmentNo(number));
        writer.bytes.clear();
        (writer.timeline, writer.previous) =
            (Timeline::new(timeline).unwrap(), Lsn(before.switch().0.saturating_sub(off)));
        writer.page_header(0, false);
        writer.record(&record);
        writer.switch();
        writer.bytes
    }

    /// What the archive would tell of a segment's records.
    pub(crate) fn index_of(&self, number: u64, bytes: &[u8]) -> Indexed {
        let of = WalOf { version: Version::from_major(17).unwrap(), system: SYSTEM, size: self.bench.size };
        let mut indexer = Indexer::new(of, SegmentNo(number).first_lsn(of.size).unwrap(), None);
        indexer.take(bytes);
        let indexed = indexer.finish(None).unwrap();
        Indexed::new(indexed.index.encode().unwrap(), indexed.transactions).unwrap()
    }

    pub(crate) async fn segment(&mut self, timeline: u32, number: u64) {
        let name =
            SegmentName::new(Timeline::new(timeline).unwrap(), SegmentNo(number), self.bench.size).unwrap();
        let bytes = self.segment_bytes(timeline, number, 7);
        self.wal(&name.to_string(), &bytes).await;
    }

    /// The objects of a WAL file, signed with this key, with an index where it is a segment and segments have one.
    pub(crate) fn wal_signed(&mut self, key: &WriterKey, file: &str, content: &[u8]) -> Vec<SealedObject> {
        let index = match file.parse::<WalFileName>().unwrap() {
            WalFileName::Segment(segment) if self.indexes => {
                self.index_of(segment.number(self.bench.size).unwrap().0, content)
            }
            _ => Indexed::Not("none".to_owned()),
        };
        self.wal_indexed(key, file, content, &index)
    }

    /// The same, with an index in front.
    pub(crate) fn wal_indexed(
        &mut self,
        key: &WriterKey,
        file: &str,
        content: &[u8],
        index: &Indexed,
    ) -> Vec<SealedObject> {
        let facts = WalFacts {
            place: self.bench.place(),
            file: file.parse::<WalFileName>().unwrap(),
            segment_size: self.bench.size,
            host: "db1".to_owned(),
            archived: crate::backup::now(&self.bench.world).unwrap(),
        };
        let mut entropy = WorldEntropy::new(&self.bench.world);
        let sealer = self.host.sealer().unwrap();
        let wal = WalSealer { facts: &facts, index, sealer, key };
        let none = Indexed::Not("none".to_owned());
        if content.len() <= PART_BYTES {
            return vec![wal.seal(content, &mut self.compressor, &mut entropy).unwrap()];
        }
        let mut objects = Vec::new();
        for (part, number) in content.chunks(PART_BYTES).zip(0..) {
            let read = PlainRead::of(part, sealer, &mut self.compressor).unwrap();
            let part = WalSealer { index: &none, ..wal };
            objects.push(part.seal_part(number, &read, &mut entropy).unwrap());
        }
        let digests: Vec<_> = objects.iter().map(|part| *part.plain_digest()).collect();
        let whole = sealer.digest_key().digest(content);
        objects.push(wal.seal_parted(&digests, whole, content.len() as u64, &mut entropy).unwrap());
        objects
    }

    pub(crate) async fn wal(&mut self, file: &str, content: &[u8]) {
        let host = self.host.clone();
        for object in self.wal_signed(host.writer().unwrap(), file, content) {
            self.put(object).await;
        }
    }

    /// What each region holds.
    pub(crate) async fn objects(&self) -> Vec<Objects> {
        let mut all = Vec::new();
        for region in self.bench.regions().iter() {
            let mut objects = Objects::new();
            for info in region.list_collect("").await.unwrap() {
                let bytes = region.get(&info.name, u64::MAX).await.unwrap();
                objects.insert(info.name, bytes);
            }
            all.push(objects);
        }
        all
    }

    /// Gives each region other objects.
    pub(crate) async fn lay(&mut self, regions: &[Objects]) {
        let mut stores = Vec::new();
        for objects in regions {
            let memory = InMemory::new();
            for (name, bytes) in objects {
                memory.put(&Path::from(name.as_str()), bytes.clone().into()).await.unwrap();
            }
            stores.push(FaultyStore::new(Arc::new(memory) as Arc<dyn ObjectStore>, &self.bench.world));
        }
        self.bench.stores = stores;
    }

    pub(crate) async fn verify(&self, who: As, options: &VerifyOptions) -> VerifyReport {
        let host = self.bench.as_host("db1").await;
        let repository = match who {
            As::Reader => self.bench.as_reader().await.unwrap(),
            As::Host => host.unwrap(),
        };
        verify(&repository, None, options, Arc::new(Collecting::default())).await.unwrap()
    }
}
