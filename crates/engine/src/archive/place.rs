//! Whose WAL it is: a system identifier counts for a cluster only once it was adopted.
//!
//! Promises: asks for one object by its name and lists nothing. Without this, a wrong cluster name would make every file
//! "absent", which recovery takes for the end of WAL.

use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::records::Adoption;

use crate::error::{Error, Kind, Result};
use crate::repository::Repository;

/// Makes sure that a system identifier belongs to the cluster.
///
/// # Errors
/// `usage`: it does not. `data`: the record is damaged or not believed everywhere. `unavailable`: no region can be asked.
pub async fn adopted(repository: &Repository, place: &Place) -> Result<Adoption> {
    let name: ObjectName = Named::Adoption(place.clone()).into();
    let read = match repository.read_record::<Adoption>(&name).await {
        Err(error) if error.kind() == Kind::Data && error.id() == "repository.object-missing" => {
            return Err(not_adopted(place));
        }
        read => read?,
    };
    let adoption = read.value;
    if adoption.cluster == place.cluster && adoption.system == place.system {
        return Ok(adoption);
    }
    Err(Error::data(
        "repository.record-damaged",
        format!("{name} names another cluster or system identifier"),
    ))
}

fn not_adopted(place: &Place) -> Error {
    Error::usage(
        "archive.system-not-adopted",
        format!("system identifier {} does not belong to cluster {}", place.system, place.cluster),
    )
    .hint("after pg_upgrade or a new initdb: `seawall init --after-upgrade-of OLD_SYSTEM_ID`; to take this server into the cluster otherwise: `seawall init --adopt`")
    .hint("if this is another cluster, give it a name of its own in the settings")
}
