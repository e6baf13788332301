//! Handing on to regions what they missed while they were away and would delete by if they were asked alone: revocations, holds,
//! releases.
//!
//! Promises: only a copy that is believed is handed on, and as it is stored, so that every region has the same bytes; nothing is
//! overwritten; a region that does not take it is named.

use seawall_repo::layout::ObjectName;
use seawall_store::{Put, RegionName};

use crate::repository::Repository;

/// A region that did not take it, and why.
pub(super) type NotTaken = (RegionName, String);

/// Gives `name` to these regions, which lack it. Whether any took it, and which did not.
pub(super) async fn hand_on(
    repository: &Repository,
    name: &ObjectName,
    lacking: &[RegionName],
) -> (bool, Vec<NotTaken>) {
    if lacking.is_empty() {
        return (false, Vec::new());
    }
    let bytes = match repository.record_bytes(name).await {
        Ok(bytes) => bytes,
        Err(error) => {
            let why = error.to_string();
            return (false, lacking.iter().map(|region| (region.clone(), why.clone())).collect());
        }
    };
    let (mut taken, mut not_taken) = (false, Vec::new());
    for region in lacking.iter().filter_map(|name| repository.regions().find(name.as_str())) {
        let why = match region.put_new(name.as_str(), &bytes).await {
            Ok(Put::Created | Put::AlreadyThere) => {
                taken = true;
                continue;
            }
            Ok(Put::Conflict { .. }) => "something else stands there".to_owned(),
            Err(error) => error.chain(),
        };
        not_taken.push((region.name().clone(), why));
    }
    (taken, not_taken)
}
