//! The records of a new repository and of a new cluster, made and signed in memory: nothing is stored here.
//!
//! Order matters and is kept by [`run`](super::run::run): what others refer to comes first, and `seawall.json` last, because with
//! it the repository exists.

use seawall_repo::id::{Generation, RepositoryId, SystemId};
use seawall_repo::identity::Recipient;
use seawall_repo::keys::{OwnerKey, WriterKey};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::records::{
    Adoption, ClusterScope, FORMAT, KeyRecord, OwnerRecord, Right, SeawallJson, WriterCertificate,
};
use seawall_repo::seal::Cipher;
use seawall_repo::signed::sign_as_owner;
use seawall_repo::time::Time;
use seawall_repo::wrapped::{ClusterKeys, WrapError, WrapFor};
use seawall_store::World;
use serde::Serialize;

use super::InitOptions;
use super::journal::Journal;
use crate::error::{Error, Result};
use crate::repository::{HostGeneration, HostKeys, WorldEntropy};

/// The number of the first generation's first set of recipients, and of the owner's key's.
const FIRST_CHANGE: u32 = 1;

/// A repository with this one cluster. Without an owner's key one is made and kept for the recipients only.
pub(super) fn repository(options: &InitOptions, owner: Option<OwnerKey>, world: &World) -> Result<Journal> {
    let mut entropy = WorldEntropy::new(world);
    let id = RepositoryId::new(&mut entropy);
    let made_here = owner.is_none();
    let owner = owner.unwrap_or_else(|| OwnerKey::generate(&mut entropy));
    let maker = Maker { options, id, owner: &owner, cipher: options.cipher, now: now(world)?, world };
    let mut records = Vec::new();
    if made_here {
        let wrapped = owner.wrap(&[WrapFor::Recipients(&options.recipients)]).map_err(unwrappable)?;
        let record = OwnerRecord { change: FIRST_CHANGE, wrapped };
        records.push(maker.signed(&Named::Owner { change: FIRST_CHANGE }, &record)?);
    }
    let host = maker.cluster(&mut records)?;
    let (cipher, created) = (options.cipher, maker.now);
    let record = SeawallJson { format: FORMAT, repository: id, cipher, owner: owner.public(), created };
    records.push(maker.signed(&Named::Seawall, &record)?);
    Ok(Journal { repository: id, cluster: options.cluster.clone(), records, host })
}

/// One more cluster in a repository that is there.
pub(super) fn cluster(
    options: &InitOptions,
    record: &SeawallJson,
    owner: &OwnerKey,
    world: &World,
) -> Result<Journal> {
    let (id, cipher) = (record.repository, record.cipher);
    let maker = Maker { options, id, owner, cipher, now: now(world)?, world };
    let mut records = Vec::new();
    let host = maker.cluster(&mut records)?;
    Ok(Journal { repository: id, cluster: options.cluster.clone(), records, host })
}

/// The record that a system identifier belongs to the cluster.
pub(super) fn adoption(
    options: &InitOptions,
    after: Option<SystemId>,
    world: &World,
) -> Result<(Named, Adoption)> {
    let server = options.server;
    let place = Place { cluster: options.cluster.clone(), system: server.system };
    let record = Adoption {
        cluster: options.cluster.clone(),
        system: server.system,
        after,
        adopted: now(world)?,
        postgresql: server.postgresql,
    };
    Ok((Named::Adoption(place), record))
}

struct Maker<'a> {
    options: &'a InitOptions,
    id: RepositoryId,
    owner: &'a OwnerKey,
    cipher: Cipher,
    now: Time,
    world: &'a World,
}

impl Maker<'_> {
    fn signed<R: Serialize>(&self, named: &Named, record: &R) -> Result<(ObjectName, Vec<u8>)> {
        let name = named.to_name();
        let text = sign_as_owner(record, &self.id, &name, self.owner).map_err(|error| {
            Error::bug("init.record-encode", format!("{name} could not be signed")).because(error)
        })?;
        Ok((name, text))
    }

    /// Certificate, keys and adoption; the adoption last, because with it the cluster exists.
    fn cluster(&self, records: &mut Vec<(ObjectName, Vec<u8>)>) -> Result<HostKeys> {
        let writer = WriterKey::generate(&mut WorldEntropy::new(self.world));
        records.push(self.certificate(&writer)?);
        let generations = match self.cipher {
            Cipher::None => Vec::new(),
            Cipher::Aes256Gcm => vec![self.keys(records)?],
        };
        let (named, adoption) = adoption(self.options, None, self.world)?;
        records.push(self.signed(&named, &adoption)?);
        let cluster = self.options.cluster.clone();
        Ok(HostKeys { repository: self.id, owner: self.owner.public(), cluster, writer, generations })
    }

    fn certificate(&self, writer: &WriterKey) -> Result<(ObjectName, Vec<u8>)> {
        let certificate = WriterCertificate {
            writer: writer.id(),
            public: writer.public(),
            cluster: ClusterScope::One(self.options.cluster.clone()),
            rights: vec![Right::Write],
            label: self.options.label.clone(),
            created: self.now,
        };
        self.signed(&Named::Writer(writer.id()), &certificate)
    }

    fn keys(&self, records: &mut Vec<(ObjectName, Vec<u8>)>) -> Result<HostGeneration> {
        let keys = ClusterKeys::generate(&mut WorldEntropy::new(self.world));
        let (generation, change) = (Generation::FIRST, FIRST_CHANGE);
        let recipients: &[Recipient] = &self.options.recipients;
        let record = KeyRecord {
            cluster: self.options.cluster.clone(),
            generation,
            change,
            public: keys.secret.public(),
            wrapped: keys.wrap(&[WrapFor::Recipients(recipients)]).map_err(unwrappable)?,
        };
        let named = Named::Key { cluster: self.options.cluster.clone(), generation, change };
        records.push(self.signed(&named, &record)?);
        // The secret half ends here: this host never has it again.
        Ok(HostGeneration { generation, meta: keys.meta, public: keys.secret.public() })
    }
}

fn now(world: &World) -> Result<Time> {
    Time::from_micros(world.clock.now_unix_us()).ok_or_else(|| {
        Error::source_side("init.clock", "this machine's clock is before 1970").hint("set the clock")
    })
}

fn unwrappable(error: WrapError) -> Error {
    Error::usage("init.recipients", "the keys cannot be wrapped for these recipients").because(error)
}
