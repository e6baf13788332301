//! Reading from one region: whole objects, ranges, ends, sizes.
//!
//! Promises: what is returned has exactly the length the object's (or the range's) has, or it is an error; memory is
//! bounded by the caller's limit before anything is read; a transfer is given up when it stalls, not when it is long.
//! Does not do: checking content; a region knows no meaning.

use super::{Call, ObjectInfo, Region};
use crate::error::{ErrorKind, Failure, StoreError};
use crate::meter::OpKind;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, mpsc};

/// The answer had another length than it announced.
#[derive(Debug, thiserror::Error)]
#[error("the answer has {got} bytes instead of {announced}")]
struct WrongLength {
    got: u64,
    announced: u64,
}

/// Whether a read is getting anywhere: grows with every sign of life of the region.
#[derive(Debug, Default)]
pub(crate) struct Moving(AtomicU64);

impl Moving {
    /// Signs of life so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn moved(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

enum Got {
    Bytes(Bytes),
    /// Not read: the object has this size.
    OtherSize(u64),
}

/// An object that is read in pieces: what was given already.
struct Pieces<'t> {
    next: u64,
    size: Option<u64>,
    take: &'t mpsc::Sender<Bytes>,
}

/// What reading in pieces came to.
enum Size {
    Is(u64),
    /// Not read: the object has this size.
    Over(u64),
    Changed {
        was: u64,
        is: u64,
    },
}

impl Region {
    /// The whole object, if it has at most `bytes_max`.
    pub async fn get(&self, name: &str, bytes_max: u64) -> Result<Bytes, StoreError> {
        self.get_within(Call::new(OpKind::Get, name), name, bytes_max, &Moving::default()).await
    }

    pub(crate) async fn get_within(
        &self,
        call: Call<'_>,
        name: &str,
        bytes_max: u64,
        moving: &Moving,
    ) -> Result<Bytes, StoreError> {
        let path = self.parse(name)?;
        let fits = |result: &GetResult| result.meta.size <= bytes_max;
        match self.call(call, || self.fetch(&path, None, moving, fits)).await? {
            Got::Bytes(bytes) => Ok(bytes),
            Got::OtherSize(size_bytes) => Err(StoreError::TooLarge {
                region: self.name().clone(),
                name: name.to_owned(),
                size_bytes,
                limit_bytes: bytes_max,
            }),
        }
    }

    /// The whole object in pieces, as they arrive, if it has at most `bytes_max`; its size. One request, and where the transfer breaks
    /// another for the rest: no byte is given twice. Ends early where nobody takes the pieces any more.
    pub async fn get_each(
        &self,
        name: &str,
        bytes_max: u64,
        take: &mpsc::Sender<Bytes>,
    ) -> Result<u64, StoreError> {
        let path = self.parse(name)?;
        let pieces = Mutex::new(Pieces { next: 0, size: None, take });
        let done = self
            .call(Call::new(OpKind::Get, name), || async { self.pieces(&path, bytes_max, &pieces).await });
        match done.await? {
            Size::Is(size) => Ok(size),
            Size::Over(size_bytes) => {
                let (region, name) = (self.name().clone(), name.to_owned());
                Err(StoreError::TooLarge { region, name, size_bytes, limit_bytes: bytes_max })
            }
            Size::Changed { was, is } => {
                let what = format!("it had {was} bytes when reading began, and has {is} now");
                Err(StoreError::Damaged { region: self.name().clone(), name: name.to_owned(), what })
            }
        }
    }

