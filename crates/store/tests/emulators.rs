//! `s3://` against SeaweedFS and `az://` against Azurite: the contract, races, and refused credentials.
//!
//! Both are installed by `make setup-test` and found through `SEAWALL_EMULATORS`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a test's way of failing")]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector as _, HttpRequest, ReqwestConnector};
use object_store::{ClientOptions, HeaderValue};
use seawall_store::bucket::about::{Lock, Versions};
use seawall_store::contract::{Promises, check_all};
use seawall_store::{Access, ErrorKind, Limits, Put, Region, RegionConfig, RegionName, Role, World};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SECRET: &str = "c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU=";
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A store in a process of its own, ended when dropped.
struct Emulator {
    child: Child,
    folder: tempfile::TempDir,
    access: Access,
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

fn private_file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl Emulator {
    fn seaweed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [master, volume, filer, s3, master_grpc, volume_grpc, filer_grpc, s3_grpc] = ports();
        let config = format!(
            "{{\"identities\": [{{\"name\": \"writer\", \"credentials\": [{{\"accessKey\": \"seawall\", \"secretKey\": \"{SECRET}\"}}], \
             \"actions\": [\"Admin\", \"Read\", \"Write\", \"List\"]}}]}}"
        );
        let config = private_file(folder.path(), "s3.json", &config);
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
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
            .arg(format!("-dir={}", data.display()))
            .arg(format!("-s3.config={}", config.display()))
            .args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")])
            .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")])
            .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")])
            .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={s3_grpc}")])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(s3);
        let text = format!("[default]\naws_access_key_id = seawall\naws_secret_access_key = {SECRET}\n");
        let access = Access {
            endpoint: Some(format!("http://127.0.0.1:{s3}")),
            credentials_file: Some(private_file(folder.path(), "credentials", &text)),
            aws_region: Some("us-east-1".to_owned()),
            ..Access::default()
        };
        make_s3_bucket(filer);
        Self { child, folder, access, url: "s3://acme-dr/pg" }
    }

