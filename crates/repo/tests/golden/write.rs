//! Writes a golden repository through the crate's public API alone, as a host and its engine would.
//!
//! Keys, ids and salts follow from a seed; only the age files do not (age takes its randomness from the system), so what was
//! written once is kept and never made again. Each backup reads everything and stores what its parent does not hold.

use std::collections::HashMap;
use std::path::PathBuf;

use seawall_pg::{Lsn, Timeline, WalFileName, WalSegmentSize};
use seawall_repo::chapter::Chapter;
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::entropy::Entropy;
use seawall_repo::id::{BackupId, Generation, RepositoryId, SystemId};
use seawall_repo::identity::Identities;
use seawall_repo::keys::{OwnerKey, PageDigest, WriterKey};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::{BlockRow, Manifest, ManifestBody, ManifestHeader, Way};
use seawall_repo::map::{
    Chain, DigestPages, EntryKind, FileBlock, FileBlockBuilder, FileEntry, LEAF_PAGES, LeafChains, LeafPages,
    MapBuilder, Update, ZERO_PAGE, digest_update, location_update,
};
use seawall_repo::pack::{PackBuilder, PackId, Run};
use seawall_repo::records::{
    Adoption, ClusterScope, FORMAT, Intent, KeyRecord, OwnerRecord, Right, SeawallJson, WriterCertificate,
};
use seawall_repo::seal::{Cipher, Sealer};
use seawall_repo::signed::{sign_as_owner, sign_as_writer};
use seawall_repo::time::Time;
use seawall_repo::usage::PackUsage;
use seawall_repo::wal_object::{Indexed, PART_BYTES, PlainRead, WalFacts, WalSealer};
use seawall_repo::wrapped::{ClusterKeys, WrapFor};

use crate::content::{self, Content, Entry, PAGE, WalFile};
use crate::listing::Listing;
use crate::parent::{OldLeaf, Parent, backups_of, changed};
use crate::region;

/// Both lives of the cluster: before and after an upgrade.
const SYSTEMS: [SystemId; 2] = [SystemId(7_300_000_000_000_000_001), SystemId(7_300_000_000_000_000_002)];
const SECONDS: u64 = 1_900_000_000;

struct Seeded(Box<blake3::OutputReader>);

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

pub(crate) struct Writer {
    region: PathBuf,
    entropy: Seeded,
    owner: OwnerKey,
    writer: WriterKey,
    sealer: Sealer,
    compressor: Compressor,
}

pub(crate) fn write(version: &str, flavour: &str) {
    let mut writer = Writer::begun(version, flavour);
    let mut parent = Parent::default();
    for (number, state) in content::states().iter().enumerate() {
        parent = writer.backup(number, state, &parent);
        let listing = listing(state, &control(number));
        listing.keep(version, &format!("{}.tree", parent.id.unwrap()));
    }
    writer.archive(version);
}

pub(crate) fn time(seconds: u64) -> Time {
    Time::from_micros(((SECONDS + seconds) * 1_000_000) as i64).unwrap()
}

pub(crate) fn place(life: usize) -> Place {
    Place { cluster: "orders".parse().unwrap(), system: SYSTEMS[life] }
}

/// Stands for `global/pg_control`, which a manifest holds.
fn control(number: usize) -> Vec<u8> {
    format!("pg_control of state {}; ", number + 1).bytes().cycle().take(PAGE).collect()
}

fn label(number: usize) -> String {
    format!("START WAL LOCATION: 0/100028 (file 000000010000000000000001)\nLABEL: golden {}\n", number + 1)
}

const TABLESPACE_MAP: &str = "16400 /mnt/fast/tables\n";

/// What a restore writes: the files, and what the manifest holds.
fn listing(state: &[Entry], control: &[u8]) -> Listing {
    let mut listing = Listing::default();
    for Entry { path, mode, content } in state {
        match content {
            Content::File(bytes) => listing.file(path, *mode, bytes),
            Content::Directory => listing.directory(path, *mode),
            Content::Link(target) => listing.link(path, *mode, target),
            Content::Empty => listing.empty(path, *mode),
        }
    }
    listing.file(b"global/pg_control", 0o600, control);
    listing
}

