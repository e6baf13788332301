//! What commands print as JSON, held to `docs/JSON.md`.
//!
//! Promises: each key of a document, in objects and in lists however deep, is named at its path in the section of the command
//! that printed it, or in the form that the section links to there. Deliberately does not ask that every field named there is
//! printed: some depend on what there is.

#![allow(dead_code, reason = "each test binary uses the part it needs")]

use std::collections::BTreeMap;

use serde_json::Value;

/// The page.
pub(crate) const PAGE: &str = include_str!("../../../../docs/JSON.md");

/// Objects whose keys are data: section, path.
const FREE: [(&str, &str); 1] = [("seawall show", "server.settings")];

/// Sections by title: paths (without `[]`), each with the forms that its meaning links to.
#[derive(Debug)]
pub(crate) struct Page<'a>(BTreeMap<&'a str, BTreeMap<String, Vec<&'a str>>>);

/// A section of the page, and the path in it that a value has.
type Place<'a> = (&'a str, String);

/// Checks what the command with these words printed.
pub(crate) fn check<'a>(words: impl IntoIterator<Item = &'a str>, value: &Value) -> Result<(), String> {
    let words: Vec<&str> = words.into_iter().collect();
    let page = Page::parse(PAGE);
    let section = page.section(&words).ok_or("docs/JSON.md has no section of this command")?;
    page.check(value, &[(section, String::new())])
}

impl<'a> Page<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut sections: BTreeMap<&str, BTreeMap<String, Vec<&str>>> = BTreeMap::new();
        let mut title = "";
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix('#') {
                title = heading.trim_start_matches('#').trim().trim_matches('`');
            } else if let Some((paths, meaning)) =
                line.strip_prefix("| ").and_then(|row| row.split_once(" | "))
            {
                let section = sections.entry(title).or_default();
                for path in paths.split('`').skip(1).step_by(2).map(|path| path.replace("[]", "")) {
                    // A path names what it leads through.
                    for (end, _) in path.match_indices('.') {
                        section.entry(path.get(..end).unwrap_or_default().to_owned()).or_default();
                    }
                    section.entry(path).or_default().extend(links(meaning));
                }
            }
        }
        Self(sections)
    }

    /// Titles of sections.
    pub(crate) fn titles(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().copied()
    }

    /// Every link to a form that no section is.
    pub(crate) fn broken_links(&self) -> Vec<&'a str> {
        let all = self.0.values().flat_map(BTreeMap::values).flatten().copied();
        all.filter(|anchor| self.form(anchor).is_none()).collect()
    }

    /// The section of the command: the one with most words, all of which were typed.
    fn section(&self, words: &[&str]) -> Option<&'a str> {
        let commands = self.titles().filter(|title| title.starts_with("seawall "));
        let typed = commands.filter(|title| title.split(' ').skip(1).all(|word| words.contains(&word)));
        typed.max_by_key(|title| title.split(' ').count())
    }

    fn form(&self, anchor: &str) -> Option<&'a str> {
        let slug = |title: &str| title.to_lowercase().replace(' ', "-").replace('\'', "");
        self.titles().find(|title| slug(title) == anchor)
    }

    fn check(&self, value: &Value, places: &[Place<'a>]) -> Result<(), String> {
        if places.iter().any(|(section, path)| FREE.contains(&(section, path))) {
            return Ok(());
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.check(item, places)),
            Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
                let places = self.below(key, places).ok_or_else(|| unnamed(key, places))?;
                self.check(value, &places)
            }),
            _ => Ok(()),
        }
    }

    /// Where the values of a key are described.
    fn below(&self, key: &str, places: &[Place<'a>]) -> Option<Vec<Place<'a>>> {
        places.iter().find_map(|(section, above)| {
            let path = if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
            let forms = self.0.get(section)?.get(&path)?;
            let forms = forms.iter().filter_map(|anchor| Some((self.form(anchor)?, String::new())));
            Some(std::iter::once((*section, path)).chain(forms).collect())
        })
    }
}

fn unnamed(key: &str, places: &[Place<'_>]) -> String {
    let place = |(section, path): &Place<'_>| match path.as_str() {
        "" => (*section).to_owned(),
        path => format!("{section}, below `{path}`"),
    };
    let above: Vec<String> = places.iter().map(place).collect();
    format!("docs/JSON.md does not name the key `{key}` ({})", above.join("; "))
}

/// Anchors of the links in a text.
fn links(text: &str) -> Vec<&str> {
    text.split("](#").skip(1).filter_map(|rest| rest.split_once(')')).map(|(anchor, _)| anchor).collect()
}
