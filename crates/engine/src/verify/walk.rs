//! The maps of one backup, node by node, held against its manifest and the footers of the packs they name.
//!
//! Promises: a backup whose walk finds nothing, and whose packs and maps are good, is one that a restore can write: every page of every
//! file lies in a frame that is in its pack as the map says, with the digest that the map names. A block that an older backup's walk went
//! through is not gone through again. Maps and packs that are known to be bad are passed over: what names them is not to blame.
//! Leaves are looked at side by side, on all CPUs. Memory: the blocks of one backup, the footers of the packs at hand.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream;
use seawall_repo::keys::PageDigest;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::Manifest;
use seawall_repo::map::{
    Chain, EntryKind, FileBlockError, FileBlockReader, FramePlace, LEAF_PAGES, LeafChains, NodeRef,
    PAGE_BYTES, ZERO_PAGE, resolve_digests, resolve_locations,
};
use seawall_repo::object::FrameAt;
use seawall_repo::pack::{PackContents, PackId};
use seawall_store::RegionName;
use tokio::sync::OnceCell;

use super::found::{Findings, Way};
use super::tasks::Reading;
use crate::error::{Error, Kind, Result};
use crate::repository::{Maps, Repository};
use crate::text::shown_bytes;

/// Footers that are kept, in bytes of their pages' digests. Of each leaf a pack's footer is asked for once.
const FOOTERS_BYTES: usize = 16 << 20;

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WalkFault {
    pub(super) about: About,
    pub(super) way: Way,
    pub(super) fault: String,
}

/// What a walk's fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Manifest,
    Map(PackId),
}

/// Walks through the backups of one place in one region, oldest first.
pub(super) struct Walker {
    ground: Arc<Ground>,
    blocks: HashMap<NodeRef, Arc<Block>>,
}

/// What leaves are looked at with. `reading` has the threads, `repository` shows this region alone.
struct Ground {
    reading: Reading,
    repository: Repository,
    place: Place,
    region: RegionName,
    maps: Maps,
    findings: Arc<Mutex<Findings>>,
    footers: Mutex<Footers>,
}

/// What is kept of a block.
#[derive(Debug, Default)]
struct Block {
    entries: u64,
    first: Vec<u8>,
    last: Vec<u8>,
    bytes: u64,
    pages: BTreeMap<PackId, u64>,
    /// Whether all of it could be gone through.
    whole: bool,
}

/// A leaf of the file at this path, whose entry stands in that map.
struct Leaf {
    path: Arc<[u8]>,
    about: About,
    chains: LeafChains,
    pages: usize,
}

/// What a leaf showed.
#[derive(Debug, Default)]
struct LeafSeen {
    pages: BTreeMap<PackId, u64>,
    /// Whether it could not be read.
    unread: bool,
    faults: Vec<WalkFault>,
}

/// A pack's frames, each with its pages by their place in it.
type Frames = Vec<(FrameAt, Vec<(u32, PageDigest)>)>;

/// Footers at hand; none of packs that are bad. Who asks for one that another is reading waits for it.
#[derive(Default)]
struct Footers {
    kept: HashMap<PackId, Footer>,
    order: VecDeque<(PackId, usize)>,
    bytes: usize,
}

type Footer = Arc<OnceCell<Option<Arc<Frames>>>>;

impl Walker {
    /// `repository` shows this region alone.
    pub(super) fn new(
        reading: &Reading,
        repository: Repository,
        place: &Place,
        region: &RegionName,
        findings: Arc<Mutex<Findings>>,
    ) -> Self {
        let maps = Maps::new(&repository, place);
        let (reading, place, region) = (reading.clone(), place.clone(), region.clone());
        let ground = Ground { reading, repository, place, region, maps, findings, footers: Mutex::default() };
        Self { ground: Arc::new(ground), blocks: HashMap::new() }
    }

