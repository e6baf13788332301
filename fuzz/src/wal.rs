//! WAL: segments as they are and mended, records laid over pages, meanings, images.
//!
//! Promises that what is kept of a record stays within the bounds that `seawall_pg::wal` states, and that segments read alone and
//! joined give no other records than segments read together.

use seawall_pg::wal::testing::{RecordSpec, WalWriter, whole_record};
use seawall_pg::wal::{
    ImageCompression, ImageHeader, ImageRebuilder, Joiner, Keep, Meaning, Record, RecordFault, WalEnded,
    WalOf, WalWalk, Walked, assembly,
};
use seawall_pg::{Lsn, PAGE_BYTES, SegmentNo, SystemIdentifier, Version, WalSegmentSize};

use super::seen;

/// The first byte chooses the version.
fn wal_of(byte: u8) -> WalOf {
    let versions: Vec<_> = Version::all().collect();
    WalOf {
        version: versions[usize::from(byte) % versions.len()],
        system: SystemIdentifier(7_300_000_000_000_000_001),
        size: WalSegmentSize::new(1 << 20).unwrap(),
    }
}

/// Everything that can be asked of a record.
fn ask_record(record: &Record<'_>, images: &mut ImageRebuilder) {
    assert_eq!(record.blocks().count(), usize::from(record.block_count()));
    for block in record.blocks() {
        let mut page = [0; PAGE_BYTES];
        if let (Some(image), Some(bytes)) = (block.image, block.image_bytes) {
            seen(images.rebuild(&image, bytes, &mut page));
        }
    }
    match Meaning::of(record) {
        Ok(meaning) => seen(format!("{meaning:?}")),
        Err(fault) => seen(fault.to_string()),
    }
}

/// Walks segments in one go; the records' places, and what was found.
fn walk_wal(of: WalOf, first: u64, bytes: &[u8]) -> (Vec<(u64, u64)>, Walked) {
    let mut images = ImageRebuilder::default();
    let mut records = Vec::new();
    let mut walk = WalWalk::new(of, Lsn(first), Keep::Everything);
    for segment in bytes.chunks(1 << 20) {
        walk.take(segment, &mut |record| {
            ask_record(record, &mut images);
            records.push((record.start.0, record.end.0));
        });
    }
    let walked = walk.finish();
    let bound = assembly::MAIN_DATA_BYTES_KEPT + assembly::BLOCK_BYTES_MAX + 1024;
    if let Some(unfinished) = &walked.unfinished {
        assert!(unfinished.piece.front.len() + unfinished.piece.back.len() <= bound.min(bytes.len()));
    }
    if let Some(continuation) = &walked.continuation {
        assert!(continuation.piece.front.len() + continuation.piece.back.len() <= 1 << 20);
    }
    (records, walked)
}

/// Pages as they are; then with right headers; then with every record's link and check sum made right in turn.
pub fn wal_segment(data: &[u8]) {
    let Some((version, pages)) = data.split_first() else { return };
    let (of, first) = (wal_of(*version), 5u64 << 20);
    seen(walk_wal(of, first, pages));
    let mut mended = pages.to_vec();
    mended.resize(mended.len().next_multiple_of(8192), 0);
    for (number, page) in mended.chunks_mut(8192).enumerate() {
        mend_page_header(of, first + 8192 * number as u64, page);
    }
    for _ in 0..200 {
        let (records, walked) = walk_wal(of, first, &mended);
        let WalEnded::Record { at, fault } = walked.ended else { return };
        let from = usize::try_from(at.0 - first).unwrap();
        let Some(places) = record_places(&mended, from) else { return };
        match fault {
            RecordFault::Link { .. } => {
                let before = records.last().map_or(at.0 - 8, |(start, _)| *start);
                (8..).zip(before.to_le_bytes()).for_each(|(field, byte)| mended[places[field]] = byte);
            }
            RecordFault::Checksum => {
                let record: Vec<u8> = places.iter().map(|place| mended[*place]).collect();
                let crc = crc32c::crc32c_append(crc32c::crc32c(&record[24..]), &record[..20]);
                (20..).zip(crc.to_le_bytes()).for_each(|(field, byte)| mended[places[field]] = byte);
            }
            _ => return,
        }
    }
}

/// Magic, flags, timeline, address and the long header; whether a record goes on, and how long, stays.
fn mend_page_header(of: WalOf, address: u64, page: &mut [u8]) {
    let is_first = address.is_multiple_of(1 << 20);
    let info = page[2] & 0x0D | u8::from(is_first) << 1;
    page[..2].copy_from_slice(&of.version.facts().wal_magic.to_le_bytes());
    page[2..8].copy_from_slice(&[info, 0, 1, 0, 0, 0]);
    page[8..16].copy_from_slice(&address.to_le_bytes());
    if is_first {
        page[24..32].copy_from_slice(&of.system.0.to_le_bytes());
        page[32..36].copy_from_slice(&(1u32 << 20).to_le_bytes());
        page[36..40].copy_from_slice(&8192u32.to_le_bytes());
    }
}

