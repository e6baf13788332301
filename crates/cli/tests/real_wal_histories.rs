//! Random histories of a server between backups that read only what WAL says has changed: data and definitions, tablespaces, databases,
//! unlogged tables, numbers of files used again, crashes, restarts and promotions in any order. After every few steps a scan of everything
//! must find no page that the backup by WAL lacks, and in the end a restore holds what the server holds.
//!
//! Each major lives through one history, always the same; `SEAWALL_TEST_SEED` takes another. In the deep profile it lives through
//! `SEAWALL_TEST_HISTORIES` new ones; the seed of each is printed.

#![expect(clippy::print_stdout, reason = "the seed is what makes a failure repeatable")]

use crate::support::by_wal::found_nothing;
use crate::support::{Site, recovered};
use seawall_testkit::identity::{run_as_server_user, write_file};
use seawall_testkit::workload::Random;
use seawall_testkit::{Context, Result, Server, StopMode, majors, oracles};
use serde_json::Value;

/// What a backup says where a server was reset: its WAL leaves out segments, or does not go on where it was.
const RESET: [&str; 2] = ["tells nothing of what it changed", "does not go on where the one before it ends"];
/// And where the pages got other checksums.
const SWITCHED: [&str; 1] = ["page checksums were switched"];

/// Steps between two looks, and how many looks a history has.
const STEPS: u64 = 7;
const LOOKS: u32 = 3;
/// Histories of each major in the deep profile.
const DEEP: u64 = 25;

fn number(name: &str) -> Result<Option<u64>> {
    std::env::var(name).ok().map(|value| value.parse().context(|| format!("reading {name}"))).transpose()
}

struct History {
    site: Site,
    random: Random,
    /// Names of tables that are there, and the next one.
    tables: Vec<String>,
    databases: Vec<String>,
    next: u32,
    /// Steps since the last backup, for a message.
    done: Vec<String>,
    /// Where WAL could not tell what happened since the last backup: the reasons that may be said, one of which must be.
    unsure: &'static [&'static str],
}

impl History {
    fn new(major: u16, seed: u64) -> Result<Self> {
        println!("PostgreSQL {major}, SEAWALL_TEST_SEED={seed}");
        let builder = Server::builder(major).archive_command("false").data_checksums(true);
        // Hints in WAL (checksums) make pages equal to the last bit; what runs beside by its own clock would not.
        let builder = builder.setting("autovacuum", "off").setting("track_commit_timestamp", "off");
        let site = Site::new(builder.tablespace("apart").start()?)?;
        let random = Random::new(seed);
        let (tables, databases, done) = (Vec::new(), Vec::new(), Vec::new());
        assert_eq!(site.backup(&[])?["way"], "full");
        Ok(Self { site, random, tables, databases, next: 0, done, unsure: &[] })
    }

    fn pick(&mut self, what: u64) -> usize {
        usize::try_from(self.random.below(what.max(1))).unwrap_or_default()
    }

    fn table(&mut self) -> Result<String> {
        if self.tables.is_empty() {
            return self.create();
        }
        let at = self.pick(self.tables.len() as u64);
        Ok(self.tables[at].clone())
    }

    fn sql(&mut self, statement: &str) -> Result<()> {
        self.done.push(statement.to_owned());
        self.site.server.execute(statement)
    }

    fn create(&mut self) -> Result<String> {
        let kind = if self.random.below(5) == 0 { "UNLOGGED " } else { "" };
        let place = if self.random.below(4) == 0 { " TABLESPACE apart" } else { "" };
        self.create_as(kind, place)
    }

    fn create_as(&mut self, kind: &str, place: &str) -> Result<String> {
        self.next += 1;
        let (name, rows) = (format!("t{}", self.next), 1 + self.random.below(6000));
        self.sql(&format!("CREATE {kind}TABLE {name} (n int, body text){place}"))?;
        self.sql(&format!(
            "INSERT INTO {name} SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, {rows}) n"
        ))?;
        self.sql(&format!("CREATE INDEX ON {name} (n)"))?;
        self.tables.push(name.clone());
        Ok(name)
    }

