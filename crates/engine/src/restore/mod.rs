//! Restore: from a backup and WAL in a repository to a data directory that a server recovers from.
//!
//! The road: [`target`] (what a person asks for) → [`plan`] (can it be reached, and how) → [`transfer`] (files) → [`own_files`]
//! (label, settings, plan file) → `target::finish` (in force). [`run`] walks it.

pub mod archive_salvaged;
pub mod collations;
pub mod conf_text;
pub mod own_files;
pub mod plan;
pub mod recovery_settings;
pub mod report;
pub mod run;
pub mod salvage;
pub mod sizes;
pub mod sweep;
pub mod target;
pub mod transfer;
pub mod two_writers;
pub mod wal_end;
pub mod wal_inventory;
pub mod wal_source;
