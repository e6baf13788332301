//! `seawall hold`.

use seawall_engine::hold::{self, HoldChanged, HoldShown, Holds, NewHold};
use seawall_engine::words::{HoldOn, World};
use seawall_engine::{Finding, Result};

use super::open;
use crate::args::Global;
use crate::args::hold::{AddArgs, HoldCommand, ListArgs, ReleaseArgs};
use crate::args::target::time;
use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Style, Table, human};

/// Runs the command.
pub fn run(command: &HoldCommand, global: &Global, words: &[String], output: &Output) -> Result<Outcome> {
    match command {
        HoldCommand::Add(args) => add(args, global, words, output),
        HoldCommand::List(args) => list(args, global, output),
        HoldCommand::Release(args) => release(args, global, output),
    }
}

fn add(args: &AddArgs, global: &Global, words: &[String], output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let world = World::system();
    let new = NewHold {
        on: if args.everything { HoldOn::Everything } else { HoldOn::Backups(args.backups.clone()) },
        reason: args.reason.clone(),
        until: args.until.as_deref().map(|text| time(text, words)).transpose()?,
        by: who(),
    };
    open::runtime()?.block_on(async {
        let repository = open::as_pruner(&settings, &world).await?;
        let report = hold::add(&repository, new).await?;
        output.report(&report, |report| changed_page(report, "is in force"))?;
        Ok(done(&report.findings, output))
    })
}

fn release(args: &ReleaseArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let world = World::system();
    open::runtime()?.block_on(async {
        let repository = open::as_pruner(&settings, &world).await?;
        let report = hold::release(&repository, args.hold, &args.reason, &who()).await?;
        output.report(&report, |report| changed_page(report, "is released"))?;
        Ok(done(&report.findings, output))
    })
}

fn list(args: &ListArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let world = World::system();
    open::runtime()?.block_on(async {
        let repository = open::as_reader(&settings, None, &world).await?;
        let report = hold::list(&repository).await?;
        output.report(&report, holds_page)?;
        Ok(done(&report.findings, output))
    })
}

fn done(findings: &[Finding], output: &Output) -> Outcome {
    findings.iter().for_each(|finding| output.finding(finding));
    Outcome::with_findings(findings.len() as u64)
}

/// Who types, as far as this host knows.
pub(super) fn who() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_else(|| "unknown".to_owned())
}

fn changed_page(report: &HoldChanged, what: &str) -> Page {
    let mut page = Page::new();
    page.line(Span::new(Style::Good, format!("hold {} {what}", report.hold)));
    page
}

fn holds_page(report: &Holds) -> Page {
    let mut page = Page::new();
    if report.holds.is_empty() {
        page.line("there is no hold");
        return page;
    }
    let mut table = Table::new(&[
        (Align::Left, "hold"),
        (Align::Left, "state"),
        (Align::Left, "on"),
        (Align::Left, "until"),
        (Align::Left, "by"),
        (Align::Left, "reason"),
    ]);
    report.holds.iter().for_each(|hold| table.row(row(hold)));
    page.table(0, table);
    page
}

fn row(hold: &HoldShown) -> [Span; 6] {
    let state = match (hold.in_force, hold.released) {
        (true, _) => Span::new(Style::Warn, "in force"),
        (false, true) => Span::new(Style::Dim, "released"),
        (false, false) => Span::new(Style::Dim, "over"),
    };
    let on = match &hold.on {
        HoldOn::Everything => "everything".to_owned(),
        HoldOn::Backups(backups) => backups.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    [
        Span::plain(hold.hold.to_string()),
        state,
        Span::plain(on),
        Span::plain(hold.until.map_or_else(|| "released".to_owned(), human::time)),
        Span::plain(hold.by.clone()),
        Span::plain(hold.reason.clone()),
    ]
}
