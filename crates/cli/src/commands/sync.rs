//! `seawall sync`.

use std::sync::Arc;

use seawall_engine::Result;
use seawall_engine::sync::{SyncOptions, SyncReport, sync};
use seawall_engine::words::World;

use super::open;
use crate::args::Global;
use crate::args::sync::SyncArgs;
use crate::exit::Outcome;
use crate::render::progress::Progress;
use crate::render::{Output, Page};

/// Brings regions to what the others hold.
pub fn run(args: &SyncArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let mut settings = args.cluster.resolve(global)?;
    settings.keep_regions(None, &args.without_region)?;
    let world = World::system();
    let options =
        SyncOptions { dry_run: args.dry_run, regions: args.region.clone(), heal: args.heal.clone() };
    let progress = Arc::new(Progress::new(*output, world.clone()));
    open::runtime()?.block_on(async {
        let limit = open::limit(args.bandwidth.or(settings.backup.bandwidth), &world);
        let repository = open::as_writer(&settings, limit.as_ref(), &world).await?;
        let report = sync(&repository, &options, progress.clone()).await;
        progress.finish();
        let report = report?;
        output.report(&report, page)?;
        report.findings.iter().for_each(|finding| output.finding(finding));
        Ok(Outcome::with_findings(u64::from(report.has_findings())))
    })
}

fn page(report: &SyncReport) -> Page {
    let mut page = Page::new();
    report.lines().into_iter().for_each(|line| {
        page.line(line);
    });
    page
}
