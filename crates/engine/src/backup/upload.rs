//! Finished objects on their way to every region: two at a time, from one buffer each.
//!
//! Promises: workers wait when the regions are slower than they are (memory is bounded); a region that fails is let go and
//! the others go on; when none is left the backup fails.

use std::sync::Arc;

use futures::StreamExt as _;
use seawall_repo::object::SealedObject;
use seawall_repo::pack::{PackId, SealedPack};
use seawall_store::RegionSet;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::repository::put_everywhere;

/// Objects waiting besides those being put.
const WAITING: usize = 1;
/// Objects being put at the same time.
const AT_ONCE: usize = 2;

/// An object to be put.
pub(super) struct Upload {
    object: SealedObject,
    pack: Option<PackRow>,
}

/// A pack of this backup.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackRow {
    pub(super) pack: PackId,
    pub(super) pages: u64,
    pub(super) stored_bytes: u64,
}

impl Upload {
    pub(super) fn pack(pack: SealedPack) -> Self {
        let row = PackRow { pack: pack.pack, pages: pack.pages, stored_bytes: pack.stored_bytes };
        Self { object: pack.object, pack: Some(row) }
    }

    pub(super) fn map(object: SealedObject) -> Self {
        Self { object, pack: None }
    }
}

/// What was put.
#[derive(Debug, Default)]
pub(super) struct Uploaded {
    pub(super) packs: Vec<PackRow>,
    pub(super) maps: u64,
    pub(super) bytes: u64,
}

/// Hands objects over, from threads outside the runtime.
#[derive(Clone)]
pub(super) struct UploadSender(mpsc::Sender<Upload>);

impl UploadSender {
    /// Waits while too many are on their way.
    pub(super) fn send(&self, upload: Upload) -> Result<()> {
        self.0.blocking_send(upload).map_err(|_closed| {
            // The uploader's own error is what is reported.
            Error::unavailable("backup.uploader-gone", "objects can no longer be stored")
        })
    }
}

/// Starts the uploader; it ends when the last sender is gone.
pub(super) fn start(set: Arc<RegionSet>) -> (UploadSender, tokio::task::JoinHandle<Result<Uploaded>>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (UploadSender(sender), tokio::spawn(upload_all(set, receiver)))
}

async fn upload_all(set: Arc<RegionSet>, receiver: mpsc::Receiver<Upload>) -> Result<Uploaded> {
    let arriving = futures::stream::unfold(receiver, |mut receiver| async move {
        let upload = receiver.recv().await?;
        Some((upload, receiver))
    });
    let set = &set;
    let mut putting = arriving
        .map(|upload| async move {
            let bytes = put_everywhere(set, upload.object).await?;
            Ok::<_, Error>((upload.pack, bytes))
        })
        .buffer_unordered(AT_ONCE)
        .boxed();
    let mut uploaded = Uploaded::default();
    while let Some(put) = putting.next().await {
        let (pack, bytes) = put?;
        uploaded.bytes = uploaded.bytes.saturating_add(bytes);
        match pack {
            Some(row) => uploaded.packs.push(row),
            None => uploaded.maps = uploaded.maps.saturating_add(1),
        }
    }
    Ok(uploaded)
}
