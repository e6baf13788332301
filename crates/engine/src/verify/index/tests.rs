//! Indexes as hosts make them, knowing much or little beside the segment, are never blamed; what lies in any of its words is.

use std::path::Path;

use proptest::prelude::*;
use seawall_pg::wal::testing::{RecordSpec, WalWriter};
use seawall_pg::{History, SegmentNo, Timeline};
use seawall_repo::id::WriterId;
use seawall_repo::wal_index::FirstRecord;

use super::*;
use crate::archive::index::find_carry;
use crate::archive::index::tests::{
    FIRST, Step, TIME, any_step, files, index, index_with_ahead, main_fork, name, of, write,
};
use crate::verify::links::Edges;

fn judged(number: u64, bytes: &[u8], stored: &SegmentIndex) -> Option<String> {
    // As it comes out of an object.
    let front = stored.encode().unwrap();
    let stored = SegmentIndex::decode(&front, of().size.bytes()).unwrap();
    let first = SegmentNo(number).first_lsn(of().size).unwrap();
    let mut check = IndexCheck::of(of(), first, Some(Box::new(stored)));
    bytes.chunks(1 << 16).for_each(|piece| check.take(piece));
    check.finish().err()
}

/// Each segment's index by hosts that see all, nothing, or one side beside it.
fn by_hosts(writer: &WalWriter) -> Vec<(u64, Vec<u8>, Vec<SegmentIndex>)> {
    let (all, nothing) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let of_each = |(number, bytes): (u64, Vec<u8>)| {
        let mut by: Vec<SegmentIndex> = [(all.path(), 8192), (all.path(), 1 << 20), (nothing.path(), 65536)]
            .into_iter()
            .filter_map(|(beside, chunk)| Some(index(number, &bytes, beside, chunk).ok()?.index))
            .collect();
        if all.path().join(name(number + 1).to_string()).exists() {
            // Of the end of a switch nothing is known without its beginning.
            if by.len() == 3 {
                by.push(index_with_ahead(number, &bytes, all.path(), nothing.path()));
            }
            by.push(index_with_ahead(number, &bytes, all.path(), all.path()));
        }
        (number, bytes, by)
    };
    files(writer, all.path()).into_iter().map(of_each).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_index_that_a_host_makes_is_blamed(mut steps in proptest::collection::vec(any_step(), 1..100)) {
        steps.push(Step::Switch);
        let all = by_hosts(&write(&steps).0);
        for (number, bytes, by) in &all {
            prop_assert!(by.len() >= 3);
            for stored in by {
                prop_assert_eq!(judged(*number, bytes, stored), None, "{:?}", stored);
            }
        }
        // Nor the link between two of them, whichever hosts made them.
        for pair in all.windows(2) {
            let [(_, _, before), (_, _, behind)] = pair else { continue };
            for (before, behind) in before.iter().flat_map(|one| behind.iter().map(move |other| (one, other))) {
                let edges = |index: &SegmentIndex| Edges::of(index, WriterId::from_bytes([1; 16]));
                let joined = edges(before).goes_on(&edges(behind));
                prop_assert!(joined.is_ok(), "{:?}: {:?} {:?}", joined, before.ends, behind.begins);
            }
        }
    }
}

/// A writer whose first segment has so many bytes left.
fn full_but_for(left: usize) -> WalWriter {
    let mut writer = WalWriter::new(of(), SegmentNo(FIRST));
    let headers = 40 + 127 * 24 + 24 + 5;
    writer.record(&RecordSpec::of(11, 0, &vec![3; (1 << 20) - headers - left]));
    writer
}

/// What a record over an edge says, a commit or a switch, stands in one index or the other, or in none.
#[test]
fn records_over_an_edge_are_never_blamed() {
    let commit = RecordSpec::of(1, 0, &TIME.to_le_bytes());
    let mut over = 0;
    for left in (8..72).step_by(8) {
        for spec in [&commit, &RecordSpec { xid: 0, ..RecordSpec::of(0, 0x40, &[]) }] {
            let mut writer = full_but_for(left);
            let switches = spec.main.is_empty();
            if switches {
                writer.switch();
            } else {
                writer.record(spec);
            }
            writer.record(&commit);
            writer.switch();
            for (number, bytes, by) in by_hosts(&writer) {
                for stored in by {
                    over += u64::from(matches!(stored.begins, Begins::Rest { .. }));
                    assert_eq!(judged(number, &bytes, &stored), None, "{left} {stored:?}");
                }
            }
        }
    }
    assert!(over >= 4, "{over}");
}

