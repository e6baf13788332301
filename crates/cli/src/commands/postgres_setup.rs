//! PostgreSQL's side of `seawall init`: with an administrator's connection it is done, without one it is said.

use std::path::Path;

use seawall_engine::postgres_setup::{
    ArchivingWanted, Change, RoleWanted, SetupOptions, SetupPlan, SetupReport,
};
use seawall_engine::source::{ConnectOptions, owner_name};
use seawall_engine::words::SystemIdentifier;
use seawall_engine::{Error, Result};

use super::open;
use crate::args::Global;
use crate::args::init::InitArgs;
use crate::args::place::{all_settings, settings_file};
use crate::render::{Page, Span, Style};
use crate::settings::{ClusterSettings, DEFAULT_FILE};
use crate::shell;

/// What is asked for; none without an administrator's connection.
pub fn options(
    args: &InitArgs,
    global: &Global,
    settings: &ClusterSettings,
    system: SystemIdentifier,
) -> Result<Option<SetupOptions>> {
    let Some(administrator) = &args.administrator else { return Ok(None) };
    let own = open::connection(settings)?;
    let administrator =
        ConnectOptions { conninfo: administrator.clone(), credentials: own.credentials.clone() };
    let role = if args.no_role { None } else { Some(role_wanted(&own, settings)?) };
    let archiving = if args.configure_postgres {
        Some(ArchivingWanted { command: archive_command(global, settings)? })
    } else {
        None
    };
    let directory = open::data_directory(settings)?;
    let system_user = owner_name(&directory).unwrap_or_else(|| "postgres".to_owned());
    Ok(Some(SetupOptions { administrator, role, archiving, system, system_user }))
}

fn role_wanted(own: &ConnectOptions, settings: &ClusterSettings) -> Result<RoleWanted> {
    let (role, database) = own.role_and_database()?;
    let name = role.ok_or_else(|| {
        Error::usage(
            "init.no-user",
            "the connection setting names no user, so it is not known which role to make",
        )
        .hint(format!(
            "in [cluster.{}] set connection = \"host=/var/run/postgresql user=seawall dbname=postgres\"",
            settings.name
        ))
        .hint("or leave roles as they are: --no-role")
    })?;
    Ok(RoleWanted { name, database })
}

/// The value of `archive_command` for this program with these settings: whole paths, because the server's working directory,
/// environment and PATH are others.
pub fn archive_command(global: &Global, settings: &ClusterSettings) -> Result<String> {
    let program = std::env::current_exe().map_err(|error| {
        Error::source_side("host.program", "this program's own path cannot be found").because(error)
    })?;
    let file = settings_file(global)?;
    let several = all_settings(global)?.clusters.len() > 1;
    Ok(compose(&program, &file, several.then(|| settings.name.as_str())))
}

fn compose(program: &Path, file: &Path, cluster: Option<&str>) -> String {
    let mut words = vec![program.display().to_string()];
    if file != Path::new(DEFAULT_FILE) {
        words.extend(["--config".to_owned(), file.display().to_string()]);
    }
    words.extend(["wal".to_owned(), "push".to_owned()]);
    if let Some(cluster) = cluster {
        words.extend(["--cluster".to_owned(), cluster.to_owned()]);
    }
    // PostgreSQL replaces %p after a shell's quoting was decided; any other % must be doubled for it.
    format!("{} %p", shell::command(&words).replace('%', "%%"))
}

/// What will be done to the server, or what of it is left.
pub fn plan_page(plan: &SetupPlan) -> Page {
    let mut page = Page::new();
    if !plan.role.is_empty() {
        page.line(format!("in PostgreSQL, database {}:", plan.database));
        plan.role.iter().for_each(|statement| {
            page.indented(2, statement.clone());
        });
    }
    if !plan.settings.is_empty() {
        page.line("PostgreSQL's settings (ALTER SYSTEM):");
    }
    for difference in &plan.settings {
        let when = match (difference.change, difference.needs_restart) {
            (Change::Set, true) => "needs a restart",
            (Change::Set, false) => "takes effect with a reload",
            (Change::InFiles, true) => "set already, waits for a restart",
            (Change::InFiles, false) => "set already, waits for a reload",
        };
        page.spans(2, [Span::new(Style::Bad, format!("- {} = '{}'", difference.name, difference.from))]);
        let to = format!("+ {} = '{}'", difference.name, difference.to);
        page.spans(2, [Span::new(Style::Good, to), Span::new(Style::Dim, format!("   # {when}"))]);
    }
    page
}

/// What was done to the server, and what is left to do by hand.
pub fn report_page(report: &SetupReport) -> Page {
    let plan = &report.plan;
    let mut page = Page::new();
    page.blank();
    if plan.role.is_empty() && plan.settings.is_empty() {
        page.line("PostgreSQL: nothing was missing");
    } else {
        page.line("PostgreSQL: done as follows").append(plan_page(plan));
    }
    if let Some(access) = &plan.access {
        page.line("Into pg_hba.conf, above the other lines that begin with local, then reload:");
        page.indented(2, access.hba.clone());
        if let Some(ident) = &access.ident {
            page.line("Into pg_ident.conf:");
            page.indented(2, ident.clone());
        }
    }
    for name in &report.overridden {
        let text =
            format!("{name} is not in force: the server's command line or a role's setting outweighs it");
        page.line(Span::new(Style::Warn, text));
    }
    if plan.needs_restart() {
        page.line(Span::new(Style::Warn, "PostgreSQL has to be restarted before it archives."));
    }
    page
}

/// What to do by hand where no administrator's connection was given.
pub fn by_hand() -> Page {
    let mut page = Page::new();
    page.blank();
    page.line("PostgreSQL's side, as its superuser; it shows what it will do and asks first:");
    page.indented(2, "seawall init --administrator 'user=postgres' --configure-postgres");
    page.line("Then: seawall check");
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_whole_paths_and_survives_shell_and_server() {
        let default = compose(Path::new("/usr/bin/seawall"), Path::new(DEFAULT_FILE), None);
        assert_eq!(default, "/usr/bin/seawall wal push %p");
        let odd = compose(Path::new("/opt/a b/seawall"), Path::new("/etc/50%.toml"), Some("orders"));
        assert_eq!(odd, "'/opt/a b/seawall' --config /etc/50%%.toml wal push --cluster orders %p");
    }
}
