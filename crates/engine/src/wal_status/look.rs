//! Asking every region which WAL it has: one listing a place, history files, and what was decided about keeping.

use std::collections::{BTreeMap, VecDeque};

use seawall_pg::{SegmentNo, WalFileName, WalSegmentSize};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::time::Time;
use seawall_store::{Held, RegionName};

use crate::archive::inventory::{WalInventories, load_with};
use crate::archive::push::done_without;
use crate::error::Result;
use crate::holes::{Acknowledgements, Asked, PlaceWal, acknowledgements, gaps};
use crate::monitor::Finding;
use crate::repository::{BackupEntry, Catalog, Repository};
use crate::retention::{Lineage, WalMap, WalRanges, WalRuns};
use crate::status::size_from_wal;

/// Names whose copies differ in size that are remembered.
const ODD_MAX: usize = 100;
/// Names whose copies are of one size that are remembered: the last in the order of names, which are the newest.
const ALIKE_MAX: usize = 64;

/// One system identifier.
#[derive(Debug)]
pub(crate) struct PlaceSeen {
    pub(crate) place: Place,
    pub(crate) lineage: Lineage,
    pub(crate) backups: Vec<BackupEntry>,
    /// None where there is neither WAL nor a backup.
    pub(crate) wal: Option<WalSeen>,
}

/// The WAL of a place.
#[derive(Debug)]
pub(crate) struct WalSeen {
    pub(crate) size: WalSegmentSize,
    pub(crate) held: WalInventories,
    /// With its age, by days.
    pub(crate) map: WalMap,
    pub(crate) asked: Asked,
    pub(crate) acknowledged: Acknowledgements,
    /// Names whose copies differ in size, and how many more there are.
    pub(crate) odd: Vec<ObjectName>,
    pub(crate) odd_more: u64,
    /// The newest names whose copies, in two regions or more, are of one size, and how many others there are.
    pub(crate) alike: VecDeque<ObjectName>,
    pub(crate) alike_more: u64,
    /// What each region lacks that others have.
    pub(crate) lacking: BTreeMap<RegionName, Lacking>,
}

/// Objects that are somewhere else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// How many.
    pub(crate) objects: u64,
    /// What they have there, in bytes.
    pub(crate) bytes: u64,
}

/// All of a cluster.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) places: Vec<PlaceSeen>,
    /// Regions that could not be asked for backups, and why.
    pub(crate) unreached: Vec<(RegionName, String)>,
    pub(crate) findings: Vec<Finding>,
}

/// Looks at everything of the cluster that has to do with WAL.
pub(crate) async fn look(repository: &Repository, now: Time) -> Result<Looked> {
    let catalog = repository.catalog().await?;
    let unreached = catalog.unreached.iter().map(|one| (one.region.clone(), one.why.clone())).collect();
    let mut looked = Looked { places: Vec::new(), unreached, findings: catalog.refused.clone() };
    for adoption in repository.adoptions().await? {
        let place = Place { cluster: repository.cluster().clone(), system: adoption.system };
        let lineage = Lineage { system: adoption.system, after: adoption.after, adopted: adoption.adopted };
        looked.findings.extend(done_without(repository, &place, now).await?);
        looked.places.push(one(repository, place, lineage, &catalog, &mut looked.findings).await?);
    }
    let known: Vec<PlaceWal<'_>> = looked
        .places
        .iter()
        .filter_map(|seen| {
            let wal = seen.wal.as_ref()?;
            Some(PlaceWal {
                place: &seen.place,
                lineage: &seen.lineage,
                backups: &seen.backups,
                histories: &wal.held.histories,
                wal: &wal.map,
            })
        })
        .collect();
    let mut asked = Asked::load(repository, &known, now).await?;
    for seen in &mut looked.places {
        if let (Some(wal), Some(asked)) = (&mut seen.wal, asked.remove(&seen.place.system)) {
            wal.asked = asked;
        }
    }
    Ok(looked)
}

async fn one(
    repository: &Repository,
    place: Place,
    lineage: Lineage,
    catalog: &Catalog,
    findings: &mut Vec<Finding>,
) -> Result<PlaceSeen> {
    let backups: Vec<BackupEntry> =
        catalog.backups.iter().filter(|entry| entry.place == place).cloned().collect();
    let size = match backups.last() {
        Some(entry) => Some(entry.header.segment_size),
        None => size_from_wal(repository, &place).await?,
    };
    let wal = match size {
        Some(size) => Some(wal(repository, &place, size, (&backups, findings)).await?),
        None => None,
    };
    Ok(PlaceSeen { place, lineage, backups, wal })
}

