//! Tests of `pg_control`: round trip on every version, every check, and the decision about torn reads.

use proptest::prelude::*;

use super::encode::{encode, seal};
use super::*;

fn version(major: u32) -> Version {
    Version::from_major(major).unwrap()
}

fn sample(major: u32) -> ControlFile {
    let newer = major >= 17;
    ControlFile {
        system_identifier: SystemIdentifier(7_575_757_575_757_575_757),
        version: version(major),
        state: ClusterState::InProduction,
        time: 1_795_330_000,
        checkpoint_lsn: Lsn(0x0700_0080),
        checkpoint: Checkpoint {
            redo: Lsn(0x0700_0028),
            timeline: Timeline::new(2).unwrap(),
            previous_timeline: Timeline::FIRST,
            full_page_writes: true,
            wal_level: newer.then_some(WalLevel::Replica),
            next_xid: 1 << 32 | 822,
            next_oid: 24_576,
            next_multi: 1,
            next_multi_offset: 0,
            oldest_xid: 730,
            oldest_multi: 1,
            time: 1_795_329_000,
        },
        min_recovery_point: Lsn::INVALID,
        min_recovery_timeline: None,
        backup_start: Lsn::INVALID,
        backup_end: Lsn::INVALID,
        backup_end_required: false,
        wal_level: WalLevel::Logical,
        wal_log_hints: true,
        minimums: ControlMinimums {
            max_connections: 100,
            max_worker_processes: 8,
            max_wal_senders: 10,
            max_prepared_transactions: 20,
            max_locks_per_transaction: 64,
        },
        track_commit_timestamp: false,
        relation_segment_blocks: 131_072,
        wal_segment_size: WalSegmentSize::DEFAULT,
        data_checksum_version: 1,
        default_char_signed: (major >= 18).then_some(true),
        mock_authentication_nonce: [0xAB; 32],
    }
}

/// A good file with one field overwritten and the checksum made right again.
fn with_field(major: u32, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = encode(&sample(major));
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
    seal(&mut image, version(major).facts().control_layout.crc);
    image
}

