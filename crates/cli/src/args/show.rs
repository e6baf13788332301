//! `seawall show`.

use clap::Args;
use seawall_engine::words::BackupId;

use super::place::PlaceArgs;

const EXAMPLES: &str = "\
Examples:
  seawall show latest
  seawall show 20310504T020000Z-0123456789abcdef --json";

/// Show one backup: what it holds, what it needs, what was found while it was taken
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct ShowArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The backup's id, or latest
    #[arg(value_name = "BACKUP", value_parser = choice)]
    pub backup: BackupChoice,
    /// Look into this region only
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
}

/// Which backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupChoice {
    /// The newest.
    Latest,
    /// This one.
    Id(BackupId),
}

fn choice(text: &str) -> Result<BackupChoice, String> {
    if text == "latest" {
        return Ok(BackupChoice::Latest);
    }
    text.parse().map(BackupChoice::Id).map_err(|_| {
        "wanted latest or an id such as 20310504T020000Z-0123456789abcdef; `seawall list` shows them"
            .to_owned()
    })
}
