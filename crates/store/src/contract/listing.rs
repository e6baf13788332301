//! Checks of listing.

use super::{Check, Promises, ensure, must_create, path, pattern};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

async fn names(
    listing: impl TryStreamExt<Ok = ObjectMeta, Error = object_store::Error>,
) -> Result<Vec<String>, String> {
    let objects: Vec<ObjectMeta> = listing.try_collect().await.map_err(|error| format!("list: {error}"))?;
    Ok(objects.into_iter().map(|object| object.location.to_string()).collect())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

async fn put_each(store: &dyn ObjectStore, under: &str, names: &[&str]) -> Check {
    for (len, name) in names.iter().enumerate() {
        must_create(store, &path(under, name), &pattern(len, 1)).await?;
    }
    Ok(())
}

fn whole(under: &str, names: &[&str]) -> Vec<String> {
    sorted(names.iter().map(|name| format!("{under}/{name}")).collect())
}

/// What was put is listed at once, with its size; what was deleted is not; in the order of names where promised.
pub(super) async fn list_after_write(store: &dyn ObjectStore, under: &str, promises: Promises) -> Check {
    // "a/x" sorts behind "a.b" and "a-b" though the directory "a" would sort before them.
    let put = ["l/a/x", "l/a/y/z", "l/a.b", "l/a-b", "l/a0", "l/B", "l/b/c", "l/gone"];
    put_each(store, under, &put).await?;
    promises.rest();
    store.delete(&path(under, "l/gone")).await.map_err(|error| format!("delete: {error}"))?;
    let prefix = path(under, "l");
    let found = names(store.list(Some(&prefix))).await?;
    let expected = whole(under, &["l/a/x", "l/a/y/z", "l/a.b", "l/a-b", "l/a0", "l/B", "l/b/c"]);
    ensure(sorted(found.clone()) == expected, || format!("listed {found:?}"))?;
    ensure(!promises.sorted || found == expected, || format!("out of order: {found:?}"))?;
    let objects: Vec<ObjectMeta> =
        store.list(Some(&prefix)).try_collect().await.map_err(|e| e.to_string())?;
    let size =
        objects.iter().find(|object| object.location == path(under, "l/a-b")).map(|object| object.size);
    ensure(size == Some(3), || format!("the size listed is {size:?}"))
}

/// A prefix is whole segments: `p/a` covers `p/a/b`, not `p/ab`, and not `p/a` itself.
pub(super) async fn prefix_is_whole_segments(store: &dyn ObjectStore, under: &str) -> Check {
    put_each(store, under, &["p/ab", "p/a/b", "p/a.c"]).await?;
    let found = names(store.list(Some(&path(under, "p/a")))).await?;
    ensure(found == whole(under, &["p/a/b"]), || format!("listed {found:?}"))?;
    for nothing in ["p/nothing", "p/ab"] {
        let found = names(store.list(Some(&path(under, nothing)))).await?;
        ensure(found.is_empty(), || format!("beneath {nothing} listed {found:?}"))?;
    }
    Ok(())
}

/// An offset leaves out what comes before it, and itself, wherever it lies.
pub(super) async fn offset(store: &dyn ObjectStore, under: &str) -> Check {
    let put = ["o/a/1", "o/a/2", "o/a.5", "o/b", "o/c/d/1", "o/c/d/2", "o/e"];
    put_each(store, under, &put).await?;
    let all = whole(under, &put);
    let prefix = path(under, "o");
    for after in ["o/a/1", "o/a/15", "o/a", "o/b", "o/c/d", "o/c/d/1", "o/zzz", "o/0"] {
        let after = path(under, after);
        let found = sorted(names(store.list_with_offset(Some(&prefix), &after)).await?);
        let expected: Vec<String> =
            all.iter().filter(|name| name.as_str() > after.as_ref()).cloned().collect();
        ensure(found == expected, || format!("after {after} listed {found:?}"))?;
    }
    Ok(())
}

/// One level shows objects and the next parts of deeper names.
pub(super) async fn levels(store: &dyn ObjectStore, under: &str) -> Check {
    put_each(store, under, &["v/x/1", "v/x/2", "v/y/z/1", "v/file"]).await?;
    let answer = store
        .list_with_delimiter(Some(&path(under, "v")))
        .await
        .map_err(|error| format!("level: {error}"))?;
    let text = |paths: Vec<&Path>| sorted(paths.into_iter().map(ToString::to_string).collect());
    let dirs = text(answer.common_prefixes.iter().collect());
    let objects = text(answer.objects.iter().map(|object| &object.location).collect());
    ensure(dirs == whole(under, &["v/x", "v/y"]), || format!("directories {dirs:?}"))?;
    ensure(objects == whole(under, &["v/file"]), || format!("objects {objects:?}"))
}
