//! An object as its bytes stream by: held against the digest that its head signs, and where it is a pack, each frame opened on the way.
//!
//! Promises: memory of one piece and one frame, whatever the object's size; what comes out is what reading it whole would say. What a
//! frame shows counts only once all stored bytes are what was signed: a flipped bit is damage, wherever it lies.

use seawall_pg::WalFileName;
use seawall_repo::compress::Decompressor;
use seawall_repo::keys::{Digest, DigestKey};
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::object::{Footer, FrameAt, FrameBuffers, FrameOpener, OpenHead};
use seawall_repo::pack::{PackContents, PackHeader};
use seawall_repo::wal_index::SegmentIndex;
use seawall_repo::wal_object::{WalHeader, WalReader};

use super::found::Way;
use super::object::{Check, Checked, Good, Wrong, edges, good, misnamed, pages_wrong};
use super::pages::{self, PageFacts};

/// An object under way.
#[derive(Debug)]
pub(super) struct BodyCheck {
    head: OpenHead,
    /// The head as it was read first: the stream has to begin with it.
    head_bytes: Vec<u8>,
    stored: blake3::Hasher,
    at: u64,
    frames: Option<Frames>,
    /// The front section of a segment, with its index, as far as it went by.
    front: Vec<u8>,
    good: Good,
    fault: Option<Wrong>,
}

/// The longest index that is looked at while a segment streams by.
const FRONT_BYTES_MAX: u32 = 1 << 20;

/// The frames of a pack.
struct Frames {
    opener: FrameOpener,
    table: Vec<FrameAt>,
    contents: PackContents,
    digest_key: DigestKey,
    facts: Option<PageFacts>,
    decompressor: Decompressor,
    buffers: FrameBuffers,
    next: usize,
    /// The beginning of the next frame, where a piece ended within it.
    begun: Vec<u8>,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frames({} of {})", self.next, self.table.len())
    }
}

impl BodyCheck {
    /// Of an object whose head was believed; `prefix` begins with it.
    pub(super) fn new(head: OpenHead, prefix: &[u8]) -> Self {
        let head_bytes = prefix.get(..head.head().head_bytes()).unwrap_or_default().to_vec();
        let good = Good { closed: true, ..good(&head) };
        let (stored, front) = (blake3::Hasher::new(), Vec::new());
        Self { head, head_bytes, stored, at: 0, frames: None, front, good, fault: None }
    }

    /// The pack's frames are opened too, as far as the keys allow. `tail` is the end of the body, with the footer.
    pub(super) fn with_frames(mut self, check: &Check<'_>, tail: &[u8], decompressor: Decompressor) -> Self {
        match self.open(check, tail, decompressor) {
            Ok(frames) => self.frames = frames,
            Err(wrong) => self.fault = Some(wrong),
        }
        self
    }

    fn open(
        &mut self,
        check: &Check<'_>,
        tail: &[u8],
        mut decompressor: Decompressor,
    ) -> Result<Option<Frames>, Wrong> {
        let header: PackHeader = self.head.header_as()?;
        if !is_of(self.head.name(), &header) {
            return Err(misnamed());
        }
        let opener = self.head.opener(check.keys)?;
        let Footer { frames: table, contents: plain } = opener.open_footer(tail, &mut decompressor)?;
        let digest_key = check.digest_key(&self.head)?;
        let lengths: Vec<u32> = table.iter().map(|frame| frame.plain_len).collect();
        let contents = PackContents::decode(&plain, &lengths)
            .map_err(|error| Wrong::new(Way::Damaged, error.to_string()))?;
        self.head.verify_plain(&digest_key.digest(&plain))?;
        self.good.closed = check.is_closed(&self.head);
        let (facts, buffers, begun) = (check.pages.cloned(), FrameBuffers::default(), Vec::new());
        let frames =
            Frames { opener, table, contents, digest_key, facts, decompressor, buffers, next: 0, begun };
        Ok((!self.good.closed).then_some(frames))
    }

    /// The next bytes of the object.
    pub(super) fn take(&mut self, piece: &[u8]) {
        let head = self.head_bytes.len() as u64;
        let of_head = usize::try_from(head.saturating_sub(self.at)).unwrap_or(usize::MAX).min(piece.len());
        let (front, body) = piece.split_at_checked(of_head).unwrap_or((piece, &[]));
        let begin = usize::try_from(self.at).unwrap_or(usize::MAX);
        if !front.is_empty() && self.head_bytes.get(begin..).is_none_or(|known| !known.starts_with(front)) {
            self.fault = Some(Wrong::new(Way::Damaged, "its head is another than a moment before"));
        }
        self.stored.update(body);
        if let Some(index) = self.front_bytes() {
            let wanted = (index as usize).saturating_sub(self.front.len());
            self.front.extend_from_slice(body.get(..wanted).unwrap_or(body));
        }
        let at = (self.at.saturating_add(of_head as u64)).saturating_sub(head);
        if let Some(frames) = &mut self.frames
            && let Err(wrong) = frames.take(at, body, &mut self.good)
        {
            self.fault = Some(wrong);
            self.frames = None;
        }
        self.at = self.at.saturating_add(piece.len() as u64);
    }

    /// How long the index of a segment is, where it has one that is not too long.
    fn front_bytes(&self) -> Option<u32> {
        let Named::Wal { file: WalFileName::Segment(_), .. } = self.head.name().named() else { return None };
        Some(self.head.head().front_bytes()).filter(|bytes| (1..=FRONT_BYTES_MAX).contains(bytes))
    }

