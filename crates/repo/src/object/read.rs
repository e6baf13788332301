//! Reading an object: the head first, then any frame by its own small range, or the whole.
//!
//! Promises: nothing is handed out before the head's signature was checked against [`Trust`]; a range that was damaged,
//! moved or swapped does not open; nothing longer than announced is made. Deliberately fetches nothing: bytes are given.

use std::sync::mpsc;

use serde::de::DeserializeOwned;

use crate::bytes::Reader;
use crate::compress::{Decompressor, check_plain_len};
use crate::envelope::{Frames, Head, Kind, wrap_aad};
use crate::error::{Fault, ObjectError};
use crate::id::{Generation, RepositoryId};
use crate::keys::Digest;
use crate::layout::ObjectName;
use crate::object::footer::{self, Footer, FrameAt, TRAILER_BYTES};
use crate::object::key_ring::KeyRing;
use crate::seal::aead::SectionKey;
use crate::seal::{Section, TAG_BYTES, wrap};
use crate::time::Time;
use crate::trust::Trust;

/// A head whose signer is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenHead {
    name: ObjectName,
    repository: RepositoryId,
    head: Head,
}

impl OpenHead {
    /// Reads and verifies the head in the first bytes of an object ([`Head::needs`] says how many are needed). `created` is
    /// the store's time of creation, see [`Trust::verify_object`].
    pub fn open(
        name: &ObjectName,
        prefix: &[u8],
        trust: &Trust,
        created: Option<Time>,
    ) -> Result<Self, ObjectError> {
        let fault = |fault: Fault| ObjectError::new(name, fault);
        let head = Head::parse(prefix).map_err(|error| fault(error.into()))?;
        trust.verify_object(name, &head, created).map_err(|error| fault(error.into()))?;
        if Kind::of_name(name) != Some(head.kind()) {
            return Err(fault(Fault::OtherKind));
        }
        Ok(Self { name: name.clone(), repository: *trust.repository(), head })
    }

    /// The object's name.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// What the head says.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The fields of the header that belong to the kind.
    pub fn header_as<H: DeserializeOwned>(&self) -> Result<H, ObjectError> {
        let header = serde_json::Value::Object(self.head.header().clone());
        serde_json::from_value(header)
            .map_err(|error| self.fault(Fault::KindHeader { reason: error.to_string() }))
    }

    /// The keys' generation; none where nothing is encrypted.
    pub fn generation(&self) -> Option<Generation> {
        self.head.sealing().generation
    }

    /// Checks the whole body against the signed digest.
    pub fn verify_body(&self, body: &[u8]) -> Result<(), ObjectError> {
        if body.len() as u64 != self.head.body_bytes() {
            return Err(self.fault(Fault::BodyDamaged));
        }
        self.verify_stored(blake3::hash(body).as_bytes())
    }

    /// Checks the digest of a body, as long as the head says, that streamed by.
    pub fn verify_stored(&self, digest: &[u8; 32]) -> Result<(), ObjectError> {
        if digest == self.head.stored_digest() { Ok(()) } else { Err(self.fault(Fault::BodyDamaged)) }
    }

    /// Checks plain content against the signed digest: `digest` as FORMAT §5.3 says for the kind.
    pub fn verify_plain(&self, digest: &Digest) -> Result<(), ObjectError> {
        if digest == self.head.plain_digest() { Ok(()) } else { Err(self.fault(Fault::PlainDigest)) }
    }

    /// An error about this object.
    pub fn fault(&self, fault: impl Into<Fault>) -> ObjectError {
        ObjectError::new(&self.name, fault.into())
    }

    /// What opens the object's sections. The cluster's secret is asked for when the first frame of content is.
    pub fn opener(&self, keys: &KeyRing) -> Result<FrameOpener, ObjectError> {
        FrameOpener::new(self, keys).map_err(|fault| self.fault(fault))
    }
}

/// Opens the sections of one object.
pub struct FrameOpener {
    name: ObjectName,
    meta: SectionKey,
    frames: FramesKey,
    front_bytes: u32,
    body_bytes: u64,
}

/// How frames open.
enum FramesKey {
    /// As front and footer do.
    Meta,
    /// Under the object key.
    Content(Box<SectionKey>),
    /// Not here: what is missing.
    Closed(Fault),
}

impl std::fmt::Debug for FrameOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FrameOpener({})", self.name)
    }
}

