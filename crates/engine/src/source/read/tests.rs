//! Reading made-up files; broken pages of real servers are found in `tests/real_source_files.rs`.

use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::time::Duration;

use futures::future::BoxFuture;
use seawall_pg::page_check::BrokenReason;
use seawall_pg::page_checksum;
use seawall_store::world::World;

use super::*;

const START: Lsn = Lsn(0x1000);
const FILE: &[u8] = b"base/1/16384";

fn page(lsn: Lsn, fill: u8, block: u32) -> Page {
    let mut page = [fill; PAGE_BYTES];
    let (high, low) = lsn.halves();
    page[..4].copy_from_slice(&high.to_le_bytes());
    page[4..8].copy_from_slice(&low.to_le_bytes());
    page[14..16].copy_from_slice(&8000u16.to_le_bytes());
    let checksum = page_checksum(&page, block);
    page[8..10].copy_from_slice(&checksum.to_le_bytes());
    page
}

/// A data directory with one file of these bytes.
fn directory(path: &[u8], bytes: &[u8]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let place = on_disk(directory.path(), path);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::write(place, bytes).unwrap();
    directory
}

fn reader_with(directory: &tempfile::TempDir, clock: Arc<dyn Clock>) -> Reader {
    let rules = PageRules {
        backup_start: START,
        checksums: true,
        relation_segment_blocks: 131_072,
        ceiling: Arc::new(FixedCeiling(Lsn(0x2000))),
    };
    Reader::new(directory.path(), rules, clock, None)
}

fn reader(directory: &tempfile::TempDir) -> Reader {
    reader_with(directory, World::seeded(1).clock)
}

/// A clock that does something to the file whenever somebody pauses.
struct Meddling(Mutex<Box<dyn FnMut() + Send>>);

impl std::fmt::Debug for Meddling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meddling")
    }
}

