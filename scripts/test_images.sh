#!/usr/bin/env bash
# Build the images of Dockerfile.cpu without a Docker engine, and run what is in them.
# Usage: scripts/test_images.sh [server] [exporter]     (default: both; root on Debian or Ubuntu)
#
# Debian's buildah needs no daemon: vfs storage in a temporary directory, chroot isolation. The base is a stand-in made
# by debootstrap (bookworm, whose python3 is 3.11), kept in the user's cache: an image registry may be out of reach.
# BASE=image in the environment takes a real base instead.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=("${@:-server}")
[ $# -gt 0 ] || targets=(server exporter)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kedge
work=$(mktemp -d -t kedge-images.XXXXXX)
export TMPDIR=$work/tmp
mkdir -p "$TMPDIR" "$cache"
running=

# Chroot isolation shares this machine's process numbers, so the server's own log says whom to signal.
server_pid() {
    python3 -c '
import json, sys
print(next(e["pid"] for e in map(json.loads, open(sys.argv[1])) if e.get("event") == "starting"))' "$work/server.log"
}
finish() {
    local pid
    if [ -n "$running" ] && pid=$(server_pid 2>/dev/null); then kill -KILL "$pid" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
fail() {
    echo "test_images: $*" >&2
    exit 1
}
b() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
# The words of a command in the configuration of a target's image, one a line.
words() { # words TARGET KEY...
    b inspect --type image "localhost/kedge-$1" | python3 -c '
import functools, json, sys
configuration = json.load(sys.stdin)["Docker"]["config"]
print(*functools.reduce(dict.__getitem__, sys.argv[1:], configuration), sep="\n")' "${@:2}"
}
run_in() { # run_in CONTAINER [buildah run options] -- COMMAND...
    local container=$1 options=()
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    b run --isolation chroot "${options[@]}" "$container" "$@"
}

install_tools() {
    command -v buildah >/dev/null && command -v debootstrap >/dev/null && return
    [ "$(id -u)" = 0 ] || fail "buildah and debootstrap are missing, and only root can apt-get install them"
    {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah debootstrap
    } >"$work/apt.log" 2>&1 || fail "apt-get: $(tail -n 5 "$work/apt.log")"
}

make_base() {
    local tar=$cache/base-bookworm.tar
    if [ ! -s "$tar" ]; then
        debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base" \
            >"$work/debootstrap.log" 2>&1 || fail "debootstrap: $(tail -n 5 "$work/debootstrap.log")"
        tar -C "$work/base" -cf "$work/base.tar" .
        mv "$work/base.tar" "$tar"
        rm -rf "$work/base"
    fi
    local container
    container=$(b from scratch)
    b add -q "$container" "$tar" / >/dev/null
    b commit -q --rm "$container" localhost/kedge-base >/dev/null
}

# What the build needs of this machine to reach its package index: none of it gets into a layer.
secrets=()
collect_secrets() {
    local index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-}}
    [ -z "${SSL_CERT_FILE:-}" ] || secrets+=(--secret "id=ca-certificates,src=$SSL_CERT_FILE")
    if [ -n "$index" ]; then
        printf '%s' "$index" >"$work/package-index"
        secrets+=(--secret "id=package-index,src=$work/package-index")
    fi
}

build() { # build TARGET
    b bud -q --isolation chroot --format docker --target "$1" --build-arg "BASE=$base" "${secrets[@]}" \
        --tag "localhost/kedge-$1" --file Dockerfile.cpu . >"$work/build-$1.log" 2>&1 ||
        fail "the build of '$1' failed: $(tail -n 30 "$work/build-$1.log")"
    local size
    size=$(b images --format '{{.Size}}' "localhost/kedge-$1")
    say "built '$1': $size, of which the base $(b images --format '{{.Size}}' "$base")"
}

check_user_and_absences() { # check_user_and_absences TARGET CONTAINER ABSENT...
    local user module
    user=$(run_in "$2" -- id -u)
    [ "$user" = 10001 ] || fail "'$1' runs as uid $user, not as 10001"
    run_in "$2" -- python3 -c 'import kedge_bundle, sys; sys.exit(sys.prefix != "/opt/kedge")'
    shift 2
    for module in "$@"; do
        if run_in "$container" -- python3 -c "import $module" 2>"$work/absent"; then
            fail "'$module' can be imported, and must not be there"
        fi
        grep -q "No module named '$module'" "$work/absent" || fail "import $module: $(cat "$work/absent")"
    done
}

