//! Which calls meet which fault.
//!
//! Promises: a rule counts only the calls it is about; the count is kept per rule. Does not do: randomness; a test that
//! wants it draws the numbers itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// Storing.
    Put,
    /// Reading.
    Get,
    /// Asking for size.
    Head,
    /// Listing.
    List,
    /// Deleting.
    Delete,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error; nothing was done.
    FailBefore,
    /// An error; but the work was done.
    FailAfter,
    /// An error now; a put is done right before the `calls`th call from here (counted over all calls), or when
    /// [`super::FaultyStore::apply_late`] is called, whichever comes first. `None`: only when told.
    /// Other kinds of calls just fail.
    ApplyLate {
        /// How many calls later.
        calls: Option<u64>,
    },
    /// A put or a deletion is answered with success and not done.
    Forget,
    /// Done after a while.
    Delay(Duration),
    /// Done once the gate is opened.
    Hang(Gate),
    /// Reading gives only the first so many bytes and ends as if that were all; a listing breaks with an error after
    /// so many names.
    Truncate(u64),
    /// Reading gives one bit the other way round: the bit of this number in what is read (modulo its length).
    FlipBit(u64),
}

/// Lets a hung call go on. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    inner: Arc<GateState>,
}

#[derive(Debug, Default)]
struct GateState {
    open: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl PartialEq for Gate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Gate {}

impl Gate {
    /// Opens it for good.
    pub fn open(&self) {
        self.inner.open.store(true, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in waiting {
            waker.wake();
        }
    }

    /// Completes once it is open.
    pub async fn opened(&self) {
        std::future::poll_fn(|context| {
            // Registered before looking, so that an opening in between is not missed.
            self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(context.waker().clone());
            if self.inner.open.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Which calls meet a fault. Begin with [`Rule::new`] and narrow it down.
#[derive(Debug, Clone)]
pub struct Rule {
    fault: Fault,
    kind: Option<CallKind>,
    name_contains: String,
    call_number: Option<u64>,
    skip: u64,
    times: u64,
    for_good: bool,
}

impl Rule {
    /// Every call meets `fault`.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            kind: None,
            name_contains: String::new(),
            call_number: None,
            skip: 0,
            times: u64::MAX,
            for_good: false,
        }
    }

    /// Only calls of one kind.
    #[must_use]
    pub fn on(self, kind: CallKind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Only calls on names that contain `part`.
    #[must_use]
    pub fn named(self, part: &str) -> Self {
        Self { name_contains: part.to_owned(), ..self }
    }

    /// Only the call of that number (from 1) among all calls of the store: what a sweep turns through.
    #[must_use]
    pub fn at_call(self, number: u64) -> Self {
        Self { call_number: Some(number), ..self }
    }

    /// Not the first `skip` calls the rule is about.
    #[must_use]
    pub fn after(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// At most so many calls.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Once it was met every later call meets it, whatever it is: the place is gone from there on.
    #[must_use]
    pub fn for_good(self) -> Self {
        Self { for_good: true, ..self }
    }
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Armed {
    rule: Rule,
    seen: u64,
    gone: bool,
}

impl Armed {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, seen: 0, gone: false }
    }

    pub(super) fn meets(&mut self, number: u64, kind: CallKind, name: &str) -> Option<Fault> {
        let rule = &self.rule;
        if self.gone {
            return Some(rule.fault.clone());
        }
        let is_about = rule.kind.is_none_or(|wanted| wanted == kind)
            && name.contains(&rule.name_contains)
            && rule.call_number.is_none_or(|wanted| wanted == number);
        if !is_about {
            return None;
        }
        self.seen += 1;
        let in_turn = self.seen > rule.skip && self.seen - rule.skip <= rule.times;
        self.gone = in_turn && rule.for_good;
        in_turn.then(|| rule.fault.clone())
    }
}
