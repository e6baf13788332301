//! The order of events as WAL has it, told by `pg_waldump`, and where recovery to a target stops in it.
//!
//! The rules are those of PostgreSQL's `recoveryStopsBefore` and `recoveryStopsAfter` (`xlogrecovery.c`, in 14 `xlog.c`):
//! only ends of transactions are compared by time and by xid, aborted ones too; times in WAL need not ascend, the first record
//! that is too late ends recovery; an LSN is compared with where a record begins.

use std::path::PathBuf;

use postgres::types::PgLsn;

use super::{Moment, Target};
use crate::{Binaries, Context, Failure, Result, oracles};

/// A stretch of WAL on disk.
#[derive(Debug, Clone)]
pub struct WalRange {
    /// Directory with the segments.
    pub directory: PathBuf,
    /// The timeline.
    pub timeline: u32,
    /// First LSN, as text.
    pub begin: String,
    /// Last LSN, as text.
    pub end: String,
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XactRecord {
    /// Where the record begins.
    pub lsn: PgLsn,
    /// The transaction; of a prepared one its own.
    pub xid: u32,
    /// When it ended.
    pub time: Moment,
    /// Committed, or aborted.
    pub committed: bool,
}

/// What WAL says, in its order.
#[derive(Debug, Clone, Default)]
pub struct Wal {
    /// Where each record begins.
    pub records: Vec<PgLsn>,
    /// Ends of transactions.
    pub ends: Vec<XactRecord>,
    /// Restore points by name.
    pub restore_points: Vec<(String, PgLsn)>,
}

impl WalRange {
    /// Reads it.
    ///
    /// # Errors
    /// `pg_waldump` finds a hole or damage, or a line that is not understood.
    pub fn read(&self, binaries: &Binaries) -> Result<Wal> {
        let lines = oracles::waldump(binaries, &self.directory, self.timeline, &self.begin, &self.end)?;
        Wal::from_lines(lines.iter().map(String::as_str))
    }
}

impl Wal {
    /// Understands the lines of `pg_waldump`.
    ///
    /// # Errors
    /// The end of a transaction or a restore point has another form than PostgreSQL 14 to 18 write.
    pub fn from_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut wal = Self::default();
        for line in lines.filter(|line| line.starts_with("rmgr:")) {
            wal.take_line(line).context(|| format!("understanding `{line}`"))?;
        }
        Ok(wal)
    }

    fn take_line(&mut self, line: &str) -> Result<()> {
        let lsn = parse_lsn(between(line, "lsn: ", ",").ok_or_else(|| Failure::new("there is no lsn"))?)?;
        self.records.push(lsn);
        let description = line.split_once("desc: ").map_or("", |(_, description)| description);
        let (kind, rest) = description.split_once(' ').unwrap_or((description, ""));
        if line.starts_with("rmgr: Transaction") {
            let committed = kind.starts_with("COMMIT");
            if matches!(kind, "COMMIT" | "COMMIT_PREPARED" | "ABORT" | "ABORT_PREPARED") {
                self.ends.push(xact_record(line, lsn, rest, committed)?);
            }
        } else if kind == "RESTORE_POINT" {
            self.restore_points.push((rest.to_owned(), lsn));
        }
        Ok(())
    }

    /// The ends of transactions that recovery to `target` replays.
    ///
    /// # Errors
    /// The target is not in this WAL: recovery would not reach it.
    pub fn replayed(&self, target: &Target) -> Result<&[XactRecord]> {
        let unreached = || Failure::new(format!("{target:?} is not in the workload's WAL"));
        let count = match target {
            Target::Latest => self.ends.len(),
            Target::Time { at, inclusive } => {
                let too_late = |end: &XactRecord| if *inclusive { end.time > *at } else { end.time >= *at };
                self.ends.iter().position(too_late).ok_or_else(unreached)?
            }
            Target::Xid { xid, inclusive } => {
                self.ends.iter().position(|end| end.xid == *xid).ok_or_else(unreached)?
                    + usize::from(*inclusive)
            }
            Target::Lsn { at, inclusive } => {
                let at_or_later = *self.records.iter().find(|lsn| *lsn >= at).ok_or_else(unreached)?;
                self.ends.partition_point(|end| {
                    if *inclusive { end.lsn <= at_or_later } else { end.lsn < at_or_later }
                })
            }
            Target::RestorePoint(name) => {
                let (_, lsn) =
                    self.restore_points.iter().find(|(found, _)| found == name).ok_or_else(unreached)?;
                self.ends.partition_point(|end| end.lsn < *lsn)
            }
            Target::Immediate { backup_end } => self.ends.partition_point(|end| end.lsn < *backup_end),
        };
        Ok(&self.ends[..count])
    }
}

