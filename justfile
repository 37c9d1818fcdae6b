# The project's commands. `just` lists them; `.ci/run` runs the same ones without it.

# List the commands
default:
    @just --list

# The simulator and the relay in one process: rotations, a report and an outage, as they happen
demo:
    cargo run --example demo

# All that CI runs
ci:
    .ci/run

# Layout of the code
fmt:
    cargo fmt --all --check

# The lints, as errors
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Every test; installs a redis-server first, where there is none
test:
    ./test.sh

# The long campaigns, for so many minutes: they go on where the last run stopped, and add to its totals
soak minutes="10":
    tests/soak.sh {{minutes}}

# Every order of events in the model of several relays: docs/RELIABILITY.md
model:
    cargo run --release --locked -p lease-model

# The API docs, with broken links as errors
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# The shipped settings, with the least that they need
check:
    TOKEN_RELAY__ACCOUNTS__MAIN__APPID=wx0123456789abcdef \
    TOKEN_RELAY__ACCOUNTS__MAIN__SECRET=0123456789abcdef0123456789abcdef \
    TOKEN_RELAY__CLIENTS__ORDERS__KEY=0123456789abcdef0123456789abcdef \
    cargo run --quiet --locked -- --config config/token-relay.toml check

# Fuzzes reply, record, settings, head, gateway or drop_in for so many seconds (needs cargo-fuzz 0.13 and a nightly toolchain)
fuzz target seconds="1800":
    mkdir -p fuzz/corpus/{{target}}
    cargo +nightly fuzz run {{target}} fuzz/corpus/{{target}} fuzz/seeds/{{target}} -- \
        -max_total_time={{seconds}} -max_len=6000 -rss_limit_mb=2048 -timeout=60 -print_final_stats=1

# Changes the code in one place at a time and asks whether a test notices: every fifth place, for hours (needs cargo-mutants 27.1)
mutants shard="0/5":
    cargo mutants --sharding round-robin --shard {{shard}} --timeout 90

# Known vulnerabilities of the dependencies (needs cargo-audit 0.22)
audit:
    cargo audit --deny warnings

# Advisories, licences, duplicates and sources of the dependencies (needs cargo-deny 0.20)
deny:
    cargo deny check

# The files of a release for this machine's architecture, into target/dist: docs/RELEASE.md (needs cargo-deb and cargo-cyclonedx)
release architecture="":
    deploy/release.sh {{architecture}}

# Nothing wrong with this change?
pre-commit: fmt lint test doc check
