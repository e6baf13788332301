//! Damage in one region of a server's repository, in buckets that let nothing be overwritten or deleted: restores go on, verify names it,
//! sync heals it, and the region then stands alone. What is shown here alone is *simulated*.

use crate::support::clouds::Two;
use crate::support::json;
use seawall_gcsim::{Fault, Operation, When};
use seawall_testkit::{Context as _, Failure, Result, Server, majors};
use serde_json::Value;

/// For how long buckets keep what they have: longer than any test.
const KEPT_SECONDS: u64 = 30 * 86_400;

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

fn text(value: &Value, field: &str) -> Result<String> {
    let found = value[field].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::new(format!("no {field} in {value}")))
}

/// One object of each kind, and a byte of it: within its head or text, and of a pack within its content.
fn damaged(place: &Two, backups: &[Value], event: &str) -> Result<Vec<(String, u64)>> {
    let system = place.site.server.value("SELECT system_identifier FROM pg_control_system()")?;
    let of = |rest: String| format!("demo/{system}/{rest}");
    let [full, next] = backups else { return Err(Failure::new("two backups")) };
    let (full, next) = (text(full, "backup")?, text(next, "backup")?);
    let first = place.site.server.value("SELECT substr(last_archived_wal, 1, 24) FROM pg_stat_archiver")?;
    let segment = |number: &str| of(format!("wal/00000001/{}/{number}", &first[..16]));
    Ok(vec![
        ("seawall.json".to_owned(), 120),
        ("demo/key/1.1".to_owned(), 120),
        (format!("demo/adopt/{system}.json"), 60),
        (event.to_owned(), 150),
        (of(format!("manifest/{next}")), 150),
        (of(format!("backup/{full}/map/0")), 400),
        (of(format!("backup/{full}/pack/0")), 90_000),
        (of(format!("backup/{next}/map/0")), 150),
        (segment(&first), 150),
    ])
}

#[test]
fn real_damage_of_every_kind_in_a_locked_bucket_is_healed_and_the_region_stands_alone() -> Result<()> {
    for major in majors() {
        let mut place = Two::start_keeping(Server::builder(major), "", Some(KEPT_SECONDS))?;
        let site = &place.site;
        site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 100000) g")?;
        let full = site.backup(&["--full"])?;
        site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
        let next = site.backup(&[])?;
        site.archive_all()?;
        let wanted = rows(&site.server)?;
        let identity = site.identity("first").display().to_string();
        let verify = |code| {
            json(&site.seawall(["verify", "--full", "--json", "--identity", &identity])?.expect_code(code)?)
        };
        let event = text(&verify(0)?, "event")?;
        let damaged = damaged(&place, &[full, next], &event)?;
        for (object, byte) in &damaged {
            place.one.damage(object, *byte)?;
        }
        // Every read goes on, and says what to type. The good region is slow, so that the other is asked.
        let slow = Fault { delay_ms: 100, ..Fault::default() };
        let gets = When { operations: vec![Operation::ObjectGet], ..When::default() };
        place.two.control().fault(gets, slow).context(|| "a fault".to_owned())?;
        let directory = site.new_directory();
        let said = site.restore(&directory, &["--latest"])?;
        place.two.heal()?;
        assert!(matches!(said.code, Some(0 | 1)), "{said:?}");
        assert!(format!("{}{}", said.stdout, said.stderr).contains("seawall sync --heal "), "{said:?}");
        let report = verify(1)?;
        let mut found: Vec<(String, String)> = Vec::new();
        for finding in report["findings"].as_array().into_iter().flatten() {
            found.push((text(finding, "object")?, text(finding, "region")?));
        }
        let mut expected: Vec<_> =
            damaged.iter().map(|(object, _)| (object.clone(), "one".to_owned())).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{major}: {report}");
        let healed = json(&site.seawall(["sync", "--json"])?.expect_code(0)?)?;
        let kinds = healed["regions"][0]["kinds"].as_array().cloned().unwrap_or_default();
        let heal = kinds.iter().find(|kind| kind["kind"] == "heal").cloned().unwrap_or_default();
        assert_eq!(
            (&heal["lacking"], &heal["copied"]),
            (&damaged.len().into(), &damaged.len().into()),
            "{healed}"
        );
        let report = verify(0)?;
        assert_eq!(report["healed"].as_array().map(Vec::len), Some(damaged.len()), "{report}");
        place.two.kill()?;
        let restored = place.site.restored(&["--latest", "--without-region", "two"])?;
        assert_eq!(rows(&restored)?, wanted, "{major}: region one alone");
    }
    Ok(())
}
