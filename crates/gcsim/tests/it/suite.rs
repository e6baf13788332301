//! `object_store`'s own public test functions: those that it runs its Google driver with on the real service.

use object_store::integration::*;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _, PutPayload};
use serde_json::json;

use crate::support::{driver, driver_as, simulator, simulator_with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drivers_own_suite_passes() {
    // `get_opts` reads a version that was replaced, which needs versioning; writing a name many times a second is what
    // the suite does and the service refuses.
    let simulator = simulator_with(&json!({ "versioning": { "enabled": true } }));
    simulator.rate_limit(false).unwrap();
    let store = driver(&simulator);
    put_get_delete_list(&store).await;
    list_with_offset_exclusivity(&store).await;
    list_uses_directories_correctly(&store).await;
    list_with_delimiter(&store).await;
    rename_and_copy(&store).await;
    copy_if_not_exists(&store).await;
    copy_rename_nonexistent_object(&store).await;
    stream_get(&store).await;
    multipart(&store, &store).await;
    multipart_with_opts(&store, &store).await;
    multipart_put_part_out_of_order(&store, &store).await;
    multipart_race_condition(&store, true).await;
    multipart_out_of_order(&store).await;
    list_paginated(&store, &store).await;
    get_opts(&store).await;
    put_opts(&store, true).await;
    put_get_attributes(&store).await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let simulator = simulator();
    for store in [driver(&simulator), driver_as(&simulator, "nonexistentname", "anything")] {
        let location = Path::from("nonexistentname");
        let error = get_nonexistent_object(&store, Some(location.clone())).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        let error = store.delete(&location).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    let store = driver_as(&simulator, "nonexistentname", "anything");
    let error = store.put(&Path::from("a"), PutPayload::from("b")).await.unwrap_err().to_string();
    assert!(error.contains("404 Not Found"), "{error}");
}
