//! Reading long objects as they stream by, in the memory of a few pieces: packs, and everything whose content is left alone.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use seawall_repo::layout::ObjectName;
use seawall_repo::object::OpenHead;
use seawall_store::RegionName;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::body::BodyCheck;
use super::tasks::{Job, Look, MEBIBYTE, Outcome, Reading, decompressor, outcome, outcome_of};
use crate::error::Result;
use crate::repository::OBJECT_BYTES_MAX;

/// What is checked at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Room for one object that streams by: a piece, the next, a frame and a footer.
const STREAM_BYTES: u64 = 4 * MEBIBYTE;
/// First read of the end of a pack: nearly always its whole footer.
const TAIL_READ_BYTES: u64 = 256 << 10;

impl Reading {
    /// An object that is checked as it streams by: its head first, and the footer where frames are opened.
    pub(super) async fn streamed(
        &self,
        job: &Arc<Job>,
        name: &ObjectName,
        region: &RegionName,
        size: Option<u64>,
    ) -> Result<(u64, Outcome)> {
        let size = match (size, self.repository.regions().find(region.as_str())) {
            (Some(size), _) => size,
            (None, Some(of)) => match of.head(self.heals.stored(region, name).as_str()).await {
                Ok(info) => info.size_bytes,
                Err(error) => return Ok((0, outcome_of(&error))),
            },
            (None, None) => return Ok((0, Outcome::Gone)),
        };
        let mut room = Some(self.room(STREAM_BYTES).await?);
        let (prefix, head) = match self.head_of(job, name, region, size).await {
            Ok(read) => read,
            Err((bytes, outcome)) => return Ok((bytes, outcome)),
        };
        let tail = match job.look {
            Look::Open => match self.tail(&head, name, region, size, &mut room).await? {
                Ok(tail) => Some(tail),
                Err(outcome) => return Ok((prefix.len() as u64, outcome)),
            },
            Look::Stored | Look::Head => None,
        };
        let read = prefix.len().saturating_add(tail.as_ref().map_or(0, Bytes::len)) as u64;
        let body = BodyCheck::new(head, &prefix);
        let body = match tail {
            Some(tail) => {
                let (this, job, region, decompressor) =
                    (self.clone(), Arc::clone(job), region.clone(), decompressor()?);
                self.on_a_cpu(move || Ok(body.with_frames(&this.with(&job, &region), &tail, decompressor)))
                    .await?
            }
            None => body,
        };
        let (given, outcome) = self.flow(body, job, name, region).await?;
        Ok((read.saturating_add(given), outcome))
    }

    /// Gives an object's bytes to its check as they arrive.
    async fn flow(
        &self,
        body: BodyCheck,
        job: &Job,
        name: &ObjectName,
        region: &RegionName,
    ) -> Result<(u64, Outcome)> {
        let Some(of) = self.repository.regions().find(region.as_str()) else { return Ok((0, Outcome::Gone)) };
        let (pieces, mut arrived) = mpsc::channel::<Bytes>(1);
        let checking = async {
            let (mut body, mut gathered) = (body, BytesMut::new());
            while let Some(piece) = arrived.recv().await {
                // Small pieces, as networks bring them, are joined to some that are worth a thread's while.
                let piece = match piece.len() {
                    PIECE_BYTES.. if gathered.is_empty() => piece,
                    _ => {
                        gathered.extend_from_slice(&piece);
                        if gathered.len() < PIECE_BYTES {
                            continue;
                        }
                        gathered.split().freeze()
                    }
                };
                body = self.take(body, piece).await?;
            }
            self.take(body, gathered.freeze()).await
        };
        let reading = async {
            let pieces = pieces;
            of.get_each(self.heals.stored(region, name).as_str(), OBJECT_BYTES_MAX, &pieces).await
        };
        let (got, body) = futures::join!(reading, checking);
        let body = body?;
        match got {
            Ok(bytes) => Ok((bytes, outcome(body.finish(&self.with(job, region))))),
            Err(error) => Ok((0, outcome_of(&error))),
        }
    }

    async fn take(&self, mut body: BodyCheck, piece: Bytes) -> Result<BodyCheck> {
        self.on_a_cpu(move || {
            body.take(&piece);
            Ok(body)
        })
        .await
    }

    /// The end of a pack, with its footer; longer ones take more room.
    async fn tail(
        &self,
        head: &OpenHead,
        name: &ObjectName,
        region: &RegionName,
        size: u64,
        room: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<std::result::Result<Bytes, Outcome>> {
        let Some(of) = self.repository.regions().find(region.as_str()) else { return Ok(Err(Outcome::Gone)) };
        let (body, stored) = (head.head().body_bytes(), self.heals.stored(region, name));
        let mut wanted = TAIL_READ_BYTES.min(body);
        loop {
            let tail = match of.get_range(stored.as_str(), size.saturating_sub(wanted)..size).await {
                Ok(tail) => tail,
                Err(error) => return Ok(Err(outcome_of(&error))),
            };
            let opener = head.opener(self.repository.keys());
            // What cannot be told from here is told by the check, once all bytes went by.
            let needs = opener.and_then(|opener| opener.footer_needs(&tail)).map_or(0, |needs| needs as u64);
            if needs <= wanted || needs > body {
                return Ok(Ok(tail));
            }
            wanted = needs;
            // Given back first: nobody waits for room while holding some.
            *room = None;
            *room = Some(self.room(STREAM_BYTES + 2 * needs).await?);
        }
    }
}
