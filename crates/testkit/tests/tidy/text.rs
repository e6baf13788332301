//! What a file must begin with, and what must not stand in one.

use crate::source::{Complaint, Source};

/// Signs beyond ASCII that the tree uses. Letters and digits of any script may stand in names and samples; what is
/// invisible, looks like something else, or changes the direction of text may not.
const DECLARED: &str = "─│┌┐└┘├┤█…·→←↔§▶◀▼▲×≤≥±µ✓✗€°";

/// Words for what nobody will do, put together here so that this file does not trip over itself.
const FOR_LATER: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("HA", "CK"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
];

/// Beginnings of paths that exist on one machine only.
const MACHINE: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/.")];

pub(crate) fn has_header(file: &Source) -> Vec<Complaint> {
    // A `tests.rs` belongs to the file above it, which has the header.
    if file.path.ends_with("/tests.rs") || file.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![file.complaint(1, "does not begin with a `//!` that says what it is, promises, and leaves out")]
}

pub(crate) fn leaves_nothing_for_later(file: &Source) -> Vec<Complaint> {
    let lines = file.text.lines().enumerate();
    let found = lines
        .filter_map(|(index, line)| Some((index + 1, FOR_LATER.iter().find(|word| line.contains(**word))?)));
    found
        .map(|(number, word)| {
            file.complaint(number, format!("`{word}`: do it, or say in words what is not done and why"))
        })
        .collect()
}

pub(crate) fn has_declared_characters(file: &Source) -> Vec<Complaint> {
    let strange = |c: &char| !c.is_ascii() && !c.is_alphanumeric() && !DECLARED.contains(*c);
    let lines = file.text.lines().enumerate();
    let found = lines.filter_map(|(index, line)| Some((index + 1, line.chars().find(strange)?)));
    found
        .map(|(number, c)| {
            file.complaint(number, format!("U+{:04X} is not declared in tidy's list of signs", u32::from(c)))
        })
        .collect()
}

pub(crate) fn names_no_machine(file: &Source) -> Vec<Complaint> {
    let lines = file.text.lines().enumerate();
    let found = lines
        .filter_map(|(index, line)| Some((index + 1, MACHINE.iter().find(|path| line.contains(**path))?)));
    found.map(|(number, path)| file.complaint(number, format!("`{path}` is a path of one machine"))).collect()
}

/// `reason = "..."` of an allowed lint, and the text of an `expect`, say something.
pub(crate) fn gives_reasons(file: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, line) in file.code() {
        for opening in ["reason = \"", ".expect(\""] {
            let given =
                line.split_once(opening).and_then(|(_, rest)| rest.split_once('"')).map(|(reason, _)| reason);
            if given.is_some_and(|reason| reason.split_whitespace().count() < 2) {
                complaints.push(file.complaint(number, "this reason says nothing"));
            }
        }
    }
    complaints
}

pub(crate) fn script_stops_at_errors(file: &Source) -> Vec<Complaint> {
    let is_bash = file.text.starts_with("#!/usr/bin/env bash\n");
    if is_bash && file.text.lines().any(|line| line.trim() == "set -euo pipefail") {
        return Vec::new();
    }
    vec![file.complaint(1, "a script begins with `#!/usr/bin/env bash` and has `set -euo pipefail`")]
}

#[test]
fn a_file_without_a_header_is_red() {
    assert_eq!(has_header(&Source::new("crates/pg/src/a.rs", "// a\n")).len(), 1);
    assert!(has_header(&Source::new("crates/pg/src/a.rs", "//! a\n")).is_empty());
    assert!(has_header(&Source::new("crates/pg/src/a/tests.rs", "use super::*;\n")).is_empty());
}

#[test]
fn a_word_for_later_is_red() {
    for word in FOR_LATER {
        assert_eq!(
            leaves_nothing_for_later(&Source::new("a.rs", &format!("//! a\n// {word} x\n")))[0].line,
            2,
            "{word}"
        );
    }
}

#[test]
fn a_character_that_hides_something_is_red() {
    for c in ['\u{200B}', '\u{202E}', '\u{00A0}', '\u{2013}', '\u{201C}'] {
        assert_eq!(has_declared_characters(&Source::new("a.md", &format!("a{c}b"))).len(), 1, "{c:?}");
    }
    assert!(has_declared_characters(&Source::new("a.md", "pages → frames, Zürich, 東京")).is_empty());
}

#[test]
fn a_path_of_one_machine_is_red() {
    for path in MACHINE {
        assert_eq!(names_no_machine(&Source::new("a.sh", &format!("cd {path}x"))).len(), 1);
    }
    assert!(names_no_machine(&Source::new("a.sh", "cd /var/lib/postgresql")).is_empty());
}

#[test]
fn a_reason_that_says_nothing_is_red() {
    let sample = "//! a\n#[expect(clippy::panic, reason = \"fine\")]\nlet a = b.expect(\"works\");\n";
    assert_eq!(gives_reasons(&Source::new("crates/pg/src/a.rs", sample)).len(), 2);
    let fine = "//! a\nlet a = b.expect(\"a slice of eight bytes\");\n";
    assert!(gives_reasons(&Source::new("crates/pg/src/a.rs", fine)).is_empty());
}

#[test]
fn a_script_that_goes_on_after_errors_is_red() {
    assert_eq!(script_stops_at_errors(&Source::new("tools/a.sh", "#!/bin/sh\nls\n")).len(), 1);
    assert!(
        script_stops_at_errors(&Source::new("tools/a.sh", "#!/usr/bin/env bash\nset -euo pipefail\n"))
            .is_empty()
    );
}
