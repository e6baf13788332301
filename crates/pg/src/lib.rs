//! PostgreSQL file formats: what a file, a page, a WAL record, a timeline and `pg_control` mean.
//!
//! Promises: pure (bytes in, values out; no I/O, no clock, no async), and every decoder takes any bytes
//! without a panic and without an allocation whose size it read from them.
//! Deliberately not here: anything that opens a file or talks to a server.
//!
//! PostgreSQL writes its files in the byte order of the host. Only little-endian files are understood; a
//! `pg_control` of the other order is recognised and refused by name.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a panic in a test is a test's way of failing"
    )
)]

pub mod backup_label;
mod bytes;
pub mod control;
pub mod copy_rules;
pub mod lsn;
pub mod page;
pub mod page_check;
pub mod relation;
pub mod segment;
pub mod settings;
pub mod system_identifier;
pub mod tablespace_map;
pub mod timeline;
pub mod version;
pub mod wal;
pub mod wal_page;

pub use backup_label::{BackupFrom, BackupLabel, BackupLabelError};
pub use control::{
    ClusterState, ControlError, ControlFile, ControlMinimums, ControlRead, ControlReader, WalLevel,
};
pub use copy_rules::{CopyDecision, CopyRemark, CopyRule, CopyRules, EntryKind, SkipReason};
pub use lsn::{Lsn, LsnError};
pub use page::{PAGE_BYTES, Page, PageHeader, page_checksum};
pub use page_check::{BrokenPage, BrokenReason, FineReason, PageContext, PageRead, PageVerdict, check_page};
pub use relation::{Fork, Oid, RelationFile, RelationPlace};
pub use segment::{SegmentError, SegmentName, SegmentNo, WalFileName, WalFolder, WalSegmentSize};
pub use system_identifier::SystemIdentifier;
pub use tablespace_map::{TablespaceMap, TablespaceMapError};
pub use timeline::{
    History, HistoryConflict, HistoryError, HistoryFile, OutsideHistory, Span, Switch, Timeline,
};
pub use version::{ServerVersion, Version, VersionError};
pub use wal_page::{ExpectedSegment, WalPageError, WalPageHeader, identify_segment};
