//! `seawall show`.

use seawall_engine::Result;
use seawall_engine::list::{self, Shown};
use seawall_engine::secrets::masked;
use seawall_engine::text;
use seawall_engine::words::World;
use serde_json::json;

use super::open;
use crate::args::Global;
use crate::args::show::{BackupChoice, ShowArgs};
use crate::exit::Outcome;
use crate::render::{Output, Page, human};

/// Shows one backup.
pub fn run(args: &ShowArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.place.resolve(global)?;
    let world = World::system();
    let wanted = match args.backup {
        BackupChoice::Latest => None,
        BackupChoice::Id(id) => Some(id),
    };
    open::runtime()?.block_on(async {
        let repository = open::as_reader(&settings, None, &world).await?;
        let shown = list::show(&repository, wanted, args.region.as_deref()).await?;
        output.report(&document(&shown), |_| page(&shown))?;
        shown.findings.iter().for_each(|finding| output.finding(finding));
        Ok(Outcome::with_findings(u64::from(shown.has_findings())))
    })
}

/// The documented JSON form.
fn document(shown: &Shown) -> serde_json::Value {
    let body = &shown.manifest.body;
    let mut server = body.server.clone();
    server.settings.values_mut().for_each(|value| *value = masked(value));
    json!({
        "header": shown.manifest.header,
        "regions": shown.regions,
        "server": server,
        "tablespaces": body.tablespaces,
        "databases": body.databases,
        "slots": body.slots,
        "subscriptions": body.subscriptions,
        "prepared": body.prepared,
        "unlogged": body.unlogged,
        "row_estimates": body.row_estimates,
        "damaged_pages": body.findings.iter().map(damaged).collect::<Vec<_>>(),
        "packs": body.packs.len(),
        "uses": body.uses,
        "unreached": shown.unreached,
        "findings": shown.findings,
        "external": body.external.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect::<Vec<_>>(),
    })
}

/// A damaged page with its file's name in plain words.
fn damaged(found: &list::DamagedPage) -> serde_json::Value {
    let mut row = json!(found);
    row["path"] = json!(text::shown_bytes(&found.path.0));
    row
}

fn page(shown: &Shown) -> Page {
    let (header, body) = (&shown.manifest.header, &shown.manifest.body);
    let regions = shown.regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let in_use: u64 = body.packs.iter().map(|row| row.pages_in_use).sum();
    let stored: u64 = body.packs.iter().map(|row| row.pages_stored).sum();
    let mut page = Page::new();
    page.line(format!("backup {} of cluster {} ({})", header.backup, header.cluster, header.system));
    let lines = [
        ("regions", regions),
        ("server", body.server.version.clone()),
        ("taken", format!("{} to {}", human::time(header.started), human::time(header.stopped))),
        ("WAL", format!("{} to {} on timeline {}", header.start, header.stop, header.stop_timeline)),
        (
            "size",
            format!(
                "{}, of which this backup added {}",
                human::size(header.bytes),
                human::size(header.stored)
            ),
        ),
        ("packs", format!("{} in use, {in_use} of their {stored} pages", body.packs.len())),
        ("builds on", header.parent.map_or_else(|| "nothing".to_owned(), |parent| parent.to_string())),
        (
            "databases",
            body.databases.iter().map(|database| database.name.clone()).collect::<Vec<_>>().join(", "),
        ),
        ("damaged", format!("{} pages", header.damaged_pages)),
    ];
    for (name, value) in lines {
        page.indented(2, format!("{name:<10} {value}"));
    }
    for unreached in &shown.unreached {
        page.line(format!("region {} could not be asked: {}", unreached.region, unreached.why));
    }
    for found in &body.findings {
        page.indented(2, format!("DAMAGED    {} page {}", text::shown_bytes(&found.path.0), found.page));
    }
    for tablespace in &body.tablespaces {
        let location = tablespace.location.as_deref().unwrap_or("in place");
        page.indented(2, format!("tablespace {} ({}) at {location}", tablespace.name, tablespace.oid));
    }
    page
}
