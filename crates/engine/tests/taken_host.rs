//! A writing host that was taken over, with its key file, its settings and all it can reach of the repository.
//!
//! Claim (`docs/THREATS.md`, attacker 3): nothing it holds opens stored content; what another writer stored can be neither forged,
//! swapped, replayed nor overwritten; once it is revoked, what it stores is not believed. Deliberately not claimed: that it cannot
//! write rubbish under its own name, or that it cannot read metadata.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a test's way of failing")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use seawall_engine::repository::{
    Acknowledge, Expecting, HostGeneration, HostKeys, Levels, RegionSettings, Repository, RepositorySettings,
    Secrets, WorldEntropy, open_regions, put_everywhere,
};
use seawall_engine::words::{BackupId, ClusterName, World};
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::envelope::Head;
use seawall_repo::id::{Generation, RepositoryId, WriterId};
use seawall_repo::identity::Identities;
use seawall_repo::keys::{OwnerKey, WriterKey};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::object::SealedObject;
use seawall_repo::pack::{PackBuilder, PackId, Run};
use seawall_repo::records::{
    Adoption, ClusterScope, FORMAT, KeyRecord, Revocation, Right, SeawallJson, WriterCertificate,
};
use seawall_repo::seal::Cipher;
use seawall_repo::signed::sign_as_owner;
use seawall_repo::time::Time;
use seawall_repo::wal_object::{Indexed, WalFacts, WalSealer};
use seawall_repo::wrapped::{ClusterKeys, WrapFor};
use seawall_store::{Put, Regions};

const REGIONS: [&str; 2] = ["north", "south"];
/// The host that was taken.
const TAKEN: &str = "db1";
/// Another writer of the same cluster.
const OTHER: &str = "db2";
/// What must not come to light; it lies in every page and in the WAL.
const SECRET: &[u8] = b"the customers' secrets, word by word";

struct Bench {
    folder: tempfile::TempDir,
    world: World,
    owner: OwnerKey,
    repository: RepositoryId,
    backup: BackupId,
}

