//! The ledger under kills: writers at work, backups every few seconds by what WAL tells, and at random moments `kill -9` of a backup, of
//! `wal push`, and of the server. Afterwards restores to random targets hold exactly what had committed.
//!
//! `SEAWALL_TEST_MINUTES` is how long that goes on, `SEAWALL_TEST_TARGETS` how many targets follow, `SEAWALL_TEST_SEED` repeats the choices of
//! an earlier run, `SEAWALL_TEST_MAJORS` takes the last of the majors named.

#![expect(clippy::print_stdout, reason = "the seed and the counts are part of what the test says")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Site, json};
use seawall_testkit::workload::{Ledger, Options, PgLsn, Random, Target, Workload, judge};
use seawall_testkit::{Context, Failure, Result, Server, StopMode, majors, seawall};
use serde_json::Value;

/// Of the deep variant.
const DEEP: Duration = Duration::from_secs(20 * 60);
const DEEP_TARGETS: usize = 40;

#[test]
fn what_had_committed_is_there_after_kills_of_all_kinds() -> Result<()> {
    Range::new()?.go_on(Until::Acts(6))?.judged(1)
}

#[test]
#[ignore = "takes half an hour: the deep profile runs it"]
fn twenty_minutes_of_kills() -> Result<()> {
    let minutes = number("SEAWALL_TEST_MINUTES")?.map(|minutes| Duration::from_secs(minutes * 60));
    let targets = number("SEAWALL_TEST_TARGETS")?.and_then(|count| usize::try_from(count).ok());
    Range::new()?.go_on(Until::Time(minutes.unwrap_or(DEEP)))?.judged(targets.unwrap_or(DEEP_TARGETS))
}

fn number(name: &str) -> Result<Option<u64>> {
    std::env::var(name).ok().map(|value| value.parse().context(|| format!("reading {name}"))).transpose()
}

/// How long it goes on.
#[derive(Clone, Copy)]
enum Until {
    Acts(u32),
    Time(Duration),
}

/// What was done, how often.
#[derive(Debug, Default)]
struct Counts {
    backups: u32,
    killed_backups: u32,
    late_kills: u32,
    killed_pushes: u32,
    killed_servers: u32,
    of_them_during_a_backup: u32,
}

struct Range {
    site: Site,
    random: Random,
    counts: Counts,
    first: Value,
    /// How long a backup takes that nobody kills.
    usual: Duration,
}

/// What is over.
struct Past {
    range: Range,
    ledger: Ledger,
}

impl Range {
    fn new() -> Result<Self> {
        let seed = number("SEAWALL_TEST_SEED")?.unwrap_or_else(|| u64::from(std::process::id()));
        let major = *majors().last().ok_or_else(|| Failure::new("no major to test"))?;
        println!("PostgreSQL {major}, SEAWALL_TEST_SEED={seed}");
        let builder = Server::builder(major).archive_command("false").setting("wal_keep_size", "40GB");
        let site = Site::new(builder.data_checksums(true).start()?)?;
        let (random, counts) = (Random::new(seed), Counts::default());
        Ok(Self { site, random, counts, first: Value::Null, usual: Duration::from_secs(2) })
    }

    fn go_on(mut self, until: Until) -> Result<Past> {
        let options = Options {
            seed: self.random.below(1 << 32),
            pace: Duration::from_millis(15),
            survives_disconnects: true,
            ..Options::default()
        };
        let workload = Workload::start(&self.site.server, options)?;
        workload.wait_for_commits(30)?;
        self.first = self.site.backup(&["--full"])?;
        let began = Instant::now();
        for act in 0.. {
            let over = match until {
                Until::Acts(acts) => act >= acts,
                Until::Time(time) => began.elapsed() >= time,
            };
            if over {
                break;
            }
            // Each kind once in the beginning, then by chance.
            let kind = if act < 5 { u64::from(act) } else { self.random.below(8) };
            self.act(kind).context(|| format!("act {act} of kind {kind}: {:?}", self.counts))?;
            workload.wait_for_commits(5)?;
        }
        self.backup()?;
        workload.wait_for_commits(20)?;
        let ledger = workload.finish(&self.site.server)?;
        self.site.archive_all()?;
        let (committed, rolled_back, only_wal) = ledger.counts();
        println!(
            "{:?} in {:?}; {committed} transactions committed, {rolled_back} rolled back, {only_wal} known from WAL alone",
            self.counts,
            began.elapsed()
        );
        Ok(Past { range: self, ledger })
    }

    fn act(&mut self, kind: u64) -> Result<()> {
        match kind {
            1 => self.kill_backup(),
            2 => self.kill_push(),
            3 => self.kill_server(),
            4 => self.kill_server_during_backup(),
            _ => self.backup(),
        }
    }

    /// One that nobody kills: by WAL, whatever happened before it.
    fn backup(&mut self) -> Result<()> {
        let began = Instant::now();
        let report = self.site.backup(&[])?;
        self.usual = began.elapsed();
        assert_eq!(report["way"], "wal", "{report}");
        self.counts.backups += 1;
        Ok(())
    }

    fn moment(&mut self, within: Duration) -> Duration {
        Duration::from_micros(self.random.below(u64::try_from(within.as_micros()).unwrap_or(u64::MAX).max(1)))
    }

