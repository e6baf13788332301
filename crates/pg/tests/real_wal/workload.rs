//! One of everything that a server writes into WAL.

use std::path::Path;
use std::time::{Duration, Instant};

use seawall_testkit::{Result, Server, StopMode};

/// How often a crash in the middle of a record is tried: it is a race against the server.
const CRASHES_MAX: usize = 8;

pub(crate) fn run(server: &mut Server) -> Result<()> {
    indexes(server)?;
    transactions(server)?;
    maintenance(server)?;
    clusters_objects(server)?;
    log_itself(server)?;
    images_for_comparison(server)?;
    crash_in_a_record(server)?;
    server.set("max_connections", "45")?;
    server.restart()?;
    server.execute("CHECKPOINT")?;
    server.execute("UPDATE plain SET t = t || '!' WHERE id % 50 = 0")
}

fn all(server: &Server, statements: &[&str]) -> Result<()> {
    statements.iter().try_for_each(|statement| server.execute(statement))
}

fn indexes(server: &Server) -> Result<()> {
    all(
        server,
        &[
            "CREATE TABLE plain (id int PRIMARY KEY, t text, p point, a int[], n int) WITH (fillfactor = 80)",
            "CREATE INDEX ON plain USING hash (n)",
            "CREATE INDEX ON plain USING gin (a)",
            "CREATE INDEX ON plain USING gist (p)",
            "CREATE INDEX ON plain USING spgist (t)",
            "CREATE INDEX ON plain USING brin (id) WITH (pages_per_range = 2)",
            "INSERT INTO plain SELECT i, 'row ' || md5(i::text), point(i % 97, i % 89), ARRAY[i % 10, i % 7], i % 1000 \
             FROM generate_series(1, 6000) i",
            "CHECKPOINT",
            "UPDATE plain SET n = n + 1 WHERE id % 5 = 0",
            "UPDATE plain SET p = point(id, id) WHERE id % 7 = 0",
            "DELETE FROM plain WHERE id % 11 = 0",
            "VACUUM (FREEZE) plain",
            "UPDATE plain SET t = t || 'x' WHERE id % 13 = 0",
            "DELETE FROM plain WHERE id % 17 = 0",
            "CREATE TABLE thin (id int, n int) WITH (fillfactor = 50)",
            "INSERT INTO thin SELECT i, 0 FROM generate_series(1, 500) i",
            "UPDATE thin SET n = 1",
            "CREATE TABLE large (id int, t text)",
            "ALTER TABLE large ALTER t SET STORAGE EXTERNAL",
            "INSERT INTO large SELECT i, repeat(md5(i::text), 400) FROM generate_series(1, 60) i",
            "UPDATE large SET t = t || 'more' WHERE id < 10",
            "DELETE FROM large WHERE id > 50",
            "CREATE TABLE bulk (id int)",
            "COPY bulk FROM PROGRAM 'seq 1 5000'",
            "CREATE SEQUENCE counted",
            "SELECT nextval('counted') FROM generate_series(1, 100)",
            "SELECT setval('counted', 1000)",
        ],
    )
}

fn transactions(server: &Server) -> Result<()> {
    all(
        server,
        &[
            "BEGIN; INSERT INTO bulk VALUES (1); SAVEPOINT a; INSERT INTO bulk VALUES (2); \
             CREATE TABLE prepared_one (id int); PREPARE TRANSACTION 'the first'",
            "BEGIN; DROP TABLE thin; CREATE TABLE prepared_two (id int); INSERT INTO prepared_two VALUES (1); \
             PREPARE TRANSACTION 'the second, which is rolled back'",
            "COMMIT PREPARED 'the first'",
            "ROLLBACK PREPARED 'the second, which is rolled back'",
            "BEGIN; INSERT INTO bulk SELECT generate_series(1, 50); CREATE TABLE never (id int); ROLLBACK",
            "DO $$ BEGIN FOR i IN 1..300 LOOP BEGIN INSERT INTO bulk VALUES (i); \
             IF i % 10 = 0 THEN RAISE EXCEPTION 'no'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; \
             END LOOP; END $$",
            "DO $$ BEGIN FOR i IN 1..220 LOOP EXECUTE format('CREATE TABLE many_%s (id int PRIMARY KEY, t text)', i); \
             END LOOP; END $$",
            "DO $$ BEGIN FOR i IN 1..220 LOOP EXECUTE format('DROP TABLE many_%s', i); END LOOP; END $$",
            "SELECT pg_logical_emit_message(false, 'of a test', repeat('m', 300))",
            "SELECT pg_logical_emit_message(true, 'of a test', repeat('n', 40000))",
            "SELECT pg_replication_origin_create('elsewhere')",
            "SELECT pg_replication_origin_session_setup('elsewhere'); BEGIN; \
             SELECT pg_replication_origin_xact_setup('0/1234', now()); INSERT INTO bulk VALUES (7); COMMIT",
            "BEGIN; SELECT * FROM bulk WHERE id < 20 FOR UPDATE; COMMIT",
            "BEGIN; SELECT * FROM bulk WHERE id < 20 FOR SHARE; COMMIT",
        ],
    )
}

