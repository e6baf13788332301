//! What has to hold, told by names alone.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use seawall_repo::condemned::Tombstone;
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::Manifest;
use seawall_store::ObjectStore as _;

use super::history::{History, NAMES};
use super::reach::{Together, day_of};

impl History {
    /// Every name in a store and when it was stored, whether or not it is away.
    pub(super) async fn names_in(&self, index: usize) -> Together {
        let store = &self.bench.memories[index];
        store.set_away(false);
        let each = store.list(None).map(|meta| {
            let meta = meta.unwrap();
            (meta.location.to_string(), meta.last_modified.timestamp_micros())
        });
        let names = each.collect().await;
        store.set_away(self.away == Some(index));
        names
    }

    pub(super) async fn check(&mut self) {
        let mut all = Together::new();
        self.look_for_lost().await;
        for index in 0..self.bench.memories.len() {
            let names = self.names_in(index).await;
            self.read_stones(index, &names).await;
            self.check_region(index, &names);
            for (name, stored) in names {
                let first = all.entry(name).or_insert(stored);
                if day_of(*first) != day_of(stored) {
                    self.disputed_days.extend([day_of(*first), day_of(stored)]);
                }
                *first = stored.min(*first);
            }
        }
        self.check_tail(&all);
        let reached = self.reachable(&all);
        let lost = self.lost(&self.reached, &reached);
        assert!(lost.is_empty(), "{}: cannot be reached any more: {lost:?}", self.story());
        self.reached = reached;
        if self.policy.max_age.is_none() {
            let gone = self.first_of_days(&self.together, &all);
            assert!(gone.is_empty(), "{}: first of their days, and gone: {gone:?}", self.story());
        }
        self.together = all;
    }

    /// Remembers the tombstones of a region, and when it got them.
    async fn read_stones(&mut self, index: usize, names: &Together) {
        let repository = self.bare().await;
        for (name, stored) in names.iter().filter(|(name, _)| !self.seen[index].contains(*name)) {
            let name = ObjectName::parse(name).unwrap();
            if matches!(name.named(), Named::Tombstone { .. })
                && let Ok(read) = repository.read_record::<Tombstone>(&name).await
            {
                self.stones[index].push((read.value, *stored));
            }
        }
    }

    /// Whether what is gone was named in a tombstone that the region had for the whole grace.
    fn had_its_grace(&self, index: usize, named: &Named) -> bool {
        let now = self.bench.world.clock.now_unix_us() + self.ahead[index];
        let named_by = |(stone, stored): &&(Tombstone, i64)| {
            Some(&Place { cluster: stone.cluster.clone(), system: stone.system }) == named.place()
                && stone.names(named)
                && now - stored >= 24 * 3_600_000_000
        };
        self.stones[index].iter().any(|stone| named_by(&stone))
    }

    fn check_region(&mut self, index: usize, names: &Together) {
        let region = NAMES[index];
        let mut good = BTreeSet::new();
        for (id, (place, manifest)) in &self.manifests {
            let manifest_name = Named::Manifest { place: place.clone(), backup: *id }.to_name();
            if !names.contains_key(manifest_name.as_str()) || self.is_lost(index, &manifest_name) {
                continue;
            }
            for named in self.listed_by(*id, index) {
                let name = named.to_name();
                assert!(
                    names.contains_key(name.as_str()),
                    "{}: {region} has manifest {id} and lacks {name}",
                    self.story()
                );
            }
            if manifest.header.damaged_pages == 0 {
                good.insert(place.system);
            }
        }
        // The last good one of a lineage stays until a successor has one; of the newest, for good.
        let newest = self.lives.last().map(|life| life.place.system);
        let had = self.had_good[index].iter().filter(|system| Some(**system) == newest);
        for system in had {
            assert!(
                good.contains(system),
                "{}: {region} lost the last good backup of {system}",
                self.story()
            );
        }
        self.had_good[index] = good;
        for id in self.held.values() {
            let Some((place, _)) = self.manifests.get(id) else { continue };
            let held = Named::Manifest { place: place.clone(), backup: *id }.to_name();
            assert!(
                names.contains_key(held.as_str()),
                "{}: {region} lacks {id}, which is held",
                self.story()
            );
        }
        // A heal copy may come after its original has gone, and goes with the next prune.
        for name in names.keys().filter(|name| ObjectName::parse(name).unwrap().healed().is_none()) {
            assert!(!self.gone[index].contains(name), "{}: {name} came back in {region}", self.story());
        }
        let before = std::mem::replace(&mut self.seen[index], names.keys().cloned().collect());
        for name in before.into_iter().filter(|name| !names.contains_key(name)) {
            let parsed = ObjectName::parse(&name).unwrap();
            let parsed = parsed.healed().unwrap_or(parsed);
            let of_stones = matches!(
                parsed.named(),
                Named::Tombstone { .. } | Named::TombstoneDone { .. } | Named::TombstoneRevoked { .. }
            );
            let rightly = of_stones || self.had_its_grace(index, parsed.named());
            assert!(rightly, "{}: {name} left {region} before its grace was over", self.story());
            self.gone[index].insert(name);
        }
    }