    /// One attempt: from where the last one ended.
    async fn pieces(
        &self,
        path: &Path,
        bytes_max: u64,
        pieces: &Mutex<Pieces<'_>>,
    ) -> Result<(Size, u64), Failure> {
        let stall = self.limits().stall;
        let mut pieces = pieces.lock().await;
        let from = pieces.next;
        let range = pieces.size.map(|size| GetRange::Bounded(from..size));
        let options = GetOptions { range: range.filter(|_| from > 0), ..GetOptions::default() };
        let result = self.timed(stall, self.store.get_opts(path, options)).await?.map_err(Failure::of)?;
        let is = result.meta.size;
        if is > bytes_max {
            return Ok((Size::Over(is), 0));
        }
        let was = *pieces.size.get_or_insert(is);
        if was != is || result.range != (from..is) {
            return Ok((Size::Changed { was, is }, 0));
        }
        let mut chunks = result.into_stream();
        while let Some(chunk) = self.timed(stall, chunks.next()).await? {
            let chunk = chunk.map_err(Failure::of)?;
            let next = pieces.next.saturating_add(chunk.len() as u64);
            if next > is {
                return Err(wrong_length(next, is));
            }
            self.throttle(chunk.len() as u64).await;
            pieces.next = next;
            if pieces.take.send(chunk).await.is_err() {
                return Ok((Size::Is(is), pieces.next.saturating_sub(from)));
            }
        }
        if pieces.next != is {
            return Err(wrong_length(pieces.next, is));
        }
        Ok((Size::Is(is), is.saturating_sub(from)))
    }

