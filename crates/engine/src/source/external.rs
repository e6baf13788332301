//! Configuration outside the data directory: finding every file that the server's configuration consists of.
//!
//! Debian keeps it in `/etc/postgresql`, and a data directory restored without it does not start. Followed are the
//! settings that name files, `include`, `include_if_exists` and `include_dir` of all three files, and `@file` lists of
//! `pg_hba.conf`.
//! Promises: what is named and not there is a finding, what cannot be read is an error; a private key is taken only
//! when asked for and listed as left out otherwise. Files inside the data directory are not listed: the walk has them.
//! Deliberately not here: which lines are safe to restore.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use seawall_pg::settings::{ConfLine, IncludeKind, parse_conf_line};

use super::facts::ConfigurationFiles;
use super::files::{EXTERNAL_PREFIX, unreadable};
use crate::error::Error;
use crate::monitor::Finding;

mod words;

/// A configuration file larger than this is not one.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// The server follows includes ten deep (`CONF_FILE_MAX_DEPTH`).
const DEPTH_MAX: u32 = 10;
/// Far more than anyone has; a directory included by mistake must not become the backup.
const FILES_MAX: usize = 10_000;

/// What a file outside the data directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExternalKind {
    /// `postgresql.conf` or what it includes.
    Settings,
    /// `pg_hba.conf` or what it includes.
    HostBasedAuthentication,
    /// `pg_ident.conf` or what it includes.
    UserNameMap,
    /// A list of names that `pg_hba.conf` refers to by `@`.
    NameList,
    /// Certificates and the like: public.
    Certificate,
    /// The server's private key.
    PrivateKey,
    /// What Debian keeps beside `postgresql.conf` about how to start the cluster.
    DebianCluster,
}

/// A file outside the data directory that belongs to the backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalFile {
    /// Its path in the backup: `@external` and its absolute path.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: ExternalKind,
    /// Permission bits (the lowest twelve).
    pub mode: u32,
    /// Length in bytes.
    pub size_bytes: u64,
}

/// All configuration outside the data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// Files of the backup, in bytewise order of paths.
    pub files: Vec<ExternalFile>,
    /// Private keys that are not part of the backup.
    pub left_out: Vec<PathBuf>,
    /// What is named somewhere and not there.
    pub findings: Vec<Finding>,
}

/// Why the configuration could not be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum ExternalError {
    #[error("cannot read the configuration file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration file {} is {bytes} bytes long", path.display())]
    Large { path: PathBuf, bytes: u64 },
    #[error("the server's configuration consists of more than {FILES_MAX} files")]
    Many,
}

/// Finds the configuration of the server that says it has these files. Blocking.
pub fn find_external(files: &ConfigurationFiles, with_private_keys: bool) -> Result<External, ExternalError> {
    let mut search = Search::new(&files.data_directory);
    search.want(&files.config_file, ExternalKind::Settings, 0);
    search.want(&files.hba_file, ExternalKind::HostBasedAuthentication, 0);
    search.want(&files.ident_file, ExternalKind::UserNameMap, 0);
    let public = [&files.ssl_cert_file, &files.ssl_ca_file, &files.ssl_crl_file, &files.ssl_dh_params_file];
    for path in public.into_iter().flatten() {
        search.want(path, ExternalKind::Certificate, 0);
    }
    if let Some(key) = files.ssl_key_file.as_ref().filter(|key| !search.is_inside(key)) {
        if with_private_keys {
            search.want(key, ExternalKind::PrivateKey, 0);
        } else {
            search.found.left_out.push(key.clone());
        }
    }
    for name in ["environment", "pg_ctl.conf", "start.conf"] {
        let beside = files.config_file.with_file_name(name);
        if !search.is_inside(&beside) && beside.is_file() {
            search.want(&beside, ExternalKind::DebianCluster, 0);
        }
    }
    search.run()
}

struct Wanted {
    path: PathBuf,
    kind: ExternalKind,
    depth: u32,
}

struct Search {
    data_directory: PathBuf,
    real_data_directory: PathBuf,
    queue: VecDeque<Wanted>,
    seen: BTreeSet<PathBuf>,
    files: BTreeMap<Vec<u8>, ExternalFile>,
    found: External,
}

impl Search {
    fn new(data_directory: &Path) -> Self {
        let real = data_directory.canonicalize().unwrap_or_else(|_| data_directory.to_owned());
        Self {
            data_directory: data_directory.to_owned(),
            real_data_directory: real,
            queue: VecDeque::new(),
            seen: BTreeSet::new(),
            files: BTreeMap::new(),
            found: External::default(),
        }
    }

    /// Whether the walk of the data directory meets this file. A link in it counts as inside: it is followed there.
    fn is_inside(&self, path: &Path) -> bool {
        path.starts_with(&self.data_directory) || path.starts_with(&self.real_data_directory)
    }

    fn want(&mut self, path: &Path, kind: ExternalKind, depth: u32) {
        let path = without_detours(path);
        if self.seen.insert(path.clone()) {
            self.queue.push_back(Wanted { path, kind, depth });
        }
    }