/// Segments of which the second begins with the rest of a record and ends with the beginning of another.
fn segments() -> Vec<(u64, Vec<u8>, SegmentIndex)> {
    let steps = [
        Step::Commit,
        Step::Blocks(vec![9, 10], 1_040_000),
        Step::Blocks(vec![44, 45], 40_000),
        Step::Cut(200),
        Step::Commit,
        Step::Delete(46),
        Step::Blocks(vec![70], 990_000),
        Step::Blocks(vec![71], 60_000),
        Step::Abort,
        Step::Switch,
    ];
    let directory = tempfile::tempdir().unwrap();
    let files = files(&write(&steps).0, directory.path());
    files
        .into_iter()
        .map(|(number, bytes)| {
            let stored = index(number, &bytes, directory.path(), 1 << 20).unwrap().index;
            (number, bytes, stored)
        })
        .collect()
}

#[test]
fn a_lie_in_any_word_is_found() {
    let segments = segments();
    let (number, bytes, sound) = &segments[1];
    assert!(matches!((sound.begins, sound.ends), (Begins::Rest { .. }, Ends::Beginning { .. })), "{sound:?}");
    assert_eq!(judged(*number, bytes, sound), None);
    let without_page = |gone: u32| {
        let mut changes = Changes::default();
        let fork = changes.fork_mut(main_fork());
        let kept = sound.changes.fork(&main_fork()).unwrap();
        fork.change_all(kept.pages().iter().filter(|page| *page != gone));
        fork.cut(kept.limit().unwrap());
        changes
    };
    let with_pages = |more: u32| {
        let mut changes = sound.changes.clone();
        changes.fork_mut(main_fork()).change_all(100..100 + more);
        changes
    };
    let span = sound.commits.unwrap();
    let first = sound.first.unwrap();
    let mut uncut = Changes::default();
    uncut.fork_mut(main_fork()).change_all(sound.changes.fork(&main_fork()).unwrap().pages());
    let mark = Mark { start: first.start, what: MarkWhat::FullPageWrites { on: false } };
    let lies: Vec<(&str, SegmentIndex)> = vec![
        ("lacks changed pages", SegmentIndex { changes: without_page(46), ..sound.clone() }),
        ("lacks changed pages", SegmentIndex { changes: Changes::default(), ..sound.clone() }),
        ("lacks changed pages", SegmentIndex { changes: uncut, ..sound.clone() }),
        ("names changes", SegmentIndex { changes: with_pages(34), ..sound.clone() }),
        ("counts", SegmentIndex { records: sound.records + 1, ..sound.clone() }),
        ("its commits", SegmentIndex { commits: None, ..sound.clone() }),
        ("its commits", SegmentIndex { commits: Some(CommitSpan { count: 3, ..span }), ..sound.clone() }),
        (
            "its commits",
            SegmentIndex {
                commits: Some(CommitSpan { latest: seawall_repo::time::Time::EPOCH, ..span }),
                ..sound.clone()
            },
        ),
        ("what it marks", SegmentIndex { marks: vec![mark], ..sound.clone() }),
        ("leaves out", SegmentIndex { untold: vec![first.start], ..sound.clone() }),
        ("the first and the last", SegmentIndex { last: Some(first.start), ..sound.clone() }),
        (
            "the first and the last",
            SegmentIndex { first: Some(FirstRecord { previous: Lsn(8), ..first }), ..sound.clone() },
        ),
        ("begins otherwise", SegmentIndex { begins: Begins::Record, ..sound.clone() }),
        ("begins otherwise", SegmentIndex { begins: Begins::Rest { of: first.start }, ..sound.clone() }),
        ("ends otherwise", SegmentIndex { ends: Ends::Record, ..sound.clone() }),
        ("begins otherwise", segments[0].2.clone()),
        ("begins otherwise", segments[2].2.clone()),
    ];
    for (words, lie) in lies {
        let said = judged(*number, bytes, &lie);
        assert!(said.as_ref().is_some_and(|said| said.contains(words)), "{words}: {said:?}");
    }
    // An index in front of bytes that hold no records.
    let said = judged(*number, &vec![0; bytes.len()], sound).unwrap();
    assert!(said.contains("nothing can be told"), "{said}");
    // Where no record goes over an edge, all is decided by the segment.
    let (number, bytes, alone) =
        segments.last().map(|(number, bytes, index)| (*number, bytes, index)).unwrap();
    let history = History::root(Timeline::FIRST);
    assert!(find_carry(of(), Path::new("/nonexistent"), name(number), &history).is_none());
    let untold = SegmentIndex { begins: Begins::UnknownRest, records: alone.records - 1, ..alone.clone() };
    let said = judged(number, bytes, &untold).unwrap();
    assert!(said.contains("names changes"), "the rest is not known, and yet told: {said}");
}
