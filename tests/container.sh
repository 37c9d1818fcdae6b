#!/usr/bin/env bash
# Do the images and the compose files do what they say, on a real engine?
#
#   tests/container.sh          builds the images, runs the stacks against the simulator, and takes everything down again
#   DOCKER=podman tests/container.sh
#   RUNTIME_IMAGE=debian:bookworm-slim tests/container.sh    on another base image; so RUST_IMAGE, DEBIAN_IMAGE, REDIS_IMAGE
#
# Every wait is bounded. Without an engine, compose or the base images it says SKIPPED and succeeds; without those of the
# cluster it says that this part is skipped.
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
have_image() { "$docker" image inspect "$1" >/dev/null 2>&1 || timeout 300 "$docker" pull --quiet "$1" >/dev/null 2>&1; }
# The base images of a Dockerfile: what its ARGs name, unless the environment names others.
bases() { local name image; sed -n 's/^ARG \([A-Z_]*_IMAGE\)=/\1 /p' "$1" | while read -r name image; do echo "${!name:-$image}"; done; }
for image in $(bases Dockerfile); do have_image "$image" || skip "the base image $image cannot be had"; done

# Names and ports of our own: a stack that somebody runs here is not to be touched.
export COMPOSE_PROJECT_NAME=token-relay-check-$$
export RELAY_IMAGE=token-relay:check SIM_IMAGE=token-relay-sim:check BALANCER_IMAGE=token-relay-balancer:check
export RELAY_PORT=0 RELAY_ADMIN_PORT=0 RELAY_1_ADMIN_PORT=0 RELAY_2_ADMIN_PORT=0 RELAY_3_ADMIN_PORT=0 SIM_PORT=0
# Long enough that no rotation falls into the check, which counts calls.
export SIM_LIFETIME=2h SIM_OVERLAP=5m
files=(-f compose.yaml -f compose.sim.yaml)
stack() { timeout 120 "${compose[@]}" "${files[@]}" "$@"; }

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
id() { stack ps -q "$1"; }
relay() { id relay; }
of_relay() { "$docker" inspect --format "$1" "$(relay)"; }
at() { stack port "$1" "$2"; }
only_token() { sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p'; }
read_token() { curl -fsS -m 5 -H "Authorization: Bearer $(<demo/secrets/orders_key)" "http://$1/token" | only_token; }
token() { read_token "$(at relay 8080)"; }
calls() { [[ $(curl -fsS -m 5 "http://$(at wechat-sim 8090)/_control/state") =~ \"token\":([0-9]+) ]] && echo "${BASH_REMATCH[1]}"; }

# Waits until all of these containers are healthy; the relay, if none is named.
wait_healthy() {
  local started=$1 health= containers=("${@:2}")
  ((${#containers[@]} > 0)) || containers=("$(relay)")
  for _ in $(seq 150); do
    health=$("$docker" inspect --format '{{.State.Health.Status}} {{.State.Running}}' "${containers[@]}" | sort -u)
    [[ $health == "healthy true" ]] && { echo "  healthy after $(($(now_ms) - started)) ms"; return; }
    sleep 0.2
  done
  fail "not healthy after 30 s: $health"
}

no_secret_is_shown() {
  local secret container
  for secret in "$@"; do
    for container in $(stack ps -q); do
      [[ $("$docker" logs "$container" 2>&1) != *"$secret"* ]] || fail "a log shows a secret"
      [[ $("$docker" inspect "$container") != *"$secret"* ]] || fail "docker inspect shows a secret"
    done
  done
  echo "  none in a log or in docker inspect"
}

echo "compose files"
"${compose[@]}" -f compose.yaml config -q
"${compose[@]}" -f compose.cluster.yaml config -q
"${compose[@]}" -f compose.cluster.yaml -f compose.cluster.sim.yaml config -q
stack config -q

echo "images"
base_images=()
for name in RUST_IMAGE RUNTIME_IMAGE; do [[ -z ${!name:-} ]] || base_images+=(--build-arg "$name=${!name}"); done
# The host's network for the downloads: an engine in a sandbox often has no other.
for target in token-relay wechat-sim; do
  [[ $target == token-relay ]] && image=$RELAY_IMAGE || image=$SIM_IMAGE
  DOCKER_BUILDKIT=1 timeout 1800 "$builder" build -q --network host "${base_images[@]}" --target "$target" -t "$image" . >/dev/null
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
no_secret_is_shown "$first" "$(<demo/secrets/main_appsecret)" "$(<demo/secrets/orders_key)"

# What of the cluster cannot be had here, if anything.
cluster_lacks() {
  local image
  for image in $(bases cluster/Dockerfile) "${REDIS_IMAGE:-redis:7}"; do
    have_image "$image" || { echo "the image $image cannot be had"; return; }
  done
  DOCKER_BUILDKIT=1 timeout 300 "$builder" build -q --network host ${DEBIAN_IMAGE:+--build-arg "DEBIAN_IMAGE=$DEBIAN_IMAGE"} -t "$BALANCER_IMAGE" cluster >/dev/null 2>&1 ||
    echo "the balancer's image cannot be built (it needs Debian's packages)"
}

# The token of one relay, which publishes no port for it: asked from the balancer's container.
token_of() {
  printf 'GET /token HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nAuthorization: Bearer %s\r\n\r\n' "$1" "$(<demo/secrets/orders_key)" |
    timeout 10 "$docker" exec -i "$balancer" bash -c 'exec 3<>/dev/tcp/$0/8080; cat >&3; cat <&3' "$1" | only_token
}

# Twenty reads through the balancer, all of the first token.
is_served() {
  local read
  for read in $(seq 20); do
    [[ $(read_token "$address") == "$first" ]] || fail "$1: read $read of 20 is not the token"
  done
  echo "  $1: 20 reads, all of the same token"
  is "calls of the token API" "$(calls)" 1
}

echo "the cluster"
lacking=$(cluster_lacks)
if [[ -n $lacking ]]; then
  echo "  skipped: $lacking"
else
  stack down --volumes --timeout 5 >/dev/null 2>&1
  files=(-f compose.cluster.yaml -f compose.cluster.sim.yaml)
  began=$(now_ms)
  stack up -d --no-build >/dev/null 2>&1
  relays=("$(id relay-1)" "$(id relay-2)" "$(id relay-3)")
  redis=$(id redis) balancer=$(id balancer) address=$(at balancer 8080)
  first=
  while [[ -z $first ]] && (($(now_ms) - began < 30000)); do first=$(read_token "$address" 2>/dev/null) || sleep 0.2; done
  [[ -n $first ]] || fail "no token through the balancer after 30 s"
  echo "  a token through the balancer, $(($(now_ms) - began)) ms after \`up\`"
  wait_healthy "$began" "${relays[@]}"
  for name in relay-1 relay-2 relay-3; do [[ $(token_of "$name") == "$first" ]] || fail "$name has another token"; done
  echo "  the same token at each relay"
  is "calls of the token API" "$(calls)" 1
  all=("${relays[@]}" "$redis" "$balancer")
  is "users" "$("$docker" inspect --format '{{.Config.User}}' "${all[@]}" | sort -u)" 65532:65532
  hardening='{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}'
  is "hardening" "$("$docker" inspect --format "$hardening" "${all[@]}" | sort -u)" "true [ALL] [no-new-privileges:true]"
  is "published on" "$(stack ps | grep -oE '[0-9.]+:[0-9]+->' | cut -d: -f1 | sort -u)" 127.0.0.1
  is "Redis to a stranger" "$("$docker" exec "$redis" redis-cli get '{token-relay}:v2:record:main' 2>&1 | cut -d' ' -f1)" NOAUTH
  is "warnings of the relays about Redis" "$(for r in "${relays[@]}"; do "$docker" logs "$r" 2>&1; done | grep -c 'Redis \(may\|is\)' || true)" 0

  echo "the holder is killed"
  holder=
  for r in "${relays[@]}"; do [[ $("$docker" logs "$r" 2>&1) != *'this relay calls WeChat'* ]] || holder=$r; done
  [[ -n $holder ]] || fail "nobody holds the lease"
  "$docker" kill -s KILL "$holder" >/dev/null
  is_served "with two relays"
  started=$(now_ms)
  "$docker" start "$holder" >/dev/null
  wait_healthy "$started" "$holder"

  echo "Redis is killed, and starts empty"
  "$docker" kill -s KILL "$redis" >/dev/null
  is_served "without Redis"
  started=$(now_ms)
  "$docker" start "$redis" >/dev/null
  record() { "$docker" exec "$redis" redis-cli -u "$(sed 's/@redis:/@127.0.0.1:/' demo/secrets/redis_url)" get '{token-relay}:v2:record:main' 2>/dev/null; }
  while [[ $(record) != *'"version"'* ]]; do
    (($(now_ms) - started < 30000)) || fail "no relay has written the record again after 30 s"
    sleep 0.2
  done
  echo "  the relays have written the record again after $(($(now_ms) - started)) ms"

  echo "a relay is stopped, and made anew"
  "$docker" stop "${relays[1]}" >/dev/null
  is "exit code" "$("$docker" inspect --format '{{.State.ExitCode}}' "${relays[1]}")" 0
  started=$(now_ms)
  stack up -d --no-build --force-recreate --no-deps relay-2 >/dev/null 2>&1
  wait_healthy "$started" "$(id relay-2)"
  [[ $(token_of relay-2) == "$first" ]] || fail "the new relay has another token"
  is_served "with a new relay"

  echo "secrets"
  password=$(sed 's|.*:\(.*\)@.*|\1|' demo/secrets/redis_url)
  no_secret_is_shown "$first" "$(<demo/secrets/main_appsecret)" "$(<demo/secrets/orders_key)" "$password"
  echo "the cluster took $((($(now_ms) - began) / 1000)) s"
fi

echo "PASSED"