    /// Goes through one backup.
    ///
    /// # Errors
    /// The region cannot be reached.
    pub(super) async fn walk(&mut self, manifest: &Manifest) -> Result<Vec<WalkFault>> {
        let mut faults = Vec::new();
        let older = std::mem::take(&mut self.blocks);
        let (mut bytes, mut whole) = (0_u64, true);
        let (mut pages, mut last): (BTreeMap<PackId, u64>, Vec<u8>) = Default::default();
        for row in &manifest.body.blocks {
            let block = match older.get(&row.node) {
                Some(block) => Arc::clone(block),
                None => Arc::new(self.block(&row.node, &mut faults).await?),
            };
            self.blocks.insert(row.node, Arc::clone(&block));
            whole &= block.whole;
            if !block.whole {
                continue;
            }
            if block.entries != row.entries
                || block.first != row.first
                || (!last.is_empty() && block.first <= last)
            {
                let fault = format!("its block at {} is not the one it names", shown_bytes(&row.first));
                faults.push(WalkFault { about: About::Manifest, way: Way::MapMismatch, fault });
            }
            last.clone_from(&block.last);
            bytes = bytes.saturating_add(block.bytes);
            block.pages.iter().for_each(|(pack, count)| *pages.entry(*pack).or_default() += count);
        }
        if whole {
            faults.extend(against_manifest(manifest, bytes, &pages));
        }
        Ok(faults)
    }

    async fn block(&self, node: &NodeRef, faults: &mut Vec<WalkFault>) -> Result<Block> {
        let Some(bytes) = self.ground.node(node, faults).await? else { return Ok(Block::default()) };
        let about = About::Map(map_of(node));
        let (mut block, leaves) = match entries(&bytes, about) {
            Ok(read) => read,
            Err(error) => {
                faults.push(WalkFault { about, way: Way::MapMismatch, fault: error.to_string() });
                return Ok(Block::default());
            }
        };
        let look = |leaf| {
            let ground = Arc::clone(&self.ground);
            tokio::spawn(async move { ground.leaf(&leaf).await })
        };
        let mut seen = stream::iter(leaves).map(look).buffered(self.ground.reading.at_once);
        while let Some(seen) = seen.next().await {
            let seen = seen.map_err(|error| {
                Error::bug("verify.panicked", "looking at a leaf ended the task that did it").because(error)
            })??;
            block.whole &= !seen.unread;
            seen.pages.iter().for_each(|(pack, count)| *block.pages.entry(*pack).or_default() += count);
            // Of a map that cannot be read every leaf says so.
            let new: Vec<_> = seen.faults.into_iter().filter(|fault| !faults.contains(fault)).collect();
            faults.extend(new);
        }
        Ok(block)
    }
}

/// What a block says of itself, and the leaves of its files.
fn entries(bytes: &[u8], about: About) -> std::result::Result<(Block, Vec<Leaf>), FileBlockError> {
    let (mut block, mut leaves) = (Block { whole: true, ..Block::default() }, Vec::new());
    let mut reader = FileBlockReader::new(bytes)?;
    while let Some(entry) = reader.next_entry()? {
        if block.entries == 0 {
            block.first.clone_from(&entry.path);
        }
        block.entries += 1;
        block.last.clone_from(&entry.path);
        let EntryKind::File { size, leaves: chains } = entry.kind else { continue };
        block.bytes = block.bytes.saturating_add(size);
        let path: Arc<[u8]> = entry.path.into();
        let mut pages = size.div_ceil(PAGE_BYTES as u64);
        for chains in chains {
            let here = pages.min(LEAF_PAGES as u64);
            pages = pages.saturating_sub(here);
            leaves.push(Leaf { path: Arc::clone(&path), about, chains, pages: here as usize });
        }
    }
    Ok((block, leaves))
}

