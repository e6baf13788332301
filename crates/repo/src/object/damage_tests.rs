//! Each kind of damage to an object, and the fault it is told by.

use super::*;
use crate::bytes::DecodeError;
use crate::compress::Decompressor;
use crate::envelope::{HEAD_BYTES_WITHOUT_HEADER, HeadError};
use crate::error::Fault;
use crate::layout::{Named, ObjectName};
use crate::seal::{Cipher, Protection, Section};
use crate::testing::{World, backup, pack, place, time};
use crate::trust::TrustError;

fn opened(world: &World, name: &ObjectName, object: &[u8]) -> Result<Vec<u8>, Fault> {
    let decompressor = &mut Decompressor::new().unwrap();
    let mut read = |object: &[u8]| {
        let whole = WholeObject::open(name, object, &world.trust, None, &world.all_keys(), decompressor)?;
        whole.all_frames(1 << 20, decompressor)
    };
    read(object).map_err(|error| error.fault)
}

fn head_len(object: &[u8]) -> usize {
    crate::envelope::Head::needs(object).unwrap()
}

/// The object with its head's check sum made right again: what a forger does, and damage does not.
fn resummed(mut object: Vec<u8>) -> Vec<u8> {
    let at = head_len(&object) - 8;
    let crc = crc32c::crc32c(&object[..at]);
    object[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    object
}

#[test]
fn every_flipped_bit_is_refused_as_damage() {
    for cipher in [Cipher::Aes256Gcm, Cipher::None] {
        let mut world = World::new(1, cipher);
        let object = world.object(&pack(0), Protection::Content, &[b"a row", b"another"]);
        let head = head_len(&object);
        assert_eq!(opened(&world, &pack(0), &object).unwrap(), b"a rowanother");
        for at in 0..object.len() {
            for bit in 0..8 {
                let mut damaged = object.clone();
                damaged[at] ^= 1 << bit;
                let fault = opened(&world, &pack(0), &damaged).unwrap_err();
                let right = match at {
                    0..8 => fault == Fault::Head(HeadError::NotSeawall),
                    // A longer header may reach beyond the object's end, or beyond its bound.
                    16..20 => matches!(
                        fault,
                        Fault::Head(
                            HeadError::Damaged | HeadError::Truncated { .. } | HeadError::Length { .. }
                        )
                    ),
                    _ if at < head => fault == Fault::Head(HeadError::Damaged),
                    _ => fault == Fault::BodyDamaged,
                };
                assert!(right, "byte {at} bit {bit}: {fault:?}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_ranged_read_is_refused() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"a row", b"another"]);
    let head = OpenHead::open(&pack(0), &object, &world.trust, None).unwrap();
    let opener = head.opener(&world.all_keys()).unwrap();
    let decompressor = &mut Decompressor::new().unwrap();
    let body = object[head.head().head_bytes()..].to_vec();
    let footer = opener.open_footer(&body, decompressor).unwrap();
    for at in 0..body.len() {
        let mut damaged = body.clone();
        damaged[at] ^= 1;
        let mut read = |damaged: &[u8]| -> Result<(), crate::error::ObjectError> {
            for frame in &footer.frames {
                let from = frame.offset as usize;
                let stored = &damaged[from..from + frame.stored_len as usize];
                opener.open_frame(frame, stored, decompressor)?;
            }
            opener.open_footer(damaged, decompressor).map(drop)
        };
        let fault = read(&damaged).unwrap_err().fault;
        let right = match body.len() - at {
            // The trailer is in plain: its two numbers are refused against the sealed footer and the body's length.
            1..=4 => matches!(
                fault,
                Fault::Decode { section: Section::Footer, source: DecodeError::Invalid { .. } }
            ),
            5..=8 => matches!(fault, Fault::Sealing { section: Section::Footer } | Fault::ShortRange { .. }),
            _ => matches!(fault, Fault::Sealing { .. }),
        };
        assert!(right, "byte {at} of {}: {fault:?}", body.len());
    }
}

#[test]
fn every_truncation_and_every_longer_object_is_refused() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    for length in 0..object.len() {
        let fault = opened(&world, &pack(0), &object[..length]).unwrap_err();
        let right = match length {
            0 => fault == Fault::Head(HeadError::NotSeawall),
            _ => matches!(fault, Fault::Head(HeadError::Truncated { there, .. }) if there == length as u64),
        };
        assert!(right, "{length}: {fault:?}");
    }
    let longer = [&object[..], b"\0"].concat();
    assert!(matches!(opened(&world, &pack(0), &longer), Err(Fault::Head(HeadError::TooLong { .. }))));
}

#[test]
fn what_is_no_object_is_told_apart() {
    let world = World::encrypted();
    for bytes in [&b""[..], b"\0", b"PGDMP", &[0xff; 5000], b"{\"format\":1}\n"] {
        assert_eq!(opened(&world, &pack(0), bytes), Err(Fault::Head(HeadError::NotSeawall)));
    }
}

#[test]
fn newer_versions_features_and_kinds_are_told_from_damage() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    let with = |at: usize, byte: u8| {
        let mut changed = object.clone();
        changed[at] = byte;
        opened(&world, &pack(0), &resummed(changed)).unwrap_err()
    };
    assert_eq!(with(9, 2), Fault::Head(HeadError::NewerVersion { found: 2 }));
    assert_eq!(with(10, 1), Fault::Head(HeadError::Reserved));
    assert_eq!(with(13, 1), Fault::Head(HeadError::UnknownFeatures { bits: 256 }));
    assert_eq!(with(8, 99), Fault::Head(HeadError::UnknownKind { found: 99 }));
    assert!(matches!(with(28, 0x20), Fault::Head(HeadError::Length { what: "body", .. })));
    assert!(matches!(with(23, 0x20), Fault::Head(HeadError::Length { what: "front section", .. })));
    // A newer version may lay out its head otherwise: what we take for the sum is none then.
    let mut newer = object.clone();
    newer[9] = 2;
    newer[40] ^= 1;
    assert_eq!(opened(&world, &pack(0), &newer), Err(Fault::Head(HeadError::NewerVersion { found: 2 })));
    // A header over its bound.
    let mut long = object.clone();
    long[16..20].copy_from_slice(&65_537u32.to_le_bytes());
    let fault = opened(&world, &pack(0), &long).unwrap_err();
    assert_eq!(fault, Fault::Head(HeadError::Length { what: "header", found: 65_537 }));
}

#[test]
fn forged_heads_are_told_from_damage() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    let head = head_len(&object);
    let header = head - HEAD_BYTES_WITHOUT_HEADER;
    let writer = world.writer.id();
    let with = |at: usize| {
        let mut changed = object.clone();
        changed[at] ^= 1;
        opened(&world, &pack(0), &resummed(changed)).unwrap_err()
    };
    let forged = Fault::Trust(TrustError::Forged { writer });
    let digests_and_signature = (32 + header..96 + header).chain(112 + header..176 + header);
    for at in digests_and_signature.chain([20, 24]) {
        let fault = with(at);
        let length = at == 20 && matches!(fault, Fault::Head(HeadError::Length { .. }));
        assert!(fault == forged || length, "byte {at}: {fault:?}");
    }
    for at in 96 + header..112 + header {
        assert!(matches!(with(at), Fault::Trust(TrustError::UnknownWriter { .. })), "byte {at}");
    }
}

#[test]
fn an_object_under_another_name_or_in_another_repository_is_refused() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    let forged = Err(Fault::Trust(TrustError::Forged { writer: world.writer.id() }));
    assert_eq!(opened(&world, &pack(1), &object), forged);
    let map = Named::Map { place: place(), backup: backup(), number: 0 }.to_name();
    assert_eq!(opened(&world, &map, &object), forged);
    let mut elsewhere = World::new(2, Cipher::Aes256Gcm);
    let stranger = Fault::Trust(TrustError::UnknownWriter { writer: world.writer.id() });
    assert_eq!(opened(&elsewhere, &pack(0), &object), Err(stranger));
    // Even where the same host writes to both.
    let mut certificate = world.certificate();
    certificate.created = time(2);
    elsewhere.certify(&certificate);
    assert_eq!(opened(&elsewhere, &pack(0), &object), forged);
}

#[test]
fn another_writers_signature_and_another_kind_are_refused() {
    let mut world = World::encrypted();
    let stranger = World::new(2, Cipher::Aes256Gcm).writer;
    let id = stranger.id();
    let own = std::mem::replace(&mut world.writer, stranger);
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    assert_eq!(
        opened(&world, &pack(0), &object),
        Err(Fault::Trust(TrustError::UnknownWriter { writer: id }))
    );
    // The same object with the known writer's id written over it.
    let at = head_len(&object) - 88;
    let mut renamed = object;
    renamed[at..at + 16].copy_from_slice(own.id().as_bytes());
    let forged = Fault::Trust(TrustError::Forged { writer: own.id() });
    assert_eq!(opened(&world, &pack(0), &resummed(renamed)), Err(forged));
}

#[test]
fn frames_swapped_within_or_between_objects_do_not_open() {
    let mut world = World::encrypted();
    for protection in [Protection::Content, Protection::Meta] {
        let one = world.object(&pack(0), protection, &[b"alpha", b"bravo"]);
        let two = world.object(&pack(1), protection, &[b"alpha", b"bravo"]);
        let head = OpenHead::open(&pack(0), &one, &world.trust, None).unwrap();
        let opener = head.opener(&world.all_keys()).unwrap();
        let from = head.head().head_bytes();
        let decompressor = &mut Decompressor::new().unwrap();
        let frames = opener.open_footer(&one[from..], decompressor).unwrap().frames;
        let mut open = |object: &[u8], at: usize, as_number: usize| {
            let start = from + frames[at].offset as usize;
            let stored = &object[start..start + frames[at].stored_len as usize];
            opener.open_frame(&frames[as_number], stored, decompressor).map_err(|error| error.fault)
        };
        assert_eq!(open(&one, 1, 1).unwrap(), b"bravo");
        assert_eq!(open(&one, 1, 0), Err(Fault::Sealing { section: Section::Frame(0) }));
        assert_eq!(open(&two, 0, 0), Err(Fault::Sealing { section: Section::Frame(0) }));
    }
}

#[test]
fn a_frame_of_another_length_or_encoding_than_its_table_says_is_refused() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"alpha"]);
    let head = OpenHead::open(&pack(0), &object, &world.trust, None).unwrap();
    let opener = head.opener(&world.all_keys()).unwrap();
    let body = &object[head.head().head_bytes()..];
    let decompressor = &mut Decompressor::new().unwrap();
    let frame = opener.open_footer(body, decompressor).unwrap().frames[0];
    let stored = &body[..frame.stored_len as usize];
    let mut open =
        |frame: FrameAt, stored: &[u8]| opener.open_frame(&frame, stored, decompressor).unwrap_err().fault;
    let decompress = |fault: Fault| matches!(fault, Fault::Decompress { .. });
    assert!(decompress(open(FrameAt { plain_len: 4, ..frame }, stored)));
    assert!(decompress(open(FrameAt { plain_len: 6, ..frame }, stored)));
    assert!(decompress(open(FrameAt { plain_len: u32::MAX, ..frame }, stored)));
    assert!(decompress(open(FrameAt { encoding: crate::compress::Encoding::Zstd, ..frame }, stored)));
    assert!(matches!(open(frame, &stored[1..]), Fault::ShortRange { .. }));
}
