//! Different content under one name; and timelines whose histories contradict each other.
//!
//! Promises: what is compared are the digests that stand signed in heads; of names whose copies differ in size, and of the newest whose
//! copies are of one size, a bounded number of each, and how many were left out is told. All are compared by `verify`.

use futures::StreamExt as _;

use super::look::PlaceSeen;
use super::report::ConflictReport;
use crate::error::Result;
use crate::repository::Repository;
use crate::repository::apart;

/// Names whose heads are read at the same time.
const AHEAD: usize = 8;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    pub(super) all: Vec<ConflictReport>,
    /// Names with copies of different sizes that were not looked at.
    pub(super) unread: u64,
    /// Names with copies of one size that were not compared.
    pub(super) not_compared: u64,
}

/// The conflicts of a place.
pub(super) async fn conflicts(repository: &Repository, seen: &PlaceSeen) -> Result<Conflicts> {
    let mut all = Vec::new();
    let Some(wal) = &seen.wal else { return Ok(Conflicts::default()) };
    let named = wal.odd.iter().chain(&wal.alike);
    let mut reading = futures::stream::iter(named)
        .map(|name| async move { (name, apart(repository, name, &[]).await) })
        .buffered(AHEAD)
        .boxed_local();
    while let Some((name, apart)) = reading.next().await {
        if let Some(apart) = apart {
            all.push(ConflictReport { object: name.to_string(), what: apart.words() });
        }
    }
    drop(reading);
    let histories: Vec<_> = wal.held.histories.iter().collect();
    for (index, (timeline, history)) in histories.iter().enumerate() {
        for (other, theirs) in histories.iter().skip(index + 1) {
            if let Some(conflict) = history.conflict(theirs) {
                all.push(ConflictReport {
                    object: format!("timelines {timeline} and {other}"),
                    what: format!("their histories contradict each other: {conflict}"),
                });
            }
        }
    }
    Ok(Conflicts { all, unread: wal.odd_more, not_compared: wal.alike_more })
}
