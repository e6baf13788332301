//! Building an object: frames are compressed and sealed one after the other into the one buffer that is put in the end.
//!
//! Promises: every builder draws its own object key and salt, and `finish` consumes it, so nothing is ever sealed twice
//! under one key and nonce; the finished bytes are never changed (a retry sends the same). Deliberately puts nothing
//! anywhere.
//!
//! A finished builder cannot go on:
//!
//! ```compile_fail,E0382
//! # use seawall_repo::{compress::*, keys::*, object::*};
//! fn twice(mut builder: ObjectBuilder, compressor: &mut Compressor, key: &WriterKey) {
//!     let sealed = builder.finish(b"", [0; 32], key);
//!     builder.push_frame(b"again", compressor); // value used after move
//! }
//! ```
//!
//! and a sealed object cannot be copied, so that one put is one object:
//!
//! ```compile_fail,E0308
//! # use seawall_repo::object::SealedObject;
//! fn copy(sealed: &SealedObject) -> SealedObject {
//!     sealed.clone()
//! }
//! ```

use serde_json::{Map, Value};

use crate::base64_field::Base64Array;
use crate::compress::{self, CompressError, CompressedFrame, Compressor, Encoding, FRAME_PLAIN_BYTES_MAX};
use crate::entropy::{Entropy, random};
use crate::envelope::{
    BODY_BYTES_MAX, Frames, HEAD_BYTES_WITHOUT_HEADER, HEADER_BYTES_MAX, HeadDraft, HeaderFault, Kind,
    SealingFields, aad_base, header, wrap_aad,
};
use crate::id::RepositoryId;
use crate::keys::{Digest, DigestKey, KEY_BYTES, WriterKey};
use crate::layout::ObjectName;
use crate::object::footer::{self, FrameAt, TRAILER_BYTES};
use crate::seal::aead::SectionKey;
use crate::seal::{Cipher, Protection, Sealer, Section, TAG_BYTES, wrap};
use zeroize::Zeroizing;

/// Why an object cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name under which no such object stands.
    #[error("{name} is not the name of a sealed object")]
    Name {
        /// The name.
        name: String,
    },
    /// The header.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// A header longer than allowed.
    #[error("header of {bytes} bytes, at most {HEADER_BYTES_MAX}")]
    HeaderTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Compressing.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// More than an object may hold.
    #[error("object would be longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    /// A public key that nothing can be wrapped to.
    #[error("the cluster's public key is not one that anything can be sealed to")]
    ClusterPublic,
}

/// A finished object, ready to be put once everywhere. Cannot be copied or changed.
#[derive(Debug, PartialEq, Eq)]
pub struct SealedObject {
    name: ObjectName,
    bytes: Vec<u8>,
    plain_digest: Digest,
}

impl SealedObject {
    /// The object's name.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// The whole object.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it is compared by.
    pub fn plain_digest(&self) -> &Digest {
        &self.plain_digest
    }

    /// Name, bytes and plain digest, without a copy.
    pub fn into_parts(self) -> (ObjectName, Vec<u8>, Digest) {
        (self.name, self.bytes, self.plain_digest)
    }
}

/// An object under construction.
pub struct ObjectBuilder {
    repository: RepositoryId,
    name: ObjectName,
    kind: Kind,
    header: Vec<u8>,
    meta: SectionKey,
    frames_key: Option<SectionKey>,
    front_bytes: u32,
    frames: Vec<FrameAt>,
    /// Room for the head, then the body so far.
    bytes: Vec<u8>,
}

impl std::fmt::Debug for ObjectBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectBuilder({}, {} frames, {} bytes)", self.name, self.frames.len(), self.bytes.len())
    }
}