impl Clock for Meddling {
    fn now_unix_us(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn uptime(&self) -> Option<seawall_store::world::Uptime> {
        None
    }
    fn sleep(&self, _duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
    fn deadline(&self, _at: Duration) -> BoxFuture<'static, ()> {
        Box::pin(futures::future::pending())
    }
    fn sleep_blocking(&self, _duration: Duration) {
        (self.0.lock().unwrap())();
    }
}

fn meddling(meddle: impl FnMut() + Send + 'static) -> Arc<dyn Clock> {
    Arc::new(Meddling(Mutex::new(Box::new(meddle))))
}

#[test]
fn a_run_of_good_pages_is_read_whole_and_a_broken_one_is_named() {
    let mut bytes: Vec<u8> = (0..40).flat_map(|block| page(Lsn(0x500), 7, block)).collect();
    bytes[33 * PAGE_BYTES + 5000] ^= 1;
    let directory = directory(FILE, &bytes);
    let reader = reader(&directory);
    let mut file = reader.open(FILE, None).unwrap().unwrap();
    assert!(file.is_relation() && file.finding().is_none());
    let mut buffer = vec![0xAA; RUN_PAGES_MAX * PAGE_BYTES];
    let first = file.read_run(0, &mut buffer).unwrap();
    assert_eq!(first, RunRead { bytes: 32 * PAGE_BYTES, missing: 0, broken: vec![] });
    assert_eq!(buffer, bytes[..32 * PAGE_BYTES]);
    let second = file.read_run(32 * 8192, &mut buffer).unwrap();
    assert_eq!((second.bytes, second.missing), (8 * PAGE_BYTES, 0));
    assert_eq!(second.broken.len(), 1);
    assert_eq!((second.broken[0].block, second.broken[0].reason), (33, BrokenReason::Checksum));
    assert_eq!(buffer[..8 * PAGE_BYTES], bytes[32 * PAGE_BYTES..], "a broken page is taken as it is");
    assert_eq!(file.read_run(40 * 8192, &mut buffer).unwrap(), RunRead::default());
}

#[test]
fn blocks_of_later_segments_are_counted_in_the_whole_fork() {
    let path = b"base/1/16384.2";
    let directory = directory(path, &page(Lsn(0x500), 7, 2 * 131_072));
    let reader = reader(&directory);
    let read = reader.open(path, None).unwrap().unwrap().read_run(0, &mut [0; PAGE_BYTES]).unwrap();
    assert_eq!(read.broken, []);
}

#[test]
fn a_torn_page_is_read_again_until_it_is_whole() {
    let (old, new) = (page(Lsn(0x500), 1, 0), page(Lsn(0x600), 2, 0));
    let torn = [&new[..4096], &old[4096..]].concat();
    let directory = directory(FILE, &torn);
    let place = on_disk(directory.path(), FILE);
    let clock = meddling(move || std::fs::write(&place, new).unwrap());
    let reader = reader_with(&directory, clock);
    let mut buffer = [0; PAGE_BYTES];
    let read = reader.open(FILE, None).unwrap().unwrap().read_run(0, &mut buffer).unwrap();
    assert_eq!(read.broken, []);
    assert_eq!(buffer, new, "the whole page is what is stored");
}

#[test]
fn a_page_newer_than_the_start_may_be_torn_and_one_from_the_future_is_broken() {
    for (lsn, expected) in [(Lsn(0x1800), None), (Lsn(0x9000), Some(BrokenReason::LsnInFuture))] {
        let mut bytes = page(lsn, 7, 0);
        bytes[5000] ^= 1;
        let directory = directory(FILE, &bytes);
        let reader = reader(&directory);
        let read = reader.open(FILE, None).unwrap().unwrap().read_run(0, &mut [0; PAGE_BYTES]).unwrap();
        assert_eq!(read.broken.first().map(|page| page.reason), expected, "{lsn}");
    }
}

#[test]
fn a_file_that_shrank_gives_zeros_up_to_its_planned_size() {
    let bytes: Vec<u8> = (0..4).flat_map(|block| page(Lsn(0x500), 7, block)).collect();
    let directory = directory(FILE, &bytes);
    let reader = reader(&directory);
    let mut file = reader.open(FILE, None).unwrap().unwrap();
    let truncated = std::fs::OpenOptions::new().write(true).open(on_disk(directory.path(), FILE)).unwrap();
    truncated.set_len(8192).unwrap();
    let mut buffer = vec![0xAA; 8 * PAGE_BYTES];
    let read = file.read_run(0, &mut buffer).unwrap();
    assert_eq!(read, RunRead { bytes: 4 * PAGE_BYTES, missing: 3 * PAGE_BYTES, broken: vec![] });
    assert_eq!(buffer[..PAGE_BYTES], bytes[..PAGE_BYTES]);
    assert!(buffer[PAGE_BYTES..4 * PAGE_BYTES].iter().all(|byte| *byte == 0));
    assert_eq!(file.read_run(2 * 8192, &mut buffer).unwrap().missing, 2 * PAGE_BYTES);
}

#[test]
fn a_page_that_is_truncated_away_while_it_is_looked_at_is_zeros_and_not_broken() {
    let mut bytes = page(Lsn(0x500), 7, 0);
    bytes[5000] ^= 1;
    let directory = directory(FILE, &bytes);
    let place = on_disk(directory.path(), FILE);
    let clock = meddling(move || std::fs::File::create(&place).map(drop).unwrap());
    let reader = reader_with(&directory, clock);
    let mut buffer = [1; PAGE_BYTES];
    let read = reader.open(FILE, None).unwrap().unwrap().read_run(0, &mut buffer).unwrap();
    assert_eq!(read.broken, []);
    assert_eq!(buffer, [0; PAGE_BYTES]);
}

#[test]
fn what_a_file_gains_is_not_read() {
    let directory = directory(b"PG_VERSION", b"17\n");
    let reader = reader(&directory);
    let mut file = reader.open(b"PG_VERSION", Some(3)).unwrap().unwrap();
    std::fs::write(directory.path().join("PG_VERSION"), b"17\nand more").unwrap();
    let mut buffer = [0; 100];
    assert_eq!(file.read_run(0, &mut buffer).unwrap(), RunRead { bytes: 3, missing: 0, broken: vec![] });
    assert_eq!(&buffer[..3], b"17\n");
    assert!(!file.is_relation());
}

#[test]
fn a_partial_last_page_is_waited_for_and_then_taken_with_a_finding() {
    let whole = page(Lsn(0x500), 7, 0);
    let growing = directory(FILE, &whole[..5000]);
    let place = on_disk(growing.path(), FILE);
    let clock = meddling(move || {
        let file = std::fs::OpenOptions::new().write(true).open(&place).unwrap();
        file.write_all_at(&whole, 0).unwrap();
    });
    let reader_of_growing = reader_with(&growing, clock);
    let file = reader_of_growing.open(FILE, Some(5000)).unwrap().unwrap();
    assert_eq!((file.size_bytes(), file.finding()), (8192, None));

    let stuck = directory(FILE, &whole[..5000]);
    let reader_of_stuck = reader(&stuck);
    let mut file = reader_of_stuck.open(FILE, None).unwrap().unwrap();
    let finding = file.finding().unwrap();
    assert_eq!(finding.what, "base/1/16384 ends with 5000 bytes of a page of 8192");
    let mut buffer = [0; PAGE_BYTES];
    assert_eq!(file.read_run(0, &mut buffer).unwrap(), RunRead { bytes: 5000, missing: 0, broken: vec![] });
}

#[test]
fn a_vanished_file_is_none_and_what_is_no_file_is_an_error() {
    let directory = directory(FILE, b"");
    let reader = reader(&directory);
    assert!(reader.open(b"base/1/99999", None).unwrap().is_none());
    assert!(matches!(reader.open(b"base/1", None), Err(ReadError::NotAFile { .. })));
    let error = Error::from(reader.open(b"base/1/1.4000000000", None).unwrap_err());
    assert!(error.to_string().ends_with("has a number that no relation's file can have"), "{error}");
}

#[test]
fn the_limit_holds_for_all_files_together() {
    let world = World::seeded(1);
    let directory = directory(b"a", &[1; 4000]);
    let mut limited = reader_with(&directory, Arc::clone(&world.clock));
    limited.limit = Some(Bandwidth::new(1000, 0, &world));
    for _ in 0..2 {
        limited.open(b"a", None).unwrap().unwrap().read_run(0, &mut [0; PAGE_BYTES]).unwrap();
    }
    assert_eq!(world.clock.monotonic(), Duration::from_secs(8));
}

#[test]
fn a_made_file_is_read_as_one_on_disk_and_nothing_there_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = b"@seawall/relations/5".to_vec();
    let bytes: Vec<u8> = (0..20_000_u32).map(|byte| byte as u8).collect();
    let made: MadeFiles = Arc::new([(path.clone(), bytes.clone())].into());
    let reader = reader(&directory).with_made(made);
    let mut file = reader.open(&path, Some(20_000)).unwrap().unwrap();
    assert_eq!((file.size_bytes(), file.is_relation()), (20_000, false));
    let mut buffer = vec![0; 16_384];
    let read = file.read_run(8_192, &mut buffer).unwrap();
    assert_eq!((read.bytes, read.missing), (11_808, 0));
    assert_eq!(buffer[..11_808], bytes[8_192..]);
    assert!(reader.open(b"@seawall/relations/6", None).unwrap().is_none());
}
