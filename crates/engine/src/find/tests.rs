//! Transactions by number in, candidates out.

use std::collections::BTreeMap;

use proptest::prelude::*;
use seawall_pg::wal::RelationId;
use seawall_pg::{Lsn, SegmentNo};
use seawall_repo::id::BackupId;
use seawall_repo::relation_list::{
    Coverage, CoveredDatabase, LIST_BYTES_MAX, Relation as Listed, RelationListWriter,
};
use seawall_repo::time::Time;
use seawall_repo::wal_index::transactions::{Activity, EndedTransaction, How, RelationOid, Transactions};
use seawall_repo::wal_index::{Mark, MarkWhat};

use super::judge::{Judge, Operation, Wanted};
use super::names::{Names, Snapshot};
use super::report::Candidate;

const DATABASE: u32 = 5;
const PG_CLASS: u32 = 1259;
const ORDERS: u32 = 16_400;
const INDEX: u32 = 16_401;
const ITEMS: u32 = 16_410;

fn file(number: u32) -> RelationId {
    RelationId { tablespace: 1663, database: DATABASE, number }
}

fn listed(oid: u32, number: u32, kind: u8, name: &str, rows: u64) -> Listed {
    Listed {
        oid,
        number,
        tablespace: 1663,
        owner: 0,
        rows: Some(rows),
        kind,
        persistence: b'p',
        schema: "public".into(),
        name: name.into(),
    }
}

fn snapshot(at: u64, rows: &[Listed]) -> Snapshot {
    let (from, to) = (Lsn(at), Lsn(at + 1));
    let databases = vec![CoveredDatabase {
        oid: DATABASE,
        name: "shop".into(),
        relations: rows.len() as u64,
        left_out: 0,
        schemas: BTreeMap::new(),
        not_asked: None,
    }];
    let coverage = Coverage { from, to, taken: Time::EPOCH, databases };
    let mut snapshot = Snapshot::new(BackupId::from_bytes([0; 16]).unwrap(), coverage);
    let mut writer = RelationListWriter::new(DATABASE, LIST_BYTES_MAX);
    rows.iter().for_each(|row| writer.push(row));
    snapshot.add(&writer.finish().0).unwrap();
    snapshot
}

fn shop() -> Vec<Listed> {
    vec![
        listed(ORDERS, ORDERS, b'r', "orders", 1000),
        listed(INDEX, INDEX, b'i', "orders_pkey", 1000),
        listed(ITEMS, ITEMS, b'r', "items", 100),
    ]
}

fn did(xid: u32, number: u32, [inserted, updated, deleted]: [u64; 3]) -> Activity {
    Activity { xid, relation: file(number), inserted, updated, deleted, made: false, cut_to: None }
}

fn made(xid: u32, number: u32) -> Activity {
    Activity { made: true, ..did(xid, number, [0; 3]) }
}

fn ended(xid: u32, dropped_files: &[u32]) -> EndedTransaction {
    EndedTransaction {
        start: Lsn(1000 + u64::from(xid)),
        xid,
        time: Time::from_micros(i64::from(xid)).unwrap(),
        how: How::Committed,
        prepared: false,
        database: Some(DATABASE),
        subtransactions: Vec::new(),
        dropped_files: dropped_files.iter().map(|number| file(*number)).collect(),
        dropped: Vec::new(),
        redefined: Vec::new(),
    }
}

fn segment(ended: Vec<EndedTransaction>, activity: Vec<Activity>) -> Transactions {
    Transactions { ended, activity, left_out: 0, left_out_rows_most: 0 }
}

fn judged(names: Vec<Snapshot>, wanted: &Wanted, segments: &[Transactions]) -> Vec<Candidate> {
    let mut judge = Judge::new(Names::new(names), wanted);
    segments.iter().for_each(|one| judge.segment(SegmentNo(1), &[], one));
    judge.finish();
    judge.candidates
}

fn words(candidates: &[Candidate]) -> Vec<(Operation, Vec<String>, Option<u64>)> {
    let names = |one: &Candidate| {
        one.relations.iter().map(|relation| relation.name.clone().unwrap_or_default()).collect()
    };
    candidates.iter().map(|one| (one.operation, names(one), one.rows)).collect()
}

fn named(operation: Operation, names: &[&str], rows: u64) -> (Operation, Vec<String>, Option<u64>) {
    (operation, names.iter().map(|name| (*name).to_owned()).collect(), Some(rows))
}