fn maintenance(server: &Server) -> Result<()> {
    all(
        server,
        &[
            "VACUUM bulk",
            "UPDATE bulk SET id = id WHERE id % 9 = 0",
            "DELETE FROM bulk WHERE id > 1000",
            "VACUUM bulk",
            "CREATE TABLE shrinking AS SELECT generate_series(1, 20000) AS id",
            "DELETE FROM shrinking WHERE id > 1000",
            "VACUUM shrinking",
            "TRUNCATE large",
            "VACUUM FULL pg_class",
            "VACUUM FULL plain",
            "REINDEX TABLE plain",
            "ANALYZE",
            "CLUSTER plain USING plain_pkey",
            "ALTER TABLE plain ADD COLUMN later int DEFAULT 3",
            "CREATE TABLE parts (id int, k int) PARTITION BY RANGE (k)",
            "CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
            "CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20)",
            "INSERT INTO parts SELECT i, i % 20 FROM generate_series(1, 100) i",
            "UPDATE parts SET k = 15 WHERE k = 5",
            "CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY)",
            "VACUUM (FREEZE)",
        ],
    )
}

fn clusters_objects(server: &Server) -> Result<()> {
    let place = server.scratch().directory("another place")?;
    let make = format!("CREATE TABLESPACE other LOCATION '{}'", place.display());
    all(
        server,
        &[
            &make,
            "CREATE TABLE there (id int) TABLESPACE other",
            "INSERT INTO there SELECT generate_series(1, 1000)",
            "CREATE DATABASE first",
            "CREATE DATABASE second TABLESPACE other",
            "ALTER TABLE plain SET TABLESPACE other",
        ],
    )?;
    if server.major() >= 15 {
        server.execute("CREATE DATABASE third STRATEGY file_copy")?;
        server.execute("DROP DATABASE third")?;
    }
    server.execute_in("first", "CREATE TABLE inside AS SELECT generate_series(1, 100) AS id")?;
    all(
        server,
        &[
            "DROP DATABASE first",
            "DROP DATABASE second",
            "DROP TABLE there",
            "ALTER TABLE plain SET TABLESPACE pg_default",
            "DROP TABLESPACE other",
        ],
    )
}

fn log_itself(server: &Server) -> Result<()> {
    let backup = if server.major() < 15 {
        "SELECT pg_start_backup('a test', true, false); SELECT pg_stop_backup(false, false)"
    } else {
        "SELECT pg_backup_start('a test', true); SELECT pg_backup_stop(false)"
    };
    all(
        server,
        &[
            "SELECT pg_create_restore_point('a named point')",
            "CREATE TABLE before_the_switch (id int)",
            "SELECT pg_switch_wal()",
            "CHECKPOINT",
            backup,
            // OIDs are given away 8192 at a time.
            "DO $$ BEGIN FOR i IN 1..9000 LOOP PERFORM lo_unlink(lo_create(0)); \
             IF i % 300 = 0 THEN COMMIT; END IF; END LOOP; END $$",
        ],
    )
}

fn images_for_comparison(server: &Server) -> Result<()> {
    server.execute("SET wal_consistency_checking = 'all'; UPDATE plain SET n = n + 1 WHERE id % 20 = 0")
}

/// Kills the server while it writes one huge record, and starts it again; it then says that the record is lost.
fn crash_in_a_record(server: &mut Server) -> Result<()> {
    for _ in 0..CRASHES_MAX {
        let wal = server.data_directory().join("pg_wal");
        let before = segments(&wal);
        let mut client = server.connect("postgres")?;
        let writing = std::thread::spawn(move || {
            let huge = "SELECT pg_logical_emit_message(false, 'huge', repeat('h', 300000000))";
            client.batch_execute(huge).is_err()
        });
        let until = Instant::now() + Duration::from_secs(60);
        while segments(&wal) < before + 3 && !writing.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.stop(StopMode::Kill)?;
        let was_cut = writing.join().unwrap_or(true);
        server.start()?;
        server.execute("CREATE TABLE IF NOT EXISTS after_the_crash (id int)")?;
        if was_cut && server.log().contains("redo done at") {
            return Ok(());
        }
    }
    Ok(())
}

fn segments(wal: &Path) -> usize {
    std::fs::read_dir(wal).map_or(0, Iterator::count)
}
