use proptest::prelude::*;

use super::*;
use crate::compress::{Compression, Decompressor};
use crate::entropy::Entropy;
use crate::envelope::HeadError;
use crate::error::Fault;
use crate::object::{KeyRing, OpenHead, WholeObject};
use crate::seal::Cipher;
use crate::testing::{Seeded, World, place, time};
use crate::wal_index::transactions::Transactions;
use crate::wal_index::{Begins, Changes, Ends, SegmentIndex};

fn facts(file: &str) -> WalFacts {
    WalFacts {
        place: place(),
        file: file.parse().unwrap(),
        segment_size: WalSegmentSize::DEFAULT,
        host: "db1".to_owned(),
        archived: time(1_000_000),
    }
}

fn not() -> Indexed {
    Indexed::Not("not built".to_owned())
}

fn compressor() -> Compressor {
    Compressor::new(Compression::Zstd(1)).unwrap()
}

fn sealed(world: &World, facts: &WalFacts, plain: &[u8]) -> SealedObject {
    let sealer = WalSealer { facts, index: &not(), sealer: &world.sealer, key: &world.writer };
    sealer.seal(plain, &mut compressor(), &mut Seeded::new(5)).unwrap()
}

fn open(world: &World, keys: &KeyRing, name: &ObjectName, object: &[u8]) -> Result<OpenWal, Fault> {
    let reader = WalReader { trust: &world.trust, keys };
    reader.open(name, object, None, &mut Decompressor::new().unwrap()).map_err(|error| error.fault)
}

/// What was taken, and how it ended.
fn open_into(
    world: &World,
    name: &ObjectName,
    object: &[u8],
    most: usize,
) -> (Vec<u8>, Result<Result<Taken, &'static str>, Fault>) {
    let keys = world.all_keys();
    let reader = WalReader { trust: &world.trust, keys: &keys };
    let mut taken = Vec::new();
    let ended = reader.open_into(name, object, None, &mut Decompressor::new().unwrap(), |header, plain| {
        assert_eq!(header.what, WalWhat::Segment);
        if taken.len() + plain.len() > most {
            return Err("full");
        }
        taken.extend_from_slice(plain);
        Ok(())
    });
    (taken, ended.map_err(|error| error.fault))
}

/// Half noise, half zeros, as WAL is.
fn segment(bytes: usize) -> Vec<u8> {
    let mut plain = vec![0; bytes];
    Seeded::new(2).fill(&mut plain[..bytes / 2]);
    plain
}

#[test]
fn a_segment_reads_back_and_needs_an_identity() {
    let world = World::encrypted();
    let facts = facts("0000000100000A2B000000FF");
    let plain = segment(3 * WAL_FRAME_BYTES + 17);
    let object = sealed(&world, &facts, &plain);
    let opened = open(&world, &world.all_keys(), &facts.name(), object.bytes()).unwrap();
    assert_eq!(opened.content, WalContent::Bytes(plain.clone()));
    assert_eq!((opened.header.what, opened.header.size), (WalWhat::Segment, plain.len() as u64));
    assert_eq!(opened.plain_digest, world.sealer.digest_key().digest(&plain));
    let host = open(&world, &world.host_keys(), &facts.name(), object.bytes());
    assert!(matches!(host, Err(Fault::NeedsIdentity { .. })));
}

#[test]
fn a_segment_is_given_frame_by_frame_until_somebody_has_enough() {
    let world = World::encrypted();
    let facts = facts("0000000100000A2B000000FF");
    let plain = segment(9 * WAL_FRAME_BYTES + 17);
    let object = sealed(&world, &facts, &plain);
    let (taken, ended) = open_into(&world, &facts.name(), object.bytes(), usize::MAX);
    assert_eq!(ended.unwrap(), Ok(Taken::Whole));
    assert!(taken == plain);
    let (taken, ended) = open_into(&world, &facts.name(), object.bytes(), 2 * WAL_FRAME_BYTES);
    assert_eq!(ended.unwrap(), Err("full"));
    assert!(taken == plain[..2 * WAL_FRAME_BYTES]);
}

#[test]
fn an_empty_file_is_shown_to_whoever_judges_it() {
    let world = World::encrypted();
    let facts = facts("0000000100000A2B000000FF");
    let object = sealed(&world, &facts, b"");
    let keys = world.all_keys();
    let reader = WalReader { trust: &world.trust, keys: &keys };
    let judged = reader.open_into(
        &facts.name(),
        object.bytes(),
        None,
        &mut Decompressor::new().unwrap(),
        |header, plain| Err::<(), _>((header.size, plain.len())),
    );
    assert_eq!(judged.unwrap(), Err((0, 0)));
}

#[test]
fn a_host_compares_without_opening() {
    let world = World::encrypted();
    let facts = facts("0000000100000A2B000000FF");
    let object = sealed(&world, &facts, b"the segment");
    let head = OpenHead::open(&facts.name(), object.bytes(), &world.trust, None).unwrap();
    let keys = world.host_keys();
    let reader = WalReader { trust: &world.trust, keys: &keys };
    assert_eq!(reader.digest_for(&head, b"the segment").unwrap(), *head.head().plain_digest());
    assert_ne!(reader.digest_for(&head, b"another").unwrap(), *head.head().plain_digest());
}

