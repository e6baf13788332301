//! `seawall wal`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use seawall_engine::debug::SegmentName;

use super::place::{ClusterArgs, PlaceArgs};

const PUSH_EXAMPLES: &str = "\
In postgresql.conf:
  archive_mode = on
  archive_command = 'seawall wal push %p'
With several clusters in the settings:
  archive_command = 'seawall --cluster orders wal push %p'";

const FETCH_EXAMPLES: &str = "\
`seawall restore` writes the right restore_command. By hand, for a standby:
  restore_command = 'seawall wal fetch %f %p'

Exit codes, because PostgreSQL takes 1 to 125 for the end of all WAL and promotes:
  0    the file is in its place, checked
  1    every region said that there is no such file
  126  anything else: an outage, damage, a mistake in this command. PostgreSQL stops and can be started again";

const STATUS_EXAMPLES: &str = "\
Examples:
  seawall wal status
  seawall wal status --timeline 2
  seawall wal status --from file:///mnt/dr/pg --cluster orders      when the database host is gone

Exit code 0: nothing is missing but what was acknowledged. 1: a hole, a conflict, a region that lacks something.";

const ACK_EXAMPLES: &str = "\
Examples:
  seawall wal ack-hole 000000010000002A0000005F --reason 'disk of db1 lost' --backup
  seawall wal ack-hole 000000010000002A0000005F 000000010000002A00000063 --reason 'disk of db1 lost'

It needs a key file with the right to prune (repository.prune_key_file). Refused where some region has the segment, where the server
still has it, and behind the newest WAL, where everything may still arrive.";

/// The WAL archive: archive_command, restore_command, what is there
#[derive(Debug, Clone, Args)]
pub struct WalArgs {
    #[command(subcommand)]
    pub command: WalCommand,
}

/// What to do with WAL.
#[derive(Debug, Clone, Subcommand)]
pub enum WalCommand {
    Push(PushArgs),
    Fetch(FetchArgs),
    Status(StatusArgs),
    AckHole(AckHoleArgs),
}

/// Which WAL there is: timelines, windows, holes, conflicts, what regions lack, how far the server is ahead
#[derive(Debug, Clone, Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub struct StatusArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// This timeline alone
    #[arg(long, value_name = "N")]
    pub timeline: Option<u32>,
    /// Look into this region only
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
}

/// Acknowledge that WAL is lost, so that nobody is alarmed about it any more; nothing is deleted by it
#[derive(Debug, Clone, Args)]
#[command(after_help = ACK_EXAMPLES)]
pub struct AckHoleArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// A segment that is missing, as `wal status` names it
    #[arg(value_name = "SEGMENT", value_parser = segment)]
    pub segment: SegmentName,
    /// The last one, where not all of the hole behind it is meant
    #[arg(value_name = "LAST", value_parser = segment)]
    pub last: Option<SegmentName>,
    /// Why; kept in the repository
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Take a backup right afterwards, on the database host: recovery is possible again from it on
    #[arg(long)]
    pub backup: bool,
}

fn segment(text: &str) -> Result<SegmentName, String> {
    text.parse().map_err(|_| "wanted the name of a segment, such as 000000010000002A0000005F".to_owned())
}

/// Store one WAL file; the archive_command
#[derive(Debug, Clone, Args)]
#[command(after_help = PUSH_EXAMPLES)]
pub struct PushArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The file, as PostgreSQL gives it: %p
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

/// Fetch one WAL file; the restore_command
#[derive(Debug, Clone, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub struct FetchArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The file's name, as PostgreSQL gives it: %f
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where to put it, as PostgreSQL gives it: %p
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The plan that `restore` left: which timeline serves which segment, and how far
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
}
