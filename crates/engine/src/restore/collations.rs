//! Whether text is sorted here as it was where its indexes were built: versions of collations in the backup beside this host's.
//!
//! An index on text that was built under another version of the C library or of ICU may be out of order, and PostgreSQL finds
//! some rows no more, without an error. Promises: "same" only where this host's own version says so; what cannot be told without
//! a running server is called unknown, with the query that tells. Deliberately starts no server. (A `C` locale has no version,
//! and PostgreSQL's builtin one changes with the major version only.)

use std::collections::BTreeSet;

use seawall_repo::manifest::{Collation, ServerFacts};

use crate::monitor::Finding;

/// Commands for each database are written out for so many; for more there is one for all.
const DATABASES_NAMED_MAX: usize = 3;

/// Names the collations whose indexes are in doubt, in the server's own words.
const ASK: &str = "SELECT collname, collversion, pg_collation_actual_version(oid) FROM pg_collation \
     WHERE collversion <> pg_collation_actual_version(oid)";

/// What is to be done beside, so that the server and the next backup know.
const REFRESH: &str = "then, in each database and for each collation of its own, ALTER … REFRESH … VERSION";

/// How versions then and here compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// One version then, and the same here.
    Same,
    /// Another one here.
    Differ,
    /// It cannot be told without a running server.
    Unknown,
}

/// One provider's collations.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CollationCheck {
    /// `libc` or `icu`.
    pub provider: String,
    /// The versions that the backup's catalogs record; for `libc` in catalogs that record none the version its host had.
    pub recorded: Vec<String>,
    /// This host's version, where it can be told.
    pub here: Option<String>,
    /// How they compare.
    pub verdict: Verdict,
    /// Databases that use them.
    pub databases: Vec<String>,
    /// What to type once the server runs; empty where nothing is to be done.
    pub commands: Vec<String>,
}

/// Compares what the backup records with `libc`, the version of this host's C library.
#[must_use]
pub fn check(server: &ServerFacts, libc: Option<&str>) -> Vec<CollationCheck> {
    ["libc", "icu"].iter().filter_map(|provider| check_provider(server, provider, libc)).collect()
}

fn check_provider(server: &ServerFacts, provider: &str, libc: Option<&str>) -> Option<CollationCheck> {
    let used: Vec<&Collation> =
        server.collations.iter().filter(|one| one.provider == provider && has_version(one)).collect();
    if used.is_empty() {
        return None;
    }
    // Before 15 no catalog records what a database's own collation was built with; its host's version is what there is.
    let of_host = server.libc.as_ref().filter(|_| provider == "libc");
    let versions: Vec<Option<&String>> = used.iter().map(|one| one.version.as_ref().or(of_host)).collect();
    let here = (provider == "libc").then_some(libc).flatten();
    let verdict = match here {
        None => Verdict::Unknown,
        Some(here) if versions.iter().flatten().any(|then| *then != here) => Verdict::Differ,
        Some(_) if versions.iter().any(Option::is_none) => Verdict::Unknown,
        Some(_) => Verdict::Same,
    };
    let names: BTreeSet<&String> = used.iter().map(|one| &one.database).collect();
    let recorded: BTreeSet<&String> = versions.into_iter().flatten().collect();
    Some(CollationCheck {
        provider: provider.to_owned(),
        recorded: recorded.into_iter().cloned().collect(),
        here: here.map(str::to_owned),
        verdict,
        databases: names.iter().map(|name| (*name).clone()).collect(),
        commands: commands(verdict, &names),
    })
}

/// Collations of the `C` locale compare bytes whatever the library's version is, and none is recorded.
fn has_version(one: &Collation) -> bool {
    let bytewise = one.name == "C" || one.name == "POSIX" || one.name.starts_with("C.");
    one.version.is_some() || (one.provider == "libc" && !bytewise)
}

fn commands(verdict: Verdict, databases: &BTreeSet<&String>) -> Vec<String> {
    let each =
        |line: &dyn Fn(&str) -> String| databases.iter().map(|name| line(&quoted(name))).collect::<Vec<_>>();
    let few = databases.len() <= DATABASES_NAMED_MAX;
    let refresh =
        |name: &str| format!("ALTER DATABASE \"{}\" REFRESH COLLATION VERSION", name.replace('"', "\"\""));
    let of_each = |name: &&String| {
        let database = quoted(name);
        [
            format!("reindexdb --dbname={database}"),
            format!("psql --dbname={database} -c {}", quoted(&refresh(name))),
        ]
    };
    // Without the second command the next backup would still record the old version.
    let reindex = match few {
        true => databases.iter().flat_map(of_each).collect(),
        false => vec!["reindexdb --all".to_owned()],
    };
    match verdict {
        Verdict::Same => Vec::new(),
        Verdict::Differ => reindex,
        Verdict::Unknown if few => {
            [each(&|name| format!("psql --dbname={name} -c \"{ASK}\"")), reindex].concat()
        }
        Verdict::Unknown => [vec![format!("psql --dbname=EACH -c \"{ASK}\"")], reindex].concat(),
    }
}

