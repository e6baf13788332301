//! An error as a person reads it and as a program reads it: what, where, why, what to do next.
//!
//! ```text
//! error: region north holds another repository
//!   cause:      short read
//!   repository: 0123…
//!   hint: type this
//!   [region.other-repository, exit 4]
//! ```

use seawall_engine::{Error, Finding};
use serde_json::{Value, json};

use super::page::{Page, Span, Style};

/// Text for a terminal. `code` is what the process ends with.
#[must_use]
pub fn page(error: &Error, code: u8) -> Page {
    let mut page = Page::new();
    page.spans(0, [Span::new(Style::Bad, "error:"), Span::plain(format!(" {error}"))]);
    let facts = error.facts().iter().map(|(name, value)| (*name, value.clone()));
    let causes = error.causes().into_iter().map(|cause| ("cause", cause));
    page.facts(2, causes.chain(facts));
    for hint in error.hints() {
        page.spans(2, [Span::new(Style::Good, "hint:"), Span::plain(format!(" {hint}"))]);
    }
    page.indented(2, Span::new(Style::Dim, format!("[{}, exit {code}]", error.id())));
    page
}

/// The same for programs: one object under the key `error`.
#[must_use]
pub fn json(error: &Error, code: u8) -> Value {
    let fact = |(name, value): &(&'static str, String)| json!({ "name": name, "value": value });
    json!({ "error": {
        "id": error.id(),
        "kind": error.kind(),
        "exit": code,
        "message": error.to_string(),
        "causes": error.causes(),
        "facts": error.facts().iter().map(fact).collect::<Vec<_>>(),
        "hints": error.hints(),
    }})
}

/// A finding: the operation went on, and its outcome changed.
#[must_use]
pub fn finding(finding: &Finding) -> Page {
    let mut page = Page::new();
    page.spans(
        0,
        [
            Span::new(Style::Warn, "finding:"),
            Span::plain(format!(" {} ", finding.what)),
            Span::new(Style::Dim, format!("[{}]", finding.id)),
        ],
    );
    if let Some(hint) = &finding.hint {
        page.spans(2, [Span::new(Style::Good, "hint:"), Span::plain(format!(" {hint}"))]);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Error {
        Error::data(
            "wal.segment-missing",
            "WAL segment 00000003000000A200000041 is missing from every region",
        )
        .fact("searched", "eu, us\u{1b}[0m")
        .fact("needed by", "restore")
        .hint("replay can reach 2031-05-04T09:12:37Z; add --at '2031-05-04T09:12:37Z'")
        .because(std::io::Error::other("no such object"))
    }

    #[test]
    fn text_says_what_where_why_and_what_next() {
        let wanted = "\
error: WAL segment 00000003000000A200000041 is missing from every region
  cause:     no such object
  searched:  eu, us\\u{1b}[0m
  needed by: restore
  hint: replay can reach 2031-05-04T09:12:37Z; add --at '2031-05-04T09:12:37Z'
  [wal.segment-missing, exit 4]
";
        assert_eq!(page(&example(), 4).to_text(), wanted);
    }

    #[test]
    fn json_carries_the_same() {
        let value = json(&example(), 4);
        let error = value.get("error").unwrap();
        assert_eq!(error.get("exit"), Some(&json!(4)));
        assert_eq!(error.get("kind"), Some(&json!("data")));
        assert_eq!(error.get("causes"), Some(&json!(["no such object"])));
        assert_eq!(error.pointer("/facts/1"), Some(&json!({ "name": "needed by", "value": "restore" })));
    }

    #[test]
    fn a_finding_names_its_id_and_cure() {
        let found = Finding { id: "backup.damaged-page", what: "page 3".into(), hint: Some("look".into()) };
        assert_eq!(finding(&found).to_text(), "finding: page 3 [backup.damaged-page]\n  hint: look\n");
    }
}
