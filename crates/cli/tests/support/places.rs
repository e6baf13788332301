//! Regions of different kinds, each with the troubles that it can have: a simulator and SeaweedFS as processes of their own, a directory on disk.
//!
//! Promise: a trouble that ended leaves a region with all that it had taken. What is shown on simulators alone is *simulated*.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use seawall_gcsim::{Answer, Fault, Operation, When};
use seawall_testkit::emulators::seaweed::{BUCKET, Seaweed};
use seawall_testkit::identity::write_file;
use seawall_testkit::workload::Random;
use seawall_testkit::{Context as _, Failure, Result, Scratch};

use super::clouds::Cloud;

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
    S3(S3),
    Disk(Disk),
}

impl Place {
    pub(crate) fn simulator(name: &'static str) -> Result<Self> {
        Ok(Self::Simulator(Cloud::start(name, "europe-west3", None)?))
    }

    pub(crate) fn seaweed(name: &'static str) -> Result<Self> {
        Ok(Self::S3(S3::start(name)?))
    }

    pub(crate) fn disk(name: &'static str) -> Result<Self> {
        let home = Scratch::new()?;
        home.directory("region")?;
        Ok(Self::Disk(Disk { name, home, modes: Vec::new() }))
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Simulator(cloud) => cloud.name(),
            Self::S3(s3) => s3.name,
            Self::Disk(disk) => disk.name,
        }
    }

    /// Its part of the settings.
    pub(crate) fn settings(&self, home: &Path) -> Result<String> {
        match self {
            Self::Simulator(cloud) => Ok(cloud.settings(&Cloud::token(home)?)),
            Self::S3(s3) => s3.settings_of(BUCKET, home),
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
            Self::S3(_) => &Trouble::OF_A_PROCESS,
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
            (Self::S3(s3), Trouble::Stopped) => s3.store.stop(),
            (Self::S3(s3), _) => s3.store.kill(),
            (Self::Disk(disk), Trouble::Vanishes) => disk.vanish(),
            (Self::Disk(disk), _) => disk.lock(),
        }
    }

    pub(crate) fn ends(&mut self, trouble: Trouble) -> Result<()> {
        match (self, trouble) {
            (Self::Simulator(cloud), Trouble::Stopped) => cloud.go_on(),
            (Self::Simulator(cloud), Trouble::Killed) => cloud.start_again(),
            (Self::Simulator(cloud), _) => cloud.heal(),
            (Self::S3(s3), Trouble::Stopped) => s3.store.go_on(),
            (Self::S3(s3), _) => s3.store.start_again(),
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

/// SeaweedFS with its S3 service.
pub(crate) struct S3 {
    name: &'static str,
    store: Seaweed,
}

impl S3 {
    pub(crate) fn start(name: &'static str) -> Result<Self> {
        Ok(Self { name, store: Seaweed::start(None)? })
    }

    /// What it can do beside being a region.
    pub(crate) fn store(&mut self) -> &mut Seaweed {
        &mut self.store
    }

    /// Its part of the settings, in a bucket of it.
    pub(crate) fn settings_of(&self, bucket: &str, home: &Path) -> Result<String> {
        let file = home.join("aws-credentials");
        write_file(&file, Seaweed::credentials(), 0o600)?;
        Ok(format!(
            "[[repository.region]]\nname = \"{}\"\nurl = \"s3://{bucket}/pg\"\nendpoint = \"{}\"\naws_region = \"us-east-1\"\n\
             credentials_file = \"{}\"\n",
            self.name,
            self.store.endpoint(),
            file.display()
        ))
    }
}
