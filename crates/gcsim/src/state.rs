//! What all requests share: the world behind its lock, faults, counters, the clock.
//!
//! Promise: the lock is held only while a request is decided, never while bytes are received or sent.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use bytes::Bytes;

use crate::blobs::Blobs;
use crate::counters::Counters;
use crate::faults::Faults;
use crate::hashes::Hashes;
use crate::journal::Journal;
use crate::model::{Payload, World};
use crate::moment::Clock;
use crate::refusal::Refusal;
use crate::rights::Used;

/// Everything there is while the simulator runs.
pub(crate) struct Shared {
    world: Mutex<World>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) used: Used,
}

impl Shared {
    /// # Errors
    /// The data directory cannot be read or written, or its journal is damaged before its end.
    pub(crate) fn open(data: Option<&Path>) -> io::Result<Self> {
        let clock = Arc::new(Clock::default());
        let blobs = Arc::new(match data {
            None => Blobs::in_memory(),
            Some(directory) => {
                fs::create_dir_all(directory)?;
                Blobs::in_directory(&directory.join("blobs"))?
            }
        });
        let mut world = World::new(Arc::clone(&blobs), Arc::clone(&clock));
        if let Some(directory) = data {
            let (journal, changes) = Journal::open(&directory.join("journal"))?;
            world.replay(changes, journal)?;
        }
        let (faults, counters, used) = (Faults::default(), Counters::default(), Used::default());
        Ok(Self { world: Mutex::new(world), blobs, clock, faults, counters, used })
    }

    /// The world, for one request alone.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a body, before anybody is asked whether it may be an object.
    ///
    /// # Errors
    /// 400: it is not what the client said it sends.
    pub(crate) fn receive(&self, pieces: &[Bytes], said: &Hashes) -> Result<Payload, Refusal> {
        let found = Hashes::of(pieces);
        said.check(&found)?;
        Ok(Payload {
            blob: self.blobs.put(pieces)?,
            size: pieces.iter().map(|piece| piece.len() as u64).sum(),
            crc32c: found.crc32c.unwrap_or(0),
            md5: found.md5,
            components: None,
        })
    }
}
