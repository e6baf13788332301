//! From layers to the typed settings of each cluster, with what only shows when values are seen together: a rule no
//! region can meet, one place under two names, one directory for two clusters.
//!
//! A setting that does nothing where it stands is a problem, because somebody believes that it does something.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use seawall_engine::repository::{Access, Levels, RegionSettings};
use seawall_engine::words::{ClusterName, Recipient, RepositoryId};
use seawall_engine::{Error, Result};

use super::layers::{Entry, Layers, Origin, Problem, Value};
use super::schema::{self, KEYS, Kind};
use super::{
    Ack, Backup, ClusterSettings, Connection, Encryption, Objectives, Repository, Settings, Shown, quantity,
    secrets,
};

/// The settings of every cluster, or all that is wrong with them.
pub fn settings(files: Vec<PathBuf>, layers: Layers) -> Result<Settings> {
    let Layers { all, clusters: scopes, mut problems } = layers;
    if scopes.is_empty() && problems.is_empty() {
        problems.push(Problem {
            id: "settings.no-cluster",
            what: "no cluster is set up".into(),
            hint: Some("add a section [cluster.NAME] with data_directory".into()),
            line: 0,
        });
    }
    let mut clusters = BTreeMap::new();
    for (name, own) in scopes {
        let mut picker = Picker { cluster: &name, all: &all, own: &own, problems: &mut problems };
        let settings = picker.cluster();
        clusters.insert(name, settings);
    }
    check_directories(&clusters, &mut problems);
    match refused(problems) {
        Some(error) => Err(error),
        None => Ok(Settings { files, clusters }),
    }
}

/// A cluster's settings where `--from` stands in for a file: defaults, and these regions.
pub fn bare(name: &ClusterName, urls: &[String]) -> Result<ClusterSettings> {
    let regions = urls.iter().enumerate();
    let regions = regions.map(|(at, url)| RegionSettings::new(format!("from-{}", at + 1), url)).collect();
    let origin = Origin { file: "--from".into(), line: 1 };
    let all = BTreeMap::from([("repository.region", (Value::Regions(regions), origin))]);
    let mut problems = Vec::new();
    let own = BTreeMap::new();
    let settings = Picker { cluster: name, all: &all, own: &own, problems: &mut problems }.cluster();
    match refused(problems) {
        Some(error) => Err(error),
        None => Ok(settings),
    }
}

fn refused(mut problems: Vec<Problem>) -> Option<Error> {
    problems.dedup();
    let count = problems.len();
    let mut problems = problems.into_iter();
    let first = problems.next()?;
    let (id, what) = match count {
        1 => (first.id, first.what.clone()),
        _ => ("settings.problems", format!("{count} things are wrong with the settings")),
    };
    let mut error = Error::usage(id, what);
    if count > 1 {
        for problem in std::iter::once(first).chain(problems) {
            error = error.fact(
                problem.id,
                format!("{}{}", problem.what, problem.hint.map(|h| format!(" ({h})")).unwrap_or_default()),
            );
        }
    } else if let Some(hint) = first.hint {
        error = error.hint(hint);
    }
    Some(error)
}

/// Two clusters in one directory would archive each other's WAL.
fn check_directories(clusters: &BTreeMap<ClusterName, ClusterSettings>, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<&Path, &ClusterName> = BTreeMap::new();
    for (name, cluster) in clusters {
        let Some(directory) = &cluster.data_directory else { continue };
        if let Some(other) = seen.insert(directory, name) {
            problems.push(Problem {
                id: "settings.shared-directory",
                what: format!(
                    "clusters {other} and {name} have the same data_directory {}",
                    directory.display()
                ),
                hint: Some("one data directory is one cluster".into()),
                line: 0,
            });
        }
    }
}

pub(super) struct Picker<'a> {
    cluster: &'a ClusterName,
    all: &'a BTreeMap<&'static str, Entry>,
    own: &'a BTreeMap<&'static str, Entry>,
    problems: &'a mut Vec<Problem>,
}

