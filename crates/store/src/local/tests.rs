//! What the local driver promises beyond the contract.

use super::*;
use crate::durable::{Step, Watch};
use crate::error::{ErrorKind, Failure};
use crate::testing::{block_on, local, temps};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutMode};
use std::io;
use std::sync::Mutex;

fn create(store: &DurableLocal, name: &str, body: impl Into<PutPayload>) -> Result<PutResult> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    block_on(store.put_opts(&Path::parse(name).unwrap(), body.into(), options))
}

fn read(store: &DurableLocal, name: &str) -> Result<Bytes> {
    block_on(async { store.get(&Path::parse(name).unwrap()).await?.bytes().await })
}

fn names(store: &DurableLocal, prefix: Option<&str>) -> Result<Vec<String>> {
    let prefix = prefix.map(|prefix| Path::parse(prefix).unwrap());
    let objects: Vec<ObjectMeta> = block_on(store.list(prefix.as_ref()).try_collect())?;
    Ok(objects.into_iter().map(|object| object.location.to_string()).collect())
}

#[derive(Debug, Default)]
struct Recorder {
    steps: Mutex<Vec<Step>>,
    fail_at: Option<usize>,
}

impl Watch for Recorder {
    fn before(&self, step: &Step) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap();
        steps.push(step.clone());
        if Some(steps.len()) == self.fail_at { Err(io::Error::from(rustix::io::Errno::IO)) } else { Ok(()) }
    }
}

fn watched(dir: &std::path::Path, fail_at: Option<usize>) -> (DurableLocal, Arc<Recorder>) {
    let recorder = Arc::new(Recorder { steps: Mutex::default(), fail_at });
    std::fs::write(dir.join(MARKER), b"{}").unwrap();
    let watch: Arc<dyn Watch> = recorder.clone();
    (DurableLocal::watched(dir.to_owned(), Expect::Repository, World::seeded(1), watch), recorder)
}

/// Power loss by the book: content survives once its file was synced, a name once its directory was synced after it
/// was given. Walks the steps and checks that no name is ever given to unsynced content, and that at the end every
/// name on the way to the object is on disk.
fn assert_survives_power_loss(steps: &[Step], object: &std::path::Path, root: &std::path::Path) {
    let mut synced_content = Vec::new();
    let mut names_at_risk: Vec<PathBuf> = Vec::new();
    let mut given = false;
    for step in steps {
        match step {
            Step::SyncFile(path) => synced_content.push(path.clone()),
            Step::Write(path, _) => synced_content.retain(|synced| synced != path),
            Step::Link(temp, name) => {
                assert!(synced_content.contains(temp), "{name:?} was given to unsynced content");
                given |= name == object;
                names_at_risk.push(name.clone());
            }
            Step::MakeDir(path) => names_at_risk.push(path.clone()),
            Step::SyncDir(dir) => names_at_risk.retain(|name| name.parent() != Some(dir)),
            Step::Create(_) | Step::Rename(..) | Step::Remove(_) => {}
        }
    }
    assert!(given, "the object never got its name");
    names_at_risk.retain(|name| name.starts_with(root));
    assert_eq!(names_at_risk, Vec::<PathBuf>::new(), "names that a power loss would take");
}

#[test]
fn done_means_on_disk_up_to_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let (store, recorder) = watched(dir.path(), None);
    create(&store, "a/b/c", "body").unwrap();
    let steps = recorder.steps.lock().unwrap().clone();
    assert_survives_power_loss(&steps, &dir.path().join("a/b/c"), dir.path());
    assert!(steps.contains(&Step::SyncDir(dir.path().to_owned())), "the root holds the name of a");
}

#[test]
fn failure_at_any_step_is_an_error_and_a_second_try_settles_it() {
    let mut failed = 0;
    for fail_at in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let (store, recorder) = watched(dir.path(), Some(fail_at));
        let first = create(&store, "a/b", "body");
        if recorder.steps.lock().unwrap().len() < fail_at {
            first.unwrap();
            break;
        }
        let first = first.expect_err("a failed step was passed over");
        assert_eq!(Failure::of(first).kind, ErrorKind::Unavailable, "step {fail_at}");
        assert_eq!(temps(dir.path()), Vec::<PathBuf>::new(), "step {fail_at}");
        match create(&store, "a/b", "body") {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => panic!("step {fail_at}: {error}"),
        }
        assert_eq!(read(&store, "a/b").unwrap(), "body");
        assert_survives_power_loss(&recorder.steps.lock().unwrap(), &dir.path().join("a/b"), dir.path());
        failed += 1;
    }
    assert_eq!(failed, 8, "mkdir, sync root; create, write, sync, link, remove, sync");
}

