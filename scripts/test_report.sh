#!/usr/bin/env bash
# Open report.html in a real headless Chromium: console, requests, numbers, widths, paper.
# Usage: scripts/test_report.sh [pytest arguments]
#        scripts/test_report.sh --install     only see to it that there is a Chromium; exit code 3: it cannot be had
#
# Debian's package, which root installs where it is missing (about 100 MB, half a minute).
set -euo pipefail
cd "$(dirname "$0")/.."

cannot() {
    echo "Chromium cannot be installed: $*" >&2
    exit 3
}
install_chromium() {
    command -v chromium >/dev/null && return
    command -v apt-get >/dev/null || cannot "there is no apt-get; put a 'chromium' on PATH"
    [ "$(id -u)" = 0 ] || cannot "only root can apt-get install it; put a 'chromium' on PATH"
    local log
    log=$(mktemp)
    {
        apt-get update -qq -o DPkg::Lock::Timeout=300 &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                -o DPkg::Lock::Timeout=300 chromium
    } >"$log" 2>&1 || cannot "apt-get: $(tail -n 3 "$log")"
    rm -f "$log"
}

install_chromium
[ "${1:-}" != --install ] || exit 0
PATH="$PWD/.venv/bin:$PATH"
exec pytest tests/report "$@"
