//! `seawall backup`.

use std::sync::Arc;
use std::time::Duration;

use seawall_engine::backup::{self, BackupOptions, BackupPreview, BackupReport};
use seawall_engine::list::Way;
use seawall_engine::retention::Span as Age;
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
/// No pack is larger.
const PACK_BYTES_MAX: u64 = 64 << 20;

/// Takes a backup, or says what it would do.
pub fn run(args: &BackupArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let world = World::system();
    open::runtime()?.block_on(async {
        if args.dry_run {
            let options = options(args, &settings, &world)?;
            let progress = Arc::new(Progress::new(*output, world.clone()));
            let limit = open::limit(settings.backup.bandwidth, &world);
            let repository = open::as_writer(&settings, limit.as_ref(), &world).await?;
            let (connect, data_directory) = (open::connection(&settings)?, open::data_directory(&settings)?);
            let preview = backup::preview(&repository, &connect, &data_directory, &options, progress).await?;
            output.report(&preview, preview_page)?;
            return Ok(Outcome::with_findings(preview.findings.len() as u64));
        }
        let report = take(args, &settings, output, &world).await?;
        output.report(&report, report_page)?;
        Ok(Outcome::with_findings(u64::from(report.has_findings())))
    })
}

/// Takes a backup.
pub(super) async fn take(
    args: &BackupArgs,
    settings: &ClusterSettings,
    output: &Output,
    world: &World,
) -> Result<BackupReport> {
    let options = options(args, settings, world)?;
    let progress = Arc::new(Progress::new(*output, world.clone()));
    let limit = open::limit(settings.backup.bandwidth, world);
    let repository = open::as_writer(settings, limit.as_ref(), world).await?;
    let (connect, data_directory) = (open::connection(settings)?, open::data_directory(settings)?);
    let report = backup::run(&repository, &connect, &data_directory, &options, progress.clone()).await;
    progress.finish();
    report
}

fn options(args: &BackupArgs, settings: &ClusterSettings, world: &World) -> Result<BackupOptions> {
    let backup = &settings.backup;
    let niceness = u8::try_from(backup.nice).ok().and_then(|nice| Niceness::try_from(nice).ok());
    Ok(BackupOptions {
        full: args.full,
        scan: args.scan,
        parent: args.parent,
        fast_checkpoint: backup.fast_checkpoint,
        checkpoint_deadline: backup.checkpoint_deadline,
        workers: backup.workers.unwrap_or(0),
        niceness: niceness
            .ok_or_else(|| Error::usage("settings.nice", "backup.nice must be from 0 to 19"))?,
        disk_rate: open::limit(backup.read_bandwidth, world),
        include_private_keys: backup.include_private_keys,
        pack_age_max: settings.retention.policy.max_age.map(pack_age),
        wal_wait: WAL_WAIT,
        lag_max: lag_max(settings),
    })
}

/// With `max_age` a backup leaves when the oldest pack it uses is that old: packs that are left after a fifth of it let each backup
/// live for the rest.
fn pack_age(max_age: Age) -> Duration {
    Duration::from_secs((max_age.as_seconds() / 5).max(86_400))
}

/// A limit lets an object pass to one region after the other: a region that waits for its turn is not slow.
fn lag_max(settings: &ClusterSettings) -> Duration {
    let regions = u64::try_from(settings.repository.regions.len()).unwrap_or(u64::MAX);
    let turns = |rate: u64| PACK_BYTES_MAX.saturating_mul(regions) / rate.max(1);
    LAG_MAX.saturating_add(Duration::from_secs(settings.backup.bandwidth.map_or(0, turns)))
}

pub(super) fn report_page(report: &BackupReport) -> Page {
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
    match (preview.way.parent, preview.way.way) {
        (Some(parent), Way::Wal) => format!("reading what changed since backup {parent}"),
        (Some(parent), _) => format!("comparing every page with backup {parent}"),
        (None, _) => "storing every page".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::settings::resolve;

    fn options_of(line: &str, change: impl FnOnce(&mut ClusterSettings)) -> BackupOptions {
        let Command::Backup(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("{line}")
        };
        let mut settings = resolve::bare(&"orders".parse().unwrap(), &["file:///a".to_owned()]).unwrap();
        change(&mut settings);
        options(&args, &settings, &World::seeded(1)).unwrap()
    }

    #[test]
    fn the_limit_for_reading_is_the_setting_s() {
        assert!(options_of("seawall backup", |_| {}).disk_rate.is_none());
        let options = options_of("seawall backup", |settings| settings.backup.read_bandwidth = Some(5_000));
        assert_eq!(options.disk_rate.unwrap().bytes_per_second(), 5_000);
    }

    #[test]
    fn the_parent_is_the_one_that_was_named() {
        let id = "20310504T020000Z-0123456789abcdef";
        assert_eq!(options_of("seawall backup", |_| {}).parent, None);
        let options = options_of(&format!("seawall backup --parent {id}"), |_| {});
        assert_eq!(options.parent, Some(id.parse().unwrap()));
        for line in
            [format!("seawall backup --full --parent {id}"), "seawall backup --parent latest".to_owned()]
        {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn a_region_that_waits_for_the_limit_is_not_taken_for_slow() {
        assert_eq!(options_of("seawall backup", |_| {}).lag_max, LAG_MAX);
        let slow = options_of("seawall backup", |settings| settings.backup.bandwidth = Some(64 << 10));
        assert_eq!(slow.lag_max, LAG_MAX + Duration::from_secs(1024));
    }
}
