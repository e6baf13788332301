//! Tests of the pack builder: what goes in comes out of the finished object where it was said to be.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::compress::Decompressor;
use crate::object::WholeObject;
use crate::pack::footer::PackContents;
use crate::pack::test_world::World;

/// A page that tells its file and number, half of it compressible.
fn page(file: u32, number: u64) -> Vec<u8> {
    let hash = blake3::hash(&[u64::from(file).to_le_bytes(), number.to_le_bytes()].concat());
    let mut bytes = vec![file as u8; PAGE_BYTES];
    hash_fill(&hash, &mut bytes[..PAGE_BYTES / 2]);
    bytes
}

fn hash_fill(hash: &blake3::Hash, bytes: &mut [u8]) {
    blake3::Hasher::new().update(hash.as_bytes()).finalize_xof().fill(bytes);
}

/// A finished pack, the files that went in, and where their pages are.
type Packed = (World, SealedPack, Vec<Vec<u8>>, Vec<StoredRun>);

struct Packing {
    world: World,
    builder: PackBuilder,
    files: Vec<Vec<u8>>,
    stored: Vec<StoredRun>,
}

impl Packing {
    fn new(mut world: World) -> Self {
        let pack = PackId { backup: world.backup(), number: 3 };
        let builder = PackBuilder::new(&world.sealer, &world.place, pack, &mut world.entropy).unwrap();
        Self { world, builder, files: Vec::new(), stored: Vec::new() }
    }

    /// Adds a whole file, given as its bytes, in runs of so many pages.
    fn add_file(&mut self, bytes: Vec<u8>, run_pages: usize) {
        let file = self.files.len() as u32;
        let path = format!("base/1/{file}");
        let key = self.world.sealer.digest_key().clone();
        for (number, run) in bytes.chunks(run_pages * PAGE_BYTES).enumerate() {
            let digests: Vec<_> = run
                .chunks(PAGE_BYTES)
                .map(|page| if page.iter().all(|b| *b == 0) { ZERO_PAGE } else { key.page_digest(page) })
                .collect();
            let first_page = (number * run_pages) as u64;
            let run = Run { file, path: path.as_bytes(), first_page, bytes: run, digests: &digests };
            self.builder.add_run(&run, &mut self.world.compressor).unwrap();
            self.stored.extend(self.builder.take_stored());
        }
        self.files.push(bytes);
    }

    fn finish(mut self) -> Option<Packed> {
        let sealed = self.builder.finish(&self.world.writer, &mut self.world.compressor).unwrap()?;
        self.stored.extend(&sealed.stored);
        Some((self.world, sealed, self.files, self.stored))
    }
}

/// The files as a restore would write them.
fn restored(whole: &WholeObject<'_>, lengths: &[usize], stored: &[StoredRun]) -> Vec<Vec<u8>> {
    let mut decompressor = Decompressor::new().unwrap();
    let mut files: Vec<_> = lengths.iter().map(|length| vec![0; *length]).collect();
    for run in stored {
        let plain = whole.frame(&run.place.at, &mut decompressor).unwrap();
        let file = &mut files[run.file as usize];
        let from = run.first_page as usize * PAGE_BYTES;
        let to = (from + run.pages as usize * PAGE_BYTES).min(file.len());
        file[from..to].copy_from_slice(&plain[run.offset as usize..run.offset as usize + to - from]);
    }
    files
}

fn check(packing: Packing) {
    let Some((world, sealed, files, stored)) = packing.finish() else { return };
    let whole = world.open(&sealed.object);
    assert_eq!(sealed.stored_bytes, sealed.object.bytes().len() as u64);
    let lengths: Vec<_> = files.iter().map(Vec::len).collect();
    assert_eq!(restored(&whole, &lengths, &stored), files);

    let plain_lengths: Vec<_> = whole.footer().frames.iter().map(|frame| frame.plain_len).collect();
    let contents = PackContents::decode(&whole.footer().contents, &plain_lengths).unwrap();
    whole.head().verify_plain(&world.sealer.digest_key().digest(&whole.footer().contents)).unwrap();
    let mut pages = 0;
    for (frame, slots) in whole.footer().frames.iter().zip(&contents.frames) {
        let plain = whole.frame(frame, &mut Decompressor::new().unwrap()).unwrap();
        let listed: Vec<_> = slots.iter().flat_map(|slot| slot.digests.clone()).collect();
        let mut rest = &plain[..];
        let mut found = Vec::new();
        for slot in slots {
            let (bytes, behind) = rest.split_at(slot.plain_bytes());
            found.extend(bytes.chunks(PAGE_BYTES).map(|page| world.sealer.digest_key().page_digest(page)));
            rest = behind;
        }
        assert_eq!(found, listed);
        assert!(
            !listed.contains(&ZERO_PAGE)
                && !plain.chunks(PAGE_BYTES).any(|p| p.len() == PAGE_BYTES && p == ZEROS)
        );
        pages += listed.len() as u64;
    }
    assert_eq!(pages, sealed.pages);
    assert_eq!(pages, stored.iter().map(|run| u64::from(run.pages)).sum::<u64>());
}

