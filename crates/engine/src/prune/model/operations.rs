//! What hosts do, each call to a store in its turn.

use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use seawall_repo::condemned::HoldOn;
use seawall_repo::id::{BackupId, RecordId};
use seawall_repo::layout::Place;
use seawall_store::schedule::Schedule;

use super::history::History;
use crate::backup::testing::{Dice, Fate, mini_backup, mini_mount, pass};
use crate::hold;
use crate::monitor::Silent;
use crate::prune::{PruneOptions, PruneReport, prune, undo};
use crate::repository::Repository;
use crate::sync::{Heal, SyncOptions, SyncReport, sync};

/// What an operation did.
#[derive(Debug)]
pub(super) enum Did {
    Backup(Place, Option<BackupId>),
    Mounted(BackupId, Option<Vec<String>>),
    Held(RecordId, BackupId),
    Pruned(Box<PruneReport>),
    /// So many objects were copied, and so many healed.
    Synced(u64, u64),
    Nothing,
    /// A prune, or an undoing, that ended between two of its calls.
    Died(u64),
    Refused(String),
}

impl std::fmt::Display for Did {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Backup(place, Some(id)) => write!(f, "backup {id} of {}", place.system),
            Self::Backup(_, None) => f.write_str("a backup that died"),
            Self::Mounted(id, lost) => write!(f, "mount of {id}: {lost:?}"),
            Self::Held(hold, id) => write!(f, "hold {hold} on {id}"),
            Self::Pruned(report) => {
                let deleted: u64 = report.regions.iter().map(|region| region.deleted.objects()).sum();
                write!(f, "pruned {deleted}, {} tombstones", report.tombstones.len())
            }
            Self::Synced(copied, healed) => write!(f, "synced {copied}, healed {healed}"),
            Self::Nothing => f.write_str("nothing"),
            Self::Died(steps) => write!(f, "a prune that died after {steps} steps"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

pub(super) fn synced(report: &SyncReport) -> Did {
    let copied = |kind| report.regions.iter().map(|region| region.kind(kind).copied).sum::<u64>();
    let all: u64 = report.regions.iter().map(|region| region.total().copied).sum();
    Did::Synced(all - copied("heal"), copied("heal"))
}

/// Goes on for so many steps and ends where it stands, as a process does: nothing of it runs any more, not even what it would do when it fails.
async fn dies_after<T>(mut steps: u64, operation: impl Future<Output = T>) -> Option<T> {
    let mut operation = Box::pin(operation);
    std::future::poll_fn(move |context| match operation.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if steps == 0 => Poll::Ready(None),
        Poll::Pending => {
            steps -= 1;
            Poll::Pending
        }
    })
    .await
}

/// A backup that is about to begin: whose, on which branch, from which segment on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) life: usize,
    pub(super) branch: usize,
    pub(super) first: u64,
}

impl History {
    pub(super) fn backup<'a>(
        &'a self,
        schedule: &'a Schedule,
        seed: u64,
        due: Due,
    ) -> LocalBoxFuture<'a, Did> {
        let dice = Dice::new(seed);
        let life = &self.lives[due.life];
        let (place, at) = (life.place.clone(), life.at(due.branch, due.first));
        let hours = |chances, end| if dice.one_in(chances) { dice.below(end) } else { 0 };
        let fate = Fate {
            dies_after: dice.one_in(4).then(|| dice.below(8)),
            early: hours(8, 60),
            late: hours(8, 60),
            works: hours(5, 40),
            frozen: hours(6, 60),
            damaged: dice.one_in(12),
        };
        let host = if dice.one_in(3) { "db2" } else { "db1" };
        async move {
            let taken = async {
                let repository = self.over(schedule, host).await?;
                mini_backup(&repository, &place, at, fate, &dice).await
            };
            match taken.await {
                Ok(id) => Did::Backup(place, id),
                Err(error) => Did::Refused(format!("backup: {error}")),
            }
        }
        .boxed_local()
    }

    pub(super) fn other<'a>(
        &'a self,
        schedule: &'a Schedule,
        seed: u64,
        what: u64,
    ) -> LocalBoxFuture<'a, Did> {
        let dice = Dice::new(seed);
        // Who holds says so at the end, and who mounts keeps a word: those go on.
        let is_prune = !matches!(what, 10 | 12 | 13);
        let lives_for = if is_prune && dice.one_in(6) { dice.below(250) } else { u64::MAX };
        async move {
            let did = async {
                let repository =
                    self.over(schedule, if matches!(what, 13 | 14) { "db2" } else { "pruner" }).await?;
                self.one(&repository, what, &dice).await
            };
            match dies_after(lives_for, did).await {
                Some(Ok(did)) => did,
                Some(Err(error)) => Did::Refused(format!("{what}: {error}")),
                None => Did::Died(lives_for),
            }
        }
        .boxed_local()
    }

    async fn one(&self, repository: &Repository, what: u64, dice: &Dice) -> crate::Result<Did> {
        let options = PruneOptions::default();
        match what {
            10 => {
                let Some(id) = self.some_backup(dice) else { return Ok(Did::Nothing) };
                let (on, until) = (HoldOn::Backups(vec![id]), None);
                let (reason, by) = ("model".to_owned(), "model".to_owned());
                let added = hold::add(repository, hold::NewHold { on, reason, until, by }).await?;
                Ok(Did::Held(added.hold, id))
            }
            // Two prunes with a grace between them, while whatever else runs goes on running.
            8 | 9 => {
                drop(prune(repository, &self.rules(), options, Arc::new(Silent)).await?);
                pass(repository, 25 + dice.below(12)).await;
                let report = prune(repository, &self.rules(), options, Arc::new(Silent)).await?;
                Ok(Did::Pruned(Box::new(report)))
            }
            11 => undo(repository, None, "model").await.map(|_undone| Did::Nothing),
            12 | 13 => {
                let Some(id) = self.some_backup(dice) else { return Ok(Did::Nothing) };
                let Some((place, _)) = self.manifests.get(&id) else { return Ok(Did::Nothing) };
                let lost = mini_mount(repository, place, id, 1 + dice.below(60)).await?;
                Ok(Did::Mounted(id, lost))
            }
            14 => {
                let heal = if dice.one_in(2) { vec![Heal::All] } else { Vec::new() };
                let options = SyncOptions { heal, ..SyncOptions::default() };
                Ok(synced(&sync(repository, &options, Arc::new(Silent)).await?))
            }
            _ => {
                let report = prune(repository, &self.rules(), options, Arc::new(Silent)).await?;
                Ok(Did::Pruned(Box::new(report)))
            }
        }
    }

    fn some_backup(&self, dice: &Dice) -> Option<BackupId> {
        let known: Vec<&BackupId> = self.manifests.keys().collect();
        known.get(usize::try_from(dice.below(known.len() as u64)).unwrap()).map(|id| **id)
    }

    pub(super) async fn over(&self, schedule: &Schedule, host: &str) -> crate::Result<Repository> {
        self.bench.open_in(host, &self.hosts[host].0, |store| Arc::new(schedule.over(store))).await
    }
}
