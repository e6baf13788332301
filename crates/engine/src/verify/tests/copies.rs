//! Other copies of a repository's objects: under the same names, with other content, properly made and signed.
//!
//! An older copy that came back, one that another host wrote, one that somebody forged: what they have in common is that each is whole.

use bytes::Bytes;
use seawall_pg::{WalFolder, WalSegmentSize};
use seawall_repo::base64_field::Base64Array;
use seawall_repo::chapter::{Chapter, ChapterBuilder, ChapterSegment};
use seawall_repo::event::Event;
use seawall_repo::id::Generation;
use seawall_repo::keys::{OwnerKey, WriterKey};
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::map::MapBuilder;
use seawall_repo::object::SealedObject;
use seawall_repo::pack::{PackBuilder, PackId, Run};
use seawall_repo::records::Right;
use seawall_repo::signed::{SignedText, Signer, sign_as_owner, sign_as_writer};
use serde_json::{Map, Value};

use super::ground::{Ground, Objects};
use crate::repository::{Repository, WorldEntropy};

/// Who signed a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Somebody who may.
    Entitled,
    /// A writer of this repository who has not the right to it.
    Unentitled,
    /// Somebody whom the owner never certified; in the owner's name, where it is the owner's to sign.
    Stranger,
}

/// Such a copy of every object of which there can be one.
pub(super) async fn copies(ground: &mut Ground, objects: &Objects, by: By) -> Objects {
    let hosts = Hosts {
        db2: ground.bench.as_host("db2").await.unwrap(),
        pruner: ground.bench.as_host("pruner").await.unwrap(),
        stranger: WriterKey::generate(&mut WorldEntropy::new(&ground.bench.world)),
        by,
    };
    let mut made = Objects::new();
    for (name, bytes) in objects {
        let parsed = ObjectName::parse(name).unwrap();
        let copy = if bytes.starts_with(b"SEAWALL\n") {
            sealed(ground, &hosts, &parsed).await.map(|object| Bytes::copy_from_slice(object.bytes()))
        } else {
            text(ground, &hosts, &parsed, bytes)
        };
        if let Some(copy) = copy {
            assert_ne!(&copy, bytes, "{name}");
            made.insert(name.clone(), copy);
        }
    }
    made
}

struct Hosts {
    db2: Repository,
    pruner: Repository,
    stranger: WriterKey,
    by: By,
}

impl Hosts {
    /// With what an object of this name is signed; none where everybody may.
    fn key(&self, named: &Named) -> Option<&WriterKey> {
        let needed = Right::needed_for(named);
        match self.by {
            By::Stranger => Some(&self.stranger),
            By::Entitled if needed.contains(&Right::Write) => self.db2.writer().ok(),
            By::Entitled => self.pruner.writer().ok(),
            By::Unentitled if needed == [Right::Write] => self.pruner.writer().ok(),
            By::Unentitled if needed == [Right::Prune] => self.db2.writer().ok(),
            By::Unentitled => None,
        }
    }
}

/// A record that says something more.
fn text(ground: &Ground, hosts: &Hosts, name: &ObjectName, bytes: &[u8]) -> Option<Bytes> {
    let signed = SignedText::parse(bytes).unwrap();
    let mut record: Map<String, Value> = signed.peek().unwrap();
    record.insert("of_another_day".to_owned(), Value::Bool(true));
    let (id, owner) = ground.bench.owner.as_ref().unwrap();
    let forger = OwnerKey::generate(&mut WorldEntropy::new(&ground.bench.world));
    let owners = signed.signer() == Signer::Owner;
    let text = match hosts.by {
        By::Entitled if owners => sign_as_owner(&record, id, name, owner),
        By::Stranger if owners => sign_as_owner(&record, id, name, &forger),
        By::Unentitled
            if matches!(name.named(), Named::Seawall | Named::Owner { .. } | Named::Key { .. }) =>
        {
            sign_as_writer(&record, id, name, hosts.db2.writer().unwrap())
        }
        By::Unentitled if matches!(name.named(), Named::Writer(_) | Named::Revocation(_)) => {
            sign_as_writer(&record, id, name, hosts.db2.writer().unwrap())
        }
        _ => sign_as_writer(&record, id, name, hosts.key(name.named())?),
    };
    Some(text.unwrap().into())
}

async fn sealed(ground: &mut Ground, hosts: &Hosts, name: &ObjectName) -> Option<SealedObject> {
    let world = ground.bench.world.clone();
    let mut entropy = WorldEntropy::new(&world);
    let (host, sealer) = (ground.host.clone(), ground.host.sealer().unwrap().clone());
    let key = hosts.key(name.named())?;
    Some(match name.named().clone() {
        Named::Pack { place, backup, number } => {
            let digest = sealer.digest_key().page_digest(b"other");
            let mut pack =
                PackBuilder::new(&sealer, &place, PackId { backup, number }, &mut entropy).unwrap();
            let run =
                Run { file: 0, path: b"PG_VERSION", first_page: 0, bytes: b"other", digests: &[digest] };
            pack.add_run(&run, &mut ground.compressor).unwrap();
            pack.finish(key, &mut ground.compressor).unwrap().unwrap().object
        }
        Named::Map { place, backup, number } => {
            let mut map = MapBuilder::new(&sealer, &place, backup, number, &mut entropy).unwrap();
            map.append(&[1, 0, 0, 0], &mut ground.compressor).unwrap();
            map.finish(key, &mut ground.compressor).unwrap().unwrap()
        }
        Named::Manifest { place, backup } => {
            let mut manifest = host.manifest(&place, backup).await.unwrap();
            manifest.body.label.push_str(" of another day");
            manifest.seal(&sealer, key, &mut ground.compressor, &mut entropy).unwrap()
        }
        Named::Event { place, id } => {
            let event = Event {
                event: id,
                what: "prune".to_owned(),
                at: crate::backup::now(&world).unwrap(),
                host: "of another day".to_owned(),
                version: "0".to_owned(),
                detail: Map::new(),
            };
            event.seal(&place, &sealer, key, &mut ground.compressor, &mut entropy).unwrap()
        }
        Named::Chapter { place, folder, number } => {
            let chapter = chapter_of(folder, ground.bench.size, 9);
            chapter.seal_as((&place, number), &sealer, key, &mut ground.compressor, &mut entropy).unwrap()
        }
        Named::Wal { file, .. } => {
            let content = wal_content(ground, &file.to_string());
            ground.wal_signed(key, &file.to_string(), &content).swap_remove(0)
        }
        _ => return None,
    })
}

/// A chapter of segments that say nothing, with digests of which no segment of the ground has any.
pub(super) fn chapter_of(folder: WalFolder, size: WalSegmentSize, seed: u8) -> Chapter {
    let mut builder = ChapterBuilder::default();
    for segment in folder.segments(size) {
        builder.push(ChapterSegment {
            segment,
            size: size.bytes(),
            digest: Base64Array([seed; 32]),
            generation: Some(Generation::new(77).unwrap()),
            index: None,
            reason: Some("none".to_owned()),
        });
    }
    builder.finish(folder, size).unwrap()
}

/// Other content of a WAL file that is as good as the first.
fn wal_content(ground: &Ground, file: &str) -> Vec<u8> {
    let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
    if file.ends_with(".history") {
        return b"1\t0/700000\tother\n".to_vec();
    }
    if file.ends_with(".backup") {
        return b"START WAL LOCATION: 0/300029\n".to_vec();
    }
    // A page of its own in the place of zeros would be no WAL: another first record is.
    ground.segment_bytes(number(&file[..8]) as u32, number(&file[16..24]), 9)
}
