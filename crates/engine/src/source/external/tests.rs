//! Made-up configurations; Debian's layout of a real server is read in `tests/real_source_files.rs`.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Layout {
    place: tempfile::TempDir,
    files: ConfigurationFiles,
}

impl Layout {
    fn new(contents: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        for directory in ["data", "etc/conf.d"] {
            std::fs::create_dir_all(place.path().join(directory)).unwrap();
        }
        for (name, content) in [("etc/hba", ""), ("etc/ident", "")].iter().chain(contents) {
            std::fs::write(place.path().join(name), content).unwrap();
        }
        let at = |name: &str| place.path().join(name);
        let files = ConfigurationFiles {
            data_directory: at("data"),
            config_file: at("etc/main.conf"),
            hba_file: at("etc/hba"),
            ident_file: at("etc/ident"),
            ssl_cert_file: None,
            ssl_ca_file: None,
            ssl_crl_file: None,
            ssl_dh_params_file: None,
            ssl_key_file: None,
        };
        Self { place, files }
    }

    fn found(&self, with_private_keys: bool) -> (Vec<String>, External) {
        let found = find_external(&self.files, with_private_keys).unwrap();
        let prefix = format!("@external{}/", self.place.path().display());
        let name = |file: &ExternalFile| {
            String::from_utf8_lossy(&file.path).strip_prefix(&prefix).unwrap().to_owned()
        };
        (found.files.iter().map(name).collect(), found)
    }
}

#[test]
fn everything_that_is_included_is_found_once() {
    let layout = Layout::new(&[
        (
            "etc/main.conf",
            "include 'a.conf'\ninclude_if_exists = 'nowhere.conf'\nINCLUDE_DIR 'conf.d'\nport = 1 # include 'x'\n",
        ),
        ("etc/a.conf", "include '../data/inside.conf'\ninclude 'a.conf'"),
        ("data/inside.conf", "include '../etc/from_inside.conf'"),
        ("etc/from_inside.conf", ""),
        ("etc/conf.d/1.conf", ""),
        ("etc/conf.d/.hidden.conf", ""),
        ("etc/conf.d/readme", ""),
        ("etc/hba", "local @dbs all peer\ninclude hba2\n"),
        ("etc/dbs", "one @more"),
        ("etc/more", "two"),
        ("etc/hba2", ""),
        ("etc/start.conf", "auto"),
    ]);
    let (names, found) = layout.found(false);
    let expected = [
        "etc/a.conf",
        "etc/conf.d/1.conf",
        "etc/dbs",
        "etc/from_inside.conf",
        "etc/hba",
        "etc/hba2",
        "etc/ident",
        "etc/main.conf",
        "etc/more",
        "etc/start.conf",
    ];
    assert_eq!(names, expected);
    assert_eq!(found.findings, []);
}

#[test]
fn what_is_named_and_not_there_is_a_finding() {
    let layout = Layout::new(&[("etc/main.conf", "include_dir 'gone.d'\ninclude 'gone.conf'")]);
    let (_, found) = layout.found(false);
    assert_eq!(found.findings.len(), 2);
    assert!(found.findings[1].what.contains("gone.conf, which is not there"));
}

#[test]
fn a_private_key_is_taken_only_when_asked_for() {
    let mut layout = Layout::new(&[("etc/main.conf", ""), ("etc/key", "secret"), ("etc/cert", "public")]);
    layout.files.ssl_key_file = Some(layout.place.path().join("etc/key"));
    layout.files.ssl_cert_file = Some(layout.place.path().join("etc/cert"));
    let (names, found) = layout.found(false);
    assert!(!names.contains(&"etc/key".to_owned()) && names.contains(&"etc/cert".to_owned()));
    assert_eq!(found.left_out, [layout.place.path().join("etc/key")]);
    let (names, found) = layout.found(true);
    assert!(names.contains(&"etc/key".to_owned()));
    assert_eq!(found.left_out, Vec::<PathBuf>::new());
}

#[test]
fn a_key_inside_the_data_directory_is_not_said_to_be_left_out() {
    let mut layout = Layout::new(&[("etc/main.conf", ""), ("data/server.key", "secret")]);
    layout.files.ssl_key_file = Some(layout.place.path().join("data/server.key"));
    assert_eq!(layout.found(false).1.left_out, Vec::<PathBuf>::new());
}

#[test]
fn mode_and_size_are_recorded() {
    let layout = Layout::new(&[("etc/main.conf", "port = 1\n")]);
    let place = layout.place.path().join("etc/main.conf");
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (_, found) = layout.found(false);
    let main = found.files.iter().find(|file| file.path.ends_with(b"main.conf")).unwrap();
    assert_eq!((main.kind, main.mode, main.size_bytes), (ExternalKind::Settings, 0o640, 9));
}
