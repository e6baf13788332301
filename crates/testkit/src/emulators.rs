//! Stores that tests run as processes of their own: where they are installed, ports for them, and what is said to them without a client.

pub mod seaweed;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use crate::identity::cache_directory;
use crate::{Failure, Result};

/// Where a program of [`crate::identity::cache_directory`]`/emulators` lies, or of `SEAWALL_EMULATORS`.
///
/// # Errors
/// It is not installed.
pub fn emulator(name: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("SEAWALL_EMULATORS").map(PathBuf::from);
    let program = folder.unwrap_or_else(|| cache_directory().join("emulators")).join(name);
    match program.exists() {
        true => Ok(program),
        false => Err(Failure::new(format!("{} is missing: make setup-test installs it", program.display()))),
    }
}

/// Ports that nobody has now.
///
/// # Errors
/// No socket can be bound.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let held: [_; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener?.local_addr()?.port();
    }
    Ok(ports)
}

/// Sends a signal, such as `-STOP`.
///
/// # Errors
/// The process is gone.
pub fn send_signal(child: &Child, signal: &str) -> Result<()> {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(Failure::new("no signal could be sent")) }
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// All that came behind the head.
    pub body: Vec<u8>,
}

/// One request to a service on the loopback; what came back until the connection was closed.
///
/// # Errors
/// Nobody listens, or what comes is no answer.
pub fn ask(port: u16, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
    let mut service = TcpStream::connect(("127.0.0.1", port))?;
    service.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head =
        format!("{request} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    service.write_all(head.as_bytes())?;
    service.write_all(body)?;
    let mut answer = Vec::new();
    service.read_to_end(&mut answer)?;
    let ends = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let ends = ends.ok_or_else(|| Failure::new(format!("{request}: no answer")))?;
    let body = answer.split_off(ends + 4);
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
    let status = status.and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| Failure::new(format!("{request}: no answer")))?;
    Ok(Answer { status, body })
}
