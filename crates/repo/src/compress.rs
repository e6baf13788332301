//! Compression of payloads: zstd, or raw where zstd would gain nothing.
//!
//! Promises: what is decompressed has exactly the length that was announced, and no memory beyond it is used; contexts
//! are reused. Compressing is apart from sealing, so several threads can compress frames of one object.

use std::borrow::Cow;
use std::fmt;
use std::io::Cursor;

use zstd::bulk;
use zstd::zstd_safe;

/// Largest plain length of a frame.
pub const FRAME_PLAIN_BYTES_MAX: usize = 1 << 20;
/// Largest plain length of a front section or a footer.
pub const SECTION_PLAIN_BYTES_MAX: usize = 64 << 20;

/// Frames shorter than this are compressed without asking first.
const PROBE_FROM_BYTES: usize = 32 << 10;
/// The probe: so many pieces of so many bytes, spread evenly.
const PROBE_PIECES: usize = 4;
const PROBE_PIECE_BYTES: usize = 2 << 10;
/// A level that is quick and still finds what is there to be found.
const PROBE_LEVEL: i32 = 1;

/// How frames are to be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By zstd at this level.
    Zstd(i32),
}

/// How a frame's payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    Raw,
    /// As one zstd frame.
    Zstd,
}

impl Encoding {
    /// Its number in footers and maps.
    pub fn to_u8(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
        }
    }

    /// The encoding with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A payload that could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompressError {
    /// More than a frame or section may hold.
    #[error("{plain} bytes are too many for one unit, at most {most}")]
    TooLarge {
        /// Plain bytes.
        plain: u64,
        /// How many would do.
        most: usize,
    },
    /// A payload that declares or produces another length than its table says.
    #[error("decompresses to another length than announced: announced: {announced}")]
    Length {
        /// The announced plain length.
        announced: usize,
    },
    /// A payload that does not say its plain length.
    #[error("does not say how long it is when decompressed")]
    LengthUnknown,
    /// What zstd says.
    #[error("zstd: {reason}")]
    Zstd {
        /// zstd's own words.
        reason: String,
    },
}

/// A frame that is ready to be sealed. Made by any thread, appended by the one that has the builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressedFrame<'a> {
    pub(crate) payload: Cow<'a, [u8]>,
    pub(crate) plain_len: u32,
    pub(crate) encoding: Encoding,
}

impl CompressedFrame<'_> {
    /// Bytes of the payload before sealing.
    pub fn payload_len(&self) -> usize {
        self.payload.len()
    }

    /// Bytes that it holds.
    pub fn plain_len(&self) -> usize {
        self.plain_len as usize
    }

    /// What it holds.
    ///
    /// # Errors
    /// What zstd says.
    pub fn plain(&self, decompressor: &mut Decompressor) -> Result<Vec<u8>, CompressError> {
        decompressor.decompress_frame(&self.payload, self.encoding, self.plain_len())
    }

    /// The same, on its own memory: for handing it to another thread.
    pub fn into_owned(self) -> CompressedFrame<'static> {
        let Self { payload, plain_len, encoding } = self;
        CompressedFrame { payload: Cow::Owned(payload.into_owned()), plain_len, encoding }
    }
}

/// The compressing side's contexts. One a thread.
pub struct Compressor {
    zstd: Option<Contexts>,
    /// Room for the longest payload, used again: a fresh one for each frame is mostly time spent on fresh memory.
    room: Vec<u8>,
}

struct Contexts {
    main: bulk::Compressor<'static>,
    probe: bulk::Compressor<'static>,
    sample: Vec<u8>,
    squeezed: Vec<u8>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compressor({})", if self.zstd.is_some() { "zstd" } else { "none" })
    }
}

