//! Which backups and system identifiers a repository shows, region by region.
//!
//! Promises: a backup is listed only if its manifest's head was believed; what was not believed, and regions that could not
//! be asked, are said beside the list and never mistaken for "no backup".

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use seawall_repo::id::{BackupId, SystemId};
use seawall_repo::layout::{Named, ObjectName, Place, prefix};
use seawall_repo::manifest::{Manifest, ManifestError, ManifestHeader};
use seawall_repo::records::Adoption;
use seawall_repo::time::Time;
use seawall_store::{Held, Listed, RegionName};

use super::handle::Repository;
use super::open::list_names;
use crate::error::{Error, Result};
use crate::monitor::Finding;

/// One backup.
#[derive(Debug, Clone)]
pub struct BackupEntry {
    /// Cluster and system identifier.
    pub place: Place,
    /// Its id.
    pub id: BackupId,
    /// The plain part of its manifest.
    pub header: ManifestHeader,
    /// Regions that show it.
    pub regions: Vec<RegionName>,
    /// When its manifest was stored, by the store's clock, in the region that had it first: the only time of a backup that its
    /// writer cannot choose.
    pub stored: Time,
}

/// A region that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unreached {
    /// Which.
    pub region: RegionName,
    /// Why.
    pub why: String,
}

/// A backup whose manifest is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbelieved {
    /// Whose.
    pub place: Place,
    /// Which.
    pub id: BackupId,
    /// Nobody who may signed it; otherwise no copy that could be read is what its writer signed.
    pub is_of_a_stranger: bool,
}

/// All backups of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// By system identifier as adopted, then by where they start: order comes from LSNs, never from names.
    pub backups: Vec<BackupEntry>,
    /// Regions that could not be listed, and why.
    pub unreached: Vec<Unreached>,
    /// Manifests that were not believed.
    pub refused: Vec<Finding>,
    /// The backups of those manifests.
    pub unbelieved: Vec<Unbelieved>,
}

/// A region whose next name comes so much later than another region's is told as unreached, not waited for.
const LIST_LAG_MAX: Duration = Duration::from_secs(30);
/// Heads of manifests that are read at the same time.
const HEADS_AT_ONCE: usize = 16;

impl Repository {
    /// System identifiers that belong to the cluster, in the order of their adoption.
    ///
    /// # Errors
    /// No region can be listed.
    pub async fn adoptions(&self) -> Result<Vec<Adoption>> {
        let mut adoptions = Vec::new();
        for name in list_names(self.regions(), &prefix::adoptions(self.cluster())).await? {
            match self.read_record::<Adoption>(&name).await {
                Ok(read) if adoption_fits(&name, &read.value) => adoptions.push(read.value),
                Ok(_) => self.notice(refused_record(&name, "it names another cluster or system identifier")),
                Err(error) if error.kind() == crate::Kind::Unavailable => return Err(error),
                Err(error) => self.notice(refused_record(&name, &error.to_string())),
            }
        }
        adoptions.sort_by_key(|adoption| adoption.adopted.micros());
        Ok(adoptions)
    }

