#!/usr/bin/env bash
# Runs every test. Beside Rust and a C compiler the tests need a Redis server, of which each suite starts its own on
# loopback: where neither redis-server nor valkey-server is there, this installs one with the system's package manager.
#
#   ./test.sh                    every test of the workspace
#   ./test.sh --test cluster     arguments go to `cargo test`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

have() { command -v "$1" >/dev/null 2>&1; }
stop() { echo "test.sh: $1" >&2; exit 1; }
have_redis() { have redis-server || have valkey-server; }

as_root() {
  if (($(id -u) == 0)); then "$@"
  elif have sudo; then sudo "$@"
  else stop "no redis-server, and no sudo to install it: as root, run: $*"; fi
}

# One attempt for each name: Fedora and Alpine have moved from Redis to Valkey. RUNLEVEL=1 keeps Debian from starting the
# service: the tests need none, and one that cannot start would fail the installation.
install_redis() {
  echo "test.sh: no redis-server or valkey-server here: installing one"
  if have apt-get; then
    as_root apt-get update -qq || true
    as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends redis-server ||
      as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends valkey-server
  elif have dnf; then as_root dnf install -y -q redis || as_root dnf install -y -q valkey
  elif have apk; then as_root apk add --quiet redis || as_root apk add --quiet valkey
  elif have brew; then brew install --quiet redis || brew install --quiet valkey
  else stop "no redis-server or valkey-server, and none of apt-get, dnf, apk, brew: install one of the two, then run this again"; fi
}

have cargo || stop "no cargo: install Rust 1.88 or later (https://rustup.rs)"
have cc || stop "no C compiler called cc: install gcc or clang (a dependency of the TLS stack needs it)"
have_redis || install_redis || true
have_redis || stop "the installation brought no redis-server or valkey-server: install one of the two, then run this again"

exec cargo test --workspace --locked "$@"