    fn begun_backup(&self) -> Result<Child> {
        let settings = self.site.settings();
        let mut backup = seawall(["-c".as_ref(), settings.as_os_str(), "backup".as_ref()])?;
        backup.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context(|| "starting a backup")
    }

    fn kill_backup(&mut self) -> Result<()> {
        let moment = self.moment(self.usual);
        let mut backup = self.begun_backup()?;
        std::thread::sleep(moment);
        backup.kill()?;
        let killed = backup.wait()?.code().is_none();
        if killed {
            self.counts.killed_backups += 1;
        } else {
            self.counts.late_kills += 1;
        }
        Ok(())
    }

    /// The server's own archive_command, as soon as one is seen.
    fn kill_push(&mut self) -> Result<()> {
        self.site.server.execute("SELECT pg_switch_wal()")?;
        let settings = self.site.settings();
        for _ in 0..2000 {
            if let Some(push) = pushing(&settings)? {
                let pause = self.moment(Duration::from_millis(60));
                std::thread::sleep(pause);
                // It may be over by now; another process cannot have its number in so short a time.
                if rustix::process::kill_process(push, rustix::process::Signal::KILL).is_ok() {
                    self.counts.killed_pushes += 1;
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn kill_server(&mut self) -> Result<()> {
        let moment = self.moment(Duration::from_millis(500));
        std::thread::sleep(moment);
        self.site.server.stop(StopMode::Kill)?;
        self.site.server.start()?;
        self.counts.killed_servers += 1;
        Ok(())
    }

    fn kill_server_during_backup(&mut self) -> Result<()> {
        let moment = self.moment(self.usual);
        let mut backup = self.begun_backup()?;
        std::thread::sleep(moment);
        let was_running = backup.try_wait()?.is_none();
        self.site.server.stop(StopMode::Kill)?;
        self.site.server.start()?;
        // It fails, or had ended: what it then says of itself is true.
        let _ended = backup.wait()?;
        self.counts.killed_servers += 1;
        self.counts.of_them_during_a_backup += u32::from(was_running);
        Ok(())
    }
}

/// A `wal push` with these settings, if one is running.
fn pushing(settings: &Path) -> Result<Option<rustix::process::Pid>> {
    let settings = settings.display().to_string();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(number) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Ok(command) = std::fs::read(format!("/proc/{number}/cmdline")) else { continue };
        let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let is_push = words.first().is_some_and(|program| program.ends_with("seawall"))
            && words.iter().any(|word| *word == settings)
            && words.iter().any(|word| word == "push");
        if is_push {
            return Ok(rustix::process::Pid::from_raw(number));
        }
    }
    Ok(None)
}

impl Past {
    fn judged(self, count: usize) -> Result<()> {
        let Self { mut range, ledger } = self;
        let text = |name: &str| range.first[name].as_str().unwrap_or_default().to_owned();
        let stop = text("stop");
        let after = stop.parse().map_err(|_| Failure::new(format!("no LSN: {stop}")))?;
        let mut targets = ledger.targets(after, count, range.random.below(1 << 32))?;
        targets.push(Target::Latest);
        let listed = json(&range.site.seawall(["list", "--json"])?.expect_code(0)?)?;
        let backups = Stops::of(&listed)?;
        for target in &targets {
            let expected = ledger.expected_at(target)?;
            let mut arguments = target.arguments();
            if let Some(lsn) = named_place(&ledger, target) {
                arguments.extend(["--backup".to_owned(), backups.before(lsn)?.to_owned()]);
            }
            let line: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let server = range.site.restored(&line).context(|| format!("{target:?}"))?;
            judge(server, &expected).context(|| format!("{target:?}"))?;
        }
        println!("{} targets right, over {} backups", targets.len(), backups.0.len());
        Ok(())
    }
}

/// Where each backup stops, and its name.
struct Stops(BTreeMap<PgLsn, String>);

impl Stops {
    fn of(listed: &Value) -> Result<Self> {
        let one = |backup: &Value| {
            Some((backup["stop"].as_str()?.parse().ok()?, backup["backup"].as_str()?.to_owned()))
        };
        let all = listed["backups"].as_array().map(|all| all.iter().map(one).collect::<Option<_>>());
        all.flatten().map(Self).ok_or_else(|| Failure::new(format!("no backups that stop in {listed}")))
    }

    /// The last one that stops before a place in WAL: from the first one on, twenty minutes of WAL are more than a recovery's time.
    fn before(&self, lsn: PgLsn) -> Result<&str> {
        let found = self.0.range(..=lsn).next_back();
        found.map(|(_, id)| id.as_str()).ok_or_else(|| Failure::new(format!("no backup stops before {lsn}")))
    }
}

/// Where a target lies that does not say it itself: which backup comes before it has to be said then.
fn named_place(ledger: &Ledger, target: &Target) -> Option<PgLsn> {
    let wal = ledger.wal();
    match target {
        Target::Xid { xid, .. } => wal.ends.iter().find(|end| end.xid == *xid).map(|end| end.lsn),
        Target::RestorePoint(name) => {
            wal.restore_points.iter().find(|(known, _)| known == name).map(|(_, lsn)| *lsn)
        }
        _ => None,
    }
}
