//! Opening a repository: the owner's word first, then certificates, then keys. Nothing that was not signed by the pinned
//! owner is believed, whatever a region says.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use seawall_repo::error::ObjectError;
use seawall_repo::id::{ClusterName, Generation};
use seawall_repo::identity::{Identities, Passphrase};
use seawall_repo::layout::{Named, ObjectName, prefix};
use seawall_repo::object::KeyRing;
use seawall_repo::records::{KeyRecord, SeawallJson};
use seawall_repo::seal::{Cipher, Sealer};
use seawall_repo::signed::SignedText;
use seawall_repo::trust::{Pins, Trust};
use seawall_repo::wrapped::ClusterKeys;
use seawall_store::{Bandwidth, Extent, Listed, Regions, World, durable};

use super::faults;
use super::handle::{Inner, Noticed, Repository};
use super::healed::get_any;
use super::host_keys::{HostKeys, refuse_readable_by_others};
use super::places::{Expecting, open_regions};
use super::settings::{KeyFiles, RepositorySettings, Secrets};
use crate::error::{Error, Result};
use crate::monitor::Finding;

const RECORD_BYTES_MAX: u64 = 1 << 20;
const IDENTITY_FILE_BYTES_MAX: u64 = 1 << 20;
const PASSPHRASE_BYTES_MAX: u64 = 4096;
/// A region that shows no names for so long after another has is done without: PostgreSQL may be waiting.
const LIST_LAG_MAX: Duration = Duration::from_secs(5);

impl Repository {
    /// Opens the repository for one cluster.
    ///
    /// # Errors
    /// No region can be asked, no repository there, another owner or repository than pinned, a wrong or missing identity.
    pub async fn open(
        settings: &RepositorySettings,
        cluster: &ClusterName,
        secrets: &Secrets,
        bandwidth: Option<&Bandwidth>,
        world: &World,
    ) -> Result<Self> {
        let regions = open_regions(settings, Expecting::Repository, bandwidth, world)?;
        Self::open_in(regions, settings, cluster, secrets, world).await
    }

    /// As [`Repository::open`], in regions that are open already.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub async fn open_in(
        regions: Regions,
        settings: &RepositorySettings,
        cluster: &ClusterName,
        secrets: &Secrets,
        world: &World,
    ) -> Result<Self> {
        let held = Held::load(secrets)?;
        let pins = pins(settings, &held, &regions).await?;
        let (mut trust, record) = believe(&regions, pins).await?;
        let mut noticed = Vec::new();
        load_certificates(&regions, &mut trust, &mut noticed).await?;
        let keys = held.key_ring(&regions, &trust, cluster, record.cipher).await?;
        let host = held.into_host();
        check_host(host.as_ref(), &record, cluster)?;
        let sealer = sealer(&record, &keys);
        Ok(Self::new(Inner {
            regions,
            world: world.clone(),
            record,
            trust,
            cluster: cluster.clone(),
            keys: keys.ring,
            sealer,
            host,
            acknowledge: settings.acknowledge,
            levels: settings.levels,
            noticed: Mutex::new(Noticed { waiting: noticed, ..Noticed::default() }),
        }))
    }
}

/// The secrets that were brought.
enum Held {
    Nothing,
    Host(Box<HostKeys>),
    Identities(Identities),
}

/// A key ring and what its newest generation seals with.
struct Keys {
    ring: KeyRing,
    newest: Option<(Generation, ClusterKeysPublic)>,
}

type ClusterKeysPublic = seawall_repo::keys::ClusterPublic;

impl Held {
    fn load(secrets: &Secrets) -> Result<Self> {
        match secrets {
            Secrets::Observer => Ok(Self::Nothing),
            Secrets::Host(path) => HostKeys::load(path).map(|keys| Self::Host(Box::new(keys))),
            Secrets::Identities(files) => load_identities(files).map(Self::Identities),
        }
    }

    fn into_host(self) -> Option<HostKeys> {
        match self {
            Self::Host(keys) => Some(*keys),
            Self::Nothing | Self::Identities(_) => None,
        }
    }

    async fn key_ring(
        &self,
        regions: &Regions,
        trust: &Trust,
        cluster: &ClusterName,
        cipher: Cipher,
    ) -> Result<Keys> {
        let mut keys = Keys { ring: KeyRing::new(), newest: None };
        match self {
            Self::Nothing => {}
            Self::Host(host) => {
                for held in &host.generations {
                    keys.ring.add_meta(held.generation, held.meta.clone());
                    keys.newest = Some((held.generation, held.public));
                }
            }
            Self::Identities(_) if cipher == Cipher::None => {}
            Self::Identities(identities) => {
                unwrap_all(&mut keys, identities, regions, trust, cluster).await?;
            }
        }
        Ok(keys)
    }
}

