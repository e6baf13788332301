//! Reading map nodes by reference, with what was read lately kept: neighbours are asked for one after the other.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use seawall_repo::id::BackupId;
use seawall_repo::layout::{Named, Place};
use seawall_repo::map::file_block::Chain;
use seawall_repo::map::node::NodeRef;
use seawall_repo::map::reader::slice_node;
use seawall_repo::object::FrameAt;
use tokio::sync::OnceCell;

use super::handle::Repository;
use super::read::ObjectReader;
use crate::error::{Error, Result};

/// Map objects whose head and footer are kept.
const OBJECTS_KEPT: usize = 128;
/// Frames of about 64 KiB that are kept.
const FRAMES_KEPT: usize = 256;

/// Plain frames of about 64 KiB, by map and number.
type KeptFrames = Mutex<Kept<(BackupId, u32, u32), Vec<u8>>>;

/// The maps of one cluster and system identifier.
#[derive(Debug)]
pub struct Maps {
    repository: Repository,
    place: Place,
    objects: Mutex<Kept<(BackupId, u32), MapObject>>,
    frames: KeptFrames,
}

#[derive(Debug)]
struct MapObject {
    reader: ObjectReader,
    frames: Vec<FrameAt>,
}

/// The last so many of something, first in, first out. Who asks for what another is reading waits for it.
#[derive(Debug)]
struct Kept<K, V> {
    most: usize,
    values: HashMap<K, Arc<OnceCell<Arc<V>>>>,
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Copy, V> Kept<K, V> {
    fn new(most: usize) -> Self {
        Self { most, values: HashMap::new(), order: VecDeque::new() }
    }

    fn cell(&mut self, key: K) -> Arc<OnceCell<Arc<V>>> {
        if let Some(cell) = self.values.get(&key) {
            return Arc::clone(cell);
        }
        let cell = Arc::default();
        self.values.insert(key, Arc::clone(&cell));
        self.order.push_back(key);
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.values.remove(&oldest);
            }
        }
        cell
    }
}

fn cell<K: Hash + Eq + Copy, V>(all: &Mutex<Kept<K, V>>, key: K) -> Arc<OnceCell<Arc<V>>> {
    all.lock().unwrap_or_else(PoisonError::into_inner).cell(key)
}

impl Maps {
    /// Of this cluster and system identifier.
    #[must_use]
    pub fn new(repository: &Repository, place: &Place) -> Self {
        Self {
            repository: repository.clone(),
            place: place.clone(),
            objects: Mutex::new(Kept::new(OBJECTS_KEPT)),
            frames: Mutex::new(Kept::new(FRAMES_KEPT)),
        }
    }

    /// The bytes of a node.
    ///
    /// # Errors
    /// The map object is missing, damaged or out of reach in every region, or the reference leads nowhere.
    pub async fn node(&self, reference: &NodeRef) -> Result<Vec<u8>> {
        let frame = self.frame(reference).await?;
        let node = slice_node(&frame, reference).map_err(|error| {
            Error::data(
                "repository.map-reference",
                format!("a reference into map {} leads nowhere", reference.map),
            )
            .fact("backup", reference.backup)
            .because(error)
        })?;
        Ok(node.to_vec())
    }

    /// The nodes of a chain, oldest first.
    ///
    /// # Errors
    /// As [`Maps::node`].
    pub async fn chain(&self, chain: &Chain) -> Result<Vec<Vec<u8>>> {
        match chain {
            Chain::Inline(node) => Ok(vec![node.clone()]),
            Chain::Nodes(references) => {
                let mut nodes = Vec::with_capacity(references.len());
                for reference in references {
                    nodes.push(self.node(reference).await?);
                }
                Ok(nodes)
            }
        }
    }

    async fn frame(&self, reference: &NodeRef) -> Result<Arc<Vec<u8>>> {
        let cell = cell(&self.frames, (reference.backup, reference.map, reference.frame));
        let read = async || {
            let object = self.object(reference.backup, reference.map).await?;
            let at = object.frames.get(reference.frame as usize).ok_or_else(|| {
                Error::data(
                    "repository.map-reference",
                    format!("map {} has no frame {}", reference.map, reference.frame),
                )
                .fact("backup", reference.backup)
            })?;
            object.reader.frame(at).await.map(Arc::new)
        };
        cell.get_or_try_init(read).await.cloned()
    }

    async fn object(&self, backup: BackupId, number: u32) -> Result<Arc<MapObject>> {
        let cell = cell(&self.objects, (backup, number));
        let read = async || {
            let name = Named::Map { place: self.place.clone(), backup, number }.into();
            let reader = self.repository.open_object(&name).await?;
            let frames = reader.footer().await?.frames;
            Ok(Arc::new(MapObject { reader, frames }))
        };
        cell.get_or_try_init(read).await.cloned()
    }
}
