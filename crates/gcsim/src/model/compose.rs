//! Making an object of others.
//!
//! "Objects: compose" (cloud.google.com/storage/docs/json_api/v1/objects/compose) and "Composite objects" (.../composite-objects): 1 to 32 sources
//! of the same bucket, in order; a composed object has no MD5, only CRC-32C, and a count of components. Rights:
//! `storage.objects.get` on the sources and those of writing.

use super::{At, Payload, Preconditions, Target, Version, Wishes, World};
use crate::hashes::Hashes;
use crate::refusal::Refusal;

const MOST_SOURCES: usize = 32;

/// One source.
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) generation: Option<u64>,
    pub(crate) preconditions: Preconditions,
}

impl World {
    /// # Errors
    /// 400, 403, 404, 412, 429.
    pub(crate) fn compose(
        &mut self,
        target: Target<'_>,
        sources: &[Component],
        wishes: Wishes,
    ) -> Result<Version, Refusal> {
        if !(1..=MOST_SOURCES).contains(&sources.len()) {
            return Err(Refusal::invalid("The number of source components must be between 1 and 32."));
        }
        let mut pieces = Vec::new();
        let mut components = 0;
        for source in sources {
            let at = source.generation.map_or(At::Live, At::Generation);
            let from = Target { name: &source.name, ..target };
            let found = self.read(from, at, source.preconditions)?;
            components += found.components.unwrap_or(1);
            pieces.push(self.blobs.whole(found.blob)?);
        }
        self.may_put(target, &wishes)?;
        let found = Hashes { md5: None, ..Hashes::of(&pieces) };
        wishes.hashes.check(&Hashes { md5: wishes.hashes.md5, ..found })?;
        let payload = Payload {
            blob: self.blobs.put(&pieces)?,
            size: pieces.iter().map(|piece| piece.len() as u64).sum(),
            crc32c: found.crc32c.unwrap_or(0),
            md5: None,
            components: Some(components),
        };
        self.put(target, payload, wishes)
    }
}
