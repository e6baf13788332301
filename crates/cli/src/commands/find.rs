//! `seawall find`.

use seawall_engine::Result;
use seawall_engine::find::{self, Candidate, Event, EventWhat, FindReport, Operation, Relation, Weight};
use seawall_engine::text::shown;
use seawall_engine::words::{Time, Timeline, World};

use super::open;
use crate::args::Global;
use crate::args::find::{FindArgs, OWN_OPTIONS};
use crate::exit::Outcome;
use crate::render::progress::Progress;
use crate::render::{Output, Page, Span, Style, human};
use crate::shell;

/// What stands in place of a command.
pub(super) const OUT_OF_REACH: &str = "the moment before it cannot be recovered to: no backup that is left leads there (it is older than the oldest one, \
                                       or WAL between a backup and it is missing)";
/// Relations of one candidate that a person is shown.
const RELATIONS_SHOWN: usize = 8;

/// Looks, and says what it found.
pub fn run(args: &FindArgs, global: &Global, words: &[String], output: &Output) -> Result<Outcome> {
    let settings = args.place.resolve(global)?;
    let world = World::system();
    let now = Time::from_micros(world.clock.now_unix_us()).unwrap_or(Time::EPOCH);
    let options = args.resolve(words, now)?;
    open::runtime()?.block_on(async {
        let repository = open::as_reader(&settings, None, &world).await?;
        let progress = Progress::new(*output, world.clone());
        let report = find::run(&repository, &options, &progress).await;
        progress.finish();
        let report = report?;
        output.report(&report, |report| page(report, words))?;
        report.findings.iter().for_each(|finding| output.finding(finding));
        Ok(Outcome::with_findings(report.findings.len() as u64))
    })
}

fn page(report: &FindReport, words: &[String]) -> Page {
    let mut page = Page::new();
    page.line(format!(
        "{} committed transactions in {}, {} to {} on the way to timeline {}",
        human::count(report.transactions),
        human::counted(report.segments, "segment", "segments"),
        report.from,
        report.to,
        report.timeline
    ));
    for candidate in &report.candidates {
        page.blank();
        candidate_lines(&mut page, candidate);
        match candidate.from_backup {
            Some(_) => page.indented(2, Span::new(Style::Strong, restore_command(candidate, report, words))),
            None => page.indented(2, OUT_OF_REACH),
        };
    }
    if report.candidates.is_empty() {
        let all = report.findings.is_empty();
        let rest = if all { "" } else { " in what could be looked at; the findings tell what could not" };
        page.line(format!("nothing that looks like an accident{rest}"));
    }
    if report.candidates_more > 0 {
        page.blank().line(format!(
            "and {} more that weigh less: --limit shows more, --op and --table fewer kinds",
            human::count(report.candidates_more)
        ));
    }
    if !report.events.is_empty() {
        page.blank().line("besides");
        for event in &report.events {
            page.indented(2, event_line(event));
        }
    }
    names(&mut page, report);
    page
}

fn candidate_lines(page: &mut Page, candidate: &Candidate) {
    let style = if candidate.weight == Weight::High { Style::Bad } else { Style::Strong };
    page.line(Span::new(style, headline(candidate)));
    for relation in candidate.relations.iter().take(RELATIONS_SHOWN) {
        page.indented(4, relation_line(relation));
    }
    let more = candidate.relations.len().saturating_sub(RELATIONS_SHOWN) as u64 + candidate.relations_more;
    if more > 0 {
        page.indented(4, format!("and {} more", human::count(more)));
    }
    if let Some(hint) = &candidate.hint {
        page.indented(4, hint.clone());
    }
}

/// What happened, in one line.
pub(super) fn headline(candidate: &Candidate) -> String {
    let what = match candidate.operation {
        Operation::Drop => "DROP",
        Operation::DropDatabase => "DROP DATABASE",
        Operation::Truncate => "TRUNCATE",
        Operation::Delete => "DELETE",
        Operation::Update => "UPDATE",
    };
    let database = match (&candidate.database_name, candidate.database) {
        (Some(name), _) => format!(" in {}", shown(name)),
        (None, Some(oid)) => format!(" in database {oid}"),
        (None, None) => String::new(),
    };
    let database = if candidate.operation == Operation::DropDatabase {
        database.trim_start_matches(" in").to_owned()
    } else {
        let first = candidate.relations.first().map(|relation| format!(" {}", name(relation)));
        let more = candidate.relations.len() as u64 + candidate.relations_more;
        let more = if more > 1 { format!(" and {} more", more - 1) } else { String::new() };
        format!("{}{more}{database}", first.unwrap_or_default())
    };
    let time = candidate.time.map_or_else(|| "time unknown".to_owned(), human::time);
    let xid = candidate.xid.map(|xid| format!(", transaction {xid}")).unwrap_or_default();
    let prepared = if candidate.prepared { ", prepared before" } else { "" };
    format!("{time}  {what}{database}{}{xid}{prepared}, at {}", rows(candidate), candidate.lsn)
}

