//! Maps of very large clusters in bounded memory: written in full, patched after a 0.1 % change, read back.
//!
//! The default test does 5 million pages (40 GB of files), the deep one 1.3 billion (10 TB): one file of a gigabyte
//! after the other, leaf by leaf, map objects handed to a sink that keeps only their sizes, and of a few files their
//! frames, so that chains can be read back through references. Real sealing, real compression.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and its figures are read"
)]

use std::collections::HashMap;
use std::time::Instant;

use seawall_repo::compress::{Compression, Compressor, Encoding};
use seawall_repo::entropy::Entropy;
use seawall_repo::id::{BackupId, Generation, RepositoryId, SystemId};
use seawall_repo::keys::{ClusterSecret, MetaKey, WriterKey};
use seawall_repo::layout::Place;
use seawall_repo::map::{
    BAND_BYTES, Chain, DigestPages, EntryKind, FileBlock, FileBlockBuilder, FileBlockReader, FileEntry,
    FramePlace, InversePlanner, Joining, LEAF_PAGES, LeafChains, LeafPages, MapBuilder, NodeRef, PAGE_BYTES,
    Update, digest_update, location_update, resolve_digests, resolve_locations,
};
use seawall_repo::object::FrameAt;
use seawall_repo::pack::PackId;
use seawall_repo::seal::Sealer;

/// Leaves of a relation file of a gigabyte.
const FILE_LEAVES: usize = 32;
/// Pages of a pack of 32 MiB, stored at half their size.
const PACK_PAGES: u64 = 8_192;
const RSS_MAX: u64 = 200 << 20;

struct Counter(u64);

impl Entropy for Counter {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0 += 1;
        blake3::Hasher::new().update(&self.0.to_le_bytes()).finalize_xof().fill(buffer);
    }
}

/// Writes nodes into one map object after the other; the objects are measured and dropped.
struct Sink {
    sealer: Sealer,
    place: Place,
    key: WriterKey,
    compressor: Compressor,
    entropy: Counter,
    backup: BackupId,
    map: Option<MapBuilder>,
    maps: u32,
    stored_bytes: u64,
    /// Of every so many files the nodes are kept, to be read back.
    kept_every: usize,
    kept: HashMap<NodeRef, Vec<u8>>,
}

impl Sink {
    fn new(files: usize) -> Self {
        let mut entropy = Counter(0);
        let meta = MetaKey::generate(&mut entropy);
        let public = ClusterSecret::generate(&mut entropy).public();
        let repository = RepositoryId::new(&mut entropy);
        Self {
            sealer: Sealer::encrypted(repository, Generation::FIRST, meta, public),
            place: Place { cluster: "huge".parse().unwrap(), system: SystemId(1) },
            key: WriterKey::generate(&mut entropy),
            compressor: Compressor::new(Compression::Zstd(3)).unwrap(),
            backup: BackupId::new(1, &mut entropy).unwrap(),
            entropy,
            map: None,
            maps: 0,
            stored_bytes: 0,
            kept_every: (files / 4).max(1),
            kept: HashMap::new(),
        }
    }

    fn keeps(&self, file: usize) -> bool {
        file.is_multiple_of(self.kept_every)
    }

    fn append(&mut self, node: &[u8], keep: bool) -> NodeRef {
        if self.map.as_ref().is_some_and(MapBuilder::is_full) {
            self.finish_map();
        }
        let Self { sealer, place, backup, maps, entropy, .. } = self;
        let map = self.map.get_or_insert_with(|| {
            *maps += 1;
            MapBuilder::new(sealer, place, *backup, *maps - 1, entropy).unwrap()
        });
        let reference = map.append(node, &mut self.compressor).unwrap();
        if keep {
            self.kept.insert(reference, node.to_vec());
        }
        reference
    }

    fn finish_map(&mut self) {
        if let Some(map) = self.map.take() {
            let object = map.finish(&self.key, &mut self.compressor).unwrap().expect("a map with nodes");
            self.stored_bytes += object.bytes().len() as u64;
        }
    }

    /// Ends a backup and begins the next; the bytes the ended one stored.
    fn next_backup(&mut self) -> u64 {
        self.finish_map();
        self.maps = 0;
        self.backup = BackupId::new(2, &mut self.entropy).unwrap();
        std::mem::take(&mut self.stored_bytes)
    }

    /// The chain after an update.
    fn update(&mut self, older: Option<&Chain>, update: Update, keep: bool) -> Chain {
        match (update, older) {
            (Update::Inline(node), _) => Chain::Inline(node),
            (Update::Leaf(node), _) => Chain::Nodes(vec![self.append(&node, keep)]),
            (Update::Keep, Some(chain)) => chain.clone(),
            (Update::Patch(node), Some(Chain::Nodes(nodes))) => {
                let reference = self.append(&node, keep);
                Chain::Nodes(nodes.iter().copied().chain([reference]).collect())
            }
            (update, older) => panic!("{update:?} over {older:?}"),
        }
    }