impl Ground {
    async fn leaf(&self, leaf: &Leaf) -> Result<LeafSeen> {
        let mut seen = LeafSeen::default();
        let locations = self.chain(&leaf.chains.locations, &mut seen.faults).await?;
        let digests = self.chain(&leaf.chains.digests, &mut seen.faults).await?;
        let (Some(locations), Some(digests)) = (locations, digests) else {
            seen.unread = true;
            return Ok(seen);
        };
        let about = match &leaf.chains.locations {
            Chain::Nodes(nodes) => nodes.last().map_or(leaf.about, |node| About::Map(map_of(node))),
            Chain::Inline(_) => leaf.about,
        };
        let path = shown_bytes(&leaf.path);
        let mismatch =
            |fault: String| WalkFault { about, way: Way::MapMismatch, fault: format!("{path}: {fault}") };
        let resolve = move || Ok((resolve_locations(&locations), resolve_digests(&digests)));
        let (places, digests) = match self.reading.on_a_cpu(resolve).await? {
            (Ok(places), Ok(digests)) => (places, digests),
            (Err(error), _) | (_, Err(error)) => {
                seen.faults.push(mismatch(error.to_string()));
                seen.unread = true;
                return Ok(seen);
            }
        };
        // The table of packs counts what stands in the leaf, also past the end of a file.
        let mut by_pack: BTreeMap<PackId, Vec<usize>> = BTreeMap::new();
        for page in 0..LEAF_PAGES {
            if let Some((place, _)) = places.place(page) {
                by_pack.entry(place.pack).or_default().push(page);
            }
        }
        let nowhere =
            (0..leaf.pages).find(|page| places.place(*page).is_none() && digests.digest(*page) != ZERO_PAGE);
        let mut first =
            nowhere.map(|page| (page, format!("page {page} of a leaf lies nowhere, but is not of zeros")));
        for (pack, pages) in &by_pack {
            let Some(frames) = self.frames(*pack).await? else { continue };
            let fault = pages.iter().filter(|page| **page < leaf.pages).find_map(|page| {
                let (place, offset) = places.place(*page)?;
                Some((*page, misplaced(&frames, place, offset, &digests.digest(*page))?))
            });
            first = first.into_iter().chain(fault).min();
        }
        seen.pages = by_pack.into_iter().map(|(pack, pages)| (pack, pages.len() as u64)).collect();
        seen.faults.extend(first.map(|(_, fault)| mismatch(fault)));
        Ok(seen)
    }

    /// A pack's frames; none where the pack is bad, which is found where it lies.
    async fn frames(&self, pack: PackId) -> Result<Option<Arc<Frames>>> {
        let cell = self.footers().kept.entry(pack).or_default().clone();
        let read = cell.get_or_try_init(|| self.read_frames(pack)).await;
        self.footers().keep(pack, read.as_ref().ok().and_then(|frames| frames.as_ref()));
        Ok(read?.clone())
    }

    fn footers(&self) -> MutexGuard<'_, Footers> {
        self.footers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_frames(&self, pack: PackId) -> Result<Option<Arc<Frames>>> {
        if self.findings.lock().unwrap_or_else(PoisonError::into_inner).has_pack(&self.region, pack) {
            return Ok(None);
        }
        let name: ObjectName =
            Named::Pack { place: self.place.clone(), backup: pack.backup, number: pack.number }.into();
        let read = async {
            let reader = self.repository.open_object(&name).await?;
            reader.footer().await
        };
        let footer = match read.await {
            Ok(footer) => footer,
            Err(error) if error.kind() == Kind::Unavailable => return Err(error),
            // Told by whoever reads the pack: this run, or the one that the place remembered comes from.
            Err(_) => return Ok(None),
        };
        let decode = move || {
            let lengths: Vec<u32> = footer.frames.iter().map(|frame| frame.plain_len).collect();
            let Ok(contents) = PackContents::decode(&footer.contents, &lengths) else { return Ok(None) };
            let frames = footer.frames.into_iter().zip(&contents.frames);
            Ok(Some(Arc::new(frames.map(|(at, slots)| (at, pages_of(slots))).collect::<Frames>())))
        };
        self.reading.on_a_cpu(decode).await
    }

    async fn chain(&self, chain: &Chain, faults: &mut Vec<WalkFault>) -> Result<Option<Vec<Vec<u8>>>> {
        match chain {
            Chain::Inline(node) => Ok(Some(vec![node.clone()])),
            Chain::Nodes(references) => {
                let mut nodes = Vec::with_capacity(references.len());
                for reference in references {
                    let Some(node) = self.node(reference, faults).await? else { return Ok(None) };
                    nodes.push(node);
                }
                Ok(Some(nodes))
            }
        }
    }

    /// A node; none where its map is bad, which is told once.
    async fn node(&self, reference: &NodeRef, faults: &mut Vec<WalkFault>) -> Result<Option<Vec<u8>>> {
        let map = map_of(reference);
        if self.findings.lock().unwrap_or_else(PoisonError::into_inner).has_map(&self.region, map) {
            return Ok(None);
        }
        match self.maps.node(reference).await {
            Ok(node) => Ok(Some(node)),
            Err(error) if error.kind() == Kind::Unavailable => Err(error),
            Err(error) => {
                let way = match error.id() {
                    "repository.map-reference" => Way::MapMismatch,
                    "repository.object-missing" => Way::Missing,
                    _ => Way::Damaged,
                };
                let fault = WalkFault { about: About::Map(map), way, fault: error.to_string() };
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
                Ok(None)
            }
        }
    }
}

