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
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::object::OpenHead;
use seawall_repo::wal_index::Changes;
use seawall_repo::wal_object::WalReader;
use seawall_store::RegionName;

use super::tasks::{Job, Reading};
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
        let (trust, keys) = (self.repository.trust(), self.repository.keys());
        let reader = WalReader { trust, keys };
        let mut wanted = INDEX_READ_BYTES;
        for _ in 0..3 {
            let bytes = self.get(&name, region, Some(wanted)).await.ok()?;
            let needs = Head::needs(&bytes).ok()? as u64;
            if needs > wanted {
                wanted = needs;
                continue;
            }
            let head = OpenHead::open(&name, &bytes, trust, job.created).ok()?;
            let from = head.head().head_bytes();
            let end = from + head.head().front_bytes() as usize;
            let Some(front) = bytes.get(from..end) else {
                wanted = end as u64;
                continue;
            };
            let index = reader.index(&head, front, &mut Decompressor::new().ok()?).ok()?;
            return ChapterSegment::of(&head, index).ok();
        }
        None
    }
}