/// For the shell.
fn quoted(name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_plain { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

impl CollationCheck {
    /// What to do, a sentence; none where nothing is.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let then =
            if self.recorded.is_empty() { "nobody knows which".to_owned() } else { self.recorded.join(", ") };
        let commands = self.commands.join("; ");
        match (self.verdict, &self.here) {
            (Verdict::Same, _) => None,
            (Verdict::Differ, here) => Some(format!(
                "Collation versions differ ({} {then} then, {} here): indexes on text may be wrong until they are built anew. Once the \
                 server runs: {commands} ({REFRESH})",
                self.provider,
                here.as_deref().unwrap_or("another")
            )),
            (Verdict::Unknown, _) => Some(format!(
                "Collation versions may differ ({} {then} then); without a running server it cannot be told what this host has. Once \
                 it runs, ask, and where rows come back build the indexes anew: {commands} ({REFRESH})",
                self.provider
            )),
        }
    }

    /// A difference as a finding.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let here = self.here.as_ref().filter(|_| self.verdict == Verdict::Differ)?;
        Some(Finding {
            id: "restore.collations-differ",
            what: format!(
                "this host sorts text by {} {here}, the indexes of the backup were built with {}: they may be out of order",
                self.provider,
                self.recorded.join(", ")
            ),
            hint: Some(format!("once the server runs: {}", self.commands.join("; "))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(database: &str, name: &str, provider: &str, version: Option<&str>) -> Collation {
        let (database, name, provider) = (database.to_owned(), name.to_owned(), provider.to_owned());
        Collation { database, name, provider, version: version.map(str::to_owned) }
    }

    fn checked(collations: Vec<Collation>, of_host: Option<&str>, here: Option<&str>) -> Vec<CollationCheck> {
        let server = ServerFacts { collations, libc: of_host.map(str::to_owned), ..ServerFacts::default() };
        check(&server, here)
    }

    #[test]
    fn another_version_of_the_c_library_is_a_finding_with_the_command() {
        let collations =
            || vec![one("it's", "de_DE.UTF-8", "libc", Some("2.28")), one("b", "*", "libc", Some("2.28"))];
        let differ = &checked(collations(), None, Some("2.36"))[0];
        assert_eq!(differ.verdict, Verdict::Differ);
        assert_eq!(
            differ.commands,
            [
                "reindexdb --dbname=b",
                "psql --dbname=b -c 'ALTER DATABASE \"b\" REFRESH COLLATION VERSION'",
                "reindexdb --dbname='it'\\''s'",
                "psql --dbname='it'\\''s' -c 'ALTER DATABASE \"it'\\''s\" REFRESH COLLATION VERSION'",
            ]
        );
        let finding = differ.finding().unwrap();
        assert!(finding.what.contains("2.36") && finding.what.contains("2.28"), "{finding:?}");
        assert!(differ.advice().unwrap().contains("reindexdb --dbname=b"));
        let same = &checked(collations(), None, Some("2.28"))[0];
        assert_eq!((same.verdict, same.finding(), same.advice()), (Verdict::Same, None, None));
    }

    #[test]
    fn where_no_catalog_records_a_version_its_host_s_counts() {
        let of = |host, here| checked(vec![one("a", "en_US.UTF-8", "libc", None)], host, here)[0].verdict;
        assert_eq!(of(Some("2.28"), Some("2.36")), Verdict::Differ);
        assert_eq!(of(Some("2.36"), Some("2.36")), Verdict::Same);
        assert_eq!(of(None, Some("2.36")), Verdict::Unknown);
    }

    #[test]
    fn what_this_host_does_not_tell_is_unknown_and_says_how_to_ask() {
        for (provider, here) in [("icu", Some("2.36")), ("libc", None)] {
            let checked = checked(vec![one("a", "de-AT", provider, Some("153.120"))], Some("2.36"), here);
            let unknown = &checked[0];
            assert_eq!((unknown.verdict, unknown.finding()), (Verdict::Unknown, None), "{provider}");
            let advice = unknown.advice().unwrap();
            assert!(
                advice.contains("cannot be told") && advice.contains("pg_collation_actual_version"),
                "{advice}"
            );
        }
        let many = (0..9).map(|n| one(&n.to_string(), "x", "icu", Some("1"))).collect();
        assert_eq!(checked(many, None, None)[0].commands.last().unwrap(), "reindexdb --all");
    }

    #[test]
    fn bytewise_and_builtin_collations_need_nothing() {
        let none = ["C", "POSIX", "C.UTF-8"].map(|name| one("a", name, "libc", None));
        let builtin = one("a", "C.UTF-8", "builtin", Some("1"));
        assert_eq!(checked([none.to_vec(), vec![builtin]].concat(), Some("2.28"), Some("2.36")), []);
    }
}
