//! A bucket of whoever has one: `make test-cloud BUCKET=gs://bucket/prefix` runs this.
//!
//! `SEAWALL_TEST_BUCKET` is its URL and `SEAWALL_TEST_OPTIONS` a TOML file of what a region's settings may have beside that (`credentials_file`,
//! `endpoint`, `aws_region`, `account`, ...). Everything lies beneath a new name in it, which is told, and which is emptied where this login
//! may delete.

use seawall_store::contract::Promises;
use seawall_store::{Access, Deleted, Limits, Region, RegionConfig, RegionName, Role, World};

use bytes::Bytes;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "wants a bucket: make test-cloud BUCKET=gs://bucket/prefix"]
async fn a_bucket_keeps_the_contract() {
    let Ok(bucket) = std::env::var("SEAWALL_TEST_BUCKET") else { return };
    let access: Access = std::env::var_os("SEAWALL_TEST_OPTIONS").map_or_else(Access::default, |file| {
        toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    });
    let world = World::system();
    let run = format!("{}/contract-{:016x}", bucket.trim_end_matches('/'), world.random.next_u64().unwrap());
    println!("everything lies beneath {run}");
    let config = RegionConfig {
        name: RegionName::new("cloud").unwrap(),
        url: run.clone(),
        access,
        role: Role::Copy,
        limits: Limits::default(),
    };
    let founding = Region::found(config.clone(), &world).unwrap();
    assert!(founding.put_new("seawall.json", &Bytes::from_static(b"{}")).await.unwrap().is_stored());
    let region = Region::open(config, &world).unwrap();
    println!("{:#?}", region.about().await.unwrap());
    assert!(region.may_create().await.unwrap());
    let may_delete = region.may_delete().await;
    println!("may delete: {may_delete:?}");
    super::keeps_the_contract(&region, promises(&bucket)).await;
    super::one_of_many_creators_wins(&region).await;
    let mut left = 0;
    for object in region.list_collect("").await.unwrap() {
        left += usize::from(!matches!(region.delete(&object.name).await, Ok(Deleted::Deleted)));
    }
    println!("objects left beneath {run}: {left}");
    assert!(left == 0 || may_delete != Ok(true), "what may be deleted is deleted");
}

/// What the services differ in.
fn promises(url: &str) -> Promises {
    let all = Promises::all();
    match url.split_once("://") {
        Some(("s3", _)) => Promises { missing_delete_is_not_found: false, ..all },
        Some(("gs", _)) => Promises { writes_at_any_rate: false, ..all },
        Some(("az", _)) => Promises { suffix_ranges: false, ..all },
        _ => all,
    }
}
