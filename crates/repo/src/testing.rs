//! What this crate's tests share: a seeded source of bytes, and a small repository made from it. In test builds only.

use crate::compress::{Compression, Compressor};
use crate::entropy::Entropy;
use crate::id::{BackupId, Generation, RepositoryId, SystemId};
use crate::keys::{OwnerKey, WriterKey};
use crate::layout::{Named, ObjectName, Place};
use crate::object::{KeyRing, ObjectBuilder};
use crate::records::{ClusterScope, Revocation, Right, SeawallJson, WriterCertificate};
use crate::seal::{Cipher, Protection, Sealer};
use crate::signed::sign_as_owner;
use crate::time::Time;
use crate::trust::{Pins, Trust};
use crate::wrapped::ClusterKeys;

/// Bytes that follow from a seed.
pub(crate) struct Seeded(Box<blake3::OutputReader>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Box::new(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof()))
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// A repository with one writer, the keys of one generation and all that seals and opens with them.
pub(crate) struct World {
    pub(crate) owner: OwnerKey,
    pub(crate) writer: WriterKey,
    pub(crate) keys: ClusterKeys,
    pub(crate) sealer: Sealer,
    pub(crate) trust: Trust,
    pub(crate) entropy: Seeded,
}

impl World {
    /// One that follows from a seed: other seeds have other ids and keys.
    pub(crate) fn new(seed: u64, cipher: Cipher) -> Self {
        let mut entropy = Seeded::new(seed);
        let repository = RepositoryId::new(&mut entropy);
        let (owner, writer) = (OwnerKey::generate(&mut entropy), WriterKey::generate(&mut entropy));
        let keys = ClusterKeys::generate(&mut entropy);
        let sealer = match cipher {
            Cipher::None => Sealer::plain(repository),
            Cipher::Aes256Gcm => {
                Sealer::encrypted(repository, Generation::FIRST, keys.meta.clone(), keys.secret.public())
            }
        };
        let record = SeawallJson { format: 1, repository, cipher, owner: owner.public(), created: time(0) };
        let name = Named::Seawall.to_name();
        let text = sign_as_owner(&record, &repository, &name, &owner).unwrap();
        let pins = Pins { repository, owner: owner.public() };
        let (trust, opened) = Trust::open(pins, &text).unwrap();
        assert_eq!(opened, record);
        let mut world = Self { owner, writer, keys, sealer, trust, entropy };
        let certificate = world.certificate();
        world.certify(&certificate);
        world
    }

    pub(crate) fn encrypted() -> Self {
        Self::new(1, Cipher::Aes256Gcm)
    }

    /// The writer's certificate: for the cluster of [`place`], with all rights.
    pub(crate) fn certificate(&self) -> WriterCertificate {
        WriterCertificate {
            writer: self.writer.id(),
            public: self.writer.public(),
            cluster: ClusterScope::One(place().cluster),
            rights: vec![Right::Write, Right::Prune, Right::Observe],
            label: "db1".to_owned(),
            created: time(1),
        }
    }

    /// Adds a certificate that the owner signed.
    pub(crate) fn certify(&mut self, certificate: &WriterCertificate) {
        let name = Named::Writer(certificate.writer).to_name();
        let text = sign_as_owner(certificate, self.sealer.repository(), &name, &self.owner).unwrap();
        self.trust.add_writer_record(&name, &text).unwrap();
    }

    /// Adds the writer's revocation.
    pub(crate) fn revoke(&mut self, revoked: Time) {
        let writer = self.writer.id();
        let name = Named::Revocation(writer).to_name();
        let record = Revocation { writer, revoked, reason: "lost".to_owned() };
        let text = sign_as_owner(&record, self.sealer.repository(), &name, &self.owner).unwrap();
        self.trust.add_writer_record(&name, &text).unwrap();
    }

    /// Keys as an identity opens them.
    pub(crate) fn all_keys(&self) -> KeyRing {
        let mut ring = KeyRing::new();
        ring.add_keys(Generation::FIRST, self.keys.clone());
        ring
    }

    /// Keys as a host has them.
    pub(crate) fn host_keys(&self) -> KeyRing {
        let mut ring = KeyRing::new();
        ring.add_meta(Generation::FIRST, self.keys.meta.clone());
        ring
    }

    /// An object with these plain frames.
    pub(crate) fn object(&mut self, name: &ObjectName, protection: Protection, frames: &[&[u8]]) -> Vec<u8> {
        let fields = serde_json::json!({"of": "a test"}).as_object().unwrap().clone();
        let entropy = &mut self.entropy;
        let mut builder = ObjectBuilder::new(&self.sealer, name, fields, protection, None, entropy).unwrap();
        let mut compressor = Compressor::new(Compression::Zstd(3)).unwrap();
        for frame in frames {
            builder.push_frame(frame, &mut compressor).unwrap();
        }
        let digest = self.sealer.digest_key().digest(&frames.concat());
        builder.finish(b"contents", digest, &self.writer).unwrap().into_parts().1
    }
}

pub(crate) fn time(micros: i64) -> Time {
    Time::from_micros(micros).unwrap()
}

pub(crate) fn place() -> Place {
    Place { cluster: "orders".parse().unwrap(), system: SystemId(7_575) }
}

pub(crate) fn backup() -> BackupId {
    "20240229T123456Z-00ff00ff00ff00ff".parse().unwrap()
}

pub(crate) fn pack(number: u32) -> ObjectName {
    Named::Pack { place: place(), backup: backup(), number }.to_name()
}