async fn wal(
    repository: &Repository,
    place: &Place,
    size: WalSegmentSize,
    (backups, findings): (&[BackupEntry], &mut Vec<Finding>),
) -> Result<WalSeen> {
    let mut lacks = Lacks::new(repository, backups, size);
    let (mut runs, mut odd, mut odd_more) = (WalRuns::default(), Vec::new(), 0);
    let (mut alike, mut alike_more) = (VecDeque::new(), 0);
    let held = load_with(repository, place, size, &mut |name, held| {
        lacks.see(name, held);
        let Named::Wal { file, .. } = name.named() else { return };
        let differ = held.windows(2).any(|pair| matches!(pair, [a, b] if a.size_bytes != b.size_bytes));
        match differ {
            true if odd.len() < ODD_MAX => odd.push(name.clone()),
            true => odd_more += 1,
            false if held.len() > 1 => {
                alike.push_back(name.clone());
                if alike.len() > ALIKE_MAX {
                    alike.pop_front();
                    alike_more += 1;
                }
            }
            false => {}
        }
        let stored = held.iter().map(|copy| copy.modified_unix_us).min().and_then(Time::from_micros);
        let (Some(segment), Some(stored)) = (file.segment(), stored) else { return };
        let Ok(number) = segment.number(size) else { return };
        match file {
            WalFileName::Segment(_) => runs.segment(segment.timeline(), number, stored),
            WalFileName::Partial(_) => runs.partial(segment.timeline(), number, stored),
            _ => {}
        }
    })
    .await?;
    let acknowledged = acknowledgements(repository, place, size, findings).await?;
    let (map, asked) = (runs.finish(size), Asked::default());
    let lacking = lacks.done();
    Ok(WalSeen { size, held, map, asked, acknowledged, odd, odd_more, alike, alike_more, lacking })
}

/// What each region lacks, while names go by.
struct Lacks {
    size: WalSegmentSize,
    /// A region, the first segment that its own oldest backup needs, and what it lacks from there on.
    regions: Vec<(RegionName, SegmentNo, Lacking)>,
}

impl Lacks {
    fn new(repository: &Repository, backups: &[BackupEntry], size: WalSegmentSize) -> Self {
        let regions = repository.regions().iter().map(|region| {
            let own = backups.iter().filter(|backup| backup.regions.contains(region.name()));
            let oldest = own.map(|backup| size.segment_of(backup.header.start)).min();
            (region.name().clone(), oldest.unwrap_or(SegmentNo(0)), Lacking::default())
        });
        Self { size, regions: regions.collect() }
    }

    fn see(&mut self, name: &ObjectName, held: &[Held]) {
        let file: WalFileName = match name.named() {
            Named::Wal { file, .. } => *file,
            Named::WalPart { file, .. } => (*file).into(),
            _ => return,
        };
        let number = file.segment().and_then(|segment| segment.number(self.size).ok());
        let bytes = held.first().map_or(0, |copy| copy.size_bytes);
        for (region, from, lacking) in &mut self.regions {
            let is_wanted = number.is_none_or(|number| number >= *from);
            if is_wanted && !held.iter().any(|copy| copy.region == *region) {
                lacking.objects += 1;
                lacking.bytes += bytes;
            }
        }
    }

    fn done(self) -> BTreeMap<RegionName, Lacking> {
        self.regions.into_iter().map(|(region, _, lacking)| (region, lacking)).collect()
    }
}

impl WalSeen {
    /// Missing segments that nobody is to be alarmed about: acknowledged, or not asked for by the rules.
    pub(crate) fn excused(&self, backups: &[BackupEntry]) -> WalRanges {
        let mut excused = self.acknowledged.ranges();
        for (timeline, first, last) in
            gaps(&self.held.merged, &self.held.histories, backups, self.size).iter()
        {
            let asked = self.asked.of(timeline, (first, last));
            let asked = WalRanges::of(asked.into_iter().map(|(first, last)| (timeline, first, last)));
            let free = asked.outside(timeline, (first, last)).into_iter();
            excused.add(free.map(|(first, last)| (timeline, first, last)));
        }
        excused
    }

    /// When the run that a segment belongs to was stored: its oldest, its youngest.
    pub(crate) fn stored(&self, timeline: seawall_pg::Timeline, number: SegmentNo) -> Option<(Time, Time)> {
        let runs = self.map.timelines.get(&timeline)?;
        let at = runs.partition_point(|run| run.last < number);
        runs.get(at).filter(|run| run.first <= number).map(|run| (run.first_stored, run.last_stored))
    }
}

/// Histories that are known, by timeline.
pub(crate) type Histories = BTreeMap<seawall_pg::Timeline, seawall_pg::History>;