    fn nodes(&self, chain: &Chain) -> Vec<Vec<u8>> {
        match chain {
            Chain::Inline(node) => vec![node.clone()],
            Chain::Nodes(nodes) => nodes.iter().map(|node| self.kept[node].clone()).collect(),
        }
    }
}

/// Places pages as a backup does: runs of 32 pages in a frame, frames in packs.
struct Placer {
    backup: BackupId,
    pages: u64,
    offset: u64,
}

impl Placer {
    fn place(&mut self, leaf: &mut LeafPages, first: usize, pages: usize) {
        let number = (self.pages / PACK_PAGES) as u32;
        let pack = PackId { backup: self.backup, number };
        let frame = (self.pages % PACK_PAGES / 32) as u32;
        self.offset = if frame == 0 { 0 } else { self.offset };
        let stored_len = pages as u32 * 4_000 + (first as u32 * 7_919) % 1_000;
        let plain_len = (pages * PAGE_BYTES) as u32;
        let at =
            FrameAt { number: frame, offset: self.offset, stored_len, plain_len, encoding: Encoding::Zstd };
        leaf.set(first, pages, &FramePlace { pack, at }, 0);
        self.offset += u64::from(stored_len);
        self.pages += 32;
    }
}

/// The digests of a leaf: random, as real ones are; those of changed pages differ.
fn digests(file: usize, leaf: usize, changed: &[usize]) -> DigestPages {
    let mut bytes = vec![[0; 16]; LEAF_PAGES];
    let seed = [file.to_le_bytes(), leaf.to_le_bytes()].concat();
    blake3::Hasher::new().update(&seed).finalize_xof().fill(bytes.as_flattened_mut());
    changed.iter().for_each(|page| bytes[*page][0] ^= 0xff);
    DigestPages::new(bytes)
}

/// About one page in a thousand of a leaf, the same ones every time.
fn changed_pages(file: usize, leaf: usize) -> Vec<usize> {
    let seed = [leaf.to_le_bytes(), file.to_le_bytes()].concat();
    let mut bytes = [0; 8];
    blake3::Hasher::new().update(&seed).finalize_xof().fill(&mut bytes);
    let mut pages: Vec<_> = bytes
        .chunks(2)
        .map(|pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])) % LEAF_PAGES)
        .collect();
    pages.sort_unstable();
    pages.dedup();
    pages
}

fn full_leaf(placer: &mut Placer) -> LeafPages {
    let mut leaf = LeafPages::default();
    (0..LEAF_PAGES).step_by(32).for_each(|first| placer.place(&mut leaf, first, 32));
    leaf
}

fn patched_leaf(older: &LeafPages, changed: &[usize], placer: &mut Placer) -> LeafPages {
    let mut newer = older.clone();
    changed.iter().for_each(|page| placer.place(&mut newer, *page, 1));
    newer
}

fn path(file: usize) -> Vec<u8> {
    format!("base/5/{file:09}").into_bytes()
}

fn entry(file: usize, leaves: Vec<LeafChains>) -> FileEntry {
    let size = (leaves.len() * LEAF_PAGES * PAGE_BYTES) as u64;
    FileEntry { path: path(file), mode: 0o600, kind: EntryKind::File { size, leaves } }
}

fn entries_of(block: &FileBlock) -> Vec<FileEntry> {
    let mut reader = FileBlockReader::new(&block.node).unwrap();
    std::iter::from_fn(|| reader.next_entry().unwrap()).collect()
}

/// Writes the maps of a full backup of `files` files; its blocks, and the bytes stored.
fn write_full(files: usize, sink: &mut Sink) -> (Vec<FileBlock>, u64) {
    let mut placer = Placer { backup: sink.backup, pages: 0, offset: 0 };
    let mut builder = FileBlockBuilder::default();
    let mut blocks = Vec::new();
    for file in 0..files {
        let keep = sink.keeps(file);
        let leaves = (0..FILE_LEAVES).map(|leaf| {
            let locations = location_update(None, &full_leaf(&mut placer));
            let locations = sink.update(None, locations, keep);
            let digests = digest_update(None, &digests(file, leaf, &[]));
            LeafChains { locations, digests: sink.update(None, digests, keep) }
        });
        let entry = entry(file, leaves.collect());
        blocks.extend(builder.push(&entry).unwrap());
    }
    blocks.extend(builder.finish());
    blocks.iter().for_each(|block| {
        sink.append(&block.node, false);
    });
    (blocks, sink.next_backup())
}

