//! An index made of a plain list of records, cut into segments anywhere, must say the same joined as uncut.

use proptest::prelude::*;
use seawall_pg::Fork;
use seawall_pg::wal::RelationId;

use super::*;

/// Bytes of a segment in this world; records begin at any of them.
const SEGMENT: u64 = 100;

#[derive(Debug, Clone)]
struct Record {
    start: u64,
    end: u64,
    previous: u64,
    commit: Option<Time>,
    page: u32,
    cut: Option<u32>,
}

const FORK: ChangedFork =
    ChangedFork { relation: RelationId { tablespace: 1663, database: 5, number: 16384 }, fork: Fork::Main };

/// Records one after the other from 1 on; some longer than segments.
fn records(sizes: &[(u64, u32, u8)]) -> Vec<Record> {
    let (mut at, mut previous) = (1, 0);
    let records = sizes.iter().map(|&(size, page, kind)| {
        let start = at;
        (at, previous) = (start + size, start);
        let commit = (kind == 0).then(|| Time::from_micros(i64::from(page) * 7 % 1000).unwrap());
        Record { start, end: at, previous, commit, page, cut: (kind == 1).then_some(page) }
    });
    let mut records: Vec<_> = records.collect();
    let starts: Vec<u64> = std::iter::once(0).chain(records.iter().map(|record| record.start)).collect();
    records.iter_mut().zip(starts).for_each(|(record, start)| record.previous = start);
    records
}

/// The index of the bytes `from..to`, as a host makes it that sees what lies before.
fn index(records: &[Record], from: u64, to: u64) -> SegmentIndex {
    let begin: Vec<&Record> = records.iter().filter(|record| (from..to).contains(&record.start)).collect();
    let over = |at: u64| records.iter().find(|record| record.start < at && record.end > at);
    let mut changes = Changes::default();
    let mut commits: Option<CommitSpan> = None;
    let ending = records.iter().filter(|record| record.end > from && record.end <= to);
    let mut count = 0;
    for record in ending {
        count += 1;
        if let Some(length) = record.cut {
            changes.fork_mut(FORK).cut(length);
        }
        changes.fork_mut(FORK).change_all([record.page]);
        if let Some(time) = record.commit {
            let at = EndedAt { start: Lsn(record.start), time };
            let span = commits.get_or_insert(CommitSpan {
                count: 0,
                first: at,
                last: at,
                earliest: time,
                latest: time,
            });
            *span = CommitSpan {
                count: span.count + 1,
                first: span.first,
                last: at,
                earliest: span.earliest.min(time),
                latest: span.latest.max(time),
            };
        }
    }
    SegmentIndex {
        begins: over(from).map_or(Begins::Record, |record| Begins::Rest { of: Lsn(record.start) }),
        first: begin
            .first()
            .map(|record| FirstRecord { start: Lsn(record.start), previous: Lsn(record.previous) }),
        last: begin.last().map(|record| Lsn(record.start)),
        ends: over(to).map_or(Ends::Record, |record| Ends::Beginning { of: Lsn(record.start), told: false }),
        records: count,
        commits,
        marks: Vec::new(),
        untold: Vec::new(),
        changes,
    }
}

fn segments(records: &[Record]) -> Vec<SegmentIndex> {
    let end = records.last().map_or(0, |record| record.end);
    (0..end.div_ceil(SEGMENT)).map(|n| index(records, n * SEGMENT, (n + 1) * SEGMENT)).collect()
}

fn joined(segments: &[SegmentIndex]) -> Result<SegmentIndex, Break> {
    let (first, rest) = segments.split_first().unwrap();
    let mut all = first.clone();
    rest.iter().try_for_each(|next| all.then(next)).map(|()| all)
}

fn any_sizes() -> impl Strategy<Value = Vec<(u64, u32, u8)>> {
    let size = prop_oneof![8 => 1..60u64, 2 => 100..450u64, 1 => Just(SEGMENT)];
    proptest::collection::vec((size, 0..50u32, 0..6u8), 1..30)
}