impl Writer {
    /// A repository with its keys, and nothing else.
    pub(crate) fn begun(version: &str, flavour: &str) -> Self {
        let folder = region::folder(version, flavour);
        let cipher = if flavour.ends_with("plain") { Cipher::None } else { Cipher::Aes256Gcm };
        let mut writer = Self::found(folder.join("region"), cipher, flavour);
        let owner = writer.owner.public();
        std::fs::write(folder.join("owner.txt"), format!("{owner}\n")).unwrap();
        std::fs::write(folder.join("writer-secret.txt"), format!("{}\n", &*writer.writer.to_text())).unwrap();
        if cipher == Cipher::Aes256Gcm {
            writer.wrap_keys(&folder);
        }
        writer
    }

    /// Founds the repository: its record, a writer, both system identifiers.
    fn found(region: PathBuf, cipher: Cipher, flavour: &str) -> Self {
        let seed = format!("golden repository {flavour} of format {FORMAT}");
        let entropy = blake3::Hasher::new().update(seed.as_bytes()).finalize_xof();
        let mut entropy = Seeded(Box::new(entropy));
        let repository = RepositoryId::new(&mut entropy);
        let (owner, key) = (OwnerKey::generate(&mut entropy), WriterKey::generate(&mut entropy));
        let compressor = Compressor::new(Compression::Zstd(19)).unwrap();
        let sealer = Sealer::plain(repository);
        let writer = Self { region, entropy, owner, writer: key, sealer, compressor };
        let record = SeawallJson {
            format: FORMAT,
            repository,
            cipher,
            owner: writer.owner.public(),
            created: time(0),
        };
        writer.put_owners(&Named::Seawall, &record);
        let certificate = WriterCertificate {
            writer: writer.writer.id(),
            public: writer.writer.public(),
            cluster: ClusterScope::One(place(0).cluster),
            rights: vec![Right::Write],
            label: "golden".to_owned(),
            created: time(0),
        };
        writer.put_owners(&Named::Writer(writer.writer.id()), &certificate);
        writer.adopt();
        writer
    }

    fn adopt(&self) {
        let cluster = place(0).cluster;
        let adoption = |life, after| Adoption {
            cluster: cluster.clone(),
            system: SYSTEMS[life],
            after,
            adopted: time(0),
            postgresql: 16 + life as u32,
        };
        self.put_owners(&Named::Adoption(place(0)), &adoption(0, None));
        self.put_writers(&Named::Adoption(place(1)), &adoption(1, Some(SYSTEMS[0])));
    }

    /// Draws the cluster's keys and wraps them and the owner's for two recipients.
    fn wrap_keys(&mut self, folder: &std::path::Path) {
        let keys = ClusterKeys::generate(&mut self.entropy);
        let identities = [Identities::generate(), Identities::generate()];
        let recipients: Vec<_> = identities.iter().flat_map(Identities::recipients).collect();
        for (identity, number) in identities.iter().zip(1..) {
            std::fs::write(folder.join(format!("identity-{number}.txt")), &*identity.print()).unwrap();
        }
        let to = [WrapFor::Recipients(&recipients)];
        let record = OwnerRecord { change: 1, wrapped: self.owner.wrap(&to).unwrap() };
        self.put_owners(&Named::Owner { change: 1 }, &record);
        let cluster = place(0).cluster;
        let (generation, public) = (Generation::FIRST, keys.secret.public());
        let wrapped = keys.wrap(&to).unwrap();
        let record = KeyRecord { cluster: cluster.clone(), generation, change: 1, public, wrapped };
        self.put_owners(&Named::Key { cluster, generation, change: 1 }, &record);
        self.sealer = Sealer::encrypted(*self.sealer.repository(), generation, keys.meta, public);
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) {
        region::put(&self.region, name, bytes);
    }

    fn put_owners<R: serde::Serialize>(&self, named: &Named, record: &R) {
        let name = named.to_name();
        self.put(&name, &sign_as_owner(record, self.sealer.repository(), &name, &self.owner).unwrap());
    }

    fn put_writers<R: serde::Serialize>(&self, named: &Named, record: &R) {
        let name = named.to_name();
        self.put(&name, &sign_as_writer(record, self.sealer.repository(), &name, &self.writer).unwrap());
    }