#[test]
fn every_version_round_trips() {
    for major in 14..=18 {
        let image = encode(&sample(major));
        assert_eq!(image.len(), CONTROL_FILE_BYTES);
        assert_eq!(ControlFile::decode(&image), Ok(sample(major)));
        // The meaningful bytes alone are enough.
        assert_eq!(ControlFile::decode(&image[..296]), Ok(sample(major)));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for major in [14, 17, 18] {
        let image = encode(&sample(major));
        let covered = version(major).facts().control_layout.crc + 4;
        for bit in 0..covered * 8 {
            let mut damaged = image.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(ControlFile::decode(&damaged).is_err(), "version {major}, bit {bit}");
        }
    }
}

#[test]
fn short_files_are_refused_at_every_length() {
    let image = encode(&sample(16));
    for length in 0..296 {
        assert_eq!(
            ControlFile::decode(&image[..length]),
            Err(ControlError::TooShort { found: length, needed: 296 })
        );
    }
}

#[test]
fn unknown_versions_are_told_from_damage() {
    let newer = with_field(18, 8, &1902u32.to_le_bytes());
    assert!(matches!(
        ControlFile::decode(&newer),
        Err(ControlError::Version(VersionError::UnknownFormat { control: 1902, catalog: 202_506_291 }))
    ));
    let beta = with_field(17, 12, &202_404_021u32.to_le_bytes());
    assert!(matches!(ControlFile::decode(&beta), Err(ControlError::Version(_))));
    let foreign = with_field(17, 8, &1700u32.to_be_bytes());
    assert_eq!(ControlFile::decode(&foreign), Err(ControlError::ByteOrder { swapped: 1700 }));
    // A damaged catalog version is damage, not a version nobody knows.
    let mut damaged = encode(&sample(17));
    damaged[12] ^= 1;
    assert!(matches!(ControlFile::decode(&damaged), Err(ControlError::Checksum { .. })));
}

#[test]
fn values_of_other_builds_are_refused() {
    let decode = |offset, bytes: &[u8]| ControlFile::decode(&with_field(15, offset, bytes)).unwrap_err();
    assert_eq!(decode(228, &5u32.to_le_bytes()), ControlError::SegmentSize(SegmentError::Size { bytes: 5 }));
    assert_eq!(
        decode(216, &4096u32.to_le_bytes()),
        ControlError::BlockSize { what: "relations", found: 4096 }
    );
    assert_eq!(decode(224, &16384u32.to_le_bytes()), ControlError::BlockSize { what: "WAL", found: 16384 });
    assert_eq!(decode(208, &[1]), ControlError::FloatFormat);
    assert_eq!(decode(204, &4u32.to_le_bytes()), ControlError::Alignment { found: 4 });
    assert_eq!(decode(16, &7u32.to_le_bytes()), ControlError::Value { field: "state", value: 7 });
    assert_eq!(decode(172, &3u32.to_le_bytes()), ControlError::Value { field: "wal_level", value: 3 });
    assert_eq!(decode(220, &[0; 4]), ControlError::Value { field: "relseg_size", value: 0 });
    assert_eq!(decode(48, &[0; 4]), ControlError::Value { field: "ThisTimeLineID", value: 0 });
    assert_eq!(decode(56, &[2]), ControlError::Value { field: "fullPageWrites", value: 2 });
    assert_eq!(
        decode(252, &2u32.to_le_bytes()),
        ControlError::Value { field: "data_checksum_version", value: 2 }
    );
}

fn torn(seed: u8) -> Vec<u8> {
    let mut image = encode(&sample(16));
    image[100] = seed;
    image
}

#[test]
fn torn_read_is_tried_again_and_then_taken() {
    let mut reader = ControlReader::new();
    assert_eq!(reader.accept(&torn(1)), ControlRead::ReadAgain);
    assert_eq!(reader.accept(&torn(2)), ControlRead::ReadAgain);
    assert_eq!(reader.accept(&encode(&sample(16))), ControlRead::Whole(sample(16)));
}

#[test]
fn two_reads_wrong_in_the_same_way_are_damage() {
    let mut reader = ControlReader::new();
    assert_eq!(reader.accept(&torn(1)), ControlRead::ReadAgain);
    assert!(matches!(reader.accept(&torn(1)), ControlRead::Failed(ControlError::Checksum { .. })));
}

#[test]
fn ten_torn_reads_are_the_end() {
    let mut reader = ControlReader::new();
    for seed in 1..10 {
        assert_eq!(reader.accept(&torn(seed)), ControlRead::ReadAgain);
    }
    assert!(matches!(reader.accept(&torn(10)), ControlRead::Failed(_)));
}

#[test]
fn other_faults_are_not_tried_again() {
    assert!(matches!(ControlReader::new().accept(&[]), ControlRead::Failed(ControlError::TooShort { .. })));
}

fn any_file() -> impl Strategy<Value = ControlFile> {
    let numbers = (any::<[u64; 8]>(), any::<[u32; 8]>(), any::<[i32; 5]>(), any::<[bool; 6]>());
    (14u32..=18, 20u32..=30, numbers, any::<[u8; 32]>()).prop_map(|(major, shift, numbers, nonce)| {
        let (wide, narrow, limits, flags) = numbers;
        let mut file = sample(major);
        file.system_identifier = SystemIdentifier(wide[0]);
        file.time = wide[1].cast_signed();
        file.checkpoint_lsn = Lsn(wide[2]);
        file.checkpoint.redo = Lsn(wide[3]);
        file.checkpoint.next_xid = wide[4];
        file.min_recovery_point = Lsn(wide[5]);
        file.backup_start = Lsn(wide[6]);
        file.backup_end = Lsn(wide[7]);
        file.checkpoint.timeline = Timeline::new(narrow[0].max(1)).unwrap();
        file.checkpoint.previous_timeline = Timeline::new(narrow[1].max(1)).unwrap();
        file.min_recovery_timeline = Timeline::new(narrow[2]);
        file.checkpoint.next_oid = narrow[3];
        file.checkpoint.next_multi = narrow[4];
        file.checkpoint.oldest_xid = narrow[5];
        file.relation_segment_blocks = narrow[6].max(1);
        file.checkpoint.next_multi_offset = narrow[7];
        file.minimums.max_connections = limits[0];
        file.minimums.max_worker_processes = limits[1];
        file.minimums.max_wal_senders = limits[2];
        file.minimums.max_prepared_transactions = limits[3];
        file.minimums.max_locks_per_transaction = limits[4];
        file.backup_end_required = flags[0];
        file.wal_log_hints = flags[1];
        file.track_commit_timestamp = flags[2];
        file.checkpoint.full_page_writes = flags[3];
        file.data_checksum_version = u32::from(flags[4]);
        file.default_char_signed = file.default_char_signed.map(|_| flags[5]);
        file.wal_segment_size = WalSegmentSize::new(1 << shift).unwrap();
        file.mock_authentication_nonce = nonce;
        file
    })
}

proptest! {
    #[test]
    fn encode_then_decode_gives_the_same(file in any_file()) {
        prop_assert_eq!(ControlFile::decode(&encode(&file)), Ok(file));
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        drop(ControlFile::decode(&bytes));
    }
}
