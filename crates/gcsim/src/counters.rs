//! How many requests were made, so that tests can count and price them.
//!
//! Promise: every request that reached the simulator is counted once, with the status it was answered (0: none), also when a
//! fault answered it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::operation::{Class, Operation};

/// Requests of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes_in: u64,
    /// Bytes of the answers' bodies.
    pub bytes_out: u64,
}

/// Requests of one kind, and which kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// What they did.
    pub operation: Operation,
    /// What that costs.
    pub class: Class,
    /// The bucket.
    pub bucket: String,
    /// The answer's status; 0 where none was sent.
    pub status: u16,
    /// How many, and their bytes.
    #[serde(flatten)]
    pub count: Count,
}

#[derive(Default)]
pub(crate) struct Counters(Mutex<BTreeMap<(Operation, String, u16), Count>>);

impl Counters {
    pub(crate) fn add(
        &self,
        operation: Operation,
        bucket: &str,
        status: u16,
        bytes_in: usize,
        bytes_out: usize,
    ) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = map.entry((operation, bucket.to_owned(), status)).or_default();
        count.requests += 1;
        count.bytes_in += bytes_in as u64;
        count.bytes_out += bytes_out as u64;
    }

    pub(crate) fn all(&self) -> Vec<Counted> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = map.iter().map(|((operation, bucket, status), count)| Counted {
            operation: *operation,
            class: operation.class(),
            bucket: bucket.clone(),
            status: *status,
            count: *count,
        });
        counted.collect()
    }

    pub(crate) fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
