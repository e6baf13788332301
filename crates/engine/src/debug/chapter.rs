//! Chapters: what a full folder of WAL says in one object.

use seawall_pg::{SystemIdentifier, WalFolder};
use seawall_repo::chapter::ChapterSegment;
use seawall_repo::layout::Named;
use serde::Serialize;

use super::find;
use super::index::{ForkReport, fork_report};
use crate::error::Result;
use crate::monitor::Finding;
use crate::repository::Repository;

/// What a chapter says.
#[derive(Debug, Clone, Serialize)]
pub struct ChapterReport {
    /// The cluster.
    pub cluster: String,
    /// The system identifier.
    pub system: String,
    /// The folder.
    pub folder: String,
    /// The size of its segments, in bytes.
    pub segment_size: u64,
    /// Who signed it.
    pub writer: String,
    /// What each segment's index says, but for its changes.
    pub segments: Vec<ChapterSegment>,
    /// Pages changed in all of them, of all forks.
    pub pages: u64,
    /// What changed in all of them, by fork.
    pub changes: Vec<ForkReport>,
    /// Copies that were wrong while another region served.
    pub findings: Vec<Finding>,
}

/// Reads the chapter of a folder.
///
/// # Errors
/// It is missing, or damaged in every region.
pub async fn chapter(
    repository: &Repository,
    system: Option<SystemIdentifier>,
    folder: WalFolder,
) -> Result<ChapterReport> {
    let found = find(repository, system, |place| Named::Chapter { place, folder }).await?;
    let (chapter, writer) = repository.chapter(&found.name).await?;
    Ok(ChapterReport {
        cluster: found.place.cluster.to_string(),
        system: found.place.system.to_string(),
        folder: folder.to_string(),
        segment_size: chapter.segment_size().bytes(),
        writer: writer.to_string(),
        segments: chapter.segments().to_vec(),
        pages: chapter.changes().pages(),
        changes: chapter.changes().forks().map(|(fork, changes)| fork_report(*fork, changes)).collect(),
        findings: repository.take_findings(),
    })
}
