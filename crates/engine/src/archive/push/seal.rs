//! From a file's bytes to sealed objects, on all cores, away from the runtime's threads.

use seawall_repo::keys::Digest;
use seawall_repo::object::SealedObject;
use seawall_repo::wal_object::{Indexed, PlainRead, WalBuildError, WalFacts, WalSealer};

use super::indexing::{Plan, Told};
use super::source::WalSource;
use crate::error::{Error, Result};
use crate::repository::{Levels, Repository, WorldEntropy};

/// Seals the objects of one WAL file.
#[derive(Debug, Clone)]
pub(super) struct Sealing {
    pub(super) repository: Repository,
    pub(super) facts: WalFacts,
}

impl Sealing {
    /// A whole file, its records indexed while it is read; what was told of them.
    pub(super) fn seal_whole(&self, source: &WalSource, plan: &Plan) -> Result<(SealedObject, Told)> {
        let mut indexing = plan.begin(source);
        let read = self.read(source, 0, &mut |plain| indexing.take(plain))?;
        let told = indexing.finish();
        let mut entropy = WorldEntropy::new(self.repository.world());
        let sealed = self.sealer(&told.index)?.seal_read(&read, &mut entropy);
        Ok((sealed.map_err(|error| self.unsealed(error))?, told))
    }

    /// A part of a file; `each` gets its bytes in order.
    pub(super) fn seal_part(
        &self,
        source: &WalSource,
        part: u32,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<SealedObject> {
        let read = self.read(source, part, each)?;
        let mut entropy = WorldEntropy::new(self.repository.world());
        let not = Indexed::Not("it stands with the whole".to_owned());
        let sealed = self.sealer(&not)?.seal_part(part, &read, &mut entropy);
        sealed.map_err(|error| self.unsealed(error))
    }

    /// The object that tells of the parts.
    pub(super) fn seal_parted(
        &self,
        parts: &[Digest],
        whole: Digest,
        size: u64,
        index: &Indexed,
    ) -> Result<SealedObject> {
        let mut entropy = WorldEntropy::new(self.repository.world());
        let sealed = self.sealer(index)?.seal_parted(parts, whole, size, &mut entropy);
        sealed.map_err(|error| self.unsealed(error))
    }

    /// Reads a file, or one part of it, once.
    fn read(&self, source: &WalSource, part: u32, each: &mut dyn FnMut(&[u8])) -> Result<PlainRead<'static>> {
        let mut hasher = self.repository.digest_key()?.hasher();
        let compression = Levels::compression(self.repository.levels().wal);
        let (frames, bytes) = source.read_through(part, compression, &mut |plain| {
            hasher.update(plain);
            each(plain);
        })?;
        Ok(PlainRead { bytes, digest: hasher.finish(), frames })
    }

    fn sealer<'a>(&'a self, index: &'a Indexed) -> Result<WalSealer<'a>> {
        Ok(WalSealer {
            facts: &self.facts,
            index,
            sealer: self.repository.sealer()?,
            key: self.repository.writer()?,
        })
    }

    fn unsealed(&self, error: WalBuildError) -> Error {
        Error::bug("archive.seal", format!("{} could not be sealed", self.facts.file)).because(error)
    }
}
