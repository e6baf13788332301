//! The folder of one backup while its names go by: what of it each region has, and in the end what is missing there.
//!
//! Pure. Promises: a pack or map is missing in a region only if a manifest of that region names it.

use std::collections::BTreeMap;

use seawall_repo::id::BackupId;
use seawall_repo::pack::PackId;
use seawall_store::RegionName;

use super::knowledge::Knowledge;
use super::numbers::Numbers;

/// Missing objects of one folder that are told one by one; a folder that is gone as a whole is not told ten thousand times.
const TOLD_MAX: usize = 1_000;

/// What was seen of one folder.
#[derive(Debug, Default)]
pub(super) struct Folder {
    packs: BTreeMap<RegionName, Numbers>,
    maps: BTreeMap<RegionName, Numbers>,
}

/// A pack or map that a region lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lacks {
    pub(super) region: RegionName,
    pub(super) is_map: bool,
    pub(super) id: PackId,
    pub(super) elsewhere: Vec<RegionName>,
}

impl Folder {
    pub(super) fn add(&mut self, region: &RegionName, is_map: bool, number: u32) {
        let of = if is_map { &mut self.maps } else { &mut self.packs };
        of.entry(region.clone()).or_default().add(number);
    }

    /// What is missing, in the judged regions.
    pub(super) fn lacks(&self, folder: BackupId, known: &Knowledge) -> Vec<Lacks> {
        let mut all = Vec::new();
        let nothing = Numbers::default();
        for (region, of) in &known.regions {
            for (is_map, needed, there) in
                [(true, of.maps.get(&folder), &self.maps), (false, of.packs.get(&folder), &self.packs)]
            {
                let Some(needed) = needed else { continue };
                for number in needed.without(there.get(region).unwrap_or(&nothing), TOLD_MAX) {
                    let has = |(region, numbers): (&RegionName, &Numbers)| {
                        numbers.holds(number).then(|| region.clone())
                    };
                    let elsewhere = there.iter().filter_map(has).collect();
                    all.push(Lacks {
                        region: region.clone(),
                        is_map,
                        id: PackId { backup: folder, number },
                        elsewhere,
                    });
                }
            }
        }
        all
    }
}
