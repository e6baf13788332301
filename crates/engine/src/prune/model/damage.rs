//! Objects that storage damages, and what heals them.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::ObjectStoreExt as _;
use seawall_repo::layout::{Named, ObjectName};
use seawall_store::RegionName;

use super::history::{History, NAMES, pick};
use super::operations::{Did, synced};
use crate::monitor::Silent;
use crate::sync::{Heal, SyncOptions, sync};

/// A byte that no head is without.
const SPOILED_BYTE: usize = 150;

impl History {
    /// Now and then a manifest or a segment is spoiled in one region, of which the other has a good one.
    pub(super) async fn spoil(&mut self) {
        if self.bench.memories.len() < 2 || self.away.is_some() || !self.dice.one_in(3) {
            return;
        }
        let index = pick(&self.dice, 2);
        let (own, others) = (self.names_in(index).await, self.names_in(1 - index).await);
        let fit = |name: &&String| {
            let named = ObjectName::parse(name).unwrap();
            let kind = matches!(named.named(), Named::Manifest { .. } | Named::Wal { .. });
            let is_good = |index| !self.damaged.contains(&(index, (*name).clone()));
            kind && others.contains_key(*name) && is_good(0) && is_good(1)
        };
        let fit: Vec<&String> = own.keys().filter(fit).collect();
        if fit.is_empty() {
            return;
        }
        let name = fit[pick(&self.dice, fit.len() as u64)].clone();
        let (store, path) = (&self.bench.memories[index], name.as_str().into());
        let mut bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        bytes[SPOILED_BYTE] ^= 0x10;
        // It is as old as it was.
        store.spoil(&path, bytes).await.unwrap();
        self.trace.push(format!("{name} damaged in {}", NAMES[index]));
        self.damaged.insert((index, name));
        self.counts.damaged += 1;
    }

    /// Looks which damaged objects nothing can heal any more: the good copies were pruned, and there is no heal copy.
    pub(super) async fn look_for_lost(&mut self) {
        let mut regions = Vec::new();
        for index in 0..self.bench.memories.len() {
            regions.push(self.names_in(index).await);
        }
        let healed: BTreeSet<String> = regions
            .iter()
            .flat_map(|names| names.keys())
            .filter_map(|name| Some(ObjectName::parse(name)?.healed()?.to_string()))
            .collect();
        let is_good = |index: usize, name: &String| {
            regions[index].contains_key(name) && !self.damaged.contains(&(index, name.clone()))
        };
        let lost = self.damaged.iter().filter(|(_, name)| {
            !healed.contains(name) && !(0..regions.len()).any(|index| is_good(index, name))
        });
        self.lost = lost.cloned().collect();
    }

    pub(super) fn is_lost(&self, index: usize, name: &ObjectName) -> bool {
        self.lost.contains(&(index, name.to_string()))
    }

    /// When all is quiet, what is damaged is healed, and each region serves it by itself.
    pub(super) async fn check_all_heals(&mut self) {
        if self.damaged.is_empty() {
            return;
        }
        let repository = self.bare().await;
        let options = SyncOptions { heal: vec![Heal::All], ..SyncOptions::default() };
        let Did::Synced(_, healed) = synced(&sync(&repository, &options, Arc::new(Silent)).await.unwrap())
        else {
            return;
        };
        self.counts.healed += healed;
        self.look_for_lost().await;
        for (index, name) in &self.damaged {
            if !self.names_in(*index).await.contains_key(name) || self.lost.contains(&(*index, name.clone()))
            {
                continue;
            }
            let alone = repository.within(&RegionName::new(NAMES[*index]).unwrap()).unwrap();
            let read = alone.read_head(&ObjectName::parse(name).unwrap()).await;
            assert!(read.is_ok(), "{}: {name} in {}: {:?}", self.story(), NAMES[*index], read.err());
        }
    }
}
