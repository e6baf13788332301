//! The packs that one worker has under construction: one for each class of pages.
//!
//! Promises: together they stay below the worker's budget, because the largest is finished early when they would not.

use std::sync::atomic::{AtomicU32, Ordering};

use seawall_repo::compress::Compressor;
use seawall_repo::id::BackupId;
use seawall_repo::keys::WriterKey;
use seawall_repo::layout::Place;
use seawall_repo::pack::{PackBuilder, PackError, PackId, Run, StoredRun};
use seawall_repo::seal::Sealer;
use seawall_store::World;

use super::upload::{Upload, UploadSender};
use crate::error::{Error, Result};
use crate::repository::WorldEntropy;

/// Which pages share a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// New, or unchanged for long.
    Cold,
    /// Changed again soon after it was last stored.
    Hot,
    /// Stored again so that an old pack is no longer needed.
    Rewritten,
}

const CLASSES: usize = 3;

/// What all packers of a backup share.
pub(super) struct PackContext {
    pub(super) sealer: Sealer,
    pub(super) place: Place,
    pub(super) backup: BackupId,
    pub(super) writer: std::sync::Arc<WriterKey>,
    pub(super) world: World,
    pub(super) numbers: AtomicU32,
    pub(super) uploads: UploadSender,
    /// Most bytes that one worker has under construction.
    pub(super) worker_bytes_max: usize,
}

/// One worker's packs.
pub(super) struct Packer<'a> {
    context: &'a PackContext,
    builders: [Option<PackBuilder>; CLASSES],
    stored: Vec<StoredRun>,
}

impl<'a> Packer<'a> {
    pub(super) fn new(context: &'a PackContext) -> Self {
        Self { context, builders: [None, None, None], stored: Vec::new() }
    }

    /// Adds pages to the pack of their class.
    pub(super) fn add(&mut self, class: Class, run: &Run<'_>, compressor: &mut Compressor) -> Result<()> {
        let index = class as usize;
        let builder = self.builder(index)?;
        builder.add_run(run, compressor).map_err(pack_error)?;
        if builder.is_full() {
            self.finish_one(index, compressor)?;
        }
        while self.builders.iter().flatten().map(PackBuilder::stored_len).sum::<usize>()
            > self.context.worker_bytes_max
        {
            let Some(largest) = self.largest() else { break };
            self.finish_one(largest, compressor)?;
        }
        Ok(())
    }

    /// Seals what is gathered, so that every page added so far has its place.
    pub(super) fn flush(&mut self, compressor: &mut Compressor) -> Result<()> {
        for builder in self.builders.iter_mut().flatten() {
            builder.flush(compressor).map_err(pack_error)?;
            self.stored.append(&mut builder.take_stored());
        }
        Ok(())
    }

    /// Where pages were stored since the last call.
    pub(super) fn take_stored(&mut self) -> Vec<StoredRun> {
        std::mem::take(&mut self.stored)
    }

    /// Finishes all packs.
    pub(super) fn finish(&mut self, compressor: &mut Compressor) -> Result<()> {
        (0..CLASSES).try_for_each(|index| self.finish_one(index, compressor))
    }

    fn builder(&mut self, index: usize) -> Result<&mut PackBuilder> {
        let slot = self.builders.get_mut(index).ok_or_else(no_class)?;
        if slot.is_none() {
            let context = self.context;
            let number = context.numbers.fetch_add(1, Ordering::Relaxed);
            let pack = PackId { backup: context.backup, number };
            let mut entropy = WorldEntropy::new(&context.world);
            let builder =
                PackBuilder::new(&context.sealer, &context.place, pack, &mut entropy).map_err(pack_error)?;
            *slot = Some(builder);
        }
        slot.as_mut().ok_or_else(no_class)
    }

    fn largest(&self) -> Option<usize> {
        let built = self
            .builders
            .iter()
            .enumerate()
            .filter_map(|(index, builder)| Some((builder.as_ref()?.stored_len(), index)));
        built.max().map(|(_, index)| index)
    }

    fn finish_one(&mut self, index: usize, compressor: &mut Compressor) -> Result<()> {
        let Some(builder) = self.builders.get_mut(index).and_then(Option::take) else { return Ok(()) };
        let finished = builder.finish(&self.context.writer, compressor).map_err(pack_error)?;
        let Some(mut pack) = finished else { return Ok(()) };
        self.stored.append(&mut pack.stored);
        self.context.uploads.send(Upload::pack(pack))
    }
}

fn no_class() -> Error {
    Error::bug("backup.no-class", "a class of pages without a pack")
}

fn pack_error(error: PackError) -> Error {
    Error::bug("backup.pack", "pages could not be packed").because(error)
}
