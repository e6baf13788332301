//! Paths of relation files: which relation, fork and piece of it a file in the data directory is.
//!
//! Promises: the grammar of `src/common/relpath.c` and `src/backend/storage/file/reinit.c`, strictly, so that each
//! file has one reading and a file that only resembles a relation (`12345_foo`) is none.
//! Every file that parses here consists of pages with checksums (where the cluster has them); none other does.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::bytes::plain_number;

/// An object identifier, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Oid(u32);

/// A fork of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fork {
    /// The rows, or the index's entries.
    Main,
    /// Free space map.
    Fsm,
    /// Visibility map.
    Vm,
    /// What an unlogged relation is reset to.
    Init,
}

/// Where a relation lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelationPlace {
    /// `global`: shared catalogs.
    Global,
    /// `base/<database>`: the default tablespace.
    Base {
        /// The database.
        database: Oid,
    },
    /// `pg_tblspc/<tablespace>/PG_<major>_<catalog version>/<database>`: any other tablespace, also one in place.
    Tablespace {
        /// The tablespace.
        tablespace: Oid,
        /// The name of the version's directory, as found.
        directory: String,
        /// The database.
        database: Oid,
    },
}

/// One file of a relation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelationFile {
    /// Its directory.
    pub place: RelationPlace,
    /// For a temporary relation, the backend that it belongs to.
    pub temporary: Option<u32>,
    /// The relation's file number; not its OID, though often equal.
    pub number: Oid,
    /// Which fork.
    pub fork: Fork,
    /// Which piece of the fork; each but the last is full.
    pub segment: u32,
}

impl Oid {
    /// The OID with this number, or `None` for zero.
    pub fn new(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// Its number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Reads an OID as it stands in paths: decimal, no leading zero.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        plain_number(digits).map(Self)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Oid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("an OID cannot be 0"))
    }
}

impl Fork {
    /// What a file's name says after the number; nothing for the main fork.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Fsm => "_fsm",
            Self::Vm => "_vm",
            Self::Init => "_init",
        }
    }

    /// The fork with this number, as WAL names it (`ForkNumber`).
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Main),
            1 => Some(Self::Fsm),
            2 => Some(Self::Vm),
            3 => Some(Self::Init),
            _ => None,
        }
    }

    fn from_word(word: &[u8]) -> Option<Self> {
        match word {
            b"fsm" => Some(Self::Fsm),
            b"vm" => Some(Self::Vm),
            b"init" => Some(Self::Init),
            _ => None,
        }
    }
}

impl RelationPlace {
    /// Reads a directory, relative to the data directory.
    pub fn parse(directory: &[u8]) -> Option<Self> {
        let parts: Vec<&[u8]> = directory.split(|&byte| byte == b'/').take(5).collect();
        match *parts.as_slice() {
            [b"global"] => Some(Self::Global),
            [b"base", database] => Some(Self::Base { database: Oid::parse(database)? }),
            [b"pg_tblspc", tablespace, directory, database] => Some(Self::Tablespace {
                tablespace: Oid::parse(tablespace)?,
                directory: version_directory(directory)?,
                database: Oid::parse(database)?,
            }),
            _ => None,
        }
    }
}

/// `PG_<major>_<catalog version>`, of whatever version.
fn version_directory(name: &[u8]) -> Option<String> {
    let mut parts = name.strip_prefix(b"PG_")?.split(|&byte| byte == b'_');
    let (major, catalog) = (plain_number(parts.next()?)?, plain_number(parts.next()?)?);
    parts.next().is_none().then(|| format!("PG_{major}_{catalog}"))
}

impl RelationFile {
    /// Reads a path relative to the data directory; `None` for whatever is not a relation's file.
    pub fn parse(path: &[u8]) -> Option<Self> {
        let slash = path.iter().rposition(|&byte| byte == b'/')?;
        let (directory, name) = path.split_at_checked(slash)?;
        let place = RelationPlace::parse(directory)?;
        let (temporary, name) = split_backend(name.strip_prefix(b"/")?)?;
        if temporary.is_some() && place == RelationPlace::Global {
            return None;
        }
        let (stem, segment) = match name.iter().position(|&byte| byte == b'.') {
            Some(dot) => (name.get(..dot)?, plain_number(name.get(dot.checked_add(1)?..)?)?),
            None => (name, 0),
        };
        let (number, fork) = match stem.iter().position(|&byte| byte == b'_') {
            Some(bar) => (stem.get(..bar)?, Fork::from_word(stem.get(bar.checked_add(1)?..)?)?),
            None => (stem, Fork::Main),
        };
        Some(Self { place, temporary, number: Oid::parse(number)?, fork, segment })
    }

    /// The number, in the whole fork, of the file's first block; `None` where no such block can exist.
    pub fn first_block(&self, relation_segment_blocks: u32) -> Option<u32> {
        self.segment.checked_mul(relation_segment_blocks)
    }

    /// The first piece of another fork of the same relation.
    pub fn with_fork(&self, fork: Fork) -> Self {
        Self { fork, segment: 0, ..self.clone() }
    }
}

/// `t<backend>_<rest>`: the backend may be 0.
fn split_backend(name: &[u8]) -> Option<(Option<u32>, &[u8])> {
    let Some(rest) = name.strip_prefix(b"t") else { return Some((None, name)) };
    let bar = rest.iter().position(|&byte| byte == b'_')?;
    let digits = rest.get(..bar)?;
    let backend = if digits == b"0" { 0 } else { plain_number(digits)? };
    Some((Some(backend), rest.get(bar.checked_add(1)?..)?))
}