impl Compressor {
    /// Contexts for a compression.
    pub fn new(compression: Compression) -> Result<Self, CompressError> {
        let zstd = match compression {
            Compression::None => None,
            Compression::Zstd(level) => Some(Contexts {
                main: bulk::Compressor::new(level).map_err(zstd_error)?,
                probe: bulk::Compressor::new(PROBE_LEVEL).map_err(zstd_error)?,
                sample: Vec::new(),
                squeezed: Vec::new(),
            }),
        };
        Ok(Self { zstd, room: Vec::new() })
    }

    /// Compresses a frame of at most [`FRAME_PLAIN_BYTES_MAX`]; incompressible data is lent as it is.
    pub fn compress_frame<'a>(&mut self, plain: &'a [u8]) -> Result<CompressedFrame<'a>, CompressError> {
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        let encoded = self.encode(plain, &mut room);
        let payload = room.as_slice().to_vec();
        self.room = room;
        let (encoding, plain_len) = encoded?;
        let payload = match encoding {
            Encoding::Raw => Cow::Borrowed(plain),
            Encoding::Zstd => Cow::Owned(payload),
        };
        Ok(CompressedFrame { payload, plain_len, encoding })
    }

    /// Appends the payload of a frame to `to`.
    pub(crate) fn append_frame(
        &mut self,
        plain: &[u8],
        to: &mut Vec<u8>,
    ) -> Result<(Encoding, u32), CompressError> {
        let (encoding, plain_len) = self.encode(plain, to)?;
        if encoding == Encoding::Raw {
            to.extend_from_slice(plain);
        }
        Ok((encoding, plain_len))
    }

    /// Appends the zstd frame of `plain` to `to` if it pays; leaves `to` alone if not.
    fn encode(&mut self, plain: &[u8], to: &mut Vec<u8>) -> Result<(Encoding, u32), CompressError> {
        let most = FRAME_PLAIN_BYTES_MAX;
        let too_large = CompressError::TooLarge { plain: plain.len() as u64, most };
        let plain_len = u32::try_from(plain.len()).ok().filter(|_| plain.len() <= most).ok_or(too_large)?;
        let Some(contexts) = &mut self.zstd else { return Ok((Encoding::Raw, plain_len)) };
        if !contexts.is_worth_it(plain)? {
            return Ok((Encoding::Raw, plain_len));
        }
        let before = to.len();
        append(&mut contexts.main, plain, to)?;
        if to.len() - before < plain.len() {
            return Ok((Encoding::Zstd, plain_len));
        }
        to.truncate(before);
        Ok((Encoding::Raw, plain_len))
    }
}

impl Contexts {
    /// Whether a sample of a long frame shrinks. Some pieces in one go, so that what repeats between them counts.
    fn is_worth_it(&mut self, plain: &[u8]) -> Result<bool, CompressError> {
        if plain.len() < PROBE_FROM_BYTES {
            return Ok(true);
        }
        self.sample.clear();
        let stride = plain.len() / PROBE_PIECES;
        for piece in plain.chunks(stride).take(PROBE_PIECES) {
            self.sample.extend(piece.iter().take(PROBE_PIECE_BYTES));
        }
        self.squeezed.clear();
        append(&mut self.probe, &self.sample, &mut self.squeezed)?;
        // Less than a fiftieth gained: not worth the reader's time either.
        Ok(self.squeezed.len() < self.sample.len() - self.sample.len() / 50)
    }
}

/// Appends the zstd frame of `plain`, which declares its length.
fn append(
    context: &mut bulk::Compressor<'static>,
    plain: &[u8],
    to: &mut Vec<u8>,
) -> Result<(), CompressError> {
    to.reserve(zstd_safe::compress_bound(plain.len()));
    let mut cursor = Cursor::new(to);
    cursor.set_position(cursor.get_ref().len() as u64);
    context.compress_to_buffer(plain, &mut cursor).map_err(zstd_error)?;
    Ok(())
}

