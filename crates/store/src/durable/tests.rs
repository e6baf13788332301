//! What `durable` promises, step by step.

use super::*;
use crate::testing::temps;
use crate::world::SeededRandom;
use std::sync::{Arc, Mutex};

/// Writes every step down; fails the one with the number `fail_at` (from 0).
#[derive(Debug, Default)]
struct Recorder {
    steps: Mutex<Vec<Step>>,
    fail_at: Option<usize>,
}

impl Watch for Recorder {
    fn before(&self, step: &Step) -> io::Result<()> {
        let mut steps = self.steps.lock().unwrap();
        let number = steps.len();
        steps.push(step.clone());
        if Some(number) == self.fail_at { Err(io::Error::from(rustix::io::Errno::IO)) } else { Ok(()) }
    }
}

fn failing_at(step: Option<usize>) -> Arc<Recorder> {
    Arc::new(Recorder { steps: Mutex::default(), fail_at: step })
}

fn random() -> SeededRandom {
    SeededRandom::new(3)
}

fn open(dir: &tempfile::TempDir) -> DirHandle {
    DirHandle::open(dir.path()).unwrap()
}

/// The kinds of steps, with the last part of the (last) name; temporary names as "temp".
fn told(recorder: &Recorder) -> Vec<String> {
    let leaf = |path: &Path| {
        let name = path.file_name().unwrap();
        if is_temp_name(name) { "temp".to_owned() } else { name.to_string_lossy().into_owned() }
    };
    let tell = |step: &Step| match step {
        Step::MakeDir(path) => format!("mkdir {}", leaf(path)),
        Step::Create(path) => format!("create {}", leaf(path)),
        Step::Write(path, bytes) => format!("write {} {bytes}", leaf(path)),
        Step::SyncFile(path) => format!("sync-file {}", leaf(path)),
        Step::SyncDir(path) => format!("sync-dir {}", leaf(path)),
        Step::Link(from, to) => format!("link {} {}", leaf(from), leaf(to)),
        Step::Rename(from, to) => format!("rename {} {}", leaf(from), leaf(to)),
        Step::Remove(path) => format!("remove {}", leaf(path)),
    };
    recorder.steps.lock().unwrap().iter().map(tell).collect()
}

#[test]
fn hostile_names_are_refused() {
    for bad in ["", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a/./b", "a//b", "a/", "a\0b"]
    {
        assert!(check_relative(Path::new(bad)).is_err(), "{bad:?}");
    }
    for good in ["a", "a/b", "a b", "..a", "a..", "base/16384/2619_fsm"] {
        check_relative(Path::new(good)).unwrap();
    }
}

#[test]
fn created_file_is_synced_before_it_has_its_name_and_its_name_before_ok() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = failing_at(None);
    std::fs::create_dir(dir.path().join("d")).unwrap();
    open(&dir).watched(recorder.clone()).create_new("d/f", &[b"abc", b"de"], 0o600, &random()).unwrap();
    let expected = [
        "create temp",
        "write temp 3",
        "write temp 2",
        "sync-file temp",
        "link temp f",
        "remove temp",
        "sync-dir d",
    ];
    assert_eq!(told(&recorder), expected);
    assert_eq!(std::fs::read(dir.path().join("d/f")).unwrap(), b"abcde");
    assert_eq!(open(&dir).metadata("d/f").unwrap().mode, 0o600);
    assert_eq!(open(&dir).metadata("d/f").unwrap().links, 1);
}

#[test]
fn taken_name_is_untouched_and_synced_for_who_made_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), b"first").unwrap();
    let recorder = failing_at(None);
    let answer = open(&dir).watched(recorder.clone()).create_new("f", &[b"second"], 0o600, &random());
    assert!(matches!(answer, Err(DurableError::AlreadyExists { .. })), "{answer:?}");
    let leaf = dir.path().file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(told(&recorder), ["sync-file f".to_owned(), format!("sync-dir {leaf}")]);
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"first");
}

#[test]
fn failure_at_any_step_leaves_all_or_nothing_and_no_temporary_file() {
    let mut steps = 0;
    for fail_at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let answer =
            open(&dir).watched(failing_at(Some(fail_at))).create_new("f", &[b"new"], 0o600, &random());
        assert_eq!(temps(dir.path()), Vec::<PathBuf>::new(), "step {fail_at}");
        match std::fs::read(dir.path().join("f")) {
            Ok(content) => assert_eq!(content, b"new", "step {fail_at}"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                assert!(answer.is_err(), "step {fail_at} said done");
            }
        }
        if answer.is_ok() {
            break;
        }
        steps += 1;
    }
    assert_eq!(steps, 6, "create, write, sync, link, remove, sync");
}

