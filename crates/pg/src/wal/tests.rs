//! Tests of the walk, of records and of joining, on WAL that the tests write themselves; and the vectors of real servers.

use super::testing::{BlockSpec, ImageSpec, RecordSpec, WalWriter};
use super::*;
use crate::lsn::Lsn;
use crate::relation::Fork;
use crate::segment::SegmentNo;

mod broken;
mod edges;
mod layout;
mod vectors;
mod walking;

fn version(major: u32) -> Version {
    Version::from_major(major).unwrap()
}

fn of(major: u32) -> WalOf {
    let size = WalSegmentSize::new(1 << 20).unwrap();
    WalOf { version: version(major), system: SystemIdentifier(77), size }
}

fn writer(major: u32) -> WalWriter {
    WalWriter::new(of(major), SegmentNo(5))
}

fn relation(number: u32) -> RelationId {
    RelationId { tablespace: 1663, database: 5, number }
}

fn block(id: u8, number: u32, block: u32) -> BlockSpec {
    let (relation, fork) = (relation(number), Fork::Main);
    BlockSpec { id, relation, fork, block, will_init: false, image: None, data: Vec::new() }
}

type SeenBlock = (u8, RelationId, Fork, u32, bool, Option<ImageHeader>, u16);

/// A record as a value, for comparing: what a sink saw of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    start: Lsn,
    end: Lsn,
    header: RecordHeader,
    blocks: Vec<SeenBlock>,
    payload: Option<Vec<u8>>,
    origin: Option<u16>,
    top_xid: Option<u32>,
    main: Vec<u8>,
    main_length: u32,
}

fn seen(record: &Record<'_>) -> Seen {
    let blocks: Vec<_> = record.blocks().collect();
    assert_eq!(blocks.len(), usize::from(record.block_count()));
    let payload = blocks
        .iter()
        .map(|block| {
            let image = block.image.map_or(Some(&[][..]), |_| block.image_bytes)?;
            Some([image, block.data?].concat())
        })
        .collect::<Option<Vec<_>>>();
    let main = record.main_data();
    Seen {
        start: record.start,
        end: record.end,
        header: record.header,
        blocks: blocks
            .iter()
            .map(|b| (b.id, b.relation, b.fork, b.block, b.will_init, b.image, b.data_length))
            .collect(),
        payload: payload.map(|parts| parts.concat()),
        origin: record.origin(),
        top_xid: record.top_xid(),
        main: main.bytes.to_vec(),
        main_length: main.length,
    }
}

fn walk_all(of: WalOf, first: u64, segments: &[Vec<u8>], keep: Keep) -> (Vec<Seen>, Walked) {
    let mut walk = WalWalk::new(of, SegmentNo(first).first_lsn(of.size).unwrap(), keep);
    let mut records = Vec::new();
    for segment in segments {
        walk.segment(segment, &mut |record| records.push(seen(record)));
    }
    (records, walk.finish())
}
