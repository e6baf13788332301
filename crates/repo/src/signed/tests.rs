use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::layout::Named;
use crate::testing::Seeded;

fn repository() -> RepositoryId {
    RepositoryId::from_bytes([1; 16])
}

fn key() -> OwnerKey {
    OwnerKey::generate(&mut Seeded::new(1))
}

fn name() -> ObjectName {
    Named::Owner { change: 1 }.to_name()
}

fn signed(record: &Value) -> Vec<u8> {
    sign_as_owner(record, &repository(), &name(), &key()).unwrap()
}

fn open(text: &[u8]) -> Result<Value, SignedError> {
    SignedText::parse(text)?.open_as_owner(&repository(), &name(), &key().public())
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let text = signed(&json!({"change": 1, "text": "ä\n"}));
    assert!(open(&text).is_ok());
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut damaged = text.clone();
            damaged[at] ^= 1 << bit;
            assert!(open(&damaged).is_err(), "byte {at} bit {bit}");
        }
        assert!(matches!(open(&text[..at]), Err(SignedError::Malformed { .. })), "cut at {at}");
    }
    assert!(matches!(open(&[&text[..], b"\n"].concat()), Err(SignedError::Malformed { .. })));
}

#[test]
fn a_text_moved_elsewhere_or_by_another_signer_is_refused() {
    let text = signed(&json!({}));
    let signed = SignedText::parse(&text).unwrap();
    let public = key().public();
    let forged = Err(SignedError::Forged { signer: Signer::Owner });
    assert_eq!(
        signed.open_as_owner::<Value>(&repository(), &Named::Owner { change: 2 }.to_name(), &public),
        forged
    );
    assert_eq!(signed.open_as_owner::<Value>(&RepositoryId::from_bytes([2; 16]), &name(), &public), forged);
    let other = OwnerKey::generate(&mut Seeded::new(2)).public();
    assert_eq!(signed.open_as_owner::<Value>(&repository(), &name(), &other), forged);
    let writer = WriterKey::from_seed(*key().seed());
    let wanted = Signer::Writer(writer.id());
    assert_eq!(
        signed.open_as_writer::<Value>(&repository(), &name(), &writer.public()),
        Err(SignedError::Signer { found: Signer::Owner, wanted })
    );
}

#[test]
fn a_text_over_the_limit_is_neither_written_nor_read() {
    let record = json!({ "text": "x".repeat(SIGNED_TEXT_BYTES_MAX) });
    let written = sign_as_owner(&record, &repository(), &name(), &key());
    assert!(matches!(written, Err(SignedError::TooLong { .. })));
    assert!(matches!(open(&vec![b' '; SIGNED_TEXT_BYTES_MAX + 1]), Err(SignedError::TooLong { .. })));
}

proptest! {
    #[test]
    fn records_round_trip(text: String, number: u64) {
        let record = json!({ "text": text, "number": number });
        let written = signed(&record);
        prop_assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 2);
        prop_assert_eq!(open(&written), Ok(record));
    }

    #[test]
    fn any_bytes_are_parsed_without_panic(bytes: Vec<u8>) {
        drop(SignedText::parse(&bytes));
    }
}
