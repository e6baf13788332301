//! Which WAL a place has, region by region, from listing alone.
//!
//! Promises: names are taken as they come and kept as ranges, so memory grows with holes and timelines, not with segments;
//! a region whose listing broke is said and never taken for an empty one; a part counts for nothing without the object of the
//! whole. Times are the stores' own. Deliberately reads only history files: whether the bytes are good is `verify`'s question.

mod ranges;
mod windows;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use seawall_pg::{History, HistoryFile, SegmentNo, Timeline, WalFileName, WalSegmentSize};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::time::Time;
use seawall_store::{Held, Listed, RegionName};
use serde::Serialize;

pub use self::ranges::{Ranges, SegmentRange};
pub use self::windows::{Stretch, stretches};
use super::read::small;
use crate::error::{Kind, Result};
use crate::monitor::Finding;
use crate::repository::{Repository, unlistable};

/// A region whose next name comes so much later than another region's is not waited for: who asks what could be recovered must not
/// wait for a region that hangs. A thousand names come in one answer.
const LIST_LAG_MAX: Duration = Duration::from_secs(30);

/// The WAL of one timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TimelineWal {
    /// Whole segments.
    pub segments: Ranges,
    /// Segments that are there only as `.partial` files.
    pub partial: Ranges,
}

/// The WAL that one region, or all of them together, have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WalHeld {
    /// By timeline.
    pub timelines: BTreeMap<Timeline, TimelineWal>,
    /// History files that are there.
    pub histories: Vec<Timeline>,
}

/// A region and what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionWal {
    /// Which.
    pub region: RegionName,
    /// What it has, as far as it was listed.
    pub wal: WalHeld,
    /// Why the listing broke off; none if it is complete.
    pub broken: Option<String>,
}

/// What listing a place's WAL gave.
#[derive(Debug, Clone)]
pub struct WalInventories {
    /// The size of the segments.
    pub size: WalSegmentSize,
    /// What the regions have together: what a restore can use.
    pub merged: WalHeld,
    /// What each has.
    pub regions: Vec<RegionWal>,
    /// Where timelines come from; those above 1 that are not in here cannot be followed.
    pub histories: BTreeMap<Timeline, History>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Lists the WAL of a place in every region at the same time and reads its history files. `size` is that of the cluster's
/// segments, as its backups or `pg_control` say.
///
/// # Errors
/// No region can be listed, or the keys do not open history files.
pub async fn load(repository: &Repository, place: &Place, size: WalSegmentSize) -> Result<WalInventories> {
    load_with(repository, place, size, &mut |_, _| {}).await
}

/// The same, and every name, those of parts too, goes by `see` with who holds it, in order.
///
/// # Errors
/// As [`load`].
pub(crate) async fn load_with(
    repository: &Repository,
    place: &Place,
    size: WalSegmentSize,
    see: &mut (dyn FnMut(&ObjectName, &[Held]) + Send),
) -> Result<WalInventories> {
    let mut found = Found::new(repository, size);
    let mut listed = repository.regions().list_all_within(&place.wal(), LIST_LAG_MAX);
    while let Some(entry) = listed.next().await {
        match entry {
            Listed::Broken { region, error } => found.broken(&region, &error.chain()),
            Listed::Object { name, held, .. } => {
                let Some(name) = ObjectName::parse(&name) else { continue };
                see(&name, &held);
                let Named::Wal { file, .. } = name.named() else { continue };
                for copy in held {
                    found.add(&copy.region, *file, Time::from_micros(copy.modified_unix_us));
                }
            }
        }
    }
    drop(listed);
    found.finish(repository, place).await
}

struct Found(WalInventories);

impl Found {
    fn new(repository: &Repository, size: WalSegmentSize) -> Self {
        let empty =
            |region: &RegionName| RegionWal { region: region.clone(), wal: WalHeld::default(), broken: None };
        Self(WalInventories {
            size,
            merged: WalHeld::default(),
            regions: repository.regions().iter().map(|region| empty(region.name())).collect(),
            histories: BTreeMap::new(),
            findings: Vec::new(),
        })
    }

    fn broken(&mut self, region: &RegionName, why: &str) {
        if let Some(known) = self.0.regions.iter_mut().find(|known| known.region == *region) {
            known.broken = Some(why.to_owned());
        }
        self.0.findings.push(Finding {
            id: "archive.region-not-listed",
            what: format!("WAL in region {region} could not be listed: {why}"),
            hint: Some("what only this region holds is not counted".to_owned()),
        });
    }

