//! Main data read field by field, each checked against what is there.

use std::marker::PhantomData;

use crate::wal::record::Record;

/// Why it cannot be told what a record means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum MeaningFault {
    #[error("the {what} record is too short: {bytes} bytes")]
    TooShort { what: &'static str, bytes: u32 },
    #[error("of the {what} record only the first {kept} bytes of {bytes} were kept, which is not enough")]
    Cut { what: &'static str, kept: u32, bytes: u32 },
    #[error("the {what} record has {surplus} bytes more than it should")]
    TooLong { what: &'static str, surplus: u32 },
    #[error("the {what} record says {value} as {field}")]
    Value { what: &'static str, field: &'static str, value: i64 },
    #[error("{what} has no operation {operation:02X}")]
    NoSuchOperation { what: &'static str, operation: u8 },
}

/// A time as WAL has it: microseconds since 2000-01-01 UTC, by the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PgTime(pub i64);

/// 2000-01-01 in microseconds since 1970.
const EPOCH_UNIX_MICROS: i64 = 946_684_800_000_000;

impl PgTime {
    /// Microseconds since 1970; `None` where that is no number.
    pub fn unix_micros(self) -> Option<i64> {
        self.0.checked_add(EPOCH_UNIX_MICROS)
    }
}

/// Something of a fixed length that stands in a row of its like.
pub trait Item: Sized {
    /// Reads one; the bytes are as many as the row's step says.
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// A row of items of the same length.
#[derive(Debug)]
pub struct Items<'a, T> {
    bytes: &'a [u8],
    step: usize,
    item: PhantomData<T>,
}

impl<T> Clone for Items<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Items<'_, T> {}

impl<T> Default for Items<'_, T> {
    fn default() -> Self {
        Self { bytes: &[], step: 1, item: PhantomData }
    }
}

impl<'a, T: Item> Items<'a, T> {
    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.len().checked_div(self.step).unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(self.step.max(1)).filter_map(T::read)
    }
}

impl Item for u32 {
    fn read(bytes: &[u8]) -> Option<Self> {
        crate::bytes::u32_at(bytes, 0)
    }
}

/// Main data on its way to be read.
#[derive(Debug, Clone)]
pub(super) struct Body<'a> {
    what: &'static str,
    rest: &'a [u8],
    kept: u32,
    length: u32,
}

impl<'a> Body<'a> {
    pub(super) fn of(what: &'static str, record: &Record<'a>) -> Self {
        let main = record.main_data();
        let kept = u32::try_from(main.bytes.len()).unwrap_or(u32::MAX);
        Self { what, rest: main.bytes, kept, length: main.length }
    }

    fn too_short(&self) -> MeaningFault {
        let (what, kept, bytes) = (self.what, self.kept, self.length);
        if kept < bytes {
            MeaningFault::Cut { what, kept, bytes }
        } else {
            MeaningFault::TooShort { what, bytes }
        }
    }

    pub(super) fn value(&self, field: &'static str, value: i64) -> MeaningFault {
        MeaningFault::Value { what: self.what, field, value }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], MeaningFault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| self.too_short())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MeaningFault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.too_short())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, MeaningFault> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, MeaningFault> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, MeaningFault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, MeaningFault> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, MeaningFault> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, MeaningFault> {
        self.array().map(i64::from_le_bytes)
    }

    /// A number of things, which cannot be negative.
    pub(super) fn count(&mut self, field: &'static str) -> Result<usize, MeaningFault> {
        let count = self.i32()?;
        usize::try_from(count).map_err(|_| self.value(field, i64::from(count)))
    }

    /// A row of `count` items of `step` bytes, borrowed: what it claims and has not is an error before anything is made of it.
    pub(super) fn items<T: Item>(&mut self, count: usize, step: usize) -> Result<Items<'a, T>, MeaningFault> {
        let bytes = count.checked_mul(step).ok_or_else(|| self.too_short())?;
        Ok(Items { bytes: self.bytes(bytes)?, step, item: PhantomData })
    }

    /// The same, padded to the next multiple of eight.
    pub(super) fn aligned_items<T: Item>(
        &mut self,
        count: usize,
        step: usize,
    ) -> Result<Items<'a, T>, MeaningFault> {
        let items = self.items::<T>(count, step)?;
        let length = items.bytes.len();
        self.bytes(length.next_multiple_of(8).saturating_sub(length))?;
        Ok(items)
    }

    /// Bytes up to a zero, which is taken too.
    pub(super) fn text(&mut self) -> Result<&'a [u8], MeaningFault> {
        let length = self.rest.iter().position(|byte| *byte == 0).ok_or_else(|| self.too_short())?;
        let text = self.bytes(length)?;
        self.bytes(1)?;
        Ok(text)
    }

    /// That nothing follows.
    pub(super) fn end(self) -> Result<(), MeaningFault> {
        self.end_within(0)
    }

    /// That nothing follows but the padding of a structure.
    pub(super) fn end_padded(self) -> Result<(), MeaningFault> {
        self.end_within(7)
    }

    fn end_within(self, padding: usize) -> Result<(), MeaningFault> {
        if self.kept < self.length {
            return Err(self.too_short());
        }
        let surplus = u32::try_from(self.rest.len()).unwrap_or(u32::MAX);
        let fits = self.rest.len() <= padding;
        fits.then_some(()).ok_or(MeaningFault::TooLong { what: self.what, surplus })
    }
}

/// The error for an operation that a resource manager does not have.
pub(super) fn no_such_operation(what: &'static str, record: &Record<'_>) -> MeaningFault {
    MeaningFault::NoSuchOperation { what, operation: record.header.info }
}