#[test]
fn missing_root_or_marker_is_an_outage_for_every_call() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("mnt");
    std::fs::create_dir(&root).unwrap();
    let store = local(&root, &World::seeded(1));
    create(&store, "a/b", "body").unwrap();
    let kind = |error| Failure::of(error).kind;
    let ask_all = || {
        let gone = Path::from("a/b");
        vec![
            ("get", read(&store, "a/b").map(drop)),
            ("get missing", read(&store, "x").map(drop)),
            ("head", block_on(store.head(&gone)).map(drop)),
            ("ranges", block_on(store.get_ranges(&gone, &[0..1, 1..2])).map(drop)),
            ("put", create(&store, "c", "body").map(drop)),
            ("delete", block_on(store.delete(&gone))),
            ("list", names(&store, None).map(drop)),
            ("list beneath", names(&store, Some("a")).map(drop)),
            ("level", block_on(store.list_with_delimiter(None)).map(drop)),
            ("sweep", block_on(store.sweep()).map(drop)),
        ]
    };
    // Unmounted: the mount point is there and empty. Then: not even that. Then: a file in its place.
    std::fs::rename(&root, dir.path().join("volume")).unwrap();
    std::fs::create_dir(&root).unwrap();
    for (call, answer) in ask_all() {
        assert_eq!(kind(answer.expect_err(call)), ErrorKind::Unavailable, "{call}");
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing was put on the wrong disk");
    std::fs::remove_dir(&root).unwrap();
    for (call, answer) in ask_all() {
        assert_eq!(kind(answer.expect_err(call)), ErrorKind::Unavailable, "{call}");
    }
    std::fs::write(&root, b"").unwrap();
    for (call, answer) in ask_all() {
        assert_ne!(kind(answer.expect_err(call)), ErrorKind::NotFound, "{call}");
    }
    std::fs::remove_file(&root).unwrap();
    std::fs::rename(dir.path().join("volume"), &root).unwrap();
    assert_eq!(read(&store, "a/b").unwrap(), "body");
    assert_eq!(kind(read(&store, "x").unwrap_err()), ErrorKind::NotFound);
}

#[test]
fn name_beneath_an_object_is_not_a_positive_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(dir.path(), &World::seeded(1));
    create(&store, "a", "body").unwrap();
    assert_ne!(Failure::of(read(&store, "a/b").unwrap_err()).kind, ErrorKind::NotFound);
    assert_ne!(Failure::of(create(&store, "a/b", "x").unwrap_err()).kind, ErrorKind::NotFound);
}

#[test]
fn listing_is_loud_about_what_it_cannot_list_and_silent_about_what_is_no_object() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(dir.path(), &World::seeded(1));
    create(&store, "c/object", "body").unwrap();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    std::fs::write(dir.path().join("lost+found/x"), b"").unwrap();
    std::fs::write(dir.path().join("c/.seawall-tmp-1"), b"").unwrap();
    std::fs::write(dir.path().join("c/.nfs0001"), b"").unwrap();
    assert_eq!(names(&store, None).unwrap(), ["c/object", "seawall.json"]);
    std::os::unix::fs::symlink("object", dir.path().join("c/link")).unwrap();
    assert_eq!(Failure::of(names(&store, Some("c")).unwrap_err()).kind, ErrorKind::Damaged);
    assert_eq!(Failure::of(read(&store, "c/link").unwrap_err()).kind, ErrorKind::Damaged);
}

#[test]
fn reserved_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(dir.path(), &World::seeded(1));
    for name in [".hidden", "a/.seawall-tmp-1", "a/.b/c"] {
        assert_eq!(
            Failure::of(create(&store, name, "x").unwrap_err()).kind,
            ErrorKind::InvalidName,
            "{name}"
        );
    }
}

#[test]
fn readers_see_all_of_an_object_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(dir.path(), &World::system());
    const BYTES: usize = 3 << 20;
    const ROUNDS: u8 = 12;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    let body = loop {
                        match read(&store, &format!("d{round}/object")) {
                            Ok(body) => break body,
                            Err(object_store::Error::NotFound { .. }) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    };
                    assert_eq!(body.len(), BYTES);
                    assert!(body.iter().all(|byte| *byte == round), "mixed content");
                }
            });
        }
        scope.spawn(|| {
            for round in 0..ROUNDS {
                create(&store, &format!("d{round}/object"), vec![round; BYTES]).unwrap();
            }
        });
    });
}

#[test]
fn puts_survive_deletions_that_empty_their_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(dir.path(), &World::system());
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..60 {
                    let name = format!("deep/er/{writer}-{round}");
                    create(store, &name, "x").unwrap();
                    block_on(store.delete(&Path::from(name))).unwrap();
                }
            });
        }
    });
    assert_eq!(names(&store, None).unwrap(), [MARKER]);
    assert!(!dir.path().join("deep").exists(), "empty directories were left");
}

/// Names from a small alphabet, so that files and directories sort into each other in every way.
fn some_names() -> impl proptest::strategy::Strategy<Value = std::collections::BTreeSet<String>> {
    proptest::collection::btree_set("[ab-]{1,2}(/[ab-]{1,2}){0,2}", 0..12)
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(48))]

    #[test]
    fn listing_is_the_sorted_names_from_any_offset(wanted in some_names(), after in "[ab-]{1,2}(/[ab-]{1,2}){0,2}") {
        let dir = tempfile::tempdir().unwrap();
        let store = local(dir.path(), &World::seeded(1));
        // A name beneath an object's name cannot be kept by files; such names are left out.
        let kept: Vec<String> =
            wanted.iter().filter(|name| create(&store, &format!("p/{name}"), "x").is_ok()).cloned().collect();
        let under = |name: &String| format!("p/{name}");
        let all: Vec<String> = kept.iter().map(under).collect();
        proptest::prop_assert_eq!(names(&store, Some("p")).unwrap(), all.clone());
        let offset = Path::from(under(&after));
        let listed = store.list_with_offset(Some(&Path::from("p")), &offset);
        let found: Vec<String> =
            block_on(listed.map_ok(|object| object.location.to_string()).try_collect()).unwrap();
        let expected: Vec<String> = all.into_iter().filter(|name| name.as_str() > offset.as_ref()).collect();
        proptest::prop_assert_eq!(found, expected);
    }
}
