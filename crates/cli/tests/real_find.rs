//! `find` among ten thousand harmless transactions: every kind of accident is found with what it was done to, and the printed command
//! brings the rows back and keeps all that had committed before.

#![allow(clippy::print_stdout, reason = "false alarms are counted for a person")]

use std::collections::BTreeMap;

use crate::support::{Site, json, recovered};
use seawall_testkit::{Failure, Result, Server, majors, run_seawall};
use serde_json::Value;

/// Harmless transactions before each accident.
const HARMLESS: u32 = 480;

/// An accident: what it does, and what of it must be found.
struct Accident {
    /// Statements, each a transaction of its own.
    sql: &'static [&'static str],
    operation: &'static str,
    /// Names without a schema, in any order.
    tables: &'static [&'static str],
    /// Rows that must be told; none where the table's own are.
    rows: Option<u64>,
    /// A question, whose answer before the accident a restore brings back.
    restores: Option<&'static str>,
}

const fn accident(
    sql: &'static [&'static str],
    operation: &'static str,
    tables: &'static [&'static str],
    rows: Option<u64>,
) -> Accident {
    Accident { sql, operation, tables, rows, restores: None }
}

const ACCIDENTS: [Accident; 20] = [
    Accident {
        restores: Some("SELECT count(*) FROM t1"),
        ..accident(&["DROP TABLE t1"], "drop", &["t1"], Some(1000))
    },
    Accident {
        restores: Some("SELECT count(*) FROM t2"),
        ..accident(&["TRUNCATE t2"], "truncate", &["t2"], Some(1000))
    },
    Accident {
        restores: Some("SELECT sum(n) FROM t3"),
        ..accident(&["DELETE FROM t3"], "delete", &["t3"], Some(1000))
    },
    Accident {
        restores: Some("SELECT sum(n) FROM t4"),
        ..accident(&["UPDATE t4 SET n = 0"], "update", &["t4"], Some(1000))
    },
    accident(&["DROP SCHEMA s5 CASCADE"], "drop", &["a", "b"], Some(200)),
    accident(
        &[
            "BEGIN; DELETE FROM t6 WHERE n <= 300; SAVEPOINT one; DELETE FROM t6 WHERE n <= 600; SAVEPOINT two; \
           DELETE FROM t6 WHERE n <= 900; COMMIT",
        ],
        "delete",
        &["t6"],
        Some(900),
    ),
    Accident {
        restores: Some("SELECT count(*) FROM t7"),
        ..accident(
            &["BEGIN; DELETE FROM t7; PREPARE TRANSACTION 'seven'", "COMMIT PREPARED 'seven'"],
            "delete",
            &["t7"],
            Some(1000),
        )
    },
    accident(&["DROP TABLE t8"], "drop", &["t8", "t8a", "t8b"], None),
    accident(&["TRUNCATE t9 CASCADE"], "truncate", &["t9", "t9child"], None),
    Accident {
        restores: Some("SELECT count(*) FROM pg_database WHERE datname = 'ten' AND datconnlimit = -1"),
        ..accident(&["DROP DATABASE ten"], "drop-database", &[], None)
    },
    accident(&["BEGIN; INSERT INTO noise VALUES (-1); TRUNCATE t11; COMMIT"], "truncate", &["t11"], None),
    accident(&["BEGIN; DROP TABLE t12; TRUNCATE t12b; COMMIT"], "drop", &["t12"], None),
    accident(&["ALTER TABLE t13 RENAME TO t13_gone", "DROP TABLE t13_gone"], "drop", &["t13"], None),
    accident(&["DELETE FROM t14 WHERE n <= 600"], "delete", &["t14"], Some(600)),
    accident(&["VACUUM FULL t15", "TRUNCATE t15"], "truncate", &["t15"], None),
    accident(
        &["TRUNCATE t16", "INSERT INTO t16 SELECT generate_series(1, 800)", "DELETE FROM t16"],
        "delete",
        &["t16"],
        Some(800),
    ),
    accident(&["DROP MATERIALIZED VIEW t17"], "drop", &["t17"], None),
    accident(
        &["CREATE TABLE t18 AS SELECT generate_series(1, 50) AS n", "DROP TABLE t18"],
        "drop",
        &["t18"],
        None,
    ),
    accident(
        &["ALTER TABLE t19 RENAME TO t19_new", "UPDATE t19_new SET n = 1"],
        "update",
        &["t19"],
        Some(1000),
    ),
    accident(
        &["BEGIN; DELETE FROM t20 WHERE n <= 500; UPDATE t20 SET n = n + 1; TRUNCATE t20b; COMMIT"],
        "truncate",
        &["t20b"],
        None,
    ),
];

