//! Chapters leave with the first of their segments, and keep nothing.

use std::collections::BTreeSet;

use object_store::ObjectStoreExt as _;
use seawall_pg::{SegmentName, SegmentNo, Timeline, WalFolder};
use seawall_repo::layout::{Named, ObjectName};

use super::tests::{backup, hours, names, pruned, rules};
use crate::archive::testing::Bench;

fn chapter(bench: &Bench, number: u64) -> ObjectName {
    let segment = SegmentName::new(Timeline::FIRST, SegmentNo(number), bench.size).unwrap();
    Named::Chapter { place: bench.place(), folder: WalFolder::of(segment), number: 0 }.into()
}

async fn put(bench: &Bench, name: &ObjectName) {
    for store in &bench.memories {
        store.put(&name.as_str().into(), "what it says is nothing to prune".into()).await.unwrap();
    }
}

/// Chapters that are there, and folders of which every segment is.
async fn there(bench: &Bench, region: usize) -> (BTreeSet<String>, BTreeSet<String>) {
    let names = names(bench, region).await;
    let last = |name: &String| name.rsplit('/').next().unwrap().to_owned();
    let chapters = names.iter().filter(|name| name.contains("/chapter/")).map(last).collect();
    let segments: BTreeSet<String> = names.iter().filter(|name| name.contains("/wal/")).map(last).collect();
    let folder = |segment: &String| segment[..16].parse::<WalFolder>().unwrap();
    let full =
        |folder: &WalFolder| folder.segments(bench.size).all(|one| segments.contains(&one.to_string()));
    let folders: BTreeSet<WalFolder> = segments.iter().map(folder).collect();
    (chapters, folders.into_iter().filter(full).map(|folder| folder.to_string()).collect())
}

#[tokio::test]
async fn a_chapter_goes_with_its_segments_and_keeps_none_of_them() {
    // Four segments of 1 GiB make a folder.
    let bench = Bench::with(2, 1024).await;
    let plain = Bench::with(2, 1024).await;
    for day in 0..10 {
        for bench in [&bench, &plain] {
            for number in [day * 4, day * 4 + 1] {
                backup(bench, number).await;
            }
            hours(bench, 24);
        }
        put(&bench, &chapter(&bench, day * 4)).await;
    }
    // One of a folder in which nothing lies, and of a timeline that nobody knows.
    put(&bench, &chapter(&bench, 4_000)).await;
    let mut deleted = 0;
    for _ in 0..4 {
        for report in [pruned(&bench, &rules(2)).await, pruned(&plain, &rules(2)).await] {
            assert!(report.findings.is_empty(), "{:?}", report.findings);
            deleted += report.regions[0].deleted.chapters.objects;
        }
        for bench in [&bench, &plain] {
            hours(bench, 26);
        }
    }
    for region in 0..2 {
        let (chapters, full) = there(&bench, region).await;
        assert_eq!(chapters, full, "a chapter stays exactly while its folder is whole");
        assert!(!chapters.is_empty() && chapters.len() < 10, "{chapters:?}");
        assert_eq!(full, there(&plain, region).await.1, "it keeps nothing");
        assert_eq!(deleted, 11 - chapters.len() as u64);
    }
    // One that a writer puts who was paused for weeks.
    put(&bench, &chapter(&bench, 0)).await;
    for _ in 0..3 {
        pruned(&bench, &rules(2)).await;
        hours(&bench, 26);
    }
    let (chapters, full) = there(&bench, 0).await;
    assert_eq!(chapters, full);
}
