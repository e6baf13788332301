use super::*;
use crate::identity::Identities;
use crate::keys::OwnerKey;
use crate::object::OpenHead;
use crate::records::{Adoption, Intent, KeyRecord};
use crate::seal::Protection;
use crate::signed::{sign_as_owner, sign_as_writer};
use crate::testing::{Seeded, World, backup, pack, place, time};
use crate::wrapped::{WrapError, WrapFor};

fn verify(world: &World, object: &[u8], created: Option<Time>) -> Result<(), Fault> {
    OpenHead::open(&pack(0), object, &world.trust, created).map(drop).map_err(|error| error.fault)
}

fn object(world: &mut World) -> Vec<u8> {
    world.object(&pack(0), Protection::Content, &[b"a row"])
}

#[test]
fn a_revocation_ends_a_writer_by_the_stores_time() {
    let mut world = World::encrypted();
    let object = object(&mut world);
    assert_eq!(verify(&world, &object, None), Ok(()));
    world.revoke(time(1_000));
    let revoked = Fault::Trust(TrustError::Revoked {
        writer: world.writer.id(),
        revoked: time(1_000),
        reason: "lost".to_owned(),
    });
    assert_eq!(verify(&world, &object, Some(time(999))), Ok(()));
    assert_eq!(verify(&world, &object, Some(time(1_000))), Err(revoked.clone()));
    assert_eq!(verify(&world, &object, None), Err(revoked));
}

#[test]
fn cluster_and_right_are_checked() {
    let mut world = World::encrypted();
    let object = object(&mut world);
    let writer = world.writer.id();
    let mut certificate = world.certificate();
    certificate.cluster = ClusterScope::One("billing".parse().unwrap());
    world.certify(&certificate);
    let wrong = TrustError::WrongCluster { writer, allowed: certificate.cluster, cluster: place().cluster };
    assert_eq!(wrong.to_string(), format!("writer {writer} may write for billing only, not for orders"));
    assert_eq!(verify(&world, &object, None), Err(wrong.into()));
    let mut certificate = world.certificate();
    (certificate.cluster, certificate.rights) = (ClusterScope::All, vec![Right::Observe, Right::Unknown]);
    world.certify(&certificate);
    let missing = TrustError::MissingRight { writer, right: Right::Write };
    assert_eq!(verify(&world, &object, None), Err(missing.into()));
    certificate.rights = vec![Right::Write];
    world.certify(&certificate);
    assert_eq!(verify(&world, &object, None), Ok(()));
}

#[test]
fn what_decides_about_deleting_needs_the_right_to_prune() {
    let mut world = World::encrypted();
    let (repository, writer) = (*world.sealer.repository(), world.writer.id());
    let id = "20240229T123456Z-00ff00ff00ff00ff".parse().unwrap();
    let record = serde_json::json!({ "any": "record" });
    let deciding = [
        Named::Policy { cluster: place().cluster, number: 1 },
        Named::Tombstone { place: place(), id },
        Named::TombstoneRevoked { place: place(), id },
        Named::TombstoneDone {
            place: place(),
            id,
            region: crate::layout::RegionLabel::new("north").unwrap(),
        },
        Named::Hold { place: place(), id },
        Named::HoldReleased { place: place(), id },
        Named::Hole { place: place(), id },
    ];
    let opens = |world: &World, named: &Named| {
        let name = named.to_name();
        let text = sign_as_writer(&record, &repository, &name, &world.writer).unwrap();
        world.trust.open_writers::<serde_json::Value>(&name, &text, None).map_err(|error| error.fault)
    };
    let mut certificate = world.certificate();
    for (rights, may) in [
        (vec![Right::Write, Right::Observe], false),
        (vec![Right::Unknown], false),
        (vec![Right::Prune], true),
    ] {
        certificate.rights = rights;
        world.certify(&certificate);
        for named in &deciding {
            let wanted = if may {
                Ok(record.clone())
            } else {
                Err(Fault::Trust(TrustError::MissingRight { writer, right: Right::Prune }))
            };
            assert_eq!(opens(&world, named), wanted, "{named:?}");
        }
    }
    // Who prunes writes no backups, and anybody may say what happened.
    let backup = "20240229T123456Z-00ff00ff00ff00ff".parse().unwrap();
    assert!(opens(&world, &Named::Intent { place: place(), backup, number: 1 }).is_err());
    for right in [Right::Write, Right::Prune, Right::Observe] {
        certificate.rights = vec![right];
        world.certify(&certificate);
        assert!(opens(&world, &Named::Event { place: place(), id }).is_ok());
    }
}

