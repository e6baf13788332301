//! For tests: a store whose objects are as old as an injected clock says, and which can be out of reach or locked.
//!
//! The memory driver dates objects by the system's clock; ages in tests follow the clock of their [`World`]. Promises: an object's
//! time is that of the put that made it; a lock ends by the same clock. Does not do: any other fault; that is [`crate::faulty`].

use crate::world::World;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The store. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct ClockedStore {
    inner: Arc<dyn ObjectStore>,
    world: World,
    times: Arc<Mutex<HashMap<Path, i64>>>,
    away: Arc<AtomicBool>,
    /// Until when nothing may be deleted, by the clock of the test, and what it says then.
    locked: Arc<Mutex<Option<(i64, String)>>>,
}

#[derive(Debug, thiserror::Error)]
#[error("out of reach, as a test wants it")]
struct Away;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Locked(String);

impl ClockedStore {
    /// Over any driver.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, world: &World) -> Self {
        Self {
            inner,
            world: world.clone(),
            times: Arc::default(),
            away: Arc::default(),
            locked: Arc::default(),
        }
    }

    /// Puts it out of reach, or back.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    /// Exchanges an object's bytes without a trace, as damage does: it is as old as it was.
    ///
    /// # Errors
    /// The driver's.
    pub async fn spoil(&self, location: &Path, bytes: Vec<u8>) -> Result<()> {
        self.inner.put_opts(location, bytes.into(), PutOptions::default()).await.map(drop)
    }

    /// Refuses every deletion with these words until then: a bucket's lock.
    pub fn lock_until(&self, unix_us: i64, words: &str) {
        *self.locked.lock().unwrap_or_else(PoisonError::into_inner) = Some((unix_us, words.to_owned()));
    }

    fn lets_go(&self, location: Path) -> Result<Path> {
        match &*self.locked.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((until, words)) if self.world.clock.now_unix_us() < *until => {
                let (path, source) = (location.to_string(), Box::new(Locked(words.clone())));
                Err(object_store::Error::PermissionDenied { path, source })
            }
            _ => Ok(location),
        }
    }

    fn reach(&self) -> Result<()> {
        if self.away.load(Ordering::Relaxed) {
            return Err(object_store::Error::Generic { store: "clocked", source: Box::new(Away) });
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Path, i64>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        let known = self.lock().get(&meta.location).copied().and_then(|micros| u64::try_from(micros).ok());
        if let Some(micros) = known {
            meta.last_modified = (SystemTime::UNIX_EPOCH + Duration::from_micros(micros)).into();
        }
        meta
    }

    fn made(&self, location: &Path) {
        self.lock().insert(location.clone(), self.world.clock.now_unix_us());
    }

    fn listing(
        &self,
        listed: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let store = self.clone();
        match self.reach() {
            Ok(()) => listed.map_ok(move |meta| store.dated(meta)).boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }
}

impl std::fmt::Display for ClockedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClockedStore({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for ClockedStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.reach()?;
        let put = self.inner.put_opts(location, payload, options).await?;
        self.made(location);
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.reach()?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reach()?;
        let mut got = self.inner.get_opts(location, options).await?;
        got.meta = self.dated(got.meta);
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.reach()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.reach() {
            Ok(()) => {
                let store = self.clone();
                self.inner.delete_stream(
                    locations.map(move |path| path.and_then(|path| store.lets_go(path))).boxed(),
                )
            }
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reach()?;
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects = listed.objects.into_iter().map(|meta| self.dated(meta)).collect();
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.reach()?;
        self.inner.copy_opts(from, to, options).await?;
        self.made(to);
        Ok(())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.reach()?;
        self.inner.rename_opts(from, to, options).await?;
        self.made(to);
        Ok(())
    }
}
