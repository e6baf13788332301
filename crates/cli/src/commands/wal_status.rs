//! `seawall wal status` and `seawall wal ack-hole`.

use seawall_engine::ack_hole::{AckHole, HoleAcknowledged, ack_hole};
use seawall_engine::backup::BackupReport;
use seawall_engine::text::shown;
use seawall_engine::wal_status::{
    HoleReport, RegionReport, ServerReport, SystemWal, TimelineReport, WalStatusOptions, WalStatusReport,
    WindowReport, wal_status,
};
use seawall_engine::words::{Time, Timeline, World};
use seawall_engine::{Error, Result};
use serde::Serialize;

use super::hold::who;
use super::{backup as backups, open};
use crate::args::Global;
use crate::args::backup::BackupArgs;
use crate::args::wal::{AckHoleArgs, StatusArgs};
use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Style, Table, human, timeline};

pub(super) fn status(args: &StatusArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let mut settings = args.place.resolve(global)?;
    settings.keep_regions(args.region.as_deref(), &[])?;
    let world = World::system();
    let server = if args.place.from.is_empty() { open::connection(&settings).ok() } else { None };
    let options = WalStatusOptions {
        timeline: args.timeline.map(|number| Timeline::new(number).ok_or_else(no_timeline)).transpose()?,
        server,
    };
    open::runtime()?.block_on(async {
        let repository = open::as_reader(&settings, None, &world).await?;
        let report = wal_status(&repository, &options).await?;
        output.report(&report, page)?;
        report.findings.iter().for_each(|finding| output.finding(finding));
        Ok(Outcome::with_findings(report.findings.len() as u64))
    })
}

fn no_timeline() -> Error {
    Error::usage("wal-status.timeline", "timelines are counted from 1")
}

pub(super) fn acknowledge(args: &AckHoleArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let world = World::system();
    let ack = AckHole {
        first: args.segment,
        last: args.last,
        reason: args.reason.clone(),
        by: who(),
        data_directory: settings.data_directory.clone().filter(|directory| directory.is_dir()),
    };
    open::runtime()?.block_on(async {
        let repository = open::as_pruner(&settings, &world).await?;
        let done = ack_hole(&repository, &ack).await?;
        done.findings.iter().for_each(|finding| output.finding(finding));
        let mut backup = None;
        if args.backup {
            output.notice(&format!("{} is acknowledged; a backup begins", done.missing.first));
            let plain = BackupArgs::default();
            backup = Some(backups::take(&plain, &settings, output, &world).await?);
        }
        let findings = !done.findings.is_empty() || backup.as_ref().is_some_and(BackupReport::has_findings);
        output.report(&Acknowledged { done, backup }, acknowledged_page)?;
        Ok(Outcome::with_findings(u64::from(findings)))
    })
}

/// What `ack-hole` did.
#[derive(Serialize)]
struct Acknowledged {
    #[serde(flatten)]
    done: HoleAcknowledged,
    backup: Option<BackupReport>,
}

fn acknowledged_page(all: &Acknowledged) -> Page {
    let (mut page, done) = (Page::new(), &all.done);
    let missing = &done.missing;
    let segments = human::counted(missing.segments, "segment", "segments");
    page.line(Span::new(
        Style::Good,
        format!("{segments} acknowledged as lost: {} to {} ({})", missing.first, missing.last, done.hole),
    ));
    match &all.backup {
        Some(backup) => {
            page.append(backups::report_page(backup));
        }
        None if done.backup_behind => {
            page.line("a backup lies behind them already: recovery is possible from it on");
        }
        None => {
            page.line("no backup lies behind them: nothing newer can be reached until there is one");
            page.line("next: seawall backup");
        }
    }
    page
}

fn page(report: &WalStatusReport) -> Page {
    let mut page = Page::new();
    for system in &report.systems {
        let present = if system.present { "" } else { ", superseded" };
        page.line(Span::new(
            Style::Strong,
            format!("WAL of {}, system identifier {}{present}", report.cluster, system.system),
        ));
        if system.timelines.is_empty() {
            page.indented(2, "no WAL");
        }
        tree(&mut page, system);
        page.append(timeline::page(system, report.at));
        windows(&mut page, system);
        holes(&mut page, system);
        for conflict in &system.conflicts {
            page.indented(
                2,
                Span::new(Style::Bad, format!("conflict: {}: {}", conflict.object, conflict.what)),
            );
        }
        if system.not_compared > 0 {
            page.indented(
                2,
                format!(
                    "of {} the regions' copies have one size and were not compared (the newest were): seawall verify compares all",
                    human::counted(system.not_compared, "older file", "older files")
                ),
            );
        }
        regions(&mut page, system);
        lag(&mut page, system, report.server.as_ref(), report.at);
        page.blank();
    }
    page
}

/// Timelines below the one they grew from.
fn tree(page: &mut Page, system: &SystemWal) {
    let is_shown = |timeline: Timeline| system.timelines.iter().any(|one| one.timeline == timeline);
    let roots = system.timelines.iter().filter(|one| one.parent.is_none_or(|parent| !is_shown(parent)));
    let mut open: Vec<(usize, &TimelineReport)> = roots.map(|one| (0, one)).collect();
    open.reverse();
    while let Some((depth, one)) = open.pop() {
        page.spans(2, timeline_line(depth, one));
        let children = system.timelines.iter().filter(|child| child.parent == Some(one.timeline));
        let mut children: Vec<_> = children.map(|child| (depth.saturating_add(1), child)).collect();
        children.reverse();
        open.extend(children);
    }
}

