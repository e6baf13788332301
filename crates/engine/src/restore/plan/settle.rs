//! The recovery target as the server gets it, once the end of WAL is known.
//!
//! Promises: a plan for the latest point becomes the position of the last whole record, so that an early end of WAL is an error
//! of the server and not a promotion; a time behind the last commit becomes the same, because no commit can prove to the server
//! that it was reached.

use seawall_pg::Lsn;
use seawall_repo::time::Time;

use super::RecoveryPlan;
use crate::restore::target::Point;
use crate::restore::wal_end::WalEnd;

/// Where the server stops; exactly one of PostgreSQL's recovery targets.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopAt {
    /// `recovery_target = 'immediate'`.
    Immediate,
    /// `recovery_target_time`.
    Time {
        /// When.
        time: Time,
        /// `recovery_target_inclusive`.
        inclusive: bool,
    },
    /// `recovery_target_lsn`.
    Lsn {
        /// Where.
        lsn: Lsn,
        /// `recovery_target_inclusive`.
        inclusive: bool,
    },
    /// `recovery_target_xid`.
    Xid {
        /// Which.
        xid: u32,
        /// `recovery_target_inclusive`.
        inclusive: bool,
    },
    /// `recovery_target_name`.
    Name {
        /// Which.
        name: String,
    },
}

/// Why a plan cannot be settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum SettleError {
    #[error("the end of WAL was not looked for, which a target of {point} needs")]
    EndUnknown { point: String },
    #[error("no whole WAL record was found before {frontier}")]
    NoRecord { frontier: Lsn },
    #[error("whole WAL records end at {end}, before the end of the backup at {stop}")]
    EndsInsideBackup { end: Lsn, stop: Lsn },
}

impl RecoveryPlan {
    /// Whether [`RecoveryPlan::settle`] needs to know where WAL ends.
    #[must_use]
    pub fn needs_end_of_wal(&self) -> bool {
        matches!(self.target.point(), Point::Latest | Point::Time(_))
    }

    /// The target for the server. A time that is replaced by a position adds a sentence to the basis.
    pub fn settle(&mut self, end: Option<&WalEnd>) -> Result<StopAt, SettleError> {
        let inclusive = !self.target.is_before();
        match self.target.point().clone() {
            Point::Immediate => Ok(StopAt::Immediate),
            Point::Lsn(lsn) => Ok(StopAt::Lsn { lsn, inclusive }),
            Point::Xid(xid) => Ok(StopAt::Xid { xid, inclusive }),
            Point::Name(name) => Ok(StopAt::Name { name }),
            Point::Latest => self.last_record(end),
            Point::Time(time) => self.settle_time(time, inclusive, end),
        }
    }

    fn last_record(&self, end: Option<&WalEnd>) -> Result<StopAt, SettleError> {
        let end = end.ok_or_else(|| SettleError::EndUnknown { point: self.target.to_string() })?;
        let last = end.last.ok_or(SettleError::NoRecord { frontier: self.frontier })?;
        // A record's end is rounded up to 8 bytes where positions are reported.
        if last.end.0.next_multiple_of(8) < self.backup.stop.0 {
            return Err(SettleError::EndsInsideBackup { end: last.end, stop: self.backup.stop });
        }
        Ok(StopAt::Lsn { lsn: last.start, inclusive: true })
    }

    fn settle_time(
        &mut self,
        time: Time,
        inclusive: bool,
        end: Option<&WalEnd>,
    ) -> Result<StopAt, SettleError> {
        let latest = end.and_then(|end| end.latest_commit);
        let Some(latest) = latest else { return Ok(StopAt::Time { time, inclusive }) };
        // The server stops at the first commit behind the target; without one it would never know.
        let is_met = if inclusive { latest > time } else { latest >= time };
        if is_met {
            self.basis.push(format!(
                "a transaction ended at {latest}, so the server knows when it has reached the target"
            ));
            return Ok(StopAt::Time { time, inclusive });
        }
        self.basis.push(format!(
            "the last transaction in the archive ended at {latest}, and none since: the end of WAL is the state at {time}"
        ));
        self.last_record(end)
    }
}
