//! A chapter says what its segments say, and nothing that is not one is taken for one.

use proptest::prelude::*;
use seawall_pg::wal::RelationId;
use seawall_pg::{Fork, Lsn};

use super::*;
use crate::compress::Compression;
use crate::seal::Cipher;
use crate::testing::{World, place};
use crate::wal_index::{Begins, ChangedFork, Ends, FirstRecord, Mark, MarkWhat};

const FOLDER: &str = "0000000300000002";

fn size() -> WalSegmentSize {
    WalSegmentSize::new(1 << 30).unwrap()
}

fn fork(number: u32) -> ChangedFork {
    ChangedFork { relation: RelationId { tablespace: 1663, database: 5, number }, fork: Fork::Main }
}

/// One that changed these pages of relations, and cut what comes first.
fn index(at: u64, pages: &[(u32, u32)]) -> SegmentIndex {
    let mut changes = Changes::default();
    for (number, page) in pages {
        changes.fork_mut(fork(*number)).change_all([*page]);
    }
    if let Some((number, length)) = pages.first() {
        changes.fork_mut(fork(*number)).cut(*length);
    }
    SegmentIndex {
        begins: Begins::Record,
        first: Some(FirstRecord { start: Lsn(at), previous: Lsn(at - 1) }),
        last: Some(Lsn(at + 9)),
        ends: Ends::Beginning { of: Lsn(at + 9), told: true },
        records: pages.len() as u64,
        commits: None,
        marks: vec![Mark { start: Lsn(at), what: MarkWhat::FullPageWrites { on: true } }],
        untold: Vec::new(),
        changes,
    }
}

fn segments(pages: &[Vec<(u32, u32)>]) -> Vec<ChapterSegment> {
    let names = FOLDER.parse::<WalFolder>().unwrap().segments(size());
    let one = |(segment, pages): (SegmentName, &Vec<(u32, u32)>)| {
        let told = !pages.is_empty();
        ChapterSegment {
            segment,
            size: size().bytes(),
            digest: Base64Array([pages.len() as u8; 32]),
            generation: Some(Generation::FIRST),
            index: told.then(|| index(segment.first_lsn(size()).unwrap().0, pages)),
            reason: (!told).then(|| "nobody could read it".to_owned()),
        }
    };
    names.zip(pages).map(one).collect()
}

fn built(segments: Vec<ChapterSegment>) -> Result<Chapter, ChapterError> {
    let mut builder = ChapterBuilder::default();
    segments.into_iter().for_each(|segment| builder.push(segment));
    builder.finish(FOLDER.parse().unwrap(), size())
}

fn chapter(pages: &[Vec<(u32, u32)>]) -> Chapter {
    built(segments(pages)).unwrap()
}

fn any_pages() -> impl Strategy<Value = Vec<Vec<(u32, u32)>>> {
    proptest::collection::vec(proptest::collection::vec((0..4u32, 0..50u32), 0..5), 4)
}

proptest! {
    #[test]
    fn a_chapter_round_trips(pages in any_pages()) {
        let written = chapter(&pages);
        let read = Chapter::decode(written.folder(), size(), &written.encode().unwrap());
        prop_assert_eq!(read.as_ref(), Ok(&written));
        prop_assert_eq!(written.is_told(), pages.iter().all(|pages| !pages.is_empty()));
    }

    /// Joined one after the other the segments say what the chapter's words and changes say.
    #[test]
    fn its_changes_are_those_of_its_segments(pages in any_pages()) {
        let mut changes = Changes::default();
        for index in segments(&pages).iter().filter_map(|segment| segment.index.as_ref()) {
            changes.join(&index.changes);
        }
        let chapter = chapter(&pages);
        prop_assert_eq!(chapter.changes(), &changes);
        prop_assert!(chapter.segments().iter().flat_map(|one| &one.index).all(|index| index.changes == Changes::default()));
    }

    #[test]
    fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>) {
        drop(Chapter::decode(FOLDER.parse().unwrap(), size(), &bytes));
    }
}

#[test]
fn segments_left_out_doubled_or_in_another_order_are_refused() {
    let good = segments(&[vec![(1, 2)], vec![], vec![(1, 3)], vec![(2, 4)]]);
    let of = built;
    assert!(of(good.clone()).is_ok());
    let mut spoilt = vec![good.clone(), good.clone(), good.clone(), good.clone()];
    spoilt[0].remove(1);
    spoilt[1].swap(1, 2);
    let again = spoilt[2][3].clone();
    spoilt[2].push(again);
    for segments in spoilt.drain(..3) {
        assert!(matches!(of(segments), Err(ChapterError::OtherSegments { .. })));
    }
    let mut both = good;
    both[0].reason = Some("though it has one".to_owned());
    assert!(matches!(of(both), Err(ChapterError::Undecided { .. })));
}

#[test]
fn a_chapter_is_read_back_and_only_under_its_own_name() {
    for cipher in [Cipher::Aes256Gcm, Cipher::None] {
        let mut world = World::new(5, cipher);
        let written = chapter(&[vec![(1, 2)], vec![], vec![(1, 3)], vec![(2, 4)]]);
        let mut compressor = Compressor::new(Compression::Zstd(3)).unwrap();
        let sealed = written
            .seal(&place(), &world.sealer, &world.writer, &mut compressor, &mut world.entropy)
            .unwrap();
        let (name, bytes, digest) = sealed.into_parts();
        assert_eq!(name.as_str(), "orders/7575/chapter/00000003/0000000300000002");
        let (keys, mut decompressor) = (world.host_keys(), Decompressor::new().unwrap());
        let whole = WholeObject::open(&name, &bytes, &world.trust, None, &keys, &mut decompressor).unwrap();
        let digest_key = keys.digest_key(whole.head().generation(), world.trust.repository()).unwrap();
        assert_eq!(Chapter::open(&whole, &digest_key, &mut decompressor), Ok(written.clone()));
        assert_eq!(written.digest(&digest_key), Ok(digest));
        let other = Named::Chapter { place: place(), folder: "0000000300000003".parse().unwrap(), number: 0 }
            .to_name();
        assert!(WholeObject::open(&other, &bytes, &world.trust, None, &keys, &mut decompressor).is_err());
    }
}

#[test]
fn the_words_are_the_documented_ones() {
    let segments = segments(&[vec![], vec![], vec![], vec![]]);
    let words = serde_json::to_string(&segments[1]).unwrap();
    assert_eq!(
        words,
        r#"{"segment":"000000030000000200000001","size":1073741824,"digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","generation":1,"reason":"nobody could read it"}"#
    );
}
