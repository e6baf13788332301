//! One function for every decoder that takes foreign bytes: it must return, whatever it is given, and what it accepts must
//! come out the same when written and read again.
//!
//! Check sums and signatures would keep chance away from what lies behind them: where one stands first, the input is given
//! as it is and once more with it made right. Promises to read nothing but its input and the golden repositories. Run by
//! libFuzzer (`fuzz_targets`, `tools/fuzz.sh`) and, for a moment, by the normal tests (`crates/repo/tests/fuzz_smoke.rs`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a target fails by panicking")]

use std::hint::black_box;
use std::sync::LazyLock;

use seawall_pg::WalSegmentSize;
use seawall_repo::chapter::Chapter;
use seawall_repo::compress::{Compression, Compressor, Decompressor, Encoding};
use seawall_repo::condemned::{Hold, HoldReleased, PolicyRecord, Tombstone, TombstoneDone, TombstoneRevoked};
use seawall_repo::entropy::Entropy;
use seawall_repo::envelope::Head;
use seawall_repo::id::{BackupId, ClusterName, RepositoryId, WriterId};
use seawall_repo::identity::{Identities, Recipient};
use seawall_repo::keys::{OwnerKey, OwnerPublic, WriterKey, WriterPublic};
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::manifest::{Manifest, ManifestHeader};
use seawall_repo::map::{
    DigestNode, FileBlockReader, LocationNode, check_path, check_target, resolve_digests, resolve_locations,
};
use seawall_repo::object::{KeyRing, ObjectBuilder, OpenHead, SealedObject, WholeObject};
use seawall_repo::pack::PackContents;
use seawall_repo::records::{
    Adoption, Intent, KeyRecord, OwnerRecord, Revocation, SeawallJson, WriterCertificate,
};
use seawall_repo::relation_list::{Coverage, LIST_BYTES_MAX, RelationListReader, RelationListWriter};
use seawall_repo::seal::{Protection, Sealer};
use seawall_repo::signed::SignedText;
use seawall_repo::time::Time;
use seawall_repo::trust::{Pins, Trust};
use seawall_repo::wal_object::WalReader;
use serde_json::{Map, Value};

#[path = "wal.rs"]
mod wal;

pub use wal::{wal_image, wal_meaning, wal_records, wal_segment};

/// A decoder's name and what runs it.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 27] = [
    ("head", head),
    ("object", object),
    ("footer", footer),
    ("frame", frame),
    ("pack_contents", pack_contents),
    ("location_node", location_node),
    ("digest_node", digest_node),
    ("file_block", file_block),
    ("relation_list", relation_list),
    ("manifest", manifest),
    ("wal_object", wal_object),
    ("chapter", chapter),
    ("signed_text", signed_text),
    ("records", records),
    ("identity", identity),
    ("names", names),
    ("control", control),
    ("history", history),
    ("backup_label", backup_label),
    ("tablespace_map", tablespace_map),
    ("page", page),
    ("wal_page", wal_page),
    ("wal_segment", wal_segment),
    ("wal_records", wal_records),
    ("wal_meaning", wal_meaning),
    ("wal_image", wal_image),
    ("settings", settings),
];

macro_rules! golden {
    ($rest:literal) => {
        include_bytes!(concat!("../../crates/repo/tests/golden/v1/", $rest))
    };
}

/// Fresh bytes for sealing: they need not be secret here, and must not differ between runs.
struct Counter(u64);

impl Entropy for Counter {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0 += 1;
        blake3::Hasher::new().update(&self.0.to_le_bytes()).finalize_xof().fill(buffer);
    }
}

/// The plain golden repository as a reader and as its writer know it, and an identity of the sealed one.
struct World {
    trust: Trust,
    writer: WriterKey,
    sealer: Sealer,
    keys: KeyRing,
    identities: Identities,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let text = golden!("plain/region/seawall.json");
    let owner: OwnerPublic = str(golden!("plain/owner.txt")).trim().parse().unwrap();
    let repository = SignedText::parse(text).unwrap().peek::<SeawallJson>().unwrap().repository;
    let (mut trust, _) = Trust::open(Pins { repository, owner }, text).unwrap();
    let writer = WriterKey::from_text(str(golden!("plain/writer-secret.txt")).trim()).unwrap();
    let name = Named::Writer(writer.id()).to_name();
    trust
        .add_writer_record(&name, golden!("plain/region/writer/992a463fb56ca8cd4664bc550e65834d.json"))
        .unwrap();
    let identities = Identities::parse(str(golden!("encrypted/identity-1.txt"))).unwrap();
    World { trust, writer, sealer: Sealer::plain(repository), keys: KeyRing::new(), identities }
});

