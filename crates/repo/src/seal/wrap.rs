//! The object key, wrapped to the cluster's public key: whoever seals cannot open again.
//!
//! Promises: the ephemeral secret and the wrap key are gone when [`wrap`] returns; an all-zero agreement is refused.

use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, random};
use crate::keys::{ClusterPublic, ClusterSecret, KEY_BYTES};
use crate::seal::{TAG_BYTES, aead, hkdf};

/// Bytes of a wrapped object key: ephemeral public key, sealed key, tag.
pub(crate) const WRAP_BYTES: usize = 32 + KEY_BYTES + TAG_BYTES;

/// Wraps `object_key`; none if nothing can be agreed with `public`.
pub(crate) fn wrap(
    object_key: &[u8; KEY_BYTES],
    public: &ClusterPublic,
    aad: &[u8; 32],
    entropy: &mut dyn Entropy,
) -> Option<[u8; WRAP_BYTES]> {
    let secret = StaticSecret::from(random(entropy));
    let ephemeral = PublicKey::from(&secret).to_bytes();
    let wrap_key = wrap_key(&secret, public.as_bytes(), &ephemeral, public)?;
    let mut sealed = *object_key;
    let tag = aead::seal_key(&wrap_key, aad, &mut sealed);
    let mut wrapped = [0; WRAP_BYTES];
    let values = ephemeral.into_iter().chain(sealed).chain(tag);
    wrapped.iter_mut().zip(values).for_each(|(to, from)| *to = from);
    Some(wrapped)
}

/// The object key in `wrapped`; none if it was not wrapped to this secret's public half under `aad`.
pub(crate) fn unwrap(
    wrapped: &[u8; WRAP_BYTES],
    secret: &ClusterSecret,
    aad: &[u8; 32],
) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let (ephemeral, sealed) = wrapped.split_first_chunk::<32>()?;
    let wrap_key = wrap_key(secret.as_static(), ephemeral, ephemeral, &secret.public())?;
    let mut sealed = Zeroizing::new(sealed.to_vec());
    let key = aead::open_key(&wrap_key, aad, &mut sealed)?;
    key.try_into().ok().map(Zeroizing::new)
}

/// What both sides agree on: from one's secret and the other's public key.
fn wrap_key(
    secret: &StaticSecret,
    other: &[u8; 32],
    ephemeral: &[u8; 32],
    public: &ClusterPublic,
) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let agreed = secret.diffie_hellman(&PublicKey::from(*other));
    // Without this a public key of small order would make a wrap key that anyone can compute.
    agreed.was_contributory().then(|| {
        let salt = [*ephemeral, *public.as_bytes()];
        hkdf::derive(agreed.as_bytes(), salt.as_flattened(), b"seawall/1 wrap")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Seeded;

    #[test]
    fn only_the_secret_half_unwraps_and_only_for_the_same_object() {
        let entropy = &mut Seeded::new(5);
        let (secret, other) = (ClusterSecret::generate(entropy), ClusterSecret::generate(entropy));
        let wrapped = wrap(&[7; 32], &secret.public(), &[1; 32], entropy).unwrap();
        assert_eq!(unwrap(&wrapped, &secret, &[1; 32]).as_deref(), Some(&[7; 32]));
        assert_eq!(unwrap(&wrapped, &secret, &[2; 32]), None);
        assert_eq!(unwrap(&wrapped, &other, &[1; 32]), None);
        for at in 0..WRAP_BYTES {
            let mut damaged = wrapped;
            damaged[at] ^= 1;
            assert_eq!(unwrap(&damaged, &secret, &[1; 32]), None, "byte {at}");
        }
    }

    #[test]
    fn the_same_key_is_never_wrapped_alike() {
        let entropy = &mut Seeded::new(5);
        let public = ClusterSecret::generate(entropy).public();
        let one = wrap(&[7; 32], &public, &[1; 32], entropy).unwrap();
        let two = wrap(&[7; 32], &public, &[1; 32], entropy).unwrap();
        assert_ne!(one[..32], two[..32]);
        assert_ne!(one[32..], two[32..]);
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        let zero = ClusterPublic::from_bytes([0; 32]);
        assert_eq!(wrap(&[7; 32], &zero, &[1; 32], &mut Seeded::new(1)), None);
        assert_eq!(unwrap(&[0; WRAP_BYTES], &ClusterSecret::from_bytes([3; 32]), &[1; 32]), None);
    }
}
