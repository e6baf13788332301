//! The repository as operations see it: regions, whom to believe, the keys at hand.
//!
//! Promises: nothing read through here was not verified: signature, owner's word, digest. A copy that is wrong or missing
//! in one region while another serves it is remembered, and the operation reports it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seawall_repo::id::ClusterName;
use seawall_repo::keys::{DigestKey, WriterKey};
use seawall_repo::layout::ObjectName;
use seawall_repo::object::KeyRing;
use seawall_repo::records::SeawallJson;
use seawall_repo::seal::{Cipher, Sealer};
use seawall_repo::trust::Trust;
use seawall_store::{ReadFault, ReadFaultKind, RegionName, Regions, World};

use super::host_keys::HostKeys;
use super::settings::{Acknowledge, Levels};
use crate::error::{Error, Result};
use crate::monitor::Finding;

/// A region lacks what another one served.
pub(crate) const COPY_MISSING: &str = "repository.copy-missing";
/// A region's copy is damaged, and another one served.
pub(crate) const COPY_WRONG: &str = "repository.copy-wrong";

/// What was found wrong while something else served.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    /// Nobody took it yet.
    pub(super) waiting: Vec<Finding>,
    /// Regions whose failure was noticed.
    pub(super) failed: BTreeSet<RegionName>,
}

/// An opened repository, for one cluster. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) regions: Regions,
    pub(super) world: World,
    pub(super) record: SeawallJson,
    pub(super) trust: Trust,
    pub(super) cluster: ClusterName,
    pub(super) keys: KeyRing,
    pub(super) sealer: Option<Sealer>,
    pub(super) host: Option<HostKeys>,
    pub(super) acknowledge: Acknowledge,
    pub(super) levels: Levels,
    pub(super) noticed: Mutex<Noticed>,
}

impl Repository {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The same repository as one region alone shows it; none where there is no such region. What is noticed stays with it.
    #[must_use]
    pub fn within(&self, region: &RegionName) -> Option<Self> {
        let inner = &self.0;
        Some(Self::new(Inner {
            regions: inner.regions.only(region)?,
            world: inner.world.clone(),
            record: inner.record.clone(),
            trust: inner.trust.clone(),
            cluster: inner.cluster.clone(),
            keys: inner.keys.clone(),
            sealer: inner.sealer.clone(),
            host: None,
            acknowledge: inner.acknowledge,
            levels: inner.levels,
            noticed: Mutex::default(),
        }))
    }

    /// Its regions.
    #[must_use]
    pub fn regions(&self) -> &Regions {
        &self.0.regions
    }

    /// Clock and randomness.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// What the repository says of itself, signed by its owner.
    #[must_use]
    pub fn record(&self) -> &SeawallJson {
        &self.0.record
    }

    /// Whom to believe.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.0.trust
    }

    /// The cluster it was opened for.
    #[must_use]
    pub fn cluster(&self) -> &ClusterName {
        &self.0.cluster
    }

    /// The keys at hand.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.0.keys
    }

    /// When WAL counts as stored.
    #[must_use]
    pub fn acknowledge(&self) -> Acknowledge {
        self.0.acknowledge
    }

    /// How hard what is written is compressed.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.0.levels
    }

    /// Whether content can be opened with the keys at hand.
    #[must_use]
    pub fn opens_content(&self) -> bool {
        let newest = self.0.keys.newest();
        self.0.record.cipher == Cipher::None
            || newest.is_some_and(|newest| self.0.keys.secret(newest).is_some())
    }

    /// What new objects are sealed with.
    ///
    /// # Errors
    /// Opened without keys.
    pub fn sealer(&self) -> Result<&Sealer> {
        self.0.sealer.as_ref().ok_or_else(no_host_keys)
    }

    /// What digests are made with.
    ///
    /// # Errors
    /// Opened without keys.
    pub fn digest_key(&self) -> Result<&DigestKey> {
        self.sealer().map(Sealer::digest_key)
    }

    /// Signs what this host writes.
    ///
    /// # Errors
    /// Opened without a host's key file.
    pub fn writer(&self) -> Result<&WriterKey> {
        self.0.host.as_ref().map(|host| &host.writer).ok_or_else(no_host_keys)
    }

    /// What was found wrong so far while something else served; empty afterwards.
    #[must_use]
    pub fn take_findings(&self) -> Vec<Finding> {
        std::mem::take(&mut self.noticed().waiting)
    }

    /// Remembers copies that could not serve an object that another region served.
    pub(crate) fn notice_faults(&self, name: &ObjectName, faults: &[ReadFault]) {
        let mut noticed = self.noticed();
        for fault in faults {
            let finding = match &fault.kind {
                ReadFaultKind::Failed(error) if !fault.kind.is_of_the_copy() => {
                    // It would be told with every object, and again by every step of one operation.
                    if !noticed.failed.insert(fault.region.clone()) {
                        continue;
                    }
                    Finding {
                        id: "repository.region-failed",
                        what: format!("region {} did not serve, and another one did instead", fault.region),
                        hint: Some(format!("its first answer: {}", error.chain())),
                    }
                }
                ReadFaultKind::Missing => Finding {
                    id: COPY_MISSING,
                    what: format!("{name} in region {fault}"),
                    hint: Some(
                        "another region served it; bring this one up to date: seawall sync".to_owned(),
                    ),
                },
                ReadFaultKind::Failed(_) | ReadFaultKind::Damaged(_) => Finding {
                    id: COPY_WRONG,
                    what: format!("{name} in region {fault}"),
                    hint: Some(format!(
                        "another region served it; heal this one: seawall sync --heal {name}"
                    )),
                },
            };
            if !noticed.waiting.iter().any(|known| known.id == finding.id && known.what == finding.what) {
                noticed.waiting.push(finding);
            }
        }
    }

    pub(crate) fn notice(&self, finding: Finding) {
        self.noticed().waiting.push(finding);
    }

    fn noticed(&self) -> MutexGuard<'_, Noticed> {
        self.0.noticed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_host_keys() -> Error {
    Error::usage("keys.host-file-needed", "this needs the key file of a host that writes")
        .hint("run it on the database host as the user that owns the data directory, with its settings file")
}

#[cfg(test)]
mod tests {
    use seawall_store::faulty::{CallKind, Fault, Rule};

    use crate::archive::testing::Bench;

    #[tokio::test]
    async fn a_region_that_fails_is_told_once_and_each_wrong_copy_by_its_name() {
        let bench = Bench::new().await;
        let names = [bench.pushed(1, 9).await, bench.pushed(2, 9).await].map(|name| bench.object(&name));
        for (fault, wanted) in [(Fault::FailBefore, 1), (Fault::FlipBit(100), 2)] {
            let reader = bench.as_reader().await.unwrap();
            bench.stores[0].add(Rule::new(fault).on(CallKind::Get));
            for name in &names {
                assert_eq!(reader.read_head(name).await.unwrap().region.as_str(), "south");
            }
            bench.stores[0].heal();
            let findings = reader.take_findings();
            assert_eq!(findings.len(), wanted, "{findings:?}");
            bench.stores[0].add(Rule::new(Fault::FailBefore).on(CallKind::Get));
            reader.read_head(&names[0]).await.unwrap();
            bench.stores[0].heal();
            assert_eq!(
                reader.take_findings().len(),
                wanted - 1,
                "a region is told once, also where findings were taken"
            );
        }
    }
}
