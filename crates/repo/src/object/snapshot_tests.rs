//! The bytes of one object of each kind, fixed: a change of the layout must be wanted.
//!
//! Bodies are sealed zstd frames, so another zstd may write others: then the digests change and the heads' fields do not.

use serde_json::{Map, json};

use super::*;
use crate::compress::{Compression, Compressor};
use crate::layout::{Named, ObjectName};
use crate::seal::{Cipher, Protection};
use crate::testing::{Seeded, World, backup, pack, place};

fn object(cipher: Cipher, name: &ObjectName, protection: Protection) -> Vec<u8> {
    let world = World::new(1, cipher);
    let fields = json!({"of": "a test"}).as_object().cloned().unwrap_or_else(Map::new);
    let entropy = &mut Seeded::new(6);
    let mut builder =
        ObjectBuilder::new(&world.sealer, name, fields, protection, Some(b"front"), entropy).unwrap();
    builder.push_frame(b"a row", &mut Compressor::new(Compression::None).unwrap()).unwrap();
    let digest = world.sealer.digest_key().digest(b"a row");
    builder.finish(b"contents", digest, &world.writer).unwrap().into_parts().1
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(cipher: Cipher, name: &ObjectName, protection: Protection, wanted: [&str; 3]) {
    let object = object(cipher, name, protection);
    let header_len = crate::envelope::Head::needs(&object).unwrap() - 184;
    let header = String::from_utf8(object[32..32 + header_len].to_vec()).unwrap();
    let found = [&hex(&object[..32])[..], &header, &hex(&object[32 + header_len..])];
    assert_eq!(found, wanted, "{name} {cipher:?}");
}

#[test]
fn manifest_has_its_fixed_bytes() {
    let name = Named::Manifest { place: place(), backup: backup() }.to_name();
    check(
        Cipher::Aes256Gcm,
        &name,
        Protection::Meta,
        [
            "53454157414c4c0a01010000000000007b0000001e0000006000000000000000",
            concat!(
                r#"{"cipher":"aes-256-gcm","frames":"meta","generation":1,"of":"a test","salt":"t4kOcBm44kTjL"#,
                r#"02EqZXA8B6pd2y64kCFX2NKfqAVDao="}"#,
            ),
            concat!(
                "14d26f9b9635781432b614c9633f96ce17dc00e4c23c16d9e3160d002a7601cd186c15c8ef62957bb913b2427e8e4ee248c4",
                "dad15ab1aea86fd389ccc50bcfbe9a5814b007abb315b9e0c799666fdb6ea970ef0456849c616c654af7b42209c3d55c6277",
                "7f472c6ea2fcbdf02e1d3d076c4e4fc9b57fd845367209913a9f3b54054f48adbe6df13e22be33ead4be410adba9b0100000",
                "00008c7b4d27d8aa6c84a7a333f2ea3e4e0eead5868369a2dc5c8d8c4aa9a212ca7fc5f4564ac4940aa5069f97074de1697a",
                "abda71eaef0bdf2fb501efaf38726b0459b2872f19e28c4306d4f12b643ab1eb3c464a4ec56b9f2a2500000001000000",
            ),
        ],
    );
}

#[test]
fn pack_has_its_fixed_bytes() {
    check(
        Cipher::Aes256Gcm,
        &pack(0),
        Protection::Content,
        [
            "53454157414c4c0a0201000000000000f40000001e0000006000000000000000",
            concat!(
                r#"{"cipher":"aes-256-gcm","frames":"content","generation":1,"of":"a test","salt":"t4kOcBm44k"#,
                r#"TjL02EqZXA8B6pd2y64kCFX2NKfqAVDao=","wrap":"F/PxPEwKah1BeSSg3DeBm4BGS9s5FjqllMsJSyjrA26nb4"#,
                r#"3EjC8+BGD2/VqyqWTnv5Sb17QwdIPHq6eSYCAT64iSNgk3mQne1Ke1DLZGc7k="}"#,
            ),
            concat!(
                "14d26f9b9635781432b614c9633f96ce17dc00e4c23c16d9e3160d002a7601cd3248f9ea64d1a1eaa458102ede37c8e5a118",
                "1ebe511c18fe2e5ee693593f7c2a9a5814b007abb315b9e0c799666fdb6eda3af74e035d0448c43fbfcb3a489078552976de",
                "8ce5abcc3f8d8900d0f108eef8e29f779a3d89fbf11b06beb831b7ddf7d4e939df9e5d4cd8837df108fcdf0f11bff9d80000",
                "00008c7b4d27d8aa6c84a7a333f2ea3ee82dca03bfe5e46f3075aaf7e48dfee63c631e5635a223ec23723f875fd0623dc1a8",
                "831d82eaef0bdf2fb501efaf38726b0459b2872f19e28c437aa0954d36ebbf436acac9287424018c2500000001000000",
            ),
        ],
    );
}

#[test]
fn plain_pack_has_its_fixed_bytes() {
    check(
        Cipher::None,
        &pack(0),
        Protection::Content,
        [
            "53454157414c4c0a0201000000000000300000001e0000006000000000000000",
            r#"{"cipher":"none","frames":"plain","of":"a test"}"#,
            concat!(
                "d242f51afa530f280968cdc763feb77725201a3c33c11dabd58f43a95bc96a7fe9d34b1160554e43fb9c935d66612f13196e",
                "5fb2c2c9a66f70c5201e5c87fbb59a5814b007abb315b9e0c799666fdb6e27adaabb3aa7eb070b2c172539c8a412fb1309ed",
                "6b1dac15b291e7395de0fb0e0fb8dc647156323dd230e528182cde53b90b2aad44cdb9ebd9380d4b794366010fa23b0c0000",
                "000028b52ffd200529000066726f6e747bd1bb8f178484772453a0f7c8ffc8716120726f77a670375fb87e10fc80151d9464",
                "7c851d28b52ffd200c61000001150500636f6e74656e7473d6401b88c7123cef94e098462a4892ea2500000001000000",
            ),
        ],
    );
}

#[test]
fn map_has_its_fixed_bytes() {
    let name = Named::Map { place: place(), backup: backup(), number: 0 }.to_name();
    check(
        Cipher::Aes256Gcm,
        &name,
        Protection::Meta,
        [
            "53454157414c4c0a03010000000000007b0000001e0000006000000000000000",
            concat!(
                r#"{"cipher":"aes-256-gcm","frames":"meta","generation":1,"of":"a test","salt":"t4kOcBm44kTjL"#,
                r#"02EqZXA8B6pd2y64kCFX2NKfqAVDao="}"#,
            ),
            concat!(
                "14d26f9b9635781432b614c9633f96ce17dc00e4c23c16d9e3160d002a7601cd3f63593888a610a8b738d4d8c4be74b949f0",
                "2846ef620f7692ada846107d11ea9a5814b007abb315b9e0c799666fdb6ed0001f4af5a275d5ec44729e42b4e23cc9a10790",
                "dece76507c3341abd5b58827fc0ab3cd7b7963c24d9fae0cbb93e2e1d244871037af367849e3b387bfca290d4b5676550000",
                "00008c7b4d27d8aa6c84a7a333f2ea3ef9a932d80313dd7325ee7f1c8eb01efeca7fc5f456fd634c0720962b46feff13f9be",
                "b2669deaef0bdf2fb501efaf38726b0459b2872f19e28c435d20e4212d43ed9e4302a8f1478527a12500000001000000",
            ),
        ],
    );
}

#[test]
fn wal_has_its_fixed_bytes() {
    let file = "0000000100000A2B000000FF".parse().unwrap();
    let name = Named::Wal { place: place(), file }.to_name();
    check(
        Cipher::Aes256Gcm,
        &name,
        Protection::Content,
        [
            "53454157414c4c0a0401000000000000f40000001e0000006000000000000000",
            concat!(
                r#"{"cipher":"aes-256-gcm","frames":"content","generation":1,"of":"a test","salt":"t4kOcBm44k"#,
                r#"TjL02EqZXA8B6pd2y64kCFX2NKfqAVDao=","wrap":"F/PxPEwKah1BeSSg3DeBm4BGS9s5FjqllMsJSyjrA26nb4"#,
                r#"3EjC8+BGD2/VqyqWTnv5Sb17QwdIPHq6eSYCAT62VFp0kiA1Wnql7AnOEKMNc="}"#,
            ),
            concat!(
                "14d26f9b9635781432b614c9633f96ce17dc00e4c23c16d9e3160d002a7601cdf48bfafec4e01cb589a7f779a37637bd81e4",
                "a50a7732125420be347e3ca384ee9a5814b007abb315b9e0c799666fdb6e6bdff7105ce0c47f99dca0f6e4514233ad783bb7",
                "61512991c7dd26bca5647d68b85c84d3af214ccca81aeda063d8cefd12605bbd88fa1604c3c8940bde1011004b3559430000",
                "00008c7b4d27d8aa6c84a7a333f2ea3e77bf3970ed905d055e1e2e5fae2a059c3c631e563551a9de21463c7919bee0281802",
                "2e0cb9eaef0bdf2fb501efaf38726b0459b2872f19e28c431f966463547f209856ee3f5257be067f2500000001000000",
            ),
        ],
    );
}
