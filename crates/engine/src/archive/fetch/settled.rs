//! What is true of a history file without asking storage.
//!
//! At the very end of a recovery PostgreSQL chooses a new timeline, removes `recovery.signal`, and only then reads the history of the timeline
//! that it leaves, through `restore_command` (`StartupXLOG`, `writeTimeLineHistory`). Were that answered with a failure, the server would stop
//! between the two, and its next start would be no recovery: it would open on the old timeline, behind the target.
//! Promises: what is answered here is what the server followed itself, or true of every cluster; everything else is storage's to say.
//! Deliberately answers "not there" instead of copying: the server looks into `pg_wal` next.

use std::path::Path;

use seawall_pg::{ControlFile, HistoryFile, Timeline, WalFileName};
use seawall_store::World;

use super::{FetchAnswer, FetchFrom, FetchRequest};
use crate::archive::plan_file::{PlanFile, PlannedWay, Standing};
use crate::source::read_control;

/// As much of a history file as is read.
const BYTES_MAX: u64 = 4 << 20;

/// The answer, where none of storage is needed.
pub(super) fn settled(
    from: &FetchFrom<'_>,
    request: &FetchRequest<'_>,
    world: &World,
) -> Option<FetchAnswer> {
    let Ok(WalFileName::TimelineHistory(timeline)) = request.name.parse() else { return None };
    if timeline == Timeline::FIRST {
        return Some(FetchAnswer::EndOfWal { why: "the first timeline has no history".to_owned() });
    }
    let control = read_control(request.data_directory, world.clock.as_ref()).ok()?.file;
    let plan = match from {
        FetchFrom::Plan(plan) => Some(*plan),
        FetchFrom::Settings { .. } => None,
    };
    let kept = beside(request.data_directory, timeline)?;
    is_followed(plan, &control, &kept).then(|| FetchAnswer::EndOfWal {
        why: format!(
            "{} lies in pg_wal, where the server looks next",
            WalFileName::TimelineHistory(timeline)
        ),
    })
}

/// What the server keeps of it.
fn beside(data_directory: &Path, timeline: Timeline) -> Option<HistoryFile> {
    let path = data_directory.join("pg_wal").join(WalFileName::TimelineHistory(timeline).to_string());
    let is_short = std::fs::metadata(&path).is_ok_and(|found| found.len() <= BYTES_MAX);
    let content = is_short.then(|| std::fs::read(&path).ok())??;
    HistoryFile::parse(timeline, &content).ok()
}

/// Whether this is the history of the way that recovery follows, or of the timeline that the server is on.
fn is_followed(plan: Option<&PlanFile>, control: &ControlFile, kept: &HistoryFile) -> bool {
    match plan.map(|plan| (plan.standing(control), &plan.way)) {
        Some((Standing::ForeignSystem { .. }, _)) => false,
        Some((Standing::Applies, Some(way))) => is_of_way(way, kept),
        _ => kept.timeline == control.checkpoint.timeline,
    }
}

fn is_of_way(way: &PlannedWay, kept: &HistoryFile) -> bool {
    let Some(at) = way.path.iter().position(|span| span.timeline == kept.timeline) else { return false };
    let planned = way.path.iter().take(at).map(|span| (span.timeline, span.end));
    planned.eq(kept.switches.iter().map(|switch| (switch.parent, Some(switch.at))))
}

#[cfg(test)]
mod tests {
    use seawall_pg::{Lsn, Switch};

    use super::*;
    use crate::archive::plan_file::PlannedSpan;

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap_or(Timeline::FIRST)
    }

    fn history(of: u32, switches: &[(u32, u64)]) -> HistoryFile {
        let switch = |(parent, at): &(u32, u64)| Switch {
            parent: timeline(*parent),
            at: Lsn(*at),
            reason: String::new(),
        };
        HistoryFile { timeline: timeline(of), switches: switches.iter().map(switch).collect() }
    }

    #[test]
    fn only_the_history_of_the_way_is_taken_from_beside() {
        let span = |of, begin, end: Option<u64>| PlannedSpan {
            timeline: timeline(of),
            begin: Lsn(begin),
            end: end.map(Lsn),
        };
        let way = PlannedWay {
            timeline: timeline(4),
            path: vec![span(1, 0, Some(100)), span(2, 100, Some(200)), span(4, 200, None)],
            serve: Vec::new(),
            frontier: Lsn(300),
            partial: None,
            in_pg_wal: Vec::new(),
        };
        assert!(is_of_way(&way, &history(4, &[(1, 100), (2, 200)])));
        assert!(is_of_way(&way, &history(2, &[(1, 100)])));
        for other in [
            history(4, &[(1, 100), (3, 200)]),
            history(4, &[(1, 90), (2, 200)]),
            history(2, &[(1, 101)]),
            history(3, &[(1, 100)]),
        ] {
            assert!(!is_of_way(&way, &other), "{other:?}");
        }
    }
}