    /// All backups of the cluster.
    ///
    /// # Errors
    /// No region can be listed.
    pub async fn catalog(&self) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        for adoption in self.adoptions().await? {
            let place = Place { cluster: self.cluster().clone(), system: adoption.system };
            self.add_system(&place, &mut catalog).await?;
        }
        Ok(catalog)
    }

    async fn add_system(&self, place: &Place, catalog: &mut Catalog) -> Result<()> {
        let mut shown: BTreeMap<ObjectName, Vec<Held>> = BTreeMap::new();
        let mut listed = self.regions().list_all_within(&place.manifests(), LIST_LAG_MAX);
        while let Some(entry) = listed.next().await {
            match entry {
                Listed::Object { name, held, .. } => {
                    if let Some(name) = ObjectName::parse(&name) {
                        shown.insert(name, held);
                    }
                }
                Listed::Broken { region, error } => {
                    if !catalog.unreached.iter().any(|known| known.region == region) {
                        catalog.unreached.push(Unreached { region, why: error.chain() });
                    }
                }
            }
        }
        drop(listed);
        if catalog.unreached.len() == self.regions().len() {
            return Err(unlistable(catalog.unreached.iter().map(|gone| (&gone.region, &gone.why))));
        }
        let from = catalog.backups.len();
        let mut reading = futures::stream::iter(shown)
            .map(|(name, held)| async move { (self.manifest_entry(place, &name, &held).await, name) })
            .buffered(HEADS_AT_ONCE)
            .boxed();
        while let Some((entry, name)) = reading.next().await {
            match (entry, name.named()) {
                (Ok(entry), _) => catalog.backups.extend(entry),
                (Err(error), Named::Manifest { backup, .. }) if error.kind() != crate::Kind::Unavailable => {
                    catalog.unbelieved.push(Unbelieved {
                        place: place.clone(),
                        id: *backup,
                        is_of_a_stranger: super::is_of_a_stranger(&error),
                    });
                    catalog.refused.push(refused_manifest(&name, &error.to_string()));
                }
                (Err(error), _) => return Err(error),
            }
        }
        drop(reading);
        if let Some(added) = catalog.backups.get_mut(from..) {
            added.sort_by_key(|entry| {
                (entry.header.timeline, entry.header.start, entry.header.stop, entry.id.to_bytes())
            });
        }
        Ok(())
    }

    /// What a manifest's head says; none for an object that is no manifest.
    async fn manifest_entry(
        &self,
        place: &Place,
        name: &ObjectName,
        held: &[Held],
    ) -> Result<Option<BackupEntry>> {
        let Named::Manifest { backup: id, .. } = *name.named() else { return Ok(None) };
        let head = self.read_head(name).await?;
        let header = ManifestHeader::open(&head.value)
            .map_err(|error| Error::data("repository.manifest-refused", error.to_string()))?;
        let regions = held.iter().map(|at| at.region.clone()).collect();
        let stored = held.iter().filter_map(|at| Time::from_micros(at.modified_unix_us)).min();
        let stored = stored.unwrap_or(header.stopped);
        Ok(Some(BackupEntry { place: place.clone(), id, header, regions, stored }))
    }

    /// The whole manifest of a backup.
    ///
    /// # Errors
    /// Missing, damaged or out of reach in every region.
    pub async fn manifest(&self, place: &Place, backup: BackupId) -> Result<Manifest> {
        let name = Named::Manifest { place: place.clone(), backup }.into();
        let read = self
            .read_whole(&name, |whole, decompressor| {
                let generation = whole.head().generation();
                let digest_key = self.keys().digest_key(generation, self.trust().repository());
                let digest_key = digest_key.ok_or_else(|| needs_meta(whole.head(), generation))?;
                match Manifest::open(whole, &digest_key, decompressor) {
                    Ok(manifest) => Ok(Ok(manifest)),
                    Err(ManifestError::Object(error)) => Err(error),
                    Err(error) => Ok(Err(error)),
                }
            })
            .await?;
        read.value.map_err(|error| {
            Error::data("repository.manifest-refused", format!("the manifest of {backup} cannot be used"))
                .because(error)
        })
    }
}

fn needs_meta(
    head: &seawall_repo::object::OpenHead,
    generation: Option<seawall_repo::id::Generation>,
) -> seawall_repo::error::ObjectError {
    let generation = generation.unwrap_or(seawall_repo::id::Generation::FIRST);
    head.fault(seawall_repo::error::Fault::NeedsMetaKey { generation })
}

fn adoption_fits(name: &ObjectName, adoption: &Adoption) -> bool {
    let of_name: Option<(&_, SystemId)> = name.named().place().map(|place| (&place.cluster, place.system));
    of_name == Some((&adoption.cluster, adoption.system))
}

fn refused_record(name: &ObjectName, why: &str) -> Finding {
    Finding { id: "repository.record-refused", what: format!("{name} is not believed: {why}"), hint: None }
}

fn refused_manifest(name: &ObjectName, why: &str) -> Finding {
    Finding {
        id: "repository.manifest-refused",
        what: format!("{name} is not listed: {why}"),
        hint: Some(
            "the backup cannot be relied on; take a new one and find out what happened to this object"
                .to_owned(),
        ),
    }
}

/// What it means that no region can be listed: each with the reason.
pub(crate) fn unlistable<'a, W: std::fmt::Display>(
    unreached: impl IntoIterator<Item = (&'a RegionName, W)>,
) -> Error {
    let error = Error::unavailable("repository.region-unavailable", "no region can be listed");
    unreached.into_iter().fold(error, |error, (region, why)| error.fact("region", format!("{region}: {why}")))
}
