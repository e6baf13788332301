//! A token that a program prints.
//!
//! From "Executable-sourced credentials" (<https://google.aip.dev/auth/4117>). Promises: no program is run unless the environment allows it
//! (`GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1`), none runs longer than it may, and what it prints stands in no error but its own
//! `code` and `message`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use object_store::Result;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

use super::{Caller, TOKEN_BYTES_MAX, failed};

const ALLOWED: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
/// How long a program may run where nobody says, and what may be said, in milliseconds.
const LIMIT_MILLIS: u64 = 30_000;
const LIMITS_MILLIS: std::ops::RangeInclusive<u64> = 5_000..=120_000;
const SAML: &str = "urn:ietf:params:oauth:token-type:saml2";
/// What of a program's own words is told.
const SAID_CHARS_MAX: usize = 200;

/// An `executable` as it is written.
#[derive(Deserialize)]
pub(super) struct WrittenProgram {
    #[serde(default)]
    command: String,
    timeout_millis: Option<u64>,
    output_file: Option<PathBuf>,
}

/// A program, with its words.
pub(super) struct Program {
    name: String,
    words: Vec<String>,
    limit: Duration,
    /// Where it keeps what it printed last, for whoever asks next.
    output_file: Option<PathBuf>,
}

/// What it prints.
#[derive(Deserialize)]
struct Printed {
    version: u64,
    success: bool,
    token_type: Option<String>,
    id_token: Option<Zeroizing<String>>,
    saml_response: Option<Zeroizing<String>>,
    /// Seconds since 1970.
    expiration_time: Option<i64>,
    code: Option<String>,
    message: Option<String>,
}

impl Program {
    pub(super) fn new(
        written: WrittenProgram,
        environment: impl Fn(&str) -> Option<String>,
    ) -> std::result::Result<Self, &'static str> {
        if environment(ALLOWED).as_deref() != Some("1") {
            return Err(
                "its credential_source is a program, and such are run only where the environment has GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1",
            );
        }
        let mut words = words(&written.command).into_iter();
        let name = words.next().ok_or("the executable of its credential_source has no command")?;
        let millis = written.timeout_millis.unwrap_or(LIMIT_MILLIS);
        if !LIMITS_MILLIS.contains(&millis) {
            return Err("timeout_millis of its credential_source is not between 5000 and 120000");
        }
        let limit = Duration::from_millis(millis);
        Ok(Self { name, words: words.collect(), limit, output_file: written.output_file })
    }

    /// The token and its type.
    pub(super) async fn subject(&self, caller: &Caller<'_>) -> Result<(Zeroizing<String>, String)> {
        let now = caller.login.world.clock.now_unix_us() / 1_000_000;
        if let Some(kept) = self.kept(now) {
            return kept.token();
        }
        let printed = caller.login.world.within(self.limit, self.run(caller)).await;
        let printed = printed.ok_or_else(|| self.fault("did not end in time"))??;
        let printed: Printed =
            serde_json::from_slice(&printed).map_err(|_secret| self.fault("printed no JSON of a token"))?;
        if printed.success && printed.expiration_time.is_some_and(|until| until <= now) {
            return Err(self.fault("printed a token that has expired"));
        }
        if printed.success && printed.expiration_time.is_none() && self.output_file.is_some() {
            return Err(self.fault("printed no expiration_time, which an output_file needs"));
        }
        printed.token().map_err(|error| match error {
            object_store::Error::Generic { source, .. } => self.fault(&source.to_string()),
            other => other,
        })
    }

    fn fault(&self, what: &str) -> object_store::Error {
        failed(format!("{}, which is to print a token, {what}", self.name))
    }

    /// What it printed before, where that still holds.
    fn kept(&self, now: i64) -> Option<Printed> {
        let bytes = crate::durable::read_whole(self.output_file.as_ref()?, TOKEN_BYTES_MAX).ok()?;
        let printed: Printed = serde_json::from_slice(&Zeroizing::new(bytes)).ok()?;
        Some(printed).filter(|kept| kept.success && kept.expiration_time.is_some_and(|until| until > now))
    }

    async fn run(&self, caller: &Caller<'_>) -> Result<Zeroizing<Vec<u8>>> {
        let mut command = Command::new(&self.name);
        command
            .args(&self.words)
            .env("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", caller.audience)
            .env("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", caller.token_type)
            .env("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if let Some(email) = caller.account.and_then(email_of) {
            command.env("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email);
        }
        if let Some(file) = &self.output_file {
            command.env("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", file);
        }
        let mut child =
            command.spawn().map_err(|error| self.fault(&format!("cannot be started: {error}")))?;
        let mut printed = Zeroizing::new(Vec::new());
        if let Some(output) = child.stdout.take() {
            let read = output.take(TOKEN_BYTES_MAX).read_to_end(&mut printed).await;
            read.map_err(|error| self.fault(&format!("cannot be read: {error}")))?;
        }
        let status = child.wait().await.map_err(failed)?;
        // One that refuses may say why and exit with whatever it likes.
        let says_why = serde_json::from_slice::<Printed>(&printed).is_ok_and(|printed| !printed.success);
        match status.success() || says_why {
            true => Ok(printed),
            false => Err(self.fault(&format!("ended with {status}"))),
        }
    }
}

