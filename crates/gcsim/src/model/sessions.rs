//! JSON resumable uploads.
//!
//! "Resumable uploads" (cloud.google.com/storage/docs/resumable-uploads) and "Perform resumable uploads" (.../performing-resumable-uploads): chunks
//! are multiples of 256 KiB but the last; 308 with the range that is stored; `bytes */*` and `bytes */SIZE` ask how far it is;
//! asking with a size that is wholly there finishes; a session lives a week (410 afterwards); cancelling is 499; asking a
//! finished session answers the object. Of a request that breaks off the whole 256 KiB that arrived are kept.
//!
//! *Assumed*: preconditions and rights are asked at the start and again at the end, the latter with the starter's rights; what was
//! sent already is taken again without harm; a chunk beyond what is stored is 400; a finish that is refused ends the session,
//! unless it was only too fast (429).

use bytes::Bytes;

use super::{Change, Payload, Session, Target, Version, Wishes, World};
use crate::hashes::Hashes;
use crate::refusal::Refusal;
use crate::rights::{Used, Who};

const WEEK: u64 = 7 * 24 * 3600;
const GRAIN: u64 = 256 * 1024;

/// How far a session is.
pub(crate) enum Progress {
    /// So many bytes are stored.
    Received(u64),
    /// It became this.
    Finished { bucket: String, name: String, version: Box<Version> },
}

/// What a request on a session brings: from where, and the whole size where it is known.
pub(crate) struct Chunk<'a> {
    pub(crate) from: Option<u64>,
    pub(crate) total: Option<u64>,
    pub(crate) bytes: &'a Bytes,
    /// Whether the request arrived wholly.
    pub(crate) whole: bool,
    pub(crate) hashes: Hashes,
}

impl World {
    /// # Errors
    /// As those of a write.
    pub(crate) fn start_session(&mut self, target: Target<'_>, wishes: Wishes) -> Result<String, Refusal> {
        self.may_put(target, &wishes)?;
        let id = self.new_id(target.name);
        self.last_generation = self.next_generation();
        let who = match target.who {
            Who::Anybody => None,
            Who::Known(credential, _) => Some(credential.clone()),
        };
        let session = Session {
            id: id.clone(),
            bucket: target.bucket.to_owned(),
            name: target.name.to_owned(),
            who,
            wishes,
            started: self.now(),
            chunks: Vec::new(),
            finished: None,
        };
        self.commit(vec![Change::Session(Box::new(session))])?;
        Ok(id)
    }

    fn session(&self, bucket: &str, id: &str) -> Result<&Session, Refusal> {
        let found = self.sessions.get(id).filter(|session| session.bucket == bucket);
        let found = found.ok_or_else(Refusal::no_such_upload)?;
        if found.started.plus_seconds(WEEK) <= self.now() {
            return Err(Refusal::new(410, "Gone", "gone", "The upload session is no longer available."));
        }
        Ok(found)
    }

    /// # Errors
    /// 404, 410.
    pub(crate) fn cancel_session(&mut self, bucket: &str, id: &str) -> Result<(), Refusal> {
        self.session(bucket, id)?;
        self.commit(vec![Change::SessionGone(id.to_owned())])
    }

    /// Takes a chunk, or only tells how far it is.
    ///
    /// # Errors
    /// 400 for a chunk that does not fit, 404, 410; when this finishes it, as those of a write.
    pub(crate) fn put_chunk(
        &mut self,
        bucket: &str,
        id: &str,
        chunk: &Chunk<'_>,
    ) -> Result<Progress, Refusal> {
        let mut session = self.session(bucket, id)?.clone();
        if let Some(generation) = session.finished {
            return self.finished(&session, generation);
        }
        if let Some(from) = chunk.from {
            let fresh = fresh(&session, from, chunk)?;
            if !fresh.is_empty() {
                session.chunks.push((self.blobs.put(std::slice::from_ref(&fresh))?, fresh.len() as u64));
                self.commit(vec![Change::Session(Box::new(session.clone()))])?;
            }
        }
        let received = session.received();
        if chunk.total.is_some_and(|total| received > total) {
            return Err(Refusal::invalid("More bytes were sent than the upload was said to have."));
        }
        if chunk.whole && chunk.total == Some(received) {
            return self.finish(session, chunk.hashes);
        }
        Ok(Progress::Received(received))
    }

    fn finished(&self, session: &Session, generation: u64) -> Result<Progress, Refusal> {
        let (bucket, name) = (session.bucket.clone(), session.name.clone());
        let version = self.version(&bucket, &name, super::At::Generation(generation))?.clone();
        Ok(Progress::Finished { bucket, name, version: Box::new(version) })
    }

    fn finish(&mut self, session: Session, said: Hashes) -> Result<Progress, Refusal> {
        let result = self.try_finish(&session, said);
        match &result {
            Ok(_) => session.chunks.iter().for_each(|(blob, _)| self.blobs.remove(*blob)),
            Err(refusal) if refusal.status == 429 => {}
            Err(_) => self.commit(vec![Change::SessionGone(session.id.clone())])?,
        }
        let (bucket, name) = (session.bucket, session.name);
        result.map(|version| Progress::Finished { bucket, name, version: Box::new(version) })
    }

    fn try_finish(&mut self, session: &Session, said: Hashes) -> Result<Version, Refusal> {
        let pieces = session.chunks.iter().map(|(blob, _)| self.blobs.whole(*blob));
        let pieces: Vec<Bytes> = pieces.collect::<Result<_, _>>()?;
        let found = Hashes::of(&pieces);
        session.wishes.hashes.check(&found)?;
        said.check(&found)?;
        let payload = Payload {
            blob: self.blobs.put(&pieces)?,
            size: session.received(),
            crc32c: found.crc32c.unwrap_or(0),
            md5: found.md5,
            components: None,
        };
        let who = session.who.clone().map_or(Who::Anybody, |known| Who::Known(known, Used::default()));
        let target = Target { who: &who, bucket: &session.bucket, name: &session.name };
        let done = |generation| {
            let done = Session { finished: Some(generation), chunks: Vec::new(), ..session.clone() };
            vec![Change::Session(Box::new(done))]
        };
        self.put_and(target, payload, session.wishes.clone(), &done)
    }
}

/// The bytes of a chunk that are not stored yet.
fn fresh(session: &Session, from: u64, chunk: &Chunk<'_>) -> Result<Bytes, Refusal> {
    let received = session.received();
    let known = usize::try_from(received.checked_sub(from).ok_or_else(|| {
        Refusal::invalid(format!("The chunk begins at {from}, but only {received} bytes are stored."))
    })?);
    let known = known.unwrap_or(usize::MAX).min(chunk.bytes.len());
    let end = from + chunk.bytes.len() as u64;
    let fresh = chunk.bytes.slice(known..);
    if !chunk.whole {
        // The grains are counted from the object's beginning, at which every session is aligned.
        let keep = (end - end % GRAIN).saturating_sub(received);
        return Ok(fresh.slice(..usize::try_from(keep).unwrap_or(0).min(fresh.len())));
    }
    if chunk.total != Some(end) && !(chunk.bytes.len() as u64).is_multiple_of(GRAIN) {
        return Err(Refusal::invalid("All chunks but the last must be multiples of 256 KiB."));
    }
    Ok(fresh)
}
