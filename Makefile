# Everything a change has to pass, by name. `make help` lists it. Every target works as root and as an ordinary user.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.cache/tools/bin:$(PATH)
export SEAWALL_PG_BINS := $(CURDIR)/.cache/postgresql
export SEAWALL_RESCUE_PYTHON := $(CURDIR)/.cache/rescue/python
export SEAWALL_EMULATORS := $(CURDIR)/.cache/emulators

# Tests that this machine cannot run, as tools/setup-test.sh decided and said; read when the recipe runs.
LEFT_OUT = $$(cat .cache/left-out 2>/dev/null || true)
SAY_LEFT_OUT = [ ! -e .cache/left-out ] || echo "SKIPPED on this machine: tests that match $$(cat .cache/left-out) (the beginning of the output says why)" >&2

.PHONY: help build release test-release fmt check test test-deep test-cloud bench demo setup-test setup-check

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: ## the seawall binary, optimised, in target/release
	cargo build --release --locked --bin seawall

release: ## the binary to hand out: one static file, in target/<machine>-unknown-linux-musl/release
	@tools/release.sh

test-release: setup-test ## the static binary through whole backups, recoveries and refusals
	binary=$$(tools/release.sh); SEAWALL_BIN=$$PWD/$$binary cargo nextest run --locked -p seawall --run-ignored all \
		-E 'binary(suite) & test(/^(real_(static|setup|documents|keys|transactions|layouts)|process|fetch)::/)'

fmt: ## format the sources
	cargo fmt --all

check: setup-check ## formatting, lints, dependencies, house rules, documentation links
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --all-features check --hide-inclusion-graph bans licenses sources
	cargo test --quiet --locked -p seawall-testkit --test tidy
	RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --workspace --no-deps --locked --quiet

test: setup-test ## every test but the slow sweeps
	cargo build --locked --bin seawall
	cargo nextest run --workspace --locked $(LEFT_OUT)
	cargo test --workspace --locked --doc --quiet
	@$(SAY_LEFT_OUT)

test-deep: setup-test ## the slow sweeps as well: hundreds of restores, kills and faults
	cargo build --locked --bin seawall
	cargo nextest run --workspace --locked --profile deep --run-ignored all $(LEFT_OUT)
	@$(SAY_LEFT_OUT)
	@if [ -x tools/fuzz.sh ]; then tools/fuzz.sh; fi

test-cloud: setup-test ## the drivers' contract and a whole recovery in a bucket of yours: BUCKET=gs://bucket/prefix [OPTIONS=region.toml]
	@[ -n "$(BUCKET)" ] || { echo "make test-cloud BUCKET=gs://bucket/prefix [OPTIONS=a TOML file with credentials_file, endpoint, ... as SETTINGS.md has them for a region]" >&2; exit 2; }
	cargo build --locked --bin seawall
	SEAWALL_TEST_BUCKET="$(BUCKET)" $(if $(OPTIONS),SEAWALL_TEST_OPTIONS="$(abspath $(OPTIONS))") cargo nextest run --locked -p seawall-store -p seawall \
		--run-ignored all --no-capture -E 'test(/(^|::)(cloud::a_bucket|real_cloud::)/)'

bench: setup-test ## measure, beside other tools, on this machine
	tools/bench.sh

demo: setup-test ## a disaster and its recovery, on a throw-away server (DEMO_PLACES=gcs: in simulated buckets)
	tools/demo.sh

setup-test: ## install what tests need into .cache
	@tools/setup-test.sh

setup-check: ## install what `make check` needs
	@tools/setup-check.sh
