//! What is worth copying: what the kept backups use, and all WAL, less what tombstones name.
//!
//! Promises: an object that a tombstone of any region names is not wanted, be it that it stands or that it was carried out and did not spare it; a pack or a map is wanted only where the manifest
//! of a backup that is not condemned uses it, so leftovers of backups that never came to be are not spread. A manifest that cannot be
//! read wants nothing and is told. What was condemned and taken back stays where it is, is healed and has to be elsewhere before its region
//! leaves, and for some days nothing of it is copied: a prune that did not hear of it may still be at work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use seawall_pg::WalSegmentSize;
use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::manifest::Manifest;
use seawall_repo::time::Time;

use crate::error::{Kind, Result};
use crate::monitor::Finding;
use crate::prune::{Spared, Standing, standing_or_gone};
use crate::repository::Repository;
use crate::status::size_from_wal;

/// For so long a look at the tombstones is good: far less than any grace.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Of one system identifier.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(super) place: Place,
    /// The size of a segment, as backups say.
    pub(super) segment_size: Option<WalSegmentSize>,
    /// What tombstones name, and when that was looked at.
    standing: RwLock<(Duration, Standing)>,
    spared: Mutex<Spared>,
    /// When the newest backup was stored.
    newest: Option<Time>,
    /// Backups whose manifest is there, is believed and is not on its way out.
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
        let looked = repository.world().clock.monotonic();
        let catalog = repository.catalog().await?;
        let backups = || catalog.backups.iter().filter(|entry| entry.place == *place);
        let newest = backups().map(|entry| entry.stored).max();
        let mut spared = Spared::new();
        let standing = standing_or_gone(repository, place, newest, &mut spared).await?;
        findings.extend(standing.findings.iter().cloned());
        let mut wanted = Self {
            place: place.clone(),
            segment_size: None,
            standing: RwLock::new((looked, standing)),
            spared: Mutex::new(spared),
            newest,
            backups: BTreeSet::new(),
            maps_of: BTreeSet::new(),
            packs: BTreeMap::new(),
        };
        for entry in backups() {
            wanted.segment_size = Some(entry.header.segment_size);
            let named = Named::Manifest { place: place.clone(), backup: entry.id };
            if wanted.standing(|standing| standing.is_going(&named)) {
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
        if wanted.segment_size.is_none() {
            wanted.segment_size = match size_from_wal(repository, place).await {
                Ok(size) => size,
                // Without a backup no branch can be followed; what is damaged is met again, and told, when it is copied.
                Err(error) if error.kind() == Kind::Data => None,
                Err(error) => return Err(error),
            };
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

    /// Whether an object of the place is to be brought to every region.
    pub(crate) fn wants(&self, named: &Named) -> bool {
        self.stays(named) && !self.standing(|standing| standing.was_taken_back(named))
    }

    /// Whether an object of the place is kept: healed where it is damaged, and not let go of with a region.
    pub(crate) fn stays(&self, named: &Named) -> bool {
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
        used && !self.standing(|standing| standing.is_going(named))
    }

    fn standing(&self, ask: impl FnOnce(&Standing) -> bool) -> bool {
        ask(&self.standing.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Looks at the tombstones again.
    ///
    /// # Errors
    /// One of them is out of reach.
    pub(super) async fn look_again(&self, repository: &Repository) -> Result<()> {
        let looked = repository.world().clock.monotonic();
        // Not held while reading: whoever looks at the same time reads the same.
        let mut spared = self.spared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let standing = standing_or_gone(repository, &self.place, self.newest, &mut spared).await?;
        *self.spared.lock().unwrap_or_else(PoisonError::into_inner) = spared;
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = (looked, standing);
        Ok(())
    }

    /// The same, where the last look was a while ago: what is condemned while a long sync runs is not copied any more.
    ///
    /// # Errors
    /// As [`Wanted::look_again`].
    pub(super) async fn keep_fresh(&self, repository: &Repository) -> Result<()> {
        let looked = self.standing.read().unwrap_or_else(PoisonError::into_inner).0;
        match repository.world().clock.monotonic().saturating_sub(looked) >= LOOK_AGAIN_AFTER {
            true => self.look_again(repository).await,
            false => Ok(()),
        }
    }
}
