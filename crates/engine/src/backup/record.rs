//! From the server's facts to what the manifest remembers of it.

use seawall_repo::manifest::{
    Collation, Database, Extension, PreparedTransaction, RowEstimate, ServerFacts, Slot, Subscription,
    Tablespace, UnloggedTable,
};
use seawall_repo::time::Time;

use crate::source::Facts;
use crate::source::facts::{Contents, DatabaseContents};

/// The server's part of a manifest.
pub(super) struct ServerRecord {
    pub(super) server: ServerFacts,
    pub(super) tablespaces: Vec<Tablespace>,
    pub(super) databases: Vec<Database>,
    pub(super) slots: Vec<Slot>,
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) prepared: Vec<PreparedTransaction>,
    pub(super) unlogged: Vec<UnloggedTable>,
    pub(super) row_estimates: Vec<RowEstimate>,
}

/// `libc` is the version of this host's C library; `prepared_default` stands in where the server's text of a time cannot be read.
pub(super) fn server_record(
    facts: &Facts,
    checksums: bool,
    libc: Option<String>,
    prepared_default: Time,
) -> ServerRecord {
    let known = || {
        facts
            .databases
            .iter()
            .filter_map(|database| Some((database.name.clone(), known_contents(&database.contents)?)))
    };
    ServerRecord {
        server: server(facts, checksums, libc),
        tablespaces: facts.tablespaces.iter().map(tablespace).collect(),
        databases: facts
            .databases
            .iter()
            .map(|database| Database { oid: database.oid, name: database.name.clone() })
            .collect(),
        slots: facts
            .replication_slots
            .iter()
            .map(|slot| Slot {
                name: slot.name.clone(),
                kind: slot.kind.clone(),
                plugin: slot.plugin.clone(),
                database: slot.database.clone(),
            })
            .collect(),
        subscriptions: facts
            .subscriptions
            .iter()
            .map(|one| Subscription {
                database: one.database.clone(),
                name: one.name.clone(),
                enabled: one.enabled,
            })
            .collect(),
        prepared: facts
            .prepared_transactions
            .iter()
            .map(|one| PreparedTransaction {
                gid: one.identifier.clone(),
                database: one.database.clone(),
                owner: one.owner.clone(),
                prepared: one.prepared.parse().unwrap_or(prepared_default),
            })
            .collect(),
        unlogged: known()
            .flat_map(|(database, contents)| {
                contents
                    .unlogged
                    .named
                    .iter()
                    .map(move |table| UnloggedTable { database: database.clone(), table: table.clone() })
            })
            .collect(),
        row_estimates: known()
            .flat_map(|(database, contents)| {
                contents.row_estimates.iter().map(move |row| RowEstimate {
                    database: database.clone(),
                    table: format!("{}.{}", row.schema, row.table),
                    rows: u64::try_from(row.rows).unwrap_or(0),
                })
            })
            .collect(),
    }
}

fn known_contents(contents: &Contents) -> Option<&DatabaseContents> {
    match contents {
        Contents::Asked(known) => Some(known),
        Contents::NotAsked { .. } => None,
    }
}

fn tablespace(one: &crate::source::facts::Tablespace) -> Tablespace {
    let location = (!one.in_place).then(|| one.location.to_string_lossy().into_owned());
    Tablespace { oid: one.oid, location, name: one.name.clone() }
}

fn server(facts: &Facts, checksums: bool, libc: Option<String>) -> ServerFacts {
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let mut settings = facts.settings.clone();
    let minimums = &facts.minimums;
    for (name, value) in [
        ("max_connections", minimums.max_connections),
        ("max_worker_processes", minimums.max_worker_processes),
        ("max_wal_senders", minimums.max_wal_senders),
        ("max_prepared_transactions", minimums.max_prepared_transactions),
        ("max_locks_per_transaction", minimums.max_locks_per_transaction),
    ] {
        settings.insert(name.to_owned(), value.to_string());
    }
    let mut libraries = facts.preload_libraries.clone();
    let (mut extensions, mut collations) = (Vec::new(), Vec::new());
    for database in &facts.databases {
        let Some(contents) = known_contents(&database.contents) else { continue };
        libraries.extend(contents.libraries.iter().cloned());
        extensions.extend(contents.extensions.iter().map(|extension| Extension {
            database: database.name.clone(),
            name: extension.name.clone(),
            version: extension.version.clone(),
        }));
        collations.extend(contents.collations.iter().map(|collation| Collation {
            database: database.name.clone(),
            name: "*".to_owned(),
            provider: collation.provider.clone(),
            version: Some(collation.recorded.clone()),
        }));
        collations.push(Collation {
            database: database.name.clone(),
            name: database
                .provider_locale
                .clone()
                .or_else(|| database.collate.clone())
                .unwrap_or_else(|| "default".to_owned()),
            provider: database.provider.clone(),
            version: database.collation_version.clone(),
        });
    }
    libraries.sort();
    libraries.dedup();
    // The server's own answer counts before this host's: it may run in a container with another library.
    let of_server = facts
        .databases
        .iter()
        .filter_map(|database| known_contents(&database.contents))
        .find_map(|contents| {
            contents.collations.iter().find(|one| one.provider == "libc").and_then(|one| one.present.clone())
        });
    ServerFacts {
        libc: of_server.or(libc),
        version: facts.version_text.clone(),
        version_num: u32::from(facts.server.version.major()) * 10_000 + u32::from(facts.server.minor),
        encoding: settings.get("server_encoding").cloned().unwrap_or_default(),
        settings,
        extensions,
        libraries,
        collations,
        data_checksums: checksums,
        data_directory: path(&facts.files.data_directory),
        config_file: path(&facts.files.config_file),
        hba_file: path(&facts.files.hba_file),
        ident_file: path(&facts.files.ident_file),
        block_size: facts.block_bytes,
        architecture: std::env::consts::ARCH.to_owned(),
    }
}
