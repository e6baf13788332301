//! Reading objects: whole, in ranges, and their size.
//!
//! Promises: what is read comes from one file that was complete when it got its name; a file that turns out shorter
//! than its length said is an error, never a short answer. Does not do: caching.

use super::root::{LocalError, file_name};
use super::{DurableLocal, Inner};
use crate::durable::{FileHandle, Metadata};
use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectMeta, Result};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What is read at once: nearly every WAL file and map, handed on without a copy.
const WHOLE_BYTES: u64 = 8 << 20;
/// Pieces of what is longer: who takes them as they come needs memory for one.
const PIECE_BYTES: u64 = 1 << 20;

pub(super) fn e_tag(facts: &Metadata) -> String {
    format!("{:x}-{:x}-{:x}", facts.identity.1, facts.modified_unix_us, facts.size_bytes)
}

pub(super) fn object_meta(location: Path, facts: &Metadata) -> ObjectMeta {
    let since = Duration::from_micros(facts.modified_unix_us.unsigned_abs());
    let modified = if facts.modified_unix_us < 0 {
        SystemTime::UNIX_EPOCH - since
    } else {
        SystemTime::UNIX_EPOCH + since
    };
    ObjectMeta {
        location,
        last_modified: modified.into(),
        size: facts.size_bytes,
        e_tag: Some(e_tag(facts)),
        version: None,
    }
}

fn open(inner: &Inner, location: &Path) -> Result<(FileHandle, ObjectMeta), LocalError> {
    let name = file_name(location)?;
    let file = match inner.root.open()?.open_read(&name) {
        Err(error) if error.is_not_found() => {
            return Err(LocalError::Absent { path: inner.root.path().join(&name) });
        }
        opened => opened?,
    };
    let meta = object_meta(location.clone(), &file.metadata()?);
    Ok((file, meta))
}

pub(super) async fn get(store: &DurableLocal, location: &Path, options: GetOptions) -> Result<GetResult> {
    let name = location.clone();
    let (file, meta) = store.blocking(move |inner| open(inner, &name)).await?;
    options.check_preconditions(&meta)?;
    let wanted = match &options.range {
        Some(range) => range
            .as_range(meta.size)
            .map_err(|error| object_store::Error::Generic { store: "file", source: Box::new(error) })?,
        None => 0..meta.size,
    };
    let to_read = if options.head { 0..0 } else { wanted.clone() };
    Ok(GetResult {
        payload: GetResultPayload::Stream(chunks(store, file, to_read)),
        meta,
        range: wanted,
        attributes: Default::default(),
        extensions: Default::default(),
    })
}

fn chunks(
    store: &DurableLocal,
    file: FileHandle,
    range: Range<u64>,
) -> stream::BoxStream<'static, Result<Bytes>> {
    let (store, file) = (store.clone(), Arc::new(file));
    let whole = range.end.saturating_sub(range.start) <= WHOLE_BYTES;
    let most = if whole { WHOLE_BYTES } else { PIECE_BYTES };
    stream::try_unfold(range, move |rest| {
        let (store, file) = (store.clone(), Arc::clone(&file));
        async move {
            if rest.is_empty() {
                return Ok(None);
            }
            let now = rest.start..rest.end.min(rest.start.saturating_add(most));
            let left = now.end..rest.end;
            let bytes = store.blocking(move |_| read_exactly(&file, now)).await?;
            Ok(Some((bytes, left)))
        }
    })
    .boxed()
}

/// `range` must have been held against the file's size before: its length is allocated.
fn read_exactly(file: &FileHandle, range: Range<u64>) -> Result<Bytes, LocalError> {
    let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
    let mut buffer = vec![0; count];
    let got = file.read_at(&mut buffer, range.start)?;
    if got < count {
        return Err(LocalError::Short { path: file.path().to_owned(), at: range.start + got as u64 });
    }
    Ok(buffer.into())
}

pub(super) fn ranges(
    inner: &Inner,
    location: &Path,
    ranges: &[Range<u64>],
) -> Result<Vec<Bytes>, LocalError> {
    let (file, meta) = open(inner, location)?;
    let read_one = |range: &Range<u64>| {
        if range.end > meta.size {
            return Err(LocalError::Short { path: file.path().to_owned(), at: meta.size });
        }
        read_exactly(&file, range.clone())
    };
    ranges.iter().map(read_one).collect()
}
