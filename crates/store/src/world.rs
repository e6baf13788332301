//! The injected world: the clock and randomness.
//!
//! Promises: this module (with `world/`) is the only place in the workspace that reads the system's clock, sleeps, or
//! asks the system for random bytes. Everything else is handed a [`World`], so one seed replays a run.
//! Does not do: time zones, calendars, formatting; a moment is a number of microseconds here.

mod manual;

pub use manual::{ManualClock, SeededRandom};

use futures::future::{BoxFuture, Either, select};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Microseconds since 1970-01-01 00:00:00 UTC; may jump when somebody sets the clock.
    fn now_unix_us(&self) -> i64;

    /// Time since an arbitrary origin; never goes back. For measuring, never for names or ages.
    fn monotonic(&self) -> Duration;

    /// Time that processes of one boot of this machine can compare; `None` where the system does not tell.
    fn uptime(&self) -> Option<Uptime>;

    /// Completes once `duration` has passed.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Completes once [`Clock::monotonic`] has reached `at`. A deadline only watches time: unlike [`Clock::sleep`] it
    /// does not make a [`ManualClock`] move on.
    fn deadline(&self, at: Duration) -> BoxFuture<'static, ()>;

    /// Holds the calling thread up for `duration`. Never call it on an async worker.
    fn sleep_blocking(&self, duration: Duration);
}

/// How long a machine has been awake since it was started. Setting its clock does not change it, sleeping adds nothing to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Which start of the machine: times of different ones cannot be compared.
    pub boot: String,
    /// Since then.
    pub awake: Duration,
}

/// Where random bytes come from.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Fills `bytes`; errors when the system has no randomness to give, which nothing should survive.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError>;

    /// A random number, all 64 bits of it.
    fn next_u64(&self) -> Result<u64, RandomError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// The system gave no random bytes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the system gave no random bytes: {reason}")]
pub struct RandomError {
    reason: String,
}

/// Clock and randomness, handed to whoever needs either. Cheap to clone.
#[derive(Debug, Clone)]
pub struct World {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
}

impl World {
    /// The real one: the system's clock and the system's randomness. Its sleeps need a tokio runtime with time enabled.
    #[must_use]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom) }
    }

    /// A deterministic one for tests: the clock stands still until somebody sleeps or moves it, and random bytes follow
    /// from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { clock: Arc::new(ManualClock::default()), random: Arc::new(SeededRandom::new(seed)) }
    }

    /// The result of `work`, or `None` when it took longer than `limit`. The abandoned work is dropped, and what it
    /// asked of another machine or thread may still happen.
    pub async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let deadline = self.clock.deadline(self.clock.monotonic().saturating_add(limit));
        let work = std::pin::pin!(work);
        match select(work, deadline).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(((), _)) => None,
        }
    }
}

/// The system's clock.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now_unix_us(&self) -> i64 {
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => micros(before.duration()).saturating_neg(),
        }
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn uptime(&self) -> Option<Uptime> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let (seconds, nanos) = (u64::try_from(now.tv_sec).ok()?, u32::try_from(now.tv_nsec).ok()?);
        Some(Uptime { boot: boot.trim().to_owned(), awake: Duration::new(seconds, nanos) })
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn deadline(&self, at: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(at.saturating_sub(self.monotonic())))
    }

    fn sleep_blocking(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The system's randomness (`getrandom(2)`).
#[derive(Debug, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(bytes).map_err(|error| RandomError { reason: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_is_after_this_was_written_and_does_not_go_back() {
        let clock = SystemClock::new();
        assert!(clock.now_unix_us() > 1_700_000_000_000_000);
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }

    #[test]
    fn two_clocks_of_one_boot_agree_about_the_uptime() {
        let (first, second) = (SystemClock::new().uptime().unwrap(), SystemClock::new().uptime().unwrap());
        assert_eq!(first.boot, second.boot);
        assert!(first.awake <= second.awake && second.awake - first.awake < Duration::from_secs(10));
    }

    #[test]
    fn system_random_differs_between_calls() {
        let random = SystemRandom;
        assert_ne!(random.next_u64().unwrap(), random.next_u64().unwrap());
    }

    #[test]
    fn within_gives_up_only_when_time_passes() {
        let world = World::seeded(1);
        let done = futures::executor::block_on(world.within(Duration::ZERO, async { 7 }));
        assert_eq!(done, Some(7), "work that is ready wins against a deadline that has come");
        let slept = world.clock.sleep(Duration::from_secs(5));
        let late = futures::executor::block_on(world.within(Duration::from_secs(3), async move {
            slept.await;
            futures::future::pending::<()>().await;
        }));
        assert_eq!(late, None);
    }
}
