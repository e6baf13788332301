//! Regions of different kinds, each with the troubles that it can have: a simulator and SeaweedFS as processes of their own, a directory on disk.
//!
//! Promise: a trouble that ended leaves a region with all that it had taken. What is shown on simulators alone is *simulated*.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use seawall_gcsim::{Answer, Fault, Operation, When};
use seawall_testkit::identity::{cache_directory, write_file};
use seawall_testkit::workload::Random;
use seawall_testkit::{Context as _, Failure, Result, Scratch};

use super::clouds::Cloud;

const SECRET: &str = "c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU=";
const STARTS_WITHIN: Duration = Duration::from_secs(90);

/// What comes over a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// SIGSTOP: connections are taken, and nothing is answered.
    Stopped,
    /// SIGKILL.
    Killed,
    /// Every request is answered so.
    Answers(u16, &'static str),
    /// Nothing more can be stored.
    Full,
    /// So many bytes of each answer come, then the connection is closed.
    CutsAnswers(u64),
    /// Connections are closed after so many bytes of what is stored.
    CutsPuts(u64),
    /// Each request rests first, and answers trickle.
    Slow,
    /// Puts are done, and nobody is told.
    LosesAnswers,
    /// Puts are refused, and done a while later.
    AppliesLate,
    /// The directory is gone.
    Vanishes,
    /// Nothing can be written into the directory.
    Unwritable,
}

impl Trouble {
    const OF_A_SIMULATOR: [Self; 11] = [
        Self::Stopped,
        Self::Killed,
        Self::Answers(503, "backendError"),
        Self::Answers(403, "forbidden"),
        Self::Full,
        Self::CutsAnswers(10),
        Self::CutsAnswers(20_000),
        Self::CutsPuts(1000),
        Self::Slow,
        Self::LosesAnswers,
        Self::AppliesLate,
    ];
    const OF_A_PROCESS: [Self; 2] = [Self::Stopped, Self::Killed];
    const OF_A_DISK: [Self; 2] = [Self::Vanishes, Self::Unwritable];

    /// What it does to requests of a simulator.
    fn fault(self) -> Option<(When, Fault)> {
        let answer = |status, reason: &str| {
            Some(Answer { status, reason: Some(reason.to_owned()), ..Answer::default() })
        };
        let fault = match self {
            Self::Answers(status, reason) => Fault { answer: answer(status, reason), ..Fault::default() },
            Self::Full => Fault { answer: answer(403, "quotaExceeded"), ..Fault::default() },
            Self::CutsAnswers(at) => Fault { cut_answer_at: Some(at), ..Fault::default() },
            Self::CutsPuts(at) => Fault { cut_request_at: Some(at), ..Fault::default() },
            Self::Slow => Fault { delay_ms: 300, answer_bytes_per_second: Some(200_000), ..Fault::default() },
            Self::LosesAnswers => Fault { lose_answer: true, ..Fault::default() },
            Self::AppliesLate => {
                Fault { answer: answer(503, "backendError"), apply_late_ms: Some(1500), ..Fault::default() }
            }
            _ => return None,
        };
        let puts = matches!(self, Self::Full | Self::CutsPuts(_) | Self::LosesAnswers | Self::AppliesLate);
        let operations = if puts { vec![Operation::ObjectPut] } else { Vec::new() };
        Some((When { operations, ..When::default() }, fault))
    }
}

/// A region of some kind.
pub(crate) enum Place {
    Simulator(Cloud),
    Seaweed(Seaweed),
    Disk(Disk),
}

impl Place {
    pub(crate) fn simulator(name: &'static str) -> Result<Self> {
        Ok(Self::Simulator(Cloud::start(name, "europe-west3", None)?))
    }

    pub(crate) fn seaweed(name: &'static str) -> Result<Self> {
        Ok(Self::Seaweed(Seaweed::start(name)?))
    }

