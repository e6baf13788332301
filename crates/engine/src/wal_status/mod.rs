//! `wal status`: which WAL there is, where recovery can go with it, and what is missing.
//!
//! The road: `look` lists every region once and reads history files and what was decided about keeping, `judge` (pure) makes of it
//! timelines, windows, holes and what regions lack, [`report`] is the one truth behind text and JSON. Promises: memory follows holes,
//! timelines and days, not segments; requests follow listings, windows and conflicts; a region that could not be asked is never taken
//! for an empty one; a gap that pruning left by the recorded rules is no hole. Deliberately reads no content: that is `verify`'s.

mod commits;
mod conflicts;
mod judge;
mod look;
mod report;
mod server;
#[cfg(test)]
mod tests;

pub use report::{
    ConflictReport, HoleReport, Newest, RegionReport, SegmentSpan, ServerReport, StretchReport, SystemWal,
    TimelineReport, WalStatusReport, WindowReport,
};

pub(crate) use look::{Lacking, PlaceSeen, look};
use seawall_pg::Timeline;

use crate::backup::now;
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::source::ConnectOptions;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct WalStatusOptions {
    /// This timeline alone.
    pub timeline: Option<Timeline>,
    /// How to ask the server how far it is; none where it is not at hand.
    pub server: Option<ConnectOptions>,
}

/// Looks.
///
/// # Errors
/// No region can be listed; the cluster has no such timeline.
pub async fn wal_status(repository: &Repository, options: &WalStatusOptions) -> Result<WalStatusReport> {
    let at = now(repository.world())?;
    let looked = look(repository, at).await?;
    let mut findings = looked.findings.clone();
    let (mut systems, count) = (Vec::new(), looked.places.len());
    for (index, seen) in looked.places.iter().enumerate() {
        let conflicts = conflicts::conflicts(repository, seen).await?;
        let mut system = judge::judge(seen, at, index + 1 == count, &looked.unreached, conflicts);
        commits::add(repository, seen, &mut system).await;
        if let Some(timeline) = options.timeline {
            system.keep(timeline);
        }
        findings.extend(judge::findings(&system));
        systems.push(system);
    }
    if let Some(timeline) = options.timeline.filter(|_| systems.iter().all(|one| one.timelines.is_empty())) {
        return Err(Error::data(
            "wal-status.no-timeline",
            format!("no region has WAL or a history file of timeline {timeline}"),
        )
        .hint("leave --timeline out to see what there is"));
    }
    let server = match &options.server {
        Some(connect) => Some(server::ask(connect, systems.last()).await),
        None => None,
    };
    findings.extend(repository.take_findings());
    let cluster = repository.cluster().clone();
    Ok(WalStatusReport { cluster, at, systems, server, findings })
}