#[test]
fn only_the_owner_names_writers() {
    let mut world = World::encrypted();
    let repository = *world.sealer.repository();
    let stranger = crate::keys::WriterKey::generate(&mut Seeded::new(7));
    let mut certificate = world.certificate();
    (certificate.writer, certificate.public) = (stranger.id(), stranger.public());
    let name = Named::Writer(stranger.id()).to_name();
    let by_other_owner =
        sign_as_owner(&certificate, &repository, &name, &OwnerKey::generate(&mut Seeded::new(8))).unwrap();
    let by_writer = sign_as_writer(&certificate, &repository, &name, &world.writer).unwrap();
    let elsewhere =
        sign_as_owner(&certificate, &RepositoryId::from_bytes([9; 16]), &name, &world.owner).unwrap();
    let under_other_name =
        sign_as_owner(&certificate, &repository, &Named::Writer(world.writer.id()).to_name(), &world.owner)
            .unwrap();
    for text in [by_other_owner, by_writer, elsewhere, under_other_name] {
        let fault = world.trust.add_writer_record(&name, &text).unwrap_err().fault;
        assert!(
            matches!(fault, Fault::Signed(SignedError::Forged { .. } | SignedError::Signer { .. })),
            "{fault:?}"
        );
    }
    // Signed by the owner for this name, but about somebody else.
    let misplaced = sign_as_owner(&world.certificate(), &repository, &name, &world.owner).unwrap();
    let fault = world.trust.add_writer_record(&name, &misplaced).unwrap_err().fault;
    assert_eq!(fault, Fault::Trust(TrustError::Misplaced { what: "writer" }));
    assert_eq!(world.trust.certificates().count(), 1);
}

#[test]
fn another_repository_or_owner_is_told_from_a_forged_one() {
    let world = World::encrypted();
    let pins = Pins { repository: *world.sealer.repository(), owner: world.owner.public() };
    let name = Named::Seawall.to_name();
    let record = SeawallJson {
        format: FORMAT,
        repository: pins.repository,
        cipher: Cipher::None,
        owner: pins.owner,
        created: time(0),
    };
    let other = OwnerKey::generate(&mut Seeded::new(8));
    let open = |record: &SeawallJson, key: &OwnerKey| {
        let text = sign_as_owner(record, &record.repository, &name, key).unwrap();
        Trust::open(pins, &text).map(|(trust, _)| trust.cipher()).map_err(|error| error.fault)
    };
    assert_eq!(open(&record, &world.owner), Ok(Cipher::None));
    assert_eq!(open(&record, &other), Err(Fault::Signed(SignedError::Forged { signer: Signer::Owner })));
    let (found, wanted) = (RepositoryId::from_bytes([9; 16]), pins.repository);
    let elsewhere = SeawallJson { repository: found, ..record.clone() };
    assert_eq!(open(&elsewhere, &world.owner), Err(TrustError::OtherRepository { found, wanted }.into()));
    let (found, wanted) = (other.public(), pins.owner);
    let others = SeawallJson { owner: found, ..record.clone() };
    assert_eq!(open(&others, &other), Err(TrustError::OtherOwner { found, wanted }.into()));
    assert_eq!(
        open(&SeawallJson { format: 2, ..record.clone() }, &world.owner),
        Err(TrustError::NewerFormat { found: 2 }.into())
    );
    assert!(matches!(
        open(&SeawallJson { format: 0, ..record }, &world.owner),
        Err(Fault::Signed(SignedError::Record { .. }))
    ));
}

