//! One sealing: a payload and its 16 bytes of tag.
//!
//! Promises: each place in an object (front, frame number, footer) has a nonce of its own, so one key may seal a whole
//! object once; what opens is byte for byte what was sealed, at that place. With cipher `none` the tag is a check sum
//! that tells damage, nothing more. Deliberately holds no state: that a key seals each place once is the builder's duty.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

use crate::keys::KEY_BYTES;
use crate::seal::TAG_BYTES;

/// A place in an object, and so a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The front section.
    Front,
    /// Frame number n, from 0.
    Frame(u32),
    /// The footer.
    Footer,
}

impl std::fmt::Display for Section {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Front => f.write_str("front section"),
            Self::Frame(number) => write!(f, "frame {number}"),
            Self::Footer => f.write_str("footer"),
        }
    }
}

impl Section {
    fn nonce(self) -> Nonce {
        let (domain, number) = match self {
            Self::Front => (1u32, 0),
            Self::Frame(number) => (2, u64::from(number)),
            Self::Footer => (3, 0),
        };
        let mut bytes = [0; 12];
        let values = domain.to_le_bytes().into_iter().chain(number.to_le_bytes());
        bytes.iter_mut().zip(values).for_each(|(to, from)| *to = from);
        Nonce::assume_unique_for_key(bytes)
    }
}

/// Seals and opens under one key with one `AADBASE`; without a key only sums.
pub(crate) struct SectionKey {
    key: Option<LessSafeKey>,
    aad: [u8; 32],
}

impl SectionKey {
    pub(crate) fn new(key: Option<&[u8; KEY_BYTES]>, aad: [u8; 32]) -> Self {
        Self { key: key.map(aes), aad }
    }

    /// Encrypts `payload` where it lies; the tag goes behind it.
    pub(crate) fn seal(&self, section: Section, payload: &mut [u8]) -> [u8; TAG_BYTES] {
        match &self.key {
            None => sum(payload),
            Some(key) => seal_in_place(key, section.nonce(), &self.aad, payload),
        }
    }

    /// Opens `sealing` where it lies; the payload, or none if it is not what was sealed here.
    pub(crate) fn open<'a>(&self, section: Section, sealing: &'a mut [u8]) -> Option<&'a mut [u8]> {
        match &self.key {
            Some(key) => key.open_in_place(section.nonce(), Aad::from(&self.aad), sealing).ok(),
            None => {
                let payload_len = sealing.len().checked_sub(TAG_BYTES)?;
                let (payload, tag) = sealing.split_at_mut_checked(payload_len)?;
                (sum(payload) == *tag).then_some(payload)
            }
        }
    }
}

/// AES-256-GCM under `key`.
fn aes(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    #[expect(clippy::expect_used, reason = "AES-256 takes every 32 bytes as a key")]
    let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key");
    LessSafeKey::new(key)
}

/// Seals 32 bytes of key under a wrap key, which is used for this alone: nonce of zeros.
pub(super) fn seal_key(wrap_key: &[u8; KEY_BYTES], aad: &[u8; 32], key: &mut [u8]) -> [u8; TAG_BYTES] {
    seal_in_place(&aes(wrap_key), Nonce::assume_unique_for_key([0; 12]), aad, key)
}

/// Opens what [`seal_key`] sealed.
pub(super) fn open_key<'a>(
    wrap_key: &[u8; KEY_BYTES],
    aad: &[u8; 32],
    sealed: &'a mut [u8],
) -> Option<&'a [u8]> {
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    aes(wrap_key).open_in_place(nonce, Aad::from(aad), sealed).ok().map(|key| &*key)
}

fn seal_in_place(key: &LessSafeKey, nonce: Nonce, aad: &[u8; 32], payload: &mut [u8]) -> [u8; TAG_BYTES] {
    #[expect(clippy::expect_used, reason = "AES-GCM fails above 64 GiB only; a body has at most 256 MiB")]
    let tag: Tag =
        key.seal_in_place_separate_tag(nonce, Aad::from(aad), payload).expect("sealing under 64 GiB");
    let mut bytes = [0; TAG_BYTES];
    bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// What stands in a tag's place with cipher `none`.
fn sum(payload: &[u8]) -> [u8; TAG_BYTES] {
    let mut short = [0; TAG_BYTES];
    short.iter_mut().zip(blake3::hash(payload).as_bytes()).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(key: &SectionKey, section: Section, plain: &[u8]) -> Vec<u8> {
        let mut sealing = plain.to_vec();
        let tag = key.seal(section, &mut sealing);
        sealing.extend(tag);
        sealing
    }

    #[test]
    fn opens_only_at_its_place_under_its_key_and_object() {
        let key = SectionKey::new(Some(&[1; 32]), [2; 32]);
        let sealing = sealed(&key, Section::Frame(0), b"pages");
        let opens = |key: &SectionKey, section| key.open(section, &mut sealing.clone()).is_some();
        assert!(opens(&key, Section::Frame(0)));
        for other in [Section::Front, Section::Footer, Section::Frame(1)] {
            assert!(!opens(&key, other), "{other}");
        }
        assert!(!opens(&SectionKey::new(Some(&[1; 32]), [3; 32]), Section::Frame(0)));
        assert!(!opens(&SectionKey::new(Some(&[2; 32]), [2; 32]), Section::Frame(0)));
        assert!(!opens(&SectionKey::new(None, [2; 32]), Section::Frame(0)));
    }

    proptest! {
        #[test]
        fn sealings_round_trip_and_no_flipped_bit_opens(
            plain: Vec<u8>, encrypted: bool, number: u32, flip in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let key = SectionKey::new(encrypted.then_some(&[9; 32]), [4; 32]);
            let mut sealing = sealed(&key, Section::Frame(number), &plain);
            prop_assert_eq!(key.open(Section::Frame(number), &mut sealing.clone()).map(|opened| opened.to_vec()), Some(plain));
            let at = flip.index(sealing.len());
            sealing[at] ^= 1 << bit;
            prop_assert!(key.open(Section::Frame(number), &mut sealing).is_none());
        }
    }
}
