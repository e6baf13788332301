//! The program as a shell sees it: streams, exit codes, settings.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a test's way of failing")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SETTINGS: &str = "\
[cluster.orders]
data_directory = \"/var/lib/postgresql/17/main\"
connection = \"host=/run user=seawall password=hunter2\"

[repository]
ack = 1

[[repository.region]]
name = \"north\"
url = \"file:///mnt/north\"

[[repository.region]]
name = \"south\"
url = \"file:///mnt/south\"

[objectives]
rpo = \"24h\"
";

fn command(line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.args(line).env_remove("SEAWALL_CONFIG").env_remove("NO_COLOR");
    command
}

fn seawall(line: &[&str]) -> Output {
    command(line).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap()
}

fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn settings_are_shown_with_their_origin_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seawall.toml");
    write(&path, SETTINGS);
    let path = path.to_str().unwrap();
    let out = seawall(&["config", "show", "--origin", "-c", path]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let shown = text(&out.stdout);
    assert!(!shown.contains("hunter2"));
    assert!(shown.contains(&format!("{path}:6")), "{shown}");
    let json = seawall(&["config", "show", "--json", "-c", path]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(!report.to_string().contains("hunter2"));
    crate::support::documented::check(["config", "show"], &report).unwrap();
    let settings = report.pointer("/clusters/0/settings").unwrap().as_array().unwrap();
    let ack = settings.iter().find(|setting| setting.get("key").unwrap() == "repository.ack").unwrap();
    assert_eq!(ack.get("origin").unwrap(), &format!("{path}:6"));
    assert_eq!(ack.get("value").unwrap(), 1);
}

/// The way out that `sync.away-too-long` names.
#[test]
fn sync_can_give_a_region_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seawall.toml");
    write(&path, SETTINGS);
    let without = |name: &str| {
        let out = seawall(&["-c", path.to_str().unwrap(), "sync", "--without-region", name]);
        (out.status.code(), text(&out.stderr))
    };
    let (code, said) = without("west");
    assert!(code == Some(2) && said.contains("there is no region west"), "{code:?} {said}");
    let (_, said) = without("south");
    assert!(!said.contains("there is no region") && !said.contains("unexpected argument"), "{said}");
}

#[test]
fn a_relative_settings_file_is_shown_absolute() {
    let folder = tempfile::tempdir().unwrap();
    let out =
        command(&["config", "check", "-c", "missing.toml"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    let wanted = folder.path().canonicalize().unwrap().join("missing.toml");
    assert!(text(&out.stderr).contains(wanted.to_str().unwrap()));
    assert_eq!(out.stdout, b"");
}

#[test]
fn the_working_directory_is_never_searched() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("seawall.toml"), SETTINGS);
    let out = command(&["config", "check"]).current_dir(folder.path()).output().unwrap();
    // Another file may be installed on this machine; this one must not be it.
    assert!(!text(&out.stdout).contains(folder.path().to_str().unwrap()));
}

#[test]
fn errors_are_one_json_object_a_line_with_json() {
    let out = seawall(&["config", "check", "--json", "-c", "/nowhere/x.toml"]);
    assert_eq!(out.status.code(), Some(2));
    let error: serde_json::Value = serde_json::from_slice(&out.stderr).unwrap();
    assert_eq!(error.pointer("/error/id").unwrap(), "settings.unreadable");
    assert_eq!(error.pointer("/error/exit").unwrap(), 2);
}

#[test]
fn colour_is_for_terminals_unless_asked_for() {
    let line = ["config", "check", "-c", "/nowhere/x.toml"];
    assert!(!text(&seawall(&line).stderr).contains('\u{1b}'));
    let always = [&line[..], &["--color", "always"]].concat();
    assert!(text(&seawall(&always).stderr).contains("\u{1b}[1;31merror:"));
}

#[test]
fn a_secret_in_an_argument_is_refused_and_not_repeated() {
    for secret in ["AGE-SECRET-KEY-1QYQSZQGP", "host=db password=hunter2"] {
        let out = seawall(&["init", "--recipient", secret]);
        assert_eq!(out.status.code(), Some(2));
        let said = text(&out.stderr);
        assert!(said.contains("[args.secret, exit 2]"), "{said}");
        assert!(!said.contains("QSZQGP") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_reader_that_has_left_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let out = command(&["completions", "bash"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_under_stdout_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let out = command(&["completions", "zsh"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(out.status.code(), Some(6));
    assert!(text(&out.stderr).contains("[cli.output, exit 6]"));
}

#[test]
fn scripts_and_manual_pages_are_made_for_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&seawall(&["completions", shell]).stdout);
        for option in ["restore-point", "parent", "bandwidth"] {
            assert!(script.contains(option), "{shell}: {option}");
        }
    }
    assert!(text(&seawall(&["man"]).stdout).contains(".TH seawall 1"));
    let folder = tempfile::tempdir().unwrap();
    let out = seawall(&["man", "--output", folder.path().to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0));
    assert!(folder.path().join("seawall-wal-fetch.1").exists());
    assert_eq!(seawall(&["man", "--json"]).status.code(), Some(2));
}

#[test]
fn mistakes_are_2_and_nothing_at_all_shows_help() {
    assert_eq!(seawall(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(seawall(&["list", "--latest"]).status.code(), Some(2));
    let out = seawall(&["restore", "--latest", "-D", "/x", "--bandwidth", "100"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("wanted bytes per second with their unit, such as 100MiB/s"));
    let out = seawall(&[]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("Usage: seawall"));
}

/// The only thing said on stderr, as JSON.
fn error_of(line: &[&str], code: i32) -> serde_json::Value {
    let out = seawall(line);
    assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(code), ""), "{line:?}");
    let said = text(&out.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let error = said.get("error").unwrap().clone();
    assert_eq!(error.get("id").unwrap(), "usage.arguments", "{error}");
    assert_eq!((error.get("kind").unwrap(), error.get("exit").unwrap()), (&"usage".into(), &code.into()));
    error
}

#[test]
fn mistakes_are_one_json_object_with_json() {
    let option = error_of(&["list", "--regoin", "north", "--json"], 2);
    assert_eq!(option.get("message").unwrap(), "unexpected argument '--regoin' found");
    assert_eq!(option.pointer("/hints/0").unwrap(), "a similar argument exists: '--region'");
    let command = error_of(&["--json", "bakcup"], 2);
    assert_eq!(command.pointer("/hints/0").unwrap(), "a similar subcommand exists: 'backup'");
    error_of(&["--json"], 2);
    error_of(&["restore", "--json", "--latest", "--immediate", "-D", "/x"], 2);
    let ansi = error_of(&["list", "--json", "--\u{1b}[31mred"], 2);
    assert!(ansi.get("message").unwrap().as_str().unwrap().contains("red"));
}

#[test]
fn a_mistake_in_a_restore_command_is_126_with_json_too() {
    error_of(&["wal", "fetch", "--json"], 126);
    error_of(&["--json", "wla", "fetch", "000000010000000000000003", "pg_wal/RECOVERYXLOG"], 126);
    error_of(&["wal", "fetch", "--json", "--plna", "x", "000000010000000000000003", "y"], 126);
}

#[test]
fn help_and_version_stay_text_with_json() {
    for (line, wanted) in [(["--json", "--version"], "seawall "), (["--json", "--help"], "Usage: seawall")] {
        let out = seawall(&line);
        assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(0), ""), "{line:?}");
        assert!(text(&out.stdout).contains(wanted), "{line:?}");
    }
}
