//! Looks inside each kind of object, for people and as JSON: `seawall debug`.
//!
//! Promises: nothing is shown that was not verified as every reader verifies it; what a report says is what the object says, numbers as
//! they stand there, and nothing is judged (that is `verify`). Deliberately decides nothing and writes nothing.

mod chapter;
mod index;
mod manifest;
mod map;
mod meaning;
mod pack;
mod wal;

use seawall_pg::SystemIdentifier;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::object::OpenHead;

use crate::error::{Error, Kind, Result};
use crate::repository::Repository;

pub use chapter::{ChapterReport, chapter};
pub use index::{
    ActivityReport, EndedReport, ForkReport, IndexReport, OidReport, PageRun, SegmentRange, index,
};
pub use manifest::{BlockReport, ManifestReport, NodeAt, PackRowReport, manifest};
pub use map::{ExtentReport, MapReport, NodeReport, PlaceReport, map};
pub use pack::{FrameLine, FrameReport, PackReport, SlotReport, pack};
pub use seawall_pg::wal::RelationId;
pub use seawall_pg::{Fork, SegmentName, WalFileName, WalFolder};
pub use seawall_repo::chapter::ChapterSegment;
pub use seawall_repo::wal_index::{Begins, Ends, Mark, MarkWhat};
pub use wal::{BlockLine, RecordFilter, RecordLine, WalEnd, archived_wal, local_wal, resource_manager};

/// An object that was found: where it belongs, its name and verified head.
struct FoundObject {
    place: Place,
    name: ObjectName,
    head: OpenHead,
}

/// The object with this name: of the system identifier asked for, else of the one adopted last that has such a one.
async fn find(
    repository: &Repository,
    system: Option<SystemIdentifier>,
    named: impl Fn(Place) -> Named,
) -> Result<FoundObject> {
    let adopted = repository.adoptions().await?;
    let systems = adopted.iter().rev().map(|adoption| adoption.system);
    let mut missing = None;
    for system in systems.filter(|one| system.is_none_or(|wanted| wanted == *one)) {
        let place = Place { cluster: repository.cluster().clone(), system };
        let name: ObjectName = named(place.clone()).into();
        match repository.read_head(&name).await {
            Ok(head) => return Ok(FoundObject { place, name, head: head.value }),
            Err(error) if error.kind() == Kind::Data && error.id() == "repository.object-missing" => {
                missing = missing.or(Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    let cluster = repository.cluster();
    Err(missing.unwrap_or_else(|| match system {
        Some(system) => Error::usage(
            "debug.unknown-system",
            format!("{system} is no system identifier of cluster {cluster}"),
        )
        .hint("leave --system out to look for the object in all of them"),
        None => Error::data("debug.no-system", format!("cluster {cluster} has no system identifier yet"))
            .hint("make it with: seawall init"),
    }))
}
