//! What is worth copying: what the kept backups use, and all WAL, less what tombstones name.
//!
//! Promises: an object that a standing tombstone of any region names is not wanted; a pack or a map is wanted only where the manifest
//! of a backup that is not condemned uses it, so leftovers of backups that never came to be are not spread. A manifest that cannot be
//! read wants nothing and is told.

use std::collections::{BTreeMap, BTreeSet};

use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::manifest::Manifest;

use crate::error::{Kind, Result};
use crate::monitor::Finding;
use crate::prune::{Standing, standing};
use crate::repository::Repository;

/// Of one system identifier.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(super) place: Place,
    standing: Standing,
    /// Backups whose manifest is there, is believed and is not condemned.
    pub(super) backups: BTreeSet<BackupId>,
    /// Backups whose maps they use.
    maps_of: BTreeSet<BackupId>,
    packs: BTreeMap<BackupId, BTreeSet<u32>>,
}

impl Wanted {
    pub(crate) async fn look(
        repository: &Repository,
        place: &Place,
        findings: &mut Vec<Finding>,
    ) -> Result<Self> {
        let standing = standing(repository, place).await?;
        findings.extend(standing.findings.iter().cloned());
        let mut wanted = Self {
            place: place.clone(),
            standing,
            backups: BTreeSet::new(),
            maps_of: BTreeSet::new(),
            packs: BTreeMap::new(),
        };
        let catalog = repository.catalog().await?;
        for entry in catalog.backups.iter().filter(|entry| entry.place == *place) {
            let named = Named::Manifest { place: place.clone(), backup: entry.id };
            if wanted.standing.names(&named) {
                continue;
            }
            match repository.manifest(place, entry.id).await {
                Ok(manifest) => wanted.add(&manifest),
                Err(error) if error.kind() == Kind::Data => findings.push(Finding {
                    id: "sync.manifest-unreadable",
                    what: format!("what backup {} uses is not copied: {error}", entry.id),
                    hint: None,
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(wanted)
    }

    fn add(&mut self, manifest: &Manifest) {
        let backup = manifest.header.backup;
        self.backups.insert(backup);
        self.maps_of.insert(backup);
        self.maps_of.extend(&manifest.body.uses);
        for row in &manifest.body.packs {
            self.packs.entry(row.pack.backup).or_default().insert(row.pack.number);
        }
    }

    /// Whether an object of the place is to be in every region.
    pub(crate) fn wants(&self, named: &Named) -> bool {
        let used = match named {
            Named::Manifest { backup, .. } => self.backups.contains(backup),
            Named::Map { backup, .. } => self.maps_of.contains(backup),
            Named::Pack { backup, number, .. } => {
                self.packs.get(backup).is_some_and(|numbers| numbers.contains(number))
            }
            // A running backup gives its word in each region itself.
            Named::Intent { .. } => false,
            _ => true,
        };
        used && !self.standing.names(named)
    }

    /// Looks at the tombstones again.
    pub(super) async fn look_again(&mut self, repository: &Repository) -> Result<()> {
        self.standing = standing(repository, &self.place).await?;
        Ok(())
    }
}
