//! Storage that fails from the Nth request of a recovery on, for every N and in every way: the server waits or stops and never promotes, the
//! same directory goes on as soon as storage is back, and in the end it is whole. A switch of timelines lies on the way.
//!
//! The ordinary suite takes every few N, others on each major, with a kind of failure that turns; the deep profile takes the whole product.
//! The regions are simulators: what only they show is *simulated*.

#![expect(clippy::print_stdout, reason = "how many stages there are is part of what the test says")]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::clouds::{Cloud, Two};
use crate::support::{RECOVERY_LIMIT, Site};
use seawall_gcsim::{Answer, Control, Fault, Pause, When};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context as _, Failure, Result, Server, StopMode, majors};

/// For so long a fetch waits for storage before it stops the server.
const WAIT: &str = "[wal.fetch]\nwait_for_region = \"1s\"\n";
/// For so long a server is watched that can neither go on nor be told so.
const WATCHED: Duration = Duration::from_secs(2);
/// The ordinary suite takes one in so many stages.
const STRIDE: u64 = 20;
/// More requests than any of these recoveries makes.
const STAGES_MAX: u64 = 2000;

/// How storage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The process dies at the request; connections are refused from then on.
    Killed,
    /// An error is answered.
    Answers(u16),
    /// So many bytes of each answer's body come. Shorter bodies come whole.
    After(u64),
    /// Connections are taken, and nothing is answered.
    Hangs,
}

impl Cut {
    const ALL: [Self; 6] = [
        Self::Answers(503),
        Self::After(10),
        Self::Killed,
        Self::After(20_000),
        Self::Hangs,
        Self::Answers(403),
    ];

    fn fault(self) -> Fault {
        match self {
            Self::Answers(status) => {
                Fault { answer: Some(Answer { status, ..Answer::default() }), ..Fault::default() }
            }
            Self::After(bytes) => Fault { cut_answer_at: Some(bytes), ..Fault::default() },
            Self::Killed | Self::Hangs => Fault { pause: Some(Pause::Before), ..Fault::default() },
        }
    }
}

/// A repository whose recovery goes over a switch of timelines.
struct Past {
    site: Site,
    /// What fails.
    storage: Cloud,
    /// What is away all along, until the end.
    away: Option<Cloud>,
    wanted: String,
}

/// How a start of the server ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// It met the failure, and did not promote.
    Held,
    /// It stopped before it met it: whether another timeline began is asked of the region that is away, too.
    Stopped,
    /// It is through; what is cut late is met and does no harm where bodies are short.
    Recovered { met: bool },
}

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

/// Segments on two timelines behind a backup.
fn work(site: &mut Site) -> Result<String> {
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 1000) g")?;
    site.backup(&["--full"])?;
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 20000) g")?;
    site.archive_all()?;
    site.server.stop(StopMode::Fast)?;
    write_file(&site.server.data_directory().join("standby.signal"), "", 0o600)?;
    site.server.start()?;
    site.server.promote()?;
    site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
    site.archive_all()?;
    write_file(&site.settings(), site.settings_text() + WAIT, 0o600)?;
    rows(&site.server)
}

impl Past {
    /// Both regions in one process: what fails fails in both.
    fn of_both(major: u16) -> Result<Self> {
        let storage = Cloud::start("one", "europe-west3", None)?;
        storage.and_bucket("acme-dr-two", "europe-north1")?;
        let settings = |home: &Path| {
            let token = Cloud::token(home)?;
            Ok(storage.settings(&token) + &storage.settings_of("two", "acme-dr-two", &token))
        };
        let mut site = Site::in_regions(Server::builder(major).archive_command("false").start()?, settings)?;
        let wanted = work(&mut site)?;
        Ok(Self { site, storage, away: None, wanted })
    }

    /// One region is away when the recovery begins; what fails is the other one.
    fn of_the_one_that_is_left(major: u16) -> Result<Self> {
        let Two { mut site, one, two } = Two::start(Server::builder(major), "")?;
        let wanted = work(&mut site)?;
        Ok(Self { site, storage: two, away: Some(one), wanted })
    }

    /// One start of the server on this directory, with storage that fails from request `stage` on.
    fn start(&mut self, directory: &Path, cut: Cut, stage: u64) -> Result<Ended> {
        // What an earlier start kept is asked of storage again, as in a directory that was never started.
        let kept = directory.join("pg_wal/00000002.history");
        if kept.exists() {
            std::fs::remove_file(&kept)?;
        }
        let control = self.storage.control();
        let when = When { skip: stage, ..When::default() };
        let rule = control.fault(when, cut.fault()).context(|| "a fault".to_owned())?;
        let mut server = Server::existing(self.site.server.major(), directory)?;
        server.spawn()?;
        let met = self.until_it_ends(&mut server, cut, rule)?;
        let log = server.log();
        drop(server);
        if self.storage.is_gone() {
            // Its faults go with it.
            self.storage.start_again()?;
        }
        self.storage.heal()?;
        let through = log.contains("archive recovery complete");
        // The new timeline is chosen once all is replayed, and then the server reads the history of the one before.
        let early = log.contains("selected new timeline ID") && !log.contains("recovery stopping after");
        let spoiled = through && met && !matches!(cut, Cut::After(_));
        if early || spoiled || through == still_recovers(directory) {
            let what = "it promoted though storage failed, or its next start is no recovery";
            return Err(Failure::new(format!("{what}; the log:\n{log}")));
        }
        match (through, met) {
            (true, met) => Ok(Ended::Recovered { met }),
            (false, true) => Ok(Ended::Held),
            (false, false) if self.away.is_some() => Ok(Ended::Stopped),
            (false, false) => {
                Err(Failure::new(format!("it stopped, and nothing had failed; the log:\n{log}")))
            }
        }
    }

