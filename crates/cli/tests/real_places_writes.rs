//! Archiving and backups while a region is away: stopped, killed, refusing. Each region is a process of its own.
//! What is shown here alone is *simulated*.

use std::time::{Duration, Instant};

use crate::support::clouds::{Cloud, Two};
use crate::support::json;
use seawall_testkit::workload::{Ledger, Options, SETTINGS, Target, Workload, judge};
use seawall_testkit::{Context as _, Failure, Result, Server, majors};
use serde_json::Value;

/// How long a region must fail before WAL is acknowledged without it.
const DEGRADE: &str = "1s";

/// What happens to a region.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Stopped,
    Killed,
    Refuses(u16, &'static str),
}

impl Trouble {
    const ALL: [Self; 5] = [
        Self::Stopped,
        Self::Killed,
        Self::Refuses(503, "backendError"),
        Self::Refuses(403, "forbidden"),
        Self::Refuses(403, "quotaExceeded"),
    ];

    fn comes_to(self, cloud: &mut Cloud) -> Result<()> {
        match self {
            Self::Stopped => cloud.stop(),
            Self::Killed => cloud.kill(),
            Self::Refuses(status, reason) => cloud.refuse_puts(status, reason),
        }
    }

    fn ends(self, cloud: &mut Cloud) -> Result<()> {
        match self {
            Self::Stopped => cloud.go_on(),
            Self::Killed => cloud.start_again(),
            Self::Refuses(..) => cloud.heal(),
        }
    }
}

fn place(major: u16) -> Result<Two> {
    let builder =
        SETTINGS.iter().fold(Server::builder(major), |builder, (name, value)| builder.setting(name, value));
    Two::start(builder, &format!("ack_degrade = \"{DEGRADE}\"\n"))
}

fn status_of(place: &Two) -> Result<Value> {
    json(&place.site.seawall(["status", "--json"])?)
}

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) FROM kept")
}

fn ids(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    findings.iter().filter_map(|finding| finding["id"].as_str()).collect()
}

/// What the report says would be lost with a region.
fn if_gone<'a>(report: &'a Value, region: &str) -> Result<&'a Value> {
    let regions = report["regions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = regions.iter().find(|known| known["region"] == region);
    found
        .map(|known| &known["if_gone"])
        .ok_or_else(|| Failure::new(format!("no region {region} in {report}")))
}

#[test]
fn real_archiving_and_backups_go_on_whatever_happens_to_a_region() -> Result<()> {
    let majors = majors();
    let mut times = Vec::new();
    for (number, trouble) in Trouble::ALL.into_iter().enumerate() {
        let major = majors.get(number % majors.len()).copied().ok_or_else(|| Failure::new("no server"))?;
        let mut place = place(major)?;
        let site = &place.site;
        site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 1000) g")?;
        site.backup(&["--full"])?;
        site.archive_all()?;
        trouble.comes_to(&mut place.two)?;
        site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
        let began = Instant::now();
        site.archive_all()?;
        times.push(format!("{trouble:?} {:.1} s", began.elapsed().as_secs_f64()));
        assert!(began.elapsed() < Duration::from_secs(100), "{trouble:?}: {:?}", began.elapsed());
        let log = site.server.log();
        assert!(log.contains("WAL is acknowledged without region two"), "{trouble:?}: {log}");

        let began = Instant::now();
        let report = json(&site.seawall(["backup", "--json"])?.expect_code(1)?)?;
        assert_eq!(report["regions"], serde_json::json!(["one"]), "{trouble:?}: {report}");
        assert_eq!(report["left_out"][0]["region"], "two", "{trouble:?}: {report}");
        assert!(began.elapsed() < Duration::from_secs(200), "{trouble:?}: {:?}", began.elapsed());
        site.archive_all()?;
        let wanted = rows(&site.server)?;

        let began = Instant::now();
        let status = status_of(&place)?;
        assert!(began.elapsed() < Duration::from_secs(100), "{trouble:?}: {:?}", began.elapsed());
        assert!(ids(&status).contains(&"status.region-away"), "{trouble:?}: {status}");
        let lost = if_gone(&status, "one")?;
        let (backups, segments) = (lost["backups"].as_u64(), lost["segments"].as_u64());
        assert!(backups >= Some(1) && segments >= Some(2), "{trouble:?}: {status}");
        let silent = matches!(trouble, Trouble::Stopped | Trouble::Killed);
        assert_eq!(lost["others_unreached"] == serde_json::json!(["two"]), silent, "{trouble:?}: {status}");
        let restored = site.restored(&["--latest", "--without-region", "two"])?;
        assert_eq!(rows(&restored)?, wanted, "{trouble:?}");
        drop(restored);
        trouble.ends(&mut place.two)?;
    }
    println!("until archiving went on: {}", times.join(", "));
    Ok(())
}

