//! Taking over what an interrupted backup left: packs without a manifest.
//!
//! Promises: a page is taken over only if its digest in the pack's footer is that of the page just read, and only from
//! packs that every region of this backup holds; the intent names each adopted pack before it is used. Nothing is ever
//! added to a foreign folder. Bounded: at most so many pages are remembered; what is beyond is read and stored again.

use std::collections::HashMap;

use futures::StreamExt as _;
use seawall_repo::id::BackupId;
use seawall_repo::keys::PageDigest;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::map::place::{FramePlace, PAGE_BYTES};
use seawall_repo::pack::{PackContents, PackId};
use seawall_store::{DetachReason, Listed, RegionSet};

use super::upload::PackRow;
use crate::error::Result;
use crate::repository::{Repository, store_error};

/// Pages remembered: about 48 MiB of memory, 4 GiB of data directory.
const PAGES_MAX: usize = 512 * 1024;

/// Where adopted pages lie.
#[derive(Debug, Default)]
pub(super) struct Adopted {
    paths: HashMap<Vec<u8>, u32>,
    pages: HashMap<(u32, u64), AdoptedPage>,
    frames: Vec<FramePlace>,
    packs: Vec<PackRow>,
}

#[derive(Debug)]
struct AdoptedPage {
    digest: PageDigest,
    frame: u32,
    offset: u32,
}

impl Adopted {
    /// Where this page of this content lies, if it was adopted.
    pub(super) fn find(&self, path: &[u8], page: u64, digest: &PageDigest) -> Option<(FramePlace, u32)> {
        let path = self.paths.get(path)?;
        let known = self.pages.get(&(*path, page)).filter(|known| known.digest == *digest)?;
        Some((*self.frames.get(known.frame as usize)?, known.offset))
    }

    /// The packs that pages may be taken from.
    pub(super) fn packs(&self) -> &[PackRow] {
        &self.packs
    }

    /// Remembers the pages of one pack. False when there is no more room.
    fn add(&mut self, row: PackRow, frames: &[FramePlace], contents: &PackContents) -> bool {
        let pages: usize = contents.frames.iter().flatten().map(|slot| slot.digests.len()).sum();
        if self.pages.len() + pages > PAGES_MAX {
            return false;
        }
        let paths: Vec<u32> = contents.paths.iter().map(|path| self.path(path)).collect();
        for (place, slots) in frames.iter().zip(&contents.frames) {
            let frame = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
            self.frames.push(*place);
            let mut offset = 0_usize;
            for slot in slots {
                let Some(path) = paths.get(slot.path as usize) else { continue };
                for (page, digest) in (slot.first_page..).zip(&slot.digests) {
                    let at = u32::try_from(offset).unwrap_or(u32::MAX);
                    self.pages.insert((*path, page), AdoptedPage { digest: *digest, frame, offset: at });
                    offset += PAGE_BYTES;
                }
                // A slot's last page may be short.
                offset = offset - PAGE_BYTES + usize::from(slot.last_page_bytes);
            }
        }
        self.packs.push(row);
        true
    }

    fn path(&mut self, path: &[u8]) -> u32 {
        let next = u32::try_from(self.paths.len()).unwrap_or(u32::MAX);
        *self.paths.entry(path.to_vec()).or_insert(next)
    }
}

/// Packs without a manifest that every attached region holds, newest backup first. A region that cannot be listed is let go.
pub(super) async fn find_orphans(
    repository: &Repository,
    set: &RegionSet,
    place: &Place,
    committed: &[BackupId],
) -> Result<Vec<PackId>> {
    let mut folders = Vec::new();
    let mut last = None;
    for region in set.attached() {
        match region.list_level(&place.backups()).await {
            Ok(level) => folders.extend(level.dirs.iter().filter_map(|dir| folder_backup(dir))),
            // The others go on: a region that is away must not keep the backup from them.
            Err(error) => {
                set.detach(region.name(), DetachReason::Failed(error.chain()));
                last = Some(error);
            }
        }
    }
    if let Some(error) = last.filter(|_| set.attached().is_empty()) {
        return Err(store_error("backups cannot be listed", &error));
    }
    folders.sort_by_key(|backup| std::cmp::Reverse(backup.to_bytes()));
    folders.dedup();
    folders.retain(|backup| !committed.contains(backup));
    let mut packs = Vec::new();
    for backup in folders {
        let mut listed = repository.regions().list_all(&place.packs(backup));
        while let Some(entry) = listed.next().await {
            let Listed::Object { name, held, .. } = entry else { continue };
            let everywhere =
                set.attached().iter().all(|region| held.iter().any(|at| at.region == *region.name()));
            if let Some(Named::Pack { backup, number, .. }) =
                ObjectName::parse(&name).map(|name| name.named().clone())
                && everywhere
            {
                packs.push(PackId { backup, number });
            }
        }
    }
    Ok(packs)
}

fn folder_backup(dir: &str) -> Option<BackupId> {
    dir.trim_end_matches('/').rsplit('/').next()?.parse().ok()
}

/// Reads the footers of orphans. What cannot be read is not adopted, which costs reading those pages again.
pub(super) async fn adopt(repository: &Repository, place: &Place, orphans: &[PackId]) -> Adopted {
    let mut adopted = Adopted::default();
    for pack in orphans {
        // A pack cut short by the interruption is no loss: its pages are stored again.
        let Ok((row, frames, contents)) = read_footer(repository, place, *pack).await else { continue };
        if !adopted.add(row, &frames, &contents) {
            break;
        }
    }
    adopted
}

async fn read_footer(
    repository: &Repository,
    place: &Place,
    pack: PackId,
) -> Result<(PackRow, Vec<FramePlace>, PackContents)> {
    let name = Named::Pack { place: place.clone(), backup: pack.backup, number: pack.number }.into();
    let reader = repository.open_object(&name).await?;
    let footer = reader.footer().await?;
    let lengths: Vec<u32> = footer.frames.iter().map(|frame| frame.plain_len).collect();
    let contents = PackContents::decode(&footer.contents, &lengths).map_err(|error| {
        crate::Error::data("repository.pack-footer", format!("the footer of {name} cannot be read"))
            .because(error)
    })?;
    let pages = contents.frames.iter().flatten().map(|slot| slot.digests.len() as u64).sum();
    let head = reader.head().head();
    let stored_bytes = head.head_bytes() as u64 + head.body_bytes();
    let frames = footer.frames.iter().map(|at| FramePlace { pack, at: *at }).collect();
    Ok((PackRow { pack, pages, stored_bytes }, frames, contents))
}
