//! `seawall verify`.

use std::sync::Arc;

use seawall_engine::repository::Repository;
use seawall_engine::source::Niceness;
use seawall_engine::verify::{
    Depth, Ended, Healed, KindCount, RegionReport, VerifyOptions, VerifyReport, verify,
};
use seawall_engine::words::World;
use seawall_engine::{Error, Result};

use super::open;
use crate::args::Global;
use crate::args::verify::VerifyArgs;
use crate::exit::Outcome;
use crate::render::progress::Progress;
use crate::render::{Align, Output, Page, Span, Style, Table, human};
use crate::settings::ClusterSettings;

/// Length of a region's bar.
const BAR: u64 = 20;

/// Says whether what is stored is good.
pub fn run(args: &VerifyArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.place.resolve(global)?;
    let world = World::system();
    let options = options(args, &settings)?;
    let progress = Arc::new(Progress::new(*output, world.clone()));
    open::runtime()?.block_on(async {
        let limit = open::limit(args.bandwidth.or(settings.backup.bandwidth), &world);
        let repository = open::as_reader(&settings, limit.as_ref(), &world).await?;
        let signer = signer(&settings, &world).await;
        let report = verify(&repository, signer.as_ref(), &options, progress.clone()).await;
        progress.finish();
        let report = report?;
        output.report(&report, page)?;
        Ok(Outcome::with_findings(u64::from(report.has_findings())))
    })
}

/// The repository as this host writes to it, where it is one that does: only then can a place be remembered, and the report says if not.
async fn signer(settings: &ClusterSettings, world: &World) -> Option<Repository> {
    settings.data_directory.as_ref()?;
    open::as_writer(settings, None, world).await.ok()
}

fn options(args: &VerifyArgs, settings: &ClusterSettings) -> Result<VerifyOptions> {
    let niceness = u8::try_from(settings.backup.nice).ok().and_then(|nice| Niceness::try_from(nice).ok());
    Ok(VerifyOptions {
        depth: args.depth(),
        region: args.region.clone(),
        budget_bytes: args.budget,
        budget_time: args.time,
        workers: settings.backup.workers.unwrap_or(0),
        niceness: niceness
            .ok_or_else(|| Error::usage("settings.nice", "backup.nice must be from 0 to 19"))?,
    })
}

fn page(report: &VerifyReport) -> Page {
    let mut page = Page::new();
    page.line(headline(report));
    for region in &report.regions {
        page.blank();
        region_page(region, report.depth, &mut page);
    }
    healed(&report.healed, &mut page);
    if !report.known_damage.is_empty() || !report.not_checked.is_empty() || report.place.is_some() {
        page.blank();
    }
    for known in &report.known_damage {
        page.line(format!(
            "backup {}: {} damaged pages that it knew of when it stored them",
            known.backup, known.pages
        ));
    }
    for words in &report.not_checked {
        page.line(format!("not checked: {words}"));
    }
    if let Some(after) = report.place.as_ref().and_then(|place| place.after.as_ref()) {
        page.line(format!("stopped after {after}"));
    }
    if let Some(event) = &report.event {
        page.line(Span::new(Style::Dim, format!("remembered as {event}")));
    }
    page
}

/// Healed objects that are named one by one.
const HEALED_NAMED: usize = 5;

fn healed(healed: &[Healed], page: &mut Page) {
    if healed.is_empty() {
        return;
    }
    page.blank();
    let count = human::count(healed.len() as u64);
    page.line(format!("damaged under their own names and served by heal copies: {count}; nothing is lost"));
    for Healed { region, object, by, .. } in healed.iter().take(HEALED_NAMED) {
        page.indented(2, format!("{object} in region {region}, by {by}"));
    }
    if let Some(more) = healed.len().checked_sub(HEALED_NAMED).filter(|more| *more > 0) {
        page.indented(2, format!("and {} more (--json names them all)", human::count(more as u64)));
    }
}

fn headline(report: &VerifyReport) -> Span {
    let count = report.findings.len() as u64 + report.findings_more;
    let read: u64 = report.regions.iter().map(|region| region.read_bytes).sum();
    let what = format!(
        "{} verification of {}, {} read in {:.1} s",
        report.depth,
        report.cluster,
        human::size(read),
        report.seconds
    );
    let part = if report.ended == Ended::Budget { ", a part within the budget" } else { "" };
    match count {
        0 => Span::new(Style::Good, format!("nothing wrong was found: {what}{part}")),
        1 => Span::new(Style::Bad, format!("1 finding: {what}{part}")),
        count => Span::new(Style::Bad, format!("{count} findings: {what}{part}")),
    }
}

