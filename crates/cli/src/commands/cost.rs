//! `seawall list --cost`.

use seawall_engine::Result;
use seawall_engine::prune::{self, Amount, CostReport};
use seawall_engine::repository::Repository;

use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Style, Table, human};
use crate::settings::ClusterSettings;

/// How long the longest bar is.
const BAR: u64 = 30;

/// Shows what the cluster's backups and WAL take.
pub async fn run(repository: &Repository, settings: &ClusterSettings, output: &Output) -> Result<Outcome> {
    let report = prune::cost(repository, &super::prune::rules(settings)).await?;
    output.report(&report, page)?;
    report.findings.iter().for_each(|finding| output.finding(finding));
    Ok(Outcome::with_findings(report.findings.len() as u64))
}

fn page(report: &CostReport) -> Page {
    let mut page = Page::new();
    let of = human::counted(report.regions as u64, "region", "regions");
    page.line(Span::new(
        Style::Strong,
        format!("cluster {}: amounts of one region; {of} hold them", report.cluster),
    ));
    page.blank();
    page.table(0, by_reason(report));
    page.blank();
    page.table(0, by_age(report));
    page.blank();
    let wal = &report.wal;
    page.line(format!("WAL: {} in {} objects", human::size(wal.bytes), human::count(wal.objects)));
    let chapters = &report.chapters;
    if chapters.objects > 0 {
        let count = human::counted(chapters.objects, "chapter", "chapters");
        page.line(format!("summaries of WAL: {} in {count}", human::size(chapters.bytes)));
    }
    let (stored, needed) = (human::size(report.stored_for_kept), human::size(report.needed_for_kept));
    page.line(format!("stored for kept backups: {stored}, of which they use {needed}"));
    if let Some(ratio) = report.newest_ratio {
        page.line(format!("the newest backup lies in packs of {ratio:.2} times what it uses"));
    }
    if !report.condemned.is_empty() {
        let leaves = human::size(report.condemned.bytes());
        page.line(Span::new(
            Style::Warn,
            format!("not needed by anything kept: {leaves}; seawall prune takes it away"),
        ));
    }
    match &report.in_a_year {
        Some(year) => {
            let backups = human::counted(year.backups, "backup", "backups");
            page.line(format!("in a year: about {} with {backups} kept", human::size(year.bytes)));
            page.indented(2, Span::new(Style::Dim, year.basis.clone()));
        }
        None => {
            page.line(
                "in a year: nobody can say; no rule of retention is set, or no backup was taken lately",
            );
        }
    }
    page
}

fn by_reason(report: &CostReport) -> Table {
    let mut table = Table::new(&[
        (Align::Left, "kept by"),
        (Align::Right, "backups"),
        (Align::Right, "packs"),
        (Align::Right, "size"),
        (Align::Left, ""),
    ]);
    let most = report.by_reason.iter().map(|one| one.amount.bytes).max().unwrap_or(0);
    for one in &report.by_reason {
        let name = one.rule.map_or_else(|| "nothing".to_owned(), |rule| rule.to_string());
        let (count, [packs, size, bar]) = (human::count(one.backups), amount(&one.amount, most));
        table.row([Span::plain(name), Span::plain(count), packs, size, bar]);
    }
    table
}

fn by_age(report: &CostReport) -> Table {
    let mut table = Table::new(&[
        (Align::Left, "stored within"),
        (Align::Right, "packs"),
        (Align::Right, "size"),
        (Align::Left, ""),
    ]);
    let most = report.by_age.iter().map(|one| one.amount.bytes).max().unwrap_or(0);
    for one in &report.by_age {
        let name = one.days_max.map_or_else(|| "longer".to_owned(), |days| format!("{days} days"));
        let [packs, size, bar] = amount(&one.amount, most);
        table.row([Span::plain(name), packs, size, bar]);
    }
    table
}

fn amount(amount: &Amount, most: u64) -> [Span; 3] {
    let length = amount.bytes.saturating_mul(BAR).div_ceil(most.max(1));
    let bar = "=".repeat(usize::try_from(length.min(BAR)).unwrap_or(0));
    [
        Span::plain(human::count(amount.objects)),
        Span::plain(human::size(amount.bytes)),
        Span::new(Style::Dim, bar),
    ]
}
