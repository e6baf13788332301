//! What is believed of what an earlier push left.

use std::sync::Arc;

use seawall_store::world::ManualClock;

use super::*;
use crate::repository::WorldEntropy;

const SECOND: Duration = Duration::from_secs(1);

fn world() -> (World, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let random = World::seeded(3).random;
    (World { clock: Arc::clone(&clock) as _, random }, clock)
}

fn south() -> RegionName {
    RegionName::new("south").unwrap()
}

struct Host {
    world: World,
    clock: Arc<ManualClock>,
    keys: HostKeys,
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let (world, clock) = world();
        let keys = HostKeys::made_up(&world);
        clock.advance(1000 * SECOND);
        Self { world, clock, keys, folder: tempfile::tempdir().unwrap() }
    }

    fn key_file(&self) -> PathBuf {
        self.folder.path().join("orders.key")
    }

    fn load(&self) -> AwayRegions {
        AwayRegions::load(&self.key_file(), &self.keys, &self.world)
    }

    fn keep(&self, memory: &mut AwayRegions) {
        assert_eq!(memory.keep(&self.keys.repository, &self.keys.writer), None);
    }

    /// A push that failed in region south, begun now.
    fn fails(&self) {
        let mut memory = self.load();
        let began = memory.now();
        memory.failed(&south(), began, "gone");
        self.keep(&mut memory);
    }
}

#[test]
fn the_first_failure_is_remembered_until_the_region_answers() {
    let host = Host::new();
    assert_eq!(host.load().of(&south()), None);
    for _ in 0..7 {
        host.fails();
        host.clock.advance(10 * SECOND);
    }
    let mut memory = host.load();
    let away = memory.of(&south()).unwrap();
    assert_eq!((away.lasted(memory.now()), away.untried(memory.now())), (70 * SECOND, 10 * SECOND));
    assert!(memory.answered(&south()).is_some());
    host.keep(&mut memory);
    assert!(!file_beside(&host.key_file()).exists(), "while all answer there is nothing to remember");
}

#[test]
fn nothing_is_believed_that_this_host_did_not_write() {
    let host = Host::new();
    host.fails();
    let file = file_beside(&host.key_file());
    let good = std::fs::read(&file).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let longer = text.replacen("\"since_us\":1000000000", "\"since_us\":1000", 1);
    assert_ne!(longer, text);
    let other = Host::new();
    for spoiled in [longer.into_bytes(), good[..good.len() / 2].to_vec(), Vec::new(), b"{}\n{}\n".to_vec()] {
        std::fs::write(&file, spoiled).unwrap();
        let memory = host.load();
        assert_eq!(memory.of(&south()), None);
        assert!(memory.ignored.is_some());
    }
    // Another host's, though it is signed: a file that was copied.
    std::fs::write(file_beside(&other.key_file()), good).unwrap();
    let stranger = HostKeys {
        writer: WriterKey::generate(&mut WorldEntropy::new(&other.world)),
        ..HostKeys::made_up(&other.world)
    };
    let memory = AwayRegions::load(&other.key_file(), &stranger, &other.world);
    assert!(memory.of(&south()).is_none() && memory.ignored.is_some());
}

#[test]
fn times_that_cannot_be_and_times_of_long_ago_are_no_reason_to_do_without_a_region() {
    let host = Host::new();
    host.fails();
    host.clock.advance(LAST_FOR);
    assert!(host.load().of(&south()).is_some());
    host.clock.advance(SECOND);
    let memory = host.load();
    assert_eq!((memory.of(&south()), &memory.ignored), (None, &None), "nothing is wrong with it");

    // As a clock that goes back would make it.
    let later = Host::new();
    std::fs::write(file_beside(&later.key_file()), std::fs::read(file_beside(&host.key_file())).unwrap())
        .unwrap();
    let early = Host { keys: host.keys, ..Host::new() };
    std::fs::copy(file_beside(&later.key_file()), file_beside(&early.key_file())).unwrap();
    early.fails();
    let (world, _) = world();
    let memory = AwayRegions::load(&early.key_file(), &early.keys, &world);
    assert!(memory.of(&south()).is_none() && memory.ignored.is_some(), "it was written later than now");
}

#[test]
fn what_cannot_be_kept_is_said() {
    let host = Host::new();
    let mut memory =
        AwayRegions::load(&host.folder.path().join("nowhere/orders.key"), &host.keys, &host.world);
    let began = memory.now();
    memory.failed(&south(), began, "gone");
    let finding = memory.keep(&host.keys.repository, &host.keys.writer).unwrap();
    assert_eq!(finding.id, "archive.memory-not-kept");
}