impl FrameOpener {
    fn new(open: &OpenHead, keys: &KeyRing) -> Result<Self, Fault> {
        let (head, sealing) = (&open.head, open.head.sealing());
        let aad = head.aad_base(&open.repository, &open.name);
        let meta = match (sealing.generation, &sealing.salt) {
            (Some(generation), Some(salt)) => {
                let meta = keys.meta(generation).ok_or(Fault::NeedsMetaKey { generation })?;
                Some(meta.object_key(&salt.0))
            }
            _ => None,
        };
        let frames = match sealing.frames {
            Frames::Meta | Frames::Plain => FramesKey::Meta,
            Frames::Content => match content_key(open, keys) {
                Ok(key) => FramesKey::Content(Box::new(SectionKey::new(Some(&key), aad))),
                Err(fault) => FramesKey::Closed(fault),
            },
        };
        Ok(Self {
            name: open.name.clone(),
            meta: SectionKey::new(meta.as_deref(), aad),
            frames,
            front_bytes: head.front_bytes(),
            body_bytes: head.body_bytes(),
        })
    }

    /// Opens the front section from the first bytes of the body; none if the object has none.
    pub fn open_front(
        &self,
        body: &[u8],
        decompressor: &mut Decompressor,
    ) -> Result<Option<Vec<u8>>, ObjectError> {
        if self.front_bytes == 0 {
            return Ok(None);
        }
        let wanted = self.front_bytes as usize;
        let stored = body.get(..wanted).ok_or_else(|| self.short(Section::Front, wanted, body.len()))?;
        self.open_section(Section::Front, stored, decompressor).map(Some)
    }

    /// Opens a frame from its stored bytes: what a range from its offset, as long as stored, gives.
    pub fn open_frame(
        &self,
        frame: &FrameAt,
        stored: &[u8],
        decompressor: &mut Decompressor,
    ) -> Result<Vec<u8>, ObjectError> {
        let mut buffers = FrameBuffers::default();
        self.open_frame_in(frame, stored, decompressor, &mut buffers)?;
        Ok(buffers.plain)
    }

    /// The same in buffers that are used again from frame to frame.
    pub fn open_frame_in<'b>(
        &self,
        frame: &FrameAt,
        stored: &[u8],
        decompressor: &mut Decompressor,
        buffers: &'b mut FrameBuffers,
    ) -> Result<&'b [u8], ObjectError> {
        let plain_len = frame.plain_len as usize;
        let too_long =
            |source| self.fault(Fault::Decompress { section: Section::Frame(frame.number), source });
        check_plain_len(plain_len).map_err(too_long)?;
        buffers.plain.resize(plain_len, 0);
        self.open_frame_to(frame, stored, decompressor, &mut buffers.sealing, &mut buffers.plain)?;
        Ok(&buffers.plain)
    }

    /// The same into `plain`, which is as long as the frame's plain bytes; `sealing` is room for what is decrypted in place.
    fn open_frame_to(
        &self,
        frame: &FrameAt,
        stored: &[u8],
        decompressor: &mut Decompressor,
        sealing: &mut Vec<u8>,
        plain: &mut [u8],
    ) -> Result<(), ObjectError> {
        let section = Section::Frame(frame.number);
        if stored.len() != frame.stored_len as usize {
            return Err(self.short(section, frame.stored_len as usize, stored.len()));
        }
        let key = match &self.frames {
            FramesKey::Meta => &self.meta,
            FramesKey::Content(key) => key,
            FramesKey::Closed(fault) => return Err(ObjectError::new(&self.name, fault.clone())),
        };
        sealing.clear();
        sealing.extend_from_slice(stored);
        let payload = key.open(section, sealing).ok_or_else(|| self.fault(Fault::Sealing { section }))?;
        decompressor
            .decompress_frame_to(payload, frame.encoding, plain)
            .map_err(|source| self.fault(Fault::Decompress { section, source }))
    }

    /// How many bytes from the end of the body the footer takes, told by the last 8 of them.
    pub fn footer_needs(&self, tail: &[u8]) -> Result<usize, ObjectError> {
        self.trailer(tail).map(|(footer_bytes, _)| footer_bytes as usize + TRAILER_BYTES)
    }

    /// Opens the footer from the last bytes of the body, as many as [`FrameOpener::footer_needs`] says or more.
    pub fn open_footer(&self, tail: &[u8], decompressor: &mut Decompressor) -> Result<Footer, ObjectError> {
        let section = Section::Footer;
        let (footer_bytes, frames) = self.trailer(tail)?;
        let (footer_len, there) = (footer_bytes as usize, tail.len());
        let from = there
            .checked_sub(footer_len + TRAILER_BYTES)
            .ok_or_else(|| self.short(section, footer_len + TRAILER_BYTES, there))?;
        let stored = tail.get(from..from + footer_len).unwrap_or_default();
        let plain = self.open_section(section, stored, decompressor)?;
        let end = self.body_bytes - TRAILER_BYTES as u64 - u64::from(footer_bytes);
        footer::decode(&plain, frames, u64::from(self.front_bytes), end)
            .map_err(|source| self.fault(Fault::Decode { section, source }))
    }

    /// The footer's stored length, which fits into the body beside the front section, and the number of frames.
    fn trailer(&self, tail: &[u8]) -> Result<(u32, u32), ObjectError> {
        let section = Section::Footer;
        let from = tail.len().checked_sub(TRAILER_BYTES);
        let last = from
            .and_then(|from| tail.get(from..))
            .ok_or_else(|| self.short(section, TRAILER_BYTES, tail.len()))?;
        let mut reader = Reader::new(last);
        let decode = |source| self.fault(Fault::Decode { section, source });
        let (footer_bytes, frames) = (reader.u32().map_err(decode)?, reader.u32().map_err(decode)?);
        let taken = u64::from(footer_bytes) + TRAILER_BYTES as u64 + u64::from(self.front_bytes);
        if taken > self.body_bytes || (footer_bytes as usize) < TAG_BYTES {
            return Err(self.short(section, footer_bytes as usize, tail.len()));
        }
        Ok((footer_bytes, frames))
    }

    fn open_section(
        &self,
        section: Section,
        stored: &[u8],
        decompressor: &mut Decompressor,
    ) -> Result<Vec<u8>, ObjectError> {
        let mut sealing = stored.to_vec();
        let payload =
            self.meta.open(section, &mut sealing).ok_or_else(|| self.fault(Fault::Sealing { section }))?;
        decompressor
            .decompress_section(payload)
            .map_err(|source| self.fault(Fault::Decompress { section, source }))
    }

    fn fault(&self, fault: Fault) -> ObjectError {
        ObjectError::new(&self.name, fault)
    }

    fn short(&self, section: Section, wanted: usize, there: usize) -> ObjectError {
        self.fault(Fault::ShortRange { section, wanted: wanted as u64, there: there as u64 })
    }
}

