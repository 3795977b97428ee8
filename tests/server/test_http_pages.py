import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from kedge_server.addresses import Address
from kedge_server.http_pages import HttpPages
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.served_model import ServedModel

HOST = "127.0.0.1"


@pytest.fixture
def table() -> ModelTable:
    return ModelTable()


@pytest.fixture
def pages(table: ModelTable) -> Iterator[HttpPages]:
    made = HttpPages(Address(HOST, 0), table, Metrics(table, "test"))
    yield made
    made.close()


def ask(pages: HttpPages, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = HTTPConnection(HOST, pages.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def raw(pages: HttpPages, sent: bytes) -> bytes:
    """What came back; nothing where the server hung up on what it would not read."""
    received = b""
    with socket.create_connection((HOST, pages.port), timeout=15) as connection, contextlib.suppress(OSError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_healthz_says_that_the_process_lives(pages: HttpPages):
    assert ask(pages, "/healthz")[0::2] == (200, "ok\n")


def test_readyz_says_no_with_every_reason_until_a_model_is_ready(pages: HttpPages, table: ModelTable):
    status, headers, body = ask(pages, "/readyz")
    assert (status, headers["Content-Type"]) == (503, "application/json")
    assert json.loads(body) == {"ready": False, "reasons": ["there is no model"], "models": []}
    model = ServedModel("m", 3, Path("m/3"))
    table.add(model)
    table.set_failed(model, "a wrong hash")
    document = json.loads(ask(pages, "/readyz")[2])
    assert document["reasons"] == ["model 'm' version 3: failed: a wrong hash", "no model is ready"]
    assert document["models"] == [
        {"name": "m", "version": 3, "state": "failed", "reason": "a wrong hash", "format": None, "device": None}
    ]


def test_metrics_are_in_the_format_that_is_asked_for(pages: HttpPages):
    assert ask(pages, "/metrics")[1]["Content-Type"].startswith("text/plain; version=")
    status, headers, body = ask(pages, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")


def test_the_index_links_the_pages(pages: HttpPages):
    status, _, body = ask(pages, "/?x=1")
    assert status == 200
    for path in ("/metrics", "/readyz", "/healthz"):
        assert f'href="{path}"' in body


def test_an_unknown_page_is_404_and_names_those_there_are(pages: HttpPages):
    status, _, body = ask(pages, "/metricz")
    assert status == 404
    assert "/metrics" in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_405(pages: HttpPages, method: str):
    status, headers, _ = ask(pages, "/metrics", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


def test_head_answers_the_headers_alone(pages: HttpPages):
    status, headers, body = ask(pages, "/healthz", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "3", "")


def test_one_connection_serves_many_requests(pages: HttpPages):
    connection = HTTPConnection(HOST, pages.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
    connection.close()


def test_a_body_is_not_taken_for_the_next_request(pages: HttpPages):
    body = b"GET /metrics HTTP/1.1\r\n\r\n"
    answer = raw(pages, b"GET /healthz HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % i for i in range(200)) + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nH: " + b"x" * 100_000 + b"\r\n\r\n", b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"BREW /coffee HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
    ],
)
def test_odd_requests_are_refused_and_the_next_is_answered(pages: HttpPages, sent: bytes, status: bytes):
    answer = raw(pages, sent)
    assert status in answer or (len(sent) > 60_000 and not answer)
    assert ask(pages, "/healthz")[0] == 200


def test_clients_that_hang_up_or_say_nothing_leave_room_for_others(pages: HttpPages):
    silent = [socket.create_connection((HOST, pages.port)) for _ in range(20)]
    for connection in silent[:10]:
        connection.close()
    assert ask(pages, "/healthz")[0] == 200
    for connection in silent[10:]:
        connection.close()


def test_connections_that_say_nothing_keep_no_probe_out(pages: HttpPages):
    with contextlib.ExitStack() as closing:
        slow = [closing.enter_context(socket.create_connection((HOST, pages.port))) for _ in range(50)]
        for connection in slow[-20:]:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        for _ in range(3):
            assert ask(pages, "/healthz")[0] == 200
        # The oldest were cut, the youngest wait on.
        slow[0].settimeout(5)
        assert slow[0].recv(1) == b""
        slow[-1].settimeout(5)
        slow[-1].sendall(b"a\r\n\r\n")
        assert slow[-1].recv(100).startswith(b"HTTP/1.1 200")


def test_a_port_that_is_taken_is_refused(pages: HttpPages, table: ModelTable):
    with pytest.raises(OSError, match="in use"):
        HttpPages(Address(HOST, pages.port), table, Metrics(table, "test"))


def test_it_listens_on_ipv6_too(table: ModelTable):
    pages = HttpPages(Address("::1", 0), table, Metrics(table, "test"))
    try:
        with urllib.request.urlopen(f"http://[::1]:{pages.port}/healthz", timeout=5) as answer:
            assert answer.read() == b"ok\n"
    finally:
        pages.close()