#[test]
fn replace_shows_old_or_new_whatever_step_fails() {
    for fail_at in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        replace(&dir.path().join("f"), b"old", 0o600, &random()).unwrap();
        let recorder = failing_at(Some(fail_at));
        let answer = open(&dir).watched(recorder).replace("f", &[b"newer"], 0o640, &random());
        assert!(answer.is_err(), "step {fail_at}");
        assert_eq!(temps(dir.path()), Vec::<PathBuf>::new(), "step {fail_at}");
        let content = std::fs::read(dir.path().join("f")).unwrap();
        assert_eq!(content, if fail_at < 4 { b"old".to_vec() } else { b"newer".to_vec() }, "step {fail_at}");
    }
}

#[test]
fn replace_goes_by_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = failing_at(None);
    open(&dir).watched(recorder.clone()).replace("f", &[b"x"], 0o600, &random()).unwrap();
    let leaf = dir.path().file_name().unwrap().to_string_lossy().into_owned();
    let expected = ["create temp", "write temp 1", "sync-file temp", "rename temp f"].map(String::from);
    assert_eq!(told(&recorder)[..4], expected);
    assert_eq!(told(&recorder)[4], format!("sync-dir {leaf}"));
}

#[test]
fn temporary_names_are_not_for_callers() {
    let dir = tempfile::tempdir().unwrap();
    let answer = open(&dir).create_new(".seawall-tmp-1", &[b"x"], 0o600, &random());
    assert!(matches!(answer, Err(DurableError::UnsafeName { .. })));
}

#[test]
fn read_whole_holds_to_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    create_new(&dir.path().join("f"), &[7; 1000], 0o600, &random()).unwrap();
    assert_eq!(read_whole(&dir.path().join("f"), 1000).unwrap(), [7; 1000]);
    let answer = read_whole(&dir.path().join("f"), 999);
    assert!(
        matches!(answer, Err(DurableError::TooLarge { size_bytes: 1000, limit_bytes: 999, .. })),
        "{answer:?}"
    );
    assert!(read_whole(&dir.path().join("none"), 1).unwrap_err().is_not_found());
}

/// Stamps `dir` as changed five seconds later than it is: to the file system's users, time has passed.
fn let_time_pass(dir: &Path) {
    let file = std::fs::File::open(dir).unwrap();
    let changed = file.metadata().unwrap().modified().unwrap();
    file.set_modified(changed + std::time::Duration::from_secs(5)).unwrap();
}

#[test]
fn each_new_directory_has_its_name_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = failing_at(None);
    let made = MadeDirs::default();
    let handle = open(&dir).watched(recorder.clone());
    handle.ensure_dirs("a/b", 0o750, &made).unwrap();
    let top = dir.path().file_name().unwrap().to_string_lossy().into_owned();
    let first =
        ["mkdir a".to_owned(), format!("sync-dir {top}"), "mkdir b".to_owned(), "sync-dir a".to_owned()];
    assert_eq!(told(&recorder), first);
    let_time_pass(&dir.path().join("a"));
    handle.ensure_dirs("a/b", 0o750, &made).unwrap();
    assert_eq!(told(&recorder).len(), 6, "too young to be remembered the first time");
    handle.ensure_dirs("a/b", 0o750, &made).unwrap();
    assert_eq!(told(&recorder).len(), 6, "known to be on disk");
    handle.ensure_dirs("a/b", 0o750, &MadeDirs::default()).unwrap();
    let again = [format!("sync-dir {top}"), "sync-dir a".to_owned()];
    assert_eq!(told(&recorder)[6..], again, "somebody else's, perhaps unsynced");
    assert_eq!(handle.metadata("a/b").unwrap().mode, 0o750);
}

#[test]
fn directory_made_again_by_another_process_is_synced_again() {
    for time_passes in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (recorder, made) = (failing_at(None), MadeDirs::default());
        let handle = open(&dir).watched(recorder.clone());
        handle.ensure_dirs("a", 0o750, &made).unwrap();
        if time_passes {
            let_time_pass(&dir.path().join("a"));
            handle.ensure_dirs("a", 0o750, &made).unwrap();
        }
        // Births are stamped by a coarse clock: without this the new directory can have the old one's birth, which
        // no real sequence of a second and more can.
        let born = |path: &Path| std::fs::metadata(path).unwrap().created().unwrap();
        let first_born = born(&dir.path().join("a"));
        let synced_before = told(&recorder).len();
        loop {
            std::fs::remove_dir(dir.path().join("a")).unwrap();
            std::fs::create_dir(dir.path().join("a")).unwrap();
            if !time_passes || born(&dir.path().join("a")) != first_born {
                break;
            }
        }
        handle.ensure_dirs("a", 0o750, &made).unwrap();
        assert_eq!(told(&recorder).len(), synced_before + 1, "time passes: {time_passes}");
    }
}

