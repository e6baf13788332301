//! `seawall wal`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::place::{ClusterArgs, PlaceArgs};

const PUSH_EXAMPLES: &str = "\
In postgresql.conf:
  archive_mode = on
  archive_command = 'seawall wal push %p'
With several clusters in the settings:
  archive_command = 'seawall --cluster orders wal push %p'";

const FETCH_EXAMPLES: &str = "\
`seawall restore` writes the right restore_command. By hand, for a standby:
  restore_command = 'seawall wal fetch %f %p'

Exit codes, because PostgreSQL takes 1 to 125 for the end of all WAL and promotes:
  0    the file is in its place, checked
  1    every region said that there is no such file
  126  anything else: an outage, damage, a mistake in this command. PostgreSQL stops and can be started again";

/// The WAL archive: archive_command, restore_command, what is there
#[derive(Debug, Clone, Args)]
pub struct WalArgs {
    #[command(subcommand)]
    pub command: WalCommand,
}

/// What to do with WAL.
#[derive(Debug, Clone, Subcommand)]
pub enum WalCommand {
    Push(PushArgs),
    Fetch(FetchArgs),
}

/// Store one WAL file; the archive_command
#[derive(Debug, Clone, Args)]
#[command(after_help = PUSH_EXAMPLES)]
pub struct PushArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The file, as PostgreSQL gives it: %p
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

/// Fetch one WAL file; the restore_command
#[derive(Debug, Clone, Args)]
#[command(after_help = FETCH_EXAMPLES)]
pub struct FetchArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The file's name, as PostgreSQL gives it: %f
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where to put it, as PostgreSQL gives it: %p
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The plan that `restore` left: which timeline serves which segment, and how far
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
}
