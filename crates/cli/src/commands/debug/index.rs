//! `seawall debug index`.

use seawall_engine::Result;
use seawall_engine::debug::{self, Begins, EndedReport, Ends, ForkReport, IndexReport, MarkWhat, RelationId};

use crate::args::Global;
use crate::args::debug::IndexArgs;
use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Table, human};

/// Runs of pages that a line shows.
const RUNS_SHOWN: usize = 12;

pub(super) fn run(args: &IndexArgs, global: &Global, output: &Output) -> Result<Outcome> {
    super::read(
        &args.place,
        global,
        output,
        page,
        |report: &IndexReport| &report.findings,
        async |repository| debug::index(repository, args.system.system, args.range()).await,
    )
}

fn page(report: &IndexReport) -> Page {
    let mut page = Page::new();
    let what = if report.segments == 1 {
        format!("segment {}", report.from)
    } else {
        format!("{} segments, {} to {}", human::count(report.segments), report.from, report.to)
    };
    page.line(format!("{what}, of cluster {} ({})", report.cluster, report.system));
    page.facts(2, facts(report));
    if !report.index.untold.is_empty() {
        let starts: Vec<String> = report.index.untold.iter().map(ToString::to_string).collect();
        page.indented(2, format!("records of which nothing is told: {}", starts.join(" ")));
    }
    if !report.index.marks.is_empty() {
        page.blank().line("marks");
        for mark in &report.index.marks {
            page.indented(2, format!("{}  {}", mark.start, mark_words(&mark.what)));
        }
    }
    if !report.changes.is_empty() {
        page.blank().line("changes").table(2, changes(&report.changes));
    }
    if !report.transactions.is_empty() {
        page.blank().line("transactions").table(2, transactions(&report.transactions));
    }
    if !report.activity.is_empty() {
        page.blank().line("rows").table(2, activity(report));
    }
    if report.left_out > 0 {
        let (count, most) = (human::count(report.left_out), human::count(report.left_out_rows_most));
        page.indented(
            2,
            format!("and {count} more of at most {most} rows each, which the segments do not list"),
        );
    }
    page
}

