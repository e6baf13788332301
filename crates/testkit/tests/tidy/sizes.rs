//! Files stay small: a hard limit, and a ratchet for those that were ever let through.

use std::collections::BTreeMap;

use crate::source::{Complaint, Source};

/// Production lines a file may have; under 400 is the aim.
const LIMIT: usize = 500;

/// Files over the limit with the lines they had when they were let through.
pub(crate) struct Ratchet(BTreeMap<String, usize>);

impl Ratchet {
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .filter_map(|line| line.split_once(' '))
                .filter_map(|(n, path)| Some((path.to_owned(), n.parse().ok()?)))
                .collect(),
        )
    }

    pub(crate) fn complaints(&self, tree: &[Source]) -> Vec<Complaint> {
        let files = tree.iter().filter(|file| file.is_rust());
        let mut complaints: Vec<Complaint> = files.filter_map(|file| self.complaint(file)).collect();
        for path in self.0.keys().filter(|path| !tree.iter().any(|file| file.path == **path)) {
            complaints.push(Source::new(path, "").complaint(0, "is gone: remove it from ratchet.txt"));
        }
        complaints
    }

    fn complaint(&self, file: &Source) -> Option<Complaint> {
        let lines = file.production().count();
        match self.0.get(&file.path) {
            None if lines > LIMIT => Some(
                file.complaint(lines, format!("{lines} production lines, the limit is {LIMIT}: split it")),
            ),
            Some(recorded) if lines > *recorded => {
                Some(file.complaint(lines, format!("grew from {recorded} to {lines} lines")))
            }
            Some(recorded) if lines < *recorded => Some(file.complaint(
                lines,
                format!("shrank from {recorded} to {lines} lines: lower it in ratchet.txt"),
            )),
            _ => None,
        }
    }
}

#[test]
fn a_long_file_a_grown_one_and_a_loose_ratchet_are_red() {
    let file = |lines: usize| [Source::new("crates/x/src/a.rs", &"fn a() {}\n".repeat(lines))];
    let none = Ratchet::parse("# nothing\n");
    assert!(none.complaints(&file(LIMIT)).is_empty());
    assert_eq!(none.complaints(&file(LIMIT + 1)).len(), 1);
    let some = Ratchet::parse("600 crates/x/src/a.rs\n");
    assert!(some.complaints(&file(600)).is_empty());
    assert!(some.complaints(&file(601))[0].text.contains("grew"));
    assert!(some.complaints(&file(599))[0].text.contains("lower it"));
    assert!(some.complaints(&[])[0].text.contains("is gone"));
}
