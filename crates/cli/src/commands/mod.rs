//! What each command does, once it is known what was typed: resolve, call the engine, print the report.

pub mod backup;
pub mod check;
pub mod completions;
pub mod config;
pub mod cost;
pub mod debug;
pub mod find;
pub mod hold;
pub mod init;
pub mod key;
pub mod list;
pub mod man;
pub mod open;
mod passphrase;
pub mod postgres_setup;
pub mod prune;
pub mod region;
pub mod restore;
mod restore_target;
pub mod show;
pub mod status;
pub mod sync;
pub mod verify;
pub mod wal;
mod wal_status;

use seawall_engine::Result;

use crate::args::wal::WalCommand;
use crate::args::{Cli, Command};
use crate::exit::Outcome;
use crate::render::Output;

/// Whether this is the `restore_command`.
#[must_use]
pub fn is_fetch(command: &Command) -> bool {
    matches!(command, Command::Wal(wal) if matches!(wal.command, WalCommand::Fetch(_)))
}

/// Runs a command. `words` are what was typed, for hints that can be pasted.
pub fn run(cli: Cli, words: &[String], output: Output) -> Result<Outcome> {
    let global = cli.global;
    match cli.command {
        Command::Backup(args) => backup::run(&args, &global, &output),
        Command::List(args) => list::run(&args, &global, &output),
        Command::Restore(args) => restore::run(&args, &global, words, &output),
        Command::Find(args) => find::run(&args, &global, words, &output),
        Command::Status(args) => status::run(&args, &global, &output),
        Command::Verify(args) => verify::run(&args, &global, &output),
        Command::Prune(args) => prune::run(&args, &global, words, &output),
        Command::Hold(args) => hold::run(&args.command, &global, words, &output),
        Command::Sync(args) => sync::run(&args, &global, &output),
        Command::Region(args) => region::run(&args.command, &global, &output),
        Command::Show(args) => show::run(&args, &global, &output),
        Command::Init(args) => init::run(&args, &global, &output),
        Command::Check(args) => check::run(&args, &global, &output),
        Command::Config(args) => config::run(&args.command, &global, &output),
        Command::Debug(args) => debug::run(&args.command, &global, &output),
        Command::Key(args) => key::run(&args.command, &global, &output),
        Command::Completions(args) => completions::run(&args, &output),
        Command::Man(args) => man::run(&args, &output),
        Command::Wal(args) => wal::run(args.command, &global, &output),
    }
}
