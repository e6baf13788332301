//! House rules that a machine can check: `cargo test -p seawall-testkit --test tidy`.
//!
//! Each rule is a function from a source file to complaints, is run over the whole tree, and has a test that shows it red on a
//! bad sample. A rule that stands in the way of better code is changed here, with its reason, not worked around.
//! Deliberately not here: what clippy and rustfmt check.

mod calls;
mod layering;
mod sizes;
mod source;
mod text;

use source::{Complaint, Source};

fn assert_clean(complaints: &[Complaint]) {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} places to tidy:\n{}", lines.len(), lines.join("\n"));
}

/// Runs one rule over every file of the tree that it is about.
fn sweep(wanted: fn(&Source) -> bool, rule: fn(&Source) -> Vec<Complaint>) {
    let tree = source::tree();
    let looked_at: Vec<&Source> = tree.iter().filter(|file| wanted(file)).collect();
    assert!(!looked_at.is_empty(), "this rule looks at nothing");
    assert_clean(&looked_at.into_iter().flat_map(rule).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is() {
    sweep(Source::is_rust, text::has_header);
}

#[test]
fn no_file_grows_beyond_its_size() {
    let tree = source::tree();
    let ratchet = sizes::Ratchet::parse(include_str!("ratchet.txt"));
    assert_clean(&ratchet.complaints(&tree));
}

#[test]
fn crates_depend_only_along_the_arrows() {
    sweep(Source::is_crate_manifest, layering::arrows);
}

#[test]
fn every_crate_has_the_workspace_lints() {
    sweep(Source::is_crate_manifest, layering::has_workspace_lints);
}

#[test]
fn files_are_written_only_where_that_is_durable() {
    sweep(Source::is_product, calls::writes_files);
}

#[test]
fn clock_and_randomness_are_read_only_in_the_world() {
    sweep(Source::is_product, calls::reads_world);
}

#[test]
fn versions_are_compared_only_in_their_table() {
    sweep(Source::is_product, calls::compares_versions);
}

#[test]
fn nothing_is_left_for_later() {
    sweep(|file| file.is_rust() || file.is_script(), text::leaves_nothing_for_later);
}

#[test]
fn characters_are_ascii_or_declared() {
    sweep(|_| true, text::has_declared_characters);
}

#[test]
fn no_path_of_somebody_s_machine() {
    sweep(|_| true, text::names_no_machine);
}

#[test]
fn every_exception_has_a_reason_worth_reading() {
    sweep(Source::is_rust, text::gives_reasons);
}

#[test]
fn scripts_stop_at_the_first_error() {
    sweep(Source::is_script, text::script_stops_at_errors);
}
