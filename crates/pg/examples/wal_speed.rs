//! Prints how fast WAL is read on this machine, in GB/s of WAL on one core: every page and record checked with its CRC, every
//! block reference taken, every record's meaning read.
//!
//! `cargo run --release -p seawall-pg --features testing --example wal_speed [PG_WAL [MAJOR]]`
//!
//! Without a directory it reads WAL that it makes itself, 64 MiB of each kind: small records as a loaded server writes them (60
//! to 200 bytes: heap and B-tree inserts, updates, now and then a commit), and the same with images of pages among them.
//! With a directory it also reads the segments there, each alone, as a segment is read while it is archived.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use seawall_pg::wal::testing::{BlockSpec, ImageSpec, RecordSpec, WalWriter};
use seawall_pg::wal::{Keep, Meaning, RelationId, WalOf, WalWalk};
use seawall_pg::wal_page::{LONG_HEADER_BYTES, WalPageHeader};
use seawall_pg::{Fork, SegmentName, SegmentNo, SystemIdentifier, Version, WalSegmentSize};

/// A segment: where it begins and its bytes.
type Segment = (SegmentNo, Vec<u8>);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (directory, major) = (arguments.next(), arguments.next());
    let major = major.and_then(|text| text.parse().ok()).unwrap_or(18);
    let Ok(version) = Version::from_major(major) else { return println!("{major} is not supported") };
    let of = WalOf { version, system: SystemIdentifier(1), size: WalSegmentSize::DEFAULT };
    report("small records", of, &made(of, 0));
    report("one record in 20 with an image", of, &made(of, 20));
    if let Some(directory) = directory {
        match real(&directory, version) {
            Some((of, segments)) => report(&directory, of, &segments),
            None => println!("no segments of PostgreSQL {version} in {directory}"),
        }
    }
}

/// Four segments; every `images`th record has an image of a page.
fn made(of: WalOf, images: u32) -> Vec<Segment> {
    let mut writer = WalWriter::new(of, SegmentNo(1));
    let mut n = 0u32;
    while writer.bytes.len() < 64 << 20 {
        writer.record(&record(n, images > 0 && n.is_multiple_of(images)));
        n = n.wrapping_add(1);
    }
    (1..).map(SegmentNo).zip(writer.segments()).take(4).collect()
}

fn record(n: u32, image: bool) -> RecordSpec {
    let relation = RelationId { tablespace: 1663, database: 5, number: 16400 + n % 7 };
    let length = 20 + (n.wrapping_mul(2_654_435_761) >> 25) as usize;
    let page = ImageSpec {
        bytes: (0..7000).map(|i| (i / 3) as u8).collect(),
        hole_offset: 300,
        hole_length: 1192,
        apply: true,
        compression: None,
    };
    let block = BlockSpec {
        id: 0,
        relation,
        fork: Fork::Main,
        block: n / 60,
        will_init: false,
        image: image.then_some(page),
        data: (0..length).map(|i| i as u8).collect(),
    };
    let other = BlockSpec { id: 1, block: n / 50, image: None, ..block.clone() };
    let (rmgr, info, blocks, main) = match n % 10 {
        0..4 => (10, 0x00, vec![block], vec![1, 0, 0]),
        4..7 => (11, 0x00, vec![block], vec![9, 0]),
        7 => (10, 0x20, vec![block, other], vec![0; 14]),
        8 => (10, 0x10, vec![block], vec![0; 8]),
        _ => (1, 0x00, Vec::new(), vec![7; 8]),
    };
    RecordSpec { xid: 700 + n / 10, rmgr, info, blocks, origin: None, top_xid: None, main }
}

/// The segments in a directory, of one system.
fn real(directory: &str, version: Version) -> Option<(WalOf, Vec<Segment>)> {
    let mut found = None;
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        let name = entry.file_name().to_string_lossy().parse::<SegmentName>().ok();
        let bytes = name.and_then(|name| Some((name, std::fs::read(entry.path()).ok()?)));
        let Some((name, bytes)) = bytes else { continue };
        let header = WalPageHeader::decode(bytes.get(..LONG_HEADER_BYTES)?, version).ok();
        let Some(long) = header.and_then(|header| header.long) else { continue };
        let size = WalSegmentSize::new(long.segment_bytes).ok()?;
        let of = *found.get_or_insert(WalOf { version, system: long.system_identifier, size });
        segments.push((name.number(of.size).ok()?, bytes));
    }
    Some((found?, segments))
}

#[derive(Default)]
struct Counts {
    bytes: u64,
    records: u64,
    blocks: u64,
    sum: u64,
}

/// Each segment alone, as it is read while it is archived.
fn pass(of: WalOf, segments: &[Segment]) -> Counts {
    let mut counts = Counts::default();
    for (number, bytes) in segments {
        let Some(first) = number.first_lsn(of.size) else { continue };
        let mut walk = WalWalk::new(of, first, Keep::Meaning);
        walk.segment(black_box(bytes), &mut |record| {
            counts.records = counts.records.wrapping_add(1);
            for block in record.blocks() {
                counts.blocks = counts.blocks.wrapping_add(1);
                counts.sum = counts.sum.wrapping_add(u64::from(block.block ^ block.relation.number));
            }
            counts.sum = counts.sum.wrapping_add(u64::from(black_box(Meaning::of(record)).is_ok()));
        });
        let walked = walk.finish();
        let end = walked.last.map_or(first, |last| last.end);
        counts.bytes = counts.bytes.wrapping_add(end.bytes_since(first).unwrap_or(0));
    }
    counts
}

/// Prints the fastest of many passes: on a machine that does other things as well, the others measure those.
fn report(what: &str, of: WalOf, segments: &[Segment]) {
    let started = Instant::now();
    let mut fastest = Duration::MAX;
    let mut counts = Counts::default();
    while started.elapsed() < Duration::from_secs(3) {
        let begun = Instant::now();
        counts = pass(of, segments);
        fastest = fastest.min(begun.elapsed());
    }
    black_box(counts.sum);
    let seconds = fastest.as_secs_f64();
    println!(
        "{what}: {:.2} GB/s, {:.1} million records/s, {} bytes a record, {} blocks in {} records",
        counts.bytes as f64 / seconds / 1e9,
        counts.records as f64 / seconds / 1e6,
        counts.bytes.checked_div(counts.records).unwrap_or(0),
        counts.blocks,
        counts.records,
    );
}
