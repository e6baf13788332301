//! Meanings of bodies as each version writes them, of bodies that are cut anywhere, and of the vectors of a real server.

use proptest::prelude::*;

use super::*;
use crate::control::WalLevel;
use crate::lsn::Lsn;
use crate::relation::Fork;
use crate::timeline::Timeline;
use crate::version::Version;
use crate::wal::block::RelationId;
use crate::wal::record::Record;
use crate::wal::testing::{BlockSpec, RecordSpec, whole_record};
use crate::wal::{WalOf, record::RecordFault};
use crate::{SystemIdentifier, WalSegmentSize};

fn raw(major: u32, spec: &RecordSpec) -> Vec<u8> {
    let version = Version::from_major(major).unwrap();
    let of = WalOf { version, system: SystemIdentifier(1), size: WalSegmentSize::DEFAULT };
    whole_record(Lsn(8), (spec.xid, spec.rmgr, spec.info), &spec.body(&of))
}

fn parse(major: u32, raw: &[u8]) -> Result<Record<'_>, RecordFault> {
    Record::parse(Version::from_major(major).unwrap(), Lsn(64), Lsn(64 + raw.len() as u64), raw)
}

fn with<T>(major: u32, spec: &RecordSpec, look: impl FnOnce(Result<Meaning<'_>, MeaningFault>) -> T) -> T {
    let raw = raw(major, spec);
    look(Meaning::of(&parse(major, &raw).unwrap()))
}

fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A commit with every part that the version has.
fn full_commit(major: u32, info: u8) -> Vec<u8> {
    let stats = major >= 15;
    let xinfo = 0x1F_u32 | 1 << 5 | 1 << 7 | u32::from(stats) << 8;
    let mut main = 777i64.to_le_bytes().to_vec();
    main.extend(numbers(&[xinfo, 5, 1663, 2, 901, 902, 1, 1663, 5, 16400]));
    if stats {
        main.extend(numbers(&[1, 2, 5, 16401]));
        main.extend(if major >= 18 { numbers(&[1]) } else { Vec::new() });
    }
    if info & 0x70 != 0x20 && info & 0x70 != 0x40 {
        main.extend(numbers(&[2]));
        main.extend([0xFE, 9, 9, 9]);
        main.extend(numbers(&[5, 16401, 0]));
        main.extend([3, 0xAA, 0, 0]);
        main.extend(numbers(&[5, 1, 2]));
    } else {
        // Aborts have no invalidations.
        let without = xinfo & !(1 << 3);
        main[8..12].copy_from_slice(&without.to_le_bytes());
    }
    main.extend(numbers(&[888]));
    main.extend(b"name\0");
    main.extend([9u64.to_le_bytes(), 10u64.to_le_bytes()].concat());
    main
}

#[test]
fn the_ends_of_transactions_are_read_in_every_version() {
    for major in 14..=18 {
        for info in [0x80, 0xB0, 0xA0, 0xC0] {
            let spec = RecordSpec::of(1, info, &full_commit(major, info));
            with(major, &spec, |meaning| {
                let done = match meaning.unwrap() {
                    Meaning::Transaction(Transaction::Commit(done)) if matches!(info, 0x80 | 0xB0) => done,
                    Meaning::Transaction(Transaction::Abort(done)) if matches!(info, 0xA0 | 0xC0) => done,
                    other => panic!("{other:?}"),
                };
                assert_eq!((done.xid, done.time, done.database), (888, PgTime(777), Some((5, 1663))));
                assert_eq!(done.subxacts.iter().collect::<Vec<_>>(), [901, 902]);
                let relation = RelationId { tablespace: 1663, database: 5, number: 16400 };
                assert_eq!(done.relations.iter().collect::<Vec<_>>(), [relation]);
                let object = if major >= 18 { 1 << 32 | 16401 } else { 16401 };
                let stats: Vec<_> = done.stats.iter().collect();
                let expected = DroppedStat { kind: 2, database: 5, object };
                assert_eq!(stats, if major >= 15 { vec![expected] } else { vec![] });
                let caches: Vec<_> = done.invalidations.iter().collect();
                if matches!(info, 0x80 | 0xB0) {
                    let relation = Invalidation::Relation { database: 5, relation: 16401 };
                    assert_eq!(caches, [relation, Invalidation::Other { kind: 3 }]);
                }
                assert_eq!(done.two_phase, Some(TwoPhase { xid: 888, gid: Some(b"name") }));
                assert_eq!(done.origin, Some(Origin { lsn: Lsn(9), time: PgTime(10) }));
            });
        }
    }
}

#[test]
fn statistics_in_a_commit_of_14_are_not_believed() {
    let main = [777u64.to_le_bytes().to_vec(), numbers(&[1 << 8, 0])].concat();
    with(14, &RecordSpec::of(1, 0x80, &main), |meaning| {
        assert!(matches!(meaning, Err(MeaningFault::Value { field: "xinfo", .. })), "{meaning:?}");
    });
}

#[test]
fn a_prepared_transaction_is_read_in_both_layouts() {
    for major in 14..=18 {
        let stats = major >= 15;
        let mut main = numbers(&[0x57F9_4534, 500, 888, 5]);
        main.extend(777i64.to_le_bytes());
        main.extend(numbers(&[10, 3, 1, 2]));
        main.extend(if stats { numbers(&[1, 0]) } else { Vec::new() });
        main.extend(numbers(&[1]));
        main.extend([0, 0, 6, 0]);
        main.extend([0; 16]);
        main.extend(b"name2\0\0\0");
        main.extend(numbers(&[901, 902, 903, 0]));
        main.extend(numbers(&[1663, 5, 1, 0]));
        main.extend(numbers(&[1663, 5, 2, 1663, 5, 3]));
        if stats {
            main.extend(numbers(&[2, 5, 99, 0]));
        }
        main.extend([0xFE, 0, 0, 0]);
        main.extend(numbers(&[5, 44, 0]));
        main.extend([0x11; 40]);
        with(major, &RecordSpec::of(1, 0x10, &main), |meaning| {
            let Ok(Meaning::Transaction(Transaction::Prepare(prepared))) = meaning else {
                panic!("{meaning:?}")
            };
            assert_eq!((prepared.xid, prepared.database, prepared.time), (888, 5, PgTime(777)));
            assert_eq!(prepared.gid, b"name2");
            assert_eq!(prepared.subxacts.iter().collect::<Vec<_>>(), [901, 902, 903]);
            let of = |items: Items<'_, RelationId>| items.iter().map(|r| r.number).collect::<Vec<_>>();
            assert_eq!((of(prepared.commit_relations), of(prepared.abort_relations)), (vec![1], vec![2, 3]));
            assert_eq!(prepared.commit_stats.len(), usize::from(stats));
            let caches: Vec<_> = prepared.invalidations.iter().collect();
            assert_eq!(caches, [Invalidation::Relation { database: 5, relation: 44 }]);
        });
    }
}

#[test]
fn databases_come_and_go_differently_in_14() {
    let drop = RecordSpec::of(4, 0x20, &numbers(&[7, 2, 1663, 1664]));
    let copy = RecordSpec::of(4, 0, &numbers(&[7, 1663, 1, 1664]));
    let by_pages = RecordSpec::of(4, 0x10, &numbers(&[7, 1663]));
    for major in 15..=18 {
        with(major, &drop, |meaning| match meaning {
            Ok(Meaning::Database(DatabaseChange::Drop { database: 7, tablespaces })) => {
                assert_eq!(tablespaces.iter().collect::<Vec<_>>(), [1663, 1664]);
            }
            other => panic!("{other:?}"),
        });
        with(major, &by_pages, |meaning| {
            let by_pages = DatabaseChange::CreateByPages { database: 7, tablespace: 1663 };
            assert_eq!(format!("{:?}", meaning.unwrap()), format!("{:?}", Meaning::Database(by_pages)));
        });
        with(major, &copy, |meaning| {
            let copied = DatabaseChange::CreateByCopy {
                database: 7,
                tablespace: 1663,
                from_database: 1,
                from_tablespace: 1664,
            };
            assert_eq!(format!("{:?}", meaning.unwrap()), format!("{:?}", Meaning::Database(copied)));
        });
    }
    with(14, &drop, |meaning| {
        let fault = MeaningFault::NoSuchOperation { what: "Database", operation: 0x20 };
        assert_eq!(meaning.unwrap_err(), fault);
    });
    let drop_14 = RecordSpec { info: 0x10, ..drop };
    with(14, &drop_14, |meaning| {
        assert!(matches!(meaning, Ok(Meaning::Database(DatabaseChange::Drop { database: 7, .. }))));
    });
}

#[test]
fn files_tablespaces_and_maps_are_read() {
    let relation = RelationId { tablespace: 1663, database: 5, number: 16400 };
    with(17, &RecordSpec::of(2, 0x10, &numbers(&[1663, 5, 16400, 2])), |meaning| {
        let Ok(Meaning::Storage(change)) = meaning else { panic!("{meaning:?}") };
        assert_eq!(change, StorageChange::Create { relation, fork: Fork::Vm });
    });
    with(17, &RecordSpec::of(2, 0x10, &numbers(&[1663, 5, 16400, 9])), |meaning| {
        let fault = MeaningFault::Value { what: "storage create", field: "the fork", value: 9 };
        assert_eq!(meaning.unwrap_err(), fault);
    });
    with(17, &RecordSpec::of(2, 0x20, &numbers(&[12, 1663, 5, 16400, 3])), |meaning| {
        let Ok(Meaning::Storage(change)) = meaning else { panic!("{meaning:?}") };
        assert_eq!(
            change,
            StorageChange::Truncate { relation, blocks: 12, main: true, vm: true, fsm: false }
        );
    });
    let path = [numbers(&[16500]), b"/somewhere\0".to_vec()].concat();
    with(17, &RecordSpec::of(5, 0, &path), |meaning| {
        let Ok(Meaning::Tablespace(change)) = meaning else { panic!("{meaning:?}") };
        assert_eq!(change, TablespaceChange::Create { tablespace: 16500, path: b"/somewhere" });
    });
    with(17, &RecordSpec::of(7, 0, &[numbers(&[5, 1663, 4]), vec![1, 2, 3, 4]].concat()), |meaning| {
        let Ok(Meaning::RelationMap(update)) = meaning else { panic!("{meaning:?}") };
        assert_eq!((update.database, update.content), (5, &[1, 2, 3, 4][..]));
    });
    with(17, &RecordSpec::of(7, 0, &[numbers(&[5, 1663, u32::MAX]), vec![1]].concat()), |meaning| {
        assert!(matches!(meaning, Err(MeaningFault::Value { value: -1, .. })), "{meaning:?}");
    });
}

#[test]
fn records_about_the_log_are_read() {
    let xlog = |major: u32, info: u8, main: &[u8], look: &dyn Fn(Result<Xlog<'_>, MeaningFault>)| {
        with(major, &RecordSpec::of(0, info, main), |meaning| {
            look(meaning.map(|meaning| match meaning {
                Meaning::Xlog(xlog) => xlog,
                other => panic!("{other:?}"),
            }));
        });
    };
    xlog(16, 0x30, &numbers(&[24576]), &|found| assert_eq!(found, Ok(Xlog::NextOid(24576))));
    xlog(16, 0x40, &[], &|found| assert_eq!(found, Ok(Xlog::Switch)));
    let mut named = 55i64.to_le_bytes().to_vec();
    named.extend(b"before the release");
    named.resize(72, 0);
    xlog(16, 0x70, &named, &|found| {
        assert_eq!(found, Ok(Xlog::RestorePoint { time: PgTime(55), name: b"before the release" }));
    });
    let ended = [55i64.to_le_bytes().to_vec(), numbers(&[2, 1])].concat();
    let [timeline, previous] = [2, 1].map(|number| Timeline::new(number).unwrap());
    xlog(16, 0x90, &ended, &|found| {
        let time = PgTime(55);
        assert_eq!(found, Ok(Xlog::EndOfRecovery { time, timeline, previous, wal_level: None }));
    });
    xlog(17, 0x90, &ended, &|found| {
        assert_eq!(found, Err(MeaningFault::TooShort { what: "end of recovery", bytes: 16 }));
    });
    let with_level = [ended, numbers(&[0, 0])].concat();
    xlog(17, 0x90, &with_level, &|found| {
        assert!(matches!(found, Ok(Xlog::EndOfRecovery { wal_level: Some(WalLevel::Minimal), .. })));
    });
    xlog(16, 0xE0, &numbers(&[1]), &|found| {
        assert_eq!(found, Err(MeaningFault::NoSuchOperation { what: "XLOG", operation: 0xE0 }));
    });
    xlog(17, 0xE0, &numbers(&[1]), &|found| {
        assert_eq!(found, Ok(Xlog::CheckpointRedo { wal_level: WalLevel::Replica }));
    });
    let lost = [7u64.to_le_bytes(), 8u64.to_le_bytes()].concat();
    xlog(14, 0xD0, &lost, &|found| {
        assert_eq!(found, Ok(Xlog::OverwriteContrecord { lost: Lsn(7), time: PgTime(8) }));
    });
    let settings = [numbers(&[100, 8, 10, 0, 64, 1]), vec![0, 1, 0, 0]].concat();
    xlog(18, 0x60, &settings, &|found| {
        let Ok(Xlog::ParameterChange(change)) = found else { panic!("{found:?}") };
        assert_eq!((change.minimums.max_connections, change.wal_level), (100, WalLevel::Replica));
        assert_eq!((change.wal_log_hints, change.track_commit_timestamp), (false, true));
    });
}

#[test]
fn a_checkpoint_is_read_as_pg_control_repeats_it() {
    for (major, level) in
        [(14, None), (16, None), (17, Some(WalLevel::Logical)), (18, Some(WalLevel::Logical))]
    {
        let mut main = 0x0900_0028u64.to_le_bytes().to_vec();
        main.extend(numbers(&[3, 2, 1, 2]));
        main.extend((1u64 << 32 | 900).to_le_bytes());
        main.extend(numbers(&[24576, 5, 6, 7, 1, 8, 1]));
        main.resize(64, 0);
        main.extend(1_700_000_000i64.to_le_bytes());
        main.resize(88, 0);
        for (info, down) in [(0x00, true), (0x10, false)] {
            with(major, &RecordSpec::of(0, info, &main), |meaning| {
                let Ok(Meaning::Xlog(Xlog::Checkpoint { shutdown, checkpoint })) = meaning else {
                    panic!("{meaning:?}")
                };
                assert_eq!(shutdown, down);
                assert_eq!((checkpoint.redo, checkpoint.timeline.get()), (Lsn(0x0900_0028), 3));
                assert_eq!((checkpoint.next_xid, checkpoint.next_oid), (1 << 32 | 900, 24576));
                assert_eq!((checkpoint.wal_level, checkpoint.time), (level, 1_700_000_000));
            });
        }
        main.truncate(87);
        with(major, &RecordSpec::of(0, 0, &main), |meaning| {
            assert_eq!(meaning.unwrap_err(), MeaningFault::TooShort { what: "checkpoint", bytes: 87 });
        });
    }
}

fn heap_block(id: u8, number: u32) -> BlockSpec {
    let relation = RelationId { tablespace: 1663, database: 5, number: 16400 };
    BlockSpec {
        id,
        relation,
        fork: Fork::Main,
        block: number,
        will_init: false,
        image: None,
        data: Vec::new(),
    }
}

#[test]
fn rows_are_told_apart() {
    let with = |major, rmgr, info, main: &[u8], look: &dyn Fn(HeapChange<'_>)| {
        with(major, &RecordSpec::of(rmgr, info, main), |meaning| match meaning {
            Ok(Meaning::Heap(change)) => look(change),
            other => panic!("{other:?}"),
        });
    };
    with(17, 9, 0x50, &[0, 0, 0x2C, 1], &|change| {
        assert!(matches!(change, HeapChange::MultiInsert { tuples: 300, flags: 0 }));
    });
    with(17, 10, 0x10, &[0, 0, 0, 0, 1, 0, 0, 0x18], &|change| {
        assert!(matches!(change, HeapChange::Delete { speculative: true, partition_move: true, .. }));
    });
    let truncate = [numbers(&[5, 2]), vec![3, 0, 0, 0], numbers(&[16400, 16500])].concat();
    with(17, 10, 0x30, &truncate, &|change| {
        let HeapChange::Truncate { database: 5, flags: 3, relations } = change else { panic!() };
        assert_eq!(relations.iter().collect::<Vec<_>>(), [16400, 16500]);
    });
    with(17, 10, 0x70, &[1, 0], &|change| {
        assert!(matches!(change, HeapChange::Inplace { invalidations } if invalidations.is_empty()));
    });
    let inplace =
        [vec![1, 0, 0, 0], numbers(&[5, 1663, 0, 1]), vec![0xFE, 0, 0, 0], numbers(&[5, 77, 0])].concat();
    with(18, 10, 0x70, &inplace, &|change| {
        let HeapChange::Inplace { invalidations } = change else { panic!() };
        let relation = Invalidation::Relation { database: 5, relation: 77 };
        assert_eq!(invalidations.iter().collect::<Vec<_>>(), [relation]);
    });
}

#[test]
fn sequences_and_messages_are_read() {
    let mut main = numbers(&[1663, 5, 16400]);
    main.extend([0; 22]);
    main.push(24);
    main.push(0);
    main.extend((-33i64).to_le_bytes());
    main.extend(0i64.to_le_bytes());
    main.push(1);
    with(17, &RecordSpec::of(15, 0, &main), |meaning| {
        let Ok(Meaning::Sequence(change)) = meaning else { panic!("{meaning:?}") };
        assert_eq!((change.relation.number, change.last_value, change.is_called), (16400, -33, true));
    });
    let mut message = [numbers(&[5, 1]), 5u64.to_le_bytes().to_vec(), 3u64.to_le_bytes().to_vec()].concat();
    message.extend(b"test\0abc");
    with(17, &RecordSpec::of(21, 0, &message), |meaning| {
        let Ok(Meaning::Message(found)) = meaning else { panic!("{meaning:?}") };
        assert_eq!((found.database, found.transactional, found.length), (5, true, 3));
        assert_eq!(found.prefix, b"test");
    });
    message.push(0);
    with(17, &RecordSpec::of(21, 0, &message), |meaning| {
        assert!(matches!(meaning, Err(MeaningFault::Value { .. })), "{meaning:?}");
    });
}

#[test]
fn a_commit_that_was_not_kept_whole_says_so() {
    let raw = raw(17, &RecordSpec::of(1, 0x80, &full_commit(17, 0x80)));
    for cut in 26..raw.len() {
        let record = parse(17, &raw[..cut]).unwrap();
        let fault = Meaning::of(&record).unwrap_err();
        assert!(matches!(fault, MeaningFault::Cut { what: "commit", .. }), "{cut}: {fault}");
    }
    assert!(Meaning::of(&parse(17, &raw).unwrap()).is_ok());
}

#[test]
fn the_commit_of_a_real_drop_says_when_and_what() {
    // Facts of an 18.6 server: the record is cut at its invalidations.
    let raw: Vec<u8> = [
        "d90100003b030000a80b050900000000810100004e42da62febc0100005870cd54d60303004d010000",
        "050000007f060000010000007f060000050000008140000001000000020000000500000",
        "07e4000000000000018000000",
    ]
    .concat()
    .as_bytes()
    .chunks(2)
    .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
    .collect();
    let mut whole = raw;
    whole.resize(473, 0);
    let start = Lsn(0x0905_0BE0);
    let record = Record::parse(Version::from_major(18).unwrap(), start, Lsn(start.0 + 473), &whole).unwrap();
    let Ok(Meaning::Transaction(Transaction::Commit(commit))) = Meaning::of(&record) else { panic!() };
    assert_eq!(commit.time.unix_micros(), Some(1_795_328_810_766_424));
    assert_eq!((commit.xid, commit.info, commit.database), (827, 0x14D, Some((5, 1663))));
    let relation = RelationId { tablespace: 1663, database: 5, number: 16513 };
    assert_eq!(commit.relations.iter().collect::<Vec<_>>(), [relation]);
    assert_eq!(
        commit.stats.iter().collect::<Vec<_>>(),
        [DroppedStat { kind: 2, database: 5, object: 16510 }]
    );
    assert_eq!(commit.invalidations.len(), 24);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_body_has_a_meaning_or_a_fault(major in 14u32..19, rmgr in 0u8..22, info: u8, main: Vec<u8>) {
        let spec = RecordSpec { blocks: vec![heap_block(0, 9)], ..RecordSpec::of(rmgr, info, &main) };
        let raw = raw(major, &spec);
        let record = parse(major, &raw).unwrap();
        match Meaning::of(&record) {
            Ok(meaning) => drop(format!("{meaning:?}")),
            Err(fault) => drop(fault.to_string()),
        }
    }

    #[test]
    fn a_commit_with_one_byte_more_or_less_is_none(major in 14u32..19, surplus: bool) {
        let mut main = full_commit(major, 0x80);
        if surplus { main.push(0) } else { main.truncate(main.len() - 1) }
        with(major, &RecordSpec::of(1, 0x80, &main), |meaning| {
            let expected = matches!(meaning, Err(MeaningFault::TooLong { .. } | MeaningFault::TooShort { .. }));
            assert!(expected, "{meaning:?}");
        });
    }
}
