//! Running the built `seawall` and the rescue tool's Python as a DBA would: as the server's user, with nothing inherited.
//!
//! Promises: never as root; no `SEAWALL_*` variable of the developer's shell reaches it; where the build directory is closed
//! to the server's user, a copy is run. Deliberately no wrapper per command: tests type the command line that users type.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::identity::{self, as_server_user};
use crate::{Context, Failure, Result};

/// How a program ended and what it said.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line, for messages.
    pub command: String,
    /// Exit code, absent when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Outcome {
    /// Itself, if it ended with this exit code.
    ///
    /// # Errors
    /// It ended otherwise; the text has the command line and both outputs.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Result<Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        let ended = match (self.code, self.signal) {
            (Some(found), _) => format!("exit code {found}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "neither a code nor a signal".to_owned(),
        };
        let (command, stdout, stderr) = (&self.command, &self.stdout, &self.stderr);
        let text = format!(
            "{command}\n  ended with {ended}, expected {code}\n  stdout: {stdout}\n  stderr: {stderr}"
        );
        Err(Failure::new(text))
    }
}

/// The built `seawall`, runnable by the server's user.
///
/// `SEAWALL_BIN` names another one; otherwise it is the one beside the running test in the target directory.
///
/// # Errors
/// It was not built: `cargo build --bin seawall`, which `make test` does first.
pub fn seawall_path() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("SEAWALL_BIN") {
        return runnable(Path::new(&named));
    }
    let test = std::env::current_exe()?;
    // target/<profile>/deps/<test>: the binary is two levels up.
    let built = test
        .ancestors()
        .skip(1)
        .take(3)
        .map(|directory| directory.join("seawall"))
        .find(|path| path.is_file());
    let built = built.ok_or_else(|| {
        Failure::new(format!("no seawall beside {}: run `cargo build --bin seawall`", test.display()))
    })?;
    runnable(&built)
}

/// `seawall` with these arguments, ready to be run by [`run`] or spawned; it is already the server's user.
///
/// # Errors
/// As [`seawall_path`].
pub fn seawall<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Command> {
    let mut command = Command::new(seawall_path()?);
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SEAWALL_") {
            command.env_remove(name);
        }
    }
    as_server_user(&mut command)?.stdin(Stdio::null());
    Ok(command)
}

/// Runs `seawall` with these arguments to its end.
///
/// # Errors
/// It could not be started. How it ended is in the outcome.
pub fn run_seawall<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Result<Outcome> {
    run(&mut seawall(arguments)?)
}

/// Runs a command to its end and keeps what it says.
///
/// # Errors
/// It could not be started. How it ended is in the outcome.
pub fn run(command: &mut Command) -> Result<Outcome> {
    use std::os::unix::process::ExitStatusExt as _;
    let line = format!("{command:?}");
    let started = Instant::now();
    let output = command.output().context(|| format!("starting {line}"))?;
    Ok(Outcome {
        command: line,
        code: output.status.code(),
        signal: output.status.signal(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: started.elapsed(),
    })
}

/// Python with the packages that `tools/rescue.py` needs, as `make setup-test` installed it.
///
/// # Errors
/// It is not there.
pub fn rescue_python() -> Result<PathBuf> {
    let place = std::env::var_os("SEAWALL_RESCUE_PYTHON")
        .map_or_else(|| identity::cache_directory().join("rescue/python"), PathBuf::from);
    if place.is_file() {
        return place.canonicalize().context(|| format!("resolving {}", place.display()));
    }
    Err(Failure::new(format!("no {}: run `make setup-test`", place.display())))
}

/// The program itself, or a copy of it that the server's user can reach.
fn runnable(program: &Path) -> Result<PathBuf> {
    let program = program.canonicalize().context(|| format!("resolving {}", program.display()))?;
    let directory = program.parent().unwrap_or(&program);
    if identity::is_reachable(directory)? {
        return Ok(program);
    }
    let about = std::fs::metadata(&program)?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let copy = identity::shared_directory()?.join(format!("seawall-{changed:x}-{:x}", about.len()));
    if !copy.is_file() {
        let part = copy.with_extension(std::process::id().to_string());
        std::fs::copy(&program, &part).context(|| format!("copying {}", program.display()))?;
        std::fs::rename(&part, &copy)?;
    }
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_tells_code_signal_and_both_outputs() -> Result<()> {
        let ended = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 4"]))?;
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(4), "out\n", "err\n"));
        let failure = ended.expect_code(0).expect_err("it was 4");
        assert!(
            failure.text().contains("exit code 4, expected 0") && failure.text().contains("err"),
            "{failure}"
        );
        let killed = run(Command::new("sh").args(["-c", "kill -9 $$"]))?;
        assert_eq!((killed.code, killed.signal), (None, Some(9)));
        Ok(())
    }

    #[test]
    fn rescue_python_has_its_packages() -> Result<()> {
        let imports = "import blake3, cryptography, pyrage, zstandard";
        run(Command::new(rescue_python()?).args(["-c", imports]))?.expect_code(0).map(drop)
    }
}