/// Room for opening one frame after the other.
#[derive(Debug, Default)]
pub struct FrameBuffers {
    /// What is decrypted in place.
    sealing: Vec<u8>,
    /// The plain frame.
    plain: Vec<u8>,
}

/// The object key of an object whose frames are content.
fn content_key(open: &OpenHead, keys: &KeyRing) -> Result<zeroize::Zeroizing<[u8; 32]>, Fault> {
    let sealing = open.head.sealing();
    let (Some(generation), Some(wrapped)) = (sealing.generation, &sealing.wrap) else {
        // The header's check lets no such object through.
        return Err(Fault::BodyDamaged);
    };
    let secret = keys.secret(generation).ok_or(Fault::NeedsIdentity { generation })?;
    let aad = wrap_aad(&open.repository, &open.name);
    wrap::unwrap(&wrapped.0, secret, &aad).ok_or(Fault::ObjectKey { generation })
}

/// An object at hand as a whole, checked from end to end: length, signature, stored digest, footer.
#[derive(Debug)]
pub struct WholeObject<'a> {
    open: OpenHead,
    opener: FrameOpener,
    footer: Footer,
    body: &'a [u8],
}

impl<'a> WholeObject<'a> {
    /// Opens an object from all its bytes.
    pub fn open(
        name: &ObjectName,
        object: &'a [u8],
        trust: &Trust,
        created: Option<Time>,
        keys: &KeyRing,
        decompressor: &mut Decompressor,
    ) -> Result<Self, ObjectError> {
        let open = OpenHead::open(name, object, trust, created)?;
        open.head.check_object_bytes(object.len() as u64).map_err(|error| open.fault(error))?;
        let body = object.get(open.head.head_bytes()..).unwrap_or_default();
        open.verify_body(body)?;
        let opener = open.opener(keys)?;
        let footer = opener.open_footer(body, decompressor)?;
        Ok(Self { open, opener, footer, body })
    }

    /// The verified head.
    pub fn head(&self) -> &OpenHead {
        &self.open
    }

    /// The footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The plain front section; none if the object has none.
    pub fn front(&self, decompressor: &mut Decompressor) -> Result<Option<Vec<u8>>, ObjectError> {
        self.opener.open_front(self.body, decompressor)
    }

