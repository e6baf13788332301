//! The backup's word about what it uses, given before it looks and renewed hourly, so that nothing it needs is pruned.
//!
//! Promises: a name is taken only where it is free in every region; a backup that could not renew for twelve hours stops
//! itself, long before its last word is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::pack::PackId;
use seawall_repo::records::Intent;
use seawall_store::{DetachReason, RegionSet};

use crate::error::{Error, Result};
use crate::monitor::{Finding, Monitor};
use crate::repository::Repository;

const RENEW_EVERY: Duration = Duration::from_secs(3600);
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(12 * 3600);

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

/// A word that is renewed by one task and looked at by another.
pub(super) type SharedWord = Arc<futures::lock::Mutex<Word>>;

/// Gives the word once more and looks, in every attached region and by its clock, whether it ever was so old that others could take
/// it for dead: a process that was stopped and went on does not notice by its own clock. Such a region is let go.
pub(super) async fn confirm(word: &SharedWord, repository: &Repository, set: &RegionSet) -> Result<()> {
    let mut word = word.lock().await;
    word.give(repository, set).await?;
    for region in set.attached() {
        let mut times: Vec<i64> = Vec::new();
        match region.list_collect(&word.place.intents()).await {
            Ok(listed) => {
                for info in listed {
                    let name = ObjectName::parse(&info.name);
                    let own = name.as_ref().map(ObjectName::named);
                    if matches!(own, Some(Named::Intent { backup, .. }) if *backup == word.backup) {
                        times.push(info.modified_unix_us);
                    }
                }
            }
            Err(error) => {
                set.detach(region.name(), DetachReason::Failed(error.chain()));
                continue;
            }
        }
        times.sort_unstable();
        let longest = times.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).max();
        if longest
            .is_some_and(|micros| u128::try_from(micros).is_ok_and(|gap| gap >= GIVE_UP_AFTER.as_micros()))
        {
            let why = "the backup's word was not renewed for twelve hours: what it uses may have been pruned";
            set.detach(region.name(), DetachReason::Failed(why.to_owned()));
        }
    }
    if set.attached().is_empty() {
        return Err(lost());
    }
    Ok(())
}

fn lost() -> Error {
    Error::unavailable(
        "backup.intent-lost",
        "the backup's word about what it uses was not renewed for twelve hours",
    )
    .hint("what was stored stays and is taken up by the next backup: run it again")
}

/// Renews until it is aborted. Sets `stop` when the word has become too old to rely on.
pub(super) async fn renew(
    word: SharedWord,
    repository: Repository,
    set: Arc<RegionSet>,
    monitor: Arc<dyn Monitor>,
    stop: Arc<AtomicBool>,
) -> Error {
    let clock = Arc::clone(&repository.world().clock);
    let mut given = clock.monotonic();
    loop {
        clock.sleep(RENEW_EVERY).await;
        let renewed = word.lock().await.give(&repository, &set).await;
        match renewed {
            Ok(()) => given = clock.monotonic(),
            Err(error) => monitor.finding(&Finding {
                id: "backup.intent-not-renewed",
                what: error.to_string(),
                hint: Some("the backup stops itself if this lasts for twelve hours".to_owned()),
            }),
        }
        if clock.monotonic().saturating_sub(given) >= GIVE_UP_AFTER {
            stop.store(true, Ordering::Relaxed);
            return lost();
        }
    }
}
