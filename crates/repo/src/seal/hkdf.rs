//! Key derivation: HKDF-SHA256 with 32 bytes of output.

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

/// The length that `ring` asks for.
struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

/// `HKDF(ikm, salt, info)` of the format.
pub(crate) fn derive(ikm: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    let derived = Salt::new(HKDF_SHA256, salt).extract(ikm);
    let infos = [info];
    #[expect(
        clippy::expect_used,
        reason = "HKDF-SHA256 gives up to 8,160 bytes (RFC 5869, 2.3), these are 32"
    )]
    derived
        .expand(&infos, Length)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .expect("32 bytes of HKDF output");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_5869() {
        // Test case 1, its first 32 bytes of output.
        let key = derive(&[0x0b; 22], &(0..=0x0c).collect::<Vec<u8>>(), &(0xf0..=0xf9).collect::<Vec<u8>>());
        let wanted = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf";
        assert_eq!(key.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), wanted);
    }
}
