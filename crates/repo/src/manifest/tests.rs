//! Tests of the manifest: round trip through a sealed object, the header's room, what is refused.

use proptest::collection::vec;
use proptest::prelude::*;
use seawall_pg::{Lsn, Timeline, WalSegmentSize};

use super::*;
use crate::base64_field::Base64Bytes;
use crate::id::{BackupId, SystemId};
use crate::map::NodeRef;
use crate::pack::PackId;
use crate::pack::test_world::World;
use crate::time::Time;
use crate::usage::PackRow;

fn backup(number: u8) -> BackupId {
    let mut bytes = [0; 16];
    bytes[15] = number;
    BackupId::from_bytes(bytes).unwrap()
}

fn manifest() -> Manifest {
    let header = ManifestHeader {
        backup: backup(9),
        cluster: "orders".parse().unwrap(),
        system: SystemId(7),
        postgresql: 17,
        way: Way::Scan,
        parent: Some(backup(8)),
        timeline: Timeline::FIRST,
        start: Lsn(0x0100_0028),
        stop: Lsn(0x0200_0100),
        stop_timeline: Timeline::FIRST,
        started: Time::from_micros(1).unwrap(),
        stopped: Time::from_micros(2).unwrap(),
        segment_size: WalSegmentSize::new(16 << 20).unwrap(),
        bytes: 1,
        stored: 2,
        packs: 3,
        maps: 4,
        uses: vec![backup(8)],
        uses_more: false,
        damaged_pages: 1,
        from_standby: false,
        next_xid: Some((7 << 32) + 700),
    };
    let node = NodeRef { backup: backup(8), map: 1, frame: 2, offset: 3, length: 4 };
    let pack = PackId { backup: backup(9), number: 0 };
    let reason = "checksum".to_owned();
    let body = ManifestBody {
        uses: vec![backup(8)],
        blocks: vec![BlockRow { first: b"PG_VERSION".to_vec(), entries: 5, node }],
        packs: vec![PackRow { pack, pages_in_use: 3, pages_stored: 4, stored_bytes: 5 }],
        label: "START WAL LOCATION".to_owned(),
        control: vec![1; 512],
        findings: vec![Finding {
            path: Base64Bytes(b"b\xff".to_vec()),
            page: 7,
            expected: 1,
            found: 2,
            reason,
        }],
        external: vec![b"/etc/x".to_vec()],
        ..ManifestBody::default()
    };
    Manifest { header, body }
}

fn seal(manifest: &Manifest, world: &mut World) -> Result<SealedObject, ManifestError> {
    manifest.seal(&world.sealer, &world.writer, &mut world.compressor, &mut world.entropy)
}

fn reopen(manifest: &Manifest, mut world: World) -> Result<Manifest, ManifestError> {
    let object = seal(manifest, &mut world)?;
    let whole = world.open(&object);
    Manifest::open(&whole, world.sealer.digest_key(), &mut Decompressor::new().unwrap())
}

#[test]
fn a_manifest_comes_back_as_it_was_sealed() {
    assert_eq!(reopen(&manifest(), World::encrypted()).unwrap(), manifest());
    assert_eq!(reopen(&manifest(), World::plain()).unwrap(), manifest());
}

#[test]
fn the_document_has_the_documented_fields() {
    let plain = manifest().body.encode(&manifest().header).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(document["backups"], serde_json::json!([backup(9), backup(8)]));
    let block = serde_json::json!([{ "first": "UEdfVkVSU0lPTg==", "entries": 5, "ref": [1, 1, 2, 3, 4] }]);
    assert_eq!(document["blocks"], block);
    assert_eq!(document["packs"], serde_json::json!([[0, 0, 3, 4, 5]]));
    let header = serde_json::to_value(manifest().header).unwrap();
    assert_eq!((&header["system"], &header["start"]), (&"7".into(), &"0/1000028".into()));
    assert_eq!((&header["way"], &header["segment_size"]), (&"scan".into(), &(16 << 20).into()));
    assert!(header.get("uses_more").is_none());
}

