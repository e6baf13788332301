use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::compress::{CompressedFrame, Compression, Compressor, Decompressor, Encoding};
use crate::entropy::Entropy;
use crate::envelope::wrap_aad;
use crate::error::Fault;
use crate::id::Generation;
use crate::keys::ClusterSecret;
use crate::layout::ObjectName;
use crate::seal::aead::SectionKey;
use crate::seal::{Cipher, Protection, Sealer, Section, wrap};
use crate::testing::{Seeded, World, pack};
use crate::wrapped::ClusterKeys;

fn decompressor() -> Decompressor {
    Decompressor::new().unwrap()
}

fn whole<'a>(
    world: &World,
    name: &ObjectName,
    object: &'a [u8],
    keys: &KeyRing,
) -> Result<WholeObject<'a>, Fault> {
    WholeObject::open(name, object, &world.trust, None, keys, &mut decompressor())
        .map_err(|error| error.fault)
}

#[test]
fn frames_open_alone_from_their_ranges() {
    let mut world = World::encrypted();
    let noise = {
        let mut noise = vec![0; 70_000];
        Seeded::new(4).fill(&mut noise);
        noise
    };
    let object = world.object(&pack(0), Protection::Content, &[&[7; 100_000], &noise, b""]);
    let head = OpenHead::open(&pack(0), &object[..4096], &world.trust, None).unwrap();
    assert_eq!(head.head().header()["of"], "a test");
    let body = &object[head.head().head_bytes()..];
    let opener = head.opener(&world.all_keys()).unwrap();
    let tail = &body[body.len() - opener.footer_needs(&body[body.len() - 8..]).unwrap()..];
    let footer = opener.open_footer(tail, &mut decompressor()).unwrap();
    assert_eq!(footer.contents, b"contents");
    let encodings: Vec<Encoding> = footer.frames.iter().map(|frame| frame.encoding).collect();
    assert_eq!(encodings, [Encoding::Zstd, Encoding::Raw, Encoding::Raw]);
    let open = |number: usize| {
        let frame = footer.frames[number];
        let range = frame.offset as usize..frame.offset as usize + frame.stored_len as usize;
        opener.open_frame(&frame, &body[range], &mut decompressor()).unwrap()
    };
    assert_eq!((open(0), open(1), open(2)), (vec![7; 100_000], noise, vec![]));
}

#[test]
fn a_host_reads_footers_and_no_content() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    let opened = whole(&world, &pack(0), &object, &world.host_keys()).unwrap();
    assert_eq!(opened.footer().contents, b"contents");
    let error = opened.frame(&opened.footer().frames[0], &mut decompressor()).unwrap_err();
    assert_eq!(error.fault, Fault::NeedsIdentity { generation: Generation::FIRST });
    assert_eq!(
        error.to_string(),
        "orders/7575/backup/20240229T123456Z-00ff00ff00ff00ff/pack/0: \
         content can only be opened with an identity (keys of generation 1)"
    );
    let none = whole(&world, &pack(0), &object, &KeyRing::new());
    assert_eq!(none.unwrap_err(), Fault::NeedsMetaKey { generation: Generation::FIRST });
}

#[test]
fn meta_frames_open_with_the_meta_key_alone() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Meta, &[b"one", b"two"]);
    let opened = whole(&world, &pack(0), &object, &world.host_keys()).unwrap();
    assert_eq!(opened.all_frames(6, &mut decompressor()).unwrap(), b"onetwo");
    let error = opened.all_frames(5, &mut decompressor()).unwrap_err();
    assert_eq!(error.fault, Fault::TooMuch { plain: 6, most: 5 });
}

#[test]
fn a_key_of_another_generation_or_cluster_opens_nothing() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    let mut others = KeyRing::new();
    others.add_keys(Generation::FIRST, World::new(2, Cipher::Aes256Gcm).keys);
    assert_eq!(
        whole(&world, &pack(0), &object, &others).unwrap_err(),
        Fault::Sealing { section: Section::Footer }
    );
    let mut newer = KeyRing::new();
    newer.add_keys(Generation::new(2).unwrap(), world.keys.clone());
    assert_eq!(
        whole(&world, &pack(0), &object, &newer).unwrap_err(),
        Fault::NeedsMetaKey { generation: Generation::FIRST }
    );
    // The right meta key with another secret: footers open, content does not.
    others.add_meta(Generation::FIRST, world.keys.meta.clone());
    let opened = whole(&world, &pack(0), &object, &others).unwrap();
    let error = opened.frame(&opened.footer().frames[0], &mut decompressor()).unwrap_err();
    assert_eq!(error.fault, Fault::ObjectKey { generation: Generation::FIRST });
}