#[test]
fn history_and_backup_files_open_on_hosts() {
    let world = World::encrypted();
    for file in ["0000000A.history", "0000000100000A2B000000FF.00000028.backup"] {
        let facts = facts(file);
        let object = sealed(&world, &facts, b"1\t0/3000000\tno recovery target specified\n");
        let opened = open(&world, &world.host_keys(), &facts.name(), object.bytes()).unwrap();
        assert!(matches!(opened.content, WalContent::Bytes(bytes) if bytes.starts_with(b"1\t0/3000000")));
    }
}

#[test]
fn a_large_segment_lies_in_parts_and_is_joined_in_order_only() {
    let world = World::encrypted();
    let facts = WalFacts {
        segment_size: WalSegmentSize::new(64 << 20).unwrap(),
        ..facts("0000000100000A2B000000FF.partial")
    };
    let not = not();
    let sealer = WalSealer { facts: &facts, index: &not, sealer: &world.sealer, key: &world.writer };
    let entropy = &mut Seeded::new(5);
    let plain = segment(PART_BYTES + 1000);
    let refused = sealer.seal(&plain, &mut compressor(), entropy).unwrap_err();
    assert!(matches!(refused, WalBuildError::TooLong { .. }));
    let mut parts = Vec::new();
    for (number, part) in (0..).zip(plain.chunks(PART_BYTES)) {
        let read = PlainRead::of(part, &world.sealer, &mut compressor()).unwrap();
        parts.push(sealer.seal_part(number, &read, entropy).unwrap());
    }
    let digests: Vec<Digest> = parts.iter().map(|part| *part.plain_digest()).collect();
    let whole = world.sealer.digest_key().digest(&plain);
    let size = plain.len() as u64;
    let refused = sealer.seal_parted(&digests[..1], whole, size, entropy).unwrap_err();
    assert!(matches!(refused, WalBuildError::Parts { .. }));
    let last = sealer.seal_parted(&digests, whole, size, entropy).unwrap();
    let keys = world.all_keys();
    let head = OpenHead::open(last.name(), last.bytes(), &world.trust, None).unwrap();
    let opened = open(&world, &keys, last.name(), last.bytes()).unwrap();
    let begin = || WalReader { trust: &world.trust, keys: &keys }.join(&head, &opened).unwrap().unwrap();
    let part = |number: usize| open(&world, &keys, parts[number].name(), parts[number].bytes()).unwrap();
    let mut joiner = begin();
    assert_eq!(joiner.part_names(), parts.iter().map(|part| part.name().clone()).collect::<Vec<_>>());
    let joined = [joiner.add(part(0)).unwrap(), joiner.add(part(1)).unwrap()].concat();
    assert_eq!((joiner.finish(), joined == plain), (Ok(()), true));
    assert_eq!(begin().add(part(1)).unwrap_err().fault, Fault::PlainDigest);
    let mut missing = begin();
    missing.add(part(0)).unwrap();
    assert_eq!(missing.finish().unwrap_err().fault, Fault::PlainDigest);
}

#[test]
fn content_that_is_not_what_the_digest_says_is_refused() {
    let world = World::encrypted();
    let facts = facts("0000000100000A2B000000FF");
    let not = not();
    let sealer = WalSealer { facts: &facts, index: &not, sealer: &world.sealer, key: &world.writer };
    let seal = |header: &WalHeader, digest: Digest| {
        let read = PlainRead::of(b"the segment", &world.sealer, &mut compressor()).unwrap();
        let object =
            sealer.seal_draft(&facts.name(), header, digest, &read.frames, &mut Seeded::new(5)).unwrap();
        let opened = open(&world, &world.all_keys(), &facts.name(), object.bytes()).map(drop);
        let (_, streamed) = open_into(&world, &facts.name(), object.bytes(), usize::MAX);
        assert_eq!(streamed.map(drop), opened, "both ways of reading refuse the same");
        opened
    };
    let header = sealer.header(WalWhat::Segment, 11);
    let digest = world.sealer.digest_key().digest(b"the segment");
    assert_eq!(seal(&header, digest), Ok(()));
    assert_eq!(seal(&header, [0; 32]), Err(Fault::PlainDigest));
    let wrong = |header: WalHeader| matches!(seal(&header, digest), Err(Fault::KindHeader { .. }));
    assert!(wrong(WalHeader { size: 12, ..header.clone() }));
    assert!(wrong(WalHeader { file: "0000000100000A2B000000FE".parse().unwrap(), ..header.clone() }));
    assert!(wrong(WalHeader { system: SystemId(1), ..header.clone() }));
    assert!(wrong(WalHeader { what: WalWhat::Partial, ..header.clone() }));
    assert!(wrong(WalHeader { part: Some(0), ..header.clone() }));
    assert!(wrong(WalHeader { index: "1".to_owned(), ..header.clone() }), "an index without its digest");
    assert!(wrong(WalHeader { index_digest: Some(Base64Array([0; 32])), ..header.clone() }));
    assert!(wrong(WalHeader { parts: Some(vec![Base64Array([0; 32])]), ..header }));
}

