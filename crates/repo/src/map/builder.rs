//! Building map objects: nodes in, references out.
//!
//! Nodes are gathered into frames of about 64 KiB, frames into an object of a few MiB. A node's reference is known at
//! once, before its frame is sealed, so a file block can name leaves that are not stored yet; what names must be put
//! after what it names is the manifest alone, which comes last of all.
//!
//! Promises that every node lies whole within one frame. Deliberately does not look into nodes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compress::{Compressor, FRAME_PLAIN_BYTES_MAX};
use crate::entropy::Entropy;
use crate::id::BackupId;
use crate::keys::{DigestHasher, WriterKey};
use crate::layout::{Named, Place};
use crate::map::node::NodeRef;
use crate::object::{BuildError, ObjectBuilder, SealedObject};
use crate::seal::{Protection, Sealer};

/// From this size on a map object is full.
pub const MAP_BYTES_TARGET: usize = 4 << 20;

/// A frame is sealed rather than grown past this.
const FRAME_BYTES_TARGET: usize = 64 << 10;

/// The fields of a map's header that belong to its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapHeader {
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Its number there.
    pub map: u32,
}

/// Why a map cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The object.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A node without bytes, or longer than a frame may be.
    #[error("a node of {bytes} bytes, where 1 to {FRAME_PLAIN_BYTES_MAX} are allowed")]
    NodeLength {
        /// Its bytes.
        bytes: usize,
    },
}

/// A map object under construction.
pub struct MapBuilder {
    backup: BackupId,
    map: u32,
    object: ObjectBuilder,
    digest: DigestHasher,
    frame: Vec<u8>,
    frames: u32,
}

impl std::fmt::Debug for MapBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MapBuilder({:?}, {} bytes gathered)", self.object, self.frame.len())
    }
}

impl MapBuilder {
    /// Begins map number `map` of `backup`, of the cluster at `place`.
    pub fn new(
        sealer: &Sealer,
        place: &Place,
        backup: BackupId,
        map: u32,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, MapError> {
        let name = Named::Map { place: place.clone(), backup, number: map }.into();
        let mut fields = Map::new();
        fields.insert("backup".into(), Value::from(backup.to_string()));
        fields.insert("map".into(), Value::from(map));
        let object = ObjectBuilder::new(sealer, &name, fields, Protection::Meta, None, entropy)?;
        let digest = sealer.digest_key().hasher();
        Ok(Self { backup, map, object, digest, frame: Vec::new(), frames: 0 })
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.frames == 0 && self.frame.is_empty()
    }

    /// Bytes the object would have now, gathered nodes as if incompressible.
    pub fn stored_len(&self) -> usize {
        self.object.stored_len() + self.frame.len()
    }

    /// Whether it is time to finish.
    pub fn is_full(&self) -> bool {
        self.stored_len() >= MAP_BYTES_TARGET
    }

    /// Appends a node; its name.
    pub fn append(&mut self, node: &[u8], compressor: &mut Compressor) -> Result<NodeRef, MapError> {
        if node.is_empty() || node.len() > FRAME_PLAIN_BYTES_MAX {
            return Err(MapError::NodeLength { bytes: node.len() });
        }
        if self.frame.len() + node.len() > FRAME_BYTES_TARGET {
            self.seal_frame(compressor)?;
        }
        let reference = NodeRef {
            backup: self.backup,
            map: self.map,
            frame: self.frames,
            // Both at most 1 MiB.
            offset: self.frame.len() as u32,
            length: node.len() as u32,
        };
        self.frame.extend_from_slice(node);
        Ok(reference)
    }

    /// Seals what is gathered and finishes the object; `None` if no node was appended.
    pub fn finish(
        mut self,
        key: &WriterKey,
        compressor: &mut Compressor,
    ) -> Result<Option<SealedObject>, MapError> {
        self.seal_frame(compressor)?;
        if self.frames == 0 {
            return Ok(None);
        }
        Ok(Some(self.object.finish(&[], self.digest.finish(), key)?))
    }

    fn seal_frame(&mut self, compressor: &mut Compressor) -> Result<(), MapError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        self.object.push_frame(&self.frame, compressor)?;
        self.digest.update(&self.frame);
        self.frame.clear();
        self.frames += 1;
        Ok(())
    }
}

#[cfg(test)]
#[path = "builder_tests.rs"]
mod tests;
