//! From values to text and JSON: what reaches a person or a program passes here.
//!
//! stdout is data, stderr is talk. With `--json` stdout carries one JSON document, and stderr one JSON object a line
//! (`progress`, `notice`, `finding`, `error`). Colour only where a terminal can show it and nobody asked for none.

pub mod calendar;
pub mod error;
pub mod human;
pub mod page;
pub mod progress;
pub mod timeline;

use std::io::{self, IsTerminal as _, Write};

use seawall_engine::text::shown;
use seawall_engine::{Error, Finding};
use serde::Serialize;

pub use page::{Align, Page, Span, Style, Table};

/// When there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// Where a terminal can show it, and neither NO_COLOR nor TERM=dumb is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    /// Errors and findings only.
    Quiet,
    /// Progress and notices too.
    Normal,
    /// Every step, also where no terminal shows a bar.
    Verbose,
}

/// How a command speaks.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// JSON instead of text.
    pub json: bool,
    /// How much is said on stderr.
    pub talk: Talk,
    /// Whether stdout has colour.
    pub colour_out: bool,
    /// Whether stderr has colour.
    pub colour_err: bool,
    /// Whether a person watches stderr, so that a bar can be drawn.
    pub watched: bool,
}

impl Output {
    /// Looks at the terminal and the environment once.
    #[must_use]
    pub fn new(json: bool, talk: Talk, colour: Colour) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wanted = |terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !dumb && !refused,
        };
        let watched = io::stderr().is_terminal();
        let colour_out = wanted(io::stdout().is_terminal());
        Self { json, talk, colour_out, colour_err: wanted(watched), watched: watched && !dumb }
    }

    /// Prints a report: as text, or the same value as JSON.
    pub fn report<R: Serialize>(&self, report: &R, text: impl FnOnce(&R) -> Page) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let written = if self.json {
            let text = serde_json::to_string_pretty(report).map_err(|source| {
                Error::bug("cli.json", "a report cannot be written as JSON").because(source)
            })?;
            writeln!(out, "{}", harmless_json(&text))
        } else {
            text(report).write(&mut out, self.colour_out)
        };
        finished(written.and_then(|()| out.flush()))
    }

    /// Prints parts of what has no end known beforehand: as text, or each as one JSON object a line.
    pub fn lines<R: Serialize>(&self, parts: &[R], text: impl FnOnce(&[R]) -> Page) -> Result<(), Error> {
        if !self.json {
            return self.page(&text(parts));
        }
        let mut lines = String::new();
        for part in parts {
            let line = serde_json::to_string(part).map_err(|source| {
                Error::bug("cli.json", "a report cannot be written as JSON").because(source)
            })?;
            lines.push_str(&harmless_json(&line));
            lines.push('\n');
        }
        self.raw(lines.as_bytes())
    }

    /// Prints a page that has no JSON form of its own.
    pub fn page(&self, page: &Page) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        finished(page.write(&mut out, self.colour_out).and_then(|()| out.flush()))
    }

    /// Prints bytes as they are: scripts and manual pages.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        finished(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Says an error on stderr; `code` is what the process ends with.
    pub fn error(&self, error: &Error, code: u8) {
        if self.json {
            self.say_json(&error::json(error, code));
        } else {
            self.say(&error::page(error, code));
        }
    }

    /// Says a finding on stderr.
    pub fn finding(&self, finding: &Finding) {
        if self.json {
            self.say_json(&serde_json::json!({ "finding": finding }));
        } else {
            self.say(&error::finding(finding));
        }
    }

    /// Says something worth knowing on stderr, unless it shall be quiet.
    pub fn notice(&self, text: &str) {
        if self.talk == Talk::Quiet {
            return;
        }
        if self.json {
            self.say_json(&serde_json::json!({ "notice": text }));
        } else {
            self.say(Page::new().line(text));
        }
    }

    /// Says one line of progress on stderr; only with `--json`.
    fn progress_line(&self, value: &serde_json::Value) {
        self.say_json(value);
    }

    // What cannot be said on stderr cannot be said anywhere; the exit code still tells.
    pub(crate) fn say(&self, page: &Page) {
        let mut buffer = Vec::new();
        let _said =
            page.write(&mut buffer, self.colour_err).and_then(|()| io::stderr().lock().write_all(&buffer));
    }

    fn say_json(&self, value: &serde_json::Value) {
        let line = format!("{}\n", harmless_json(&value.to_string()));
        let _said = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// A reader that has gone away has seen enough; a full disk under stdout is an error.
fn finished(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(source) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => {
            Err(Error::unavailable("cli.output", "cannot write to standard output").because(source))
        }
        Ok(()) => Ok(()),
    }
}

/// JSON with what a terminal would obey written as `\uXXXX`: the JSON library escapes ASCII only, and a terminal also
/// knows C1 controls and directions. Such characters occur within strings alone, so the meaning stays.
fn harmless_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        let ascii = c.is_ascii() && c != '\u{7f}';
        let kept = ascii || shown(c.encode_utf8(&mut [0; 4])).starts_with(c);
        if kept {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_meaning_and_loses_what_terminals_obey() {
        let value = serde_json::json!({ "name": "Zürich \u{9b}31m \u{202e} \u{7f} \u{1b}" });
        let text = harmless_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.contains("Zürich \\u009b31m \\u202e \\u007f \\u001b"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
        assert!(finished(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert_eq!(finished(Err(io::ErrorKind::StorageFull.into())).unwrap_err().id(), "cli.output");
    }
}
