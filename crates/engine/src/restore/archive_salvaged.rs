//! WAL that was salvaged for a successor goes into the archive at once.
//!
//! The server cannot do it: recovery ends with a checkpoint that recycles what was replayed, archived or not. Without these segments
//! nobody could follow the new timeline later. Promises: what could not be archived is a finding that names it and says what to type;
//! the old directory is only read.

use std::path::Path;

use super::report::RestoreReport;
use crate::archive::push::{NOT_INDEXED, push};
use crate::error::Result;
use crate::monitor::Finding;
use crate::repository::Repository;

/// Pushes the segments that [`RestoreReport::not_archived`] names from the old data directory; what is left there afterwards is told.
/// `writer` is the repository as a host that writes, or why it could not be opened so.
pub async fn archive_salvaged(writer: Result<Repository>, report: &mut RestoreReport, old: &Path) {
    let mut why = String::new();
    match writer {
        Err(error) => why = error.to_string(),
        Ok(repository) => {
            let names = std::mem::take(&mut report.not_archived);
            let last = names.iter().max().cloned();
            for name in names {
                match push(&repository, old, &old.join("pg_wal").join(&name)).await {
                    // In the last segment WAL ends where the server died: that it is not full is no news.
                    Ok(pushed) => report.findings.extend(
                        pushed
                            .findings
                            .into_iter()
                            .filter(|finding| finding.id != NOT_INDEXED || last.as_ref() != Some(&name)),
                    ),
                    Err(error) => {
                        why = error.to_string();
                        report.not_archived.push(name);
                    }
                }
            }
        }
    }
    report.findings.extend(not_archived(report, old, &why));
}

fn not_archived(report: &RestoreReport, old: &Path, why: &str) -> Option<Finding> {
    let left = &report.not_archived;
    (!left.is_empty()).then(|| Finding {
        id: "restore.wal-not-archived",
        what: format!("{} salvaged segments are in no region ({why}): {}", left.len(), left.join(", ")),
        hint: Some(format!(
            "keep {} until each is archived, or no later restore can follow the new timeline: on a host that writes, cd there and type \
             seawall wal push pg_wal/NAME",
            old.display()
        )),
    })
}
