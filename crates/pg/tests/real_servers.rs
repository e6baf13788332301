//! What this crate reads, compared with what PostgreSQL's own programs say, on every server found.
//!
//! `SEAWALL_PG_BINS` lists directories of PostgreSQL programs, or of `<major>/bin` below them, separated by colons. Without it nothing is compared,
//! and a line says so. Servers run in single-user mode (no port, no process left behind), as the user `postgres`
//! when the test runs as root.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic in a test is a test's way of failing")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use seawall_pg::wal_page::LONG_HEADER_BYTES;
use seawall_pg::{
    ControlFile, CopyRule, CopyRules, EntryKind, ExpectedSegment, FineReason, Fork, History, Lsn, PAGE_BYTES,
    PageContext, PageRead, PageVerdict, RelationFile, SegmentName, SkipReason, Version, WalSegmentSize,
    check_page, identify_segment,
};

/// What makes one cluster hold every kind of file that the crate tells apart.
const SCRIPT: &str = "\
CREATE TABLE ordinary AS SELECT g AS id, repeat('x', 100) AS pad FROM generate_series(1, 20000) g;
CREATE INDEX ON ordinary (id);
CREATE UNLOGGED TABLE unlogged AS SELECT g AS id FROM generate_series(1, 1000) g;
CREATE TABLE elsewhere (id int) TABLESPACE other;
INSERT INTO elsewhere SELECT generate_series(1, 1000);
DELETE FROM ordinary WHERE id % 7 = 0;
VACUUM ordinary;
";

struct Server {
    bin: PathBuf,
    base: tempfile::TempDir,
    owner: Option<(u32, u32)>,
}

impl Server {
    fn new(bin: &Path) -> Self {
        let base = tempfile::tempdir().unwrap();
        let server = Self { bin: bin.to_owned(), base, owner: postgres_user() };
        fs::create_dir(server.path("tablespace")).unwrap();
        for path in [server.base.path().to_owned(), server.path("tablespace")] {
            if let Some((user, group)) = server.owner {
                chown(path, Some(user), Some(group)).unwrap();
            }
        }
        server
    }

    fn path(&self, below: &str) -> PathBuf {
        self.base.path().join(below)
    }

    fn run(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).env("LC_ALL", "C").env("TZ", "UTC").current_dir(self.base.path());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
        assert!(!err.contains("ERROR:"), "{program}: {err}");
        out.into_owned()
    }

    /// Runs statements in single-user mode, one a line.
    fn single(&self, sql: &str) -> String {
        let data = self.path("data");
        self.run("postgres", &["--single", "-D", data.to_str().unwrap(), "postgres"], sql)
    }
}

/// Whom to run servers as: nobody else unless this is root.
fn postgres_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<_> =
        line.expect("root needs a user named postgres to run servers as").split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

/// The directory itself if it holds programs, else every `<major>/bin` below it.
fn program_directories(directory: &Path) -> Vec<PathBuf> {
    if directory.join("initdb").exists() {
        return vec![directory.to_owned()];
    }
    let below = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path().join("bin"));
    let mut found: Vec<PathBuf> = below.filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    assert!(!found.is_empty(), "no PostgreSQL programs below {}", directory.display());
    found
}

#[test]
fn everything_read_agrees_with_the_servers_own_programs() {
    let Ok(bins) = std::env::var("SEAWALL_PG_BINS") else {
        println!(
            "skipped: SEAWALL_PG_BINS is not set (directories of PostgreSQL programs, separated by colons)"
        );
        return;
    };
    for bin in
        bins.split(':').filter(|bin| !bin.is_empty()).flat_map(|bin| program_directories(Path::new(bin)))
    {
        let server = Server::new(&bin);
        let data = server.path("data");
        server.run("initdb", &["-D", data.to_str().unwrap(), "-N", "-A", "trust", "--wal-segsize=1"], "");
        let version = Version::from_pg_version_file(&fs::read(data.join("PG_VERSION")).unwrap()).unwrap();
        println!("comparing with PostgreSQL {version} in {}", bin.display());
        assert_eq!(control(&data).data_checksums(), version.facts().data_checksums_by_default);
        if !version.facts().data_checksums_by_default {
            server.run("pg_checksums", &["--enable", "-N", "-D", data.to_str().unwrap()], "");
        }
        server.single(&format!(
            "CREATE TABLESPACE other LOCATION '{}';\n",
            server.path("tablespace").display()
        ));
        server.single(SCRIPT);
        compare_control(&server, &data, version);
        compare_catalog(&server, version);
        compare_files(&data, version);
        compare_segments(&data, version);
    }
}

fn control(data: &Path) -> ControlFile {
    ControlFile::decode(&fs::read(data.join("global/pg_control")).unwrap()).unwrap()
}

