//! `seawall debug`.

mod chapter;
mod index;
mod objects;
mod wal;

use seawall_engine::repository::Repository;
use seawall_engine::words::World;
use seawall_engine::{Finding, Result};
use serde::Serialize;

use super::open;
use crate::args::Global;
use crate::args::debug::DebugCommand;
use crate::args::place::PlaceArgs;
use crate::exit::Outcome;
use crate::render::{Output, Page};

/// Looks inside.
pub fn run(command: &DebugCommand, global: &Global, output: &Output) -> Result<Outcome> {
    match command {
        DebugCommand::Index(args) => index::run(args, global, output),
        DebugCommand::Chapter(args) => chapter::run(args, global, output),
        DebugCommand::Wal(args) => wal::run(args, global, output),
        DebugCommand::Manifest(args) => objects::manifest(args, global, output),
        DebugCommand::Map(args) => objects::map(args, global, output),
        DebugCommand::Pack(args) => objects::pack(args, global, output),
    }
}

/// Reads with the repository that is meant, and prints what was read.
fn read<R: Serialize>(
    place: &PlaceArgs,
    global: &Global,
    output: &Output,
    page: impl FnOnce(&R) -> Page,
    findings: impl FnOnce(&R) -> &[Finding],
    read: impl AsyncFnOnce(&Repository) -> Result<R>,
) -> Result<Outcome> {
    let settings = place.resolve(global)?;
    let world = World::system();
    open::runtime()?.block_on(async {
        let repository = open::as_reader(&settings, None, &world).await?;
        let report = read(&repository).await?;
        output.report(&report, page)?;
        Ok(found(findings(&report), output))
    })
}

fn found(findings: &[Finding], output: &Output) -> Outcome {
    findings.iter().for_each(|finding| output.finding(finding));
    Outcome::with_findings(findings.len() as u64)
}
