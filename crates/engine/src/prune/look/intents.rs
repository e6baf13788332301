//! What running backups use: the newest word of each.
//!
//! Promises: an intent of somebody who may not write counts for nothing; one that should count but cannot be read keeps
//! everything, since nobody knows what it protects.

use std::collections::BTreeMap;

use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::pack::PackId;
use seawall_repo::records::Intent;
use seawall_repo::time::Time;

use super::listing::{Broken, each};
use super::not_believed;
use crate::error::{Kind, Result};
use crate::monitor::Finding;
use crate::repository::{Repository, is_of_a_stranger};
use crate::retention::Span;

/// How long a word counts after it was given.
pub(in crate::prune) const DEAD_AFTER: Span = Span::hours(24);

/// The word of one backup.
#[derive(Debug, Clone)]
pub(in crate::prune) struct IntentSeen {
    /// When it was given first, anywhere.
    pub(in crate::prune) begun: Time,
    /// When it was renewed last, anywhere.
    pub(in crate::prune) renewed: Time,
    /// Whether it still counts.
    pub(in crate::prune) alive: bool,
    /// Backups whose objects it may use.
    pub(in crate::prune) uses: Vec<BackupId>,
    /// Packs of others that it may use.
    pub(in crate::prune) adopts: Vec<PackId>,
    /// Where it runs.
    pub(in crate::prune) host: String,
    /// Objects.
    pub(in crate::prune) objects: u64,
}

/// All intents of a place; and why nothing may be condemned, where one cannot be read.
#[derive(Debug, Clone, Default)]
pub(in crate::prune) struct IntentsSeen {
    pub(in crate::prune) by_backup: BTreeMap<BackupId, IntentSeen>,
    pub(in crate::prune) unreadable: Option<String>,
}

/// What listing says of a backup's intents.
struct Renewals {
    newest: u32,
    begun: Time,
    renewed: Time,
    objects: u64,
}

pub(super) async fn intents(
    repository: &Repository,
    place: &Place,
    now: Time,
    broken: &mut Broken,
    findings: &mut Vec<Finding>,
) -> Result<(IntentsSeen, u64)> {
    let mut renewals: BTreeMap<BackupId, Renewals> = BTreeMap::new();
    let strange = each(repository, &place.intents(), broken, |found| {
        let Named::Intent { backup, number, .. } = *found.name.named() else { return };
        let (first, last) = (found.first_stored().unwrap_or(now), found.last_stored().unwrap_or(now));
        let new = Renewals { newest: number, begun: first, renewed: last, objects: 0 };
        let known = renewals.entry(backup).or_insert(new);
        known.newest = known.newest.max(number);
        known.begun = known.begun.min(first);
        known.renewed = known.renewed.max(last);
        known.objects += 1;
    })
    .await;
    let mut seen = IntentsSeen::default();
    for (backup, Renewals { newest: number, begun, renewed, objects }) in renewals {
        let alive = Span::between(renewed, now) < DEAD_AFTER;
        let (uses, adopts, host) = (Vec::new(), Vec::new(), String::new());
        let mut intent = IntentSeen { begun, renewed, alive, uses, adopts, host, objects };
        if alive {
            let name = Named::Intent { place: place.clone(), backup, number }.into();
            match repository.read_record::<Intent>(&name).await {
                Ok(read) if read.value.backup == backup => {
                    let word = read.value;
                    (intent.uses, intent.adopts, intent.host) = (word.uses, word.adopts, word.host);
                }
                Ok(_) => findings.push(not_believed(&name, "it speaks of another backup")),
                Err(error) if is_of_a_stranger(&error) => {
                    intent.alive = false;
                    findings.push(not_believed(&name, &error.to_string()));
                }
                Err(error) if error.kind() == Kind::Data => {
                    findings.push(not_believed(&name, &error.to_string()));
                    seen.unreadable.get_or_insert(format!("{name} cannot be read: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        seen.by_backup.insert(backup, intent);
    }
    Ok((seen, strange))
}
