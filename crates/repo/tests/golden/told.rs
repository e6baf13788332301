//! Golden repositories with what is told beside the data: segments with an index (whole and in parts), a chapter, lists of names.
//!
//! Promises that what was written once is read to the last word: as lines that are kept beside it (`expected/told`), so that reading does not
//! call what wrote. These folders were added to version 1 when it had these things; the older ones stay as they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use seawall_pg::wal::RelationId;
use seawall_pg::{Fork, Lsn, SegmentName, WalFileName, WalFolder, WalSegmentSize};
use seawall_repo::base64_field::Base64Array;
use seawall_repo::chapter::{Chapter, ChapterBuilder, ChapterSegment};
use seawall_repo::compress::Decompressor;
use seawall_repo::layout::{Named, Place};
use seawall_repo::object::OpenHead;
use seawall_repo::relation_list::{
    COVERAGE_PATH, Coverage, CoveredDatabase, LIST_BYTES_MAX, Relation, RelationListReader,
    RelationListWriter,
};
use seawall_repo::wal_index::transactions::{Activity, EndedTransaction, How, RelationOid, Transactions};
use seawall_repo::wal_index::{
    Begins, ChangedFork, Changes, CommitSpan, EndedAt, Ends, FirstRecord, Mark, MarkWhat, SegmentIndex,
};
use seawall_repo::wal_object::{Indexed, WalReader};

use crate::content::{Content, Entry, states, wal};
use crate::listing::Listing;
use crate::read::Golden;
use crate::region;
use crate::write::{Writer, place, time};

/// The folder whose chapter is kept, of the cluster's second life; its segments are not there any more.
const FOLDER: &str = "0000000100000007";
/// Of each life, the segment with an index: one object, and in parts.
pub(crate) const INDEXED: &str = "000000010000000000000001";
const DATABASE: u32 = 5;

/// Writes a repository of this cipher: one backup with lists of names, all WAL with indexes, one chapter.
pub(crate) fn write(version: &str, flavour: &str) {
    let mut writer = Writer::begun(version, flavour);
    let state = state();
    let backup = writer.only_backup(&state);
    Writer::listing_of(&state).keep(version, &format!("{backup}.tree"));
    let mut listings = [Listing::default(), Listing::default()];
    for file in wal() {
        let index = match file.name {
            INDEXED => Indexed::new(index(file.life).encode().unwrap(), transactions().encode()).unwrap(),
            _ => Indexed::Not("not a whole segment".to_owned()),
        };
        writer.archive_with(&file, &index);
        listings[file.life].file(file.name.as_bytes(), 0, &file.content);
    }
    for (life, listing) in listings.iter().enumerate() {
        listing.keep(version, &format!("{}.wal", place(life).system));
    }
    writer.put_chapter(&place(1), &chapter());
    let told = told(&Golden::open(version, flavour));
    let path = region::root().join(version).join("expected/told");
    match std::fs::read_to_string(&path) {
        Ok(kept) => assert_eq!(told, kept, "both ciphers tell the same"),
        Err(_) => std::fs::write(path, told).unwrap(),
    }
}

/// The first state of the tree, and the lists of two databases.
fn state() -> Vec<Entry> {
    let [mut state, ..] = states();
    let coverage = Coverage {
        from: Lsn(0x10_0028),
        to: Lsn(0x20_0000),
        taken: time(3),
        databases: vec![
            CoveredDatabase {
                oid: DATABASE,
                name: "orders".into(),
                relations: 3,
                left_out: 1,
                schemas: BTreeMap::new(),
                not_asked: None,
            },
            CoveredDatabase {
                oid: 9,
                name: "template0".into(),
                relations: 0,
                left_out: 0,
                schemas: BTreeMap::new(),
                not_asked: Some("it accepts no connections".into()),
            },
        ],
    };
    let mut writer = RelationListWriter::new(DATABASE, LIST_BYTES_MAX);
    for (oid, owner, rows, kind, name) in [
        (1259, 0, Some(415), b'r', "pg_class"),
        (16_384, 0, Some(12_000), b'r', "line \u{e9}"),
        (16_390, 16_384, None, b'i', "line_pkey"),
    ] {
        let schema = if oid == 1259 { "pg_catalog" } else { "public" };
        let (schema, name) = (schema.to_owned(), name.to_owned());
        let (number, tablespace, persistence) = (oid, 1663, b'p');
        writer.push(&Relation { oid, number, tablespace, owner, rows, kind, persistence, schema, name });
    }
    let file = |path: &'static [u8], content| Entry { path, mode: 0o600, content: Content::File(content) };
    state.push(file(b"@seawall/relations/5", writer.finish().0));
    state.push(file(COVERAGE_PATH, serde_json::to_vec(&coverage).unwrap()));
    state.sort_by_key(|entry| entry.path);
    state
}

