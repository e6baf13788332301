//! The one error that crosses the engine's edge: what happened, where, and what to do next.
//!
//! Inside, every module has its own precise error; here they become a [`Kind`] (which tells the caller what to do and
//! is the exit code), a stable id, the message, facts and hints as separate values, so that text, JSON and tests show
//! the same truth. A cause is kept as `source` and is never repeated in the message above it.

use std::error::Error as StdError;
use std::fmt;

/// What the caller has to do; one exit code each (the table stands in README and the manual page).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Fix the command or the settings.
    Usage,
    /// Fix PostgreSQL or its files.
    Source,
    /// The repository lacks or has damaged something.
    Data,
    /// Somebody else is at it; try later.
    Busy,
    /// A place or the network is down; it was retried already.
    Unavailable,
    /// A bug of seawall: report it.
    Bug,
}

impl Kind {
    /// The process's exit code for this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Source => 3,
            Self::Data => 4,
            Self::Busy => 5,
            Self::Unavailable => 6,
            Self::Bug => 70,
        }
    }
}

type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong, as an operator needs it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    id: &'static str,
    what: String,
    facts: Vec<(&'static str, String)>,
    hints: Vec<String>,
    source: Option<Cause>,
}

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of a kind with its stable id (`restore.target-not-empty`) and one line that says what and where:
    /// lower case, no full stop, no cause.
    #[must_use]
    pub fn new(kind: Kind, id: &'static str, what: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            id,
            what: what.into(),
            facts: Vec::new(),
            hints: Vec::new(),
            source: None,
        }))
    }

    /// Kind [`Kind::Usage`].
    #[must_use]
    pub fn usage(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Usage, id, what)
    }

    /// Kind [`Kind::Source`].
    #[must_use]
    pub fn source_side(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Source, id, what)
    }

    /// Kind [`Kind::Data`].
    #[must_use]
    pub fn data(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Data, id, what)
    }

    /// Kind [`Kind::Busy`].
    #[must_use]
    pub fn busy(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Busy, id, what)
    }

    /// Kind [`Kind::Unavailable`].
    #[must_use]
    pub fn unavailable(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, id, what)
    }

    /// Kind [`Kind::Bug`].
    #[must_use]
    pub fn bug(id: &'static str, what: impl Into<String>) -> Self {
        Self::new(Kind::Bug, id, what)
    }

    /// Adds a fact, shown as `name: value` under the message.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.facts.push((name, value.to_string()));
        self
    }

    /// Adds a next step: a full sentence, with the command to type where there is one.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Cause>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller has to do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stable id.
    #[must_use]
    pub fn id(&self) -> &'static str {
        self.0.id
    }

    /// The facts, in the order in which they were added.
    #[must_use]
    pub fn facts(&self) -> &[(&'static str, String)] {
        &self.0.facts
    }

    /// The next steps.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// The causes, nearest first, each its own message.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_exit_code() {
        let kinds = [Kind::Usage, Kind::Source, Kind::Data, Kind::Busy, Kind::Unavailable, Kind::Bug];
        let codes: std::collections::BTreeSet<u8> = kinds.iter().map(|k| k.exit_code()).collect();
        assert_eq!(codes.into_iter().collect::<Vec<_>>(), [2, 3, 4, 5, 6, 70]);
    }

    #[test]
    fn the_cause_is_kept_apart_from_the_message() {
        let error = Error::data("x.y", "map 3 is damaged")
            .fact("region", "north")
            .because(std::io::Error::other("short read"));
        assert_eq!(error.to_string(), "map 3 is damaged");
        assert_eq!(error.causes(), ["short read"]);
        assert_eq!(error.facts(), [("region", "north".to_owned())]);
    }
}
