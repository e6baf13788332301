//! What settings files may and may not say.

use super::*;

fn layers(files: &[(&str, &str)]) -> Layers {
    let mut layers = Layers::default();
    for (name, text) in files {
        layers.add(Path::new(name), text);
    }
    layers
}

fn only_problem(text: &str) -> Problem {
    let layers = layers(&[("s.toml", text)]);
    assert_eq!(layers.problems.len(), 1, "{:?}", layers.problems);
    layers.problems.into_iter().next().unwrap()
}

#[test]
fn every_value_knows_its_file_and_line() {
    let layers =
        layers(&[("a.toml", "[cluster.orders]\nconnection = \"host=/run\"\n\n[repository]\nack = 2\n")]);
    assert_eq!(layers.problems, []);
    let orders = layers.clusters.values().next().unwrap();
    assert_eq!(orders.get("connection").unwrap().1.to_string(), "a.toml:2");
    assert_eq!(
        layers.all.get("repository.ack").unwrap(),
        &(Value::Integer(2), Origin { file: "a.toml".into(), line: 5 })
    );
}

#[test]
fn later_files_win_key_by_key() {
    let first = "[repository]\nack = 1\ncompression = \"zstd:3\"\n";
    let layers = layers(&[("a", first), ("b", "[defaults.repository]\nack = \"all\"\n")]);
    assert_eq!(layers.problems, []);
    assert_eq!(layers.all.get("repository.ack").unwrap().0, Value::Text("all".into()));
    assert_eq!(layers.all.get("repository.compression").unwrap().1.file, Path::new("a"));
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    let problem = only_problem("[repository]\ncompresion = \"zstd:3\"\n");
    assert_eq!(problem.what, "s.toml:2: unknown setting repository.compresion");
    assert_eq!(problem.hint.as_deref(), Some("did you mean repository.compression?"));
    let problem = only_problem("[retentoin]\ndaily = 3\n");
    assert_eq!(problem.id, "settings.unknown-key");
    let problem = only_problem("[repositry]\nack = 3\n");
    assert_eq!(problem.hint.as_deref(), Some("did you mean [repository]?"));
    let problem = only_problem("[[repository.region]]\nname = \"a\"\nurl = \"file:///x\"\nlabel = \"y\"\n");
    assert_eq!(problem.what, "s.toml:4: unknown setting repository.region.label");
}

#[test]
fn every_problem_is_found_and_not_only_the_first() {
    let text = "[objectives]\nrpo = 24\n[cluster.Bad]\n[cluster.ok]\nnothing = 1\nconnection = 5\n";
    let ids: Vec<_> = layers(&[("s", text)]).problems.into_iter().map(|problem| problem.id).collect();
    assert_eq!(ids, ["settings.kind", "settings.cluster-name", "settings.unknown-key", "settings.kind"]);
}

#[test]
fn one_key_in_two_places_of_a_file_is_an_error() {
    let problem = only_problem("[repository]\nack = 1\n[defaults.repository]\nack = 2\n");
    assert_eq!(problem.id, "settings.twice");
    assert!(problem.what.contains("repository.ack") && problem.what.contains("line 4"), "{}", problem.what);
    assert!(problem.what.contains("line 2") || problem.what.contains(":2:"), "{}", problem.what);
}

#[test]
fn a_key_outside_its_section_is_told_where_it_belongs() {
    assert_eq!(only_problem("data_directory = \"/x\"\n").id, "settings.misplaced");
    assert_eq!(only_problem("[defaults]\ndata_directory = \"/x\"\n").id, "settings.misplaced");
    assert_eq!(only_problem("connection = \"host=x\"\n").id, "settings.misplaced");
}

#[test]
fn a_syntax_error_names_the_line_and_does_not_quote_the_file() {
    let problem = only_problem("[cluster.x]\nconnection = \"password=hunter2\n");
    assert!(problem.what.starts_with("s.toml:2: "), "{}", problem.what);
    assert!(!problem.what.contains("hunter2"));
}