fn timeline_line(depth: usize, one: &TimelineReport) -> Vec<Span> {
    let indent = if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(depth - 1)) };
    let from = match (one.parent, one.fork) {
        (Some(parent), Some(fork)) => format!(", left timeline {parent} at {fork}"),
        _ if !one.history_known => ", history file missing".to_owned(),
        _ => String::new(),
    };
    let last = match (one.stretches.first(), one.stretches.last()) {
        (Some(first), Some(last)) => format!(", {} to {}", first.first, last.last),
        _ => String::new(),
    };
    let partial = one.partial.map_or_else(String::new, |segment| format!(", {segment}.partial"));
    let segments = human::counted(one.segments, "segment", "segments");
    let mut spans =
        vec![Span::plain(format!("{indent}timeline {}{from}: {segments}{last}{partial}", one.timeline))];
    if one.current {
        spans.push(Span::new(Style::Good, "  (current)"));
    }
    spans
}

fn windows(page: &mut Page, system: &SystemWal) {
    if system.windows.is_empty() {
        page.indented(2, Span::new(Style::Bad, "no window: no backup has the WAL that makes it consistent"));
        return;
    }
    let mut table = Table::new(&[
        (Align::Left, "recovery to any point"),
        (Align::Left, "from"),
        (Align::Left, ""),
        (Align::Left, "to"),
        (Align::Left, "stored"),
        (Align::Left, "last commit"),
        (Align::Right, "backups"),
    ]);
    for window in &system.windows {
        table.row(window_row(window));
    }
    page.blank().table(2, table);
}

fn window_row(window: &WindowReport) -> [Span; 7] {
    let of = window.region.as_ref().map_or_else(|| "all regions".to_owned(), ToString::to_string);
    let time = |time: Option<Time>| time.map_or_else(|| "?".to_owned(), human::time);
    let partial = if window.by_partial { " (partial)" } else { "" };
    [
        Span::new(
            if window.current { Style::Strong } else { Style::Plain },
            format!("{of}, timeline {}", window.timeline),
        ),
        Span::plain(window.from.to_string()),
        Span::plain(human::time(window.from_time)),
        Span::plain(format!("{}{partial}", window.to)),
        Span::plain(time(window.stored)),
        Span::plain(window.last_commit.map_or_else(String::new, human::time)),
        Span::plain(human::count(window.backups)),
    ]
}

fn holes(page: &mut Page, system: &SystemWal) {
    for hole in &system.holes {
        let style = if hole.acknowledged.is_some() { Style::Dim } else { Style::Bad };
        page.indented(2, Span::new(style, hole_words(hole)));
    }
}

fn hole_words(hole: &HoleReport) -> String {
    let missing = &hole.missing;
    let which = if missing.first == missing.last {
        missing.first.to_string()
    } else {
        format!("{} to {}", missing.first, missing.last)
    };
    let segments = human::counted(missing.segments, "segment", "segments");
    let said = hole.acknowledged.as_ref().map_or_else(
        || "not acknowledged".to_owned(),
        |by| format!("acknowledged {} by {}: {}", human::time(by.written), shown(&by.by), shown(&by.reason)),
    );
    format!("hole: {which} ({segments}, {} to {}): {said}", hole.from, hole.to)
}

fn regions(page: &mut Page, system: &SystemWal) {
    for region in &system.regions {
        let (style, words) = region_words(region);
        page.indented(2, Span::new(style, format!("region {}: {words}", region.region)));
    }
}

fn region_words(region: &RegionReport) -> (Style, String) {
    if let Some(why) = &region.unreached {
        return (Style::Bad, format!("not reached: {why}"));
    }
    let segments = human::counted(region.segments, "segment", "segments");
    let newest = region
        .newest_stored
        .map_or_else(String::new, |time| format!(", newest stored {}", human::time(time)));
    match region.lacks {
        0 => (Style::Plain, format!("{segments}{newest}")),
        lacks => {
            let first =
                region.lacking.first().map_or_else(String::new, |span| format!(" from {} on", span.first));
            (Style::Bad, format!("{segments}{newest}, LACKS {} that others have{first}", human::count(lacks)))
        }
    }
}

fn lag(page: &mut Page, system: &SystemWal, server: Option<&ServerReport>, at: Time) {
    if let Some(newest) = &system.newest {
        let when = newest.stored.map_or_else(
            || "nobody says when".to_owned(),
            |stored| format!("{} ({})", human::time(stored), human::ago(stored, at)),
        );
        page.indented(2, format!("newest: {}, stored {when}", newest.segment));
    }
    let Some(server) = server.filter(|_| system.present) else { return };
    if let Some(why) = &server.unreached {
        page.indented(2, Span::new(Style::Dim, format!("server not asked: {}", shown(why))));
        return;
    }
    let position =
        server.position.map_or_else(|| "at an unknown position".to_owned(), |lsn| format!("at {lsn}"));
    let behind = server
        .behind_bytes
        .map_or_else(String::new, |bytes| format!(", {} of its WAL not archived", human::size(bytes)));
    page.indented(2, format!("server: {position}{behind}"));
    if server.failing {
        let file = server.last_failed.as_deref().map(shown).unwrap_or_default();
        page.indented(
            2,
            Span::new(Style::Bad, format!("archiving fails now: {file}; seawall check says why")),
        );
    }
}
