//! `seawall find`.

use clap::{Args, ValueEnum};
use seawall_engine::Result;
use seawall_engine::find::{Bound, FindOptions, Operation, Wanted};
use seawall_engine::words::{Lsn, Time, Timeline};

use super::place::PlaceArgs;
use super::target;

const EXAMPLES: &str = "\
Examples:
  What took tables or most of their rows within the last day:
    seawall find --identity ops.key
  Who emptied a table, and how to restore to just before it:
    seawall find --table orders --op truncate --since '2026-11-22 08:00:00+01' --identity ops.key
  Everything that deleted 100,000 rows or more:
    seawall find --op delete --min-rows 100000 --since 2A/5F000000 --identity ops.key

Exit code 0: all was looked at. 1: something could not be looked at (a hole, a segment without an index, names that no key at hand opens).";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Op {
    /// Tables or databases were dropped
    Drop,
    /// Tables were emptied
    Truncate,
    /// Many rows were deleted
    Delete,
    /// Many rows were changed
    Update,
    /// Any of them
    Any,
}

/// Find an accident in the archive, and the moment just before it
///
/// Reads what the archive's segments say of transactions and lists what may have been an accident: dropped or emptied tables, many
/// deleted or changed rows, dropped databases, each with the restore command that ends just before it. Names come from the lists
/// that stand with backups.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct FindArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Only this table: its name, or with its schema
    #[arg(long, value_name = "[SCHEMA.]NAME")]
    pub table: Option<String>,
    /// Only tables in this schema
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
    /// Only in this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Only this
    #[arg(long, value_name = "WHAT", default_value = "any")]
    pub op: Op,
    /// Only what committed from then on: a time, or a position in WAL [default: a day ago]
    #[arg(long, value_name = "TIME|LSN")]
    pub since: Option<String>,
    /// Only what committed until then [default: the end of what was archived]
    #[arg(long, value_name = "TIME|LSN")]
    pub until: Option<String>,
    /// Only so many rows or more [default: half of a table from 20 rows on, or 10,000]
    #[arg(long, value_name = "N")]
    pub min_rows: Option<u64>,
    /// On the way to this timeline [default: the newest]
    #[arg(long, value_name = "N", value_parser = timeline)]
    pub timeline: Option<Timeline>,
    /// Tell at most so many, those that weigh most
    #[arg(long, value_name = "N", default_value = "50")]
    pub limit: usize,
}

/// Options that a restore does not have.
pub const OWN_OPTIONS: [&str; 9] = [
    "--table",
    "--schema",
    "--database",
    "--op",
    "--since",
    "--until",
    "--min-rows",
    "--timeline",
    "--limit",
];

const DAY_SECONDS: i64 = 24 * 3600;

impl FindArgs {
    /// Where and what to look for. `words` are the command as typed, for hints.
    pub fn resolve(&self, words: &[String], now: Time) -> Result<FindOptions> {
        let day_ago = Time::from_micros(now.micros().saturating_sub(DAY_SECONDS * 1_000_000).max(0));
        let since = match &self.since {
            Some(text) => bound(text, words)?,
            None => Bound::Time(day_ago.unwrap_or(now)),
        };
        let until = self.until.as_ref().map(|text| bound(text, words)).transpose()?;
        let (schema, table) = match self.table.as_deref().map(|table| (table, table.split_once('.'))) {
            Some((_, Some((schema, table)))) if self.schema.is_none() => {
                (Some(schema.to_owned()), Some(table.to_owned()))
            }
            Some((table, _)) => (self.schema.clone(), Some(table.to_owned())),
            None => (self.schema.clone(), None),
        };
        let operation = match self.op {
            Op::Drop => Some(Operation::Drop),
            Op::Truncate => Some(Operation::Truncate),
            Op::Delete => Some(Operation::Delete),
            Op::Update => Some(Operation::Update),
            Op::Any => None,
        };
        let wanted = Wanted {
            operation,
            table,
            schema,
            database: self.database.clone(),
            min_rows: self.min_rows,
            ..Wanted::default()
        };
        Ok(FindOptions { wanted, since, until, timeline: self.timeline, limit: self.limit })
    }
}

fn bound(text: &str, words: &[String]) -> Result<Bound> {
    match text.parse::<Lsn>() {
        Ok(lsn) => Ok(Bound::Lsn(lsn)),
        Err(_) => target::time(text, words).map(Bound::Time),
    }
}

fn timeline(text: &str) -> std::result::Result<Timeline, String> {
    text.parse().ok().and_then(Timeline::new).ok_or_else(|| "wanted a number from 1 on".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn resolve(line: &[&str]) -> Result<FindOptions> {
        let words: Vec<String> =
            ["seawall", "find"].iter().chain(line).map(|word| (*word).to_owned()).collect();
        let now = Time::from_micros(100_000 * 1_000_000).unwrap();
        let Command::Find(find) = Cli::try_parse_from(&words).unwrap().command else { panic!("{words:?}") };
        find.resolve(&words, now)
    }

    #[test]
    fn bounds_are_times_or_positions_and_a_day_by_default() {
        assert_eq!(resolve(&[]).unwrap().since, Bound::Time(Time::from_micros(13_600_000_000).unwrap()));
        assert_eq!(resolve(&["--since", "0/3000028"]).unwrap().since, Bound::Lsn(Lsn(0x300_0028)));
        assert!(matches!(resolve(&["--since", "2026-11-22T09:00:00Z"]).unwrap().since, Bound::Time(_)));
        assert_eq!(resolve(&["--until", "yesterday"]).unwrap_err().id(), "target.time");
    }

    #[test]
    fn a_table_may_bring_its_schema() {
        let wanted = |line: &[&str]| resolve(line).unwrap().wanted;
        let both = wanted(&["--table", "sales.orders"]);
        assert_eq!((both.schema.as_deref(), both.table.as_deref()), (Some("sales"), Some("orders")));
        let apart = wanted(&["--table", "a.b", "--schema", "c"]);
        assert_eq!((apart.schema.as_deref(), apart.table.as_deref()), (Some("c"), Some("a.b")));
    }
}
