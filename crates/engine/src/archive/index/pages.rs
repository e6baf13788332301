//! Changed pages, gathered from references that come by the million.
//!
//! Promises that pages wait in small lists and are sorted in before these grow: memory is that of the changes.

use rustc_hash::FxHashMap;
use seawall_repo::wal_index::{ChangedFork, Changes};

/// Pages of one fork that wait at most.
const WAITING_MAX: usize = 1 << 14;

/// Gathers changes.
#[derive(Debug, Default)]
pub(super) struct Pages {
    changes: Changes,
    forks: FxHashMap<ChangedFork, usize>,
    waiting: Vec<(ChangedFork, Vec<u32>)>,
    /// The fork of the last reference: the next one is nearly always of one of few.
    last: Option<(ChangedFork, usize)>,
}

impl Pages {
    /// A record names this page.
    pub(super) fn change(&mut self, fork: ChangedFork, page: u32) {
        let index = match self.last {
            Some((last, index)) if last == fork => index,
            _ => self.index(fork),
        };
        let Some((_, pages)) = self.waiting.get_mut(index) else { return };
        pages.push(page);
        if pages.len() >= WAITING_MAX {
            self.settle(index);
        }
    }

    /// The fork was cut to this length, or made.
    pub(super) fn cut(&mut self, fork: ChangedFork, length: u32) {
        self.changes.fork_mut(fork).cut(length);
    }

    pub(super) fn finish(mut self) -> Changes {
        (0..self.waiting.len()).for_each(|index| self.settle(index));
        self.changes
    }

    fn index(&mut self, fork: ChangedFork) -> usize {
        let waiting = &mut self.waiting;
        let index = *self.forks.entry(fork).or_insert_with(|| {
            waiting.push((fork, Vec::new()));
            waiting.len() - 1
        });
        self.last = Some((fork, index));
        index
    }

    fn settle(&mut self, index: usize) {
        let Some((fork, pages)) = self.waiting.get_mut(index) else { return };
        pages.sort_unstable();
        pages.dedup();
        self.changes.fork_mut(*fork).change_all(pages.drain(..));
    }
}
