//! The prefixes under which objects of one kind are listed, and what the folders under a prefix are called.
//!
//! Promises: every prefix ends in `/` (or is the whole name of the only object), and the names of [`super::Named`] are
//! built from these same texts.

use seawall_pg::{SegmentName, Timeline, WalFolder};

use crate::id::{BackupId, ClusterName, RecordId, SystemId};
use crate::layout::{Place, timeline_folder};

/// The one object of its kind.
pub(crate) const SEAWALL: &str = "seawall.json";
/// The wrapped owner's key, one object a change of recipients.
pub const OWNER: &str = "owner/";
/// Certificates and revocations of writers.
pub const WRITERS: &str = "writer/";
/// Heal copies, in the folder of what their originals belong to: here the repository itself.
pub const HEALS: &str = "heal/";

/// Heal copies of a cluster's own records.
pub fn heals(of: &ClusterName) -> String {
    format!("{}{HEALS}", cluster(of))
}

/// Everything of a cluster.
pub fn cluster(cluster: &ClusterName) -> String {
    format!("{cluster}/")
}

/// A cluster's wrapped keys.
pub fn keys(cluster: &ClusterName) -> String {
    format!("{cluster}/key/")
}

/// The system identifiers that belong to a cluster.
pub fn adoptions(cluster: &ClusterName) -> String {
    format!("{cluster}/adopt/")
}

/// A cluster's policies of retention, one object a change.
pub fn policies(cluster: &ClusterName) -> String {
    format!("{cluster}/policy/")
}

/// The cluster a folder at the top of a region belongs to (`orders/`); none for the repository's own folders.
pub fn cluster_of_folder(folder: &str) -> Option<ClusterName> {
    folder.strip_suffix('/')?.parse().ok()
}

/// The system identifier a folder in a cluster's folder (`orders/7575/`) belongs to; none for its other folders.
pub fn system_of_folder(folder: &str) -> Option<SystemId> {
    let (_, system) = folder.strip_suffix('/')?.split_once('/')?;
    system.parse().ok()
}

impl Place {
    /// Everything of the place.
    pub fn all(&self) -> String {
        format!("{}/{}/", self.cluster, self.system)
    }

    /// Intents of all backups.
    pub fn intents(&self) -> String {
        format!("{}intent/", self.all())
    }

    /// Manifests: the backups that exist.
    pub fn manifests(&self) -> String {
        format!("{}manifest/", self.all())
    }

    /// Packs and maps of all backups, finished or not.
    pub fn backups(&self) -> String {
        format!("{}backup/", self.all())
    }

    /// Packs and maps of one backup.
    pub fn backup(&self, backup: BackupId) -> String {
        format!("{}{backup}/", self.backups())
    }

    /// Packs of one backup.
    pub fn packs(&self, backup: BackupId) -> String {
        format!("{}pack/", self.backup(backup))
    }

    /// Maps of one backup.
    pub fn maps(&self, backup: BackupId) -> String {
        format!("{}map/", self.backup(backup))
    }

    /// The WAL archive: timeline history files directly under it, folders of timelines below.
    pub fn wal(&self) -> String {
        format!("{}wal/", self.all())
    }

    /// WAL of one timeline.
    pub fn wal_timeline(&self, timeline: Timeline) -> String {
        format!("{}{}", self.wal(), timeline_folder(timeline))
    }

    /// Chapters of all timelines.
    pub fn chapters(&self) -> String {
        format!("{}chapter/", self.all())
    }

    /// Chapters of one timeline.
    pub fn chapters_timeline(&self, timeline: Timeline) -> String {
        format!("{}{}", self.chapters(), timeline_folder(timeline))
    }

    /// Tombstones, their revocations and the regions' word that they were carried out.
    pub fn tombstones(&self) -> String {
        format!("{}tombstone/", self.all())
    }

    /// Holds and their releases.
    pub fn holds(&self) -> String {
        format!("{}hold/", self.all())
    }

    /// Holes that were acknowledged.
    pub fn holes(&self) -> String {
        format!("{}hole/", self.all())
    }

    /// Heal copies of what belongs to the place.
    pub fn heals(&self) -> String {
        format!("{}{HEALS}", self.all())
    }

    /// Events of all time.
    pub fn events(&self) -> String {
        format!("{}event/", self.all())
    }

    /// Events of one UTC day, that of `id`.
    pub fn events_of(&self, id: RecordId) -> String {
        let stamp = id.to_string();
        let part = |from: usize, to: usize| stamp.get(from..to).unwrap_or_default();
        format!("{}{}/{}/{}/", self.events(), part(0, 4), part(4, 6), part(6, 8))
    }

    /// The folder that holds a segment and its neighbours: 4 GiB of WAL.
    pub fn wal_folder(&self, segment: SegmentName) -> String {
        self.wal_in(WalFolder::of(segment))
    }

    /// A folder of segments.
    pub fn wal_in(&self, folder: WalFolder) -> String {
        format!("{}{folder}/", self.wal_timeline(folder.timeline()))
    }
}