/// Edges and sums.
fn facts(report: &IndexReport) -> [(&'static str, String); 7] {
    let first = report.index.first.map_or_else(
        || "none begins here".to_owned(),
        |first| format!("{}, the one before it at {}", first.start, first.previous),
    );
    let commits = report.index.commits.map_or_else(
        || "none".to_owned(),
        |span| {
            let (first, last) = (span.first, span.last);
            let ends = format!(
                "{} at {} to {} at {}",
                first.start,
                human::time(first.time),
                last.start,
                human::time(last.time)
            );
            format!("{}, from {ends}", human::count(span.count))
        },
    );
    [
        ("begins with", begins(report.index.begins)),
        ("first record", first),
        (
            "last record",
            report.index.last.map_or_else(|| "none begins here".to_owned(), |last| last.to_string()),
        ),
        ("ends with", ends(report.index.ends)),
        ("records", human::count(report.index.records)),
        ("commits and aborts", commits),
        (
            "pages changed",
            format!(
                "{} of {}",
                human::count(report.pages),
                human::counted(report.changes.len() as u64, "fork", "forks")
            ),
        ),
    ]
}

fn begins(begins: Begins) -> String {
    match begins {
        Begins::Record => "the beginning of a record".to_owned(),
        Begins::Rest { of } => format!("the rest of the record at {of}"),
        Begins::UnknownRest => {
            "the rest of a record that its writer did not know: nothing is told of it".to_owned()
        }
        Begins::Overwritten { of } => format!("the place of the record at {of}, given up after a crash"),
    }
}

fn ends(ends: Ends) -> String {
    match ends {
        Ends::Record => "the end of a record".to_owned(),
        Ends::Switch { at } => format!("a switch at {at}"),
        Ends::Beginning { of, told: false } => format!("the beginning of the record at {of}"),
        Ends::Beginning { of, told: true } => {
            format!("the beginning of the record at {of}, whose pages are told here")
        }
        Ends::UnknownMiddle => "the middle of a record that its writer did not know".to_owned(),
    }
}

fn mark_words(what: &MarkWhat) -> String {
    match what {
        MarkWhat::Checkpoint { redo, shutdown, time } => {
            let how = if *shutdown { "at shutdown" } else { "online" };
            format!("checkpoint {how}, redo {redo}, begun {}", human::time(*time))
        }
        MarkWhat::EndOfRecovery { timeline, previous, time } => {
            format!("end of recovery at {}: timeline {timeline} after {previous}", human::time(*time))
        }
        MarkWhat::WalLevel { level } => format!("wal_level {}", format!("{level:?}").to_lowercase()),
        MarkWhat::FullPageWrites { on } => format!("full_page_writes {}", if *on { "on" } else { "off" }),
        MarkWhat::RestorePoint { name, time } => {
            format!("restore point \"{name}\" at {}", human::time(*time))
        }
        MarkWhat::BackupEnded { began } => format!("end of the backup that began at {began}"),
        MarkWhat::DatabaseCreated { database, tablespace } => {
            format!("database {database} made in tablespace {tablespace}")
        }
        MarkWhat::DatabaseDropped { database, tablespaces } => {
            let from: Vec<String> = tablespaces.iter().map(ToString::to_string).collect();
            format!("database {database} dropped from tablespaces {}", from.join(" "))
        }
        MarkWhat::TablespaceCreated { tablespace } => format!("tablespace {tablespace} made"),
        MarkWhat::TablespaceDropped { tablespace } => format!("tablespace {tablespace} dropped"),
    }
}

/// Tablespace, database and number, as PostgreSQL's own programs write it.
pub(super) fn relation(id: RelationId) -> String {
    format!("{}/{}/{}", id.tablespace, id.database, id.number)
}

pub(super) fn changes(forks: &[ForkReport]) -> Table {
    let mut table = Table::new(&[
        (Align::Left, "relation"),
        (Align::Left, "fork"),
        (Align::Right, "limit"),
        (Align::Right, "pages"),
        (Align::Left, "which"),
    ]);
    for fork in forks {
        let mut which: Vec<String> =
            fork.runs.iter().take(RUNS_SHOWN).map(|run| run_words(run.first, run.last)).collect();
        if fork.runs.len() > RUNS_SHOWN {
            which.push(format!("and {} more runs (--json has all)", fork.runs.len() - RUNS_SHOWN));
        }
        table.row([
            Span::plain(relation(fork.relation)),
            Span::plain(format!("{:?}", fork.fork).to_lowercase()),
            Span::plain(fork.limit.map_or_else(String::new, |limit| limit.to_string())),
            Span::plain(human::count(fork.pages)),
            Span::plain(which.join(" ")),
        ]);
    }
    table
}

fn run_words(first: u32, last: u32) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn transactions(ended: &[EndedReport]) -> Table {
    let mut table = Table::new(&[
        (Align::Left, "record"),
        (Align::Right, "xid"),
        (Align::Left, "ended"),
        (Align::Left, ""),
        (Align::Left, ""),
    ]);
    for one in ended {
        let how = match (one.committed, one.prepared) {
            (true, false) => "commit",
            (true, true) => "commit of prepared",
            (false, false) => "abort",
            (false, true) => "abort of prepared",
        };
        let counts = [
            (one.subtransactions.len(), "subtransactions"),
            (one.dropped_files.len(), "files dropped"),
            (one.dropped.len(), "relations dropped"),
            (one.redefined.len(), "relations redefined"),
        ];
        let mut besides: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        besides.extend(one.database.map(|database| format!("in database {database}")));
        table.row([
            Span::plain(one.start.to_string()),
            Span::plain(one.xid.to_string()),
            Span::plain(human::time(one.time)),
            Span::plain(how),
            Span::plain(besides.join(", ")),
        ]);
    }
    table
}

fn activity(report: &IndexReport) -> Table {
    let mut table = Table::new(&[
        (Align::Right, "xid"),
        (Align::Left, "relation"),
        (Align::Right, "inserted"),
        (Align::Right, "updated"),
        (Align::Right, "deleted"),
        (Align::Left, ""),
    ]);
    for one in &report.activity {
        let made = one.made.then(|| "file made".to_owned());
        let cut = one.cut_to.map(|pages| format!("cut to {pages} pages"));
        let besides: Vec<String> = made.into_iter().chain(cut).collect();
        table.row([
            Span::plain(one.xid.to_string()),
            Span::plain(relation(one.relation)),
            Span::plain(human::count(one.inserted)),
            Span::plain(human::count(one.updated)),
            Span::plain(human::count(one.deleted)),
            Span::plain(besides.join(", ")),
        ]);
    }
    table
}
