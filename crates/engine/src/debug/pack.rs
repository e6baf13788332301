//! A pack's footer: its frames, and the pages in each.

use seawall_pg::SystemIdentifier;
use seawall_repo::compress::Encoding;
use seawall_repo::id::BackupId;
use seawall_repo::layout::Named;
use seawall_repo::object::FrameAt;
use seawall_repo::pack::PackContents;
use serde::Serialize;

use super::find;
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::Repository;
use crate::text::shown_bytes;

/// A pack.
#[derive(Debug, Clone, Serialize)]
pub struct PackReport {
    /// The cluster.
    pub cluster: String,
    /// The system identifier.
    pub system: String,
    /// The backup that wrote it.
    pub backup: BackupId,
    /// Which of the backup's.
    pub pack: u32,
    /// Its paths, as a terminal may show them.
    pub paths: Vec<String>,
    /// Its frames, in order.
    pub frames: Vec<FrameReport>,
    /// Copies that were wrong while another region served.
    pub findings: Vec<Finding>,
}

/// Where a frame lies, as footers tell it.
#[derive(Debug, Clone, Serialize)]
pub struct FrameLine {
    /// Where it begins in the body.
    pub offset: u64,
    /// Its stored length.
    pub stored: u32,
    /// Its plain length.
    pub plain: u32,
    /// How it is stored: `raw` or `zstd`.
    pub encoding: &'static str,
}

/// A frame of a pack.
#[derive(Debug, Clone, Serialize)]
pub struct FrameReport {
    /// Where it lies.
    #[serde(flatten)]
    pub at: FrameLine,
    /// Its pages, in the order of its plain bytes.
    pub slots: Vec<SlotReport>,
}

/// Consecutive pages of a file.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SlotReport {
    /// Which of the paths.
    pub path: u32,
    /// The first page, counted in the file.
    pub first: u64,
    /// How many pages.
    pub pages: u64,
    /// Bytes of the last page; the others are whole.
    pub last_page_bytes: u16,
}

/// Reads a pack's footer.
///
/// # Errors
/// It is missing, or damaged in every region.
pub async fn pack(
    repository: &Repository,
    system: Option<SystemIdentifier>,
    backup: BackupId,
    number: u32,
) -> Result<PackReport> {
    let found = find(repository, system, |place| Named::Pack { place, backup, number }).await?;
    let footer = repository.open_object(&found.name).await?.footer().await?;
    let lengths: Vec<u32> = footer.frames.iter().map(|frame| frame.plain_len).collect();
    let contents = PackContents::decode(&footer.contents, &lengths).map_err(|error| {
        Error::data("debug.footer", format!("the footer of {} cannot be read", found.name)).because(error)
    })?;
    let frames = footer.frames.iter().zip(contents.frames).map(|(frame, slots)| FrameReport {
        at: frame_line(frame),
        slots: slots
            .iter()
            .map(|slot| SlotReport {
                path: slot.path,
                first: slot.first_page,
                pages: slot.digests.len() as u64,
                last_page_bytes: slot.last_page_bytes,
            })
            .collect(),
    });
    Ok(PackReport {
        cluster: found.place.cluster.to_string(),
        system: found.place.system.to_string(),
        backup,
        pack: number,
        paths: contents.paths.iter().map(|path| shown_bytes(path)).collect(),
        frames: frames.collect(),
        findings: repository.take_findings(),
    })
}

pub(super) fn frame_line(frame: &FrameAt) -> FrameLine {
    let encoding = match frame.encoding {
        Encoding::Raw => "raw",
        Encoding::Zstd => "zstd",
    };
    FrameLine { offset: frame.offset, stored: frame.stored_len, plain: frame.plain_len, encoding }
}
