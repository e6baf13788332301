//! A bucket's own rules (lifecycle): what they delete, as far as it matters here.
//!
//! Promise: a rule counts as harmless only where its conditions say that it spares what is current; what is not understood is told
//! as a rule that deletes. Does not do: rules that only move objects to another class.

use super::{Versions, days};
use serde_json::Value;

/// What a bucket's rules come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lifecycle {
    /// Rules that delete what is current, in words.
    pub(super) deletes_current: Vec<String>,
    /// After so many days an older version is deleted at the latest.
    pub(super) older_versions_days: Option<u64>,
}

/// Conditions under which a rule of Google strikes older versions only ("Object Lifecycle Management",
/// cloud.google.com/storage/docs/lifecycle): `numNewerVersions` is true of none that is current.
const OF_OLDER_VERSIONS: [&str; 4] =
    ["daysSinceNoncurrentTime", "noncurrentTimeBefore", "numNewerVersions", "isLive"];

impl Lifecycle {
    /// Of Google's bucket resource, for objects whose names begin with `prefix`.
    pub(super) fn of_google(resource: &Value, prefix: &str) -> Self {
        let mut found = Self::default();
        for rule in resource["lifecycle"]["rule"].as_array().into_iter().flatten() {
            let condition = &rule["condition"];
            if rule["action"]["type"] == "Delete" && touches(&condition["matchesPrefix"], prefix) {
                found.google_rule(condition);
            }
        }
        found
    }

    fn google_rule(&mut self, condition: &Value) {
        let says = |name: &str| match &condition[name] {
            Value::Null => false,
            value => name != "isLive" || *value == false,
        };
        if !OF_OLDER_VERSIONS.iter().any(|name| says(name)) {
            self.deletes_current.push(format!("deletes objects with {condition}"));
            return;
        }
        let only = condition.as_object().is_some_and(|all| {
            all.keys().all(|name| ["daysSinceNoncurrentTime", "isLive"].contains(&name.as_str()))
        });
        if let Some(days) = condition["daysSinceNoncurrentTime"].as_u64().filter(|_| only) {
            self.older_within(days);
        }
    }

    /// Of S3's `GetBucketLifecycleConfiguration`, for objects whose names begin with `prefix`.
    pub(super) fn of_s3(xml: &str, prefix: &str) -> Self {
        let mut found = Self::default();
        for rule in xml.split("<Rule>").skip(1).filter_map(|rest| rest.split("</Rule>").next()) {
            let only = between(rule, "<Prefix>", "</Prefix>").unwrap_or_default();
            if !rule.contains("<Status>Enabled</Status>") || !overlap(only, prefix) {
                continue;
            }
            if let Some(expiration) = between(rule, "<Expiration>", "</Expiration>")
                && !expiration.contains("ExpiredObjectDeleteMarker")
            {
                found.deletes_current.push(format!("expires objects: {expiration}"));
            }
            let older = between(rule, "<NoncurrentDays>", "</NoncurrentDays>");
            // With a number of versions to keep, or a tag to have, it is no bound.
            let is_bound = !rule.contains("<NewerNoncurrentVersions>") && !rule.contains("<Tag>");
            if let Some(days) = older.and_then(|days| days.trim().parse().ok()).filter(|_| is_bound) {
                found.older_within(days);
            }
        }
        found
    }

    fn older_within(&mut self, days: u64) {
        self.older_versions_days = Some(self.older_versions_days.map_or(days, |known| known.min(days)));
    }

    /// What becomes of older versions where they are kept.
    pub(super) fn kept(&self) -> Versions {
        Versions::Kept(self.older_versions_days.map(days))
    }
}

/// Whether a rule for names that begin with one of these strikes names that begin with `prefix`; one for all names does.
fn touches(prefixes: &Value, prefix: &str) -> bool {
    match prefixes.as_array() {
        None => true,
        Some(all) => all.iter().filter_map(Value::as_str).any(|one| overlap(one, prefix)),
    }
}

fn overlap(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

pub(super) fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    Some(text.split_once(from)?.1.split_once(to)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn google(rules: &Value) -> Lifecycle {
        Lifecycle::of_google(&json!({ "lifecycle": { "rule": rules } }), "pg/")
    }

    #[test]
    fn a_rule_that_strikes_what_is_current_is_told_and_one_for_older_versions_is_a_bound() {
        let delete = |condition: Value| json!([{ "action": { "type": "Delete" }, "condition": condition }]);
        for bad in [json!({ "age": 30 }), json!({ "age": 30, "isLive": true }), json!({})] {
            assert_eq!(google(&delete(bad.clone())).deletes_current.len(), 1, "{bad}");
        }
        for (fine, bound) in [
            (json!({ "daysSinceNoncurrentTime": 7 }), Some(7)),
            (json!({ "daysSinceNoncurrentTime": 7, "isLive": false }), Some(7)),
            (json!({ "daysSinceNoncurrentTime": 7, "matchesStorageClass": ["NEARLINE"] }), None),
            (json!({ "numNewerVersions": 3 }), None),
            (json!({ "age": 30, "isLive": false }), None),
        ] {
            let found = google(&delete(fine.clone()));
            assert_eq!((found.deletes_current.len(), found.older_versions_days), (0, bound), "{fine}");
        }
        let moves = json!([{ "action": { "type": "SetStorageClass" }, "condition": { "age": 1 } }]);
        assert_eq!(google(&moves), Lifecycle::default());
    }

    #[test]
    fn a_rule_for_other_names_does_not_matter() {
        let of = |prefix: &str| {
            google(&json!([{ "action": { "type": "Delete" }, "condition": { "age": 1, "matchesPrefix": [prefix] } }]))
                .deletes_current
                .len()
        };
        assert_eq!((of("logs/"), of("pg/x"), of("p"), of("")), (0, 1, 1, 1));
    }

    #[test]
    fn rules_of_s3_are_read() {
        let rule = |status: &str, prefix: &str, does: &str| {
            format!(
                "<LifecycleConfiguration><Rule><Filter><Prefix>{prefix}</Prefix></Filter><Status>{status}</Status>{does}</Rule></LifecycleConfiguration>"
            )
        };
        let expires = "<Expiration><Days>30</Days></Expiration>";
        let of = |xml: &str| Lifecycle::of_s3(xml, "pg/");
        assert_eq!(of(&rule("Enabled", "", expires)).deletes_current.len(), 1);
        assert_eq!(of(&rule("Disabled", "", expires)), Lifecycle::default());
        assert_eq!(of(&rule("Enabled", "logs/", expires)), Lifecycle::default());
        let older =
            "<NoncurrentVersionExpiration><NoncurrentDays>9</NoncurrentDays></NoncurrentVersionExpiration>";
        let markers = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
        let found = of(&rule("Enabled", "pg/", &format!("{older}{markers}")));
        assert_eq!((found.deletes_current.len(), found.older_versions_days), (0, Some(9)));
        assert_eq!(found.kept(), Versions::Kept(Some(Duration::from_secs(9 * 24 * 3600))));
    }
}
