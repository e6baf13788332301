//! `seawall key`: who can read, who may write.

use seawall_engine::Result;
use seawall_engine::init::{self, IdentityReport};
use seawall_engine::keys_admin::{
    self, HostUpdateMade, KeysOf, KeysReport, KeysRotated, NewWriter, PassphraseAdded, RecipientAdded, Right,
    RotateOptions, UpdateAccepted, WriterAdded, WriterRevoked, WriterShown,
};
use seawall_engine::repository::load_passphrase;
use seawall_engine::words::World;

use super::{open, passphrase};
use crate::args::Global;
use crate::args::key::{GenerateArgs, KeyCommand, RightChoice, ShowKeysArgs};
use crate::args::place::PlaceArgs;
use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Style, Table, human};

/// Runs the command.
pub fn run(command: &KeyCommand, global: &Global, output: &Output) -> Result<Outcome> {
    let world = World::system();
    match command {
        KeyCommand::Generate(args) => return generate(args, output),
        KeyCommand::Show(args) => return show(args, global, output, &world),
        KeyCommand::AddRecipient(args) => {
            let of = of(&args.place, global)?;
            let work = keys_admin::add_recipient(&of, &args.recipient, &world);
            output.report(&open::runtime()?.block_on(work)?, recipient_page)?;
        }
        KeyCommand::AddPassphrase(args) => {
            let of = of(&args.place, global)?;
            let words = match &args.new_passphrase_file {
                Some(file) => load_passphrase(file)?,
                None => passphrase::ask_twice()?,
            };
            let work = keys_admin::add_passphrase(&of, &words, &world);
            output.report(&open::runtime()?.block_on(work)?, passphrase_page)?;
        }
        KeyCommand::Rotate(args) => {
            let of = of(&args.place, global)?;
            let options = RotateOptions { without: args.without.clone(), one_key: args.one_key };
            let work = keys_admin::rotate(&of, &options, &world);
            output.report(&open::runtime()?.block_on(work)?, rotated_page)?;
        }
        KeyCommand::HostUpdate(args) => {
            let of = of(&args.place, global)?;
            let work = keys_admin::host_update(&of, &args.output, &world);
            output.report(&open::runtime()?.block_on(work)?, update_page)?;
        }
        KeyCommand::Accept(args) => {
            let settings = args.cluster.resolve(global)?;
            let (pinned, file) = (open::pinned(&settings), &settings.repository.writer_key_file);
            let work = keys_admin::accept(&pinned, &settings.name, file, &args.update, &world);
            output.report(&open::runtime()?.block_on(work)?, accepted_page)?;
        }
        KeyCommand::AddWriter(args) => {
            let of = of(&args.place, global)?;
            let rights = match args.right {
                RightChoice::Write => [Right::Write],
                RightChoice::Prune => [Right::Prune],
            };
            let new = NewWriter { label: &args.label, rights: &rights, output: &args.output };
            let work = keys_admin::add_writer(&of, &new, &world);
            output.report(&open::runtime()?.block_on(work)?, writer_page)?;
        }
        KeyCommand::RevokeWriter(args) => {
            let of = of(&args.place, global)?;
            let work = keys_admin::revoke_writer(&of, args.writer, &args.reason, &world);
            output.report(&open::runtime()?.block_on(work)?, revoked_page)?;
        }
    }
    Ok(Outcome::Done)
}

fn of(place: &PlaceArgs, global: &Global) -> Result<KeysOf> {
    let settings = place.resolve(global)?;
    Ok(KeysOf {
        settings: open::pinned(&settings),
        cluster: settings.name.clone(),
        identities: settings.repository.key_files,
    })
}

fn generate(args: &GenerateArgs, output: &Output) -> Result<Outcome> {
    let report = init::make_identity(&args.output, args.owner, &World::system())?;
    output.report(&report, identity_page)?;
    Ok(Outcome::Done)
}

fn show(args: &ShowKeysArgs, global: &Global, output: &Output, world: &World) -> Result<Outcome> {
    let of = of(&args.place, global)?;
    let report = open::runtime()?.block_on(keys_admin::show(&of, world))?;
    output.report(&report, keys_page)?;
    for finding in &report.findings {
        output.finding(finding);
    }
    Ok(Outcome::with_findings(report.findings.len() as u64))
}

fn keys_page(report: &KeysReport) -> Page {
    let mut page = Page::new();
    page.facts(
        0,
        [
            ("cluster", report.cluster.to_string()),
            ("repository", report.repository.to_string()),
            ("owner", report.owner.to_string()),
            ("encryption", report.cipher.as_str().to_owned()),
        ],
    );
    page.blank();
    if let Some(key) = &report.owner_key {
        page.line(format!("owner's key, kept for{}:", key.opens.map(opens_word).unwrap_or_default()));
        for recipient in &key.recipients {
            page.indented(2, recipient.to_string());
        }
    } else {
        page.line("owner's key: not kept in the repository; its file was made elsewhere");
    }
    for generation in &report.generations {
        let opens = generation.opens.map(opens_word).unwrap_or_default();
        page.line(format!(
            "keys {}, change {}, can be read by{opens}:",
            generation.generation, generation.change
        ));
        for recipient in &generation.recipients {
            page.indented(2, recipient.to_string());
        }
        if generation.passphrases > 0 {
            page.indented(2, format!("passphrases: {}", generation.passphrases));
        }
    }
    page.blank();
    page.table(0, writers(&report.writers));
    page
}

