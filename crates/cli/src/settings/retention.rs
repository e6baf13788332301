//! The section `[retention]`: a policy of the engine, and how carefully it is applied.
//!
//! Promises: a policy that the engine could not apply is a problem of the settings, on the line of the key to be changed.

use std::time::Duration;

use seawall_engine::retention::{Policy, Span};

use super::Retention;
use super::resolve::Picker;

/// A backup that is running may have begun to use what is being condemned; this is how long it has at least.
const GRACE_LEAST: Duration = Duration::from_secs(6 * 3_600);

impl Picker<'_> {
    pub(super) fn retention(&mut self) -> Retention {
        let policy = self.policy();
        if let Err(error) = policy.check() {
            let path = if error.field() == "zone" { "retention.time_zone" } else { "retention.max_age" };
            self.problem("settings.retention", path, &format!("{path}: {error}"), None);
        }
        let grace = self.duration("retention.grace").unwrap_or_default();
        if grace < GRACE_LEAST {
            let what =
                "retention.grace must be at least 6h, so that a running backup notices what is condemned";
            self.problem("settings.value", "retention.grace", what, None);
        }
        Retention { policy, shrink_delay: self.duration("retention.shrink_delay").unwrap_or_default(), grace }
    }

    fn policy(&mut self) -> Policy {
        Policy {
            last: self.number("retention.last"),
            hourly: self.number("retention.hourly"),
            daily: self.number("retention.daily"),
            weekly: self.number("retention.weekly"),
            monthly: self.number("retention.monthly"),
            yearly: self.number("retention.yearly"),
            within: self.span("retention.within"),
            pitr: self.span("retention.pitr"),
            max_age: self.span("retention.max_age"),
            min_backups: self.number("retention.min_backups"),
            zone: self.text("retention.time_zone").unwrap_or_default(),
        }
    }

    fn number(&mut self, path: &str) -> u32 {
        self.integer(path).and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
    }

    /// A part of a second counts as a whole one, so that nothing is kept shorter than was asked.
    fn span(&mut self, path: &str) -> Option<Span> {
        let duration = self.duration(path)?;
        Some(Span::seconds(duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))))
    }
}
