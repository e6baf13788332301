//! Events: what happened in a repository, and by whom, one small object each.
//!
//! Promises: an event is read only as it was signed, under the time and id it was given. Deliberately knows no kinds of event: their
//! words and details belong to who writes them (FORMAT §10).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compress::{Compressor, Decompressor};
use crate::entropy::Entropy;
use crate::error::{Fault, ObjectError};
use crate::id::RecordId;
use crate::keys::{DigestKey, WriterKey};
use crate::layout::{Named, Place};
use crate::object::{BuildError, ObjectBuilder, SealedObject, WholeObject};
use crate::seal::{Protection, Sealer};
use crate::time::Time;

/// Largest event.
pub const EVENT_BYTES_MAX: usize = 4 << 20;

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which.
    pub event: RecordId,
    /// What happened, one word for each kind: `prune`, `verify`.
    pub what: String,
    /// When, by its writer's clock.
    pub at: Time,
    /// Which host.
    pub host: String,
    /// The writer's release of seawall.
    pub version: String,
    /// The particulars, as its kind has them.
    pub detail: Map<String, Value>,
}

/// Why an event cannot be written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EventError {
    /// The object cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Too much to tell.
    #[error("event of {bytes} bytes, at most {EVENT_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not to be written as JSON.
    #[error("event cannot be written: {reason}")]
    Json {
        /// What the JSON writer says.
        reason: String,
    },
}

impl Event {
    /// Seals the event for its place.
    pub fn seal(
        &self,
        place: &Place,
        sealer: &Sealer,
        key: &WriterKey,
        compressor: &mut Compressor,
        entropy: &mut dyn Entropy,
    ) -> Result<SealedObject, EventError> {
        let plain =
            serde_json::to_vec(self).map_err(|error| EventError::Json { reason: error.to_string() })?;
        if plain.len() > EVENT_BYTES_MAX {
            return Err(EventError::TooLong { bytes: plain.len() });
        }
        let name = Named::Event { place: place.clone(), id: self.event }.to_name();
        let mut fields = Map::new();
        fields.insert("event".to_owned(), Value::from(self.event.to_string()));
        fields.insert("what".to_owned(), Value::from(self.what.clone()));
        let object = ObjectBuilder::new(sealer, &name, fields, Protection::Meta, None, entropy)?;
        Ok(object.finish_document(&plain, compressor, sealer.digest_key(), key)?)
    }

    /// Opens an event whose signature and stored bytes were verified; `digest_key` is that of the generation in its head.
    pub fn open(
        whole: &WholeObject<'_>,
        digest_key: &DigestKey,
        decompressor: &mut Decompressor,
    ) -> Result<Self, ObjectError> {
        let head = whole.head();
        let plain = whole.all_frames(EVENT_BYTES_MAX, decompressor)?;
        head.verify_plain(&digest_key.digest(&plain))?;
        let strange = |reason: String| head.fault(Fault::KindHeader { reason });
        let event: Self = serde_json::from_slice(&plain).map_err(|error| strange(error.to_string()))?;
        let named = matches!(head.name().named(), Named::Event { id, .. } if *id == event.event);
        let said = head.head().header().get("what").and_then(Value::as_str) == Some(event.what.as_str());
        if named && said {
            Ok(event)
        } else {
            Err(strange("it is another event than its name says".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Compression;
    use crate::object::KeyRing;
    use crate::seal::Cipher;
    use crate::testing::World;

    fn event(id: &str) -> Event {
        let mut detail = Map::new();
        detail.insert("deleted".to_owned(), Value::from(7));
        Event {
            event: id.parse().unwrap(),
            what: "prune".to_owned(),
            at: Time::from_micros(1).unwrap(),
            host: "db1".to_owned(),
            version: "0.1.0".to_owned(),
            detail,
        }
    }

    #[test]
    fn an_event_is_read_back_and_only_under_its_own_name() {
        let mut world = World::new(5, Cipher::Aes256Gcm);
        let place = Place { cluster: "orders".parse().unwrap(), system: "7575".parse().unwrap() };
        let written = event("20240229T123456Z-00ff00ff00ff00ff");
        let mut compressor = Compressor::new(Compression::Zstd(3)).unwrap();
        let sealed =
            written.seal(&place, &world.sealer, &world.writer, &mut compressor, &mut world.entropy).unwrap();
        let (name, bytes, _) = sealed.into_parts();
        let mut keys = KeyRing::new();
        keys.add_meta(crate::id::Generation::FIRST, world.keys.meta.clone());
        let mut decompressor = Decompressor::new().unwrap();
        let whole = WholeObject::open(&name, &bytes, &world.trust, None, &keys, &mut decompressor).unwrap();
        let digest_key = keys.digest_key(whole.head().generation(), world.trust.repository()).unwrap();
        assert_eq!(Event::open(&whole, &digest_key, &mut decompressor), Ok(written));
        let other =
            Named::Event { place, id: "20240229T123456Z-00ff00ff00ff00fe".parse().unwrap() }.to_name();
        assert!(WholeObject::open(&other, &bytes, &world.trust, None, &keys, &mut decompressor).is_err());
    }
}
