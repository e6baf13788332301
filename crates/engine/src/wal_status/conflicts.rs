//! Different content under one name, as far as listing raises the suspicion; and timelines whose histories contradict each other.
//!
//! Promises: heads are read only of names whose copies differ in size, a bounded number of them. Deliberately not all: copies of one size
//! are compared by `verify`.

use seawall_repo::id::{Generation, WriterId};
use seawall_repo::keys::Digest;
use seawall_repo::layout::ObjectName;
use seawall_store::RegionName;

use super::look::PlaceSeen;
use super::report::ConflictReport;
use crate::error::Result;
use crate::repository::Repository;

/// What one region's copy is.
struct Copy {
    region: RegionName,
    digest: Digest,
    generation: Option<Generation>,
    writer: WriterId,
}

/// The conflicts of a place, and how many names were not looked at.
pub(super) async fn conflicts(
    repository: &Repository,
    seen: &PlaceSeen,
) -> Result<(Vec<ConflictReport>, u64)> {
    let mut all = Vec::new();
    let Some(wal) = &seen.wal else { return Ok((all, 0)) };
    for name in &wal.odd {
        let copies = copies(repository, name).await;
        let Some((first, rest)) = copies.split_first() else { continue };
        // Digests of other keys cannot be compared.
        let other =
            rest.iter().find(|copy| copy.generation == first.generation && copy.digest != first.digest);
        if let Some(other) = other {
            let what = format!(
                "different content under one name: in region {} by writer {}, in region {} by writer {}",
                first.region, first.writer, other.region, other.writer
            );
            all.push(ConflictReport { object: name.to_string(), what });
        }
    }
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
    Ok((all, wal.odd_more))
}

/// The believed copies; one that is damaged is `verify`'s to tell.
async fn copies(repository: &Repository, name: &ObjectName) -> Vec<Copy> {
    let mut all = Vec::new();
    for region in repository.regions().iter() {
        let Some(within) = repository.within(region.name()) else { continue };
        let Ok(read) = within.read_head(name).await else { continue };
        let head = &read.value;
        all.push(Copy {
            region: region.name().clone(),
            digest: *head.head().plain_digest(),
            generation: head.generation(),
            writer: head.head().writer(),
        });
    }
    all
}
