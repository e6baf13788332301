//! WAL written by the test's own writer, indexed segment by segment as hosts do, and joined: it must say what was written.

use std::path::Path;

use proptest::prelude::*;
use seawall_pg::wal::testing::{BlockSpec, RecordSpec, WalWriter};
use seawall_pg::wal::{RelationId, WalOf};
use seawall_pg::{
    Fork, History, Lsn, SegmentName, SegmentNo, SystemIdentifier, Timeline, Version, WalSegmentSize,
};
use seawall_repo::time::Time;
use seawall_repo::wal_index::transactions::{How, Transactions};
use seawall_repo::wal_index::{Begins, ChangedFork, Changes, Ends, SegmentIndex};

use seawall_store::World;

use super::segment::{Indexed, NotIndexed};
use super::*;

pub(crate) const FIRST: u64 = 7;
const RELATION: RelationId = RelationId { tablespace: 1663, database: 5, number: 16384 };
/// 2026-01-01 in PostgreSQL's microseconds.
pub(crate) const TIME: i64 = 820_454_400_000_000;

pub(crate) fn of() -> WalOf {
    WalOf {
        version: Version::from_major(16).unwrap(),
        system: SystemIdentifier(75),
        size: WalSegmentSize::new(1 << 20).unwrap(),
    }
}

/// What the test writes.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A record that names some blocks and is so long.
    Blocks(Vec<u32>, usize),
    Commit,
    Abort,
    /// A cut of the relation to a length.
    Cut(u32),
    Delete(u32),
    Switch,
    /// A long record that a crash cut off behind so many pages.
    Lost(usize),
}

/// What was written, said plainly.
#[derive(Debug, Default)]
pub(crate) struct Written {
    changes: Changes,
    ended: Vec<(Lsn, How)>,
    deleted: u64,
    records: u64,
}

fn block(number: u32) -> BlockSpec {
    BlockSpec {
        id: 0,
        relation: RELATION,
        fork: Fork::Main,
        block: number,
        will_init: false,
        image: None,
        data: vec![7; 20],
    }
}

pub(crate) fn main_fork() -> ChangedFork {
    ChangedFork { relation: RELATION, fork: Fork::Main }
}

pub(crate) fn write(steps: &[Step]) -> (WalWriter, Written) {
    let (mut writer, mut written) = (WalWriter::new(of(), SegmentNo(FIRST)), Written::default());
    for step in steps {
        written.records += 1;
        match step {
            Step::Blocks(blocks, bytes) => {
                let numbered = (0..).zip(blocks).map(|(id, number)| BlockSpec { id, ..block(*number) });
                let spec =
                    RecordSpec { blocks: numbered.collect(), ..RecordSpec::of(11, 0, &vec![3; *bytes]) };
                writer.record(&spec);
                if !blocks.is_empty() {
                    written.changes.fork_mut(main_fork()).change_all(blocks.iter().copied());
                }
            }
            Step::Commit | Step::Abort => {
                let how = if matches!(step, Step::Commit) { How::Committed } else { How::Aborted };
                let info = if how == How::Committed { 0x00 } else { 0x20 };
                let start =
                    writer.record(&RecordSpec { xid: 9, ..RecordSpec::of(1, info, &TIME.to_le_bytes()) });
                written.ended.push((start, how));
            }
            Step::Cut(length) => {
                let numbers = [*length, RELATION.tablespace, RELATION.database, RELATION.number, 1];
                let main: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                writer.record(&RecordSpec::of(2, 0x20, &main));
                written.changes.fork_mut(main_fork()).cut(*length);
            }
            Step::Delete(number) => {
                let spec =
                    RecordSpec { xid: 9, blocks: vec![block(*number)], ..RecordSpec::of(10, 0x10, &[0; 8]) };
                writer.record(&spec);
                written.changes.fork_mut(main_fork()).change_all([*number]);
                written.deleted += 1;
            }
            Step::Switch => {
                writer.switch();
            }
            Step::Lost(pages) => {
                writer.lost(&RecordSpec::of(0, 0x20, &vec![1; (pages + 3) * 8192]), *pages);
            }
        }
    }
    (writer, written)
}

