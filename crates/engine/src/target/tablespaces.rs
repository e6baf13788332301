//! Where each tablespace goes.
//!
//! Promises: pure; every tablespace gets a directory of its own, absolute, not inside the data directory or another tablespace
//! and not around one; an order that matches nothing, or two things, is an error.

use std::path::{Component, Path, PathBuf};

/// A tablespace of the backup.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tablespace {
    /// Its object identifier.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Where it was; none for one inside the data directory (`allow_in_place_tablespaces`).
    pub location: Option<PathBuf>,
}

/// An order to put a tablespace elsewhere: `NAME=DIR` or `OID=DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remap {
    /// Name or object identifier.
    pub which: String,
    /// The directory.
    pub directory: PathBuf,
}

/// A tablespace and its directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PlacedTablespace {
    /// Which.
    pub tablespace: Tablespace,
    /// Its directory; none for one inside the data directory.
    pub directory: Option<PathBuf>,
}

/// Why tablespaces cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum TablespaceError {
    #[error("{text:?} is not NAME=DIRECTORY or OID=DIRECTORY")]
    Syntax { text: String },
    #[error("the backup has no tablespace {which:?}")]
    Unknown { which: String, known: Vec<String> },
    #[error("tablespace {which:?} is placed twice")]
    Twice { which: String },
    #[error("tablespace {name:?} lies inside the data directory and stays there")]
    InPlace { name: String },
    #[error("{} is not an absolute path without `.` and `..`", .directory.display())]
    NotAbsolute { directory: PathBuf },
    #[error("the directory {} of tablespace {name:?} and {} lie within one another", .directory.display(), .other.display())]
    Nested { name: String, directory: PathBuf, other: PathBuf },
}

impl std::str::FromStr for Remap {
    type Err = TablespaceError;

    /// Names may hold `=`; the directory is absolute, so the last `=/` divides.
    fn from_str(text: &str) -> Result<Self, TablespaceError> {
        let at = text.find("=/").filter(|at| *at > 0);
        let (which, directory) = at
            .and_then(|at| text.split_at_checked(at))
            .ok_or_else(|| TablespaceError::Syntax { text: text.to_owned() })?;
        Ok(Self { which: which.to_owned(), directory: PathBuf::from(directory.trim_start_matches('=')) })
    }
}

/// Places every tablespace: where an order says, else where it was.
pub fn place(
    tablespaces: &[Tablespace],
    remaps: &[Remap],
    data_directory: &Path,
    wal_directory: Option<&Path>,
) -> Result<Vec<PlacedTablespace>, TablespaceError> {
    let mut orders: Vec<(u32, &Path)> = Vec::new();
    for remap in remaps {
        let oid = find(tablespaces, remap)?;
        if orders.iter().any(|(known, _)| *known == oid) {
            return Err(TablespaceError::Twice { which: remap.which.clone() });
        }
        orders.push((oid, &remap.directory));
    }
    let mut placed: Vec<PlacedTablespace> = Vec::new();
    for tablespace in tablespaces {
        let order = orders
            .iter()
            .find(|(oid, _)| *oid == tablespace.oid)
            .map(|(_, directory)| directory.to_path_buf());
        let directory = match &tablespace.location {
            None if order.is_some() => {
                return Err(TablespaceError::InPlace { name: tablespace.name.clone() });
            }
            None => None,
            Some(was) => Some(order.unwrap_or_else(|| was.clone())),
        };
        if let Some(directory) = &directory {
            let others = placed.iter().filter_map(|placed| placed.directory.as_deref());
            refuse_nested(tablespace, directory, others.chain([data_directory]).chain(wal_directory))?;
        }
        placed.push(PlacedTablespace { tablespace: tablespace.clone(), directory });
    }
    Ok(placed)
}

fn find(tablespaces: &[Tablespace], remap: &Remap) -> Result<u32, TablespaceError> {
    // A name of digits is a name first: identifiers are printed by us, names are chosen by people.
    let named = tablespaces.iter().find(|tablespace| tablespace.name == remap.which);
    let numbered = || tablespaces.iter().find(|tablespace| tablespace.oid.to_string() == remap.which);
    let found = named.or_else(numbered).ok_or_else(|| TablespaceError::Unknown {
        which: remap.which.clone(),
        known: tablespaces.iter().map(|tablespace| tablespace.name.clone()).collect(),
    })?;
    match found.location {
        Some(_) => Ok(found.oid),
        None => Err(TablespaceError::InPlace { name: found.name.clone() }),
    }
}

fn refuse_nested<'a>(
    tablespace: &Tablespace,
    directory: &Path,
    others: impl Iterator<Item = &'a Path>,
) -> Result<(), TablespaceError> {
    let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if !directory.is_absolute() || !directory.components().all(plain) {
        return Err(TablespaceError::NotAbsolute { directory: directory.to_owned() });
    }
    for other in others {
        if directory.starts_with(other) || other.starts_with(directory) {
            return Err(TablespaceError::Nested {
                name: tablespace.name.clone(),
                directory: directory.to_owned(),
                other: other.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spaces() -> Vec<Tablespace> {
        let one = |oid, name: &str, location: Option<&str>| Tablespace {
            oid,
            name: name.to_owned(),
            location: location.map(PathBuf::from),
        };
        vec![
            one(16400, "fast", Some("/ssd/pg")),
            one(16401, "a=b c", Some("/hdd/pg")),
            one(16402, "inside", None),
        ]
    }

    fn with(remaps: &[&str]) -> Result<Vec<Option<PathBuf>>, TablespaceError> {
        let remaps: Vec<Remap> = remaps.iter().map(|text| text.parse().unwrap()).collect();
        let placed = place(&spaces(), &remaps, Path::new("/srv/data"), Some(Path::new("/srv/wal")))?;
        Ok(placed.into_iter().map(|placed| placed.directory).collect())
    }

    #[test]
    fn tablespaces_go_where_they_were_or_where_an_order_says() {
        let paths =
            |list: [&str; 2]| list.map(|path| Some(PathBuf::from(path))).into_iter().chain([None]).collect();
        let expected: Vec<_> = paths(["/ssd/pg", "/hdd/pg"]);
        assert_eq!(with(&[]), Ok(expected));
        let expected: Vec<_> = paths(["/new/a", "/new/b"]);
        assert_eq!(with(&["fast=/new/a", "16401=/new/b"]), Ok(expected.clone()));
        assert_eq!(with(&["fast=/new/a", "a=b c=/new/b"]), Ok(expected));
    }

    #[test]
    fn orders_that_cannot_be_followed_are_refused() {
        assert!(matches!(with(&["slow=/x"]), Err(TablespaceError::Unknown { .. })));
        assert!(matches!(with(&["fast=/x", "16400=/y"]), Err(TablespaceError::Twice { .. })));
        assert!(matches!(with(&["inside=/x"]), Err(TablespaceError::InPlace { .. })));
        assert!(matches!(with(&["fast=/x/../y"]), Err(TablespaceError::NotAbsolute { .. })));
        for nested in ["fast=/srv/data/ts", "fast=/srv", "fast=/hdd/pg", "fast=/hdd/pg/x", "fast=/srv/wal/x"]
        {
            assert!(matches!(with(&[nested]), Err(TablespaceError::Nested { .. })), "{nested}");
        }
        for text in ["fast", "=/x", "fast=x", ""] {
            assert!(text.parse::<Remap>().is_err(), "{text}");
        }
    }
}
