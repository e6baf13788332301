//! Chapters in memory: made of full folders only, believed from whom they may be, and never of any weight.

use proptest::prelude::*;
use seawall_pg::wal::RelationId;
use seawall_pg::{Fork, History, HistoryFile, Lsn, Timeline};
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::wal_index::transactions::Transactions;
use seawall_repo::wal_index::{Begins, ChangedFork, Changes, Ends, FirstRecord};
use seawall_repo::wal_object::{Indexed, WalFacts, WalSealer};

use super::make::{Made, folders_before};
use super::*;
use crate::archive::testing::Bench;
use crate::repository::WorldEntropy;

/// Four segments of 1 GiB make a folder. (Their objects hold little: what counts here is their indexes.)
async fn bench() -> Bench {
    Bench::with(2, 1024).await
}

fn name(number: u64, bench: &Bench) -> SegmentName {
    SegmentName::new(Timeline::FIRST, seawall_pg::SegmentNo(number), bench.size).unwrap()
}

/// An index that goes on where the one before it ends, and names a page of its own.
fn index(number: u64) -> SegmentIndex {
    let at = |number: u64| Lsn((number << 30) + 40);
    let mut changes = Changes::default();
    let relation = RelationId { tablespace: 1663, database: 5, number: 16_384 };
    let fork = changes.fork_mut(ChangedFork { relation, fork: Fork::Main });
    fork.change_all([number as u32, 7]);
    fork.cut(100 - number as u32);
    SegmentIndex {
        begins: Begins::Record,
        first: Some(FirstRecord { start: at(number), previous: at(number.saturating_sub(1)) }),
        last: Some(at(number)),
        ends: Ends::Switch { at: at(number) },
        records: 3,
        commits: None,
        marks: Vec::new(),
        untold: Vec::new(),
        changes,
    }
}

async fn archived(bench: &Bench, number: u64, host: &str, told: bool) {
    let repository = bench.as_host(host).await.unwrap();
    let facts = WalFacts {
        place: bench.place(),
        file: WalFileName::Segment(name(number, bench)),
        segment_size: bench.size,
        host: host.to_owned(),
        archived: crate::backup::now(&bench.world).unwrap(),
    };
    let transactions = Transactions::default().encode();
    let index = match told {
        true => Indexed::new(index(number).encode().unwrap(), transactions).unwrap(),
        false => Indexed::Not("nobody could read it".to_owned()),
    };
    let (sealer, key) = (repository.sealer().unwrap(), repository.writer().unwrap());
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    let wal = WalSealer { facts: &facts, index: &index, sealer, key };
    let object = wal.seal(&[7; 8192], &mut compressor, &mut WorldEntropy::new(&bench.world)).unwrap();
    let (name, bytes, _) = object.into_parts();
    bench.regions().set().put_all(name.as_str(), &bytes.into()).await;
}

async fn made(bench: &Bench, host: &str, before: Lsn) -> Made {
    let repository = bench.as_host(host).await.unwrap();
    let (set, history) = (repository.regions().set(), History::root(Timeline::FIRST));
    let made = write_missing(&repository, &set, &bench.place(), bench.size, &history, before).await;
    assert_eq!(repository.take_findings(), []);
    made
}

/// What segments say joined, by how many chapters, and what was found wrong.
async fn joined(
    bench: &Bench,
    host: &str,
    whose: Whose,
    numbers: std::ops::Range<u64>,
) -> (SegmentIndex, u64, Vec<Finding>) {
    let repository = bench.as_host(host).await.unwrap();
    let place = bench.place();
    let says = WalSays { repository: &repository, place: &place, size: bench.size, whose };
    let mut told = says.of(numbers.map(|number| name(number, bench)));
    let (mut all, mut chapters): (Option<SegmentIndex>, u64) = (None, 0);
    let mut add = |index: SegmentIndex| match &mut all {
        None => all = Some(index),
        Some(all) => all.then(&index).unwrap(),
    };
    let mut changes = Changes::default();
    while let Some(told) = told.next().await {
        match told {
            Told::Segment { segment, index } => add(*index.unwrap_or_else(|why| panic!("{segment}: {why}"))),
            Told::Folder(chapter) => {
                chapters += 1;
                chapter.segments().iter().for_each(|one| add(one.index.clone().unwrap()));
                changes.join(chapter.changes());
            }
        }
    }
    let mut all = all.unwrap();
    all.changes.join(&changes);
    (all, chapters, repository.take_findings())
}

