//! WAL objects read back: whole files, and files in parts put together again.
//!
//! Promises: bytes are handed out only after the digest of the plain file was compared with the signed one; parts are joined
//! in their order only, and a missing or exchanged part is refused.

use seawall_pg::WalFileName;

use crate::compress::Decompressor;
use crate::error::{Fault, ObjectError};
use crate::keys::{Digest, DigestHasher, DigestKey};
use crate::layout::{Named, ObjectName, PartedFile};
use crate::object::{KeyRing, OpenHead, WholeObject};
use crate::time::Time;
use crate::trust::Trust;
use crate::wal_index::{INDEX_VERSION, SegmentIndex};
use crate::wal_object::{NO_INDEX, PART_BYTES, WalHeader, WalWhat, parts_of};

/// A WAL object that was read back and checked, its plain digest included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWal {
    /// The header.
    pub header: WalHeader,
    /// The digest of the plain bytes (of the whole file where it lies in parts).
    pub plain_digest: Digest,
    /// The bytes.
    pub content: WalContent,
}

/// What a WAL object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalContent {
    /// The file, or the part that was asked for.
    Bytes(Vec<u8>),
    /// The file lies in parts: open each and join them with [`PartJoiner`].
    Parts(Vec<Digest>),
}

/// Why an object tells nothing of its records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoIndex {
    /// Its writer's word.
    #[error("{0}")]
    Told(String),
    /// An index of another release.
    #[error("its index is of version {0}, which this release does not read")]
    OtherVersion(String),
}

/// What [`WalReader::open_into`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All bytes were given and are proven.
    Whole,
    /// None were given: the file lies in parts.
    InParts,
}

/// With what WAL objects are read.
#[derive(Debug, Clone, Copy)]
pub struct WalReader<'a> {
    /// Whom to believe.
    pub trust: &'a Trust,
    /// The cluster's keys.
    pub keys: &'a KeyRing,
}

impl WalReader<'_> {
    /// Opens a WAL object from all its bytes. `created` is as for [`Trust::verify_object`].
    pub fn open(
        &self,
        name: &ObjectName,
        object: &[u8],
        created: Option<Time>,
        decompressor: &mut Decompressor,
    ) -> Result<OpenWal, ObjectError> {
        let whole = WholeObject::open(name, object, self.trust, created, self.keys, decompressor)?;
        let head = whole.head();
        let header = read_header(name, head)?;
        let plain_digest = *head.head().plain_digest();
        if let Some(parts) = &header.parts {
            let content = WalContent::Parts(parts.iter().map(|digest| digest.0).collect());
            return Ok(OpenWal { header, plain_digest, content });
        }
        let plain = whole.all_frames(PART_BYTES, decompressor)?;
        let key = self.digest_key(head)?;
        head.verify_plain(&key.digest(&plain))?;
        check_size(head, &header, plain.len() as u64)?;
        Ok(OpenWal { header, plain_digest, content: WalContent::Bytes(plain) })
    }

    /// Checks all of a WAL object but its frames, which need an identity: signature, stored digest, footer, header against name.
    pub fn look<'o>(
        &self,
        name: &ObjectName,
        object: &'o [u8],
        created: Option<Time>,
        decompressor: &mut Decompressor,
    ) -> Result<(WholeObject<'o>, WalHeader), ObjectError> {
        let whole = WholeObject::open(name, object, self.trust, created, self.keys, decompressor)?;
        let header = read_header(name, whole.head())?;
        Ok((whole, header))
    }

    /// Opens a WAL object frame by frame: `take` gets the header and the plain bytes in order, at least once: an empty file has no
    /// frames, and whoever judges it must see that. Nothing is proven before this
    /// returns, so what was taken must be thrown away unless it succeeds.
    ///
    /// # Errors
    /// As [`WalReader::open`]; within, what `take` says.
    pub fn open_into<E>(
        &self,
        name: &ObjectName,
        object: &[u8],
        created: Option<Time>,
        decompressor: &mut Decompressor,
        mut take: impl FnMut(&WalHeader, &[u8]) -> Result<(), E>,
    ) -> Result<Result<Taken, E>, ObjectError> {
        let whole = WholeObject::open(name, object, self.trust, created, self.keys, decompressor)?;
        let head = whole.head();
        let header = read_header(name, head)?;
        if header.parts.is_some() {
            return Ok(Ok(Taken::InParts));
        }
        let mut hasher = self.digest_key(head)?.hasher();
        let mut size = 0;
        let digest = |plain: &[u8]| {
            hasher.update(plain);
            size += plain.len() as u64;
        };
        let taken = whole.each_frame(PART_BYTES, decompressor, digest, |plain| take(&header, plain))?;
        let taken = if size == 0 { taken.and_then(|()| take(&header, &[])) } else { taken };
        if let Err(refused) = taken {
            return Ok(Err(refused));
        }
        head.verify_plain(&hasher.finish())?;
        check_size(head, &header, size)?;
        Ok(Ok(Taken::Whole))
    }

    /// The digest of `plain` as the object of this head would carry it: equal exactly if they hold the same file. Asks for
    /// the meta key of the object's generation, which need not be the newest.
    pub fn digest_for(&self, head: &OpenHead, plain: &[u8]) -> Result<Digest, ObjectError> {
        self.digest_key(head).map(|key| key.digest(plain))
    }

    /// Begins to put the file together that an object in parts tells of; none if `open` holds the file itself.
    pub fn join(&self, head: &OpenHead, open: &OpenWal) -> Result<Option<PartJoiner>, ObjectError> {
        let WalContent::Parts(parts) = &open.content else { return Ok(None) };
        let hasher = self.digest_key(head)?.hasher();
        let (name, whole) = (head.name().clone(), open.plain_digest);
        Ok(Some(PartJoiner {
            name,
            parts: parts.clone(),
            whole,
            size: open.header.size,
            hasher,
            next: 0,
            joined: 0,
        }))
    }

    /// What a segment's object tells of its records, from its head and the bytes behind it, as many as [`Head::front_bytes`] says.
    /// The rest of the object is not needed: the signature covers the index's digest.
    ///
    /// # Errors
    /// Damage. Within: why it tells nothing.
    ///
    /// [`Head::front_bytes`]: crate::envelope::Head::front_bytes
    pub fn index(
        &self,
        head: &OpenHead,
        body: &[u8],
        decompressor: &mut Decompressor,
    ) -> Result<Result<SegmentIndex, NoIndex>, ObjectError> {
        let header = read_header(head.name(), head)?;
        let Some(digest) = header.index_digest else {
            return Ok(Err(NoIndex::Told(header.reason.unwrap_or_default())));
        };
        let front = head.opener(self.keys)?.open_front(body, decompressor)?;
        let front = front.ok_or_else(|| {
            head.fault(Fault::KindHeader { reason: "no index where one is told of".to_owned() })
        })?;
        if self.digest_key(head)?.digest(&front) != digest.0 {
            return Err(head.fault(Fault::PlainDigest));
        }
        if header.index != INDEX_VERSION {
            return Ok(Err(NoIndex::OtherVersion(header.index)));
        }
        let index = SegmentIndex::decode(&front, header.size);
        index.map(Ok).map_err(|error| head.fault(Fault::KindHeader { reason: error.to_string() }))
    }

    fn digest_key(&self, head: &OpenHead) -> Result<DigestKey, ObjectError> {
        let generation = head.generation();
        self.keys.digest_key(generation, self.trust.repository()).ok_or_else(|| {
            head.fault(match generation {
                Some(generation) => Fault::NeedsMetaKey { generation },
                None => Fault::PlainDigest,
            })
        })
    }
}