#[test]
fn a_head_with_all_it_may_hold_fits_one_small_read() {
    let mut full = manifest();
    full.header.cluster = "x".repeat(63).parse().unwrap();
    full.header.system = SystemId(u64::MAX);
    for number in [&mut full.header.bytes, &mut full.header.stored] {
        *number = u64::MAX;
    }
    (full.header.packs, full.header.maps) = (u32::MAX, u32::MAX);
    (full.header.start, full.header.stop) = (Lsn::MAX, Lsn::MAX);
    full.body.uses = (10..200).map(backup).collect();
    full.body.uses.insert(0, backup(8));
    full.header.set_uses(&full.body.uses);
    assert_eq!((full.header.uses.len(), full.header.uses_more), (USES_MAX, true));
    let mut world = World::encrypted();
    world.place.cluster = full.header.cluster.clone();
    let object = seal(&full, &mut world).unwrap();
    let head_bytes = world.open(&object).head().head().head_bytes();
    assert!(head_bytes <= MANIFEST_HEAD_BYTES_MAX, "{head_bytes}");
    assert_eq!(reopen(&full, world).unwrap(), full);
}

#[test]
fn contradictions_are_neither_sealed_nor_read() {
    type Change = (&'static str, fn(&mut Manifest));
    let changes: [Change; 13] = [
        ("start is not before stop", |m| m.header.stop = Lsn(1)),
        ("start is not before stop", |m| m.header.start = Lsn::INVALID),
        ("it changed its timeline on a primary", |m| m.header.stop_timeline = Timeline::new(2).unwrap()),
        ("parent and way disagree", |m| m.header.parent = None),
        ("it is its own parent", |m| m.header.parent = Some(backup(9))),
        ("header and body disagree about the backups it uses", |m| m.header.uses.clear()),
        ("it references a backup that it does not list", |m| m.body.blocks[0].node.backup = backup(1)),
        ("a block begins with a path that must not be", |m| m.body.blocks[0].first = b"../x".to_vec()),
        ("a block is empty or lies beyond its frame", |m| m.body.blocks[0].node.length = 1 << 20),
        ("its blocks are not in the order of paths", |m| m.body.blocks.push(m.body.blocks[0].clone())),
        ("more pages of a pack are in use than stored", |m| m.body.packs[0].pages_in_use = 5),
        ("header and findings disagree", |m| m.header.damaged_pages = 0),
        ("it has no pg_control", |m| m.body.control.clear()),
    ];
    for (what, change) in changes {
        let mut bad = manifest();
        change(&mut bad);
        assert_eq!(seal(&bad, &mut World::plain()).unwrap_err(), ManifestError::Contradiction { what });
    }
}

#[test]
fn a_document_that_names_what_is_not_in_its_table_is_refused() {
    let plain = manifest().body.encode(&manifest().header).unwrap();
    let with = |change: fn(&mut serde_json::Value)| {
        let mut document: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        change(&mut document);
        ManifestBody::decode(&serde_json::to_vec(&document).unwrap(), &manifest().header).unwrap_err()
    };
    let outside = ManifestError::Contradiction { what: "a reference names a backup not in the table" };
    assert_eq!(with(|d| d["packs"][0][0] = 2.into()), outside);
    assert_eq!(with(|d| d["blocks"][0]["ref"][0] = u64::MAX.into()), outside);
    let first = ManifestError::Contradiction { what: "the first of its backups is not itself" };
    assert_eq!(with(|d| d["backups"] = serde_json::json!([])), first);
    assert!(matches!(with(|d| d["blocks"] = 7.into()), ManifestError::Json { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn tables_round_trip(
        packs in proptest::collection::btree_map((8..10u8, any::<u32>()), (0..1_000u64, 0..1_000u64, any::<u64>()), 0..50),
        paths in proptest::collection::btree_set(vec(1..=255u8, 1..20), 0..50),
    ) {
        let mut drawn = manifest();
        drawn.body.packs = packs.into_iter().map(|((of, number), (in_use, more, stored_bytes))| PackRow {
            pack: PackId { backup: backup(of), number },
            pages_in_use: in_use,
            pages_stored: in_use + more,
            stored_bytes,
        }).collect();
        let node = drawn.body.blocks[0].node;
        drawn.body.blocks = paths.into_iter()
            .filter(|path| crate::map::check_path(path).is_ok())
            .map(|first| BlockRow { first, entries: 1, node })
            .collect();
        prop_assert_eq!(reopen(&drawn, World::plain()).unwrap(), drawn);
    }

    #[test]
    fn hostile_documents_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(ManifestBody::decode(&bytes, &manifest().header).is_err());
    }
}
