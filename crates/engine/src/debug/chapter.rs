//! Chapters: what a full folder of WAL says in one object.

use seawall_pg::{SystemIdentifier, WalFolder};
use seawall_repo::chapter::ChapterSegment;
use seawall_repo::layout::Named;
use serde::Serialize;

use super::find;
use super::index::{ForkReport, fork_report};
use crate::archive::chapters::is_damage;
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

/// Reads the chapter of a folder: the first that is not damaged.
///
/// # Errors
/// It is missing, or damaged in every region.
pub async fn chapter(
    repository: &Repository,
    system: Option<SystemIdentifier>,
    folder: WalFolder,
) -> Result<ChapterReport> {
    let first = find(repository, system, |place| Named::Chapter { place, folder, number: 0 }).await?;
    let mut read = repository.chapter(&first.name).await;
    for number in 1.. {
        if !read.as_ref().is_err_and(is_damage) {
            break;
        }
        let name = Named::Chapter { place: first.place.clone(), folder, number }.into();
        match repository.chapter(&name).await {
            // The damaged one before it is what there is to tell.
            Err(error) if !is_damage(&error) => break,
            next => read = next,
        }
    }
    let (chapter, writer) = read?;
    Ok(ChapterReport {
        cluster: first.place.cluster.to_string(),
        system: first.place.system.to_string(),
        folder: folder.to_string(),
        segment_size: chapter.segment_size().bytes(),
        writer: writer.to_string(),
        segments: chapter.segments().to_vec(),
        pages: chapter.changes().pages(),
        changes: chapter.changes().forks().map(|(fork, changes)| fork_report(*fork, changes)).collect(),
        findings: repository.take_findings(),
    })
}
