//! What a record means, in words of one line.
//!
//! Promises: bytes that a database chose (names, paths) stand in it as text that a terminal may show.

use seawall_pg::Fork;
use seawall_pg::wal::meaning::{
    Completion, DatabaseChange, HeapChange, StorageChange, TablespaceChange, Transaction, Xlog,
};
use seawall_pg::wal::{Meaning, PgTime, Record, RelationId};
use seawall_repo::time::Time;

use crate::text::shown_bytes;

/// The words for a record; `name` is that of its resource manager.
pub(super) fn words(record: &Record<'_>, name: &str) -> String {
    match Meaning::of(record) {
        Ok(Meaning::Transaction(transaction)) => of_transaction(&transaction),
        Ok(Meaning::Storage(change)) => of_storage(change),
        Ok(Meaning::Database(change)) => of_database(&change),
        Ok(Meaning::Tablespace(change)) => of_tablespace(change),
        Ok(Meaning::RelationMap(update)) => {
            format!(
                "map of catalogs of database {} in tablespace {} replaced",
                update.database, update.tablespace
            )
        }
        Ok(Meaning::Xlog(xlog)) => of_xlog(&xlog),
        Ok(Meaning::Heap(change)) => of_heap(&change),
        Ok(Meaning::Sequence(change)) => {
            let called = if change.is_called { "" } else { ", not yet given away" };
            format!("sequence {} at {}{called}", relation(change.relation), change.last_value)
        }
        Ok(Meaning::Message(message)) => {
            let how = if message.transactional { "transactional message" } else { "message" };
            format!("{how} \"{}\" of {} bytes", shown_bytes(message.prefix), message.length)
        }
        Ok(Meaning::Other) => format!("{name} operation {:02X}", record.operation()),
        Err(fault) => format!("cannot be understood: {fault}"),
    }
}

fn relation(id: RelationId) -> String {
    format!("{}/{}/{}", id.tablespace, id.database, id.number)
}

fn fork(fork: Fork) -> &'static str {
    match fork {
        Fork::Main => "main",
        Fork::Fsm => "fsm",
        Fork::Vm => "vm",
        Fork::Init => "init",
    }
}

fn time(time: PgTime) -> String {
    let known = time.unix_micros().and_then(Time::from_micros);
    known.map_or_else(|| format!("{} us since 2000", time.0), |time| time.to_string())
}

fn list<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(" ")
}

fn of_transaction(transaction: &Transaction<'_>) -> String {
    match transaction {
        Transaction::Commit(end) => completion("commit", end),
        Transaction::Abort(end) => completion("abort", end),
        Transaction::Prepare(prepare) => format!(
            "transaction {} of database {} prepared as \"{}\" at {}",
            prepare.xid,
            prepare.database,
            shown_bytes(prepare.gid),
            time(prepare.time)
        ),
        Transaction::Assignment { top, subxacts } => {
            format!("subtransactions of {top}: {}", list(subxacts.iter()))
        }
        Transaction::Invalidations(messages) => format!("{} caches to be dropped", messages.len()),
    }
}

fn completion(how: &str, end: &Completion<'_>) -> String {
    let prepared = match &end.two_phase {
        Some(prepared) => match prepared.gid {
            Some(gid) => format!(" of prepared \"{}\"", shown_bytes(gid)),
            None => " of a prepared transaction".to_owned(),
        },
        None => String::new(),
    };
    let mut words = format!("{how} of {}{prepared} at {}", end.xid, time(end.time));
    if !end.subxacts.is_empty() {
        words.push_str(&format!("; subtransactions {}", list(end.subxacts.iter())));
    }
    if !end.relations.is_empty() {
        words.push_str(&format!("; files dropped {}", list(end.relations.iter().map(relation))));
    }
    if let Some(origin) = end.origin {
        words.push_str(&format!("; replicated from {}", origin.lsn));
    }
    words
}

fn of_storage(change: StorageChange) -> String {
    match change {
        StorageChange::Create { relation: id, fork: which } => {
            format!("file of {} made, fork {}", relation(id), fork(which))
        }
        StorageChange::Truncate { relation: id, blocks, main, vm, fsm } => {
            let forks = [(main, "main"), (vm, "vm"), (fsm, "fsm")];
            let forks = forks.into_iter().filter_map(|(cut, name)| cut.then_some(name));
            format!("{} cut to {blocks} pages, forks {}", relation(id), list(forks))
        }
    }
}

