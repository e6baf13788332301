//! `seawall backup`.

use clap::Args;

use super::place::ClusterArgs;

const EXAMPLES: &str = "\
Examples:
  seawall backup                  every backup is a full one that stores only what changed
  seawall backup --full           store everything anew
  seawall backup --dry-run        which files, and why";

/// Take a backup
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct BackupArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Store everything anew instead of building on the newest backup
    #[arg(long)]
    pub full: bool,
    /// Show what would be done and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