/// The maps that the file blocks of a backup name, and those its blocks lie in; what cannot be read is in too.
pub(super) async fn maps_named(
    repository: &Repository,
    place: &Place,
    manifest: &Manifest,
) -> BTreeSet<PackId> {
    let maps = Maps::new(repository, place);
    let mut named = BTreeSet::new();
    for row in &manifest.body.blocks {
        named.insert(map_of(&row.node));
        let Ok(node) = maps.node(&row.node).await else { continue };
        let Ok(mut reader) = FileBlockReader::new(&node) else { continue };
        while let Ok(Some(entry)) = reader.next_entry() {
            let EntryKind::File { leaves, .. } = entry.kind else { continue };
            for chain in leaves.iter().flat_map(|leaf| [&leaf.locations, &leaf.digests]) {
                if let Chain::Nodes(nodes) = chain {
                    named.extend(nodes.iter().map(map_of));
                }
            }
        }
    }
    named
}

fn map_of(node: &NodeRef) -> PackId {
    PackId { backup: node.backup, number: node.map }
}

fn pages_of(slots: &[seawall_repo::pack::Slot]) -> Vec<(u32, PageDigest)> {
    let mut pages = Vec::new();
    let mut begin = 0_usize;
    for slot in slots {
        let places = (begin..).step_by(PAGE_BYTES);
        pages.extend(
            places.zip(&slot.digests).map(|(at, digest)| (u32::try_from(at).unwrap_or(u32::MAX), *digest)),
        );
        begin += slot.plain_bytes();
    }
    pages
}

/// What is wrong with the place that the map names for a page.
fn misplaced(frames: &Frames, place: &FramePlace, offset: u32, digest: &PageDigest) -> Option<String> {
    let fault = match frames.get(place.at.number as usize) {
        Some((at, pages)) if *at == place.at => match pages.binary_search_by_key(&offset, |(at, _)| *at) {
            Ok(index) if pages.get(index).is_some_and(|(_, of_pack)| of_pack == digest) => return None,
            Ok(_) => "holds another page than the map names",
            Err(_) => "has no page where the map says",
        },
        _ => "is not as the map says",
    };
    Some(format!("frame {} of {} {fault}", place.at.number, place.pack))
}

impl Footers {
    /// Counts a footer that was read just now; the oldest go. What was not read is forgotten.
    fn keep(&mut self, pack: PackId, frames: Option<&Arc<Frames>>) {
        let Some(frames) = frames else {
            self.kept.remove(&pack);
            return;
        };
        if !self.kept.contains_key(&pack) || self.order.iter().any(|(kept, _)| *kept == pack) {
            return;
        }
        let bytes = frames.iter().map(|(_, pages)| 64 + pages.len() * 20).sum();
        self.order.push_back((pack, bytes));
        self.bytes += bytes;
        while self.bytes > FOOTERS_BYTES && self.order.len() > 1 {
            let Some((oldest, bytes)) = self.order.pop_front() else { return };
            self.kept.remove(&oldest);
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// Whether the manifest's sums are those of its maps.
fn against_manifest(manifest: &Manifest, bytes: u64, pages: &BTreeMap<PackId, u64>) -> Option<WalkFault> {
    let fault = |fault: String| Some(WalkFault { about: About::Manifest, way: Way::MapMismatch, fault });
    // Some writers count pg_control, which stands in the manifest, among the files.
    let with_control = bytes.saturating_add(manifest.body.control.len() as u64);
    if bytes != manifest.header.bytes && with_control != manifest.header.bytes {
        return fault(format!(
            "its files have {bytes} bytes by its maps, {} by itself",
            manifest.header.bytes
        ));
    }
    let listed: BTreeMap<PackId, u64> =
        manifest.body.packs.iter().map(|row| (row.pack, row.pages_in_use)).collect();
    let differs = pages.iter().find(|(pack, count)| listed.get(*pack) != Some(*count));
    if let Some((pack, count)) = differs {
        let listed = listed.get(pack).copied().unwrap_or(0);
        return fault(format!("its maps use {count} pages of {pack}, its table of packs says {listed}"));
    }
    let unused = listed.keys().find(|pack| !pages.contains_key(*pack));
    unused.and_then(|pack| fault(format!("its table names {pack}, which none of its maps uses")))
}
