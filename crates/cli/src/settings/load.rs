//! Finds and reads the settings files: the named one, then `conf.d/*.toml` beside it in name order.
//!
//! Promises: a relative path is taken from the working directory once and is absolute from then on; a file that others
//! can change, or that holds a password and others can read, is refused.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use seawall_engine::{Error, Result};

use super::layers::{Layers, Value};
use super::{DEFAULT_FILE, FILE_VARIABLE, Settings, resolve, secrets};

/// A settings file is written by hand; anything larger is something else.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Which settings file is meant: the argument, else the environment, else the default.
pub fn file(argument: Option<&Path>, variable: Option<&OsStr>) -> Result<PathBuf> {
    if let Some(path) = argument {
        return std::path::absolute(path).map_err(|source| {
            Error::usage("settings.unreadable", format!("cannot make {} an absolute path", path.display()))
                .because(source)
        });
    }
    let Some(variable) = variable.filter(|variable| !variable.is_empty()) else {
        return Ok(PathBuf::from(DEFAULT_FILE));
    };
    let path = PathBuf::from(variable);
    if path.is_absolute() {
        return Ok(path);
    }
    Err(Error::usage(
        "settings.relative-variable",
        format!("{FILE_VARIABLE} is not an absolute path: {}", path.display()),
    )
    .fact("why refused", "archive commands run in the data directory, where it would name another file")
    .hint(format!("export {FILE_VARIABLE}={DEFAULT_FILE}")))
}

/// Reads everything that belongs to this settings file, and checks it.
pub fn settings(file: &Path) -> Result<Settings> {
    let mut layers = Layers::default();
    let mut files = vec![file.to_owned()];
    layers.add(file, &read(file)?);
    for path in drop_ins(file)? {
        layers.add(&path, &read(&path)?);
        files.push(path);
    }
    for path in &files {
        secrets::refuse_open_settings(path, holds_password(&layers, path))?;
    }
    resolve::settings(files, layers)
}

fn holds_password(layers: &Layers, file: &Path) -> bool {
    let scopes = std::iter::once(&layers.all).chain(layers.clusters.values());
    scopes.filter_map(|scope| scope.get("connection")).any(|(value, origin)| {
        origin.file == file && matches!(value, Value::Text(text) if secrets::has_password(text))
    })
}

fn read(path: &Path) -> Result<String> {
    let metadata = std::fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(Error::usage(
            "settings.unreadable",
            format!("{} is no settings file: larger than 1 MiB", path.display()),
        ));
    }
    std::fs::read_to_string(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    let kind = source.kind();
    let error =
        Error::usage("settings.unreadable", format!("cannot read the settings file {}", path.display()))
            .because(source);
    match kind {
        std::io::ErrorKind::NotFound => error
            .hint(format!("name another one with --config FILE or {FILE_VARIABLE}"))
            .hint("without any settings file: --from URL --cluster NAME --identity FILE"),
        std::io::ErrorKind::PermissionDenied => {
            error.hint("run as the user that owns the data directory (often postgres), or as root")
        }
        _ => error,
    }
}

/// `conf.d/*.toml` beside the settings file, in name order; hidden files are not meant.
fn drop_ins(file: &Path) -> Result<Vec<PathBuf>> {
    let folder = file.with_file_name("conf.d");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(unreadable(&folder, source)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| unreadable(&folder, source))?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const BASE: &str = "[cluster.orders]\ndata_directory = \"/pg\"\n[[repository.region]]\nname = \"a\"\nurl = \"file:///a\"\n";

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("conf.d")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn argument_beats_environment_beats_default() {
        let variable = OsStr::new("/env.toml");
        assert_eq!(file(Some(Path::new("/arg.toml")), Some(variable)).unwrap(), Path::new("/arg.toml"));
        assert_eq!(file(None, Some(variable)).unwrap(), Path::new("/env.toml"));
        assert_eq!(file(None, Some(OsStr::new(""))).unwrap(), Path::new(DEFAULT_FILE));
        assert_eq!(file(None, None).unwrap(), Path::new(DEFAULT_FILE));
    }

    #[test]
    fn a_relative_argument_becomes_absolute_and_a_relative_variable_is_refused() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(file(Some(Path::new("x.toml")), None).unwrap(), here.join("x.toml"));
        assert_eq!(file(None, Some(OsStr::new("x.toml"))).unwrap_err().id(), "settings.relative-variable");
    }

    #[test]
    fn drop_ins_come_in_name_order_and_the_last_wins() {
        let set = |ack: &str| format!("[repository]\nack = {ack}\n");
        let folder = folder_with(&[
            ("seawall.toml", BASE),
            ("conf.d/20-b.toml", &set("1")),
            ("conf.d/10-a.toml", &set("\"all\"")),
            ("conf.d/.30-hidden.toml", &set("7")),
            ("conf.d/30-note.txt", "not settings"),
        ]);
        let settings = settings(&folder.path().join("seawall.toml")).unwrap();
        assert_eq!(settings.files.len(), 3);
        let orders = settings.clusters.values().next().unwrap();
        let ack = orders.shown.iter().find(|shown| shown.path == "repository.ack").unwrap();
        assert!(ack.origin.as_ref().unwrap().to_string().ends_with("conf.d/20-b.toml:2"));
    }

    #[test]
    fn a_password_that_others_can_read_is_refused_and_not_shown() {
        let text = format!("{BASE}[defaults]\nconnection = \"host=x password=hunter2\"\n");
        let folder = folder_with(&[("seawall.toml", &text)]);
        let path = folder.path().join("seawall.toml");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = settings(&path).unwrap_err();
        assert_eq!(error.id(), "settings.secret-readable-by-others");
        assert!(!crate::render::error::page(&error, 2).to_text().contains("hunter2"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(settings(&path).is_ok());
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let error = settings(Path::new("/nowhere/seawall.toml")).unwrap_err();
        assert_eq!(error.id(), "settings.unreadable");
        assert_eq!(error.hints().len(), 2);
    }
}
