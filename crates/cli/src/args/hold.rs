//! `seawall hold`.

use clap::{Args, Subcommand};
use seawall_engine::words::{BackupId, RecordId};

use super::place::{ClusterArgs, backup_id};

const ADD_EXAMPLES: &str = "\
Examples:
  seawall hold add 20310504T020000Z-0123456789abcdef --reason 'audit 2031-17'
  seawall hold add --everything --reason 'legal hold' --until '2032-01-01 00:00 UTC'";

const LIST_EXAMPLES: &str = "\
Example:
  seawall hold list";

const RELEASE_EXAMPLES: &str = "\
Example:
  seawall hold release 20310504T020000Z-0123456789abcdef --reason 'audit closed'";

/// Keep backups whatever the rules of retention say
#[derive(Debug, Clone, Args)]
pub struct HoldArgs {
    #[command(subcommand)]
    pub command: HoldCommand,
}

/// What to do with holds.
#[derive(Debug, Clone, Subcommand)]
pub enum HoldCommand {
    Add(AddArgs),
    List(ListArgs),
    Release(ReleaseArgs),
}

/// Keep backups, or everything, until the hold is released or over; also what waits to be deleted already
#[derive(Debug, Clone, Args)]
#[command(after_help = ADD_EXAMPLES)]
pub struct AddArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The backups
    #[arg(value_name = "BACKUP", required_unless_present = "everything", conflicts_with = "everything", value_parser = backup_id)]
    pub backups: Vec<BackupId>,
    /// Everything of the cluster, all WAL included
    #[arg(long)]
    pub everything: bool,
    /// Why; kept in the repository
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until when; without it until it is released
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// Show holds, those that are over or released included
#[derive(Debug, Clone, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub struct ListArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// End a hold
#[derive(Debug, Clone, Args)]
#[command(after_help = RELEASE_EXAMPLES)]
pub struct ReleaseArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The hold; `seawall hold list` shows them
    #[arg(value_name = "HOLD", value_parser = hold)]
    pub hold: RecordId,
    /// Why; kept in the repository
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

fn hold(text: &str) -> Result<RecordId, String> {
    text.parse().map_err(|_| {
        "wanted a hold's id such as 20310504T020000Z-0123456789abcdef; `seawall hold list` shows them"
            .to_owned()
    })
}
