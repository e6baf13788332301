//! `seawall status`.

use seawall_engine::Result;
use seawall_engine::status::{StatusOptions, StatusReport, Verdict, status};
use seawall_engine::words::World;

use super::open;
use crate::args::Global;
use crate::args::status::StatusArgs;
use crate::exit::Outcome;
use crate::render::{Output, Page, Span, Style};

/// Says whether a recovery is possible now, and to when.
pub fn run(args: &StatusArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let mut settings = args.place.resolve(global)?;
    settings.keep_regions(args.region.as_deref(), &[])?;
    let world = World::system();
    open::runtime()?.block_on(async {
        let repository = open::as_reader(&settings, None, &world).await?;
        let report = status(&repository, &StatusOptions { rpo: settings.objectives.rpo }).await?;
        output.report(&report, page)?;
        report.findings.iter().for_each(|finding| output.finding(finding));
        Ok(match report.verdict.exit_code() {
            0 => Outcome::Done,
            1 => Outcome::Findings,
            _ => Outcome::NoRecovery,
        })
    })
}

fn page(report: &StatusReport) -> Page {
    let mut page = Page::new();
    let style = if report.verdict == Verdict::Recoverable { Style::Strong } else { Style::Bad };
    let mut lines = report.lines().into_iter();
    if let Some(headline) = lines.next() {
        page.line(Span::new(style, headline));
    }
    lines.for_each(|line| {
        page.line(line);
    });
    page
}