#[test]
fn ensure_dir_makes_what_is_missing_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("x/y/z");
    assert_eq!(ensure_dir(&deep, 0o700).unwrap().path(), deep);
    assert_eq!(ensure_dir(&deep, 0o755).unwrap().own_metadata().unwrap().mode, 0o700);
    std::fs::write(dir.path().join("file"), b"").unwrap();
    assert!(ensure_dir(&dir.path().join("file/below"), 0o700).is_err());
}

#[test]
fn sweep_takes_the_dead_and_leaves_the_living() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::write(dir.path().join("d/.seawall-tmp-dead"), b"half").unwrap();
    std::fs::write(dir.path().join("d/object"), b"whole").unwrap();
    let handle = open(&dir);
    let living = temp::Temp::create(&handle, 0o600, &random()).unwrap();
    assert_eq!(handle.sweep_temps().unwrap(), SweptTemps { removed: 1, in_use: 1 });
    assert_eq!(temps(dir.path()).len(), 1);
    drop(living);
    assert_eq!(temps(dir.path()).len(), 0);
    assert_eq!(std::fs::read(dir.path().join("d/object")).unwrap(), b"whole");
}

#[test]
fn no_symbolic_link_leads_out() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), b"s").unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("leaf")).unwrap();
    let handle = open(&dir);
    for name in ["out/secret", "leaf"] {
        let answer = handle.open_read(name);
        assert!(matches!(answer, Err(DurableError::WrongKind { .. })), "{name}: {answer:?}");
    }
    assert!(handle.create_file("out/new", 0o600).is_err());
    assert!(handle.make_dir("out/new", 0o700).is_err());
    assert!(handle.create_new("out/new", &[b"x"], 0o600, &random()).is_err());
    assert!(handle.ensure_dirs("out/new", 0o700, &MadeDirs::default()).is_err());
    assert!(handle.remove_file("out/secret").is_err());
    assert!(handle.rename("leaf", "out/leaf").is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(outside.path().join("secret").exists());
}

#[test]
fn walking_by_hand_follows_links_no_more_than_openat2() {
    use rustix::fd::AsFd;
    use rustix::fs::{Mode, OFlags};
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::write(dir.path().join("d/f"), b"f").unwrap();
    std::os::unix::fs::symlink("d", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("f", dir.path().join("d/leaf")).unwrap();
    let handle = open(&dir);
    let walk = |name: &str| beneath::walk(handle.fd.as_fd(), Path::new(name), OFlags::RDONLY, Mode::empty());
    walk("d/f").unwrap();
    for name in ["link/f", "d/leaf", "../x", "/etc/passwd", "d/../d/f", ""] {
        assert!(walk(name).is_err(), "{name:?}");
    }
}

#[test]
fn files_are_written_in_place_with_holes() {
    let dir = tempfile::tempdir().unwrap();
    let handle = open(&dir);
    let file = handle.create_file("f", 0o600).unwrap();
    file.set_len(1 << 20).unwrap();
    file.write_at(b"end", (1 << 20) - 3).unwrap();
    let facts = file.metadata().unwrap();
    assert_eq!(facts.size_bytes, 1 << 20);
    assert!(facts.allocated_bytes <= 64 << 10, "a hole takes {} bytes", facts.allocated_bytes);
    let mut tail = [0; 10];
    assert_eq!(file.read_at(&mut tail, (1 << 20) - 5).unwrap(), 5, "ends with the file");
    assert_eq!(&tail[..5], b"\0\0end");
    file.make_zero((1 << 20) - 3, 2).unwrap();
    assert_eq!(file.read_whole(1 << 20).unwrap()[(1 << 20) - 3..], *b"\0\0d");
    assert!(matches!(handle.create_file("f", 0o600), Err(DurableError::AlreadyExists { .. })));
    handle.rename_new("f", "g").unwrap();
    handle.symlink("l", Path::new("/anywhere")).unwrap();
    assert_eq!(handle.read_link("l").unwrap(), Path::new("/anywhere"));
    assert!(matches!(handle.rename_new("l", "g"), Err(DurableError::AlreadyExists { .. })));
}

#[test]
fn whole_tree_is_synced_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    for name in ["f", "a/g", "a/b/h"] {
        std::fs::write(dir.path().join(name), b"x").unwrap();
    }
    let recorder = failing_at(None);
    let handle = open(&dir).watched(recorder.clone());
    handle.sync_tree().unwrap();
    let top = dir.path().file_name().unwrap().to_string_lossy().into_owned();
    let mut steps = told(&recorder);
    steps.sort();
    let mut expected =
        ["sync-dir a", "sync-dir b", "sync-file f", "sync-file g", "sync-file h"].map(String::from).to_vec();
    expected.push(format!("sync-dir {top}"));
    expected.sort();
    assert_eq!(steps, expected);
    handle.sync_file_system().unwrap();
}
