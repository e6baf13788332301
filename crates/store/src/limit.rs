//! A bandwidth limit that several regions, tasks and threads can share.
//!
//! Promises: over any span the bytes let through are at most rate × span + burst; requests are served in the order in
//! which they asked; a request larger than the burst is let through and paid for by those after it.
//! Does not do: fairness between callers beyond that order.

use crate::world::{Clock, World};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A token bucket of bytes; clones share it.
#[derive(Debug, Clone)]
pub struct Bandwidth {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    bytes_per_second: u64,
    /// How far `paid_until` may lie in the past: what an idle bucket saves up.
    burst: Duration,
    paid_until: Mutex<Duration>,
}

impl Bandwidth {
    /// A bucket of `bytes_per_second` (0 is taken as 1), which saves up to `burst_bytes` while idle and starts with
    /// them.
    #[must_use]
    pub fn new(bytes_per_second: u64, burst_bytes: u64, world: &World) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        let burst = cost(burst_bytes, bytes_per_second);
        // Monotonic time may have just begun, so "saved up" cannot lie before zero: time is shifted by the burst.
        let paid_until = Mutex::new(world.clock.monotonic());
        let shared = Shared { clock: Arc::clone(&world.clock), bytes_per_second, burst, paid_until };
        Self { shared: Arc::new(shared) }
    }

    /// Bytes a second.
    #[must_use]
    pub fn bytes_per_second(&self) -> u64 {
        self.shared.bytes_per_second
    }

    /// Waits until `bytes` may pass.
    pub async fn take(&self, bytes: u64) {
        let wait = self.reserve(bytes);
        if !wait.is_zero() {
            self.shared.clock.sleep(wait).await;
        }
    }

    /// Waits until `bytes` may pass, holding the thread up.
    pub fn take_blocking(&self, bytes: u64) {
        let wait = self.reserve(bytes);
        if !wait.is_zero() {
            self.shared.clock.sleep_blocking(wait);
        }
    }

    /// Books `bytes` and says how long their owner has to wait. `paid_until` runs `burst` ahead of real payment.
    fn reserve(&self, bytes: u64) -> Duration {
        let shared = &*self.shared;
        let now = shared.clock.monotonic();
        let mut paid_until = shared.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        // What was saved up before now is lost beyond the burst: payment never starts earlier than now.
        let from = (*paid_until).max(now);
        *paid_until = from.saturating_add(cost(bytes, shared.bytes_per_second));
        (*paid_until).saturating_sub(now.saturating_add(shared.burst))
    }
}

fn cost(bytes: u64, bytes_per_second: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{ManualClock, SeededRandom};

    fn bucket(rate: u64, burst: u64) -> (Bandwidth, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let world = World { clock: clock.clone(), random: Arc::new(SeededRandom::new(1)) };
        (Bandwidth::new(rate, burst, &world), clock)
    }

    #[test]
    fn burst_is_free_and_the_rest_takes_its_time() {
        let (bucket, clock) = bucket(1000, 500);
        bucket.take_blocking(500);
        assert_eq!(clock.monotonic(), Duration::ZERO);
        bucket.take_blocking(2000);
        assert_eq!(clock.monotonic(), Duration::from_secs(2));
        futures::executor::block_on(bucket.clone().take(1000));
        assert_eq!(clock.monotonic(), Duration::from_secs(3), "a clone draws from the same bucket");
    }

    #[test]
    fn idle_time_saves_up_no_more_than_the_burst() {
        let (bucket, clock) = bucket(1000, 500);
        bucket.take_blocking(500);
        clock.advance(Duration::from_secs(3600));
        bucket.take_blocking(1500);
        assert_eq!(clock.monotonic(), Duration::from_secs(3601));
    }
}