#[test]
fn drop_truncate_and_rewrites_are_told_apart() {
    let before = || vec![snapshot(1, &shop())];
    let all = Wanted::default();
    let of = |ended: EndedTransaction, activity: Vec<Activity>| {
        words(&judged(before(), &all, &[segment(vec![ended], activity)]))
    };
    let dropped = |oids: &[u32], ended: EndedTransaction| EndedTransaction {
        dropped: oids.iter().map(|oid| RelationOid { database: DATABASE, oid: *oid }).collect(),
        ..ended
    };
    let class = |change| did(7, PG_CLASS, change);
    // From 15 on the commit says what was dropped; before, the rows of pg_class do.
    let gone = ended(7, &[INDEX, ORDERS]);
    let drop = [named(Operation::Drop, &["orders"], 1000)];
    assert_eq!(of(dropped(&[ORDERS, INDEX], gone.clone()), vec![class([0, 0, 2])]), drop);
    assert_eq!(of(gone.clone(), vec![class([0, 0, 2])]), drop);
    // TRUNCATE changes rows of pg_class; both files are made anew.
    let anew = || vec![made(7, 17_000), made(7, 17_001), class([0, 2, 0])];
    assert_eq!(of(gone.clone(), anew()), [named(Operation::Truncate, &["orders"], 1000)]);
    // VACUUM FULL makes a table beside it and drops that.
    let rewrite = vec![made(7, 17_000), made(7, 17_001), class([1, 2, 1])];
    assert_eq!(of(gone, rewrite), []);
    assert_eq!(of(ended(7, &[INDEX]), vec![made(7, 17_000), class([0, 1, 0])]), [], "REINDEX");
    let elsewhere = Activity { relation: RelationId { tablespace: 9, ..file(17_000) }, ..made(7, 1) };
    assert_eq!(of(ended(7, &[ITEMS]), vec![elsewhere, class([0, 1, 0])]), [], "SET TABLESPACE");
    assert_eq!(of(ended(7, &[18_000]), vec![made(7, 18_000), class([1, 0, 1])]), [], "its own");
    let both = dropped(&[ORDERS, INDEX], ended(7, &[ITEMS, INDEX, ORDERS]));
    assert_eq!(
        of(both, vec![made(7, 17_000), class([0, 1, 2])]),
        [named(Operation::Drop, &["orders"], 1000), named(Operation::Truncate, &["items"], 100)]
    );
}

#[test]
fn a_list_taken_afterwards_tells_what_is_gone_where_wal_does_not() {
    let after: Vec<Listed> = vec![listed(ITEMS, 17_000, b'r', "things", 100)];
    let names = vec![snapshot(1, &shop()), snapshot(5000, &after)];
    let both = ended(7, &[ITEMS, INDEX, ORDERS]);
    let activity = vec![made(7, 17_000), did(7, PG_CLASS, [0, 1, 2])];
    let found = judged(names, &Wanted::default(), &[segment(vec![both], activity)]);
    assert_eq!(
        words(&found),
        [named(Operation::Drop, &["orders"], 1000), named(Operation::Truncate, &["items"], 100)]
    );
    assert_eq!(found[1].relations[0].later.as_deref(), Some("public.things"), "both names");
}

#[test]
fn a_file_that_took_anothers_place_is_followed() {
    let emptied = segment(
        vec![ended(7, &[INDEX, ORDERS])],
        vec![made(7, 17_000), made(7, 17_001), did(7, PG_CLASS, [0, 2, 0])],
    );
    let deleted = segment(vec![ended(8, &[])], vec![did(8, 17_000, [0, 0, 700])]);
    let found = judged(vec![snapshot(1, &shop())], &Wanted::default(), &[emptied, deleted]);
    assert_eq!(words(&found)[1], named(Operation::Delete, &["orders"], 700));
}

#[test]
fn rows_of_subtransactions_count_and_aborted_ones_do_not() {
    let mut top = ended(10, &[]);
    top.subtransactions = vec![11, 13];
    let sub_aborted = EndedTransaction { how: How::Aborted, ..ended(9, &[]) };
    let aborted = EndedTransaction { how: How::Aborted, ..ended(14, &[]) };
    let segments = [
        segment(vec![sub_aborted], vec![did(9, ITEMS, [0, 0, 90]), did(11, ORDERS, [0, 0, 300])]),
        segment(vec![], vec![did(10, ORDERS, [0, 0, 1]), did(11, ORDERS, [0, 0, 300])]),
        segment(vec![top, aborted], vec![did(13, ORDERS, [0, 0, 200]), did(14, ITEMS, [0, 0, 100])]),
    ];
    let found = judged(vec![snapshot(1, &shop())], &Wanted::default(), &segments);
    assert_eq!(words(&found), [named(Operation::Delete, &["orders"], 801)]);
    assert_eq!(found[0].hint.as_deref(), Some("80 % of the table's rows were deleted"));
    assert_eq!((found[0].target.lsn, found[0].target.before), (Lsn(1010), true));
}

#[test]
fn a_prepared_transaction_counts_when_it_is_committed() {
    let committed = EndedTransaction { prepared: true, ..ended(7, &[]) };
    let segments =
        [segment(vec![], vec![did(7, ITEMS, [0, 100, 0])]), segment(vec![ended(8, &[]), committed], vec![])];
    let found = judged(vec![snapshot(1, &shop())], &Wanted::default(), &segments);
    assert_eq!(words(&found), [named(Operation::Update, &["items"], 100)]);
    assert!(found[0].prepared && found[0].rows_at_least);
}

