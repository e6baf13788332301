//! Where what a region lacks joins what it has: whether both are of one server.
//!
//! Two servers that were apart archived under the same names. The one that went further has segments that the other region lacks; copied
//! there they would stand behind WAL of the other server, and neither branch could be followed from that region alone any more. Promises: a
//! stretch of WAL whose neighbour is another file in the region that lacks it stays out, and so does a backup whose own WAL is another there.
//! One look a stretch: two heads are read where it begins, whatever its length.

use std::collections::BTreeMap;

use seawall_pg::{SegmentName, SegmentNo, Timeline, WalFileName, WalSegmentSize};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::Manifest;
use seawall_store::RegionName;

use super::pass::Lacking;
use super::run::Run;
use super::wanted::Wanted;
use crate::backup::wal_of;
use crate::repository::apart;

/// How the stretches that are under way were judged, by region and timeline.
#[derive(Debug, Default)]
pub(super) struct Borders(BTreeMap<(RegionName, Timeline), Stretch>);

#[derive(Debug)]
struct Stretch {
    last: SegmentNo,
    is_other: bool,
}

/// The segment that an object is of. What is no segment joins nothing.
fn segment_of(named: &Named) -> Option<SegmentName> {
    let file: WalFileName = match named {
        Named::Wal { file, .. } => *file,
        Named::WalPart { file, .. } => (*file).into(),
        _ => return None,
    };
    match file {
        WalFileName::Segment(segment) => Some(segment),
        _ => None,
    }
}

impl Run<'_> {
    /// Takes regions out of units of WAL where the file would follow another server's.
    pub(super) async fn keep_apart(&mut self, units: &mut [Vec<Lacking>], wanted: &Wanted) {
        let Some(size) = wanted.segment_size else { return };
        for lacking in units.iter_mut().flatten() {
            let Some(segment) = segment_of(lacking.name.named()) else { continue };
            let Ok(number) = segment.number(size) else { continue };
            let mut out = Vec::new();
            for region in &lacking.lacked_by {
                if self.is_other(&wanted.place, (segment, number, size), region, &lacking.held).await {
                    out.push(region.clone());
                }
            }
            lacking.lacked_by.retain(|region| !out.contains(region));
        }
    }

    async fn is_other(
        &mut self,
        place: &Place,
        (segment, number, size): (SegmentName, SegmentNo, WalSegmentSize),
        region: &RegionName,
        holders: &[RegionName],
    ) -> bool {
        let key = (region.clone(), segment.timeline());
        let known = self
            .borders
            .0
            .get(&key)
            .filter(|known| known.last == number || known.last.next() == Some(number));
        let is_other = match known {
            Some(known) => known.is_other,
            None => self.begins_at_another(place, (segment, size), region, holders).await,
        };
        self.borders.0.insert(key, Stretch { last: number, is_other });
        is_other
    }

    async fn begins_at_another(
        &mut self,
        place: &Place,
        (segment, size): (SegmentName, WalSegmentSize),
        region: &RegionName,
        holders: &[RegionName],
    ) -> bool {
        let Ok(Some(before)) = segment.prev(size) else { return false };
        let name: ObjectName = Named::Wal { place: place.clone(), file: WalFileName::Segment(before) }.into();
        let among: Vec<RegionName> = holders.iter().chain([region]).cloned().collect();
        let Some(apart) = apart(self.repository, &name, &among).await else { return false };
        let what = format!(
            "{segment} and what follows it on timeline {} stays out of {region}, because of {name} before it: {}",
            segment.timeline(),
            apart.words()
        );
        self.tell("sync.conflict", what);
        true
    }

    /// Whether a region's own WAL under the names that a backup needs is another server's.
    pub(super) async fn has_other_wal(
        &mut self,
        place: &Place,
        manifest: &Manifest,
        region: &RegionName,
        holders: &[RegionName],
    ) -> bool {
        let header = &manifest.header;
        let among: Vec<RegionName> = holders.iter().chain([region]).cloned().collect();
        for file in wal_of(header.stop_timeline, header.start, header.stop, header.segment_size) {
            let name: ObjectName = Named::Wal { place: place.clone(), file }.into();
            if let Some(apart) = apart(self.repository, &name, &among).await {
                let backup = header.backup;
                let what =
                    format!("backup {backup} stays out of {region}, because of {name}: {}", apart.words());
                self.tell("sync.conflict", what);
                return true;
            }
        }
        false
    }
}
