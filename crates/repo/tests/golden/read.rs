//! Reads a golden repository whole: trust, keys, heads, frames, maps, manifests, WAL; and notes which objects it needed.
//!
//! Promises to check what a reader must: every page's digest against the digest leaf, every object's plain digest, packs'
//! footers against the digests of the maps. Knows nothing of how the repository was written.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use seawall_repo::chapter::Chapter;
use seawall_repo::compress::{Decompressor, Encoding};
use seawall_repo::id::{BackupId, Generation};
use seawall_repo::identity::Identities;
use seawall_repo::keys::{OwnerKey, OwnerPublic};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::manifest::Manifest;
use seawall_repo::map::{
    Chain, EntryKind, FileBlockReader, LEAF_PAGES, LeafChains, NodeKind, NodeRef, PAGE_BYTES, ZERO_PAGE,
    resolve_digests, resolve_locations, slice_node, slice_node_of,
};
use seawall_repo::object::{KeyRing, OpenHead, WholeObject};
use seawall_repo::pack::{PackContents, PackId};
use seawall_repo::records::{Adoption, Intent, KeyRecord, OwnerRecord, SeawallJson};
use seawall_repo::seal::Cipher;
use seawall_repo::signed::SignedText;
use seawall_repo::trust::{Pins, Trust};
use seawall_repo::wal_object::{WalContent, WalReader};

use crate::listing::Listing;
use crate::region;

pub(crate) struct Golden {
    objects: BTreeMap<ObjectName, Vec<u8>>,
    read: RefCell<BTreeSet<ObjectName>>,
    shapes: RefCell<BTreeSet<&'static str>>,
    trust: Trust,
    keys: KeyRing,
}

impl Golden {
    /// With every identity of its folder.
    pub(crate) fn open(version: &str, flavour: &str) -> Self {
        let both = ["identity-1.txt", "identity-2.txt"];
        Self::open_with(version, flavour, if flavour.ends_with("plain") { &[] } else { &both })
    }

    /// With these identity files of its folder.
    pub(crate) fn open_with(version: &str, flavour: &str, identities: &[&str]) -> Self {
        let folder = region::folder(version, flavour);
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let objects = region::load(&folder.join("region"));
        let owner: OwnerPublic = text("owner.txt").trim().parse().unwrap();
        let seawall = &objects[&Named::Seawall.to_name()];
        let repository = SignedText::parse(seawall).unwrap().peek::<SeawallJson>().unwrap().repository;
        let (trust, record) = Trust::open(Pins { repository, owner }, seawall).unwrap();
        assert_eq!(record.cipher == Cipher::None, flavour.ends_with("plain"));
        let mut golden = Self {
            objects,
            read: RefCell::default(),
            shapes: RefCell::default(),
            trust,
            keys: KeyRing::new(),
        };
        golden.note(&Named::Seawall.to_name());
        golden.read_records(record.cipher, &identities.iter().map(|name| text(name)).collect::<Vec<_>>());
        golden
    }

    /// Certificates, wrapped keys, adoptions, intents.
    fn read_records(&mut self, cipher: Cipher, identities: &[String]) {
        for (name, text) in &self.objects {
            match name.named() {
                Named::Writer(_) | Named::Revocation(_) => self.trust.add_writer_record(name, text).unwrap(),
                _ => continue,
            }
            self.note(name);
        }
        for (name, text) in &self.objects {
            match name.named() {
                Named::Adoption(place) => {
                    let adoption: Adoption = self.trust.open_writers(name, text, None).unwrap();
                    assert_eq!((&adoption.cluster, adoption.system), (&place.cluster, place.system));
                }
                Named::Intent { backup, number, .. } => {
                    let intent: Intent = self.trust.open_writers(name, text, None).unwrap();
                    assert_eq!((intent.backup, intent.n), (*backup, *number));
                }
                _ => continue,
            }
            self.note(name);
        }
        if cipher == Cipher::None {
            return;
        }
        for identity in identities {
            let identities = Identities::parse(identity).unwrap();
            let keys = self.key_record().unwrap(&identities).unwrap();
            self.keys.add_keys(Generation::FIRST, keys);
            let name = Named::Owner { change: 1 }.to_name();
            let record: OwnerRecord = self.trust.open_owners(&name, &self.objects[&name]).unwrap();
            let owner = OwnerKey::unwrap(&record.wrapped, &identities).unwrap();
            assert_eq!(owner.public(), *self.trust.owner());
            self.note(&name);
        }
    }

    /// The one record of wrapped keys.
    pub(crate) fn key_record(&self) -> KeyRecord {
        let name = self.objects.keys().find(|name| matches!(name.named(), Named::Key { .. })).unwrap();
        self.note(name);
        self.trust.open_owners(name, &self.objects[name]).unwrap()
    }

    /// Every backup, in the order of ids.
    pub(crate) fn backups(&self) -> Vec<BackupId> {
        self.manifests().map(|(_, backup)| backup).collect()
    }

