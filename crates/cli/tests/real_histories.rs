//! Histories of a cluster on real servers: backups day by day, a standby that takes over, a major upgrade that takes over the name, and prunes all along.
//! After each change every backup that is kept is restored and compared, by the programs of its own major.
//!
//! The store's clock is that of files, so files are made older instead of waiting. Writers' clocks stay as they are: the rule goes by the store's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::support::regions::objects;
use crate::support::{Site, archive_all, json, recovered, says};
use seawall_engine::source::{grants, read_control};
use seawall_engine::words::World;
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context, Failure, Result, Server, StopMode, run_seawall};
use serde_json::Value;

const SUM: &str = "SELECT md5(string_agg(n || body, ',' ORDER BY n)) FROM kept";
const TABLE: &str = "CREATE TABLE kept AS SELECT n, md5(n::text) AS body FROM generate_series(1, 5000) n";
const RULES: &str = "within = \"60h\"";

/// A backup, and how it must come back.
struct Point {
    major: u16,
    system: String,
    sum: String,
}

/// The cluster as it is now, and the settings of the host that serves it.
struct Life {
    site: Site,
    points: BTreeMap<String, Point>,
    settings: PathBuf,
}

impl Life {
    fn seawall<S: Into<OsString>>(
        &self,
        line: impl IntoIterator<Item = S>,
    ) -> Result<seawall_testkit::Outcome> {
        let words: [OsString; 2] = ["-c".into(), self.settings.clone().into()];
        run_seawall(words.into_iter().chain(line.into_iter().map(Into::into)))
    }

    /// The settings of a server's host: all but the server as it was.
    fn on(&self, server: &Server, name: &str) -> Result<PathBuf> {
        let of = |server: &Server| {
            [server.data_directory(), &server.socket_directory()].map(|path| path.display().to_string())
        };
        let prune_key = self.site.home().path().join("prune.key").display().to_string();
        let key = format!("[repository]\nprune_key_file = \"{prune_key}\"\n");
        let text = self.site.settings_text().replace("[repository]\n", &key);
        let text = format!("{text}[retention]\n{RULES}\n");
        let pairs = of(&self.site.server).into_iter().zip(of(server));
        let text = pairs.fold(text, |text, (from, to)| text.replace(&from, &to));
        let settings = self.site.home().path().join(format!("{name}.toml"));
        write_file(&settings, text, 0o600)?;
        Ok(settings)
    }

    fn archives(&self, server: &Server) -> Result<()> {
        let program = seawall_testkit::bins::seawall_path()?;
        server.set(
            "archive_command",
            &format!("{} -c {} wal push %p", program.display(), self.settings.display()),
        )
    }

    /// A day after all that was stored: something changes, a backup is taken, all WAL is archived, and a prune goes by. So three days are kept, and a
    /// fourth waits for its grace.
    fn day(&self, server: &Server, number: u32) -> Result<(String, Point)> {
        self.age(25)?;
        server.execute(&format!("UPDATE kept SET body = md5(body) WHERE n % 7 = {}", number % 7))?;
        let report = json(&self.seawall(["backup", "--json"])?.expect_code(0)?)?;
        let id = report["backup"].as_str().ok_or_else(|| Failure::new(format!("no backup in {report}")))?;
        let point = Point { major: server.major(), system: system_of(server)?, sum: server.value(SUM)? };
        archive_all(server)?;
        json(&self.seawall(["prune", "--json"])?.expect_code(0)?)?;
        Ok((id.to_owned(), point))
    }

    fn age(&self, hours: u64) -> Result<()> {
        for region in ["one", "two"] {
            let root = self.site.region(region);
            for object in objects(&root, "")? {
                older(&root.join(object), Duration::from_secs(hours * 3600))?;
            }
        }
        Ok(())
    }

    /// The backups that are there, the same in both regions.
    fn left(&self) -> Result<Vec<String>> {
        let of = |region| -> Result<Vec<String>> {
            let names = objects(&self.site.region(region), "/manifest/")?;
            let mut names: Vec<String> = names
                .iter()
                .filter_map(|name| Some(name.file_name()?.to_string_lossy().into_owned()))
                .collect();
            names.sort();
            Ok(names)
        };
        let (one, two) = (of("one")?, of("two")?);
        assert_eq!(one, two);
        Ok(one)
    }

    /// Restores every backup there is, each by the programs of its own major, and the latest state; verify finds nothing wrong.
    fn every_point_comes_back(&self, server: &Server) -> Result<Vec<u16>> {
        let mut majors = Vec::new();
        for id in self.left()? {
            let point = self.points.get(&id).ok_or_else(|| Failure::new(format!("{id} is nobody's")))?;
            let older = point.system != system_of(server)?;
            let restored = self.restored(point.major, older, &["--immediate", "--backup", &id])?;
            assert_eq!(restored.value(SUM)?, point.sum, "backup {id}");
            majors.push(point.major);
        }
        let latest = self.restored(server.major(), false, &["--latest"])?;
        assert_eq!(latest.value(SUM)?, server.value(SUM)?);
        let identity = self.site.identity("first").display().to_string();
        let report =
            json(&self.seawall(["verify", "--full", "--json", "--identity", &identity])?.expect_code(0)?)?;
        assert_eq!(
            (&report["findings"], &report["not_checked"]),
            (&Value::Array(vec![]), &Value::Array(vec![])),
            "{report}"
        );
        Ok(majors)
    }

