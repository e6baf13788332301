//! One call to a region: gate, attempts, pauses, counting, classification.
//!
//! Promises: bounded in attempts and in time by the region's limits; only failures that may pass are tried again; a
//! call that cannot be repeated blindly (a put) is not repeated here beyond what creating once allows.
//! Does not do: deciding what an unknown outcome means; see [`crate::Put`].

use super::Region;
use super::health::Admitted;
use crate::error::{ErrorKind, Failure, StoreError};
use crate::meter::OpKind;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// What is called, on what, and how often at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    op: OpKind,
    name: &'a str,
    attempts_max: Option<u32>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(op: OpKind, name: &'a str) -> Self {
        Self { op, name, attempts_max: None }
    }

    /// With fewer attempts than the region's limits allow.
    pub(crate) fn at_most(self, attempts_max: u32) -> Self {
        Self { attempts_max: Some(attempts_max), ..self }
    }
}

/// Why a region that is taken for down was not asked.
#[derive(Debug, thiserror::Error)]
#[error("not asked, for it has failed repeatedly; last: {0}")]
struct TakenForDown(String);

impl Region {
    /// Runs `attempt` until it succeeds, fails for good, or the limits are reached. An attempt yields its value and
    /// the bytes it moved.
    pub(crate) async fn call<T, F, Fut>(&self, call: Call<'_>, mut attempt: F) -> Result<T, StoreError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<(T, u64), Failure>>,
    {
        let clock = &self.world.clock;
        let began = clock.monotonic();
        let attempts_max = match self.health.admit(began) {
            Err(last) => {
                let down = Failure { kind: ErrorKind::Unavailable, cause: Arc::new(TakenForDown(last)) };
                return Err(down.dress(self.name(), call.name, 0, Duration::ZERO));
            }
            Ok(Admitted::Trial) => 1,
            Ok(Admitted::InUse) => call.attempts_max.unwrap_or(self.limits().attempts_max).max(1),
        };
        let mut tried = 0;
        loop {
            tried += 1;
            let attempt_began = clock.monotonic();
            let outcome = attempt().await;
            let now = clock.monotonic();
            self.count(call.op, &outcome);
            let failure = match outcome {
                Ok((value, _)) => {
                    self.health.answered(now.saturating_sub(attempt_began));
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            let waited = now.saturating_sub(began);
            if !failure.may_pass() {
                self.health.answered(now.saturating_sub(attempt_began));
                return Err(failure.dress(self.name(), call.name, tried, waited));
            }
            let pause = self.limits().backoff(tried, self.jitter());
            if tried >= attempts_max || waited.saturating_add(pause) > self.limits().retry_time_max {
                let error = failure.dress(self.name(), call.name, tried, waited);
                self.health.failed(now, error.chain());
                return Err(error);
            }
            clock.sleep(pause).await;
        }
    }

    fn count<T>(&self, op: OpKind, outcome: &Result<(T, u64), Failure>) {
        let (failed, bytes) = match outcome {
            Ok((_, bytes)) => (false, *bytes),
            Err(failure) => (!matches!(failure.kind, ErrorKind::NotFound | ErrorKind::AlreadyExists), 0),
        };
        self.meter.count(op, failed, bytes);
    }

    /// Without randomness the pause is merely not spread.
    fn jitter(&self) -> u8 {
        self.world.random.next_u64().map_or(0, |word| word.to_le_bytes()[0])
    }

    /// The result of `work`, or a failure when there is none within `limit`.
    pub(crate) async fn timed<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        self.world.within(limit, work).await.ok_or_else(|| Failure::stalled(limit))
    }
}