    /// Every system identifier with WAL.
    pub(crate) fn places(&self) -> BTreeSet<Place> {
        self.objects
            .keys()
            .filter_map(|name| match name.named() {
                Named::Wal { place, .. } => Some(place.clone()),
                _ => None,
            })
            .collect()
    }

    /// Objects that nothing has needed yet.
    pub(crate) fn unread(&self) -> Vec<&ObjectName> {
        let read = self.read.borrow();
        self.objects.keys().filter(|name| !read.contains(*name)).collect()
    }

    fn manifests(&self) -> impl Iterator<Item = (&Place, BackupId)> {
        self.objects.keys().filter_map(|name| match name.named() {
            Named::Manifest { place, backup } => Some((place, *backup)),
            _ => None,
        })
    }

    /// The shapes of the format that were met.
    pub(crate) fn shapes(&self) -> Vec<&'static str> {
        self.shapes.borrow().iter().copied().collect()
    }

    fn met(&self, shape: &'static str) {
        self.shapes.borrow_mut().insert(shape);
    }

    fn note(&self, name: &ObjectName) {
        self.read.borrow_mut().insert(name.clone());
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn keys(&self) -> &KeyRing {
        &self.keys
    }

    pub(crate) fn object(&self, name: &ObjectName) -> &[u8] {
        &self.objects[name]
    }

    /// The only chapter.
    pub(crate) fn chapter(&self) -> Chapter {
        let name = self.objects.keys().find(|name| matches!(name.named(), Named::Chapter { .. })).unwrap();
        let whole = self.whole(name);
        let key = self.keys.digest_key(whole.head().generation(), self.trust.repository()).unwrap();
        Chapter::open(&whole, &key, &mut Decompressor::new().unwrap()).unwrap()
    }

    /// Every file of a backup.
    pub(crate) fn files(&self, backup: BackupId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut files = Vec::new();
        self.read_files(backup, &mut |path, content| files.push((path.to_vec(), content.to_vec())));
        files
    }

    pub(crate) fn whole(&self, name: &ObjectName) -> WholeObject<'_> {
        self.note(name);
        let bytes = self.objects.get(name).unwrap_or_else(|| panic!("{name} is not there"));
        WholeObject::open(name, bytes, &self.trust, None, &self.keys, &mut Decompressor::new().unwrap())
            .unwrap()
    }

    /// Reads a backup: every file's every page.
    pub(crate) fn read_backup(&self, backup: BackupId) -> Listing {
        self.read_files(backup, &mut |_, _| {})
    }

    fn read_files(&self, backup: BackupId, take: &mut dyn FnMut(&[u8], &[u8])) -> Listing {
        let place = self.manifests().find(|(_, id)| *id == backup).unwrap().0;
        let name = Named::Manifest { place: place.clone(), backup }.to_name();
        let (whole, decompressor) = (self.whole(&name), &mut Decompressor::new().unwrap());
        let digest_key = self.keys.digest_key(whole.head().generation(), self.trust.repository()).unwrap();
        let Manifest { header, body } = Manifest::open(&whole, &digest_key, decompressor).unwrap();
        assert!(body.label.contains("LABEL: golden"));
        assert_eq!(body.tablespace_map, "16400 /mnt/fast/tables\n");
        let reader = Reader { golden: self, place, used: RefCell::default() };
        let mut listing = Listing::default();
        let mut bytes = body.control.len() as u64;
        for block in &body.blocks {
            self.met(if block.node.backup == backup { "own block" } else { "shared block" });
            let node = reader.node(&block.node, NodeKind::FileBlock);
            let mut entries = FileBlockReader::new(&node).unwrap();
            assert_eq!(entries.remaining() as u64, block.entries);
            let mut first = None;
            while let Some(entry) = entries.next_entry().unwrap() {
                first.get_or_insert_with(|| entry.path.clone());
                match entry.kind {
                    EntryKind::Directory => listing.directory(&entry.path, entry.mode),
                    EntryKind::EmptyDirectory => listing.empty(&entry.path, entry.mode),
                    EntryKind::Link { target } => listing.link(&entry.path, entry.mode, &target),
                    EntryKind::File { size, leaves } => {
                        bytes += size;
                        let content = reader.file(&entry.path, size, &leaves);
                        take(&entry.path, &content);
                        listing.file(&entry.path, entry.mode, &content);
                    }
                }
            }
            assert_eq!(first.as_ref(), Some(&block.first));
        }
        listing.file(b"global/pg_control", 0o600, &body.control);
        assert_eq!(bytes, header.bytes);
        let used = reader.used.into_inner();
        let listed = body.packs.iter().map(|row| (row.pack, row.pages_in_use)).collect::<BTreeMap<_, _>>();
        assert_eq!(used, listed, "pages used of each pack, against the manifest's table");
        listing
    }

    /// Reads every WAL file of a system identifier, and joins those in parts.
    pub(crate) fn read_wal(&self, place: &Place) -> Listing {
        let reader = WalReader { trust: &self.trust, keys: &self.keys };
        let decompressor = &mut Decompressor::new().unwrap();
        let mut listing = Listing::default();
        for (name, object) in &self.objects {
            let Named::Wal { place: own, file } = name.named() else { continue };
            if own != place {
                continue;
            }
            self.note(name);
            let open = reader.open(name, object, None, decompressor).unwrap();
            let head = OpenHead::open(name, object, &self.trust, None).unwrap();
            let content = match reader.join(&head, &open).unwrap() {
                None => {
                    let WalContent::Bytes(content) = open.content else { panic!("{name} is not in parts") };
                    content
                }
                Some(mut joiner) => {
                    self.met("WAL in parts");
                    let mut content = Vec::new();
                    for part in joiner.part_names() {
                        self.note(&part);
                        let part = reader.open(&part, &self.objects[&part], None, decompressor).unwrap();
                        content.extend(joiner.add(part).unwrap());
                    }
                    joiner.finish().unwrap();
                    content
                }
            };
            listing.file(file.to_string().as_bytes(), 0, &content);
        }
        listing
    }
}

