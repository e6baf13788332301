//! `seawall init`: looks, says what it will do, asks, does it, and says what to keep.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use seawall_engine::init::{self, InitOptions, InitPlan, InitReport, Lineage, ServerIdentity, Step};
use seawall_engine::postgres_setup::{self as setup, SetupPlan, SetupReport};
use seawall_engine::repository::{Expecting, RepositorySettings, open_regions};
use seawall_engine::source::read_control;
use seawall_engine::words::{Cipher, World};
use seawall_engine::{Error, Result};
use serde::Serialize;

use super::{open, postgres_setup};
use crate::args::Global;
use crate::args::init::InitArgs;
use crate::args::place::key_files;
use crate::exit::Outcome;
use crate::render::{Output, Page, Span, Style};
use crate::settings::{ClusterSettings, Encryption};

/// What will be done to the repository and to the server.
#[derive(Serialize)]
struct Whole<R, S> {
    #[serde(flatten)]
    repository: R,
    server: Option<S>,
}

/// Runs the command.
pub fn run(args: &InitArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let world = World::system();
    let settings = args.cluster.resolve(global)?;
    let options = options(args, &settings, &world)?;
    let repository = open::repository_settings(&settings);
    let runtime = open::runtime()?;
    let server = postgres_setup::options(args, global, &settings, options.server.system)?;
    let plan = init::plan(&runtime.block_on(init::survey(&repository, &options, &world))?, &options)?;
    let server_plan = match &server {
        Some(server) => Some(runtime.block_on(setup::plan(server))?),
        None => None,
    };
    let whole = Whole { repository: plan, server: server_plan };
    if args.dry_run {
        output.report(&whole, |whole| whole_plan_page(whole, &options))?;
        return Ok(Outcome::Done);
    }
    let nothing =
        whole.repository.step == Step::Nothing && whole.server.as_ref().is_none_or(SetupPlan::is_empty);
    if !nothing && !args.yes {
        ask(&whole, &options, output)?;
    }
    let report = runtime.block_on(async {
        let made = act(whole.repository, &repository, &options, &world).await?;
        // The repository first: an archive_command without it would only fail.
        let server = match server.as_ref().zip(whole.server) {
            Some((server, plan)) => Some(setup::run(plan, server, &world).await?),
            None => None,
        };
        Ok::<_, Error>(Whole { repository: made, server })
    })?;
    output.report(&report, whole_report_page)?;
    let overridden = report.server.as_ref().map_or(0, |server| server.overridden.len());
    Ok(Outcome::with_findings(overridden as u64))
}

fn whole_plan_page(whole: &Whole<InitPlan, SetupPlan>, options: &InitOptions) -> Page {
    let mut page = plan_page(&whole.repository, options);
    if let Some(server) = &whole.server {
        page.append(postgres_setup::plan_page(server));
    }
    page
}

fn whole_report_page(whole: &Whole<InitReport, SetupReport>) -> Page {
    let mut page = report_page(&whole.repository);
    page.append(match &whole.server {
        Some(server) => postgres_setup::report_page(server),
        None => postgres_setup::by_hand(),
    });
    page
}

async fn act(
    plan: InitPlan,
    repository: &RepositorySettings,
    options: &InitOptions,
    world: &World,
) -> Result<InitReport> {
    let regions = open_regions(repository, Expecting::Nothing, None, world)?;
    init::run(plan, &regions, repository, options, world).await
}

