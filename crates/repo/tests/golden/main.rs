//! Golden repositories: what earlier releases wrote, kept in the tree and read back whole by this one.
//!
//! Promises that every byte comes back: of files through map chains, of WAL through parts and joins; and that no format
//! version is released without its golden folder. Deliberately no real data directory: a few pages of each shape.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking: that is its way to say what is wrong"
)]

mod content;
mod listing;
mod parent;
mod read;
mod region;
mod told;
mod write;

use std::collections::BTreeSet;

use listing::Listing;
use read::Golden;
use seawall_repo::records::FORMAT;

/// What each format version keeps: one repository a cipher.
const FLAVOURS: [&str; 2] = ["encrypted", "plain"];

/// The same with what is told beside the data: they came later, and older ones stay as they are.
const TOLD: [&str; 2] = ["told-encrypted", "told-plain"];

/// Every shape that the format has and a golden repository must show.
const SHAPES: [&str; 12] = [
    "WAL in parts",
    "compressed frame",
    "empty file",
    "leaf as a node",
    "leaf in line",
    "one leaf",
    "one patch",
    "own block",
    "raw frame",
    "shared block",
    "two leaves",
    "two patches",
];

#[test]
fn every_format_version_has_its_golden_folder_and_no_other() {
    let wanted: BTreeSet<String> = (1..=FORMAT).map(|version| format!("v{version}")).collect();
    let there: BTreeSet<String> = std::fs::read_dir(region::root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(there, wanted, "a released format keeps its golden repositories in the tree for ever");
    for version in wanted {
        for flavour in FLAVOURS.into_iter().chain(TOLD) {
            assert!(region::folder(&version, flavour).join("region/seawall.json").is_file());
        }
    }
}

/// Reads a golden repository whole and compares it with the listings that were kept beside it.
fn read_back(version: &str, flavour: &str) {
    let golden = Golden::open(version, flavour);
    let backups = golden.backups();
    assert_eq!(backups.len(), 3, "{version} {flavour}");
    for backup in backups {
        let expected = Listing::load(version, &format!("{backup}.tree"));
        expected.assert_same(&golden.read_backup(backup), &format!("{version} {flavour} {backup}"));
    }
    for place in golden.places() {
        let expected = Listing::load(version, &format!("{}.wal", place.system));
        expected.assert_same(&golden.read_wal(&place), &format!("{version} {flavour} {place:?}"));
    }
    assert_eq!(golden.shapes(), SHAPES, "{version} {flavour}");
    assert!(golden.unread().is_empty(), "objects that nothing read: {:?}", golden.unread());
}

#[test]
fn the_encrypted_repository_of_version_1_is_read_back() {
    read_back("v1", "encrypted");
}

#[test]
fn the_plain_repository_of_version_1_is_read_back() {
    read_back("v1", "plain");
}

/// Indexes, what stands behind segments, a chapter and lists of names, to the last word.
#[test]
fn what_is_told_beside_the_data_is_read_back() {
    let kept = std::fs::read_to_string(region::root().join("v1/expected/told")).unwrap();
    for flavour in TOLD {
        let golden = Golden::open("v1", flavour);
        for (found, kept) in told::told(&golden).lines().zip(kept.lines()) {
            assert_eq!(found, kept, "{flavour}");
        }
        assert_eq!(told::told(&golden), kept, "{flavour}");
        let backup = golden.backups()[0];
        let expected = Listing::load("v1", &format!("{backup}.tree"));
        expected.assert_same(&golden.read_backup(backup), flavour);
        for place in golden.places() {
            let expected = Listing::load("v1", &format!("{}.wal", place.system));
            expected.assert_same(&golden.read_wal(&place), &format!("{flavour} {place:?}"));
        }
        assert!(golden.unread().is_empty(), "objects that nothing read: {:?}", golden.unread());
    }
}

#[test]
fn either_recipient_opens_the_keys_alone_and_a_stranger_does_not() {
    for number in 1..=2 {
        let golden = Golden::open_with("v1", "encrypted", &[&format!("identity-{number}.txt")]);
        assert_eq!(golden.backups().len(), 3);
        golden.read_backup(golden.backups()[0]);
    }
    let golden = Golden::open_with("v1", "encrypted", &["identity-1.txt"]);
    let stranger = seawall_repo::identity::Identities::generate();
    assert!(golden.key_record().unwrap(&stranger).is_err());
}

/// The sum of what is kept: a golden folder is copied with every checkout.
#[test]
fn golden_folders_stay_small() {
    for version in 1..=FORMAT {
        let bytes = region::bytes_below(&region::root().join(format!("v{version}")));
        assert!(bytes < 300 << 10, "v{version} has {bytes} bytes");
    }
}

/// Writes the folders of the present format that tell more than its first ones did. Refuses to replace one.
#[test]
#[ignore = "writes into the tree"]
fn write_the_golden_folders_that_tell() {
    let version = format!("v{FORMAT}");
    for flavour in TOLD {
        assert!(!region::folder(&version, flavour).exists(), "{flavour} stays as it is");
        told::write(&version, flavour);
    }
}

/// Writes the folder of the present format. Run once, when a format version is new:
/// `cargo test -p seawall-repo --test golden -- --ignored write_the_golden_folder`. Refuses to replace one.
#[test]
#[ignore = "writes into the tree"]
fn write_the_golden_folder() {
    let version = format!("v{FORMAT}");
    assert!(!region::root().join(&version).exists(), "{version} was released: it stays as it is");
    for flavour in FLAVOURS {
        write::write(&version, flavour);
    }
    for flavour in TOLD {
        told::write(&version, flavour);
    }
}
