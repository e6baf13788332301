//! Whether a chapter says what the segments of its folder say themselves.
//!
//! Promises: every segment that the region has is asked for its head and index, and the changes are joined anew where all are there; what
//! is gone is not the chapter's fault. Reads the region's own copies alone.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use seawall_pg::{SegmentName, WalFileName};
use seawall_repo::chapter::{Chapter, ChapterSegment};
use seawall_repo::compress::Decompressor;
use seawall_repo::envelope::Head;
use seawall_repo::error::ObjectError;
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::object::OpenHead;
use seawall_repo::wal_index::{Changes, SegmentIndex};
use seawall_repo::wal_object::{NoIndex, WalReader};
use seawall_store::RegionName;

use super::found::Way;
use super::object::Wrong;
use super::tasks::{Job, Outcome, Reading};
use crate::archive::chapters::segment_name;

/// First read of a segment's head and index.
const INDEX_READ_BYTES: u64 = 64 << 10;
/// Segments that are read at the same time.
const AT_ONCE: usize = 8;

impl Reading {
    /// In what a chapter differs from the segments that the region has; none if in nothing.
    pub(super) async fn chapter_differs(
        &self,
        job: &Job,
        region: &RegionName,
        chapter: &Chapter,
    ) -> Option<String> {
        let place = job.name.named().place()?;
        let folder = chapter.folder();
        let there = self.segments_in(region, &place.wal_in(folder)).await?;
        let stranger = there.iter().find(|segment| chapter.segment(**segment).is_none());
        if let Some(stranger) = stranger {
            let size = chapter.segment_size().mebibytes();
            return Some(format!("it tells of segments of {size} MiB, and {stranger} is none"));
        }
        let read = |segment: SegmentName| self.own_word(job, region, segment_name(place, segment));
        let mut reading = futures::stream::iter(there.iter().copied()).map(read).buffered(AT_ONCE).boxed();
        let (mut changes, mut told) = (Changes::default(), 0);
        while let Some(word) = reading.next().await {
            // One that is damaged or gone is told where it is looked at itself.
            let Some(mut word) = word else { continue };
            if let Some(index) = &mut word.index {
                changes.join(&std::mem::take(&mut index.changes));
            }
            told += 1;
            let said = chapter.segment(word.segment)?;
            // Digests of other keys cannot be compared.
            let other = said.generation == word.generation && said.digest != word.digest;
            if other || (said.size, &said.index, &said.reason) != (word.size, &word.index, &word.reason) {
                return Some(format!(
                    "of segment {} it says something else than the segment does",
                    word.segment
                ));
            }
        }
        drop(reading);
        let all = told == chapter.segments().len();
        (all && changes != *chapter.changes())
            .then(|| "the changed pages it names are not those that its segments name".to_owned())
    }

    async fn segments_in(&self, region: &RegionName, prefix: &str) -> Option<BTreeSet<SegmentName>> {
        let region = self.repository.regions().find(region.as_str())?;
        let listed = region.list_collect(prefix).await.ok()?;
        let names = listed.iter().filter_map(|info| match ObjectName::parse(&info.name)?.named() {
            Named::Wal { file: WalFileName::Segment(segment), .. } => Some(*segment),
            _ => None,
        });
        Some(names.collect())
    }

    /// What a segment says itself.
    async fn own_word(&self, job: &Job, region: &RegionName, name: ObjectName) -> Option<ChapterSegment> {
        let (head, index) = self.head_and_index(job, region, &name).await.ok()?;
        ChapterSegment::of(&head, index).ok()
    }

    /// A segment's head and index, by a small read.
    ///
    /// # Errors
    /// Why they cannot be had.
    pub(super) async fn head_and_index(
        &self,
        job: &Job,
        region: &RegionName,
        name: &ObjectName,
    ) -> std::result::Result<(OpenHead, std::result::Result<SegmentIndex, NoIndex>), Outcome> {
        let (trust, keys) = (self.repository.trust(), self.repository.keys());
        let reader = WalReader { trust, keys };
        let mut wanted = INDEX_READ_BYTES;
        for _ in 0..3 {
            let bytes = self.get(name, region, Some(wanted)).await?;
            let needs = Head::needs(&bytes).map_or(0, |needs| needs as u64);
            if needs > wanted {
                wanted = needs;
                continue;
            }
            let head = OpenHead::open(name, &bytes, trust, job.created).map_err(wrong)?;
            let from = head.head().head_bytes();
            let end = from + head.head().front_bytes() as usize;
            let Some(front) = bytes.get(from..end) else {
                wanted = end as u64;
                continue;
            };
            let mut decompressor =
                Decompressor::new().map_err(|error| Outcome::Unreadable(error.to_string()))?;
            let index = reader.index(&head, front, &mut decompressor).map_err(wrong)?;
            return Ok((head, index));
        }
        Err(Outcome::Wrong(Wrong::new(Way::Damaged, "it is shorter than its head says")))
    }
}

fn wrong(error: ObjectError) -> Outcome {
    Outcome::Wrong(error.into())
}
