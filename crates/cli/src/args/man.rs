//! `seawall man`.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  seawall man | man -l -
  seawall man --output /usr/local/share/man/man1";

/// Print the manual page, or write one for every command
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// Write seawall.1, seawall-backup.1 and so on into this directory
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}
