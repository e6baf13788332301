//! The end of a backup: its manifest, the commit, the report.
//!
//! Promises that the manifest names only packs that somebody stored, and is put when everything else is there.

use std::collections::BTreeSet;
use std::time::Duration;

use seawall_pg::Lsn;
use seawall_repo::compress::Compressor;
use seawall_repo::id::BackupId;
use seawall_repo::manifest::{self, Manifest, ManifestBody, ManifestHeader};
use seawall_repo::time::Time;
use seawall_repo::usage::PackRow;

use super::pipeline::compression;
use super::record::server_record;
use super::report::{BackupReport, LeftOut};
use super::run::{Finished, Job, clock_unusable};
use crate::archive::chapters::write_missing;
use crate::error::{Error, Result};
use crate::events;
use crate::monitor::{Finding, Recorded};
use crate::repository::{WorldEntropy, put_everywhere, reason};
use crate::source::libc;

/// The word of the event that a region lacks a backup.
const LEFT_OUT: &str = "region-left-out";

/// Its particulars.
#[derive(serde::Serialize)]
struct LeftOutEvent {
    backup: BackupId,
    region: String,
    reason: String,
}

impl Job<'_> {
    pub(super) fn manifest(&self, finished: &Finished) -> Result<Manifest> {
        let stopped = &finished.stopped;
        // Not the time of now, when WAL has arrived: what was committed in between can be reached from this backup.
        let ended = Time::from_micros(stopped.at_us).ok_or_else(clock_unusable)?.max(finished.started_at);
        let checksums = self.prepared.control.file.data_checksums();
        let record = server_record(self.facts, checksums, libc::version(), finished.started_at);
        let collected = &finished.collected;
        let packs = self.pack_rows(finished)?;
        let mut header = ManifestHeader {
            backup: self.backup,
            cluster: self.prepared.place.cluster.clone(),
            system: self.prepared.place.system,
            postgresql: self.facts.server.version.major(),
            way: self.prepared.way.way,
            parent: self.prepared.way.parent,
            timeline: stopped.timeline,
            start: stopped.start_lsn,
            stop: stopped.stop_lsn,
            stop_timeline: stopped.timeline,
            started: finished.started_at,
            stopped: ended,
            segment_size: self.facts.wal_segment_size,
            bytes: collected.bytes,
            stored: finished.uploaded.bytes,
            packs: u32::try_from(finished.uploaded.packs.len()).unwrap_or(u32::MAX),
            maps: u32::try_from(finished.uploaded.maps).unwrap_or(u32::MAX),
            uses: Vec::new(),
            uses_more: false,
            damaged_pages: collected.broken_count,
            from_standby: stopped.on_standby,
            next_xid: stopped.next_xid,
        };
        let used: BTreeSet<BackupId> =
            packs.iter().map(|row| row.pack.backup).chain(collected.map_backups.iter().copied()).collect();
        let uses: Vec<BackupId> = used.into_iter().filter(|backup| *backup != self.backup).collect();
        header.set_uses(&uses);
        let body = ManifestBody {
            uses,
            blocks: collected.blocks.iter().map(block_row).collect(),
            packs,
            label: utf8(&stopped.label)?,
            tablespace_map: utf8(&stopped.tablespace_map)?,
            control: finished.control.clone(),
            tablespaces: record.tablespaces,
            server: record.server,
            databases: record.databases,
            slots: record.slots,
            subscriptions: record.subscriptions,
            prepared: record.prepared,
            unlogged: record.unlogged,
            row_estimates: record.row_estimates,
            findings: collected.broken.iter().map(super::broken_row).collect(),
            findings_more: collected.broken_count.saturating_sub(collected.broken.len() as u64),
            external: collected.external.clone(),
        };
        Ok(Manifest { header, body })
    }

    /// Every pack in use: the parent's, this backup's, the adopted ones.
    fn pack_rows(&self, finished: &Finished) -> Result<Vec<PackRow>> {
        let of_parent = self.prepared.parent.iter().flat_map(|parent| &parent.body.packs);
        let mut stored: std::collections::HashMap<_, _> =
            of_parent.map(|row| (row.pack, (row.pages_stored, row.stored_bytes))).collect();
        let own = finished.uploaded.packs.iter().chain(&finished.adopted);
        stored.extend(own.map(|row| (row.pack, (row.pages, row.stored_bytes))));
        let rows = finished.collected.uses.iter().map(|(pack, pages_in_use)| {
            let (pages_stored, stored_bytes) = stored.get(pack).copied().ok_or_else(|| {
                Error::bug("backup.unknown-pack", "the map names a pack that nobody stored")
                    .fact("pack", format!("{} {}", pack.backup, pack.number))
            })?;
            Ok(PackRow { pack: *pack, pages_in_use: *pages_in_use, pages_stored, stored_bytes })
        });
        rows.collect()
    }

    /// The commit point.
    pub(super) async fn commit(&self, manifest: &Manifest) -> Result<()> {
        self.monitor.phase("committing", None);
        let mut compressor = Compressor::new(compression(self.repository))
            .map_err(|error| Error::bug("backup.compressor", "zstd could not be set up").because(error))?;
        let mut entropy = WorldEntropy::new(self.repository.world());
        let sealed = manifest
            .seal(self.repository.sealer()?, self.repository.writer()?, &mut compressor, &mut entropy)
            .map_err(|error| {
                Error::bug("backup.manifest", "the manifest could not be written").because(error)
            })?;
        put_everywhere(self.set, sealed).await.map(|_bytes| ())
    }

    /// Puts chapters of full folders of WAL before the backup's start: the backup exists already, and nothing hangs on them.
    pub(super) async fn chapters(&self, start: Lsn) -> u64 {
        self.monitor.phase("summing up full folders of WAL", None);
        let (place, history) = (&self.prepared.place, &self.prepared.history);
        let size = self.facts.wal_segment_size;
        write_missing(self.repository, self.set, place, size, history, start).await.chapters
    }

    /// Tells the regions that hold the backup which ones lack it, and why: whoever looks later must not have to guess.
    pub(super) async fn tell_left_out(&self) {
        for gone in self.set.detached() {
            let left_out = LeftOutEvent {
                backup: self.backup,
                region: gone.region.to_string(),
                reason: reason(&gone.reason),
            };
            let place = &self.prepared.place;
            if let Err(error) = events::tell(self.repository, self.set, place, LEFT_OUT, &left_out).await {
                self.monitor.finding(&Finding {
                    id: "backup.event-not-stored",
                    what: format!(
                        "that region {} lacks this backup could not be written: {error}",
                        gone.region
                    ),
                    hint: None,
                });
            }
        }
    }

    pub(super) fn report(
        &self,
        manifest: &Manifest,
        finished: Finished,
        took: Duration,
        chapters: u64,
        recorded: Recorded,
    ) -> BackupReport {
        let (header, collected) = (&manifest.header, finished.collected);
        let detached = self.set.detached();
        BackupReport {
            backup: self.backup,
            way: self.prepared.way.clone(),
            regions: self.set.attached().iter().map(|region| region.name().clone()).collect(),
            left_out: detached
                .iter()
                .map(|gone| LeftOut { region: gone.region.clone(), reason: reason(&gone.reason) })
                .collect(),
            start: header.start,
            stop: header.stop,
            timeline: header.timeline,
            bytes: header.bytes,
            files: collected.files,
            read: finished.read,
            stored: header.stored,
            changed_pages: collected.changed_pages,
            rewritten_pages: collected.rewritten_pages,
            adopted_packs: finished
                .adopted
                .iter()
                .filter(|row| collected.uses.contains_key(&row.pack))
                .count() as u64,
            vanished: collected.vanished,
            damaged_pages: header.damaged_pages,
            chapters,
            seconds: took.as_secs_f64(),
            requests: super::report::requests(self.repository.regions()),
            findings: recorded.findings,
            findings_more: recorded.more,
        }
    }
}

fn block_row(row: &super::collect::BlockRow) -> manifest::BlockRow {
    manifest::BlockRow { first: row.first.clone(), entries: row.entries as u64, node: row.node }
}

fn utf8(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| {
        Error::source_side(
            "backup.label-not-text",
            "the server's backup_label or tablespace_map is not UTF-8",
        )
        .hint("a tablespace's path is not UTF-8; move the tablespace to a path that is")
        .because(error)
    })
}
