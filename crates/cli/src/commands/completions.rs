//! `seawall completions`: a script for the shell, made from the declarations in [`crate::args`].

use clap::CommandFactory as _;
use seawall_engine::{Error, Result};

use crate::args::Cli;
use crate::args::completions::CompletionsArgs;
use crate::exit::Outcome;
use crate::render::Output;

/// Prints the script.
pub fn run(args: &CompletionsArgs, output: &Output) -> Result<Outcome> {
    refuse_json(output)?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "seawall", &mut script);
    output.raw(&script)?;
    Ok(Outcome::Done)
}

/// Scripts and manual pages have no JSON form.
pub(super) fn refuse_json(output: &Output) -> Result<()> {
    if output.json {
        return Err(Error::usage("args.json", "--json does nothing here").hint("leave it out"));
    }
    Ok(())
}
