//! Points in time, in microseconds since 1970, as the two APIs write and read them; and the clock that tests move.
//!
//! Promise: the clock never goes back by itself; a test that moves it moves it for every rule at once. Deliberately no time
//! zones and no leap seconds.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(pub(crate) i64);

const SECOND: i64 = 1_000_000;

impl Moment {
    /// This many seconds later.
    pub(crate) fn plus_seconds(self, seconds: u64) -> Self {
        let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND);
        Self(self.0.saturating_add(micros))
    }

    /// As JSON writes it: RFC 3339 with milliseconds.
    pub(crate) fn rfc3339(self) -> String {
        self.written("%Y-%m-%dT%H:%M:%S%.3fZ")
    }

    /// As headers write it, to the second.
    pub(crate) fn http_date(self) -> String {
        self.written("%a, %d %b %Y %H:%M:%S GMT")
    }

    fn written(self, format: &str) -> String {
        let timestamp = jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::MAX);
        timestamp.strftime(format).to_string()
    }

    pub(crate) fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|timestamp| Self(timestamp.as_microsecond()))
    }

    pub(crate) fn parse_http_date(text: &str) -> Option<Self> {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        parser.parse_timestamp(text).ok().map(|timestamp| Self(timestamp.as_microsecond()))
    }

    /// Cut to whole seconds, for comparing with a header.
    pub(crate) fn whole_seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }
}

/// The machine's clock and how far ahead of it the simulated world is.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    ahead: AtomicI64,
}

impl Clock {
    pub(crate) fn now(&self) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        Moment(micros.saturating_add(self.ahead.load(Ordering::SeqCst)))
    }

    pub(crate) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::SeqCst)
    }

    pub(crate) fn set_ahead(&self, micros: i64) {
        self.ahead.store(micros, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_written_and_read_back() {
        let moment = Moment(1_267_575_720_123_000);
        assert_eq!(moment.rfc3339(), "2010-03-03T00:22:00.123Z");
        assert_eq!(moment.http_date(), "Wed, 03 Mar 2010 00:22:00 GMT");
        assert_eq!(Moment::parse_rfc3339(&moment.rfc3339()), Some(moment));
        let read = Moment::parse_http_date(&moment.http_date());
        assert_eq!(read.map(Moment::whole_seconds), Some(moment.whole_seconds()));
        assert_eq!(Moment::parse_rfc3339("yesterday"), None);
    }
}
