//! `seawall wal`: `push` and `fetch` answer PostgreSQL, the others people.

use std::path::{Path, PathBuf};

use seawall_engine::archive::fetch::{FetchAnswer, FetchFrom, FetchRequest, fetch as fetch_file};
use seawall_engine::archive::plan_file::PlanFile;
use seawall_engine::archive::push::{Archiving, archive};
use seawall_engine::repository::Secrets;
use seawall_engine::words::World;
use seawall_engine::{Error, Result};

use super::{open, wal_status};
use crate::args::Global;
use crate::args::wal::{FetchArgs, PushArgs, WalCommand};
use crate::exit::Outcome;
use crate::render::Output;

/// A plan file is small; anything larger is something else.
const PLAN_BYTES_MAX: u64 = 16 << 20;

/// Pushes or fetches.
pub fn run(command: WalCommand, global: &Global, output: &Output) -> Result<Outcome> {
    match command {
        WalCommand::Push(args) => push(&args, global, output),
        WalCommand::Fetch(args) => fetch(&args, global, output),
        WalCommand::Status(args) => wal_status::status(&args, global, output),
        WalCommand::AckHole(args) => wal_status::acknowledge(&args, global, output),
    }
}

fn push(args: &PushArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let world = World::system();
    let data_directory = match runs_in(&args.path) {
        Some(here) => here,
        None => open::data_directory(&settings)?,
    };
    // No limit of backups here: WAL that waits is what would be lost.
    let archiving = Archiving {
        settings: &open::repository_settings(&settings),
        cluster: &settings.name,
        key_file: &settings.repository.writer_key_file,
        data_directory: &data_directory,
    };
    let report = open::runtime()?.block_on(archive(&archiving, &args.path, &world))?;
    // Into the server's log; its exit code says only whether PostgreSQL may remove the file.
    report.findings.iter().for_each(|finding| output.finding(finding));
    Ok(Outcome::Done)
}

/// The data directory in which PostgreSQL runs its archive_command: it is where `%p` begins, also for a successor that was restored
/// somewhere else than the settings say. Typed by hand elsewhere, the settings count.
fn runs_in(path: &Path) -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let is_it = path.is_relative() && here.join("global/pg_control").is_file() && here.join(path).is_file();
    is_it.then_some(here)
}

fn fetch(args: &FetchArgs, global: &Global, output: &Output) -> Result<Outcome> {
    #[cfg(debug_assertions)]
    if let Some(outcome) = injected() {
        return Ok(outcome);
    }
    let here = std::env::current_dir().map_err(|error| {
        Error::source_side("fetch.working-directory", "the working directory is gone").because(error)
    })?;
    let world = World::system();
    let answer = match &args.plan {
        Some(plan) => {
            let mut plan = read_plan(plan)?;
            plan.give_up(&args.place.without_region)?;
            let request = request(args, &here, plan.wait());
            open::runtime()?.block_on(fetch_file(FetchFrom::Plan(&plan), &request, &world))
        }
        None => fetch_by_settings(args, global, &here, &world)?,
    };
    told(answer, output)
}

fn request<'a>(args: &'a FetchArgs, here: &'a Path, wait: std::time::Duration) -> FetchRequest<'a> {
    FetchRequest { name: &args.name, target: &args.path, data_directory: here, wait }
}

fn fetch_by_settings(args: &FetchArgs, global: &Global, here: &Path, world: &World) -> Result<FetchAnswer> {
    let settings = args.place.resolve(global)?;
    let repository = open::pinned(&settings);
    let secrets = Secrets::Identities(settings.repository.key_files.clone());
    let from = FetchFrom::Settings { settings: &repository, cluster: &settings.name, secrets: &secrets };
    let request = request(args, here, settings.wait_for_region);
    Ok(open::runtime()?.block_on(fetch_file(from, &request, world)))
}

fn read_plan(path: &Path) -> Result<PlanFile> {
    let unusable = || {
        Error::usage("fetch.plan", format!("the plan file {} cannot be used", path.display()))
            .hint("`seawall restore` writes it into the data directory; restore_command runs there")
    };
    let bytes =
        seawall_engine::words::read_file(path, PLAN_BYTES_MAX).map_err(|error| unusable().because(error))?;
    PlanFile::decode(&bytes).map_err(|error| unusable().because(error))
}

fn told(answer: FetchAnswer, output: &Output) -> Result<Outcome> {
    match answer {
        FetchAnswer::Delivered(delivered) => {
            delivered.findings.iter().for_each(|finding| output.finding(finding));
            Ok(Outcome::Done)
        }
        FetchAnswer::EndOfWal { why } => {
            output.notice(&why);
            Ok(Outcome::NotThere)
        }
        FetchAnswer::Stop(error) => Err(error),
    }
}

/// Lets tests see what becomes of a panic and of a signal, also of a panic that is swallowed where it happens and
/// followed by "not there". Not part of a release.
#[cfg(debug_assertions)]
#[expect(clippy::panic, reason = "this is what the test asks for")]
fn injected() -> Option<Outcome> {
    match std::env::var("SEAWALL_TEST_FETCH").as_deref() {
        Ok("panic") => panic!("asked for by a test"),
        Ok("panic-in-thread") => {
            let helper = std::thread::spawn(|| panic!("asked for by a test"));
            let _swallowed = helper.join();
            Some(Outcome::NotThere)
        }
        Ok("hang") => {
            use std::io::Write as _;
            let _said = std::io::stderr().write_all(b"ready");
            loop {
                std::thread::park();
            }
        }
        _ => None,
    }
}
