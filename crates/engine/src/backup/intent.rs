//! The backup's word about what it uses, given before it looks and renewed hourly, so that nothing it needs is pruned.
//!
//! Promises: a name is taken only where it is free in every region; a backup that could not renew for twelve hours stops
//! itself, long before its last word is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::pack::PackId;
use seawall_repo::records::Intent;
use seawall_store::RegionSet;

use crate::error::{Error, Result};
use crate::monitor::{Finding, Monitor};
use crate::repository::Repository;

const RENEW_EVERY: Duration = Duration::from_secs(3600);
const GIVE_UP_AFTER: Duration = Duration::from_secs(12 * 3600);

/// What the intent says, renewal after renewal.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) place: Place,
    pub(super) backup: BackupId,
    pub(super) uses: Vec<BackupId>,
    pub(super) adopts: Vec<PackId>,
    pub(super) host: String,
    pub(super) number: u32,
}

impl Word {
    /// Gives the word under its next number.
    pub(super) async fn give(&mut self, repository: &Repository, set: &RegionSet) -> Result<()> {
        self.number = self.number.saturating_add(1);
        let name =
            Named::Intent { place: self.place.clone(), backup: self.backup, number: self.number }.into();
        let record = Intent {
            backup: self.backup,
            n: self.number,
            uses: self.uses.clone(),
            adopts: self.adopts.clone(),
            host: self.host.clone(),
            pid: std::process::id(),
            written: super::now(repository.world())?,
        };
        repository.put_record(set, &name, &record).await
    }
}

/// Renews until it is aborted. Sets `stop` when the word has become too old to rely on.
pub(super) async fn renew(
    mut word: Word,
    repository: Repository,
    set: Arc<RegionSet>,
    monitor: Arc<dyn Monitor>,
    stop: Arc<AtomicBool>,
) -> Error {
    let clock = Arc::clone(&repository.world().clock);
    let mut given = clock.monotonic();
    loop {
        clock.sleep(RENEW_EVERY).await;
        match word.give(&repository, &set).await {
            Ok(()) => given = clock.monotonic(),
            Err(error) => monitor.finding(&Finding {
                id: "backup.intent-not-renewed",
                what: error.to_string(),
                hint: Some("the backup stops itself if this lasts for twelve hours".to_owned()),
            }),
        }
        if clock.monotonic().saturating_sub(given) >= GIVE_UP_AFTER {
            stop.store(true, Ordering::Relaxed);
            return Error::unavailable(
                "backup.intent-lost",
                "the backup's word about what it uses could not be renewed for twelve hours",
            )
            .hint("what was stored stays and is taken up by the next backup");
        }
    }
}