    /// Takes a backup of a state; what the next one needs of it.
    fn backup(&mut self, number: usize, state: &[Entry], parent: &Parent) -> Parent {
        let id = BackupId::new(SECONDS + 86_400 * number as u64, &mut self.entropy).unwrap();
        let uses: Vec<_> = parent.id.into_iter().collect();
        let intent = Intent {
            backup: id,
            n: 1,
            uses,
            adopts: Vec::new(),
            host: "golden".to_owned(),
            pid: 1,
            written: time(1),
        };
        self.put_writers(&Named::Intent { place: place(0), backup: id, number: 1 }, &intent);
        let mut new = Parent { id: Some(id), ..parent.clone() };
        let leaves = self.store_pages(id, state, parent, &mut new.usage);
        let maps = self.write_maps(id, state, &leaves, parent, &mut new);
        self.put_manifest(number, state, maps, parent, &new);
        new
    }

    /// Stores what the parent does not hold in one pack; every leaf of the state.
    fn store_pages(
        &mut self,
        id: BackupId,
        state: &[Entry],
        parent: &Parent,
        usage: &mut PackUsage,
    ) -> HashMap<(Vec<u8>, usize), (LeafPages, DigestPages)> {
        let pack = PackId { backup: id, number: 0 };
        let mut builder = PackBuilder::new(&self.sealer, &place(0), pack, &mut self.entropy).unwrap();
        let mut leaves = HashMap::new();
        for (file, entry) in state.iter().enumerate() {
            let Content::File(content) = &entry.content else { continue };
            let is_alone = entry.path == content::INCOMPRESSIBLE;
            if is_alone {
                builder.flush(&mut self.compressor).unwrap();
            }
            for (number, bytes) in content.chunks(LEAF_PAGES * PAGE).enumerate() {
                let key = (entry.path.to_vec(), number);
                let digests = self.digests(bytes);
                let old = parent.leaves.get(&key);
                let mut places = old.map(|old| old.places.clone()).unwrap_or_default();
                places.truncate(bytes.len().div_ceil(PAGE));
                for (page, digest) in digests.iter().enumerate() {
                    if *digest == ZERO_PAGE {
                        places.set_zeros(page, 1);
                    }
                }
                for stretch in changed(&digests, old.map(|old| &old.digests)) {
                    let end = (stretch.end * PAGE).min(bytes.len());
                    let first_page = (number * LEAF_PAGES + stretch.start) as u64;
                    let bytes = &bytes[stretch.start * PAGE..end];
                    let run = Run {
                        file: file as u32,
                        path: entry.path,
                        first_page,
                        bytes,
                        digests: &digests[stretch],
                    };
                    builder.add_run(&run, &mut self.compressor).unwrap();
                }
                leaves.insert(key, (places, DigestPages::new(digests)));
            }
            if is_alone {
                builder.flush(&mut self.compressor).unwrap();
            }
        }
        let sealed = builder.finish(&self.writer, &mut self.compressor).unwrap().expect("pages were stored");
        for run in &sealed.stored {
            let first = run.first_page as usize;
            let key = (state[run.file as usize].path.to_vec(), first / LEAF_PAGES);
            let (places, _) = leaves.get_mut(&key).unwrap();
            places.set(first % LEAF_PAGES, run.pages as usize, &run.place, run.offset);
        }
        self.put(sealed.object.name(), sealed.object.bytes());
        usage.add_pack(pack, sealed.pages, sealed.stored_bytes).unwrap();
        parent.leaves.values().for_each(|old| usage.remove_leaf(&old.places).unwrap());
        leaves.values().for_each(|(places, _)| usage.add_leaf(places).unwrap());
        leaves
    }

    fn digests(&self, bytes: &[u8]) -> Vec<PageDigest> {
        let key = self.sealer.digest_key();
        let digest =
            |page: &[u8]| if page.iter().all(|byte| *byte == 0) { ZERO_PAGE } else { key.page_digest(page) };
        bytes.chunks(PAGE).map(digest).collect()
    }

