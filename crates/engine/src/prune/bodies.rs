//! What the bodies of manifests say: which packs and which other backups a backup uses.
//!
//! Promises: read for kept backups only (all of them with `max_age`), each once; one that cannot be read is remembered as such,
//! an outage fails the look.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_repo::id::BackupId;
use seawall_repo::layout::Place;
use seawall_repo::pack::PackId;

use crate::error::{Kind, Result};
use crate::repository::Repository;

/// Manifests read at the same time.
const AT_ONCE: usize = 4;

/// What a backup uses.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) packs: Vec<PackId>,
    /// Of each pack, the bytes that the backup's map uses, by pages.
    pub(super) used_of_pack: Vec<u64>,
    pub(super) uses: Vec<BackupId>,
    /// Bytes of those packs, and of them those that its map uses.
    pub(super) stored_bytes: u64,
    pub(super) used_bytes: u64,
}

/// The bodies read so far.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    read: BTreeMap<BackupId, std::result::Result<Body, String>>,
}

impl Bodies {
    /// A body that could be read.
    pub(super) fn read(&self, id: BackupId) -> Option<&Body> {
        self.read.get(&id).and_then(|body| body.as_ref().ok())
    }

    /// Why a body that was asked for could not be read.
    pub(super) fn fault(&self, id: BackupId) -> Option<&str> {
        self.read.get(&id).and_then(|body| body.as_ref().err()).map(String::as_str)
    }

    /// Whether it was asked for.
    pub(super) fn knows(&self, id: BackupId) -> bool {
        self.read.contains_key(&id)
    }

    /// Reads those that are not known yet.
    pub(super) async fn add(
        &mut self,
        repository: &Repository,
        wanted: Vec<(Place, BackupId)>,
    ) -> Result<()> {
        let mut reading = futures::stream::iter(wanted)
            .map(|(place, id)| async move { (id, repository.manifest(&place, id).await) })
            .buffer_unordered(AT_ONCE)
            .boxed();
        while let Some((id, manifest)) = reading.next().await {
            let body = match manifest {
                Ok(manifest) => {
                    let rows = &manifest.body.packs;
                    let used_of_pack: Vec<u64> = rows
                        .iter()
                        .map(|row| share(row.stored_bytes, row.pages_in_use, row.pages_stored))
                        .collect();
                    Ok(Body {
                        packs: rows.iter().map(|row| row.pack).collect(),
                        uses: manifest.body.uses.clone(),
                        stored_bytes: rows.iter().map(|row| row.stored_bytes).sum(),
                        used_bytes: used_of_pack.iter().sum(),
                        used_of_pack,
                    })
                }
                Err(error) if error.kind() == Kind::Data => Err(error.to_string()),
                Err(error) => return Err(error),
            };
            self.read.insert(id, body);
        }
        Ok(())
    }
}

fn share(bytes: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(bytes) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(bytes)
}
