//! Text in order: indexes on text come back with the order they were built in, whoever sorts: the C library, ICU by default, ICU
//! collations of a database's own.
//!
//! The fetched builds have no ICU, so the tests named `needs_icu` run on Debian's server; without one they fail, and `make test`
//! leaves them out by name, aloud.

use crate::support::{Site, json, says};
use seawall_testkit::{Binaries, Locale, Result, Server, oracles};
use serde_json::Value;

/// Words that every sorter orders in its own way: case, umlauts, punctuation, numbers, other scripts.
const WORDS: &str = "'a', 'B', 'b', 'A', 'Zebra', 'zebra', 'äpfel', 'Apfel', 'apfel', 'Äpfel', 'ß', 'ss', 'co-op', 'coop', \
     'résumé', 'resume', 'Straße', 'strasse', '10', '9', '雪', 'я', 'Ω', 'ω', '-', '_x', 'x y', 'xy'";

/// A table of such words, indexed, with rows before and after the backup.
fn words(site: &Site) -> Result<()> {
    site.server
        .execute("CREATE TABLE words (n serial, word text); CREATE INDEX words_word ON words (word, n)")?;
    more_words(site, 1, 60)?;
    site.backup(&[])?;
    more_words(site, 61, 120)?;
    site.archive_all()
}

fn more_words(site: &Site, from: u32, to: u32) -> Result<()> {
    site.server.execute(&format!(
        "INSERT INTO words (word) SELECT w || CASE WHEN n % 3 = 0 THEN '' ELSE n::text END \
         FROM unnest(ARRAY[{WORDS}]) w, generate_series({from}, {to}) n"
    ))
}

/// The words in order; by their index, and again by sorting.
fn in_order(server: &Server, collation: &str) -> Result<[String; 2]> {
    let words =
        format!("SELECT string_agg(word, '|') FROM (SELECT word FROM words ORDER BY word {collation}, n) w");
    let by_index = server.value(&format!("SET enable_seqscan = off; SET enable_sort = off; {words}"))?;
    let by_sorting = server.value(&format!(
        "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; {words}"
    ))?;
    Ok([by_index, by_sorting])
}

fn comes_back_in_order(site: &Site) -> Result<Server> {
    let before = in_order(&site.server, "")?;
    assert_eq!(before[0], before[1], "the original's own index");
    let server = site.restored(&["--latest"])?;
    assert_eq!(in_order(&server, "")?, before);
    assert_eq!(server.value("SELECT count(*) FROM words")?, "3360");
    oracles::amcheck(&server)?;
    Ok(server)
}

#[test]
fn text_sorted_by_the_c_library_comes_back_in_order() -> Result<()> {
    for (major, locale) in [(14, Locale::C), (18, Locale::C), (17, Locale::CUtf8)] {
        let site = Site::new(Server::builder(major).locale(locale).archive_command("false").start()?)?;
        words(&site)?;
        comes_back_in_order(&site)?;
    }
    Ok(())
}

#[test]
fn text_sorted_by_icu_comes_back_in_order_needs_icu() -> Result<()> {
    let binaries = Binaries::newest_with_icu()?;
    let builder = Server::builder(binaries.major).locale(Locale::Icu("de-AT".to_owned()));
    let site = Site::new(builder.archive_command("false").start()?)?;
    site.server.execute(
        "CREATE COLLATION phonebook (provider = icu, locale = 'de-u-co-phonebk'); \
         CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         CREATE TABLE names (name text COLLATE caseless PRIMARY KEY); INSERT INTO names VALUES ('Müller'), ('Meier'); \
         CREATE TABLE book (name text COLLATE phonebook); CREATE INDEX ON book (name); \
         INSERT INTO book SELECT w || n FROM unnest(ARRAY['Mueller', 'Müller', 'Muller', 'Ärger', 'Arger']) w, generate_series(1, 400) n",
    )?;
    words(&site)?;
    let [ours, _] = in_order(&site.server, "")?;
    assert_ne!(ours, in_order(&site.server, "COLLATE \"C\"")?[1], "ICU has an order of its own here");
    let book =
        "SET enable_seqscan = off; SELECT string_agg(name, '|') FROM (SELECT name FROM book ORDER BY name) b";
    let before = site.server.value(book)?;
    let server = comes_back_in_order(&site)?;
    assert_eq!(server.value(book)?, before);
    let provider = "SELECT datlocprovider FROM pg_database WHERE datname = 'postgres'";
    assert_eq!(server.value(provider)?, "i");
    let told =
        json(&site.restore(&site.new_directory(), &["--latest", "--dry-run", "--json"])?.expect_code(0)?)?;
    let icu = &told["collations"][0];
    let version = site.server.value("SELECT datcollversion FROM pg_database WHERE datname = 'postgres'")?;
    assert_eq!(
        (&icu["provider"], &icu["verdict"], &icu["here"]),
        (&"icu".into(), &"unknown".into(), &Value::Null)
    );
    assert!(icu["recorded"].as_array().is_some_and(|all| all.contains(&version.into())), "{icu}");
    let twice = server.execute("INSERT INTO names VALUES ('MÜLLER')");
    assert!(twice.is_err_and(|error| error.text().contains("names_pkey")), "one name whatever its case");
    Ok(())
}

/// As if the host had been upgraded since the indexes were built: the catalog records another version of the C library.
#[test]
fn a_restore_under_another_c_library_says_what_to_type() -> Result<()> {
    let site = Site::new(Server::builder(17).locale(Locale::CUtf8).archive_command("false").start()?)?;
    site.server.execute("UPDATE pg_database SET datcollversion = '2.13' WHERE datname = 'postgres'")?;
    let report = site.backup(&[])?;
    let id = report["backup"].as_str().unwrap_or_default().to_owned();
    let shown = json(&site.seawall(["show", &id, "--json"])?.expect_code(0)?)?;
    let here = shown["server"]["libc"].as_str().unwrap_or_default().to_owned();
    assert!(here.starts_with("2."), "{}", shown["server"]);
    site.archive_all()?;
    let restored = site.restore(&site.new_directory(), &["--latest"])?;
    let restored =
        says(restored, 1, &["restore.collations-differ", "2.13", &here, "reindexdb --dbname=postgres"])?;
    assert!(restored.stdout.contains("Collation versions differ"), "{}", restored.stdout);
    Ok(())
}
