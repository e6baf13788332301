//! Every test of the engine from outside, in one binary: each would link the whole engine.
//!
//! A module with `real_` in front of its name starts PostgreSQL servers.

mod real_faults;
mod real_postgres_setup;
mod real_restore_recovery;
mod real_restore_wal_end;
mod real_source_files;
mod real_source_server;
mod taken_host;
