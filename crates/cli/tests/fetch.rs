//! `wal fetch` as a process: whatever goes wrong, PostgreSQL must not take the answer for the end of WAL.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a test's way of failing")]

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

const SEGMENT: &str = "000000010000000000000003";

fn seawall(line: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
    command.args(line).env_remove("SEAWALL_CONFIG").env_remove("SEAWALL_TEST_FETCH");
    command.envs(variables.iter().copied()).output().unwrap()
}

fn code(line: &[&str]) -> Option<i32> {
    seawall(line, &[]).status.code()
}

#[test]
fn every_mistake_in_the_command_is_126() {
    let bad: &[&[&str]] = &[
        &["wal", "fetch"],
        &["wal", "fetch", SEGMENT],
        &["wal", "fetch", "--no-such-flag", SEGMENT, "x"],
        &["wal", "ftech", SEGMENT, "x"],
        &["wla", "fetch", SEGMENT, "x"],
        &["wla", "ftech", SEGMENT, "x"],
        &["wal"],
        &["wal", "fetch", SEGMENT, "x", "--help"],
        &["--version", "wal", "fetch", SEGMENT, "x"],
        &["--color", "purple", "wal", "fetch", SEGMENT, "x"],
        &["wal", "fetch", SEGMENT, "x", "--identity", "AGE-SECRET-KEY-1XYZ"],
    ];
    for line in bad {
        assert_eq!(code(line), Some(126), "{line:?}");
    }
}

#[test]
fn missing_unreadable_and_wrong_settings_are_126() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "[cluster.x]\nnonsense = 1\n").unwrap();
    for config in ["/nowhere/seawall.toml", folder.path().to_str().unwrap(), wrong.to_str().unwrap()] {
        assert_eq!(code(&["--config", config, "wal", "fetch", SEGMENT, "x"]), Some(126), "{config}");
    }
    let variables = [("SEAWALL_CONFIG", "relative.toml")];
    let out = seawall(&["wal", "fetch", SEGMENT, "x"], &variables);
    assert_eq!(out.status.code(), Some(126));
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(said.contains("[settings.relative-variable, exit 126]"), "{said}");
}

#[test]
fn a_panic_in_any_thread_is_126() {
    for place in ["panic", "panic-in-thread"] {
        let out = seawall(&["wal", "fetch", SEGMENT, "x"], &[("SEAWALL_TEST_FETCH", place)]);
        assert_eq!(out.status.code(), Some(126), "{place}");
        assert!(String::from_utf8(out.stderr).unwrap().contains("[cli.panic, exit 126]"));
    }
}

#[test]
fn sigterm_looks_like_a_shutdown_and_never_like_an_answer() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["wal", "fetch", SEGMENT, "x"])
        .env("SEAWALL_TEST_FETCH", "hang")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It says on stderr that it has arrived.
    let mut line = [0; 5];
    std::io::Read::read_exact(child.stderr.as_mut().unwrap(), &mut line).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (None, Some(15)));
}

#[test]
fn help_is_still_help() {
    assert_eq!(code(&["wal", "fetch", "--help"]), Some(0));
    assert_eq!(code(&["help", "wal", "fetch"]), Some(0));
}

#[test]
fn an_archive_command_keeps_ordinary_codes() {
    // Above 125 the archiver itself would end and be started anew.
    assert_eq!(code(&["wal", "push"]), Some(2));
    assert_eq!(code(&["wal", "push", SEGMENT, "--config", "/nowhere/seawall.toml"]), Some(2));
}
