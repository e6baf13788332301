//! Settings files as layers: which file sets which key of which cluster, on which line.
//!
//! Promises: an unknown key, a value of the wrong kind and a key set twice in one file are problems that name file and
//! line; all problems are found, not only the first. Deliberately does not know what the values mean together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seawall_engine::repository::RegionSettings;
use seawall_engine::words::ClusterName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::{self, Key, Kind};

/// A value as it was written, of the kind its key wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text; also a path, a duration, a rate.
    Text(String),
    /// A number.
    Integer(i64),
    /// `true` or `false`.
    Bool(bool),
    /// A list of texts.
    Texts(Vec<String>),
    /// Regions.
    Regions(Vec<RegionSettings>),
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The settings file.
    pub file: PathBuf,
    /// The line of the key, from 1.
    pub line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable id.
    pub id: &'static str,
    /// What and where, one line.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
    /// The line in its file, from 1; 0 where it belongs to none.
    pub line: usize,
}

/// A value and where it comes from.
pub type Entry = (Value, Origin);

/// What all files together set. Later files win, key by key.
#[derive(Debug, Default)]
pub struct Layers {
    /// For all clusters: `[defaults]` and sections at the top.
    pub all: BTreeMap<&'static str, Entry>,
    /// For one cluster: `[cluster.NAME]`.
    pub clusters: BTreeMap<ClusterName, BTreeMap<&'static str, Entry>>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Layers {
    /// Adds a file's text on top.
    pub fn add(&mut self, file: &Path, text: &str) {
        let before = self.problems.len();
        match DeTable::parse(text) {
            Ok(table) => {
                Walk { layers: self, file, text, scope: None, seen: BTreeMap::new() }.top(table.get_ref());
            }
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                let what = format!("{}:{line}: {}", file.display(), first_line(error.message()));
                self.problems.push(Problem { id: "settings.syntax", what, hint: None, line });
            }
        }
        // The tables come in the order of their names; a reader goes through the file from the top.
        if let Some(new) = self.problems.get_mut(before..) {
            new.sort_by_key(|problem| problem.line);
        }
    }
}

struct Walk<'a> {
    layers: &'a mut Layers,
    file: &'a Path,
    text: &'a str,
    scope: Option<ClusterName>,
    seen: BTreeMap<(Option<ClusterName>, &'static str), usize>,
}

type Item<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

