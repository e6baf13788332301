//! Bytes in JSON: standard base64 with padding, of a fixed length or of any.
//!
//! Promises one spelling: what does not decode strictly, or to the right length, is refused.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Exactly `N` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base64Array<const N: usize>(pub [u8; N]);

/// Any number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base64Bytes(pub Vec<u8>);

impl<const N: usize> Serialize for Base64Array<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Base64Array<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Base64Bytes::deserialize(deserializer)?.0;
        let found = bytes.len();
        let wrong = |_| serde::de::Error::custom(format_args!("{found} bytes of base64, wanted {N}"));
        bytes.try_into().map(Self).map_err(wrong)
    }
}

impl Serialize for Base64Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refused = |_| serde::de::Error::custom("not standard base64 with padding");
        BASE64_STANDARD.decode(text).map(Self).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_lengths_and_alphabets_are_refused() {
        assert!(serde_json::from_str::<Base64Array<2>>("\"AAA=\"").is_ok());
        for text in ["\"AA==\"", "\"AAAA\"", "\"AAA\"", "\"AA-_\"", "\"AAB=\"", "7"] {
            assert!(serde_json::from_str::<Base64Array<2>>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes: Vec<u8>, array: [u8; 32]) {
            let text = serde_json::to_string(&Base64Bytes(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Base64Bytes>(&text).unwrap().0, bytes);
            let text = serde_json::to_string(&Base64Array(array)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Base64Array<32>>(&text).unwrap().0, array);
        }
    }
}
