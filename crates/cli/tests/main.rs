//! Every test of the program from outside, in one binary: each links the whole engine, and forty of them cost minutes.
//!
//! A module with `real_` in front of its name starts PostgreSQL servers.

mod support;

mod config_files;
mod fetch;
mod process;
mod real_becomes;
mod real_broken_builds;
mod real_by_wal;
mod real_by_wal_apart;
mod real_chaos;
mod real_chapters;
mod real_check_places;
mod real_collations;
mod real_combine;
mod real_databases;
mod real_debug;
mod real_documents;
mod real_fetch_recovery;
mod real_find;
mod real_find_edges;
mod real_find_names;
mod real_heal;
mod real_histories;
mod real_index;
mod real_keys;
mod real_kill;
mod real_large;
mod real_layouts;
mod real_least_rights;
mod real_ledger_e2e;
mod real_ledger_kills;
mod real_locked;
mod real_misses;
mod real_parent;
mod real_partition;
mod real_places;
mod real_places_reads;
mod real_places_writes;
mod real_prune;
mod real_recovery_cuts;
mod real_recycled;
mod real_refusals;
mod real_region;
mod real_setup;
mod real_split_brain;
mod real_static;
mod real_status_regions;
mod real_sync;
mod real_transactions;
mod real_verify;
mod real_wal_histories;
mod real_wal_status;
mod reference;
mod rescue;
