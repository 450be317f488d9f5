# What people do with Weir, a target each. Every target installs what it misses, or says what that
# is (.ci/setup).

PORT ?= 8080

.PHONY: help
help:
	@echo 'make demo     play the bundled title through a node of your own (PORT=8080)'
	@echo 'make test     run every test'
	@echo 'make bench    measure, beside nginx and Varnish'
	@echo 'make simulate [TRACES=PATH]'
	@echo '              play over measured links in a simulation, with hints and without'
	@echo 'make throughput'
	@echo '              compare the estimates of throughput with the truth (needs root)'
	@echo 'make conformance SUITE=PATH'
	@echo '              run a checkout of http-tests/cache-tests (needs node and npm)'
	@echo 'make qoe      play a title in real players over slow links, with hints and without'
	@echo '              (needs root, about PAIRS=6 x 20 minutes; SECONDS=40 PARALLEL=2 MINUTES=)'
	@echo 'make live     watch a live channel through two nodes in real players (needs root,'
	@echo '              LIVE_SECONDS=300 for each of four)'
	@echo 'make single   show what mode=single selects after slow and fast sessions (needs root)'
	@echo 'make lint     formatting, lints and documentation, all warnings refused'
	@echo 'make release  build target/release/weir'
	@echo 'make setup    install what all of these need'
	@echo 'make title    make the bundled title anew (needs ffmpeg)'

# The development profile: its dependencies are optimised and it is built in half the time of a
# release. For figures there is `make bench`.
.PHONY: demo
demo:
	@.ci/setup build run
	cargo build --locked
	@exec target/debug/weir demo --port $(PORT)

.PHONY: test
test:
	@.ci/setup build run test
	cargo test --locked

# Builds what it measures, the release too.
.PHONY: bench
bench:
	@.ci/setup build run bench
	benches/run

# Network namespaces need root. What was played stays in target/qoe/runs.jsonl.
.PHONY: qoe
qoe:
	@.ci/setup build run players link
	cargo build --locked --release
	benches/qoe/run --pairs $(or $(PAIRS),6) --seconds $(or $(SECONDS),40) \
		--parallel $(or $(PARALLEL),2) $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: live
live:
	@.ci/setup build run players link
	cargo build --locked --release
	benches/qoe/watch-live --seconds $(or $(LIVE_SECONDS),300)

.PHONY: single
single:
	@.ci/setup build run players link
	cargo build --locked --release
	benches/qoe/single

# Half an hour, needs root: links are slow. ARGS='--runs 3 cells'
.PHONY: throughput
throughput:
	@.ci/setup build run link
	cargo build --locked
	WEIR_BIN=target/debug/weir benches/throughput/run $(ARGS)

# The suite is nobody's dependency: `git clone https://github.com/http-tests/cache-tests` gets it.
.PHONY: conformance
conformance:
	@test -n '$(SUITE)' || { echo 'usage: make conformance SUITE=PATH' >&2; exit 2; }
	@.ci/setup build
	cargo build --locked --release
	benches/conformance/run --suite '$(SUITE)'

.PHONY: lint
lint:
	@.ci/setup build
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

.PHONY: release
release:
	@.ci/setup build
	cargo build --locked --release

.PHONY: setup
setup:
	@.ci/setup build run test bench players link

.PHONY: tools
tools:
	@.ci/setup test

.PHONY: title
title:
	src/demo/make-title.sh

# Traces and a ladder in the JSON form of https://github.com/UMass-LIDS/sabre.
.PHONY: simulate
simulate:
	@.ci/setup build
	cargo bench --locked --bench simulate -- $(or $(abspath $(TRACES)),$(wildcard ../shared/data/traces))
