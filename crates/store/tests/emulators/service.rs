//! The stores that the tests talk to: each a process of its own, on ports that nobody else has.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use seawall_store::{Access, Limits, Region, RegionConfig, RegionName, Role, World};
use seawall_testkit::emulators::seaweed::{BUCKET, SECRET, Seaweed, Shown};
use seawall_testkit::emulators::{ask, emulator, free_ports};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A store in a process of its own, ended when dropped.
pub(crate) struct Emulator {
    running: Running,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) access: Access,
    url: String,
}

enum Running {
    Seaweed(Seaweed),
    Azurite(Child),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Azurite(child) = self {
            // What it cannot be told any more is gone already.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn wait_for(port: u16) {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < STARTS_WITHIN, "nothing listens on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn private_file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl Emulator {
    pub(crate) fn seaweed() -> Self {
        Self::seaweed_behind(None)
    }

    /// With `shown`, it takes nothing but TLS.
    pub(crate) fn seaweed_behind(shown: Option<&Shown>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let seaweed = Seaweed::start(shown).unwrap();
        let access = Access {
            endpoint: Some(seaweed.endpoint()),
            credentials_file: Some(private_file(folder.path(), "credentials", &Seaweed::credentials())),
            aws_region: Some("us-east-1".to_owned()),
            ..Access::default()
        };
        Self { running: Running::Seaweed(seaweed), folder, access, url: format!("s3://{BUCKET}/pg") }
    }

    /// What SeaweedFS can do beside being asked for objects.
    pub(crate) fn as_seaweed(&self) -> &Seaweed {
        match &self.running {
            Running::Seaweed(seaweed) => seaweed,
            Running::Azurite(_) => panic!("it is Azurite"),
        }
    }

    pub(crate) fn azurite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port] = free_ports().unwrap();
        let child = Command::new(emulator("azurite-blob").unwrap())
            .args(["--blobHost", "127.0.0.1", "--skipApiVersionCheck", "--disableTelemetry", "--silent"])
            .args(["--blobPort", &port.to_string()])
            .arg("--location")
            .arg(folder.path())
            .env("AZURITE_ACCOUNTS", format!("acme:{SECRET}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(port);
        let endpoint = format!("http://127.0.0.1:{port}/acme");
        let text = format!("account_key = \"{SECRET}\"\n");
        let access = Access {
            endpoint: Some(endpoint.clone()),
            credentials_file: Some(private_file(folder.path(), "azure.toml", &text)),
            account: Some("acme".to_owned()),
            ..Access::default()
        };
        make_container(port);
        Self { running: Running::Azurite(child), folder, access, url: "az://backups/pg".to_owned() }
    }

    pub(crate) fn config(&self) -> RegionConfig {
        let limits =
            Limits { attempts_max: 3, backoff_first: Duration::from_millis(50), ..Limits::default() };
        RegionConfig {
            name: RegionName::new("place").unwrap(),
            url: self.url.clone(),
            access: self.access.clone(),
            role: Role::Copy,
            limits,
        }
    }

    pub(crate) async fn repository(&self) -> Region {
        let world = World::system();
        let founding = Region::found(self.config(), &world).unwrap();
        assert!(founding.put_new("seawall.json", &Bytes::from_static(b"{}")).await.unwrap().is_stored());
        Region::open(self.config(), &world).unwrap()
    }
}

/// `Create Container`, signed as <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key> says.
fn make_container(port: u16) {
    let (date, version) = ("Sat, 28 Nov 2026 12:00:00 GMT", "2021-08-06");
    let signed = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n/acme/acme/backups\nrestype:container"
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &BASE64_STANDARD.decode(SECRET).unwrap());
    let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes()));
    let authorization = format!("SharedKey acme:{signature}");
    let headers = [("x-ms-date", date), ("x-ms-version", version), ("Authorization", authorization.as_str())];
    let answer = ask(port, "PUT /acme/backups?restype=container", &headers, b"").unwrap();
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
}
