//! Sequences: the value that a crash would go on from (`commands/sequence.h`).

use crate::wal::block::RelationId;
use crate::wal::record::Record;

use super::body::{Body, MeaningFault, no_such_operation};
use super::storage::relation;

const LOG: u8 = 0x00;
/// Up to and with `t_hoff`, which says where the row's content begins.
const TUPLE_HEADER_FRONT: usize = 22;

/// The state of a sequence as it is after a crash: up to 32 values ahead of what was given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceChange {
    /// Its relation.
    pub relation: RelationId,
    /// `last_value`.
    pub last_value: i64,
    /// `is_called`.
    pub is_called: bool,
}

impl SequenceChange {
    pub(super) fn read(record: &Record<'_>) -> Result<Self, MeaningFault> {
        if record.operation() != LOG {
            return Err(no_such_operation("Sequence", record));
        }
        let mut body = Body::of("sequence", record);
        let relation = relation(&mut body)?;
        body.bytes(TUPLE_HEADER_FRONT)?;
        let content_at = usize::from(body.u8()?);
        let gap = content_at.checked_sub(TUPLE_HEADER_FRONT + 1);
        body.bytes(gap.ok_or_else(|| body.value("t_hoff", content_at as i64))?)?;
        let last_value = body.i64()?;
        // log_cnt
        body.i64()?;
        let is_called = body.u8()? != 0;
        Ok(Self { relation, last_value, is_called })
    }
}
