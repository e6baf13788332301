//! `tools/rescue.py`, which knows the repository from `docs/FORMAT.md` alone, on the golden repositories.
//!
//! Promises that what it restores is what was backed up, entry by entry and byte by byte (by hash), and that it ends with an
//! error that names the object wherever one bit of what it reads was flipped, an object is gone, cut short or exchanged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use seawall_testkit::{Outcome, bins, run};

const SYSTEMS: [&str; 2] = ["7300000000000000001", "7300000000000000002"];

/// A copy of a golden repository that a test may damage.
struct Golden {
    flavour: &'static str,
    scratch: tempfile::TempDir,
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn golden(rest: &str) -> PathBuf {
    checkout().join("crates/repo/tests/golden/v1").join(rest)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

impl Golden {
    fn copy(flavour: &'static str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let from = golden(flavour).join("region");
        for file in files_below(&from) {
            let to = scratch.path().join("region").join(file.strip_prefix(&from).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(file, to).unwrap();
        }
        Self { flavour, scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join("region").join(name)
    }

    /// A directory that is not there yet.
    fn target(&self) -> PathBuf {
        let target = self.scratch.path().join("target");
        if target.exists() {
            std::fs::remove_dir_all(&target).unwrap();
        }
        target
    }

    fn rescue(&self, verb: &[&str]) -> Outcome {
        let owner = std::fs::read_to_string(golden(self.flavour).join("owner.txt")).unwrap();
        let mut command = Command::new(bins::rescue_python().unwrap());
        command.arg(checkout().join("tools/rescue.py")).arg(self.path(""));
        command.args(["--owner", owner.trim()]);
        if self.flavour.ends_with("encrypted") {
            command.arg("--identity").arg(golden(self.flavour).join("identity-2.txt"));
        }
        run(command.args(verb)).unwrap()
    }

    fn restore(&self, backup: &str) -> (Outcome, PathBuf) {
        let target = self.target();
        (self.rescue(&["restore", "orders", backup, target.to_str().unwrap()]), target)
    }

    fn wal(&self, system: &str) -> (Outcome, PathBuf) {
        let target = self.target();
        (self.rescue(&["wal", "orders", system, target.to_str().unwrap()]), target)
    }

    fn backups(&self) -> Vec<String> {
        let folder = self.path(&format!("orders/{}/manifest", SYSTEMS[0]));
        let mut names: Vec<_> = files_below(&folder).iter().map(|path| name_of(path)).collect();
        names.sort();
        names
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// What was kept of a backup or an archive: the line of each path.
fn expected(name: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(golden("expected").join(name)).unwrap();
    let path_of = |line: &str| {
        let fields = if line.starts_with("file") { 5 } else { 3 };
        let rest = line.splitn(fields, ' ').last().unwrap().to_owned();
        if line.starts_with("link") { rest.rsplit_once(' ').unwrap().0.to_owned() } else { rest }
    };
    text.lines().map(|line| (path_of(line), line.to_owned())).collect()
}

/// The line of each path below a directory.
fn found(root: &Path) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
            let about = path.symlink_metadata().unwrap();
            let mode = about.permissions().mode() & 0o7777;
            let line = if about.is_dir() {
                folders.push(path);
                format!("directory {mode:04o} {name}")
            } else if about.is_symlink() {
                format!("link {mode:04o} {name} {}", path.read_link().unwrap().display())
            } else {
                let content = std::fs::read(&path).unwrap();
                format!("file {mode:04o} {} {} {name}", content.len(), blake3::hash(&content).to_hex())
            };
            lines.insert(name, line);
        }
    }
    lines
}

/// Compares a restored tree with what was backed up; rescue makes a tablespace's link a directory, and adds backup_label.
fn assert_restored(backup: &str, target: &Path) {
    let mut wanted = expected(&format!("{backup}.tree"));
    wanted.retain(|path, _| !path.starts_with("@seawall/"));
    let mut found = found(target);
    assert!(found.remove("backup_label").is_some(), "no backup_label");
    let label = std::fs::read_to_string(target.join("backup_label")).unwrap();
    assert!(label.starts_with("START WAL LOCATION: 0/100028") && label.contains("LABEL: golden"), "{label}");
    found.retain(|path, line| !(path.starts_with("@external") && line.starts_with("directory")));
    wanted.insert("pg_tblspc/16400".to_owned(), "directory 0700 pg_tblspc/16400".to_owned());
    for (path, line) in &mut wanted {
        if line.starts_with("empty") {
            assert!(std::fs::read_dir(target.join(path)).unwrap().next().is_none(), "{path}");
            *line = line.replacen("empty", "directory", 1);
        }
    }
    assert_eq!(found, wanted, "{backup}");
}

fn list_and_restore_everything(flavour: &'static str) {
    let golden = Golden::copy(flavour);
    let backups = golden.backups();
    let listed = golden.rescue(&["list"]).expect_code(0).unwrap().stdout;
    let ids: Vec<_> = listed.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(ids, backups, "{listed}");
    assert_eq!(backups.len(), 3);
    for backup in &backups {
        let (outcome, target) = golden.restore(backup);
        outcome.expect_code(0).unwrap();
        assert_restored(backup, &target);
    }
    for system in SYSTEMS {
        let (outcome, target) = golden.wal(system);
        let said = outcome.expect_code(0).unwrap().stdout;
        let wanted = expected(&format!("{system}.wal"));
        assert_eq!(said.lines().count(), wanted.len(), "{said}");
        let without_mode = |line: &String| line.replacen(line.split(' ').nth(1).unwrap(), "0000", 1);
        let found: BTreeMap<_, _> =
            found(&target).iter().map(|(path, line)| (path.clone(), without_mode(line))).collect();
        assert_eq!(found, wanted);
    }
}

#[test]
fn the_sealed_repository_is_restored_from_the_document_alone() {
    list_and_restore_everything("encrypted");
}

#[test]
fn the_plain_repository_is_restored_from_the_document_alone() {
    list_and_restore_everything("plain");
}

/// Indexes in front of segments, what stands behind them, chapters and lists of names are in nobody's way.
#[test]
fn what_is_told_beside_the_data_is_passed_over() {
    for flavour in ["told-encrypted", "told-plain"] {
        let golden = Golden::copy(flavour);
        let [backup] = &golden.backups()[..] else { panic!("one backup") };
        let listed = expected(&format!("{backup}.tree"));
        assert!(listed.keys().any(|path| path.starts_with("@seawall/")), "{listed:?}");
        let (outcome, target) = golden.restore(backup);
        outcome.expect_code(0).unwrap();
        assert_restored(backup, &target);
        for system in SYSTEMS {
            let (outcome, target) = golden.wal(system);
            outcome.expect_code(0).unwrap();
            let wanted: Vec<_> = expected(&format!("{system}.wal")).into_keys().collect();
            let found = found(&target);
            assert_eq!(found.keys().cloned().collect::<Vec<_>>(), wanted, "{flavour}");
            let indexed = std::fs::read(target.join("000000010000000000000001")).unwrap();
            let hash = blake3::hash(&indexed).to_hex().to_string();
            let line = &expected(&format!("{system}.wal"))["000000010000000000000001"];
            assert!(line.contains(&hash), "{flavour}: {line}");
        }
    }
}

/// One object of each kind that is read, and what reads it.
fn objects_of_each_kind(golden: &Golden) -> Vec<(String, Reads)> {
    let [first, .., last] = &golden.backups()[..] else { panic!("three backups") };
    let of = |rest: &str| format!("orders/{}/{rest}", SYSTEMS[0]);
    let writer = files_below(&golden.path("writer"));
    let mut objects = vec![
        ("seawall.json".to_owned(), Reads::Restore),
        (format!("writer/{}", name_of(&writer[0])), Reads::Restore),
        (of(&format!("manifest/{last}")), Reads::Restore),
        (of(&format!("backup/{last}/map/0")), Reads::Restore),
        (of(&format!("backup/{first}/map/0")), Reads::Restore),
        (of(&format!("backup/{first}/pack/0")), Reads::Restore),
        (of("wal/00000001/0000000100000000/000000010000000000000002"), Reads::Wal(0)),
        (of("wal/00000001/0000000100000000/000000010000000000000002.00000028.backup"), Reads::Wal(0)),
        (of("wal/00000001/0000000100000000/000000010000000000000003.partial"), Reads::Wal(0)),
        (of("wal/00000002.history"), Reads::Wal(0)),
    ];
    let parted = format!("orders/{}/wal/00000001/0000000100000000/000000010000000000000001", SYSTEMS[1]);
    objects.push((format!("{parted}.p1"), Reads::Wal(1)));
    objects.push((parted, Reads::Wal(1)));
    if golden.flavour == "encrypted" {
        objects.push(("orders/key/1.1".to_owned(), Reads::Restore));
    }
    objects
}

/// Which command reads an object.
#[derive(Clone, Copy)]
enum Reads {
    Restore,
    Wal(usize),
}

impl Reads {
    fn run(self, golden: &Golden, backup: &str) -> Outcome {
        match self {
            Self::Restore => golden.restore(backup).0,
            Self::Wal(life) => golden.wal(SYSTEMS[life]).0,
        }
    }
}

fn assert_named(name: &str, damage: &str, outcome: &Outcome) {
    let said = &outcome.stderr;
    assert_eq!(outcome.code, Some(1), "{damage} {name}: {outcome:?}");
    assert!(said.starts_with("rescue: ") && said.lines().count() == 1, "{damage} {name}: {said}");
    assert!(said.contains(name), "{damage} {name}: {said}");
}

fn every_damage_is_named(flavour: &'static str) {
    let golden = Golden::copy(flavour);
    let backup = golden.backups().pop().unwrap();
    for (name, reads) in objects_of_each_kind(&golden) {
        let path = golden.path(&name);
        let sound = std::fs::read(&path).unwrap();
        // The head's beginning, and somewhere in the middle.
        for at in [9, sound.len() / 2] {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << (at % 7);
            std::fs::write(&path, damaged).unwrap();
            assert_named(&name, &format!("bit flipped in byte {at} of"), &reads.run(&golden, &backup));
        }
        std::fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        assert_named(&name, "cut short:", &reads.run(&golden, &backup));
        std::fs::remove_file(&path).unwrap();
        match reads {
            Reads::Restore if !name.contains("/manifest/") && name != "orders/key/1.1" => {
                assert_named(&name, "gone:", &reads.run(&golden, &backup));
            }
            Reads::Restore => assert_eq!(reads.run(&golden, &backup).code, Some(1), "gone: {name}"),
            Reads::Wal(_) if name.ends_with(".p1") => {
                assert_named(&name, "gone:", &reads.run(&golden, &backup));
            }
            // What an archive should hold only a restore knows.
            Reads::Wal(_) => {}
        }
        std::fs::write(&path, sound).unwrap();
    }
}

#[test]
fn damage_to_each_kind_of_sealed_object_is_named() {
    every_damage_is_named("encrypted");
}

#[test]
fn damage_to_each_kind_of_plain_object_is_named() {
    every_damage_is_named("plain");
}

/// Where FORMAT §1.1 puts a heal copy.
fn heal_name(name: &str, number: u32) -> String {
    let home = match name.split('/').collect::<Vec<_>>()[..] {
        ["seawall.json"] | ["writer", ..] => String::new(),
        [cluster, "key", ..] => format!("{cluster}/"),
        [cluster, system, ..] => format!("{cluster}/{system}/"),
        _ => panic!("{name}"),
    };
    format!("{home}heal/{}.{number}", &name[home.len()..])
}

/// Whatever is damaged is read from its newest good heal copy; what is wrong with the object is said where none helps.
fn heal_copies_are_read(flavour: &'static str) {
    let golden = Golden::copy(flavour);
    let backup = golden.backups().pop().unwrap();
    for (name, reads) in objects_of_each_kind(&golden) {
        let path = golden.path(&name);
        let sound = std::fs::read(&path).unwrap();
        let mut damaged = sound.clone();
        damaged[sound.len() / 2] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let copies = [1, 2, 3, 10].map(|number| golden.path(&heal_name(&name, number)));
        std::fs::create_dir_all(copies[0].parent().unwrap()).unwrap();
        for (copy, bytes) in copies.iter().zip([&b"rubbish"[..], &sound, &damaged, b""]) {
            std::fs::write(copy, bytes).unwrap();
        }
        let (outcome, target) = match reads {
            Reads::Restore => golden.restore(&backup),
            Reads::Wal(life) => golden.wal(SYSTEMS[life]),
        };
        let outcome = outcome.expect_code(0).unwrap();
        assert!(
            outcome.stderr.contains(&format!("{name} does not hold; its heal copy 2 is tried")),
            "{outcome:?}"
        );
        assert!(!outcome.stderr.contains("its heal copy 1 is tried"), "{outcome:?}");
        if matches!(reads, Reads::Restore) {
            assert_restored(&backup, &target);
        }
        std::fs::write(&copies[1], &damaged).unwrap();
        let outcome = reads.run(&golden, &backup);
        assert_eq!(outcome.code, Some(1), "{name}: {outcome:?}");
        assert!(outcome.stderr.lines().last().is_some_and(|line| line.contains(&name)), "{outcome:?}");
        std::fs::write(&path, &sound).unwrap();
    }
}

#[test]
fn heal_copies_of_a_sealed_repository_are_read() {
    heal_copies_are_read("encrypted");
}

#[test]
fn heal_copies_of_a_plain_repository_are_read() {
    heal_copies_are_read("plain");
}

#[test]
fn objects_exchanged_for_each_other_are_named() {
    for flavour in ["encrypted", "plain"] {
        let golden = Golden::copy(flavour);
        let backups = golden.backups();
        let pack = |backup: &str| format!("orders/{}/backup/{backup}/pack/0", SYSTEMS[0]);
        let (one, other) = (golden.path(&pack(&backups[0])), golden.path(&pack(&backups[1])));
        let (first, second) = (std::fs::read(&one).unwrap(), std::fs::read(&other).unwrap());
        std::fs::write(one, second).unwrap();
        std::fs::write(other, first).unwrap();
        let outcome = golden.restore(&backups[0]).0;
        assert_named(&pack(&backups[0]), "exchanged:", &outcome);
    }
}

#[test]
fn another_owner_another_identity_and_what_is_not_there_are_refused() {
    let golden = Golden::copy("encrypted");
    let last = golden.backups().pop().unwrap();
    let plain_owner = std::fs::read_to_string(self::golden("plain/owner.txt")).unwrap();
    let script = checkout().join("tools/rescue.py");
    let python = bins::rescue_python().unwrap();
    let stranger = run(Command::new(&python).arg(&script).arg(golden.path("")).args([
        "--owner",
        plain_owner.trim(),
        "list",
    ]));
    assert_named("seawall.json", "another owner of", &stranger.unwrap());
    let owner = std::fs::read_to_string(self::golden("encrypted/owner.txt")).unwrap();
    let target = golden.target();
    let mut without = Command::new(&python);
    without
        .arg(&script)
        .arg(golden.path(""))
        .args(["--owner", owner.trim(), "restore", "orders", &last])
        .arg(&target);
    let outcome = run(&mut without).unwrap();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("no identity given opens the keys of orders"), "{}", outcome.stderr);
    for (verb, said) in [
        (vec!["restore", "orders", "20300101T000000Z-0000000000000000"], "there is no backup"),
        (vec!["restore", "invoices", last.as_str()], "there is no cluster invoices"),
        (vec!["wal", "orders", "5"], "there is no WAL"),
    ] {
        let target = golden.target();
        let outcome = golden.rescue(&[&verb[..], &[target.to_str().unwrap()]].concat());
        assert_eq!(outcome.code, Some(1), "{verb:?}");
        assert!(outcome.stderr.contains(said), "{verb:?}: {}", outcome.stderr);
    }
}
