//! Where pages lie: a frame of a pack, with all that is needed to fetch and open it.
//!
//! Promises that a place read from a map keeps the format's limits. Deliberately does not know the pack's key: that
//! is in the pack's own head.

use crate::bytes::{DecodeError, Reader, Writer};
use crate::compress::{Encoding, FRAME_PLAIN_BYTES_MAX};
use crate::envelope::BODY_BYTES_MAX;
use crate::object::FrameAt;
use crate::pack::PackId;
use crate::seal::TAG_BYTES;

/// Bytes of a page; a file's last may be shorter.
pub const PAGE_BYTES: usize = 8_192;

/// Pages that a leaf covers: 32 MiB of a file.
pub const LEAF_PAGES: usize = 4_096;

/// A frame of a pack, and how to read it without the pack's footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FramePlace {
    /// The pack.
    pub pack: PackId,
    /// Where the frame lies in it.
    pub at: FrameAt,
}

impl FramePlace {
    /// What tells one frame from every other: pack and number.
    pub fn identity(&self) -> (PackId, u32) {
        (self.pack, self.at.number)
    }

    /// Where the frame ends, from the beginning of the pack's body.
    pub fn end(&self) -> u64 {
        self.at.offset + u64::from(self.at.stored_len)
    }

    pub(super) fn write(&self, pack_index: u64, to: &mut Writer) {
        to.varint(pack_index);
        to.varint(self.at.number.into());
        to.varint(self.at.offset);
        to.varint(self.at.stored_len.into());
        to.varint(self.at.plain_len.into());
        to.u8(self.at.encoding.to_u8());
    }

    pub(super) fn read(packs: &[PackId], from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let index = from.varint()?;
        let pack = usize::try_from(index).ok().and_then(|index| packs.get(index));
        let pack = *pack.ok_or_else(|| from.invalid("a frame names a pack that is not in the list"))?;
        let number = from.varint_u32("frame number")?;
        let offset = from.varint_in("frame offset", 0, BODY_BYTES_MAX)?;
        let stored =
            from.varint_in("stored length of a frame", TAG_BYTES as u64 + 1, BODY_BYTES_MAX - offset)?;
        let plain = from.varint_in("plain length of a frame", 1, FRAME_PLAIN_BYTES_MAX as u64)?;
        let byte = from.u8()?;
        let encoding = Encoding::from_u8(byte).ok_or_else(|| from.invalid("unknown encoding of a frame"))?;
        // Both lengths are bounded far below 2^32.
        let at = FrameAt { number, offset, stored_len: stored as u32, plain_len: plain as u32, encoding };
        Ok(Self { pack, at })
    }
}
