//! The command line: arguments → settings → engine call → report → text or JSON.
//!
//! Promises: stdout is data, stderr is talk; the exit code is one of a fixed table ([`exit`]); no secret is accepted as an
//! argument or shown; `wal fetch` never ends with a code that PostgreSQL would take for the end of WAL ([`guard`]).
//! Deliberately holds no knowledge of repositories or PostgreSQL: that is the engine's.

pub mod args;
pub mod commands;
pub mod exit;
pub mod guard;
pub mod mistake;
pub mod moment;
pub mod render;
pub mod settings;
pub mod shell;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use seawall_engine::Error;

use args::Cli;
use exit::Outcome;
use render::{Colour, Output, Talk};

/// Runs the process's command line.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    guard::run(&words, || run(&words)).into()
}

/// Runs one command line and answers the exit code that belongs to what happened.
fn run(words: &[OsString]) -> u8 {
    let texts: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let early = Output::new(mistake::asks_for_json(&texts), Talk::Normal, Colour::Auto);
    let fetch = guard::may_be_fetch(words);
    if let Err(error) = settings::secrets::refuse_in_arguments(texts.iter().map(String::as_str)) {
        return failed(&early, &error, fetch);
    }
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error, words, &early),
    };
    let fetch = commands::is_fetch(&cli.command);
    let output = cli.global.output();
    match commands::run(cli, &texts, output) {
        Ok(outcome) => outcome.code(),
        Err(error) => failed(&output, &error, fetch),
    }
}

fn failed(output: &Output, error: &Error, fetch: bool) -> u8 {
    let code = if fetch { exit::FETCH_FAILED } else { error.kind().exit_code() };
    output.error(error, code);
    code
}

/// Help and version are asked for and go to stdout, as text; everything else that does not parse is a mistake.
fn unparsed(error: &clap::Error, words: &[OsString], output: &Output) -> u8 {
    let asked = !error.use_stderr();
    let code = match (asked, guard::may_be_fetch(words)) {
        (true, true) if guard::names_wal(words) => exit::FETCH_FAILED,
        (true, _) => Outcome::Done.code(),
        (false, true) => exit::FETCH_FAILED,
        (false, false) => exit::USAGE,
    };
    if output.json && !asked {
        output.error(&mistake::error(error), code);
    } else {
        // The command line library chooses the stream, and a closed one leaves nobody to tell.
        let _printed = error.print();
    }
    code
}