impl Picker<'_> {
    fn cluster(&mut self) -> ClusterSettings {
        ClusterSettings {
            name: self.cluster.clone(),
            data_directory: self.path("data_directory"),
            connection: Connection(self.text("connection").unwrap_or_default()),
            repository: self.repository(),
            backup: self.backup(),
            retention: self.retention(),
            wait_for_region: self.duration("wal.fetch.wait_for_region").unwrap_or_default(),
            objectives: Objectives { rpo: self.duration("objectives.rpo") },
            shown: self.shown(),
        }
    }

    fn repository(&mut self) -> Repository {
        let regions = self.regions();
        let encryption = self.text("repository.encryption");
        Repository {
            id: self.parsed("repository.id", |text| text.parse::<RepositoryId>().ok()),
            owner: self.parsed("repository.owner", |text| text.parse().ok()),
            encryption: if encryption.as_deref() == Some("none") {
                Encryption::None
            } else {
                Encryption::Aes256Gcm
            },
            ack: self.ack(regions.len()),
            levels: self.levels(),
            recipients: self.recipients(),
            key_files: self.path("repository.identity_file").into_iter().collect::<Vec<_>>().into(),
            writer_key_file: self.path("repository.writer_key_file").unwrap_or_default(),
            prune_key_file: self.path("repository.prune_key_file"),
            residency: self.places(),
            regions,
        }
    }

    fn backup(&mut self) -> Backup {
        Backup {
            fast_checkpoint: self.flag("backup.fast_checkpoint"),
            checkpoint_deadline: self.duration("backup.checkpoint_deadline").unwrap_or_default(),
            bandwidth: self.parsed("backup.bandwidth", quantity::rate),
            read_bandwidth: self.parsed("backup.read_bandwidth", quantity::rate),
            workers: self.integer("backup.workers").and_then(|workers| usize::try_from(workers).ok()),
            nice: self.integer("backup.nice").and_then(|nice| i32::try_from(nice).ok()).unwrap_or_default(),
            include_private_keys: self.flag("backup.include_private_keys"),
        }
    }

    fn shown(&self) -> Vec<Shown> {
        let masked = |key: &schema::Key, value: &Value| match (key.path, value) {
            ("connection", Value::Text(text)) => Value::Text(secrets::masked_connection(text)),
            (_, Value::Regions(regions)) => {
                let masked = |region: &RegionSettings| {
                    let shown = |url: &Option<String>| url.as_deref().map(secrets::masked_url);
                    let (proxy, endpoint) = (shown(&region.access.proxy), shown(&region.access.endpoint));
                    RegionSettings {
                        url: secrets::masked_url(&region.url),
                        access: Access { proxy, endpoint, ..region.access.clone() },
                        ..region.clone()
                    }
                };
                Value::Regions(regions.iter().map(masked).collect())
            }
            _ => value.clone(),
        };
        KEYS.iter()
            .map(|key| {
                let set = self.entry(key.path);
                let value = set.map(|(value, _)| masked(key, value)).or_else(|| self.default(key));
                Shown { path: key.path, value, origin: set.map(|(_, origin)| origin.clone()) }
            })
            .collect()
    }

    fn entry(&self, path: &str) -> Option<&Entry> {
        self.own.get(path).or_else(|| self.all.get(path))
    }

    fn default(&self, key: &schema::Key) -> Option<Value> {
        let text = key.default?;
        Some(match key.kind {
            Kind::Bool => Value::Bool(text == "true"),
            Kind::Integer(..) => Value::Integer(text.parse().ok()?),
            _ => Value::Text(text.replace("{cluster}", self.cluster.as_str())),
        })
    }

    fn value(&self, path: &str) -> Option<Value> {
        let set = self.entry(path).map(|(value, _)| value.clone());
        set.or_else(|| schema::find(path).and_then(|key| self.default(key)))
    }

    pub(super) fn problem(&mut self, id: &'static str, path: &str, what: &str, hint: Option<String>) {
        let origin = self.entry(path).map(|(_, origin)| origin.clone());
        let line = origin.as_ref().map_or(0, |origin| origin.line);
        let place = origin.map_or_else(|| format!("cluster {}", self.cluster), |origin| origin.to_string());
        self.problems.push(Problem { id, what: format!("{place}: {what}"), hint, line });
    }

    pub(super) fn text(&mut self, path: &str) -> Option<String> {
        self.parsed(path, |text| Some(text.to_owned()))
    }

    pub(super) fn duration(&mut self, path: &str) -> Option<Duration> {
        self.parsed(path, quantity::duration)
    }

    /// The value of a text, read by `read`, and by the words its key allows.
    fn parsed<T>(&mut self, path: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Some(Value::Text(text)) = self.value(path) else { return None };
        let kind = schema::find(path).map_or(Kind::Text, |key| key.kind);
        let allowed = !matches!(kind, Kind::OneOf(words) if !words.contains(&text.as_str()));
        let value = if allowed { read(&text) } else { None };
        if value.is_none() {
            self.problem("settings.value", path, &format!("{path} wants {}", kind.wanted()), None);
        }
        value
    }

    fn path(&mut self, path: &str) -> Option<PathBuf> {
        let name = self.cluster.to_string();
        self.parsed(path, |text| {
            let found = PathBuf::from(text.replace("{cluster}", &name));
            found.is_absolute().then_some(found)
        })
    }

    fn flag(&self, path: &str) -> bool {
        self.value(path) == Some(Value::Bool(true))
    }

    pub(super) fn integer(&mut self, path: &str) -> Option<i64> {
        let Some(Value::Integer(number)) = self.value(path) else { return None };
        let kind = schema::find(path).map_or(Kind::Text, |key| key.kind);
        if matches!(kind, Kind::Integer(from, to) if !(from..=to).contains(&number)) {
            self.problem("settings.value", path, &format!("{path} wants {}", kind.wanted()), None);
            return None;
        }
        Some(number)
    }

    fn levels(&mut self) -> Levels {
        let Levels { backup, wal } = Levels::DEFAULT;
        Levels {
            backup: self.parsed("repository.compression", compression).unwrap_or(backup),
            wal: self.parsed("repository.wal_compression", compression).unwrap_or(wal),
        }
    }

    fn ack(&mut self, regions: usize) -> Ack {
        const PATH: &str = "repository.ack";
        const DEGRADE: &str = "repository.ack_degrade";
        let degrade = self.duration(DEGRADE).unwrap_or_default();
        match self.value(PATH) {
            Some(Value::Integer(number)) => match usize::try_from(number).ok().and_then(NonZeroUsize::new) {
                Some(number) if number.get() <= regions => {
                    if self.entry(DEGRADE).is_some() {
                        let what = format!("{DEGRADE} does nothing beside {PATH} = {number}");
                        let hint = "a number is never relaxed: leave it out, or set ack = \"all\"";
                        self.problem("settings.no-effect", DEGRADE, &what, Some(hint.into()));
                    }
                    return Ack::AtLeast(number);
                }
                Some(number) => {
                    let what = format!("{PATH} wants {number} regions, and there are {regions}");
                    self.problem("settings.ack", PATH, &what, Some("add regions, or ack = \"all\"".into()));
                }
                None => self.problem(
                    "settings.value",
                    PATH,
                    &format!("{PATH} wants {}", Kind::Ack.wanted()),
                    None,
                ),
            },
            Some(Value::Text(text)) if text == "all" => {}
            _ => self.problem("settings.value", PATH, &format!("{PATH} wants {}", Kind::Ack.wanted()), None),
        }
        Ack::All { degrade }
    }

    fn places(&mut self) -> Vec<String> {
        const PATH: &str = "repository.residency";
        let Some(Value::Texts(places)) = self.value(PATH) else { return Vec::new() };
        if places.is_empty() || places.iter().any(|place| place.trim().is_empty()) {
            let hint = "leave the setting out where data may be anywhere";
            self.problem(
                "settings.value",
                PATH,
                "the list of places is empty, or one of them is",
                Some(hint.into()),
            );
        }
        places
    }

    fn recipients(&mut self) -> Vec<Recipient> {
        const PATH: &str = "repository.recipients";
        let Some(Value::Texts(texts)) = self.value(PATH) else { return Vec::new() };
        let mut recipients = Vec::with_capacity(texts.len());
        for text in texts {
            if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                let hint = "a recipient begins with age1; replace the identity, it has been read by others";
                self.problem(
                    "settings.secret",
                    PATH,
                    "an age identity stands among the recipients",
                    Some(hint.into()),
                );
                continue;
            }
            match text.parse() {
                Ok(recipient) => recipients.push(recipient),
                Err(_) => {
                    let hint = "`seawall key generate` prints it; it begins with age1";
                    self.problem(
                        "settings.value",
                        PATH,
                        &format!("{text} is no age recipient"),
                        Some(hint.into()),
                    );
                }
            }
        }
        recipients
    }

    fn regions(&mut self) -> Vec<RegionSettings> {
        const PATH: &str = "repository.region";
        let Some(Value::Regions(listed)) = self.value(PATH) else {
            let hint = "add [[repository.region]] with name and url, one for each region";
            self.problem("settings.no-region", PATH, "the repository has no region", Some(hint.into()));
            return Vec::new();
        };
        let mut regions: Vec<RegionSettings> = Vec::with_capacity(listed.len());
        for region in listed {
            if let Some((what, hint)) = region_problem(&region, &regions) {
                self.problem("settings.region", PATH, &what, Some(hint.into()));
            }
            regions.push(region);
        }
        regions
    }
}