fn relation(number: u32) -> RelationId {
    RelationId { tablespace: 1663, database: DATABASE, number }
}

/// Everything that an index can say.
fn index(life: usize) -> SegmentIndex {
    let segment = if life == 0 { 1 << 20 } else { 64 << 20 };
    let at = |offset: u64| Lsn(segment + offset);
    let mut changes = Changes::default();
    let main = changes.fork_mut(ChangedFork { relation: relation(16_384), fork: Fork::Main });
    main.change_all([0, 1, 2, 7, 70_000]);
    main.cut(80_000);
    changes.fork_mut(ChangedFork { relation: relation(16_384), fork: Fork::Vm }).change_all([0]);
    changes.fork_mut(ChangedFork { relation: relation(0), fork: Fork::Main }).cut(0);
    let (first, last) =
        (EndedAt { start: at(400), time: time(6) }, EndedAt { start: at(900), time: time(8) });
    SegmentIndex {
        begins: Begins::Rest { of: Lsn(segment - 64) },
        first: Some(FirstRecord { start: at(120), previous: Lsn(segment - 64) }),
        last: Some(at(8000)),
        ends: Ends::Beginning { of: at(8000), told: true },
        records: 77,
        commits: Some(CommitSpan { count: 2, first, last, earliest: first.time, latest: last.time }),
        marks: vec![
            Mark { start: at(500), what: MarkWhat::RestorePoint { name: "before".into(), time: time(7) } },
            Mark { start: at(600), what: MarkWhat::DatabaseDropped { database: 9, tablespaces: vec![1663] } },
        ],
        untold: vec![Lsn(segment - 64)],
        changes,
    }
}

fn transactions() -> Transactions {
    let ended = EndedTransaction {
        start: Lsn((1 << 20) + 400),
        xid: 740,
        time: time(6),
        how: How::Committed,
        prepared: true,
        database: Some(DATABASE),
        subtransactions: vec![741, 743],
        dropped_files: vec![relation(16_500)],
        dropped: vec![RelationOid { database: DATABASE, oid: 16_500 }],
        redefined: vec![RelationOid { database: DATABASE, oid: 16_384 }],
    };
    let aborted = EndedTransaction {
        start: Lsn((1 << 20) + 900),
        xid: 742,
        time: time(8),
        how: How::Aborted,
        prepared: false,
        database: None,
        subtransactions: Vec::new(),
        dropped_files: Vec::new(),
        dropped: Vec::new(),
        redefined: Vec::new(),
    };
    let did = |xid, number, deleted| Activity {
        xid,
        relation: relation(number),
        inserted: 1,
        updated: 0,
        deleted,
        made: deleted == 0,
        cut_to: (deleted > 0).then_some(3),
    };
    Transactions {
        ended: vec![ended, aborted],
        activity: vec![did(740, 16_384, 500), did(741, 16_501, 0)],
        left_out: 4,
        left_out_rows_most: 2,
    }
}

/// One segment in three has an index.
fn chapter() -> Chapter {
    let size = WalSegmentSize::new(64 << 20).unwrap();
    let folder: WalFolder = FOLDER.parse().unwrap();
    let mut builder = ChapterBuilder::default();
    for (number, segment) in folder.segments(size).enumerate() {
        let told = number % 3 == 0;
        builder.push(ChapterSegment {
            segment,
            size: size.bytes(),
            digest: Base64Array([number as u8; 32]),
            generation: Some(seawall_repo::id::Generation::FIRST),
            index: told.then(|| index(1)),
            reason: (!told).then(|| "nobody could read it".to_owned()),
        });
    }
    builder.finish(folder, size).unwrap()
}

