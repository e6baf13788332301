//! Starting the simulator: in this process on threads of its own, or as a process of its own that can be killed.

use std::io::{self, BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::client::Control;
use crate::server;
use crate::state::Shared;

/// How to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; loopback only.
    pub listen: SocketAddr,
    /// Where to keep everything; nowhere: in memory.
    pub data: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), data: None }
    }
}

/// A simulator in this process; it stops when this is dropped.
#[derive(Debug)]
pub struct Simulator {
    control: Control,
    /// Dropping it ends every connection.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Simulator {
    /// Starts one in memory, on a port of its own.
    ///
    /// # Errors
    /// No thread or no port is to be had.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&Options::default())
    }

    /// # Errors
    /// The address is not loopback or is taken, or the data directory cannot be read or written.
    pub fn start_with(options: &Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::open(options.data.as_deref())?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("gcsim")
            .enable_all()
            .build()?;
        let inside = runtime.enter();
        let listener = server::listen(options.listen)?;
        drop(inside);
        let control = Control::new(listener.local_addr()?);
        drop(runtime.spawn(server::serve(listener, shared)));
        Ok(Self { control, runtime: Some(runtime) })
    }

    /// Waits for ever.
    pub fn run(self) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(std::future::pending::<()>());
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // Without waiting: it may be dropped within another runtime, where waiting is not allowed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Deref for Simulator {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

/// A simulator in a process of its own; it is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    control: Control,
}

impl Process {
    /// Starts this `gcsim` binary; the data directory makes that it can be killed and started again.
    ///
    /// # Errors
    /// It cannot be started, or ends instead of naming its address.
    pub fn start(binary: &Path, data: Option<&Path>) -> io::Result<Self> {
        Self::start_at(binary, data, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// As [`Self::start`], at an address, such as that of one killed before.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_at(binary: &Path, data: Option<&Path>, listen: SocketAddr) -> io::Result<Self> {
        let mut command = Command::new(binary);
        command.arg("--listen").arg(listen.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        let mut child = command.spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim().strip_prefix("http://").and_then(|address| address.parse().ok()) {
            Some(address) => Ok(Self { child, control: Control::new(address) }),
            None => {
                child.kill().unwrap_or_default();
                let ended = child.wait()?;
                Err(io::Error::other(format!("{} named no address and ended with {ended}", binary.display())))
            }
        }
    }

    /// Its process id, for signals such as SIGSTOP.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// It was waited for before.
    pub fn kill(mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone after `kill`.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Deref for Process {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}
