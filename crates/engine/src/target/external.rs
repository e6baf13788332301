//! Configuration files from outside the data directory (Debian's layout): where each goes on this host.
//!
//! Promises: pure; a file that is there and differs is never overwritten. Where the cluster comes back to its own place, its files
//! go back to theirs. Anywhere else (a clone, or a path that is taken) they go into the data directory, where the server looks
//! by itself, and the settings that name the old places are put out of force, so that no server starts on another's data.
//! Deliberately writes nothing and does not change what files say about anything else.

use std::path::{Path, PathBuf};

use crate::restore::conf_text::{COMMENTED_OUT, comment_out};

/// A configuration file of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalFile {
    /// Its absolute path on the source.
    pub path: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// What stands on this host at a file's own path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    /// Nothing.
    Nothing,
    /// The same content.
    Same,
    /// Something else.
    Other,
}

/// Which files the server was told to use, and where it kept its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePaths {
    /// `data_directory`.
    pub data_directory: PathBuf,
    /// `config_file`.
    pub config_file: PathBuf,
    /// `hba_file`.
    pub hba_file: PathBuf,
    /// `ident_file`.
    pub ident_file: PathBuf,
}

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalWrite {
    /// Where: absolute, or relative to the data directory.
    pub to: PathBuf,
    /// What.
    pub content: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// What becomes of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalPlan {
    /// Files to be written; absolute paths were free.
    pub writes: Vec<ExternalWrite>,
    /// Settings for `postgresql.auto.conf`.
    pub host_settings: Vec<(String, String)>,
    /// What a person has to know, in sentences.
    pub remarks: Vec<String>,
}

/// Settings that tie a configuration to one place; out of force in a copy.
const PLACE_SETTINGS: [&str; 5] =
    ["data_directory", "config_file", "hba_file", "ident_file", "external_pid_file"];

/// Decides for all files together: a configuration split over two places would be none.
pub fn plan(
    files: &[ExternalFile],
    source: &SourcePaths,
    data_directory: &Path,
    there: impl Fn(&ExternalFile) -> There,
) -> ExternalPlan {
    if files.is_empty() {
        return ExternalPlan::default();
    }
    let answers: Vec<There> = files.iter().map(&there).collect();
    let is_home = source.data_directory == data_directory;
    if is_home && !answers.contains(&There::Other) {
        return put_back(files, &answers);
    }
    let mut plan = into_data_directory(files, source, data_directory);
    plan.remarks.push(if is_home {
        let taken = files.iter().zip(&answers).filter(|(_, answer)| **answer == There::Other);
        let names: Vec<String> = taken.map(|(file, _)| file.path.display().to_string()).collect();
        format!(
            "{} differ from the backup's and were left alone; the backup's configuration is in {}",
            names.join(", "),
            data_directory.display()
        )
    } else {
        format!(
            "the configuration lay outside the data directory, in {}; the copy is in {}",
            source.config_file.parent().unwrap_or(Path::new("/")).display(),
            data_directory.display()
        )
    });
    plan
}

fn put_back(files: &[ExternalFile], answers: &[There]) -> ExternalPlan {
    let missing = files.iter().zip(answers).filter(|(_, answer)| **answer == There::Nothing);
    let writes = missing.map(|(file, _)| ExternalWrite {
        to: file.path.clone(),
        content: file.content.clone(),
        mode: file.mode,
    });
    ExternalPlan { writes: writes.collect(), ..ExternalPlan::default() }
}

fn into_data_directory(files: &[ExternalFile], source: &SourcePaths, data_directory: &Path) -> ExternalPlan {
    let home = source.config_file.parent().unwrap_or(Path::new("/"));
    let mut plan = ExternalPlan::default();
    for file in files {
        let to = inside(file, source, home);
        let is_settings =
            file.path == source.config_file || file.path.extension().is_some_and(|end| end == "conf");
        let is_access = file.path == source.hba_file || file.path == source.ident_file;
        let content = if is_settings && !is_access {
            without_places(&file.content, home, &mut plan.remarks, &file.path)
        } else {
            file.content.clone()
        };
        plan.writes.push(ExternalWrite { to, content, mode: file.mode & 0o640 });
    }
    for (setting, path) in [("hba_file", &source.hba_file), ("ident_file", &source.ident_file)] {
        if let Some(file) = files.iter().find(|file| file.path == *path) {
            let at = data_directory.join(inside(file, source, home));
            plan.host_settings.push((setting.to_owned(), at.display().to_string()));
        }
    }
    plan
}

/// Where a file goes in the data directory: the three main ones under the names a server looks for, others as they lay
/// beside `postgresql.conf`, so that relative includes still lead to them.
fn inside(file: &ExternalFile, source: &SourcePaths, home: &Path) -> PathBuf {
    let main = [
        (&source.config_file, "postgresql.conf"),
        (&source.hba_file, "pg_hba.conf"),
        (&source.ident_file, "pg_ident.conf"),
    ];
    if let Some((_, name)) = main.iter().find(|(path, _)| **path == file.path) {
        return PathBuf::from(name);
    }
    match file.path.strip_prefix(home) {
        Ok(beside) => beside.to_owned(),
        Err(_) => Path::new("restored_configuration").join(file.path.strip_prefix("/").unwrap_or(&file.path)),
    }
}