/// All that a repository tells, read back, as lines.
pub(crate) fn told(golden: &Golden) -> String {
    let mut lines = String::new();
    let [backup] = golden.backups()[..] else { panic!("one backup") };
    let files: BTreeMap<Vec<u8>, Vec<u8>> = golden.files(backup).into_iter().collect();
    let coverage: Coverage = serde_json::from_slice(&files[COVERAGE_PATH]).unwrap();
    writeln!(lines, "{}", serde_json::to_string(&coverage).unwrap()).unwrap();
    let mut list = RelationListReader::new(&files[&b"@seawall/relations/5"[..]]).unwrap();
    writeln!(lines, "list of database {}", list.database()).unwrap();
    while let Some(row) = list.next_row().unwrap() {
        writeln!(
            lines,
            "{} file {} in {} of {}: {:?} rows, {}{}, {}.{}",
            row.oid,
            row.number,
            row.tablespace,
            row.owner,
            row.rows,
            char::from(row.kind),
            char::from(row.persistence),
            row.schema,
            row.name
        )
        .unwrap();
    }
    for place in golden.places() {
        let (index, transactions) = of_segment(golden, &place);
        writeln!(lines, "{INDEXED} of {}", place.system).unwrap();
        index_lines(&mut lines, &index);
        transactions_lines(&mut lines, &transactions);
    }
    let chapter = golden.chapter();
    writeln!(lines, "chapter {} of segments of {}", chapter.folder(), chapter.segment_size().bytes())
        .unwrap();
    for segment in chapter.segments() {
        writeln!(
            lines,
            "{}",
            serde_json::to_string(&(segment.segment, segment.size, &segment.index)).unwrap()
        )
        .unwrap();
        writeln!(lines, "{} {:?}", segment.digest.0[0], segment.reason).unwrap();
    }
    changes_lines(&mut lines, chapter.changes());
    lines
}

fn of_segment(golden: &Golden, place: &Place) -> (SegmentIndex, Transactions) {
    let segment: SegmentName = INDEXED.parse().unwrap();
    let name = Named::Wal { place: place.clone(), file: WalFileName::Segment(segment) }.to_name();
    let (object, whole) = (golden.object(&name), golden.whole(&name));
    let head = OpenHead::open(&name, object, golden.trust(), None).unwrap();
    let begin = head.head().head_bytes();
    let front = &object[begin..begin + head.head().front_bytes() as usize];
    let reader = WalReader { trust: golden.trust(), keys: golden.keys() };
    let index = reader.index(&head, front, &mut Decompressor::new().unwrap()).unwrap().unwrap();
    (index, Transactions::decode(&whole.footer().contents).unwrap())
}

fn index_lines(lines: &mut String, index: &SegmentIndex) {
    writeln!(lines, "{}", serde_json::to_string(index).unwrap()).unwrap();
    changes_lines(lines, &index.changes);
}

fn changes_lines(lines: &mut String, changes: &Changes) {
    for (fork, changed) in changes.forks() {
        let RelationId { tablespace, database, number } = fork.relation;
        let pages: Vec<u32> = changed.pages().iter().collect();
        writeln!(lines, "{tablespace}/{database}/{number} {:?}: {:?} {pages:?}", fork.fork, changed.limit())
            .unwrap();
    }
}

fn transactions_lines(lines: &mut String, transactions: &Transactions) {
    let file = |one: &RelationId| one.number;
    let oid = |one: &RelationOid| one.oid;
    for one in &transactions.ended {
        let subs = &one.subtransactions;
        let files: Vec<u32> = one.dropped_files.iter().map(file).collect();
        let [dropped, redefined] =
            [&one.dropped, &one.redefined].map(|all| all.iter().map(oid).collect::<Vec<_>>());
        let committed = one.how == How::Committed;
        writeln!(
            lines,
            "{} {} {} committed {committed} prepared {} in {:?}: {subs:?} files {files:?} {dropped:?} {redefined:?}",
            one.start, one.xid, one.time, one.prepared, one.database
        )
        .unwrap();
    }
    for one in &transactions.activity {
        let rows = [one.inserted, one.updated, one.deleted];
        writeln!(
            lines,
            "{} {} {rows:?} made {} cut {:?}",
            one.xid,
            file(&one.relation),
            one.made,
            one.cut_to
        )
        .unwrap();
    }
    writeln!(lines, "left out {} {}", transactions.left_out, transactions.left_out_rows_most).unwrap();
}