/// Reads the files of one backup.
struct Reader<'a> {
    golden: &'a Golden,
    place: &'a Place,
    /// Pages used of each pack.
    used: RefCell<BTreeMap<PackId, u64>>,
}

impl Reader<'_> {
    fn frame_of_map(&self, reference: &NodeRef) -> Vec<u8> {
        let NodeRef { backup, map, frame, .. } = *reference;
        let name = Named::Map { place: self.place.clone(), backup, number: map }.to_name();
        let whole = self.golden.whole(&name);
        let frame = whole.footer().frames[frame as usize];
        whole.frame(&frame, &mut Decompressor::new().unwrap()).unwrap()
    }

    fn node(&self, reference: &NodeRef, wanted: NodeKind) -> Vec<u8> {
        slice_node_of(&self.frame_of_map(reference), reference, wanted).unwrap().to_vec()
    }

    fn nodes(&self, chain: &Chain) -> Vec<Vec<u8>> {
        if let Chain::Nodes(nodes) = chain {
            self.golden.met(["leaf as a node", "one patch", "two patches"][nodes.len() - 1]);
        }
        match chain {
            Chain::Inline(node) => {
                self.golden.met("leaf in line");
                vec![node.clone()]
            }
            Chain::Nodes(nodes) => nodes
                .iter()
                .map(|node| slice_node(&self.frame_of_map(node), node).unwrap().to_vec())
                .collect(),
        }
    }

    fn file(&self, path: &[u8], size: u64, leaves: &[LeafChains]) -> Vec<u8> {
        let mut content = vec![0; size as usize];
        self.golden.met(["empty file", "one leaf", "two leaves"][leaves.len()]);
        for (chains, leaf) in leaves.iter().zip(content.chunks_mut(LEAF_PAGES * PAGE_BYTES)) {
            let places = resolve_locations(&self.nodes(&chains.locations)).unwrap();
            let digests = resolve_digests(&self.nodes(&chains.digests)).unwrap();
            for (number, page) in leaf.chunks_mut(PAGE_BYTES).enumerate() {
                let Some((place, offset)) = places.place(number) else {
                    assert_eq!(digests.digest(number), ZERO_PAGE, "{}", path.escape_ascii());
                    continue;
                };
                let plain = self.frame_of_pack(place);
                page.copy_from_slice(&plain[offset as usize..offset as usize + page.len()]);
                assert_eq!(
                    self.page_digest(place.pack, page),
                    digests.digest(number),
                    "{}",
                    path.escape_ascii()
                );
                *self.used.borrow_mut().entry(place.pack).or_default() += 1;
            }
        }
        content
    }

    fn pack_name(&self, pack: PackId) -> ObjectName {
        Named::Pack { place: self.place.clone(), backup: pack.backup, number: pack.number }.to_name()
    }

    fn frame_of_pack(&self, place: &seawall_repo::map::FramePlace) -> Vec<u8> {
        let whole = self.golden.whole(&self.pack_name(place.pack));
        self.golden.met(if place.at.encoding == Encoding::Raw { "raw frame" } else { "compressed frame" });
        assert_eq!(whole.footer().frames[place.at.number as usize], place.at, "map and footer agree");
        whole.frame(&place.at, &mut Decompressor::new().unwrap()).unwrap()
    }

    /// The digest of a page, which the pack's footer must list too.
    fn page_digest(&self, pack: PackId, page: &[u8]) -> [u8; 16] {
        let whole = self.golden.whole(&self.pack_name(pack));
        let generation = whole.head().generation();
        let key = self.golden.keys.digest_key(generation, self.golden.trust.repository()).unwrap();
        whole.head().verify_plain(&key.digest(&whole.footer().contents)).unwrap();
        let lengths: Vec<u32> = whole.footer().frames.iter().map(|frame| frame.plain_len).collect();
        let contents = PackContents::decode(&whole.footer().contents, &lengths).unwrap();
        let digest = key.page_digest(page);
        let mut listed = contents.frames.iter().flatten().flat_map(|slot| &slot.digests);
        assert!(listed.any(|listed| *listed == digest), "{pack} lists every page it holds");
        digest
    }
}
