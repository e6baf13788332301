//! `seawall debug manifest`, `map` and `pack`.

use seawall_engine::Result;
use seawall_engine::debug::{
    self, ExtentReport, FrameLine, ManifestReport, MapReport, PackReport, SlotReport,
};

use crate::args::Global;
use crate::args::debug::{ManifestArgs, MapArgs, PackArgs};
use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Table, human};

pub(super) fn manifest(args: &ManifestArgs, global: &Global, output: &Output) -> Result<Outcome> {
    super::read(
        &args.place,
        global,
        output,
        manifest_page,
        |report: &ManifestReport| &report.findings,
        async |repository| debug::manifest(repository, args.system.system, args.backup).await,
    )
}

pub(super) fn map(args: &MapArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let of = &args.object;
    super::read(
        &of.place,
        global,
        output,
        map_page,
        |report: &MapReport| &report.findings,
        async |repository| debug::map(repository, of.system.system, of.backup, of.number).await,
    )
}

pub(super) fn pack(args: &PackArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let of = &args.object;
    super::read(
        &of.place,
        global,
        output,
        pack_page,
        |report: &PackReport| &report.findings,
        async |repository| debug::pack(repository, of.system.system, of.backup, of.number).await,
    )
}

fn manifest_page(report: &ManifestReport) -> Page {
    let header = &report.header;
    let mut page = Page::new();
    page.line(format!(
        "manifest of backup {}, cluster {} ({})",
        header.backup, header.cluster, header.system
    ));
    let uses: Vec<String> = report.uses.iter().map(ToString::to_string).collect();
    page.facts(
        2,
        [
            ("uses", if uses.is_empty() { "no other backup".to_owned() } else { uses.join(" ") }),
            ("pg_control", human::size(report.control_bytes)),
        ],
    );
    for (name, text) in [("backup_label", &report.label), ("tablespace_map", &report.tablespace_map)] {
        if !text.is_empty() {
            page.blank().line(name);
            for line in text.lines() {
                page.indented(2, line);
            }
        }
    }
    let mut blocks = Table::new(&[
        (Align::Left, "first path"),
        (Align::Right, "entries"),
        (Align::Left, "map of"),
        (Align::Right, "map"),
        (Align::Right, "frame"),
        (Align::Right, "offset"),
        (Align::Right, "length"),
    ]);
    for block in &report.blocks {
        let node = block.node;
        let numbers = [node.map, node.frame, node.offset, node.length].map(|n| Span::plain(n.to_string()));
        let front = [
            Span::plain(block.first.clone()),
            Span::plain(human::count(block.entries)),
            Span::plain(node.backup.to_string()),
        ];
        blocks.row(front.into_iter().chain(numbers));
    }
    page.blank().line("blocks of files").table(2, blocks);
    let mut packs = Table::new(&[
        (Align::Left, "pack of"),
        (Align::Right, "pack"),
        (Align::Right, "pages in use"),
        (Align::Right, "stored"),
        (Align::Right, "size"),
    ]);
    for pack in &report.packs {
        packs.row([
            Span::plain(pack.backup.to_string()),
            Span::plain(pack.pack.to_string()),
            Span::plain(human::count(pack.pages_in_use)),
            Span::plain(human::count(pack.pages_stored)),
            Span::plain(human::size(pack.stored)),
        ]);
    }
    page.blank().line("packs").table(2, packs);
    page
}

fn frame_words(number: usize, frame: &FrameLine) -> String {
    format!(
        "frame {number} at {}: {} bytes stored, {} plain, {}",
        frame.offset, frame.stored, frame.plain, frame.encoding
    )
}

fn map_page(report: &MapReport) -> Page {
    let mut page = Page::new();
    page.line(format!(
        "map {} of backup {}, cluster {} ({})",
        report.map, report.backup, report.cluster, report.system
    ));
    for (number, frame) in report.frames.iter().enumerate() {
        page.indented(2, frame_words(number, frame));
        let here = |frame: u32| usize::try_from(frame) == Ok(number);
        for node in report.nodes.iter().filter(|node| here(node.frame)) {
            let leaf = node.leaf.map_or_else(String::new, |leaf| format!(" leaf {leaf}"));
            let (kind, path) = (node.kind, &node.path);
            let count = node.entries;
            let what =
                if node.extents.is_empty() { format!("{count} entries") } else { format!("{count} extents") };
            page.indented(4, format!("{} +{} {kind} {path}{leaf}: {what}", node.offset, node.length));
            for extent in &node.extents {
                page.indented(6, extent_words(extent));
            }
        }
    }
    page
}

fn extent_words(extent: &ExtentReport) -> String {
    let pages = format!("pages {} +{}", extent.first, extent.pages);
    match extent.at {
        None => format!("{pages}: zeros"),
        Some(at) => {
            format!("{pages}: pack {} of {}, frame {} from {}", at.pack, at.backup, at.frame, at.offset)
        }
    }
}

fn pack_page(report: &PackReport) -> Page {
    let mut page = Page::new();
    page.line(format!(
        "pack {} of backup {}, cluster {} ({})",
        report.pack, report.backup, report.cluster, report.system
    ));
    for (number, frame) in report.frames.iter().enumerate() {
        page.indented(2, frame_words(number, &frame.at));
        for slot in &frame.slots {
            page.indented(4, slot_words(slot, &report.paths));
        }
    }
    page
}

fn slot_words(slot: &SlotReport, paths: &[String]) -> String {
    let path = usize::try_from(slot.path).ok().and_then(|path| paths.get(path)).map_or("?", String::as_str);
    let short = if slot.last_page_bytes == 8192 {
        String::new()
    } else {
        format!(", the last of {} bytes", slot.last_page_bytes)
    };
    format!("{path} pages {} +{}{short}", slot.first, slot.pages)
}