/// Where the bytes of the record at `from` are, page headers left out; `None` where they go beyond the end.
fn record_places(bytes: &[u8], from: usize) -> Option<Vec<usize>> {
    let total = u32::from_le_bytes(*bytes.get(from..)?.first_chunk()?) as usize;
    let is_header = |at: usize| at % 8192 < if at < 8192 { 40 } else { 24 };
    let places: Vec<_> = (from..bytes.len()).filter(|at| !is_header(*at)).take(total).collect();
    (places.len() == total && total >= 24).then_some(places)
}

/// Records with any bodies, laid over pages and segments as a server does: walked at once, and segment by segment and joined.
pub fn wal_records(data: &[u8]) {
    let Some((version, mut rest)) = data.split_first() else { return };
    let of = wal_of(*version);
    let mut writer = WalWriter::new(of, SegmentNo(5));
    while let Some(([rmgr, info, low, high, more], body)) = rest.split_first_chunk::<5>() {
        let (body, after) = body.split_at(body.len().min(usize::from(u16::from_le_bytes([*low, *high]))));
        let long = [body, &vec![*more; usize::from(*more) << 11]].concat();
        writer.raw(7, *rmgr, *info, &long);
        rest = after;
        if writer.bytes.len() > 3 << 20 {
            break;
        }
    }
    let segments = writer.segments();
    let (records, _) = walk_wal(of, 5 << 20, &segments.concat());
    let alone = walk_wal_alone(of, &segments);
    assert!(alone.starts_with(&records), "{records:?} {alone:?}");
}

/// Each segment by itself, what crosses joined.
fn walk_wal_alone(of: WalOf, segments: &[Vec<u8>]) -> Vec<(u64, u64)> {
    let mut images = ImageRebuilder::default();
    let mut joiner: Option<Joiner> = None;
    let mut records = Vec::new();
    for (number, segment) in (5u64..).zip(segments) {
        let (here, walked) = walk_wal(of, number << 20, segment);
        if let (Some(joined), Some(rest)) = (&mut joiner, &walked.continuation) {
            let added = joined.add(rest.remaining, &rest.piece);
            if rest.lost_at.is_some() {
                joiner = None;
            } else if let (Ok(()), Some(end)) = (added, rest.end) {
                if let Ok(record) = joined.finish(end) {
                    ask_record(&record, &mut images);
                    records.push((record.start.0, record.end.0));
                }
                joiner = None;
            }
        }
        records.extend(here);
        if let Some(unfinished) = &walked.unfinished {
            joiner = Joiner::begin(of.version, unfinished).ok();
        }
    }
    records
}

/// A record of any resource manager with any main data, whole and cut.
pub fn wal_meaning(data: &[u8]) {
    let Some(([version, rmgr, info], main)) = data.split_first_chunk::<3>() else { return };
    let spec = RecordSpec::of(*rmgr, *info, main);
    let of = wal_of(*version);
    let raw = whole_record(Lsn(8), (7, *rmgr, *info), &spec.body(&of));
    let mut images = ImageRebuilder::default();
    for kept in [raw.len(), raw.len() / 2, raw.len() - main.len() / 3] {
        let parsed = Record::parse(of.version, Lsn(64), Lsn(99), &raw[..kept]);
        if let Ok(record) = parsed {
            ask_record(&record, &mut images);
        }
    }
}

/// An image with any header: five bytes say how it is compressed and where its hole is.
pub fn wal_image(data: &[u8]) {
    let Some(([way, o0, o1, l0, l1], bytes)) = data.split_first_chunk::<5>() else { return };
    let compression =
        [None, Some(ImageCompression::Pglz), Some(ImageCompression::Lz4), Some(ImageCompression::Zstd)];
    let image = ImageHeader {
        length: bytes.len() as u16,
        hole_offset: u16::from_le_bytes([*o0, *o1]),
        hole_length: u16::from_le_bytes([*l0, *l1]),
        apply: true,
        compression: compression[usize::from(*way) % 4],
    };
    let mut page = [0xEE; PAGE_BYTES];
    if ImageRebuilder::default().rebuild(&image, bytes, &mut page).is_ok() {
        let hole = usize::from(image.hole_offset)..usize::from(image.hole_offset + image.hole_length);
        assert!(page[hole].iter().all(|byte| *byte == 0));
    }
}