fn options(args: &InitArgs, settings: &ClusterSettings, world: &World) -> Result<InitOptions> {
    let control = read_control(&open::data_directory(settings)?, world.clock.as_ref())?.file;
    let server =
        ServerIdentity { system: control.system_identifier, postgresql: u32::from(control.version.major()) };
    let lineage = match (args.after_upgrade_of, args.adopt) {
        (Some(before), _) => Lineage::After(before),
        (None, true) => Lineage::Adopt,
        (None, false) => Lineage::Refuse,
    };
    let cipher = match settings.repository.encryption {
        Encryption::Aes256Gcm => Cipher::Aes256Gcm,
        Encryption::None => Cipher::None,
    };
    let recipients =
        if args.recipient.is_empty() { &settings.repository.recipients } else { &args.recipient };
    Ok(InitOptions {
        cluster: settings.name.clone(),
        key_file: settings.repository.writer_key_file.clone(),
        cipher,
        recipients: recipients.clone(),
        one_key: args.one_key,
        identities: key_files(&args.identity, &args.passphrase_file),
        label: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        server,
        lineage,
    })
}

/// Shows the plan and waits for a yes.
fn ask(plan: &Whole<InitPlan, SetupPlan>, options: &InitOptions, output: &Output) -> Result<()> {
    let refused =
        |what: &str| Error::usage("init.not-confirmed", what).hint("to go on without a question: --yes");
    if output.json || !std::io::stdin().is_terminal() {
        return Err(refused("nobody is there to confirm what would be done"));
    }
    output.say(&whole_plan_page(plan, options));
    // A question that cannot be shown is answered with no.
    let _shown = std::io::stderr().lock().write_all(b"Go on? [y/N] ");
    let mut answer = String::new();
    let _read = std::io::stdin().lock().read_line(&mut answer);
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if yes { Ok(()) } else { Err(refused("nothing was done")) }
}

fn plan_page(plan: &InitPlan, options: &InitOptions) -> Page {
    let what = match &plan.step {
        Step::MakeRepository => {
            format!("make a repository with cluster {} and this host's key file", options.cluster)
        }
        Step::AddCluster => {
            format!("add cluster {} to the repository and make this host's key file", options.cluster)
        }
        Step::Finish => "finish what an interrupted init began".to_owned(),
        Step::Adopt { after: Some(before) } => {
            format!("take the server as what followed {before} in cluster {}", options.cluster)
        }
        Step::Adopt { after: None } => format!("take the server as the new cluster {}", options.cluster),
        Step::Nothing => "nothing: all of it is there".to_owned(),
    };
    let mut page = Page::new();
    page.spans(0, [Span::new(Style::Strong, "init would "), Span::plain(what)]);
    let recipients = options.recipients.iter().map(|recipient| ("can read", recipient.to_string()));
    let regions = plan.regions.iter().map(|region| ("region", region.clone()));
    let rest = [
        (
            "system identifier",
            format!("{} (PostgreSQL {})", options.server.system, options.server.postgresql),
        ),
        ("encryption", options.cipher.as_str().to_owned()),
        ("key file", options.key_file.display().to_string()),
    ];
    page.facts(2, regions.chain(rest).chain(recipients));
    page
}

fn report_page(report: &InitReport) -> Page {
    let done = match report.step {
        Step::MakeRepository => "the repository is made",
        Step::AddCluster => "the cluster is added",
        Step::Finish => "what was begun is finished",
        Step::Adopt { .. } => "the server is adopted",
        Step::Nothing => "all of it was there",
    };
    let mut page = Page::new();
    page.spans(0, [Span::new(Style::Good, "ok: "), Span::plain(done)]);
    let server = format!("PostgreSQL {}, system identifier {}", report.postgresql, report.system);
    let facts = [
        ("cluster", format!("{}, {server}", report.cluster)),
        ("regions", report.regions.join(", ")),
        ("encryption", report.cipher.as_str().to_owned()),
        ("key file", report.key_file.display().to_string()),
        ("writer", report.writer.to_string()),
    ];
    let recipients = report.recipients.iter().map(|recipient| ("can read", recipient.to_string()));
    page.facts(2, facts.into_iter().chain(recipients));
    page.blank();
    page.line("Keep these two lines in the settings and, with the identities, in the recovery kit:");
    page.indented(2, "[repository]");
    page.indented(2, format!("id = \"{}\"", report.repository));
    page.indented(2, format!("owner = \"{}\"", report.owner));
    page
}
