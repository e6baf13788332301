//! The simulated world: buckets, versions, uploads, credentials, and the one way in which any of it changes.
//!
//! Promises: every change is a list of [`Change`]s that is journaled as one line before it is made, so that it is made wholly or
//! not at all; whoever holds the world's lock sees and makes changes alone, so that preconditions are atomic. Generations
//! grow strictly over the whole world. Deliberately no HTTP: see `xml` and `json`.

mod bucket;
mod bucket_calls;
mod compose;
mod delete;
mod list;
mod object;
mod patch;
mod preconditions;
mod read;
mod rules;
mod sessions;
mod upload;
mod upload_calls;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use bucket::{Bucket, RetentionPolicy, SoftDelete};
pub(crate) use bucket_calls::BucketChange;
pub(crate) use compose::Component;
pub(crate) use list::Listing;
pub(crate) use object::{About, ObjectRetention, State, Version, hex};
pub(crate) use patch::{Hold, ObjectChange, RetentionChange};
pub(crate) use preconditions::Preconditions;
pub(crate) use read::At;
pub(crate) use rules::retained_until;
pub(crate) use sessions::{Chunk, Progress};
pub(crate) use upload::{Session, Upload, Wishes};
pub(crate) use write::{Payload, Target};

use crate::blobs::Blobs;
use crate::journal::Journal;
use crate::moment::{Clock, Moment};
use crate::refusal::Refusal;
use crate::rights::Credentials;

/// One step of a change, as the journal has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    Bucket(Box<Bucket>),
    BucketGone(String),
    Version {
        bucket: String,
        name: String,
        version: Box<Version>,
    },
    Gone {
        bucket: String,
        name: String,
        generation: u64,
    },
    Upload(Box<Upload>),
    /// The blobs of its parts go with it.
    UploadGone(String),
    Session(Box<Session>),
    SessionGone(String),
    Credentials(Credentials),
    /// How far the clock was moved, in microseconds.
    Clock(i64),
    RateLimit(bool),
}

/// Versions of one name by generation.
pub(crate) type Versions = BTreeMap<u64, Version>;

/// Everything there is.
pub(crate) struct World {
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) credentials: Credentials,
    /// Whether more than one write a second to a name is refused.
    pub(crate) rate_limit: bool,
    buckets: BTreeMap<String, Bucket>,
    objects: BTreeMap<String, BTreeMap<String, Versions>>,
    uploads: BTreeMap<String, Upload>,
    sessions: BTreeMap<String, Session>,
    /// Soft-deleted versions by the moment they go.
    expiring: BTreeSet<(Moment, String, String, u64)>,
    last_generation: u64,
    /// When a name was last written; not journaled, a restart forgives.
    last_write: HashMap<(String, String), Moment>,
    last_patch: HashMap<(String, String), Moment>,
    journal: Option<Journal>,
}

impl World {
    pub(crate) fn new(blobs: Arc<Blobs>, clock: Arc<Clock>) -> Self {
        Self {
            blobs,
            clock,
            credentials: Credentials::new(),
            rate_limit: true,
            buckets: BTreeMap::new(),
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            sessions: BTreeMap::new(),
            expiring: BTreeSet::new(),
            last_generation: 0,
            last_write: HashMap::new(),
            last_patch: HashMap::new(),
            journal: None,
        }
    }

    /// Replays what a journal has, sweeps blobs that nothing refers to, and goes on writing it.
    ///
    /// # Errors
    /// The directory cannot be read or written.
    pub(crate) fn replay(&mut self, changes: Vec<Vec<Change>>, journal: Journal) -> io::Result<()> {
        let lines = changes.len();
        for change in changes.into_iter().flatten() {
            self.apply(change);
        }
        let versions = self.objects.values().flat_map(|names| names.values().flat_map(Versions::values));
        let mut referred: HashSet<u64> = versions.map(|version| version.blob).collect();
        referred.extend(self.uploads.values().flat_map(|upload| upload.parts.values().map(|part| part.blob)));
        referred
            .extend(self.sessions.values().flat_map(|session| session.chunks.iter().map(|(blob, _)| *blob)));
        self.blobs.keep_only(&referred)?;
        let mut journal = journal;
        let snapshot = self.snapshot();
        if lines > 2 * snapshot.len() + 1000 {
            journal.begin_anew(&snapshot)?;
        }
        self.journal = Some(journal);
        Ok(())
    }