fn without_places(content: &[u8], home: &Path, remarks: &mut Vec<String>, path: &Path) -> Vec<u8> {
    let changed = comment_out(content, |name| PLACE_SETTINGS.contains(&name));
    if changed != content {
        remarks.push(format!(
            "in the copy of {} the settings that name its old places are comments now",
            path.display()
        ));
    }
    absolute_includes(&changed, home, remarks, path)
}

/// An include by absolute path would read the old place's file: made relative where the copy has it, else put out of force.
fn absolute_includes(content: &[u8], home: &Path, remarks: &mut Vec<String>, path: &Path) -> Vec<u8> {
    use seawall_pg::settings::{ConfLine, IncludeKind, parse_conf_line, quote_conf};
    let mut out = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let parsed = parse_conf_line(&String::from_utf8_lossy(line));
        let Ok(ConfLine::Include { kind, path: included }) = parsed else {
            out.extend_from_slice(line);
            continue;
        };
        let included = PathBuf::from(included);
        if included.is_relative() {
            out.extend_from_slice(line);
            continue;
        }
        out.extend_from_slice(COMMENTED_OUT.as_bytes());
        out.extend_from_slice(line);
        let word = match kind {
            IncludeKind::File => "include",
            IncludeKind::FileIfExists => "include_if_exists",
            IncludeKind::Directory => "include_dir",
        };
        let beside = included.strip_prefix(home).ok().and_then(|beside| quote_conf(beside.to_str()?).ok());
        match beside {
            Some(quoted) => out.extend(format!("{word} {quoted}\n").into_bytes()),
            None => remarks.push(format!(
                "{} includes {}, which is not beside it: put out of force in the copy",
                path.display(),
                included.display()
            )),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "/etc/postgresql/17/main";

    fn files() -> Vec<ExternalFile> {
        let file = |name: &str, content: &str| ExternalFile {
            path: Path::new(HOME).join(name),
            content: content.as_bytes().to_vec(),
            mode: 0o644,
        };
        vec![
            file(
                "postgresql.conf",
                "data_directory = '/var/lib/x'\nport = 5432\ninclude_dir 'conf.d'\ninclude '/etc/postgresql/17/main/conf.d/a.conf'\ninclude '/opt/b.conf'\n",
            ),
            file("pg_hba.conf", "local all all peer\n"),
            file("conf.d/a.conf", "work_mem = 3MB\n"),
        ]
    }

    fn source() -> SourcePaths {
        SourcePaths {
            data_directory: "/var/lib/x".into(),
            config_file: Path::new(HOME).join("postgresql.conf"),
            hba_file: Path::new(HOME).join("pg_hba.conf"),
            ident_file: Path::new(HOME).join("pg_ident.conf"),
        }
    }

    #[test]
    fn at_home_missing_files_go_back_and_equal_ones_stay() {
        let there =
            |file: &ExternalFile| if file.path.ends_with("a.conf") { There::Same } else { There::Nothing };
        let plan = plan(&files(), &source(), Path::new("/var/lib/x"), there);
        let to: Vec<_> = plan.writes.iter().map(|write| write.to.display().to_string()).collect();
        assert_eq!(to, ["/etc/postgresql/17/main/postgresql.conf", "/etc/postgresql/17/main/pg_hba.conf"]);
        assert_eq!((plan.host_settings, plan.remarks), (vec![], vec![]));
    }

    #[test]
    fn a_file_that_differs_is_never_overwritten() {
        let there = |file: &ExternalFile| {
            if file.path.ends_with("pg_hba.conf") { There::Other } else { There::Nothing }
        };
        let plan = plan(&files(), &source(), Path::new("/var/lib/x"), there);
        assert!(plan.writes.iter().all(|write| write.to.is_relative()), "{plan:?}");
        assert!(plan.remarks.iter().any(|remark| remark.contains("pg_hba.conf differ")), "{plan:?}");
    }

    #[test]
    fn a_clone_gets_its_configuration_inside_and_does_not_point_at_the_original() {
        let plan = plan(&files(), &source(), Path::new("/srv/new"), |_| There::Same);
        let to: Vec<_> = plan.writes.iter().map(|write| write.to.display().to_string()).collect();
        assert_eq!(to, ["postgresql.conf", "pg_hba.conf", "conf.d/a.conf"]);
        let text = String::from_utf8(plan.writes[0].content.clone()).unwrap();
        assert_eq!(
            text,
            "# before the restore: data_directory = '/var/lib/x'\nport = 5432\ninclude_dir 'conf.d'\n\
             # before the restore: include '/etc/postgresql/17/main/conf.d/a.conf'\ninclude 'conf.d/a.conf'\n\
             # before the restore: include '/opt/b.conf'\n"
        );
        assert_eq!(plan.host_settings, [("hba_file".to_owned(), "/srv/new/pg_hba.conf".to_owned())]);
    }
}