impl Bench {
    /// A repository with two writers, packs 0 and 1 of [`OTHER`] and one WAL segment.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::system();
        let mut entropy = WorldEntropy::new(&world);
        let (repository, owner) = (RepositoryId::new(&mut entropy), OwnerKey::generate(&mut entropy));
        let backup = BackupId::new(1_900_000_000, &mut entropy).unwrap();
        let bench = Self { folder, world, owner, repository, backup };
        bench.found().await;
        let other = bench.host(OTHER).await;
        for object in [bench.pack(&other, 0), bench.pack(&other, 1), bench.segment(&other, 3)] {
            put_everywhere(&other.regions().set(), object).await.unwrap();
        }
        bench
    }

    async fn found(&self) {
        let mut entropy = WorldEntropy::new(&self.world);
        let identity = Identities::generate();
        let random = self.world.random.as_ref();
        let path = self.folder.path().join("identity");
        seawall_store::durable::create_new(&path, identity.print().as_bytes(), 0o600, random).unwrap();
        let keys = ClusterKeys::generate(&mut entropy);
        let (generation, change, public) = (Generation::FIRST, 1, keys.secret.public());
        let wrapped = keys.wrap(&[WrapFor::Recipients(&identity.recipients())]).unwrap();
        let record = KeyRecord { cluster: cluster(), generation, change, public, wrapped };
        self.put(Named::Key { cluster: cluster(), generation, change }, &record).await;
        for label in [TAKEN, OTHER] {
            let writer = WriterKey::generate(&mut entropy);
            self.put(Named::Writer(writer.id()), &certificate(&writer, label)).await;
            let meta = keys.meta.clone();
            let host = HostKeys {
                repository: self.repository,
                owner: self.owner.public(),
                cluster: cluster(),
                writer,
                generations: vec![HostGeneration { generation, meta, public }],
            };
            host.create(&self.key_file(label), &self.world).unwrap();
        }
        let adoption = Adoption {
            cluster: cluster(),
            system: place().system,
            after: None,
            adopted: time(1),
            postgresql: 17,
        };
        self.put(Named::Adoption(place()), &adoption).await;
        let record = SeawallJson {
            format: FORMAT,
            repository: self.repository,
            cipher: Cipher::Aes256Gcm,
            owner: self.owner.public(),
            created: time(1),
        };
        self.put(Named::Seawall, &record).await;
    }

    async fn put<R: serde::Serialize>(&self, named: Named, record: &R) {
        let name = named.to_name();
        let text = sign_as_owner(record, &self.repository, &name, &self.owner).unwrap();
        self.put_bytes(&name, &text).await;
    }

    /// Under a new name in every region, past seawall's own checks: what anybody with access to the store can do.
    async fn put_bytes(&self, name: &ObjectName, bytes: &[u8]) {
        let regions = open_regions(&self.settings(), Expecting::Nothing, None, &self.world).unwrap();
        let puts = regions.set().put_all(name.as_str(), &Bytes::copy_from_slice(bytes)).await;
        assert!(puts.iter().all(|(_, put)| put.as_ref().unwrap().is_stored()));
    }

    /// Replaces what stands under a name in every region: what anybody who may also delete can do.
    fn replace(&self, name: &ObjectName, bytes: &[u8]) {
        REGIONS.iter().for_each(|region| std::fs::write(self.path(region, name), bytes).unwrap());
    }

    fn path(&self, region: &str, name: &ObjectName) -> PathBuf {
        self.folder.path().join(region).join(name.as_str())
    }

    fn stored(&self, name: &ObjectName) -> Vec<u8> {
        std::fs::read(self.path("north", name)).unwrap()
    }

    fn key_file(&self, host: &str) -> PathBuf {
        self.folder.path().join(format!("{host}.key"))
    }

    fn settings(&self) -> RepositorySettings {
        let region = |name: &str| {
            RegionSettings::new(name, format!("file://{}", self.folder.path().join(name).display()))
        };
        RepositorySettings {
            regions: REGIONS.map(region).to_vec(),
            id: Some(self.repository),
            owner: Some(self.owner.public()),
            acknowledge: Acknowledge::All,
            levels: Levels::DEFAULT,
        }
    }

    async fn open(&self, secrets: &Secrets) -> Repository {
        Repository::open(&self.settings(), &cluster(), secrets, None, &self.world).await.unwrap()
    }

    async fn host(&self, host: &str) -> Repository {
        self.open(&Secrets::Host(self.key_file(host))).await
    }

    /// Whoever restores: believes the owner and has an identity.
    async fn reader(&self) -> Repository {
        self.open(&Secrets::Identities(vec![self.folder.path().join("identity")].into())).await
    }

    fn pack_name(&self, number: u32) -> ObjectName {
        Named::Pack { place: place(), backup: self.backup, number }.to_name()
    }

    fn pack(&self, host: &Repository, number: u32) -> SealedObject {
        let pack = PackId { backup: self.backup, number };
        let (mut entropy, mut compressor) = (WorldEntropy::new(&self.world), compressor());
        let mut builder = PackBuilder::new(host.sealer().unwrap(), &place(), pack, &mut entropy).unwrap();
        let page = page();
        let digests = [host.digest_key().unwrap().page_digest(&page)];
        let run = Run { file: 0, path: b"base/5/16384", first_page: 0, bytes: &page, digests: &digests };
        builder.add_run(&run, &mut compressor).unwrap();
        builder.finish(host.writer().unwrap(), &mut compressor).unwrap().unwrap().object
    }

    fn segment(&self, host: &Repository, number: u64) -> SealedObject {
        let facts = WalFacts {
            place: place(),
            file: segment_file(number),
            segment_size: seawall_pg::WalSegmentSize::new(1 << 20).unwrap(),
            host: "db".to_owned(),
            archived: time(2),
        };
        let index = Indexed::Not("a test".to_owned());
        let sealer = WalSealer {
            facts: &facts,
            index: &index,
            sealer: host.sealer().unwrap(),
            key: host.writer().unwrap(),
        };
        sealer.seal(&page(), &mut compressor(), &mut WorldEntropy::new(&self.world)).unwrap()
    }
}

fn cluster() -> ClusterName {
    "orders".parse().unwrap()
}

fn place() -> Place {
    Place { cluster: cluster(), system: "7575757575".parse().unwrap() }
}

fn time(seconds: i64) -> Time {
    Time::from_micros(seconds * 1_000_000).unwrap()
}

fn page() -> Vec<u8> {
    SECRET.iter().copied().cycle().take(8192).collect()
}

fn compressor() -> Compressor {
    Compressor::new(Compression::None).unwrap()
}

fn segment_file(number: u64) -> seawall_pg::WalFileName {
    format!("0000000100000000{number:08X}").parse().unwrap()
}

fn segment_name(number: u64) -> ObjectName {
    Named::Wal { place: place(), file: segment_file(number) }.to_name()
}

fn certificate(writer: &WriterKey, label: &str) -> WriterCertificate {
    WriterCertificate {
        writer: writer.id(),
        public: writer.public(),
        cluster: ClusterScope::One(cluster()),
        rights: vec![Right::Write],
        label: label.to_owned(),
        created: time(1),
    }
}