    /// How a segment begins and ends, as its index tells; none where it cannot be opened: this look promises stored bytes alone.
    fn index(&self, check: &Check<'_>) -> Option<Box<SegmentIndex>> {
        self.front_bytes()?;
        let reader = WalReader { trust: check.trust, keys: check.keys };
        let index = reader.index(&self.head, &self.front, &mut Decompressor::new().ok()?).ok()?;
        index.ok().map(Box::new)
    }

    /// Everything was given.
    pub(super) fn finish(self, check: &Check<'_>) -> Checked {
        let head = &self.head;
        head.head().check_object_bytes(self.at).map_err(|error| head.fault(error))?;
        head.verify_stored(self.stored.finalize().as_bytes())?;
        let edges = edges(self.index(check), head.head().writer());
        match self.fault.or_else(|| pages_wrong(&self.good.pages)) {
            Some(wrong) => Err(wrong),
            None => Ok(Good { parts: parts_of(head)?, edges, ..self.good }),
        }
    }
}

/// The digests of a WAL file's parts, where it lies in parts.
fn parts_of(head: &OpenHead) -> Result<Option<Vec<Digest>>, Wrong> {
    if !matches!(head.name().named(), Named::Wal { .. }) {
        return Ok(None);
    }
    let header: WalHeader = head.header_as()?;
    Ok(header.parts.map(|parts| parts.iter().map(|part| part.0).collect()))
}

fn is_of(name: &ObjectName, header: &PackHeader) -> bool {
    matches!(name.named(), Named::Pack { backup, number, .. } if (*backup, *number) == (header.backup, header.pack))
}

impl Frames {
    /// Bytes of the body from `at` on.
    fn take(&mut self, mut at: u64, mut bytes: &[u8], good: &mut Good) -> Result<(), Wrong> {
        while let Some(frame) = self.table.get(self.next).copied() {
            // What lies before the first frame is the front section.
            let before = usize::try_from(frame.offset.saturating_sub(at)).unwrap_or(usize::MAX);
            let Some((skipped, rest)) = bytes.split_at_checked(before) else { return Ok(()) };
            (at, bytes) = (at.saturating_add(skipped.len() as u64), rest);
            let wanted = (frame.stored_len as usize).saturating_sub(self.begun.len());
            let Some((stored, rest)) = bytes.split_at_checked(wanted) else {
                self.begun.extend_from_slice(bytes);
                return Ok(());
            };
            self.frame(&frame, stored, good)?;
            (at, bytes) = (at.saturating_add(stored.len() as u64), rest);
            self.begun.clear();
            self.next += 1;
        }
        Ok(())
    }

    fn frame(&mut self, frame: &FrameAt, stored: &[u8], good: &mut Good) -> Result<(), Wrong> {
        let stored = if self.begun.is_empty() {
            stored
        } else {
            self.begun.extend_from_slice(stored);
            &self.begun
        };
        let (decompressor, buffers) = (&mut self.decompressor, &mut self.buffers);
        let plain = self.opener.open_frame_in(frame, stored, decompressor, buffers)?;
        let slots = self.contents.frames.get(self.next).map_or(&[][..], Vec::as_slice);
        pages::look(plain, slots, &self.contents, &self.digest_key, self.facts.as_ref(), &mut good.pages);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::tests::ground::Ground;

    /// However the bytes are cut into pieces, what comes out is the same; and every flipped bit is found.
    #[tokio::test]
    async fn pieces_say_what_the_whole_says() {
        let mut ground = Ground::new(1).await;
        let file: Vec<u8> =
            (0..40).flat_map(|block| super::super::tests::ground::page(block, (block * 7) as u8)).collect();
        ground.backup(2, &[(b"base/5/16384", file)]).await;
        let objects = ground.objects().await;
        let (name, bytes) = objects[0].iter().find(|(name, _)| name.contains("/pack/")).unwrap();
        let (name, reader) = (ObjectName::parse(name).unwrap(), ground.bench.as_reader().await.unwrap());
        let (trust, keys) = (reader.trust(), reader.keys());
        let check = Check { trust, keys, created: None, pages: None, wal: None };
        let checked = |bytes: &[u8], piece: usize, deep: bool| {
            let head = check.head_of(&name, bytes, bytes.len() as u64)?;
            let body = BodyCheck::new(head, bytes);
            let mut body =
                if deep { body.with_frames(&check, bytes, Decompressor::new().unwrap()) } else { body };
            bytes.chunks(piece).for_each(|piece| body.take(piece));
            body.finish(&check)
        };
        let whole = checked(bytes, usize::MAX, true).unwrap();
        assert_eq!((whole.pages.pages, whole.closed), (40, false));
        for piece in [1, 7, 100, 4096, bytes.len() - 1] {
            assert_eq!(checked(bytes, piece, true).unwrap(), whole, "{piece}");
        }
        assert!(checked(bytes, 100, false).unwrap().closed);
        for at in (0..bytes.len()).step_by(61).chain([bytes.len() - 1]) {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 4;
            for deep in [true, false] {
                let wrong = checked(&flipped, 1000, deep).unwrap_err();
                assert!(matches!(wrong.way, Way::Damaged | Way::Forged), "{at} {deep}: {wrong:?}");
            }
        }
    }
}
