//! `seawall region`.

use std::sync::Arc;

use seawall_engine::region::{
    DrainOptions, DrainReport, JoinOptions, JoinReport, Joining, drain as prove, join as add,
};
use seawall_engine::repository::Secrets;
use seawall_engine::words::World;
use seawall_engine::{Finding, Result};

use super::open;
use crate::args::Global;
use crate::args::region::{DrainArgs, JoinArgs, RegionCommand};
use crate::exit::Outcome;
use crate::render::progress::Progress;
use crate::render::{Output, Page};

/// Runs the command.
pub fn run(command: &RegionCommand, global: &Global, output: &Output) -> Result<Outcome> {
    match command {
        RegionCommand::Add(args) => join(&args.join, Joining::Add, global, output),
        RegionCommand::Rejoin(args) => join(&args.join, Joining::Rejoin, global, output),
        RegionCommand::Drain(args) => drain(args, global, output),
    }
}

fn join(args: &JoinArgs, joining: Joining, global: &Global, output: &Output) -> Result<Outcome> {
    let mut settings = args.cluster.resolve(global)?;
    settings.keep_regions(None, &args.without_region)?;
    let world = World::system();
    let options = JoinOptions { region: args.region.clone(), joining, dry_run: args.dry_run };
    let progress = Arc::new(Progress::new(*output, world.clone()));
    open::runtime()?.block_on(async {
        let limit = open::limit(args.bandwidth.or(settings.backup.bandwidth), &world);
        let secrets = Secrets::Host(settings.repository.writer_key_file.clone());
        let repository = open::repository_settings(&settings);
        let how = (&options, progress.clone() as Arc<dyn seawall_engine::Monitor>);
        let report = add(&repository, &settings.name, &secrets, limit.as_ref(), &world, how).await;
        progress.finish();
        let report = report?;
        output.report(&report, joined_page)?;
        let filled = report.sync.iter().flat_map(|sync| &sync.findings);
        tell(report.findings.iter().chain(filled), output);
        Ok(Outcome::with_findings(u64::from(report.has_findings())))
    })
}

fn drain(args: &DrainArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let mut settings = args.cluster.resolve(global)?;
    settings.keep_regions(None, &args.without_region)?;
    let world = World::system();
    let options = DrainOptions { region: args.region.clone(), dry_run: args.dry_run };
    let progress = Arc::new(Progress::new(*output, world.clone()));
    open::runtime()?.block_on(async {
        let repository = open::as_writer(&settings, None, &world).await?;
        let report = prove(&repository, &options, progress.clone()).await;
        progress.finish();
        let report = report?;
        output.report(&report, drained_page)?;
        tell(report.findings.iter(), output);
        Ok(Outcome::with_findings(u64::from(report.has_findings())))
    })
}

fn tell<'a>(findings: impl Iterator<Item = &'a Finding>, output: &Output) {
    findings.for_each(|finding| output.finding(finding));
}

fn joined_page(report: &JoinReport) -> Page {
    page(report.lines())
}

fn drained_page(report: &DrainReport) -> Page {
    page(report.lines())
}

fn page(lines: Vec<String>) -> Page {
    let mut page = Page::new();
    lines.into_iter().for_each(|line| {
        page.line(line);
    });
    page
}
