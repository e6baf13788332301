//! `seawall restore`.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use seawall_engine::repository::Repository;
use seawall_engine::restore::archive_salvaged::archive_salvaged;
use seawall_engine::restore::plan::RecoveryPlan;
use seawall_engine::restore::recovery_settings::TargetAction;
use seawall_engine::restore::report::{Afterwards, RestorePreview, RestoreReport};
use seawall_engine::restore::run::{Become, RestoreOptions, prepare, run as restore};
use seawall_engine::restore::target::{Point, RecoveryTarget, TimelineChoice};
use seawall_engine::restore::transfer::Existing;
use seawall_engine::target::tablespaces::Remap;
use seawall_engine::words::World;
use seawall_engine::{Error, Result};

use super::{open, restore_target};
use crate::args::Global;
use crate::args::restore::RestoreArgs;
use crate::args::target::{Goal, Target, TimelineChoice as Asked};
use crate::exit::Outcome;
use crate::render::progress::Progress;
use crate::render::{Output, Page, Span, Style, human};
use crate::settings::ClusterSettings;
use crate::shell;

/// Reads in flight: enough to keep a disk or a network busy, few enough to stay in bounded memory.
const PARALLEL: usize = 8;

/// What a hint with another target replaces: options with a value, and without.
const TARGET_OPTIONS: [&str; 6] = ["--at", "--lsn", "--xid", "--restore-point", "--timeline", "--backup"];
const TARGET_WORDS: [&str; 3] = ["--immediate", "--latest", "--before"];

/// Restores, or says what it would do.
pub fn run(args: &RestoreArgs, global: &Global, words: &[String], output: &Output) -> Result<Outcome> {
    let mut settings = args.place.resolve(global)?;
    let target = args.target.resolve(words, &TimeZone::system())?;
    settings.keep_regions(target.region.as_deref(), &[])?;
    let known = target.goal.is_some() || args.standby.is_some();
    let given = known.then(|| options(args, &settings, &target, words)).transpose()?;
    let world = World::system();
    open::runtime()?.block_on(async {
        let limit = open::limit(args.bandwidth, &world);
        let repository = open::as_reader(&settings, limit.as_ref(), &world).await?;
        refuse_without_identity(&repository)?;
        let options = match given {
            Some(options) => options,
            None => {
                let target = restore_target::choose(&repository, target, words, output.json).await?;
                options(args, &settings, &target, words)?
            }
        };
        let prepared = prepare(&repository, &options).await?;
        if args.dry_run {
            let preview = prepared.preview(&options);
            output.report(&preview, preview_page)?;
            return Ok(Outcome::with_findings(preview.findings.len() as u64));
        }
        let progress = Progress::new(*output, world.clone());
        let report = restore(&repository, prepared, &options, &progress).await;
        progress.finish();
        let mut report = report?;
        if let Some(old) = options.salvage.as_ref().filter(|_| !report.not_archived.is_empty()) {
            archive_salvaged(open::as_writer(&settings, None, &world).await, &mut report, old).await;
        }
        output.report(&report, report_page)?;
        for finding in &report.findings {
            output.finding(finding);
        }
        Ok(Outcome::with_findings(report.findings.len() as u64))
    })
}

/// A host that writes has no key that opens content: said before a byte is planned.
fn refuse_without_identity(repository: &Repository) -> Result<()> {
    if repository.opens_content() {
        return Ok(());
    }
    Err(Error::usage(
        "keys.identity-needed",
        "a restore needs an identity: this host's key file opens no content, on purpose",
    )
    .hint("bring the identity from the safe: --identity FILE"))
}