fn opens_word(opens: bool) -> &'static str {
    if opens { " (this identity opens it)" } else { " (this identity does NOT open it)" }
}

fn writers(all: &[WriterShown]) -> Table {
    let mut table = Table::new(&[
        (Align::Left, "writer"),
        (Align::Left, "label"),
        (Align::Left, "may"),
        (Align::Left, "since"),
        (Align::Left, ""),
    ]);
    for writer in all {
        let rights = writer.rights.iter().map(|right| right.as_str()).collect::<Vec<_>>().join(", ");
        let end = writer
            .revoked
            .as_ref()
            .map(|end| Span::new(Style::Warn, format!("revoked {}: {}", human::time(end.since), end.reason)));
        table.row([
            Span::plain(writer.writer.to_string()),
            Span::plain(writer.label.clone()),
            Span::plain(rights),
            Span::plain(human::time(writer.created)),
            end.unwrap_or_else(|| Span::plain("")),
        ]);
    }
    table
}

fn good(text: String) -> Page {
    let mut page = Page::new();
    page.spans(0, [Span::new(Style::Good, "ok: "), Span::plain(text)]);
    page
}

fn recipient_page(report: &RecipientAdded) -> Page {
    let text = if report.made.is_empty() {
        format!("{} could read everything already", report.recipient)
    } else {
        format!("{} can read everything, past and future", report.recipient)
    };
    let mut page = good(text);
    page.facts(2, report.recipients.iter().map(|one| ("can read", one.to_string())));
    if !report.owner_key {
        page.line(
            "The owner's key is not kept in the repository: who is to change keys needs its file as well.",
        );
    }
    page
}

fn passphrase_page(report: &PassphraseAdded) -> Page {
    let mut page = good(match report.made.is_empty() {
        true => "the passphrase could open everything already".to_owned(),
        false => "whoever knows the passphrase can read everything, past and future".to_owned(),
    });
    page.facts(2, report.recipients.iter().map(|one| ("can read", one.to_string())));
    page.indented(2, format!("passphrases: {}", report.passphrases));
    page.line("Use it with --passphrase-file FILE. Each opening takes a second and 256 MiB, in a recovery for each WAL file.");
    page
}

fn rotated_page(report: &KeysRotated) -> Page {
    let mut page = good(match report.completed {
        true => {
            format!("keys {} are in every region now; an earlier run had not come so far", report.generation)
        }
        false => format!("keys {} are made", report.generation),
    });
    page.facts(2, report.recipients.iter().map(|one| ("can read", one.to_string())));
    page.indented(2, format!("passphrases: {}", report.passphrases));
    if report.passphrases_left_behind > 0 {
        let left = report.passphrases_left_behind;
        page.line(format!(
            "{left} passphrases open the older keys only: add them again with seawall key add-passphrase."
        ));
    }
    for one in &report.still_open_owner_key {
        page.line(format!(
            "{one} can open the owner's key, which is kept in the repository, and could name itself again."
        ));
    }
    if report.completed {
        page.line("No new generation was made: run it again for one.");
    }
    page.line("Next: seawall key host-update --output update.keys, and on each host that writes: seawall key accept update.keys");
    page
}

fn update_page(report: &HostUpdateMade) -> Page {
    let mut page = good(format!(
        "{} has what hosts need of {} generations",
        report.file.display(),
        report.generations.len()
    ));
    page.line("Carry it to each host that writes and run there, as the key file's user: seawall key accept FILE. Then delete it.");
    page
}

fn accepted_page(report: &UpdateAccepted) -> Page {
    let mut page = good(match report.added.is_empty() {
        true => format!("this host had these keys already; it seals with keys {}", report.generation),
        false => format!("this host seals with keys {} from now on", report.generation),
    });
    if !report.added.is_empty() {
        page.line("The next backup is a full one. Delete the update here.");
    }
    page
}

fn writer_page(report: &WriterAdded) -> Page {
    let prunes = report.rights.contains(&Right::Prune);
    let (may, setting) = if prunes { ("prune", "prune_key_file") } else { ("write", "writer_key_file") };
    let mut page = good(format!("writer {} ({}) may {may}", report.writer, report.label));
    page.line(format!(
        "Carry {} to its host, to the path of repository.{setting} there, and delete it here.",
        report.key_file.display()
    ));
    page
}

fn revoked_page(report: &WriterRevoked) -> Page {
    let mut page = good(format!(
        "nothing that writer {} ({}) stored from {} on counts",
        report.writer,
        report.label,
        human::time(report.since)
    ));
    page.line("What it stored before stays good. Its host had the meta key: it could see names, sizes and which pages changed.");
    page
}

fn identity_page(report: &IdentityReport) -> Page {
    let file = report.file.display();
    let mut page = good(format!("{file} can read what is made for it"));
    let owner = report.owner.map(|owner| ("owner", owner.to_string()));
    page.facts(2, std::iter::once(("recipient", report.recipient.to_string())).chain(owner));
    page.line(
        "Keep the file away from database hosts, in two places at least: without it nothing can be read.",
    );
    page.line(format!(
        "Next, on the database host: seawall init --recipient {} --recipient age1…",
        report.recipient
    ));
    page
}
