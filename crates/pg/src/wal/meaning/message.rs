//! Logical messages: what `pg_logical_emit_message` wrote (`replication/message.h`).

use crate::wal::record::Record;

use super::body::{Body, MeaningFault, no_such_operation};

const MESSAGE: u8 = 0x00;

/// A message of an application; its text is not looked at, and of a large one not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// The database it was written in.
    pub database: u32,
    /// Whether it counts only if the transaction commits.
    pub transactional: bool,
    /// Its prefix.
    pub prefix: &'a [u8],
    /// The length of its text, in bytes.
    pub length: u64,
}

impl<'a> LogicalMessage<'a> {
    pub(super) fn read(record: &Record<'a>) -> Result<Self, MeaningFault> {
        if record.operation() != MESSAGE {
            return Err(no_such_operation("LogicalMessage", record));
        }
        let mut body = Body::of("logical message", record);
        let database = body.u32()?;
        let transactional = body.u8()? != 0;
        body.bytes(3)?;
        let (prefix_bytes, length) = (body.u64()?, body.u64()?);
        let sum = prefix_bytes.checked_add(length).and_then(|sum| sum.checked_add(24));
        if sum != Some(u64::from(record.main_data().length)) {
            return Err(body.value("the length of the message", length.cast_signed()));
        }
        let prefix = body.bytes(usize::try_from(prefix_bytes).unwrap_or(usize::MAX))?;
        let prefix = prefix.strip_suffix(&[0]).unwrap_or(prefix);
        Ok(Self { database, transactional, prefix, length })
    }
}