    fn run(mut self) -> Result<External, ExternalError> {
        while let Some(wanted) = self.queue.pop_front() {
            if self.seen.len() > FILES_MAX {
                return Err(ExternalError::Many);
            }
            self.visit(&wanted)?;
        }
        self.found.files = self.files.into_values().collect();
        Ok(self.found)
    }

    fn visit(&mut self, wanted: &Wanted) -> Result<(), ExternalError> {
        let Wanted { path, kind, depth } = wanted;
        let read_error = |source| ExternalError::Read { path: path.clone(), source };
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.found.findings.push(missing(path));
                return Ok(());
            }
            opened => opened.map_err(read_error)?,
        };
        let metadata = file.metadata().map_err(read_error)?;
        if metadata.len() > FILE_BYTES_MAX {
            return Err(ExternalError::Large { path: path.clone(), bytes: metadata.len() });
        }
        if !self.is_inside(path) {
            let stored = [EXTERNAL_PREFIX, path.as_os_str().as_bytes()].concat();
            let (mode, size_bytes) = (metadata.mode() & 0o7777, metadata.len());
            self.files.insert(stored.clone(), ExternalFile { path: stored, kind: *kind, mode, size_bytes });
        }
        if *depth >= DEPTH_MAX || matches!(kind, ExternalKind::Certificate | ExternalKind::PrivateKey) {
            return Ok(());
        }
        let mut content = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut content).map_err(read_error)?;
        self.follow(&String::from_utf8_lossy(&content), wanted)
    }

    fn follow(&mut self, content: &str, wanted: &Wanted) -> Result<(), ExternalError> {
        for line in content.lines() {
            match wanted.kind {
                // A line that the server would not read either cannot name a file that it uses.
                ExternalKind::Settings => {
                    if let Ok(ConfLine::Include { kind, path }) = parse_conf_line(line) {
                        self.include(kind, &path, wanted)?;
                    }
                }
                ExternalKind::HostBasedAuthentication
                | ExternalKind::UserNameMap
                | ExternalKind::NameList => {
                    self.follow_words(line, wanted)?;
                }
                ExternalKind::Certificate | ExternalKind::PrivateKey | ExternalKind::DebianCluster => {}
            }
        }
        Ok(())
    }

    fn follow_words(&mut self, line: &str, wanted: &Wanted) -> Result<(), ExternalError> {
        let words = words::split(line);
        if let (Some(kind), Some(path)) = (words.first().and_then(|word| word.include_kind()), words.get(1)) {
            return self.include(kind, &path.text, wanted);
        }
        for list in words.iter().filter_map(words::Word::name_list) {
            let path = beside(&wanted.path, list);
            self.want(&path, ExternalKind::NameList, wanted.depth + 1);
        }
        Ok(())
    }

    fn include(&mut self, how: IncludeKind, named: &str, from: &Wanted) -> Result<(), ExternalError> {
        let path = beside(&from.path, named);
        match how {
            IncludeKind::File => self.want(&path, from.kind, from.depth + 1),
            IncludeKind::FileIfExists if path.exists() => self.want(&path, from.kind, from.depth + 1),
            IncludeKind::FileIfExists => {}
            IncludeKind::Directory => {
                if !path.exists() {
                    self.found.findings.push(missing(&path));
                    return Ok(());
                }
                for file in configuration_files_in(&path)? {
                    self.want(&file, from.kind, from.depth + 1);
                }
            }
        }
        Ok(())
    }
}

/// Relative names are relative to the file that has them.
fn beside(file: &Path, named: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("/")).join(named)
}

/// A path with `..` is resolved, so that what a backup lists has no way upwards; others keep the links they go through.
fn without_detours(path: &Path) -> PathBuf {
    let has_detour = path.components().any(|part| part == std::path::Component::ParentDir);
    let resolved = if has_detour { path.canonicalize().ok() } else { None };
    resolved.unwrap_or_else(|| path.components().collect())
}

/// What `include_dir` reads: names that end in `.conf` and do not begin with a dot.
fn configuration_files_in(directory: &Path) -> Result<Vec<PathBuf>, ExternalError> {
    let read_error = |source| ExternalError::Read { path: directory.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(read_error)? {
        let path = entry.map_err(read_error)?.path();
        let name = path.file_name().map(std::ffi::OsStr::as_bytes).unwrap_or_default();
        if name.ends_with(b".conf") && !name.starts_with(b".") && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn missing(path: &Path) -> Finding {
    Finding {
        id: "source.configuration-missing",
        what: format!(
            "the server's configuration names {}, which is not there",
            crate::text::shown_bytes(path.as_os_str().as_bytes())
        ),
        hint: Some(
            "the server will not start again like this; restore the file or remove the line that names it"
                .to_owned(),
        ),
    }
}

impl From<ExternalError> for Error {
    fn from(error: ExternalError) -> Self {
        let what = error.to_string();
        match error {
            ExternalError::Read { path, source } => {
                unreadable("source.configuration-unreadable", what, &path, source)
            }
            ExternalError::Large { .. } | ExternalError::Many => {
                Self::source_side("source.configuration-large", what)
                    .hint("does an include name the wrong file or directory?")
            }
        }
    }
}

#[cfg(test)]
mod tests;
