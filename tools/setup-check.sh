#!/usr/bin/env bash
# Installs what `make check` needs beyond a Rust toolchain: cargo-deny, built once into .cache/tools.
#
# Promise: the version is pinned, its dependencies are those of its own lock file, and cargo verifies every download.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly deny_version=0.18.9
readonly tools=.cache/tools

say() { printf 'setup-check: %s\n' "$*" >&2; }

for component in rustfmt clippy; do
    if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then
        say "this Rust toolchain lacks $component: install it (with rustup: rustup component add $component)"
        exit 1
    fi
done

mkdir -p "$tools"
exec 9> "$tools/.lock"
flock 9
if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null)" != "cargo-deny $deny_version" ]; then
    say "building cargo-deny $deny_version (once, some minutes)"
    # Without optimisation it is built in a third of the time and still checks this tree in seconds.
    cargo install --quiet --locked --debug --root "$tools" cargo-deny --version "$deny_version"
fi