fn xact_record(line: &str, lsn: PgLsn, rest: &str, committed: bool) -> Result<XactRecord> {
    // COMMIT 2031-05-04 02:00:00.000001 UTC; rels: ...     COMMIT_PREPARED 742: 2031-05-04 ...
    let (prepared, rest) = match rest.split_once(": ") {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => (Some(number), rest),
        _ => (None, rest),
    };
    let number =
        prepared.or_else(|| between(line, "tx:", ",")).ok_or_else(|| Failure::new("there is no xid"))?;
    let time = rest.split(';').next().unwrap_or(rest).parse()?;
    Ok(XactRecord { lsn, xid: number.trim().parse()?, time, committed })
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    line.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

pub(super) fn parse_lsn(text: &str) -> Result<PgLsn> {
    text.trim().parse().map_err(|_| Failure::new(format!("`{text}` is no LSN")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
rmgr: Heap        len (rec/tot):     54/    54, tx:        740, lsn: 0/01000100, prev 0/010000C0, desc: INSERT off 1
rmgr: Transaction len (rec/tot):     34/    34, tx:        740, lsn: 0/01000200, prev 0/01000100, desc: COMMIT 2026-01-01 00:00:02.000000 UTC; rels: base/5/1
rmgr: Transaction len (rec/tot):     34/    34, tx:        741, lsn: 0/01000300, prev 0/01000200, desc: ABORT 2026-01-01 00:00:01.000000 UTC
rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/01000400, prev 0/01000300, desc: RESTORE_POINT before it
rmgr: Transaction len (rec/tot):     34/    34, tx:          0, lsn: 0/01000500, prev 0/01000400, desc: COMMIT_PREPARED 742: 2026-01-01 00:00:03.000000 UTC
rmgr: Heap        len (rec/tot):     54/    54, tx:        743, lsn: 0/01000600, prev 0/01000500, desc: INSERT off 2";

    fn replayed(target: &Target) -> Vec<u32> {
        let wal = Wal::from_lines(LINES.lines()).expect("known forms");
        wal.replayed(target).expect("it is there").iter().map(|end| end.xid).collect()
    }

    fn lsn(at: u64) -> PgLsn {
        PgLsn::from(at)
    }

    #[test]
    fn an_lsn_is_compared_with_where_records_begin() {
        for (at, inclusive, expected) in [
            (0x0100_0200, true, &[740][..]),
            (0x0100_0200, false, &[]),
            (0x0100_0201, true, &[740, 741]),
            (0x0100_0201, false, &[740]),
            (0x0100_0600, true, &[740, 741, 742]),
        ] {
            assert_eq!(replayed(&Target::Lsn { at: lsn(at), inclusive }), expected, "{at:x} {inclusive}");
        }
    }

    #[test]
    fn the_first_end_that_is_too_late_stops_even_where_times_go_back() {
        let at = |text: &str| text.parse::<Moment>().expect("an instant");
        let second = at("2026-01-01 00:00:01 UTC");
        assert_eq!(replayed(&Target::Time { at: second, inclusive: true }), Vec::<u32>::new());
        let third = at("2026-01-01 00:00:02 UTC");
        assert_eq!(replayed(&Target::Time { at: third, inclusive: true }), [740, 741]);
        assert_eq!(replayed(&Target::Time { at: third, inclusive: false }), Vec::<u32>::new());
    }

    #[test]
    fn xid_name_end_of_backup_and_latest_stop_where_postgresql_stops() {
        assert_eq!(replayed(&Target::Xid { xid: 742, inclusive: true }), [740, 741, 742]);
        assert_eq!(replayed(&Target::Xid { xid: 742, inclusive: false }), [740, 741]);
        assert_eq!(replayed(&Target::RestorePoint("before it".to_owned())), [740, 741]);
        assert_eq!(replayed(&Target::Immediate { backup_end: lsn(0x0100_0300) }), [740]);
        assert_eq!(replayed(&Target::Latest), [740, 741, 742]);
    }

    #[test]
    fn a_target_outside_is_an_error() {
        let wal = Wal::from_lines(LINES.lines()).expect("known forms");
        for target in [
            Target::Xid { xid: 9, inclusive: true },
            Target::Lsn { at: lsn(0x0200_0000), inclusive: true },
            Target::RestorePoint("other".to_owned()),
        ] {
            assert!(wal.replayed(&target).is_err(), "{target:?}");
        }
    }
}
