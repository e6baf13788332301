//! Many writers at once: one wins, always.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};

use crate::support::{driver, simulator};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_creators_one_wins() {
    let simulator = simulator();
    let store = Arc::new(driver(&simulator));
    for round in 0..8 {
        let path = Path::from(format!("created/{round}"));
        let tries = (0..16).map(|writer| {
            let (store, path) = (Arc::clone(&store), path.clone());
            tokio::spawn(async move {
                let body = Bytes::from(format!("writer {writer}"));
                (writer, store.put_opts(&path, body.into(), PutOptions::from(PutMode::Create)).await)
            })
        });
        let mut winners = Vec::new();
        for (writer, result) in join_all(tries).await.into_iter().map(Result::unwrap) {
            match result {
                Ok(_) => winners.push(writer),
                Err(Error::AlreadyExists { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(winners.len(), 1);
        let found = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(found, format!("writer {}", winners[0]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_that_replace_one_generation_one_wins_and_generations_grow() {
    let simulator = simulator();
    simulator.rate_limit(false).unwrap();
    let store = Arc::new(driver(&simulator));
    let path = Path::from("replaced");
    let mut last = store.put(&path, "0".into()).await.unwrap().version;
    for _ in 0..8 {
        let tries = (0..16).map(|_| {
            let (store, path, version) = (Arc::clone(&store), path.clone(), last.clone());
            tokio::spawn(async move {
                let mode = PutMode::Update(UpdateVersion { e_tag: None, version });
                store.put_opts(&path, "x".into(), PutOptions::from(mode)).await
            })
        });
        let results = join_all(tries).await.into_iter().map(Result::unwrap);
        let won: Vec<_> = results.filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1);
        let generation = |version: &Option<String>| version.as_ref().unwrap().parse::<u64>().unwrap();
        assert!(generation(&won[0].version) > generation(&last));
        last = won[0].version.clone();
    }
}