#[test]
fn two_builders_never_share_a_key() {
    let mut world = World::encrypted();
    for protection in [Protection::Content, Protection::Meta] {
        let one = world.object(&pack(0), protection, &[&[0; 64]]);
        let two = world.object(&pack(0), protection, &[&[0; 64]]);
        let opened = [&one, &two].map(|object| OpenHead::open(&pack(0), object, &world.trust, None).unwrap());
        let [first, second] = &opened.each_ref().map(|head| head.head().sealing().clone());
        assert_ne!(first.salt, second.salt);
        let bodies = [&one, &two].map(|object| &object[opened[0].head().head_bytes()..]);
        // Equal plain frames, each 64 bytes of zeros: a shared key would make equal streams.
        assert_ne!(bodies[0][..16], bodies[1][..16]);
        if protection == Protection::Content {
            assert_ne!(first.wrap, second.wrap);
            assert_ne!(first.wrap.unwrap().0[32..], second.wrap.unwrap().0[32..]);
        }
    }
}

#[test]
fn front_and_frames_may_be_missing() {
    let world = World::encrypted();
    let build = |front: Option<&[u8]>| {
        let entropy = &mut Seeded::new(8);
        let builder =
            ObjectBuilder::new(&world.sealer, &pack(0), Map::new(), Protection::Meta, front, entropy)
                .unwrap();
        builder.finish(b"", [0; 32], &world.writer).unwrap().into_parts().1
    };
    let (with, without) = (build(Some(b"an index")), build(None));
    let opened = whole(&world, &pack(0), &with, &world.host_keys()).unwrap();
    assert_eq!(opened.front(&mut decompressor()).unwrap().unwrap(), b"an index");
    assert_eq!(opened.footer(), &Footer { frames: vec![], contents: vec![] });
    let opened = whole(&world, &pack(0), &without, &world.host_keys()).unwrap();
    assert_eq!(opened.front(&mut decompressor()).unwrap(), None);
}

