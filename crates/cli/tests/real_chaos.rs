//! Regions of different kinds under everything that can come over them, at random moments while writers work, WAL is archived, and backups,
//! restores, recoveries and syncs run. Afterwards each region alone restores every moment that all of them had acknowledged, and whatever
//! region goes, no more is lost than `status` had said. What a restore brings back during trouble is right, or it says why it brings nothing.
//!
//! `SEAWALL_TEST_SEED` repeats the choices of an earlier run (not their interleaving), `SEAWALL_TEST_MINUTES` is how long the deep variant goes
//! on, `SEAWALL_TEST_MAJORS` takes the last of the majors named. What simulators alone show is *simulated*.

#![expect(clippy::print_stdout, reason = "the seed and the counts are part of what the test says")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::places::{Place, Trouble};
use crate::support::{RECOVERY_LIMIT, Site, json};
use seawall_testkit::workload::{Ledger, Options, PgLsn, Random, Target, Workload, judge};
use seawall_testkit::{Context as _, Failure, Outcome, Result, Server, StopMode, majors, run_seawall};
use serde_json::Value;

const DEEP: Duration = Duration::from_secs(20 * 60);
/// Moments that each region alone restores in the end, beside the last one, in the deep variant; in the ordinary suite it is one moment.
const DEEP_MOMENTS: usize = 12;
/// For so long a segment may take until it is archived when nothing is wrong any more.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(240);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Backup,
    Restore,
    Sync,
    Recovery,
    Archive,
}

const ACTS: [Act; 5] = [Act::Backup, Act::Restore, Act::Sync, Act::Recovery, Act::Archive];

/// How long it goes on.
#[derive(Clone, Copy)]
enum Until {
    Rounds(usize),
    Time(Duration),
}

#[derive(Debug, Default)]
struct Counts {
    rounds: u32,
    backups: u32,
    backups_refused: u32,
    restores: u32,
    restores_refused: u32,
    recoveries: u32,
    recoveries_stopped: u32,
    syncs: u32,
    syncs_refused: u32,
}

/// A server that was restored to a moment, to be judged when the ledger is known.
struct Restored {
    server: Server,
    at: PgLsn,
    what: String,
}

struct Chaos {
    site: Site,
    places: Vec<Place>,
    random: Random,
    counts: Counts,
    /// What every region had acknowledged.
    moments: Vec<PgLsn>,
    restored: Vec<Restored>,
}

fn number(name: &str) -> Result<Option<u64>> {
    std::env::var(name).ok().map(|value| value.parse().context(|| format!("reading {name}"))).transpose()
}

/// What a program says that could not do what was asked: a code of its own, an id, and never a panic.
fn says_why(outcome: &Outcome) -> Result<()> {
    let clear = matches!(outcome.code, Some(2..=100))
        && [", exit ", "\"exit\":"].iter().any(|said| outcome.stderr.contains(said));
    if clear { Ok(()) } else { Err(Failure::new(format!("not a clear refusal: {outcome:?}"))) }
}

fn status_of(site: &Site) -> Result<Value> {
    json(&site.seawall(["status", "--json"])?)
}

impl Chaos {
    fn over(places: Vec<Place>) -> Result<Self> {
        let seed = number("SEAWALL_TEST_SEED")?.unwrap_or_else(|| u64::from(std::process::id()));
        let major = *majors().last().ok_or_else(|| Failure::new("no major to test"))?;
        println!("PostgreSQL {major}, SEAWALL_TEST_SEED={seed}");
        let builder = Server::builder(major).archive_command("false");
        // Of twenty minutes with a switch for each archived moment.
        let builder = builder.setting("wal_keep_size", "40GB");
        let site = Site::in_regions(builder.start()?, |home| {
            let regions = places.iter().map(|place| place.settings(home)).collect::<Result<Vec<_>>>()?;
            Ok(format!("ack_degrade = \"1s\"\n{}", regions.concat()))
        })?;
        let (random, counts) = (Random::new(seed), Counts::default());
        Ok(Self { site, places, random, counts, moments: Vec::new(), restored: Vec::new() })
    }

