//! `find` where it knows less than it would like to (no identity, no lists, another timeline), and a restore without a target:
//! what is not known is told, nothing is written before somebody chose, and what is chosen is what comes back.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{RECOVERY_LIMIT, Site, json, recovered, says};
use seawall_testkit::identity::{as_server_user, make_directory, write_file};
use seawall_testkit::{
    Context, Failure, Outcome, Result, Scratch, Server, StopMode, bins, majors, run_seawall,
};
use serde_json::Value;

/// The numbers of what is deleted and dropped, as the server knows them.
struct Numbers {
    file: u64,
    database: u64,
}

/// A server with a backup, and three accidents behind it: rows deleted, the table dropped, a database dropped.
fn after_three_accidents(major: u16) -> Result<(Site, Numbers)> {
    let site = Site::plain(major)?;
    let server = &site.server;
    for statement in [
        "CREATE TABLE orders (n int PRIMARY KEY)",
        "INSERT INTO orders SELECT generate_series(1, 20000)",
        "CREATE TABLE kept (n int)",
        "CREATE DATABASE gone",
        "ANALYZE",
    ] {
        server.execute(statement)?;
    }
    site.backup(&[])?;
    let number = |question: &str| -> Result<u64> {
        let text = server.value(question)?;
        text.parse().context(|| format!("reading {text}"))
    };
    let numbers = Numbers {
        file: number("SELECT pg_relation_filenode('orders')")?,
        database: number("SELECT oid FROM pg_database WHERE datname = 'gone'")?,
    };
    for statement in [
        "SELECT pg_create_restore_point('monday')",
        "INSERT INTO kept VALUES (1)",
        "DELETE FROM orders WHERE n <= 15000",
        "INSERT INTO kept VALUES (2)",
        "DROP TABLE orders",
        "DROP DATABASE gone",
    ] {
        server.execute(statement)?;
    }
    site.archive_all()?;
    Ok((site, numbers))
}

fn candidates(found: &Value) -> Vec<Value> {
    found["candidates"].as_array().cloned().unwrap_or_default()
}

fn operations(found: &Value) -> Vec<String> {
    candidates(found).iter().map(|one| one["operation"].as_str().unwrap_or_default().to_owned()).collect()
}

fn finding_ids(found: &Value) -> Vec<String> {
    let findings = found["findings"].as_array().cloned().unwrap_or_default();
    findings.iter().map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect()
}

fn of<'a>(found: &'a [Value], operation: &str) -> Result<&'a Value> {
    let one = found.iter().find(|one| one["operation"] == operation);
    one.ok_or_else(|| Failure::new(format!("no {operation} in {found:?}")))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().ok_or_else(|| Failure::new(format!("no {key} in {value}")))
}

/// Without an identity everything is found that is without it, by number; what is not known is told.
fn without_an_identity(site: &Site, numbers: &Numbers) -> Result<()> {
    let found = json(&site.seawall(["find", "--json"])?.expect_code(1)?)?;
    assert_eq!(operations(&found), ["delete", "drop", "drop-database"], "{found}");
    let all = candidates(&found);
    for operation in ["delete", "drop"] {
        let relations = of(&all, operation)?["relations"].as_array().cloned().unwrap_or_default();
        assert!(relations.iter().all(|one| one["name"].is_null() && one["schema"].is_null()), "{found}");
        assert!(relations.iter().any(|one| one["file"]["number"] == numbers.file), "{found}");
    }
    assert_eq!(of(&all, "delete")?["rows"], 15_000);
    assert_eq!(of(&all, "drop-database")?["database"], numbers.database);
    assert!(of(&all, "drop-database")?["database_name"].is_null(), "{found}");
    // Where the dropping began is content, too.
    assert_eq!(finding_ids(&found), ["find.no-names", "find.not-looked-at"], "{found}");
    assert_eq!(found["snapshots"], serde_json::json!([]));
    let page = says(site.seawall(["find"])?, 1, &["--identity FILE"])?.stdout;
    let told = [format!("file {}", numbers.file), format!("database {}", numbers.database)];
    for words in told.iter().map(String::as_str).chain(["No names"]) {
        assert!(page.contains(words), "{words}: {page}");
    }
    Ok(())
}

/// What a dropped database takes along is said, in both forms.
fn what_is_lost_with_a_database(site: &Site, key: &str) -> Result<Vec<Value>> {
    let found = json(&site.seawall(["find", "--json", "--identity", key])?.expect_code(0)?)?;
    assert_eq!(operations(&found), ["delete", "drop", "drop-database"], "{found}");
    let all = candidates(&found);
    let dropped = of(&all, "drop-database")?;
    let (mark, gone) = (text(&dropped["target"], "lsn")?, text(dropped, "lsn")?);
    assert_ne!(mark, gone, "these servers mark a database before they drop it");
    let hint = text(dropped, "hint")?;
    assert!(hint.contains(mark) && hint.contains(gone) && hint.contains("is lost with it"), "{hint}");
    let page = site.seawall(["find", "--identity", key])?.expect_code(0)?.stdout;
    assert!(page.contains(hint), "{page}");
    Ok(all)
}

