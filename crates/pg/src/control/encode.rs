//! From a [`ControlFile`] to bytes, for tests only: the program never makes a `pg_control`, it keeps the server's.
//!
//! Fields that no backup tool needs come out as the constants of an ordinary build, or as zero.

use super::{CONTROL_FILE_BYTES, Checkpoint, ControlFile, offsets as at};

/// The 8192 bytes of the file, checksum included.
pub fn encode(file: &ControlFile) -> Vec<u8> {
    let mut image = Image(vec![0; CONTROL_FILE_BYTES]);
    let facts = file.version.facts();
    image.u64(at::SYSTEM_IDENTIFIER, file.system_identifier.0);
    image.u32(at::CONTROL_VERSION, facts.control_version);
    image.u32(at::CATALOG_VERSION, facts.catalog_version);
    image.u32(at::STATE, file.state as u32);
    image.u64(at::TIME, file.time.cast_unsigned());
    image.u64(at::CHECKPOINT_LSN, file.checkpoint_lsn.0);
    checkpoint(&mut image, &file.checkpoint, facts.control_layout.checkpoint_wal_level);
    recovery(&mut image, file);
    settings(&mut image, file);
    build(&mut image, file);
    if let (Some(offset), Some(signed)) =
        (facts.control_layout.default_char_signedness, file.default_char_signed)
    {
        image.put(offset, &[u8::from(signed)]);
    }
    image.put(facts.control_layout.nonce, &file.mock_authentication_nonce);
    seal(&mut image.0, facts.control_layout.crc);
    image.0
}

/// Writes the checksum of all bytes before `crc` to `crc`, so that a test can change a field and stay plausible.
pub fn seal(image: &mut [u8], crc: usize) {
    if let Some((covered, rest)) = image.split_at_mut_checked(crc)
        && let Some(field) = rest.first_chunk_mut::<4>()
    {
        *field = crc32c::crc32c(covered).to_le_bytes();
    }
}

fn checkpoint(image: &mut Image, checkpoint: &Checkpoint, wal_level: Option<usize>) {
    image.u64(at::REDO, checkpoint.redo.0);
    image.u32(at::TIMELINE, checkpoint.timeline.get());
    image.u32(at::PREVIOUS_TIMELINE, checkpoint.previous_timeline.get());
    image.put(at::FULL_PAGE_WRITES, &[u8::from(checkpoint.full_page_writes)]);
    if let (Some(offset), Some(level)) = (wal_level, checkpoint.wal_level) {
        image.u32(offset, level as u32);
    }
    image.u64(at::NEXT_XID, checkpoint.next_xid);
    image.u32(at::NEXT_OID, checkpoint.next_oid);
    image.u32(at::NEXT_MULTI, checkpoint.next_multi);
    image.u32(at::NEXT_MULTI_OFFSET, checkpoint.next_multi_offset);
    image.u32(at::OLDEST_XID, checkpoint.oldest_xid);
    image.u32(at::OLDEST_MULTI, checkpoint.oldest_multi);
    image.u64(at::CHECKPOINT_TIME, checkpoint.time.cast_unsigned());
}

fn recovery(image: &mut Image, file: &ControlFile) {
    image.u64(at::MIN_RECOVERY_POINT, file.min_recovery_point.0);
    image.u32(at::MIN_RECOVERY_TIMELINE, file.min_recovery_timeline.map_or(0, |timeline| timeline.get()));
    image.u64(at::BACKUP_START, file.backup_start.0);
    image.u64(at::BACKUP_END, file.backup_end.0);
    image.put(at::BACKUP_END_REQUIRED, &[u8::from(file.backup_end_required)]);
}

fn settings(image: &mut Image, file: &ControlFile) {
    image.u32(at::WAL_LEVEL, file.wal_level as u32);
    image.put(at::WAL_LOG_HINTS, &[u8::from(file.wal_log_hints)]);
    image.u32(at::MAX_CONNECTIONS, file.minimums.max_connections.cast_unsigned());
    image.u32(at::MAX_WORKER_PROCESSES, file.minimums.max_worker_processes.cast_unsigned());
    image.u32(at::MAX_WAL_SENDERS, file.minimums.max_wal_senders.cast_unsigned());
    image.u32(at::MAX_PREPARED_TRANSACTIONS, file.minimums.max_prepared_transactions.cast_unsigned());
    image.u32(at::MAX_LOCKS_PER_TRANSACTION, file.minimums.max_locks_per_transaction.cast_unsigned());
    image.put(at::TRACK_COMMIT_TIMESTAMP, &[u8::from(file.track_commit_timestamp)]);
    image.u32(at::DATA_CHECKSUM_VERSION, file.data_checksum_version);
}

fn build(image: &mut Image, file: &ControlFile) {
    image.u32(at::MAX_ALIGN, at::MAX_ALIGN_VALUE);
    image.u64(at::FLOAT_FORMAT, at::FLOAT_FORMAT_VALUE.to_bits());
    image.u32(at::BLOCK_SIZE, crate::page::PAGE_BYTES_U32);
    image.u32(at::RELATION_SEGMENT_BLOCKS, file.relation_segment_blocks);
    image.u32(at::WAL_BLOCK_SIZE, crate::page::PAGE_BYTES_U32);
    image.u32(at::WAL_SEGMENT_SIZE, file.wal_segment_size.bytes_u32());
}

/// Bytes being filled; offsets are constants of this crate and all lie inside.
struct Image(Vec<u8>);

impl Image {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (place, byte) in self.0.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    fn u64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }
}
