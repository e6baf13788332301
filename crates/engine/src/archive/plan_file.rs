//! The plan file: what a restore leaves in the data directory for `wal fetch`, which serves the recovery from it.
//!
//! It lies inside the data directory, as `seawall_plan.json` with mode 0600, because PostgreSQL runs `restore_command` there:
//! the directory may be moved and the command still finds its own plan and no other's. It names an identity file and never
//! holds a key. It answers for each name a server can ask for which timeline's file may be handed over and what it means when
//! that file is not there. A copy of the directory that went on (a promoted server, a standby made from it) has outlived it:
//! [`PlanFile::standing`] says so by `pg_control`.
//! Promises: JSON that only grows, a higher version is refused; any bytes decode or are an error, and a plan that storage damaged is one: a
//! digit more or less in its frontier would promote a server early. Who writes here on purpose can as well write PostgreSQL's settings.
//! Deliberately does not read or write files, and knows no exit codes.

use std::path::PathBuf;

use seawall_pg::{ControlFile, Lsn, SegmentName, SegmentNo, SystemIdentifier, Timeline, Version};
use seawall_pg::{WalFileName, WalSegmentSize};
use seawall_repo::id::{BackupId, ClusterName, RepositoryId};
use seawall_repo::time::Time;
use serde::{Deserialize, Serialize};

use crate::error::{self, Error};
use crate::repository::RegionSettings;

/// Its name in the data directory.
pub const PLAN_FILE_NAME: &str = "seawall_plan.json";
/// Its permission bits: it says where an identity is found.
pub const PLAN_FILE_MODE: u32 = 0o600;
/// Longer ones are not read.
pub const PLAN_FILE_BYTES_MAX: u64 = 4 << 20;
/// What this release writes and the newest that it reads.
pub const PLAN_FILE_VERSION: u32 = 1;

/// What the plan file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFile {
    /// [`PLAN_FILE_VERSION`] in what is written.
    pub version: u32,
    /// When it was made.
    pub made: Time,
    /// The cluster's name in the repository.
    pub cluster: ClusterName,
    /// Whose data directory it lies in.
    pub system: SystemIdentifier,
    /// The server's version.
    pub postgresql: Version,
    /// Where the restore wrote; only for messages.
    pub data_directory: PathBuf,
    /// The backup that was restored.
    pub backup: BackupId,
    /// The size of a segment.
    pub segment_size: WalSegmentSize,
    /// The way through WAL; none for a standby, which follows whatever comes.
    pub way: Option<PlannedWay>,
    /// Where WAL is read.
    pub repository: PlannedRepository,
}

/// The way through WAL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWay {
    /// The timeline that recovery follows.
    pub timeline: Timeline,
    /// Its ancestry, oldest first, itself last.
    pub path: Vec<PlannedSpan>,
    /// Which timeline serves which segments, from the backup's start to the frontier.
    pub serve: Vec<PlannedRange>,
    /// Up to here a segment is delivered or recovery stops.
    pub frontier: Lsn,
    /// The one segment that is there only as a `.partial` file.
    pub partial: Option<SegmentNo>,
    /// Segments that lie in `pg_wal` already, put there from an old data directory.
    pub in_pg_wal: Vec<PlannedRange>,
}

/// A timeline's part of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSpan {
    /// The timeline.
    pub timeline: Timeline,
    /// Where it begins.
    pub begin: Lsn,
    /// Where it was left.
    pub end: Option<Lsn>,
}

/// Segments of one timeline, both ends inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRange {
    /// The timeline.
    pub timeline: Timeline,
    /// The first.
    pub first: SegmentNo,
    /// The last.
    pub last: SegmentNo,
}

/// Where WAL is read, and whom to believe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRepository {
    /// The repository's id, pinned.
    pub id: RepositoryId,
    /// The owner's public key, pinned (`ed25519:…`).
    pub owner: String,
    /// The regions to ask.
    pub regions: Vec<RegionSettings>,
    /// Regions given up by name: that they do not answer keeps nothing from being called absent.
    pub without_regions: Vec<String>,
    /// Files with identities; the plan never holds a key.
    pub identity_files: Vec<PathBuf>,
    /// Files with passphrases, nor does it hold one.
    #[serde(default)]
    pub passphrase_files: Vec<PathBuf>,
    /// How long an outage is waited for before recovery stops, as the settings of the restore said; plans of older releases say nothing.
    #[serde(default)]
    pub wait_seconds: Option<u64>,
}

