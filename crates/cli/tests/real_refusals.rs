//! Mistakes in what is asked or set: each refused with exit code 2 (or the one that fits), by name, before anything is written.

use std::ffi::OsString;
use std::path::Path;

use crate::support::{Site, says};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Binaries, Outcome, Result, run_seawall};

/// Everything that needs a repository and no second server, on one site.
#[test]
fn what_cannot_be_is_refused_by_name() -> Result<()> {
    let site = Site::plain(17)?;
    says(site.restore(&site.new_directory(), &["--latest"])?, 4, &["restore.no-backup"])?;
    site.backup(&[])?;
    site.server.execute("CREATE TABLE later AS SELECT 1 AS one")?;
    site.archive_all()?;
    targets_out_of_reach(&site)?;
    identities(&site)?;
    directories(&site)?;
    places(&site)?;
    settings(&site)
}

fn refused(site: &Site, more: &[&str], code: i32, words: &[&str]) -> Result<Outcome> {
    let directory = site.new_directory();
    let outcome = says(site.restore(&directory, more)?, code, words)?;
    assert!(!directory.exists(), "{more:?} wrote something");
    Ok(outcome)
}

fn targets_out_of_reach(site: &Site) -> Result<()> {
    refused(
        site,
        &["--at", "2001-01-01 00:00:00+00"],
        4,
        &["restore.target-out-of-reach", "first point after it"],
    )?;
    refused(
        site,
        &["--at", "2100-01-01 00:00:00+00"],
        4,
        &["restore.target-out-of-reach", "last point before it"],
    )?;
    refused(site, &["--lsn", "FFFF/0"], 4, &["restore.target-out-of-reach"])?;
    refused(site, &["--lsn", "0/28"], 4, &["restore.target-out-of-reach"])?;
    refused(site, &["--at", "2026-11-22 10:00"], 2, &["target.time-without-zone", "in UTC: "])?;
    refused(site, &[], 2, &["target.missing"])?;
    refused(site, &["--latest", "--timeline", "9"], 2, &["restore.timeline-unknown"])?;
    refused(site, &["--latest", "--region", "nowhere"], 2, &["settings.unknown-region", "one"])?;
    refused(site, &["--latest", "--tablespace", "ts9=/tmp/x"], 2, &["restore.tablespace"]).map(drop)
}

fn line(site: &Site, directory: &Path, identity: &Path, binaries: &Path) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["restore".into(), "--latest".into(), "-D".into(), directory.into()];
    line.extend(["--identity".into(), identity.into(), "--server-binaries".into(), binaries.into()]);
    let _site = site;
    line
}

fn identities(site: &Site) -> Result<()> {
    let stranger = site.home().path().join("stranger");
    let generate: [OsString; 4] =
        ["key".into(), "generate".into(), "--output".into(), stranger.clone().into()];
    run_seawall(generate)?.expect_code(0)?;
    let binaries = &site.server.binaries().directory;
    let directory = site.new_directory();
    says(
        site.seawall(line(site, &directory, &stranger, binaries))?,
        2,
        &["keys.wrong-identity", "identity"],
    )?;
    let nowhere = site.home().path().join("nowhere");
    says(
        site.seawall(line(site, &directory, &nowhere, binaries))?,
        2,
        &["keys.identity-unreadable", "nowhere"],
    )?;
    says(site.seawall(line(site, &directory, &site.settings(), binaries))?, 2, &["keys.identity-malformed"])?;
    let without: [OsString; 4] = ["restore".into(), "--latest".into(), "-D".into(), directory.clone().into()];
    says(site.seawall(without)?, 2, &["keys.identity-needed", "--identity FILE"])?;
    assert!(!directory.exists());
    Ok(())
}

