//! `status`: could we recover now, and to when?
//!
//! The road: [`run`] asks every region what it shows, [`judge`] (pure) makes of it windows, regions' lags, findings and the
//! first line, [`report`] is the one truth behind text and JSON. Promises: every number has its basis, and what was never
//! measured says so; it works when the database host is gone. Deliberately reads no content: whether stored bytes are good is
//! `verify`'s question, whether a recovery really works a drill's.

mod judge;
mod report;
mod run;
mod verified;

pub use judge::{BackupSeen, Known, Seen, SystemSeen, judge};
pub use report::{IfGone, Lag, Loss, NewestBackup, RegionStatus, StatusReport, Verdict, Verified, Window};
pub(crate) use run::size_from_wal;
pub use run::{StatusOptions, status};
