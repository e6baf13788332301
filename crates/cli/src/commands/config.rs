//! `seawall config`: what is set, where, and whether it can be used.

use std::path::PathBuf;

use seawall_engine::{Error, Result};
use serde::Serialize;

use crate::args::Global;
use crate::args::config::{CheckFileArgs, ConfigCommand, ShowArgs};
use crate::args::place::all_settings;
use crate::exit::Outcome;
use crate::render::{Align, Output, Page, Span, Style, Table, human};
use crate::settings::layers::Value;
use crate::settings::{Settings, Shown, load};

/// Shows or checks.
pub fn run(command: &ConfigCommand, global: &Global, output: &Output) -> Result<Outcome> {
    match command {
        ConfigCommand::Show(args) => show(args, global, output),
        ConfigCommand::Check(args) => check(args, global, output),
    }
}

/// `config show` as JSON.
#[derive(Debug, Serialize)]
struct ShowReport {
    files: Vec<PathBuf>,
    clusters: Vec<ClusterReport>,
}

#[derive(Debug, Serialize)]
struct ClusterReport {
    name: String,
    settings: Vec<SettingReport>,
}

#[derive(Debug, Serialize)]
struct SettingReport {
    key: &'static str,
    value: Option<serde_json::Value>,
    /// `default`, or file and line.
    origin: Option<String>,
}

fn show(args: &ShowArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = all_settings(global)?;
    if let Some(name) = args.cluster.cluster.as_ref().filter(|name| !settings.clusters.contains_key(*name)) {
        return Err(Error::usage("settings.unknown-cluster", format!("the settings have no cluster {name}")));
    }
    let wanted = |name| args.cluster.cluster.as_ref().is_none_or(|wanted| wanted == name);
    let clusters = settings.clusters.iter().filter(|(name, _)| wanted(*name));
    let clusters = clusters
        .map(|(name, cluster)| ClusterReport {
            name: name.to_string(),
            settings: cluster.shown.iter().map(setting).collect(),
        })
        .collect();
    let report = ShowReport { files: settings.files, clusters };
    output.report(&report, |report| show_page(report, args.origin))?;
    Ok(Outcome::Done)
}

fn setting(shown: &Shown) -> SettingReport {
    let default = shown.value.as_ref().map(|_| "default".to_owned());
    SettingReport {
        key: shown.path,
        value: shown.value.as_ref().map(json_value),
        origin: shown.origin.as_ref().map(ToString::to_string).or(default),
    }
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => serde_json::json!(text),
        Value::Integer(number) => serde_json::json!(number),
        Value::Bool(flag) => serde_json::json!(flag),
        Value::Texts(texts) => serde_json::json!(texts),
        Value::Regions(regions) => serde_json::json!(regions),
    }
}

fn show_page(report: &ShowReport, origin: bool) -> Page {
    let mut page = Page::new();
    for cluster in &report.clusters {
        page.spans(0, [Span::new(Style::Strong, format!("[cluster.{}]", cluster.name))]);
        let mut headings = vec![(Align::Left, "setting"), (Align::Left, "value")];
        if origin {
            headings.push((Align::Left, "from"));
        }
        let mut table = Table::new(&headings);
        for setting in &cluster.settings {
            let value = match &setting.value {
                Some(value) => Span::plain(value.to_string()),
                None => Span::new(Style::Dim, "unset"),
            };
            let from = setting.origin.clone().unwrap_or_default();
            let from = origin.then(|| Span::new(Style::Dim, from));
            table.row([Span::from(setting.key), value].into_iter().chain(from));
        }
        page.table(0, table);
    }
    page
}

/// `config check` as JSON. What is wrong is an error and not a report.
#[derive(Debug, Serialize)]
struct CheckReport {
    files: Vec<PathBuf>,
    clusters: Vec<String>,
}

fn check(args: &CheckFileArgs, global: &Global, output: &Output) -> Result<Outcome> {
    let settings = match &args.file {
        Some(file) => load::settings(&load::file(Some(file), None)?)?,
        None => all_settings(global)?,
    };
    let Settings { files, clusters } = settings;
    let report = CheckReport { files, clusters: clusters.keys().map(ToString::to_string).collect() };
    output.report(&report, |report| {
        let mut page = Page::new();
        let clusters = human::counted(report.clusters.len() as u64, "cluster", "clusters");
        let files = human::counted(report.files.len() as u64, "file", "files");
        page.spans(0, [Span::new(Style::Good, "ok:"), format!(" {clusters} in {files}").into()]);
        page.facts(2, report.files.iter().map(|file| ("file", file.display().to_string())));
        page.facts(2, report.clusters.iter().map(|name| ("cluster", name.clone())));
        page
    })?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_beside_their_origin() {
        let settings = vec![
            SettingReport {
                key: "repository.ack",
                value: Some("all".into()),
                origin: Some("default".into()),
            },
            SettingReport { key: "backup.nice", value: Some(5.into()), origin: Some("/s.toml:3".into()) },
            SettingReport { key: "backup.workers", value: None, origin: None },
        ];
        let report =
            ShowReport { files: vec![], clusters: vec![ClusterReport { name: "orders".into(), settings }] };
        let wanted = "\
[cluster.orders]
setting         value  from
repository.ack  \"all\"  default
backup.nice     5      /s.toml:3
backup.workers  unset
";
        assert_eq!(show_page(&report, true).to_text(), wanted);
    }
}
