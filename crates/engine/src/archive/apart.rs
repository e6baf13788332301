//! Whether regions hold different contents under one name: two servers wrote it, and nobody but a person can say whose it should be.
//!
//! Promise: what is compared are the digests that stand signed in heads. A copy that is damaged or out of reach is no other content; what is
//! wrong with it is `verify`'s to tell. Digests of other keys cannot be compared.

use seawall_repo::id::{Generation, WriterId};
use seawall_repo::keys::Digest;
use seawall_repo::layout::ObjectName;
use seawall_store::RegionName;

use crate::repository::Repository;

/// What one region's copy is.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) region: RegionName,
    digest: Digest,
    generation: Option<Generation>,
    pub(crate) writer: WriterId,
}

/// Two copies that are not the same file.
#[derive(Debug, Clone)]
pub(crate) struct Apart {
    pub(crate) one: Copy,
    pub(crate) other: Copy,
}

impl Apart {
    /// Where, and by whom.
    pub(crate) fn words(&self) -> String {
        let Self { one, other } = self;
        format!(
            "different content under one name: in region {} by writer {}, in region {} by writer {}",
            one.region, one.writer, other.region, other.writer
        )
    }

    /// For each of the two: whom to follow, and whose region is left out then.
    pub(crate) fn choices(&self) -> [(&Copy, &Copy); 2] {
        [(&self.one, &self.other), (&self.other, &self.one)]
    }
}

/// Two regions of these that hold different contents under `name`; none named: of all.
pub(crate) async fn apart(repository: &Repository, name: &ObjectName, among: &[RegionName]) -> Option<Apart> {
    let mut first = None::<Copy>;
    for region in repository.regions().iter().map(seawall_store::Region::name) {
        if !among.is_empty() && !among.contains(region) {
            continue;
        }
        let Some(copy) = copy(repository, name, region).await else { continue };
        match &first {
            None => first = Some(copy),
            Some(one) if one.generation == copy.generation && one.digest != copy.digest => {
                return Some(Apart { one: one.clone(), other: copy });
            }
            Some(_) => {}
        }
    }
    None
}

async fn copy(repository: &Repository, name: &ObjectName, region: &RegionName) -> Option<Copy> {
    let read = repository.within(region)?.read_head(name).await.ok()?;
    let head = &read.value;
    Some(Copy {
        region: region.clone(),
        digest: *head.head().plain_digest(),
        generation: head.generation(),
        writer: head.head().writer(),
    })
}
