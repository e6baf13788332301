//! Tests of segment sizes, numbers and names.

use proptest::prelude::*;

use super::*;

fn size(mebibytes: u32) -> WalSegmentSize {
    WalSegmentSize::new(mebibytes << 20).unwrap()
}

fn name(text: &str) -> SegmentName {
    text.parse().unwrap()
}

#[test]
fn sizes_are_powers_of_two_from_1_mib_to_1_gib() {
    let allowed = (0..32).filter(|shift| WalSegmentSize::new(1 << shift).is_ok()).collect::<Vec<_>>();
    assert_eq!(allowed, (20..=30).collect::<Vec<_>>());
    assert_eq!(WalSegmentSize::new(0), Err(SegmentError::Size { bytes: 0 }));
    assert!(WalSegmentSize::new(3 << 20).is_err());
    assert!(serde_json::from_str::<WalSegmentSize>("5").is_err());
}

#[test]
fn names_follow_the_size() {
    let of = |mib, lsn: &str| SegmentName::of(Timeline::FIRST, lsn.parse().unwrap(), size(mib)).to_string();
    assert_eq!(of(16, "0/7000028"), "000000010000000000000007");
    assert_eq!(of(1, "0/7000028"), "000000010000000000000070");
    assert_eq!(of(64, "0/7000028"), "000000010000000000000001");
    assert_eq!(of(1024, "A/C0000000"), "000000010000000A00000003");
    assert_eq!(of(16, "A2/41FFFFFF"), "00000001000000A200000041");
}

#[test]
fn last_name_of_a_log_file_depends_on_the_size() {
    assert_eq!(name("0000000100000000000000FF").next(size(16)).unwrap(), name("000000010000000100000000"));
    assert_eq!(name("000000010000000000000FFF").next(size(1)).unwrap(), name("000000010000000100000000"));
    assert_eq!(name("000000010000000000000003").next(size(1024)).unwrap(), name("000000010000000100000000"));
    assert_eq!(name("000000010000000100000000").prev(size(16)), Ok(Some(name("0000000100000000000000FF"))));
    assert_eq!(name("000000010000000000000000").prev(size(16)), Ok(None));
    let wrong = name("000000010000000000000100").number(size(16)).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "000000010000000000000100 is not the name of a segment of 16 MiB; was the cluster made with another size?"
    );
}

#[test]
fn last_segment_of_all_has_no_successor() {
    let last = name("00000001FFFFFFFF000000FF");
    assert!(matches!(last.next(size(16)), Err(SegmentError::BeyondEnd { .. })));
    assert_eq!(last.range(size(16)).unwrap().end, Lsn::MAX);
    assert!(SegmentName::new(Timeline::FIRST, SegmentNo(u64::MAX), size(1)).is_err());
    assert_eq!(SegmentNo(u64::MAX).last_lsn(size(1)), Lsn::MAX);
}

#[test]
fn end_positions_belong_to_the_segment_before() {
    let boundary = Lsn(0x0800_0000);
    assert_eq!(size(16).segment_of(boundary), SegmentNo(8));
    assert_eq!(size(16).segment_before(boundary), SegmentNo(7));
    assert_eq!(size(16).segment_before(Lsn(0x0800_0001)), SegmentNo(8));
    assert_eq!(size(16).offset_of(Lsn(0xA2_41FF_FFFF)), 0x00FF_FFFF);
}

#[test]
fn folder_is_the_first_16_digits() {
    assert_eq!(name("00000002000000A200000041").folder(), "00000002000000A2");
}

#[test]
fn other_names_are_refused() {
    for bad in [
        "",
        "00000001000000000000000",
        "0000000100000000000000070",
        "00000001000000000000000a",
        "000000000000000000000001",
        "00000001000000000000000G",
        "+0000001000000000000000A",
        "ééééééééé0000000",
        "0000000é0000000000000007",
    ] {
        assert!(bad.parse::<SegmentName>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn name_number_and_position_agree(timeline in 1u32.., lsn: u64, shift in 20u32..=30) {
        let size = WalSegmentSize::new(1 << shift).unwrap();
        let (timeline, lsn) = (Timeline::new(timeline).unwrap(), Lsn(lsn));
        let made = SegmentName::of(timeline, lsn, size);
        prop_assert_eq!(made.to_string().parse::<SegmentName>().unwrap(), made);
        prop_assert_eq!(made.number(size).unwrap(), size.segment_of(lsn));
        prop_assert_eq!(SegmentName::new(timeline, size.segment_of(lsn), size).unwrap(), made);
        let first = made.first_lsn(size).unwrap();
        prop_assert_eq!(first.0 + u64::from(size.offset_of(lsn)), lsn.0);
        prop_assert!(lsn <= size.segment_of(lsn).last_lsn(size));
        if let Ok(next) = made.next(size) {
            prop_assert_eq!(next.prev(size).unwrap(), Some(made));
            prop_assert!(next > made);
        }
    }

    #[test]
    fn any_text_is_taken_without_a_panic(text: String) {
        drop(text.parse::<SegmentName>());
    }
}