/// All plain frames of an object, or the id of the error.
async fn content(repository: &Repository, name: &ObjectName) -> Result<Vec<u8>, &'static str> {
    let read = async {
        let object = repository.open_object(name).await?;
        let mut plain = Vec::new();
        for frame in object.footer().await?.frames {
            plain.extend(object.frame(&frame).await?);
        }
        Ok(plain)
    };
    read.await.map_err(|error: seawall_engine::Error| {
        assert!(error.to_string().contains(name.as_str()) || error.id().starts_with("keys."), "{error:?}");
        error.id()
    })
}

#[tokio::test]
async fn nothing_a_taken_host_holds_opens_content() {
    let bench = Bench::new().await;
    let (taken, reader) = (bench.host(TAKEN).await, bench.reader().await);
    let own = bench.pack(&taken, 2);
    let own_name = own.name().clone();
    put_everywhere(&taken.regions().set(), own).await.unwrap();
    assert!(!taken.opens_content());
    for name in [bench.pack_name(0), bench.pack_name(1), segment_name(3), own_name] {
        assert!(
            taken.open_object(&name).await.unwrap().footer().await.is_ok(),
            "metadata is not hidden from it"
        );
        assert_eq!(content(&taken, &name).await, Err("keys.identity-needed"), "{name}");
        assert_eq!(content(&reader, &name).await.unwrap(), page(), "{name}");
    }
    let mut files = 0;
    for place in [bench.folder.path().join(REGIONS[0]), bench.folder.path().join(REGIONS[1])] {
        files += no_secret_beneath(&place);
    }
    assert!(files >= 2 * 8, "only {files} files were looked at");
}

/// No stored byte string holds the secret in the clear; how many files there are.
fn no_secret_beneath(folder: &Path) -> u32 {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += no_secret_beneath(&path);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(12).any(|part| SECRET.starts_with(part)), "{}", path.display());
            files += 1;
        }
    }
    files
}

#[tokio::test]
async fn the_key_file_of_a_host_names_no_secret_that_opens_content() {
    let bench = Bench::new().await;
    let taken = HostKeys::load(&bench.key_file(TAKEN)).unwrap();
    let text = std::fs::read_to_string(bench.key_file(TAKEN)).unwrap();
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(names, ["cluster", "generations", "owner", "repository", "seawall", "writer"]);
    let generation = fields.get("generations").and_then(|all| all.get(0)).unwrap().as_object().unwrap();
    assert_eq!(generation.keys().map(String::as_str).collect::<Vec<_>>(), ["generation", "meta", "public"]);
    // As an identity file it is none.
    let as_identity = Secrets::Identities(vec![bench.key_file(TAKEN)].into());
    let opened = Repository::open(&bench.settings(), &cluster(), &as_identity, None, &bench.world).await;
    assert_eq!(opened.unwrap_err().id(), "keys.identity-malformed");
    // Its signing key used as the owner's makes nobody believe a writer it invents.
    let invented = WriterKey::generate(&mut WorldEntropy::new(&bench.world));
    let name = Named::Writer(invented.id()).to_name();
    let as_owner = OwnerKey::from_seed(*taken.writer.seed());
    let record = certificate(&invented, "invented");
    bench.put_bytes(&name, &sign_as_owner(&record, &bench.repository, &name, &as_owner).unwrap()).await;
    let reader = bench.reader().await;
    assert!(reader.trust().certificates().all(|known| known.writer != invented.id()));
    let findings = reader.take_findings();
    assert!(findings.iter().any(|finding| finding.id == "repository.certificate-refused"), "{findings:?}");
}

#[tokio::test]
async fn objects_of_another_writer_cannot_be_forged() {
    let bench = Bench::new().await;
    let (taken, reader) = (bench.host(TAKEN).await, bench.reader().await);
    let other = HostKeys::load(&bench.key_file(OTHER)).unwrap().writer.id();
    let forged = bench.pack(&taken, 5);
    let (name, bytes, _) = forged.into_parts();
    let bytes = under_another_id(bytes, taken.writer().unwrap().id(), other);
    bench.put_bytes(&name, &bytes).await;
    assert_eq!(content(&reader, &name).await, Err("repository.forged"));

    // For a cluster that is not its own it has no right.
    let foreign = Place { cluster: "billing".parse().unwrap(), ..place() };
    let pack = PackId { backup: bench.backup, number: 0 };
    let mut entropy = WorldEntropy::new(&bench.world);
    let mut builder = PackBuilder::new(taken.sealer().unwrap(), &foreign, pack, &mut entropy).unwrap();
    let (page, mut compressor) = (page(), compressor());
    let digests = [taken.digest_key().unwrap().page_digest(&page)];
    let run = Run { file: 0, path: b"base/5/16384", first_page: 0, bytes: &page, digests: &digests };
    builder.add_run(&run, &mut compressor).unwrap();
    let object = builder.finish(taken.writer().unwrap(), &mut compressor).unwrap().unwrap().object;
    let (name, bytes, _) = object.into_parts();
    bench.put_bytes(&name, &bytes).await;
    assert_eq!(content(&reader, &name).await, Err("repository.writer-without-right"));
}

