//! Regions that failed or kept silent, remembered from one `wal fetch` to the next: each is a process of its own, and would find out
//! anew, segment by segment.
//!
//! The memory is a file in the data directory. Promises: it is believed only in the boot of the machine in which it was written, for
//! [`PASSED_OVER_FOR`] after a region was last tried; it decides who is asked first and nothing else: what is not delivered without the
//! regions it names is asked of all. So whoever writes it, a file that some region has is delivered, and one is absent only where all say so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_store::world::Uptime;
use seawall_store::{Region, World, durable};
use serde::{Deserialize, Serialize};

use crate::repository::{RegionSettings, Repository};

/// Its name in the data directory.
pub(crate) const MEMORY_FILE_NAME: &str = "seawall_away.json";
const MEMORY_FILE_MODE: u32 = 0o600;
const FILE_BYTES_MAX: u64 = 64 << 10;
/// So long others are asked without a region that failed, before it is tried again.
const PASSED_OVER_FOR: Duration = Duration::from_secs(60);
/// A region whose answers take this long is asked behind the others as well.
const SLOW: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    boot: String,
    /// When each was last tried, in microseconds of the machine's time awake.
    tried_us: BTreeMap<String, u64>,
}

/// What the last fetches learned.
#[derive(Debug)]
pub(super) struct Memory {
    world: World,
    file: PathBuf,
    /// Boot and time awake; none where the system tells no time that processes can compare: then nothing is remembered.
    now: Option<Uptime>,
    tried_us: BTreeMap<String, u64>,
}

impl Memory {
    pub(super) fn load(data_directory: &Path, world: &World) -> Self {
        let (file, now) = (data_directory.join(MEMORY_FILE_NAME), world.clock.uptime());
        let stored = durable::read_whole(&file, FILE_BYTES_MAX).ok();
        // What is not readable says nothing: all are asked.
        let stored = stored.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        let stored = stored.filter(|stored| now.as_ref().is_some_and(|now| now.boot == stored.boot));
        Self { world: world.clone(), file, now, tried_us: stored.map(|one| one.tried_us).unwrap_or_default() }
    }

    /// The regions that are asked first; none where that is all of them, or nobody.
    pub(super) fn first_asked(&self, regions: &[RegionSettings]) -> Option<Vec<RegionSettings>> {
        let first: Vec<_> =
            regions.iter().filter(|region| !self.is_passed_over(&region.name)).cloned().collect();
        (!first.is_empty() && first.len() < regions.len()).then_some(first)
    }

    fn is_passed_over(&self, region: &str) -> bool {
        let (Some(now), Some(tried)) = (&self.now, self.tried_us.get(region)) else { return false };
        // A time to come is nobody's.
        now.awake.checked_sub(Duration::from_micros(*tried)).is_some_and(|passed| passed < PASSED_OVER_FOR)
    }

    /// Keeps what the regions of a repository showed; where that fails the next fetch finds out for itself.
    pub(super) fn learn(&mut self, repository: &Repository) {
        let Some(Uptime { boot, awake }) = self.world.clock.uptime() else { return };
        let before = self.tried_us.clone();
        for region in repository.regions().iter() {
            let name = region.name().to_string();
            if is_troubled(region) {
                self.tried_us.insert(name, u64::try_from(awake.as_micros()).unwrap_or(u64::MAX));
            } else if region.health().latency_us > 0 {
                self.tried_us.remove(&name);
            }
        }
        if self.tried_us == before {
            return;
        }
        let _next_time = match self.tried_us.is_empty() {
            true => durable::remove(&self.file),
            false => {
                let stored = Stored { boot, tried_us: self.tried_us.clone() };
                let text = serde_json::to_vec(&stored).unwrap_or_default();
                durable::replace(&self.file, &text, MEMORY_FILE_MODE, self.world.random.as_ref())
            }
        };
    }
}

/// Whether a call to it was given up in this process, or it hesitated.
fn is_troubled(region: &Region) -> bool {
    let health = region.health();
    health.last_failure.is_some() || Duration::from_micros(health.latency_us) >= SLOW
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use seawall_store::world::ManualClock;

    use super::*;

    fn world() -> (World, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (World { clock: Arc::clone(&clock) as _, ..World::seeded(3) }, clock)
    }

    fn remembered(directory: &Path, boot: &str, tried: u64) {
        let stored =
            Stored { boot: boot.to_owned(), tried_us: BTreeMap::from([("north".to_owned(), tried)]) };
        std::fs::write(directory.join(MEMORY_FILE_NAME), serde_json::to_vec(&stored).unwrap()).unwrap();
    }

    #[test]
    fn a_region_is_passed_over_for_a_minute_of_the_same_boot_and_never_when_nobody_else_is_left() {
        let (scratch, (world, clock)) = (tempfile::tempdir().unwrap(), world());
        let both = ["north", "south"].map(|name| RegionSettings::new(name, format!("file:///{name}")));
        let first = || {
            let memory = Memory::load(scratch.path(), &world);
            memory.first_asked(&both).map(|first| first.into_iter().map(|one| one.name).collect::<Vec<_>>())
        };
        clock.advance(Duration::from_secs(3600));
        let Uptime { boot, awake } = world.clock.uptime().unwrap();
        let now = u64::try_from(awake.as_micros()).unwrap();
        assert_eq!(first(), None, "nothing is known");
        remembered(scratch.path(), &boot, now);
        assert_eq!(first().unwrap(), ["south"]);
        let memory = Memory::load(scratch.path(), &world);
        assert!(memory.first_asked(&both[..1]).is_none(), "nobody else is left");
        clock.advance(PASSED_OVER_FOR);
        assert_eq!(first(), None, "it is time to try it");
        remembered(scratch.path(), &boot, u64::MAX);
        assert_eq!(first(), None, "a time to come");
        remembered(scratch.path(), "another boot", now);
        assert_eq!(first(), None);
        std::fs::write(scratch.path().join(MEMORY_FILE_NAME), "{").unwrap();
        assert_eq!(first(), None, "not readable");
    }
}
