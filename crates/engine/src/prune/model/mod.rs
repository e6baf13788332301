//! Random histories of one cluster, one store call at a time in every order that a seed gives, held against rules that need no knowledge
//! of how pruning works.
//!
//! What happens (`history`, `operations`): backups of two hosts with parents and adopted orphans, prunes and syncs side by side, mounts, holds, undoings, rules
//! that change, objects that storage damages and syncs that heal them, deaths of backups and prunes between any two calls, processes that stop for days and go on; regions that are away and come back, with clocks of
//! their own; hosts whose clocks jump; and of WAL (`lives`) promotions, old branches that go on, holes, late segments, an upgrade.
//!
//! What is held (`check`, `reach`), after every round, in the bare stores: whatever manifest is there, everything it lists is there too, and the
//! WAL that makes it consistent; a region keeps a good backup; what is held stays; what a mount named stays until it ends; instants of the
//! last day that could be reached still can; WAL goes on from the newest good backup; nothing comes back. In the end, when all is quiet:
//! everything that nothing needs is gone, an old lineage too, whatever was damaged and is still there can be read in its own region, and what is left is within the bounds of the rules. *Simulated*: packs and maps hold
//! their names, stores keep the clock of the test.

mod check;
mod counts;
mod damage;
mod history;
mod lives;
mod operations;
mod reach;

/// Of fewer it may be that something never happens.
const ENOUGH: u64 = 10;

fn histories(seeds: std::ops::Range<u64>) {
    let many = seeds.end - seeds.start;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut total = counts::Counts::default();
    for seed in seeds {
        runtime.block_on(async {
            let mut history = history::History::new(seed).await;
            for _ in 0..12 {
                history.round().await;
            }
            history.settle().await;
            total.add(&history.counts());
        });
    }
    println!("{total:?}");
    if many >= ENOUGH {
        total.refuse_if_nothing_happened();
    }
}

/// `SEAWALL_TEST_SEED` and `SEAWALL_TEST_HISTORIES`: which ones.
#[test]
fn whatever_happens_what_is_there_is_whole_and_what_is_not_needed_goes() {
    let named = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = named("SEAWALL_TEST_SEED").unwrap_or_default();
    histories(first..first + named("SEAWALL_TEST_HISTORIES").unwrap_or(40));
}

/// Other ones than those above, on every CPU.
#[test]
#[ignore = "two thousand histories take half an hour in a debug build: the deep profile runs it"]
fn two_thousand_histories() {
    const FIRST: u64 = 10_000;
    const MANY: u64 = 2_000;
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let share = |thread| FIRST + MANY * thread / threads;
            scope.spawn(move || histories(share(thread)..share(thread + 1)));
        }
    });
}