    pub(crate) fn disk(name: &'static str) -> Result<Self> {
        let home = Scratch::new()?;
        home.directory("region")?;
        Ok(Self::Disk(Disk { name, home, modes: Vec::new() }))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Simulator(cloud) => cloud.name(),
            Self::Seaweed(seaweed) => seaweed.name,
            Self::Disk(disk) => disk.name,
        }
    }

    /// Its part of the settings.
    pub(crate) fn settings(&self, home: &Path) -> Result<String> {
        match self {
            Self::Simulator(cloud) => Ok(cloud.settings(&Cloud::token(home)?)),
            Self::Seaweed(seaweed) => seaweed.settings(home),
            Self::Disk(disk) => Ok(format!(
                "[[repository.region]]\nname = \"{}\"\nurl = \"file://{}\"\n",
                disk.name,
                disk.directory().display()
            )),
        }
    }

    /// One of the troubles that this kind can have.
    pub(crate) fn trouble(&self, random: &mut Random) -> Trouble {
        let all: &[Trouble] = match self {
            Self::Simulator(_) => &Trouble::OF_A_SIMULATOR,
            Self::Seaweed(_) => &Trouble::OF_A_PROCESS,
            Self::Disk(_) => &Trouble::OF_A_DISK,
        };
        random.pick(all).copied().unwrap_or(Trouble::Killed)
    }

    pub(crate) fn comes(&mut self, trouble: Trouble) -> Result<()> {
        match (self, trouble) {
            (Self::Simulator(cloud), Trouble::Stopped) => cloud.stop(),
            (Self::Simulator(cloud), Trouble::Killed) => cloud.kill(),
            (Self::Simulator(cloud), trouble) => {
                let (when, fault) = trouble.fault().ok_or_else(|| Failure::new(format!("{trouble:?}")))?;
                cloud.control().fault(when, fault).context(|| "a fault".to_owned()).map(drop)
            }
            (Self::Seaweed(seaweed), Trouble::Stopped) => seaweed.signal("-STOP"),
            (Self::Seaweed(seaweed), _) => seaweed.kill(),
            (Self::Disk(disk), Trouble::Vanishes) => disk.vanish(),
            (Self::Disk(disk), _) => disk.lock(),
        }
    }

    pub(crate) fn ends(&mut self, trouble: Trouble) -> Result<()> {
        match (self, trouble) {
            (Self::Simulator(cloud), Trouble::Stopped) => cloud.go_on(),
            (Self::Simulator(cloud), Trouble::Killed) => cloud.start_again(),
            (Self::Simulator(cloud), _) => cloud.heal(),
            (Self::Seaweed(seaweed), Trouble::Stopped) => seaweed.signal("-CONT"),
            (Self::Seaweed(seaweed), _) => seaweed.serve(),
            (Self::Disk(disk), Trouble::Vanishes) => disk.come_back(),
            (Self::Disk(disk), _) => disk.unlock(),
        }
    }
}

/// A directory.
pub(crate) struct Disk {
    name: &'static str,
    home: Scratch,
    /// What is locked, with the mode that it had.
    modes: Vec<(PathBuf, Permissions)>,
}

impl Disk {
    fn directory(&self) -> PathBuf {
        self.home.path().join("region")
    }

    fn vanish(&self) -> Result<()> {
        Ok(std::fs::rename(self.directory(), self.home.path().join("away"))?)
    }

    fn come_back(&self) -> Result<()> {
        Ok(std::fs::rename(self.home.path().join("away"), self.directory())?)
    }

    /// No directory takes a new name any more.
    fn lock(&mut self) -> Result<()> {
        let mut open = vec![self.directory()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                }
            }
            self.modes.push((directory.clone(), std::fs::metadata(&directory)?.permissions()));
            std::fs::set_permissions(&directory, Permissions::from_mode(0o555))?;
        }
        Ok(())
    }

    fn unlock(&mut self) -> Result<()> {
        for (directory, mode) in self.modes.drain(..) {
            std::fs::set_permissions(&directory, mode)?;
        }
        Ok(())
    }
}