/// A segment must be stored whatever its index comes to.
#[test]
fn an_index_longer_than_a_section_is_refused_before_it_keeps_the_segment_from_being_sealed() {
    let world = World::new(3, Cipher::None);
    let facts = facts("0000000100000A2B000000FF");
    let most = SECTION_PLAIN_BYTES_MAX - FRAME_TABLE_BYTES_MAX;
    for (front, transactions) in [(most + 1, 0), (0, most + 1)] {
        assert_eq!(
            Indexed::new(vec![0; front], vec![0; transactions]),
            Err(IndexTooLong { front, transactions })
        );
    }
    let plain = segment(PART_BYTES);
    let longest = Indexed::new(vec![0; most], vec![0; most]).unwrap();
    let sealer = WalSealer { facts: &facts, index: &longest, sealer: &world.sealer, key: &world.writer };
    sealer.seal(&plain, &mut compressor(), &mut Seeded::new(5)).unwrap();
}

#[test]
fn an_index_is_believed_from_the_head_and_the_front_alone() {
    let index = SegmentIndex {
        begins: Begins::Record,
        first: None,
        last: None,
        ends: Ends::Record,
        records: 7,
        commits: None,
        marks: Vec::new(),
        untold: Vec::new(),
        changes: Changes::default(),
    };
    let (front, transactions) = (index.encode().unwrap(), Transactions::default().encode());
    let with = Indexed::Index { front, transactions: transactions.clone() };
    let facts = facts("0000000100000A2B000000FF");
    for world in [World::encrypted(), World::new(3, Cipher::None)] {
        let sealer = WalSealer { facts: &facts, index: &with, sealer: &world.sealer, key: &world.writer };
        let object = sealer.seal(b"the segment", &mut compressor(), &mut Seeded::new(5)).unwrap();
        let keys = world.host_keys();
        let reader = WalReader { trust: &world.trust, keys: &keys };
        let head = OpenHead::open(&facts.name(), object.bytes(), &world.trust, None).unwrap();
        let mut decompressor = Decompressor::new().unwrap();
        let at = head.head().head_bytes();
        let body = object.bytes()[at..at + head.head().front_bytes() as usize].to_vec();
        assert_eq!(reader.index(&head, &body, &mut decompressor).unwrap(), Ok(index.clone()));
        let whole =
            WholeObject::open(&facts.name(), object.bytes(), &world.trust, None, &keys, &mut decompressor)
                .unwrap();
        assert_eq!(whole.footer().contents, transactions);
        for bit in 0..body.len() * 8 {
            let mut damaged = body.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(reader.index(&head, &damaged, &mut decompressor).is_err(), "bit {bit}");
        }
        assert!(reader.index(&head, &body[..body.len() - 1], &mut decompressor).is_err());
        // Whoever can write the store and has the keys of a host could seal another front; the signature does not cover it.
        let other = Indexed::Index {
            front: SegmentIndex { records: 8, ..index.clone() }.encode().unwrap(),
            transactions: Vec::new(),
        };
        let other = WalSealer { index: &other, ..sealer }
            .seal(b"the segment", &mut compressor(), &mut Seeded::new(5))
            .unwrap();
        let swapped = &other.bytes()[at..at + body.len()];
        assert!(reader.index(&head, swapped, &mut decompressor).is_err(), "the front of another object");
    }
    let without = sealed(&World::encrypted(), &facts, b"the segment");
    let world = World::encrypted();
    let head = OpenHead::open(&facts.name(), without.bytes(), &world.trust, None).unwrap();
    let keys = world.host_keys();
    let told =
        WalReader { trust: &world.trust, keys: &keys }.index(&head, &[], &mut Decompressor::new().unwrap());
    assert_eq!(told.unwrap(), Err(NoIndex::Told("not built".to_owned())));
}

#[test]
fn a_segment_put_under_another_segments_name_is_refused() {
    let world = World::encrypted();
    let object = sealed(&world, &facts("0000000100000A2B000000FF"), b"the segment");
    let other = facts("0000000100000A2B000000FE").name();
    assert!(matches!(open(&world, &world.all_keys(), &other, object.bytes()), Err(Fault::Trust(_))));
    let cut = &object.bytes()[..object.bytes().len() - 1];
    let fault = open(&world, &world.all_keys(), object.name(), cut).unwrap_err();
    assert!(matches!(fault, Fault::Head(HeadError::Truncated { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn files_round_trip(seed: Vec<u8>, times in 0..200_000usize, partial: bool) {
        let world = World::encrypted();
        let plain: Vec<u8> = seed.iter().copied().cycle().take(if seed.is_empty() { 0 } else { times * 11 }).collect();
        let facts = facts(if partial { "0000000100000A2B000000FF.partial" } else { "0000000100000A2B000000FF" });
        let object = sealed(&world, &facts, &plain);
        let opened = open(&world, &world.all_keys(), &facts.name(), object.bytes()).unwrap();
        prop_assert_eq!(opened.content, WalContent::Bytes(plain));
    }
}
