//! How the engine speaks while it works: the whole contract between an operation and whoever watches it.
//!
//! The engine never prints. The command line draws a bar, the service counts, tests collect.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something found that does not stop the operation but changes its outcome: it is reported, counted, and makes the
/// exit code 1.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// Stable id, such as `backup.damaged-page`.
    pub id: &'static str,
    /// What and where, one line.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Receives what an operation has to say while it runs. Calls are cheap and come from many threads.
pub trait Monitor: Send + Sync {
    /// A new step begins; `total_bytes` of work lie ahead where that is known.
    fn phase(&self, name: &str, total_bytes: Option<u64>);
    /// So many bytes of the step are done.
    fn advance(&self, bytes: u64);
    /// Worth telling a person who watches; nothing is wrong.
    fn notice(&self, text: &str);
    /// Something is wrong; the operation goes on and its outcome changes.
    fn finding(&self, finding: &Finding);
}

/// Says nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn phase(&self, _name: &str, _total_bytes: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn notice(&self, _text: &str) {}
    fn finding(&self, _finding: &Finding) {}
}

/// Findings that a report lists; further ones are counted.
const RECORDED_MAX: usize = 10_000;

/// Passes everything on and keeps the findings, so that whatever is told to the one who watches also stands in the report and
/// changes the exit code.
pub(crate) struct Recorder {
    inner: Arc<dyn Monitor>,
    recorded: Mutex<Recorded>,
}

/// The findings of an operation so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recorded {
    /// In the order in which they came.
    pub(crate) findings: Vec<Finding>,
    /// How many came after the list was full.
    pub(crate) more: u64,
}

impl Recorder {
    /// In front of `inner`.
    pub(crate) fn new(inner: Arc<dyn Monitor>) -> Self {
        Self { inner, recorded: Mutex::default() }
    }

    /// What came so far.
    pub(crate) fn recorded(&self) -> Recorded {
        self.lock().clone()
    }

    // A panic elsewhere leaves plain data behind; it stays readable.
    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor for Recorder {
    fn phase(&self, name: &str, total_bytes: Option<u64>) {
        self.inner.phase(name, total_bytes);
    }
    fn advance(&self, bytes: u64) {
        self.inner.advance(bytes);
    }
    fn notice(&self, text: &str) {
        self.inner.notice(text);
    }
    fn finding(&self, finding: &Finding) {
        self.inner.finding(finding);
        let mut recorded = self.lock();
        if recorded.findings.len() < RECORDED_MAX {
            recorded.findings.push(finding.clone());
        } else {
            recorded.more += 1;
        }
    }
}

/// Keeps everything; for tests, which look at it afterwards.
#[derive(Debug, Default)]
pub struct Collecting {
    said: Mutex<Said>,
}

/// What a [`Collecting`] monitor has heard.
#[derive(Debug, Default, Clone)]
pub struct Said {
    /// Steps in order.
    pub phases: Vec<String>,
    /// Bytes in all.
    pub bytes: u64,
    /// Notices in order.
    pub notices: Vec<String>,
    /// Findings in order.
    pub findings: Vec<Finding>,
}

impl Collecting {
    /// What was said so far.
    #[must_use]
    pub fn said(&self) -> Said {
        self.with(|said| said.clone())
    }

    fn with<T>(&self, f: impl FnOnce(&mut Said) -> T) -> T {
        // A panic elsewhere leaves plain data behind; it stays readable.
        let mut guard = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut guard)
    }
}

impl Monitor for Collecting {
    fn phase(&self, name: &str, _total_bytes: Option<u64>) {
        self.with(|said| said.phases.push(name.to_owned()));
    }
    fn advance(&self, bytes: u64) {
        self.with(|said| said.bytes = said.bytes.saturating_add(bytes));
    }
    fn notice(&self, text: &str) {
        self.with(|said| said.notices.push(text.to_owned()));
    }
    fn finding(&self, finding: &Finding) {
        self.with(|said| said.findings.push(finding.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_keeps_what_it_passes_on_and_counts_the_rest() {
        let heard = Arc::new(Collecting::default());
        let recorder = Recorder::new(Arc::clone(&heard) as Arc<dyn Monitor>);
        let finding = Finding { id: "x.y", what: "said by a test".to_owned(), hint: None };
        for _ in 0..RECORDED_MAX + 3 {
            recorder.finding(&finding);
        }
        recorder.notice("no finding");
        let recorded = recorder.recorded();
        assert_eq!((recorded.findings.len(), recorded.more), (RECORDED_MAX, 3));
        assert_eq!(heard.said().findings.len(), RECORDED_MAX + 3);
    }
}
