//! A restore without a target: what stood out in the last day is shown, and a person is asked; where nobody can be, it is an error
//! with the same as hints.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use seawall_engine::find::{self, Bound, Candidate, Event, EventWhat, FindOptions, FindReport, Wanted};
use seawall_engine::monitor::Silent;
use seawall_engine::repository::Repository;
use seawall_engine::text::shown;
use seawall_engine::words::Time;
use seawall_engine::{Error, Result};

use super::find::{OUT_OF_REACH, event_line, headline, target as options_of};
use crate::args::target::{Goal, Target, TimelineChoice};
use crate::shell;

/// What is shown of each kind, the newest.
const SHOWN_MAX: usize = 10;
const DAY_US: i64 = 24 * 3_600_000_000;

/// The target that somebody chooses.
///
/// # Errors
/// Nobody is there to choose, or chose nothing.
pub(super) async fn choose(
    repository: &Repository,
    target: Target,
    words: &[String],
    json: bool,
) -> Result<Target> {
    let found = last_day(repository).await;
    let asks = !json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !asks {
        return Err(hinted(missing(words), found, words));
    }
    let report = found?;
    let choices = choices(&report);
    let mut text = String::from("Where should recovery end? In the last day stood out:\n");
    for (number, choice) in choices.iter().enumerate() {
        text.push_str(&format!("  {:>2}  before  {}\n", number + 1, headline(choice)));
        if let Some(hint) = &choice.hint {
            text.push_str(&format!("              {hint}\n"));
        }
    }
    for candidate in out_of_reach(&report) {
        text.push_str(&format!("              {} ({OUT_OF_REACH})\n", headline(candidate)));
    }
    for event in newest(&report.events) {
        text.push_str(&format!("              {}\n", event_line(event)));
    }
    text.push_str("A number for the moment just before it, latest for the last commit that was archived, nothing to stop: ");
    write!(std::io::stderr().lock(), "{text}").map_err(|error| {
        Error::source_side("cli.terminal", "the terminal cannot be written to").because(error)
    })?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Error::source_side("cli.terminal", "the answer could not be read").because(error))?;
    chosen(answer.trim(), &choices, &report, target).ok_or_else(|| missing(words))
}

/// What an answer means; none where it means nothing.
fn chosen(answer: &str, choices: &[&Candidate], report: &FindReport, target: Target) -> Option<Target> {
    if answer == "latest" {
        return Some(Target { goal: Some(Goal::Latest), ..target });
    }
    let number: usize = answer.parse().ok()?;
    let choice = choices.get(number.checked_sub(1)?)?;
    let timeline =
        if report.other_timelines { TimelineChoice::Number(report.timeline) } else { target.timeline };
    Some(Target {
        goal: Some(Goal::Lsn(choice.target.lsn)),
        before: choice.target.before,
        timeline,
        ..target
    })
}

async fn last_day(repository: &Repository) -> Result<FindReport> {
    let now = repository.world().clock.now_unix_us();
    let since = Time::from_micros(now.saturating_sub(DAY_US)).unwrap_or(Time::EPOCH);
    let options = FindOptions {
        wanted: Wanted::default(),
        since: Bound::Time(since),
        until: None,
        timeline: None,
        limit: SHOWN_MAX,
    };
    find::run(repository, &options, &Silent).await
}

/// What can be chosen: the moments that a backup leads to.
fn choices(report: &FindReport) -> Vec<&Candidate> {
    report.candidates.iter().rev().filter(|one| one.from_backup.is_some()).take(SHOWN_MAX).collect()
}

/// What stood out and cannot be chosen.
fn out_of_reach(report: &FindReport) -> impl Iterator<Item = &Candidate> {
    report.candidates.iter().rev().filter(|one| one.from_backup.is_none()).take(SHOWN_MAX)
}

fn newest(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().rev().take(SHOWN_MAX)
}

pub(super) fn missing(words: &[String]) -> Error {
    Error::usage("target.missing", "where should recovery end?")
        .hint(format!("the last commit that was archived: {} --latest", shell::command(words)))
        .hint(format!("a moment: {} --at 'YYYY-MM-DD HH:MM:SS+00'", shell::command(words)))
}

/// With what stood out, or why that is not known.
fn hinted(error: Error, found: Result<FindReport>, words: &[String]) -> Error {
    let command = shell::command(words);
    let report = match found {
        Ok(report) => report,
        Err(why) => return error.fact("what stood out in the last day is not known", why),
    };
    let error = choices(&report).into_iter().fold(error, |error, choice| {
        let options = options_of(choice, report.other_timelines, report.timeline);
        let said = choice.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        error.hint(format!("before {}{said}: {command} {options}", headline(choice)))
    });
    let error =
        out_of_reach(&report).fold(error, |error, candidate| error.fact(OUT_OF_REACH, headline(candidate)));
    let error = newest(&report.events).fold(error, |error, event| match &event.what {
        EventWhat::RestorePoint { name } => error.hint(format!(
            "{}: {command} --restore-point {}",
            event_line(event),
            shell::quoted(&shown(name))
        )),
        _ => error.fact("stood out", event_line(event)),
    });
    let gaps = report.findings.len();
    if gaps == 0 {
        error
    } else {
        error.fact("not looked at", format!("{gaps} findings; seawall find tells them"))
    }
}