impl Walk<'_> {
    fn top(mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("defaults", DeValue::Table(inner)) => self.section("", inner),
                ("cluster", DeValue::Table(inner)) => self.clusters(inner),
                (section, DeValue::Table(inner)) if schema::is_section(section) => {
                    self.section(section, inner);
                }
                (other, _) => self.misplaced(other, name.span().start),
            }
        }
    }

    fn clusters(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let at = name.span().start;
            match (name.get_ref().parse::<ClusterName>(), value.get_ref()) {
                (Ok(cluster), DeValue::Table(inner)) => {
                    self.layers.clusters.entry(cluster.clone()).or_default();
                    self.scope = Some(cluster);
                    self.section("", inner);
                    self.scope = None;
                }
                (Ok(_), _) => self.problem("settings.kind", at, "a cluster is a table: [cluster.NAME]", None),
                (Err(error), _) => self.problem("settings.cluster-name", at, &error.to_string(), None),
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = join(section, name.get_ref());
            if let Some(key) = schema::find(&path) {
                self.value(key, (name, value));
            } else if let (true, DeValue::Table(inner)) = (schema::is_section(&path), value.get_ref()) {
                self.section(&path, inner);
            } else {
                self.unknown(section, &path, name);
            }
        }
    }

    fn value(&mut self, key: &'static Key, (name, value): Item<'_, '_>) {
        let at = name.span().start;
        if key.path == "data_directory" && self.scope.is_none() {
            self.problem(
                "settings.misplaced",
                at,
                "data_directory belongs to one cluster: [cluster.NAME]",
                None,
            );
            return;
        }
        let line = line_of(self.text, at);
        if let Some(other) = self.seen.insert((self.scope.clone(), key.path), line) {
            let what = format!("{} is set twice in this file, also on line {other}", key.path);
            self.problem("settings.twice", at, &what, Some("keep one of them".into()));
            return;
        }
        let parsed =
            if key.kind == Kind::Regions { self.regions(value) } else { plain(key.kind, value.get_ref()) };
        match parsed {
            Some(parsed) => {
                let origin = Origin { file: self.file.to_owned(), line };
                let layer = match &self.scope {
                    Some(cluster) => self.layers.clusters.entry(cluster.clone()).or_default(),
                    None => &mut self.layers.all,
                };
                layer.insert(key.path, (parsed, origin));
            }
            None => {
                let what = format!("{} wants {}", key.path, key.kind.wanted());
                self.problem("settings.kind", at, &what, None);
            }
        }
    }

    fn regions(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let mut regions = Vec::new();
        for item in value.get_ref().as_array()? {
            let table = item.get_ref().as_table()?;
            let mut fields: BTreeMap<&str, String> = BTreeMap::new();
            for (name, field) in table {
                match schema::REGION_FIELDS.iter().find(|(known, _)| name.get_ref() == known) {
                    Some((known, _)) => {
                        fields.insert(known, field.get_ref().as_str()?.to_owned());
                    }
                    None => {
                        self.unknown("repository.region", &join("repository.region", name.get_ref()), name);
                    }
                }
            }
            regions.push(schema::region(fields)?);
        }
        Some(Value::Regions(regions))
    }

    fn unknown(&mut self, section: &str, path: &str, name: &Spanned<std::borrow::Cow<'_, str>>) {
        let known = if section == "repository.region" {
            schema::REGION_FIELDS.iter().map(|(name, _)| *name).collect()
        } else {
            schema::names_below(section)
        };
        let hint = match schema::suggest(name.get_ref(), known.iter().copied()) {
            Some(meant) => format!("did you mean {}?", join(section, meant)),
            None => format!("known here: {}", known.join(", ")),
        };
        self.problem(
            "settings.unknown-key",
            name.span().start,
            &format!("unknown setting {path}"),
            Some(hint),
        );
    }

    fn misplaced(&mut self, name: &str, at: usize) {
        if schema::find(name).is_some() {
            let hint =
                format!("write it below [cluster.NAME], or below [defaults] for all clusters: {name} = …");
            self.problem(
                "settings.misplaced",
                at,
                &format!("{name} stands outside every section"),
                Some(hint),
            );
            return;
        }
        let sections = schema::names_below("").into_iter().filter(|name| schema::is_section(name));
        let known: Vec<_> = ["cluster", "defaults"].into_iter().chain(sections).collect();
        let hint = match schema::suggest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean [{meant}]?"),
            None => format!("known sections: {}", known.join(", ")),
        };
        self.problem("settings.unknown-key", at, &format!("unknown setting {name}"), Some(hint));
    }

    fn problem(&mut self, id: &'static str, at: usize, what: &str, hint: Option<String>) {
        let line = line_of(self.text, at);
        let what = format!("{}:{line}: {what}", self.file.display());
        self.layers.problems.push(Problem { id, what, hint, line });
    }
}

fn plain(kind: Kind, value: &DeValue<'_>) -> Option<Value> {
    match (kind, value) {
        (Kind::Bool, DeValue::Boolean(value)) => Some(Value::Bool(*value)),
        (Kind::Integer(..) | Kind::Ack, DeValue::Integer(value)) => {
            i64::from_str_radix(value.as_str(), value.radix()).ok().map(Value::Integer)
        }
        (Kind::Recipients | Kind::Places, DeValue::Array(items)) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map(Value::Texts)
        }
        (Kind::Bool | Kind::Integer(..) | Kind::Recipients | Kind::Places | Kind::Regions, _) => None,
        (_, DeValue::String(text)) => Some(Value::Text(text.to_string())),
        _ => None,
    }
}

fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The TOML library explains over several lines and may quote the file, where a secret may stand.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("not TOML")
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
