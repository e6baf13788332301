//! WAL that a dead server still has: `--salvage-wal OLD_PGDATA`.
//!
//! Promises: the old directory is only read, and refused while a server may be using it; a segment counts only when it is what its
//! name says (a recycled file of the future is not) and the archive has not got it, and when the segment before them that both have
//! is the same file: two servers may have written one timeline. What is in it is checked by walking its records
//! when the end of WAL is looked for. Deliberately takes no history files: a promotion that was never archived is for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use seawall_pg::wal_page::{ExpectedSegment, LONG_HEADER_BYTES, identify_segment};
use seawall_pg::{SegmentName, SegmentNo, Timeline};
use seawall_repo::layout::Place;
use seawall_store::durable::{DirHandle, DurableError};

use super::plan::{RecoveryPlan, ServeRange};
use super::transfer::local_error;
use super::wal_end::WalOf;
use super::wal_inventory::WalInventory;
use crate::archive::{Beside, Held};
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::target::preflight::refuse_in_use;

/// Segments that lie in an old data directory.
#[derive(Debug, Default)]
pub struct LocalWal {
    directory: Option<DirHandle>,
    segments: BTreeMap<(Timeline, SegmentNo), SegmentName>,
    /// Those that the archive has as well.
    shared: BTreeMap<(Timeline, SegmentNo), SegmentName>,
    segment_bytes: u64,
}

impl LocalWal {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Looks through the `pg_wal` of an old data directory and adds what the archive lacks to `inventory`.
    ///
    /// # Errors
    /// A server may be using it, it belongs to another cluster, or it cannot be read.
    pub fn scan(old: &Path, of: &WalOf, inventory: &mut WalInventory, now_unix_us: i64) -> Result<Self> {
        refuse_in_use(old, now_unix_us)?;
        let at = old.join("pg_wal");
        let directory = DirHandle::open(&at).map_err(|error| unreadable(&at, error))?;
        let mut local = Self { segment_bytes: of.size.bytes(), ..Self::default() };
        for entry in directory.entries().map_err(|error| unreadable(&at, error))? {
            let Ok(name) = entry.name.to_string_lossy().parse::<SegmentName>() else { continue };
            let Ok(number) = name.number(of.size) else { continue };
            if !is_itself(&directory, name, of, inventory).map_err(|error| unreadable(&at, error))? {
                continue;
            }
            let is_new = !inventory.has(name.timeline(), number);
            let found = if is_new { &mut local.segments } else { &mut local.shared };
            found.insert((name.timeline(), number), name);
        }
        for (timeline, number) in local.segments.keys() {
            inventory.add_segment(*timeline, *number, None);
        }
        local.directory = Some(directory);
        Ok(local)
    }

    /// Of each timeline with salvaged WAL, the newest segment before it that the archive has as well.
    fn before_salvaged(&self) -> impl Iterator<Item = SegmentName> {
        let last = |timeline: Timeline| {
            self.segments.keys().filter(move |(of, _)| *of == timeline).map(|(_, number)| *number).max()
        };
        let timelines: BTreeSet<Timeline> = self.segments.keys().map(|(timeline, _)| *timeline).collect();
        timelines.into_iter().filter_map(move |timeline| {
            let end = last(timeline)?;
            self.shared.range((timeline, SegmentNo(0))..(timeline, end)).next_back().map(|(_, name)| *name)
        })
    }

    /// Refuses WAL of another server than the one that archived under the same names: it would be replayed behind WAL that it does not
    /// follow.
    ///
    /// # Errors
    /// Both servers are named; the old directory cannot be read.
    pub(super) async fn refuse_another_branch(
        &self,
        repository: &Repository,
        place: &Place,
        of: &WalOf,
        old: &Path,
    ) -> Result<()> {
        let beside = Beside::new(repository.clone(), place.clone(), old.join("pg_wal"), of.size);
        for segment in self.before_salvaged() {
            for region in beside.repository.regions().iter() {
                if let Held::Other(conflict) = beside.held(region, segment).await? {
                    return Err(conflict
                        .fact("salvaged from", old.display())
                        .hint("restore without --salvage-wal for the branch that is in the archive; the other one lives in that directory only: start its server from there"));
                }
            }
        }
        Ok(())
    }

    /// How many segments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The content of a segment; none where it is not from here.
    ///
    /// # Errors
    /// It cannot be read any more.
    pub fn read(&self, timeline: Timeline, number: SegmentNo) -> Result<Option<Vec<u8>>> {
        let (Some(directory), Some(name)) = (&self.directory, self.segments.get(&(timeline, number))) else {
            return Ok(None);
        };
        let read = directory.read_whole(name.to_string(), self.segment_bytes);
        read.map(Some).map_err(|error| unreadable(directory.path(), error))
    }

    /// The segments of a plan that come from here, in ranges.
    #[must_use]
    pub fn used_by(&self, plan: &RecoveryPlan) -> Vec<ServeRange> {
        let mut ranges: Vec<ServeRange> = Vec::new();
        for (timeline, number) in self.segments.keys() {
            if plan.serving(*number) != Some(*timeline) {
                continue;
            }
            match ranges.last_mut() {
                Some(range) if range.timeline == *timeline && range.last.next() == Some(*number) => {
                    range.last = *number;
                }
                _ => ranges.push(ServeRange { timeline: *timeline, first: *number, last: *number }),
            }
        }
        ranges
    }

