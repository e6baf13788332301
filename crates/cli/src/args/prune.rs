//! `seawall prune`.

use clap::Args;
use seawall_engine::words::{BackupId, RecordId};

use super::place::{ClusterArgs, backup_id};

const EXAMPLES: &str = "\
Examples:
  seawall prune --dry-run            what is kept and why, what leaves now and within thirty days, as a calendar
  seawall prune                      condemns what no rule keeps, and deletes what was condemned before the grace began
  seawall prune --at 2027-06-01      what will be left of today's backups then
  seawall prune --explain 20310504T020000Z-0123456789abcdef
  seawall prune --undo               takes back what waits to be deleted; rules that still condemn it start a new grace

Nothing is deleted in the run that condemns it: that is done by the first run after the grace (retention.grace), if nothing
needs it by then. Best run on a host that is no database host, whose key file has the right to prune
(seawall key add-writer --right prune).";

/// Delete what no rule of retention keeps, in two steps
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct PruneArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Show what would be done and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Show what will be decided at this time about today's backups: a day (2027-06-01) or a moment with its zone; does nothing
    #[arg(long, value_name = "TIME", conflicts_with_all = ["explain", "undo"])]
    pub at: Option<String>,
    /// Say of one backup what each rule makes of it; does nothing
    #[arg(long, value_name = "BACKUP", conflicts_with = "undo", value_parser = backup_id)]
    pub explain: Option<BackupId>,
    /// Take back what waits to be deleted: one tombstone, or all
    #[arg(long, value_name = "TOMBSTONE", num_args = 0..=1, default_missing_value = "all", value_parser = undo, conflicts_with = "dry_run")]
    pub undo: Option<UndoChoice>,
    /// Why it is taken back; kept in the repository
    #[arg(long, value_name = "TEXT", requires = "undo", default_value = "undone by hand")]
    pub reason: String,
}

/// What is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoChoice {
    /// Everything.
    All,
    /// One tombstone.
    One(RecordId),
}

fn undo(text: &str) -> Result<UndoChoice, String> {
    if text == "all" {
        return Ok(UndoChoice::All);
    }
    text.parse().map(UndoChoice::One).map_err(|_| {
        "wanted a tombstone's id such as 20310504T020000Z-0123456789abcdef; `seawall prune --dry-run` shows them".to_owned()
    })
}
