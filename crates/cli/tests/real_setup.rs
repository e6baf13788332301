//! From a fresh server to one that `check` finds nothing wrong with, by command lines alone; then one fault after the other.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::support::json;
use seawall_testkit::identity::write_file;
use seawall_testkit::{Failure, Outcome, Result, Scratch, Server, majors, run_seawall};
use serde_json::Value;

struct Site {
    server: Server,
    home: Scratch,
}

impl Site {
    fn new(major: u16) -> Result<Self> {
        let server = Server::builder(major).start()?;
        server.execute("ALTER SYSTEM SET archive_mode = off")?;
        let site = Self { server, home: Scratch::new()? };
        let (data, home) = (site.server.data_directory().display(), site.home.path().display());
        let text = format!(
            "[cluster.demo]\ndata_directory = \"{data}\"\n\
             connection = \"host={} user=seawall dbname=postgres\"\n\
             [repository]\nwriter_key_file = \"{home}/writer.key\"\n\
             [[repository.region]]\nname = \"one\"\nurl = \"file://{home}/one\"\n\
             [[repository.region]]\nname = \"two\"\nurl = \"file://{home}/two\"\n",
            site.server.socket_directory().display()
        );
        write_file(&site.path("seawall.toml"), text, 0o600)?;
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn seawall<S: Into<OsString>>(&self, line: impl IntoIterator<Item = S>) -> Result<Outcome> {
        let mut words: Vec<OsString> = vec!["-c".into(), self.path("seawall.toml").into()];
        words.extend(line.into_iter().map(Into::into));
        run_seawall(words)
    }

    fn identity(&self, name: &str) -> Result<String> {
        let file = self.path(name);
        let line = ["key".into(), "generate".into(), "--output".into(), file.into_os_string()];
        let made = run_seawall(line)?.expect_code(0)?;
        let recipient = made.stdout.split_whitespace().find(|word| word.starts_with("age1"));
        recipient.map(str::to_owned).ok_or_else(|| Failure::new("no recipient"))
    }

    fn init(&self, more: &[&str]) -> Result<Value> {
        let user = self.server.value("SELECT current_user")?;
        let administrator = format!("host={} user={user}", self.server.socket_directory().display());
        let line = ["init", "--yes", "--json", "--configure-postgres", "--administrator", &administrator];
        json(&self.seawall(line.iter().chain(more).copied())?.expect_code(0)?)
    }

    /// What `check` finds, except that a test has one disk only.
    fn findings(&self, more: &[&str], code: i32) -> Result<Vec<String>> {
        let report =
            json(&self.seawall(["check", "--json"].iter().chain(more).copied())?.expect_code(code)?)?;
        let findings = report.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        let ids = findings.iter().filter_map(|finding| finding.get("id")?.as_str().map(str::to_owned));
        Ok(ids.filter(|id| id != "check.same-file-system").collect())
    }
}

#[test]
fn real_a_fresh_server_is_set_up_checked_and_its_faults_are_found() -> Result<()> {
    let Some(major) = majors().last().copied() else { return Ok(()) };
    let mut site = Site::new(major)?;
    let recipients = [site.identity("first")?, site.identity("second")?];
    let first = site.init(&["--recipient", &recipients[0], "--recipient", &recipients[1]])?;
    assert_eq!(first.get("step"), Some(&"make-repository".into()));
    assert_eq!(site.findings(&[], 1)?, ["check.archive-mode"]);
    site.server.restart()?;
    let again = site.init(&[])?;
    assert_eq!(again.get("step"), Some(&"nothing".into()));
    assert_eq!(again.pointer("/server/settings"), Some(&Value::Array(Vec::new())), "{again}");
    assert_eq!(again.pointer("/server/role"), Some(&Value::Array(Vec::new())), "{again}");
    assert_eq!(site.findings(&["--archive"], 1)?, Vec::<String>::new());

    site.server.execute("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() FROM seawall")?;
    site.server.set("archive_command", "false")?;
    let mut found = site.findings(&[], 1)?;
    found.retain(|id| id != "check.archiving-fails");
    assert_eq!(found, ["check.grant-missing", "check.archive-command"]);
    site.init(&[])?;
    assert_eq!(site.findings(&["--archive"], 1)?, Vec::<String>::new());

    change_keys(&site)
}

fn change_keys(site: &Site) -> Result<()> {
    let first = site.path("first");
    let identity = ["--identity".into(), first.clone().into_os_string()];
    let third = site.identity("third")?;
    let line = ["key".into(), "add-recipient".into(), third.clone().into()];
    site.seawall(line.into_iter().chain(identity.clone()))?.expect_code(0)?;
    let shown = json(&site.seawall(["key", "show", "--json"])?.expect_code(0)?)?;
    let recipients = shown.pointer("/generations/0/recipients").and_then(Value::as_array).map(Vec::len);
    assert_eq!(recipients, Some(3), "{shown}");
    let writer = shown.pointer("/writers/0/writer").and_then(Value::as_str).unwrap_or_default().to_owned();
    let line: [OsString; 5] =
        ["key".into(), "revoke-writer".into(), writer.into(), "--reason".into(), "stolen".into()];
    site.seawall(line.into_iter().chain(identity))?.expect_code(0)?;
    assert!(site.findings(&[], 1)?.contains(&"check.writer-revoked".to_owned()));
    std::fs::rename(site.path("two"), site.path("elsewhere"))?;
    assert!(site.findings(&[], 1)?.contains(&"check.region-away".to_owned()));
    Ok(())
}
