//! The one error of this crate: a text for the person who reads a failed test.
//!
//! Promises: any error converts into it with its whole chain of causes, and `Debug` prints that text, so a test returning
//! [`Result`] fails readably. Deliberately not typed: nothing decides by it.

use std::fmt;

/// What went wrong, in words, with the place in the test kit or test that noticed.
pub struct Failure {
    text: String,
    place: &'static std::panic::Location<'static>,
}

/// The result of everything in this crate, and a good return type for tests.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with this text, at the caller's place.
    #[track_caller]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), place: std::panic::Location::caller() }
    }

    /// The text alone.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}\n  noticed at {}", self.text, self.place)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

// `Failure` itself is no `std::error::Error`: that would make this conversion ambiguous.
impl<E: std::error::Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// Puts `what()` in front of the failure's text.
    ///
    /// # Errors
    /// The failure it was called on, with that text in front.
    fn context<S: fmt::Display>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Failure>> Context<T> for std::result::Result<T, E> {
    #[track_caller]
    fn context<S: fmt::Display>(self, what: impl FnOnce() -> S) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => {
                let failure: Failure = error.into();
                Err(Failure::new(format!("{}: {}", what(), failure.text)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_whole_chain_and_the_place() {
        let inner = std::io::Error::other(std::io::Error::new(std::io::ErrorKind::NotFound, "no such cable"));
        let failed: Result<()> = Err(inner).context(|| "plugging in");
        let text = format!("{:?}", failed.expect_err("it failed"));
        assert!(text.starts_with("plugging in: no such cable"), "{text}");
        assert!(text.contains("failure.rs:"), "{text}");
    }
}