    fn goes_on(mut self, until: Until) -> Result<(Self, Ledger)> {
        let options = Options {
            seed: self.random.below(1 << 32),
            writers: 4,
            pace: Duration::from_millis(40),
            databases: false,
            ..Options::default()
        };
        let workload = Workload::start(&self.site.server, options)?;
        workload.wait_for_commits(50)?;
        self.site.backup(&["--full"])?;
        self.all_acknowledge(&workload)?;
        let (began, first) = (Instant::now(), usize::try_from(self.random.below(ACTS.len() as u64))?);
        for round in 0.. {
            let over = match until {
                Until::Rounds(rounds) => round >= rounds,
                Until::Time(time) => began.elapsed() >= time,
            };
            if over {
                break;
            }
            // By turns: a short run has some of them, another one others.
            let act = ACTS.get((round + first) % ACTS.len()).copied().unwrap_or(Act::Archive);
            self.round(act, &workload).context(|| format!("round {round}, {act:?}: {:?}", self.counts))?;
            self.counts.rounds += 1;
            if round % 3 == 2 {
                self.all_acknowledge(&workload).context(|| format!("after round {round}"))?;
            }
        }
        let ledger = workload.finish(&self.site.server)?;
        self.archive_all()?;
        println!(
            "{:?} in {:?}; {} moments acknowledged by all",
            self.counts,
            began.elapsed(),
            self.moments.len()
        );
        Ok((self, ledger))
    }