pub(crate) fn name(number: u64) -> SegmentName {
    SegmentName::new(Timeline::FIRST, SegmentNo(number), of().size).unwrap()
}

/// Whole segments, as files in `directory`.
pub(crate) fn files(writer: &WalWriter, directory: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut segments = writer.segments();
    if !writer.bytes.len().is_multiple_of(segments[0].len()) {
        // The last one is not full: no server archives it.
        segments.pop();
    }
    let numbered: Vec<_> = (FIRST..).zip(segments).collect();
    for (number, bytes) in &numbered {
        std::fs::write(directory.join(name(*number).to_string()), bytes).unwrap();
    }
    numbered
}

pub(crate) fn index(number: u64, bytes: &[u8], beside: &Path, chunk: usize) -> Result<Indexed, NotIndexed> {
    let history = History::root(Timeline::FIRST);
    let carry = find_carry(of(), beside, name(number), &history);
    let mut indexer = Indexer::new(of(), SegmentNo(number).first_lsn(of().size).unwrap(), carry);
    bytes.chunks(chunk).for_each(|chunk| indexer.take(chunk));
    indexer.finish(None)
}

fn joined(indexed: &[Indexed]) -> SegmentIndex {
    let mut all = indexed[0].index.clone();
    indexed[1..].iter().for_each(|next| all.then(&next.index).unwrap());
    all
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let blocks = proptest::collection::vec(0..300u32, 0..4);
    let bytes = prop_oneof![20 => 10..3000usize, 4 => 3000..300_000usize, 1 => 900_000..3_300_000usize];
    prop_oneof![
        30 => (blocks, bytes).prop_map(|(blocks, bytes)| Step::Blocks(blocks, bytes)),
        10 => Just(Step::Commit),
        4 => Just(Step::Abort),
        4 => (0..300u32).prop_map(Step::Cut),
        10 => (0..300u32).prop_map(Step::Delete),
        1 => Just(Step::Switch),
        2 => (0..200usize).prop_map(Step::Lost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn segments_indexed_one_by_one_and_joined_say_what_was_written(
        mut steps in proptest::collection::vec(any_step(), 1..120), chunk in prop::sample::select(vec![8192usize, 65536, 1 << 20]),
    ) {
        steps.push(Step::Switch);
        let (writer, written) = write(&steps);
        let directory = tempfile::tempdir().unwrap();
        let files = files(&writer, directory.path());
        let indexed: Vec<Indexed> = files.iter()
            .map(|(number, bytes)| index(*number, bytes, directory.path(), chunk).unwrap())
            .collect();
        let all = joined(&indexed);
        prop_assert!(all.is_whole());
        prop_assert_eq!(&all.changes, &written.changes);
        prop_assert_eq!(all.records, written.records);
        prop_assert_eq!(all.begins, Begins::Record);
        let is_switch = matches!(all.ends, Ends::Switch { .. });
        prop_assert!(is_switch);
        let span = all.commits.map(|span| (span.count, span.first.start, span.last.start));
        let wanted = written.ended.first().zip(written.ended.last())
            .map(|(first, last)| (written.ended.len() as u64, first.0, last.0));
        prop_assert_eq!(span, wanted);
        let told: Vec<Transactions> =
            indexed.iter().map(|indexed| Transactions::decode(&indexed.transactions).unwrap()).collect();
        let ended: Vec<(Lsn, How)> =
            told.iter().flat_map(|told| told.ended.iter().map(|ended| (ended.start, ended.how))).collect();
        prop_assert_eq!(ended, written.ended);
        let deleted: u64 = told.iter().flat_map(|told| &told.activity).map(|activity| activity.deleted).sum();
        prop_assert_eq!(deleted, written.deleted);
    }

    /// With nothing beside it, each segment says so, and what was not read is told once.
    #[test]
    fn segments_indexed_alone_say_what_they_lack(mut steps in proptest::collection::vec(any_step(), 1..60)) {
        steps.push(Step::Switch);
        let (writer, written) = write(&steps);
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let indexed: Vec<Indexed> = files(&writer, directory.path()).iter()
            .map(|(number, bytes)| index(*number, bytes, elsewhere.path(), 1 << 20).unwrap())
            .collect();
        let all = joined(&indexed);
        prop_assert_eq!(all.records + all.untold.len() as u64, written.records);
        let unknown = indexed[1..].iter().any(|indexed| indexed.index.begins == Begins::UnknownRest);
        prop_assert!(unknown || all.is_whole());
    }

    /// Whatever is wrong with a segment, the answer is one: nobody waits for memory or time that the bytes do not have.
    #[test]
    fn damage_makes_no_index_or_one_that_the_records_vouch_for(
        mut steps in proptest::collection::vec(any_step(), 1..40), at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        steps.push(Step::Switch);
        let (writer, _) = write(&steps);
        let directory = tempfile::tempdir().unwrap();
        let files = files(&writer, directory.path());
        let (number, bytes) = files.last().unwrap();
        let sound = index(*number, bytes, directory.path(), 1 << 20).unwrap();
        let mut damaged = bytes.clone();
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        if let Ok(found) = index(*number, &damaged, directory.path(), 1 << 20) {
            // Only where no record lies: behind a switch, in padding, in a page header's spare bits.
            prop_assert_eq!(found, sound);
        }
    }
}

#[test]
fn a_record_longer_than_segments_is_told_where_it_ends() {
    let steps = [Step::Commit, Step::Blocks(vec![44], 3 << 20), Step::Commit, Step::Switch];
    let (writer, _) = write(&steps);
    let directory = tempfile::tempdir().unwrap();
    let files = files(&writer, directory.path());
    let indexed: Vec<SegmentIndex> = files
        .iter()
        .map(|(number, bytes)| index(*number, bytes, directory.path(), 1 << 20).unwrap().index)
        .collect();
    let open = indexed[0].last.unwrap();
    assert_eq!(indexed[0].ends, Ends::Beginning { of: open, told: false });
    assert_eq!(indexed[1].begins, Begins::Rest { of: open });
    assert_eq!((indexed[1].records, indexed[1].ends), (0, Ends::Beginning { of: open, told: false }));
    assert_eq!(indexed.iter().map(|index| index.changes.pages()).collect::<Vec<_>>(), [0, 0, 0, 1]);
    // One segment of the middle is missing beside it: then nothing is known of the record.
    std::fs::remove_file(directory.path().join(name(FIRST + 1).to_string())).unwrap();
    let (number, bytes) = &files[3];
    let alone = index(*number, bytes, directory.path(), 1 << 20).unwrap().index;
    assert_eq!((alone.begins, alone.changes.pages(), alone.records), (Begins::UnknownRest, 0, 2));
    let (number, bytes) = &files[2];
    assert_eq!(index(*number, bytes, directory.path(), 1 << 20).unwrap().index.ends, Ends::UnknownMiddle);
}

/// The index of a segment as its host makes it when the next one is beside it.
pub(crate) fn index_with_ahead(number: u64, bytes: &[u8], beside: &Path, carried: &Path) -> SegmentIndex {
    let carry = find_carry(of(), carried, name(number), &History::root(Timeline::FIRST));
    let mut indexer = Indexer::new(of(), SegmentNo(number).first_lsn(of().size).unwrap(), carry);
    indexer.take(bytes);
    let clock = std::sync::Arc::clone(&World::system().clock);
    let ahead = Ahead { of: of(), directory: beside.to_owned(), segment: name(number), clock };
    indexer.finish(Some(&ahead)).unwrap().index
}

/// The indexes of segments that lie apart, each handed what was kept when the one before it was done.
fn indexes_by_what_is_kept(files: &[(u64, Vec<u8>)], data: &Path, each: &mut dyn FnMut(u64)) -> Vec<Indexed> {
    let history = History::root(Timeline::FIRST);
    let world = World::system();
    let one = |(number, bytes): &(u64, Vec<u8>)| {
        each(*number);
        let carry = kept_open_record(data, of(), name(*number), &history);
        let mut indexer = Indexer::new(of(), SegmentNo(*number).first_lsn(of().size).unwrap(), carry);
        indexer.take(bytes);
        let indexed = indexer.finish(None).unwrap();
        keep_open_record(data, of(), name(*number), indexed.open.clone(), world.random.as_ref()).unwrap();
        indexed
    };
    files.iter().map(one).collect()
}

/// Of a record that spans segments hardly anything but its headers and main data is kept; a mebibyte of those is the bound.
fn is_kept(step: &Step) -> bool {
    !matches!(step, Step::Blocks(_, bytes) if *bytes >= 900_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn segments_that_lie_apart_are_joined_by_what_was_kept(steps in proptest::collection::vec(any_step(), 1..120)) {
        let mut steps: Vec<Step> = steps.into_iter().filter(is_kept).collect();
        steps.push(Step::Switch);
        let (writer, written) = write(&steps);
        let (directory, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let all = joined(&indexes_by_what_is_kept(&files(&writer, directory.path()), data.path(), &mut |_| {}));
        prop_assert!(all.is_whole());
        prop_assert_eq!((&all.changes, all.records), (&written.changes, written.records));
        prop_assert!(!data.path().join(OPEN_RECORD_FILE_NAME).exists(), "nothing is open behind a switch");
    }
}

/// Two segments with a record between them, and a third of nothing but its middle.
fn spanning(middle: bool) -> (Vec<(u64, Vec<u8>)>, Written) {
    let length = if middle { 1_200_000 } else { 40_000 };
    let steps = [
        Step::Blocks(vec![9], (1 << 20) - 20_000),
        Step::Blocks(vec![44, 45], length),
        Step::Cut(200),
        Step::Switch,
    ];
    let (writer, written) = write(&steps);
    (files(&writer, tempfile::tempdir().unwrap().path()), written)
}

#[test]
fn what_was_kept_is_believed_only_as_its_checksum_says_and_behind_its_own_segment() {
    let (files, written) = spanning(false);
    let all = |spoil: &dyn Fn(&Path)| {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join(OPEN_RECORD_FILE_NAME);
        joined(&indexes_by_what_is_kept(&files, data.path(), &mut |number| {
            if number > FIRST {
                spoil(&file);
            }
        }))
    };
    let sound = all(&|_| {});
    assert!(sound.is_whole() && sound.changes == written.changes);
    let edited = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |file: &Path| {
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.contains(&from), "{text}");
            std::fs::write(file, text.replacen(&from, &to, 1)).unwrap();
        }
    };
    // Whole, and still not what belongs there.
    let anew = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |file: &Path| {
            let text = std::fs::read_to_string(file).unwrap();
            let text = text.split_once('\n').unwrap().1.replacen(&from, &to, 1);
            std::fs::write(file, format!("{}\n{text}", blake3::hash(text.as_bytes()))).unwrap();
        }
    };
    let spoilers: [&dyn Fn(&Path); 7] = [
        &|file| std::fs::remove_file(file).unwrap(),
        &|file| std::fs::write(file, "").unwrap(),
        &edited(",3,3,3,", ",3,4,3,"),
        &anew("\"front\":[", "\"front\":[7,"),
        &anew("\"crc\":", "\"crc\":1"),
        &anew("\"system\":\"75\"", "\"system\":\"76\""),
        &anew(&name(FIRST).to_string(), &name(FIRST + 5).to_string()),
    ];
    for (number, spoiler) in spoilers.iter().enumerate() {
        let found = all(spoiler);
        assert_eq!(found.untold.len(), 1, "{number}");
        assert_eq!(
            found.changes.pages() + 2,
            written.changes.pages(),
            "{number}: it lacks the record's pages alone"
        );
    }
}

#[test]
fn of_a_record_too_long_to_keep_nothing_is_kept() {
    let (files, _) = spanning(true);
    let data = tempfile::tempdir().unwrap();
    let indexed = indexes_by_what_is_kept(&files, data.path(), &mut |_| {});
    assert!(indexed.iter().any(|one| one.open.is_some()));
    assert_eq!(joined(&indexed).untold.len(), 1);
}

/// A server recycles a segment before the next one is full: still nothing is missed.
#[test]
fn what_goes_on_in_the_next_segment_is_told_while_both_are_there() {
    let steps = [
        Step::Blocks(vec![9], (1 << 20) - 20_000),
        Step::Blocks(vec![44, 45], 40_000),
        Step::Cut(7),
        Step::Switch,
    ];
    let (writer, written) = write(&steps);
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = files(&writer, directory.path());
    let first = index_with_ahead(FIRST, &files[0].1, directory.path(), elsewhere.path());
    let second = index(FIRST + 1, &files[1].1, elsewhere.path(), 1 << 20).unwrap().index;
    assert_eq!(second.begins, Begins::UnknownRest);
    let mut both = first.clone();
    both.then(&second).unwrap();
    assert!(both.is_whole());
    assert_eq!(both.changes, written.changes);
    assert!(matches!(first.ends, Ends::Beginning { told: true, .. }));
    // Without the file, or with one that holds something else, nothing is told ahead.
    for content in [None, Some(vec![0; 1 << 20]), Some(files[0].1.clone())] {
        if let Some(content) = content {
            std::fs::write(elsewhere.path().join(name(FIRST + 1).to_string()), content).unwrap();
        }
        let alone = index_with_ahead(FIRST, &files[0].1, elsewhere.path(), elsewhere.path());
        assert!(matches!(alone.ends, Ends::Beginning { told: false, .. }));
        assert_eq!(alone.changes.pages(), 1);
    }
    let mut damaged = files[1].1.clone();
    damaged[9000] ^= 1;
    std::fs::write(elsewhere.path().join(name(FIRST + 1).to_string()), damaged).unwrap();
    let alone = index_with_ahead(FIRST, &files[0].1, elsewhere.path(), elsewhere.path());
    assert!(matches!(alone.ends, Ends::Beginning { told: false, .. }), "the record's checksum does not fit");
}

#[test]
fn a_file_beside_it_that_does_not_go_on_so_makes_no_index() {
    let (writer, _) = write(&[Step::Blocks(vec![44], 3 << 20), Step::Switch]);
    let directory = tempfile::tempdir().unwrap();
    let files = files(&writer, directory.path());
    let (other, _) = write(&[Step::Commit, Step::Blocks(vec![44], 3 << 20), Step::Switch]);
    std::fs::write(directory.path().join(name(FIRST).to_string()), &other.segments()[0]).unwrap();
    let (number, bytes) = &files[1];
    let refused = index(*number, bytes, directory.path(), 1 << 20).unwrap_err();
    assert!(matches!(refused, NotIndexed::Rest { .. }), "{refused}");
}

#[test]
fn times_outside_the_years_are_no_time() {
    let (writer, _) = write(&[Step::Commit, Step::Switch]);
    let mut writer2 = WalWriter::new(of(), SegmentNo(FIRST));
    writer2.record(&RecordSpec { xid: 9, ..RecordSpec::of(1, 0, &i64::MAX.to_le_bytes()) });
    writer2.switch();
    let nowhere = Path::new("/nonexistent");
    let sound = index(FIRST, &writer.segments()[0], nowhere, 1 << 20).unwrap();
    let wanted = Time::from_micros(TIME + 946_684_800_000_000).unwrap();
    assert_eq!(sound.index.commits.unwrap().earliest, wanted);
    let strange = index(FIRST, &writer2.segments()[0], nowhere, 1 << 20).unwrap();
    assert_eq!(strange.index.commits, None);
    assert_eq!(Transactions::decode(&strange.transactions).unwrap().ended[0].time, Time::EPOCH);
}