/// Every field that `pg_controldata` prints and this crate decodes.
fn compare_control(server: &Server, data: &Path, version: Version) {
    let text = server.run("pg_controldata", &["-D", data.to_str().unwrap()], "");
    let said: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let file = control(data);
    assert_eq!(file.version, version);
    let (checkpoint, minimums) = (&file.checkpoint, &file.minimums);
    let on = |flag: bool| if flag { "on" } else { "off" }.to_owned();
    let xid = format!("{}:{}", checkpoint.next_xid >> 32, checkpoint.next_xid & 0xFFFF_FFFF);
    let mut ours = vec![
        ("pg_control version number", version.facts().control_version.to_string()),
        ("Catalog version number", version.facts().catalog_version.to_string()),
        ("Database system identifier", file.system_identifier.to_string()),
        ("Database cluster state", "shut down".to_owned()),
        ("Latest checkpoint location", file.checkpoint_lsn.to_string()),
        ("Latest checkpoint's REDO location", checkpoint.redo.to_string()),
        (
            "Latest checkpoint's REDO WAL file",
            SegmentName::of(checkpoint.timeline, checkpoint.redo, file.wal_segment_size).to_string(),
        ),
        ("Latest checkpoint's TimeLineID", checkpoint.timeline.to_string()),
        ("Latest checkpoint's PrevTimeLineID", checkpoint.previous_timeline.to_string()),
        ("Latest checkpoint's full_page_writes", on(checkpoint.full_page_writes)),
        ("Latest checkpoint's NextXID", xid),
        ("Latest checkpoint's NextOID", checkpoint.next_oid.to_string()),
        ("Latest checkpoint's NextMultiXactId", checkpoint.next_multi.to_string()),
        ("Latest checkpoint's NextMultiOffset", checkpoint.next_multi_offset.to_string()),
        ("Latest checkpoint's oldestXID", checkpoint.oldest_xid.to_string()),
        ("Latest checkpoint's oldestMultiXid", checkpoint.oldest_multi.to_string()),
        ("Minimum recovery ending location", file.min_recovery_point.to_string()),
        ("Min recovery ending loc's timeline", file.min_recovery_timeline.map_or(0, |t| t.get()).to_string()),
        ("Backup start location", file.backup_start.to_string()),
        ("Backup end location", file.backup_end.to_string()),
        ("End-of-backup record required", if file.backup_end_required { "yes" } else { "no" }.to_owned()),
        ("wal_level setting", format!("{:?}", file.wal_level).to_lowercase()),
        ("wal_log_hints setting", on(file.wal_log_hints)),
        ("max_prepared_xacts setting", minimums.max_prepared_transactions.to_string()),
        ("max_locks_per_xact setting", minimums.max_locks_per_transaction.to_string()),
        ("track_commit_timestamp setting", on(file.track_commit_timestamp)),
        ("Blocks per segment of large relation", file.relation_segment_blocks.to_string()),
        ("Bytes per WAL segment", file.wal_segment_size.bytes().to_string()),
        ("Data page checksum version", file.data_checksum_version.to_string()),
        ("Mock authentication nonce", hex(&file.mock_authentication_nonce)),
    ];
    let plain = ["max_connections", "max_worker_processes", "max_wal_senders"];
    let labels = ["max_connections setting", "max_worker_processes setting", "max_wal_senders setting"];
    for (setting, label) in plain.into_iter().zip(labels) {
        let (_, value) = minimums.settings().into_iter().find(|(name, _)| *name == setting).unwrap();
        ours.push((label, value.to_string()));
    }
    if let Some(signed) = file.default_char_signed {
        let word = if signed { "signed" } else { "unsigned" };
        ours.push(("Default char data signedness", word.to_owned()));
    }
    for (label, value) in ours {
        assert_eq!(said.get(label), Some(&value.as_str()), "{label} on {version}");
    }
    // What pg_controldata does not print: wal_level in the checkpoint is the one the server ran with.
    assert!(checkpoint.wal_level.is_none_or(|level| level == file.wal_level));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the version table says about functions, settings and roles, asked of the server.
fn compare_catalog(server: &Server, version: Version) {
    let facts = version.facts();
    let mut sql = String::new();
    for function in [facts.backup_api.start_function, facts.backup_api.stop_function] {
        sql.push_str(&format!("SELECT 'found' WHERE '{function}'::regprocedure IS NOT NULL;\n"));
    }
    for name in facts.recovery_settings {
        sql.push_str(&format!("SELECT 'found' FROM pg_settings WHERE name = '{name}';\n"));
    }
    if let Some(role) = facts.checkpoint_role {
        sql.push_str(&format!("SELECT 'found' FROM pg_roles WHERE rolname = '{role}';\n"));
    }
    let wanted = sql.lines().count();
    assert_eq!(server.single(&sql).matches("= \"found\"").count(), wanted, "{version}");
    // And the other way round: no setting of these groups is missing in the table.
    let list = facts.recovery_settings.join("','");
    let missing = server.single(&format!(
        "SELECT name FROM pg_settings WHERE (name ~ '^recovery_|^primary_|^promote_|^restore_command|^hot_standby|\
         ^archive_cleanup|^sync_replication_slots') AND name NOT IN ('{list}', 'recovery_init_sync_method');\n"
    ));
    assert!(!missing.contains("name = "), "{version}: {missing}");
}

/// Every file of the cluster: read as a relation or not, copied or not, and every page right.
fn compare_files(data: &Path, version: Version) {
    let rules = CopyRules::new(version, []);
    let mut seen = BTreeMap::<&str, u32>::new();
    let mut walk = vec![PathBuf::new()];
    while let Some(directory) = walk.pop() {
        for entry in fs::read_dir(data.join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            let name = path.to_str().unwrap();
            let kind = entry.file_type().unwrap();
            let kind = match kind {
                _ if kind.is_symlink() => EntryKind::Symlink,
                _ if kind.is_dir() => EntryKind::Directory,
                _ => EntryKind::File,
            };
            let exists = |file: &RelationFile| data.join(file.to_string()).exists();
            let rule = rules.decide(name.as_bytes(), kind, &exists).rule;
            *seen.entry(rule_name(&rule)).or_default() += 1;
            match (kind, rule) {
                (EntryKind::Directory, CopyRule::Copy) => walk.push(path),
                (_, CopyRule::Tablespace { .. }) => walk.push(path),
                (EntryKind::Directory, CopyRule::EmptyDirectory(inside)) if name == "pg_wal" => {
                    compare_wal_directories(&data.join(name), inside);
                }
                (EntryKind::File, _) => compare_file(data, name, version),
                _ => {}
            }
        }
    }
    assert_eq!((seen["last"], seen["tablespace"]), (1, 1), "{version}: {seen:?}");
    // The main fork, and nothing else yet, of the unlogged table.
    assert_eq!(seen["unlogged"], 1, "{version}: {seen:?}");
}

fn rule_name(rule: &CopyRule) -> &'static str {
    match rule {
        CopyRule::CopyLast => "last",
        CopyRule::Tablespace { in_place: false, .. } => "tablespace",
        CopyRule::Skip(SkipReason::Unlogged) => "unlogged",
        _ => "other",
    }
}