    /// Makes these changes: journaled first, all or none.
    ///
    /// # Errors
    /// The journal cannot be written; then nothing changed.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Result<(), Refusal> {
        if let Some(journal) = &mut self.journal {
            journal.append(&changes)?;
        }
        for change in changes {
            self.apply(change);
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Bucket(bucket) => {
                self.objects.entry(bucket.name.clone()).or_default();
                self.buckets.insert(bucket.name.clone(), *bucket);
            }
            Change::BucketGone(name) => {
                self.buckets.remove(&name);
                self.objects.remove(&name);
            }
            Change::Version { bucket, name, version } => self.apply_version(bucket, name, *version),
            Change::Gone { bucket, name, generation } => self.apply_gone(&bucket, &name, generation),
            Change::Upload(upload) => {
                self.uploads.insert(upload.id.clone(), *upload);
            }
            Change::UploadGone(id) => {
                let upload = self.uploads.remove(&id);
                upload
                    .iter()
                    .flat_map(|upload| upload.parts.values())
                    .for_each(|part| self.blobs.remove(part.blob));
            }
            Change::Session(session) => {
                self.sessions.insert(session.id.clone(), *session);
            }
            Change::SessionGone(id) => {
                let session = self.sessions.remove(&id);
                session
                    .iter()
                    .flat_map(|session| &session.chunks)
                    .for_each(|(blob, _)| self.blobs.remove(*blob));
            }
            Change::Credentials(credentials) => self.credentials = credentials,
            Change::Clock(ahead) => self.clock.set_ahead(ahead),
            Change::RateLimit(on) => self.rate_limit = on,
        }
    }

    fn apply_version(&mut self, bucket: String, name: String, version: Version) {
        self.last_generation = self.last_generation.max(version.generation);
        if let State::SoftDeleted { until, .. } = version.state {
            self.expiring.insert((until, bucket.clone(), name.clone(), version.generation));
        }
        let versions = self.objects.entry(bucket).or_default().entry(name).or_default();
        versions.insert(version.generation, version);
    }

    fn apply_gone(&mut self, bucket: &str, name: &str, generation: u64) {
        let Some(names) = self.objects.get_mut(bucket) else { return };
        let Some(versions) = names.get_mut(name) else { return };
        if let Some(version) = versions.remove(&generation) {
            self.blobs.remove(version.blob);
        }
        if versions.is_empty() {
            names.remove(name);
        }
    }

    /// All of it as changes that make it anew: what a compacted journal begins with.
    pub(crate) fn snapshot(&self) -> Vec<Change> {
        let mut changes = vec![
            Change::Credentials(self.credentials.clone()),
            Change::Clock(self.clock.ahead()),
            Change::RateLimit(self.rate_limit),
        ];
        changes.extend(self.buckets.values().map(|bucket| Change::Bucket(Box::new(bucket.clone()))));
        for (bucket, names) in &self.objects {
            for (name, versions) in names {
                changes
                    .extend(versions.values().map(|version| version_change(bucket, name, version.clone())));
            }
        }
        changes.extend(self.uploads.values().map(|upload| Change::Upload(Box::new(upload.clone()))));
        changes.extend(self.sessions.values().map(|session| Change::Session(Box::new(session.clone()))));
        changes
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// A generation that no version had before. Microseconds, as the service's look (*assumed*: only that they grow is said).
    fn next_generation(&self) -> u64 {
        u64::try_from(self.now().0).unwrap_or(0).max(self.last_generation + 1)
    }

    /// # Errors
    /// 404.
    pub(crate) fn bucket(&self, name: &str) -> Result<&Bucket, Refusal> {
        self.buckets.get(name).ok_or_else(|| Refusal::no_such_bucket(name))
    }

    fn versions(&self, bucket: &str, name: &str) -> Option<&Versions> {
        self.objects.get(bucket)?.get(name)
    }

    /// The live version of a name.
    pub(crate) fn live(&self, bucket: &str, name: &str) -> Option<&Version> {
        self.versions(bucket, name)?.values().rev().find(|version| version.is_live())
    }

    /// Removes soft-deleted versions whose time is over ("Soft delete").
    ///
    /// # Errors
    /// The journal cannot be written.
    pub(crate) fn expire(&mut self) -> Result<(), Refusal> {
        let now = self.now();
        let mut gone = Vec::new();
        while self.expiring.first().is_some_and(|(until, ..)| *until <= now) {
            if let Some((_, bucket, name, generation)) = self.expiring.pop_first() {
                gone.push(Change::Gone { bucket, name, generation });
            }
        }
        if gone.is_empty() { Ok(()) } else { self.commit(gone) }
    }
}

pub(crate) fn version_change(bucket: &str, name: &str, version: Version) -> Change {
    Change::Version { bucket: bucket.to_owned(), name: name.to_owned(), version: Box::new(version) }
}
