//! Databases, tablespaces and the map of catalogs (`commands/dbcommands_xlog.h`, `commands/tablespace.h`, `utils/relmapper.h`).

use crate::wal::record::Record;

use super::body::{Body, Items, MeaningFault, no_such_operation};

const DATABASE_CREATE_COPY: u8 = 0x00;
const TABLESPACE_CREATE: u8 = 0x00;
const TABLESPACE_DROP: u8 = 0x10;
const RELATION_MAP_UPDATE: u8 = 0x00;

/// A database made or dropped. Not transactional: files are there, or gone, from this record on.
#[derive(Debug, Clone)]
pub enum DatabaseChange<'a> {
    /// Made by copying a directory, which replay does again.
    CreateByCopy {
        /// The new database.
        database: u32,
        /// Its tablespace.
        tablespace: u32,
        /// The database that is copied.
        from_database: u32,
        /// The tablespace of that.
        from_tablespace: u32,
    },
    /// Made page by page, each in WAL.
    CreateByPages {
        /// The new database.
        database: u32,
        /// Its tablespace.
        tablespace: u32,
    },
    /// Dropped.
    Drop {
        /// The database.
        database: u32,
        /// Where its files were.
        tablespaces: Items<'a, u32>,
    },
}

/// A tablespace made or dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TablespaceChange<'a> {
    /// Made.
    Create {
        /// The tablespace.
        tablespace: u32,
        /// Its directory; empty for one inside the data directory.
        path: &'a [u8],
    },
    /// Dropped.
    Drop {
        /// The tablespace.
        tablespace: u32,
    },
}

/// A `pg_filenode.map` is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationMapUpdate<'a> {
    /// The database; zero for the shared map.
    pub database: u32,
    /// Its tablespace.
    pub tablespace: u32,
    /// The new content of the file.
    pub content: &'a [u8],
}

impl<'a> DatabaseChange<'a> {
    pub(super) fn read(record: &Record<'a>) -> Result<Self, MeaningFault> {
        let facts = &record.version().facts().wal;
        match record.operation() {
            DATABASE_CREATE_COPY => {
                let mut body = Body::of("database create", record);
                let [database, tablespace] = [body.u32()?, body.u32()?];
                let [from_database, from_tablespace] = [body.u32()?, body.u32()?];
                body.end_padded()?;
                Ok(Self::CreateByCopy { database, tablespace, from_database, from_tablespace })
            }
            by_pages if Some(by_pages) == facts.database_create_by_pages => {
                let mut body = Body::of("database create", record);
                let [database, tablespace] = [body.u32()?, body.u32()?];
                body.end_padded()?;
                Ok(Self::CreateByPages { database, tablespace })
            }
            drop if drop == facts.database_drop => {
                let mut body = Body::of("database drop", record);
                let database = body.u32()?;
                let count = body.count("the number of tablespaces")?;
                let tablespaces = body.items(count, 4)?;
                body.end_padded()?;
                Ok(Self::Drop { database, tablespaces })
            }
            _ => Err(no_such_operation("Database", record)),
        }
    }
}

impl<'a> TablespaceChange<'a> {
    pub(super) fn read(record: &Record<'a>) -> Result<Self, MeaningFault> {
        match record.operation() {
            TABLESPACE_CREATE => {
                let mut body = Body::of("tablespace create", record);
                let tablespace = body.u32()?;
                let path = body.text()?;
                body.end_padded()?;
                Ok(Self::Create { tablespace, path })
            }
            TABLESPACE_DROP => {
                let mut body = Body::of("tablespace drop", record);
                let tablespace = body.u32()?;
                body.end_padded()?;
                Ok(Self::Drop { tablespace })
            }
            _ => Err(no_such_operation("Tablespace", record)),
        }
    }
}

impl<'a> RelationMapUpdate<'a> {
    pub(super) fn read(record: &Record<'a>) -> Result<Self, MeaningFault> {
        if record.operation() != RELATION_MAP_UPDATE {
            return Err(no_such_operation("RelMap", record));
        }
        let mut body = Body::of("relation map update", record);
        let (database, tablespace) = (body.u32()?, body.u32()?);
        let length = body.count("the length of the map")?;
        let content = body.bytes(length)?;
        body.end_padded()?;
        Ok(Self { database, tablespace, content })
    }
}
