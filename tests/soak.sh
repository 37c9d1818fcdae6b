#!/usr/bin/env bash
# The long campaigns: goes on where the last run stopped, for about so many minutes, and adds to the totals.
#
#   tests/soak.sh            ten minutes
#   tests/soak.sh 60         an hour
#
# The totals are in $SOAK_DIR (target/soak), a line for each finished piece. A piece that fails stops it, and its output stays there
# as failed.txt: the same piece is tried again by the next run. The seeds that every run of the tests has are not run again here, nor
# those of the campaign in docs/RELIABILITY.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes="${1:-10}"
if ! [[ "$minutes" =~ ^[1-9][0-9]*$ ]]; then
  echo "soak.sh: $minutes is no number of minutes" >&2
  exit 2
fi
dir="${SOAK_DIR:-target/soak}"
pieces="$dir/pieces.tsv"
mkdir -p "$dir"
touch "$pieces"

done_of() { awk -v kind="$1" '$1 == kind { sum += $2 } END { print sum + 0 }' "$pieces"; }
sum_of() { awk -v kind="$1" -v column="$2" '$1 == kind { sum += $column } END { printf "%.10g", sum }' "$pieces"; }

# Runs a piece of a kind, and notes it: how much of it, and the figures that `figures` finds in its output.
piece() {
  local kind="$1" amount="$2"
  shift 2
  if ! env "$@" >"$dir/piece.txt" 2>&1; then
    mv "$dir/piece.txt" "$dir/failed.txt"
    echo "soak.sh: a piece of $kind failed: $dir/failed.txt" >&2
    exit 1
  fi
  printf '%s\t%s\t%s\n' "$kind" "$amount" "$(figures <"$dir/piece.txt")" >>"$pieces"
}

# Account-years, relay-hours, faults and replies of a simulation; reads, reloads, failovers and outages of a storm.
figures() {
  sed -nE -e 's/.*: ([0-9.]+) account-years, ([0-9]+) relay-hours, .* ([0-9]+) faults, ([0-9]+) replies .*/\1\t\2\t\3\t\4/p' \
    -e 's/^storm: .* s, ([0-9]+) reads, .* ([0-9]+) reloads, ([0-9]+) failovers, ([0-9]+) outages;.*/\1\t\2\t\3\t\4/p'
}

simulate() {
  local kind="$1" seeds="$2" first="$3"
  piece "$kind" "$seeds" SIM_START="$((first + $(done_of "$kind")))" SIM_SEEDS="$seeds" \
    cargo test --release --quiet --locked --test simulation "$kind" -- --nocapture
}

kill_relays() {
  # four aims at once, so many kills of each; all from the same seed, so what differs is the moment
  piece kills $((4 * $1)) TOKEN_RELAY_TEST_KILLS="$1" cargo test --quiet --locked --test relay two_hundred_kills
}

# Reads by the thousand, while all else goes on at once.
storm() {
  piece storm "$1" STORM_SECONDS="$1" cargo test --quiet --locked --test cluster storm:: -- --nocapture
}

report() {
  echo "one relay:       $(done_of one_relay) seeds, $(sum_of one_relay 3) account-years, $(sum_of one_relay 5) faults, $(sum_of one_relay 6) replies"
  echo "several relays:  $(done_of several_relays) seeds, $(sum_of several_relays 4) relay-hours, $(sum_of several_relays 5) faults, $(sum_of several_relays 6) replies"
  echo "kill -9:         $(done_of kills)"
  echo "storm:           $(done_of storm) s, $(sum_of storm 3) reads, $(sum_of storm 4) reloads, $(sum_of storm 5) failovers, $(sum_of storm 6) outages"
  echo "no promise was broken"
}

cargo test --release --quiet --locked --test simulation --no-run
cargo test --quiet --locked --test relay --test cluster --no-run
# a quarter of the time; memory is looked at over half an hour of it at most
storm_seconds=$((minutes < 120 ? minutes * 15 : 1800))
end=$((SECONDS + minutes * 60))
while ((SECONDS < end)); do
  simulate one_relay 200 67401
  simulate several_relays 400 10001
  kill_relays 25
  storm "$storm_seconds"
done
report
