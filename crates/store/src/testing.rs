//! Shared beginnings of this crate's tests: regions in memory or in a directory, with faults on request.

use crate::faulty::FaultyStore;
use crate::region::{Limits, Region, RegionConfig, RegionName, Role};
use crate::world::{ManualClock, SeededRandom, World};
use crate::{DurableLocal, Regions};
use object_store::memory::InMemory;
use std::path::Path;
use std::sync::Arc;

pub(crate) use futures::executor::block_on;

pub(crate) fn name(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

pub(crate) fn config(region: &str) -> RegionConfig {
    RegionConfig {
        name: name(region),
        url: format!("memory:///{region}"),
        role: Role::Copy,
        access: crate::Access::default(),
        limits: Limits::default(),
    }
}

/// A world whose clock the test holds as well.
pub(crate) fn world() -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (World { clock: clock.clone(), random: Arc::new(SeededRandom::new(7)) }, clock)
}

pub(crate) fn in_memory(region: &str, world: &World) -> (Region, FaultyStore) {
    in_memory_with(config(region), world)
}

pub(crate) fn in_memory_with(config: RegionConfig, world: &World) -> (Region, FaultyStore) {
    let faulty = FaultyStore::new(Arc::new(InMemory::new()), world);
    (Region::with_store(config, Arc::new(faulty.clone()), world), faulty)
}

/// A region in a directory that carries the marker already.
pub(crate) fn in_dir(region: &str, dir: &Path, world: &World) -> (Region, FaultyStore) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join(crate::local::MARKER), b"{}").unwrap();
    let url = format!("file://{}", dir.display());
    let region = Region::open(RegionConfig { url, ..config(region) }, world).unwrap();
    let mut faulty = None;
    let region = region.wrapped(|store| {
        let wrapped = FaultyStore::new(store, world);
        faulty = Some(wrapped.clone());
        Arc::new(wrapped)
    });
    (region, faulty.unwrap())
}

pub(crate) fn pair(world: &World) -> (Regions, [FaultyStore; 2]) {
    let (first, first_faults) = in_memory("one", world);
    let (second, second_faults) = in_memory("two", world);
    (Regions::new(vec![first, second], world).unwrap(), [first_faults, second_faults])
}

/// A driver on a directory with its marker.
pub(crate) fn local(dir: &Path, world: &World) -> DurableLocal {
    std::fs::write(dir.join(crate::local::MARKER), b"{}").unwrap();
    let modes = crate::local::Modes::default();
    DurableLocal::new(dir.to_owned(), crate::local::Expect::Repository, modes, world.clone())
}

/// All file names beneath `dir` that look like temporary ones.
pub(crate) fn temps(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else if crate::durable::is_temp_name(&entry.file_name()) {
                found.push(entry.path());
            }
        }
    }
    found
}
