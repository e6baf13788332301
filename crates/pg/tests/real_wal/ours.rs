//! The same WAL as this crate reads it.

use std::collections::{BTreeMap, BTreeSet};

use seawall_pg::wal::meaning::{Completion, DatabaseChange, HeapChange, StorageChange, TablespaceChange};
use seawall_pg::wal::meaning::{Transaction, Xlog};
use seawall_pg::wal::{
    BlockRef, ImageRebuilder, Joiner, Keep, Meaning, PgTime, Record, WalWalk, Walked, resource_manager,
};
use seawall_pg::{Fork, Lsn, PAGE_BYTES, Page, PageHeader};

use crate::Left;
use crate::waldump::{BlockLine, CompletionLine, ImageKey, RecordLine};

/// What was found.
pub(crate) struct Found {
    pub(crate) records: Vec<RecordLine>,
    pub(crate) completions: Vec<CompletionLine>,
    pub(crate) images: BTreeMap<ImageKey, Box<Page>>,
    pub(crate) kinds: BTreeSet<String>,
    pub(crate) walked: Walked,
}

pub(crate) fn read(left: &Left) -> Found {
    let mut walk = WalWalk::new(left.of, left.first(), Keep::Everything);
    let (mut records, mut completions, mut kinds) = (Vec::new(), Vec::new(), BTreeSet::new());
    let (mut images, mut rebuilder) = (BTreeMap::new(), ImageRebuilder::default());
    for segment in left.segments() {
        walk.segment(&segment, &mut |record| {
            let line = record_line(record);
            for block in record.blocks() {
                if let Some((key, page)) = image(record, &block, &mut rebuilder, &mut kinds) {
                    images.insert(key, page);
                }
            }
            kinds.extend(record.top_xid().map(|_| "top-level transaction".to_owned()));
            let meaning =
                Meaning::of(record).unwrap_or_else(|fault| panic!("{}: {fault}: {line:?}", left.of.version));
            kinds.extend(kinds_of(&meaning, record));
            completions.extend(completion_line(&meaning, record));
            records.push(line);
        });
    }
    let walked = walk.finish();
    if walked.overwritten > 0 {
        kinds.insert("overwritten".to_owned());
    }
    Found { records, completions, images, kinds, walked }
}

/// Each segment read alone, and the pieces joined, gives the same records.
pub(crate) fn compare_segments_alone(left: &Left, found: &Found) {
    let mut records = Vec::new();
    let mut joiner: Option<Joiner> = None;
    for (name, segment) in left.names.iter().zip(left.segments()) {
        let first = name.first_lsn(left.of.size).expect("of this size");
        let mut walk = WalWalk::new(left.of, first, Keep::Meaning);
        let mut here = Vec::new();
        walk.segment(&segment, &mut |record| here.push(record_line(record)));
        let walked = walk.finish();
        if walked.begins_with_overwrite {
            joiner = None;
        }
        if let (Some(joined), Some(rest)) = (&mut joiner, &walked.continuation) {
            joined.add(rest.remaining, &rest.piece).expect("pieces that belong together");
            if rest.lost_at.is_some() {
                joiner = None;
            } else if let Some(end) = rest.end {
                let record = joined.finish(end).expect("a whole record");
                if record.main_data().whole().is_some() {
                    Meaning::of(&record).expect("a meaning");
                }
                records.push(record_line(&record));
                joiner = None;
            }
        }
        records.append(&mut here);
        if let Some(unfinished) = &walked.unfinished {
            joiner = Some(Joiner::begin(left.of.version, unfinished).expect("a piece"));
        }
    }
    for (alone, together) in records.iter().zip(&found.records) {
        assert_eq!(alone, together, "{}", left.of.version);
    }
    assert_eq!(records.len(), found.records.len());
}

fn record_line(record: &Record<'_>) -> RecordLine {
    let header = record.header;
    let images: u32 =
        record.blocks().filter_map(|block| block.image).map(|image| u32::from(image.length)).sum();
    RecordLine {
        lsn: record.start,
        prev: header.prev,
        xid: header.xid,
        rmgr: resource_manager::name(header.rmgr).expect("one of PostgreSQL's own").to_owned(),
        lengths: (header.total - images, header.total),
        blocks: record.blocks().map(|block| block_line(&block)).collect(),
    }
}

fn fork_name(fork: Fork) -> String {
    let suffix = fork.suffix().trim_start_matches('_');
    if suffix.is_empty() { "main" } else { suffix }.to_owned()
}

fn block_line(block: &BlockRef<'_>) -> BlockLine {
    BlockLine {
        id: block.id,
        relation: [block.relation.tablespace, block.relation.database, block.relation.number],
        fork: fork_name(block.fork),
        block: block.block,
        image: block.image.map(|image| (image.apply, image.hole_offset, image.hole_length)),
    }
}

fn image(
    record: &Record<'_>,
    block: &BlockRef<'_>,
    rebuilder: &mut ImageRebuilder,
    kinds: &mut BTreeSet<String>,
) -> Option<(ImageKey, Box<Page>)> {
    let (header, bytes) = (block.image?, block.image_bytes.expect("kept"));
    kinds.extend(header.compression.map(|way| format!("{way:?}").to_lowercase()));
    if !header.apply {
        kinds.insert("image for comparison".to_owned());
    }
    let mut page = Box::new([0; PAGE_BYTES]);
    rebuilder.rebuild(&header, bytes, &mut page).expect("an image");
    let head = PageHeader::decode(&page);
    let is_page = head.lower <= head.upper && head.upper <= head.special && head.special <= 8192;
    assert!(is_page, "{:?} of {}", block.relation, record.start);
    let relation = [block.relation.tablespace, block.relation.database, block.relation.number];
    Some(((record.start, relation, block.block, fork_name(block.fork)), page))
}

