//! Bodies that are no record, each with its own word.

use super::*;

fn parse(major: u32, body: &[u8]) -> Result<Seen, RecordFault> {
    let raw = testing::whole_record(Lsn(8), (1, 10, 0), body);
    assert!(Record::crc_fits(&raw));
    Record::parse(version(major), Lsn(64), Lsn(64 + raw.len() as u64), &raw).map(|record| seen(&record))
}

fn fault(major: u32, body: &[u8]) -> LayoutFault {
    match parse(major, body) {
        Err(RecordFault::Layout(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

const LOCATOR: [u8; 16] = [0x7F, 6, 0, 0, 5, 0, 0, 0, 1, 0x40, 0, 0, 7, 0, 0, 0];

fn with_locator(head: &[u8], tail: &[u8]) -> Vec<u8> {
    [head, &LOCATOR, tail].concat()
}

#[test]
fn every_way_to_be_wrong_has_its_word() {
    assert_eq!(fault(17, &[255, 9, 1]), LayoutFault::Sum { parts: 11, room: 3 });
    assert_eq!(fault(17, &[254, 9]), LayoutFault::Cut);
    assert_eq!(fault(17, &[33, 0, 0, 0]), LayoutFault::UnknownPart { id: 33 });
    assert_eq!(fault(17, &[0, 4, 0, 0]), LayoutFault::NoSuchFork { id: 0 });
    assert_eq!(fault(17, &[0, 0x80, 0, 0, 1, 0, 0, 0]), LayoutFault::NoRelation { id: 0 });
    assert_eq!(fault(17, &with_locator(&[0, 0x20, 0, 0], &[])), LayoutFault::Data { id: 0 });
    assert_eq!(fault(17, &with_locator(&[0, 0, 2, 0], &[1, 2])), LayoutFault::Data { id: 0 });
    let twice = [with_locator(&[3, 0, 0, 0], &[]), with_locator(&[3, 0, 0, 0], &[])].concat();
    assert_eq!(fault(17, &twice), LayoutFault::OutOfOrder { id: 3 });
    assert_eq!(fault(17, &with_locator(&[0, 0x20, 9, 0], &[1])), LayoutFault::Sum { parts: 29, room: 21 });
}

#[test]
fn images_that_cannot_be_are_refused() {
    let image = |length: u16, offset: u16, info: u8, rest: &[u8]| {
        let mut head = vec![0, 0x10, 0, 0];
        head.extend(length.to_le_bytes());
        head.extend(offset.to_le_bytes());
        head.push(info);
        head.extend(rest);
        with_locator(&head, &vec![1; usize::from(length)])
    };
    let why = |major: u32, body: Vec<u8>| match fault(major, &body) {
        LayoutFault::Image { id: 0, why } => why,
        other => panic!("{other:?}"),
    };
    assert!(why(17, image(8191, 0, 2, &[])).contains("not that of a page"));
    assert!(why(17, image(8192, 0, 6, &[])).contains("not that of a page"));
    assert!(why(17, image(8192, 9, 3, &[])).contains("half a hole"));
    assert!(why(17, image(8000, 0, 3, &[])).contains("half a hole"));
    assert!(why(17, image(8192, 9, 2, &[])).contains("half a hole"));
    assert!(why(17, image(100, 9, 7, &[0, 0])).contains("half a hole"));
    assert!(why(17, image(100, 8000, 7, &[200, 0])).contains("behind the page"));
    assert!(why(17, image(100, 0, 14, &[])).contains("two ways"));
    assert!(why(17, image(9000, 0, 4, &[])).contains("longer than a page"));
    // The bits moved: 4 is "apply" in 14 and pglz later.
    let page = parse(14, &image(8192, 0, 4, &[])).unwrap();
    assert!(page.blocks[0].5.unwrap().apply && page.blocks[0].5.unwrap().compression.is_none());
    let squeezed = parse(14, &image(100, 20, 7, &[200, 0])).unwrap().blocks[0].5.unwrap();
    assert_eq!((squeezed.compression, squeezed.hole_length), (Some(ImageCompression::Pglz), 200));
    for (info, way) in [(5, ImageCompression::Pglz), (9, ImageCompression::Lz4), (17, ImageCompression::Zstd)]
    {
        let image = parse(15, &image(100, 20, info, &[200, 0])).unwrap().blocks[0].5.unwrap();
        assert_eq!((image.compression, image.apply), (Some(way), false));
    }
}

#[test]
fn headers_tell_what_cannot_be_a_record() {
    let header = RecordHeader { total: 24, xid: 0, prev: Lsn(8), info: 0, rmgr: 22, crc: 0 };
    let checked = |header: RecordHeader, major| header.check(version(major), Lsn(64), Some(Lsn(8)));
    assert_eq!(checked(header, 18), Err(RecordFault::ResourceManager { found: 22 }));
    let custom = RecordHeader { rmgr: 128, ..header };
    assert_eq!(checked(custom, 14), Err(RecordFault::ResourceManager { found: 128 }));
    assert_eq!(checked(custom, 15), Ok(()));
    let good = RecordHeader { rmgr: 10, ..header };
    assert_eq!(checked(good, 14), Ok(()));
    for bytes in [0, 23, RECORD_LENGTH_MAX + 1] {
        assert_eq!(checked(RecordHeader { total: bytes, ..good }, 14), Err(RecordFault::Length { bytes }));
    }
    assert_eq!(
        checked(RecordHeader { prev: Lsn(16), ..good }, 14),
        Err(RecordFault::Link { found: Lsn(16) })
    );
    let later = RecordHeader { prev: Lsn(64), ..good };
    assert_eq!(later.check(version(14), Lsn(64), None), Err(RecordFault::Link { found: Lsn(64) }));
}

const RECORD_LENGTH_MAX: u32 = 1 << 30;
