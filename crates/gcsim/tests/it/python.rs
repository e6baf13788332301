//! Google's own Python client, pinned in `tools/pins/google-client-requirements.txt`, against the simulator.

use std::path::Path;
use std::process::Command;

use crate::support::simulator;

#[test]
fn googles_own_client_is_answered_as_it_expects() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../../.cache/google-client/python");
    assert!(python.is_file(), "no {}: run `make setup-test`", python.display());
    let simulator = simulator();
    let mut command = Command::new(python);
    command.arg(here.join("tests/google_client.py")).arg(simulator.url());
    // No credentials and no proxy of whoever runs this.
    command.env_remove("GOOGLE_APPLICATION_CREDENTIALS").env("NO_PROXY", "127.0.0.1");
    let output = command.output().unwrap();
    let [said, wrong] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}{wrong}");
    assert!(said.starts_with("all answered as the client expects"), "{said}");
}