fn directly(numbers: std::ops::Range<u64>) -> SegmentIndex {
    let mut all = index(numbers.start);
    numbers.skip(1).for_each(|number| all.then(&index(number)).unwrap());
    all
}

const END: Lsn = Lsn((13 << 30) + 99);

#[tokio::test]
async fn full_folders_behind_get_their_chapter_once_and_it_says_what_they_say() {
    let bench = bench().await;
    for number in 0..14 {
        archived(&bench, number, "db1", true).await;
    }
    assert_eq!(made(&bench, "db1", END).await, Made { chapters: 3, read: 12 });
    assert_eq!(made(&bench, "db1", END).await, Made::default(), "they are there");
    for (from, by_chapters) in [(0, 3), (1, 2), (4, 2), (5, 1), (9, 0)] {
        let (said, chapters, findings) = joined(&bench, "db1", Whose::Own, from..14).await;
        assert_eq!((said, chapters, findings), (directly(from..14), by_chapters, Vec::new()), "from {from}");
    }
}

#[tokio::test]
async fn a_folder_with_a_gap_or_still_being_filled_gets_none() {
    let bench = bench().await;
    for number in [0, 1, 3, 4, 5, 6, 7, 8] {
        archived(&bench, number, "db1", number != 5).await;
    }
    let end = Lsn((9 << 30) + 99);
    assert_eq!(made(&bench, "db1", end).await, Made { chapters: 1, read: 4 });
    // When the gap is closed, it gets one.
    archived(&bench, 2, "db1", true).await;
    assert_eq!(made(&bench, "db1", end).await, Made { chapters: 1, read: 4 });
    let repository = bench.as_host("db1").await.unwrap();
    let place = bench.place();
    let says = WalSays { repository: &repository, place: &place, size: bench.size, whose: Whose::Own };
    let untold = says.chapter("0000000100000001".parse().unwrap()).await.unwrap();
    let reasons: Vec<_> = untold.segments().iter().map(|one| one.reason.as_deref()).collect();
    assert_eq!((untold.is_told(), reasons), (false, vec![None, Some("nobody could read it"), None, None]));
}

/// db1 archived; db2 may write as well, and puts a chapter of its own.
#[tokio::test]
async fn another_hosts_chapter_is_not_believed_about_what_changed() {
    let bench = bench().await;
    for number in 0..4 {
        archived(&bench, number, "db1", true).await;
    }
    let db2 = bench.as_host("db2").await.unwrap();
    let folder: WalFolder = "0000000100000000".parse().unwrap();
    let mut builder = seawall_repo::chapter::ChapterBuilder::default();
    for number in 0..4 {
        let (head, told) =
            db2.segment_told(&segment_name(&bench.place(), name(number, &bench))).await.unwrap();
        // Of what changed it says nothing.
        let silent = told.map(|index| SegmentIndex { changes: Changes::default(), ..index });
        builder.push(seawall_repo::chapter::ChapterSegment::of(&head, silent).unwrap());
    }
    let lie = builder.finish(folder, bench.size).unwrap();
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    let mut entropy = WorldEntropy::new(&bench.world);
    let object = lie
        .seal(&bench.place(), db2.sealer().unwrap(), db2.writer().unwrap(), &mut compressor, &mut entropy)
        .unwrap();
    let (object_name, bytes, _) = object.into_parts();
    bench.regions().set().put_all(object_name.as_str(), &bytes.into()).await;
    assert_eq!(made(&bench, "db1", Lsn(5 << 30)).await.chapters, 0, "the name is taken");
    assert_eq!(joined(&bench, "db1", Whose::Own, 0..4).await, (directly(0..4), 0, Vec::new()));
    assert_eq!(joined(&bench, "db1", Whose::Anyones, 0..4).await.1, 1);
}

