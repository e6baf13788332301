//! Which crate may use which: the arrows of `docs/ARCHITECTURE.md`, read from the manifests.
//!
//! What a manifest does not name cannot be called, so `pg` and `repo` stay free of I/O, clocks and async by this alone.

use crate::source::{Complaint, Source};

/// Our crates and what of ours each may use in the product.
const ARROWS: [(&str, &[&str]); 8] = [
    ("cli", &["seawall-service", "seawall-engine"]),
    ("service", &["seawall-engine"]),
    ("engine", &["seawall-pg", "seawall-repo", "seawall-store"]),
    ("repo", &["seawall-pg"]),
    ("store", &[]),
    ("pg", &[]),
    ("gcsim", &[]),
    ("testkit", &["seawall-engine", "seawall-pg", "seawall-repo", "seawall-store"]),
];

/// What bytes-in-values-out crates must not know: runtimes, networks, stores, files, clocks, randomness.
const IMPURE: [&str; 16] = [
    "tokio",
    "tokio-postgres",
    "postgres",
    "futures",
    "async-trait",
    "object_store",
    "reqwest",
    "hyper",
    "rustix",
    "libc",
    "tempfile",
    "jiff",
    "chrono",
    "time",
    "rand",
    "getrandom",
];

pub(crate) fn arrows(manifest: &Source) -> Vec<Complaint> {
    let name = crate_name(manifest);
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        return vec![manifest.complaint(
            1,
            format!("{name} is not in the picture: add it to ARROWS and docs/ARCHITECTURE.md"),
        )];
    };
    let mut complaints = Vec::new();
    for (line, used) in product_dependencies(manifest) {
        if used.starts_with("seawall-") && !allowed.contains(&used) {
            complaints.push(manifest.complaint(line, format!("there is no arrow from {name} to {used}")));
        }
        if ["pg", "repo"].contains(&name) && IMPURE.contains(&used) {
            complaints.push(manifest.complaint(line, format!("{name} is pure: it must not know {used}")));
        }
    }
    complaints
}

pub(crate) fn has_workspace_lints(manifest: &Source) -> Vec<Complaint> {
    let found = manifest.text.lines().skip_while(|line| line.trim() != "[lints]").nth(1);
    if found.map(str::trim) == Some("workspace = true") {
        return Vec::new();
    }
    vec![manifest.complaint(1, "has no `[lints]` with `workspace = true`")]
}

fn crate_name(manifest: &Source) -> &str {
    manifest.path.split('/').nth(1).unwrap_or_default()
}

/// Names under `[dependencies]` and the like; `[dev-dependencies]` do not reach the product.
fn product_dependencies(manifest: &Source) -> Vec<(usize, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for (index, line) in manifest.text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            if let Some((_, name)) = section.split_once("dependencies.").filter(|_| !section.contains("dev-"))
            {
                found.push((index + 1, name));
            }
        } else if section.ends_with("dependencies") && !section.contains("dev-") && !line.starts_with('#') {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                found.push((index + 1, name));
            }
        }
    }
    found
}

#[test]
fn a_wrong_arrow_and_an_impure_dependency_are_red() {
    let manifest = |name: &str, text: &str| Source::new(&format!("crates/{name}/Cargo.toml"), text);
    let found =
        arrows(&manifest("store", "[dependencies]\nbytes.workspace = true\nseawall-pg.workspace = true\n"));
    assert_eq!((found.len(), found[0].line), (1, 3));
    assert_eq!(
        arrows(&manifest("repo", "[dependencies]\nseawall-pg.workspace = true\ntokio = \"1\"\n")).len(),
        1
    );
    assert_eq!(arrows(&manifest("pg", "[dependencies.rustix]\nversion = \"1\"\n")).len(), 1);
    assert_eq!(arrows(&manifest("pg", "[target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n")).len(), 1);
    assert_eq!(arrows(&manifest("engine", "[dependencies]\nseawall-testkit.workspace = true\n")).len(), 1);
    assert_eq!(arrows(&manifest("novel", "")).len(), 1);
    let fine = "[dependencies]\nseawall-pg.workspace = true\n[dev-dependencies]\nseawall-testkit.workspace = true\ntempfile = \"3\"\n";
    assert!(arrows(&manifest("repo", fine)).is_empty());
}

#[test]
fn a_crate_without_the_lints_is_red() {
    assert_eq!(has_workspace_lints(&Source::new("crates/pg/Cargo.toml", "[package]\n")).len(), 1);
    assert!(
        has_workspace_lints(&Source::new("crates/pg/Cargo.toml", "[lints]\nworkspace = true\n")).is_empty()
    );
}
