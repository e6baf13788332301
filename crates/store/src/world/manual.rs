//! A clock that moves only when told or slept on, and random bytes that follow from a seed. For tests.
//!
//! Promises: no real time, no real randomness; the same calls in the same order give the same values.
//! Does not do: cryptography; never hand a [`SeededRandom`] to anything that seals real data.

use super::{Clock, Random, RandomError, Uptime};
use futures::future::BoxFuture;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// 2031-05-04 00:00:00 UTC, where a [`ManualClock`] starts.
const START_UNIX_US: i64 = 1_935_619_200_000_000;

/// A clock that stands still. A sleep moves it forward by what was asked (there is nobody else to wait for); a
/// deadline waits until sleeps or [`ManualClock::advance`] have moved it far enough.
#[derive(Debug, Default)]
pub struct ManualClock {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    waiting: Vec<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn advance(state: &Mutex<State>, by: Duration) {
    let waiting = {
        let mut state = lock(state);
        state.elapsed = state.elapsed.saturating_add(by);
        std::mem::take(&mut state.waiting)
    };
    for waker in waiting {
        waker.wake();
    }
}

impl ManualClock {
    /// Moves the clock forward and wakes every deadline that has come.
    pub fn advance(&self, by: Duration) {
        advance(&self.state, by);
    }
}

impl Clock for ManualClock {
    fn now_unix_us(&self) -> i64 {
        START_UNIX_US.saturating_add(i64::try_from(self.monotonic().as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        lock(&self.state).elapsed
    }

    fn uptime(&self) -> Option<Uptime> {
        Some(Uptime { boot: "by hand".to_owned(), awake: self.monotonic() })
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let state = Arc::clone(&self.state);
        Box::pin(async move { advance(&state, duration) })
    }

    fn deadline(&self, at: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Deadline { state: Arc::clone(&self.state), at })
    }

    fn sleep_blocking(&self, duration: Duration) {
        self.advance(duration);
    }
}

struct Deadline {
    state: Arc<Mutex<State>>,
    at: Duration,
}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.elapsed >= self.at {
            return Poll::Ready(());
        }
        // One waker for each task is enough, else a busy task would grow the list at every poll.
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// Bytes that follow from a seed (SplitMix64: short, well spread, not secret).
#[derive(Debug)]
pub struct SeededRandom {
    state: Mutex<u64>,
}

impl SeededRandom {
    /// The stream that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Mutex::new(seed) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        let mut state = lock(&self.state);
        for chunk in bytes.chunks_mut(8) {
            let word = split_mix(&mut state).to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *state;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn sleep_moves_the_clock_and_wakes_deadlines() {
        let clock = ManualClock::default();
        let mut deadline = clock.deadline(Duration::from_secs(2));
        assert_eq!((&mut deadline).now_or_never(), None);
        futures::executor::block_on(clock.sleep(Duration::from_secs(1)));
        assert_eq!((&mut deadline).now_or_never(), None);
        clock.sleep_blocking(Duration::from_secs(1));
        assert_eq!((&mut deadline).now_or_never(), Some(()));
        assert_eq!(clock.now_unix_us(), START_UNIX_US + 2_000_000);
    }

    #[test]
    fn seed_decides_the_bytes() {
        let draw = |seed| {
            let mut bytes = [0; 13];
            SeededRandom::new(seed).fill(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
