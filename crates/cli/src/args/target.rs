//! Where a recovery ends; the same options for every command that recovers.

use clap::{ArgGroup, Args};
use jiff::tz::TimeZone;
use seawall_engine::words::{BackupId, Lsn, Time, Timeline};
use seawall_engine::{Error, Result};

use crate::moment::{self, MomentError};
use crate::shell;

/// Options that say where a recovery ends.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Where recovery ends")]
#[group(skip)]
#[command(group(ArgGroup::new("target").args(["at", "lsn", "xid", "restore_point", "immediate", "latest"])))]
pub struct TargetArgs {
    /// The moment: '2026-11-22 10:00:00+01', '2026-11-22T09:00:00Z', '2026-11-22 10:00 Europe/Berlin'
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The position in WAL, such as 2A/5F000028
    #[arg(long)]
    pub lsn: Option<Lsn>,
    /// The transaction
    #[arg(long)]
    pub xid: Option<u64>,
    /// The point named with pg_create_restore_point()
    #[arg(long, value_name = "NAME")]
    pub restore_point: Option<String>,
    /// As soon as the backup is consistent
    #[arg(long)]
    pub immediate: bool,
    /// The end of what was archived
    #[arg(long)]
    pub latest: bool,
    /// Stop just before the moment, position or transaction, and not just behind it
    #[arg(long)]
    pub before: bool,
    /// The timeline to follow: a number, latest or current (the backup's own)
    #[arg(long, value_name = "N|latest|current", value_parser = timeline, default_value = "latest")]
    pub timeline: TimelineChoice,
    /// The backup to begin with [default: the newest that leads to the target]
    #[arg(long, value_name = "ID")]
    pub backup: Option<BackupId>,
    /// Read from this region only
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
}

/// Which timeline a recovery follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimelineChoice {
    /// This one.
    Number(Timeline),
    /// The newest that grew from the backup's.
    Latest,
    /// The one on which the backup was taken.
    Current,
}

/// Where a recovery ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A moment.
    Time(Time),
    /// A position in WAL.
    Lsn(Lsn),
    /// A transaction.
    Xid(u64),
    /// A named point.
    RestorePoint(String),
    /// As soon as the backup is consistent.
    Immediate,
    /// The end of what was archived.
    Latest,
}

/// A recovery's target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where it ends; `None` when nobody said.
    pub goal: Option<Goal>,
    /// Just before it, and not just behind it.
    pub before: bool,
    /// Which timeline it follows.
    pub timeline: TimelineChoice,
    /// Which backup it begins with; the best one where unset.
    pub backup: Option<BackupId>,
    /// The only region to read from.
    pub region: Option<String>,
}

fn timeline(text: &str) -> std::result::Result<TimelineChoice, String> {
    match text {
        "latest" => Ok(TimelineChoice::Latest),
        "current" => Ok(TimelineChoice::Current),
        number => {
            let parsed = number.parse().ok().and_then(Timeline::new).map(TimelineChoice::Number);
            parsed.ok_or_else(|| "wanted a number from 1 on, latest or current".to_owned())
        }
    }
}

impl TargetArgs {
    /// The target. `words` are the whole command as typed, for hints that can be pasted.
    pub fn resolve(&self, words: &[String], here: &TimeZone) -> Result<Target> {
        let goal = self.goal(words, here)?;
        let exact = matches!(goal, Some(Goal::Time(_) | Goal::Lsn(_) | Goal::Xid(_)));
        if self.before && !exact {
            return Err(Error::usage("target.before", "--before does nothing here")
                .hint("it goes with --at, --lsn or --xid"));
        }
        let Self { before, timeline, backup, region, .. } = self.clone();
        Ok(Target { goal, before, timeline, backup, region })
    }

    fn goal(&self, words: &[String], here: &TimeZone) -> Result<Option<Goal>> {
        if let Some(text) = &self.at {
            let time = moment::parse(text, here).map_err(|error| refused(text, &error, words, here))?;
            return Ok(Some(Goal::Time(time)));
        }
        if let Some(xid) = self.xid {
            return whole_xid(xid).map(|xid| Some(Goal::Xid(xid)));
        }
        if let Some(name) = &self.restore_point {
            return point(name).map(Some);
        }
        let words = [(self.immediate, Goal::Immediate), (self.latest, Goal::Latest)];
        let said = words.into_iter().find_map(|(said, goal)| said.then_some(goal));
        Ok(said.or(self.lsn.map(Goal::Lsn)))
    }
}

/// 0, 1 and 2 are not ordinary transactions (PostgreSQL: `access/transam.h`).
fn whole_xid(xid: u64) -> Result<u64> {
    if xid >= 3 {
        return Ok(xid);
    }
    Err(Error::usage("target.xid", format!("{xid} is no transaction that can commit"))
        .hint("transactions count from 3"))
}