/// The payload of a front section or a footer.
pub(crate) fn compress_section(plain: &[u8]) -> Result<Vec<u8>, CompressError> {
    if plain.len() > SECTION_PLAIN_BYTES_MAX {
        return Err(CompressError::TooLarge { plain: plain.len() as u64, most: SECTION_PLAIN_BYTES_MAX });
    }
    let mut context = bulk::Compressor::new(zstd_safe::CLEVEL_DEFAULT).map_err(zstd_error)?;
    let mut payload = Vec::new();
    append(&mut context, plain, &mut payload)?;
    Ok(payload)
}

/// The opening side's context. One a thread.
pub struct Decompressor {
    context: bulk::Decompressor<'static>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decompressor")
    }
}

impl Decompressor {
    /// A context.
    pub fn new() -> Result<Self, CompressError> {
        bulk::Decompressor::new().map(|context| Self { context }).map_err(zstd_error)
    }

    /// The plain bytes of a frame: exactly `plain_len`, which may come from storage (it is bounded here).
    pub fn decompress_frame(
        &mut self,
        payload: &[u8],
        encoding: Encoding,
        plain_len: usize,
    ) -> Result<Vec<u8>, CompressError> {
        check_plain_len(plain_len)?;
        let mut plain = vec![0; plain_len];
        self.decompress_frame_to(payload, encoding, &mut plain)?;
        Ok(plain)
    }

    /// The same into `plain`, which is as long as the frame's plain bytes must be.
    pub fn decompress_frame_to(
        &mut self,
        payload: &[u8],
        encoding: Encoding,
        plain: &mut [u8],
    ) -> Result<(), CompressError> {
        let announced = plain.len();
        check_plain_len(announced)?;
        match encoding {
            Encoding::Raw if payload.len() == announced => {
                plain.copy_from_slice(payload);
                Ok(())
            }
            Encoding::Raw => Err(CompressError::Length { announced }),
            Encoding::Zstd => self.decompress_to(payload, plain),
        }
    }

    /// The plain bytes of a front section or a footer, which declares its length in its zstd frame.
    pub(crate) fn decompress_section(&mut self, payload: &[u8]) -> Result<Vec<u8>, CompressError> {
        let declared = zstd_safe::get_frame_content_size(payload).ok().flatten();
        let plain = declared.ok_or(CompressError::LengthUnknown)?;
        let most = SECTION_PLAIN_BYTES_MAX;
        match usize::try_from(plain) {
            Ok(length) if length <= most => self.decompress(payload, length),
            _ => Err(CompressError::TooLarge { plain, most }),
        }
    }

    fn decompress(&mut self, payload: &[u8], plain_len: usize) -> Result<Vec<u8>, CompressError> {
        let mut plain = vec![0; plain_len];
        self.decompress_to(payload, &mut plain)?;
        Ok(plain)
    }

    fn decompress_to(&mut self, payload: &[u8], plain: &mut [u8]) -> Result<(), CompressError> {
        let declared = zstd_safe::get_frame_content_size(payload).ok().flatten();
        let wrong = CompressError::Length { announced: plain.len() };
        if declared.is_some_and(|declared| declared != plain.len() as u64) {
            return Err(wrong);
        }
        // The slice is what bounds the output: zstd never writes past its end.
        let written = self.context.decompress_to_buffer(payload, plain).map_err(zstd_error)?;
        if written == plain.len() { Ok(()) } else { Err(wrong) }
    }
}

