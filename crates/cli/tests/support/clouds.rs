//! Regions in simulators that are processes of their own, so that they can be stopped, killed and started again.
//!
//! Each is this test program over again, told by its environment to serve. What is shown on them alone is *simulated*.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use seawall_gcsim::{Answer, Control, Fault, Operation, Options, Simulator, When};
use seawall_testkit::emulators::{ask, send_signal};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context as _, Failure, Result, Scratch, ServerBuilder};

use super::Site;

const LISTEN: &str = "SEAWALL_TEST_CLOUD_LISTEN";
const DATA: &str = "SEAWALL_TEST_CLOUD_DATA";
const BUCKET: &str = "acme-dr";

/// A region: a simulator with one bucket.
pub(crate) struct Cloud {
    name: &'static str,
    home: Scratch,
    child: Option<Child>,
    address: SocketAddr,
}

impl Cloud {
    /// Starts one; its bucket lets nothing be overwritten or deleted for so many seconds, where that is said, and nobody can lift that.
    pub(crate) fn start(name: &'static str, location: &str, seconds: Option<u64>) -> Result<Self> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut cloud = Self { name, home: Scratch::new()?, child: None, address: listen };
        cloud.serve()?;
        let control = cloud.control();
        let mut bucket = serde_json::json!({ "name": BUCKET, "location": location });
        if let Some(seconds) = seconds {
            bucket["retentionPolicy"] = serde_json::json!({ "retentionPeriod": seconds.to_string() });
        }
        let made = control.create_bucket_with(&bucket, "project", false);
        made.context(|| "making a bucket".to_owned())?;
        if seconds.is_some() {
            control.lock_bucket(BUCKET).context(|| "locking a bucket".to_owned())?;
        }
        control.rate_limit(false).context(|| "settings of a simulator".to_owned())?;
        Ok(cloud)
    }

    /// A second bucket in the same process: what comes over it comes over both.
    pub(crate) fn and_bucket(&self, bucket: &str, location: &str) -> Result<()> {
        let made = self.control().create_bucket(bucket, location);
        made.context(|| "making a bucket".to_owned())
    }

