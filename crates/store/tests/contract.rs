//! The contract of drivers, run on every driver that this crate can open, with and without a runtime; and creation
//! raced by threads and by processes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside test functions")]

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions};
use seawall_store::contract::{Promises, check_all};
use seawall_store::faulty::FaultyStore;
use seawall_store::local::{Expect, MARKER, Modes};
use seawall_store::{DurableLocal, World};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};

fn local(dir: &std::path::Path) -> DurableLocal {
    std::fs::write(dir.join(MARKER), b"{}").unwrap();
    DurableLocal::new(dir.to_owned(), Expect::Repository, Modes::default(), World::system())
}

fn assert_kept(breaches: &[seawall_store::contract::Breach]) {
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_driver_keeps_the_contract_on_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(dir.path());
    assert_kept(&check_all(&store, "contract", Promises::all()).await);
    let wrapped = FaultyStore::new(Arc::new(store), &World::system());
    assert_kept(&check_all(&wrapped, "wrapped/deeper", Promises::all()).await);
    assert!(wrapped.count() > 100);
}

#[test]
fn local_driver_keeps_the_contract_without_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    assert_kept(&futures::executor::block_on(check_all(&local(dir.path()), "c", Promises::all())));
}

#[test]
fn memory_keeps_what_it_promises() {
    let promises =
        Promises { refuses_overwrite: false, missing_delete_is_not_found: false, ..Promises::all() };
    assert_kept(&futures::executor::block_on(check_all(&InMemory::new(), "c", promises)));
}

#[test]
fn contract_notices_a_driver_that_overwrites() {
    let breaches = futures::executor::block_on(check_all(&InMemory::new(), "c", Promises::all()));
    assert!(breaches.iter().any(|breach| breach.check == "overwrite_refused"), "{breaches:?}");
}

const RACERS: u8 = 8;
const ROUNDS: usize = 10;
const RACED_BYTES: usize = 300_000;

fn body(racer: u8) -> Bytes {
    vec![racer; RACED_BYTES + usize::from(racer)].into()
}

/// Puts and says whether it won.
fn race(store: &DurableLocal, name: &str, racer: u8) -> bool {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let path = Path::from(name);
    let put = store.put_opts(&path, body(racer).into(), options);
    match futures::executor::block_on(put) {
        Ok(_) => true,
        Err(object_store::Error::AlreadyExists { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn assert_holds(dir: &std::path::Path, name: &str, winners: &[u8]) {
    let [winner] = winners else { panic!("{name}: the winners are {winners:?}") };
    let found = std::fs::read(dir.join(name)).unwrap();
    assert!(found == body(*winner), "{name} is not what the winner {winner} put");
}

#[test]
fn sixteen_threads_race_and_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(dir.path());
    for round in 0..ROUNDS {
        let (name, barrier) = (format!("race/{round}/object"), Barrier::new(16));
        let winners: Vec<u8> = std::thread::scope(|scope| {
            let start = |racer: u8| {
                let (store, name, barrier) = (&store, &name, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    race(store, name, racer).then_some(racer)
                })
            };
            let racing: Vec<_> = (0..16).map(start).collect();
            racing.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_holds(dir.path(), &name, &winners);
    }
}

const RACE_DIR: &str = "SEAWALL_STORE_TEST_RACE_DIR";
const RACE_NUMBER: &str = "SEAWALL_STORE_TEST_RACE_NUMBER";

/// One process of the race below: waits for the start file, races every round, writes down which it won.
#[test]
#[ignore = "a part of eight_processes_race_and_one_wins, which runs it"]
fn racing_process() {
    let Ok(dir) = std::env::var(RACE_DIR) else { return };
    let racer: u8 = std::env::var(RACE_NUMBER).unwrap().parse().unwrap();
    let dir = std::path::PathBuf::from(dir);
    let store = local(&dir);
    while !dir.join(".start").exists() {
        std::thread::yield_now();
    }
    let won: Vec<String> = (0..ROUNDS)
        .filter(|round| race(&store, &format!("p/{round}/o"), racer))
        .map(|round| round.to_string())
        .collect();
    std::fs::write(dir.join(format!(".won-{racer}")), won.join(" ")).unwrap();
}

#[test]
fn eight_processes_race_and_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(MARKER), b"{}").unwrap();
    let start = |racer: u8| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "racing_process", "--ignored"])
            .env(RACE_DIR, dir.path())
            .env(RACE_NUMBER, racer.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let racing: Vec<_> = (0..RACERS).map(start).collect();
    std::fs::write(dir.path().join(".start"), b"").unwrap();
    for mut process in racing {
        assert!(process.wait().unwrap().success());
    }
    for round in 0..ROUNDS {
        let won = |racer: &u8| {
            let rounds = std::fs::read_to_string(dir.path().join(format!(".won-{racer}"))).unwrap();
            rounds.split(' ').any(|won| won == round.to_string())
        };
        let winners: Vec<u8> = (0..RACERS).filter(won).collect();
        assert_holds(dir.path(), &format!("p/{round}/o"), &winners);
    }
}