/// Refuses a length from storage before room is made for it.
pub(crate) fn check_plain_len(plain_len: usize) -> Result<(), CompressError> {
    if plain_len > FRAME_PLAIN_BYTES_MAX {
        return Err(CompressError::TooLarge { plain: plain_len as u64, most: FRAME_PLAIN_BYTES_MAX });
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn zstd_error(error: std::io::Error) -> CompressError {
    CompressError::Zstd { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::Entropy;
    use crate::testing::Seeded;

    fn compressor() -> Compressor {
        Compressor::new(Compression::Zstd(3)).unwrap()
    }

    fn random(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        Seeded::new(3).fill(&mut noise);
        noise
    }

    #[test]
    fn noise_is_stored_raw_and_lent() {
        let noise = random(256 << 10);
        let frame = compressor().compress_frame(&noise).unwrap();
        assert_eq!(frame.encoding, Encoding::Raw);
        assert!(matches!(frame.payload, Cow::Borrowed(_)));
        assert_eq!(compressor().compress_frame(&noise[..100]).unwrap().encoding, Encoding::Raw);
    }

    #[test]
    fn a_frame_that_is_partly_noise_is_still_compressed() {
        let mut half = random(128 << 10);
        half.resize(256 << 10, 7);
        assert_eq!(compressor().compress_frame(&half).unwrap().encoding, Encoding::Zstd);
    }

    #[test]
    fn no_more_than_announced_is_decompressed() {
        let bomb = zstd::bulk::compress(&vec![0; 8 << 20], 19).unwrap();
        let decompressor = &mut Decompressor::new().unwrap();
        let error = decompressor.decompress_frame(&bomb, Encoding::Zstd, 4096).unwrap_err();
        assert_eq!(error, CompressError::Length { announced: 4096 });
        let error = decompressor.decompress_frame(&bomb, Encoding::Zstd, 8 << 20).unwrap_err();
        assert!(matches!(error, CompressError::TooLarge { .. }));
        // Two zstd frames, the first of which declares what is wanted.
        let two = [zstd::bulk::compress(&[1; 4096], 3).unwrap(), bomb].concat();
        assert!(decompressor.decompress_frame(&two, Encoding::Zstd, 4096).is_err());
        // A zstd frame that declares nothing (streamed), longer than announced.
        let streamed = zstd::stream::encode_all(&[1; 5000][..], 3).unwrap();
        assert!(decompressor.decompress_frame(&streamed, Encoding::Zstd, 4096).is_err());
        assert_eq!(decompressor.decompress_frame(&streamed, Encoding::Zstd, 5000).unwrap(), [1; 5000]);
        assert_eq!(decompressor.decompress_section(&streamed), Err(CompressError::LengthUnknown));
    }

    #[test]
    fn a_raw_frame_has_its_announced_length() {
        let decompressor = &mut Decompressor::new().unwrap();
        assert!(decompressor.decompress_frame(&[1, 2], Encoding::Raw, 3).is_err());
        let mut too_long = vec![0; FRAME_PLAIN_BYTES_MAX + 1];
        let error = decompressor.decompress_frame_to(&[1, 2], Encoding::Zstd, &mut too_long).unwrap_err();
        assert!(matches!(error, CompressError::TooLarge { .. }), "{error}");
        assert_eq!(decompressor.decompress_frame(&[1, 2], Encoding::Raw, 2).unwrap(), [1, 2]);
    }

    #[test]
    fn frames_over_the_limit_are_refused() {
        let error = compressor().compress_frame(&vec![0; FRAME_PLAIN_BYTES_MAX + 1]).unwrap_err();
        assert!(matches!(error, CompressError::TooLarge { .. }));
    }

    proptest! {
        #[test]
        fn frames_round_trip(seed: Vec<u8>, times in 1..40usize, zstd: bool) {
            let plain = seed.repeat(times);
            let compression = if zstd { Compression::Zstd(1) } else { Compression::None };
            let mut compressor = Compressor::new(compression).unwrap();
            let frame = compressor.compress_frame(&plain).unwrap();
            let mut appended = vec![1, 2, 3];
            let (encoding, _) = compressor.append_frame(&plain, &mut appended).unwrap();
            prop_assert_eq!((encoding, &appended[..3], &appended[3..]), (frame.encoding, &[1, 2, 3][..], &frame.payload[..]));
            let opened = Decompressor::new().unwrap().decompress_frame(&frame.payload, frame.encoding, plain.len());
            prop_assert_eq!(opened.unwrap(), plain);
        }

        #[test]
        fn sections_round_trip(plain: Vec<u8>) {
            let payload = compress_section(&plain).unwrap();
            prop_assert_eq!(Decompressor::new().unwrap().decompress_section(&payload).unwrap(), plain);
        }
    }
}
