//! WAL that is cut, torn, flipped, stale or foreign: the walk ends there, says why, and hands out nothing wrong.

use proptest::prelude::*;

use super::*;
use crate::timeline::Timeline;

fn plain(count: u8) -> (WalWriter, Vec<Lsn>) {
    let mut writer = writer(17);
    let starts = (0..count).map(|n| writer.record(&RecordSpec::of(10, 0, &[n; 900]))).collect();
    (writer, starts)
}

fn ended(segments: &[Vec<u8>]) -> WalEnded {
    walk_all(of(17), 5, segments, Keep::Meaning).1.ended
}

#[test]
fn each_fault_is_named_where_it_is() {
    let (writer, starts) = plain(40);
    let good = writer.segments();
    let record = |fault| WalEnded::Record { at: starts[20], fault };
    let offset = (starts[20].0 - (5 << 20)) as usize;
    let broken = |at: usize, value: u8| {
        let mut segments = good.clone();
        segments[0][at] ^= value;
        ended(&segments)
    };
    assert_eq!(broken(offset + 40, 1), record(RecordFault::Checksum));
    assert_eq!(broken(offset + 4, 1), record(RecordFault::Checksum));
    assert!(matches!(broken(offset + 8, 1), WalEnded::Record { fault: RecordFault::Link { .. }, .. }));
    assert_eq!(broken(offset + 3, 0x80), record(RecordFault::Length { bytes: 0x8000_0000 + 929 }));
    assert_eq!(broken(offset + 17, 0x40), record(RecordFault::ResourceManager { found: 0x4A }));
    let page = |at: u64, fault| WalEnded::Page { at: Lsn((5 << 20) + at), fault };
    assert_eq!(broken(8192 + 9, 1), page(8192, PageFault::OtherAddress { found: Lsn(0x50_2100) }));
    assert_eq!(broken(8192 + 16, 1), page(8192, PageFault::NotContinued));
    assert_eq!(broken(8192 + 2, 1), page(8192, PageFault::NotContinued));
    assert_eq!(broken(8192 + 2, 2), page(8192, PageFault::WrongHeaderLength));
    assert_eq!(broken(24, 1), page(0, PageFault::ForeignSystem { found: SystemIdentifier(76) }));
    assert!(matches!(broken(34, 0x20), WalEnded::Page { fault: PageFault::Header(_), .. }));
    assert!(matches!(broken(0, 1), WalEnded::Page { fault: PageFault::Header(_), .. }));
    let mut cut = good.clone();
    cut[0].truncate(10_000);
    assert_eq!(ended(&cut), page(8192, PageFault::Short));
    cut[0].truncate(8192);
    assert_eq!(ended(&cut), page(8192, PageFault::Short));
}

#[test]
fn a_recycled_file_ends_like_one_that_was_never_filled() {
    let (writer, _) = plain(40);
    let mut segments = writer.segments();
    let zeros = ended(&segments);
    assert!(matches!(zeros, WalEnded::NothingWritten { .. }) && zeros.is_unfilled());
    let filled = writer.bytes.len().next_multiple_of(8192);
    let mut old = WalWriter::new(of(17), SegmentNo(2));
    old.raw(1, 10, 0, &vec![0; 1 << 20]);
    segments[0][filled..].copy_from_slice(&old.segments()[0][filled..]);
    let stale = ended(&segments);
    let at = Lsn((5 << 20) + filled as u64);
    // The page in which WAL ends is zeros behind that end; only the pages behind it are old.
    assert_eq!(stale, zeros);
    let exact = 8192 - writer.bytes.len() % 8192;
    let mut full = writer.clone();
    full.record(&RecordSpec::of(10, 0, &vec![1; exact - 29]));
    let mut segments = full.segments();
    segments[0][filled..].copy_from_slice(&old.segments()[0][filled..]);
    let stale = ended(&segments);
    let found = Lsn((2 << 20) + filled as u64);
    assert_eq!(stale, WalEnded::Page { at, fault: PageFault::OtherAddress { found } });
    assert!(stale.is_unfilled());
    let newer = WalEnded::Page { at, fault: PageFault::OtherAddress { found: Lsn(at.0 + 8192) } };
    assert!(!newer.is_unfilled());
}

#[test]
fn a_page_of_an_earlier_timeline_ends_the_walk() {
    let (mut writer, _) = plain(3);
    writer.timeline = Timeline::new(3).unwrap();
    writer.record(&RecordSpec::of(10, 0, &[1; 9000]));
    let good = writer.position();
    writer.timeline = Timeline::new(2).unwrap();
    writer.record(&RecordSpec::of(10, 0, &[1; 9000]));
    let (found, walked) = walk_all(of(17), 5, &writer.segments(), Keep::Meaning);
    assert_eq!((found.len(), found[3].end.0.next_multiple_of(8)), (4, good.0));
    let [before, found] = [3, 2].map(|number| Timeline::new(number).unwrap());
    let fault = PageFault::EarlierTimeline { before, found };
    assert_eq!(walked.ended, WalEnded::Page { at: Lsn((5 << 20) + 2 * 8192), fault });
    assert_eq!(walked.unfinished.unwrap().start, good);
}

#[test]
fn a_record_that_is_begun_and_not_continued_is_told_as_unfinished() {
    let (mut writer, _) = plain(3);
    let start = writer.record(&RecordSpec::of(10, 0, &[7; 9000]));
    writer.bytes.truncate(8192);
    let (_, walked) = walk_all(of(17), 5, &writer.segments(), Keep::Meaning);
    assert_eq!(walked.ended, WalEnded::NothingWritten { at: Lsn((5 << 20) + 8192) });
    let unfinished = walked.unfinished.unwrap();
    assert_eq!(unfinished.start, start);
    assert_eq!(unfinished.missing + unfinished.piece.bytes, 9000 + 29);
}

#[test]
fn a_length_that_nobody_filled_takes_no_memory() {
    let (mut writer, _) = plain(3);
    let mut record = testing::whole_record(writer.previous, (1, 10, 0), &[0; 64]);
    record[..4].copy_from_slice(&((1u32 << 30) - 8).to_le_bytes());
    writer.bytes.extend(&record);
    writer.bytes.resize(8192, 0);
    writer.page_header((1 << 30) - 8 - (8192 - 24 - 16 - 3 * 936), false);
    let (_, walked) = walk_all(of(17), 5, &writer.segments(), Keep::Everything);
    let kept = walked.unfinished.unwrap().piece.front.len();
    assert!(kept < 1024, "{kept}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is changed: every record handed out was written, in order, with nothing left out between.
    #[test]
    fn nothing_wrong_is_handed_out(at in 0usize..60_000, noise in prop::collection::vec(any::<u8>(), 1..200), cut in any::<bool>()) {
        let (mut writer, _) = plain(20);
        for n in 0..60u8 {
            let data = BlockSpec { data: vec![n; 300], ..block(0, 4, u32::from(n)) };
            writer.record(&RecordSpec { blocks: vec![data], ..RecordSpec::of(10, 0, &[n; 300]) });
        }
        let mut segments = writer.segments();
        let (good, _) = walk_all(writer.of, 5, &segments, Keep::Meaning);
        for (to, from) in segments[0][at..].iter_mut().zip(&noise) {
            *to = *from;
        }
        if cut {
            segments[0].truncate(at);
        }
        let (found, _) = walk_all(writer.of, 5, &segments, Keep::Meaning);
        prop_assert!(good.starts_with(&found));
        drop(walk_all(writer.of, 5, &[noise], Keep::Everything));
    }
}
