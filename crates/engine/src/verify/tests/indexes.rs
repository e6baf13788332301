//! Segments whose index was sealed by a writer who may, and lies: found by whoever can open the segment, in one object and in parts.

use seawall_pg::wal::WalOf;
use seawall_pg::wal::testing::{BlockSpec, RecordSpec, WalWriter};
use seawall_pg::{Fork, SegmentName, SegmentNo, Timeline, Version};
use seawall_repo::wal_index::{Changes, SegmentIndex};
use seawall_repo::wal_object::Indexed;

use super::ground::{As, Ground, options};
use crate::archive::index::Indexer;
use crate::archive::testing::SYSTEM;
use crate::verify::Depth;

/// Two segments of records, with the index of each.
fn segments(ground: &Ground) -> Vec<(String, Vec<u8>, SegmentIndex)> {
    let of = WalOf { version: Version::from_major(17).unwrap(), system: SYSTEM, size: ground.bench.size };
    let mut writer = WalWriter::new(of, SegmentNo(3));
    let relation = seawall_pg::wal::RelationId { tablespace: 1663, database: 5, number: 16384 };
    for block in [7, 8] {
        let (fork, data) = (Fork::Main, vec![7; 20]);
        let block = BlockSpec { id: 0, relation, fork, block, will_init: false, image: None, data };
        let length = of.size.bytes() as usize / 3;
        writer.record(&RecordSpec { blocks: vec![block], ..RecordSpec::of(11, 0, &vec![3; length]) });
        writer.switch();
    }
    let indexed = |(bytes, number): (Vec<u8>, u64)| {
        let number = SegmentNo(number);
        let mut indexer = Indexer::new(of, number.first_lsn(of.size).unwrap(), None);
        indexer.take(&bytes);
        let name = SegmentName::new(Timeline::FIRST, number, of.size).unwrap().to_string();
        (name, bytes, indexer.finish(None).unwrap().index)
    };
    writer.segments().into_iter().zip(3..).map(indexed).collect()
}

async fn ground(mebibytes: u32, lie: impl Fn(&mut [(String, Vec<u8>, SegmentIndex)])) -> Ground {
    let mut ground = Ground::new(mebibytes).await;
    let mut segments = segments(&ground);
    lie(&mut segments);
    let host = ground.host.clone();
    for (name, bytes, index) in segments {
        let index = Indexed::new(index.encode().unwrap(), Vec::new()).unwrap();
        for object in ground.wal_indexed(host.writer().unwrap(), &name, &bytes, &index) {
            ground.put(object).await;
        }
    }
    ground.backup(3, &[(b"PG_VERSION", b"17\n".to_vec())]).await;
    ground
}

#[tokio::test]
async fn an_index_that_lies_is_found_where_the_segment_is_opened() {
    for mebibytes in [1, 64] {
        let sound = ground(mebibytes, |_| {}).await;
        let report = sound.verify(As::Reader, &options(Depth::Full)).await;
        assert!(!report.has_findings(), "{:#?}", report.findings);
        let lies = |segments: &mut [(String, Vec<u8>, SegmentIndex)]| {
            segments[1].2.changes = Changes::default();
        };
        let lying = ground(mebibytes, lies).await;
        for depth in [Depth::Full, Depth::Sample("100%".parse().unwrap())] {
            let report = lying.verify(As::Reader, &options(depth)).await;
            assert_eq!(report.findings.len(), 2, "once in each region: {:#?}", report.findings);
            let writer = lying.host.writer().unwrap().id().to_string();
            for finding in &report.findings {
                assert_eq!(finding.id, "verify.index-wrong");
                assert!(finding.object.ends_with("000000010000000000000004"), "{finding:?}");
                assert!(finding.fault.contains("lacks changed pages of relation 16384"), "{finding:?}");
                assert!(finding.fault.contains(&writer), "{finding:?}");
                assert!(finding.endangers.what.contains("may lack pages"), "{finding:?}");
                assert!(finding.mend.contains("seawall backup --scan"), "{finding:?}");
            }
        }
        // Who cannot open the segment has nothing to hold its index against.
        for (who, depth) in [(As::Host, Depth::Full), (As::Reader, Depth::Stored), (As::Reader, Depth::Quick)]
        {
            let report = lying.verify(who, &options(depth)).await;
            assert!(!report.has_findings(), "{:#?}", report.findings);
        }
    }
}

#[tokio::test]
async fn the_index_of_another_segment_is_found() {
    let ground = ground(1, |segments| segments[1].2 = segments[0].2.clone()).await;
    let report = ground.verify(As::Reader, &options(Depth::Full)).await;
    let said: Vec<_> = report.findings.iter().map(|finding| (finding.id, finding.fault.as_str())).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said.iter().all(|(id, fault)| *id == "verify.index-wrong" && fault.contains("are others")),
        "{said:?}"
    );
}