    fn serve(&mut self) -> Result<()> {
        let told = self.home.path().join("address");
        let _gone = std::fs::remove_file(&told);
        let child = Command::new(std::env::current_exe()?)
            .args(["--ignored", "--exact", &serving(), "--nocapture"])
            .env(LISTEN, self.address.to_string())
            .env(DATA, self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context(|| "starting a simulator".to_owned())?;
        self.child = Some(child);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if let Ok(text) = std::fs::read_to_string(&told)
                && let Ok(address) = text.trim().parse()
            {
                self.address = address;
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Failure::new("the simulator named no address"))
    }

    /// The region's name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What tests speak to.
    pub(crate) fn control(&self) -> Control {
        Control::new(self.address)
    }

    /// Its part of the settings.
    pub(crate) fn settings(&self, credentials: &Path) -> String {
        self.settings_of(self.name, BUCKET, credentials)
    }

    /// The part of the settings of a region in one of its buckets.
    pub(crate) fn settings_of(&self, name: &str, bucket: &str, credentials: &Path) -> String {
        format!(
            "[[repository.region]]\nname = \"{name}\"\nurl = \"gs://{bucket}/pg\"\nendpoint = \"http://{}\"\ncredentials_file = \"{}\"\n",
            self.address,
            credentials.display()
        )
    }

    /// The login that every test uses.
    pub(crate) fn token(home: &Path) -> Result<PathBuf> {
        let token = home.join("token.json");
        write_file(&token, r#"{"type": "fixed_token", "token": "one-for-all"}"#, 0o600)?;
        Ok(token)
    }

    /// What its bucket holds: names, and of each what changes with its bytes.
    pub(crate) fn objects(&self) -> Result<BTreeMap<String, String>> {
        let answer = ask(self.address.port(), &format!("GET /storage/v1/b/{BUCKET}/o"), &[], b"")?;
        let listed: serde_json::Value = serde_json::from_slice(&answer.body)?;
        assert!(listed["nextPageToken"].is_null(), "more objects than one page has");
        let items = listed["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let content = |item: &serde_json::Value| format!("{} {}", item["generation"], item["crc32c"]);
        Ok(items
            .iter()
            .map(|item| (item["name"].as_str().unwrap_or_default().to_owned(), content(item)))
            .collect())
    }

    /// The address that settings name.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A bit of an object is wrong from now on, and nobody is told.
    pub(crate) fn damage(&self, object: &str, byte: u64) -> Result<()> {
        let done = self.control().damage(BUCKET, &format!("pg/{object}"), byte, 3);
        done.context(|| format!("damaging {object}"))
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let child = self.child.as_ref().ok_or_else(|| Failure::new("the simulator is gone"))?;
        send_signal(child, signal)
    }

    /// Hangs from now on: connections are taken, and nothing is answered.
    pub(crate) fn stop(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Goes on.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Is gone from now on: connections are refused.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Whether it was killed.
    pub(crate) fn is_gone(&self) -> bool {
        self.child.is_none()
    }

    /// Is there again, at its address, with all it had.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.serve()
    }

    /// Puts are answered with this status from now on.
    pub(crate) fn refuse_puts(&self, status: u16, reason: &str) -> Result<()> {
        let answer = Answer {
            status,
            reason: Some(reason.to_owned()),
            message: Some("as the test wants it".to_owned()),
            retry_after: None,
        };
        let when = When { operations: vec![Operation::ObjectPut], ..When::default() };
        let fault = Fault { answer: Some(answer), ..Fault::default() };
        self.control().fault(when, fault).context(|| "a fault".to_owned()).map(drop)
    }

    /// Everything is as it should be again.
    pub(crate) fn heal(&self) -> Result<()> {
        self.control().release_all().context(|| "healing".to_owned())
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        // A process that is stopped dies of SIGKILL all the same.
        let _gone = self.kill();
    }
}

/// A site whose repository lies in two such regions.
pub(crate) struct Two {
    pub(crate) site: Site,
    pub(crate) one: Cloud,
    pub(crate) two: Cloud,
}

impl Two {
    /// A started server with archiving on; `repository` begins the settings of that name.
    pub(crate) fn start(server: ServerBuilder, repository: &str) -> Result<Self> {
        Self::start_keeping(server, repository, None)
    }

    /// The same, in buckets that let nothing be overwritten or deleted for so many seconds.
    pub(crate) fn start_keeping(
        server: ServerBuilder,
        repository: &str,
        seconds: Option<u64>,
    ) -> Result<Self> {
        let one = Cloud::start("one", "europe-west3", seconds)?;
        let two = Cloud::start("two", "europe-north1", seconds)?;
        let settings = |home: &Path| -> Result<String> {
            let token = Cloud::token(home)?;
            Ok(format!("{repository}{}{}", one.settings(&token), two.settings(&token)))
        };
        let site = Site::in_regions(server.archive_command("false").start()?, settings)?;
        Ok(Self { site, one, two })
    }
}

/// The name of the test below, as the test program knows it.
fn serving() -> String {
    let module = module_path!();
    let module = module.split_once("::").map_or("", |(_, module)| module);
    format!("{module}::serve_as_a_simulator")
}

#[test]
#[ignore = "a process for other tests, which start it"]
fn serve_as_a_simulator() -> Result<()> {
    let (Ok(listen), Some(data)) = (std::env::var(LISTEN), std::env::var_os(DATA).map(PathBuf::from)) else {
        return Ok(());
    };
    let options = Options { listen: listen.parse()?, data: Some(data.join("data")) };
    let simulator = Simulator::start_with(&options).context(|| "starting".to_owned())?;
    let address = simulator.url().trim_start_matches("http://").to_owned();
    std::fs::write(data.join("address.new"), address)?;
    std::fs::rename(data.join("address.new"), data.join("address"))?;
    simulator.run();
    Ok(())
}