proptest! {
    #[test]
    fn segments_joined_say_what_the_whole_says(sizes in any_sizes(), cut in 0..40usize) {
        let records = records(&sizes);
        let segments = segments(&records);
        let whole = index(&records, 0, segments.len() as u64 * SEGMENT);
        prop_assert_eq!(joined(&segments).unwrap(), whole.clone());
        let (left, right) = segments.split_at(cut.clamp(1, segments.len()));
        let mut halves = joined(left).unwrap();
        if !right.is_empty() {
            halves.then(&joined(right).unwrap()).unwrap();
        }
        prop_assert_eq!(halves, whole);
    }

    /// A segment left out is noticed, unless it is full of one record's middle: then there is nothing that names it, and only its
    /// number tells.
    #[test]
    fn a_segment_left_out_or_of_other_wal_is_noticed(sizes in any_sizes(), at in 1..40usize) {
        let records = records(&sizes);
        let mut segments = segments(&records);
        if at + 1 < segments.len() {
            let gone = segments.remove(at);
            let is_middle = gone.last.is_none() && matches!(gone.ends, Ends::Beginning { .. });
            prop_assert_eq!(joined(&segments).is_err(), !is_middle);
        }
    }

    #[test]
    fn an_index_round_trips(sizes in any_sizes()) {
        for index in segments(&records(&sizes)) {
            let front = index.encode().unwrap();
            prop_assert_eq!(SegmentIndex::decode(&front, 1 << 20).unwrap(), index);
        }
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>) {
        drop(SegmentIndex::decode(&bytes, 1 << 20));
    }
}

#[test]
fn the_rest_of_an_unknown_record_is_told_as_missing_once_it_lies_inside() {
    let records = records(&[(90, 1, 2), (250, 2, 2), (20, 3, 2)]);
    let mut segments = segments(&records);
    for segment in segments.iter_mut().skip(1) {
        segment.begins = Begins::UnknownRest;
        if segment.first.is_none() {
            segment.ends = Ends::UnknownMiddle;
        }
    }
    let all = joined(&segments).unwrap();
    assert_eq!(all.untold, [Lsn(91)], "once, though its middle fills segments");
    assert!(!all.is_whole());
    assert!(segments[3].is_whole(), "what begins before it is not its matter");
    // Whoever handed the first segment over saw the rest of the record already.
    segments[0].ends = Ends::Beginning { of: Lsn(91), told: true };
    assert!(joined(&segments).unwrap().is_whole());
}

#[test]
fn an_abandoned_record_is_followed_by_the_one_that_says_so() {
    let whole = segments(&records(&[(90, 1, 2), (40, 2, 2), (70, 3, 2)]));
    let mut after = whole[1].clone();
    after.begins = Begins::Overwritten { of: Lsn(91) };
    // The server went on behind the last whole record, and that is what the new one names.
    after.first = Some(FirstRecord { start: Lsn(100), previous: Lsn(1) });
    assert_eq!(whole[0].clone().then(&after), Ok(()));
    after.begins = Begins::Overwritten { of: Lsn(92) };
    assert_eq!(whole[0].clone().then(&after), Err(Break::OtherRest { said: Lsn(92), found: Lsn(91) }));
}

#[test]
fn edges_that_do_not_fit_are_told_apart() {
    let whole = segments(&records(&[(90, 1, 2), (40, 2, 2), (70, 3, 2)]));
    let said = |before: &SegmentIndex, after: &SegmentIndex| before.clone().then(after).unwrap_err();
    let after = SegmentIndex { begins: Begins::Record, ..whole[1].clone() };
    assert_eq!(said(&whole[0], &after), Break::RestMissing { open: Lsn(91) });
    let before = SegmentIndex { ends: Ends::Switch { at: Lsn(91) }, ..whole[0].clone() };
    assert_eq!(said(&before, &whole[1]), Break::RestOfNone);
    let other = FirstRecord { start: Lsn(131), previous: Lsn(77) };
    let after = SegmentIndex { first: Some(other), ..whole[1].clone() };
    assert_eq!(said(&whole[0], &after), Break::Link { said: Lsn(77), found: Lsn(91) });
}

#[test]
fn the_words_are_the_documented_ones() {
    let index = SegmentIndex {
        marks: vec![Mark {
            start: Lsn(9),
            what: MarkWhat::WalLevel { level: seawall_pg::WalLevel::Replica },
        }],
        ..index(&records(&[(90, 1, 0), (40, 2, 2)]), 0, SEGMENT)
    };
    let words = serde_json::to_string(&index).unwrap();
    assert_eq!(
        words,
        r#"{"begins":{"with":"record"},"first":{"start":"0/1","previous":"0/0"},"last":"0/5B","ends":{"with":"beginning","of":"0/5B"},"records":1,"commits":{"count":1,"first":{"start":"0/1","time":"1970-01-01T00:00:00.000007Z"},"last":{"start":"0/1","time":"1970-01-01T00:00:00.000007Z"},"earliest":"1970-01-01T00:00:00.000007Z","latest":"1970-01-01T00:00:00.000007Z"},"marks":[{"start":"0/9","what":"wal-level","level":"replica"}]}"#
    );
}
