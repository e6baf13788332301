//! What an `init` is about to store, kept beside the key file until all of it is stored everywhere: the same records
//! under the same names, so that the next run goes on instead of beginning with other keys.
//!
//! Promises: written whole before the first put and removed after the last; refused when others can read it (it holds the
//! host's keys). Deliberately holds nothing that opens content.

use std::path::{Path, PathBuf};

use seawall_repo::id::{ClusterName, RepositoryId};
use seawall_repo::layout::ObjectName;
use seawall_store::{World, durable};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::repository::{HostKeys, refuse_readable_by_others};

const WHAT: &str = "init journal 1";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Records to be stored, and the key file to be written.
pub struct Journal {
    /// The repository.
    pub repository: RepositoryId,
    /// The cluster.
    pub cluster: ClusterName,
    /// Signed records in the order in which they are to be stored.
    pub records: Vec<(ObjectName, Vec<u8>)>,
    /// The host's keys.
    pub host: HostKeys,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    seawall: String,
    repository: RepositoryId,
    cluster: ClusterName,
    records: Vec<(String, String)>,
    /// A secret: wiped by whoever takes it out.
    host: String,
}

impl Journal {
    /// Where the journal of this key file is.
    #[must_use]
    pub fn path(key_file: &Path) -> PathBuf {
        let mut name = key_file.as_os_str().to_owned();
        name.push(".init");
        PathBuf::from(name)
    }

    /// The journal that an interrupted run left, if one did.
    ///
    /// # Errors
    /// There is one and it cannot be read, or others can reach it.
    pub fn load(key_file: &Path) -> Result<Option<Self>> {
        let path = Self::path(key_file);
        let bytes = match durable::read_whole(&path, FILE_BYTES_MAX) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(unusable(&path, "cannot be read").because(error)),
        };
        refuse_readable_by_others(&path)?;
        Self::decode(&bytes).map(Some).map_err(|what| unusable(&path, what))
    }

    /// Writes it, mode 0600.
    ///
    /// # Errors
    /// There is one already, or it cannot be written.
    pub fn save(&self, key_file: &Path, world: &World) -> Result<()> {
        let path = Self::path(key_file);
        let written = match path.parent() {
            Some(parent) => durable::ensure_dir(parent, 0o750).map(|_made| ()),
            None => Ok(()),
        };
        let bytes = self.encode()?;
        written.and_then(|()| durable::create_new(&path, &bytes, 0o600, world.random.as_ref())).map_err(|error| {
            Error::usage("init.journal-unwritable", format!("cannot write {}", path.display()))
                .hint("run as the user that owns the data directory (often postgres), and let that user own this directory")
                .hint("another place: repository.writer_key_file in the settings")
                .because(error)
        })
    }

    /// Removes it: all it held is stored.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(key_file: &Path) -> Result<()> {
        let path = Self::path(key_file);
        match durable::remove(&path) {
            Err(error) if !error.is_not_found() => Err(unusable(&path, "cannot be removed").because(error)),
            _ => Ok(()),
        }
    }

    fn encode(&self) -> Result<Zeroizing<Vec<u8>>> {
        let not_text = |_secret| Error::bug("init.journal-encode", "the journal could not be encoded");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(not_text);
        let records = self.records.iter().map(|(name, bytes)| Ok((name.to_string(), text(bytes)?)));
        let host = Zeroizing::new(self.host.to_bytes()?);
        let stored = Stored {
            seawall: WHAT.to_owned(),
            repository: self.repository,
            cluster: self.cluster.clone(),
            records: records.collect::<Result<_>>()?,
            host: text(&host)?,
        };
        let encoded = serde_json::to_vec(&stored).map(Zeroizing::new);
        let _wiped = Zeroizing::new(stored.host);
        encoded.map_err(|_secret| Error::bug("init.journal-encode", "the journal could not be encoded"))
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, &'static str> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_secret| "is no journal of init")?;
        let host = Zeroizing::new(stored.host);
        if stored.seawall != WHAT {
            return Err("is of another version");
        }
        let record = |(name, text): &(String, String)| {
            ObjectName::parse(name)
                .map(|name| (name, text.as_bytes().to_vec()))
                .ok_or("names an unknown object")
        };
        Ok(Self {
            repository: stored.repository,
            cluster: stored.cluster,
            records: stored.records.iter().map(record).collect::<std::result::Result<_, _>>()?,
            host: HostKeys::from_bytes(host.as_bytes())?,
        })
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.records.iter().map(|(name, _)| name.as_str()).collect();
        write!(f, "Journal(of repository {}, cluster {}, records {names:?})", self.repository, self.cluster)
    }
}

fn unusable(path: &Path, what: &str) -> Error {
    Error::usage("init.journal-unusable", format!("{} {what}", path.display())).hint(
        "an interrupted init left it; where no region holds anything of it, it can be moved away and init begun anew",
    )
}
