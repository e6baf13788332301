//! `seawall list`.

use seawall_engine::Result;
use seawall_engine::list::{self, ListReport, Listed};
use seawall_engine::words::World;

use super::open;
use crate::args::Global;
use crate::args::list::ListArgs;
use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Style, Table, human};

/// Lists the backups of a cluster.
pub fn run(args: &ListArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.place.resolve(global)?;
    let world = World::system();
    open::runtime()?.block_on(async {
        let repository = open::as_reader(&settings, None, &world).await?;
        if args.cost {
            return super::cost::run(&repository, &settings, output).await;
        }
        let report = list::list(&repository, args.region.as_deref()).await?;
        output.report(&report, page)?;
        for finding in &report.findings {
            output.finding(finding);
        }
        Ok(Outcome::with_findings(u64::from(report.has_findings())))
    })
}

fn page(report: &ListReport) -> Page {
    let mut page = Page::new();
    if report.backups.is_empty() {
        page.line(format!("cluster {} has no backup yet", report.cluster));
    }
    if !report.backups.is_empty() {
        page.table(0, table(report));
    }
    for unreached in &report.unreached {
        page.line(format!("region {} could not be asked: {}", unreached.region, unreached.why));
    }
    page
}

fn table(report: &ListReport) -> Table {
    let mut table = Table::new(&[
        (Align::Left, "backup"),
        (Align::Left, "way"),
        (Align::Left, "taken"),
        (Align::Right, "size"),
        (Align::Right, "added"),
        (Align::Left, "from"),
        (Align::Left, "to"),
        (Align::Right, "timeline"),
        (Align::Left, "regions"),
        (Align::Left, ""),
    ]);
    for backup in &report.backups {
        table.row(row(backup));
    }
    table
}

fn row(backup: &Listed) -> [Span; 10] {
    let header = &backup.header;
    let regions = backup.regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let remark = if header.damaged_pages > 0 {
        Span::new(Style::Bad, format!("DAMAGED PAGES: {}", header.damaged_pages))
    } else {
        Span::plain("")
    };
    [
        Span::plain(header.backup.to_string()),
        Span::plain(way(header.way)),
        Span::plain(human::time(header.stopped)),
        Span::plain(human::size(header.bytes)),
        Span::plain(human::size(header.stored)),
        Span::plain(header.start.to_string()),
        Span::plain(header.stop.to_string()),
        Span::plain(header.stop_timeline.to_string()),
        Span::plain(regions),
        remark,
    ]
}

fn way(way: list::Way) -> &'static str {
    match way {
        list::Way::Full => "full",
        list::Way::Scan => "scan",
        list::Way::Wal => "wal",
    }
}