/// Writes the maps of a backup after a change of 0.1 %, everywhere; its blocks and the bytes stored.
fn write_patched(older: &[FileBlock], first_backup: BackupId, sink: &mut Sink) -> (Vec<FileBlock>, u64) {
    let mut before = Placer { backup: first_backup, pages: 0, offset: 0 };
    let mut placer = Placer { backup: sink.backup, pages: 0, offset: 0 };
    let mut builder = FileBlockBuilder::default();
    let mut blocks = Vec::new();
    for (file, old) in older.iter().flat_map(entries_of).enumerate() {
        let EntryKind::File { leaves, .. } = old.kind else { panic!("only files") };
        let keep = sink.keeps(file);
        let leaves = leaves.iter().enumerate().map(|(leaf, chains)| {
            let changed = changed_pages(file, leaf);
            let old = full_leaf(&mut before);
            let new = patched_leaf(&old, &changed, &mut placer);
            let locations = location_update(Some((&chains.locations, &old)), &new);
            let locations = sink.update(Some(&chains.locations), locations, keep);
            let (old, new) = (digests(file, leaf, &[]), digests(file, leaf, &changed));
            let digests = digest_update(Some((&chains.digests, &old)), &new);
            LeafChains { locations, digests: sink.update(Some(&chains.digests), digests, keep) }
        });
        let entry = entry(file, leaves.collect());
        blocks.extend(builder.push(&entry).unwrap());
    }
    blocks.extend(builder.finish());
    blocks.iter().for_each(|block| {
        sink.append(&block.node, false);
    });
    (blocks, sink.next_backup())
}

/// Reads the kept files back through their chains and plans a restore of them. Pages read.
fn read_back(blocks: &[FileBlock], backups: [BackupId; 2], sink: &Sink) -> u64 {
    let mut placers = backups.map(|backup| Placer { backup, pages: 0, offset: 0 });
    let mut planner = InversePlanner::new(BAND_BYTES);
    let (mut wanted, mut planned) = (0, 0);
    for (file, entry) in blocks.iter().flat_map(entries_of).enumerate() {
        assert_eq!(entry.path, path(file));
        let EntryKind::File { leaves, .. } = entry.kind else { panic!("only files") };
        for (leaf, chains) in leaves.iter().enumerate() {
            let changed = changed_pages(file, leaf);
            let [before, after] = &mut placers;
            let expected = patched_leaf(&full_leaf(before), &changed, after);
            if !sink.keeps(file) {
                continue;
            }
            let found = resolve_locations(&sink.nodes(&chains.locations)).unwrap();
            assert!(found == expected, "leaf {leaf} of file {file}");
            let found_digests = resolve_digests(&sink.nodes(&chains.digests)).unwrap();
            assert!(found_digests == digests(file, leaf, &changed), "digests of leaf {leaf} of file {file}");
            wanted += LEAF_PAGES as u64;
            let band = planner.add_leaf(file as u32, leaf as u32, &found);
            planned += band.map_or(0, |band| pages_of(&band));
        }
    }
    planned += planner.take_band().map_or(0, |band| pages_of(&band));
    assert_eq!(planned, wanted);
    wanted
}

fn pages_of(band: &seawall_repo::map::Band) -> u64 {
    let frames = band.reads(Joining::default()).flat_map(|read| read.frames);
    frames.flat_map(|frame| frame.pieces).map(|piece| u64::from(piece.pages)).sum()
}

/// Peak memory of this process, in bytes.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

fn write_patch_and_read(pages: usize) {
    let files = pages.div_ceil(FILE_LEAVES * LEAF_PAGES);
    let begin = Instant::now();
    let mut sink = Sink::new(files);
    let first = sink.backup;
    let (blocks, full_bytes) = write_full(files, &mut sink);
    let (written, second) = (begin.elapsed(), sink.backup);
    let (blocks, patched_bytes) = write_patched(&blocks, first, &mut sink);
    let patched = begin.elapsed() - written;
    let read = read_back(&blocks, [first, second], &sink);
    let pages = files * FILE_LEAVES * LEAF_PAGES;
    println!(
        "{pages} pages: full {full_bytes} bytes in {written:.1?}, after 0.1 % {patched_bytes} in {patched:.1?}"
    );
    println!(
        "read back {read} pages in {:.1?}; peak {} MiB",
        begin.elapsed() - written - patched,
        peak_rss() >> 20
    );
    assert!(patched_bytes * 20 < full_bytes, "metadata must follow the change");
    assert!(peak_rss() < RSS_MAX, "peak memory {} bytes", peak_rss());
}

#[test]
fn maps_of_5_million_pages_fit_in_bounded_memory() {
    write_patch_and_read(5_000_000);
}

#[test]
#[ignore = "deep"]
fn maps_of_1300_million_pages_fit_in_bounded_memory() {
    write_patch_and_read(1_300_000_000);
}
