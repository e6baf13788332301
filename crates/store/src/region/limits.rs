//! The bounds of a region, all in one place.
//!
//! Promises: every wait and every retry in this crate is bounded by a value here. Does not do: reading settings.

use crate::limit::Bandwidth;
use std::time::Duration;

/// How much is tried, waited and read.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Attempts at one call, the first included.
    pub attempts_max: u32,
    /// No new attempt starts later than this after the first.
    pub retry_time_max: Duration,
    /// Pause before the second attempt; doubles from one to the next, each shortened by up to half at random.
    pub backoff_first: Duration,
    /// Longest pause between two attempts.
    pub backoff_max: Duration,
    /// Longest time without any progress before an attempt is given up.
    pub stall: Duration,
    /// Slowest transfer that counts as progress where the driver shows none (a put): a put is given
    /// `stall` plus its size at this rate. 0 is taken as 1.
    pub slowest_bytes_per_second: u64,
    /// Calls given up in a row after which the region is taken for down.
    pub down_after_failures: u32,
    /// How long a region taken for down is left alone before one call may try it again.
    pub down_for: Duration,
    /// Largest object that is read back whole to be compared, if larger than what was put.
    pub read_back_bytes_max: u64,
    /// Bandwidth, shared with whoever holds a clone; `None` is no limit.
    pub bandwidth: Option<Bandwidth>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempts_max: 5,
            retry_time_max: Duration::from_secs(60),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            slowest_bytes_per_second: 256 << 10,
            down_after_failures: 3,
            down_for: Duration::from_secs(30),
            read_back_bytes_max: 64 << 20,
            bandwidth: None,
        }
    }
}

impl Limits {
    /// Time given to one attempt at putting `bytes`.
    pub(crate) fn put_time(&self, bytes: u64) -> Duration {
        let transfer = Duration::from_secs(bytes / self.slowest_bytes_per_second.max(1));
        self.stall.saturating_add(transfer)
    }

    /// Pause after the `attempt`th attempt (from 1), `jitter` in 0..=255.
    pub(crate) fn backoff(&self, attempt: u32, jitter: u8) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let full = self.backoff_first.saturating_mul(1 << doublings).min(self.backoff_max);
        full.saturating_sub(full / 2 * u32::from(jitter) / 255)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_bound_and_jitter_takes_at_most_half() {
        let limits = Limits::default();
        assert_eq!(limits.backoff(1, 0), Duration::from_millis(100));
        assert_eq!(limits.backoff(3, 0), Duration::from_millis(400));
        assert_eq!(limits.backoff(3, 255), Duration::from_millis(200));
        assert_eq!(limits.backoff(40, 0), Duration::from_secs(10));
    }

    #[test]
    fn put_time_follows_the_size() {
        let limits = Limits::default();
        assert_eq!(limits.put_time(0), Duration::from_secs(30));
        assert_eq!(limits.put_time(32 << 20), Duration::from_secs(30 + 128));
    }
}
