//! The two kinds of signer: the repository's owner and the hosts that write. Both Ed25519, never to be mixed up.
//!
//! Promises: an owner's signature can only be made with an [`OwnerKey`] and checked with an [`OwnerPublic`], likewise for
//! writers; what is signed always begins with a text that says what it is (see `signed` and `envelope`).

use std::fmt;
use std::str::FromStr;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, random};
use crate::id::WriterId;
use crate::keys::{KEY_BYTES, KeyText, KeyTextError};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// How public keys of signers begin.
const PUBLIC_PREFIX: &str = "ed25519:";

/// A seed and the pair made from it.
struct SigningPair {
    seed: Zeroizing<[u8; KEY_BYTES]>,
    pair: Ed25519KeyPair,
    public: [u8; KEY_BYTES],
}

impl SigningPair {
    fn from_seed(seed: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        // Both lengths are fixed by the types: 32 bytes are a seed, and Ed25519 has public keys of 32 bytes.
        #[expect(clippy::expect_used, reason = "every 32 bytes are an Ed25519 seed (RFC 8032, 5.1.5)")]
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).expect("32 bytes are a seed");
        let mut public = [0; KEY_BYTES];
        public.iter_mut().zip(pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        Self { seed, pair, public }
    }

    fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut bytes = [0; SIGNATURE_BYTES];
        let signature = self.pair.sign(message);
        bytes.iter_mut().zip(signature.as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }
}

/// One kind of signer: its secret and public half.
macro_rules! signer {
    ($key:ident, $public:ident, $secret_text:expr, $public_what:literal, $who:literal) => {
        #[doc = concat!("The secret key of ", $who, ".")]
        pub struct $key(SigningPair);

        impl $key {
            const TEXT: KeyText = $secret_text;

            /// A fresh one.
            pub fn generate(entropy: &mut dyn Entropy) -> Self {
                Self::from_seed(random(entropy))
            }

            /// From its Ed25519 seed.
            pub fn from_seed(seed: [u8; KEY_BYTES]) -> Self {
                Self(SigningPair::from_seed(Zeroizing::new(seed)))
            }

            /// Its line in a key file. A secret.
            pub fn to_text(&self) -> Zeroizing<String> {
                Self::TEXT.print(&self.0.seed)
            }

            /// Reads the line.
            pub fn from_text(text: &str) -> Result<Self, KeyTextError> {
                Self::TEXT.parse(text).map(|seed| Self(SigningPair::from_seed(seed)))
            }

            /// Whether a line claims to be such a key, well formed or not.
            pub fn is_text(text: &str) -> bool {
                text.starts_with(Self::TEXT.prefix)
            }

            /// The half that others check signatures with.
            pub fn public(&self) -> $public {
                $public(self.0.public)
            }

            /// Its Ed25519 seed. A secret.
            pub fn seed(&self) -> &[u8; KEY_BYTES] {
                &self.0.seed
            }

            pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
                self.0.sign(message)
            }
        }

        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($key), "(secret of {})"), self.public())
            }
        }

        #[doc = concat!("The public key of ", $who, ": `ed25519:` and base64.")]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $public([u8; KEY_BYTES]);

        impl $public {
            const TEXT: KeyText = KeyText { what: $public_what, prefix: PUBLIC_PREFIX };

            /// From its bytes.
            pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
                &self.0
            }

            /// Whether the secret half made `signature` over `message`.
            pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
                UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
            }
        }

        impl fmt::Display for $public {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&Self::TEXT.print(&self.0))
            }
        }

        impl fmt::Debug for $public {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($public), "({})"), self)
            }
        }

        impl FromStr for $public {
            type Err = KeyTextError;

            fn from_str(text: &str) -> Result<Self, KeyTextError> {
                Self::TEXT.parse(text).map(|bytes| Self(*bytes))
            }
        }
    };
}

signer!(
    OwnerKey,
    OwnerPublic,
    KeyText { what: "an owner's secret key", prefix: "seawall-owner-secret:" },
    "an owner's public key",
    "the repository's owner"
);

signer!(
    WriterKey,
    WriterPublic,
    KeyText { what: "a writer's secret key", prefix: "seawall-writer-secret:" },
    "a writer's public key",
    "a host that writes"
);

impl WriterKey {
    /// The id that objects name their writer by.
    pub fn id(&self) -> WriterId {
        self.public().id()
    }
}