/// Where nobody can be asked, it is an error that says what to type.
fn not_asked(site: &Site, all: &[Value]) -> Result<()> {
    let directory = site.new_directory();
    let words = ["where should recovery end?", " --latest", "monday", "is lost with it"];
    let told = says(site.restore(&directory, &[])?, 2, &words)?.stderr;
    assert!(!directory.exists());
    for (operation, headline) in
        [("drop", "DROP public.orders in postgres"), ("delete", "DELETE public.orders")]
    {
        let options = format!("--lsn {} --before", text(of(all, operation)?, "lsn")?);
        let typed = format!("restore -D {}", directory.display());
        let is_it = |line: &&str| line.contains(headline) && line.contains(&typed) && line.contains(&options);
        assert!(told.lines().any(|line| is_it(&line)), "{headline} {options}: {told}");
    }
    assert!(told.lines().any(|line| line.contains("--restore-point monday")), "{told}");
    Ok(())
}

/// On a terminal, with this typed; both outputs are in `stdout`, as a person sees them.
fn on_a_terminal(site: &Site, line: &[OsString], typed: &str) -> Result<Outcome> {
    let program = bins::seawall_path()?.into_os_string();
    let line = [&[program, "-c".into(), site.settings().into()], line].concat();
    let quoted: Vec<String> = line.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let (keyboard, mut fingers) = std::io::pipe()?;
    fingers.write_all(typed.as_bytes())?;
    drop(fingers);
    let mut command = Command::new("script");
    command.args(["-qec", &quoted.join(" "), "/dev/null"]);
    bins::run(as_server_user(&mut command)?.stdin(keyboard))
}

/// A person is asked: what means nothing stops with nothing written, a number ends just before what it stands at.
fn asked(site: &Site, all: &[Value]) -> Result<PathBuf> {
    let directory = site.new_directory();
    let line = site.restore_line(&directory, &["--successor"]);
    for nothing in ["no\n", "\n", "0\n", "4\n"] {
        let told = on_a_terminal(site, &line, nothing)?.expect_code(2)?.stdout;
        assert!(told.contains("Where should recovery end?") && told.contains("target.missing"), "{told}");
        assert!(!directory.exists(), "{nothing:?}: {told}");
    }
    let told = on_a_terminal(site, &line, "2\n")?.expect_code(0)?.stdout;
    let choices: Vec<&str> = told.lines().filter(|line| line.contains("  before  ")).collect();
    let kinds = ["DROP DATABASE gone", "DROP public.orders", "DELETE public.orders"];
    assert!(
        choices.len() == 3 && choices.iter().zip(kinds).all(|(line, kind)| line.contains(kind)),
        "{told}"
    );
    assert!(told.contains("is lost with it") && told.contains("restore point \"monday\""), "{told}");
    let settings = std::fs::read_to_string(directory.join("postgresql.auto.conf"))?;
    let target = format!("recovery_target_lsn = '{}'", text(of(all, "drop")?, "lsn")?);
    assert!(settings.contains(&target), "{target}: {settings}");
    Ok(directory)
}

/// The successor has another accident on a timeline of its own.
fn another_accident(site: &mut Site, directory: &Path) -> Result<()> {
    site.server.stop(StopMode::Fast)?;
    let auto = directory.join("postgresql.auto.conf");
    write_file(&auto, std::fs::read_to_string(&auto)? + "archive_command = 'false'\n", 0o600)?;
    let mut server =
        recovered(Server::existing(site.server.major(), directory)?.with_binaries(site.server.binaries()))?;
    assert_eq!(server.value("SELECT count(*) FROM orders")?, "5000");
    assert_eq!(server.value("SELECT sum(n) FROM kept")?, "3", "all that had committed before");
    let places = |server: &Server| [server.data_directory().to_owned(), server.socket_directory()];
    let text =
        places(&site.server).iter().zip(places(&server)).fold(site.settings_text(), |text, (from, to)| {
            text.replace(&from.display().to_string(), &to.display().to_string())
        });
    let settings = site.home().path().join("successor.toml");
    write_file(&settings, text, 0o600)?;
    server.execute("INSERT INTO kept VALUES (4)")?;
    server.execute("TRUNCATE orders")?;
    let last = server.value("SELECT pg_walfile_name(pg_current_wal_lsn() - 1)")?;
    server.execute("SELECT pg_switch_wal()")?;
    let program = bins::seawall_path()?;
    let command = format!("{} -c {} wal push %p", program.display(), settings.display());
    server.set("archive_command", &command)?;
    let told = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver";
    server.wait_for(
        "archiving",
        RECOVERY_LIMIT,
        |server| Ok(server.value(told)?.get(..24) >= Some(&last)),
    )?;
    server.stop(StopMode::Fast)
}

