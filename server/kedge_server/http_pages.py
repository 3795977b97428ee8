"""The pages for Prometheus, for probes and for people: /metrics, /healthz, /readyz. In threads of their own.

They answer while the event loop is busy, and whatever is sent to them cannot hold it up.
"""

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple

import structlog

from kedge_server.addresses import Address
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable

_log = structlog.get_logger("kedge.http")

_CONNECTIONS = 32
_IDLE_S = 10.0
_POLL_S = 0.1
"""How often the listening thread looks whether it shall end."""

_TEXT = "text/plain; charset=utf-8"

_INDEX = b"""<!doctype html>
<title>Kedge</title>
<h1>Kedge</h1>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/readyz">/readyz</a>: whether this server should get traffic, and why not
<li><a href="/healthz">/healthz</a>: whether this process lives
</ul>
"""


class Page(NamedTuple):
    """One answer."""

    status: HTTPStatus
    content_type: str
    body: bytes


Pages = Mapping[str, Callable[[str], Page]]
"""Path -> a function of the `Accept` header."""


class HttpPages:
    """The page server; it listens as soon as it is made.

    Args:
        address: where to listen; port 0 lets the system choose.
        models: for readiness.
        metrics: for the metrics page.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(self, address: Address, models: ModelTable, metrics: Metrics) -> None:
        self._models = models
        self._metrics = metrics
        self._server = _Server(
            address,
            {
                "/": lambda _: Page(HTTPStatus.OK, "text/html; charset=utf-8", _INDEX),
                "/metrics": self._metrics_page,
                "/healthz": lambda _: Page(HTTPStatus.OK, _TEXT, b"ok\n"),
                "/readyz": self._readiness_page,
            },
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="http pages", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _metrics_page(self, accept: str) -> Page:
        body, content_type = self._metrics.page(accept)
        return Page(HTTPStatus.OK, content_type, body)

    def _readiness_page(self, _: str) -> Page:
        reasons = self._models.not_ready_reasons()
        document = {
            "ready": not reasons,
            "reasons": reasons,
            "models": [
                {
                    "name": model.name,
                    "version": model.version,
                    "state": model.state,
                    "reason": model.reason,
                    "format": artifact.name if (artifact := model.artifact) else None,
                    "device": model.device or None,
                }
                for model in self._models.entries()
            ],
        }
        status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
        return Page(status, "application/json", json.dumps(document, indent=2).encode() + b"\n")


class _Server(ThreadingHTTPServer):
    """One thread for each connection, and a limit to how many."""

    daemon_threads = True
    request_queue_size = 128
    block_on_close = False
    # A restart may take the port back at once (SO_REUSEADDR); two servers never share it (SO_REUSEPORT).
    allow_reuse_address = True
    allow_reuse_port = False

    def __init__(self, address: Address, pages: Pages) -> None:
        self.address_family = address.family
        self.pages = pages
        self._open: dict[Any, None] = {}  # oldest first
        self._lock = threading.Lock()
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind as every TCP server does; HTTPServer would ask a name server who we are, and wait for it."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (socketserver's own types)
        """Serve the connection in a thread. Where too many are open the oldest is cut: slow ones keep no probe out."""
        with self._lock:
            oldest = next(iter(self._open)) if len(self._open) >= _CONNECTIONS else None
            self._open.pop(oldest, None)
            self._open[request] = None
        if oldest is not None:
            with contextlib.suppress(OSError):  # it has just ended by itself
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (as above)
        """Serve one connection and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 (as above)
        """Clients that hang up are no news; the standard library prints a traceback for each."""
        _log.debug("http_connection_failed", error=repr(sys.exception()))


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of a few pages; everything else is refused in one line."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "kedge"
    timeout = _IDLE_S

    def do_GET(self) -> None:
        """Answer a page."""
        self._answer(is_head=False)

    def do_HEAD(self) -> None:
        """Answer a page's headers."""
        self._answer(is_head=True)

    def do_POST(self) -> None:
        """Refuse, without reading the body."""
        self.close_connection = True
        self._send(Page(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"only GET and HEAD\n"))

    do_PUT = do_POST  # noqa: N815 (the base class looks for these names)
    do_DELETE = do_POST  # noqa: N815
    do_PATCH = do_POST  # noqa: N815
    do_OPTIONS = do_POST  # noqa: N815
    do_CONNECT = do_POST  # noqa: N815
    do_TRACE = do_POST  # noqa: N815

    def _answer(self, *, is_head: bool) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body is not read, so it must not be taken for the next request
        make_page = self.server.pages.get(self.path.partition("?")[0])
        if make_page is None:
            there = ", ".join(self.server.pages).encode()
            self._send(Page(HTTPStatus.NOT_FOUND, _TEXT, b"there are " + there + b"\n"), is_head=is_head)
        else:
            self._send(make_page(self.headers.get("Accept", "")), is_head=is_head)

    def _send(self, page: Page, *, is_head: bool = False) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Cache-Control", "no-store")
        if page.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if not is_head:
            self.wfile.write(page.body)

    def version_string(self) -> str:
        """What the Server header says."""
        return self.server_version

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the base class's name)
        """Keep the requests of probes out of the log unless it is asked for."""
        _log.debug("http", message=format % arguments)