const MANIFEST: &str = "orders/7300000000000000001/manifest/20300317T174640Z-0000000000000001";
const SEGMENT: &str = "orders/7300000000000000001/wal/00000001/0000000100000000/000000010000000000000002";

fn str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What was decoded is not looked at, and not optimised away.
fn seen<T>(value: T) {
    drop(black_box(value));
}

/// The object names that inputs are read under, by their first byte.
fn object_name(selector: u8) -> ObjectName {
    let all = [
        MANIFEST,
        "orders/7300000000000000001/backup/20300317T174640Z-0000000000000001/pack/0",
        "orders/7300000000000000001/backup/20300317T174640Z-0000000000000001/map/0",
        SEGMENT,
        "orders/7300000000000000001/wal/00000002.history",
    ];
    ObjectName::parse(all[usize::from(selector) % all.len()]).unwrap()
}

/// An object of the golden writer with this header and these frames: as far as a hostile writer can go.
fn forge(name: &ObjectName, header: &[u8], frames: &[u8], contents: &[u8]) -> Option<SealedObject> {
    let fields: Map<String, Value> = serde_json::from_slice(header).ok()?;
    let (sealer, compressor) = (&WORLD.sealer, &mut Compressor::new(Compression::Zstd(1)).unwrap());
    let mut builder =
        ObjectBuilder::new(sealer, name, fields, Protection::Meta, None, &mut Counter(0)).ok()?;
    for frame in frames.chunks(1 << 16) {
        builder.push_frame(frame, compressor).ok()?;
    }
    builder.finish(contents, sealer.digest_key().digest(frames), &WORLD.writer).ok()
}

fn open<'a>(name: &ObjectName, object: &'a [u8]) -> Option<WholeObject<'a>> {
    let decompressor = &mut Decompressor::new().unwrap();
    WholeObject::open(name, object, &WORLD.trust, None, &WORLD.keys, decompressor).ok()
}

/// The input before and behind its first zero byte.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    (&data[..at], data.get(at + 1..).unwrap_or_default())
}

pub fn head(data: &[u8]) {
    let parse = |data: &[u8]| {
        seen(Head::parse(data));
        seen(OpenHead::open(&object_name(0), data, &WORLD.trust, None));
    };
    parse(data);
    if let Some(end) = Head::needs(data).ok().filter(|needs| *needs <= data.len()) {
        let mut mended = data[..end].to_vec();
        let crc = crc32c::crc32c(&mended[..end - 8]).to_le_bytes();
        mended[end - 8..end - 4].copy_from_slice(&crc);
        parse(&mended);
    }
}

pub fn object(data: &[u8]) {
    let Some((selector, data)) = data.split_first() else { return };
    let name = object_name(*selector);
    seen(open(&name, data));
    let (header, frames) = split(data);
    let Some(sealed) = forge(&name, header, frames, data) else { return };
    let whole = open(&name, sealed.bytes()).unwrap();
    let decompressor = &mut Decompressor::new().unwrap();
    assert_eq!(whole.all_frames(1 << 24, decompressor).unwrap(), frames);
    assert_eq!(whole.footer().contents, data);
}

/// A footer with its seal made right; the first four bytes are the number of frames.
pub fn footer(data: &[u8]) {
    static HEAD: LazyLock<OpenHead> = LazyLock::new(|| {
        let sealed = forge(&object_name(2), b"{}", &[7; 100_000], b"").unwrap();
        OpenHead::open(&object_name(2), sealed.bytes(), &WORLD.trust, None).unwrap()
    });
    let opener = HEAD.opener(&WORLD.keys).unwrap();
    let decompressor = &mut Decompressor::new().unwrap();
    seen(opener.open_footer(data, decompressor));
    let Some((count, plain)) = data.split_first_chunk::<4>() else { return };
    for payload in [plain.to_vec(), zstd::bulk::compress(plain, 1).unwrap()] {
        let mut tail = payload.clone();
        tail.extend(&blake3::hash(&payload).as_bytes()[..16]);
        let length = tail.len() as u32;
        tail.extend(length.to_le_bytes());
        tail.extend(count);
        if let Ok(footer) = opener.open_footer(&tail, decompressor) {
            assert_eq!(footer.frames.len() as u32, u32::from_le_bytes(*count));
        }
    }
}