fn directories(site: &Site) -> Result<()> {
    let full = site.home().directory("full")?;
    write_file(&full.join("precious"), "data", 0o600)?;
    says(site.restore(&full, &["--latest"])?, 2, &["restore.target-not-empty"])?;
    says(site.restore(&full, &["--latest", "--delta"])?, 2, &["restore.target-not-a-data-directory"])?;
    assert_eq!(std::fs::read_to_string(full.join("precious"))?, "data");
    let other = Binaries::find(16)?.directory;
    let directory = site.new_directory();
    let wrong = line(site, &directory, &site.identity("first"), &other);
    let said = says(site.seawall(wrong)?, 2, &["restore.server-of-other-major", "17", "--server-binaries"])?;
    assert!(!directory.exists() && !said.stderr.contains("--bindir"), "{}", said.stderr);
    Ok(())
}

fn places(site: &Site) -> Result<()> {
    let empty = site.home().directory("empty")?;
    let identity = site.identity("first");
    let list = |url: &Path, cluster: &str| {
        let mut line: Vec<OsString> =
            vec!["list".into(), "--from".into(), format!("file://{}", url.display()).into()];
        line.extend(["--cluster".into(), cluster.into(), "--identity".into(), identity.clone().into()]);
        run_seawall(line)
    };
    says(list(&empty, "demo")?, 6, &["repository.not-found"])?;
    // Without settings nothing says whom to believe: the recovery kit's owner key is wanted.
    says(list(&site.region("one"), "demo")?, 2, &["keys.owner-not-pinned", "--owner"])?;
    says(site.seawall(["--cluster", "orders", "list"])?, 2, &[])?;
    says(site.seawall(["list", "--cluster", "orders"])?, 2, &["settings.unknown-cluster", "demo"]).map(drop)
}

fn settings(site: &Site) -> Result<()> {
    let open = site.home().path().join("open.toml");
    let text = site.settings_text();
    let with_password = text.replace("dbname=postgres", "dbname=postgres password=hunter2");
    let with = |content: &str, mode| -> Result<Outcome> {
        write_file(&open, content, mode)?;
        run_seawall(["-c".as_ref(), open.as_os_str(), "list".as_ref()])
    };
    let said = says(with(&with_password, 0o644)?, 2, &["settings.secret-readable-by-others", "chmod"])?;
    assert!(!said.stderr.contains("hunter2") && !said.stdout.contains("hunter2"));
    says(with(&text, 0o666)?, 2, &["settings.writable-by-others"])?;
    with(&with_password, 0o600)?.expect_code(0)?;
    says(with(&text.replace("data_directory", "data_dircetory"), 0o600)?, 2, &["data_directory"])?;
    let renamed = text.replace("[cluster.demo]", "[cluster.orders]");
    says(with(&renamed, 0o600)?, 2, &["demo", "orders"])?;
    let secret = site.seawall(["list", "--identity", "AGE-SECRET-KEY-1QQQSECRET"])?;
    let said = says(secret, 2, &["args.secret"])?;
    assert!(!said.stderr.contains("QQQSECRET"), "{}", said.stderr);
    Ok(())
}

/// A host key file that others can read gives away the meta key.
#[test]
fn a_key_file_that_others_can_read_is_refused() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::plain(14)?;
    let key = site.home().path().join("writer.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
    says(site.seawall(["backup"])?, 2, &["writer.key"]).map(drop)
}

/// Another server under a cluster's name is refused until somebody says that it is right.
#[test]
fn another_server_under_the_same_name_is_refused() -> Result<()> {
    let site = Site::plain(16)?;
    let other = seawall_testkit::Server::builder(16).fresh_identity().archive_command("false").start()?;
    let text = site.settings_text();
    let old = site.server.data_directory().display().to_string();
    let socket = site.server.socket_directory().display().to_string();
    let text = text.replace(&old, &other.data_directory().display().to_string());
    let text = text.replace(&socket, &other.socket_directory().display().to_string());
    let text = text.replace("user=seawall", "user=postgres");
    write_file(&site.settings(), text, 0o600)?;
    says(site.seawall(["backup"])?, 2, &["backup.system-not-adopted"])?;
    Ok(())
}