impl ObjectBuilder {
    /// Begins an object; its kind follows from its name. `fields` are the header's fields that belong to the kind,
    /// `front` the plain front section.
    pub fn new(
        sealer: &Sealer,
        name: &ObjectName,
        fields: Map<String, Value>,
        protection: Protection,
        front: Option<&[u8]>,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, BuildError> {
        let kind = Kind::of_name(name).ok_or_else(|| BuildError::Name { name: name.to_string() })?;
        let keys = ObjectKeys::draw(sealer, name, protection, entropy)?;
        let header = header::encode(fields, &keys.fields)?;
        if header.len() > HEADER_BYTES_MAX {
            return Err(BuildError::HeaderTooLong { bytes: header.len() });
        }
        let aad = aad_base(sealer.repository(), name, kind, &header);
        let mut builder = Self {
            repository: *sealer.repository(),
            name: name.clone(),
            kind,
            meta: SectionKey::new(keys.meta.as_deref(), aad),
            frames_key: keys.content.as_deref().map(|key| SectionKey::new(Some(key), aad)),
            front_bytes: 0,
            frames: Vec::new(),
            bytes: vec![0; HEAD_BYTES_WITHOUT_HEADER + header.len()],
            header,
        };
        if let Some(front) = front {
            let stored = builder.append_section(Section::Front, front)?;
            builder.front_bytes = u32::try_from(stored).map_err(|_| BuildError::TooLong)?;
        }
        Ok(builder)
    }

    /// Reserves room, so that an object of about `bytes` grows without being moved.
    pub fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Bytes of the object so far, with its head.
    pub fn stored_len(&self) -> usize {
        self.bytes.len()
    }

    /// Compresses and seals the next frame.
    pub fn push_frame(&mut self, plain: &[u8], compressor: &mut Compressor) -> Result<FrameAt, BuildError> {
        let before = self.bytes.len();
        let (encoding, plain_len) = compressor.append_frame(plain, &mut self.bytes)?;
        self.seal_frame(before, plain_len, encoding)
    }

    /// Seals the next frame, which any thread may have compressed.
    pub fn push_compressed(&mut self, frame: &CompressedFrame<'_>) -> Result<FrameAt, BuildError> {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&frame.payload);
        self.seal_frame(before, frame.plain_len, frame.encoding)
    }

    /// Seals, where it lies, the payload from `before` to the end.
    fn seal_frame(
        &mut self,
        before: usize,
        plain_len: u32,
        encoding: Encoding,
    ) -> Result<FrameAt, BuildError> {
        let number = u32::try_from(self.frames.len()).map_err(|_| BuildError::TooLong)?;
        let offset = (before - self.head_bytes()) as u64;
        let key = self.frames_key.as_ref().unwrap_or(&self.meta);
        let stored_len = seal_tail(key, Section::Frame(number), &mut self.bytes, before);
        if (self.bytes.len() - self.head_bytes()) as u64 > BODY_BYTES_MAX {
            // Forgotten again, so that the caller can finish this object and begin another.
            self.bytes.truncate(before);
            return Err(BuildError::TooLong);
        }
        // At most a body's length, which fits.
        let frame = FrameAt { number, offset, stored_len: stored_len as u32, plain_len, encoding };
        self.frames.push(frame);
        Ok(frame)
    }

    /// Appends `plain` as frames of the largest size and finishes: an object whose frames together are one document.
    pub(crate) fn finish_document(
        mut self,
        plain: &[u8],
        compressor: &mut Compressor,
        digest_key: &DigestKey,
        key: &WriterKey,
    ) -> Result<SealedObject, BuildError> {
        for frame in plain.chunks(FRAME_PLAIN_BYTES_MAX) {
            self.push_frame(frame, compressor)?;
        }
        self.finish(&[], digest_key.digest(plain), key)
    }

    /// Writes footer and head: the object is done.
    pub fn finish(
        mut self,
        contents: &[u8],
        plain_digest: Digest,
        key: &WriterKey,
    ) -> Result<SealedObject, BuildError> {
        let footer = footer::encode(&self.frames, contents);
        let stored = self.append_section(Section::Footer, &footer)?;
        let footer_len = u32::try_from(stored).map_err(|_| BuildError::TooLong)?;
        self.bytes.extend_from_slice(&footer_len.to_le_bytes());
        // Their numbers are `u32`.
        self.bytes.extend_from_slice(&(self.frames.len() as u32).to_le_bytes());
        let head_bytes = self.head_bytes();
        let (head, body) = self.bytes.split_at_mut_checked(head_bytes).ok_or(BuildError::TooLong)?;
        if body.len() as u64 > BODY_BYTES_MAX {
            return Err(BuildError::TooLong);
        }
        let draft = HeadDraft {
            kind: self.kind,
            header: &self.header,
            front_bytes: self.front_bytes,
            body_bytes: body.len() as u64,
            plain_digest,
            stored_digest: *blake3::hash(body).as_bytes(),
        };
        head.copy_from_slice(&draft.encode(&self.repository, &self.name, key));
        Ok(SealedObject { name: self.name, bytes: self.bytes, plain_digest })
    }

    /// Appends a front section or footer; its length as stored.
    fn append_section(&mut self, section: Section, plain: &[u8]) -> Result<usize, BuildError> {
        let before = self.bytes.len();
        let payload = compress::compress_section(plain)?;
        self.bytes.extend_from_slice(&payload);
        Ok(seal_tail(&self.meta, section, &mut self.bytes, before))
    }

    fn head_bytes(&self) -> usize {
        HEAD_BYTES_WITHOUT_HEADER + self.header.len()
    }
}

/// Seals the bytes from `before` to the end where they lie, and appends the tag. The length as stored.
fn seal_tail(key: &SectionKey, section: Section, bytes: &mut Vec<u8>, before: usize) -> usize {
    let tag = match bytes.get_mut(before..) {
        Some(payload) => key.seal(section, payload),
        None => [0; TAG_BYTES],
    };
    bytes.extend_from_slice(&tag);
    bytes.len() - before
}

/// The keys of one object, drawn for it alone.
struct ObjectKeys {
    fields: SealingFields,
    meta: Option<Zeroizing<[u8; KEY_BYTES]>>,
    content: Option<Zeroizing<[u8; KEY_BYTES]>>,
}

impl ObjectKeys {
    fn draw(
        sealer: &Sealer,
        name: &ObjectName,
        protection: Protection,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, BuildError> {
        let Some(keys) = sealer.keys() else {
            let fields = SealingFields {
                cipher: Cipher::None,
                frames: Frames::Plain,
                generation: None,
                salt: None,
                wrap: None,
            };
            return Ok(Self { fields, meta: None, content: None });
        };
        let salt: [u8; 32] = random(entropy);
        let mut fields = SealingFields {
            cipher: Cipher::Aes256Gcm,
            frames: Frames::Meta,
            generation: Some(keys.generation),
            salt: Some(Base64Array(salt)),
            wrap: None,
        };
        let mut content = None;
        if protection == Protection::Content {
            let object_key = Zeroizing::new(random::<KEY_BYTES>(entropy));
            let aad = wrap_aad(sealer.repository(), name);
            let wrapped =
                wrap::wrap(&object_key, &keys.public, &aad, entropy).ok_or(BuildError::ClusterPublic)?;
            (fields.frames, fields.wrap) = (Frames::Content, Some(Base64Array(wrapped)));
            content = Some(object_key);
        }
        Ok(Self { fields, meta: Some(keys.meta.object_key(&salt)), content })
    }
}

const _: () = assert!(TRAILER_BYTES == 8, "finish writes two u32 behind the footer");