pub fn frame(data: &[u8]) {
    let Some((limit, payload)) = data.split_first_chunk::<3>() else { return };
    let limit = usize::from(limit[0]) | usize::from(limit[1]) << 8 | usize::from(limit[2] & 0xf) << 16;
    let decompressor = &mut Decompressor::new().unwrap();
    for encoding in [Encoding::Raw, Encoding::Zstd] {
        if let Ok(plain) = decompressor.decompress_frame(payload, encoding, limit) {
            assert_eq!(plain.len(), limit);
        }
    }
}

pub fn pack_contents(data: &[u8]) {
    let Some((count, data)) = data.split_first() else { return };
    let Some((lengths, contents)) = data.split_at_checked(usize::from(*count % 8) * 4) else { return };
    let lengths: Vec<u32> = lengths.as_chunks().0.iter().map(|length| u32::from_le_bytes(*length)).collect();
    if let Ok(read) = PackContents::decode(contents, &lengths) {
        assert_eq!(PackContents::decode(&read.encode(), &lengths).unwrap(), read);
    }
}

/// A chain: members, each behind two bytes of length.
fn chain(mut data: &[u8]) -> Vec<&[u8]> {
    let mut members = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        members.push(&rest[..length]);
        data = &rest[length..];
    }
    members
}

pub fn location_node(data: &[u8]) {
    if let Ok(node) = LocationNode::decode(data) {
        assert_eq!(LocationNode::decode(&node.encode()).unwrap(), node);
    }
    if let Ok(pages) = resolve_locations(&chain(data)) {
        assert!(resolve_locations(&[pages.to_leaf().encode()]).unwrap() == pages);
    }
}

pub fn digest_node(data: &[u8]) {
    if let Ok(node) = DigestNode::decode(data) {
        assert_eq!(DigestNode::decode(&node.encode()).unwrap(), node);
    }
    if let Ok(pages) = resolve_digests(&chain(data)) {
        assert!(resolve_digests(&[pages.to_leaf().encode()]).unwrap() == pages);
    }
}

pub fn file_block(data: &[u8]) {
    let Ok(mut block) = FileBlockReader::new(data) else { return };
    let mut last = Vec::new();
    while let Ok(Some(entry)) = block.next_entry() {
        check_path(&entry.path).unwrap();
        assert!(entry.path > last && entry.mode <= 0o7777);
        last = entry.path;
    }
}

/// The names of a database's relations, and what such lists cover.
pub fn relation_list(data: &[u8]) {
    seen(serde_json::from_slice::<Coverage>(data));
    let Ok(mut reader) = RelationListReader::new(data) else { return };
    let mut writer = RelationListWriter::new(reader.database(), LIST_BYTES_MAX);
    loop {
        match reader.next_row() {
            Ok(Some(row)) => writer.push(&row),
            Ok(None) => break,
            Err(_) => return,
        }
    }
    let (bytes, _, left_out) = writer.finish();
    assert_eq!((bytes.as_slice(), left_out), (data, 0));
}

/// Header and body, separated by a zero byte.
pub fn manifest(data: &[u8]) {
    let (header, body) = split(data);
    let name = ObjectName::parse(MANIFEST).unwrap();
    let Some(sealed) = forge(&name, header, body, b"") else { return };
    let whole = open(&name, sealed.bytes()).unwrap();
    seen(ManifestHeader::open(whole.head()));
    let decompressor = &mut Decompressor::new().unwrap();
    let Ok(read) = Manifest::open(&whole, WORLD.sealer.digest_key(), decompressor) else { return };
    let compressor = &mut Compressor::new(Compression::Zstd(1)).unwrap();
    let again = read.seal(&WORLD.sealer, &WORLD.writer, compressor, &mut Counter(1)).unwrap();
    let whole = open(&name, again.bytes()).unwrap();
    assert_eq!(Manifest::open(&whole, WORLD.sealer.digest_key(), decompressor).unwrap(), read);
}

