//! `seawall region`.

use clap::{Args, Subcommand};
use seawall_engine::words::RegionName;

use super::place::ClusterArgs;
use crate::settings::quantity;

const ADD_EXAMPLES: &str = "\
Examples:
  seawall region add north --dry-run     what would it get, and is its place empty?
  seawall region add north               make it a region, and fill it

First add [[repository.region]] with its name and url to the settings. The place must be empty. It gets the repository's own record, and then, as
seawall sync brings it, the owner's and writers' records, keys, WAL, packs, maps, and each backup's manifest last: whatever it shows is whole.
A run that was stopped goes on when the command is repeated. Hosts whose settings do not name the region yet do not write to it.
Exit code 0: it holds what the others hold. 1: findings, or something is lacking still.";

const REJOIN_EXAMPLES: &str = "\
Examples:
  seawall region rejoin north --dry-run
  seawall region rejoin north

For a region that was lost and made anew, empty, or that was away for 80 days or more. What was pruned meanwhile is not remembered any longer, so nothing
is taken out of its old place: give the region an empty one (another prefix in its URL in the settings is enough; nothing has to be deleted, and a
locked bucket is no obstacle), and it is filled from the others.
Exit code 0: it holds what the others hold. 1: findings, or something is lacking still.";

const DRAIN_EXAMPLES: &str = "\
Examples:
  seawall region drain north             may it leave?

Nothing is changed in any region; an event says so where it may leave. Every object in it that is needed is looked for in every other region: its
listing, its signed head, its length, its digest. Where one is lacking it is named, and the exit code is 1.";

/// Make a place a region, bring back one that was lost or away for too long, or prove that one may leave
#[derive(Debug, Clone, Args)]
pub struct RegionArgs {
    #[command(subcommand)]
    pub command: RegionCommand,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum RegionCommand {
    Add(AddArgs),
    Drain(DrainArgs),
    Rejoin(RejoinArgs),
}

/// Make an empty place a region of the repository, and fill it from the others
#[derive(Debug, Clone, Args)]
#[command(after_help = ADD_EXAMPLES)]
pub struct AddArgs {
    #[command(flatten)]
    pub join: JoinArgs,
}

/// Fill a region anew that was lost, or away for longer than pruning is remembered
#[derive(Debug, Clone, Args)]
#[command(after_help = REJOIN_EXAMPLES)]
pub struct RejoinArgs {
    #[command(flatten)]
    pub join: JoinArgs,
}

/// What both take.
#[derive(Debug, Clone, Args)]
pub struct JoinArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The region's name in the settings
    #[arg(value_name = "NAME", value_parser = region)]
    pub region: RegionName,
    /// Give this other region up: it is not asked; may be repeated
    #[arg(long, value_name = "NAME")]
    pub without_region: Vec<String>,
    /// Only look, and say what would be copied
    #[arg(long)]
    pub dry_run: bool,
    /// Move at most so many bytes a second between here and all regions together [default: backup.bandwidth]
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bandwidth: Option<u64>,
}

/// Prove that the other regions hold everything that this one holds, before it leaves the settings
#[derive(Debug, Clone, Args)]
#[command(after_help = DRAIN_EXAMPLES)]
pub struct DrainArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The region's name in the settings
    #[arg(value_name = "NAME", value_parser = region)]
    pub region: RegionName,
    /// Do not ask this other region: what it holds does not count; may be repeated
    #[arg(long, value_name = "NAME")]
    pub without_region: Vec<String>,
    /// Only look: no event says that it may leave
    #[arg(long)]
    pub dry_run: bool,
}

fn region(text: &str) -> Result<RegionName, String> {
    RegionName::new(text).ok_or_else(|| "wanted a region's name, such as europe-west1".to_owned())
}

fn rate(text: &str) -> Result<u64, String> {
    let rate = quantity::rate(text).filter(|rate| *rate > 0);
    rate.ok_or_else(|| "wanted bytes per second with their unit, such as 100MiB/s".to_owned())
}
