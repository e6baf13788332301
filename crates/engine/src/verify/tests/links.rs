//! Links between neighbouring segments: where they are compared, by whom, and what a broken one endangers.

use super::ground::{As, Ground, options};
use crate::verify::{Depth, VerifyReport};

const SAMPLE: &str = "100%";

/// A backup in segment 3, and segments 3 to 7 of timeline 1; those named begin another server's WAL.
async fn ground(mebibytes: u32, indexes: bool, others: &[u64]) -> Ground {
    let mut ground = Ground::new(mebibytes).await;
    ground.indexes = indexes;
    ground.backup(3, &[(b"PG_VERSION", b"17\n".to_vec())]).await;
    for number in 3..=7 {
        put(&mut ground, 1, number, if others.contains(&number) { 8 } else { 0 }).await;
    }
    ground
}

async fn put(ground: &mut Ground, timeline: u32, number: u64, off: u64) {
    let bytes = ground.segment_behind(timeline, number, 7, off);
    ground.wal(&format!("{timeline:08X}{:08X}{number:08X}", 0), &bytes).await;
}

fn broken(report: &VerifyReport) -> Vec<(&str, &str, &str)> {
    let of = |finding: &crate::verify::VerifyFinding| {
        (finding.id, finding.object.rsplit('/').next().unwrap().to_owned(), finding.region.to_string())
    };
    let all: Vec<_> = report.findings.iter().map(of).collect();
    assert!(all.iter().all(|(id, ..)| *id == "verify.link-broken"), "{all:?}");
    report
        .findings
        .iter()
        .map(|finding| {
            let file = finding.object.rsplit('/').next().unwrap();
            (finding.region.as_str(), file, finding.endangers.what.as_str())
        })
        .collect()
}

#[tokio::test]
async fn a_segment_of_another_server_among_them_breaks_both_links() {
    // It begins otherwise, and ends where the right one would: one link. Two of them are two.
    let ground = ground(1, true, &[5, 7]).await;
    for (who, depth) in [
        (As::Reader, Depth::Full),
        (As::Host, Depth::Full),
        (As::Host, Depth::Stored),
        (As::Reader, Depth::Sample(SAMPLE.parse().unwrap())),
    ] {
        let report = ground.verify(who, &options(depth)).await;
        let wanted = |region| {
            [
                (
                    region,
                    "000000010000000000000005",
                    "recovery to any point from 0/500000 to 0/700000 on timeline 1",
                ),
                (region, "000000010000000000000007", "nothing that can be recovered"),
            ]
        };
        assert_eq!(broken(&report), [wanted("north"), wanted("south")].concat(), "{who:?} {depth:?}");
        let fault = &report.findings[0].fault;
        let writer = ground.host.writer().unwrap().id().to_string();
        assert!(fault.contains("where segment 000000010000000000000004 ends"), "{fault}");
        assert_eq!(fault.matches(&writer).count(), 2, "{fault}");
        assert!(report.regions.iter().all(|region| region.links == 4), "{:?}", report.regions[0].links);
    }
    let quick = ground.verify(As::Reader, &options(Depth::Quick)).await;
    assert!(!quick.has_findings() && quick.not_checked[0].contains("go on in one another"), "{quick:?}");
}

#[tokio::test]
async fn segments_without_an_index_are_linked_by_their_records_and_otherwise_counted() {
    let ground = ground(1, false, &[5]).await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    assert_eq!(broken(&report).len(), 2, "{:?}", report.findings);
    for depth in [Depth::Full, Depth::Stored] {
        let report = ground.verify(As::Host, &options(depth)).await;
        assert!(!report.has_findings(), "{:?}", report.findings);
        let said = report.not_checked.join("\n");
        assert!(said.contains("8 links between neighbouring WAL segments"), "{said}");
    }
}

#[tokio::test]
async fn links_of_segments_in_parts_are_compared() {
    for others in [&[][..], &[4]] {
        let ground = ground(64, true, others).await;
        for (who, depth) in [(As::Reader, Depth::Full), (As::Host, Depth::Full), (As::Host, Depth::Stored)] {
            let report = ground.verify(who, &options(depth)).await;
            assert_eq!(broken(&report).len(), 2 * others.len(), "{who:?} {depth:?}: {:?}", report.findings);
            assert!(report.regions.iter().all(|region| region.links == 4), "{who:?} {depth:?}");
        }
    }
}

#[tokio::test]
async fn where_a_timeline_leaves_its_parent_the_link_goes_across() {
    for (off, breaks) in [(0, false), (8, true)] {
        let mut ground = ground(1, true, &[]).await;
        ground.wal("00000002.history", b"1\t0/602000\tno recovery target specified\n").await;
        put(&mut ground, 2, 6, off).await;
        put(&mut ground, 2, 7, 0).await;
        let report = ground.verify(As::Host, &options(Depth::Full)).await;
        let found = broken(&report);
        if breaks {
            let lost = "recovery to any point from 0/602000 to 0/800000 on timeline 2";
            let wanted = ["north", "south"].map(|region| (region, "000000020000000000000006", lost));
            assert_eq!(found, wanted);
            assert!(report.findings[0].fault.contains("segment 000000010000000000000005 ends"));
        } else {
            assert_eq!(found, []);
        }
        assert!(report.regions.iter().all(|region| region.links == 6), "{:?}", report.regions[0].links);
    }
}

/// What only a sample reads is held against the one before it all the same.
#[tokio::test]
async fn a_segment_that_is_drawn_alone_is_held_against_the_one_before_it() {
    let ground = ground(1, true, &[4, 5, 6, 7]).await;
    let (mut found, mut runs) = (std::collections::BTreeSet::new(), 0);
    while found.len() < 4 && runs < 200 {
        let report = ground.verify(As::Host, &options(Depth::Sample("20%".parse().unwrap()))).await;
        found.extend(broken(&report).into_iter().map(|(_, file, _)| file.to_owned()));
        let read: u64 = report.regions[0]
            .kinds
            .iter()
            .filter(|kind| kind.kind.word() == "WAL")
            .map(|kind| kind.read)
            .sum();
        assert!(report.regions[0].links <= read, "one for each that is read at most");
        runs += 1;
    }
    assert_eq!(found.len(), 4, "{found:?}");
}

/// An index that lies tells nothing of its neighbours: only it is blamed.
#[tokio::test]
async fn a_lying_index_does_not_blame_its_neighbours() {
    let mut ground = ground(1, true, &[]).await;
    let regions = ground.objects().await;
    let host = ground.host.clone();
    let (file, content) = ("000000010000000000000005", ground.segment_bytes(1, 5, 7));
    let other = ground.segment_behind(1, 5, 7, 8);
    let index = ground.index_of(5, &other);
    let object = ground.wal_indexed(host.writer().unwrap(), file, &content, &index).swap_remove(0);
    let regions: Vec<_> = regions
        .into_iter()
        .map(|mut objects| {
            objects.insert(object.name().to_string(), bytes::Bytes::copy_from_slice(object.bytes()));
            objects
        })
        .collect();
    ground.lay(&regions).await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    let ids: Vec<_> = report.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids, ["verify.index-wrong"; 2], "{:?}", report.findings);
    // Who cannot open it goes by what it says.
    let report = ground.verify(As::Host, &options(Depth::Full)).await;
    assert_eq!(broken(&report).len(), 2);
}
