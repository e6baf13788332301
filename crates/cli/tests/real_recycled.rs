//! A server that writes little: a segment is handed over before the record that goes on behind it is on disk, and is recycled long before
//! the next one is full. What that record changed is known all the same, and the next backup does not read every page.

use std::time::Duration;

use crate::support::by_wal::{by_wal, found_nothing};
use crate::support::{RECOVERY_LIMIT, Site};
use seawall_testkit::{Context as _, Failure, Result, Server, majors};

fn site(major: u16) -> Result<Site> {
    let builder = Server::builder(major).archive_command("false").data_checksums(true);
    let settings = [("autovacuum", "off"), ("wal_keep_size", "0"), ("track_commit_timestamp", "off")];
    let builder = settings.iter().fold(builder, |builder, (name, value)| builder.setting(name, value));
    let site = Site::new(builder.start()?)?;
    site.server.execute("CREATE TABLE kept (n bigint, body text)")?;
    Ok(site)
}

/// Rows until the segment is full and the record at its end has just gone on into the next one; nothing more is written until that first
/// segment is archived and recycled. Its name.
fn stops_behind_a_segments_end(site: &mut Site) -> Result<String> {
    let segment = site.server.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")?;
    let mut client = site.server.connect("postgres")?;
    let mut transaction = client.transaction().context(|| "a transaction".to_owned())?;
    let fill = "DO $$ DECLARE first text := pg_walfile_name(pg_current_wal_insert_lsn()); BEGIN \
                WHILE pg_walfile_name(pg_current_wal_insert_lsn()) = first LOOP \
                INSERT INTO kept VALUES (1, repeat('x', 900)); END LOOP; END $$";
    transaction.batch_execute(fill).context(|| "filling a segment".to_owned())?;
    let archived = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver";
    site.server.wait_for("archiving", RECOVERY_LIMIT, |server| {
        Ok(server.value(archived)?.get(..24) >= Some(&segment))
    })?;
    transaction.commit().context(|| "the commit".to_owned())?;
    let file = site.server.data_directory().join("pg_wal").join(&segment);
    site.server.wait_for("recycling", Duration::from_secs(60), |server| {
        server.execute("CHECKPOINT")?;
        Ok(!file.exists())
    })?;
    Ok(segment)
}

/// Whether the index of the segment says what the record at its end changes.
fn is_told_ahead(site: &Site, segment: &str) -> Result<bool> {
    let identity = site.identity("first").display().to_string();
    let shown = site.seawall(["debug", "index", segment, "--identity", &identity])?.expect_code(0)?.stdout;
    if !shown.contains("the beginning of the record at") {
        return Err(Failure::new(format!("{segment} does not end within a record: {shown}")));
    }
    Ok(shown.contains("whose pages are told here"))
}

fn what_spans_two_segments_is_known(major: u16) -> Result<()> {
    let mut site = site(major)?;
    site.backup(&["--full"])?;
    for _ in 0..3 {
        let segment = stops_behind_a_segments_end(&mut site)?;
        assert!(!is_told_ahead(&site, &segment)?, "{major}, {segment}: nothing was left to find out");
        by_wal(&site, &[])?;
    }
    let last = by_wal(&site, &[])?;
    found_nothing(&site, &last, &site.backup(&["--scan"])?)?;
    site.archive_all()?;
    let identity = site.identity("first").display().to_string();
    site.seawall(["verify", "--full", "--identity", &identity])?.expect_code(0)?;
    let wanted = site.server.value("SELECT count(*) FROM kept")?;
    assert_eq!(site.restored(&["--latest"])?.value("SELECT count(*) FROM kept")?, wanted);
    Ok(())
}

#[test]
fn real_what_spans_two_segments_is_known_though_the_first_was_recycled() -> Result<()> {
    majors()
        .into_iter()
        .try_for_each(|major| what_spans_two_segments_is_known(major).context(|| major.to_string()))
}
