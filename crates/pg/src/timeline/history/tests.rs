//! Tests of history files and ancestries, on texts that real servers wrote.

use proptest::prelude::*;

use super::*;

fn tli(number: u32) -> Timeline {
    Timeline::new(number).unwrap()
}

fn history(number: u32, text: &str) -> History {
    History::from_file(&HistoryFile::parse(tli(number), text.as_bytes()).unwrap())
}

const REAL: &str =
    "1\t0/9000110\tno recovery target specified\n\n2\t0/B000000\tno recovery target specified\n";

fn size16() -> WalSegmentSize {
    WalSegmentSize::new(16 << 20).unwrap()
}

#[test]
fn real_history_is_read_with_its_blank_line() {
    let file = HistoryFile::parse(tli(3), REAL.as_bytes()).unwrap();
    assert_eq!(file.switches.len(), 2);
    assert_eq!(file.switches[0].at, Lsn(0x0900_0110));
    assert_eq!(file.switches[1].reason, "no recovery target specified");
    assert_eq!(
        History::from_file(&file).spans().collect::<Vec<_>>(),
        [
            Span { timeline: tli(1), begin: Lsn(0), end: Some(Lsn(0x0900_0110)) },
            Span { timeline: tli(2), begin: Lsn(0x0900_0110), end: Some(Lsn(0x0B00_0000)) },
            Span { timeline: tli(3), begin: Lsn(0x0B00_0000), end: None },
        ]
    );
}

#[test]
fn comments_and_padded_positions_are_read() {
    let file = HistoryFile::parse(tli(2), b"# by hand\n1\t0/09000110\n").unwrap();
    assert_eq!(file.switches, [Switch { parent: tli(1), at: Lsn(0x0900_0110), reason: String::new() }]);
}

#[test]
fn wrong_histories_are_refused_with_their_line() {
    let parse = |number, text: &str| HistoryFile::parse(tli(number), text.as_bytes()).unwrap_err();
    assert!(matches!(parse(3, "1\t0/1\tx\nnonsense\n"), HistoryError::Line { line: 2, .. }));
    assert!(matches!(parse(3, "0\t0/1\tx\n"), HistoryError::Line { line: 1, .. }));
    assert!(matches!(parse(3, "+1\t0/1\tx\n"), HistoryError::Line { line: 1, .. }));
    assert!(matches!(parse(3, "2\t0/1\tx\n1\t0/2\tx\n"), HistoryError::Order { line: 2, .. }));
    assert!(matches!(parse(3, "3\t0/1\tx\n"), HistoryError::Order { line: 1, .. }));
    assert!(matches!(parse(3, "1\t0/2\tx\n2\t0/1\tx\n"), HistoryError::Backwards { line: 2, .. }));
    let long = vec![b'\n'; HISTORY_BYTES_MAX + 1];
    assert!(matches!(HistoryFile::parse(tli(3), &long), Err(HistoryError::TooLong { .. })));
}

#[test]
fn covers_only_what_was_not_left() {
    let three = history(3, REAL);
    assert_eq!(three.covers(tli(1), Lsn(0x100), Lsn(0x0900_0110)), Ok(()));
    assert_eq!(three.covers(tli(3), Lsn(0x0B00_0000), Lsn::MAX), Ok(()));
    assert!(matches!(
        three.covers(tli(1), Lsn(0x100), Lsn(0x0900_0111)),
        Err(OutsideHistory::AfterSwitch { end: Lsn(0x0900_0110), .. })
    ));
    assert!(matches!(
        three.covers(tli(2), Lsn(0x0900_0000), Lsn(0x0A00_0000)),
        Err(OutsideHistory::BeforeBegin { .. })
    ));
    assert_eq!(
        three.covers(tli(4), Lsn(1), Lsn(2)).unwrap_err().to_string(),
        "timeline 4 is not an ancestor of timeline 3"
    );
}