/// Puts a file in parts together: parts in order, each checked against what the last object says of it.
#[derive(Debug)]
pub struct PartJoiner {
    name: ObjectName,
    parts: Vec<Digest>,
    whole: Digest,
    size: u64,
    hasher: DigestHasher,
    next: usize,
    joined: u64,
}

impl PartJoiner {
    /// The names of the parts, in the order in which they are to be added.
    pub fn part_names(&self) -> Vec<ObjectName> {
        let Named::Wal { place, file } = self.name.named() else { return Vec::new() };
        let Some(file) = PartedFile::of(*file) else { return Vec::new() };
        let count = self.parts.len() as u32;
        (0..count).map(|part| Named::WalPart { place: place.clone(), file, part }.to_name()).collect()
    }

    /// Checks the next part; its bytes.
    pub fn add(&mut self, part: OpenWal) -> Result<Vec<u8>, ObjectError> {
        let wanted = self.parts.get(self.next);
        let in_order = part.header.part.is_some_and(|number| number as usize == self.next);
        let WalContent::Bytes(plain) = part.content else { return Err(self.wrong()) };
        if wanted != Some(&part.plain_digest) || !in_order {
            return Err(self.wrong());
        }
        self.hasher.update(&plain);
        self.next += 1;
        self.joined += plain.len() as u64;
        Ok(plain)
    }

    /// Checks that all parts are there and make the whole.
    pub fn finish(self) -> Result<(), ObjectError> {
        let all = self.next == self.parts.len() && self.joined == self.size;
        let wrong = self.wrong();
        if all && self.hasher.finish() == self.whole { Ok(()) } else { Err(wrong) }
    }

    fn wrong(&self) -> ObjectError {
        ObjectError::new(&self.name, Fault::PlainDigest)
    }
}

fn read_header(name: &ObjectName, head: &OpenHead) -> Result<WalHeader, ObjectError> {
    let header: WalHeader = head.header_as()?;
    check_header(name, &header).map_err(|what| head.fault(Fault::KindHeader { reason: what.to_owned() }))?;
    Ok(header)
}

fn check_size(head: &OpenHead, header: &WalHeader, size: u64) -> Result<(), ObjectError> {
    if size == header.size {
        return Ok(());
    }
    Err(head.fault(Fault::KindHeader { reason: "size is not that of the content".to_owned() }))
}

/// Compares a header with the object's name; what is wrong.
fn check_header(name: &ObjectName, header: &WalHeader) -> Result<(), &'static str> {
    let (place, file, what, part) = match name.named() {
        Named::Wal { place, file } => (place, *file, WalWhat::of(*file), None),
        Named::WalPart { place, file, part } => (place, WalFileName::from(*file), WalWhat::Part, Some(*part)),
        _ => return Err("not the name of a WAL object"),
    };
    if (header.file, header.system, header.timeline) != (file, place.system, file.timeline()) {
        return Err("file, system or timeline are not those of the name");
    }
    if header.what != what || header.part != part {
        return Err("what it holds is not what its name says");
    }
    if (header.index == NO_INDEX) != header.index_digest.is_none() {
        return Err("an index without its digest, or a digest without an index");
    }
    match &header.parts {
        None => Ok(()),
        Some(parts) if what != WalWhat::Part && parts_of(header.size) == Some(parts.len()) => Ok(()),
        Some(_) => Err("number of parts is not that of a file of its size"),
    }
}
