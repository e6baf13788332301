use proptest::prelude::*;

use super::*;

fn any_number() -> impl Strategy<Value = RelationId> {
    (0..3u32, 0..3u32, prop_oneof![0..5u32, any::<u32>()])
        .prop_map(|(tablespace, database, number)| RelationId { tablespace, database, number })
}

fn any_oid() -> impl Strategy<Value = RelationOid> {
    (any::<u32>(), any::<u32>()).prop_map(|(database, oid)| RelationOid { database, oid })
}

fn any_ended() -> impl Strategy<Value = EndedTransaction> {
    let lists = (
        proptest::collection::vec(any::<u32>(), 0..4),
        proptest::collection::vec(any_number(), 0..3),
        proptest::collection::vec(any_oid(), 0..3),
        proptest::collection::vec(any_oid(), 0..3),
    );
    (
        1..1_000_000u64,
        any::<u32>(),
        0..4_000_000_000_000_000i64,
        any::<(bool, bool)>(),
        any::<Option<u32>>(),
        lists,
    )
        .prop_map(|(start, xid, micros, (aborted, prepared), database, lists)| EndedTransaction {
            start: Lsn(start),
            xid,
            time: Time::from_micros(micros).unwrap(),
            how: if aborted { How::Aborted } else { How::Committed },
            prepared,
            database,
            subtransactions: lists.0,
            dropped_files: lists.1,
            dropped: lists.2,
            redefined: lists.3,
        })
}

fn any_activity() -> impl Strategy<Value = Activity> {
    (prop_oneof![0..5u32, any::<u32>()], any_number(), any::<[u64; 3]>(), any::<bool>(), any::<Option<u32>>())
        .prop_map(|(xid, relation, [inserted, updated, deleted], made, cut_to)| Activity {
            xid,
            relation,
            inserted,
            updated,
            deleted,
            made,
            cut_to,
        })
}

fn any_transactions() -> impl Strategy<Value = Transactions> {
    let ended = proptest::collection::vec(any_ended(), 0..12);
    let activity = proptest::collection::vec(any_activity(), 0..12);
    (ended, activity, any::<[u64; 2]>()).prop_map(|(mut ended, mut activity, [left_out, most])| {
        ended.sort_by_key(|ended| ended.start);
        ended.dedup_by_key(|ended| ended.start);
        activity.sort_by_key(Activity::key);
        activity.dedup_by_key(|activity| activity.key());
        Transactions { ended, activity, left_out, left_out_rows_most: most }
    })
}

#[test]
fn the_bytes_are_the_documented_ones() {
    let ended = EndedTransaction {
        start: Lsn(0x28),
        xid: 700,
        time: Time::from_micros(1_000_000).unwrap(),
        how: How::Committed,
        prepared: false,
        database: Some(5),
        subtransactions: vec![701, 703],
        dropped_files: vec![RelationId { tablespace: 1663, database: 5, number: 9 }],
        dropped: vec![],
        redefined: vec![],
    };
    let relation = RelationId { tablespace: 1663, database: 5, number: 7 };
    let activity =
        Activity { xid: 700, relation, inserted: 1, updated: 2, deleted: 300, made: false, cut_to: Some(4) };
    let all =
        Transactions { ended: vec![ended], activity: vec![activity], left_out: 0, left_out_rows_most: 0 };
    #[rustfmt::skip]
    assert_eq!(all.encode(), [
        1, 0x28, 0xF8, 0x0A, 0x80, 0x89, 0x7A, 0x1C, 5,
        2, 0xBD, 0x05, 2,
        1, 0xFF, 0x0C, 5, 9,
        1, 0xF8, 0x0A, 0xFF, 0x0C, 5, 7, 1, 2, 0xAC, 0x02, 2, 4,
        0, 0,
    ]);
}

#[test]
fn orders_that_no_writer_makes_are_refused() {
    // Two transactions at one place.
    let row = [0x28, 0, 0, 0];
    assert!(Transactions::decode(&[&[1], &row[..], &[0, 0, 0]].concat()).is_ok());
    assert!(Transactions::decode(&[&[2], &row[..], &[0, 0, 0, 0], &[0, 0, 0]].concat()).is_err());
    // A list that is said to be there and has no entries.
    assert!(Transactions::decode(&[1, 0x28, 0, 0, 8, 0, 0, 0, 0]).is_err());
    assert!(Transactions::decode(&[1, 0x28, 0, 0, 0x80, 0, 0, 0]).is_err(), "an unknown flag");
}

proptest! {
    #[test]
    fn transactions_round_trip(transactions in any_transactions()) {
        prop_assert_eq!(Transactions::decode(&transactions.encode()), Ok(transactions));
    }

    #[test]
    fn every_accepted_encoding_is_the_one_written(bytes in proptest::collection::vec(0..20u8, 0..60)) {
        if let Ok(transactions) = Transactions::decode(&bytes) {
            prop_assert_eq!(transactions.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>) {
        drop(Transactions::decode(&bytes));
    }
}
