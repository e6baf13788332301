//! The stores that the tests talk to: each a process of its own, on ports that nobody else has.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use seawall_store::{Access, Limits, Region, RegionConfig, RegionName, Role, World};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) const SECRET: &str = "c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU=";
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// What a server shows of itself, each in PEM.
pub(crate) struct Shown {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A store in a process of its own, ended when dropped.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) access: Access,
    url: &'static str,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // What it cannot be told any more is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("SEAWALL_EMULATORS").map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/emulators"));
    let program = folder.join(name);
    assert!(program.exists(), "{} is missing: make setup-test installs it", program.display());
    program
}

/// Ports that nobody has now.
fn ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
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
        let [master, volume, filer, s3, master_grpc, volume_grpc, filer_grpc, s3_grpc] = ports();
        let config = format!(
            "{{\"identities\": [{{\"name\": \"writer\", \"credentials\": [{{\"accessKey\": \"seawall\", \"secretKey\": \"{SECRET}\"}}], \
             \"actions\": [\"Admin\", \"Read\", \"Write\", \"List\"]}}]}}"
        );
        let config = private_file(folder.path(), "s3.json", &config);
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let tls: Vec<String> = shown
            .map(|shown| {
                let certificate = private_file(folder.path(), "server.crt", &shown.certificate);
                let key = private_file(folder.path(), "server.key", &shown.key);
                vec![
                    format!("-s3.cert.file={}", certificate.display()),
                    format!("-s3.key.file={}", key.display()),
                ]
            })
            .unwrap_or_default();
        let scheme = if shown.is_some() { "https" } else { "http" };
        let child = Command::new(program("weed"))
            .args([
                "server",
                "-ip",
                "127.0.0.1",
                "-ip.bind",
                "127.0.0.1",
                "-filer",
                "-s3",
                "-volume.max",
                "20",
            ])
            .args(["-master.volumeSizeLimitMB", "1024", "-master.telemetry=false"])
            // Two that run beside each other would both want these, at ports of their own choice.
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg(format!("-dir={}", data.display()))
            .arg(format!("-s3.config={}", config.display()))
            .args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")])
            .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")])
            .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")])
            .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={s3_grpc}")])
            .args(tls)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(s3);
        let text = format!("[default]\naws_access_key_id = seawall\naws_secret_access_key = {SECRET}\n");
        let access = Access {
            endpoint: Some(format!("{scheme}://127.0.0.1:{s3}")),
            credentials_file: Some(private_file(folder.path(), "credentials", &text)),
            aws_region: Some("us-east-1".to_owned()),
            ..Access::default()
        };
        make_s3_bucket(filer);
        Self { child, folder, access, url: "s3://acme-dr/pg" }
    }

    pub(crate) fn azurite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [port] = ports();
        let child = Command::new(program("azurite-blob"))
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
        Self { child, folder, access, url: "az://backups/pg" }
    }

    pub(crate) fn config(&self) -> RegionConfig {
        let limits =
            Limits { attempts_max: 3, backoff_first: Duration::from_millis(50), ..Limits::default() };
        RegionConfig {
            name: RegionName::new("place").unwrap(),
            url: self.url.to_owned(),
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

/// A bucket is a folder of SeaweedFS's filer, which makes it once all of its servers have found each other.
fn make_s3_bucket(filer: u16) {
    let began = Instant::now();
    loop {
        let answer = ask(filer, "POST /buckets/acme-dr/ HTTP/1.1\r\n");
        if answer.starts_with("HTTP/1.1 201") {
            return;
        }
        assert!(began.elapsed() < STARTS_WITHIN, "{answer}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// One request without a body; what came back, as far as it came.
fn ask(port: u16, request: &str) -> String {
    let Ok(mut service) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    service.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let rest = format!("Host: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    if service.write_all(format!("{request}{rest}").as_bytes()).is_ok() {
        // What was read before a connection breaks is there all the same.
        drop(service.read_to_string(&mut answer));
    }
    answer
}

/// `Create Container`, signed as <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key> says.
fn make_container(port: u16) {
    let (date, version) = ("Sat, 28 Nov 2026 12:00:00 GMT", "2021-08-06");
    let signed = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n/acme/acme/backups\nrestype:container"
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &BASE64_STANDARD.decode(SECRET).unwrap());
    let signature = BASE64_STANDARD.encode(ring::hmac::sign(&key, signed.as_bytes()));
    let answer = ask(
        port,
        &format!(
            "PUT /acme/backups?restype=container HTTP/1.1\r\nx-ms-date: {date}\r\nx-ms-version: {version}\r\n\
             Authorization: SharedKey acme:{signature}\r\n"
        ),
    );
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}
