//! A repository in two regions of a simulated Google Cloud Storage: from `init` to a restore, with a region that is lost for good.
//! What is shown here alone is *simulated*.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use crate::support::{Site, json};
use seawall_gcsim::{Answer, Credential, Fault, Grant, Operation, Simulator, When};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context as _, Failure, Result, Server, majors};

const TOKEN: &str = "a-token-that-nobody-may-see";
/// As docs/PLACES.md gives them.
const WRITER: [&str; 3] = ["create", "get", "list"];
const READER: [&str; 2] = ["get", "list"];

/// Two simulators stand for two regions: one can go while the other stays.
struct Clouds {
    one: Option<Simulator>,
    two: Simulator,
}

impl Clouds {
    fn new() -> Result<Self> {
        let start = |location| -> Result<Simulator> {
            let simulator = Simulator::start().context(|| "starting a simulator".to_owned())?;
            simulator.create_bucket("acme-dr", location).context(|| "making a bucket".to_owned())?;
            Ok(simulator)
        };
        Ok(Self { one: Some(start("europe-west3")?), two: start("europe-north1")? })
    }

    /// From now on the token may do this and nothing else.
    fn allow(&self, rights: &[&str]) -> Result<()> {
        let rights = rights.iter().map(|right| format!("storage.objects.{right}")).collect();
        let grant = Grant { allow: rights, ..Grant::default() };
        let credential = Credential { name: "someone@acme".to_owned(), grants: vec![grant] };
        let known = BTreeMap::from([(TOKEN.to_owned(), credential)]);
        for simulator in self.one.iter().chain([&self.two]) {
            simulator.credentials(&known).context(|| "rights".to_owned())?;
        }
        Ok(())
    }

    /// The regions' part of the settings, with one file of credentials for both.
    fn settings(&self, home: &Path) -> Result<String> {
        let file = home.join("token.json");
        write_file(&file, format!("{{\"type\": \"fixed_token\", \"token\": \"{TOKEN}\"}}"), 0o600)?;
        let region = |name: &str, url: String| {
            format!(
                "[[repository.region]]\nname = \"{name}\"\nurl = \"gs://acme-dr/pg\"\nendpoint = \"{url}\"\ncredentials_file = \"{}\"\n",
                file.display()
            )
        };
        let one = self.one.as_ref().ok_or_else(|| Failure::new("region one is gone"))?;
        Ok(region("one", one.url()) + &region("two", self.two.url()))
    }
}

fn site(major: u16, clouds: &Clouds) -> Result<Site> {
    let server = Server::builder(major).archive_command("false").start()?;
    Site::in_regions(server, |home| clouds.settings(home))
}

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

#[test]
fn real_a_repository_in_buckets_survives_the_loss_of_a_region() -> Result<()> {
    for major in majors() {
        let mut clouds = Clouds::new()?;
        clouds.allow(&WRITER)?;
        let site = site(major, &clouds)?;
        site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 10000) g")?;
        site.backup(&["--full"])?;
        site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
        site.backup(&[])?;
        site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 77) g")?;
        site.archive_all()?;
        let wanted = rows(&site.server)?;
        clouds.allow(&READER)?;
        assert_eq!(rows(&site.restored(&["--latest"])?)?, wanted, "{major}, both regions");
        // A host with a key that writes keeps a record of what was verified.
        clouds.allow(&WRITER)?;
        let identity = site.identity("first").into_os_string();
        let line = ["verify", "--json", "--full", "--identity"].map(OsString::from);
        json(&site.seawall(line.into_iter().chain([identity]))?.expect_code(0)?)?;

        clouds.allow(&READER)?;
        clouds.one = None;
        // Away: what is asked of it is answered by the other, and said; given up by name: nothing is waited for.
        let restored = site.restored(&["--latest", "--without-region", "one"])?;
        assert_eq!(rows(&restored)?, wanted, "{major}, region one lost");
    }
    Ok(())
}

#[test]
fn real_a_put_that_is_refused_is_told_in_the_servers_log_and_tried_again() -> Result<()> {
    let clouds = Clouds::new()?;
    let major = majors().last().copied().ok_or_else(|| Failure::new("no server"))?;
    let site = site(major, &clouds)?;
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 1000) g")?;
    site.backup(&["--full"])?;
    let message = Some("no right here".to_owned());
    let answer = Some(Answer { status: 403, reason: None, message, retry_after: None });
    // Twice: the server tries three times before it rests for a minute.
    let when = When { operations: vec![Operation::ObjectPut], count: Some(2), ..When::default() };
    clouds.two.fault(when, Fault { answer, ..Fault::default() }).context(|| "a fault".to_owned())?;
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
    site.archive_all()?;
    let log = site.server.log();
    assert!(log.contains("403") && log.contains("no right here") && !log.contains(TOKEN), "{log}");
    let wanted = rows(&site.server)?;
    assert_eq!(rows(&site.restored(&["--latest"])?)?, wanted);
    Ok(())
}
