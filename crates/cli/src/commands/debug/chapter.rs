//! `seawall debug chapter`.

use seawall_engine::Result;
use seawall_engine::debug::{self, ChapterReport, ChapterSegment};
use seawall_engine::text::shown;

use super::index::changes;
use crate::args::Global;
use crate::args::debug::ChapterArgs;
use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Table, human};

pub(super) fn run(args: &ChapterArgs, global: &Global, output: &Output) -> Result<Outcome> {
    super::read(
        &args.place,
        global,
        output,
        page,
        |report: &ChapterReport| &report.findings,
        async |repository| debug::chapter(repository, args.system.system, args.folder).await,
    )
}

fn page(report: &ChapterReport) -> Page {
    let mut page = Page::new();
    let segments = human::counted(report.segments.len() as u64, "segment", "segments");
    page.line(format!(
        "chapter of {segments} of {}, of cluster {} ({}), by writer {}",
        human::size(report.segment_size),
        report.cluster,
        report.system,
        report.writer
    ));
    page.blank().table(2, table(&report.segments));
    if !report.changes.is_empty() {
        let pages = human::count(report.pages);
        page.blank()
            .line(format!("changes of all of them: {pages} pages"))
            .table(2, changes(&report.changes));
    }
    page
}

fn table(segments: &[ChapterSegment]) -> Table {
    let mut table = Table::new(&[
        (Align::Left, "segment"),
        (Align::Right, "records"),
        (Align::Right, "commits"),
        (Align::Left, "first commit"),
        (Align::Left, "last commit"),
        (Align::Right, "marks"),
        (Align::Left, ""),
    ]);
    for one in segments {
        let index = one.index.as_ref();
        let span = index.and_then(|index| index.commits);
        let number = |number: Option<u64>| number.map_or_else(String::new, human::count);
        let untold = index.map_or(0, |index| index.untold.len());
        let besides = match (&one.reason, untold) {
            (Some(why), _) => format!("no index: {}", shown(why)),
            (None, 0) => String::new(),
            (None, untold) => format!("{untold} records of which nothing is told"),
        };
        table.row([
            Span::plain(one.segment.to_string()),
            Span::plain(number(index.map(|index| index.records))),
            Span::plain(number(span.map(|span| span.count))),
            Span::plain(span.map_or_else(String::new, |span| human::time(span.first.time))),
            Span::plain(span.map_or_else(String::new, |span| human::time(span.last.time))),
            Span::plain(number(index.map(|index| index.marks.len() as u64))),
            Span::plain(besides),
        ]);
    }
    table
}
