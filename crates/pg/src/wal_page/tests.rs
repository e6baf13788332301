//! Tests of WAL page headers and of the identity of segments.

use proptest::prelude::*;

use super::*;
use crate::timeline::HistoryFile;

const SYSTEM: SystemIdentifier = SystemIdentifier(7_575_757_575_757_575_757);

fn version(major: u32) -> Version {
    Version::from_major(major).unwrap()
}

fn tli(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

/// The first bytes of segment 9 (16 MiB) as a server of this version and timeline writes them.
fn first_bytes(major: u32, timeline: u32) -> Vec<u8> {
    let mut bytes = version(major).facts().wal_magic.to_le_bytes().to_vec();
    bytes.extend(6u16.to_le_bytes());
    bytes.extend(timeline.to_le_bytes());
    bytes.extend(0x0900_0000u64.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(SYSTEM.0.to_le_bytes());
    bytes.extend((16u32 << 20).to_le_bytes());
    bytes.extend(8192u32.to_le_bytes());
    bytes
}

fn with(offset: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = first_bytes(16, 1);
    bytes[offset..offset + value.len()].copy_from_slice(value);
    bytes
}

fn identify(bytes: &[u8], name: &str, history: &History) -> Result<WalPageHeader, WalPageError> {
    let expected = ExpectedSegment {
        name: name.parse().unwrap(),
        size: WalSegmentSize::DEFAULT,
        system_identifier: SYSTEM,
        version: version(16),
        history,
    };
    identify_segment(bytes, &expected)
}

fn on_first(bytes: &[u8]) -> Result<WalPageHeader, WalPageError> {
    identify(bytes, "000000010000000000000009", &History::root(tli(1)))
}

fn history(number: u32, text: &str) -> History {
    History::from_file(&HistoryFile::parse(tli(number), text.as_bytes()).unwrap())
}

#[test]
fn right_segment_is_recognised() {
    let header = on_first(&first_bytes(16, 1)).unwrap();
    assert_eq!((header.timeline, header.address), (tli(1), Lsn(0x0900_0000)));
    assert!(!header.begins_inside_record && !header.overwrites_lost_record);
    for info in 2u16..16 {
        let is_long = info & 2 != 0;
        assert_eq!(on_first(&with(2, &info.to_le_bytes())).is_ok(), is_long, "flags {info}");
    }
    assert!(on_first(&with(2, &[3, 0])).unwrap().begins_inside_record);
    assert!(on_first(&with(2, &[10, 0])).unwrap().overwrites_lost_record);
}

#[test]
fn each_difference_has_its_own_error() {
    let message = |bytes: &[u8]| on_first(bytes).unwrap_err().to_string();
    assert_eq!(
        message(&with(24, &[1])),
        format!("it belongs to another cluster: its system identifier is {}, not {SYSTEM}", {
            let mut id = SYSTEM.0.to_le_bytes();
            id[0] = 1;
            u64::from_le_bytes(id)
        })
    );
    assert_eq!(
        message(&with(8, &0x0800_0000u64.to_le_bytes())),
        "its content begins at 0/8000000, but its name stands for 0/9000000"
    );
    assert_eq!(
        message(&with(32, &(64u32 << 20).to_le_bytes())),
        "its segments are 67108864 bytes long, not 16777216"
    );
    assert_eq!(message(&first_bytes(15, 1)), "it was written by PostgreSQL 15, not 16");
    assert_eq!(
        message(&with(0, &[0x20, 0xD1])),
        "it is not WAL of PostgreSQL 16: its first bytes are D120, as no supported version writes"
    );
    assert!(matches!(on_first(&with(36, &[0, 0x40])), Err(WalPageError::WrongBlockSize { found: 16384 })));
    assert!(matches!(on_first(&with(2, &[0x16])), Err(WalPageError::NotWal { .. })));
    assert!(matches!(on_first(&with(4, &[0])), Err(WalPageError::NotWal { .. })));
    assert!(matches!(on_first(&[0; 40]), Err(WalPageError::NotWal { .. })));
    for length in 0..LONG_HEADER_BYTES {
        assert!(
            matches!(on_first(&first_bytes(16, 1)[..length]), Err(WalPageError::NotWal { .. })),
            "{length}"
        );
    }
}

#[test]
fn first_segment_of_a_timeline_begins_with_its_parents_page() {
    let two = history(2, "1\t0/9000110\tx\n");
    let name = "000000020000000000000009";
    assert!(identify(&first_bytes(16, 1), name, &two).is_ok());
    assert!(identify(&first_bytes(16, 2), name, &two).is_ok());
    assert!(matches!(
        identify(&first_bytes(16, 3), name, &two),
        Err(WalPageError::WrongTimeline { found, .. }) if found == tli(3)
    ));
}

#[test]
fn grandparents_page_is_legal_only_where_it_has_a_part() {
    let name = "000000030000000000000009";
    let copied_twice = history(3, "1\t0/9000110\tx\n2\t0/9000200\tx\n");
    assert!(identify(&first_bytes(16, 1), name, &copied_twice).is_ok());
    let left_before = history(3, "1\t0/8000110\tx\n2\t0/9000200\tx\n");
    assert!(matches!(
        identify(&first_bytes(16, 1), name, &left_before),
        Err(WalPageError::WrongTimeline { .. })
    ));
    assert!(identify(&first_bytes(16, 2), name, &left_before).is_ok());
}

#[test]
fn name_on_a_timeline_that_begins_later_is_refused() {
    let later = history(2, "1\t0/A000110\tx\n");
    let found = identify(&first_bytes(16, 1), "000000020000000000000009", &later);
    assert!(matches!(found, Err(WalPageError::WrongTimeline { .. })));
    let other = identify(&first_bytes(16, 1), "000000020000000000000009", &History::root(tli(1)));
    assert!(matches!(other, Err(WalPageError::HistoryOfOther { .. })));
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        drop(on_first(&bytes));
        let mut with_magic = version(16).facts().wal_magic.to_le_bytes().to_vec();
        with_magic.extend(bytes);
        drop(on_first(&with_magic));
    }
}
