//! What stands under a name that was taken: the same file, another one, or something that cannot be believed.
//!
//! One file sealed twice differs in every byte, so copies are compared by the keyed digest of their plain content. Promises:
//! "same" is said only of a copy that is whole as its writer signed it; a damaged copy of the same file is no success.

use seawall_repo::compress::Decompressor;
use seawall_repo::keys::{Digest, DigestKey};
use seawall_repo::layout::ObjectName;
use seawall_repo::object::WholeObject;
use seawall_store::{Existing, Region};

use crate::archive::conflict::{OtherCopy, created};
use crate::error::Result;
use crate::repository::Repository;

/// A copy of the name that is in a region's keeping.
#[derive(Debug)]
pub(super) enum Found {
    /// The same file, with the digest that its head carries.
    Same(Digest),
    /// Another file.
    Other(Box<OtherCopy>),
    /// Nothing that can be believed, and why.
    Unbelieved(String),
}

/// What a digest is made of: the bytes at hand, or a file that is read again.
pub(super) type Digested<'a> = dyn Fn(&DigestKey) -> Result<Digest> + Sync + 'a;

/// Compares what `region` holds under `name` with the file that should stand there.
pub(super) async fn compare(
    repository: &Repository,
    region: &Region,
    name: &ObjectName,
    existing: &Existing,
    plain: &Digested<'_>,
) -> Result<Found> {
    let bytes = match existing {
        Existing::Whole(bytes) => bytes,
        Existing::TooLarge { size_bytes } => {
            return Ok(Found::Unbelieved(format!("it has {size_bytes} bytes")));
        }
    };
    let created = created(repository, region, name).await;
    let mut decompressor = match Decompressor::new() {
        Ok(decompressor) => decompressor,
        Err(error) => return Ok(Found::Unbelieved(error.to_string())),
    };
    let opened =
        WholeObject::open(name, bytes, repository.trust(), created, repository.keys(), &mut decompressor);
    let whole = match opened {
        Ok(whole) => whole,
        Err(error) => return Ok(Found::Unbelieved(error.to_string())),
    };
    let head = whole.head();
    let Some(key) = repository.keys().digest_key(head.generation(), repository.trust().repository()) else {
        return Ok(Found::Unbelieved("this host has no keys of its generation".to_owned()));
    };
    let digest = *head.head().plain_digest();
    if plain(&key)? == digest {
        return Ok(Found::Same(digest));
    }
    match OtherCopy::of(repository, region, head) {
        Ok(copy) => Ok(Found::Other(Box::new(copy))),
        Err(error) => Ok(Found::Unbelieved(error.to_string())),
    }
}
