use proptest::prelude::*;

use super::*;
use crate::seal::Protection;
use crate::testing::{World, pack};

#[test]
fn the_head_says_how_much_of_it_is_needed() {
    let object = World::encrypted().object(&pack(0), Protection::Content, &[b"a row"]);
    let needs = Head::needs(&object[..32]).unwrap();
    assert!(Head::parse(&object[..needs]).is_ok());
    let short = HeadError::Truncated { wanted: needs as u64, there: needs as u64 - 1 };
    assert_eq!(Head::parse(&object[..needs - 1]), Err(short));
    assert_eq!(Head::needs(&object[..31]), Err(HeadError::Truncated { wanted: 32, there: 31 }));
    assert_eq!(Head::parse(&object).unwrap().head_bytes(), needs);
}

#[test]
fn contradicting_sealing_fields_are_refused() {
    let salt = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let wrap = format!("{}=", "A".repeat(107));
    let parse = |text: String| header::parse(text.as_bytes()).map(|_| ());
    let aes = |rest: &str| format!(r#"{{"cipher":"aes-256-gcm",{rest}}}"#);
    let none = |rest: &str| format!(r#"{{"cipher":"none",{rest}}}"#);
    let keyed = format!(r#""generation":1,"salt":"{salt}""#);
    for text in [
        none(r#""frames":"plain","unknown":[1]"#),
        aes(&format!(r#""frames":"meta",{keyed}"#)),
        aes(&format!(r#""frames":"content",{keyed},"wrap":"{wrap}""#)),
    ] {
        assert_eq!(parse(text.clone()), Ok(()), "{text}");
    }
    for text in [
        none(r#""frames":"meta""#),
        none(&format!(r#""frames":"plain",{keyed}"#)),
        aes(&format!(r#""frames":"plain",{keyed}"#)),
        aes(&format!(r#""frames":"content",{keyed}"#)),
        aes(&format!(r#""frames":"meta",{keyed},"wrap":"{wrap}""#)),
        aes(&format!(r#""frames":"meta","salt":"{salt}""#)),
        aes(r#""frames":"meta","generation":1"#),
    ] {
        assert!(matches!(parse(text.clone()), Err(HeaderFault::Contradiction { .. })), "{text}");
    }
    for text in
        ["", "[]", "{}", "null", r#"{"cipher":"rot13","frames":"meta"}"#, r#"{"cipher":"none","frames":"x"}"#]
    {
        assert!(matches!(parse(text.to_owned()), Err(HeaderFault::Json { .. })), "{text}");
    }
}

proptest! {
    #[test]
    fn heads_round_trip(
        kind in 1..=4u8, front in 0..1000u32, body in 1000..=BODY_BYTES_MAX, plain_digest: [u8; 32],
        stored_digest: [u8; 32], text: String,
    ) {
        let world = World::encrypted();
        let fields = serde_json::json!({ "text": text }).as_object().unwrap().clone();
        let sealing = SealingFields {
            cipher: crate::seal::Cipher::None, frames: Frames::Plain, generation: None, salt: None, wrap: None,
        };
        let header = header::encode(fields, &sealing).unwrap();
        let kind = Kind::from_u8(kind).unwrap();
        let draft =
            HeadDraft { kind, header: &header, front_bytes: front, body_bytes: body, plain_digest, stored_digest };
        let bytes = draft.encode(world.sealer.repository(), &pack(0), &world.writer);
        let head = Head::parse(&bytes).unwrap();
        prop_assert_eq!((head.kind(), head.front_bytes(), head.body_bytes()), (kind, front, body));
        prop_assert_eq!((head.plain_digest(), head.stored_digest()), (&plain_digest, &stored_digest));
        prop_assert_eq!((head.writer(), head.sealing()), (world.writer.id(), &sealing));
        prop_assert_eq!(head.header()["text"].as_str(), Some(&text[..]));
    }

    #[test]
    fn any_bytes_are_parsed_without_panic(mut bytes: Vec<u8>, magic: bool) {
        if magic { bytes.splice(0..0, MAGIC); }
        drop(Head::parse(&bytes));
    }
}