#[test]
fn segment_with_a_switch_is_served_by_the_child() {
    let three = history(3, REAL);
    let serving = |number| three.timeline_of_segment(SegmentNo(number), size16()).get();
    assert_eq!([serving(1), serving(8), serving(9), serving(10)], [1, 1, 2, 2]);
    // The switch lies on a segment's boundary: that segment begins with the child.
    assert_eq!([serving(0xB), serving(0x1000)], [3, 3]);
    assert_eq!(three.timeline_at(Lsn(0x0900_010F)), tli(1));
    assert_eq!(three.timeline_at(Lsn(0x0900_0110)), tli(2));
}

#[test]
fn two_switches_in_one_segment_leave_it_to_the_newest() {
    let three = history(3, "1\t0/9000110\tx\n2\t0/9000200\tx\n");
    assert_eq!(three.timeline_of_segment(SegmentNo(9), size16()), tli(3));
    assert_eq!(three.timeline_of_segment(SegmentNo(8), size16()), tli(1));
}

#[test]
fn fork_is_no_conflict_but_two_beginnings_are() {
    let two = history(2, "1\t0/9000110\tx\n");
    let fork = history(3, "1\t0/8000000\tx\n");
    assert_eq!(two.conflict(&fork), None);
    assert_eq!(two.common_with(&fork), Some((tli(1), Some(Lsn(0x0800_0000)))));

    let sibling = history(2, "1\t0/A000000\tx\n");
    let conflict = two.conflict(&sibling).unwrap();
    assert_eq!(
        conflict.to_string(),
        "timeline 2 has two beginnings: at 0/9000110 from timeline 1 and at 0/A000000 from timeline 1; \
         two servers were promoted to the same timeline"
    );
    // A grandchild carries the conflict of its parent with it.
    let grandchild = history(3, "1\t0/A000000\tx\n2\t0/B000000\tx\n");
    assert_eq!(two.conflict(&grandchild).unwrap().timeline, tli(2));
    assert_eq!(two.conflict(&history(3, REAL)), None);
    assert_eq!(History::root(tli(2)).conflict(&two).unwrap().here, None);
}

#[test]
fn descendant_shares_all_of_its_ancestor_up_to_the_switch() {
    let (two, three) = (history(2, "1\t0/9000110\tx\n"), history(3, REAL));
    assert_eq!(two.common_with(&three), Some((tli(2), Some(Lsn(0x0B00_0000)))));
    assert_eq!(two.common_with(&two), Some((tli(2), None)));
    assert_eq!(History::root(tli(5)).common_with(&two), None);
}

fn any_history_file() -> impl Strategy<Value = HistoryFile> {
    let switch = (1u32..5, 0u64..1 << 40, "[a-z0-9/ ]{0,20}");
    (proptest::collection::vec(switch, 0..12), 1u32..5).prop_map(|(steps, last)| {
        let (mut number, mut at, mut switches) = (0, 0, Vec::new());
        for (step, advance, reason) in steps {
            number += step;
            at += advance;
            switches.push(Switch { parent: tli(number), at: Lsn(at), reason: reason.trim().to_owned() });
        }
        HistoryFile { timeline: tli(number + last), switches }
    })
}

proptest! {
    #[test]
    fn print_then_parse_gives_the_same(file in any_history_file()) {
        prop_assert_eq!(HistoryFile::parse(file.timeline, file.print().as_bytes()), Ok(file));
    }

    #[test]
    fn spans_have_no_gap_and_every_byte_one_owner(file in any_history_file(), lsn in 0u64..1 << 43) {
        let history = History::from_file(&file);
        let spans: Vec<_> = history.spans().collect();
        prop_assert_eq!(spans[0].begin, Lsn(0));
        prop_assert!(spans.windows(2).all(|pair| pair[0].end == Some(pair[1].begin)));
        let lsn = Lsn(lsn);
        let owners: Vec<_> = spans
            .iter()
            .filter(|span| span.begin <= lsn && span.end.is_none_or(|end| lsn < end))
            .map(|span| span.timeline)
            .collect();
        prop_assert_eq!(owners, [history.timeline_at(lsn)]);
        prop_assert_eq!(history.conflict(&history), None);
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>) {
        if let Ok(file) = HistoryFile::parse(tli(9), &bytes) {
            let _ = History::from_file(&file).conflict(&History::root(tli(3)));
        }
    }
}