    fn step(&mut self) -> Result<()> {
        let kind = self.random.below(21);
        if kind < 2 {
            return self.create().map(drop);
        }
        if kind >= 15 {
            return self.step_of_server(kind);
        }
        let (name, rows, part) = (self.table()?, 1 + self.random.below(4000), 2 + self.random.below(5));
        let statements = match kind {
            2 => vec![format!("INSERT INTO {name} SELECT n, md5(n::text) FROM generate_series(1, {rows}) n")],
            3 => vec![format!("UPDATE {name} SET body = md5(body) WHERE n % {part} = 0")],
            4 => vec![format!("DELETE FROM {name} WHERE n % {part} = 0"), format!("VACUUM {name}")],
            // Cut, and extended by many pages at once in the same window.
            5 | 6 => vec![
                format!("DELETE FROM {name} WHERE n > {}", rows / 20),
                format!("VACUUM (FREEZE) {name}"),
                format!("INSERT INTO {name} SELECT n, repeat('x', 900) FROM generate_series(1, {rows}) n"),
                format!("DELETE FROM {name} WHERE n % 2 = 0"),
            ],
            7 => vec![format!("TRUNCATE {name}")],
            8 => {
                self.tables.retain(|table| *table != name);
                vec![format!("DROP TABLE {name}")]
            }
            9 => vec![format!("ALTER TABLE {name} SET TABLESPACE apart")],
            10 => vec![format!("ALTER TABLE {name} SET TABLESPACE pg_default")],
            11 => vec![format!("ALTER TABLE {name} SET UNLOGGED")],
            12 => vec![format!("ALTER TABLE {name} SET LOGGED")],
            13 => vec![format!("VACUUM FULL {name}"), format!("REINDEX TABLE {name}")],
            _ => vec![
                format!("BEGIN; TRUNCATE {name}; INSERT INTO {name} VALUES (1, 'undone'); ROLLBACK"),
                format!(
                    "BEGIN; INSERT INTO {name} SELECT n, 'undone' FROM generate_series(1, {rows}) n; ROLLBACK"
                ),
            ],
        };
        statements.iter().try_for_each(|statement| self.sql(statement))
    }

    fn step_of_server(&mut self, kind: u64) -> Result<()> {
        match kind {
            15 => self.create_database(),
            16 if !self.databases.is_empty() => {
                let at = self.pick(self.databases.len() as u64);
                let name = self.databases.remove(at);
                self.sql(&format!("DROP DATABASE {name}"))
            }
            17 if !self.databases.is_empty() => {
                let at = self.pick(self.databases.len() as u64);
                let place = ["apart", "pg_default"][self.pick(2)];
                let name = self.databases[at].clone();
                self.sql(&format!("ALTER DATABASE {name} SET TABLESPACE {place}"))
            }
            18 => self.promote(),
            19 => self.use_numbers_again(),
            _ => {
                let mode = [StopMode::Kill, StopMode::Immediate, StopMode::Fast][self.pick(3)];
                self.done.push(format!("stop {mode:?}"));
                self.site.server.stop(mode)?;
                self.site.server.start()
            }
        }
    }

    fn create_database(&mut self) -> Result<()> {
        self.next += 1;
        let name = format!("d{}", self.next);
        let strategy = match (self.site.server.major() >= 15, self.random.below(2)) {
            (true, 0) => " STRATEGY FILE_COPY",
            _ => "",
        };
        let place = ["", " TABLESPACE apart"][self.pick(2)];
        self.sql(&format!("CREATE DATABASE {name}{strategy}{place}"))?;
        self.done.push(format!("a table in {name}"));
        self.site.server.execute_in(&name, "CREATE TABLE inside AS SELECT generate_series(1, 2000) n")?;
        self.databases.push(name);
        Ok(())
    }

    /// The server goes on as its own standby would: on a timeline of its own.
    fn promote(&mut self) -> Result<()> {
        self.done.push("promote".to_owned());
        self.site.archive_all()?;
        self.site.server.stop(StopMode::Fast)?;
        write_file(&self.site.server.data_directory().join("standby.signal"), "", 0o600)?;
        self.site.server.start()?;
        self.site.server.promote()
    }

