//! What a region's coming or going would do or did: the one truth behind text and JSON.

use seawall_repo::id::ClusterName;
use seawall_store::RegionName;
use serde::Serialize;

use crate::monitor::Finding;
use crate::sync::SyncReport;

/// What stood in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaceState {
    /// Nothing.
    Empty,
    /// What hosts whose settings name the region already wrote there, and nothing older.
    Written,
    /// This repository already.
    Region,
}

/// A region that was added, or came back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JoinReport {
    /// The cluster.
    pub cluster: ClusterName,
    /// The region.
    pub region: RegionName,
    /// Where it is.
    pub url: String,
    /// What stood there before.
    pub found: PlaceState,
    /// Whether it only looked.
    pub dry_run: bool,
    /// What the other regions hold of this cluster, at most all of which it gets: objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How it was filled; none where it only looked at an empty place.
    pub sync: Option<SyncReport>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl JoinReport {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        !self.findings.is_empty() || self.sync.as_ref().is_some_and(SyncReport::has_findings)
    }

    /// As text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (region, url) = (&self.region, &self.url);
        let mut lines = vec![match (self.found, self.dry_run) {
            (PlaceState::Written, true) => {
                format!("region {region} at {url}: hosts write to it already; it would become a region")
            }
            (PlaceState::Written, false) => {
                format!("region {region} at {url}: hosts wrote to it already; it is a region now")
            }
            (PlaceState::Empty, true) => format!("region {region} at {url}: empty; it would become a region"),
            (PlaceState::Empty, false) => format!("region {region} at {url}: was empty, and is a region now"),
            (PlaceState::Region, _) => format!("region {region} at {url}: is a region of this repository"),
        }];
        lines.push(format!("the other regions hold {} objects, {} MiB", self.objects, self.bytes >> 20));
        lines.extend(self.sync.iter().flat_map(SyncReport::lines));
        lines
    }
}

/// What another region lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacked {
    /// Which region lacks it.
    pub region: RegionName,
    /// The object.
    pub object: String,
    /// In which way.
    pub why: String,
}

/// A region that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherRegion {
    /// Which.
    pub region: RegionName,
    /// Objects that were seen to be there, with the content that the leaving region has.
    pub held: u64,
    /// Objects that it lacks, has damaged, or has with other content.
    pub lacking: u64,
    /// Why it could not be asked to the end.
    pub unreached: Option<String>,
}

/// Whether a region may leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrainReport {
    /// The cluster.
    pub cluster: ClusterName,
    /// The region.
    pub region: RegionName,
    /// Whether every other region holds all that it holds and anybody needs.
    pub may_leave: bool,
    /// Objects that were asked for.
    pub objects: u64,
    /// Their bytes in the leaving region.
    pub bytes: u64,
    /// Objects that nobody needs: tombstones name them, or no kept backup uses them.
    pub not_wanted: u64,
    /// The regions that stay.
    pub others: Vec<OtherRegion>,
    /// What they lack, at most a thousand.
    pub lacking: Vec<Lacked>,
    /// How many more.
    pub lacking_more: u64,
    /// The event that says that it may leave; none where it may not.
    pub event: Option<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl DrainReport {
    /// Whether the exit code says "with findings".
    #[must_use]
    pub fn has_findings(&self) -> bool {
        !self.may_leave || !self.findings.is_empty()
    }

    /// As text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let region = &self.region;
        let mut lines = vec![format!(
            "region {region} holds {} objects that are needed, {} MiB, and {} that are not",
            self.objects,
            self.bytes >> 20,
            self.not_wanted
        )];
        for other in &self.others {
            let told = match &other.unreached {
                Some(why) => format!("could not be asked to the end: {why}"),
                None if other.lacking == 0 => format!("holds all of them ({})", other.held),
                None => format!("holds {}, lacks {}", other.held, other.lacking),
            };
            lines.push(format!("region {}: {told}", other.region));
        }
        lines.extend(
            self.lacking
                .iter()
                .take(20)
                .map(|one| format!("  {} in region {}: {}", one.object, one.region, one.why)),
        );
        let more = self.lacking.len().saturating_sub(20) as u64 + self.lacking_more;
        if more > 0 {
            lines.push(format!("  and {more} more"));
        }
        lines.push(match self.may_leave {
            true => format!("{region} may leave: take it out of the settings of every host that uses this repository; nothing in it was touched"),
            false => format!("{region} must stay: bring the others up to date with `seawall sync`, and ask again"),
        });
        lines
    }
}