    /// The plain bytes of a frame that the footer lists.
    pub fn frame(&self, frame: &FrameAt, decompressor: &mut Decompressor) -> Result<Vec<u8>, ObjectError> {
        self.opener.open_frame(frame, self.stored(frame), decompressor)
    }

    /// The same in buffers that are used again from frame to frame.
    pub fn frame_in<'b>(
        &self,
        frame: &FrameAt,
        decompressor: &mut Decompressor,
        buffers: &'b mut FrameBuffers,
    ) -> Result<&'b [u8], ObjectError> {
        self.opener.open_frame_in(frame, self.stored(frame), decompressor, buffers)
    }

    /// The plain bytes of all frames, one after the other; refused if they are more than `most`.
    pub fn all_frames(&self, most: usize, decompressor: &mut Decompressor) -> Result<Vec<u8>, ObjectError> {
        let plain_len: u64 = self.footer.frames.iter().map(|frame| u64::from(frame.plain_len)).sum();
        let length = usize::try_from(plain_len).ok().filter(|length| *length <= most);
        let length = length.ok_or_else(|| self.open.fault(Fault::TooMuch { plain: plain_len, most }))?;
        let mut plain = vec![0; length];
        self.open_in_turn(&self.footer.frames, &mut plain, decompressor)?;
        Ok(plain)
    }

    /// The plain bytes of all frames in order, each given to `take` while a thread beside opens the next and gives it to `first`: for a
    /// segment of WAL that a recovery waits for. Refused if they are more than `most`.
    ///
    /// # Errors
    /// A damaged frame; within, what `take` says, after which nothing more is opened.
    pub fn each_frame<E>(
        &self,
        most: usize,
        decompressor: &mut Decompressor,
        first: impl FnMut(&[u8]) + Send,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, ObjectError> {
        let plain_len: u64 = self.footer.frames.iter().map(|frame| u64::from(frame.plain_len)).sum();
        if plain_len > most as u64 {
            return Err(self.open.fault(Fault::TooMuch { plain: plain_len, most }));
        }
        std::thread::scope(|scope| {
            let (full, opened) = mpsc::sync_channel(1);
            let (back, free) = mpsc::channel();
            // One is being filled, one waits, one is being taken.
            for _ in 0..3 {
                let _never_closed_here = back.send(Vec::new());
            }
            scope.spawn(move || self.open_for(decompressor, first, &free, &full));
            for plain in opened {
                let plain = plain?;
                if let Err(refused) = take(&plain) {
                    return Ok(Err(refused));
                }
                // The other end is closed when the last frame was opened.
                let _unused = back.send(plain);
            }
            Ok(Ok(()))
        })
    }

    /// Opens frame after frame into buffers from `free`; ends when nobody takes them any more, and at the first damage.
    fn open_for(
        &self,
        decompressor: &mut Decompressor,
        mut first: impl FnMut(&[u8]),
        free: &mpsc::Receiver<Vec<u8>>,
        full: &mpsc::SyncSender<Result<Vec<u8>, ObjectError>>,
    ) {
        let mut sealing = Vec::new();
        for frame in &self.footer.frames {
            let Ok(mut plain) = free.recv() else { return };
            plain.resize(frame.plain_len as usize, 0);
            let opened =
                self.opener.open_frame_to(frame, self.stored(frame), decompressor, &mut sealing, &mut plain);
            let ended = opened.is_err();
            if !ended {
                first(&plain);
            }
            if full.send(opened.map(|()| plain)).is_err() || ended {
                return;
            }
        }
    }

    /// Opens frames one after the other into their places in `plain`.
    fn open_in_turn(
        &self,
        frames: &[FrameAt],
        plain: &mut [u8],
        decompressor: &mut Decompressor,
    ) -> Result<(), ObjectError> {
        let (mut rest, mut sealing) = (plain, Vec::new());
        for frame in frames {
            let (room, after) = rest
                .split_at_mut_checked(frame.plain_len as usize)
                .ok_or_else(|| self.open.fault(Fault::BodyDamaged))?;
            self.opener.open_frame_to(frame, self.stored(frame), decompressor, &mut sealing, room)?;
            rest = after;
        }
        Ok(())
    }

    /// The stored bytes of a frame; fewer where the body does not have them.
    fn stored(&self, frame: &FrameAt) -> &'a [u8] {
        let from = usize::try_from(frame.offset).ok();
        from.and_then(|from| self.body.get(from..)?.get(..frame.stored_len as usize)).unwrap_or_default()
    }
}