    fn add(&mut self, region: &RegionName, file: WalFileName, stored: Option<Time>) {
        let size = self.0.size;
        let number = file.segment().map(|name| name.number(size));
        if let Some(Err(error)) = number {
            self.0.findings.push(Finding {
                id: "archive.strange-segment",
                what: format!("{file} in region {region} does not belong here: {error}"),
                hint: None,
            });
            return;
        }
        let number = number.and_then(std::result::Result::ok);
        if let Some(held) = self.0.regions.iter_mut().find(|known| known.region == *region) {
            held.wal.add(file, number, stored);
        }
        self.0.merged.add(file, number, stored);
    }

    async fn finish(mut self, repository: &Repository, place: &Place) -> Result<WalInventories> {
        if self.0.regions.iter().all(|region| region.broken.is_some()) {
            let why = |region: &RegionWal| region.broken.clone().unwrap_or_default();
            return Err(unlistable(self.0.regions.iter().map(|region| (&region.region, why(region)))));
        }
        self.0.histories.insert(Timeline::FIRST, History::root(Timeline::FIRST));
        for timeline in self.0.merged.histories.clone() {
            self.read_history(repository, place, timeline).await?;
        }
        Ok(self.0)
    }

    async fn read_history(
        &mut self,
        repository: &Repository,
        place: &Place,
        timeline: Timeline,
    ) -> Result<()> {
        let name = Named::Wal { place: place.clone(), file: WalFileName::TimelineHistory(timeline) }.into();
        let why = match small(repository, &name).await {
            Ok(content) => match HistoryFile::parse(timeline, &content) {
                Ok(file) => {
                    self.0.histories.insert(timeline, History::from_file(&file));
                    return Ok(());
                }
                Err(error) => error.to_string(),
            },
            // Without keys nobody can say where a timeline comes from: that is no fault of the file.
            Err(error) if error.kind() == Kind::Usage => return Err(error),
            Err(error) => error.to_string(),
        };
        self.0.findings.push(Finding {
            id: "archive.history-unusable",
            what: format!("the history file of timeline {timeline} cannot be used: {why}"),
            hint: Some("that timeline cannot be followed".to_owned()),
        });
        Ok(())
    }
}

impl WalHeld {
    /// Enters a file; `number` is its segment's.
    pub(crate) fn add(&mut self, file: WalFileName, number: Option<SegmentNo>, stored: Option<Time>) {
        match (file, number) {
            (WalFileName::Segment(name), Some(number)) => {
                self.timelines.entry(name.timeline()).or_default().segments.add(number, stored);
            }
            (WalFileName::Partial(name), Some(number)) => {
                self.timelines.entry(name.timeline()).or_default().partial.add(number, stored);
            }
            (WalFileName::TimelineHistory(timeline), _) => {
                if let Err(at) = self.histories.binary_search(&timeline) {
                    self.histories.insert(at, timeline);
                }
            }
            _ => {}
        }
    }

    /// What several regions have together.
    pub(crate) fn together<'a>(all: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let mut together = Self::default();
        for timeline in all.clone().flat_map(|held| held.timelines.keys()) {
            if !together.timelines.contains_key(timeline) {
                let of = all.clone().filter_map(|held| held.timelines.get(timeline));
                let wal = TimelineWal {
                    segments: Ranges::together(of.clone().map(|wal| &wal.segments)),
                    partial: Ranges::together(of.map(|wal| &wal.partial)),
                };
                together.timelines.insert(*timeline, wal);
            }
        }
        together.histories = all.flat_map(|held| held.histories.iter().copied()).collect();
        together.histories.sort_unstable();
        together.histories.dedup();
        together
    }

    /// How many whole segments there are.
    pub(crate) fn count(&self) -> u64 {
        self.timelines.values().map(|wal| wal.segments.count()).sum()
    }

    /// Whether a whole segment is there.
    #[must_use]
    pub fn has(&self, timeline: Timeline, number: SegmentNo) -> bool {
        self.timelines.get(&timeline).is_some_and(|wal| wal.segments.holding(number).is_some())
    }
}

#[cfg(test)]
mod tests;
