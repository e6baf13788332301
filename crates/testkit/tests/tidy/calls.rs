//! Who may do what is dangerous everywhere else: write files, read the clock or randomness, compare server versions.

use crate::source::{Complaint, Source};

/// A path that may, and why.
type Allowed = (&'static str, &'static str);

const WRITERS: [Allowed; 2] = [
    (
        "crates/store/src/durable",
        "file and directory are synced, names are created once: the place this rule leads to",
    ),
    (
        "crates/engine/src/target",
        "restore writes PGDATA in place beneath an open directory and syncs it once at the end",
    ),
];

const WRITES: [&str; 14] = [
    "OpenOptions",
    "File::create",
    "File::options",
    "fs::write(",
    "fs::rename(",
    "fs::copy(",
    "fs::remove_",
    "fs::create_dir",
    "fs::hard_link(",
    "fs::set_permissions(",
    "OFlags::WRONLY",
    "OFlags::RDWR",
    "OFlags::CREATE",
    "fs::symlink(",
];

const WORLD: [Allowed; 1] = [(
    "crates/store/src/world",
    "the one place where clock and randomness come in; everybody else is handed them",
)];

const READS_WORLD: [&str; 12] = [
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "Utc::now",
    "Local::now",
    "getrandom::",
    "thread_rng",
    "OsRng",
    "rand::random",
    "ring::rand",
    "rand::SystemRandom",
];

const VERSIONS: [Allowed; 1] = [("crates/pg/src/version", "the table of what differs between versions")];

pub(crate) fn writes_files(file: &Source) -> Vec<Complaint> {
    mentions(file, &WRITERS, &WRITES, "writes files; store::durable does that so that it survives a crash")
}

pub(crate) fn reads_world(file: &Source) -> Vec<Complaint> {
    mentions(
        file,
        &WORLD,
        &READS_WORLD,
        "reads the clock or randomness; take them from store::world as a value",
    )
}

pub(crate) fn compares_versions(file: &Source) -> Vec<Complaint> {
    if is_allowed(file, &VERSIONS) {
        return Vec::new();
    }
    let compared = file.code().filter(|(_, line)| compares_a_version(line));
    compared
        .map(|(number, _)| {
            file.complaint(number, "compares server versions; ask pg::version's table a question instead")
        })
        .collect()
}

fn mentions(file: &Source, allowed: &[Allowed], words: &[&str], why: &str) -> Vec<Complaint> {
    if is_allowed(file, allowed) {
        return Vec::new();
    }
    let lines = file
        .code()
        .filter_map(|(number, line)| Some((number, words.iter().find(|word| line.contains(**word))?)));
    lines.map(|(number, word)| file.complaint(number, format!("`{word}` {why}"))).collect()
}

fn is_allowed(file: &Source, allowed: &[Allowed]) -> bool {
    allowed.iter().any(|(path, _)| {
        file.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/') || rest.starts_with('.'))
    })
}

/// Whether something called version or major is compared with a number that can only be PostgreSQL's.
fn compares_a_version(line: &str) -> bool {
    line.match_indices([' ', '(']).any(|(at, _)| {
        let rest = line[at + 1..].trim_start();
        let Some(right) =
            [">=", "<=", "==", "!=", ">", "<"].iter().find_map(|operator| rest.strip_prefix(operator))
        else {
            return false;
        };
        let left = line[..=at]
            .trim_end()
            .rsplit([' ', '('])
            .find(|word| !word.is_empty() && *word != ")")
            .unwrap_or_default();
        let digits: String = right
            .trim_start()
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '_')
            .filter(|c| *c != '_')
            .collect();
        let number: u64 = digits.parse().unwrap_or_default();
        let is_version_number = (9..30).contains(&number) || (90_000..300_000).contains(&number);
        is_version_number && ["version", "major"].iter().any(|word| left.to_lowercase().contains(word))
    })
}

#[test]
fn each_forbidden_call_is_red_and_its_own_place_is_not() {
    let sample = "//! a\n// fs::write( in a comment is talk\nfn a() { std::fs::write(\"x\", \"y\") }\n";
    assert_eq!(writes_files(&Source::new("crates/engine/src/a.rs", sample)).len(), 1);
    assert!(writes_files(&Source::new("crates/store/src/durable.rs", sample)).is_empty());
    assert!(writes_files(&Source::new("crates/store/src/durable/dir.rs", sample)).is_empty());
    assert_eq!(writes_files(&Source::new("crates/store/src/durable_not.rs", sample)).len(), 1);
    let clock = "//! a\nlet now = Instant::now();\n";
    assert_eq!(reads_world(&Source::new("crates/engine/src/a.rs", clock))[0].line, 2);
    assert!(reads_world(&Source::new("crates/store/src/world.rs", clock)).is_empty());
}

#[test]
fn comparing_a_version_is_red_outside_its_table() {
    let red = [
        "if version >= 15 {",
        "if (server.major() < 16) {",
        "x = facts.version_num >= 150_000;",
        "a && major == 17",
    ];
    for line in red {
        assert!(compares_a_version(line), "{line}");
        assert_eq!(compares_versions(&Source::new("crates/engine/src/a.rs", line)).len(), 1, "{line}");
    }
    assert!(compares_versions(&Source::new("crates/pg/src/version.rs", red[0])).is_empty());
    for line in ["if format_version >= 2 {", "if a.major == b.major {", "let version = 15;", "timeline >= 15"]
    {
        assert!(!compares_a_version(line), "{line}");
    }
}
