//! The whole road in a bucket of whoever has one: `make test-cloud BUCKET=gs://bucket/prefix` runs this.
//!
//! `SEAWALL_TEST_BUCKET` is its URL and `SEAWALL_TEST_OPTIONS` a TOML file of what a region's settings may have beside that. The repository lies
//! beneath a new name in it, which is told, and stays there.

#![expect(clippy::print_stdout, reason = "what was found and what is left is part of what the test says")]

use std::path::Path;

use seawall_testkit::identity::write_file;
use seawall_testkit::{Context as _, Failure, Result, Server, majors};

use crate::support::{Site, json};

fn region(home: &Path, bucket: &str) -> Result<String> {
    let mut options = toml::Table::new();
    if let Some(file) = std::env::var_os("SEAWALL_TEST_OPTIONS") {
        options =
            std::fs::read_to_string(&file)?.parse().context(|| format!("reading {}", file.display()))?;
    }
    // The server's user reads it too.
    if let Some(login) = options.get("credentials_file").and_then(toml::Value::as_str) {
        let copy = home.join("credentials");
        write_file(&copy, std::fs::read(login)?, 0o600)?;
        options.insert("credentials_file".to_owned(), copy.display().to_string().into());
    }
    options.insert("name".to_owned(), "cloud".into());
    let run = home.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let url = format!("{}/road-{run}-{}", bucket.trim_end_matches('/'), std::process::id());
    println!("the repository is {url}, and stays there");
    options.insert("url".to_owned(), url.into());
    Ok(format!("[[repository.region]]\n{options}"))
}

#[test]
#[ignore = "wants a bucket: make test-cloud BUCKET=gs://bucket/prefix"]
fn real_the_whole_road_in_a_bucket() -> Result<()> {
    let Ok(bucket) = std::env::var("SEAWALL_TEST_BUCKET") else { return Ok(()) };
    let major = *majors().last().ok_or_else(|| Failure::new("no major to test"))?;
    let server = Server::builder(major).archive_command("false").start()?;
    let site = Site::in_regions(server, |home| region(home, &bucket))?;
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 100000) g")?;
    site.backup(&["--full"])?;
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
    site.backup(&[])?;
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
    site.archive_all()?;
    let rows = |server: &Server| server.value("SELECT count(*) || ' ' || sum(i) FROM kept");
    let wanted = rows(&site.server)?;
    // What a bucket is not as it should be is the owner's to read; that anything is missing is not.
    println!("{}", site.seawall(["check"])?.stdout);
    let identity = site.identity("first").display().to_string();
    json(&site.seawall(["verify", "--full", "--json", "--identity", &identity])?.expect_code(0)?)?;
    assert_eq!(rows(&site.restored(&["--latest"])?)?, wanted);
    Ok(())
}
