//! Restores and recoveries in whose middle a region is stopped, killed, refuses, or cuts its answers. Each region is a process of its own.
//! What is shown here alone is *simulated*.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::clouds::{Cloud, Two};
use crate::support::{Site, json, recovered};
use seawall_gcsim::{Answer, Fault, Operation, When};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context as _, Failure, Result, Server, majors, run, seawall};
use serde_json::Value;

/// Reads of region one that pass before anything happens to it.
const BEFORE: u64 = 12;

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Stopped,
    Killed,
    Answers(u16),
    Cut,
}

fn rows(server: &Server) -> Result<String> {
    server.value("SELECT count(*) || ' ' || sum(i) || ' ' || md5(string_agg(body, '' ORDER BY i)) FROM kept")
}

/// Comes over region one after some reads, while `work` goes on.
fn in_the_middle<T>(one: &mut Cloud, trouble: Trouble, work: impl FnOnce() -> Result<T> + Send) -> Result<T>
where
    T: Send,
{
    let control = one.control();
    let reads = When { operations: vec![Operation::ObjectGet], skip: BEFORE, ..When::default() };
    let fault = match trouble {
        Trouble::Answers(status) => {
            let answer = Answer { status, ..Answer::default() };
            Some(Fault { answer: Some(answer), ..Fault::default() })
        }
        Trouble::Cut => Some(Fault { cut_answer_at: Some(1000), ..Fault::default() }),
        Trouble::Stopped | Trouble::Killed => None,
    };
    if let Some(fault) = fault {
        control.fault(reads, fault).context(|| "a fault".to_owned())?;
        return work();
    }
    control.reset_counters().context(|| "counters".to_owned())?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let done = work();
            over.store(true, Ordering::Relaxed);
            done
        });
        while !over.load(Ordering::Relaxed)
            && control.requests(Operation::ObjectGet).unwrap_or(BEFORE) < BEFORE
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        match trouble {
            Trouble::Stopped => one.stop()?,
            _ => one.kill()?,
        }
        working.join().map_err(|_| Failure::new("the restore panicked"))?
    })
}

