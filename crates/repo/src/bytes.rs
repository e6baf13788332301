//! Reading and writing the small binary structures of the format: fixed integers, varints, length-prefixed bytes.
//!
//! Promises: the reader never panics, never looks past its input, never believes a length or a count that the
//! remaining input cannot hold (so that a caller may allocate by it), and accepts one form only of every value,
//! so that what is decoded encodes to the same bytes. Deliberately does not know what the values mean.

/// Longest varint: ten groups of seven bits hold a `u64`.
const VARINT_BYTES_MAX: usize = 10;

/// Why bytes of the repository could not be decoded; `offset` counts from the beginning of the structure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The structure ends before the value does.
    #[error("ends too early: offset: {offset}, wanted: {wanted} bytes, there: {left}")]
    Truncated {
        /// Where the value begins.
        offset: usize,
        /// Bytes the value needs.
        wanted: u64,
        /// Bytes left.
        left: usize,
    },
    /// A varint of more than ten bytes, or above 2^64.
    #[error("number too large at offset {offset}")]
    VarintTooLarge {
        /// Where the varint begins.
        offset: usize,
    },
    /// A varint that could be written in fewer bytes.
    #[error("number not in its shortest form at offset {offset}")]
    VarintNotShortest {
        /// Where the varint begins.
        offset: usize,
    },
    /// More entries are announced than the remaining bytes can hold.
    #[error("{count} entries announced at offset {offset}, more than the {left} bytes left can hold")]
    CountTooLarge {
        /// Where the count begins.
        offset: usize,
        /// The announced count.
        count: u64,
        /// Bytes left behind the count.
        left: usize,
    },
    /// A value outside what the format allows.
    #[error("{what} out of range at offset {offset}: {found}")]
    OutOfRange {
        /// The field.
        what: &'static str,
        /// Where the value begins.
        offset: usize,
        /// The value found.
        found: u64,
    },
    /// A rule of the format about several values is broken.
    #[error("{what} at offset {offset}")]
    Invalid {
        /// What is wrong, for a person.
        what: &'static str,
        /// Where it was noticed.
        offset: usize,
    },
    /// Bytes are left behind the end of the structure.
    #[error("{left} bytes left over at offset {offset}")]
    LeftOver {
        /// Where the structure ended.
        offset: usize,
        /// Bytes behind it.
        left: usize,
    },
}

/// A cursor over the bytes of one structure.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    all: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { all: bytes, position: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes not read yet; the cursor stays.
    pub fn rest(&self) -> &'a [u8] {
        self.all.get(self.position..).unwrap_or_default()
    }

    /// Number of bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.all.len().saturating_sub(self.position)
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self.rest().get(..count).ok_or_else(|| self.truncated(count as u64))?;
        self.position += count;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, _) = self.rest().split_first_chunk::<N>().ok_or_else(|| self.truncated(N as u64))?;
        self.position += N;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// An unsigned LEB128 number in its shortest form.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let offset = self.position;
        let mut value = 0u64;
        for group in 0..VARINT_BYTES_MAX {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth group has room for one bit of the 64.
            if group == VARINT_BYTES_MAX - 1 && bits > 1 {
                return Err(DecodeError::VarintTooLarge { offset });
            }
            value |= bits << (7 * group);
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || group == 0;
                return if shortest { Ok(value) } else { Err(DecodeError::VarintNotShortest { offset }) };
            }
        }
        Err(DecodeError::VarintTooLarge { offset })
    }

    /// A varint between `least` and `most`; `what` names it in the error.
    pub fn varint_in(&mut self, what: &'static str, least: u64, most: u64) -> Result<u64, DecodeError> {
        let offset = self.position;
        let found = self.varint()?;
        if (least..=most).contains(&found) {
            Ok(found)
        } else {
            Err(DecodeError::OutOfRange { what, offset, found })
        }
    }

    /// A varint that fits a `u32`; `what` names it in the error.
    pub fn varint_u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let offset = self.position;
        let found = self.varint()?;
        u32::try_from(found).map_err(|_| DecodeError::OutOfRange { what, offset, found })
    }

    /// A varint count of entries that take at least `entry_bytes_min` (1 or more) bytes each: never more than the
    /// remaining bytes can hold, so memory may be reserved for it.
    pub fn count(&mut self, entry_bytes_min: usize) -> Result<usize, DecodeError> {
        let offset = self.position;
        let count = self.varint()?;
        let left = self.remaining();
        let fitting = (left / entry_bytes_min.max(1)) as u64;
        match usize::try_from(count) {
            Ok(number) if count <= fitting => Ok(number),
            _ => Err(DecodeError::CountTooLarge { offset, count, left }),
        }
    }

    /// Bytes with their varint length before them.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.varint()?;
        let count = usize::try_from(length).map_err(|_| self.truncated(length))?;
        self.take(count)
    }

    /// Ends the reading: nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::LeftOver { offset: self.position, left }),
        }
    }

    /// An error about the value that was just read or is about to be.
    pub fn invalid(&self, what: &'static str) -> DecodeError {
        DecodeError::Invalid { what, offset: self.position }
    }

    fn truncated(&self, wanted: u64) -> DecodeError {
        DecodeError::Truncated { offset: self.position, wanted, left: self.remaining() }
    }
}

