//! The holds of all places of a cluster, for whoever shows or changes them.

use seawall_repo::layout::Place;

use super::look::{Broken, HoldSeen, holds, policies};
use crate::error::Result;
use crate::monitor::Finding;
use crate::repository::{Repository, unlistable};

/// Every hold, and where it lies.
///
/// # Errors
/// No region can be listed, or a record is out of reach.
pub(crate) async fn held(
    repository: &Repository,
    findings: &mut Vec<Finding>,
) -> Result<Vec<(Place, HoldSeen)>> {
    let mut broken = Broken::new();
    let policies = policies(repository, &mut broken, findings).await?.records;
    let known = policies.last().map(|(policy, _)| policy.holds.clone()).unwrap_or_default();
    let mut all = Vec::new();
    for adoption in repository.adoptions().await? {
        let place = Place { cluster: repository.cluster().clone(), system: adoption.system };
        let (seen, _strange) = holds(repository, &place, &known, &mut broken, findings).await?;
        all.extend(seen.into_iter().map(|hold| (place.clone(), hold)));
    }
    if broken.len() == repository.regions().len() {
        return Err(unlistable(&broken));
    }
    findings.extend(broken.iter().map(|(region, why)| Finding {
        id: "hold.region-unreached",
        what: format!("region {region} could not be asked: {why}"),
        hint: Some("it may have holds that are not shown".to_owned()),
    }));
    Ok(all)
}