    /// A segment ends, and everything is archived, however long the server rests between its tries.
    fn archive_all(&self) -> Result<()> {
        let server = &self.site.server;
        let last = server.value("SELECT pg_walfile_name(pg_current_wal_lsn() - 1)")?;
        let began = Instant::now();
        while began.elapsed() < ARCHIVED_WITHIN {
            server.execute("SELECT pg_logical_emit_message(false, 'test', 'x'); SELECT pg_switch_wal()")?;
            for _ in 0..60 {
                let archived =
                    server.value("SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver")?;
                if archived.get(..24).unwrap_or_default() >= last.as_str() {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Err(Failure::new(format!("{last} was not archived: {}", server.log())))
    }

    /// With nothing wrong: everything up to here comes to be in every region. What troubles left half, the one sync makes whole.
    fn all_acknowledge(&mut self, workload: &Workload) -> Result<()> {
        let at = self.site.server.value("SELECT pg_current_wal_insert_lsn()")?;
        workload.wait_for_commits(20)?;
        self.archive_all()?;
        self.site.seawall(["sync"])?.expect_code(0)?;
        self.moments.push(at.parse().map_err(|_| Failure::new(format!("no LSN: {at}")))?);
        Ok(())
    }

    /// Trouble comes over a region, over two of three sometimes, at a moment of `act`, and ends at another.
    fn round(&mut self, act: Act, workload: &Workload) -> Result<()> {
        let first = usize::try_from(self.random.below(self.places.len() as u64))?;
        let mut troubled = vec![first];
        if self.places.len() > 2 && self.random.below(3) == 0 {
            troubled.push((first + 1) % self.places.len());
        }
        let troubles: Vec<(usize, Trouble)> =
            troubled.into_iter().map(|at| (at, self.places[at].trouble(&mut self.random))).collect();
        let [before, lasts] = [1200, 3500].map(|most| Duration::from_millis(self.random.below(most)));
        let told: Vec<_> = troubles.iter().map(|(at, trouble)| (self.places[*at].name(), trouble)).collect();
        println!("{act:?}: {told:?} after {before:?} for {lasts:?}");
        let began = Instant::now();
        match act {
            Act::Recovery => self.recovery(&troubles, (before, lasts))?,
            Act::Restore => self.restore(&troubles, (before, lasts))?,
            _ => {
                let words: &[&str] = match act {
                    Act::Backup => &["backup", "--json"],
                    Act::Sync => &["sync", "--json"],
                    _ => &["wal", "status", "--json"],
                };
                let words = words.iter().map(Into::into).collect();
                let outcome = self.during(words, &troubles, (before, lasts))?;
                self.count(act, &outcome)?;
            }
        }
        workload.wait_for_commits(30)?;
        println!("  {:.1} s", began.elapsed().as_secs_f64());
        Ok(())
    }

    fn count(&mut self, act: Act, outcome: &Outcome) -> Result<()> {
        let done = matches!(outcome.code, Some(0 | 1));
        if done {
            json(outcome)?;
        } else {
            says_why(outcome)?;
        }
        let counts = &mut self.counts;
        let count = match (act, done) {
            (Act::Backup, true) => &mut counts.backups,
            (Act::Backup, false) => &mut counts.backups_refused,
            (Act::Restore, true) => &mut counts.restores,
            (Act::Restore, false) => &mut counts.restores_refused,
            (Act::Sync, true) => &mut counts.syncs,
            (Act::Sync, false) => &mut counts.syncs_refused,
            _ => return Ok(()),
        };
        *count += 1;
        Ok(())
    }

    /// Runs a command; the troubles come when `before` has passed, and end after so long, or a little later than the command.
    fn during(
        &mut self,
        words: Vec<OsString>,
        troubles: &[(usize, Trouble)],
        (before, lasts): (Duration, Duration),
    ) -> Result<Outcome> {
        let line: Vec<OsString> =
            ["-c".into(), self.site.settings().into()].into_iter().chain(words).collect();
        std::thread::scope(|scope| {
            let running = scope.spawn(move || run_seawall(line));
            let troubled = troubled(&mut self.places, troubles, (before, lasts), &self.site);
            let outcome = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            troubled?;
            outcome
        })
    }

    fn moment(&mut self) -> Result<PgLsn> {
        self.random.pick(&self.moments).copied().ok_or_else(|| Failure::new("no moment was acknowledged"))
    }

    fn restore_line(&self, at: PgLsn, more: &[&str]) -> (PathBuf, Vec<OsString>) {
        let (directory, lsn) = (self.site.new_directory(), at.to_string());
        let line = [&["--lsn", &lsn, "--before"], more].concat();
        let line = self.site.restore_line(&directory, &line);
        (directory, line)
    }

    /// A restore in trouble is whole, or it says why it is none.
    fn restore(&mut self, troubles: &[(usize, Trouble)], times: (Duration, Duration)) -> Result<()> {
        let at = self.moment()?;
        let (directory, line) = self.restore_line(at, &["--json"]);
        let outcome = self.during(line, troubles, times)?;
        self.count(Act::Restore, &outcome)?;
        if matches!(outcome.code, Some(0 | 1)) {
            self.recovers(&directory, at, "restored in trouble")?;
        }
        Ok(())
    }

    /// A recovery in trouble goes on, or stops and goes on when it is started again.
    fn recovery(&mut self, troubles: &[(usize, Trouble)], times: (Duration, Duration)) -> Result<()> {
        let at = self.moment()?;
        let (directory, line) = self.restore_line(at, &[]);
        let outcome = self.site.seawall(line)?;
        // With 1 it is done: something is in some regions alone.
        assert!(matches!(outcome.code, Some(0 | 1)), "{outcome:?}");
        let mut server = self.server_on(&directory)?;
        server.spawn()?;
        troubled(&mut self.places, troubles, times, &self.site)?;
        self.goes_through(server, at, "recovered in trouble")
    }

    fn server_on(&self, directory: &std::path::Path) -> Result<Server> {
        let server = Server::existing(self.site.server.major(), directory)?;
        Ok(server.with_binaries(self.site.server.binaries()))
    }

    fn recovers(&mut self, directory: &std::path::Path, at: PgLsn, what: &str) -> Result<()> {
        let mut server = self.server_on(directory)?;
        server.spawn()?;
        self.goes_through(server, at, what)
    }

    fn goes_through(&mut self, mut server: Server, at: PgLsn, what: &str) -> Result<()> {
        self.counts.recoveries += 1;
        for _ in 0..2 {
            let end = server.wait_for_end_of_recovery(RECOVERY_LIMIT);
            if end.is_ok() {
                break;
            }
            let Some(status) = server.ended()? else { return end };
            let log = server.log();
            if status.success() || log.contains("archive recovery complete") || !log.contains(", exit 126]") {
                return Err(Failure::new(format!("{what}: it ended with {status}\n{log}")));
            }
            self.counts.recoveries_stopped += 1;
            server.wait_for_exit(Duration::from_secs(1))?;
            server.spawn()?;
        }
        server.wait_for_end_of_recovery(RECOVERY_LIMIT)?;
        server.stop(StopMode::Fast)?;
        self.restored.push(Restored { server, at, what: what.to_owned() });
        Ok(())
    }

    /// Everything that was restored on the way is what the ledger says of its moment.
    fn judge_restored(&mut self, ledger: &Ledger) -> Result<()> {
        for Restored { mut server, at, what } in self.restored.drain(..) {
            server.start()?;
            let expected = ledger.expected_at(&Target::Lsn { at, inclusive: false })?;
            judge(server, &expected).context(|| format!("{what}, to {at}"))?;
        }
        Ok(())
    }

    fn without(&self, gone: impl Fn(&str) -> bool) -> Vec<String> {
        let names = self.places.iter().map(Place::name).filter(|name| gone(name));
        names.flat_map(|name| ["--without-region".to_owned(), name.to_owned()]).collect()
    }

    fn holds(&self, ledger: &Ledger, target: &Target, without: &[String]) -> Result<()> {
        let expected = ledger.expected_at(target)?;
        let line: Vec<String> = target.arguments().into_iter().chain(without.iter().cloned()).collect();
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let directory = self.site.new_directory();
        let outcome = self.site.restore(&directory, &line)?;
        assert!(matches!(outcome.code, Some(0 | 1)), "{line:?}: {outcome:?}");
        let server =
            crate::support::recovered(self.server_on(&directory)?).context(|| format!("{line:?}"))?;
        judge(server, &expected).context(|| format!("{line:?}"))
    }

    /// Whatever region is gone, of so many that are tried, the others come to where `status` says.
    fn loses_what_status_says(&self, ledger: &Ledger, tried: usize) -> Result<()> {
        let status = status_of(&self.site)?;
        let mut checked = 0;
        for known in status["regions"].as_array().cloned().unwrap_or_default() {
            let (gone, lost) = (known["region"].as_str().unwrap_or_default(), &known["if_gone"]);
            println!("without {gone}: {lost}");
            if lost["recoverable"] != true || lost["to"].is_null() || checked == tried {
                continue;
            }
            let target = match lost["segments"] == 0 {
                true => Target::Latest,
                false => last_before(ledger, lost["to"].as_str().unwrap_or_default())?,
            };
            let without = self.without(|name| name == gone);
            self.holds(ledger, &target, &without).context(|| format!("without {gone}: {lost}"))?;
            checked += 1;
        }
        assert!(checked > 0, "every region would take everything along: {status}");
        Ok(())
    }

    /// Each region alone restores what all had acknowledged: a moment, or so many and the end.
    fn each_alone_holds(&mut self, ledger: &Ledger, moments: Option<usize>) -> Result<()> {
        self.site.seawall(["sync"])?.expect_code(0)?;
        let names: Vec<&str> = self.places.iter().map(Place::name).collect();
        for left in names {
            let without = self.without(|name| name != left);
            if moments.is_some() {
                self.holds(ledger, &Target::Latest, &without).context(|| format!("region {left} alone"))?;
            }
            for _ in 0..moments.unwrap_or(1) {
                let at = self.moment()?;
                let target = Target::Lsn { at, inclusive: false };
                self.holds(ledger, &target, &without).context(|| format!("region {left} alone, to {at}"))?;
            }
        }
        Ok(())
    }

    fn passes(self, until: Until, moments: Option<usize>) -> Result<()> {
        let (mut chaos, ledger) = self.goes_on(until)?;
        chaos.judge_restored(&ledger)?;
        chaos.loses_what_status_says(&ledger, moments.map_or(1, |_| usize::MAX))?;
        chaos.each_alone_holds(&ledger, moments)
    }
}

/// Troubles come, last, and end. Segments end meanwhile, so that there is something to archive.
fn troubled(
    places: &mut [Place],
    troubles: &[(usize, Trouble)],
    (before, lasts): (Duration, Duration),
    site: &Site,
) -> Result<()> {
    std::thread::sleep(before);
    for (at, trouble) in troubles {
        places[*at].comes(*trouble)?;
    }
    site.server.execute("SELECT pg_switch_wal()")?;
    std::thread::sleep(lasts);
    for (at, trouble) in troubles {
        places[*at].ends(*trouble).context(|| format!("{trouble:?} ends"))?;
    }
    Ok(())
}

/// The last place before `to` at which recovery can stop: where a record begins that is certainly whole.
fn last_before(ledger: &Ledger, to: &str) -> Result<Target> {
    let to: PgLsn = to.parse().map_err(|_| Failure::new(format!("no LSN: {to}")))?;
    let at = ledger.wal().records.iter().rev().filter(|begin| **begin < to).copied().nth(2);
    let at = at.ok_or_else(|| Failure::new("the workload wrote nothing before it"))?;
    Ok(Target::Lsn { at, inclusive: false })
}

fn two() -> Result<Vec<Place>> {
    Ok(vec![Place::simulator("cloud")?, Place::disk("disk")?])
}

fn three() -> Result<Vec<Place>> {
    Ok(vec![Place::simulator("cloud")?, Place::seaweed("weed")?, Place::disk("disk")?])
}

#[test]
fn two_regions_in_all_kinds_of_trouble_hold_what_they_acknowledged() -> Result<()> {
    Chaos::over(two()?)?.passes(Until::Rounds(4), None)
}

#[test]
fn three_regions_in_all_kinds_of_trouble_hold_what_they_acknowledged() -> Result<()> {
    Chaos::over(three()?)?.passes(Until::Rounds(3), None)
}

fn minutes() -> Result<Until> {
    let minutes = number("SEAWALL_TEST_MINUTES")?.map(|minutes| Duration::from_secs(minutes * 60));
    Ok(Until::Time(minutes.unwrap_or(DEEP)))
}

#[test]
#[ignore = "takes half an hour: the deep profile runs it"]
fn twenty_minutes_of_troubles_of_two_regions() -> Result<()> {
    Chaos::over(two()?)?.passes(minutes()?, Some(DEEP_MOMENTS))
}

#[test]
#[ignore = "takes half an hour: the deep profile runs it"]
fn twenty_minutes_of_troubles_of_three_regions() -> Result<()> {
    Chaos::over(three()?)?.passes(minutes()?, Some(DEEP_MOMENTS))
}