    fn azurite() -> Self {
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

    fn config(&self) -> RegionConfig {
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

    async fn repository(&self) -> Region {
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

async fn keeps_the_contract(region: &Region, promises: Promises) {
    let breaches = check_all(region.store().as_ref(), "contract", promises).await;
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(told.is_empty(), "{told:#?}");
}

/// Sixteen at once, each with other bytes: one is told "created", and its bytes are there.
async fn one_of_many_creators_wins(region: &Region) {
    let bodies: Vec<Bytes> = (0..16).map(|racer: u8| Bytes::from(vec![racer; 100_000])).collect();
    let puts = bodies.iter().map(|body| region.put_new("race/name", body));
    let outcomes = futures::future::join_all(puts).await;
    let winners: Vec<usize> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| outcome.as_ref().is_ok_and(Put::is_stored))
        .map(|(racer, _)| racer)
        .collect();
    let [winner] = winners[..] else { panic!("winners: {winners:?} of {outcomes:?}") };
    assert_eq!(region.get("race/name", 1 << 20).await.unwrap(), bodies[winner]);
}

/// Another bucket is away, another key is refused; neither is an absence, and no message has the key.
async fn refusals_are_refusals(emulator: &Emulator, other_bucket: &str, wrong_key: &str) {
    let world = World::system();
    let nowhere =
        Region::open(RegionConfig { url: other_bucket.to_owned(), ..emulator.config() }, &world).unwrap();
    for error in [nowhere.get("a/b", 1 << 20).await.unwrap_err(), nowhere.list_collect("").await.unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", error.chain());
    }
    let mut config = emulator.config();
    config.access.credentials_file = Some(private_file(emulator.folder.path(), "wrong", wrong_key));
    let stranger = Region::open(config, &world).unwrap();
    for error in [
        stranger.get("a/b", 1 << 20).await.unwrap_err(),
        stranger.put_new("a/b", &Bytes::from_static(b"x")).await.unwrap_err(),
        stranger.list_collect("").await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{}", error.chain());
        assert!(!error.chain().contains(SECRET) && !error.chain().contains("d3Jvbmc"), "{}", error.chain());
    }
}

/// A request to SeaweedFS with the emulator's own key; the answer's status.
async fn s3_call(emulator: &Emulator, path: &str, header: Option<&'static str>, body: &'static str) -> u16 {
    let client = ReqwestConnector::default().connect(&ClientOptions::new().with_allow_http(true)).unwrap();
    let mut request = HttpRequest::new(Bytes::from_static(body.as_bytes()).into());
    *request.method_mut() = "PUT".parse().unwrap();
    let endpoint = emulator.access.endpoint.as_deref().unwrap();
    *request.uri_mut() = format!("{endpoint}{path}").parse().unwrap();
    if let Some(header) = header {
        request.headers_mut().insert(header, HeaderValue::from_static("true"));
    }
    let (key_id, secret_key) = ("seawall".to_owned(), SECRET.to_owned());
    let credential = AwsCredential { key_id, secret_key, token: None };
    AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut request, None).unwrap();
    client.execute(request).await.unwrap().status().as_u16()
}

/// A bucket that locks every object for a day, for good.
async fn works_under_object_lock(emulator: &Emulator) {
    let lock = Some("x-amz-bucket-object-lock-enabled");
    assert_eq!(s3_call(emulator, "/acme-locked", lock, "").await, 200);
    let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode>\
                <Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    assert_eq!(s3_call(emulator, "/acme-locked?object-lock", None, rule).await, 200);
    let config = RegionConfig { url: "s3://acme-locked/pg".to_owned(), ..emulator.config() };
    let world = World::system();
    let founding = Region::found(config.clone(), &world).unwrap();
    assert!(founding.put_new("seawall.json", &Bytes::from_static(b"{}")).await.unwrap().is_stored());
    let region = Region::open(config, &world).unwrap();
    let about = region.about().await.unwrap();
    assert_eq!(about.lock, Ok(Some(Lock { period: Duration::from_secs(24 * 3600), is_final: true })));
    assert_eq!(about.versions, Ok(Versions::Kept(None)));

    one_of_many_creators_wins(&region).await;
    region.put_new("a/b", &Bytes::from_static(b"one")).await.unwrap();
    assert!(!region.put_new("a/b", &Bytes::from_static(b"two")).await.unwrap().is_stored());
    assert_eq!(region.get("a/b", 1 << 20).await.unwrap(), Bytes::from_static(b"one"));
    // Hidden; its bytes stay as a version, which no deletion without a version's id reaches.
    region.delete("a/b").await.unwrap();
    assert!(!region.exists("a/b").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_on_seaweedfs() {
    let emulator = Emulator::seaweed();
    let region = emulator.repository().await;
    // S3 answers the deletion of what is not there with success.
    keeps_the_contract(&region, Promises { missing_delete_is_not_found: false, ..Promises::all() }).await;
    one_of_many_creators_wins(&region).await;
    let wrong = "[default]\naws_access_key_id = seawall\naws_secret_access_key = d3Jvbmc=\n";
    refusals_are_refusals(&emulator, "s3://no-such-bucket/pg", wrong).await;
    let about = region.about().await.unwrap();
    assert_eq!(about.location.unwrap().name, "us-east-1");
    assert!(about.owner.is_ok() && about.rights.is_err(), "{:?}", about.owner);
    assert_eq!((about.lock, about.versions), (Ok(None), Ok(Versions::Off)));
    assert_eq!((region.may_create().await.unwrap(), region.may_delete().await), (true, Ok(true)));
    assert_eq!(region.get("seawall.json", 1 << 20).await.unwrap(), Bytes::from_static(b"{}"));
    works_under_object_lock(&emulator).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_on_azurite() {
    let emulator = Emulator::azurite();
    let region = emulator.repository().await;
    keeps_the_contract(&region, Promises { suffix_ranges: false, ..Promises::all() }).await;
    one_of_many_creators_wins(&region).await;
    refusals_are_refusals(&emulator, "az://no-such-container/pg", "account_key = \"d3Jvbmc=\"\n").await;
    let about = region.about().await.unwrap();
    assert!(about.location.is_err() && about.rights.is_err(), "{about:?}");
    assert_eq!(
        (about.owner.unwrap().as_str(), about.lock, about.soft_delete),
        ("account acme", Ok(None), Ok(None))
    );
    assert_eq!((region.may_create().await.unwrap(), region.may_delete().await), (true, Ok(true)));
    assert_eq!(region.get("seawall.json", 1 << 20).await.unwrap(), Bytes::from_static(b"{}"));
}