/// How a plan begins, and what stands in front of everything else: a bit that turns over, wherever it lies, must not change a plan.
const BEGINNING: &str = "{\n";
const DIGEST: &str = "  \"digest\": \"";

/// Why bytes are no plan file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum PlanFileError {
    #[error("the plan file is not readable JSON of a plan")]
    Json(#[source] serde_json::Error),
    #[error("the plan file has version {found}, and this release reads up to {PLAN_FILE_VERSION}")]
    Newer { found: u32 },
    #[error("the plan file is not what the restore wrote: its digest does not fit")]
    Damaged,
    #[error("the plan file contradicts itself: {what}")]
    Contradiction { what: &'static str },
}

/// Whether a plan is still about the directory it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Applies,
    /// The directory belongs to another cluster.
    ForeignSystem {
        /// Which.
        found: SystemIdentifier,
    },
    /// The cluster has gone on to a timeline that the plan does not know: it was promoted.
    Outlived {
        /// Which.
        timeline: Timeline,
    },
}

/// What a plan says about a name that the server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanAnswer {
    /// This object is handed over, or recovery stops: that it is absent would be damage.
    Deliver(WalFileName),
    /// This object is handed over if it is there. That it is not there is the truth only when every region says so.
    IfThere(WalFileName),
    /// It lies in `pg_wal` already: the server finds it there when told that the archive has it not.
    InPgWal,
    /// Another timeline serves this part of WAL. Handing this file over would replay another life of the cluster.
    NotOfThisWay,
}

impl PlanFile {
    /// How long an outage is waited for.
    #[must_use]
    pub fn wait(&self) -> std::time::Duration {
        self.repository.wait_seconds.map_or(super::fetch::FETCH_WAIT, std::time::Duration::from_secs)
    }

    /// Lets regions go, which are not asked then. The frontier stays: a file that only they have stops the server.
    ///
    /// # Errors
    /// The plan has no such region, or none is left.
    pub fn give_up(&mut self, names: &[String]) -> error::Result<()> {
        let regions = &mut self.repository.regions;
        for name in names {
            let before = regions.len();
            regions.retain(|region| region.name != *name);
            if regions.len() == before && !self.repository.without_regions.contains(name) {
                return Err(Error::usage("fetch.unknown-region", format!("the plan has no region {name}")));
            }
            self.repository.without_regions.push(name.clone());
        }
        match regions.is_empty() {
            true => Err(Error::usage("fetch.no-region", "no region is left to read from")),
            false => Ok(()),
        }
    }