    /// Writes nodes and file blocks into one map object; the manifest's rows and the map's bytes.
    fn write_maps(
        &mut self,
        id: BackupId,
        state: &[Entry],
        leaves: &HashMap<(Vec<u8>, usize), (LeafPages, DigestPages)>,
        parent: &Parent,
        new: &mut Parent,
    ) -> (Vec<BlockRow>, u64) {
        let mut map = MapBuilder::new(&self.sealer, &place(0), id, 0, &mut self.entropy).unwrap();
        new.leaves.clear();
        let mut blocks = FileBlockBuilder::default();
        let mut rows = Vec::new();
        for entry in state {
            let kind = match &entry.content {
                Content::Directory => EntryKind::Directory,
                Content::Empty => EntryKind::EmptyDirectory,
                Content::Link(target) => EntryKind::Link { target: target.to_vec() },
                Content::File(content) => {
                    let count = content.len().div_ceil(PAGE).div_ceil(LEAF_PAGES);
                    let chains = (0..count).map(|number| {
                        let key = (entry.path.to_vec(), number);
                        let (places, digests) = leaves[&key].clone();
                        let chains = self.chains(&places, &digests, parent.leaves.get(&key), &mut map);
                        new.leaves.insert(key, OldLeaf { places, digests, chains: chains.clone() });
                        chains
                    });
                    EntryKind::File { size: content.len() as u64, leaves: chains.collect() }
                }
            };
            let full = blocks.push(&FileEntry { path: entry.path.to_vec(), mode: entry.mode, kind }).unwrap();
            let ended = content::BLOCK_ENDS.contains(&entry.path).then(|| blocks.finish()).flatten();
            for block in full.into_iter().chain(ended) {
                rows.push(self.append_block(block, parent, new, &mut map));
            }
        }
        if let Some(block) = blocks.finish() {
            rows.push(self.append_block(block, parent, new, &mut map));
        }
        let object = map.finish(&self.writer, &mut self.compressor).unwrap().expect("a map with nodes");
        self.put(object.name(), object.bytes());
        (rows, object.bytes().len() as u64)
    }

    fn chains(
        &mut self,
        places: &LeafPages,
        digests: &DigestPages,
        old: Option<&OldLeaf>,
        map: &mut MapBuilder,
    ) -> LeafChains {
        let update = location_update(old.map(|old| (&old.chains.locations, &old.places)), places);
        let locations = self.chain(old.map(|old| &old.chains.locations), update, map);
        let update = digest_update(old.map(|old| (&old.chains.digests, &old.digests)), digests);
        LeafChains { locations, digests: self.chain(old.map(|old| &old.chains.digests), update, map) }
    }

    fn chain(&mut self, older: Option<&Chain>, update: Update, map: &mut MapBuilder) -> Chain {
        match (update, older) {
            (Update::Inline(node), _) => Chain::Inline(node),
            (Update::Leaf(node), _) => Chain::Nodes(vec![map.append(&node, &mut self.compressor).unwrap()]),
            (Update::Keep, Some(chain)) => chain.clone(),
            (Update::Patch(node), Some(Chain::Nodes(nodes))) => {
                let patch = map.append(&node, &mut self.compressor).unwrap();
                Chain::Nodes(nodes.iter().copied().chain([patch]).collect())
            }
            (update, older) => panic!("{update:?} over {older:?}"),
        }
    }

    /// Appends a block, or names the parent's where it is the same.
    fn append_block(
        &mut self,
        block: FileBlock,
        parent: &Parent,
        new: &mut Parent,
        map: &mut MapBuilder,
    ) -> BlockRow {
        let shared = parent.blocks.get(&block.node).copied();
        let node = shared.unwrap_or_else(|| map.append(&block.node, &mut self.compressor).unwrap());
        new.blocks.insert(block.node, node);
        BlockRow { first: block.first_path, entries: block.entries as u64, node }
    }

