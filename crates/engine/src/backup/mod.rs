//! Backup: from a running server's files to packs, maps and one manifest.
//!
//! The road, in the order of files: `prepare` and `plan` (on what it builds) → `intent` → `since` and `changed` (what must be read) → `jobs` (paths to work) →
//! `worker` and `packer` (pages to packs) → `upload` → `collect` (leaves, blocks) → `wal_wait` → `conclude` (commit) → `report`; `run` drives.

mod adopt;
mod changed;
mod collect;
mod conclude;
mod condemned;
mod intent;
mod jobs;
mod leaf;
mod packer;
pub(crate) mod parent;
mod pipeline;
mod plan;
pub(crate) mod prepare;
mod preview;
mod record;
mod report;
mod run;
mod since;
#[cfg(test)]
pub(crate) mod testing;
mod upload;
mod wal_wait;
mod worker;

pub use plan::ChosenWay;
pub use preview::{BackupPreview, DecisionCount, preview};
pub(crate) use report::requests;
pub use report::{BackupReport, LeftOut, Requests};
pub use run::{BackupOptions, run};
pub(crate) use wal_wait::files as wal_of;

use seawall_repo::base64_field::Base64Bytes;
use seawall_repo::manifest;
use seawall_repo::time::Time;
use seawall_store::World;

use crate::error::{Error, Result};

/// The host's time.
pub(crate) fn now(world: &World) -> Result<Time> {
    Time::from_micros(world.clock.now_unix_us()).ok_or_else(|| {
        Error::source_side(
            "host.clock",
            "the clock of this host is far outside the years that can be written",
        )
    })
}

/// The host's name, for messages and for telling writers apart.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn broken_row(broken: &worker::Broken) -> manifest::Finding {
    let page = &broken.page;
    manifest::Finding {
        path: Base64Bytes(broken.path.clone()),
        page: u64::from(page.block),
        expected: page.computed,
        found: page.stored,
        reason: format!("{:?}", page.reason),
    }
}
