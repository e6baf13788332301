//! How large indexes become: of WAL as a busy server writes it on a large cluster, and of the worst that can be made.
//!
//! Sizes are as encoded, before compression, which finds little in numbers without an order.

use seawall_pg::wal::testing::{BlockSpec, RecordSpec, WalWriter};
use seawall_pg::wal::{RelationId, WalOf};
use seawall_pg::{Fork, SegmentNo, WalSegmentSize};

use super::Indexer;
use super::tests::{FIRST, of};

/// Pages of 1 TB.
const PAGES: u64 = 1 << 27;
/// Resource manager and kind of a heap's HOT update and a B-tree's insertion into a leaf.
const HOT_UPDATE: (u8, u8) = (10, 0x40);
const LEAF_INSERT: (u8, u8) = (11, 0x00);

/// Numbers without an order: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn page(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((mixed ^ (mixed >> 31)) % PAGES).unwrap()
    }
}

/// The next record of a load.
type Load<'l> = &'l dyn Fn(&mut Numbers) -> RecordSpec;

/// A record that changes these pages of these relations.
fn record((manager, info): (u8, u8), main: usize, changes: &[(u32, u32)], bytes: usize) -> RecordSpec {
    let blocks = (0..).zip(changes).map(|(id, (relation, block))| BlockSpec {
        id,
        relation: RelationId { tablespace: 1663, database: 5, number: 16_384 + relation },
        fork: Fork::Main,
        block: *block,
        will_init: false,
        image: None,
        data: vec![7; bytes],
    });
    RecordSpec { xid: 9, blocks: blocks.collect(), ..RecordSpec::of(manager, info, &vec![0; main]) }
}

/// Bytes of the index of a segment full of such records, and how many pages it names.
fn sizes(mut next: impl FnMut(&mut Numbers) -> RecordSpec) -> (usize, u64) {
    let of = WalOf { size: WalSegmentSize::DEFAULT, ..of() };
    let (mut writer, mut numbers) = (WalWriter::new(of, SegmentNo(FIRST)), Numbers(1));
    while writer.bytes.len() < 16 << 20 {
        writer.record(&next(&mut numbers));
    }
    let first = SegmentNo(FIRST).first_lsn(of.size).unwrap();
    let mut indexer = Indexer::new(of, first, None);
    writer.segments()[0].chunks(1 << 20).for_each(|piece| indexer.take(piece));
    let made = indexer.finish(None).unwrap();
    (made.index.encode().unwrap().len(), made.index.changes.pages())
}

#[test]
fn an_index_of_small_changes_all_over_a_terabyte_stays_under_a_mebibyte() {
    let loads: [(&str, Load<'_>); 3] = [
        ("HOT updates", &|numbers| record(HOT_UPDATE, 14, &[(0, numbers.page())], 20)),
        ("insertions into an index", &|numbers| record(LEAF_INSERT, 2, &[(1, numbers.page())], 16)),
        ("both", &|numbers| {
            let page = numbers.page();
            match page % 2 {
                0 => record(HOT_UPDATE, 14, &[(0, page)], 20),
                _ => record(LEAF_INSERT, 2, &[(1, page)], 16),
            }
        }),
    ];
    for (what, load) in loads {
        let (bytes, pages) = sizes(load);
        println!("{what}: an index of {bytes} bytes names {pages} pages");
        assert!(pages > 150_000 && bytes < 1 << 20, "{what}: {bytes} bytes, {pages} pages");
    }
}

/// Nothing writes WAL like this; what it would cost is bounded all the same.
#[test]
fn the_worst_index_that_can_be_made_has_room_in_its_object() {
    let mut number = 0;
    let (bytes, pages) = sizes(|numbers| {
        number += 1;
        record((11, 0xF0), 0, &[(number, numbers.page())], 0)
    });
    println!("a relation of its own for each record: an index of {bytes} bytes names {pages} pages");
    assert!(pages > 300_000 && bytes < 16 << 20, "{bytes} bytes");
    let (bytes, pages) = sizes(|numbers| {
        let scattered: Vec<_> = (0..32).map(|_| (0, numbers.page())).collect();
        record((11, 0xF0), 0, &scattered, 0)
    });
    println!("32 pages in each record: an index of {bytes} bytes names {pages} pages");
    assert!(pages > 800_000 && bytes < 16 << 20, "{bytes} bytes");
}