impl Printed {
    fn token(self) -> Result<(Zeroizing<String>, String)> {
        if self.version != 1 {
            return Err(failed("printed a version that is not 1"));
        }
        if !self.success {
            let said = |text: Option<String>| {
                text.unwrap_or_default().chars().take(SAID_CHARS_MAX).collect::<String>()
            };
            return Err(failed(format!("refused: {} {}", said(self.code), said(self.message))));
        }
        let kind = self.token_type.ok_or_else(|| failed("printed no token_type"))?;
        let token = if kind == SAML { self.saml_response } else { self.id_token };
        token.map(|token| (token, kind)).ok_or_else(|| failed("printed no token"))
    }
}

/// Words as they stand between blanks; in double quotes blanks belong to a word.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    for letter in command.chars() {
        match letter {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            letter if letter.is_whitespace() && !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// `.../serviceAccounts/EMAIL:generateAccessToken`.
fn email_of(url: &str) -> Option<&str> {
    url.rsplit('/').next()?.strip_suffix(":generateAccessToken")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::HeaderMap;
    use object_store::client::HttpConnector as _;

    use super::*;
    use crate::access::Access;
    use crate::bucket::client::{Connector, options};
    use crate::bucket::gcs::federated::Login;
    use crate::world::{Clock, ManualClock, World};

    #[test]
    fn a_command_is_taken_apart_at_blanks_that_no_quotes_enclose() {
        assert_eq!(
            words("  /opt/a/token --for  \"two words\" \"\" x\"y z\" "),
            ["/opt/a/token", "--for", "two words", "", "xy z"]
        );
        assert!(words(" ").is_empty());
    }

    #[test]
    fn programs_are_refused_unless_the_environment_allows_them_and_within_limits() {
        let program = |command: &str, timeout_millis, allowed: Option<&str>| {
            let written = WrittenProgram { command: command.to_owned(), timeout_millis, output_file: None };
            Program::new(written, |name| allowed.filter(|_| name == ALLOWED).map(str::to_owned)).err()
        };
        assert!(program("/bin/true", None, Some("1")).is_none());
        for allowed in [None, Some("0"), Some("true")] {
            assert!(program("/bin/true", None, allowed).unwrap().contains(ALLOWED), "{allowed:?}");
        }
        assert!(program("", None, Some("1")).unwrap().contains("no command"));
        assert!(program("/bin/true", Some(4999), Some("1")).unwrap().contains("timeout_millis"));
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended() {
        let clock = Arc::new(ManualClock::default());
        let world = World { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..World::seeded(1) };
        let options = options(&Access::default(), HeaderMap::new()).unwrap();
        let login = Login { client: Connector::default().connect(&options).unwrap(), world };
        let caller = Caller { login: &login, audience: "a", token_type: "t", account: None };
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("pid");
        let command = format!("/bin/sh -c \"echo $$ > {}; exec sleep 600\"", told.display());
        let written = WrittenProgram { command, timeout_millis: None, output_file: None };
        let program = Program::new(written, |_| Some("1".to_owned())).unwrap();
        let time_passes = async {
            while std::fs::read_to_string(&told).map_or(true, |pid| pid.is_empty()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            clock.advance(Duration::from_millis(LIMIT_MILLIS));
        };
        let (subject, ()) = futures::join!(program.subject(&caller), time_passes);
        assert!(subject.unwrap_err().to_string().contains("did not end in time"));
        let process = format!("/proc/{}/cmdline", std::fs::read_to_string(&told).unwrap().trim());
        // Nothing but a name is left of it until the runtime has collected it.
        while std::fs::read(&process).is_ok_and(|line| !line.is_empty()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[test]
    fn an_account_is_named_by_its_address() {
        let url = "https://iam.example/v1/projects/-/serviceAccounts/a@b.iam.example:generateAccessToken";
        assert_eq!(email_of(url), Some("a@b.iam.example"));
        assert_eq!(email_of("https://iam.example/other"), None);
    }
}
