//! Regions that are away, remembered from one `wal push` to the next: each is a process of its own.
//!
//! The memory is a file beside the host's key file. Promises: it is believed only if this host signed it, in this run of the machine,
//! and if its times can be; whatever else it is, it is taken for empty, and the wait begins anew. It holds times of one boot of the
//! machine, so that nobody's setting a clock shortens a wait. It is written when something changed, and is not there while every
//! region answers.
//! Does not do: deciding; [`super::rule`] does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_repo::id::RepositoryId;
use seawall_repo::keys::WriterKey;
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::signed::{SignedText, sign_as_writer};
use seawall_repo::time::Time;
use seawall_store::world::Uptime;
use seawall_store::{RegionName, World, durable};
use serde::{Deserialize, Serialize};

use crate::monitor::Finding;
use crate::repository::HostKeys;

/// A handful of regions.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// What nobody looked after for so long is no longer known: the region may have come and gone.
const LAST_FOR: Duration = Duration::from_secs(3600);
const WHAT: &str = "regions away 1";

/// What is known of a region that does not answer. Durations are times of this boot of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Away {
    /// When the first call that failed was begun; none succeeded since.
    pub(super) since_us: u64,
    /// The same, for people.
    pub(super) since: Time,
    /// When it was last tried.
    pub(super) tried_us: u64,
    /// When the repository was last told, if it was.
    pub(super) told_us: Option<u64>,
    /// Files that were acknowledged without it.
    pub(super) without: u64,
    /// Why it failed last.
    pub(super) why: String,
}

impl Away {
    /// For how long.
    pub(super) fn lasted(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_micros(self.since_us))
    }

    /// How long ago it was tried.
    pub(super) fn untried(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_micros(self.tried_us))
    }

    /// How long ago the repository was told.
    pub(super) fn untold(&self, now: Duration) -> Option<Duration> {
        self.told_us.map(|told| now.saturating_sub(Duration::from_micros(told)))
    }

    fn can_be(&self, now: Duration) -> bool {
        let now = micros(now);
        let told = self.told_us.is_none_or(|told| self.since_us <= told && told <= now);
        self.since_us <= self.tried_us && self.tried_us <= now && told
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    seawall: String,
    boot: String,
    regions: BTreeMap<String, Away>,
}

/// The memory of one host for one cluster.
#[derive(Debug)]
pub(super) struct AwayRegions {
    world: World,
    /// None: nothing is kept.
    file: Option<PathBuf>,
    /// None where the system tells no time that processes can compare: then nothing is kept either.
    boot: Option<String>,
    began: Duration,
    began_awake: Duration,
    regions: BTreeMap<RegionName, Away>,
    changed: bool,
    /// Why a file that was there is not believed.
    pub(super) ignored: Option<String>,
}

/// The memory that belongs to a key file.
pub(super) fn file_beside(key_file: &Path) -> PathBuf {
    let mut name = key_file.as_os_str().to_owned();
    name.push(".away");
    name.into()
}

impl AwayRegions {
    /// Nothing is known, and nothing is kept.
    pub(super) fn nothing(world: &World) -> Self {
        let began = world.clock.monotonic();
        Self {
            world: world.clone(),
            file: None,
            boot: None,
            began,
            began_awake: began,
            regions: BTreeMap::new(),
            changed: false,
            ignored: None,
        }
    }

    /// What this host's last pushes left.
    pub(super) fn load(key_file: &Path, keys: &HostKeys, world: &World) -> Self {
        let mut memory = Self::nothing(world);
        let Some(Uptime { boot, awake }) = world.clock.uptime() else { return memory };
        (memory.began_awake, memory.boot) = (awake, Some(boot));
        let file = file_beside(key_file);
        match durable::read_whole(&file, FILE_BYTES_MAX) {
            Ok(bytes) => match memory.believe(&bytes, keys) {
                Ok(regions) => memory.regions = regions,
                Err(why) => memory.ignored = Some(format!("{}: {why}", file.display())),
            },
            Err(error) if error.is_not_found() => {}
            Err(error) => memory.ignored = Some(error.to_string()),
        }
        memory.file = Some(file);
        memory
    }

