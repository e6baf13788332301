//! The processes of a test's server: the postmaster, and a watchdog that ends it when the test process is gone.
//!
//! Promises: no process is left behind: not after a panic (drop), not after a kill of the test process (the watchdog reads
//! a pipe that only the test process holds open). Deliberately without `pg_ctl`: its postmaster would belong to nobody.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Files;
use crate::identity::as_server_user;
use crate::{Binaries, Context, Failure, Result};

/// How to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// SIGINT: ends sessions, writes the shutdown checkpoint.
    Fast,
    /// SIGQUIT: ends at once without a checkpoint.
    Immediate,
    /// SIGKILL to every process, as when power is lost (what the kernel has is kept).
    Kill,
}

#[derive(Debug)]
pub(super) struct Postmaster {
    process: Child,
    watchdog: Child,
    data_directory: PathBuf,
}

// Waits for the pipe's end, which is the end of the test process, then clears up: $1 the postmaster, $2 its scratch directory.
const WATCHDOG: &str = r#"read -r _; kill -QUIT "$1" 2>/dev/null || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 0.5; done
kill -KILL "$1" 2>/dev/null; [ -n "$SEAWALL_TEST_KEEP" ] || rm -rf -- "$2""#;

impl Postmaster {
    pub(super) fn spawn(binaries: &Binaries, files: &Files, socket: &Path, log: &Path) -> Result<Self> {
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = binaries.command("postgres");
        command.arg("-D").arg(&files.data_directory);
        if files.config_directory != files.data_directory {
            command.arg("-c").arg(format!("config_file={}", files.config_file.display()));
        }
        for setting in private_settings(socket) {
            command.arg("-c").arg(setting);
        }
        let both = log_file.try_clone()?;
        // Its own group: a Ctrl-C or a runner's time limit must reach the test first, which then stops it in order.
        as_server_user(&mut command)?.stdin(Stdio::null()).stdout(both).stderr(log_file).process_group(0);
        let mut process = command.spawn().context(|| format!("starting {command:?}"))?;
        let scratch = socket.parent().unwrap_or(socket);
        match watch(process.id(), scratch) {
            Ok(watchdog) => Ok(Self { process, watchdog, data_directory: files.data_directory.clone() }),
            Err(failure) => {
                let killed = process.kill().and_then(|()| process.wait());
                killed.map_or_else(|error| Err(error.into()), |_| Err(failure))
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().context(|| "asking for the postmaster's state")
    }

    /// Ends every process of the server; the value is of no use afterwards.
    pub(super) fn stop(&mut self, mode: StopMode) -> Result<()> {
        let children = children_of(self.pid());
        match mode {
            StopMode::Fast => self.signal(Signal::INT)?,
            StopMode::Immediate => self.signal(Signal::QUIT)?,
            StopMode::Kill => {
                self.signal(Signal::KILL)?;
                children.iter().for_each(|child| kill(*child));
            }
        }
        let until = Instant::now() + Duration::from_secs(60);
        while self.ended()?.is_none() || children.iter().any(|child| is_alive(*child)) {
            if Instant::now() > until {
                return Err(Failure::new(format!(
                    "{mode:?} stop of {} takes too long",
                    self.data_directory.display()
                )));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        // A postmaster that has been waited for must not be signalled: its number may be somebody else's.
        if self.ended()?.is_none() {
            kill_process(Pid::from_child(&self.process), signal).context(|| "signalling the postmaster")?;
        }
        Ok(())
    }
}

impl Drop for Postmaster {
    fn drop(&mut self) {
        if !matches!(self.ended(), Ok(Some(_))) && self.stop(StopMode::Immediate).is_err() {
            // The harder way is the last one: nothing more can be done about a process that survives it.
            let _killed = self.stop(StopMode::Kill);
        }
        let _gone = self.watchdog.kill().and_then(|()| self.watchdog.wait());
    }
}

fn private_settings(socket: &Path) -> [String; 6] {
    [
        format!("unix_socket_directories={}", socket.display()),
        "unix_socket_permissions=0777".to_owned(),
        "listen_addresses=".to_owned(),
        "port=5432".to_owned(),
        "logging_collector=off".to_owned(),
        "log_destination=stderr".to_owned(),
    ]
}

fn watch(postmaster: u32, scratch: &Path) -> Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", WATCHDOG, "watchdog"]).arg(postmaster.to_string()).arg(scratch);
    as_server_user(&mut command)?
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command.spawn().context(|| "starting the watchdog")
}

/// Process ids of the server's children, from /proc; none where it is gone.
fn children_of(postmaster: u32) -> Vec<i32> {
    let listed =
        std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn kill(process: i32) {
    if let Some(pid) = Pid::from_raw(process) {
        // It may have ended between the listing and here; that is what was wanted.
        let _gone = kill_process(pid, Signal::KILL);
    }
}

/// A process that is a zombie has ended, whoever forgets to reap it.
fn is_alive(process: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}
