//! A region's health, learned from its calls: closed (in use), open (left alone), half open (one call tries it).
//!
//! Promises: an answer of any kind counts as health, only silence and transient failure count against it; after
//! `down_after_failures` calls given up in a row nothing is sent for `down_for`, then one call at a time.
//! What another process learned is told by [`super::Region::leave_alone`]. Does not do: calls of its own.

use super::Limits;
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The three states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// In use.
    Closed,
    /// One call tries whether the region is back.
    HalfOpen,
    /// Taken for down and left alone.
    Open,
}

/// A region's health at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReading {
    /// The state.
    pub state: HealthState,
    /// Calls given up since the last answer.
    pub failures_in_a_row: u32,
    /// Smoothed time to an answer; 0 before the first.
    pub latency_us: u64,
    /// The last failure, in words; kept after recovery.
    pub last_failure: Option<String>,
}

/// As what a call goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// As any.
    InUse,
    /// To find out whether the region is back: one attempt is enough.
    Trial,
}

#[derive(Debug)]
pub(super) struct Health {
    down_after_failures: u32,
    down_for: Duration,
    /// Time after which a call that tries a region is taken for lost.
    trial_for: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    gate: Gate,
    failures_in_a_row: u32,
    latency_us: u64,
    last_failure: Option<String>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Gate {
    #[default]
    Closed,
    Open {
        until: Duration,
    },
    Trial {
        until: Duration,
    },
}

impl Health {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            down_after_failures: limits.down_after_failures.max(1),
            down_for: limits.down_for,
            trial_for: limits.retry_time_max.saturating_add(limits.stall),
            inner: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call may be made now, and as what. `Err` holds the last failure.
    pub(super) fn admit(&self, now: Duration) -> Result<Admitted, String> {
        let mut inner = self.lock();
        match inner.gate {
            Gate::Closed => Ok(Admitted::InUse),
            Gate::Open { until } | Gate::Trial { until } if now >= until => {
                inner.gate = Gate::Trial { until: now.saturating_add(self.trial_for) };
                Ok(Admitted::Trial)
            }
            Gate::Open { .. } | Gate::Trial { .. } => Err(inner.last_failure.clone().unwrap_or_default()),
        }
    }

    /// Somebody knows that the region is down: nothing is sent until `until`.
    pub(super) fn open(&self, until: Duration, why: String) {
        let mut inner = self.lock();
        inner.gate = Gate::Open { until };
        inner.last_failure = Some(why);
    }

    /// If it is taken for down, the next call tries it.
    pub(super) fn half_open(&self, now: Duration) {
        let mut inner = self.lock();
        if !matches!(inner.gate, Gate::Closed) {
            inner.gate = Gate::Open { until: now };
        }
    }

    /// The region has not answered for `waited`, and still may.
    pub(super) fn slow(&self, waited: Duration) {
        let mut inner = self.lock();
        let waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        inner.latency_us = inner.latency_us.max(waited_us);
    }

    /// The region answered (whatever it was) after `took`.
    pub(super) fn answered(&self, took: Duration) {
        let mut inner = self.lock();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        inner.latency_us = match inner.latency_us {
            0 => took_us.max(1),
            smoothed => (smoothed.saturating_mul(7).saturating_add(took_us) / 8).max(1),
        };
        inner.gate = Gate::Closed;
        inner.failures_in_a_row = 0;
    }

    /// A call was given up.
    pub(super) fn failed(&self, now: Duration, why: String) {
        let mut inner = self.lock();
        inner.failures_in_a_row = inner.failures_in_a_row.saturating_add(1);
        inner.last_failure = Some(why);
        let tried_in_vain = matches!(inner.gate, Gate::Trial { .. });
        if tried_in_vain || inner.failures_in_a_row >= self.down_after_failures {
            inner.gate = Gate::Open { until: now.saturating_add(self.down_for) };
        }
    }

    pub(super) fn read(&self, now: Duration) -> HealthReading {
        let inner = self.lock();
        let state = match inner.gate {
            Gate::Closed => HealthState::Closed,
            Gate::Trial { .. } => HealthState::HalfOpen,
            Gate::Open { until } if now >= until => HealthState::HalfOpen,
            Gate::Open { .. } => HealthState::Open,
        };
        HealthReading {
            state,
            failures_in_a_row: inner.failures_in_a_row,
            latency_us: inner.latency_us,
            last_failure: inner.last_failure.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> Health {
        Health::new(&Limits { down_after_failures: 2, down_for: 10 * SECOND, ..Limits::default() })
    }

    #[test]
    fn opens_after_failures_in_a_row_and_lets_one_call_try() {
        let health = health();
        health.failed(SECOND, "gone".to_owned());
        assert_eq!(health.read(SECOND).state, HealthState::Closed);
        health.failed(SECOND, "gone".to_owned());
        assert_eq!(health.admit(2 * SECOND), Err("gone".to_owned()));
        assert_eq!(health.read(2 * SECOND).state, HealthState::Open);
        assert_eq!(health.admit(11 * SECOND), Ok(Admitted::Trial));
        assert!(health.admit(11 * SECOND).is_err(), "one at a time");
        health.answered(SECOND);
        assert_eq!(health.admit(11 * SECOND), Ok(Admitted::InUse));
        assert_eq!(health.read(11 * SECOND).state, HealthState::Closed);
    }

    #[test]
    fn what_another_process_learned_is_believed_until_it_is_time_to_try() {
        let health = health();
        health.half_open(SECOND);
        assert_eq!(health.admit(SECOND), Ok(Admitted::InUse), "there is nothing to try");
        health.open(100 * SECOND, "gone".to_owned());
        assert_eq!(health.admit(99 * SECOND), Err("gone".to_owned()));
        health.half_open(50 * SECOND);
        assert_eq!(health.admit(50 * SECOND), Ok(Admitted::Trial));
        health.failed(51 * SECOND, "still gone".to_owned());
        assert_eq!(health.admit(52 * SECOND), Err("still gone".to_owned()));
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let health = health();
        for _ in 0..5 {
            health.failed(SECOND, String::new());
            health.answered(SECOND);
        }
        assert_eq!(health.read(SECOND).state, HealthState::Closed);
    }

    #[test]
    fn a_trial_in_vain_opens_it_again_at_once_and_a_lost_trial_does_not_block_for_ever() {
        let health = health();
        health.failed(SECOND, String::new());
        health.failed(SECOND, String::new());
        assert!(health.admit(20 * SECOND).is_ok());
        health.failed(20 * SECOND, String::new());
        assert!(health.admit(21 * SECOND).is_err());
        assert!(health.admit(31 * SECOND).is_ok(), "a trial whose caller went away");
        assert!(health.admit(200 * SECOND).is_ok());
    }
}
