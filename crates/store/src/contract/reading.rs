//! Checks of reading.

use super::{Check, Promises, ensure, must_create, must_read, path, pattern};
use bytes::Bytes;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use std::ops::Range;

/// Whatever is asked of a name that was never put says "not found".
pub(super) async fn missing_is_not_found(store: &dyn ObjectStore, under: &str) -> Check {
    for name in ["missing", "no/such/directory/missing"] {
        let name = path(under, name);
        let get = store.get(&name).await.map(drop);
        ensure(matches!(get, Err(Error::NotFound { .. })), || format!("get gives {get:?}"))?;
        let head = store.head(&name).await.map(drop);
        ensure(matches!(head, Err(Error::NotFound { .. })), || format!("head gives {head:?}"))?;
        let range = store.get_range(&name, 0..1).await.map(drop);
        ensure(matches!(range, Err(Error::NotFound { .. })), || format!("a range gives {range:?}"))?;
    }
    Ok(())
}

/// What was put is read at once, with its size.
pub(super) async fn read_your_write(store: &dyn ObjectStore, under: &str) -> Check {
    let (name, body) = (path(under, "read/your/write"), pattern(12_345, 1));
    must_create(store, &name, &body).await?;
    must_read(store, &name, &body).await?;
    let head = store.head(&name).await.map_err(|error| format!("head: {error}"))?;
    ensure(head.size == 12_345, || format!("head says {} bytes", head.size))?;
    ensure(head.location == name, || format!("head says {}", head.location))
}

/// An object without bytes is an object.
pub(super) async fn zero_length(store: &dyn ObjectStore, under: &str) -> Check {
    let name = path(under, "zero");
    must_create(store, &name, &Bytes::new()).await?;
    must_read(store, &name, &Bytes::new()).await?;
    let head = store.head(&name).await.map_err(|error| format!("head: {error}"))?;
    ensure(head.size == 0, || format!("head says {} bytes", head.size))
}

async fn must_read_range(
    store: &dyn ObjectStore,
    under: &str,
    range: GetRange,
    expected: Range<usize>,
    body: &Bytes,
) -> Check {
    let name = path(under, "ranges");
    let options = GetOptions { range: Some(range.clone()), ..GetOptions::default() };
    let read = async {
        let answer = store.get_opts(&name, options).await?;
        Ok::<_, Error>((answer.range.clone(), answer.meta.size, answer.bytes().await?))
    };
    let (said, size, found) = read.await.map_err(|error| format!("{range}: {error}"))?;
    ensure(found == body.slice(expected.clone()), || format!("{range} gives other bytes"))?;
    ensure(said == (expected.start as u64..expected.end as u64), || {
        format!("{range} claims to be {said:?}")
    })?;
    ensure(size == body.len() as u64, || format!("{range} says that the object has {size} bytes"))
}

/// Ranges give exactly their bytes; past the end is an error or what there is.
pub(super) async fn ranges(store: &dyn ObjectStore, under: &str, promises: Promises) -> Check {
    let (name, body) = (path(under, "ranges"), pattern(10_000, 1));
    must_create(store, &name, &body).await?;
    for range in [0..1, 0..10_000, 4_000..4_100, 9_999..10_000] {
        let wanted = GetRange::Bounded(range.start as u64..range.end as u64);
        must_read_range(store, under, wanted, range, &body).await?;
    }
    must_read_range(store, under, GetRange::Bounded(9_000..20_000), 9_000..10_000, &body).await?;
    must_read_range(store, under, GetRange::Offset(9_900), 9_900..10_000, &body).await?;
    if promises.suffix_ranges {
        must_read_range(store, under, GetRange::Suffix(10), 9_990..10_000, &body).await?;
    }
    let past = store.get_range(&name, 10_000..10_001).await;
    ensure(past.is_err(), || "a range past the end is answered".to_owned())?;
    let wanted = [5_000..5_010, 0..5, 5_005..5_020];
    let found = store.get_ranges(&name, &wanted).await.map_err(|error| format!("several ranges: {error}"))?;
    let expected: Vec<Bytes> =
        [5_000..5_010, 0..5, 5_005..5_020].map(|range: Range<usize>| body.slice(range)).into();
    ensure(found == expected, || "several ranges give other bytes".to_owned())
}

/// A large object comes back whole (33 MiB: more than one read, more than a pack).
pub(super) async fn large_object(store: &dyn ObjectStore, under: &str) -> Check {
    let (name, body) = (path(under, "large"), pattern((33 << 20) + 7, 1));
    must_create(store, &name, &body).await?;
    must_read(store, &name, &body).await
}
