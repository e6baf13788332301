use proptest::prelude::*;

use super::*;
use crate::testing::Seeded;

#[test]
fn secrets_do_not_print_themselves() {
    let entropy = &mut Seeded::new(1);
    let (owner, writer) = (OwnerKey::generate(entropy), WriterKey::generate(entropy));
    let (meta, cluster) = (MetaKey::generate(entropy), ClusterSecret::generate(entropy));
    let digest_key = meta.digest_key(&RepositoryId::from_bytes([1; 16]));
    let printed = format!("{owner:?} {writer:?} {meta:?} {cluster:?} {digest_key:?}");
    for secret in [&owner.to_text()[..], &writer.to_text(), &meta.to_text()] {
        let base64 = secret.split_once(':').unwrap().1;
        assert!(!printed.contains(base64), "{printed}");
    }
}

#[test]
fn a_text_that_is_no_key_is_refused_without_being_shown() {
    for text in
        ["", "seawall-owner-secret:", "seawall-owner-secret:c2VjcmV0", "ed25519:AAAA", "hunter2hunter2"]
    {
        let error = OwnerKey::from_text(text).unwrap_err().to_string();
        assert!(!error.contains("c2VjcmV0") && !error.contains("hunter2"), "{error}");
    }
    let writer = WriterKey::generate(&mut Seeded::new(1));
    assert!(OwnerKey::from_text(&writer.to_text()).is_err(), "a writer's key is not an owner's");
}

#[test]
fn digests_depend_on_key_and_repository() {
    let (one, two) = (RepositoryId::from_bytes([1; 16]), RepositoryId::from_bytes([2; 16]));
    let meta = MetaKey::from_bytes([7; 32]);
    let digest = meta.digest_key(&one).digest(b"content");
    assert_ne!(digest, meta.digest_key(&two).digest(b"content"));
    assert_ne!(digest, MetaKey::from_bytes([8; 32]).digest_key(&one).digest(b"content"));
    assert_ne!(digest, DigestKey::plain(&one).digest(b"content"));
    assert_eq!(meta.digest_key(&one).page_digest(b"content")[..], digest[..16]);
}

#[test]
fn a_digest_in_pieces_is_that_of_the_whole() {
    let key = MetaKey::from_bytes([7; 32]).digest_key(&RepositoryId::from_bytes([1; 16]));
    let mut hasher = key.hasher();
    hasher.update(b"con");
    hasher.update(b"tent");
    assert_eq!(hasher.finish(), key.digest(b"content"));
}

proptest! {
    #[test]
    fn key_texts_round_trip(bytes: [u8; 32]) {
        let owner = OwnerKey::from_seed(bytes);
        prop_assert_eq!(*OwnerKey::from_text(&owner.to_text()).unwrap().seed(), bytes);
        prop_assert_eq!(owner.public().to_string().parse(), Ok(owner.public()));
        let writer = WriterKey::from_seed(bytes);
        prop_assert_eq!(*WriterKey::from_text(&writer.to_text()).unwrap().seed(), bytes);
        prop_assert_eq!(writer.public().to_string().parse(), Ok(writer.public()));
        let meta = MetaKey::from_bytes(bytes);
        prop_assert_eq!(*MetaKey::from_text(&meta.to_text()).unwrap().as_bytes(), bytes);
        let public = ClusterSecret::from_bytes(bytes).public();
        prop_assert_eq!(public.to_string().parse(), Ok(public));
    }
}