    /// The names of the segments of a plan that come from here.
    pub(super) fn names_used_by(&self, plan: &RecoveryPlan) -> Vec<String> {
        let of_range = |range: ServeRange| {
            (range.first.0..=range.last.0).filter_map(move |number| {
                self.segments.get(&(range.timeline, SegmentNo(number))).map(ToString::to_string)
            })
        };
        self.used_by(plan).into_iter().flat_map(of_range).collect()
    }

    /// Copies what a plan uses into the new WAL directory; returns how many segments.
    ///
    /// # Errors
    /// Reading or writing failed.
    pub fn copy_to(&self, plan: &RecoveryPlan, wal: &DirHandle, owner: Option<(u32, u32)>) -> Result<u64> {
        let mut copied = 0;
        for range in self.used_by(plan) {
            for number in (range.first.0..=range.last.0).map(SegmentNo) {
                let Some(bytes) = self.read(range.timeline, number)? else { continue };
                let Some(name) = self.segments.get(&(range.timeline, number)) else { continue };
                let file = wal.create_file(name.to_string(), 0o600).map_err(local_error)?;
                file.write_at(&bytes, 0).map_err(local_error)?;
                if let Some((uid, gid)) = owner {
                    file.set_owner(uid, gid).map_err(local_error)?;
                }
                copied += 1;
            }
        }
        Ok(copied)
    }
}

/// Whether a file is the segment its name says, and as long as one.
fn is_itself(
    directory: &DirHandle,
    name: SegmentName,
    of: &WalOf,
    inventory: &WalInventory,
) -> std::result::Result<bool, DurableError> {
    let Ok(history) = inventory.history(name.timeline()) else { return Ok(false) };
    let file = directory.open_read(name.to_string())?;
    let mut first = [0; LONG_HEADER_BYTES];
    let had = file.read_at(&mut first, 0)?;
    let expected = ExpectedSegment {
        name,
        size: of.size,
        system_identifier: of.system,
        version: of.version,
        history: &history,
    };
    let is_whole = file.metadata()?.size_bytes == of.size.bytes();
    Ok(is_whole && identify_segment(first.get(..had).unwrap_or_default(), &expected).is_ok())
}

fn unreadable(at: &Path, error: DurableError) -> Error {
    let at: PathBuf = at.to_owned();
    Error::source_side("restore.salvage-unreadable", format!("WAL in {} cannot be read", at.display()))
        .hint("Run it as a user who may read that directory, or leave --salvage-wal away.")
        .because(error)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use seawall_pg::{SystemIdentifier, Version, WalSegmentSize};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn of() -> WalOf {
        WalOf {
            version: Version::from_major(17).unwrap(),
            system: SystemIdentifier(77),
            size: WalSegmentSize::new(1 << 20).unwrap(),
        }
    }

    fn segment_file(number: u64, system: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(of().version.facts().wal_magic.to_le_bytes());
        bytes.extend(2u16.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend((number * MIB).to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(system.to_le_bytes());
        bytes.extend((1u32 << 20).to_le_bytes());
        bytes.extend(8192u32.to_le_bytes());
        bytes.resize(1 << 20, 0);
        bytes
    }

    #[test]
    fn only_segments_that_are_what_their_names_say_and_are_missing_are_taken() {
        let scratch = tempfile::tempdir().unwrap();
        let wal = scratch.path().join("pg_wal");
        fs::create_dir(&wal).unwrap();
        let write = |number: u64, content: Vec<u8>| {
            let name = SegmentName::new(Timeline::FIRST, SegmentNo(number), of().size).unwrap();
            fs::write(wal.join(name.to_string()), content).unwrap();
        };
        write(4, segment_file(4, 77));
        write(5, segment_file(5, 77));
        // Recycled, foreign, cut off.
        write(6, segment_file(2, 77));
        write(7, segment_file(7, 78));
        write(8, segment_file(8, 77)[..8192].to_vec());
        let mut inventory = WalInventory::new(of().size);
        inventory.add_segment(Timeline::FIRST, SegmentNo(4), None);
        let local = LocalWal::scan(scratch.path(), &of(), &mut inventory, 0).unwrap();
        let taken: Vec<_> = local.segments.keys().map(|(_, number)| number.0).collect();
        assert_eq!(taken, [5]);
        let before: Vec<_> = local.before_salvaged().map(|name| name.to_string()).collect();
        assert_eq!(before, ["000000010000000000000004"], "what both have is compared");
        assert!(inventory.has(Timeline::FIRST, SegmentNo(5)));
        assert_eq!(local.read(Timeline::FIRST, SegmentNo(5)).unwrap(), Some(segment_file(5, 77)));
        assert_eq!(local.read(Timeline::FIRST, SegmentNo(4)).unwrap(), None);
    }
}