    /// The counter of OIDs is put back to a table's number, which the next one gets once that is dropped. The WAL of a server that was reset
    /// does not go on where it was, so that comes before a backup, and the table is dropped and the next one made after it.
    fn use_numbers_again(&mut self) -> Result<()> {
        let name = self.create_as("", "")?;
        let number = |name: &str| format!("SELECT pg_relation_filenode('{name}')");
        let node = self.site.server.value(&number(&name))?;
        self.reset(&["-o", &node])?;
        self.looks_back()?;
        self.tables.retain(|table| *table != name);
        self.sql(&format!("DROP TABLE {name}"))?;
        // A number is free once its first file is gone, and its row, which is dead, from the catalog.
        self.sql("VACUUM pg_class")?;
        self.sql("CHECKPOINT")?;
        let again = self.create_as("", "")?;
        let found = self.site.server.value(&number(&again))?;
        assert_eq!(found, node, "the number was not used again");
        Ok(())
    }

    /// Cut by a vacuum and extended by many pages at once, which no record names, between two backups: PostgreSQL's own incremental
    /// backups bring deleted rows back then.
    fn cut_and_extended(&mut self) -> Result<()> {
        self.sql("CREATE TABLE cut (n int, body text)")?;
        self.tables.push("cut".to_owned());
        let rows = |from, to| {
            format!("INSERT INTO cut SELECT n, repeat('x', 900) FROM generate_series({from}, {to}) n")
        };
        self.sql(&rows(1, 3000))?;
        self.backup()?;
        self.sql("DELETE FROM cut WHERE n > 50")?;
        self.sql("VACUUM cut")?;
        let pages = |server: &Server| -> Result<u64> {
            Ok(server.value("SELECT pg_relation_size('cut') / 8192")?.parse()?)
        };
        let cut = pages(&self.site.server)?;
        self.sql(&rows(5001, 5400))?;
        let extended = pages(&self.site.server)?;
        assert!(cut < 20 && extended > 50, "{cut} pages, then {extended}");
        self.backup()?;
        assert_eq!(self.site.server.value("SELECT count(*) FROM cut")?, "450");
        self.is_restored()
    }

    /// `pg_resetwal`, on a server that was shut down.
    fn reset(&mut self, options: &[&str]) -> Result<()> {
        self.done.push(format!("pg_resetwal {options:?}"));
        self.site.archive_all()?;
        self.site.server.stop(StopMode::Fast)?;
        let mut reset = self.site.server.binaries().command("pg_resetwal");
        reset.args(options).arg(self.site.server.data_directory());
        run_as_server_user(&mut reset)?;
        self.unsure = &RESET;
        self.site.server.start()
    }

    /// Page checksums, on a server that was shut down.
    fn switch_checksums(&mut self, how: &str) -> Result<()> {
        self.site.server.stop(StopMode::Fast)?;
        let mut switch = self.site.server.binaries().command("pg_checksums");
        switch.arg(how).arg("-D").arg(self.site.server.data_directory());
        run_as_server_user(&mut switch)?;
        self.unsure = &SWITCHED;
        self.site.server.start()
    }

    /// A backup: by WAL, or, where WAL cannot tell, of everything, with the reason.
    fn backup(&mut self) -> Result<Value> {
        let report = self.site.backup(&[])?;
        let reason = report["reason"].as_str().unwrap_or_default();
        let expected = if self.unsure.is_empty() { "wal" } else { "scan" };
        assert_eq!(report["way"], expected, "{report}\nafter {:#?}", self.done);
        let said = self.unsure.iter().any(|why| reason.contains(why));
        assert!(self.unsure.is_empty() || said, "{reason}");
        self.unsure = &[];
        Ok(report)
    }