    /// Until it stopped, is through, or was watched long enough; whether it met the failure.
    fn until_it_ends(&mut self, server: &mut Server, cut: Cut, rule: u64) -> Result<bool> {
        let control = self.storage.control();
        let (began, mut met) = (Instant::now(), None::<Instant>);
        while began.elapsed() < RECOVERY_LIMIT {
            if met.is_none() && hits(&control, rule)? > 0 {
                met = Some(Instant::now());
                if cut == Cut::Killed {
                    self.storage.kill()?;
                }
            }
            let is_through = server.value("SELECT pg_is_in_recovery()").is_ok_and(|value| value == "f");
            let watched = cut == Cut::Hangs && met.is_some_and(|at| at.elapsed() > WATCHED);
            if is_through || watched || server.ended()?.is_some() {
                // The last look: it may have met the failure since.
                return Ok(met.is_some() || (!self.storage.is_gone() && hits(&control, rule)? > 0));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Failure::new(format!("the server neither stops nor goes on; its log:\n{}", server.log())))
    }

    fn restored(&self) -> Result<std::path::PathBuf> {
        let directory = self.site.new_directory();
        self.site.restore(&directory, &["--latest"])?.expect_code(0)?;
        Ok(directory)
    }

    /// With storage as it should be the directory is whole.
    fn is_whole(&self, directory: &Path) -> Result<()> {
        let server = crate::support::recovered(Server::existing(self.site.server.major(), directory)?)?;
        assert_eq!(rows(&server)?, self.wanted);
        Ok(())
    }

    /// One directory, started at every `stride`th stage until it meets no failure any more; how many stages there were.
    fn through(&mut self, first: u64, stride: u64, cuts: &[Cut]) -> Result<u64> {
        let mut directory = self.restored()?;
        if let Some(away) = &mut self.away {
            away.kill()?;
        }
        let mut held = 0;
        for (turn, stage) in (first..STAGES_MAX).step_by(usize::try_from(stride)?).enumerate() {
            let cut = cuts[(turn + usize::try_from(first)?) % cuts.len()];
            let case = format!("PostgreSQL {}, {cut:?} from request {stage} on", self.site.server.major());
            let ended = self.start(&directory, cut, stage).context(|| case.clone())?;
            if ended == Ended::Held {
                held += 1;
                continue;
            }
            if let Some(away) = &mut self.away {
                assert_eq!(
                    ended,
                    Ended::Stopped,
                    "{case}: only the other region knows whether there is another timeline"
                );
                away.start_again()?;
            }
            self.is_whole(&directory).context(|| case)?;
            if ended != (Ended::Recovered { met: true }) {
                return Ok(held);
            }
            directory = self.restored()?;
        }
        Err(Failure::new("no stage is the last"))
    }
}

fn hits(control: &Control, rule: u64) -> Result<u64> {
    let standings = control.faults().context(|| "faults".to_owned())?;
    Ok(standings.iter().find(|standing| standing.id == rule).map_or(0, |standing| standing.hit))
}

/// By its own word.
fn still_recovers(directory: &Path) -> bool {
    directory.join("recovery.signal").exists()
}

/// One in so many stages, others on each major.
fn some_stages(major: u16, past: fn(u16) -> Result<Past>) -> Result<()> {
    if !majors().contains(&major) {
        return Ok(());
    }
    let first = u64::from(major) * 4 % STRIDE;
    let held = past(major)?.through(first, STRIDE, &Cut::ALL)?;
    println!("PostgreSQL {major}: {held} stages from {first} on, one in {STRIDE}");
    assert!(held >= 2, "{held} stages");
    Ok(())
}

/// Each way of failing at each stage.
fn every_stage(major: u16) -> Result<()> {
    if !majors().contains(&major) {
        return Ok(());
    }
    for cut in Cut::ALL {
        let both = Past::of_both(major)?.through(0, 1, &[cut])?;
        let one = Past::of_the_one_that_is_left(major)?.through(0, 1, &[cut])?;
        println!("PostgreSQL {major}, {cut:?}: {both} stages of both regions, {one} of the one that is left");
    }
    Ok(())
}

macro_rules! each_major {
    ($($both:ident $one:ident $deep:ident $major:literal)*) => {$(
        #[test]
        fn $both() -> Result<()> {
            some_stages($major, Past::of_both)
        }

        #[test]
        fn $one() -> Result<()> {
            some_stages($major, Past::of_the_one_that_is_left)
        }

        #[test]
        #[ignore = "hundreds of starts: the deep profile runs it"]
        fn $deep() -> Result<()> {
            every_stage($major)
        }
    )*};
}

each_major! {
    storage_that_fails_in_a_recovery_of_14_never_promotes the_last_region_that_fails_never_promotes_14 every_failure_at_every_stage_of_14 14
    storage_that_fails_in_a_recovery_of_15_never_promotes the_last_region_that_fails_never_promotes_15 every_failure_at_every_stage_of_15 15
    storage_that_fails_in_a_recovery_of_16_never_promotes the_last_region_that_fails_never_promotes_16 every_failure_at_every_stage_of_16 16
    storage_that_fails_in_a_recovery_of_17_never_promotes the_last_region_that_fails_never_promotes_17 every_failure_at_every_stage_of_17 17
    storage_that_fails_in_a_recovery_of_18_never_promotes the_last_region_that_fails_never_promotes_18 every_failure_at_every_stage_of_18 18
}