/// Reads identity files and passphrases into one.
///
/// # Errors
/// A file that cannot be read, that others can reach, or that holds no identity.
pub fn load_identities(files: &KeyFiles) -> Result<Identities> {
    let mut all = Identities::default();
    for path in &files.identities {
        all.merge(load_identity(path)?);
    }
    for path in &files.passphrases {
        all.merge(Identities::of_passphrase(load_passphrase(path)?));
    }
    Ok(all)
}

/// Reads a passphrase: the file's one line, without its end.
///
/// # Errors
/// A file that cannot be read, that others can reach, that is empty or has several lines.
pub fn load_passphrase(path: &Path) -> Result<Passphrase> {
    let refused = |what: &str| {
        Error::usage("keys.passphrase-unusable", format!("{} holds no passphrase: {what}", path.display()))
            .hint("put the passphrase, and nothing else, on the file's only line")
    };
    let bytes = durable::read_whole(path, PASSPHRASE_BYTES_MAX)
        .map_err(|error| refused("it cannot be read").because(error))?;
    let bytes = zeroize::Zeroizing::new(bytes);
    refuse_readable_by_others(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_secret| refused("it is not UTF-8"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line.is_empty() || line.contains(['\n', '\r', '\0']) {
        true => Err(refused("it must have exactly one line")),
        false => Ok(Passphrase::from(line.to_owned())),
    }
}

fn load_identity(path: &Path) -> Result<Identities> {
    let unreadable = || {
        Error::usage("keys.identity-unreadable", format!("cannot read the identity file {}", path.display()))
            .hint("name the file that `seawall key generate` made: --identity FILE")
    };
    let bytes =
        durable::read_whole(path, IDENTITY_FILE_BYTES_MAX).map_err(|error| unreadable().because(error))?;
    refuse_readable_by_others(path)?;
    let text = zeroize::Zeroizing::new(String::from_utf8(bytes).map_err(|_secret| unreadable())?);
    Identities::parse(&text).map_err(|error| {
        Error::usage("keys.identity-malformed", format!("{} is no identity file", path.display()))
            .because(error)
    })
}

/// Whom to believe: the settings, else the host's key file, else the owner's key in an identity file.
async fn pins(settings: &RepositorySettings, held: &Held, regions: &Regions) -> Result<Pins> {
    let of_host = if let Held::Host(host) = held { Some((host.repository, host.owner)) } else { None };
    let owners = if let Held::Identities(identities) = held { identities.owners() } else { &[] };
    let of_identity = match owners {
        [one] => Some(one.public()),
        _ => None,
    };
    let owner = settings.owner.or(of_host.map(|(_, owner)| owner)).or(of_identity);
    let repository = settings.id.or(of_host.map(|(repository, _)| repository));
    if let (Some(owner), Some(repository)) = (owner, repository) {
        return Ok(Pins { repository, owner });
    }
    // Only what is not pinned is taken from the region's own word; the signature is checked against the pin.
    let said = peek(regions).await?;
    let Some(owner) = owner else {
        return Err(Error::usage("keys.owner-not-pinned", "nothing says whose repository this should be")
            .fact("owner in the region", said.owner)
            .fact("repository", said.repository)
            .hint(format!(
                "compare this key with the recovery kit; if it is the same, add --owner {} (or repository.owner to the settings)",
                said.owner
            )));
    };
    Ok(Pins { repository: repository.unwrap_or(said.repository), owner })
}

/// What a region says of itself, unverified.
pub(crate) async fn peek(regions: &Regions) -> Result<SeawallJson> {
    let name = Named::Seawall.to_name();
    let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
    let served = get_any(regions, &name, extent, |_region, bytes| {
        SignedText::parse(&bytes).and_then(|text| text.peek())
    })
    .await;
    served.map(|served| served.value).map_err(|error| no_repository(&error))
}

pub(crate) async fn believe(regions: &Regions, pins: Pins) -> Result<(Trust, SeawallJson)> {
    let name = Named::Seawall.to_name();
    let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
    let served = get_any(regions, &name, extent, |_region, bytes| Trust::open(pins, &bytes)).await;
    served.map(|served| served.value).map_err(|error| no_repository(&error))
}

fn no_repository(error: &seawall_store::NotServed) -> Error {
    if error.may_pass() || error.is_absent_everywhere() {
        let described = Error::unavailable("repository.not-found", "no region shows a repository").hint(
            "is the disk mounted and the URL right? `seawall init` makes a repository where there is none yet",
        );
        return error.faults.iter().fold(described, |described, fault| described.fact("region", fault));
    }
    faults::not_served(error)
}

/// Believes every certificate and revocation the owner signed, from any region. One that does not hold is a finding.
async fn load_certificates(regions: &Regions, trust: &mut Trust, noticed: &mut Vec<Finding>) -> Result<()> {
    for name in list_names(regions, prefix::WRITERS).await? {
        let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
        // Checked on a copy first: `get_any` may ask several regions.
        let served = get_any(regions, &name, extent, |_region, bytes| {
            trust.clone().add_writer_record(&name, &bytes).map(|()| bytes)
        })
        .await;
        match served {
            Ok(served) => trust
                .add_writer_record(&name, &served.value)
                .map_err(|error: ObjectError| faults::object_error(&error))?,
            Err(error) if error.may_pass() => return Err(faults::not_served(&error)),
            Err(error) => noticed.push(Finding {
                id: "repository.certificate-refused",
                what: error.to_string(),
                hint: Some("it is not believed; find out who could write to the region".to_owned()),
            }),
        }
    }
    Ok(())
}

/// Names below a prefix that this version knows, from all regions that answer in time; at least one must. For short listings.
pub(crate) async fn list_names(regions: &Regions, prefix: &str) -> Result<Vec<ObjectName>> {
    let mut names = Vec::new();
    let (mut broken, mut last) = (0, None);
    let mut listed = regions.list_all_within(prefix, LIST_LAG_MAX);
    while let Some(entry) = listed.next().await {
        match entry {
            Listed::Object { name, .. } => names.extend(ObjectName::parse(&name)),
            Listed::Broken { error, .. } => {
                broken += 1;
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if broken == regions.len() => {
            Err(super::places::store_error("no region can be listed", &error))
        }
        _ => Ok(names),
    }
}

async fn unwrap_all(
    keys: &mut Keys,
    identities: &Identities,
    regions: &Regions,
    trust: &Trust,
    cluster: &ClusterName,
) -> Result<()> {
    let mut refused = None;
    let mut names = list_names(regions, &prefix::keys(cluster)).await?;
    // The newest change of a generation first: it names everybody, and a passphrase costs a second for each record it is tried on.
    names.sort_by_key(|name| std::cmp::Reverse(change_of(name)));
    for name in names {
        let extent = Extent::Whole { bytes_max: RECORD_BYTES_MAX };
        let served =
            get_any(regions, &name, extent, |_region, bytes| trust.open_owners::<KeyRecord>(&name, &bytes))
                .await
                .map_err(|error| faults::not_served(&error))?;
        let record = served.value;
        if keys.ring.secret(record.generation).is_some() {
            continue;
        }
        match ClusterKeys::unwrap(&record.wrapped, identities) {
            Ok(unwrapped) => {
                keys.ring.add_keys(record.generation, unwrapped);
                if keys.newest.is_none_or(|(newest, _)| newest <= record.generation) {
                    keys.newest = Some((record.generation, record.public));
                }
            }
            Err(error) => refused = refused.or_else(|| Some(ObjectError::new(&name, error.into()))),
        }
    }
    match (keys.newest, refused) {
        (None, Some(error)) => Err(faults::object_error(&error)),
        (None, None) => Err(no_cluster(regions, cluster).await),
        (Some(_), _) => Ok(()),
    }
}

fn change_of(name: &ObjectName) -> (u32, u32) {
    match name.named() {
        Named::Key { generation, change, .. } => (generation.number(), *change),
        _ => (0, 0),
    }
}

async fn no_cluster(regions: &Regions, cluster: &ClusterName) -> Error {
    let mut known: Vec<String> = Vec::new();
    for region in regions.iter() {
        if let Ok(level) = region.list_level("").await {
            known.extend(
                level
                    .dirs
                    .iter()
                    .filter_map(|dir| prefix::cluster_of_folder(dir))
                    .map(|name| name.to_string()),
            );
        }
    }
    known.sort();
    known.dedup();
    Error::usage("repository.cluster-unknown", format!("this repository has no cluster named {cluster}"))
        .fact("clusters here", if known.is_empty() { "none".to_owned() } else { known.join(", ") })
        .hint("name one of them: --cluster NAME")
}

fn check_host(host: Option<&HostKeys>, record: &SeawallJson, cluster: &ClusterName) -> Result<()> {
    let Some(host) = host else { return Ok(()) };
    if host.repository != record.repository {
        return Err(Error::usage(
            "keys.other-repository",
            "the key file of this host belongs to another repository",
        )
        .fact("key file", host.repository)
        .fact("region", record.repository));
    }
    if host.cluster != *cluster {
        return Err(Error::usage(
            "keys.other-cluster",
            "the key file of this host belongs to another cluster",
        )
        .fact("key file", &host.cluster)
        .fact("asked for", cluster)
        .hint("each cluster has its own key file: set repository.writer_key_file for this cluster"));
    }
    Ok(())
}

fn sealer(record: &SeawallJson, keys: &Keys) -> Option<Sealer> {
    if record.cipher == Cipher::None {
        return Some(Sealer::plain(record.repository));
    }
    let (generation, public) = keys.newest?;
    let meta = keys.ring.meta(generation)?.clone();
    Some(Sealer::encrypted(record.repository, generation, meta, public))
}