#[test]
fn records_of_writers_need_the_right_to_write() {
    let mut world = World::encrypted();
    let repository = *world.sealer.repository();
    let name = Named::Adoption(place()).to_name();
    let adoption = Adoption {
        cluster: place().cluster,
        system: place().system,
        after: None,
        adopted: time(5),
        postgresql: 17,
    };
    let by_writer = sign_as_writer(&adoption, &repository, &name, &world.writer).unwrap();
    let by_owner = sign_as_owner(&adoption, &repository, &name, &world.owner).unwrap();
    let open = |world: &World, text: &[u8]| {
        world.trust.open_writers::<Adoption>(&name, text, None).map_err(|error| error.fault)
    };
    assert_eq!(open(&world, &by_writer), Ok(adoption.clone()));
    assert_eq!(open(&world, &by_owner), Ok(adoption));
    let writer = world.writer.id();
    let mut certificate = world.certificate();
    certificate.rights = vec![Right::Prune];
    world.certify(&certificate);
    assert_eq!(
        open(&world, &by_writer),
        Err(TrustError::MissingRight { writer, right: Right::Write }.into())
    );
    world.certify(&world.certificate());
    world.revoke(time(3));
    assert!(matches!(open(&world, &by_writer), Err(Fault::Trust(TrustError::Revoked { .. }))));
}

#[test]
fn records_have_the_documented_json() {
    let intent = Intent {
        backup: backup(),
        n: 2,
        uses: vec![backup()],
        adopts: vec![crate::pack::PackId { backup: backup(), number: 7 }],
        host: "db1".to_owned(),
        pid: 99,
        written: time(1_709_210_096_000_001),
    };
    let wanted = concat!(
        r#"{"backup":"20240229T123456Z-00ff00ff00ff00ff","n":2,"uses":["20240229T123456Z-00ff00ff00ff00ff"],"#,
        r#""adopts":[["20240229T123456Z-00ff00ff00ff00ff",7]],"host":"db1","pid":99,"#,
        r#""written":"2024-02-29T12:34:56.000001Z"}"#
    );
    assert_eq!(serde_json::to_string(&intent).unwrap(), wanted);
    assert_eq!(serde_json::from_str::<Intent>(wanted).unwrap(), intent);
    let certificate = World::encrypted().certificate();
    let text = serde_json::to_string(&certificate).unwrap();
    assert!(
        text.contains(r#""cluster":"orders","rights":["write","prune","observe"],"label":"db1""#),
        "{text}"
    );
    let later = text.replace("\"prune\"", "\"heal\"").replace("\"label\"", "\"new\":1,\"label\"");
    let read: WriterCertificate = serde_json::from_str(&later).unwrap();
    assert_eq!(read.rights, [Right::Write, Right::Unknown, Right::Observe]);
    assert_eq!(serde_json::to_string(&ClusterScope::All).unwrap(), "\"*\"");
}

#[test]
fn a_key_record_opens_only_to_the_keys_it_names() {
    let world = World::encrypted();
    let identity = Identities::generate();
    let recipients = identity.recipients();
    let record = KeyRecord {
        cluster: place().cluster,
        generation: crate::id::Generation::FIRST,
        change: 1,
        public: world.keys.secret.public(),
        wrapped: world.keys.wrap(&[WrapFor::Recipients(&recipients)]).unwrap(),
    };
    let name = Named::Key { cluster: place().cluster, generation: record.generation, change: 1 }.to_name();
    let text = sign_as_owner(&record, world.sealer.repository(), &name, &world.owner).unwrap();
    let read: KeyRecord = world.trust.open_owners(&name, &text).unwrap();
    assert_eq!(read.unwrap(&identity).unwrap().secret.public(), record.public);
    let other = KeyRecord { public: World::new(2, Cipher::Aes256Gcm).keys.secret.public(), ..record };
    assert!(matches!(other.unwrap(&identity), Err(WrapError::Damaged { .. })));
}