fn bytes_from(report: &Value, region: &str) -> u64 {
    let requests = report["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = requests.iter().find(|known| known["region"] == region);
    of.and_then(|known| known["get"]["bytes"].as_u64()).unwrap_or_default()
}

#[test]
fn real_a_restore_goes_on_from_another_region_in_its_middle_and_so_does_recovery() -> Result<()> {
    let majors = majors();
    let troubles =
        [Trouble::Stopped, Trouble::Killed, Trouble::Answers(503), Trouble::Answers(403), Trouble::Cut];
    for (number, trouble) in troubles.into_iter().enumerate() {
        let major = majors.get(number % majors.len()).copied().ok_or_else(|| Failure::new("no server"))?;
        let mut place = Two::start(Server::builder(major), "")?;
        let waits = "[wal.fetch]\nwait_for_region = \"60s\"\n";
        write_file(&place.site.settings(), place.site.settings_text() + waits, 0o600)?;
        let server = &place.site.server;
        server.execute("CREATE TABLE kept AS SELECT g AS i, md5(g::text) || md5((g + 1)::text) AS body FROM generate_series(1, 400000) g")?;
        place.site.backup(&["--full"])?;
        server.execute("INSERT INTO kept SELECT g, 'later' FROM generate_series(1, 1000) g")?;
        place.site.archive_all()?;
        let wanted = rows(server)?;
        let (directory, site) = (place.site.new_directory(), &place.site);
        let line = site.restore_line(&directory, &["--latest", "--json"]);
        let settings = site.settings();
        let began = Instant::now();
        let outcome = in_the_middle(&mut place.one, trouble, move || {
            let words = ["-c".into(), settings.into()].into_iter().chain(line);
            seawall_testkit::run_seawall::<std::ffi::OsString>(words)
        })?;
        assert!(matches!(outcome.code, Some(0 | 1)), "{trouble:?}: {outcome:?}");
        let report = json(&outcome)?;
        let (one, two) = (bytes_from(&report, "one"), bytes_from(&report, "two"));
        assert!(one > 0 && two > 0, "{trouble:?}: the middle was not met: {one} and {two} bytes");
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let outage = findings.iter().all(|finding| finding["id"] == "repository.region-failed");
        assert!(outage && findings.len() <= 1, "{trouble:?}: a region is told once: {findings:?}");
        println!("{trouble:?}: {one} bytes from one, {two} from two, {:.1} s", began.elapsed().as_secs_f64());
        assert!(began.elapsed() < Duration::from_secs(60), "{trouble:?}: {:?}", began.elapsed());
        let restored = || -> Result<Server> {
            Ok(Server::existing(major, &directory)?.with_binaries(site.server.binaries()))
        };
        if matches!(trouble, Trouble::Stopped) {
            // Segments come from the other region. Whether another timeline began is asked of every region: it stops, and does not promote.
            let mut server = restored()?;
            server.spawn()?;
            assert!(!server.wait_for_exit(Duration::from_secs(240))?.success());
            let log = server.log();
            assert!(
                log.contains("restored log file")
                    && log.contains("a region that may hold it cannot be reached"),
                "{log}"
            );
            assert!(!log.contains("selected new timeline"), "{log}");
            place.one.go_on()?;
        } else {
            let auto = directory.join("postgresql.auto.conf");
            let text = std::fs::read_to_string(&auto)?;
            let text = text.replace(" wal fetch ", " wal fetch --without-region one ");
            assert!(text.contains("--without-region one"), "{text}");
            write_file(&auto, text, 0o600)?;
        }
        let restored = recovered(restored()?)?;
        assert_eq!(rows(&restored)?, wanted, "{trouble:?}");
    }
    Ok(())
}

/// The exit code of `wal fetch` of a file, as a server of this cluster would ask for it.
fn fetched(site: &Site, name: &str) -> Result<Option<i32>> {
    let target = site.server.data_directory().join("pg_wal/RECOVERYXLOG");
    let (settings, identity) = (site.settings(), site.identity("first"));
    let (settings, identity) = (settings.to_string_lossy(), identity.to_string_lossy());
    let line = ["-c", &settings, "wal", "fetch", name, "pg_wal/RECOVERYXLOG", "--identity", &identity];
    let outcome = run(seawall(line)?.current_dir(site.server.data_directory()))?;
    assert_eq!(target.exists(), outcome.code == Some(0), "{outcome:?}");
    let _none = std::fs::remove_file(&target);
    Ok(outcome.code)
}

#[test]
fn real_a_fetch_does_not_ask_a_region_that_the_one_before_found_away_but_for_what_nobody_else_has()
-> Result<()> {
    let place = Two::start(Server::builder(majors().last().copied().unwrap_or(17)), "")?;
    let (site, control) = (&place.site, place.one.control());
    site.server.execute("CREATE TABLE kept AS SELECT g AS i FROM generate_series(1, 1000) g")?;
    site.backup(&["--full"])?;
    let name = site.server.value("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")?;
    site.archive_all()?;
    let memory = site.server.data_directory().join("seawall_away.json");
    assert_eq!((fetched(site, &name)?, memory.exists()), (Some(0), false), "all is well");

    let gets = When { operations: vec![Operation::ObjectGet], ..When::default() };
    let away = Answer { status: 503, ..Answer::default() };
    control.fault(gets, Fault { answer: Some(away), ..Fault::default() }).context(|| "a fault".to_owned())?;
    assert_eq!((fetched(site, &name)?, memory.exists()), (Some(0), true), "it found out");
    let asked = || control.requests(Operation::ObjectGet).context(|| "counters".to_owned());
    control.reset_counters().context(|| "counters".to_owned())?;
    for _ in 0..3 {
        assert_eq!(fetched(site, &name)?, Some(0));
    }
    assert_eq!(asked()?, 0);

    // That a file is nowhere is the word of all regions, whatever is remembered.
    place.one.heal()?;
    assert!(memory.exists());
    assert_eq!(fetched(site, "0000000100000000000000FF")?, Some(1));
    assert!(asked()? > 0);
    assert!(!memory.exists(), "it answered");
    Ok(())
}
