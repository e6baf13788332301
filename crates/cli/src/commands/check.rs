//! `seawall check`: is everything set up right?

use std::path::PathBuf;

use seawall_engine::check::{self, CheckOptions, CheckReport, ExpectedCommand};
use seawall_engine::words::World;
use seawall_engine::{Error, Result};

use super::{open, postgres_setup};
use crate::args::Global;
use crate::args::check::CheckArgs;
use crate::args::place::settings_file;
use crate::exit::Outcome;
use crate::render::{Output, Page, Span, Style};
use crate::settings::DEFAULT_FILE;

/// Runs the command.
pub fn run(args: &CheckArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let program = std::env::current_exe().map_err(|error| {
        Error::source_side("host.program", "this program's own path cannot be found").because(error)
    })?;
    let options = CheckOptions {
        repository: open::pinned(&settings),
        cluster: settings.name.clone(),
        key_file: settings.repository.writer_key_file.clone(),
        data_directory: open::data_directory(&settings)?,
        connect: open::connection(&settings)?,
        command: ExpectedCommand {
            command: postgres_setup::archive_command(global, &settings)?,
            program,
            settings: settings_file(global)?,
            default_settings: PathBuf::from(DEFAULT_FILE),
        },
        rules: super::prune::rules(&settings),
        residency: settings.repository.residency.clone(),
        prunes: settings.repository.prune_key_file.is_some(),
        archive_within: args.archive,
    };
    let mut report = open::runtime()?.block_on(check::run(&options, &World::system()));
    output.report(&report, page)?;
    for finding in &report.findings {
        output.finding(finding);
    }
    // The first decides the exit code; each is told.
    let mut errors = std::mem::take(&mut report.errors).into_iter();
    let first = errors.next();
    for error in errors {
        output.error(&error, error.kind().exit_code());
    }
    first.map_or_else(|| Ok(Outcome::with_findings(report.findings.len() as u64)), Err)
}

fn page(report: &CheckReport) -> Page {
    let mut page = Page::new();
    for line in &report.in_order {
        page.spans(0, [Span::new(Style::Good, "ok: "), Span::plain(line.clone())]);
    }
    for what in &report.not_checked {
        page.spans(0, [Span::new(Style::Bad, "not checked: "), Span::plain(*what)]);
    }
    for note in &report.notes {
        page.spans(0, [Span::new(Style::Warn, "note: "), Span::plain(note.what.clone())]);
        if let Some(hint) = &note.hint {
            page.line(format!("  {hint}"));
        }
    }
    if report.findings.is_empty() && report.not_checked.is_empty() {
        page.line("nothing to do");
    }
    page
}