#[tokio::test]
async fn a_damaged_chapter_is_told_and_its_segments_are_read() {
    let bench = bench().await;
    for number in 0..4 {
        archived(&bench, number, "db1", true).await;
    }
    assert_eq!(made(&bench, "db1", Lsn(4 << 30)).await.chapters, 1);
    let name = "orders/7575/chapter/00000001/0000000100000000";
    let place = bench.place();
    let name = name.replace("orders/7575", &format!("{}/{}", place.cluster, place.system));
    for store in &bench.memories {
        use object_store::ObjectStoreExt as _;
        let path = object_store::path::Path::from(name.as_str());
        let mut bytes = store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        store.put(&path, bytes.into()).await.unwrap();
    }
    let (said, chapters, findings) = joined(&bench, "db1", Whose::Own, 0..4).await;
    assert_eq!((said, chapters), (directly(0..4), 0));
    assert!(
        findings
            .iter()
            .any(|finding| finding.id == "archive.chapter-unusable" && finding.what.contains(&name)),
        "{findings:?}"
    );
    // The next backup puts another beside it, and from then on all is as it was.
    let repository = bench.as_host("db1").await.unwrap();
    let (set, history) = (repository.regions().set(), History::root(Timeline::FIRST));
    let before = Lsn(4 << 30);
    let healed = write_missing(&repository, &set, &bench.place(), bench.size, &history, before).await;
    assert_eq!(healed, Made { chapters: 1, read: 4 });
    let (said, chapters, findings) = joined(&bench, "db1", Whose::Own, 0..4).await;
    assert_eq!((said, chapters, findings), (directly(0..4), 1, Vec::new()));
    for store in &bench.memories {
        use object_store::ObjectStoreExt as _;
        let path = object_store::path::Path::from(format!("{name}.1"));
        assert!(store.head(&path).await.is_ok(), "{path}");
    }
    assert_eq!(made(&bench, "db1", before).await, Made::default());
}

#[test]
fn only_folders_that_one_timeline_serves_as_a_whole_are_looked_at() {
    let size = WalSegmentSize::new(1 << 30).unwrap();
    // Timeline 2 begins inside segment 5, which it serves itself; so folder 1 is two timelines'.
    let fork = Lsn((5 << 30) + 800);
    let file = format!("1\t{fork}\tno recovery target specified\n");
    let history =
        History::from_file(&HistoryFile::parse(Timeline::new(2).unwrap(), file.as_bytes()).unwrap());
    let folders: Vec<String> =
        folders_before(&history, Lsn((17 << 30) + 1), size).map(|folder| folder.to_string()).collect();
    assert_eq!(folders, ["0000000200000003", "0000000200000002", "0000000100000000"]);
    assert_eq!(folders_before(&history, Lsn((3 << 30) + 1), size).count(), 0);
}

proptest! {
    /// Whatever is asked for is answered once, in order; folders stand for exactly their segments.
    #[test]
    fn pieces_are_what_was_asked_for(from in 0u64..30, many in 0u64..40, left_out in 0u64..80) {
        let size = WalSegmentSize::new(1 << 30).unwrap();
        let of = |number| SegmentName::new(Timeline::FIRST, seawall_pg::SegmentNo(number), size).unwrap();
        let asked: Vec<SegmentName> = (from..from + many).filter(|number| *number != left_out).map(of).collect();
        let pieces = pieces(asked.clone(), size);
        let full = pieces.iter().filter(|piece| matches!(piece, Piece::Full(_))).count();
        let answered: Vec<SegmentName> = pieces.into_iter().flat_map(|piece| match piece {
            Piece::Full(folder) => folder.segments(size).collect::<Vec<_>>(),
            Piece::Segments(segments) => segments,
        }).collect();
        let whole = (0..20).filter(|high| (0..4).all(|n| asked.contains(&of(high * 4 + n)))).count();
        prop_assert_eq!((answered, full), (asked, whole));
    }
}
