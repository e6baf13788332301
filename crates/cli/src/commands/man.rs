//! `seawall man`: manual pages, made from the declarations in [`crate::args`].

use clap::CommandFactory as _;
use seawall_engine::{Error, Result};

use super::completions::refuse_json;
use crate::args::Cli;
use crate::args::man::ManArgs;
use crate::exit::Outcome;
use crate::render::Output;

/// Prints the page of the whole, or writes one page a command.
pub fn run(args: &ManArgs, output: &Output) -> Result<Outcome> {
    refuse_json(output)?;
    if let Some(folder) = &args.output {
        clap_mangen::generate_to(Cli::command(), folder).map_err(|source| {
            Error::usage("man.unwritable", format!("cannot write manual pages into {}", folder.display()))
                .hint("the directory must exist and be writable")
                .because(source)
        })?;
        return Ok(Outcome::Done);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|source| Error::bug("man.render", "the manual page cannot be made").because(source))?;
    output.raw(&page)?;
    Ok(Outcome::Done)
}