/// PostgreSQL keeps 63 bytes of a name (`MAXFNAMELEN`) and compares the whole.
fn point(name: &str) -> Result<Goal> {
    if (1..=63).contains(&name.len()) {
        return Ok(Goal::RestorePoint(name.to_owned()));
    }
    Err(Error::usage("target.restore-point", "a restore point's name has 1 to 63 bytes")
        .fact("bytes", name.len()))
}

/// A point in time as it was typed, for options that are no target.
pub fn time(text: &str, words: &[String]) -> Result<Time> {
    let here = TimeZone::system();
    moment::parse(text, &here).map_err(|error| refused(text, &error, words, &here))
}

/// The same, or a day alone: its end in this zone.
pub fn day_or_time(text: &str, zone: &str, words: &[String]) -> Result<Time> {
    match moment::parse(text, &TimeZone::system()) {
        Err(MomentError::NoTime) => time(&format!("{} 23:59:59 {zone}", text.trim()), words),
        _ => time(text, words),
    }
}

fn refused(text: &str, error: &MomentError, words: &[String], here: &TimeZone) -> Error {
    let refusal = |what: &str| Error::usage("target.time", format!("{what}: {text}"));
    let again = |time: &str| shell::with_option(words, "--at", time);
    match error {
        MomentError::NoZone { here: reading, utc } => {
            let zone = here.iana_name().unwrap_or("this machine's zone").to_owned();
            let refusal = Error::usage("target.time-without-zone", format!("which zone is meant? {text}"));
            let refusal = match reading {
                Some(reading) => refusal.hint(format!("in {zone}: {}", again(reading))),
                None => refusal.fact(
                    "here",
                    format!("{zone} has this hour twice or not at all that day, so only UTC can be offered"),
                ),
            };
            refusal.hint(format!("in UTC: {}", again(utc)))
        }
        MomentError::Twice(first, second) => {
            refusal("the clocks went back that day, and this hour came twice")
                .hint(format!("the first time: {}", again(first)))
                .hint(format!("the second time: {}", again(second)))
        }
        MomentError::Skipped => refusal("the clocks went forward that day, and this hour did not happen"),
        MomentError::UnknownZone(zone) => refusal("no such time zone")
            .fact("zone", zone)
            .hint("write an offset (+01, -05:00), Z for UTC, or a zone's full name (Europe/Berlin)"),
        MomentError::NoTime => {
            refusal("a date alone is no moment").hint("add a time and a zone: '2026-11-22 10:00:00+01'")
        }
        MomentError::Range => refusal("not between the years 1970 and 9999"),
        MomentError::Form => {
            refusal("not a time").hint("write it like '2026-11-22 10:00:00+01' or 2026-11-22T09:00:00Z")
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        target: TargetArgs,
    }

    fn resolve(line: &[&str]) -> Result<Target> {
        let words: Vec<String> = ["seawall"].iter().chain(line).map(|word| (*word).to_owned()).collect();
        let here = TimeZone::get("Europe/Berlin").unwrap();
        Only::try_parse_from(&words).unwrap().target.resolve(&words, &here)
    }

    #[test]
    fn each_option_is_its_goal() {
        let goal = |line: &[&str]| resolve(line).unwrap().goal;
        assert_eq!(goal(&[]), None);
        assert_eq!(goal(&["--lsn", "0/3000028"]), Some(Goal::Lsn(Lsn(0x300_0028))));
        assert_eq!(goal(&["--xid", "700"]), Some(Goal::Xid(700)));
        assert_eq!(
            goal(&["--restore-point", "before deploy"]),
            Some(Goal::RestorePoint("before deploy".into()))
        );
        assert_eq!(goal(&["--immediate"]), Some(Goal::Immediate));
        assert_eq!(goal(&["--latest"]), Some(Goal::Latest));
        assert!(matches!(goal(&["--at", "2026-11-22 10:00:00+01"]), Some(Goal::Time(_))));
    }

    #[test]
    fn two_goals_are_refused() {
        assert!(Only::try_parse_from(["x", "--latest", "--xid", "9"]).is_err());
        assert!(Only::try_parse_from(["x", "--timeline", "0"]).is_err());
    }

    #[test]
    fn before_needs_something_to_be_before() {
        assert_eq!(resolve(&["--latest", "--before"]).unwrap_err().id(), "target.before");
        assert!(resolve(&["--xid", "9", "--before"]).unwrap().before);
    }

    #[test]
    fn a_time_without_zone_offers_both_commands() {
        let error = resolve(&["--at", "2026-11-22 10:00"]).unwrap_err();
        let wanted = [
            "in Europe/Berlin: seawall --at 2026-11-22T10:00:00+01:00",
            "in UTC: seawall --at 2026-11-22T10:00:00Z",
        ];
        assert_eq!(error.hints(), wanted);
    }
}
