//! `tablespace_map`: which links the server makes in `pg_tblspc` before recovery.
//!
//! Promises: read as the server reads it (`read_tablespace_map` in `src/backend/access/transam/xlogrecovery.c`),
//! stricter only where a path is not absolute or an OID appears twice. Rewriting the targets is how a restore moves
//! tablespaces. Tablespaces in place are not listed here; they are ordinary directories.

use std::collections::BTreeMap;

use crate::relation::Oid;

/// The content of `tablespace_map`: link targets by tablespace. Paths are bytes; they need not be UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablespaceMap {
    /// Where the link of each tablespace points to.
    pub targets: BTreeMap<Oid, Vec<u8>>,
}

/// Why bytes are not a usable `tablespace_map`, or a target no usable one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum TablespaceMapError {
    #[error("line {line} of tablespace_map does not hold an OID and a path")]
    Line { line: usize },
    #[error("tablespace_map ends in the middle of a line")]
    Unfinished,
    #[error("tablespace_map names tablespace {oid} twice")]
    Twice { oid: Oid },
    #[error("tablespace {oid} lies at {target:?}, which is not an absolute path")]
    NotAbsolute { oid: Oid, target: String },
    #[error("the backup has no tablespace {oid} to be moved")]
    Unknown { oid: Oid },
}

impl TablespaceMap {
    /// Reads the content of `tablespace_map`, as the stop function returned it. Empty is a map without entries.
    pub fn parse(bytes: &[u8]) -> Result<Self, TablespaceMapError> {
        let mut map = Self::default();
        for (index, line) in unescaped_lines(bytes)?.into_iter().enumerate() {
            let line_number = index.saturating_add(1);
            let (oid, target) = split_line(&line).ok_or(TablespaceMapError::Line { line: line_number })?;
            check_target(oid, target)?;
            if map.targets.insert(oid, target.to_vec()).is_some() {
                return Err(TablespaceMapError::Twice { oid });
            }
        }
        Ok(map)
    }

    /// Writes it as PostgreSQL does: a backslash stands before line feeds, carriage returns and backslashes.
    pub fn print(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (oid, target) in &self.targets {
            bytes.extend_from_slice(oid.to_string().as_bytes());
            bytes.push(b' ');
            for &byte in target {
                if matches!(byte, b'\n' | b'\r' | b'\\') {
                    bytes.push(b'\\');
                }
                bytes.push(byte);
            }
            bytes.push(b'\n');
        }
        bytes
    }

    /// Points the link of one tablespace elsewhere.
    pub fn move_to(&mut self, oid: Oid, target: &[u8]) -> Result<(), TablespaceMapError> {
        check_target(oid, target)?;
        let place = self.targets.get_mut(&oid).ok_or(TablespaceMapError::Unknown { oid })?;
        *place = target.to_vec();
        Ok(())
    }
}

/// An absolute path without a zero byte, which would end it early for the operating system.
fn check_target(oid: Oid, target: &[u8]) -> Result<(), TablespaceMapError> {
    let good = target.starts_with(b"/") && !target.contains(&0);
    let shown = || String::from_utf8_lossy(target).into_owned();
    good.then_some(()).ok_or_else(|| TablespaceMapError::NotAbsolute { oid, target: shown() })
}

fn split_line(line: &[u8]) -> Option<(Oid, &[u8])> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let target = line.get(space.checked_add(1)?..)?;
    Some((Oid::parse(line.get(..space)?)?, target))
}

fn unescaped_lines(bytes: &[u8]) -> Result<Vec<Vec<u8>>, TablespaceMapError> {
    let (mut lines, mut line, mut escaped) = (Vec::new(), Vec::new(), false);
    for &byte in bytes {
        match byte {
            _ if escaped => {
                line.push(byte);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'\n' => lines.push(std::mem::take(&mut line)),
            _ => line.push(byte),
        }
    }
    let finished = line.is_empty() && !escaped;
    finished.then_some(lines).ok_or(TablespaceMapError::Unfinished)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oid(number: u32) -> Oid {
        Oid::new(number).unwrap()
    }

    #[test]
    fn real_map_is_read() {
        let map = TablespaceMap::parse(b"16400 /srv/ts one\n16401 /srv/odd\\\nname\\\\x\n").unwrap();
        assert_eq!(map.targets[&oid(16400)], b"/srv/ts one");
        assert_eq!(map.targets[&oid(16401)], b"/srv/odd\nname\\x");
        assert_eq!(TablespaceMap::parse(b""), Ok(TablespaceMap::default()));
    }

    #[test]
    fn wrong_maps_are_refused() {
        let parse = |bytes: &[u8]| TablespaceMap::parse(bytes).unwrap_err();
        assert_eq!(parse(b"1 /a\n\n"), TablespaceMapError::Line { line: 2 });
        assert_eq!(parse(b"01 /a\n"), TablespaceMapError::Line { line: 1 });
        assert_eq!(parse(b"1 /a"), TablespaceMapError::Unfinished);
        assert_eq!(parse(b"1 /a\n\\"), TablespaceMapError::Unfinished);
        assert_eq!(parse(b"1 /a\n1 /b\n"), TablespaceMapError::Twice { oid: oid(1) });
        assert_eq!(
            parse(b"7 ../etc\n").to_string(),
            "tablespace 7 lies at \"../etc\", which is not an absolute path"
        );
        assert!(matches!(parse(b"7 /a\0b\n"), TablespaceMapError::NotAbsolute { .. }));
    }

    #[test]
    fn targets_are_moved_by_number() {
        let mut map = TablespaceMap::parse(b"16400 /old\n").unwrap();
        map.move_to(oid(16400), b"/new").unwrap();
        assert_eq!(map.print(), b"16400 /new\n");
        assert_eq!(map.move_to(oid(5), b"/x"), Err(TablespaceMapError::Unknown { oid: oid(5) }));
        assert!(map.move_to(oid(16400), b"new").is_err());
        assert_eq!(map.print(), b"16400 /new\n");
    }

    proptest! {
        #[test]
        fn print_then_parse_gives_the_same(
            entries in proptest::collection::btree_map(1u32.., proptest::collection::vec(1u8.., 0..20), 0..6)
        ) {
            let targets = entries.into_iter().map(|(number, path)| (oid(number), [b"/", &path[..]].concat()));
            let map = TablespaceMap { targets: targets.collect() };
            prop_assert_eq!(TablespaceMap::parse(&map.print()), Ok(map));
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>) {
            drop(TablespaceMap::parse(&bytes));
        }
    }
}
