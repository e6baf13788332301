//! The reference pages follow from the declarations: `docs/CLI.md` from the arguments, `docs/SETTINGS.md` from the table
//! of settings. `SEAWALL_REGENERATE=1 cargo test -p seawall --test suite reference::` writes them anew.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a test's way of failing")]

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::CommandFactory as _;
use seawall_cli::args::Cli;
use seawall_cli::settings::schema::{KEYS, REGION_FIELDS};

#[test]
fn the_command_reference_is_up_to_date() {
    let mut page = String::from(
        "# Commands\n\nMade from the declarations in `crates/cli/src/args`; a test keeps it so. The same text: `seawall help COMMAND`.\n",
    );
    let mut root = Cli::command().term_width(100);
    root.build();
    describe(&mut root, &mut page);
    compare("CLI.md", &page);
}

#[test]
fn the_settings_reference_is_up_to_date() {
    let mut page = String::from(SETTINGS_HEAD);
    for key in KEYS {
        let default = key.default.map_or_else(|| "none".to_owned(), |default| format!("`{default}`"));
        let (path, wanted) = (key.path, key.kind.wanted());
        write!(page, "\n### `{path}`\n\n{}\n\nValue: {wanted}. Default: {default}.\n", key.help).unwrap();
        if path == "repository.region" {
            page.push_str("\n| field | meaning |\n|---|---|\n");
            for (name, help) in REGION_FIELDS {
                writeln!(page, "| `{name}` | {help} |").unwrap();
            }
        }
    }
    compare("SETTINGS.md", &page);
}

const SETTINGS_HEAD: &str = "\
# Settings

Made from the table in `crates/cli/src/settings/schema.rs`; a test keeps it so.

The file is `--config FILE`, else `$SEAWALL_CONFIG`, else `/etc/seawall/seawall.toml`; never one in the working directory, which is the
data directory for archive commands. Files `conf.d/*.toml` beside it are read after it in name order; the later one wins, key by key.

```toml
[cluster.orders]                                  # a name that stays; it stands in every object's name
data_directory = \"/var/lib/postgresql/17/main\"
connection = \"host=/var/run/postgresql user=seawall dbname=postgres\"

[repository]                                      # for every cluster; [defaults.repository] is the same place
owner = \"ed25519:…\"
recipients = [\"age1…\", \"age1…\"]

[[repository.region]]
name = \"north\"
url = \"file:///mnt/north/pg\"

[cluster.orders.backup]                           # for this cluster only
nice = 15
```

Precedence, lowest first: default, `[defaults]` and sections at the top, `[cluster.NAME]`. A list is one value: a cluster that names regions has
those and no others. `{cluster}` in a path stands for the cluster's name. `seawall config show --origin` says where each value comes from.

Unknown keys, values of the wrong kind and settings that do nothing where they stand are errors. A file that everybody can change is refused, and so is one that
everybody can read while a password stands in it.
";

fn describe(command: &mut clap::Command, page: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    write!(page, "\n## {name}\n\n```text\n{}\n```\n", help.trim_end()).unwrap();
    for inner in command.get_subcommands_mut().filter(|inner| inner.get_name() != "help") {
        describe(inner, page);
    }
}

#[test]
fn every_command_that_prints_a_document_has_its_section() {
    fn leaves(command: &clap::Command, name: &str, found: &mut Vec<String>) {
        let inner = || command.get_subcommands().filter(|inner| inner.get_name() != "help");
        inner().for_each(|inner| leaves(inner, &format!("{name} {}", inner.get_name()), found));
        if inner().next().is_none() {
            found.push(name.to_owned());
        }
    }
    // These answer PostgreSQL with their exit code, or print what is no report.
    let without = ["seawall wal push", "seawall wal fetch", "seawall completions", "seawall man"];
    let mut wanted = Vec::new();
    leaves(&Cli::command(), "seawall", &mut wanted);
    wanted.retain(|name| !without.contains(&name.as_str()));
    wanted.sort_unstable();
    let page = crate::support::documented::Page::parse(crate::support::documented::PAGE);
    // An option that prints another document has a section of its own besides.
    let of_command = |title: &&str| title.starts_with("seawall ") && !title.contains(" --");
    let sections: Vec<&str> = page.titles().filter(of_command).collect();
    assert_eq!(sections, wanted);
    assert_eq!(page.broken_links(), Vec::<&str>::new());
}

#[test]
fn a_key_that_docs_json_does_not_name_is_found_wherever_it_stands() {
    let check = |text: &str, command: &str| {
        crate::support::documented::check(command.split(' '), &serde_json::from_str(text).unwrap())
    };
    let list = "seawall -c /backup list --json";
    check(r#"{"backups": [{"backup": "x", "regions": ["one"], "uses": []}], "findings": []}"#, list).unwrap();
    check(r#"{"server": {"settings": {"any_name": "1"}}}"#, "seawall show latest").unwrap();
    let cases = [
        (r#"{"clutser": "x"}"#, list, "`clutser`"),
        (r#"{"backups": [{"way": "full"}, {"wya": "full"}]}"#, list, "`wya`"),
        (r#"{"findings": [{"id": "x", "whta": "y"}]}"#, list, "`whta`"),
        (r#"{"requests": [{"region": "one", "put": {"calls": 1, "cals": 2}}]}"#, "seawall backup", "`cals`"),
        // Known elsewhere is not known here.
        (r#"{"regions": [{"name": "one"}]}"#, "seawall status", "`name`"),
        (r#"{"any_name": "1"}"#, "seawall show latest", "`any_name`"),
    ];
    for (text, command, key) in cases {
        let why = check(text, command).unwrap_err();
        assert!(why.contains(key), "{text}: {why}");
    }
}

fn compare(name: &str, page: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("SEAWALL_REGENERATE").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/{name} is not what the declarations say; write it anew with\n  SEAWALL_REGENERATE=1 cargo test -p seawall --test suite reference::"
    );
}