fn rows(candidate: &Candidate) -> String {
    let Some(rows) = candidate.rows else { return String::new() };
    let least = if candidate.rows_at_least { "at least " } else { "" };
    let about =
        if matches!(candidate.operation, Operation::Delete | Operation::Update) { "" } else { "about " };
    format!(", {least}{about}{}", human::counted(rows, "row", "rows"))
}

fn name(relation: &Relation) -> String {
    match (&relation.schema, &relation.name) {
        (Some(schema), Some(name)) => shown(&format!("{schema}.{name}")),
        (None, Some(name)) => shown(name),
        _ => match (relation.oid, relation.file) {
            (Some(oid), _) => format!("relation {oid}"),
            (None, Some(file)) => format!("file {}", file.number),
            (None, None) => "a relation".to_owned(),
        },
    }
}

fn relation_line(relation: &Relation) -> String {
    let later =
        relation.later.as_ref().map(|later| format!(", later called {}", shown(later))).unwrap_or_default();
    let rows = match (relation.rows, relation.of_rows) {
        (Some(rows), Some(of)) => format!(": {} of about {} rows", human::count(rows), human::count(of)),
        (Some(rows), None) => format!(": {}", human::counted(rows, "row", "rows")),
        (None, Some(of)) => format!(": about {}", human::counted(of, "row", "rows")),
        (None, None) => String::new(),
    };
    format!("{}{later}{rows}", name(relation))
}

/// One line of something that stands out.
pub(super) fn event_line(event: &Event) -> String {
    let what = match &event.what {
        EventWhat::RestorePoint { name } => format!("restore point \"{}\"", shown(name)),
        EventWhat::WalLevel { level } => format!("wal_level is {}", format!("{level:?}").to_lowercase()),
        EventWhat::Shutdown => "the server was stopped".to_owned(),
        EventWhat::EndOfRecovery { timeline } => format!("a recovery ended; timeline {timeline} begins"),
        EventWhat::DatabaseCreated { database, name } => match name {
            Some(name) => format!("database {} was made", shown(name)),
            None => format!("database {database} was made"),
        },
        EventWhat::TablespaceCreated { tablespace } => format!("tablespace {tablespace} was made"),
        EventWhat::TablespaceDropped { tablespace } => format!("tablespace {tablespace} was dropped"),
    };
    let time = event.time.map(|time| format!(", {}", human::time(time))).unwrap_or_default();
    format!("{}  {what}{time}", event.lsn)
}

/// The command that ends just before a candidate, as it would be typed after this one.
fn restore_command(candidate: &Candidate, report: &FindReport, words: &[String]) -> String {
    let mut kept = shell::words_without(words, &OWN_OPTIONS, &["--json"]);
    if let Some(word) = kept.iter_mut().skip(1).find(|word| *word == "find") {
        "restore".clone_into(word);
    }
    format!(
        "{} {} -D DIRECTORY",
        shell::command(&kept),
        target(candidate, report.other_timelines, report.timeline)
    )
}

/// The options of a restore to just before a candidate.
pub(super) fn target(candidate: &Candidate, other_timelines: bool, timeline: Timeline) -> String {
    let timeline = if other_timelines { format!(" --timeline {timeline}") } else { String::new() };
    let before = if candidate.target.before { " --before" } else { "" };
    format!("--lsn {}{before}{timeline}", candidate.target.lsn)
}

fn names(page: &mut Page, report: &FindReport) {
    page.blank();
    if report.snapshots.is_empty() {
        page.line("No names: no list of a backup could be read.");
    }
    for list in &report.snapshots {
        page.line(format!(
            "Names are those of {} in backup {}, {}.",
            human::counted(list.relations, "relation", "relations"),
            list.backup,
            human::time(list.taken)
        ));
        if list.left_out > 0 {
            page.indented(
                2,
                format!("{} relations were left out for want of room", human::count(list.left_out)),
            );
        }
        for gap in &list.not_asked {
            page.indented(2, format!("not of database {}: {}", shown(&gap.database), shown(&gap.reason)));
        }
    }
}
