//! Whether regions hold different contents under one name: two servers wrote it, and nobody but a person can say whose it should be.
//!
//! Promise: what is compared are the digests that stand signed in heads. A copy that is damaged or out of reach is no other content; what is
//! wrong with it is `verify`'s to tell. Digests of other keys cannot be compared: content that was put again after the keys were changed is
//! no conflict.

use seawall_repo::id::{Generation, WriterId};
use seawall_repo::keys::Digest;
use seawall_repo::layout::ObjectName;
use seawall_repo::object::OpenHead;
use seawall_store::{Region, RegionName};

use super::Repository;

/// What one region's copy is.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) region: RegionName,
    pub(crate) digest: Digest,
    pub(crate) generation: Option<Generation>,
    /// Whoever signed its head; a record names its writer itself.
    pub(crate) writer: Option<WriterId>,
}

impl Copy {
    /// What a region's copy with this head is.
    pub(crate) fn of_head(region: &RegionName, open: &OpenHead) -> Self {
        let (region, head) = (region.clone(), open.head());
        let (digest, writer) = (*head.plain_digest(), Some(head.writer()));
        Self { region, digest, generation: open.generation(), writer }
    }

    /// Whose it is, for people.
    pub(crate) fn by(&self) -> String {
        self.writer.map_or_else(|| "the one it names".to_owned(), |writer| writer.to_string())
    }

    fn is_another_than(&self, other: &Self) -> bool {
        self.generation == other.generation && self.digest != other.digest
    }
}

/// Two copies that are not the same file.
#[derive(Debug, Clone)]
pub(crate) struct Apart {
    pub(crate) one: Copy,
    pub(crate) other: Copy,
}

impl Apart {
    /// The first two of these that are not the same.
    pub(crate) fn of(copies: impl IntoIterator<Item = Copy>) -> Option<Self> {
        let mut known: Vec<Copy> = Vec::new();
        for copy in copies {
            if let Some(one) = known.iter().find(|one| one.is_another_than(&copy)) {
                return Some(Self { one: one.clone(), other: copy });
            }
            known.push(copy);
        }
        None
    }

    /// Where, and by whom.
    pub(crate) fn words(&self) -> String {
        let Self { one, other } = self;
        format!(
            "different content under one name: in region {} by writer {}, in region {} by writer {}",
            one.region,
            one.by(),
            other.region,
            other.by()
        )
    }

    /// For each of the two: whom to follow, and whose region is left out then.
    pub(crate) fn choices(&self) -> [(&Copy, &Copy); 2] {
        [(&self.one, &self.other), (&self.other, &self.one)]
    }
}

/// Two regions of these whose heads name different contents under `name`; none named: of all.
pub(crate) async fn apart(repository: &Repository, name: &ObjectName, among: &[RegionName]) -> Option<Apart> {
    let mut copies = Vec::new();
    for region in repository.regions().iter().map(Region::name) {
        if !among.is_empty() && !among.contains(region) {
            continue;
        }
        let Some(alone) = repository.within(region) else { continue };
        let Ok(head) = alone.read_head(name).await else { continue };
        copies.push(Copy::of_head(region, &head.value));
    }
    Apart::of(copies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(region: &str, content: u8, generation: u32) -> Copy {
        Copy {
            region: RegionName::new(region).unwrap(),
            digest: [content; 32],
            generation: Generation::new(generation),
            writer: None,
        }
    }

    #[test]
    fn contents_are_compared_where_one_generation_of_keys_made_their_digests() {
        assert!(Apart::of([copy("one", 1, 1), copy("two", 1, 1)]).is_none());
        assert!(Apart::of([copy("one", 1, 1), copy("two", 2, 2)]).is_none());
        let apart = Apart::of([copy("one", 1, 1), copy("two", 2, 2), copy("three", 3, 2)]).unwrap();
        assert_eq!((apart.one.region.as_str(), apart.other.region.as_str()), ("two", "three"));
    }
}
