# ruff: noqa: INP001 (a stand-alone program)
"""The health check of the server images: exit 0 if the server in this container answers, else say why and exit 1.

Usage: healthcheck.py [/healthz | /readyz]
"""

import os
import sys
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 2.0
EVERYWHERE = ("0.0.0.0", "[::]")  # noqa: S104


def main(path: str) -> int:
    """Ask `path` of the server's HTTP address, past any proxy."""
    # Only the setting's environment variable can be seen from here, not the flag.
    host, _, port = os.environ.get("KEDGE_HTTP_ADDRESS", "0.0.0.0:8501").rpartition(":")
    url = f"http://{'127.0.0.1' if host in EVERYWHERE else host}:{port}{path}"
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_S) as answer:
            answer.read()
    except OSError as error:  # nobody listens, or an answer that is an error: both are kinds of it
        sys.stderr.write(f"{url}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or ["/healthz"]))
