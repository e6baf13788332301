//! A repository to build and open packs, maps and manifests in, for this crate's tests.

use crate::compress::{Compression, Compressor, Decompressor};
use crate::id::{BackupId, Generation, RepositoryId, SystemId};
use crate::keys::{ClusterSecret, MetaKey, OwnerKey, WriterKey};
use crate::layout::{Named, Place};
use crate::object::{KeyRing, SealedObject, WholeObject};
use crate::records::{ClusterScope, FORMAT, Right, SeawallJson, WriterCertificate};
use crate::seal::Sealer;
use crate::signed::sign_as_owner;
use crate::testing::Seeded;
use crate::time::Time;
use crate::trust::{Pins, Trust};
use crate::wrapped::ClusterKeys;

pub(crate) struct World {
    pub(crate) entropy: Seeded,
    pub(crate) sealer: Sealer,
    pub(crate) place: Place,
    pub(crate) writer: WriterKey,
    pub(crate) compressor: Compressor,
    trust: Trust,
    keys: KeyRing,
}

impl World {
    pub(crate) fn encrypted() -> Self {
        let mut entropy = Seeded::new(7);
        let meta = MetaKey::generate(&mut entropy);
        let secret = ClusterSecret::generate(&mut entropy);
        let repository = RepositoryId::new(&mut entropy);
        let sealer = Sealer::encrypted(repository, Generation::FIRST, meta.clone(), secret.public());
        let mut keys = KeyRing::new();
        keys.add_keys(Generation::FIRST, ClusterKeys { meta, secret });
        Self::of(sealer, keys, entropy)
    }

    pub(crate) fn plain() -> Self {
        let mut entropy = Seeded::new(8);
        let sealer = Sealer::plain(RepositoryId::new(&mut entropy));
        Self::of(sealer, KeyRing::new(), entropy)
    }

    fn of(sealer: Sealer, keys: KeyRing, mut entropy: Seeded) -> Self {
        let owner = OwnerKey::generate(&mut entropy);
        let writer = WriterKey::generate(&mut entropy);
        let (repository, created) = (*sealer.repository(), Time::from_micros(0).unwrap());
        let cipher = sealer.cipher();
        let record = SeawallJson { format: FORMAT, repository, cipher, owner: owner.public(), created };
        let text = sign_as_owner(&record, &repository, &Named::Seawall.to_name(), &owner).unwrap();
        let (mut trust, _) = Trust::open(Pins { repository, owner: owner.public() }, &text).unwrap();
        let certificate = WriterCertificate {
            writer: writer.id(),
            public: writer.public(),
            cluster: ClusterScope::All,
            rights: vec![Right::Write],
            label: "test".to_owned(),
            created,
        };
        let name = Named::Writer(writer.id()).to_name();
        let text = sign_as_owner(&certificate, &repository, &name, &owner).unwrap();
        trust.add_writer_record(&name, &text).unwrap();
        let place = Place { cluster: "orders".parse().unwrap(), system: SystemId(7) };
        let compressor = Compressor::new(Compression::Zstd(3)).unwrap();
        Self { entropy, sealer, place, writer, compressor, trust, keys }
    }

    pub(crate) fn backup(&mut self) -> BackupId {
        BackupId::new(1_900_000_000, &mut self.entropy).unwrap()
    }

    /// Opens an object as a reader with all keys would.
    pub(crate) fn open<'a>(&self, object: &'a SealedObject) -> WholeObject<'a> {
        let mut decompressor = Decompressor::new().unwrap();
        WholeObject::open(object.name(), object.bytes(), &self.trust, None, &self.keys, &mut decompressor)
            .unwrap()
    }
}