    /// A backup by WAL; then a scan that builds on it finds nothing that it lacks.
    fn looks_back(&mut self) -> Result<()> {
        self.backup()?;
        // Looking at the server sets hints in catalogs, which WAL tells to the next one.
        self.backup()?;
        let last = self.backup()?;
        let scan = self.site.backup(&["--scan"])?;
        println!("looking back after {:#?}", self.done);
        found_nothing(&self.site, &last, &scan)?;
        self.done.clear();
        Ok(())
    }

    /// What the tables hold. Unlogged ones are empty in whatever was restored.
    fn content(&self, server: &Server) -> Result<Vec<(String, String)>> {
        let of_table = |name: &String| -> Result<(String, String)> {
            let kind = format!("SELECT relpersistence FROM pg_class WHERE relname = '{name}'");
            if server.value(&kind)? == "u" {
                return Ok((name.clone(), "unlogged".to_owned()));
            }
            let sum = "count(*) || ' ' || coalesce(sum(hashtext(n || body)::bigint), 0)";
            Ok((name.clone(), server.value(&format!("SELECT {sum} FROM {name}"))?))
        };
        let of_database = |name: &String| -> Result<(String, String)> {
            Ok((name.clone(), server.value_in(name, "SELECT count(*) || ' ' || sum(n) FROM inside")?))
        };
        self.tables.iter().map(of_table).chain(self.databases.iter().map(of_database)).collect()
    }

    fn is_restored(&self) -> Result<()> {
        self.site.archive_all()?;
        let expected = self.content(&self.site.server)?;
        let directory = self.site.new_directory();
        let space = format!("apart={}.space", directory.display());
        self.site.restore(&directory, &["--latest", "--tablespace", &space])?.expect_code(0)?;
        let server = recovered(Server::existing(self.site.server.major(), &directory)?)?;
        assert_eq!(self.content(&server)?, expected);
        oracles::amcheck(&server)?;
        oracles::visibility(&server)
    }
}

fn lives(major: u16, seed: u64) -> Result<()> {
    let mut history = History::new(major, seed)?;
    for _ in 0..LOOKS {
        for _ in 0..STEPS {
            history.step()?;
        }
        history.looks_back()?;
    }
    history.is_restored()
}

/// What is certain to happen in some history happens in this one.
fn lives_through_everything(major: u16) -> Result<()> {
    let mut history = History::new(major, u64::from(major))?;
    history.cut_and_extended()?;
    history.use_numbers_again()?;
    history.looks_back()?;
    history.reset(&[])?;
    history.looks_back()?;
    for how in ["--disable", "--enable"] {
        history.switch_checksums(how)?;
        // Without checksums hints are in no WAL, and nothing can be compared to the last bit.
        if how == "--disable" {
            history.backup()?;
        } else {
            history.looks_back()?;
        }
    }
    history.is_restored()
}

macro_rules! each_major {
    ($($everything:ident $random:ident $deep:ident $major:literal)*) => {$(
        #[test]
        fn $everything() -> Result<()> {
            lives_through_everything($major)
        }

        #[test]
        fn $random() -> Result<()> {
            lives($major, number("SEAWALL_TEST_SEED")?.unwrap_or($major))
        }

        #[test]
        #[ignore = "many histories: the deep profile runs them"]
        fn $deep() -> Result<()> {
            let first = u64::from(std::process::id()) << 16;
            let count = number("SEAWALL_TEST_HISTORIES")?.unwrap_or(DEEP);
            (first..first + count).try_for_each(|seed| lives($major, seed))
        }
    )*};
}

each_major! {
    resets_switches_and_numbers_used_again_on_14 a_random_history_of_14 many_random_histories_of_14 14
    resets_switches_and_numbers_used_again_on_15 a_random_history_of_15 many_random_histories_of_15 15
    resets_switches_and_numbers_used_again_on_16 a_random_history_of_16 many_random_histories_of_16 16
    resets_switches_and_numbers_used_again_on_17 a_random_history_of_17 many_random_histories_of_17 17
    resets_switches_and_numbers_used_again_on_18 a_random_history_of_18 many_random_histories_of_18 18
}

#[test]
fn every_major_is_covered() {
    assert_eq!(majors(), [14, 15, 16, 17, 18]);
}
