//! The 32 bytes before the header, and the check sum over the head.
//!
//! Promises: a field outside its bounds is refused by name; damage does not pass for a newer version.

use crate::bytes::{Reader, Writer};
use crate::envelope::{BODY_BYTES_MAX, FIXED_BYTES, HEADER_BYTES_MAX, HeadError, Kind, MAGIC, VERSION};

/// The 32 bytes before the header.
#[derive(Clone, Copy)]
pub(super) struct Fixed {
    pub(super) kind: u8,
    pub(super) version: u8,
    pub(super) zero: u16,
    pub(super) features: u32,
    pub(super) header_bytes: u32,
    pub(super) front_bytes: u32,
    pub(super) body_bytes: u64,
}

impl Fixed {
    pub(super) fn parse(prefix: &[u8]) -> Result<Self, HeadError> {
        let mut reader = Reader::new(prefix);
        let magic = prefix.get(..MAGIC.len()).unwrap_or(prefix);
        if !MAGIC.starts_with(magic) || magic.is_empty() {
            return Err(HeadError::NotSeawall);
        }
        let truncated = |_| HeadError::Truncated { wanted: FIXED_BYTES as u64, there: prefix.len() as u64 };
        reader.take(MAGIC.len()).map_err(truncated)?;
        Ok(Self {
            kind: reader.u8().map_err(truncated)?,
            version: reader.u8().map_err(truncated)?,
            zero: reader.u16().map_err(truncated)?,
            features: reader.u32().map_err(truncated)?,
            header_bytes: reader.u32().map_err(truncated)?,
            front_bytes: reader.u32().map_err(truncated)?,
            body_bytes: reader.u64().map_err(truncated)?,
        })
    }

    /// The header's length, if it is one this version could have written.
    pub(super) fn header_len(&self) -> Result<usize, HeadError> {
        let found = u64::from(self.header_bytes);
        usize::try_from(self.header_bytes)
            .ok()
            .filter(|length| (2..=HEADER_BYTES_MAX).contains(length))
            .ok_or(HeadError::Length { what: "header", found })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(FIXED_BYTES);
        writer.raw(&MAGIC);
        writer.u8(self.kind);
        writer.u8(self.version);
        writer.u16(self.zero);
        writer.u32(self.features);
        writer.u32(self.header_bytes);
        writer.u32(self.front_bytes);
        writer.u64(self.body_bytes);
        writer.into_bytes()
    }

    pub(super) fn check(&self) -> Result<Kind, HeadError> {
        if self.version != VERSION {
            return Err(HeadError::NewerVersion { found: self.version });
        }
        if self.features != 0 {
            return Err(HeadError::UnknownFeatures { bits: self.features });
        }
        if self.zero != 0 {
            return Err(HeadError::Reserved);
        }
        if self.body_bytes > BODY_BYTES_MAX {
            return Err(HeadError::Length { what: "body", found: self.body_bytes });
        }
        if u64::from(self.front_bytes) > self.body_bytes {
            return Err(HeadError::Length { what: "front section", found: u64::from(self.front_bytes) });
        }
        Kind::from_u8(self.kind).ok_or(HeadError::UnknownKind { found: self.kind })
    }
}

/// Checks the CRC. A damaged version or feature field must not pass for a newer program's work: for those the sum is
/// tried with the fields as this version writes them.
pub(super) fn check_sum(raw: &[u8], fixed: Fixed) -> Result<(), HeadError> {
    let (summed, rest) = raw.split_at_checked(raw.len().saturating_sub(8)).unwrap_or((raw, &[]));
    let mut reader = Reader::new(rest);
    let (Ok(crc), Ok(zero)) = (reader.u32(), reader.u32()) else { return Err(HeadError::Damaged) };
    if crc32c::crc32c(summed) == crc {
        return if zero == 0 { Ok(()) } else { Err(HeadError::Damaged) };
    }
    let ours = Fixed { version: VERSION, features: 0, ..fixed }.encode();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&ours), summed.get(FIXED_BYTES..).unwrap_or_default());
    if fixed.version != VERSION && sum != crc {
        return Err(HeadError::NewerVersion { found: fixed.version });
    }
    Err(HeadError::Damaged)
}
