//! `seawall restore`.

use std::path::PathBuf;

use clap::Args;

use super::place::PlaceArgs;
use super::target::TargetArgs;
use crate::settings::quantity;

const EXAMPLES: &str = "\
Examples:
  To the second before an accident, into another directory:
    seawall restore --at '2026-11-22 10:14:59+01' -D /var/lib/postgresql/17/rescued
  The host is gone; on a bare machine, to the last commit that was archived:
    seawall restore --from file:///mnt/dr/pg --cluster orders --identity ops.key --latest -D /var/lib/postgresql/17/main
  What it would do, and whether the target can be reached:
    seawall restore --latest -D /data/pg --dry-run
  With the newest WAL of the dead server's disk:
    seawall restore --latest -D /data/pg --salvage-wal /mnt/old/pgdata
  As a standby of a running primary:
    seawall restore --standby 'host=db1 user=replicator' -D /data/pg";

/// Restore a cluster to a point in time
///
/// Before a byte is copied it proves that the target can be reached; afterwards it prints the next command to type. Without a
/// target it shows what stood out in the last day, as `seawall find` would, and asks; where nobody can be asked that is an error.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct RestoreArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    /// The directory to restore into: new or empty, or with --delta an old copy
    #[arg(short = 'D', long, value_name = "DIR")]
    pub data_directory: PathBuf,
    /// Keep what is there and right, fetch what differs, remove what is too much
    #[arg(long)]
    pub delta: bool,
    /// With --delta: remove WAL that only this directory still has
    #[arg(long, requires = "delta")]
    pub discard_wal: bool,
    /// Become a standby that streams from this primary
    #[arg(long, value_name = "CONNINFO", conflicts_with = "target")]
    pub standby: Option<String>,
    /// Put pg_wal here and link to it
    #[arg(long, value_name = "DIR")]
    pub waldir: Option<PathBuf>,
    /// Take WAL that was not archived from this old data directory; it is only read
    #[arg(long, value_name = "PGDATA")]
    pub salvage_wal: Option<PathBuf>,
    /// Put a tablespace elsewhere: its name, OID or old directory, and the new one; may be repeated
    #[arg(long, value_name = "TABLESPACE=DIR")]
    pub tablespace: Vec<String>,
    /// Where the PostgreSQL programs of the right major version are [default: found on this machine]
    #[arg(long, value_name = "DIR")]
    pub server_binaries: Option<PathBuf>,
    /// Leave commands of the backed-up configuration active (archive_command, restore_command and others)
    #[arg(long)]
    pub keep_commands: bool,
    /// The restored cluster takes the original's place and archives into the same lineage; with --standby: once it is promoted
    #[arg(long)]
    pub successor: bool,
    /// Read at most so much from all regions together, such as 100MiB/s
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub bandwidth: Option<u64>,
    /// Show what would be done and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn rate(text: &str) -> Result<u64, String> {
    quantity::rate(text).ok_or_else(|| "wanted bytes per second with their unit, such as 100MiB/s".to_owned())
}