    /// Everything that a backup lists, and the WAL that makes it consistent.
    fn listed_by(&self, id: BackupId, index: usize) -> Vec<Named> {
        let (place, manifest): &(_, Manifest) = &self.manifests[&id];
        let mut all = vec![Named::Map { place: place.clone(), backup: id, number: 0 }];
        for row in &manifest.body.packs {
            all.push(Named::Pack { place: place.clone(), backup: row.pack.backup, number: row.pack.number });
        }
        let maps = self.maps_of(id).into_iter();
        let maps = maps.map(|used| Named::Map { place: place.clone(), backup: used, number: 0 });
        all.extend(maps.filter(|map| {
            let name = map.to_name().to_string();
            self.seen[index].contains(&name) || self.gone[index].contains(&name)
        }));
        let life = self.lives.iter().find(|life| life.place == *place).unwrap();
        let header = &manifest.header;
        for number in life.size.segment_of(header.start).0..=life.size.segment_before(header.stop).0 {
            all.push(life.segment(header.timeline, number).named().clone());
        }
        all
    }

    /// The backups whose maps a backup may read: its parent's and those that it reads, as far as it still lists them. Of backups without a
    /// manifest only packs are taken over.
    fn maps_of(&self, id: BackupId) -> BTreeSet<BackupId> {
        let mut line: Vec<&Manifest> =
            self.manifests.get(&id).map(|(_, manifest)| manifest).into_iter().collect();
        while let Some((_, parent)) =
            line.last().and_then(|manifest| self.manifests.get(&manifest.header.parent?))
        {
            line.push(parent);
        }
        let mut maps = BTreeSet::new();
        for manifest in line.into_iter().rev() {
            maps.retain(|used| manifest.body.uses.contains(used));
            maps.insert(manifest.header.backup);
        }
        maps
    }

    /// From the newest good backup on the way of the present timeline all WAL is there, up to the first segment that was lost or late.
    fn check_tail(&self, all: &Together) {
        let Some(life) = self.lives.last() else { return };
        let (branch, newest) = (life.live(), &life.branches[life.live()]);
        let good = self.manifests.values().filter(|(place, manifest)| {
            let last = life.size.segment_before(manifest.header.stop).0;
            let name = Named::Manifest { place: place.clone(), backup: manifest.header.backup }.to_name();
            *place == life.place
                && manifest.header.damaged_pages == 0
                && life.carries(branch, manifest.header.timeline, last)
                && all.contains_key(name.as_str())
        });
        let Some(stop) = good.map(|(_, manifest)| manifest.header.stop).max() else { return };
        for number in life.size.segment_of(stop).0..newest.next {
            let timeline = life.serves(branch, number);
            if life.odd.contains(&(timeline, number)) {
                return;
            }
            let name = life.segment(timeline, number);
            assert!(all.contains_key(name.as_str()), "{}: {name} is in no region", self.story());
        }
    }

    /// By the manifests that are there: no pack, map or intent beside, and no more than the rules can ask for.
    pub(super) async fn check_nothing_left(&self) {
        let mut all = BTreeSet::new();
        for index in 0..self.bench.memories.len() {
            all.extend(self.names_in(index).await.into_keys());
        }
        let (mut needed, mut left): (BTreeSet<BackupId>, BTreeMap<_, u32>) = Default::default();
        for (id, (place, manifest)) in &self.manifests {
            if all.contains(Named::Manifest { place: place.clone(), backup: *id }.to_name().as_str()) {
                needed.extend(manifest.body.packs.iter().map(|row| row.pack.backup));
                needed.extend(manifest.body.uses.iter().copied());
                needed.insert(*id);
                *left.entry(place.system).or_default() += 1;
            }
        }
        for name in &all {
            match ObjectName::parse(name).unwrap().named() {
                Named::Pack { backup, .. } | Named::Map { backup, .. } => {
                    assert!(needed.contains(backup), "{}: {name} is needed by nobody", self.story());
                }
                Named::Heal { .. } => {
                    let original = ObjectName::parse(name).unwrap().healed().unwrap();
                    assert!(all.contains(original.as_str()), "{}: {name} heals nothing", self.story());
                }
                Named::Intent { .. } => panic!("{}: {name} is still there", self.story()),
                _ => {}
            }
        }
        let most = self.most_kept();
        for (system, count) in left {
            assert!(count <= most, "{}: {count} backups of {system}, {most} at most", self.story());
        }
    }

    /// What the rules can keep of a lineage at most: the first and the newest of an hour; both by the store's word and by the writer's; the
    /// first stored and the first ended of each day of a window; a floor in all and in each region.
    fn most_kept(&self) -> u32 {
        let policy = &self.policy;
        let days = policy.pitr.map_or(1, |pitr| pitr.as_seconds().div_ceil(86_400)) as u32 + 2;
        let counted = 2 * policy.last + policy.daily + policy.weekly + 2 * policy.min_backups;
        2 * counted
            + 4 * days
                * u32::try_from(self.lives.iter().map(|life| life.branches.len()).max().unwrap()).unwrap()
            + 10
    }

    /// Of every lineage but the newest nothing is left but records.
    pub(super) async fn check_old_lineages_gone(&self) {
        let old: BTreeSet<_> = self.lives.iter().rev().skip(1).map(|life| life.place.clone()).collect();
        let mut left = Vec::new();
        for (index, region) in NAMES.iter().enumerate().take(self.bench.memories.len()) {
            for name in self.names_in(index).await.keys() {
                let name = ObjectName::parse(name).unwrap();
                let data = matches!(
                    name.named(),
                    Named::Manifest { .. }
                        | Named::Pack { .. }
                        | Named::Map { .. }
                        | Named::Wal { .. }
                        | Named::Intent { .. }
                );
                if data && name.named().place().is_some_and(|place| old.contains(place)) {
                    left.push(format!("{region}: {name}"));
                }
            }
        }
        assert!(left.is_empty(), "{}: still there of an old lineage: {left:?}", self.story());
    }
}
