use seawall_pg::wal::testing::{RecordSpec, WalWriter};
use seawall_pg::{SystemIdentifier, Version, WalSegmentSize};

use super::*;

const PAGE: usize = 8192;

fn of() -> WalOf {
    WalOf {
        version: Version::from_major(17).unwrap(),
        system: SystemIdentifier(77),
        size: WalSegmentSize::new(1 << 20).unwrap(),
    }
}

fn writer() -> WalWriter {
    WalWriter::new(of(), SegmentNo(5))
}

/// A record of `rmgr` and `info` with this content; returns where it begins.
fn record(writer: &mut WalWriter, rmgr: u8, info: u8, main: &[u8]) -> Lsn {
    writer.record(&RecordSpec::of(rmgr, info, main))
}

fn walk(segments: &[Vec<u8>], first: u64) -> WalEnd {
    let mut walk = WalWalk::new(of(), SegmentNo(first));
    segments.iter().for_each(|segment| walk.segment(segment));
    walk.finish()
}

fn commit_body(micros: i64) -> Vec<u8> {
    (micros - 946_684_800_000_000).to_le_bytes().to_vec()
}

#[test]
fn the_last_record_of_a_segment_that_is_not_full_is_found() {
    let mut writer = writer();
    let first = record(&mut writer, 10, 0, &[1; 40]);
    record(&mut writer, 1, 0, &commit_body(1_700_000_000_000_000));
    let last = record(&mut writer, 10, 0, &[2; 20_003]);
    let end = writer.position();
    let found = walk(&writer.segments(), 5);
    assert_eq!(found.first.unwrap().start, first);
    assert_eq!(found.last.unwrap(), RecordAt { start: last, end });
    assert_eq!(found.latest_commit, Time::from_micros(1_700_000_000_000_000));
    assert_eq!(found.ended, WalEnded::NothingWritten { at: end });
}

#[test]
fn a_switch_record_is_the_last_one_and_ends_its_segment() {
    let mut writer = writer();
    record(&mut writer, 10, 0, &[1; 40]);
    let switch = record(&mut writer, 0, 0x40, &[]);
    let mut segments = writer.segments();
    // What stands behind a switch is not looked at.
    segments[0][60_000..60_100].fill(0xEE);
    let found = walk(&segments, 5);
    assert_eq!(found.last.unwrap().start, switch);
    assert_eq!(found.ended, WalEnded::WithTheSegments);
}

#[test]
fn a_record_that_goes_on_in_a_segment_that_is_not_there_does_not_count() {
    let mut writer = writer();
    let last = record(&mut writer, 10, 0, &[1; 40]);
    let over = record(&mut writer, 10, 0, &vec![3; 1 << 20]);
    let behind = record(&mut writer, 10, 0, &[4; 16]);
    let segments = writer.segments();
    assert_eq!(segments.len(), 2);
    let found = walk(&segments[..1], 5);
    assert_eq!((found.last.unwrap().start, found.ended), (last, WalEnded::WithTheSegments));
    let both = walk(&segments, 5);
    assert!(over < behind);
    assert_eq!(both.last.unwrap().start, behind);
}

#[test]
fn a_walk_may_begin_inside_a_record_longer_than_a_segment() {
    let mut writer = writer();
    record(&mut writer, 10, 0, &vec![3; 5 << 19]);
    let behind = record(&mut writer, 10, 0, &[4; 16]);
    let segments = writer.segments();
    assert_eq!(segments.len(), 3);
    assert_eq!(walk(&segments[1..], 6).last.unwrap().start, behind);
    let middle = walk(&segments[1..2], 6);
    assert_eq!((middle.last, middle.ended), (None, WalEnded::WithTheSegments));
}

#[test]
fn a_damaged_record_and_all_behind_it_do_not_count() {
    let mut writer = writer();
    let good = record(&mut writer, 10, 0, &[1; 40]);
    let bad = record(&mut writer, 10, 0, &[2; 40]);
    record(&mut writer, 10, 0, &[3; 40]);
    let mut segments = writer.segments();
    let at = usize::try_from(bad.0 - (5 << 20)).unwrap() + 30;
    segments[0][at] ^= 1;
    let found = walk(&segments, 5);
    assert_eq!(found.last.unwrap().start, good);
    assert_eq!(found.ended, WalEnded::Record { at: bad, fault: RecordFault::Checksum });
}

#[test]
fn a_record_of_an_older_life_of_the_file_is_seen_by_its_link() {
    let mut writer = writer();
    let good = record(&mut writer, 10, 0, &[1; 40]);
    let current = writer.previous;
    writer.previous = Lsn(0x10_0000);
    let stale = record(&mut writer, 10, 0, &[2; 40]);
    assert_ne!(current, stale);
    let found = walk(&writer.segments(), 5);
    assert_eq!(found.last.unwrap().start, good);
    assert_eq!(
        found.ended,
        WalEnded::Record { at: stale, fault: RecordFault::Link { found: Lsn(0x10_0000) } }
    );
}

#[test]
fn a_record_lost_in_a_crash_is_forgotten_where_the_server_overwrote_it() {
    let mut writer = writer();
    let good = record(&mut writer, 10, 0, &[1; 40]);
    let lost = writer.position();
    record(&mut writer, 10, 0, &[2; 9000]);
    // The server came back and wrote at the page where the rest of that record would be.
    writer.bytes.truncate(PAGE);
    writer.page_header(0, true);
    writer.previous = good;
    let after = record(&mut writer, 0, 0xD0, &[0; 16]);
    let found = walk(&writer.segments(), 5);
    assert!(lost < after);
    assert_eq!(found.last.unwrap().start, after);
}

#[test]
fn pages_of_another_place_or_cluster_end_the_walk() {
    let mut writer = writer();
    record(&mut writer, 10, 0, &[1; 40]);
    let segments = writer.segments();
    let moved = walk(&segments, 6);
    assert!(matches!(moved.ended, WalEnded::Page { fault: PageFault::OtherAddress { .. }, .. }), "{moved:?}");
    let mut foreign = segments;
    foreign[0][24] = 1;
    let foreign = walk(&foreign, 5);
    assert!(
        matches!(foreign.ended, WalEnded::Page { fault: PageFault::ForeignSystem { .. }, .. }),
        "{foreign:?}"
    );
}

#[test]
fn a_segment_that_is_cut_off_is_not_a_whole_one() {
    let mut writer = writer();
    record(&mut writer, 10, 0, &vec![1; 20_000]);
    let mut segments = writer.segments();
    segments[0].truncate(10_000);
    let found = walk(&segments, 5);
    assert_eq!(found.last, None);
    assert!(matches!(found.ended, WalEnded::Page { fault: PageFault::Short, .. }), "{found:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_walked_without_a_panic(at in 0usize..30_000, noise: Vec<u8>) {
        let mut writer = writer();
        for n in 0..200u8 {
            record(&mut writer, 10, 0, &[n; 120]);
        }
        let mut segments = writer.segments();
        for (to, from) in segments[0][at..].iter_mut().zip(&noise) {
            *to = *from;
        }
        drop(walk(&segments, 5));
        drop(walk(&[noise], 5));
    }
}