#[test]
fn sealing_fields_cannot_be_given_and_names_must_fit() {
    let world = World::encrypted();
    let fields = serde_json::json!({"salt": "x"}).as_object().unwrap().clone();
    let entropy = &mut Seeded::new(8);
    let taken = ObjectBuilder::new(&world.sealer, &pack(0), fields, Protection::Meta, None, entropy);
    assert!(matches!(taken.unwrap_err(), BuildError::Header(_)));
    let name = crate::layout::Named::Seawall.to_name();
    let refused = ObjectBuilder::new(&world.sealer, &name, Map::new(), Protection::Meta, None, entropy);
    assert!(matches!(refused.unwrap_err(), BuildError::Name { .. }));
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_object_can_still_be_finished() {
    let world = World::encrypted();
    let entropy = &mut Seeded::new(8);
    let mut builder =
        ObjectBuilder::new(&world.sealer, &pack(0), Map::new(), Protection::Meta, None, entropy).unwrap();
    let frame =
        Compressor::new(Compression::None).unwrap().compress_frame(&vec![7; 1 << 20]).unwrap().into_owned();
    let pushed = (0..).take_while(|_| builder.push_compressed(&frame).is_ok()).count();
    assert_eq!(pushed, 255, "256 MiB hold 255 frames of 1 MiB with their tags");
    let object = builder.finish(b"", [0; 32], &world.writer).unwrap().into_parts().1;
    let opened = whole(&world, &pack(0), &object, &world.host_keys()).unwrap();
    assert_eq!(opened.footer().frames.len(), 255);
}

#[test]
fn frames_compressed_elsewhere_make_the_same_object() {
    let world = World::encrypted();
    let plains: Vec<Vec<u8>> = (0..4u8).map(|number| vec![number; 300_000]).collect();
    let frames: Vec<CompressedFrame<'static>> = std::thread::scope(|scope| {
        let threads: Vec<_> = plains
            .iter()
            .map(|plain| {
                scope.spawn(|| {
                    Compressor::new(Compression::Zstd(3)).unwrap().compress_frame(plain).unwrap().into_owned()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let begin = || {
        ObjectBuilder::new(
            &world.sealer,
            &pack(0),
            Map::new(),
            Protection::Content,
            None,
            &mut Seeded::new(8),
        )
        .unwrap()
    };
    let (mut one, mut two) = (begin(), begin());
    let mut compressor = Compressor::new(Compression::Zstd(3)).unwrap();
    for (plain, frame) in plains.iter().zip(&frames) {
        assert_eq!(one.push_frame(plain, &mut compressor).unwrap(), two.push_compressed(frame).unwrap());
    }
    let finish = |builder: ObjectBuilder| builder.finish(b"", [0; 32], &world.writer).unwrap();
    assert_eq!(finish(one), finish(two));
}

#[test]
fn a_repository_without_encryption_reads_without_keys() {
    let mut world = World::new(1, Cipher::None);
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    assert!(object.windows(5).any(|bytes| bytes == b"a row"));
    let opened = whole(&world, &pack(0), &object, &KeyRing::new()).unwrap();
    assert_eq!(opened.all_frames(9, &mut decompressor()).unwrap(), b"a row");
    assert_eq!(opened.head().verify_plain(&world.sealer.digest_key().digest(b"a row")), Ok(()));
}

#[test]
fn plain_objects_are_refused_where_the_owner_said_encrypted() {
    let mut world = World::encrypted();
    let repository = *world.sealer.repository();
    world.sealer = Sealer::plain(repository);
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    let fault = whole(&world, &pack(0), &object, &KeyRing::new()).unwrap_err();
    assert_eq!(fault.to_string(), "is sealed with none, but this repository with aes-256-gcm");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn objects_round_trip(
        frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 0..6),
        contents: Vec<u8>, front: Option<Vec<u8>>, content: bool, encrypted: bool, seed: u64,
    ) {
        let world = World::new(seed, if encrypted { Cipher::Aes256Gcm } else { Cipher::None });
        let protection = if content { Protection::Content } else { Protection::Meta };
        let entropy = &mut Seeded::new(seed ^ 1);
        let mut builder =
            ObjectBuilder::new(&world.sealer, &pack(3), Map::new(), protection, front.as_deref(), entropy).unwrap();
        let mut compressor = Compressor::new(Compression::Zstd(1)).unwrap();
        let table: Vec<FrameAt> =
            frames.iter().map(|frame| builder.push_frame(frame, &mut compressor).unwrap()).collect();
        let digest = world.sealer.digest_key().digest(&frames.concat());
        let sealed = builder.finish(&contents, digest, &world.writer).unwrap();
        let opened = whole(&world, &pack(3), sealed.bytes(), &world.all_keys()).unwrap();
        prop_assert_eq!(opened.front(&mut decompressor()).unwrap(), front);
        prop_assert_eq!(opened.footer(), &Footer { frames: table, contents });
        prop_assert_eq!(opened.all_frames(1 << 20, &mut decompressor()).unwrap(), frames.concat());
        prop_assert_eq!(opened.head().verify_plain(&digest), Ok(()));
    }
}

#[test]
fn no_key_that_a_host_holds_opens_content_in_any_role() {
    let mut world = World::encrypted();
    let object = world.object(&pack(0), Protection::Content, &[b"a row"]);
    let opened = whole(&world, &pack(0), &object, &world.host_keys()).unwrap();
    let (head, frame) = (opened.head().head(), opened.footer().frames[0]);
    let at = head.head_bytes() + frame.offset as usize;
    let stored = &object[at..at + frame.stored_len as usize];
    let (sealing, aad) = (head.sealing(), head.aad_base(world.sealer.repository(), &pack(0)));
    let (salt, meta) = (sealing.salt.as_ref().unwrap().0, &world.keys.meta);
    let opens = |key: &[u8; 32]| {
        SectionKey::new(Some(key), aad).open(Section::Frame(frame.number), &mut stored.to_vec()).is_some()
    };
    let wrapped = sealing.wrap.as_ref().unwrap().0.to_vec();
    let mut held: Vec<[u8; 32]> = wrapped.windows(32).map(|part| part.try_into().unwrap()).collect();
    held.extend([*meta.as_bytes(), *meta.object_key(&salt), salt, *world.writer.seed()]);
    held.extend([*world.keys.secret.public().as_bytes(), *world.owner.public().as_bytes()]);
    held.push(*blake3::hash(meta.as_bytes()).as_bytes());
    assert!(held.len() > 40);
    for key in held {
        assert!(!opens(&key), "as the object's key: {key:?}");
        let (secret, meta) = (ClusterSecret::from_bytes(key), meta.clone());
        let mut ring = KeyRing::new();
        ring.add_keys(Generation::FIRST, ClusterKeys { meta, secret });
        let opened = whole(&world, &pack(0), &object, &ring).unwrap();
        let refused = opened.frame(&frame, &mut decompressor()).unwrap_err().fault;
        assert_eq!(refused, Fault::ObjectKey { generation: Generation::FIRST }, "as the cluster's: {key:?}");
    }
    let wrap_aad = wrap_aad(world.sealer.repository(), &pack(0));
    let right = wrap::unwrap(&sealing.wrap.as_ref().unwrap().0, &world.keys.secret, &wrap_aad).unwrap();
    assert!(opens(&right), "the attempts were made the right way");
}
