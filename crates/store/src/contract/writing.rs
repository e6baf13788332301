//! Checks of putting and deleting.

use super::{Check, Promises, create, ensure, must_create, must_read, path, pattern};
use bytes::Bytes;
use futures::future::join_all;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

/// A second creation is refused and changes nothing.
pub(super) async fn create_only(store: &dyn ObjectStore, under: &str) -> Check {
    let name = path(under, "create-only");
    let (first, second) = (pattern(1000, 1), pattern(1000, 2));
    must_create(store, &name, &first).await?;
    for again in [&second, &first, &Bytes::new()] {
        match create(store, &name, again).await {
            Err(Error::AlreadyExists { .. }) => {}
            other => return Err(format!("a second creation gave {other:?}")),
        }
    }
    must_read(store, &name, &first).await
}

/// Of sixteen creations at the same time one succeeds, the others are told, and the winner's bytes are there.
pub(super) async fn race_has_one_winner(store: &dyn ObjectStore, under: &str, promises: Promises) -> Check {
    for round in 0..4 {
        let name = path(under, &format!("race/{round}"));
        let bodies: Vec<Bytes> = (0..16).map(|racer| pattern(20_000 + racer, 100 + racer as u64)).collect();
        let results = join_all(bodies.iter().map(|body| create(store, &name, body))).await;
        let mut winners = Vec::new();
        for (racer, result) in results.iter().enumerate() {
            match result {
                Ok(_) => winners.push(racer),
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) if promises.is_too_often(error) => {}
                Err(error) => return Err(format!("racer {racer} got {error}")),
            }
        }
        let [winner] = winners[..] else { return Err(format!("the winners are {winners:?}")) };
        let Some(body) = bodies.get(winner) else { return Err("no such racer".to_owned()) };
        must_read(store, &name, body).await?;
    }
    Ok(())
}

/// Overwriting and updating are refused where promised; the object stays.
pub(super) async fn overwrite_refused(store: &dyn ObjectStore, under: &str, promises: Promises) -> Check {
    if !promises.refuses_overwrite {
        return Ok(());
    }
    let name = path(under, "overwrite");
    let first = pattern(100, 1);
    must_create(store, &name, &first).await?;
    let update = PutMode::Update(object_store::UpdateVersion { e_tag: None, version: None });
    for mode in [PutMode::Overwrite, update] {
        let options = PutOptions { mode, ..PutOptions::default() };
        let answer = store.put_opts(&name, PutPayload::from(pattern(100, 2)), options).await;
        ensure(answer.is_err(), || "an overwrite was accepted".to_owned())?;
    }
    let fresh = path(under, "overwrite-fresh");
    ensure(store.put(&fresh, PutPayload::from(first.clone())).await.is_err(), || {
        "a plain put was accepted".to_owned()
    })?;
    ensure(store.copy(&name, &fresh).await.is_err(), || "a copy was accepted".to_owned())?;
    ensure(store.rename(&name, &fresh).await.is_err(), || "a rename was accepted".to_owned())?;
    must_read(store, &name, &first).await
}

/// Names with what people put in names are kept to the letter.
pub(super) async fn odd_names(store: &dyn ObjectStore, under: &str) -> Check {
    let long = "n".repeat(200);
    let names = [
        "with space",
        "qu'o\"te",
        "percent%2Fsign",
        "ümläut/日本語",
        "plus+and&",
        "semi;colon",
        "#hash",
        "a#1",
        "back\\slash",
        "dollar$(x)",
        "star*?",
        "[brackets]",
        "tilde~",
        "colon:name",
        "-dash",
        "trailing.",
        "UPPER",
        "upper",
        long.as_str(),
    ];
    for (salt, name) in names.iter().enumerate() {
        must_create(store, &path(under, &format!("odd/{name}")), &pattern(50, salt as u64)).await?;
    }
    for (salt, name) in names.iter().enumerate() {
        must_read(store, &path(under, &format!("odd/{name}")), &pattern(50, salt as u64)).await?;
    }
    Ok(())
}

/// What is deleted is gone, and only that.
pub(super) async fn delete(store: &dyn ObjectStore, under: &str, promises: Promises) -> Check {
    let (gone, stays) = (path(under, "delete/deep/gone"), path(under, "delete/stays"));
    must_create(store, &gone, &pattern(10, 1)).await?;
    must_create(store, &stays, &pattern(10, 2)).await?;
    promises.rest();
    store.delete(&gone).await.map_err(|error| format!("delete: {error}"))?;
    let after = store.head(&gone).await;
    ensure(matches!(after, Err(Error::NotFound { .. })), || {
        format!("after the deletion head gives {after:?}")
    })?;
    let again = store.delete(&gone).await;
    let told = matches!(again, Err(Error::NotFound { .. }));
    ensure(told || (!promises.missing_delete_is_not_found && again.is_ok()), || {
        format!("deleting what is not there gives {again:?}")
    })?;
    must_read(store, &stays, &pattern(10, 2)).await?;
    promises.rest();
    must_create(store, &gone, &pattern(10, 3)).await?;
    must_read(store, &gone, &pattern(10, 3)).await
}