fn region_problem(region: &RegionSettings, before: &[RegionSettings]) -> Option<(String, &'static str)> {
    let RegionSettings { name, url, access } = region;
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && c != '/';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Some((
            format!("{name:?} is no name for a region"),
            "1 to 64 characters without spaces and slashes",
        ));
    }
    if before.iter().any(|region| region.name == *name) {
        return Some((format!("two regions are called {name}"), "give each its own name"));
    }
    let is_here = |other: &&RegionSettings| access.is_same_place(url, &other.access, &other.url);
    if let Some(other) = before.iter().find(is_here) {
        return Some((
            format!("regions {} and {name} are the same place", other.name),
            "a region is a copy of its own",
        ));
    }
    let files = [("credentials_file", &access.credentials_file), ("ca_file", &access.ca_file)];
    if let Some((what, _)) =
        files.iter().find(|(_, path)| path.as_ref().is_some_and(|path| path.is_relative()))
    {
        return Some((format!("region {name}: {what} is no absolute path"), "write the whole path"));
    }
    let urls = [("proxy", &access.proxy), ("endpoint", &access.endpoint)];
    let carries_secret = |url: &String| secrets::masked_url(url) != *url;
    if let Some((what, _)) = urls.iter().find(|(_, url)| url.as_ref().is_some_and(carries_secret)) {
        let hint = "take it out; a proxy that wants a password is given by HTTPS_PROXY";
        return Some((format!("region {name}: its {what} carries a secret"), hint));
    }
    let path = url.strip_prefix("file://")?;
    (!path.starts_with('/')).then(|| {
        (format!("region {name}: {url} has no absolute path"), "three slashes: file:///absolute/path")
    })
}

fn compression(text: &str) -> Option<i32> {
    let level = text.strip_prefix("zstd:")?.parse().ok()?;
    (1..=19).contains(&level).then_some(level)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