fn of_database(change: &DatabaseChange<'_>) -> String {
    match change {
        DatabaseChange::CreateByCopy { database, tablespace, from_database, from_tablespace } => format!(
            "database {database} in tablespace {tablespace} made as a copy of {from_database} in {from_tablespace}"
        ),
        DatabaseChange::CreateByPages { database, tablespace } => {
            format!("database {database} in tablespace {tablespace} made page by page")
        }
        DatabaseChange::Drop { database, tablespaces } => {
            format!("database {database} dropped from tablespaces {}", list(tablespaces.iter()))
        }
    }
}

fn of_tablespace(change: TablespaceChange<'_>) -> String {
    match change {
        TablespaceChange::Create { tablespace, path } => {
            format!("tablespace {tablespace} made at \"{}\"", shown_bytes(path))
        }
        TablespaceChange::Drop { tablespace } => format!("tablespace {tablespace} dropped"),
    }
}

fn of_xlog(xlog: &Xlog<'_>) -> String {
    match xlog {
        Xlog::Checkpoint { shutdown, checkpoint } => {
            let when = if *shutdown { "at shutdown" } else { "online" };
            format!("checkpoint {when}, redo {}, timeline {}", checkpoint.redo, checkpoint.timeline)
        }
        Xlog::CheckpointRedo { wal_level } => {
            format!("redo of a checkpoint begins, wal_level {wal_level:?}").to_lowercase()
        }
        Xlog::Noop => "nothing".to_owned(),
        Xlog::NextOid(oid) => format!("OIDs below {oid} may have been given away"),
        Xlog::Switch => "switch: the rest of the segment is empty".to_owned(),
        Xlog::BackupEnd { start } => format!("end of the backup that began at {start}"),
        Xlog::ParameterChange(change) => {
            let least = change.minimums;
            format!(
                "settings: max_connections {}, max_worker_processes {}, max_wal_senders {}, max_prepared_transactions {}, \
                 max_locks_per_transaction {}, wal_level {}, wal_log_hints {}, track_commit_timestamp {}",
                least.max_connections,
                least.max_worker_processes,
                least.max_wal_senders,
                least.max_prepared_transactions,
                least.max_locks_per_transaction,
                format!("{:?}", change.wal_level).to_lowercase(),
                change.wal_log_hints,
                change.track_commit_timestamp
            )
        }
        Xlog::RestorePoint { time: at, name } => {
            format!("restore point \"{}\" at {}", shown_bytes(name), time(*at))
        }
        Xlog::FullPageWrites(on) => format!("full_page_writes {}", if *on { "on" } else { "off" }),
        Xlog::EndOfRecovery { time: at, timeline, previous, .. } => {
            format!("end of recovery at {}: timeline {timeline} after {previous}", time(*at))
        }
        Xlog::Pages { for_hint: true } => "pages, because of hints".to_owned(),
        Xlog::Pages { for_hint: false } => "pages".to_owned(),
        Xlog::OverwriteContrecord { lost, time: at } => {
            format!("the record begun at {lost} was lost in a crash, said at {}", time(*at))
        }
    }
}

fn of_heap(change: &HeapChange<'_>) -> String {
    match change {
        HeapChange::Insert { .. } => "row inserted".to_owned(),
        HeapChange::MultiInsert { tuples, .. } => format!("{tuples} rows inserted"),
        HeapChange::Delete { speculative: true, .. } => "speculative row given up".to_owned(),
        HeapChange::Delete { partition_move: true, .. } => "row moves to another partition".to_owned(),
        HeapChange::Delete { .. } => "row deleted".to_owned(),
        HeapChange::Update { hot: true, .. } => "row updated, no index follows".to_owned(),
        HeapChange::Update { .. } => "row updated".to_owned(),
        HeapChange::Lock { updated: true, .. } => "later version of a row locked".to_owned(),
        HeapChange::Lock { .. } => "row locked".to_owned(),
        HeapChange::Truncate { database, relations, .. } => {
            format!("TRUNCATE in database {database} of relations {}", list(relations.iter()))
        }
        HeapChange::Inplace { .. } => "row overwritten in place".to_owned(),
    }
}