/// Collects the bytes of one structure.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty structure.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty structure with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was written.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The structure.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// An unsigned LEB128 number in its shortest form.
    pub fn varint(&mut self, value: u64) {
        let mut left = value;
        while left >= 0x80 {
            self.bytes.push((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        self.bytes.push(left as u8);
    }

    /// A count or length in memory as a varint.
    pub fn count(&mut self, value: usize) {
        self.varint(value as u64);
    }

    /// Bytes with their varint length before them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: u64) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.varint(value);
        writer.into_bytes()
    }

    #[test]
    fn varints_have_the_documented_bytes() {
        assert_eq!(written(0), [0]);
        assert_eq!(written(127), [0x7f]);
        assert_eq!(written(128), [0x80, 0x01]);
        assert_eq!(written(300), [0xac, 0x02]);
        assert_eq!(written(u64::MAX), [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn longer_forms_and_larger_numbers_are_refused() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(read(&[0x80, 0x00]), Err(DecodeError::VarintNotShortest { offset: 0 }));
        assert_eq!(read(&[0xff, 0x80, 0x00]), Err(DecodeError::VarintNotShortest { offset: 0 }));
        assert_eq!(
            read(&[255, 255, 255, 255, 255, 255, 255, 255, 255, 2]),
            Err(DecodeError::VarintTooLarge { offset: 0 })
        );
        assert_eq!(read(&[0x80; 11]), Err(DecodeError::VarintTooLarge { offset: 0 }));
        assert!(matches!(read(&[0x80]), Err(DecodeError::Truncated { .. })));
    }

    #[test]
    fn a_count_beyond_the_input_is_refused_before_memory_is_reserved() {
        let mut writer = Writer::new();
        writer.varint(3);
        writer.raw(&[0; 5]);
        let bytes = writer.into_bytes();
        assert_eq!(Reader::new(&bytes).count(1), Ok(3));
        assert_eq!(
            Reader::new(&bytes).count(2),
            Err(DecodeError::CountTooLarge { offset: 0, count: 3, left: 5 })
        );
        assert!(Reader::new(&written(u64::MAX)).count(1).is_err());
        assert!(Reader::new(&written(u64::MAX)).bytes().is_err());
    }

    #[test]
    fn left_over_bytes_are_an_error() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16(), Ok(0x0201));
        assert_eq!(reader.finish(), Err(DecodeError::LeftOver { offset: 2, left: 1 }));
    }

    proptest! {
        #[test]
        fn varints_round_trip(value: u64) {
            let bytes = written(value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint(), Ok(value));
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn every_accepted_varint_is_the_one_written(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint() {
                prop_assert_eq!(&written(value)[..], &bytes[..reader.position()]);
            }
        }

        #[test]
        fn all_values_round_trip(a: u8, b: u16, c: u32, d: u64, e: [u8; 16], f: Vec<u8>) {
            let mut writer = Writer::new();
            writer.u8(a);
            writer.u16(b);
            writer.u32(c);
            writer.u64(d);
            writer.raw(&e);
            writer.bytes(&f);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.u8(), Ok(a));
            prop_assert_eq!(reader.u16(), Ok(b));
            prop_assert_eq!(reader.u32(), Ok(c));
            prop_assert_eq!(reader.u64(), Ok(d));
            prop_assert_eq!(reader.array::<16>(), Ok(e));
            prop_assert_eq!(reader.bytes(), Ok(&f[..]));
            prop_assert!(reader.finish().is_ok());
        }
    }
}