    /// The bytes `range` of an object.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the object is too short to have them all.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.get_range_moving(name, range, &Moving::default()).await
    }

    pub(crate) async fn get_range_moving(
        &self,
        name: &str,
        range: Range<u64>,
        moving: &Moving,
    ) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let path = self.parse(name)?;
        let wanted = GetRange::Bounded(range.clone());
        let is_whole = |result: &GetResult| result.range == range;
        let call = Call::new(OpKind::Get, name);
        match self.call(call, || self.fetch(&path, Some(&wanted), moving, is_whole)).await {
            Ok(Got::Bytes(bytes)) => Ok(bytes),
            Ok(Got::OtherSize(size)) => Err(self.too_short(name, size, &range)),
            Err(error) => Err(self.short_or(error, name, &range).await),
        }
    }

    /// The first `len` bytes of an object, all of it if it has fewer: one request, whatever its size.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the object is empty.
    pub async fn get_prefix(&self, name: &str, len: u64) -> Result<Bytes, StoreError> {
        self.get_prefix_moving(name, len, &Moving::default()).await
    }

    pub(crate) async fn get_prefix_moving(
        &self,
        name: &str,
        len: u64,
        moving: &Moving,
    ) -> Result<Bytes, StoreError> {
        let path = self.parse(name)?;
        let wanted = GetRange::Bounded(0..len.max(1));
        let is_prefix = |result: &GetResult| result.range == (0..len.max(1).min(result.meta.size));
        let call = Call::new(OpKind::Get, name);
        match self.call(call, || self.fetch(&path, Some(&wanted), moving, is_prefix)).await {
            Ok(Got::Bytes(bytes)) => Ok(bytes),
            Ok(Got::OtherSize(size)) => Err(self.too_short(name, size, &(0..len))),
            Err(error) => Err(self.short_or(error, name, &(0..1)).await),
        }
    }

    /// Several ranges of one object, in the order asked. Near ones may be read together by the driver.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the object is too short to have them all.
    pub async fn get_ranges(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        let path = self.parse(name)?;
        let total: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let time = self.limits().put_time(total);
        self.call(Call::new(OpKind::Get, name), || async {
            self.throttle(total).await;
            let parts = self.timed(time, self.store.get_ranges(&path, ranges)).await?.map_err(Failure::of)?;
            let got: u64 = parts.iter().map(|part| part.len() as u64).sum();
            if got != total || parts.len() != ranges.len() {
                return Err(wrong_length(got, total));
            }
            Ok((parts, total))
        })
        .await
    }

    /// The last `len` bytes of an object, all of it if it has fewer, and its size.
    pub async fn get_suffix(&self, name: &str, len: u64) -> Result<(Bytes, u64), StoreError> {
        self.get_suffix_moving(name, len, &Moving::default()).await
    }

    pub(crate) async fn get_suffix_moving(
        &self,
        name: &str,
        len: u64,
        moving: &Moving,
    ) -> Result<(Bytes, u64), StoreError> {
        let path = self.parse(name)?;
        let size_bytes = self.head(name).await?.size_bytes;
        moving.moved();
        let start = size_bytes.saturating_sub(len);
        if start == size_bytes {
            return Ok((Bytes::new(), size_bytes));
        }
        // A plain range, for Azure has no suffix ranges; objects never change, so the size cannot either.
        let wanted = GetRange::Bounded(start..size_bytes);
        let is_whole = |result: &GetResult| result.range == (start..size_bytes);
        let call = Call::new(OpKind::Get, name);
        match self.call(call, || self.fetch(&path, Some(&wanted), moving, is_whole)).await? {
            Got::Bytes(bytes) => Ok((bytes, size_bytes)),
            Got::OtherSize(size) => Err(self.too_short(name, size, &(start..size_bytes))),
        }
    }

    /// What is behind an object's end each store refuses in words of its own; asked for its size, all say the same.
    async fn short_or(&self, error: StoreError, name: &str, range: &Range<u64>) -> StoreError {
        if error.kind() != ErrorKind::Other {
            return error;
        }
        match self.head(name).await {
            Ok(info) if info.size_bytes < range.end => self.too_short(name, info.size_bytes, range),
            _ => error,
        }
    }

    fn too_short(&self, name: &str, size: u64, range: &Range<u64>) -> StoreError {
        let what =
            format!("it has {size} bytes, and those from {} to {} were asked for", range.start, range.end);
        StoreError::Damaged { region: self.name().clone(), name: name.to_owned(), what }
    }

    /// Size and age of an object.
    pub async fn head(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let path = self.parse(name)?;
        self.call(Call::new(OpKind::Head, name), || async {
            let options = GetOptions { head: true, ..GetOptions::default() };
            let answer = self.timed(self.limits().stall, self.store.get_opts(&path, options)).await?;
            Ok((ObjectInfo::of(&answer.map_err(Failure::of)?.meta), 0))
        })
        .await
    }

    /// Whether the object is there: a positive answer either way.
    pub async fn exists(&self, name: &str) -> Result<bool, StoreError> {
        match self.head(name).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One attempt at reading. `acceptable` sees the answer's head and may refuse it by its size.
    async fn fetch(
        &self,
        path: &Path,
        range: Option<&GetRange>,
        moving: &Moving,
        acceptable: impl Fn(&GetResult) -> bool,
    ) -> Result<(Got, u64), Failure> {
        let stall = self.limits().stall;
        let options = GetOptions { range: range.cloned(), ..GetOptions::default() };
        let result = self.timed(stall, self.store.get_opts(path, options)).await?.map_err(Failure::of)?;
        moving.moved();
        if !acceptable(&result) {
            return Ok((Got::OtherSize(result.meta.size), 0));
        }
        let announced = result.range.end.saturating_sub(result.range.start);
        let mut chunks = result.into_stream();
        let mut first: Option<Bytes> = None;
        let mut joined = BytesMut::new();
        let mut got = 0_u64;
        while let Some(chunk) = self.timed(stall, chunks.next()).await? {
            let chunk = chunk.map_err(Failure::of)?;
            moving.moved();
            got += chunk.len() as u64;
            if got > announced {
                return Err(wrong_length(got, announced));
            }
            self.throttle(chunk.len() as u64).await;
            // Most objects come in one piece and are handed on without a copy.
            match first.take() {
                None if joined.is_empty() => first = Some(chunk),
                None => joined.extend_from_slice(&chunk),
                Some(one) => {
                    joined.reserve(usize::try_from(announced).unwrap_or(0));
                    joined.extend_from_slice(&one);
                    joined.extend_from_slice(&chunk);
                }
            }
        }
        if got != announced {
            return Err(wrong_length(got, announced));
        }
        Ok((Got::Bytes(first.unwrap_or_else(|| joined.freeze())), got))
    }

    pub(crate) async fn throttle(&self, bytes: u64) {
        if let Some(bandwidth) = &self.limits().bandwidth {
            bandwidth.take(bytes).await;
        }
    }
}

/// A transfer cut short may go through next time.
fn wrong_length(got: u64, announced: u64) -> Failure {
    Failure { kind: ErrorKind::Unavailable, cause: Arc::new(WrongLength { got, announced }) }
}
