//! The command line as it is typed. One file a command: the struct, its help, and `resolve`, which turns what was typed
//! into values that no longer know of a command line.
//!
//! Everything that is said about an option is said here once; the reference page, the manual and the completions follow.

#![expect(missing_docs, reason = "a doc comment on a flattened field or a variant would become help text")]

pub mod backup;
pub mod check;
pub mod completions;
pub mod config;
pub mod debug;
pub mod find;
pub mod hold;
pub mod init;
pub mod key;
pub mod list;
pub mod man;
pub mod place;
pub mod prune;
pub mod region;
pub mod restore;
pub mod show;
pub mod status;
pub mod sync;
pub mod target;
pub mod verify;
pub mod wal;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::render::{Colour, Output, Talk};

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   done, with findings
  2   the command or the settings are wrong
  3   PostgreSQL or its files are wrong
  4   the repository lacks something, or something in it is damaged
  5   somebody else is at work; try later
  6   a place or the network is down; it was tried again already
  70  a bug of seawall; please report it
  `wal fetch` answers PostgreSQL and has its own: 0, 1 and 126 (seawall help wal fetch)

Could we recover now, and to when?   seawall status
Is everything set up right?          seawall check
Are the stored bytes good?           seawall verify
The database is gone:                seawall restore --latest -D DIRECTORY";

/// Disaster recovery for PostgreSQL: backups, WAL archive, recovery to any point in time.
#[derive(Debug, Parser)]
#[command(name = "seawall", version, after_help = EXIT_CODES, propagate_version = true, max_term_width = 110)]
#[command(disable_help_subcommand = false, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Settings file [default: $SEAWALL_CONFIG, else /etc/seawall/seawall.toml]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Print JSON: one document on stdout, progress and errors as one object a line on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Say every step, also where no terminal shows progress
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Say errors and findings only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = false, global = true)]
    pub color: Colour,
}

impl Global {
    /// How to speak, as asked for here and allowed by the terminal.
    #[must_use]
    pub fn output(&self) -> Output {
        let talk = match (self.quiet, self.verbose) {
            (true, _) => Talk::Quiet,
            (false, true) => Talk::Verbose,
            (false, false) => Talk::Normal,
        };
        Output::new(self.json, talk, self.color)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::InitArgs),
    Check(check::CheckArgs),
    Config(config::ConfigArgs),
    Backup(backup::BackupArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Restore(Box<restore::RestoreArgs>),
    Find(find::FindArgs),
    Status(status::StatusArgs),
    Verify(verify::VerifyArgs),
    Prune(prune::PruneArgs),
    Hold(hold::HoldArgs),
    Sync(sync::SyncArgs),
    Region(region::RegionArgs),
    Wal(wal::WalArgs),
    Key(key::KeyArgs),
    Debug(debug::DebugArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_declarations_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_that_opens_a_repository_has_examples() {
        fn walk(command: &clap::Command, missing: &mut Vec<String>) {
            let leaf = !command.has_subcommands();
            let opens = command.get_arguments().any(|argument| argument.get_id() == "cluster");
            if leaf && opens && command.get_after_help().is_none() {
                missing.push(command.get_name().to_owned());
            }
            command.get_subcommands().for_each(|inner| walk(inner, missing));
        }
        let mut missing = Vec::new();
        walk(&Cli::command(), &mut missing);
        assert_eq!(missing, Vec::<String>::new());
    }
}