#[test]
fn a_dropped_database_has_the_time_of_its_commit() {
    let wanted = Wanted { operation: Some(Operation::Drop), ..Wanted::default() };
    let mut judge = Judge::new(Names::new(vec![snapshot(1, &shop())]), &wanted);
    let what = MarkWhat::DatabaseDropped { database: DATABASE, tablespaces: vec![1663] };
    let marks = [Mark { start: Lsn(1005), what }];
    judge.segment(SegmentNo(1), &marks, &segment(vec![ended(4, &[]), ended(7, &[])], vec![]));
    judge.finish();
    let [found] = judge.candidates.as_slice() else { panic!("{:?}", judge.candidates) };
    assert_eq!((found.operation, found.lsn), (Operation::DropDatabase, Lsn(1005)));
    assert_eq!((found.time, found.database_name.as_deref()), (Time::from_micros(7), Some("shop")));
}

#[test]
fn what_is_looked_for_bounds_what_is_told() {
    let segments = [segment(
        vec![ended(7, &[]), ended(8, &[]), ended(9, &[])],
        vec![did(7, ORDERS, [0, 0, 600]), did(8, ITEMS, [0, 0, 60]), did(9, ITEMS, [0, 3, 0])],
    )];
    let of = |wanted: Wanted| words(&judged(vec![snapshot(1, &shop())], &wanted, &segments)).len();
    assert_eq!(of(Wanted::default()), 2);
    assert_eq!(of(Wanted { table: Some("items".into()), ..Wanted::default() }), 1);
    assert_eq!(of(Wanted { schema: Some("other".into()), ..Wanted::default() }), 0);
    assert_eq!(of(Wanted { database: Some("other".into()), ..Wanted::default() }), 0);
    assert_eq!(of(Wanted { min_rows: Some(100), ..Wanted::default() }), 1);
    assert_eq!(of(Wanted { min_rows: Some(1), ..Wanted::default() }), 3);
    assert_eq!(of(Wanted { operation: Some(Operation::Update), ..Wanted::default() }), 0);
    assert_eq!(of(Wanted { since: Time::from_micros(8), ..Wanted::default() }), 1);
    assert_eq!(of(Wanted { until_lsn: Some(Lsn(1007)), ..Wanted::default() }), 1);
}

#[test]
fn without_names_numbers_are_told() {
    let found = judged(
        Vec::new(),
        &Wanted::default(),
        &[segment(
            vec![ended(7, &[ORDERS])],
            vec![did(7, PG_CLASS, [0, 0, 1]), did(7, ITEMS, [0, 0, 20_000])],
        )],
    );
    let files: Vec<_> = found.iter().map(|one| (one.operation, one.relations[0].file)).collect();
    assert_eq!(files, [(Operation::Drop, Some(file(ORDERS))), (Operation::Delete, Some(file(ITEMS)))]);
}

proptest! {
    /// However rows are spread over segments and subtransactions, those of a transaction that committed add up.
    #[test]
    fn rows_add_up(pieces in proptest::collection::vec((0..4u32, 0..3u32, 1..50u64, any::<bool>()), 1..40)) {
        let mut segments = vec![Vec::new()];
        let mut sums = [0_u64; 4];
        for (top, sub, rows, cut) in &pieces {
            let xid = 100 + top * 10 + sub;
            segments.last_mut().unwrap().push(did(xid, ORDERS, [0, 0, *rows]));
            sums[*top as usize] += rows;
            if *cut {
                segments.push(Vec::new());
            }
        }
        let mut segments: Vec<Transactions> =
            segments.into_iter().map(|activity| segment(Vec::new(), activity)).collect();
        let ends = (0..4).map(|top| {
            let mut end = ended(100 + top * 10, &[]);
            end.subtransactions = vec![101 + top * 10, 102 + top * 10];
            // The last one is taken back.
            end.how = if top == 3 { How::Aborted } else { How::Committed };
            end
        });
        segments.push(segment(ends.collect(), Vec::new()));
        let wanted = Wanted { min_rows: Some(1), ..Wanted::default() };
        let found = judged(vec![snapshot(1, &shop())], &wanted, &segments);
        let told: Vec<u64> = found.iter().filter_map(|one| one.rows).collect();
        let plain: Vec<u64> = sums[..3].iter().copied().filter(|sum| *sum > 0).collect();
        prop_assert_eq!(told, plain);
    }

    #[test]
    fn any_numbers_are_judged_without_a_panic(
        xids in proptest::collection::vec((0..6u32, 0..6u32, any::<u64>(), any::<bool>()), 0..30),
    ) {
        let activity = xids.iter().map(|(xid, number, rows, is_made)| Activity {
            made: *is_made, ..did(*xid, ORDERS + number, [*rows, *rows, *rows])
        });
        let ends = xids.iter().map(|(xid, number, ..)| ended(*xid, &[ORDERS + number, ITEMS]));
        drop(judged(vec![snapshot(1, &shop())], &Wanted::default(), &[segment(ends.collect(), activity.collect())]));
    }
}
