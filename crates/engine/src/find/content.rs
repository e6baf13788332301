//! What only records tell: names that no list has, and where a database began to be dropped. Records are content: without an identity
//! that is told, and candidates stay as they are.

use std::collections::HashMap;

use seawall_pg::wal::WalOf;
use seawall_pg::{Lsn, SegmentName, SegmentNo};

use super::catalog_rows::{CatalogRows, Catalogs};
use super::judge::{Judge, Operation, Wanted};
use super::names::Names;
use super::report::Candidate;
use super::run::{Way, numbers, told};
use super::{catalog_rows, dropped_database, named};
use crate::error::{Kind, Result};
use crate::monitor::Finding;

/// Segments before the one in which a database's files go in which its dropping may have begun: a checkpoint lies between.
const DROP_SEGMENTS: u64 = 4;
/// Segments in which names are looked for that are in no list, at most.
const NAMED_IN_MAX: usize = 64;

fn catalogs(names: &Names, database: u32) -> Catalogs {
    Catalogs { class: names.class_number(database), namespace: names.namespace_number(database) }
}

impl Way<'_> {
    /// As whom records are read; else why none can be.
    pub(super) fn records(&self) -> std::result::Result<WalOf, String> {
        if !self.repository.opens_content() {
            return Err("records are content, which the keys at hand do not open".to_owned());
        }
        self.of.ok_or_else(|| "they are of a PostgreSQL that is not known".to_owned())
    }

    /// Names that no list has, from the segments in which their relations were made; then what is left of the candidates.
    pub(super) async fn name_from_wal(
        &self,
        judge: &mut Judge<'_>,
        wanted: &Wanted,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut rows = CatalogRows::default();
        if let Ok(of) = self.records() {
            let unnamed = named::unnamed(judge);
            for (number, files) in unnamed.iter().rev().take(NAMED_IN_MAX) {
                let catalogs: HashMap<u32, Catalogs> =
                    files.iter().map(|file| (file.database, catalogs(&judge.names, file.database))).collect();
                // The row follows its file, now and then in the next segment.
                for last in [*number, SegmentNo(number.0.saturating_add(1))] {
                    if files.iter().all(|file| rows.relations.contains_key(file)) {
                        break;
                    }
                    let segments: Vec<SegmentName> =
                        numbers(*number, last).map_while(|number| self.name(number)).collect();
                    let read =
                        catalog_rows::rows(self.repository, self.place, of, &segments, &catalogs, &mut rows);
                    match read.await {
                        Ok(()) => {}
                        Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                        Err(error) => {
                            let at = segments.first().map(ToString::to_string).unwrap_or_default();
                            let what = format!("names of relations made in segment {at}: {error}");
                            told(findings, "find.not-looked-at", what);
                        }
                    }
                }
            }
            if unnamed.len() > NAMED_IN_MAX {
                let more = unnamed.len() - NAMED_IN_MAX;
                let what = format!(
                    "names of relations that are in no list were looked for in the newest {NAMED_IN_MAX} segments that may \
                     have them, not in {more} more"
                );
                told(findings, "find.unnamed", what);
            }
        }
        let unsure = named::settle(&mut judge.candidates, &judge.names, &rows, wanted);
        if unsure > 0 {
            let what = format!(
                "of {unsure} transactions that took or changed relations without a name nobody knows whether that was what is \
                 looked for"
            );
            told(findings, "find.unnamed", what);
        }
        Ok(())
    }

    /// Puts the target of each dropped database before all that cannot be taken back.
    pub(super) async fn begin_of_drops(
        &self,
        candidates: &mut [Candidate],
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let dropped = candidates.iter_mut().filter(|one| one.operation == Operation::DropDatabase);
        for candidate in dropped {
            let why = match self.marked(candidate).await {
                Ok(Ok(Some(lsn))) => {
                    candidate.hint = Some(format!(
                        "ends before the database was marked as invalid, at {lsn}, not before its files went, at {}: what \
                         committed between the two is lost with it",
                        candidate.lsn
                    ));
                    candidate.target.lsn = lsn;
                    continue;
                }
                // Nothing was written before: an older minor release.
                Ok(Ok(None)) => continue,
                Ok(Err(why)) => why,
                Err(error) if error.kind() == Kind::Unavailable => return Err(error),
                Err(error) => error.to_string(),
            };
            candidate.hint = Some(
                "where it began could not be read: if the restored database is invalid, end some transactions earlier"
                    .to_owned(),
            );
            told(
                findings,
                "find.not-looked-at",
                format!("where DROP DATABASE at {} began: {why}", candidate.lsn),
            );
        }
        Ok(())
    }

    async fn marked(&self, candidate: &Candidate) -> Result<std::result::Result<Option<Lsn>, String>> {
        let of = match self.records() {
            Ok(of) => of,
            Err(why) => return Ok(Err(why)),
        };
        let number = self.size.segment_of(candidate.lsn);
        let before = SegmentNo(number.0.saturating_sub(DROP_SEGMENTS));
        let mut segments: Vec<SegmentName> = Vec::new();
        for number in numbers(before, number) {
            match self.name(number) {
                Some(name) => segments.push(name),
                None => segments.clear(),
            }
        }
        let database = candidate.database.unwrap_or_default();
        let repository = self.repository;
        dropped_database::marked(repository, self.place, of, &segments, database, candidate.lsn).await.map(Ok)
    }
}