/// SeaweedFS with its S3 service and one bucket.
pub(crate) struct Seaweed {
    name: &'static str,
    home: Scratch,
    ports: [u16; 8],
    child: Option<Child>,
}

impl Seaweed {
    fn start(name: &'static str) -> Result<Self> {
        let held: [_; 8] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0"));
        let mut ports = [0; 8];
        for (port, listener) in ports.iter_mut().zip(held) {
            *port = listener?.local_addr()?.port();
        }
        let mut seaweed = Self { name, home: Scratch::new()?, ports, child: None };
        std::fs::create_dir(seaweed.home.path().join("data"))?;
        let identities = format!(
            "{{\"identities\": [{{\"name\": \"writer\", \"credentials\": [{{\"accessKey\": \"seawall\", \"secretKey\": \
             \"{SECRET}\"}}], \"actions\": [\"Admin\", \"Read\", \"Write\", \"List\"]}}]}}"
        );
        std::fs::write(seaweed.home.path().join("s3.json"), identities)?;
        seaweed.serve()?;
        Ok(seaweed)
    }

    /// Starts it, at its ports and with all it had, and waits until its bucket can be used.
    fn serve(&mut self) -> Result<()> {
        let [master, volume, filer, s3, master_grpc, volume_grpc, filer_grpc, s3_grpc] = self.ports;
        let home = self.home.path();
        let child = Command::new(program()?)
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
            .arg(format!("-dir={}", home.join("data").display()))
            .arg(format!("-s3.config={}", home.join("s3.json").display()))
            .args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")])
            .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")])
            .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")])
            .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={s3_grpc}")])
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context(|| "starting SeaweedFS".to_owned())?;
        self.child = Some(child);
        let began = Instant::now();
        // A bucket is a folder of the filer, which makes it once all of its servers have found each other.
        let is_there = || {
            let answer = ask(filer, "POST /buckets/acme-dr/");
            ["HTTP/1.1 201", "HTTP/1.1 409"].iter().any(|made| answer.starts_with(made))
                && TcpStream::connect(("127.0.0.1", s3)).is_ok()
        };
        while !is_there() {
            if began.elapsed() > STARTS_WITHIN {
                return Err(Failure::new("SeaweedFS does not start"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn settings(&self, home: &Path) -> Result<String> {
        let file = home.join("aws-credentials");
        let text = format!("[default]\naws_access_key_id = seawall\naws_secret_access_key = {SECRET}\n");
        write_file(&file, text, 0o600)?;
        Ok(format!(
            "[[repository.region]]\nname = \"{}\"\nurl = \"s3://acme-dr/pg\"\nendpoint = \"http://127.0.0.1:{}\"\naws_region = \
             \"us-east-1\"\ncredentials_file = \"{}\"\n",
            self.name,
            self.ports[3],
            file.display()
        ))
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let child = self.child.as_ref().ok_or_else(|| Failure::new("SeaweedFS is gone"))?;
        let status = Command::new("kill").args([signal, &child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(Failure::new("no signal could be sent")) }
    }

    fn kill(&mut self) -> Result<()> {
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

fn program() -> Result<PathBuf> {
    let folder = std::env::var_os("SEAWALL_EMULATORS").map(PathBuf::from);
    let program = folder.unwrap_or_else(|| cache_directory().join("emulators")).join("weed");
    match program.exists() {
        true => Ok(program),
        false => Err(Failure::new(format!("{} is missing: make setup-test installs it", program.display()))),
    }
}

/// One request without a body; what came back, as far as it came.
fn ask(port: u16, request: &str) -> String {
    let Ok(mut service) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    let rest =
        format!(" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let limit = service.set_read_timeout(Some(Duration::from_secs(10)));
    if limit.is_ok() && service.write_all(format!("{request}{rest}").as_bytes()).is_ok() {
        // What was read before a connection breaks is there all the same.
        drop(service.read_to_string(&mut answer));
    }
    answer
}