/// What happened is told on the way to the timeline on which it happened, and so is the command.
fn on_either_timeline(site: &Site, key: &str) -> Result<()> {
    let found = json(&site.seawall(["find", "--json", "--identity", key])?.expect_code(0)?)?;
    assert_eq!((&found["timeline"], &found["other_timelines"]), (&2.into(), &true.into()), "{found}");
    assert_eq!(operations(&found), ["delete", "truncate"], "{found}");
    let all = candidates(&found);
    let emptied = of(&all, "truncate")?;
    assert_eq!(emptied["relations"][0]["name"], "orders", "{found}");
    let first =
        json(&site.seawall(["find", "--json", "--timeline", "1", "--identity", key])?.expect_code(0)?)?;
    assert_eq!(operations(&first), ["delete", "drop", "drop-database"], "{first}");
    let lsn = text(&emptied["target"], "lsn")?;
    for (number, options) in
        [("2", format!("--lsn {lsn} --before --timeline 2")), ("1", "--timeline 1".into())]
    {
        let page = site.seawall(["find", "--timeline", number, "--identity", key])?.expect_code(0)?.stdout;
        assert!(page.lines().any(|line| line.contains(" restore ") && line.contains(&options)), "{page}");
    }
    let server = site.restored(&["--lsn", lsn, "--before", "--timeline", "2"])?;
    assert_eq!(server.value("SELECT count(*) FROM orders")?, "5000");
    assert_eq!(server.value("SELECT sum(n) FROM kept")?, "7");
    Ok(())
}

#[test]
fn accidents_are_told_as_far_as_they_are_known_and_a_person_chooses() -> Result<()> {
    for major in majors() {
        let (mut site, numbers) = after_three_accidents(major)?;
        let key = site.identity("first").display().to_string();
        without_an_identity(&site, &numbers)?;
        let all = what_is_lost_with_a_database(&site, &key)?;
        not_asked(&site, &all)?;
        let directory = asked(&site, &all)?;
        another_accident(&mut site, &directory)?;
        on_either_timeline(&site, &key)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return write_file(to, std::fs::read(from)?, 0o600);
    }
    make_directory(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A repository of a release without lists of names and without what segments say: that is told, and it is not "no accident".
#[test]
fn a_repository_of_an_older_release_is_told_to_be_one() -> Result<()> {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../repo/tests/golden/v1/encrypted").canonicalize()?;
    let home = Scratch::new()?;
    let of = |name: &str| home.path().join(name);
    copy(&golden.join("region"), &of("region"))?;
    copy(&golden.join("identity-2.txt"), &of("identity"))?;
    let owner = std::fs::read_to_string(golden.join("owner.txt"))?;
    let settings = format!(
        "[cluster.orders]\ndata_directory = \"/nowhere\"\n[repository]\nowner = \"{}\"\n\
         [[repository.region]]\nname = \"one\"\nurl = \"file://{}\"\n",
        owner.trim(),
        of("region").display()
    );
    write_file(&of("seawall.toml"), settings, 0o600)?;
    let find = |more: &[&str]| {
        let (settings, identity) = (of("seawall.toml"), of("identity"));
        let line = ["-c".as_ref(), settings.as_os_str(), "find".as_ref(), "--identity".as_ref()];
        let line = line.into_iter().chain([identity.as_os_str(), "--since".as_ref(), "0/0".as_ref()]);
        run_seawall(line.chain(more.iter().map(AsRef::as_ref)))?.expect_code(1)
    };
    let found: Value = serde_json::from_str(&find(&["--json"])?.stdout).context(|| "reading JSON")?;
    let ids = finding_ids(&found);
    assert_eq!(ids.iter().filter(|id| *id == "find.no-list").count(), 3, "{found}");
    assert_eq!(ids.iter().filter(|id| *id == "find.not-looked-at").count(), 3, "{found}");
    assert_eq!((&found["segments"], candidates(&found).len()), (&0.into(), 0), "{found}");
    let page = find(&[])?.stdout;
    assert!(page.contains("nothing that looks like an accident in what could be looked at"), "{page}");
    assert!(page.contains("No names"), "{page}");
    Ok(())
}