    /// A backup of an older lineage is told as such.
    fn restored(&self, major: u16, older: bool, more: &[&str]) -> Result<Server> {
        let directory = self.site.new_directory();
        let server = Server::existing(major, &directory)?;
        let mut line: Vec<OsString> = vec!["restore".into(), "-D".into(), directory.clone().into()];
        line.extend(["--identity".into(), self.site.identity("first").into()]);
        line.extend(["--server-binaries".into(), server.binaries().directory.clone().into()]);
        line.extend(more.iter().map(Into::into));
        match older {
            true => says(self.seawall(line)?, 1, &["restore.older-system"])?,
            false => self.seawall(line)?.expect_code(0)?,
        };
        recovered(server)
    }
}

fn older(path: &Path, by: Duration) -> Result<()> {
    let file = std::fs::File::open(path).context(|| format!("opening {}", path.display()))?;
    let modified: SystemTime = file.metadata()?.modified()?;
    file.set_modified(modified - by).context(|| format!("making {} older", path.display()))
}

fn prune_key(site: &Site) -> Result<()> {
    let (output, identity) = (site.home().path().join("prune.key"), site.identity("first"));
    let line = ["key", "add-writer", "--right", "prune", "--label", "keeper"];
    let mut line: Vec<OsString> = line.into_iter().map(Into::into).collect();
    line.extend(["--output".into(), output.into(), "--identity".into(), identity.into()]);
    site.seawall(line)?.expect_code(0).map(drop)
}

/// Everything that is stored of a system identifier but its records and events.
fn data_of(site: &Site, system: &str) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for region in ["one", "two"] {
        let is_data = |name: &PathBuf| {
            let name = name.display().to_string();
            let kinds = ["manifest", "backup", "wal", "intent", "chapter"];
            kinds.iter().any(|kind| name.contains(&format!("/{system}/{kind}/")))
        };
        all.extend(objects(&site.region(region), "")?.into_iter().filter(is_data));
    }
    Ok(all)
}

fn system_of(server: &Server) -> Result<String> {
    server.value("SELECT system_identifier FROM pg_control_system()")
}

/// Days on the first timeline; a restored server takes over and goes on for days; then another major takes the name over, and the old lineage
/// ages out by the same rules.
fn a_life_with_a_promotion_and_an_upgrade(old: u16, new: u16) -> Result<()> {
    let site = Site::plain(old)?;
    prune_key(&site)?;
    site.server.execute(TABLE)?;
    let system = system_of(&site.server)?;
    let mut life = Life { settings: site.settings(), site, points: BTreeMap::new() };
    life.settings = life.on(&life.site.server, "first")?;
    for number in 0..3 {
        let (id, point) = life.day(&life.site.server, number)?;
        life.points.insert(id, point);
    }

    // A standby takes over: a new timeline, from where the archive ends.
    let directory = life.site.new_directory();
    life.site.restore(&directory, &["--latest", "--successor"])?.expect_code(0)?;
    let auto = directory.join("postgresql.auto.conf");
    write_file(&auto, std::fs::read_to_string(&auto)? + "archive_command = 'false'\n", 0o600)?;
    let sum = life.site.server.value(SUM)?;
    life.site.server.stop(StopMode::Immediate)?;
    let successor = recovered(Server::existing(old, &directory)?)?;
    assert_eq!(successor.value(SUM)?, sum);
    life.settings = life.on(&successor, "second")?;
    life.archives(&successor)?;
    let (id, point) = life.day(&successor, 3)?;
    life.points.insert(id, point);
    assert_eq!(life.every_point_comes_back(&successor)?, [old; 4], "of both timelines");

    // An upgrade: a system identifier of its own, adopted as the old one's successor.
    let upgraded = Server::builder(new).archive_command("false").fresh_identity().start()?;
    assert_ne!(system_of(&upgraded)?, system);
    let control = read_control(upgraded.data_directory(), World::system().clock.as_ref())?.file;
    for statement in grants::role_sql(control.version, "seawall", &[]) {
        upgraded.execute(&statement)?;
    }
    upgraded.execute(TABLE)?;
    drop(successor);
    life.settings = life.on(&upgraded, "third")?;
    life.seawall(["init", "--yes", "--after-upgrade-of", &system])?.expect_code(0)?;
    life.archives(&upgraded)?;
    let (id, point) = life.day(&upgraded, 4)?;
    life.points.insert(id, point);
    let majors = life.every_point_comes_back(&upgraded)?;
    assert!(
        majors.contains(&new) && majors.contains(&old),
        "the old lineage is not over with the first day: {majors:?}"
    );

    for number in 5..10 {
        // WAL to which no backup leads any more stays for a week.
        if number == 8 {
            life.age(24 * 8)?;
        }
        let (id, point) = life.day(&upgraded, number)?;
        life.points.insert(id, point);
    }
    assert_eq!(life.every_point_comes_back(&upgraded)?, [new; 3], "two, and one that waits for its grace");
    assert_eq!(data_of(&life.site, &system)?, [] as [PathBuf; 0], "nothing of the old lineage is left");
    Ok(())
}

#[test]
fn a_life_of_14_with_a_promotion_and_an_upgrade_to_18() -> Result<()> {
    a_life_with_a_promotion_and_an_upgrade(14, 18)
}

#[test]
fn a_life_of_18_with_a_promotion_and_a_new_system_identifier() -> Result<()> {
    a_life_with_a_promotion_and_an_upgrade(18, 18)
}
