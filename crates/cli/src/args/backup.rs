//! `seawall backup`.

use clap::Args;
use seawall_engine::words::BackupId;

use super::place::{ClusterArgs, backup_id};

const EXAMPLES: &str = "\
Examples:
  seawall backup                  every backup is a full one that stores only what changed
  seawall backup --full           store everything anew
  seawall backup --parent 20310504T020000Z-0123456789abcdef
                                  compare with that backup, such as the last one before pages were found damaged
  seawall backup --scan           read every page instead of trusting WAL to tell what changed
  seawall backup --dry-run        which files, and why";

/// Take a backup
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = EXAMPLES)]
pub struct BackupArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Store everything anew instead of building on the newest backup
    #[arg(long)]
    pub full: bool,
    /// Read every page and compare it with the parent's, also where WAL tells what changed
    #[arg(long, conflicts_with = "full")]
    pub scan: bool,
    /// Build on this backup instead of the newest; refused where it cannot be built on
    #[arg(long, value_name = "ID", conflicts_with = "full", value_parser = backup_id)]
    pub parent: Option<BackupId>,
    /// Show what would be done and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