/// What must not be taken for an accident.
const ORDINARY: [&str; 9] = [
    "BEGIN; DELETE FROM ordinary; ROLLBACK",
    "BEGIN; SAVEPOINT one; DELETE FROM ordinary; ROLLBACK TO one; INSERT INTO ordinary VALUES (0); COMMIT",
    "REINDEX TABLE ordinary",
    "VACUUM FULL ordinary",
    "ALTER TABLE ordinary ALTER COLUMN n TYPE bigint",
    "REFRESH MATERIALIZED VIEW summary",
    "BEGIN; CREATE TABLE passing AS SELECT 1 AS n; DELETE FROM passing; DROP TABLE passing; COMMIT",
    "BEGIN; CREATE TEMP TABLE own (n int) ON COMMIT DROP; INSERT INTO own SELECT generate_series(1, 500); COMMIT",
    "DELETE FROM ordinary WHERE n <= 5",
];

fn prepare(server: &Server) -> Result<()> {
    for number in [1, 2, 3, 4, 6, 7, 11, 12, 13, 14, 15, 16, 19, 20] {
        server.execute(&format!("CREATE TABLE t{number} (n int PRIMARY KEY, body text)"))?;
        server.execute(&format!("INSERT INTO t{number} SELECT n, 'x' FROM generate_series(1, 1000) n"))?;
    }
    for statement in [
        "ALTER TABLE t4 DROP CONSTRAINT t4_pkey",
        "ALTER TABLE t19 DROP CONSTRAINT t19_pkey",
        "ALTER TABLE t16 ALTER COLUMN body DROP NOT NULL",
        "ALTER TABLE t20 DROP CONSTRAINT t20_pkey",
        "CREATE SCHEMA s5",
        "CREATE TABLE s5.a AS SELECT generate_series(1, 100) AS n",
        "CREATE TABLE s5.b AS SELECT generate_series(1, 100) AS n",
        "CREATE TABLE t8 (n int) PARTITION BY RANGE (n)",
        "CREATE TABLE t8a PARTITION OF t8 FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE t8b PARTITION OF t8 FOR VALUES FROM (100) TO (200)",
        "INSERT INTO t8 SELECT generate_series(1, 150)",
        "CREATE TABLE t9 (n int PRIMARY KEY)",
        "CREATE TABLE t9child (n int REFERENCES t9)",
        "INSERT INTO t9 SELECT generate_series(1, 100)",
        "INSERT INTO t9child SELECT generate_series(1, 100)",
        "CREATE DATABASE ten",
        "CREATE TABLE t12b AS SELECT generate_series(1, 100) AS n",
        "CREATE TABLE t20b AS SELECT generate_series(1, 100) AS n",
        "CREATE MATERIALIZED VIEW t17 AS SELECT generate_series(1, 100) AS n",
        "CREATE TABLE ordinary (n int PRIMARY KEY)",
        "INSERT INTO ordinary SELECT generate_series(1, 1000)",
        "CREATE MATERIALIZED VIEW summary AS SELECT count(*) FROM ordinary",
        "CREATE TABLE noise (n int)",
        "CREATE TABLE small (n int PRIMARY KEY, body text)",
        "INSERT INTO small SELECT n, 'x' FROM generate_series(1, 5000) n",
        "ANALYZE",
    ] {
        server.execute(statement)?;
    }
    Ok(())
}

/// Transactions as an application makes them.
fn harmless(server: &Server, count: u32) -> Result<()> {
    server.execute(&format!(
        "DO $$ BEGIN FOR i IN 1..{count} LOOP \
           INSERT INTO noise VALUES (i); UPDATE small SET body = i::text WHERE n = 1 + i % 4000; \
           IF i % 10 = 0 THEN DELETE FROM small WHERE n = 4000 + i; END IF; COMMIT; END LOOP; END $$"
    ))
}

/// What was there right before an accident.
struct Before {
    noise: String,
    answer: Option<String>,
}

#[test]
fn every_kind_of_accident_is_found_and_undone() -> Result<()> {
    for major in majors() {
        accidents_of(major)?;
    }
    Ok(())
}

fn accidents_of(major: u16) -> Result<()> {
    let server = Server::builder(major)
        .archive_command("false")
        .setting("max_prepared_transactions", "5")
        .setting("autovacuum", "off")
        .start()?;
    let site = Site::new(server)?;
    let server = &site.server;
    prepare(server)?;
    site.backup(&[])?;
    let since = server.value("SELECT pg_current_wal_lsn()")?;
    let mut before = Vec::new();
    for (number, accident) in ACCIDENTS.iter().enumerate() {
        harmless(server, HARMLESS)?;
        if let Some(ordinary) = ORDINARY.get(number) {
            statement(server, ordinary)?;
        }
        let (last, first) = accident.sql.split_last().ok_or_else(|| Failure::new("no statement"))?;
        first.iter().try_for_each(|sql| statement(server, sql))?;
        before.push(Before {
            noise: server.value("SELECT count(*) FROM noise")?,
            answer: accident.restores.map(|question| server.value(question)).transpose()?,
        });
        statement(server, last)?;
    }
    harmless(server, HARMLESS)?;
    site.backup(&[])?;
    site.archive_all()?;
    let expected = found_all(&site, major, &since)?;
    undone(&site, &expected, &before, &since)
}

