//! `seawall backup`.

use std::sync::Arc;
use std::time::Duration;

use seawall_engine::backup::{self, BackupOptions, BackupPreview, BackupReport};
use seawall_engine::source::Niceness;
use seawall_engine::words::World;
use seawall_engine::{Error, Result};

use super::open;
use crate::args::Global;
use crate::args::backup::BackupArgs;
use crate::exit::Outcome;
use crate::render::progress::Progress;
use crate::render::{Align, Output, Page, Span, Table, human};
use crate::settings::ClusterSettings;

/// How long a backup waits for its WAL: `archive_timeout` has no part in it, the server switches segments by itself.
const WAL_WAIT: Duration = Duration::from_secs(300);
/// How much slower than the first a region may be with one object.
const LAG_MAX: Duration = Duration::from_secs(120);

/// Takes a backup, or says what it would do.
pub fn run(args: &BackupArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let options = options(args, &settings)?;
    let world = World::system();
    let progress = Arc::new(Progress::new(*output, world.clone()));
    open::runtime()?.block_on(async {
        let repository = open::as_writer(&settings, &world).await?;
        let (connect, data_directory) = (open::connection(&settings)?, open::data_directory(&settings)?);
        if args.dry_run {
            let preview = backup::preview(&repository, &connect, &data_directory, &options, progress).await?;
            output.report(&preview, preview_page)?;
            return Ok(Outcome::with_findings(preview.findings.len() as u64));
        }
        let report = backup::run(&repository, &connect, &data_directory, &options, progress.clone()).await;
        progress.finish();
        let report = report?;
        output.report(&report, report_page)?;
        Ok(Outcome::with_findings(u64::from(report.has_findings())))
    })
}

fn options(args: &BackupArgs, settings: &ClusterSettings) -> Result<BackupOptions> {
    let backup = &settings.backup;
    let niceness = u8::try_from(backup.nice).ok().and_then(|nice| Niceness::try_from(nice).ok());
    Ok(BackupOptions {
        full: args.full,
        parent: None,
        fast_checkpoint: backup.fast_checkpoint,
        checkpoint_deadline: backup.checkpoint_deadline,
        workers: backup.workers.unwrap_or(0),
        niceness: niceness
            .ok_or_else(|| Error::usage("settings.nice", "backup.nice must be from 0 to 19"))?,
        disk_rate: None,
        include_private_keys: backup.include_private_keys,
        wal_wait: WAL_WAIT,
        lag_max: LAG_MAX,
    })
}

fn report_page(report: &BackupReport) -> Page {
    let mut page = Page::new();
    for line in report.lines() {
        page.line(line);
    }
    page
}

fn preview_page(preview: &BackupPreview) -> Page {
    let mut page = Page::new();
    page.line(format!("would be taken by {}: {}", way(preview), preview.way.reason));
    let mut table = Table::new(&[(Align::Left, "decision"), (Align::Right, "paths"), (Align::Right, "size")]);
    for count in &preview.decisions {
        table.row([
            Span::plain(count.decision.clone()),
            Span::plain(human::count(count.paths)),
            Span::plain(human::size(count.bytes)),
        ]);
    }
    page.table(2, table);
    for path in &preview.external {
        page.indented(2, format!("outside the data directory: {path}"));
    }
    for key in &preview.left_out {
        page.indented(2, format!("private key, left out: {}", key.display()));
    }
    page
}

fn way(preview: &BackupPreview) -> String {
    match preview.way.parent {
        Some(parent) => format!("comparing every page with backup {parent}"),
        None => "storing every page".to_owned(),
    }
}
