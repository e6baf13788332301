//! Chapters, which are a cache: every damage is found and named, and endangers nothing; so is one that says what its segments do not.

use seawall_repo::chapter::Chapter;
use seawall_repo::compress::{Compression, Compressor};
use seawall_repo::keys::WriterKey;

use super::copies::chapter_of;
use super::ground::{As, Ground, options};
use super::matrix::matrix;
use crate::repository::WorldEntropy;
use crate::verify::Depth;

const FOLDERS: [&str; 2] = ["0000000100000000", "0000000200000000"];

async fn put(ground: &Ground, chapter: &Chapter, key: &WriterKey) {
    let (sealer, mut entropy) = (ground.host.sealer().unwrap(), WorldEntropy::new(&ground.bench.world));
    let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
    let place = ground.bench.place();
    let object = chapter.seal(&place, sealer, key, &mut compressor, &mut entropy).unwrap();
    ground.put(object).await;
}

/// Everything there is, and two chapters.
async fn ground() -> Ground {
    let ground = Ground::without_indexes().await;
    for folder in FOLDERS {
        let chapter = chapter_of(folder.parse().unwrap(), ground.bench.size, 1);
        put(&ground, &chapter, ground.host.writer().unwrap()).await;
    }
    ground
}

#[tokio::test]
async fn every_damage_of_a_chapter_is_found_once_and_endangers_nothing() {
    let mut ground = ground().await;
    let sound = ground.verify(As::Host, &options(Depth::Full)).await;
    assert!(!sound.has_findings(), "{:#?}", sound.findings);
    let kinds = [("chapter", "/chapter/", "nothing that a restore needs")];
    let (cells, wrong) = matrix(&mut ground, &[As::Host], &[Depth::Full, Depth::Quick], &kinds).await;
    assert_eq!(cells, 20);
    assert!(wrong.is_empty(), "{} of {cells}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What decides is what the segments say.
#[tokio::test]
async fn a_chapter_that_says_something_else_than_its_segments_is_told() {
    let ground = Ground::without_indexes().await;
    let folder = FOLDERS[0].parse().unwrap();
    let mut entries = chapter_of(folder, ground.bench.size, 1).segments().to_vec();
    entries[4].reason = Some("another reason".to_owned());
    let mut builder = seawall_repo::chapter::ChapterBuilder::default();
    entries.into_iter().for_each(|entry| builder.push(entry));
    put(&ground, &builder.finish(folder, ground.bench.size).unwrap(), ground.host.writer().unwrap()).await;
    let quick = ground.verify(As::Host, &options(Depth::Quick)).await;
    assert!(!quick.has_findings(), "{:#?}", quick.findings);
    let full = ground.verify(As::Host, &options(Depth::Full)).await;
    assert_eq!(full.findings.len(), 2, "once in each region: {:#?}", full.findings);
    for finding in &full.findings {
        assert_eq!(finding.id, "verify.chapter-differs");
        assert!(
            finding.object.ends_with(FOLDERS[0]) && finding.fault.contains("000000010000000000000004"),
            "{finding:?}"
        );
        assert!(finding.endangers.what.starts_with("nothing that a restore needs"), "{finding:?}");
    }
}

/// A backup's history file has a name between that of its segment and those of the segment's parts.
#[tokio::test]
async fn a_segment_in_parts_with_a_backup_history_file_lacks_nothing() {
    let mut ground = Ground::new(64).await;
    ground.backup(3, &[(b"PG_VERSION", b"17\n".to_vec())]).await;
    ground.segment(1, 3).await;
    ground.wal("000000010000000000000003.00000028.backup", b"START WAL LOCATION: 0/C000028\n").await;
    let report = ground.verify(As::Host, &options(Depth::Quick)).await;
    assert!(!report.has_findings(), "{:#?}", report.findings);
}
