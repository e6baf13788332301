//! Records of a real 18.6 server, byte for byte.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

pub(super) const BACKUP_END: &str = "22000000000000008000000a0000000050000000e3423888ff082800000a00000000";
pub(super) const HEAP_DELETE: &str = "3600000036030000f0c3040900000000100a0000f5bc22b9000000007f060000\
    050000007640000000000000ff083603000001001000";
pub(super) const DROP_COMMIT_FRONT: &str = "d90100003b030000a80b050900000000810100004e42da62febc0100005870cd54\
    d60303004d010000050000007f060000010000007f060000050000008140000001000000020000000500000\
    07e4000000000000018000000";

#[test]
fn a_backup_end_record_is_read() {
    let raw = bytes(BACKUP_END);
    assert!(Record::crc_fits(&raw));
    let record = Record::parse(version(18), Lsn(0x0A00_00F8), Lsn(0x0A00_011A), &raw).unwrap();
    assert_eq!(record.header.prev, Lsn(0x0A00_0080));
    assert_eq!((record.header.rmgr, record.operation(), record.header.xid), (0, 0x50, 0));
    assert_eq!(record.main_data().whole().unwrap(), 0x0A00_0028u64.to_le_bytes());
    assert_eq!(record.blocks().count(), 0);
}

#[test]
fn a_heap_delete_names_its_block() {
    let raw = bytes(HEAP_DELETE);
    assert!(Record::crc_fits(&raw));
    let record = Record::parse(version(18), Lsn(0x0904_E380), Lsn(0x0904_E3B6), &raw).unwrap();
    assert_eq!((record.header.xid, record.header.prev), (822, Lsn(0x0904_C3F0)));
    let blocks: Vec<_> = record.blocks().collect();
    assert_eq!(blocks.len(), 1);
    assert_eq!((blocks[0].id, blocks[0].relation, blocks[0].block), (0, relation(16502), 0));
    assert_eq!((blocks[0].fork, blocks[0].image, blocks[0].data_length), (Fork::Main, None, 0));
    assert_eq!(record.main_data().whole().unwrap(), bytes("3603000001001000"));
    for at in 0..raw.len() {
        let mut flipped = raw.clone();
        flipped[at] ^= 0x10;
        assert!(!Record::crc_fits(&flipped), "byte {at}");
    }
}

#[test]
fn a_commit_cut_behind_its_headers_is_read_and_told_as_cut() {
    let raw = bytes(DROP_COMMIT_FRONT);
    let record = Record::parse(version(18), Lsn(0x0905_0BE0), Lsn(0x0905_0DB9), &raw).unwrap();
    assert!(!Record::crc_fits(&raw));
    let main = record.main_data();
    assert_eq!((main.length, main.bytes.len(), main.whole()), (444, raw.len() - 24 - 5, None));
    assert_eq!(main.bytes[..8], 0x0003_03D6_54CD_7058u64.to_le_bytes());
    let short = Record::parse(version(18), Lsn(0x0905_0BE0), Lsn(0x0905_0DB9), &raw[..27]);
    assert_eq!(short.unwrap_err(), RecordFault::Layout(LayoutFault::Cut));
}
