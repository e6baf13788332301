//! Pages rebuilt from the images in records.
//!
//! Promises: the page that replay would put in place, or an error; nothing is written behind the page, whatever the image says.
//! The checksum in it is not right: the server computes that when it writes the page to its file.

use std::fmt;

use crate::page::{PAGE_BYTES, Page};

use super::block::{ImageCompression, ImageHeader};

/// Why a page cannot be rebuilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum ImageFault {
    #[error("the image has {found} bytes, its header says {said}")]
    Length { said: u16, found: usize },
    #[error("the hole of the image does not lie in the page")]
    Hole,
    #[error("the image does not decompress ({compression:?}) to the {expected} bytes of its page")]
    Compressed { compression: ImageCompression, expected: usize },
}

/// Rebuilds pages; holds what decompression needs, used again for each.
#[derive(Default)]
pub struct ImageRebuilder {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl fmt::Debug for ImageRebuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImageRebuilder")
    }
}

impl ImageRebuilder {
    /// Writes the page that `image` with these bytes stands for. After an error the page's content is undefined.
    pub fn rebuild(&mut self, image: &ImageHeader, bytes: &[u8], page: &mut Page) -> Result<(), ImageFault> {
        if bytes.len() != usize::from(image.length) {
            return Err(ImageFault::Length { said: image.length, found: bytes.len() });
        }
        let hole = usize::from(image.hole_length);
        let kept = PAGE_BYTES.checked_sub(hole).ok_or(ImageFault::Hole)?;
        let front = usize::from(image.hole_offset);
        let room = page.get_mut(..kept).ok_or(ImageFault::Hole)?;
        match image.compression {
            None if bytes.len() == kept => room.copy_from_slice(bytes),
            None => return Err(ImageFault::Length { said: image.length, found: kept }),
            Some(compression) => {
                let fits = self.decompress(compression, bytes, room);
                fits.then_some(()).ok_or(ImageFault::Compressed { compression, expected: kept })?;
            }
        }
        open_hole(page, front, hole, kept)
    }

    fn decompress(&mut self, compression: ImageCompression, bytes: &[u8], room: &mut [u8]) -> bool {
        let filled = match compression {
            ImageCompression::Pglz => return super::pglz::decompress(bytes, room),
            ImageCompression::Lz4 => lz4_flex::block::decompress_into(bytes, room).ok(),
            ImageCompression::Zstd => self.zstd.decompress_to_buffer(bytes, room).ok(),
        };
        filled == Some(room.len())
    }
}

/// Moves what lies behind the hole to its place, and clears the hole.
fn open_hole(page: &mut Page, front: usize, hole: usize, kept: usize) -> Result<(), ImageFault> {
    if front > kept {
        return Err(ImageFault::Hole);
    }
    let behind = front.checked_add(hole).filter(|end| *end <= PAGE_BYTES).ok_or(ImageFault::Hole)?;
    page.copy_within(front..kept, behind);
    page.get_mut(front..behind).ok_or(ImageFault::Hole)?.fill(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wal::pglz::tests::compress as pglz;

    const WAYS: [Option<ImageCompression>; 4] =
        [None, Some(ImageCompression::Pglz), Some(ImageCompression::Lz4), Some(ImageCompression::Zstd)];

    fn squeeze(way: Option<ImageCompression>, plain: &[u8]) -> Vec<u8> {
        match way {
            None => plain.to_vec(),
            Some(ImageCompression::Pglz) => pglz(plain),
            Some(ImageCompression::Lz4) => lz4_flex::block::compress(plain),
            Some(ImageCompression::Zstd) => zstd::bulk::compress(plain, 3).unwrap(),
        }
    }

    fn header(way: Option<ImageCompression>, length: usize, hole: (u16, u16)) -> ImageHeader {
        let (hole_offset, hole_length) = hole;
        ImageHeader { length: length as u16, hole_offset, hole_length, apply: true, compression: way }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_page_comes_back_whatever_its_hole_and_compression(
            seed: u8, offset in 1u16..8000, hole in 0u16..8000, way in 0usize..4,
        ) {
            let hole = hole.min(8192 - offset);
            let mut page: Page = std::array::from_fn(|i| (i / 40) as u8 ^ seed);
            page[usize::from(offset)..usize::from(offset + hole)].fill(0);
            let end = usize::from(offset + hole);
            let kept = [&page[..usize::from(offset)], &page[end..]].concat();
            let bytes = squeeze(WAYS[way], &kept);
            let header = header(WAYS[way], bytes.len(), (offset, hole));
            let (mut rebuilder, mut found) = (ImageRebuilder::default(), [0xEE; PAGE_BYTES]);
            rebuilder.rebuild(&header, &bytes, &mut found).unwrap();
            prop_assert!(found == page);

            let shorter = ImageHeader { hole_length: hole + 1, ..header };
            // PostgreSQL's own pglz reader cuts the last copy at the end of the room, and so does ours.
            let refused = rebuilder.rebuild(&shorter, &bytes, &mut found).is_err() || way == 1;
            prop_assert!(refused, "a hole that is one byte longer must not fit");
        }

        #[test]
        fn any_image_is_taken_without_a_panic(
            bytes: Vec<u8>, hole_offset: u16, hole_length: u16, way in 0usize..4, right_length: bool,
        ) {
            let length = if right_length { bytes.len() } else { 77 };
            let header = header(WAYS[way], length, (hole_offset, hole_length));
            let mut page = [0; PAGE_BYTES];
            let rebuilt = ImageRebuilder::default().rebuild(&header, &bytes, &mut page);
            prop_assert!(right_length || bytes.len() == 77 || rebuilt.is_err());
        }
    }
}
