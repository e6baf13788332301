//! `seawall status`.

use clap::Args;

use super::place::PlaceArgs;

const EXAMPLES: &str = "\
Examples:
  seawall status
  seawall status --from file:///mnt/dr/pg --cluster orders      when the database host is gone

Exit code 0: recovery is possible within the objectives. 1: findings. 4: no recovery is possible.";

/// Could we recover now, and to when?
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Look into this region only
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
}
