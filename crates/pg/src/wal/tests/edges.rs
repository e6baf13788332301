//! Segments walked one by one, their pieces joined: the same records as in one walk.

use proptest::prelude::*;

use super::*;

/// Walks each segment alone and joins what crosses; returns records in order.
pub(super) fn one_by_one(of: WalOf, segments: &[Vec<u8>]) -> Vec<Seen> {
    let mut records: Vec<Seen> = Vec::new();
    let mut joiner: Option<Joiner> = None;
    for (number, segment) in (5u64..).zip(segments) {
        let (found, walked) = walk_all(of, number, std::slice::from_ref(segment), Keep::Meaning);
        if walked.begins_with_overwrite {
            joiner = None;
        }
        match (&mut joiner, &walked.continuation) {
            (Some(joined), Some(continuation)) => {
                joined.add(continuation.remaining, &continuation.piece).unwrap();
                if continuation.lost_at.is_some() {
                    joiner = None;
                } else if let Some(end) = continuation.end {
                    records.push(seen(&joined.finish(end).unwrap()));
                    joiner = None;
                }
            }
            (None, None) => {}
            (had, has) => panic!("segment {number}: {} and {has:?}", had.is_some()),
        }
        records.extend(found);
        if let Some(unfinished) = &walked.unfinished {
            assert!(joiner.is_none());
            joiner = Some(Joiner::begin(of.version, unfinished).unwrap());
        }
    }
    records
}

pub(super) fn without_payload(records: Vec<Seen>) -> Vec<Seen> {
    records.into_iter().map(|record| Seen { payload: None, ..record }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The interesting places are the bytes around a segment's end, so a record is aimed at each.
    #[test]
    fn segments_walked_alone_and_joined_give_the_same_records(
        before_end in 8usize..1200, length in 0usize..3000, long in prop::bool::weighted(0.2), images in 0u8..12,
    ) {
        let mut writer = writer(16);
        let before_end = before_end.next_multiple_of(8);
        // Fills the segment up to that many bytes before its end.
        while writer.bytes.len() + 100 + 48 < (1 << 20) - before_end - 8192 {
            writer.record(&RecordSpec::of(10, 0, &[3; 70]));
        }
        let gap = (1 << 20) - before_end - writer.bytes.len();
        let pages = writer.bytes.len() / 8192;
        let crossed = ((1 << 20) - before_end - 1) / 8192 - pages;
        writer.record(&RecordSpec::of(10, 0, &vec![4; gap - crossed * 24 - 24 - 5]));
        prop_assert_eq!(writer.bytes.len(), (1 << 20) - before_end);

        let length = if long { length * 1000 } else { length };
        let image = ImageSpec { bytes: vec![9; 8192], hole_offset: 0, hole_length: 0, apply: true, compression: None };
        let blocks = (0..images).map(|id| BlockSpec { image: Some(image.clone()), ..block(id, 4, 77) }).collect();
        let main = (0..length).map(|i| i as u8).collect();
        writer.record(&RecordSpec { blocks, main, ..RecordSpec::of(1, 0, &[]) });
        for n in 0..50 {
            writer.record(&RecordSpec::of(10, 0, &[n; 70]));
        }
        let segments = writer.segments();
        let (found, _) = walk_all(writer.of, 5, &segments, Keep::Meaning);
        let mut joined = one_by_one(writer.of, &segments);
        let mut found = without_payload(found);
        // Of a record longer than the bounds less may be kept when it is joined: then it is told so.
        for (joined, found) in joined.iter_mut().zip(&mut found) {
            if joined.main.len() < found.main.len() {
                prop_assert!(joined.main_length as usize > joined.main.len());
                found.main.truncate(joined.main.len());
            }
        }
        prop_assert_eq!(without_payload(joined), found);
    }
}

#[test]
fn a_record_over_many_segments_is_joined_and_checked_though_not_kept() {
    let mut writer = writer(17);
    let start =
        writer.record(&RecordSpec::of(21, 0, &(0..5_000_000u32).map(|i| i as u8).collect::<Vec<_>>()));
    writer.record(&RecordSpec::of(10, 0, &[1]));
    let segments = writer.segments();
    assert_eq!(segments.len(), 5);
    let joined = one_by_one(writer.of, &segments);
    assert_eq!((joined[0].start, joined[0].main_length), (start, 5_000_000));
    assert!(joined[0].main.len() < 5_000_000 && joined[0].main[..4] == [0, 1, 2, 3]);
    let middle = walk_all(writer.of, 7, &segments[2..3], Keep::Meaning).1;
    assert_eq!((middle.records, middle.first, middle.ended), (0, None, WalEnded::WithTheSegments));
    let continuation = middle.continuation.unwrap();
    assert_eq!((continuation.end, continuation.piece.is_whole()), (None, true));

    // One bit in bytes that nobody keeps is seen all the same.
    let mut broken = segments.clone();
    broken[3][500_000] ^= 4;
    let pieces: Vec<_> = (5..)
        .zip(&broken)
        .map(|(n, s)| walk_all(writer.of, n, std::slice::from_ref(s), Keep::Meaning).1)
        .collect();
    let mut joiner = Joiner::begin(version(17), pieces[0].unfinished.as_ref().unwrap()).unwrap();
    for walked in &pieces[1..] {
        let continuation = walked.continuation.as_ref().unwrap();
        joiner.add(continuation.remaining, &continuation.piece).unwrap();
    }
    let end = pieces[4].continuation.as_ref().unwrap().end.unwrap();
    assert_eq!(joiner.finish(end).unwrap_err(), JoinFault::Record(RecordFault::Checksum));
}

#[test]
fn pieces_that_do_not_belong_together_are_refused() {
    let mut writer = writer(17);
    writer.record(&RecordSpec::of(21, 0, &vec![1; 1_500_000]));
    let segments = writer.segments();
    let first = walk_all(writer.of, 5, &segments[..1], Keep::Meaning).1;
    let second = walk_all(writer.of, 6, &segments[1..], Keep::Meaning).1.continuation.unwrap();
    let mut joiner = Joiner::begin(version(17), first.unfinished.as_ref().unwrap()).unwrap();
    let missing = joiner.missing();
    let other = joiner.add(second.remaining + 1, &second.piece).unwrap_err();
    assert_eq!(other, JoinFault::NotContinued { missing, says: second.remaining + 1 });
    assert_eq!(joiner.finish(Lsn(1)).unwrap_err(), JoinFault::Unfinished { missing });
    let mut crooked = second.piece.clone();
    crooked.front.push(0);
    assert!(joiner.add(second.remaining, &crooked).is_err() || joiner.finish(second.end.unwrap()).is_err());
}

#[test]
fn the_first_record_of_a_segment_names_the_one_before() {
    let mut writer = writer(15);
    let mut last = Lsn(0);
    while writer.bytes.len() < 1 << 20 {
        last = writer.record(&RecordSpec::of(10, 0, &[3; 71]));
    }
    writer.record(&RecordSpec::of(10, 0, &[3; 71]));
    let segments = writer.segments();
    let second = walk_all(writer.of, 6, &segments[1..], Keep::Meaning).1;
    assert_eq!(second.first_prev, Some(last));
}