fn options(
    args: &RestoreArgs,
    settings: &ClusterSettings,
    target: &Target,
    words: &[String],
) -> Result<RestoreOptions> {
    let becomes = match &args.standby {
        Some(conninfo) => Become::Standby(Some(conninfo.clone())),
        None => Become::Recovered(TargetAction::Promote),
    };
    Ok(RestoreOptions {
        data_directory: absolute(&args.data_directory)?,
        wal_directory: args.waldir.as_deref().map(absolute).transpose()?,
        tablespaces: args.tablespace.iter().map(|text| remap(text)).collect::<Result<_>>()?,
        existing: if args.delta { Existing::Compare } else { Existing::None },
        system: None,
        target: recovery_target(target, args.standby.is_some(), words)?,
        backup: target.backup,
        becomes,
        is_successor: args.successor,
        keep_commands: args.keep_commands,
        salvage: args.salvage_wal.as_deref().map(absolute).transpose()?,
        discard_wal: args.discard_wal,
        bindir: args.server_binaries.as_deref().map(absolute).transpose()?,
        search_path: std::env::var_os("PATH").unwrap_or_default(),
        without_server: false,
        owner: None,
        program: std::env::current_exe().map_err(|error| {
            Error::source_side("host.program", "the path of this program cannot be found").because(error)
        })?,
        parallel: PARALLEL,
        command: shell::without(words, &TARGET_OPTIONS, &TARGET_WORDS),
        as_asked: shell::command(words),
        regions: settings.repository.regions.clone(),
        without_regions: args.place.without_region.clone(),
        wait_for_region: settings.wait_for_region,
        key_files: settings.repository.key_files.clone(),
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|error| Error::usage("cli.path", format!("{} is no path", path.display())).because(error))
}

fn remap(text: &str) -> Result<Remap> {
    let (which, directory) = text.split_once('=').ok_or_else(|| {
        Error::usage("cli.tablespace", format!("{text} does not say where a tablespace goes"))
            .hint("write --tablespace NAME=DIRECTORY, with the tablespace's name or OID")
    })?;
    Ok(Remap { which: which.to_owned(), directory: absolute(Path::new(directory))? })
}

fn recovery_target(target: &Target, standby: bool, words: &[String]) -> Result<RecoveryTarget> {
    let point = match &target.goal {
        Some(Goal::Time(time)) => Point::Time(*time),
        Some(Goal::Lsn(lsn)) => Point::Lsn(*lsn),
        Some(Goal::Xid(xid)) => Point::Xid(u32::try_from(*xid).map_err(|_| {
            Error::usage("target.xid", format!("{xid} is larger than a transaction id, which has 32 bits"))
        })?),
        Some(Goal::RestorePoint(name)) => Point::Name(name.clone()),
        Some(Goal::Immediate) => Point::Immediate,
        Some(Goal::Latest) => Point::Latest,
        None if standby => Point::Latest,
        None => return Err(restore_target::missing(words)),
    };
    let timeline = match target.timeline {
        Asked::Number(timeline) => TimelineChoice::Number(timeline),
        Asked::Latest => TimelineChoice::TheOneThatFits,
        Asked::Current => TimelineChoice::Current,
    };
    RecoveryTarget::new(point, target.before, timeline)
        .map_err(|error| Error::usage("target.refused", error.to_string()))
}

fn preview_page(preview: &RestorePreview) -> Page {
    let mut page = Page::new();
    page.line(format!(
        "the target can be reached; {} would be written to {}",
        human::size(preview.bytes),
        preview.data_directory.display()
    ));
    plan_lines(&mut page, &preview.plan);
    for placed in &preview.tablespaces {
        if let Some(directory) = &placed.directory {
            page.indented(2, format!("tablespace  {} in {}", placed.tablespace.name, directory.display()));
        }
    }
    afterwards(&mut page, &preview.afterwards);
    page
}

fn plan_lines(page: &mut Page, plan: &RecoveryPlan) {
    page.indented(2, format!("backup      {}", plan.backup.id));
    page.indented(
        2,
        format!(
            "WAL         {} segments on timeline {}",
            human::count(plan.segments_needed()),
            plan.timeline
        ),
    );
    for remark in &plan.remarks {
        page.indented(2, format!("remark      {remark}"));
    }
}

fn report_page(report: &RestoreReport) -> Page {
    let mut page = Page::new();
    page.line(format!("restored into {}", report.data_directory.display()));
    plan_lines(&mut page, &report.plan);
    let moved = &report.transferred;
    page.indented(
        2,
        format!(
            "files       {} ({} fetched, {} kept)",
            human::count(moved.files),
            human::size(moved.bytes_written),
            human::size(moved.bytes_kept)
        ),
    );
    page.indented(
        2,
        format!(
            "took        {:.1} s, {:.1} s of it for syncing",
            report.seconds_transfer + report.seconds_sync,
            report.seconds_sync
        ),
    );
    for served in &report.requests {
        let read = human::size(served.reading.get.bytes);
        page.indented(2, format!("read        {read} from {}", served.region));
    }
    configuration(&mut page, report);
    afterwards(&mut page, &report.afterwards);
    page.blank();
    page.line("Next:");
    page.indented(2, Span::new(Style::Strong, report.next.clone()));
    page
}

/// What became of the inherited configuration.
fn configuration(page: &mut Page, report: &RestoreReport) {
    for changed in &report.neutralised {
        page.indented(2, format!("setting     {}", changed.line()));
    }
    for kept in &report.commands_in_force {
        page.indented(
            2,
            format!("in force    {} = '{}' ({}, line {})", kept.name, kept.value, kept.file, kept.line),
        );
    }
    // The plan's remarks come first and stand further up.
    for remark in report.remarks.iter().skip(report.plan.remarks.len()) {
        page.indented(2, format!("remark      {remark}"));
    }
}

fn afterwards(page: &mut Page, list: &[Afterwards]) {
    if list.is_empty() {
        return;
    }
    page.blank();
    page.line("Afterwards:");
    for thing in list {
        let which =
            if thing.which.is_empty() { String::new() } else { format!(" ({})", thing.which.join(", ")) };
        page.indented(2, format!("{}{which}: {}", thing.what, thing.advice));
    }
}