impl fmt::Display for RelationPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("global"),
            Self::Base { database } => write!(f, "base/{database}"),
            Self::Tablespace { tablespace, directory, database } => {
                write!(f, "pg_tblspc/{tablespace}/{directory}/{database}")
            }
        }
    }
}

/// The path, relative to the data directory.
impl fmt::Display for RelationFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.place)?;
        if let Some(backend) = self.temporary {
            write!(f, "t{backend}_")?;
        }
        write!(f, "{}{}", self.number, self.fork.suffix())?;
        match self.segment {
            0 => Ok(()),
            segment => write!(f, ".{segment}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn oid(number: u32) -> Oid {
        Oid::new(number).unwrap()
    }

    fn parse(path: &str) -> RelationFile {
        RelationFile::parse(path.as_bytes()).unwrap_or_else(|| panic!("{path}"))
    }

    #[test]
    fn every_place_and_fork_is_read() {
        let plain = parse("base/5/16384");
        assert_eq!(plain.place, RelationPlace::Base { database: oid(5) });
        assert_eq!(
            (plain.number, plain.fork, plain.segment, plain.temporary),
            (oid(16384), Fork::Main, 0, None)
        );
        assert_eq!(parse("global/1262_vm").fork, Fork::Vm);
        assert_eq!(parse("global/1262_fsm.1").segment, 1);
        assert_eq!(parse("base/5/16384_init").fork, Fork::Init);
        let temporary = parse("base/5/t3_16385_fsm");
        assert_eq!((temporary.temporary, temporary.fork), (Some(3), Fork::Fsm));
        let elsewhere = parse("pg_tblspc/16400/PG_17_202406281/5/16500.12");
        assert_eq!(elsewhere.segment, 12);
        assert_eq!(elsewhere.place.to_string(), "pg_tblspc/16400/PG_17_202406281/5");
    }

    #[test]
    fn what_only_resembles_a_relation_is_none() {
        for path in [
            "16384",
            "base/16384",
            "base/5/",
            "base/5/0",
            "base/5/016384",
            "base/05/1",
            "base/5/16384_foo",
            "base/5/16384_",
            "base/5/16384_FSM",
            "base/5/16384.0",
            "base/5/16384.01",
            "base/5/16384.",
            "base/5/16384.1.2",
            "base/5/16384.1_fsm",
            "base/5/4294967296",
            "base/5/1 ",
            "base/5/PG_VERSION",
            "base/5/pg_filenode.map",
            "base/5/t16384",
            "base/5/t_16384",
            "base/5/t01_16384",
            "base/5/x/1",
            "global/t1_16384",
            "global/pg_control",
            "pg_tblspc/1/2",
            "pg_tblspc/1/PG_17/5/1",
            "pg_tblspc/1/PG_17_1_2/5/1",
            "pg_tblspc/1/PG_017_1/5/1",
            "pg_xact/0000",
            "/base/5/1",
            "base//5/1",
            "./base/5/1",
            "",
        ] {
            assert_eq!(RelationFile::parse(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn blocks_count_on_from_file_to_file() {
        assert_eq!(parse("base/5/1").first_block(131_072), Some(0));
        assert_eq!(parse("base/5/1.3").first_block(131_072), Some(393_216));
        assert_eq!(parse("base/5/1.32767").first_block(131_072), Some(4_294_836_224));
        assert_eq!(parse("base/5/1.32768").first_block(131_072), None);
    }

    #[test]
    fn init_fork_stands_beside() {
        assert_eq!(parse("base/5/16384_vm.2").with_fork(Fork::Init).to_string(), "base/5/16384_init");
    }

    fn any_file() -> impl Strategy<Value = RelationFile> {
        let place = (0..3, 1u32.., 1u32.., 1u32.., 1u32..).prop_map(|(kind, a, b, c, d)| match kind {
            0 => RelationPlace::Global,
            1 => RelationPlace::Base { database: oid(a) },
            _ => RelationPlace::Tablespace {
                tablespace: oid(b),
                directory: format!("PG_{c}_{d}"),
                database: oid(a),
            },
        });
        let fork = prop::sample::select(vec![Fork::Main, Fork::Fsm, Fork::Vm, Fork::Init]);
        (place, any::<Option<u32>>(), 1u32.., fork, any::<u32>()).prop_map(
            |(place, temporary, number, fork, segment)| {
                let temporary = temporary.filter(|_| place != RelationPlace::Global);
                RelationFile { place, temporary, number: oid(number), fork, segment }
            },
        )
    }

    proptest! {
        #[test]
        fn path_round_trips(file in any_file()) {
            prop_assert_eq!(RelationFile::parse(file.to_string().as_bytes()), Some(file));
        }

        #[test]
        fn what_is_read_prints_the_same(name in "(t[0-9]{1,2}_)?[0-9]{1,5}(_(fsm|vm|init))?(\\.[0-9]{1,3})?") {
            let path = format!("base/5/{name}");
            if let Some(file) = RelationFile::parse(path.as_bytes()) {
                prop_assert_eq!(file.to_string(), path);
            }
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(bytes: Vec<u8>) {
            drop(RelationFile::parse(&[b"base/5/", &bytes[..]].concat()));
            drop(RelationFile::parse(&bytes));
        }
    }
}
