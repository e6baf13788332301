//! Every fuzz target for a moment, without libFuzzer: the saved corpus as it is, then mutations of it from a seed.
//!
//! Promises that a target which panics on its corpus, or soon, is red in the normal tests. `FUZZ_SMOKE_MS` makes it longer.
//! Deliberately no search: `tools/fuzz.sh` does that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and its figures are read"
)]
#![allow(unreachable_pub, dead_code, reason = "the targets are public in the crate that libFuzzer runs")]

#[path = "../../../fuzz/src/decoders.rs"]
mod decoders;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = corpus(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Numbers that follow from a seed.
struct Numbers(blake3::OutputReader);

impl Numbers {
    fn new(seed: &str) -> Self {
        Self(blake3::Hasher::new().update(seed.as_bytes()).finalize_xof())
    }

    fn below(&mut self, end: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        (u64::from_le_bytes(bytes) % end.max(1) as u64) as usize
    }
}

/// A few small changes: bits, bytes that sit at bounds, pieces moved, doubled, dropped or taken from another seed.
fn mutate(input: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(input.len());
        let length = numbers.below(16).min(input.len() - at.min(input.len()));
        match numbers.below(6) {
            0 if !input.is_empty() => input[at] ^= 1 << numbers.below(8),
            1 if !input.is_empty() => {
                input[at] = [0, 1, 0x7f, 0x80, 0xff, b'9', b'"', b'\n'][numbers.below(8)];
            }
            2 => drop(input.drain(at..at + length)),
            3 => {
                let piece = input[at..at + length].to_vec();
                input.splice(at..at, piece);
            }
            4 => {
                let from = numbers.below(other.len());
                let piece = other[from..(from + 16).min(other.len())].to_vec();
                input.splice(at..at + length, piece);
            }
            _ => input.truncate(at),
        }
    }
}

fn time_per_target() -> Duration {
    let millis =
        std::env::var("FUZZ_SMOKE_MS").ok().map(|text| text.parse().expect("a number of milliseconds"));
    Duration::from_millis(millis.unwrap_or(200))
}

#[test]
fn no_target_panics_on_its_corpus_or_on_what_is_near_it() {
    for (name, target) in decoders::TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no corpus");
        let mut numbers = Numbers::new(name);
        let run = |input: &[u8]| {
            let ended = std::panic::catch_unwind(|| target(input));
            assert!(ended.is_ok(), "{name} panics on {}", input.escape_ascii());
        };
        seeds.iter().for_each(|seed| run(seed));
        let (begin, mut count) = (Instant::now(), seeds.len());
        while begin.elapsed() < time_per_target() {
            let mut input = seeds[numbers.below(seeds.len())].clone();
            mutate(&mut input, &seeds[numbers.below(seeds.len())], &mut numbers);
            run(&input);
            count += 1;
        }
        println!("{name}: {count} inputs");
    }
}

/// Every target has its file for libFuzzer, and is named in the manifest there.
#[test]
fn every_target_is_run_by_libfuzzer_too() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in decoders::TARGETS {
        let text = std::fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("seawall_fuzz::decoders::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let files = std::fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
    assert_eq!(files, decoders::TARGETS.len());
}