pub fn wal_object(data: &[u8]) {
    let (header, body) = split(data);
    let reader = WalReader { trust: &WORLD.trust, keys: &WORLD.keys };
    let name = ObjectName::parse(SEGMENT).unwrap();
    let Some(sealed) = forge(&name, header, body, b"") else { return };
    let decompressor = &mut Decompressor::new().unwrap();
    let Ok(wal) = reader.open(&name, sealed.bytes(), None, decompressor) else { return };
    let head = OpenHead::open(&name, sealed.bytes(), &WORLD.trust, None).unwrap();
    if let Some(joiner) = reader.join(&head, &wal).unwrap() {
        assert!(joiner.part_names().len() <= 32 && joiner.finish().is_err());
    }
}

pub fn chapter(data: &[u8]) {
    // Segments of 1 GiB: four make a folder, so that chance finds one.
    let (folder, size) = ("0000000100000002".parse().unwrap(), WalSegmentSize::new(1 << 30).unwrap());
    let Ok(read) = Chapter::decode(folder, size, data) else { return };
    assert_eq!(read.segments().len(), 4);
    let again = read.encode().unwrap();
    assert_eq!(Chapter::decode(folder, size, &again).as_ref(), Ok(&read));
    seen(read.is_told());
    seen(read.changes().pages());
}

pub fn signed_text(data: &[u8]) {
    let Ok(text) = SignedText::parse(data) else { return };
    seen(text.signer());
    seen(text.peek::<Value>());
    let mut trust = WORLD.trust.clone();
    let place = object_name(0).named().place().unwrap().clone();
    seen(trust.open_writers::<Adoption>(&Named::Adoption(place).to_name(), data, None));
    seen(trust.open_owners::<OwnerRecord>(&Named::Owner { change: 1 }.to_name(), data));
    seen(trust.add_writer_record(&Named::Writer(WORLD.writer.id()).to_name(), data));
    seen(trust.add_writer_record(&Named::Revocation(WORLD.writer.id()).to_name(), data));
    seen(Trust::open(Pins { repository: *trust.repository(), owner: *trust.owner() }, data));
}

pub fn records(data: &[u8]) {
    fn same<R: serde::de::DeserializeOwned + serde::Serialize + PartialEq>(data: &[u8]) -> Option<R> {
        let read: R = serde_json::from_slice(data).ok()?;
        let text = serde_json::to_vec(&read).unwrap();
        assert!(serde_json::from_slice::<R>(&text).unwrap() == read, "{}", data.escape_ascii());
        Some(read)
    }
    same::<SeawallJson>(data);
    same::<WriterCertificate>(data);
    same::<Revocation>(data);
    same::<Adoption>(data);
    same::<Intent>(data);
    same::<Tombstone>(data);
    same::<TombstoneRevoked>(data);
    same::<TombstoneDone>(data);
    same::<Hold>(data);
    same::<HoldReleased>(data);
    same::<PolicyRecord>(data);
    // What wraps keys may be of a later kind, which is skipped when read and cannot be written.
    if let Ok(record) = serde_json::from_slice::<KeyRecord>(data) {
        seen(record.unwrap(&WORLD.identities));
    }
    if let Ok(record) = serde_json::from_slice::<OwnerRecord>(data) {
        seen(OwnerKey::unwrap(&record.wrapped, &WORLD.identities));
    }
}

pub fn identity(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(read) = Identities::parse(text) {
        let again = Identities::parse(&read.print()).unwrap();
        assert_eq!(again.recipients(), read.recipients());
        assert_eq!(*again.print(), *read.print());
    }
    seen(WriterKey::from_text(text));
    seen(OwnerKey::from_text(text));
    seen(text.parse::<Recipient>());
}