/// The object as if another writer had signed it, with the check sum made to fit.
fn under_another_id(mut object: Vec<u8>, from: WriterId, to: WriterId) -> Vec<u8> {
    let head = Head::parse(&object).unwrap().head_bytes();
    let at = object[..head].windows(16).rposition(|part| part == from.as_bytes()).unwrap();
    object[at..at + 16].copy_from_slice(to.as_bytes());
    let sum = crc32c::crc32c(&object[..head - 8]);
    object[head - 8..head - 4].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(Head::parse(&object).unwrap().writer(), to);
    object
}

#[tokio::test]
async fn objects_cannot_be_swapped_or_replayed_under_another_name() {
    let bench = Bench::new().await;
    let reader = bench.reader().await;
    let (first, second) = (bench.pack_name(0), bench.pack_name(1));
    let (zero, one) = (bench.stored(&first), bench.stored(&second));
    bench.put_bytes(&bench.pack_name(7), &zero).await;
    assert_eq!(content(&reader, &bench.pack_name(7)).await, Err("repository.forged"));
    bench.put_bytes(&segment_name(4), &bench.stored(&segment_name(3))).await;
    assert_eq!(content(&reader, &segment_name(4)).await, Err("repository.forged"));
    bench.replace(&first, &one);
    bench.replace(&second, &zero);
    for name in [&first, &second] {
        assert_eq!(content(&reader, name).await, Err("repository.forged"), "{name}");
    }
    // A frame of one pack in the place of the other's does not open either: both are as long.
    let body = Head::parse(&zero).unwrap().head_bytes();
    assert_eq!((zero.len(), body), (one.len(), Head::parse(&one).unwrap().head_bytes()));
    bench.replace(&first, &[&zero[..body], &one[body..]].concat());
    assert_eq!(content(&reader, &first).await, Err("repository.object-damaged"));
    bench.replace(&first, &zero);
    assert_eq!(content(&reader, &first).await.unwrap(), page());
}

#[tokio::test]
async fn nothing_is_overwritten_under_a_name_that_is_taken() {
    let bench = Bench::new().await;
    let taken = bench.host(TAKEN).await;
    let regions: &Regions = taken.regions();
    for (name, object) in
        [(bench.pack_name(0), bench.pack(&taken, 0)), (segment_name(3), bench.segment(&taken, 3))]
    {
        let before = bench.stored(&name);
        for region in regions.iter() {
            let bytes = Bytes::copy_from_slice(object.bytes());
            let put = region.put_new(name.as_str(), &bytes).await.unwrap();
            assert!(matches!(put, Put::Conflict { .. }), "{put:?}");
        }
        let refused = put_everywhere(&regions.set(), object).await.unwrap_err();
        assert_eq!(refused.id(), "repository.name-taken");
        for region in REGIONS {
            assert_eq!(std::fs::read(bench.path(region, &name)).unwrap(), before, "{name} in {region}");
        }
    }
}

#[tokio::test]
async fn what_a_revoked_writer_stores_is_not_believed() {
    let bench = Bench::new().await;
    let taken = bench.host(TAKEN).await;
    let writer = taken.writer().unwrap().id();
    put_everywhere(&taken.regions().set(), bench.pack(&taken, 10)).await.unwrap();
    // File systems tell times in steps of some milliseconds.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let revoked = Time::from_micros(bench.world.clock.now_unix_us()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let record = Revocation { writer, revoked, reason: "the host was taken".to_owned() };
    bench.put(Named::Revocation(writer), &record).await;
    put_everywhere(&taken.regions().set(), bench.pack(&taken, 11)).await.unwrap();
    let reader = bench.reader().await;
    assert_eq!(content(&reader, &bench.pack_name(10)).await.unwrap(), page(), "what it stored before");
    assert_eq!(content(&reader, &bench.pack_name(11)).await, Err("repository.writer-revoked"));
    assert_eq!(content(&reader, &bench.pack_name(0)).await.unwrap(), page(), "another writer's");
}