#[test]
fn long_runs_get_frames_of_their_own_and_small_files_share() {
    let mut packing = Packing::new(World::encrypted());
    packing.add_file((0..40).flat_map(|number| page(0, number)).collect(), 64);
    packing.add_file(b"18\n".to_vec(), 32);
    packing.add_file(page(2, 0), 32);
    packing.add_file((0..3).flat_map(|number| page(3, number)).collect(), 32);
    let shape: Vec<_> = packing.stored.iter().map(|run| (run.file, run.pages, run.place.at.number)).collect();
    assert_eq!(shape, [(0, 32, 0), (0, 8, 1)]);
    let (_, sealed, _, stored) = packing.finish().unwrap();
    let shape: Vec<_> =
        stored[2..].iter().map(|run| (run.file, run.pages, run.place.at.number, run.offset)).collect();
    assert_eq!(shape, [(1, 1, 2, 0), (2, 1, 2, 3), (3, 3, 2, 8_195)]);
    assert_eq!((sealed.pages, sealed.pack.number), (45, 3));
}

#[test]
fn pages_of_zeros_are_never_stored() {
    let mut packing = Packing::new(World::plain());
    packing.add_file(vec![0; 50 * PAGE_BYTES + 100], 32);
    assert!(packing.finish().is_none(), "nothing to store is no pack");

    let mut packing = Packing::new(World::plain());
    let mut file: Vec<u8> = (0..64).flat_map(|number| page(0, number)).collect();
    file[20 * PAGE_BYTES..21 * PAGE_BYTES].fill(0);
    file[63 * PAGE_BYTES..].fill(0);
    packing.add_file(file, 64);
    let pages: Vec<_> = packing.stored.iter().map(|run| (run.first_page, run.pages)).collect();
    assert_eq!(pages, [(0, 20), (21, 32), (53, 10)]);
    check(packing);
}

#[test]
fn runs_that_lie_about_their_digests_are_refused() {
    let mut packing = Packing::new(World::plain());
    let bytes = page(0, 0);
    let digest = [packing.world.sealer.digest_key().page_digest(&bytes)];
    let good = Run { file: 0, path: b"base/1/2", first_page: 9, bytes: &bytes, digests: &digest };
    let mut refused =
        |run: &Run<'_>| packing.builder.add_run(run, &mut packing.world.compressor).unwrap_err().to_string();
    assert_eq!(refused(&Run { digests: &[], ..good }), "a run of 8192 bytes of base/1/2 with 0 digests");
    assert_eq!(
        refused(&Run { bytes: &[], digests: &[], ..good }),
        "a run of 0 bytes of base/1/2 with 0 digests"
    );
    let lies = Run { digests: &[ZERO_PAGE], ..good };
    assert_eq!(refused(&lies), "page 9 of base/1/2 is not zeros and has no digest");
    assert_eq!(refused(&Run { path: b"../x", ..good }), "refused path ../x: it has a component . or ..");
}

#[test]
fn a_pack_says_when_it_is_full() {
    let mut packing = Packing::new(World::encrypted());
    let mut noise = vec![0; RUN_PAGES_MAX * PAGE_BYTES];
    let mut runs = 0;
    while !packing.builder.is_full() {
        hash_fill(&blake3::hash(&[runs]), &mut noise);
        packing.add_file(noise.clone(), RUN_PAGES_MAX);
        runs += 1;
    }
    let stored_len = packing.builder.stored_len();
    assert!(
        (PACK_BYTES_TARGET..PACK_BYTES_TARGET + PACK_SLACK_BYTES / 2).contains(&stored_len),
        "{stored_len}"
    );
    check(packing);
}

/// Files as (pages, short bytes of the last page, which pages are zeros, pages a run).
fn any_file() -> impl Strategy<Value = (usize, usize, Vec<usize>, usize)> {
    (1..50usize, 1..=PAGE_BYTES, vec(0..50usize, 0..6), 1..64usize)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_page_comes_back_from_where_it_was_said_to_be(files in vec(any_file(), 1..6), encrypted: bool) {
        let mut packing = Packing::new(if encrypted { World::encrypted() } else { World::plain() });
        for (number, (pages, last, zeros, run_pages)) in files.into_iter().enumerate() {
            let mut bytes: Vec<u8> = (0..pages as u64).flat_map(|n| page(number as u32, n)).collect();
            for zero in zeros.into_iter().filter(|zero| *zero < pages) {
                bytes[zero * PAGE_BYTES..(zero + 1) * PAGE_BYTES].fill(0);
            }
            bytes.truncate((pages - 1) * PAGE_BYTES + last);
            packing.add_file(bytes, run_pages);
        }
        check(packing);
    }
}
