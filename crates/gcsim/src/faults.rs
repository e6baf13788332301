//! Faults that tests ask for: which requests they hit, and what happens to those.
//!
//! Promises: the rules are looked at in the order in which they came, the first that is due takes the request; a rule's `skip`
//! and `count` are counted per matching request, atomically. A paused request is carried out after its release even when
//! its client is gone, as a stalled server would. Deliberately nothing random: a test draws and then says what it wants.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::operation::Operation;

/// Which requests; what is not said matches all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// One of these operations; none named: any.
    pub operations: Vec<Operation>,
    /// The HTTP method.
    pub method: Option<String>,
    /// The bucket.
    pub bucket: Option<String>,
    /// How the object's name begins (for a list: the prefix that is listed).
    pub prefix: Option<String>,
    /// The bearer token.
    pub token: Option<String>,
    /// So many matching requests pass unharmed first.
    pub skip: u64,
    /// So many are hit, then the rule is spent; absent: all.
    pub count: Option<u64>,
}

/// An error to answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `reason` in JSON and `<Code>` in XML; absent: what the documentation gives for the status.
    #[serde(default)]
    pub reason: Option<String>,
    /// The message.
    #[serde(default)]
    pub message: Option<String>,
    /// Seconds for a `Retry-After` header.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

/// When a pause happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pause {
    /// The body is here, nothing was done yet.
    Before,
    /// It was done, and is not answered yet.
    After,
}

/// What happens to the request. What is said together happens together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// Waits before the body is read.
    pub delay_ms: u64,
    /// Reads the body no faster than this.
    pub request_bytes_per_second: Option<u64>,
    /// Closes the connection after so many bytes of the request's body; nothing is carried out (a resumable session keeps
    /// the whole 256 KiB that arrived).
    pub cut_request_at: Option<u64>,
    /// Is held until released.
    pub pause: Option<Pause>,
    /// Answers this error instead of carrying the request out (with `apply_late_ms` or `lose_answer`: besides).
    pub answer: Option<Answer>,
    /// Carries it out so much later; until then, at once, the client gets `answer`, or its connection closed.
    pub apply_late_ms: Option<u64>,
    /// Carries it out and closes the connection without an answer.
    pub lose_answer: bool,
    /// Sends the answer's body no faster than this.
    pub answer_bytes_per_second: Option<u64>,
    /// Closes the connection after so many bytes of the answer's body.
    pub cut_answer_at: Option<u64>,
}

/// A rule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests.
    #[serde(default)]
    pub when: When,
    /// What happens to them.
    #[serde(rename = "do")]
    pub fault: Fault,
}

/// How a rule stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Its number.
    pub id: u64,
    /// Requests that matched.
    pub matched: u64,
    /// Requests that it hit.
    pub hit: u64,
    /// Requests that it holds now.
    pub held: u64,
    /// The rule.
    pub rule: Rule,
}

struct Active {
    standing: Standing,
    released: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct Faults {
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    last: u64,
    active: BTreeMap<u64, Active>,
}

/// A request as rules see it.
pub(crate) struct Seen<'a> {
    pub(crate) operation: Operation,
    pub(crate) method: &'a str,
    pub(crate) bucket: &'a str,
    pub(crate) name: &'a str,
    pub(crate) token: Option<&'a str>,
}

impl When {
    fn matches(&self, seen: &Seen<'_>) -> bool {
        (self.operations.is_empty() || self.operations.contains(&seen.operation))
            && self.method.as_deref().is_none_or(|method| method == seen.method)
            && self.bucket.as_deref().is_none_or(|bucket| bucket == seen.bucket)
            && self.prefix.as_deref().is_none_or(|prefix| seen.name.starts_with(prefix))
            && self.token.as_deref().is_none_or(|token| Some(token) == seen.token)
    }
}

impl Faults {
    pub(crate) fn add(&self, rule: Rule) -> u64 {
        let mut rules = self.lock();
        rules.last += 1;
        let id = rules.last;
        let standing = Standing { id, matched: 0, hit: 0, held: 0, rule };
        rules.active.insert(id, Active { standing, released: watch::Sender::new(false) });
        id
    }

    /// Removes a rule, or all; what they hold goes on. How many there were.
    pub(crate) fn remove(&self, id: Option<u64>) -> usize {
        let mut rules = self.lock();
        let taken: Vec<Active> = match id {
            Some(id) => rules.active.remove(&id).into_iter().collect(),
            None => std::mem::take(&mut rules.active).into_values().collect(),
        };
        for active in &taken {
            active.released.send_replace(true);
        }
        taken.len()
    }

    pub(crate) fn standings(&self) -> Vec<Standing> {
        self.lock().active.values().map(|active| active.standing.clone()).collect()
    }

    /// What happens to this request.
    pub(crate) fn strike(&self, seen: &Seen<'_>) -> Option<(u64, Fault)> {
        let mut rules = self.lock();
        for (id, active) in &mut rules.active {
            let standing = &mut active.standing;
            let when = &standing.rule.when;
            if when.count.is_some_and(|count| standing.hit >= count) || !when.matches(seen) {
                continue;
            }
            standing.matched += 1;
            if standing.matched <= when.skip {
                continue;
            }
            standing.hit += 1;
            return Some((*id, standing.rule.fault.clone()));
        }
        None
    }

    /// Waits until the rule is removed.
    pub(crate) async fn hold(&self, id: u64) {
        let waiting = {
            let mut rules = self.lock();
            rules.active.get_mut(&id).map(|active| {
                active.standing.held += 1;
                active.released.subscribe()
            })
        };
        if let Some(mut waiting) = waiting {
            // The sender goes with the rule, which is a release too.
            waiting.wait_for(|released| *released).await.map(drop).unwrap_or_default();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skip_and_count_are_counted_per_matching_request() {
        let faults = Faults::default();
        let when = When { prefix: Some("wal/".to_owned()), skip: 1, count: Some(2), ..When::default() };
        let id = faults.add(Rule { when, fault: Fault { lose_answer: true, ..Fault::default() } });
        let seen =
            |name| Seen { operation: Operation::ObjectPut, method: "PUT", bucket: "b", name, token: None };
        let hits: Vec<bool> = ["wal/1", "x", "wal/2", "wal/3", "wal/4"]
            .map(|name| faults.strike(&seen(name)).is_some())
            .to_vec();
        assert_eq!(hits, [false, false, true, true, false]);
        assert_eq!(faults.standings()[0].hit, 2);
        assert_eq!(faults.remove(Some(id)), 1);
        assert_eq!(faults.remove(None), 0);
    }
}
