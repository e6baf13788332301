//! How the engine speaks while it works: the whole contract between an operation and whoever watches it.
//!
//! The engine never prints. The command line draws a bar, the service counts, tests collect.

use std::sync::Mutex;

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
        let mut guard = self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
