//! Checksums of what is stored, and those that a client sends along.
//!
//! "Data validation and change detection" (cloud.google.com/storage/docs/data-validation): `x-goog-hash` may carry `crc32c` and
//! `md5`, `Content-MD5` an MD5; an upload that does not match is refused with 400 and nothing is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Checksums that are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hashes {
    pub(crate) crc32c: Option<u32>,
    pub(crate) md5: Option<[u8; 16]>,
}

impl Hashes {
    pub(crate) fn of(pieces: &[Bytes]) -> Self {
        let mut md5 = Md5::new();
        let mut crc32c = 0;
        for piece in pieces {
            md5.update(piece);
            crc32c = crc32c::crc32c_append(crc32c, piece);
        }
        Self { crc32c: Some(crc32c), md5: Some(md5.finalize().into()) }
    }

    /// Adds `md5=...` or `crc32c=...`, as `x-goog-hash` carries them.
    ///
    /// # Errors
    /// It is neither, or not base64 of the right length.
    pub(crate) fn add(&mut self, kind: &str, value: &str) -> Result<(), Refusal> {
        let wrong =
            || Refusal::new(400, "InvalidDigest", "invalid", format!("The {kind} you specified is invalid."));
        let bytes = STANDARD.decode(value.trim()).map_err(|_| wrong())?;
        match kind.trim() {
            "crc32c" => self.crc32c = Some(u32::from_be_bytes(bytes.try_into().map_err(|_| wrong())?)),
            "md5" => self.md5 = Some(bytes.try_into().map_err(|_| wrong())?),
            _ => return Err(wrong()),
        }
        Ok(())
    }

    /// Whether what the client said is what arrived.
    ///
    /// # Errors
    /// 400 with both values.
    pub(crate) fn check(&self, found: &Self) -> Result<(), Refusal> {
        if self.md5.is_some() && self.md5 != found.md5 {
            return Err(mismatch("BadDigest", "MD5 hash", self.md5.map(Vec::from), found.md5.map(Vec::from)));
        }
        if self.crc32c.is_some() && self.crc32c != found.crc32c {
            let bytes = |crc: Option<u32>| crc.map(|crc| crc.to_be_bytes().to_vec());
            return Err(mismatch("CrcMismatch", "CRC32C", bytes(self.crc32c), bytes(found.crc32c)));
        }
        Ok(())
    }
}

fn mismatch(code: &str, kind: &str, said: Option<Vec<u8>>, found: Option<Vec<u8>>) -> Refusal {
    let [said, found] = [said, found].map(|bytes| STANDARD.encode(bytes.unwrap_or_default()));
    let message = format!("Provided {kind} \"{said}\" doesn't match calculated {kind} \"{found}\".");
    Refusal::new(400, code, "invalid", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_held_against_what_arrived() {
        let pieces = [Bytes::from_static(b"1234"), Bytes::from_static(b"56789")];
        let found = Hashes::of(&pieces);
        assert_eq!(found.crc32c, Some(0xe306_9283));
        let mut said = Hashes::default();
        said.check(&found).unwrap();
        said.add("crc32c", "4waSgw==").unwrap();
        said.add("md5", "JfnnlDI7RTiF9RgfG2JNCw==").unwrap();
        said.check(&found).unwrap();
        let other = Hashes::of(&[Bytes::from_static(b"x")]);
        assert_eq!(said.check(&other).unwrap_err().code, "BadDigest");
        said.md5 = None;
        assert_eq!(said.check(&other).unwrap_err().code, "CrcMismatch");
        assert!(said.add("crc32c", "AAA=").is_err());
        assert!(said.add("sha1", "AAAAAA==").is_err());
    }
}
