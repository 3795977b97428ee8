#!/usr/bin/env bash
# Prove bundles on another processor architecture: verify-model --attest under an emulated ARM64 processor, with ARM64
# builds of Python, numpy, onnxruntime and LiteRT, beside the same on this machine.
# Usage: scripts/test_arm64.sh [BUNDLE...]     (default: two models, trained and exported for it)
#
# Needs Debian (apt-get, dpkg-deb) and a package index, but neither root nor Docker: everything is downloaded into a
# temporary directory, unpacked there, and removed. What an edge box would install comes from requirements/server.lock.
# Two processors are emulated, since kernels are chosen by instruction sets: a Cortex-A72, as in a Raspberry Pi 4, and
# `max`, with all that qemu knows (dot products, half floats, SVE, int8 matrices).
#
# Exit codes: 0 every artifact is proven on ARM64 as it is here · 1 one is not · 77 skipped: something cannot be installed
set -euo pipefail
cd "$(dirname "$0")/.."

cpus=(cortex-a72 max)
work=$(mktemp -d -t kedge-arm64.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{apt/lists/partial,apt/cache/archives/partial,qemu,root/proc,bundles}
sysroot=$work/root site=$work/site

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
skip() {
    echo "test_arm64: skipped: $*" >&2
    exit 77
}

# apt-get with lists and a cache of its own, for one architecture: this machine's packages are not touched.
apt_for() { # apt_for ARCHITECTURE COMMAND...
    local architecture=$1
    shift
    : >"$work/apt/status"
    cat >"$work/apt/apt.conf" <<CONFIGURATION
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Dir::State "$work/apt";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt/cache";
CONFIGURATION
    APT_CONFIG=$work/apt/apt.conf apt-get -qq "$@" >"$work/apt.log" 2>&1
}
last_of() { tail -n 3 "$1" | tr '\n' ' '; }

find_qemu() {
    qemu=$(command -v qemu-aarch64-static || true)
    [ -z "$qemu" ] || return 0
    local here
    here=$(dpkg --print-architecture)
    apt_for "$here" update || skip "no package lists for $here: $(last_of "$work/apt.log")"
    (cd "$work/qemu" && apt_for "$here" download qemu-user-static) ||
        skip "qemu-user-static cannot be downloaded: $(last_of "$work/apt.log")"
    dpkg-deb -x "$work"/qemu/*.deb "$work/qemu"
    qemu=$work/qemu/usr/bin/qemu-aarch64-static
    [ -x "$qemu" ] || skip "the package qemu-user-static holds no qemu-aarch64-static"
}

unpack_python() {
    apt_for arm64 update || skip "no package lists for arm64: $(last_of "$work/apt.log")"
    apt_for arm64 install --yes --download-only python3 libstdc++6 libgomp1 ||
        skip "an ARM64 Python cannot be downloaded: $(last_of "$work/apt.log")"
    local package
    for package in "$work"/apt/cache/archives/*.deb; do dpkg-deb -x "$package" "$sysroot"; done
    [ -e "$sysroot/lib" ] || ln -s usr/lib "$sysroot/lib" # where every library lies under /usr
    python=$(readlink -f "$sysroot/usr/bin/python3")
    [ -x "$python" ] || skip "there is no python3 among what was unpacked"
}

# What the emulated processor's /proc/cpuinfo would say. Older qemu shows this machine's instead: the runtimes look for an
# ARM processor in it and crash.
describe_processor() { # describe_processor CPU
    local part features='fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid' number
    case $1 in
        cortex-a72) part='0x41 0xd08' ;;
        max)
            part='0x41 0xd40' # a Neoverse V1: onnxruntime crashes on qemu's own number, which it does not know
            features+=' atomics fphp asimdhp asimdrdm asimddp asimdfhm fcma jscvt sve sve2 svei8mm svebf16 i8mm bf16'
            ;;
    esac
    for number in 0 1; do
        printf '%s\t: %s\n' processor "$number" Features "$features" 'CPU implementer' "${part% *}" 'CPU part' "${part#* }"
        echo
    done >"$sysroot/proc/cpuinfo"
}

install_wheels() {
    .venv/bin/uv pip install --quiet --no-config --target "$site" --python-platform aarch64-unknown-linux-gnu \
        --python-version "${python##*python}" --only-binary :all: --require-hashes -r requirements/server.lock \
        2>"$work/uv.log" || skip "the ARM64 wheels cannot be installed: $(last_of "$work/uv.log")"
}

arm64() { # arm64 CPU PYTHON_ARGUMENTS...
    local cpu=$1
    shift
    describe_processor "$cpu"
    "$qemu" -cpu "$cpu" -L "$sysroot" -E "PYTHONPATH=$site:$PWD/bundle" -E PYTHONDONTWRITEBYTECODE=1 "$python" "$@"
}

make_bundles() {
    .venv/bin/python -m examples.digits.train "$work/digits" >"$work/train.log" 2>&1 &&
        .venv/bin/python -m examples.two_outputs.train "$work/two_outputs.keras" >>"$work/train.log" 2>&1 ||
        { cat "$work/train.log" >&2 && exit 1; }
    local model
    for model in "$work/digits/digits.keras" "$work/two_outputs.keras"; do
        .venv/bin/export-model "$model" --output "$work/bundles" >"$work/export.log" 2>&1 ||
            { cat "$work/export.log" >&2 && exit 1; }
    done
}
copy_bundles() { # records are written beside a bundle: not beside those that were given
    local bundle
    for bundle in "$@"; do
        bundle=$(readlink -f "$bundle")
        install -d "$work/bundles/$(basename "$(dirname "$bundle")")"
        cp -r "$bundle" "$work/bundles/$(basename "$(dirname "$bundle")")/"
    done
}

# One line for each artifact: the verdicts and the largest errors in the records of this machine and of the other.
compare() { # compare CPU
    .venv/bin/python - "$1" "$work/here.json" "$work/there.json" <<'PYTHON'
import json
import sys
from pathlib import Path

from kedge_bundle.attestation import read_attestation

cpu = sys.argv[1]
here, there = (read_attestation(Path(json.loads(Path(name).read_text())["attestation"])) for name in sys.argv[2:])
if there.machine.architecture != "aarch64" or here.manifest_sha256 != there.manifest_sha256:
    sys.exit(f"the record is of {there.machine.architecture} and of the manifest {there.manifest_sha256}")
own = {finding.artifact: finding for finding in here.findings}


def told(finding):
    return f"{finding.verdict} {finding.max_abs_error:.2e}"


for finding in there.findings:
    print(f"{there.name:12} {finding.artifact:7} {here.machine.architecture}: {told(own[finding.artifact]):29} "
          f"{cpu:>10}: {told(finding):29} {finding.cases} cases, {finding.rows} rows")
PYTHON
}

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "this needs Debian's apt-get and dpkg-deb"
[ -x .venv/bin/python ] || make setup
find_qemu
unpack_python
install_wheels
say "$(arm64 "${cpus[0]}" -c 'import platform; print("Python", platform.python_version(), "on", platform.machine())')"
if [ $# -gt 0 ]; then copy_bundles "$@"; else make_bundles; fi
bundles=("$work"/bundles/*/*)
say "bundles: ${bundles[*]##*/bundles/}"

chosen=(--format onnx --format tflite --attest --json)
worst=0
for bundle in "${bundles[@]}"; do
    .venv/bin/verify-model "$bundle" "${chosen[@]}" >"$work/here.json" ||
        { echo "test_arm64: $bundle is not proven on this machine" >&2 && exit 1; }
    for cpu in "${cpus[@]}"; do
        if arm64 "$cpu" -m kedge_bundle.cli "$bundle" "${chosen[@]}" >"$work/there.json" 2>"$work/there.log"; then
            compare "$cpu"
        else
            worst=1
            echo "test_arm64: $bundle is not proven on $cpu: $(cat "$work/there.log" "$work/there.json")" >&2
        fi
    done
done
[ "$worst" = 1 ] || say "every artifact is proven on ARM64 as it is here, and attested"
exit "$worst"