    fn believe(&self, bytes: &[u8], keys: &HostKeys) -> Result<BTreeMap<RegionName, Away>, String> {
        let text = SignedText::parse(bytes).map_err(|error| error.to_string())?;
        let name = signed_name(&keys.writer);
        let stored: Stored = text
            .open_as_writer(&keys.repository, &name, &keys.writer.public())
            .map_err(|error| error.to_string())?;
        if stored.seawall != WHAT {
            return Err("it is of another release".to_owned());
        }
        // Of an earlier boot, or left alone for long: nothing is wrong with it, and nothing is known.
        if Some(&stored.boot) != self.boot.as_ref() {
            return Ok(BTreeMap::new());
        }
        let mut regions = BTreeMap::new();
        for (name, away) in stored.regions {
            let name = RegionName::new(&name).ok_or("it names a region that cannot be")?;
            if !away.can_be(self.now()) {
                return Err(format!("its times of region {name} cannot be"));
            }
            if away.untried(self.now()) <= LAST_FOR {
                regions.insert(name, away);
            }
        }
        Ok(regions)
    }

    /// Now, in time of this boot.
    pub(super) fn now(&self) -> Duration {
        let passed = self.world.clock.monotonic().saturating_sub(self.began);
        self.began_awake.saturating_add(passed)
    }

    /// What is known of a region; none where it answered last.
    pub(super) fn of(&self, region: &RegionName) -> Option<&Away> {
        self.regions.get(region)
    }

    /// A call to the region, begun at `began`, failed.
    pub(super) fn failed(&mut self, region: &RegionName, began: Duration, why: &str) {
        let (now, began) = (micros(self.now()), micros(began));
        let since = Time::from_micros(self.world.clock.now_unix_us());
        let away = self.regions.entry(region.clone()).or_insert_with(|| Away {
            since_us: began,
            since: since.unwrap_or(Time::EPOCH),
            tried_us: now,
            told_us: None,
            without: 0,
            why: String::new(),
        });
        (away.tried_us, away.why) = (now, why.to_owned());
        self.changed = true;
    }

    /// The region answered; what was known of it until now.
    pub(super) fn answered(&mut self, region: &RegionName) -> Option<Away> {
        let known = self.regions.remove(region);
        self.changed |= known.is_some();
        known
    }

    /// A file was acknowledged without the region.
    pub(super) fn went_without(&mut self, region: &RegionName) {
        if let Some(away) = self.regions.get_mut(region) {
            away.without = away.without.saturating_add(1);
            self.changed = true;
        }
    }

    /// The repository was told.
    pub(super) fn told(&mut self, region: &RegionName) {
        let now = micros(self.now());
        if let Some(away) = self.regions.get_mut(region) {
            away.told_us = Some(now);
            self.changed = true;
        }
    }

    /// Keeps what is known for the next push. Where that fails the next one begins to wait anew, which is said.
    pub(super) fn keep(&mut self, repository: &RepositoryId, key: &WriterKey) -> Option<Finding> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.write(repository, key).err().map(|why| Finding {
            id: "archive.memory-not-kept",
            what: format!("how long a region has been away could not be remembered: {why}"),
            hint: Some(
                "until it can be, each push waits anew for a region that is away: let the user that runs PostgreSQL write beside writer_key_file"
                    .to_owned(),
            ),
        })
    }

    fn write(&self, repository: &RepositoryId, key: &WriterKey) -> Result<(), String> {
        let (Some(file), Some(boot)) = (&self.file, &self.boot) else { return Ok(()) };
        if self.regions.is_empty() {
            return match durable::remove(file) {
                Err(error) if !error.is_not_found() => Err(error.to_string()),
                _ => Ok(()),
            };
        }
        let regions = self.regions.iter().map(|(name, away)| (name.to_string(), away.clone())).collect();
        let stored = Stored { seawall: WHAT.to_owned(), boot: boot.clone(), regions };
        let text =
            sign_as_writer(&stored, repository, &signed_name(key), key).map_err(|error| error.to_string())?;
        durable::replace(file, &text, 0o600, self.world.random.as_ref()).map_err(|error| error.to_string())
    }
}

/// What the signature is made for. Under this name the repository believes nobody but its owner, so the file is no record of it,
/// wherever somebody may put it.
fn signed_name(key: &WriterKey) -> ObjectName {
    Named::Writer(key.id()).to_name()
}

#[cfg(test)]
mod tests;