try_server() {
    local container entry health grpc http models=$work/models answer protocol command
    container=$(b from localhost/kedge-server)
    check_user_and_absences server "$container" tensorflow keras tf2onnx h5py pip
    for command in serve-model verify-model query-model; do
        run_in "$container" -- "$command" --help >/dev/null
    done
    say "no TensorFlow, no pip, uid 10001; the commands say what they do"

    .venv/bin/python - "$models" <<'PYTHON'
import sys
from pathlib import Path
from tests.services.bundles import publish, two_output
publish(two_output(), Path(sys.argv[1]), "two_output")
PYTHON
    run_in "$container" --volume "$models:/models:ro" -- verify-model /models/two_output/1 | sed 's/^/       /'

    # The image's own command, as an engine would start it, but for the ports: they must be free on this machine.
    mapfile -t entry < <(words server Entrypoint && words server Cmd)
    mapfile -t health < <(words server Healthcheck Test)
    [ "${health[0]:-}" = CMD ] || fail "the image has no health check"
    read -r grpc http < <(python3 -c '
import socket
held = [socket.socket() for _ in range(2)]
for one in held: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))')
    b config --env "KEDGE_GRPC_ADDRESS=127.0.0.1:$grpc" --env "KEDGE_HTTP_ADDRESS=127.0.0.1:$http" "$container"
    run_in "$container" --volume "$models:/models:ro" -- "${entry[@]}" 2>"$work/server.log" &
    running=$!
    local started=$SECONDS
    until run_in "$container" -- "${health[@]:1:3}" /readyz 2>/dev/null; do
        kill -0 "$running" 2>/dev/null || fail "the server ended: $(cat "$work/server.log")"
        [ $SECONDS -lt $((started + 60)) ] || fail "not ready within a minute: $(cat "$work/server.log")"
        sleep 0.1
    done
    run_in "$container" -- "${health[@]:1}" || fail "the health check fails: $(cat "$work/server.log")"
    say "ready; the health check passes"

    for protocol in tensorflow-serving open-inference; do
        answer=$(run_in "$container" -- query-model "127.0.0.1:$grpc" two_output --protocol "$protocol" \
            --json '{"a": [[1, 2, 3]], "b": [[1, 1, 1]]}')
        printf '%s\n' "$answer" | sed "s/^/       $protocol: /"
        [[ $answer == *difference* && $answer == *total* ]] || fail "the answer lacks an output: $answer"
    done

    kill -TERM "$(server_pid)"
    local code=0
    wait "$running" || code=$?
    running=
    [ "$code" = 0 ] || fail "after SIGTERM the server ended with $code: $(cat "$work/server.log")"
    say "answers over both protocols; SIGTERM ends it with exit code 0"
    if run_in "$container" -- "${health[@]:1}" 2>/dev/null; then fail "the health check passes without a server"; fi
    b rm "$container" >/dev/null
}

try_exporter() {
    local container share=$work/share
    container=$(b from localhost/kedge-exporter)
    check_user_and_absences exporter "$container" pip
    install -d -o 10001 -g 10001 "$share"
    run_in "$container" --volume "$share:/data" -- python3 -c '
import keras
pixels = keras.Input((4,), name="pixels")
keras.Model(pixels, keras.layers.Dense(2, name="score")(pixels), name="tiny").save("/data/tiny.keras")' \
        >"$work/keras.log" 2>&1 || fail "keras: $(tail -n 5 "$work/keras.log")"
    run_in "$container" --volume "$share:/data" -- export-model /data/tiny.keras --output /data/models \
        >"$work/export.log" 2>&1 || fail "export-model: $(tail -n 20 "$work/export.log")"
    tail -n 6 "$work/export.log" | sed 's/^/       /'
    say "the exporter's image exports a model"
    b rm "$container" >/dev/null
    if b inspect --type image localhost/kedge-server >/dev/null 2>&1; then
        container=$(b from localhost/kedge-server)
        run_in "$container" --volume "$share/models:/models:ro" -- verify-model /models/tiny/1 | sed 's/^/       /'
        say "the server's image verifies that bundle"
        b rm "$container" >/dev/null
    fi
}

[ -x .venv/bin/python ] || make setup
install_tools
base=${BASE:-localhost/kedge-base}
[ -n "${BASE:-}" ] || make_base
say "base: $base"
collect_secrets
for target in "${targets[@]}"; do
    build "$target"
    "try_$target"
done
say "images: ${targets[*]}: all good"
