//! `seawall check`.

use std::time::Duration;

use clap::Args;

use super::place::ClusterArgs;
use crate::settings::quantity;

const EXAMPLES: &str = "\
Examples:
  seawall check
  seawall check --archive                 also finish a WAL segment and see it arrive in every region
  seawall check --cluster orders --json

Exit code 0: nothing to do. 1: findings, each with its cure. Others: something could not be looked at.";

/// Look whether everything is set up right: PostgreSQL, archiving, keys, regions; each finding with its cure
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Have the server finish a WAL segment (pg_switch_wal) and wait for it to arrive in every region, at most so long
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "60s", value_parser = span)]
    pub archive: Option<Duration>,
}

fn span(text: &str) -> Result<Duration, String> {
    quantity::duration(text).ok_or_else(|| "a time span with its unit, such as 60s or 5m".to_owned())
}