fn completion_line(meaning: &Meaning<'_>, record: &Record<'_>) -> Option<CompletionLine> {
    let (name, done) = match meaning {
        Meaning::Transaction(Transaction::Commit(done)) => ("COMMIT", done),
        Meaning::Transaction(Transaction::Abort(done)) => ("ABORT", done),
        _ => return None,
    };
    let prepared = if done.two_phase.is_some() { "_PREPARED" } else { "" };
    Some(CompletionLine {
        lsn: record.start,
        operation: format!("{name}{prepared}"),
        xid: done.two_phase.map(|prepared| prepared.xid),
        time: text(done.time),
        subxacts: done.subxacts.iter().collect(),
        relations: done.relations.len(),
        stats: done.stats.len(),
    })
}

/// As `pg_waldump` prints times.
fn text(time: PgTime) -> String {
    let micros = time.unix_micros().expect("a time");
    let (days, of_day) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    // Days since 0000-03-01 into years of 400 years' cycles (Howard Hinnant's algorithm).
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let seconds = of_day / 1_000_000;
    format!(
        "{}-{month:02}-{day_of_month:02} {:02}:{:02}:{:02}.{:06}",
        year + era * 400 + carry,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        of_day % 1_000_000
    )
}

fn kinds_of(meaning: &Meaning<'_>, record: &Record<'_>) -> Vec<String> {
    let mut kinds = vec![match meaning {
        Meaning::Transaction(transaction) => transaction_kind(transaction),
        Meaning::Storage(StorageChange::Create { .. }) => "storage create",
        Meaning::Storage(StorageChange::Truncate { .. }) => "storage truncate",
        Meaning::Database(DatabaseChange::CreateByCopy { .. }) => "database by copy",
        Meaning::Database(DatabaseChange::CreateByPages { .. }) => "database by pages",
        Meaning::Database(DatabaseChange::Drop { .. }) => "database drop",
        Meaning::Tablespace(TablespaceChange::Create { .. }) => "tablespace create",
        Meaning::Tablespace(TablespaceChange::Drop { .. }) => "tablespace drop",
        Meaning::RelationMap(_) => "relation map",
        Meaning::Xlog(xlog) => xlog_kind(xlog, record),
        Meaning::Heap(heap) => heap_kind(heap),
        Meaning::Sequence(_) => "sequence",
        Meaning::Message(message) => {
            assert!(matches!(message.prefix, b"of a test" | b"huge"), "{message:?}");
            if message.transactional { "transactional message" } else { "message" }
        }
        Meaning::Other => "other",
    }];
    if let Meaning::Transaction(Transaction::Commit(done)) = meaning {
        kinds.extend(parts_of(done));
    }
    kinds.into_iter().map(str::to_owned).collect()
}

fn parts_of(done: &Completion<'_>) -> Vec<&'static str> {
    let mut parts = Vec::new();
    parts.extend(done.origin.map(|origin| {
        assert_eq!(origin.lsn, Lsn(0x1234));
        "commit with origin"
    }));
    parts.extend((!done.stats.is_empty()).then_some("dropped statistics"));
    parts
}

fn transaction_kind(transaction: &Transaction<'_>) -> &'static str {
    match transaction {
        Transaction::Commit(done) if done.two_phase.is_some() => "commit prepared",
        Transaction::Abort(done) if done.two_phase.is_some() => "abort prepared",
        Transaction::Commit(_) => "commit",
        Transaction::Abort(_) => "abort",
        Transaction::Prepare(prepared) => {
            let known = [&b"the first"[..], b"the second, which is rolled back"];
            assert!(known.contains(&prepared.gid), "{prepared:?}");
            "prepare"
        }
        Transaction::Assignment { .. } => "assignment",
        Transaction::Invalidations(_) => "invalidations",
    }
}

fn xlog_kind(xlog: &Xlog<'_>, record: &Record<'_>) -> &'static str {
    match xlog {
        Xlog::Checkpoint { shutdown, checkpoint } => {
            assert_eq!(checkpoint.redo == record.start, *shutdown);
            if *shutdown { "checkpoint shutdown" } else { "checkpoint online" }
        }
        Xlog::CheckpointRedo { .. } => "checkpoint redo",
        Xlog::Noop => "noop",
        Xlog::NextOid(_) => "next oid",
        Xlog::Switch => "switch",
        Xlog::BackupEnd { .. } => "backup end",
        Xlog::ParameterChange(_) => "parameter change",
        Xlog::RestorePoint { name, .. } => {
            assert_eq!(*name, b"a named point");
            "restore point"
        }
        Xlog::FullPageWrites(_) => "full page writes",
        Xlog::EndOfRecovery { .. } => "end of recovery",
        Xlog::Pages { .. } => "pages",
        Xlog::OverwriteContrecord { lost, .. } => {
            assert!(*lost < record.start);
            "overwrite"
        }
    }
}

fn heap_kind(heap: &HeapChange<'_>) -> &'static str {
    match heap {
        HeapChange::Insert { .. } => "insert",
        HeapChange::MultiInsert { .. } => "multi insert",
        HeapChange::Delete { .. } => "delete",
        HeapChange::Update { hot: true, .. } => "hot update",
        HeapChange::Update { .. } => "update",
        HeapChange::Lock { .. } => "lock",
        HeapChange::Truncate { .. } => "truncate for decoding",
        HeapChange::Inplace { .. } => "inplace",
    }
}
