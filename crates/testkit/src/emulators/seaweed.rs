//! SeaweedFS, a store of the S3 kind, as a process of its own that can be stopped, killed and started again with all it had.
//!
//! Promises: it listens on loopback alone, at ports that nobody else has, and is gone with the value. `make setup-test` installs it.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::HeaderValue;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequest;

use super::{ask, emulator, free_ports, send_signal};
use crate::identity::write_file;
use crate::{Context as _, Failure, Result, Scratch};

/// The bucket that is there from the start.
pub const BUCKET: &str = "acme-dr";
/// The name of the one login.
pub const KEY_ID: &str = "seawall";
/// Its secret.
pub const SECRET: &str = "c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU=";

const STARTS_WITHIN: Duration = Duration::from_secs(90);
const CERTIFICATE: &str = "server.crt";
const PRIVATE_KEY: &str = "server.key";

/// What a server shows of itself, each in PEM.
pub struct Shown {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// A store with its S3 service.
pub struct Seaweed {
    home: Scratch,
    ports: [u16; 8],
    child: Option<Child>,
}

impl Seaweed {
    /// Starts one with the bucket [`BUCKET`]; with `shown`, its S3 service takes nothing but TLS.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(shown: Option<&Shown>) -> Result<Self> {
        let mut seaweed = Self { home: Scratch::new()?, ports: free_ports()?, child: None };
        let home = seaweed.home.path();
        std::fs::create_dir(home.join("data"))?;
        let identities = format!(
            "{{\"identities\": [{{\"name\": \"writer\", \"credentials\": [{{\"accessKey\": \"{KEY_ID}\", \"secretKey\": \"{SECRET}\"}}], \
             \"actions\": [\"Admin\", \"Read\", \"Write\", \"List\"]}}]}}"
        );
        write_file(&home.join("s3.json"), identities, 0o600)?;
        if let Some(shown) = shown {
            write_file(&home.join(CERTIFICATE), &shown.certificate, 0o600)?;
            write_file(&home.join(PRIVATE_KEY), &shown.key, 0o600)?;
        }
        seaweed.start_again()?;
        Ok(seaweed)
    }

    /// Starts it, at its ports and with all it had, and waits until its bucket can be used.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_again(&mut self) -> Result<()> {
        let [master, volume, filer, s3, master_grpc, volume_grpc, filer_grpc, s3_grpc] = self.ports;
        let home = self.home.path();
        let mut command = Command::new(emulator("weed")?);
        command
            .args(["server", "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1", "-filer", "-s3"])
            .args(["-volume.max", "20", "-master.volumeSizeLimitMB", "1024", "-master.telemetry=false"])
            // Two that run beside each other would both want these, at ports of their own choice.
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg(format!("-dir={}", home.join("data").display()))
            .arg(format!("-s3.config={}", home.join("s3.json").display()))
            .args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")])
            .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")])
            .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")])
            .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={s3_grpc}")]);
        if self.is_behind_tls() {
            command
                .arg(format!("-s3.cert.file={}", home.join(CERTIFICATE).display()))
                .arg(format!("-s3.key.file={}", home.join(PRIVATE_KEY).display()));
        }
        command.current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().context(|| "starting SeaweedFS".to_owned())?);
        let began = Instant::now();
        // A bucket is a folder of the filer, which makes it once all of its servers have found each other.
        let is_there = || {
            let answer = ask(filer, &format!("POST /buckets/{BUCKET}/"), &[], b"").unwrap_or_default();
            [201, 409].contains(&answer.status) && TcpStream::connect(("127.0.0.1", s3)).is_ok()
        };
        while !is_there() {
            if began.elapsed() > STARTS_WITHIN {
                return Err(Failure::new("SeaweedFS does not start"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn is_behind_tls(&self) -> bool {
        self.home.path().join(CERTIFICATE).exists()
    }

    /// The address that settings name.
    pub fn endpoint(&self) -> String {
        let scheme = if self.is_behind_tls() { "https" } else { "http" };
        let [_, _, _, s3, ..] = self.ports;
        format!("{scheme}://127.0.0.1:{s3}")
    }

    /// The login, as a file of AWS credentials has it.
    pub fn credentials() -> String {
        format!("[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")
    }

    /// Another bucket, which keeps each version of an object for so many days, for good.
    ///
    /// # Errors
    /// The store refuses.
    pub fn make_locked_bucket(&self, bucket: &str, days: u32) -> Result<()> {
        let enabled = [("x-amz-bucket-object-lock-enabled", "true")];
        self.call("PUT", &format!("/{bucket}"), &enabled, b"")?;
        let rule = format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode>\
             <Days>{days}</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
        );
        self.call("PUT", &format!("/{bucket}?object-lock"), &[], rule.as_bytes()).map(drop)
    }

    /// A bit of an object is wrong from now on: as whoever holds a key that may put writes another version over it.
    ///
    /// # Errors
    /// There is no such object or byte, or the store refuses.
    pub fn damage(&self, bucket: &str, object: &str, byte: u64) -> Result<()> {
        let path = format!("/{bucket}/{object}");
        let mut bytes = self.call("GET", &path, &[], b"")?;
        let wrong = usize::try_from(byte).ok().and_then(|byte| bytes.get_mut(byte));
        *wrong.ok_or_else(|| Failure::new(format!("{object} has no byte {byte}")))? ^= 8;
        self.call("PUT", &path, &[], &bytes).map(drop)
    }

    /// A request to the S3 service, signed with the login; the answer's body.
    ///
    /// # Errors
    /// The answer is none of success.
    pub fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<Vec<u8>> {
        let [_, _, _, s3, ..] = self.ports;
        let mut request = HttpRequest::new(Bytes::copy_from_slice(body).into());
        *request.method_mut() = method.parse()?;
        *request.uri_mut() = format!("{}{path}", self.endpoint()).parse()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value)?);
        }
        let (key_id, secret_key) = (KEY_ID.to_owned(), SECRET.to_owned());
        let credential = AwsCredential { key_id, secret_key, token: None };
        AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut request, None)?;
        let signed = request.headers().iter().filter(|(name, _)| name.as_str() != "host");
        let signed: Vec<(&str, &str)> =
            signed.map(|(name, value)| Ok((name.as_str(), value.to_str()?))).collect::<Result<_>>()?;
        let answer = ask(s3, &format!("{method} {path}"), &signed, body)?;
        match answer.status {
            200..=299 => Ok(answer.body),
            status => {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                Err(Failure::new(format!("{method} {path} is answered with {status}: {text}")))
            }
        }
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let child = self.child.as_ref().ok_or_else(|| Failure::new("SeaweedFS is gone"))?;
        send_signal(child, signal)
    }

    /// Hangs from now on: connections are taken, and nothing is answered.
    ///
    /// # Errors
    /// It is gone.
    pub fn stop(&self) -> Result<()> {
        self.signal("-STOP")
    }

    /// Goes on.
    ///
    /// # Errors
    /// It is gone.
    pub fn go_on(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Is gone from now on: connections are refused.
    ///
    /// # Errors
    /// It cannot be ended.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        // A process that is stopped dies of SIGKILL all the same.
        let _gone = self.kill();
    }
}
