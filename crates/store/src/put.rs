//! Putting an object under a new name, and the rule for unknown outcomes.
//!
//! A put that failed or timed out may have happened, and may happen later; a driver that retries may be told "exists"
//! of its own success. So after any error, and after "exists", the name is read back and compared, byte by byte.
//! Promises: nothing is overwritten; `Created` and `AlreadyThere` mean that exactly these bytes are stored for good.
//! After `Err` the outcome is unknown: the name is used up for anybody who would put other bytes.
//! Does not do: deciding whether other bytes mean the same; sealed twice, one content gives different bytes, and only
//! the repository format can tell (hence `Conflict` hands over what is there).

use crate::error::{ErrorKind, Failure, StoreError};
use crate::local::MARKER;
use crate::meter::OpKind;
use crate::region::{Call, Moving, Region};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{PutMode, PutOptions, PutPayload};
use std::sync::Arc;

/// What stands under the name after a put that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// These bytes, stored by this call.
    Created,
    /// These bytes, stored already: by somebody else, or by this call when its answer was lost.
    AlreadyThere,
    /// Other bytes. They were not touched.
    Conflict {
        /// What is there.
        existing: Existing,
    },
}

impl Put {
    /// Whether exactly the bytes put are stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        !matches!(self, Self::Conflict { .. })
    }
}

/// What stands under a name that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existing {
    /// All of it.
    Whole(Bytes),
    /// More than is read back.
    TooLarge {
        /// Its size.
        size_bytes: u64,
    },
}

/// The store said that the name is taken, and then that there is no such object.
#[derive(Debug, thiserror::Error)]
#[error("the name was said to exist, but there is no such object")]
struct TakenYetAbsent;

impl Region {
    /// Puts `bytes` under `name`, which must never have been used for anything else.
    ///
    /// # Errors
    /// The outcome is then unknown: the bytes may be there, or arrive later.
    pub async fn put_new(&self, name: &str, bytes: &Bytes) -> Result<Put, StoreError> {
        let path = self.parse(name)?;
        let failed = match self.create(Call::new(OpKind::Put, name), &path, bytes).await {
            Ok(()) => return Ok(Put::Created),
            Err(error) => error,
        };
        if matches!(failed, StoreError::Unavailable { tried: 0, .. }) {
            return Err(failed);
        }
        self.settle(name, &path, bytes, failed).await
    }

    /// Whether this login may create objects, asked without creating one: the marker's own bytes are put under its own name, which
    /// every service refuses because it is taken, after it has looked at the login's rights (*assumed* of that order). A service
    /// that does not know the condition would replace the marker by itself.
    ///
    /// # Errors
    /// No repository is there, or it cannot be told.
    pub async fn may_create(&self) -> Result<bool, StoreError> {
        let bytes = self.get(MARKER, self.limits().read_back_bytes_max).await?;
        let path = self.parse(MARKER)?;
        match self.create(Call::new(OpKind::Put, MARKER), &path, &bytes).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(true),
            Err(error) if error.kind() == ErrorKind::Denied => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, call: Call<'_>, path: &Path, bytes: &Bytes) -> Result<(), StoreError> {
        let size = bytes.len() as u64;
        self.call(call, || async {
            self.throttle(size).await;
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let put = self.store().put_opts(path, PutPayload::from(bytes.clone()), options);
            let answer = self.timed(self.limits().put_time(size), put).await?;
            answer.map(|_| ((), size)).map_err(Failure::of)
        })
        .await
    }

    /// Finds out what `failed` has left behind.
    async fn settle(
        &self,
        name: &str,
        path: &Path,
        bytes: &Bytes,
        failed: StoreError,
    ) -> Result<Put, StoreError> {
        let exists = failed.kind() == ErrorKind::AlreadyExists;
        match self.read_back(name, bytes.len() as u64, exists).await {
            Ok(Existing::Whole(found)) if found == *bytes => {
                if exists || self.reading_proves() {
                    return Ok(Put::AlreadyThere);
                }
                // Readable, but perhaps not on disk: the driver says "exists" only once it is.
                match self.create(Call::new(OpKind::Put, name).at_most(1), path, bytes).await {
                    Ok(()) => Ok(Put::Created),
                    Err(StoreError::AlreadyExists { .. }) => Ok(Put::AlreadyThere),
                    Err(_) => Err(failed),
                }
            }
            Ok(existing) => Ok(Put::Conflict { existing }),
            Err(error) if exists && error.is_not_found() => Err(StoreError::Other {
                region: self.name().clone(),
                name: name.to_owned(),
                source: Arc::new(TakenYetAbsent),
            }),
            Err(error) if exists => Err(error),
            // Nothing more is known than before; what the put itself met says most.
            Err(_) => Err(failed),
        }
    }

    /// A put that failed has had its retries; one look is enough then.
    async fn read_back(&self, name: &str, put_bytes: u64, answered: bool) -> Result<Existing, StoreError> {
        let limit = self.limits().read_back_bytes_max.max(put_bytes);
        let call = Call::new(OpKind::Get, name);
        let call = if answered { call } else { call.at_most(1) };
        match self.get_within(call, name, limit, &Moving::default()).await {
            Ok(found) => Ok(Existing::Whole(found)),
            Err(StoreError::TooLarge { size_bytes, .. }) => Ok(Existing::TooLarge { size_bytes }),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
