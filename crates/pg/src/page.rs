//! Relation pages: header, emptiness and checksum.
//!
//! Promises: the checksum of `src/include/storage/checksum_impl.h`, fast enough that it never is what a backup
//! waits for: with AVX2 about 19 GB/s a core from cache and 10 GB/s from memory, as the example
//! `page_checksum_speed` measured on a busy virtual machine.
//! Deliberately not here: what to do about a page whose checksum is wrong (`page_check`).

use crate::lsn::Lsn;

/// The size of a page, in bytes. Servers built with another size are refused when `pg_control` is read.
pub const PAGE_BYTES: usize = 8192;
/// The same, as files hold it.
pub(crate) const PAGE_BYTES_U32: u32 = 8192;

/// The bytes of one page.
pub type Page = [u8; PAGE_BYTES];

/// Columns of the checksum: sums that run side by side, and so lanes of a vector.
const LANES: usize = 32;
const ROW_BYTES: usize = LANES * 4;
const PRIME: u32 = 0x0100_0193;

/// What the sums start with (`checksumBaseOffsets`).
const BASE_OFFSETS: [u32; LANES] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// The first 24 bytes of a page (`PageHeaderData`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// Where the WAL record of the last change ends.
    pub lsn: Lsn,
    /// The stored checksum; zero where checksums are off.
    pub checksum: u16,
    /// `pd_flags`.
    pub flags: u16,
    /// Where free space begins.
    pub lower: u16,
    /// Where free space ends; zero on a page that was never initialised.
    pub upper: u16,
    /// Where the access method's own part begins.
    pub special: u16,
    /// Page size and layout version; 0x2004 on every supported server.
    pub size_and_version: u16,
}

impl PageHeader {
    /// Reads the header of a page.
    pub fn decode(page: &Page) -> Self {
        let [h0, h1, h2, h3, l0, l1, l2, l3, c0, c1, f0, f1, low0, low1, up0, up1, sp0, sp1, sv0, sv1, ..] =
            *page;
        Self {
            // The two halves are stored one after the other, the upper one first.
            lsn: Lsn::from_halves(u32::from_le_bytes([h0, h1, h2, h3]), u32::from_le_bytes([l0, l1, l2, l3])),
            checksum: u16::from_le_bytes([c0, c1]),
            flags: u16::from_le_bytes([f0, f1]),
            lower: u16::from_le_bytes([low0, low1]),
            upper: u16::from_le_bytes([up0, up1]),
            special: u16::from_le_bytes([sp0, sp1]),
            size_and_version: u16::from_le_bytes([sv0, sv1]),
        }
    }

    /// Whether the page was never initialised. Legitimate only where all of it is zero.
    pub fn is_new(&self) -> bool {
        self.upper == 0
    }
}

/// Whether all bytes of a page are zero. Ends at the first piece that holds anything.
pub fn is_zero(page: &Page) -> bool {
    page.as_chunks::<256>().0.iter().all(|piece| piece.iter().fold(0, |all, byte| all | byte) == 0)
}

/// The checksum that a page should carry, 1 to 65535, whatever stands in its checksum field.
///
/// `block` is the block's number in the whole fork, not in its file.
pub fn page_checksum(page: &Page, block: u32) -> u16 {
    let folded = fold(page) ^ block;
    // The remainder is below 65535, so neither the addition nor the conversion can lose anything.
    u16::try_from(folded % 65535).unwrap_or_default().wrapping_add(1)
}

#[cfg(target_arch = "x86_64")]
fn fold(page: &Page) -> u32 {
    #[target_feature(enable = "avx2")]
    fn with_avx2(page: &Page) -> u32 {
        fold_lanes(page)
    }

    if std::arch::is_x86_feature_detected!("avx2") {
        #[expect(
            unsafe_code,
            reason = "the processor was just asked for the one feature that the function needs"
        )]
        // SAFETY: `with_avx2` is safe code compiled for AVX2, which is there.
        return unsafe { with_avx2(page) };
    }
    fold_lanes(page)
}

#[cfg(not(target_arch = "x86_64"))]
fn fold(page: &Page) -> u32 {
    fold_lanes(page)
}