fn compare_wal_directories(wal: &Path, expected: &[&str]) {
    let entries = fs::read_dir(wal).unwrap().map(|entry| entry.unwrap());
    let mut found: Vec<_> = entries
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

fn compare_file(data: &Path, name: &str, version: Version) {
    let bytes = fs::read(data.join(name)).unwrap();
    if name.ends_with("/pg_filenode.map") {
        assert_eq!(bytes.len() as u64, version.facts().relation_map_bytes);
    }
    let base = name.rsplit('/').next().unwrap();
    let Some(relation) = RelationFile::parse(name.as_bytes()) else {
        let in_relation_directory = name.starts_with("base/") || name.starts_with("pg_tblspc/");
        assert!(!in_relation_directory || !base.starts_with(|c: char| c.is_ascii_digit()), "{name}");
        return;
    };
    assert_eq!(relation.to_string(), name);
    assert_eq!(bytes.len() % PAGE_BYTES, 0, "{name}");
    let first = relation.first_block(control(data).relation_segment_blocks).unwrap();
    for (block, page) in (first..).zip(bytes.as_chunks::<PAGE_BYTES>().0) {
        // Starting after everything, so that no page is excused by its age.
        let context =
            PageContext { block, backup_start: Lsn::MAX, insert_lsn: Lsn::MAX, checksums: true, attempt: 1 };
        let verdict = check_page(PageRead::Bytes(page), &context);
        let fine = [FineReason::Checksum, FineReason::Zero].map(PageVerdict::Fine);
        assert!(fine.contains(&verdict), "{name} block {block} fork {:?}: {verdict:?}", relation.fork);
        if relation.fork == Fork::Main && verdict == fine[0] {
            // The checksum holds the block's number: the same page elsewhere is wrong.
            let elsewhere = PageContext { block: block + 1, ..context };
            let verdict = check_page(PageRead::Bytes(page), &elsewhere);
            assert!(matches!(verdict, PageVerdict::ReadAgain(_)), "{name} block {block}");
        }
    }
}

/// Every segment up to the checkpoint says what its name says.
fn compare_segments(data: &Path, version: Version) {
    let file = control(data);
    let size = file.wal_segment_size;
    assert_eq!(size, WalSegmentSize::new(1 << 20).unwrap());
    let current = SegmentName::of(file.checkpoint.timeline, file.checkpoint_lsn, size);
    let names =
        fs::read_dir(data.join("pg_wal")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut identified = 0;
    for name in names.filter_map(|name| name.parse::<SegmentName>().ok()).filter(|name| *name <= current) {
        let bytes = fs::read(data.join("pg_wal").join(name.to_string())).unwrap();
        assert_eq!(bytes.len() as u64, size.bytes());
        let history = History::root(name.timeline());
        let expected = ExpectedSegment {
            name,
            size,
            system_identifier: file.system_identifier,
            version,
            history: &history,
        };
        identify_segment(&bytes[..LONG_HEADER_BYTES], &expected).unwrap();
        let next = ExpectedSegment { name: name.next(size).unwrap(), ..expected };
        assert!(identify_segment(&bytes, &next).is_err());
        identified += 1;
    }
    assert!(identified > 0, "{version}");
}
