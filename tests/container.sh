#!/usr/bin/env bash
# Do the images and the compose files do what they say, on a real engine?
#
#   tests/container.sh          builds both images, runs the stack against the simulator, and takes everything down again
#   DOCKER=podman tests/container.sh
#
# Every wait is bounded. Without an engine, compose or the base images it says SKIPPED and succeeds.
set -euo pipefail
cd "$(dirname "$0")/.."

docker=${DOCKER:-docker}
skip() { echo "SKIPPED: $1"; exit 0; }
"$docker" info >/dev/null 2>&1 || skip "no container engine answers"
if "$docker" compose version >/dev/null 2>&1; then compose=("$docker" compose)
elif command -v docker-compose >/dev/null; then compose=(docker-compose)
else skip "there is no docker compose"; fi
# A client without the buildx plug-in cannot build; the one of the distribution often lies beside it.
builder=$docker
"$docker" buildx version >/dev/null 2>&1 || [[ ! -x /usr/bin/docker ]] || builder=/usr/bin/docker
for image in $(awk '$1 == "FROM" && $2 ~ /[:\/]/ {print $2}' Dockerfile | sort -u); do
  "$docker" image inspect "$image" >/dev/null 2>&1 || timeout 300 "$docker" pull --quiet "$image" >/dev/null 2>&1 ||
    skip "the base image $image cannot be had"
done

# Names and ports of our own: a stack that somebody runs here is not to be touched.
export COMPOSE_PROJECT_NAME=token-relay-check-$$
export RELAY_IMAGE=token-relay:check SIM_IMAGE=token-relay-sim:check
export RELAY_PORT=0 RELAY_ADMIN_PORT=0 SIM_PORT=0
# Long enough that no rotation falls into the check, which counts calls.
export SIM_LIFETIME=2h SIM_OVERLAP=5m
stack() { timeout 120 "${compose[@]}" -f compose.yaml -f compose.sim.yaml "$@"; }

up=
clean_up() {
  local status=$?
  trap - EXIT
  if [[ -n $up ]]; then
    ((status == 0)) || stack logs --no-color --tail 30 || true
    stack down --volumes --timeout 5 >/dev/null 2>&1 || true
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() { echo "FAILED: $1" >&2; exit 1; }
is() { [[ $2 == "$3" ]] || fail "$1: $2, not $3"; echo "  $1: $2"; }
now_ms() { date +%s%3N; }
relay() { stack ps -q relay; }
of_relay() { "$docker" inspect --format "$1" "$(relay)"; }
at() { stack port "$1" "$2"; }
token() { curl -fsS -m 5 -H "Authorization: Bearer $(<demo/secrets/orders_key)" "http://$(at relay 8080)/token" | sed 's/.*"access_token":"\([^"]*\)".*/\1/'; }
calls() { curl -fsS -m 5 "http://$(at wechat-sim 8090)/_control/state" | grep -oE '"token":[0-9]+' | head -1 | cut -d: -f2; }

wait_healthy() {
  local started=$1 health=
  for _ in $(seq 150); do
    health=$(of_relay '{{.State.Health.Status}} {{.State.Running}}')
    [[ $health == "healthy true" ]] && { echo "  healthy after $(($(now_ms) - started)) ms"; return; }
    sleep 0.2
  done
  fail "not healthy after 30 s: $health"
}

echo "compose files"
"${compose[@]}" -f compose.yaml config -q
stack config -q

echo "images"
# The host's network for the downloads: an engine in a sandbox often has no other.
for target in token-relay wechat-sim; do
  [[ $target == token-relay ]] && image=$RELAY_IMAGE || image=$SIM_IMAGE
  DOCKER_BUILDKIT=1 timeout 1800 "$builder" build -q --network host --target "$target" -t "$image" . >/dev/null
  echo "  $image: $("$docker" image inspect --format '{{.Size}}' "$image" | awk '{printf "%.1f MB", $1 / 1e6}')"
done
status=0; "$docker" run --rm "$RELAY_IMAGE" check 2>/dev/null || status=$?
is "exit code without settings" "$status" 78

echo "the stack"
up=yes
started=$(now_ms)
stack up -d --no-build >/dev/null 2>&1
wait_healthy "$started"
first=$(token)
[[ -n $first ]] || fail "no token through the published port"
echo "  a token through the published port, $(($(now_ms) - started)) ms after \`up\`"
is "calls of the token API" "$(calls)" 1
is "user" "$(of_relay '{{.Config.User}}')" 65532:65532
is "read-only root" "$(of_relay '{{.HostConfig.ReadonlyRootfs}}')" true
is "capabilities dropped" "$(of_relay '{{.HostConfig.CapDrop}}')" "[ALL]"
is "published on" "$(at relay 8080 | cut -d: -f1) $(at relay 9090 | cut -d: -f1)" "127.0.0.1 127.0.0.1"
is "changed files outside of the volume" "$("$docker" diff "$(relay)" | grep -cv '^[CA] /run' || true)" 0

echo "killed, and started again"
"$docker" kill -s KILL "$(relay)" >/dev/null
is "exit code" "$(of_relay '{{.State.ExitCode}}')" 137
started=$(now_ms)
"$docker" start "$(relay)" >/dev/null
wait_healthy "$started"
[[ $(token) == "$first" ]] || fail "the token is another one"
is "calls of the token API" "$(calls)" 1

echo "stopped, and a new container on the volume"
started=$(now_ms)
"$docker" stop "$(relay)" >/dev/null
echo "  stopped in $(($(now_ms) - started)) ms"
is "exit code" "$(of_relay '{{.State.ExitCode}}')" 0
started=$(now_ms)
stack up -d --no-build --force-recreate --no-deps relay >/dev/null 2>&1
wait_healthy "$started"
[[ $(token) == "$first" ]] || fail "the token is another one"
is "calls of the token API" "$(calls)" 1

echo "secrets"
for secret in "$first" "$(<demo/secrets/main_appsecret)" "$(<demo/secrets/orders_key)"; do
  "$docker" logs "$(relay)" 2>&1 | grep -qF "$secret" && fail "the log shows a secret"
  "$docker" inspect "$(relay)" | grep -qF "$secret" && fail "docker inspect shows a secret"
done
echo "  none in the log or in docker inspect"

echo "PASSED"
