//! `seawall list`.

use clap::Args;

use super::place::PlaceArgs;

const EXAMPLES: &str = "\
Examples:
  seawall list
  seawall list --region north
  seawall list --cost
  seawall list --from file:///mnt/dr/pg --cluster orders --identity ops.key";

/// List the backups of a cluster
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Look into this region only
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Show what it all takes instead: by age, by the rule that keeps it, and in a year
    #[arg(long, conflicts_with = "region")]
    pub cost: bool,
}