fn region_page(region: &RegionReport, depth: &str, page: &mut Page) {
    page.line(Span::new(Style::Strong, format!("region {}", region.region)));
    if let Some(why) = &region.broken {
        page.indented(2, Span::new(Style::Bad, format!("not verified to the end: {why}")));
    }
    let mut table = Table::new(&[
        (Align::Left, ""),
        (Align::Right, "objects"),
        (Align::Right, "size"),
        (Align::Right, "read whole"),
        (Align::Left, "share read"),
        (Align::Right, "bad"),
    ]);
    for count in region.kinds.iter().filter(|count| count.objects > 0 || count.bad > 0) {
        let style = if count.bad > 0 { Style::Bad } else { Style::Good };
        table.row([
            Span::plain(count.kind.word()),
            Span::plain(human::count(count.objects)),
            Span::plain(human::size(count.bytes)),
            Span::plain(human::size(count.read_bytes)),
            Span::plain(bar(count)),
            Span::new(style, human::count(count.bad)),
        ]);
    }
    page.table(2, table);
    if region.pages > 0 {
        let unjudged = match region.pages_unjudged {
            0 => String::new(),
            pages => {
                format!("; the checksums of {} cannot be judged, their backup is gone", human::count(pages))
            }
        };
        page.indented(2, format!("{} pages opened{unjudged}", human::count(region.pages)));
    } else if depth == Depth::Full.word() {
        page.indented(2, "no page was opened");
    }
    if region.links > 0 {
        page.indented(
            2,
            format!("{} links between neighbouring WAL segments compared", human::count(region.links)),
        );
    }
    if region.orphans.objects > 0 {
        let (objects, bytes) = (human::count(region.orphans.objects), human::size(region.orphans.bytes));
        page.indented(2, format!("{objects} orphaned objects, {bytes}: no backup needs them"));
    }
    if let Some(left) = region.leftovers.filter(|left| *left > 0) {
        page.indented(2, format!("{} files left by writers that died", human::count(left)));
    }
}

/// How much of a kind was read, as a bar.
fn bar(count: &KindCount) -> String {
    let filled = count.read.min(count.objects).saturating_mul(BAR).checked_div(count.objects).unwrap_or(0);
    let rest = BAR.saturating_sub(filled);
    let times = |text: &str, count: u64| text.repeat(usize::try_from(count).unwrap_or(0));
    format!("{}{}", times("─", filled), times("·", rest))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn args(line: &str) -> Option<VerifyArgs> {
        match Cli::try_parse_from(line.split(' ')).ok()?.command {
            Command::Verify(args) => Some(args),
            _ => None,
        }
    }

    #[test]
    fn depth_and_budget_are_as_typed() {
        assert_eq!(args("seawall verify").unwrap().depth(), Depth::Quick);
        assert_eq!(args("seawall verify --quick").unwrap().depth(), Depth::Quick);
        assert_eq!(args("seawall verify --sample 5%").unwrap().depth(), Depth::Sample("5%".parse().unwrap()));
        let stored = args("seawall verify --stored --for 1h").unwrap();
        assert_eq!((stored.depth(), stored.budget), (Depth::Stored, None));
        let full = args("seawall verify --full --budget 100GiB --for 1h").unwrap();
        assert_eq!((full.depth(), full.budget), (Depth::Full, Some(100 << 30)));
        assert_eq!(full.time, Some(std::time::Duration::from_secs(3600)));
        for line in [
            "seawall verify --quick --full",
            "seawall verify --sample 5% --full",
            "seawall verify --stored --full",
            "seawall verify --sample 5% --stored",
            "seawall verify --sample 5",
            "seawall verify --budget 1GiB",
            "seawall verify --sample 5% --for 1h",
            "seawall verify --full --budget 100",
        ] {
            assert!(args(line).is_none(), "{line}");
        }
    }

    #[test]
    fn a_bar_is_as_long_as_what_was_read() {
        let of = |objects, read| bar(&KindCount { objects, read, ..KindCount::default() });
        assert_eq!(of(0, 0), "·".repeat(20));
        assert_eq!(of(4, 1), format!("{}{}", "─".repeat(5), "·".repeat(15)));
        assert_eq!(of(3, 3), "─".repeat(20));
    }
}