/// All rows mixed into the lanes, and the lanes into one number. Inlined so that it is compiled anew for each
/// set of processor features; written so that the compiler turns the lanes into vectors.
#[inline(always)]
fn fold_lanes(page: &Page) -> u32 {
    let mut sums = BASE_OFFSETS;
    let (rows, _) = page.as_chunks::<ROW_BYTES>();
    let Some((first, rest)) = rows.split_first() else { return 0 };
    let mut first = words(first);
    // The checksum itself is the lower half of the third word; it counts as zero.
    first[2] &= 0xFFFF_0000;
    mix(&mut sums, &first);
    for row in rest {
        mix(&mut sums, &words(row));
    }
    mix(&mut sums, &[0; LANES]);
    mix(&mut sums, &[0; LANES]);
    sums.iter().fold(0, |all, sum| all ^ sum)
}

#[inline(always)]
fn words(row: &[u8; ROW_BYTES]) -> [u32; LANES] {
    let mut words = [0; LANES];
    for (word, bytes) in words.iter_mut().zip(row.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

#[inline(always)]
fn mix(sums: &mut [u32; LANES], row: &[u32; LANES]) {
    for (sum, word) in sums.iter_mut().zip(row) {
        let mixed = *sum ^ word;
        *sum = mixed.wrapping_mul(PRIME) ^ (mixed >> 17);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The algorithm as its description says it, word by word.
    fn slow_checksum(page: &Page, block: u32) -> u16 {
        let mut copy = *page;
        copy[8..10].fill(0);
        let mut sums = BASE_OFFSETS;
        let mut step = |column: usize, value: u32| {
            let t = sums[column] ^ value;
            sums[column] = t.wrapping_mul(16_777_619) ^ (t >> 17);
        };
        for row in 0..64 {
            for column in 0..32 {
                let at = (row * 32 + column) * 4;
                step(column, u32::from_le_bytes(copy[at..at + 4].try_into().unwrap()));
            }
        }
        for _ in 0..2 {
            (0..32).for_each(|column| step(column, 0));
        }
        ((sums.iter().fold(block, |all, sum| all ^ sum) % 65535) + 1) as u16
    }

    #[test]
    fn known_pages_have_known_checksums() {
        let mut page: Page = std::array::from_fn(|i| (7 * i + 3) as u8);
        let of = |page: &Page| [0, 1, 131_072, 4_294_967_294].map(|block| page_checksum(page, block));
        assert_eq!(of(&page), [43596, 43595, 43594, 21942]);
        page[8..10].copy_from_slice(&[0xFF, 0x5A]);
        assert_eq!(of(&page), [43596, 43595, 43594, 21942], "the stored checksum does not count");

        let mut empty: Page = [0; PAGE_BYTES];
        empty[14..16].copy_from_slice(&[0x00, 0x20]);
        assert_eq!([0, 7].map(|block| page_checksum(&empty, block)), [8084, 8087]);
    }

    #[test]
    fn header_is_read_with_the_upper_half_of_the_lsn_first() {
        let mut page: Page = [0; PAGE_BYTES];
        page[..20].copy_from_slice(&[
            0x2A, 0, 0, 0, 0x28, 0, 0, 0x5F, 0x34, 0x12, 4, 0, 24, 0, 0, 0x20, 0, 0x20, 4, 0x20,
        ]);
        let header = PageHeader::decode(&page);
        assert_eq!(header.lsn, Lsn(0x2A_5F00_0028));
        assert_eq!((header.checksum, header.flags), (0x1234, 4));
        assert_eq!((header.lower, header.upper, header.special), (24, 8192, 8192));
        assert_eq!(header.size_and_version, 0x2004);
        assert!(!header.is_new());
    }

    #[test]
    fn one_byte_anywhere_makes_a_page_not_zero() {
        let mut page: Page = [0; PAGE_BYTES];
        assert!(is_zero(&page));
        for at in (0..PAGE_BYTES).step_by(61).chain([PAGE_BYTES - 1]) {
            page[at] = 1;
            assert!(!is_zero(&page), "{at}");
            page[at] = 0;
        }
    }

    fn any_page() -> impl Strategy<Value = Box<Page>> {
        proptest::collection::vec(any::<u8>(), PAGE_BYTES).prop_map(|bytes| bytes.try_into().unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn fast_and_slow_checksum_agree(page in any_page(), block: u32) {
            prop_assert_eq!(page_checksum(&page, block), slow_checksum(&page, block));
            // The way for processors without AVX2 as well.
            let folded = (fold_lanes(&page) ^ block) % 65535 + 1;
            prop_assert_eq!(folded, u32::from(slow_checksum(&page, block)));
        }
    }
}