#[test]
fn real_a_region_that_returns_is_used_again_and_its_loss_costs_what_status_says() -> Result<()> {
    for major in majors() {
        let mut place = place(major)?;
        place.site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 1000) g")?;
        place.site.backup(&["--full"])?;
        let both = rows(&place.site.server)?;
        let acknowledged = place.site.server.value("SELECT pg_current_wal_lsn()")?;
        place.site.archive_all()?;
        place.two.stop()?;
        place.site.server.execute("INSERT INTO kept SELECT g FROM generate_series(1, 500) g")?;
        place.site.archive_all()?;
        place.two.go_on()?;
        // It is tried again only half a minute after it was found away.
        let began = Instant::now();
        while !place.site.server.log().contains("region two answers again") {
            assert!(began.elapsed() < Duration::from_secs(120), "{}", place.site.server.log());
            std::thread::sleep(Duration::from_secs(5));
            place.site.server.execute("INSERT INTO kept VALUES (1)")?;
            place.site.archive_all()?;
        }
        let status = status_of(&place)?;
        assert!(!ids(&status).contains(&"status.region-away"), "{status}");
        assert!(ids(&status).contains(&"status.region-behind"), "{status}");
        let lost = if_gone(&status, "one")?;
        assert!(lost["segments"].as_u64() >= Some(1) && lost["recoverable"] == true, "{status}");
        assert_eq!(if_gone(&status, "two")?["segments"], 0, "{status}");
        place.one.kill()?;
        let left = status_of(&place)?;
        let window = left["windows"].as_array().and_then(|windows| windows.first()).cloned();
        assert_eq!(window.map(|window| window["to"].clone()), Some(lost["to"].clone()), "{left}");
        // All that was acknowledged while both held it.
        let restored =
            place.site.restored(&["--lsn", &acknowledged, "--before", "--without-region", "one"])?;
        assert_eq!(rows(&restored)?, both, "{major}");
    }
    Ok(())
}

/// Regions come and go at random moments while writers work and backups are taken; in the end each region alone holds what status says.
#[test]
fn real_whatever_came_to_regions_each_alone_restores_what_status_says() -> Result<()> {
    let major = majors().last().copied().ok_or_else(|| Failure::new("no server"))?;
    let mut place = place(major)?;
    let workload = Workload::start(
        &place.site.server,
        Options {
            seed: 5,
            writers: 4,
            pace: Duration::from_millis(60),
            databases: false,
            ..Options::default()
        },
    )?;
    workload.wait_for_commits(50)?;
    place.site.backup(&["--full"])?;
    // Behind the backup both hold something.
    workload.wait_for_commits(50)?;
    place.site.archive_all()?;
    let mut random = seawall_testkit::workload::Random::new(11);
    for round in 0..4 {
        let trouble = Trouble::ALL[usize::try_from(random.below(4))?];
        let which = random.below(2);
        println!("round {round}: {trouble:?} comes to {which}");
        let cloud = if which == 0 { &mut place.one } else { &mut place.two };
        trouble.comes_to(cloud)?;
        workload.wait_for_commits(100)?;
        place.site.server.execute("SELECT pg_switch_wal()")?;
        std::thread::sleep(Duration::from_millis(500 + random.below(4000)));
        if round % 2 == 1 {
            let backup = place.site.seawall(["backup", "--json"])?;
            assert!(matches!(backup.code, Some(0 | 1)), "{backup:?}");
        }
        let cloud = if which == 0 { &mut place.one } else { &mut place.two };
        trouble.ends(cloud)?;
        workload.wait_for_commits(50)?;
    }
    let ledger = workload.finish(&place.site.server)?;
    place.site.archive_all()?;
    let status = status_of(&place)?;
    for (gone, left) in [("one", "two"), ("two", "one")] {
        let lost = if_gone(&status, gone)?;
        println!("without {gone}: {lost}");
        if lost["recoverable"] != true || lost["to"].is_null() {
            continue;
        }
        let to = lost["to"].as_str().unwrap_or_default();
        let target = if lost["segments"] == 0 { Target::Latest } else { last_before(&ledger, to)? };
        let expected = ledger.expected_at(&target)?;
        let mut line = target.arguments();
        line.extend(["--without-region", gone].map(str::to_owned));
        let server = place.site.restored(&line.iter().map(String::as_str).collect::<Vec<_>>());
        let server = server.context(|| format!("region {left} alone, to {to}"))?;
        judge(server, &expected).context(|| format!("region {left} alone, to {to}"))?;
    }
    Ok(())
}

/// The last place before `to` at which recovery can stop: where a record begins that is certainly whole.
fn last_before(ledger: &Ledger, to: &str) -> Result<Target> {
    let records = &ledger.wal().records;
    let mut bound = records.first().copied().ok_or_else(|| Failure::new("the workload wrote nothing"))?;
    bound = to.parse().map_err(|_| Failure::new(format!("no LSN, and not even {bound}: {to}")))?;
    let at = records.iter().rev().filter(|begin| **begin < bound).copied().nth(2);
    let at = at.ok_or_else(|| Failure::new("the workload wrote nothing before it"))?;
    Ok(Target::Lsn { at, inclusive: false })
}
