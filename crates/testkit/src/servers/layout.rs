//! Where a new server's files go, and putting them there.
//!
//! Promise: in Debian's layout PGDATA holds no `postgresql.conf`, `pg_hba.conf` or `pg_ident.conf`, as on Debian.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Files;
use super::builder::{Layout, ServerBuilder};
use crate::identity::{make_directory, write_file};
use crate::{Context, Result, Scratch};

/// Decides the places and makes the directories that must be there before `initdb`.
pub(super) fn place(builder: &ServerBuilder, scratch: &Scratch, major: u16) -> Result<Files> {
    let (data_directory, config_directory) = match builder.layout {
        Layout::Plain => (scratch.path().join("data"), scratch.path().join("data")),
        Layout::Debian => (
            scratch.directory(&format!("var/lib/postgresql/{major}"))?.join("main"),
            scratch.directory(&format!("etc/postgresql/{major}/main"))?,
        ),
    };
    let tablespaces = builder
        .tablespaces
        .iter()
        .enumerate()
        .map(|(number, name)| Ok((name.clone(), scratch.directory(&format!("tablespace{number}"))?)))
        .collect::<Result<Vec<(String, PathBuf)>>>()?;
    Ok(Files {
        config_file: config_directory.join("postgresql.conf"),
        data_directory,
        config_directory,
        wal_directory: if builder.wal_elsewhere { Some(scratch.path().join("wal")) } else { None },
        tablespaces,
    })
}

/// Turns what `initdb` made into the wanted layout and writes the settings.
pub(super) fn arrange(builder: &ServerBuilder, files: &Files) -> Result<()> {
    if let Some(wal_directory) = &files.wal_directory {
        let link = files.data_directory.join("pg_wal");
        std::fs::rename(&link, wal_directory).context(|| "moving pg_wal")?;
        std::os::unix::fs::symlink(wal_directory, &link)?;
        crate::identity::give_to_server_user(&link)?;
    }
    let settings = settings_text(builder);
    match builder.layout {
        Layout::Plain => append(&files.config_file, &settings),
        Layout::Debian => arrange_debian(files, &settings),
    }
}

fn arrange_debian(files: &Files, settings: &str) -> Result<()> {
    for name in ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"] {
        std::fs::rename(files.data_directory.join(name), files.config_directory.join(name))
            .context(|| format!("moving {name}"))?;
    }
    let mut head = String::from("\n");
    let (config, data) = (&files.config_directory, &files.data_directory);
    // Writing to a String cannot fail.
    let _ok = writeln!(head, "data_directory = '{}'", data.display());
    let _ok = writeln!(head, "hba_file = '{}'", config.join("pg_hba.conf").display());
    let _ok = writeln!(head, "ident_file = '{}'", config.join("pg_ident.conf").display());
    head.push_str("include_dir = 'conf.d'\n");
    append(&files.config_file, &head)?;
    write_file(&config.join("start.conf"), "manual\n", 0o644)?;
    write_file(&config.join("environment"), "# variables of the postmaster\n", 0o644)?;
    make_directory(&config.join("conf.d"))?;
    write_file(&config.join("conf.d/test.conf"), settings, 0o644)
}

fn settings_text(builder: &ServerBuilder) -> String {
    builder.settings.iter().fold(String::from("\n"), |mut text, (name, value)| {
        let _ok = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
        text
    })
}

fn append(file: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut opened = std::fs::OpenOptions::new()
        .append(true)
        .open(file)
        .context(|| format!("opening {}", file.display()))?;
    opened.write_all(text.as_bytes()).context(|| format!("writing {}", file.display()))
}