    /// As it is written.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn encode(&self) -> Result<Vec<u8>, PlanFileError> {
        let text = serde_json::to_string_pretty(self).map_err(PlanFileError::Json)?;
        let rest = text.strip_prefix(BEGINNING).unwrap_or(&text).to_owned() + "\n";
        Ok(format!("{BEGINNING}{DIGEST}{}\",\n{rest}", blake3::hash(rest.as_bytes())).into_bytes())
    }

    /// Reads one.
    pub fn decode(bytes: &[u8]) -> Result<Self, PlanFileError> {
        #[derive(Deserialize)]
        struct OnlyVersion {
            version: u32,
        }
        let OnlyVersion { version } = serde_json::from_slice(bytes).map_err(PlanFileError::Json)?;
        if version > PLAN_FILE_VERSION {
            return Err(PlanFileError::Newer { found: version });
        }
        if !is_whole(bytes) {
            return Err(PlanFileError::Damaged);
        }
        let plan: Self = serde_json::from_slice(bytes).map_err(PlanFileError::Json)?;
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), PlanFileError> {
        let contradiction = |what| Err(PlanFileError::Contradiction { what });
        let Some(way) = &self.way else { return Ok(()) };
        if way.path.last().map(|span| span.timeline) != Some(way.timeline) {
            return contradiction("the path does not end with the timeline to follow");
        }
        let ranges = way.serve.iter().chain(&way.in_pg_wal);
        if ranges.clone().any(|range| range.first > range.last) {
            return contradiction("a range of segments ends before it begins");
        }
        let follows = |pair: &[PlannedRange]| match pair {
            [one, next] => one.last.next() == Some(next.first),
            _ => true,
        };
        if !way.serve.windows(2).all(follows) {
            return contradiction("the ranges of segments do not follow on one another");
        }
        Ok(())
    }

    /// Whether the plan is about the directory with this `pg_control`.
    #[must_use]
    pub fn standing(&self, control: &ControlFile) -> Standing {
        if control.system_identifier != self.system {
            return Standing::ForeignSystem { found: control.system_identifier };
        }
        let Some(way) = &self.way else { return Standing::Applies };
        let timeline = control.checkpoint.timeline;
        let known = way.path.iter().any(|span| span.timeline == timeline);
        if known { Standing::Applies } else { Standing::Outlived { timeline } }
    }

    /// What to do about a name.
    #[must_use]
    pub fn answer(&self, name: WalFileName) -> PlanAnswer {
        match (name, &self.way) {
            (WalFileName::TimelineHistory(timeline), Some(way)) => way.answer_history(timeline),
            (WalFileName::Segment(segment), Some(way)) => way.answer_segment(segment, self.segment_size),
            // A server never asks for the other kinds; a person may.
            (_, None) | (WalFileName::Partial(_) | WalFileName::BackupHistory { .. }, _) => {
                PlanAnswer::IfThere(name)
            }
        }
    }
}

impl PlannedWay {
    /// An ancestor has a history file unless it is the first timeline. What lies behind the target's timeline is asked for when a
    /// new timeline's number is chosen: a wrong "absent" would give two servers the same one.
    fn answer_history(&self, timeline: Timeline) -> PlanAnswer {
        let name = WalFileName::TimelineHistory(timeline);
        let on_way = self.path.iter().any(|span| span.timeline == timeline);
        let has_file = timeline != Timeline::FIRST;
        if on_way && has_file { PlanAnswer::Deliver(name) } else { PlanAnswer::IfThere(name) }
    }

    fn answer_segment(&self, segment: SegmentName, size: WalSegmentSize) -> PlanAnswer {
        // A name of another segment size is of another cluster.
        let Ok(number) = segment.number(size) else { return PlanAnswer::NotOfThisWay };
        let timeline = segment.timeline();
        let holds = |range: &&PlannedRange| range.first <= number && number <= range.last;
        if let Some(local) = self.in_pg_wal.iter().find(holds) {
            return if local.timeline == timeline { PlanAnswer::InPgWal } else { PlanAnswer::NotOfThisWay };
        }
        match self.serve.iter().find(holds) {
            Some(range) if range.timeline != timeline => PlanAnswer::NotOfThisWay,
            Some(_) if self.partial == Some(number) => PlanAnswer::Deliver(WalFileName::Partial(segment)),
            Some(_) => PlanAnswer::Deliver(WalFileName::Segment(segment)),
            None => self.answer_outside(segment, number, size),
        }
    }

    /// Segments before the backup or behind the frontier.
    fn answer_outside(&self, segment: SegmentName, number: SegmentNo, size: WalSegmentSize) -> PlanAnswer {
        let last = number.last_lsn(size);
        let serving = self.path.iter().rev().find(|span| span.begin <= last);
        match serving {
            Some(span) if span.timeline == segment.timeline() => {
                PlanAnswer::IfThere(WalFileName::Segment(segment))
            }
            _ => PlanAnswer::NotOfThisWay,
        }
    }
}

/// Whether what follows the digest is what was written. Plans of older releases have none.
fn is_whole(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(BEGINNING.as_bytes()).and_then(|rest| rest.strip_prefix(DIGEST.as_bytes()));
    let Some((digest, rest)) = rest.and_then(|rest| rest.split_first_chunk::<{ 2 * blake3::OUT_LEN }>())
    else {
        return true;
    };
    let rest = rest.strip_prefix(b"\",\n").unwrap_or_default();
    blake3::hash(rest).to_string().as_bytes() == digest
}

#[cfg(test)]
mod tests;