pub fn names(data: &[u8]) {
    seen(check_path(data));
    seen(check_target(data));
    seen(seawall_pg::RelationFile::parse(data));
    seen(seawall_pg::Oid::parse(data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    fn same<T: std::str::FromStr + ToString + PartialEq>(text: &str) {
        if let Ok(read) = text.parse::<T>() {
            assert!(read.to_string().parse::<T>().is_ok_and(|again| again == read), "{text:?}");
        }
    }
    if let Some(name) = ObjectName::parse(text) {
        assert_eq!(name.as_str(), text);
    }
    same::<BackupId>(text);
    same::<RepositoryId>(text);
    same::<WriterId>(text);
    same::<ClusterName>(text);
    same::<Time>(text);
    same::<WriterPublic>(text);
    same::<seawall_pg::WalFileName>(text);
    same::<seawall_pg::SegmentName>(text);
    same::<seawall_pg::SystemIdentifier>(text);
    same::<seawall_pg::Lsn>(text);
}

pub fn control(data: &[u8]) {
    use seawall_pg::{ControlFile, ControlReader};
    seen(ControlFile::decode(data));
    // Where the check sum stands in the versions that are known.
    for at in [288, 292] {
        let Some(content) = data.get(..at) else { return };
        let mut mended = data.to_vec();
        mended.resize(mended.len().max(at + 4), 0);
        mended[at..at + 4].copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
        seen(ControlFile::decode(&mended));
        let mut reader = ControlReader::new();
        seen(reader.accept(&mended));
        seen(reader.accept(data));
    }
}

pub fn history(data: &[u8]) {
    use seawall_pg::{History, HistoryFile, Timeline};
    let Some((number, content)) = data.split_first() else { return };
    let Some(timeline) = Timeline::new(u32::from(*number)) else { return };
    let Ok(file) = HistoryFile::parse(timeline, content) else { return };
    let history = History::from_file(&file);
    assert_eq!(history.timeline(), timeline);
    let again = HistoryFile::parse(timeline, file.print().as_bytes()).unwrap();
    assert!(History::from_file(&again) == history);
    assert!(history.spans().count() == history.switches().count() + 1);
    assert!(history.conflict(&history).is_none());
}

pub fn backup_label(data: &[u8]) {
    let Ok(label) = seawall_pg::BackupLabel::parse(data) else { return };
    assert_eq!(label.raw(), data);
    seen(label.check_segment(seawall_pg::WalSegmentSize::DEFAULT));
    seen(label.print());
}

pub fn tablespace_map(data: &[u8]) {
    let Ok(map) = seawall_pg::TablespaceMap::parse(data) else { return };
    assert!(seawall_pg::TablespaceMap::parse(&map.print()).unwrap() == map);
}

pub fn page(data: &[u8]) {
    use seawall_pg::{Lsn, PAGE_BYTES, PageContext, PageHeader, PageRead, check_page, page_checksum};
    let mut page = [0; PAGE_BYTES];
    let length = data.len().min(PAGE_BYTES);
    page[..length].copy_from_slice(&data[..length]);
    let header = PageHeader::decode(&page);
    seen(header.is_new());
    seen(page_checksum(&page, u32::MAX));
    for attempt in 1..=5 {
        let (backup_start, insert_lsn) = (Lsn(u64::from(data.len() as u32)), Lsn(1 << 40));
        let context = PageContext { block: 7, backup_start, insert_lsn, checksums: true, attempt };
        seen(check_page(PageRead::Bytes(&page), &context));
    }
}

pub fn wal_page(data: &[u8]) {
    use seawall_pg::{
        ExpectedSegment, History, SystemIdentifier, Version, WalPageHeader, WalSegmentSize, identify_segment,
    };
    for version in Version::all() {
        seen(WalPageHeader::decode(data, version));
        let name: seawall_pg::SegmentName = "000000010000000000000002".parse().unwrap();
        let (size, history) = (WalSegmentSize::DEFAULT, History::root(name.timeline()));
        let system_identifier = SystemIdentifier(7_300_000_000_000_000_001);
        let expected = ExpectedSegment { name, size, system_identifier, version, history: &history };
        seen(identify_segment(data, &expected));
    }
}

pub fn settings(data: &[u8]) {
    use seawall_pg::settings::{parse_size, parse_time, quote_conf, quote_conninfo};
    seen(seawall_pg::Version::from_pg_version_file(data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    seen(seawall_pg::settings::parse_conf_line(text));
    seen(parse_size(text));
    seen(parse_time(text));
    seen(quote_conninfo(text));
    if let Ok(quoted) = quote_conf(text) {
        use seawall_pg::settings::{ConfLine, parse_conf_line};
        let line = parse_conf_line(&format!("work_mem = {quoted}")).unwrap();
        assert_eq!(line, ConfLine::Setting { name: "work_mem".to_owned(), value: text.to_owned() });
    }
}
