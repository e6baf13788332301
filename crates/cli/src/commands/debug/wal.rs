//! `seawall debug wal`.

use std::path::Path;

use seawall_engine::debug::{self, BlockLine, RecordLine, WalEnd, WalFileName};
use seawall_engine::words::World;
use seawall_engine::{Error, Result};
use serde_json::json;

use super::index::relation;
use crate::args::Global;
use crate::args::debug::WalArgs;
use crate::commands::open;
use crate::exit::Outcome;
use crate::render::{Output, Page, human};

/// Records that are printed at once.
const BATCH: usize = 256;

pub(super) fn run(args: &WalArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut show = |record: RecordLine| {
        batch.push(record);
        if batch.len() < BATCH { Ok(()) } else { print(&mut batch, output) }
    };
    let end = if args.what.contains('/') {
        debug::local_wal(Path::new(&args.what), args.filter(), &mut show)?
    } else {
        archived(args, global, &mut show)?
    };
    print(&mut batch, output)?;
    output.lines(&[json!({ "end": end })], |_| end_page(&end))?;
    Ok(super::found(&end.findings, output))
}

fn archived(
    args: &WalArgs,
    global: &Global,
    show: &mut dyn FnMut(RecordLine) -> Result<()>,
) -> Result<WalEnd> {
    let file: WalFileName = args.what.parse().map_err(|error| {
        Error::usage("debug.name", format!("{:?} is no name of a file of WAL", args.what))
            .hint("a file beside you is named with a path: ./NAME")
            .because(error)
    })?;
    let settings = args.place.resolve(global)?;
    let world = World::system();
    open::runtime()?.block_on(async {
        let repository = open::as_reader(&settings, None, &world).await?;
        debug::archived_wal(&repository, args.system.system, file, args.filter(), show).await
    })
}

fn print(batch: &mut Vec<RecordLine>, output: &Output) -> Result<()> {
    let records: Vec<_> = batch.iter().map(|record| json!({ "record": record })).collect();
    output.lines(&records, |_| records_page(batch))?;
    batch.clear();
    Ok(())
}

fn records_page(records: &[RecordLine]) -> Page {
    let mut page = Page::new();
    for record in records {
        let of = record.top_xid.map_or_else(String::new, |top| format!(" of {top}"));
        page.line(format!(
            "{}  prev {}  xid {}{of}  {}  {} bytes: {}",
            record.lsn, record.previous, record.xid, record.manager, record.length, record.meaning
        ));
        for block in &record.blocks {
            page.indented(4, block_words(block));
        }
    }
    page
}

fn block_words(block: &BlockLine) -> String {
    let mut words = format!(
        "block {}: {} {} page {}",
        block.id,
        relation(block.relation),
        format!("{:?}", block.fork).to_lowercase(),
        block.page
    );
    if block.made_anew {
        words.push_str(", made anew");
    }
    if let Some(bytes) = block.image {
        words.push_str(&format!(", image of {bytes} bytes"));
    }
    words
}

fn end_page(end: &WalEnd) -> Page {
    let mut page = Page::new();
    page.line(format!(
        "{}: WAL of PostgreSQL {} from {} on timeline {}, system {}",
        end.file, end.postgresql, end.start, end.timeline, end.system
    ));
    if let Some(until) = end.rest_until {
        page.indented(2, format!("begins with the rest of an earlier record, until {until}"));
    }
    let counted = human::counted(end.records, "record", "records");
    match &end.ended {
        Some(why) => page.indented(2, format!("{counted}, {} shown; {why}", human::count(end.shown))),
        None => page.indented(2, format!("{} shown; there may be more (--limit)", human::count(end.shown))),
    };
    if let Some(start) = end.goes_on {
        page.indented(2, format!("the record at {start} goes on in the next segment"));
    }
    page
}