    fn put_manifest(
        &mut self,
        number: usize,
        state: &[Entry],
        (blocks, map_bytes): (Vec<BlockRow>, u64),
        parent: &Parent,
        new: &Parent,
    ) {
        let (id, packs) = (new.id.unwrap(), new.usage.rows());
        let mut uses = new.usage.backups();
        uses.extend(new.leaves.values().flat_map(|leaf| backups_of(&leaf.chains)));
        uses.extend(blocks.iter().map(|block| block.node.backup));
        uses.retain(|backup| *backup != id);
        uses.sort_unstable();
        uses.dedup();
        let files =
            state.iter().map(|entry| if let Content::File(bytes) = &entry.content { bytes.len() } else { 0 });
        let own = packs.iter().filter(|row| row.pack.backup == id).map(|row| row.stored_bytes);
        let mut header = ManifestHeader {
            backup: id,
            cluster: place(0).cluster,
            system: SYSTEMS[0],
            postgresql: 16,
            way: if parent.id.is_some() { Way::Scan } else { Way::Full },
            parent: parent.id,
            timeline: Timeline::FIRST,
            start: Lsn(0x10_0028),
            stop: Lsn(0x20_0100),
            stop_timeline: Timeline::FIRST,
            started: time(86_400 * number as u64),
            stopped: time(86_400 * number as u64 + 9),
            segment_size: WalSegmentSize::new(1 << 20).unwrap(),
            bytes: files.sum::<usize>() as u64 + PAGE as u64,
            stored: own.sum::<u64>() + map_bytes,
            packs: 1,
            maps: 1,
            uses: Vec::new(),
            uses_more: false,
            damaged_pages: 0,
            from_standby: false,
            next_xid: None,
        };
        header.set_uses(&uses);
        let body = ManifestBody {
            uses,
            blocks,
            packs,
            label: label(number),
            tablespace_map: TABLESPACE_MAP.to_owned(),
            control: control(number),
            external: vec![b"/etc/postgresql/16/orders/postgresql.conf".to_vec()],
            ..ManifestBody::default()
        };
        let manifest = Manifest { header, body };
        let object =
            manifest.seal(&self.sealer, &self.writer, &mut self.compressor, &mut self.entropy).unwrap();
        self.put(object.name(), object.bytes());
    }

    /// Archives all WAL and keeps its listings.
    fn archive(&mut self, version: &str) {
        let mut listings = [Listing::default(), Listing::default()];
        for file in content::wal() {
            self.archive_with(&file, &Indexed::Not("written before there were indexes".to_owned()));
            listings[file.life].file(file.name.as_bytes(), 0, &file.content);
        }
        for (listing, system) in listings.iter().zip(SYSTEMS) {
            listing.keep(version, &format!("{system}.wal"));
        }
    }

    pub(crate) fn archive_with(&mut self, file: &WalFile, index: &Indexed) {
        let facts = WalFacts {
            place: place(file.life),
            file: file.name.parse::<WalFileName>().unwrap(),
            segment_size: WalSegmentSize::new(if file.life == 0 { 1 << 20 } else { 64 << 20 }).unwrap(),
            host: "golden".to_owned(),
            archived: time(5),
        };
        let wal = WalSealer { facts: &facts, index, sealer: &self.sealer, key: &self.writer };
        let content = &file.content;
        let mut objects = Vec::new();
        if content.len() <= PART_BYTES {
            objects.push(wal.seal(content, &mut self.compressor, &mut self.entropy).unwrap());
        } else {
            for (part, number) in content.chunks(PART_BYTES).zip(0..) {
                let read = PlainRead::of(part, &self.sealer, &mut self.compressor).unwrap();
                let index = Indexed::Not("a part".to_owned());
                let wal = WalSealer { facts: &facts, index: &index, sealer: &self.sealer, key: &self.writer };
                objects.push(wal.seal_part(number, &read, &mut self.entropy).unwrap());
            }
            let digests: Vec<_> = objects.iter().map(|part| *part.plain_digest()).collect();
            let whole = self.sealer.digest_key().digest(content);
            objects.push(wal.seal_parted(&digests, whole, content.len() as u64, &mut self.entropy).unwrap());
        }
        for object in objects {
            self.put(object.name(), object.bytes());
        }
    }
}

impl Writer {
    /// A backup without a parent; its id.
    pub(crate) fn only_backup(&mut self, state: &[Entry]) -> BackupId {
        self.backup(0, state, &Parent::default()).id.unwrap()
    }

    /// What a restore of [`Writer::only_backup`] writes.
    pub(crate) fn listing_of(state: &[Entry]) -> Listing {
        listing(state, &control(0))
    }

    pub(crate) fn put_chapter(&mut self, place: &Place, chapter: &Chapter) {
        let sealed = chapter.seal(place, &self.sealer, &self.writer, &mut self.compressor, &mut self.entropy);
        let sealed = sealed.unwrap();
        self.put(sealed.name(), sealed.bytes());
    }
}
