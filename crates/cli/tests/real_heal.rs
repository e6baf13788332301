//! Damage in one region of a server's repository, in buckets that let nothing be overwritten or deleted: restores go on, verify names it,
//! sync heals it, and the region then stands alone. What is shown on simulators of Google alone is *simulated*.

use std::path::Path;

use crate::support::clouds::Two;
use crate::support::places::S3;
use crate::support::{Site, json};
use seawall_gcsim::{Fault, Operation, When};
use seawall_testkit::{Context as _, Failure, Result, Server, majors};
use serde_json::Value;

/// For how long buckets keep what they have: longer than any test.
const KEPT_DAYS: u32 = 30;
const S3_BUCKET: &str = "acme-locked";

/// A server whose repository lies in two locked buckets, of which `one` is damaged and `two` goes.
trait Pair {
    fn site(&self) -> &Site;
    fn damage_one(&mut self, object: &str, byte: u64) -> Result<()>;
    /// From now on `two` answers so late that `one` is asked, or at once again; false where that cannot be had.
    fn two_is_slow(&self, slow: bool) -> Result<bool>;
    fn two_goes(&mut self) -> Result<()>;
}

impl Pair for Two {
    fn site(&self) -> &Site {
        &self.site
    }

    fn damage_one(&mut self, object: &str, byte: u64) -> Result<()> {
        self.one.damage(object, byte)
    }

    fn two_is_slow(&self, slow: bool) -> Result<bool> {
        if !slow {
            return self.two.heal().map(|()| true);
        }
        let late = Fault { delay_ms: 100, ..Fault::default() };
        let gets = When { operations: vec![Operation::ObjectGet], ..When::default() };
        self.two.control().fault(gets, late).context(|| "a fault".to_owned())?;
        Ok(true)
    }

    fn two_goes(&mut self) -> Result<()> {
        self.two.kill()
    }
}

/// Two stores of S3's kind under Object Lock.
struct TwoOfS3 {
    site: Site,
    one: S3,
    two: S3,
}

impl TwoOfS3 {
    fn start(major: u16) -> Result<Self> {
        let (mut one, mut two) = (S3::start("one")?, S3::start("two")?);
        for place in [&mut one, &mut two] {
            place.store().make_locked_bucket(S3_BUCKET, KEPT_DAYS)?;
        }
        let settings =
            |home: &Path| Ok([one.settings_of(S3_BUCKET, home)?, two.settings_of(S3_BUCKET, home)?].concat());
        let site = Site::in_regions(Server::builder(major).archive_command("false").start()?, settings)?;
        Ok(Self { site, one, two })
    }
}

impl Pair for TwoOfS3 {
    fn site(&self) -> &Site {
        &self.site
    }

    /// As whoever holds a key that may put: the version beneath is kept, and nobody reads it.
    fn damage_one(&mut self, object: &str, byte: u64) -> Result<()> {
        self.one.store().damage(S3_BUCKET, &format!("pg/{object}"), byte)
    }

    fn two_is_slow(&self, _: bool) -> Result<bool> {
        Ok(false)
    }

    fn two_goes(&mut self) -> Result<()> {
        self.two.store().kill()
    }
}

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

fn text(value: &Value, field: &str) -> Result<String> {
    let found = value[field].as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::new(format!("no {field} in {value}")))
}

/// One object of each kind, and a byte of it: within its head or text, and of a pack within its content.
fn damaged(site: &Site, backups: &[Value], event: &str) -> Result<Vec<(String, u64)>> {
    let system = site.server.value("SELECT system_identifier FROM pg_control_system()")?;
    let of = |rest: String| format!("demo/{system}/{rest}");
    let [full, next] = backups else { return Err(Failure::new("two backups")) };
    let (full, next) = (text(full, "backup")?, text(next, "backup")?);
    let first = site.server.value("SELECT substr(last_archived_wal, 1, 24) FROM pg_stat_archiver")?;
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

fn damage_of_every_kind_is_healed(mut place: impl Pair, major: u16) -> Result<()> {
    let site = place.site();
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 100000) g")?;
    let full = site.backup(&["--full"])?;
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
    let next = site.backup(&[])?;
    site.archive_all()?;
    let wanted = rows(&site.server)?;
    let identity = site.identity("first").display().to_string();
    let verify = |site: &Site, code| {
        json(&site.seawall(["verify", "--full", "--json", "--identity", &identity])?.expect_code(code)?)
    };
    let event = text(&verify(site, 0)?, "event")?;
    let damaged = damaged(site, &[full, next], &event)?;
    for (object, byte) in &damaged {
        place.damage_one(object, *byte)?;
    }
    // Every read goes on, and says what to type.
    let slow = place.two_is_slow(true)?;
    let directory = place.site().new_directory();
    let said = place.site().restore(&directory, &["--latest"])?;
    place.two_is_slow(false)?;
    assert!(matches!(said.code, Some(0 | 1)), "{said:?}");
    assert!(!slow || format!("{}{}", said.stdout, said.stderr).contains("seawall sync --heal "), "{said:?}");
    let report = verify(place.site(), 1)?;
    let mut found: Vec<(String, String)> = Vec::new();
    for finding in report["findings"].as_array().into_iter().flatten() {
        found.push((text(finding, "object")?, text(finding, "region")?));
    }
    let mut expected: Vec<_> = damaged.iter().map(|(object, _)| (object.clone(), "one".to_owned())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{major}: {report}");
    let healed = json(&place.site().seawall(["sync", "--json"])?.expect_code(0)?)?;
    let kinds = healed["regions"][0]["kinds"].as_array().cloned().unwrap_or_default();
    let heal = kinds.iter().find(|kind| kind["kind"] == "heal").cloned().unwrap_or_default();
    let all = damaged.len();
    assert_eq!((&heal["lacking"], &heal["copied"]), (&all.into(), &all.into()), "{healed}");
    let report = verify(place.site(), 0)?;
    assert_eq!(report["healed"].as_array().map(Vec::len), Some(all), "{report}");
    place.two_goes()?;
    let restored = place.site().restored(&["--latest", "--without-region", "two"])?;
    assert_eq!(rows(&restored)?, wanted, "{major}: region one alone");
    Ok(())
}

#[test]
fn real_damage_of_every_kind_in_a_locked_bucket_is_healed_and_the_region_stands_alone() -> Result<()> {
    let seconds = u64::from(KEPT_DAYS) * 86_400;
    for major in majors() {
        damage_of_every_kind_is_healed(
            Two::start_keeping(Server::builder(major), "", Some(seconds))?,
            major,
        )?;
    }
    Ok(())
}

/// What another version hides under S3's Object Lock.
#[test]
fn real_damage_of_every_kind_under_object_lock_is_healed_and_the_region_stands_alone() -> Result<()> {
    let major = *majors().last().ok_or_else(|| Failure::new("no major to test"))?;
    damage_of_every_kind_is_healed(TwoOfS3::start(major)?, major)
}
