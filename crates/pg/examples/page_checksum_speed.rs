//! Prints how fast page checksums and the search for empty pages run on this machine, in GB/s on one core.
//!
//! `cargo run --release -p seawall-pg --example page_checksum_speed`

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use seawall_pg::page::{PAGE_BYTES, Page, is_zero, page_checksum};

/// 16 MiB: more than the second-level cache of one core, as in a backup.
const PAGES: usize = 2048;

fn main() {
    let random: Vec<Page> = (0..PAGES).map(|n| std::array::from_fn(|i| (n ^ (i * 7)) as u8)).collect();
    let zero: Vec<Page> = vec![[0; PAGE_BYTES]; PAGES];
    report("checksum, 16 MiB", &random, |page, block| u64::from(page_checksum(page, block)));
    report("checksum, 128 KiB (in cache)", random.get(..16).unwrap_or_default(), |page, block| {
        u64::from(page_checksum(page, block))
    });
    report("is_zero on zero pages, 16 MiB", &zero, |page, _| u64::from(is_zero(page)));
}

/// Prints the fastest of many passes: on a machine that does other things as well, the others measure those.
fn report(what: &str, pages: &[Page], work: impl Fn(&Page, u32) -> u64) {
    let started = Instant::now();
    let (mut fastest, mut sum) = (Duration::MAX, 0u64);
    while started.elapsed() < Duration::from_secs(2) {
        let pass = Instant::now();
        for (block, page) in (0u32..).zip(pages) {
            sum = sum.wrapping_add(work(black_box(page), block));
        }
        fastest = fastest.min(pass.elapsed());
    }
    black_box(sum);
    let bytes = (pages.len() * PAGE_BYTES) as f64;
    println!("{what}: {:.1} GB/s", bytes / fastest.as_secs_f64() / 1e9);
}
