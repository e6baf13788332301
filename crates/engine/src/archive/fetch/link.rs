//! The link between the segment that was handed over last and the next one.
//!
//! What a server was given, or streamed, it keeps under the segment's name in `pg_wal` until it has replayed it. Promises: a segment
//! that does not go on there is told with both writers, where they are known. Deliberately judges nothing where the one before is
//! not there: then nothing was handed over, or it is not known what.

use std::path::Path;
use std::sync::Mutex;

use seawall_pg::wal::WalOf;
use seawall_pg::{ControlFile, History, HistoryFile, SegmentName, Switch, Timeline, WalFileName};
use seawall_repo::layout::{Named, ObjectName, Place};

use crate::archive::conflict::made_by;
use crate::archive::index::Before;
use crate::archive::plan_file::{PlanFile, PlannedWay};
use crate::error::Error;
use crate::repository::Repository;

/// History files have a line for each switch; longer ones are none.
const HISTORY_BYTES_MAX: u64 = 4 << 20;

/// What was handed over last, and what was found not to go on there.
#[derive(Debug)]
pub(super) struct Link {
    before: Before,
    /// The segment before.
    number: seawall_pg::SegmentNo,
    history: History,
    broken: Mutex<Option<String>>,
}

impl Link {
    /// The link of the file that a server asks for; none where nothing is known of what it was given before.
    pub(super) fn find(
        file: WalFileName,
        control: &ControlFile,
        plan: Option<&PlanFile>,
        data_directory: &Path,
    ) -> Option<Self> {
        let (WalFileName::Segment(segment) | WalFileName::Partial(segment)) = file else { return None };
        let directory = data_directory.join("pg_wal");
        let way = plan.and_then(|plan| plan.way.as_ref());
        let history = match way.filter(|way| way.path.iter().any(|span| span.timeline == segment.timeline()))
        {
            Some(way) => planned(way),
            None => beside(&directory, segment.timeline())?,
        };
        let before = Before::find(WalOf::by(control), &directory, segment, &history)?;
        let number = segment.number(control.wal_segment_size).ok()?.prev()?;
        Some(Self { before, number, history, broken: Mutex::new(None) })
    }

    /// What is wrong with a segment that begins so.
    pub(super) fn goes_on(&self, beginning: &[u8]) -> Result<(), String> {
        self.before.goes_on(beginning).map_err(|why| {
            let why = format!("it does not go on where the segment handed over before it ends: {why}");
            if let Ok(mut broken) = self.broken.lock() {
                *broken = Some(why.clone());
            }
            why
        })
    }

    /// The error, if a copy that was asked for did not go on.
    pub(super) async fn error(
        &self,
        repository: &Repository,
        name: &ObjectName,
        control: &ControlFile,
    ) -> Option<Error> {
        let why = self.broken.lock().ok()?.clone()?;
        let size = control.wal_segment_size;
        let before =
            SegmentName::new(self.history.timeline_of_segment(self.number, size), self.number, size).ok()?;
        let place = Place { cluster: repository.cluster().clone(), system: control.system_identifier };
        let archived = Named::Wal { place, file: WalFileName::Segment(before) }.into();
        Some(
            Error::data("archive.broken-link", format!("{name} is not what follows here: {why}"))
                .fact("this one", by_whom(repository, name).await)
                .fact("the one before, in the archive", by_whom(repository, &archived).await)
                .hint("recovery stopped before it: two servers archived under one timeline, or WAL between the two was lost or reset")
                .hint("restore to a point before it, or put the other server's own pg_wal beside it: seawall restore --salvage-wal OLD_PGDATA"),
        )
    }
}

/// Who made an object, as far as that is known.
async fn by_whom(repository: &Repository, name: &ObjectName) -> String {
    match repository.read_head(name).await {
        Ok(head) => made_by(repository, &head.value),
        Err(error) => format!("not known: {error}"),
    }
}

/// The timelines of a plan.
fn planned(way: &PlannedWay) -> History {
    let switches = way
        .path
        .iter()
        .filter_map(|span| Some(Switch { parent: span.timeline, at: span.end?, reason: String::new() }));
    History::from_file(&HistoryFile { timeline: way.timeline, switches: switches.collect() })
}

/// The history of a timeline by the file that the server keeps in `pg_wal`.
fn beside(directory: &Path, timeline: Timeline) -> Option<History> {
    if timeline == Timeline::FIRST {
        return Some(History::root(timeline));
    }
    let path = directory.join(WalFileName::TimelineHistory(timeline).to_string());
    let is_short = std::fs::metadata(&path).is_ok_and(|found| found.len() <= HISTORY_BYTES_MAX);
    let content = is_short.then(|| std::fs::read(&path).ok())??;
    HistoryFile::parse(timeline, &content).ok().map(|file| History::from_file(&file))
}
