//! Lineages in their order, and which of them a successor has taken over from.

use std::collections::{BTreeMap, BTreeSet};

use seawall_repo::id::SystemId;

use super::point::Input;

/// The lineages of a cluster. A backup whose system nobody adopted counts as a lineage of its own, which nothing supersedes.
pub(super) struct Lineages {
    rank: BTreeMap<SystemId, usize>,
    superseded: BTreeSet<SystemId>,
}

impl Lineages {
    pub(super) fn of(input: &Input<'_>) -> Self {
        let rank = ranks(input);
        let superseded = superseded(input, &rank);
        Self { rank, superseded }
    }

    /// Its place in the order of adoption.
    pub(super) fn rank(&self, system: SystemId) -> usize {
        self.rank.get(&system).copied().unwrap_or(usize::MAX)
    }

    /// Whether a successor was adopted that has a good, confirmed backup.
    pub(super) fn is_superseded(&self, system: SystemId) -> bool {
        self.superseded.contains(&system)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = SystemId> + '_ {
        self.rank.keys().copied()
    }
}

/// Oldest adoption first, then what nobody adopted.
fn ranks(input: &Input<'_>) -> BTreeMap<SystemId, usize> {
    let mut adopted: Vec<_> =
        input.lineages.iter().map(|lineage| (lineage.adopted, lineage.system)).collect();
    adopted.sort_unstable();
    let of_points = input.points.iter().map(|point| point.system);
    let strangers: BTreeSet<SystemId> = of_points.chain(input.wal.keys().copied()).collect();
    let mut rank = BTreeMap::new();
    for system in adopted.into_iter().map(|(_, system)| system).chain(strangers) {
        let next = rank.len();
        rank.entry(system).or_insert(next);
    }
    rank
}

/// Only a good backup with a confirmed time takes over: one that somebody dates as he likes does not let a lineage go.
///
/// A successor was adopted after its predecessor; what says otherwise supersedes nothing, so adoptions cannot form a circle.
fn superseded(input: &Input<'_>, rank: &BTreeMap<SystemId, usize>) -> BTreeSet<SystemId> {
    let taking_over = input.points.iter().filter(|point| point.is_good() && point.is_confirmed());
    let good: BTreeSet<SystemId> = taking_over.map(|point| point.system).collect();
    let predecessor = |system: SystemId| {
        let of_it = input.lineages.iter().filter(|lineage| lineage.system == system);
        of_it.filter_map(|lineage| lineage.after).find(|older| rank.get(older) < rank.get(&system))
    };
    let mut superseded = BTreeSet::new();
    for system in good {
        let mut at = system;
        while let Some(older) = predecessor(at) {
            superseded.insert(older);
            at = older;
        }
    }
    superseded
}
