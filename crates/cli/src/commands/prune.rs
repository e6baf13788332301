//! `seawall prune`.

use std::sync::Arc;

use seawall_engine::prune::{self, Amounts, PruneOptions, PruneReport, RetentionRules, Undone};
use seawall_engine::retention::Span;
use seawall_engine::words::{BackupId, World};
use seawall_engine::{Error, Result};

use super::open;
use crate::args::Global;
use crate::args::prune::{PruneArgs, UndoChoice};
use crate::args::target::day_or_time;
use crate::exit::Outcome;
use crate::render::progress::Progress;
use crate::render::{Output, Page, Span as Text, Style, calendar, human};
use crate::settings::ClusterSettings;

/// Prunes, or says what pruning would do.
pub fn run(args: &PruneArgs, global: &Global, words: &[String], output: &Output) -> Result<Outcome> {
    let settings = args.cluster.resolve(global)?;
    let world = World::system();
    let at = args
        .at
        .as_deref()
        .map(|text| day_or_time(text, &settings.retention.policy.zone, words))
        .transpose()?;
    open::runtime()?.block_on(async {
        let repository = open::as_pruner(&settings, &world).await?;
        if let Some(choice) = args.undo {
            let one = match choice {
                UndoChoice::All => None,
                UndoChoice::One(id) => Some(id),
            };
            let report = prune::undo(&repository, one, &args.reason).await?;
            output.report(&report, undone_page)?;
            report.findings.iter().for_each(|finding| output.finding(finding));
            return Ok(Outcome::with_findings(report.findings.len() as u64));
        }
        let progress = Arc::new(Progress::new(*output, world.clone()));
        if let Some(id) = args.explain {
            return explain(&repository, &rules(&settings), id, output).await;
        }
        let options = PruneOptions { dry_run: args.dry_run || at.is_some(), at };
        let report = prune::prune(&repository, &rules(&settings), options, progress.clone()).await;
        progress.finish();
        let report = report?;
        output.report(&report, page)?;
        report.findings.iter().for_each(|finding| output.finding(finding));
        Ok(Outcome::with_findings(u64::from(report.has_findings())))
    })
}

pub(super) fn rules(settings: &ClusterSettings) -> RetentionRules {
    let retention = &settings.retention;
    RetentionRules {
        policy: retention.policy.clone(),
        shrink_delay: Span::seconds(retention.shrink_delay.as_secs()),
        grace: Span::seconds(retention.grace.as_secs()),
    }
}

async fn explain(
    repository: &seawall_engine::repository::Repository,
    rules: &RetentionRules,
    id: BackupId,
    output: &Output,
) -> Result<Outcome> {
    let explained = prune::explain(repository, rules, id).await?.ok_or_else(|| {
        Error::data("repository.no-such-backup", format!("there is no backup {id}"))
            .hint("seawall list shows what there is")
    })?;
    output.report(&explained, |explained| {
        let mut page = Page::new();
        explained.lines.iter().for_each(|line| {
            page.line(line.clone());
        });
        page
    })?;
    Ok(Outcome::Done)
}

fn page(report: &PruneReport) -> Page {
    let mut page = Page::new();
    let decisions: Vec<_> = report.backups.iter().map(|one| one.decision.clone()).collect();
    page.append(calendar::page(&decisions, &report.points, &report.policy, report.at));
    page.blank();
    let (kept, gone) = (human::count(report.kept() as u64), human::count(report.let_go() as u64));
    page.line(Text::new(Style::Strong, format!("{kept} backups are kept, {gone} are condemned")));
    if let Some(until) = report.shrinking_until {
        let text =
            format!("the rules were shortened lately: the longer ones count until {}", human::time(until));
        page.line(Text::new(Style::Warn, text));
    }
    for hold in &report.holds {
        page.line(Text::new(Style::Warn, format!("hold {hold} is in force")));
    }
    for why in &report.kept_back {
        page.line(Text::new(Style::Warn, format!("nothing is condemned of system {why}")));
    }
    amounts(&mut page, "not needed by anything kept", &report.condemned);
    condemned(&mut page, report);
    leaving(&mut page, report);
    for region in &report.regions {
        if !region.deleted.is_empty() || region.left > 0 {
            amounts(&mut page, &format!("deleted in region {}", region.region), &region.deleted);
        }
        if region.left > 0 {
            let text = format!("region {} kept {} objects", region.region, human::count(region.left));
            page.line(Text::new(Style::Bad, text));
        }
    }
    if report.dry_run {
        page.line(Text::new(Style::Dim, "nothing was written or deleted"));
    }
    page
}

fn condemned(page: &mut Page, report: &PruneReport) {
    for one in report.backups.iter().filter(|one| !one.decision.is_kept()) {
        let why =
            one.decision.against.iter().map(|against| against.text.clone()).collect::<Vec<_>>().join("; ");
        let since = match one.condemned_since {
            Some(since) => format!(" (waits since {})", human::time(since)),
            None => String::new(),
        };
        let style = if one.condemned_since.is_some() { Style::Warn } else { Style::Plain };
        page.indented(2, Text::new(style, format!("{} leaves{since}: {why}", one.decision.id)));
    }
    for stone in &report.waiting {
        page.indented(
            2,
            format!(
                "tombstone {} in region {}: due {}",
                stone.tombstone,
                stone.region,
                human::time(stone.due)
            ),
        );
    }
    if !report.tombstones.is_empty() {
        let ids = report.tombstones.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        page.line(format!("condemned now, take it back with seawall prune --undo: {ids}"));
    }
}

fn leaving(page: &mut Page, report: &PruneReport) {
    if report.leaving.is_empty() {
        return;
    }
    page.line("leaving within thirty days, if a backup is taken daily:");
    for one in &report.leaving {
        let kept = one.kept_by.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        page.indented(2, format!("{}  {} (until then {kept})", human::time(one.at), one.id));
    }
}

fn amounts(page: &mut Page, what: &str, amounts: &Amounts) {
    if amounts.is_empty() {
        return;
    }
    page.line(format!(
        "{what}: {} manifests, {} packs ({}), {} maps, {} WAL segments ({})",
        human::count(amounts.manifests),
        human::count(amounts.packs.objects),
        human::size(amounts.packs.bytes),
        human::count(amounts.maps.objects),
        human::count(amounts.wal.objects),
        human::size(amounts.wal.bytes),
    ));
}

fn undone_page(report: &Undone) -> Page {
    let mut page = Page::new();
    for id in &report.tombstones {
        page.line(Text::new(Style::Good, format!("tombstone {id} counts no more")));
    }
    for id in &report.partly_carried_out {
        page.line(Text::new(Style::Warn, format!("tombstone {id} was carried out in some region already")));
    }
    page.line("Rules that still condemn the same start a new grace at the next prune: a hold or longer rules keep it.");
    page
}