/// One text of several statements is one transaction for the server, unless it begins one itself.
fn statement(server: &Server, sql: &str) -> Result<()> {
    server.execute(sql)
}

/// Finds each; the index of each accident's candidate by its position in WAL.
fn found_all(site: &Site, major: u16, since: &str) -> Result<BTreeMap<usize, String>> {
    let key = site.identity("first").display().to_string();
    let found =
        json(&site.seawall(["find", "--json", "--since", since, "--identity", &key])?.expect_code(0)?)?;
    assert!(found["transactions"].as_u64() >= Some(10_000), "{}", found["transactions"]);
    let candidates = found["candidates"].as_array().cloned().unwrap_or_default();
    let (mut taken, mut at) = (Vec::new(), BTreeMap::new());
    for (number, accident) in ACCIDENTS.iter().enumerate() {
        let index = candidates
            .iter()
            .enumerate()
            .position(|(index, one)| !taken.contains(&index) && is(one, accident));
        let index = index.ok_or_else(|| {
            let all: Vec<String> = candidates.iter().map(short).collect();
            Failure::new(format!(
                "{major}: accident {} {:?} is not among\n{}",
                number + 1,
                accident.sql,
                all.join("\n")
            ))
        })?;
        taken.push(index);
        let lsn = candidates.get(index).and_then(|one| one["lsn"].as_str()).unwrap_or_default();
        at.insert(number, lsn.to_owned());
    }
    // What each of two operations of one transaction did is a candidate of its own.
    let others: Vec<String> = candidates
        .iter()
        .enumerate()
        .filter(|(index, one)| {
            !taken.contains(index) && !at.values().any(|lsn| one["lsn"].as_str() == Some(lsn))
        })
        .map(|(_, one)| short(one))
        .collect();
    println!("{major}: {} false alarms among {}: {others:?}", others.len(), found["transactions"]);
    // Emptying a table to fill it anew is what it looks like.
    assert!(others.len() <= 1, "{major}: {others:?}");
    Ok(at)
}

fn is(candidate: &Value, accident: &Accident) -> bool {
    let relations = candidate["relations"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> =
        relations.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names.dedup();
    // Before 15 nothing in WAL tells of a partitioned table, which has no file.
    let wanted: Vec<&str> = accident.tables.iter().copied().filter(|name| *name != "t8").collect();
    names.retain(|name| name != "t8");
    candidate["operation"] == accident.operation
        && names == wanted
        && accident.rows.is_none_or(|rows| candidate["rows"].as_u64() == Some(rows))
}

fn short(candidate: &Value) -> String {
    format!(
        "{} {} {} {} {}",
        candidate["operation"], candidate["relations"], candidate["rows"], candidate["xid"], candidate["lsn"]
    )
}

/// The printed commands, as they are typed.
fn undone(site: &Site, expected: &BTreeMap<usize, String>, before: &[Before], since: &str) -> Result<()> {
    let key = site.identity("first").display().to_string();
    let page = site.seawall(["find", "--since", since, "--identity", &key])?.expect_code(0)?.stdout;
    for (number, accident) in ACCIDENTS.iter().enumerate() {
        let (Some(question), Some(lsn), Some(before)) =
            (accident.restores, expected.get(&number), before.get(number))
        else {
            continue;
        };
        let mut lines = page.lines().skip_while(|line| !line.ends_with(&format!("at {lsn}")));
        let command = lines.find(|line| line.contains(" restore "));
        let command = command.ok_or_else(|| Failure::new(format!("no command for {lsn} in\n{page}")))?;
        let directory = site.new_directory();
        let mut words: Vec<String> = command.split_whitespace().skip(1).map(str::to_owned).collect();
        if let Some(last) = words.last_mut().filter(|last| *last == "DIRECTORY") {
            *last = directory.display().to_string();
        }
        words.push("--server-binaries".to_owned());
        words.push(site.server.binaries().directory.display().to_string());
        run_seawall(words)?.expect_code(0)?;
        assert!(
            !directory.join("@seawall").exists(),
            "what was made for the backup is no file of the cluster"
        );
        let restored = recovered(
            Server::existing(site.server.major(), &directory)?.with_binaries(site.server.binaries()),
        )?;
        assert_eq!(Some(restored.value(question)?), before.answer, "{command}");
        assert_eq!(restored.value("SELECT count(*) FROM noise")?, before.noise, "{command}");
    }
    Ok(())
}
