//! `seawall config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::place::ClusterArgs;

const SHOW_EXAMPLES: &str = "\
Examples:
  seawall config show
  seawall config show --origin --cluster orders";

const CHECK_EXAMPLES: &str = "\
Examples:
  seawall config check
  seawall config check ./seawall.toml       before it is put into its place";

/// Show and check the settings
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with the settings.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    Show(ShowArgs),
    Check(CheckFileArgs),
}

/// Show every setting with its value; secrets are masked
#[derive(Debug, Clone, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Say where each value comes from: file and line, or default
    #[arg(long)]
    pub origin: bool,
}

/// Look whether settings files can be used: unknown keys, wrong values, who can read and change them
#[derive(Debug, Clone, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckFileArgs {
    /// The file to check [default: the one in use]
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
}
